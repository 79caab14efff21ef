# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Port forwards with real packets: who is forwarded, who is not, and who answers."""

from __future__ import annotations

import pytest
from box import EXT, HOST4, Box
from doors import Failed
from packets import SHORT
from scenery import (
    BLUE,
    FORWARDING,
    GATEWAY,
    LOCALNET,
    OUTSIDE,
    OWN,
    RED,
    filter_bridges,
    filters,
    forward,
    protocols,
    rules,
    versions,
)


@versions
@protocols
def test_outside_reaches_blue_through_the_host(lab: Box, version: int, protocol: str) -> None:
    server = lab.serve("blue", 80, protocol)
    probe = getattr(lab, protocol)
    assert probe(EXT, OWN[version], 80).outcome == "refused"
    result = forward(lab, version, protocol=protocol)
    assert result.object["hairpin"] == ["192.168.15.0/24" if version == 4 else "fd00:15::/64"]
    assert lab.sysctl(FORWARDING[version]) == "1"
    answer = probe(EXT, OWN[version], 80)
    assert answer.token == server.token
    assert answer.seen[0] == OUTSIDE[version], "blue sees who it is"
    assert probe(EXT, OWN[version], 81).outcome == "refused"
    forward(lab, version, protocol=protocol, state="absent")
    assert probe(EXT, OWN[version], 80, source_port=0).outcome == "refused"
    assert rules(lab) == ""
    assert lab.sysctl(FORWARDING[version]) == "0"


def test_pitfall_1_protocol_is_mandatory(box: Box) -> None:
    for check in (True, False):
        with pytest.raises(Failed, match="protocol"):
            box.run("dnat_forward", port="80", to_address=BLUE[4], check=check)
        with pytest.raises(Failed, match="protocol"):
            box.run("dnat_forward", protocol="icmp", port="80", to_address=BLUE[4], check=check)
    assert rules(box) == ""


@versions
@filters
def test_pitfall_2_10_traffic_to_somebody_elses_port_is_not_hijacked(lab: Box, version: int, filtered: bool) -> None:
    if filtered:
        filter_bridges(lab, version)
    lab.serve("blue", 80)
    theirs = lab.serve(EXT, 80)
    lab.run("nat_masquerade", source="192.168.15.0/24" if version == 4 else "fd00:15::/64")
    forward(lab, version)
    assert lab.tcp("red", OUTSIDE[version], 80).token == theirs.token
    assert lab.tcp(None, OUTSIDE[version], 80).token == theirs.token
    own = lab.serve("red", 80)
    assert lab.tcp("blue", RED[version], 80).token == own.token


@versions
def test_pitfall_3_10_the_hosts_own_connections_are_forwarded(lab: Box, version: int) -> None:
    server = lab.serve("blue", 80)
    assert forward(lab, version).object["local"] is True
    assert lab.tcp(None, OWN[version], 80).token == server.token
    assert lab.tcp(None, GATEWAY[version], 80).token == server.token
    assert forward(lab, version, local=False).object["local"] is False
    assert lab.tcp(None, OWN[version], 80).outcome == "refused"
    assert lab.tcp(EXT, OWN[version], 80).token == server.token


@versions
def test_pitfall_3_local_never_takes_loopback_addresses(lab: Box, version: int) -> None:
    """A service of the host's own at localhost stays what it was."""
    lab.serve("blue", 80)
    address = "127.0.0.1" if version == 4 else "::1"
    own = lab.serve(None, 80, address=address)
    forward(lab, version)
    assert lab.tcp(None, address, 80).token == own.token


@protocols
def test_pitfall_4_localhost_is_forwarded_when_asked_for(lab: Box, protocol: str) -> None:
    server = lab.serve("blue", 80, protocol)
    probe = getattr(lab, protocol)
    forward(lab, protocol=protocol)
    assert probe(None, "127.0.0.1", 80).outcome == "refused"
    result = forward(lab, protocol=protocol, loopback=True)
    assert result.object["loopback"] is True
    assert f"sysctl -w {LOCALNET}=1" in result.commands
    for address in ("127.0.0.1", "127.0.1.1"):
        answer = probe(None, address, 80)
        assert answer.token == server.token
        assert answer.seen[0] == GATEWAY[4]
    forward(lab, protocol=protocol)
    assert lab.sysctl(LOCALNET) == "0"
    assert "guard" not in rules(lab)
    assert probe(None, "127.0.0.1", 80).outcome == "refused"


