# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packets between neighbours on one bridge that meet rules for routed ones: br_netfilter, for all bridges and for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import advice
import firewalls
import pytest
from box import EXT, HOST4, Box
from packets import SHORT
from scenery import BLUE, BRIDGE_FILTER, LAB, versions


def globally(box: Box, version: int) -> None:
    box.sysctl(BRIDGE_FILTER[version], "1")


def on_this_bridge(box: Box, version: int) -> None:
    name = {4: "nf_call_iptables", 6: "nf_call_ip6tables"}[version]
    box.ip(f"link set v-net-0 type bridge {name} 1")


WAYS: dict[str, Callable[[Box, int], None]] = {"global": globally, "bridge": on_this_bridge}
ways = pytest.mark.parametrize("way", list(WAYS))


def codes(result: Any) -> list[str]:
    return [found["code"] for found in result.object["blocked_by"]]


def meets(box: Box, version: int) -> bool:
    """Whether red and blue meet."""
    return bool(box.tcp("red", BLUE[version], 80, timeout=SHORT))


@pytest.fixture
def neighbours(lab: Box) -> Box:
    """The lab with Docker's policy, and a server in blue."""
    lab.serve("blue", 80)
    firewalls.docker_nft(lab)
    return lab


@versions
@ways
def test_row_15_neighbours_that_cannot_meet_are_reported_with_the_setting(
    neighbours: Box, way: str, version: int
) -> None:
    assert meets(neighbours, version)
    WAYS[way](neighbours, version)
    assert not meets(neighbours, version)
    result = neighbours.checked("nat_masquerade", source=LAB[version])
    assert codes(result) == ["FOREIGN_DROP", "BR_NETFILTER"]
    said = (
        result.warnings[-1] if result.warnings else neighbours.run("nat_masquerade", source=LAB[version]).warnings[-1]
    )
    assert "between neighbours on bridge v-net-0" in said
    assert f"`sysctl -w {BRIDGE_FILTER[version]}=0`" in said


@versions
@ways
def test_row_15_allow_opens_for_neighbours_too(neighbours: Box, way: str, version: int) -> None:
    assert meets(neighbours, version), "from now on they know each other's MAC addresses"
    WAYS[way](neighbours, version)
    before = firewalls.foreign_rules(neighbours)
    result = neighbours.checked("nat_masquerade", source=LAB[version], foreign_firewall="allow")
    assert codes(result) == []
    assert meets(neighbours, version)
    neighbours.checked("nat_masquerade", source=LAB[version], state="absent")
    assert firewalls.foreign_rules(neighbours) == before
    assert not meets(neighbours, version)


@versions
def test_allow_with_an_interface_out_opens_for_neighbours_too(neighbours: Box, version: int) -> None:
    """The opening to the outside is tied to that interface then, and does not help the neighbours."""
    assert meets(neighbours, version)
    globally(neighbours, version)
    params = {"source": LAB[version], "out_interface": "uplink", "foreign_firewall": "allow"}
    neighbours.checked("nat_masquerade", **params)
    assert meets(neighbours, version)


@versions
def test_without_br_netfilter_nothing_is_said_of_neighbours(neighbours: Box, version: int) -> None:
    result = neighbours.checked("nat_masquerade", source=LAB[version])
    assert codes(result) == ["FOREIGN_DROP"]
    assert meets(neighbours, version)


@versions
@ways
def test_the_setting_of_one_ip_version_does_not_concern_the_other(neighbours: Box, way: str, version: int) -> None:
    WAYS[way](neighbours, 10 - version)
    assert codes(neighbours.checked("nat_masquerade", source=LAB[version])) == ["FOREIGN_DROP"]
    assert meets(neighbours, version)


def test_another_bridge_that_asks_the_rules_is_not_ours(neighbours: Box) -> None:
    neighbours.ip("link add other type bridge nf_call_iptables 1")
    assert codes(neighbours.checked("nat_masquerade", source=LAB[4])) == ["FOREIGN_DROP"]


@ways
def test_with_rules_that_let_neighbours_pass_nothing_is_said(lab: Box, way: str) -> None:
    lab.serve("blue", 80)
    WAYS[way](lab, 4)
    firewalls.docker_nft(lab)
    lab.tool("iptables-nft", "-I", "FORWARD", "-i", "v-net-0", "-o", "v-net-0", "-j", "ACCEPT")
    assert codes(lab.checked("nat_masquerade", source=LAB[4])) == ["FOREIGN_DROP"]
    assert meets(lab, 4)


def test_what_is_printed_lets_neighbours_meet(neighbours: Box) -> None:
    globally(neighbours, 4)
    said = neighbours.run("nat_masquerade", source=LAB[4], out_interface="uplink").warnings[-1]
    advice.follow(neighbours, said)
    assert meets(neighbours, 4)


def test_the_setting_that_is_printed_lets_neighbours_meet(neighbours: Box) -> None:
    globally(neighbours, 4)
    said = neighbours.run("nat_masquerade", source=LAB[4]).warnings[-1]
    command = said.split("`")[-2]
    neighbours.tool("sh", "-ec", command)
    assert meets(neighbours, 4)


@ways
def test_a_forward_to_a_filtered_bridge_is_opened(neighbours: Box, way: str) -> None:
    WAYS[way](neighbours, 4)
    params = {"protocol": "tcp", "port": 80, "to_address": BLUE[4]}
    neighbours.checked("dnat_forward", **params, foreign_firewall="allow")
    assert neighbours.tcp(EXT, HOST4, 80)
    assert neighbours.tcp("red", HOST4, 80)


@ways
def test_row_15_ipv6_neighbours_that_do_not_know_each_other_yet_meet(neighbours: Box, way: str) -> None:
    WAYS[way](neighbours, 6)
    neighbours.run("nat_masquerade", source=LAB[6], foreign_firewall="allow")
    assert meets(neighbours, 6)


def test_it_is_neighbour_discovery_that_is_missing(neighbours: Box) -> None:
    globally(neighbours, 6)
    neighbours.run("nat_masquerade", source=LAB[6], foreign_firewall="allow")
    words = "-I DOCKER-USER -i v-net-0 -o v-net-0 -p ipv6-icmp -m conntrack --ctstate UNTRACKED -j ACCEPT"
    neighbours.tool("ip6tables-nft", *words.split())
    assert meets(neighbours, 6)
