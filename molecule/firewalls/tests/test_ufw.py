# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside ufw: our rules are ufw's, and its administrator's are not ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from firewalled import Machine

ONLY_ON = "patchbay-firewalls-ufw"
TO_BLUE = "out on v-net-0 to 192.168.15.2"


@pytest.fixture
def before(machine: Machine) -> Iterator[dict[str, str]]:
    """What ufw has, but for another forward; that one is gone afterwards."""
    yield machine.snapshot()["theirs"]
    machine.module("dnat_forward", protocol="tcp", port="8888", state="absent")


def forward(machine: Machine, to_port: str) -> list[str]:
    """Make another forward; the commands of ufw that this takes."""
    options = {"protocol": "tcp", "port": "8888", "to_address": ["192.168.15.2"], "to_port": to_port}
    result = machine.module("dnat_forward", **options, foreign_firewall="allow")
    return [command for command in result["commands"] if command.startswith("ufw ")]


def test_two_forwards_share_a_rule_until_one_of_them_goes(machine: Machine, before: dict[str, str]) -> None:
    assert forward(machine, "80")
    comment = "# patchbay: forward tcp 8080 ipv4 / forward tcp 8888 ipv4"
    assert comment in machine.host.check_output("ufw status")
    machine.module("dnat_forward", protocol="tcp", port="8888", state="absent")
    assert machine.snapshot()["theirs"] == before


def test_an_equal_rule_of_the_administrators_stays_theirs(machine: Machine, before: dict[str, str]) -> None:
    machine.host.check_output(f"ufw route allow {TO_BLUE} port 81 proto tcp")
    try:
        with_theirs = machine.snapshot()["theirs"]
        assert forward(machine, "81") == []
        machine.module("dnat_forward", protocol="tcp", port="8888", state="absent")
        assert machine.snapshot()["theirs"] == with_theirs
    finally:
        machine.host.check_output(f"ufw route delete allow {TO_BLUE} port 81 proto tcp")


def test_openings_are_removed_while_ufw_is_disabled(machine: Machine, before: dict[str, str]) -> None:
    assert forward(machine, "81")
    machine.host.check_output("ufw disable")
    try:
        machine.module("dnat_forward", protocol="tcp", port="8888", state="absent")
    finally:
        machine.host.check_output("ufw --force enable")
    assert machine.snapshot()["theirs"] == before
