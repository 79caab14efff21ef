# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After foreign_firewall: allow: what was asked for passes, nothing else does, and the owner's own tools show how."""

from __future__ import annotations

import pytest
from expected import OPEN, SHUT, SUBNET, Ways, closed
from firewalled import Machine

LISTING = {
    "ufw": {"ufw status": (4, 6)},
    "firewalld": {"firewall-cmd --list-all-policies": (4, 6)},
    "docker": {
        "iptables-nft -S DOCKER-USER": (4,),
        "iptables-legacy -S DOCKER-USER": (4,),
        "ip6tables-nft -S DOCKER-USER": (6,),
        "ip6tables-legacy -S DOCKER-USER": (6,),
    },
}
MARKS = {
    "ufw": "# patchbay: masquerade {} out uplink",
    "firewalld": 'source address="{}" accept',
    "docker": '--comment "patchbay: masquerade {} out uplink [',
}


@pytest.fixture(scope="module")
def ways(machine: Machine) -> Ways:
    return machine.ways()


@pytest.mark.parametrize("way", OPEN)
def test_it_passes(machine: Machine, ways: Ways, way: str) -> None:
    if way == "red to blue, IPv6" and machine.owner == "ufw":
        pytest.skip("ufw has no route rule for the neighbour discovery of bridged IPv6, as docs/nat.md says")
    assert ways[way] == OPEN[way]


def test_nothing_else_does(ways: Ways) -> None:
    assert closed(ways, SHUT) == SHUT


def test_nobody_is_said_to_be_in_the_way(machine: Machine) -> None:
    assert [result["rule"]["blocked_by"] for result in machine.noted("said")] == [[], [], []]


def test_the_owners_tools_show_what_is_ours(machine: Machine) -> None:
    for command, versions in LISTING[machine.owner].items():
        shown = machine.host.check_output(command)
        for version in versions:
            assert MARKS[machine.owner].format(SUBNET[version]) in shown


def test_the_administrators_own_rules_are_still_there(machine: Machine) -> None:
    theirs = {
        "ufw": ("ufw status", "# the web server"),
        "firewalld": ("firewall-cmd --zone=public --list-ports", "8443/tcp"),
        "docker": ("iptables-legacy -S DOCKER-USER", '--comment "no ssh" -j DROP'),
    }
    command, text = theirs[machine.owner]
    assert text in machine.host.check_output(command)
