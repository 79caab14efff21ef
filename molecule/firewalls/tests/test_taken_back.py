# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Openings go when they are no longer wanted, and leave everybody's configuration as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from expected import CULPRITS, LANGUAGE, OPEN, STOPPED, SUBNET, Ways, closed, missing
from firewalled import Machine, Run, everywhere


class TakenBack(NamedTuple):
    """How the machine was after ``absent``, and what ``report`` said and did where there was ``allow`` again."""

    absent: dict[str, Any]
    run: Run
    reported: dict[str, Any]
    ways: Ways


def take_back(machine: Machine) -> TakenBack:
    machine.run(state="absent")
    absent = machine.snapshot()
    machine.run()
    return TakenBack(absent, machine.run(foreign_firewall="report"), machine.snapshot(), machine.ways())


@pytest.fixture(scope="module")
def by_owner() -> Iterator[dict[str, TakenBack]]:
    yield everywhere(take_back)
    everywhere(Machine.run)


@pytest.fixture(scope="module")
def taken_back(machine: Machine, by_owner: dict[str, TakenBack]) -> TakenBack:
    return by_owner[machine.owner]


def test_absent_leaves_no_trace(machine: Machine, taken_back: TakenBack) -> None:
    assert taken_back.absent == machine.noted("before")


def test_report_takes_back_what_allow_has_made(machine: Machine, taken_back: TakenBack) -> None:
    assert taken_back.reported["theirs"] == machine.noted("before")["theirs"]


def test_what_was_taken_back_is_closed_again(machine: Machine, taken_back: TakenBack) -> None:
    assert closed(taken_back.ways, OPEN) == STOPPED[machine.owner]


@pytest.mark.parametrize("version", [4, 6])
def test_the_warnings_name_every_culprit_and_speak_the_owners_language(
    machine: Machine, taken_back: TakenBack, version: int
) -> None:
    words = LANGUAGE[machine.owner].format(version=version, subnet=SUBNET[version])
    found = [text for text in taken_back.run.warnings if words in text]
    culprits = CULPRITS[machine.owner][version]
    assert [culprit for culprit in culprits if not any(text.startswith(culprit) for text in found)] == []


def undo(machine: Machine, printed: list[str]) -> list[str]:
    """The commands that take back those of the warnings."""
    if machine.owner == "firewalld":
        policy = "/etc/firewalld/policies/patchbay.xml.old"  # it keeps a copy of what it changes
        reload = "firewall-cmd --reload && bash /root/firewalld-runtime.sh"
        return [f"firewall-cmd --permanent --delete-policy=patchbay && rm -f {policy} && {reload}"]
    return [command.replace(" prepend allow ", " delete allow ").replace(" -I ", " -D ") for command in printed]


def test_the_warnings_commands_are_all_that_is_needed(machine: Machine, taken_back: TakenBack) -> None:
    printed = taken_back.run.printed
    done = [machine.host.run(command.replace("%", "%%")).rc for command in printed]
    ways = machine.ways()
    for command in undo(machine, printed):
        machine.host.check_output(command.replace("%", "%%"))
    assert set(done) == {0}
    assert missing(ways) == {}


def test_firewalld_is_not_reloaded_where_others_would_lose_by_it(machine: Machine, taken_back: TakenBack) -> None:
    if machine.owner != "firewalld":
        pytest.skip("only firewalld has to be reloaded, once")
    machine.host.check_output("firewall-cmd --zone=public --add-service=http")
    machine.host.check_output("iptables -A OUTPUT -d 203.0.113.9 -j DROP")
    try:
        before = machine.snapshot()
        result = machine.module("nat_masquerade", source=SUBNET[4], out_interface="uplink", foreign_firewall="allow")
        assert result["code"] == "CONFLICT"
        assert "public (services)" in result["msg"]
        assert "1 rules that other programs have in iptables" in result["msg"]
        assert machine.snapshot() == before
    finally:
        machine.host.check_output("firewall-cmd --zone=public --remove-service=http")
        machine.host.check_output("nft delete table ip filter")
