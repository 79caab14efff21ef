# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Port forwards with real packets: who is forwarded, who is not, and who answers."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from box import EXT, EXT4, EXT6, HOST4, HOST6, Box
from doors import Failed
from packets import SHORT

RED = {4: "192.168.15.1", 6: "fd00:15::1"}
BLUE = {4: "192.168.15.2", 6: "fd00:15::2"}
GATEWAY = {4: "192.168.15.5", 6: "fd00:15::5"}
OUTSIDE = {4: EXT4, 6: EXT6}
OWN = {4: HOST4, 6: HOST6}
FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
BRIDGE_FILTER = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}
LOCALNET = "net.ipv4.conf.v-net-0.route_localnet"

versions = pytest.mark.parametrize("version", [4, 6])
protocols = pytest.mark.parametrize("protocol", ["tcp", "udp"])
filters = pytest.mark.parametrize("filtered", [False, True], ids=["routed", "br_netfilter"])


@pytest.fixture
def lab(box: Box) -> Box:
    """EXT, HOST, red and blue; EXT knows no way into the lab but through HOST's own address."""
    box.outside()
    box.red_and_blue()
    return box


def rules(box: Box) -> str:
    """All rules in HOST."""
    return box.nft("list ruleset")


def forward(box: Box, version: int = 4, *, port: Any = 80, **params: Any) -> Any:
    """Forward a port of HOST to blue, tested in check mode and for idempotence."""
    return box.checked("dnat_forward", **{"protocol": "tcp", "port": port, "to_address": BLUE[version], **params})


def filter_bridges(box: Box, version: int) -> None:
    """Let bridged packets pass the rules, as this kernel does in fresh namespaces."""
    box.sysctl(BRIDGE_FILTER[version], "1")


@versions
@protocols
def test_outside_reaches_blue_through_the_host(lab: Box, version: int, protocol: str) -> None:
    server = lab.serve("blue", 80, protocol)
    probe = getattr(lab, protocol)
    assert probe(EXT, OWN[version], 80).outcome == "refused"
    result = forward(lab, version, protocol=protocol)
    assert result.object["hairpin"] == ("192.168.15.0/24" if version == 4 else "fd00:15::/64")
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
    own = lab.serve(None, 80)
    forward(lab, version)
    assert lab.tcp(None, "127.0.0.1" if version == 4 else "::1", 80).token == own.token


@protocols
def test_pitfall_4_localhost_is_forwarded_when_asked_for(lab: Box, protocol: str) -> None:
    server = lab.serve("blue", 80, protocol)
    probe = getattr(lab, protocol)
    forward(lab, protocol=protocol)
    assert probe(None, "127.0.0.1", 80).outcome == "refused"
    result = forward(lab, protocol=protocol, localhost=True)
    assert result.object["localhost"] is True
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
        lab.run("dnat_forward", protocol="tcp", port="80", to_address=BLUE[6], localhost=True, check=True)
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
    forward(lab, localhost=True)
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
    assert forward(lab, localhost=True).changed, "the guard is put back"
    assert "reached" not in attack(lab, attacker, gateway)


def test_pitfall_5_nobody_comes_in_with_a_loopback_source(lab: Box) -> None:
    lab.serve(None, 5353, "udp")
    forward(lab, localhost=True)
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
        assert [text for text in warnings if "hairpin: true on veth-blue-br" in text]
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
    assert result.object["hairpin"] is None
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
    assert result.object["address"] == OWN[version]
    assert lab.tcp(EXT, OWN[version], 80).token == server.token
    assert lab.tcp(None, OWN[version], 80).token == server.token
    assert lab.tcp("red", GATEWAY[version], 80).outcome == "refused"


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


@versions
def test_a_range_keeps_its_port_numbers(lab: Box, version: int) -> None:
    servers = {port: lab.serve("blue", port) for port in (8000, 8005, 8010)}
    result = forward(lab, version, port="8000-8010")
    assert (result.object["port"], result.object["to_port"]) == ("8000-8010", "8000-8010")
    for port, server in servers.items():
        assert lab.tcp(EXT, OWN[version], port).token == server.token
    for port in (7999, 8011):
        assert lab.tcp(EXT, OWN[version], port).outcome == "refused"
    assert lab.tcp("red", OWN[version], 8005).seen[0] == GATEWAY[version]


@versions
def test_a_shifted_range_leads_each_port_to_its_own(lab: Box, version: int) -> None:
    """The kernel's `dnat to address:8000-8010` would lead all of them to 8000."""
    servers = {port: lab.serve("blue", port) for port in (8000, 8005, 8010)}
    result = forward(lab, version, port="9000-9010", to_port="8000-8010")
    assert (result.object["port"], result.object["to_port"]) == ("9000-9010", "8000-8010")
    for port, server in servers.items():
        assert lab.tcp(EXT, OWN[version], port + 1000).token == server.token
    assert lab.tcp("red", OWN[version], 9005).seen[0] == GATEWAY[version]


