# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Openings go when they are no longer wanted, and leave everybody's configuration as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from expected import CULPRITS, LANGUAGE, OPEN, STOPPED, SUBNET, Ways, closed, missing
from firewalled import Machine, Run


class After(NamedTuple):
    """What a run said, and how the machine is."""

    run: Run
    snapshot: dict[str, Any]
    ways: Ways


@pytest.fixture(scope="module")
def reported(machine: Machine) -> Iterator[After]:
    """After ``report`` where there was ``allow``."""
    yield After(machine.run(foreign_firewall="report"), machine.snapshot(), machine.ways())
    machine.run()


@pytest.fixture(scope="module")
def absent(machine: Machine) -> Iterator[After]:
    yield After(machine.run(state="absent"), machine.snapshot(), {})
    machine.run()


def test_report_takes_back_what_allow_has_made(machine: Machine, reported: After) -> None:
    assert reported.snapshot["theirs"] == machine.noted("before")["theirs"]
    assert closed(reported.ways, OPEN) == STOPPED[machine.owner]


@pytest.mark.parametrize("version", [4, 6])
def test_the_warnings_name_every_culprit_and_speak_the_owners_language(
    machine: Machine, reported: After, version: int
) -> None:
    words = LANGUAGE[machine.owner].format(version=version, subnet=SUBNET[version])
    found = [text for text in reported.run.warnings if words in text]
    culprits = CULPRITS[machine.owner][version]
    assert [any(text.startswith(culprit) for text in found) for culprit in culprits] == [True] * len(culprits)


def test_the_warnings_commands_are_all_that_is_needed(machine: Machine, reported: After) -> None:
    if machine.owner == "firewalld":
        pytest.skip("each of its reloads takes seconds, and its commands for one object are proven by its own tests")
    try:
        for command in reported.run.printed:
            machine.host.check_output(command.replace("%", "%%"))
        assert missing(machine.ways()) == {}
    finally:
        for command in reported.run.printed:
            back = command.replace(" prepend allow ", " delete allow ").replace(" -I ", " -D ")
            machine.host.check_output(back.replace("%", "%%"))
    assert machine.snapshot() == reported.snapshot


def test_absent_leaves_no_trace(machine: Machine, absent: After) -> None:
    assert absent.snapshot == machine.noted("before")


def test_firewalld_is_not_reloaded_where_others_would_lose_by_it(machine: Machine, absent: After) -> None:
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