def test_pitfall_4_localhost_of_ipv6_is_refused_with_the_reason(lab: Box) -> None:
    with pytest.raises(Failed, match="never lets ::1 leave") as caught:
        lab.run("dnat_forward", protocol="tcp", port="80", to_address=BLUE[6], loopback=True, check=True)
    assert caught.value.code == "INVALID_INPUT"


def attack(box: Box, attacker: str, gateway: str) -> list[str]:
    """What a neighbour gets that sends packets for HOST's 127.0.0.2 and from 127.0.0.9: CVE-2020-8558."""
    device = "veth-red" if attacker == "red" else "uplink"
    for name in ("all", device):
        box.sysctl(f"net.ipv4.conf.{name}.route_localnet", "1", netns=attacker)
    box.ip(f"-n {attacker} route flush table local 127.0.0.0/8")
    box.ip(f"-n {attacker} route replace 127.0.0.2/32 via {gateway} dev {device}")
    outcomes = [box.udp(attacker, "127.0.0.2", 5353, timeout=0.1).outcome for _round in range(10)]
    return [*outcomes, box.tcp(attacker, "127.0.0.2", 5353, timeout=SHORT).outcome]


@pytest.mark.parametrize(("attacker", "gateway"), [("red", GATEWAY[4]), (EXT, HOST4)])
def test_pitfall_5_loopback_stays_closed_to_neighbours(lab: Box, attacker: str, gateway: str) -> None:
    server = lab.serve("blue", 80)
    secret = lab.serve(None, 5353, address="127.0.0.2")
    lab.serve(None, 5353, "udp", address="127.0.0.2")
    forward(lab, loopback=True)
    assert lab.sysctl(LOCALNET) == "1"
    assert "reached" not in attack(lab, attacker, gateway)
    assert secret.peers == []
    assert lab.tcp(None, "127.0.0.2", 5353).token == secret.token, "the host itself still gets there"
    assert lab.tcp(None, "127.0.0.1", 80).token == server.token
    lab.nft("flush chain inet patchbay guard")
    if attacker == "red":
        assert "reached" in attack(lab, attacker, gateway), (
            "without the guard the attack works: the probe is a real one"
        )
    assert forward(lab, loopback=True).changed, "the guard is put back"
    assert "reached" not in attack(lab, attacker, gateway)


def test_pitfall_5_nobody_comes_in_with_a_loopback_source(lab: Box) -> None:
    lab.serve(None, 5353, "udp")
    forward(lab, loopback=True)
    lab.ip("-n red addr add 127.0.0.9/32 dev veth-red")
    for name in ("all", "veth-red"):
        lab.sysctl(f"net.ipv4.conf.{name}.route_localnet", "1", netns="red")
    peers = lab.serve(None, 5354, "udp").peers
    assert not lab.udp("red", GATEWAY[4], 5354, source="127.0.0.9", timeout=SHORT)
    assert peers == []


@versions
@protocols
@filters
def test_pitfall_6_7_10_hairpin_for_peers(lab: Box, version: int, protocol: str, filtered: bool) -> None:
    """Red, in blue's own network, uses the forward; blue sees the bridge's address and so answers this way."""
    if filtered:
        filter_bridges(lab, version)
    server = lab.serve("blue", 80, protocol)
    probe = getattr(lab, protocol)
    forward(lab, version, protocol=protocol, hairpin=False)
    if not filtered:
        assert not probe("red", OWN[version], 80, timeout=SHORT), "blue answers directly, and red takes no notice"
    result = forward(lab, version, protocol=protocol)
    assert result.diff["after_header"] == "after (changed in place)"
    for address in (OWN[version], GATEWAY[version]):
        answer = probe("red", address, 80)
        assert answer.token == server.token
        assert answer.seen[0] == GATEWAY[version]