def test_the_largest_shifted_range_is_one_batch(lab: Box) -> None:
    server = lab.serve("blue", 21023)
    forward(lab, port="10000-11023", to_port="20000-21023", sources=["203.0.113.0/24", "198.51.100.0/24"])
    assert lab.tcp(EXT, HOST4, 11023).token == server.token
    forward(lab, port="10000-11023", state="absent")
    assert rules(lab) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"to_address": RED[4]},
        {"to_port": "81"},
        {"sources": ["10.0.0.0/8"]},
        {"local": False},
        {"hairpin": False},
        {"localhost": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_option_is_changed_in_place_and_back(lab: Box, change: dict) -> None:
    plain = forward(lab).object
    before = rules(lab)
    result = forward(lab, **change)
    assert result.changed
    assert result.diff["after_header"] == "after (changed in place)"
    assert result.diff["before"] == plain
    assert forward(lab).object == plain
    assert sorted(rules(lab).split()) == sorted(before.split())


def test_the_new_target_answers_and_the_old_one_does_not(lab: Box) -> None:
    red, blue = lab.serve("red", 80), lab.serve("blue", 80)
    forward(lab)
    assert lab.tcp(EXT, HOST4, 80).token == blue.token
    forward(lab, to_address=RED[4])
    assert lab.tcp(EXT, HOST4, 80).token == red.token


@pytest.mark.parametrize(
    "other",
    [
        {"port": "70-90"},
        {"port": "80-81", "to_port": "1080-1081"},
        {"address": HOST4},
        {"in_interface": "uplink"},
        {"address": HOST4, "in_interface": "uplink"},
    ],
    ids=str,
)
def test_overlapping_forwards_are_refused_and_the_other_is_named(lab: Box, other: dict) -> None:
    forward(lab)
    before = rules(lab)
    for check in (True, False):
        with pytest.raises(
            Failed, match=r"the forward of tcp 80 ipv4 to 192\.168\.15\.2 takes in the same packets"
        ) as caught:
            lab.run("dnat_forward", check=check, **{"protocol": "tcp", "port": "80", "to_address": RED[4], **other})
        assert caught.value.code == "CONFLICT"
    assert rules(lab) == before
    lab.run("dnat_forward", **{"protocol": "udp", "port": "80", "to_address": RED[4], **other})
    lab.run("dnat_forward", protocol="tcp", port="80", to_address=BLUE[6])


def test_what_two_interfaces_share_is_refused_too(lab: Box) -> None:
    """Packets are told apart by the interface they come in through; the machine's own come in through none."""
    forward(lab, in_interface="uplink", localhost=True)
    red = {"in_interface": "v-net-0", "to_address": RED[4]}
    with pytest.raises(Failed, match="connections of the machine itself"):
        forward(lab, **red)
    with pytest.raises(Failed, match="connections to localhost"):
        forward(lab, **red, local=False, localhost=True)
    servers = {name: lab.serve(name, 80) for name in ("red", "blue")}
    forward(lab, **red, local=False)
    assert lab.tcp(EXT, HOST4, 80).token == servers["blue"].token
    assert lab.tcp("blue", HOST4, 80).token == servers["red"].token
    assert lab.tcp(None, HOST4, 80).token == lab.tcp(None, "127.0.0.1", 80).token == servers["blue"].token


def test_absent_without_addresses_removes_both_ip_versions(lab: Box) -> None:
    for version in (4, 6):
        forward(lab, version)
    lab.checked("dnat_forward", protocol="tcp", port="80", to_address=BLUE[6], state="absent")
    assert "ip6" not in rules(lab)
    forward(lab, 6)
    lab.checked("dnat_forward", protocol="tcp", port="80", state="absent")
    assert rules(lab) == ""
    assert [lab.sysctl(name) for name in FORWARDING.values()] == ["0", "0"]


ALL_SHAPES: list[dict[str, Any]] = [
    {},
    {"to_port": "8080"},
    {"port": "8000-8010"},
    {"port": "8000-8003", "to_port": "9000-9003"},
    {"address": HOST4},
    {"in_interface": "uplink", "local": False},
    {"sources": ["10.0.0.0/8", "172.16.0.0/12", "192.0.2.1/32"]},
    {"sources": ["203.0.113.9/32"], "address": HOST4},
    {"localhost": True},
    {"localhost": True, "port": "8000-8003", "to_port": "9000-9003", "address": HOST4},
    {"to_address": BLUE[6]},
    {"to_address": BLUE[6], "to_port": "8080", "address": HOST6, "sources": ["2001:db8::/32", "2001:db8:1::1/128"]},
]


@pytest.mark.parametrize("params", ALL_SHAPES, ids=str)
@pytest.mark.parametrize("protocol", ["tcp", "sctp"])
def test_rules_are_known_again_after_nft_reloaded_them(lab: Box, params: dict, protocol: str) -> None:
    result = forward(lab, protocol=protocol, **params)
    assert {name: result.object[name] for name in params} == params
    saved = lab.nft("list table inet patchbay")
    lab.nft("flush ruleset")
    lab.nft(saved)
    again = lab.run("dnat_forward", **{"protocol": protocol, "port": "80", "to_address": BLUE[4], **params})
    assert not again.changed, again.diff
    assert again.object == result.object


@pytest.mark.parametrize("params", ALL_SHAPES, ids=str)
def test_commands_do_the_same(lab: Box, params: dict) -> None:
    full = {"protocol": "tcp", "port": "80", "to_address": BLUE[4], **params}
    for command in lab.run("dnat_forward", check=True, **full).commands:
        lab.tool("sh", "-c", command)
    assert not lab.run("dnat_forward", **full).changed
    for command in lab.run("dnat_forward", check=True, state="absent", **full).commands:
        lab.tool("sh", "-c", command)
    assert rules(lab) == ""


def test_pitfall_17_three_runs_and_every_order_end_in_the_same(lab: Box) -> None:
    wishes = [{"port": "80"}, {"port": "81", "localhost": True}, {"port": "82", "protocol": "udp"}]
    seen = set()
    for order in itertools.permutations(wishes):
        for wish in order * 3:
            lab.run("dnat_forward", **{"protocol": "tcp", "to_address": BLUE[4], **wish})
        seen.add("\n".join(sorted(rules(lab).splitlines())))
        for wish in order:
            lab.run("dnat_forward", **{"protocol": "tcp", **wish}, state="absent")
        assert rules(lab) == ""
        assert lab.sysctl(LOCALNET) == "0"
    assert len(seen) == 1


def test_pitfall_18_a_twin_of_somebody_else_stays(lab: Box) -> None:
    forward(lab)
    twin = "meta nfproto ipv4 fib daddr type local tcp dport 80 dnat ip to 192.168.15.2:80"
    assert twin in rules(lab)
    lab.nft(f'add rule inet patchbay prerouting {twin} comment "mine"')
    forward(lab, state="absent")
    assert rules(lab).count(twin) == 1
    assert "patchbay forward" not in rules(lab)


def test_pitfall_48_a_kernel_without_fib_is_told(lab: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_messages

    join = nft_messages.join
    monkeypatch.setattr(
        nft_messages,
        "join",
        lambda those: join(each._replace(name="lacking") if each.name == "fib" else each for each in those),
    )
    for check in (True, False):
        with pytest.raises(Failed, match="nft_fib_inet") as caught:
            lab.run("dnat_forward", protocol="tcp", port="80", to_address=BLUE[4], check=check)
        assert caught.value.code == "UNSUPPORTED"
    assert rules(lab) == ""
    assert lab.sysctl(FORWARDING[4]) == "0"


def test_localhost_without_a_route_is_refused_before_anything_changes(box: Box) -> None:
    with pytest.raises(Failed, match="needs a route to to_address") as caught:
        box.run("dnat_forward", protocol="tcp", port="80", to_address=BLUE[4], localhost=True)
    assert caught.value.code == "NOT_FOUND"
    assert rules(box) == ""


def test_a_failure_behind_the_rules_takes_them_back(lab: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError
    from ansible_collections.patchbay.netns.plugins.module_utils._kernel import procsys

    forward(lab, forwarding=False)
    before = rules(lab)

    def refuse(name: str, value: str) -> None:
        raise KernelError(f"could not set {name}: read-only", errno=30)

    monkeypatch.setattr(procsys, "write", refuse)
    with pytest.raises(Failed, match="read-only"):
        lab.run("dnat_forward", protocol="tcp", port="80", to_address=RED[4], localhost=True)
    assert sorted(rules(lab).split()) == sorted(before.split())


def test_in_a_namespace_that_plays_the_router(box: Box) -> None:
    box.namespace("router", "server")
    box.ip("link add wan type veth peer name down netns router")
    box.ip("-n router link add in type veth peer name eth0 netns server")
    for text in ("addr add 198.51.100.2/24 dev wan", "link set wan up", "-n router addr add 198.51.100.1/24 dev down"):
        box.ip(text)
    for text in ("link set dev down up", "addr add 10.1.0.1/24 dev in", "link set in up"):
        box.ip(f"-n router {text}")
    for text in ("addr add 10.1.0.2/24 dev eth0", "link set eth0 up", "route add default via 10.1.0.1"):
        box.ip(f"-n server {text}")
    server = box.serve("server", 80)
    before = box.snapshot()
    result = box.checked(
        "dnat_forward", netns="router", protocol="tcp", port="8080", to_address="10.1.0.2", to_port="80"
    )
    assert result.object["netns"] == "router"
    assert all(command.startswith("ip netns exec router ") for command in result.commands)
    assert box.tcp(None, "198.51.100.1", 8080).token == server.token
    assert box.snapshot() == before
