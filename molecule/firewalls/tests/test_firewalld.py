# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside firewalld: what it has at runtime only outlives our openings, and its files can be asked without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from expected import SUBNET
from firewalled import Machine

ONLY_ON = "patchbay-firewalls-firewalld"
MASQUERADE = {"source": SUBNET[6], "out_interface": "uplink"}
POLICY = "/etc/firewalld/policies/patchbay.xml"


@pytest.fixture(scope="module")
def stopped(machine: Machine) -> Iterator[str]:
    """Our policy's file after one of its rules went while the daemon was stopped."""
    machine.host.check_output("systemctl stop firewalld")
    try:
        result = machine.module("nat_masquerade", **MASQUERADE, state="absent")
        assert result["changed"]
        policy = machine.host.file(POLICY).content_string
    finally:
        machine.host.check_output("systemctl start firewalld && bash /root/firewalld-runtime.sh")
    yield policy


@pytest.fixture(scope="module")
def again(machine: Machine, stopped: str) -> Iterator[dict[str, Any]]:
    """The result of the same opening, made while somebody has a service at runtime only."""
    machine.host.check_output("firewall-cmd --zone=public --add-service=http")
    yield machine.module("nat_masquerade", **MASQUERADE, foreign_firewall="allow")
    machine.host.check_output("firewall-cmd --zone=public --remove-service=http")


def test_openings_are_removed_while_the_daemon_is_stopped(stopped: str) -> None:
    assert SUBNET[4] in stopped
    assert SUBNET[6] not in stopped


def test_a_policy_that_is_known_needs_no_reload(machine: Machine, again: dict[str, Any]) -> None:
    assert again["changed"]
    assert SUBNET[6] in machine.host.check_output("firewall-cmd --policy=patchbay --list-rich-rules")
    assert "http" in machine.host.check_output("firewall-cmd --zone=public --list-services").split()