@versions
@filters
def test_pitfall_6_8_hairpin_for_the_target_itself(lab: Box, version: int, filtered: bool) -> None:
    """Blue uses the forward of its own port; where bridged packets pass the rules, its bridge port has to send frames back."""
    server = lab.serve("blue", 80)
    if filtered:
        filter_bridges(lab, version)
        assert lab.ping(None, BLUE[version])
        warnings = forward(lab, version).warnings
        assert [text for text in warnings if "hairpin: true for veth-blue-br" in text]
        assert not lab.tcp("blue", OWN[version], 80, timeout=SHORT)
        lab.ip("link set veth-blue-br type bridge_slave hairpin on")
        assert forward(lab, version, forwarding=False).warnings == []
        lab.run("dnat_forward", protocol="tcp", port="80", to_address=BLUE[version])
    else:
        assert not [text for text in forward(lab, version).warnings if "hairpin" in text]
    answer = lab.tcp("blue", OWN[version], 80)
    assert answer.token == server.token
    assert answer.seen[0] == GATEWAY[version]


def test_a_target_behind_a_router_gets_no_hairpin_and_a_warning(lab: Box) -> None:
    result = forward(lab, to_address="198.51.100.7")
    assert result.object["hairpin"] == []
    assert [text for text in result.warnings if "198.51.100.7 is in no connected network" in text]
    assert not [text for text in forward(lab, to_address="198.51.100.7", hairpin=False).warnings if "hairpin" in text]


@versions
def test_only_the_allowed_sources_are_forwarded(lab: Box, version: int) -> None:
    server = lab.serve("blue", 80)
    elsewhere = {4: ["198.51.100.0/24", "192.0.2.1/32"], 6: ["2001:db8:99::/48"]}[version]
    forward(lab, version, sources=elsewhere)
    assert lab.tcp(EXT, OWN[version], 80).outcome == "refused"
    network = {4: "203.0.113.9/32", 6: "2001:db8:113::/64"}[version]
    result = forward(lab, version, sources=[*elsewhere, network])
    assert sorted(result.object["sources"]) == sorted([*elsewhere, network])
    assert lab.tcp(EXT, OWN[version], 80).token == server.token
    assert lab.tcp("red", OWN[version], 80).outcome == "refused"


@versions
def test_one_address_only(lab: Box, version: int) -> None:
    server = lab.serve("blue", 80)
    result = forward(lab, version, address=OWN[version])
    assert result.object["address"] == [OWN[version]]
    assert lab.tcp(EXT, OWN[version], 80).token == server.token
    assert lab.tcp(None, OWN[version], 80).token == server.token
    assert lab.tcp("red", GATEWAY[version], 80).outcome == "refused"


def test_an_address_that_is_not_the_machines_own_is_not_hijacked(lab: Box) -> None:
    """Not even when a task names it; it is forwarded from the moment on at which it becomes the machine's own."""
    theirs, server = lab.serve(EXT, 80), lab.serve("blue", 80)
    lab.run("nat_masquerade", source="192.168.15.0/24")
    forward(lab, address="8.8.8.8")
    assert lab.tcp("red", "8.8.8.8", 80).token == theirs.token
    assert lab.tcp(None, "8.8.8.8", 80).token == theirs.token
    lab.ip("addr add 8.8.8.8/32 dev lo")
    assert lab.tcp("red", "8.8.8.8", 80).token == server.token


def test_what_one_forward_takes_of_the_machines_own_is_not_said_of_another(lab: Box) -> None:
    """Two forwards of one port to one target, told apart by their addresses; only one is for localhost."""
    server = lab.serve("blue", 80)
    forward(lab, address=HOST4, loopback=True)
    assert forward(lab, address=GATEWAY[4]).object["loopback"] is False
    assert lab.tcp(None, "127.0.0.1", 80).token == server.token
    forward(lab, address=HOST4, state="absent")
    assert "loopback-tcp-ip" not in rules(lab)
    assert lab.sysctl(LOCALNET) == "0"


@versions
def test_one_interface_only(lab: Box, version: int) -> None:
    server = lab.serve("blue", 80)
    forward(lab, version, in_interface="uplink")
    assert lab.tcp(EXT, OWN[version], 80).token == server.token
    assert lab.tcp("red", OWN[version], 80).outcome == "refused"


def test_two_services_at_two_addresses_of_one_port(lab: Box) -> None:
    red, blue = lab.serve("red", 80), lab.serve("blue", 80)
    forward(lab, address=HOST4)
    forward(lab, address=GATEWAY[4], to_address=RED[4])
    assert lab.tcp(EXT, HOST4, 80).token == blue.token
    assert lab.tcp("blue", GATEWAY[4], 80).token == red.token
