# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Port forwards: ranges, changes, conflicts between them, and how their rules live in the table."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from box import EXT, HOST4, HOST6, Box
from doors import Failed
from scenery import BLUE, FORWARDING, GATEWAY, LOCALNET, OWN, RED, forward, rules, versions


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
        {"loopback": True},
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
    forward(lab, in_interface="uplink", loopback=True)
    red = {"in_interface": "v-net-0", "to_address": RED[4]}
    with pytest.raises(Failed, match="connections of the machine itself"):
        forward(lab, **red)
    with pytest.raises(Failed, match="connections to localhost"):
        forward(lab, **red, local=False, loopback=True)
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
    {"address": [HOST4]},
    {"in_interface": "uplink", "local": False},
    {"in_interface": "uplink", "address": [HOST4], "sources": ["203.0.113.9/32"]},
    {"sources": ["10.0.0.0/8", "172.16.0.0/12", "192.0.2.1/32"]},
    {"sources": ["203.0.113.9/32"], "address": [HOST4]},
    {"loopback": True},
    {"loopback": True, "port": "8000-8003", "to_port": "9000-9003", "address": [HOST4]},
    {"loopback": True, "port": "8000-8010", "in_interface": "uplink"},
    {"to_address": [BLUE[6]]},
    {
        "to_address": [BLUE[6]],
        "to_port": "8080",
        "address": [HOST6],
        "sources": ["2001:db8:1::1/128", "2001:db8:113::/48"],
    },
    {"to_address": [BLUE[4], BLUE[6]], "sources": ["203.0.113.9/32", "2001:db8:113::/48"], "port": "8000-8010"},
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
    wishes = [{"port": "80"}, {"port": "81", "loopback": True}, {"port": "82", "protocol": "udp"}]
    seen = set()
    for order in itertools.permutations(wishes):
        for wish in order * 3:
            lab.run("dnat_forward", **{"protocol": "tcp", "to_address": BLUE[4], **wish})
        seen.add(tuple(sorted(rules(lab).replace(",", " ").split())))  # elements come in any order
        for wish in order:
            lab.run("dnat_forward", **{"protocol": "tcp", **wish}, state="absent")
        assert rules(lab) == ""
        assert lab.sysctl(LOCALNET) == "0"
    assert len(seen) == 1


def test_pitfall_18_a_twin_of_somebody_else_stays(lab: Box) -> None:
    forward(lab)
    theirs = (
        rules(lab).replace("table inet patchbay", "table inet somebody").replace(" priority dstnat", " priority -99")
    )
    lab.nft(theirs)
    before = lab.nft("list table inet somebody")
    forward(lab, to_port=81)
    forward(lab, state="absent")
    assert lab.nft("list table inet somebody") == before
    assert "patchbay {" not in rules(lab)


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
        box.run("dnat_forward", protocol="tcp", port="80", to_address=BLUE[4], loopback=True)
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
        lab.run("dnat_forward", protocol="tcp", port="80", to_address=RED[4], loopback=True)
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
