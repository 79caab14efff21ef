# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After foreign_firewall: allow: what was asked for passes, nothing else does, and the owner's own tools show how."""

from __future__ import annotations

import pytest
from expected import OPEN, SHUT, Ways, closed
from firewalled import Machine

LISTING = {
    "ufw": ["ufw status"],
    "firewalld": ["firewall-cmd --list-all-policies"],
    "docker": [f"{tool} -S DOCKER-USER" for tool in ("iptables-nft", "iptables-legacy")]
    + [f"{tool} -S DOCKER-USER" for tool in ("ip6tables-nft", "ip6tables-legacy")],
}


@pytest.fixture(scope="module")
def ways(machine: Machine) -> Ways:
    return machine.ways()


@pytest.mark.parametrize("way", OPEN)
def test_it_passes(request: pytest.FixtureRequest, machine: Machine, ways: Ways, way: str) -> None:
    if way == "red to blue, IPv6" and machine.owner != "firewalld":
        reason = "neighbour discovery between bridge ports is routed traffic to br_netfilter, and gets no opening"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    assert ways[way] == OPEN[way]


def test_nothing_else_does(ways: Ways) -> None:
    assert closed(ways, SHUT) == SHUT


def test_nobody_is_said_to_be_in_the_way(machine: Machine) -> None:
    assert [result["rule"]["blocked_by"] for result in machine.noted("said")] == [[], [], []]


def test_the_owners_tools_show_what_is_ours(machine: Machine) -> None:
    for command in LISTING[machine.owner]:
        shown = machine.host.check_output(command)
        versions = [6] if "ip6" in command else [4] if "iptables" in command else [4, 6]
        assert "patchbay" in shown
        for subnet in ({4: "192.168.15.0/24", 6: "fd00:15::/64"}[version] for version in versions):
            assert f"masquerade {subnet} out uplink" in shown or f'source address="{subnet}" accept' in shown


def test_the_administrators_own_rules_are_still_there(machine: Machine) -> None:
    theirs = {
        "ufw": ("ufw status", "# the web server"),
        "firewalld": ("firewall-cmd --zone=public --list-ports", "8443/tcp"),
        "docker": ("iptables-legacy -S DOCKER-USER", '--comment "no ssh" -j DROP'),
    }
    command, text = theirs[machine.owner]
    assert machine.host.check_output(command).endswith(text)
