# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before anything was opened, from what prepare.yml kept: ``fail`` and ``report`` say who stops what, and touch nothing of theirs."""

from __future__ import annotations

import pytest
from expected import CULPRITS, LANGUAGE, OPEN, STOPPED, SUBNET, closed
from firewalled import Machine

VERSIONS = (4, 6)


@pytest.mark.parametrize("number", range(2))
def test_fail_fails_with_a_code(machine: Machine, number: int) -> None:
    result = machine.noted("failed")[number]
    assert result["failed"]
    assert result["code"] == "FOREIGN_FIREWALL"
    assert {each["owner"] for each in result["details"]["blocked"]} == {machine.owner}


def test_fail_changes_nothing(machine: Machine) -> None:
    assert machine.noted("after_failed") == machine.noted("before")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_error_names_the_culprit_and_speaks_the_owners_language(machine: Machine, version: int) -> None:
    text = machine.noted("failed")[VERSIONS.index(version)]["msg"]
    assert text.startswith(CULPRITS[machine.owner][version][0])
    assert LANGUAGE[machine.owner].format(version=version, subnet=SUBNET[version]) in text


def test_report_changes_nothing_of_theirs(machine: Machine) -> None:
    assert machine.noted("after_reported")["theirs"] == machine.noted("before")["theirs"]


def test_what_the_firewall_stops_is_closed(machine: Machine) -> None:
    assert closed(machine.noted("ways_reported"), OPEN) == STOPPED[machine.owner]


def test_the_results_say_who_stops_it(machine: Machine) -> None:
    *masquerades, forward = machine.noted("reported")
    for result in masquerades:
        assert {each["owner"] for each in result["rule"]["blocked_by"]} == {machine.owner}
    # firewalld lets pass whatever is translated.
    owners = {each["owner"] for each in forward["rule"]["blocked_by"]}
    assert owners == (set() if machine.owner == "firewalld" else {machine.owner})
