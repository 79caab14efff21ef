# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges: a MAC that stays, ports that come and go, packets that pass at once, and no subnet taken from the host."""

from __future__ import annotations

import pytest
from box import UPLINK, Box
from doors import Failed
from faults import shape, survives
from packets import AT_ONCE, SHORT

SWITCH = {"name": "v-net-0", "addresses": ["192.168.15.5/24", "fd00:15::5/64"]}


def mac(box: Box, netns: str | None = None) -> str:
    """The bridge's MAC address."""
    return box.link("v-net-0", netns)["address"]


# ---- making them


@pytest.mark.smoke
def test_check_mode_foresees_the_run_and_the_second_run_changes_nothing(box: Box) -> None:
    result = box.checked("bridge", **SWITCH)
    assert result.changed
    assert box.addresses("v-net-0") == ["192.168.15.5/24", "fd00:15::5/64"]
    assert {"LOWER_UP", "UP"} & set(box.link("v-net-0")["flags"])
    assert result.object["ports"] == []


def test_in_another_namespace(box: Box) -> None:
    box.run("netns", name="red")
    before = box.snapshot()
    assert box.checked("bridge", **SWITCH, netns="red").changed
    assert box.ping("red", "192.168.15.5")
    assert box.snapshot() == before


def test_commands_do_the_same_as_the_module(box: Box) -> None:
    for name in ("one", "two"):
        box.ip(f"link add {name} type veth peer name {name}-far")
    options = {
        **SWITCH,
        "ports": ["one", "two"],
        "stp": True,
        "forward_delay": 4,
        "ageing_time": 100.5,
        "mtu": 1400,
        "up": True,
    }
    for command in box.run("bridge", check=True, **options).commands:
        box.tool("sh", "-ec", command)
    assert not box.run("bridge", **options).changed


def test_addresses_have_the_broadcast_address_that_brd_plus_gives(box: Box) -> None:
    box.run("bridge", **SWITCH)
    box.ip("link add other type bridge")
    box.ip("addr add 192.168.15.6/24 brd + dev other")
    ours, theirs = (box.link(name)["addr_info"][0]["broadcast"] for name in ("v-net-0", "other"))
    assert ours == theirs == "192.168.15.255"


@pytest.mark.parametrize(
    "options",
    [
        {"stp": True},
        {"forward_delay": 4.0},
        {"forward_delay": 0.0},
        {"ageing_time": 0.0},
        {"ageing_time": 12.34},
        {"multicast_snooping": False},
        {"mtu": 1400},
        {"mac": "02:00:00:00:15:05"},
        {"up": False},
        {"stp": True, "forward_delay": 2.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("exists", [False, True], ids=["made", "changed"])
def test_properties(box: Box, options: dict, exists: bool) -> None:
    if exists:
        box.run("bridge", name="v-net-0")
    result = box.checked("bridge", name="v-net-0", **options)
    assert {name: result.object[name] for name in options} == options
    assert ("changed in place" in result.diff["after_header"]) is (exists and result.changed)
    assert not box.run("bridge", name="v-net-0", up=options.get("up", True)).changed, "what is not named stays"


def test_what_the_kernel_lacks_is_named_and_nothing_is_made(box: Box) -> None:
    if box.run("kernel_info").raw["features"]["vlan_filtering"]["available"]:
        assert box.checked("bridge", name="v-net-0", vlan_filtering=True).object["vlan_filtering"] is True
        return
    for check in (True, False):
        with pytest.raises(Failed, match=r"vlan_filtering.*CONFIG_BRIDGE_VLAN_FILTERING"):
            box.run("bridge", check=check, name="v-net-0", vlan_filtering=True)
    assert not box.link("v-net-0")


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "b" * 16}, "has 16 bytes, the kernel takes at most 15"),
        ({"name": "a/b"}, "no interface name"),
        ({"addresses": ["192.168.15.5"]}, "did you mean 192.168.15.5/24"),
        ({"addresses": ["192.168.15.0/24"]}, "the network 192.168.15.0/24 itself"),
        ({"addresses": ["fd00:15::5"]}, "did you mean fd00:15::5/64"),
        ({"addresses": ["10.0.0.1/24", "10.0.0.1/24"]}, "listed twice"),
        ({"ports": ["gone"]}, "ports: interface gone does not exist"),
        ({"ports": ["v-net-0"]}, "can't be a port of itself"),
        ({"ports": ["lo", "lo"]}, "listed twice"),
        ({"netns": "gone"}, "network namespace gone does not exist"),
        ({"mtu": 20}, "MTU of 20"),
        ({"mac": "ff:ff:ff:ff:ff:ff"}, "multicast"),
        ({"forward_delay": 31}, "31 seconds is impossible"),
        ({"stp": True, "forward_delay": 1}, "too short with stp"),
        ({"ageing_time": -1}, "impossible"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_can_not_be_is_refused_in_one_sentence_before_anything_changes(
    box: Box, options: dict, words: str, check: bool
) -> None:
    before = box.snapshot()
    with pytest.raises(Failed, match=words) as failure:
        box.run("bridge", check=check, **{"name": "v-net-0", **options})
    assert "\n" not in failure.value.msg
    assert box.snapshot() == before


@pytest.mark.parametrize("check", [True, False])
def test_a_veth_is_never_taken_for_a_bridge(box: Box, check: bool) -> None:
    box.ip("link add v-net-0 type veth peer name far")
    before = box.snapshot()
    for options in ({}, {"force": True}, {"state": "absent"}, {"state": "absent", "force": True}):
        with pytest.raises(Failed, match="v-net-0 is a veth interface, not a bridge"):
            box.run("bridge", check=check, name="v-net-0", **options)
    assert box.snapshot() == before


# ---- the MAC address


@pytest.mark.smoke
def test_mac_stays_while_ports_with_lower_ones_come_and_go(box: Box) -> None:
    box.run("bridge", **SWITCH)
    box.run("netns", name="red")
    box.run(
        "veth",
        name="veth-red-br",
        bridge="v-net-0",
        peer={"name": "eth0", "netns": "red", "addresses": ["192.168.15.1/24"]},
    )
    before = mac(box)
    assert box.ping("red", "192.168.15.5")
    assert box.neighbours("red")["192.168.15.5"] == before
    # The kernel's own choice would be the lowest of the ports' addresses: a bridge of others shows it.
    box.ip("link add theirs type bridge")
    for number in range(10):
        name, low = f"port{number}", f"02:00:00:00:00:{number:02x}"
        box.ip(f"link add {name} address {low} type veth peer name far{number}")
        box.run("bridge", name="v-net-0", ports=[name])
        assert mac(box) == before
    box.ip("link set port0 nomaster")
    box.ip("link set port0 master theirs")
    assert box.link("theirs")["address"] == "02:00:00:00:00:00"
    box.checked("bridge", name="v-net-0", ports=["veth-red-br"], purge_ports=True)
    assert mac(box) == before
    assert box.neighbours("red")["192.168.15.5"] == before
    assert box.ping("red", "192.168.15.5")


def test_mac_is_the_same_when_made_again_and_another_elsewhere(box: Box) -> None:
    box.run("netns", name="red")
    box.run("bridge", name="v-net-0")
    box.run("bridge", name="v-net-0", netns="red")
    first = mac(box)
    assert mac(box, "red") != first
    box.run("bridge", name="v-net-0", state="absent")
    box.run("bridge", name="v-net-0")
    assert mac(box) == first


# ---- ports


def ports(box: Box) -> list[str]:
    """The ports as bridge(8) shows them."""
    return sorted(port["ifname"] for port in box.bridge("link show", json=True) if port.get("master") == "v-net-0")


def test_ports_are_added_and_others_kept_unless_purged(box: Box) -> None:
    for number in range(4):
        box.ip(f"link add port{number} type veth peer name far{number}")
    box.checked("bridge", name="v-net-0", ports=["port0", "port1"])
    box.ip("link set port2 master v-net-0")
    assert not box.run("bridge", name="v-net-0", ports=["port1"]).changed
    assert not box.run("bridge", name="v-net-0").changed
    box.checked("bridge", name="v-net-0", ports=["port3", "port1"], purge_ports=True)
    assert ports(box) == ["port1", "port3"]
    box.checked("bridge", name="v-net-0", ports=[], purge_ports=True)
    assert ports(box) == []


def test_a_port_that_was_made_anew_is_plugged_in_again(box: Box) -> None:
    """A restart of the namespace takes the cable along."""
    box.red_and_blue(ipv6=False)
    box.run("netns", name="red", state="absent")
    assert ports(box) == ["veth-blue-br"]
    box.red_and_blue(ipv6=False)
    assert ports(box) == ["veth-blue-br", "veth-red-br"]
    assert box.ping("red", "192.168.15.2")


# ---- packets at once


@pytest.mark.smoke
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_everybody_reaches_everybody_at_once(box: Box, protocol: str) -> None:
    box.red_and_blue()
    for name, address4, address6 in (("red", "192.168.15.1", "fd00:15::1"), ("blue", "192.168.15.2", "fd00:15::2")):
        server = box.serve(name, 80, protocol)
        for client in ("red", "blue", None):
            for to in (address4, address6):
                answer = getattr(box, protocol)(client, to, 80)
                assert answer.token == server.token
                assert answer.rtt < AT_ONCE
    assert box.ping("red", "192.168.15.9", timeout=SHORT).outcome != "reached"


def test_first_ipv6_connection_succeeds_each_of_a_hundred_times(box: Box) -> None:
    box.run("bridge", **SWITCH)
    server = box.serve(None, 80)
    slow = []
    for number in range(100):
        name = f"n{number}"
        box.run("netns", name=name)
        box.run(
            "veth",
            name=name,
            bridge="v-net-0",
            peer={"name": "eth0", "netns": name, "addresses": [f"fd00:15::1:{number}/64"]},
        )
        answer = box.tcp(name, "fd00:15::5", 80)
        assert answer.token == server.token, f"round {number}: {answer}"
        if answer.rtt > AT_ONCE:
            slow.append((number, answer.rtt))
    assert slow == []


def test_spanning_tree_delays_only_where_it_is_asked_for(box: Box) -> None:
    box.red_and_blue(ipv6=False)
    assert box.ping("red", "192.168.15.2").rtt < AT_ONCE
    box.run("bridge", name="slow", stp=True, forward_delay=2, addresses=["10.0.0.5/24"])
    box.run("veth", name="slow-red", bridge="slow", peer={"name": "slow", "netns": "red", "addresses": ["10.0.0.1/24"]})
    assert not box.ping("red", "10.0.0.5", timeout=SHORT)
    box.until(lambda: box.ping("red", "10.0.0.5", timeout=SHORT), timeout=15)


def test_a_port_that_goes_down_is_repaired(box: Box) -> None:
    box.red_and_blue()
    cable = {
        "name": "veth-red-br",
        "bridge": "v-net-0",
        "peer": {"name": "veth-red", "netns": "red", "addresses": ["192.168.15.1/24", "fd00:15::1/64"]},
    }
    assert not box.run("veth", **cable).changed
    for side, options in (("veth-red-br", ""), ("veth-red", "-n red ")):
        box.ip(f"{options}link set {side} down")
        assert not box.ping("red", "192.168.15.2", timeout=SHORT)
        assert box.checked("veth", **cable).changed
        box.run("ip_route_ns", netns="red", destination="default", gateway="192.168.15.5")
        box.run("ip_route_ns", netns="red", destination="::/0", gateway="fd00:15::5")
        for to in ("192.168.15.2", "fd00:15::2"):
            box.until(lambda to=to: box.ping("red", to, timeout=SHORT), timeout=5, what=f"{to} after {side} was down")


# ---- subnets of the host


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ("192.168.15.0/24 via 203.0.113.9", "192.168.15.5/24"),
        ("192.168.0.0/16 via 203.0.113.9", "192.168.15.5/24"),
        ("192.168.15.128/25 via 203.0.113.9", "192.168.15.5/24"),
        ("fd00:15::/64 via 2001:db8:113::9", "fd00:15::5/64"),
        ("fd00::/8 via 2001:db8:113::9", "fd00:15::5/64"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_a_subnet_that_the_host_reaches_elsewhere_is_refused_by_name(
    box: Box, there: str, wanted: str, check: bool
) -> None:
    box.outside()
    box.ip(f"route add {there}")
    before = box.snapshot()
    with pytest.raises(
        Failed, match=f"{wanted} on v-net-0 overlaps the route {there.split(maxsplit=1)[0]}.*allow_overlap: true"
    ) as failure:
        box.run("bridge", check=check, name="v-net-0", addresses=[wanted])
    assert failure.value.code == "CONFLICT"
    assert box.snapshot() == before


def test_the_uplinks_own_subnet_is_refused_and_allowed_when_asked(box: Box) -> None:
    box.outside()
    clash = {"name": "v-net-0", "addresses": ["203.0.113.77/24"]}
    with pytest.raises(Failed, match=rf"203\.0\.113\.0/24 .*{UPLINK}|overlaps the route 203\.0\.113\.0/24"):
        box.run("bridge", **clash)
    assert box.checked("bridge", **clash, allow_overlap=True).changed


def test_default_routes_and_neighbouring_subnets_are_no_overlap(box: Box) -> None:
    box.outside()
    box.ip("route add 192.168.14.0/24 via 203.0.113.9")
    box.ip("route add 192.168.16.0/20 via 203.0.113.9")
    assert box.checked("bridge", **SWITCH).changed


def test_two_bridges_of_ours_with_one_subnet(box: Box) -> None:
    box.run("bridge", **SWITCH)
    with pytest.raises(Failed, match="overlaps"):
        box.run("bridge", name="v-net-1", addresses=["192.168.15.6/24"])
    assert not box.run("bridge", **SWITCH).changed


# ---- removing them


@pytest.mark.smoke
def test_removed_once_with_its_ports_left_free(box: Box) -> None:
    box.red_and_blue(ipv6=False)
    result = box.checked("bridge", name="v-net-0", state="absent")
    assert result.changed
    assert not box.link("v-net-0")
    assert "master" not in box.link("veth-red-br")


def test_a_bridge_of_others_is_left_and_named_unless_forced(box: Box) -> None:
    box.ip("link add v-net-0 type bridge")
    box.ip("link add v-net-00 type bridge")
    before = box.snapshot()
    for check in (True, False):
        with pytest.raises(Failed, match="bridge v-net-0 was not made by this collection") as failure:
            box.run("bridge", check=check, name="v-net-0", state="absent")
        assert failure.value.code == "NOT_OURS"
    assert box.snapshot() == before
    assert box.checked("bridge", name="v-net-0", state="absent", force=True).changed
    assert box.link("v-net-00")


# ---- failing half way, at once, and while the world moves


@pytest.mark.parametrize(
    "start",
    [None, {"addresses": ["192.168.15.6/24"], "mtu": 1300, "stp": True, "ports": ["one"]}],
    ids=["nothing", "another"],
)
def test_a_run_that_fails_at_any_step_leaves_what_was_there(box: Box, start: dict | None) -> None:
    for name in ("one", "two"):
        box.ip(f"link add {name} type veth peer name {name}-far")
    if start:
        box.run("bridge", name="v-net-0", **start)
    survives(
        box,
        "bridge",
        **SWITCH,
        mtu=1400,
        stp=False,
        mac="02:00:00:00:00:77",
        ports=["two"],
        purge_ports=True,
        purge_addresses=True,
    )


def test_a_removal_that_fails_leaves_what_was_there(box: Box) -> None:
    box.ip("link add one type veth peer name one-far")
    box.run("bridge", **SWITCH, mtu=1400, stp=True, ports=["one"])
    survives(box, "bridge", name="v-net-0", state="absent")


def test_eight_labs_at_once_end_like_one(box: Box) -> None:
    box.red_and_blue()
    alone = shape(box)
    for name in ("red", "blue"):
        box.run("netns", name=name, state="absent")
    box.run("bridge", name="v-net-0", state="absent")
    results = box.parallel([box.red_and_blue] * 8)
    assert results == [None] * 8
    assert shape(box) == alone
    assert box.ping("red", "fd00:15::2")


def test_lists_that_change_while_they_are_read_are_read_again(box: Box) -> None:
    """A list that the kernel flags as interrupted may lack what was there all the time."""
    names = [f"port{number}" for number in range(30)]
    for name in names:
        box.ip(f"link add {name} type veth peer name far-{name}")
    wanted = {"name": "v-net-0", "ports": names, "purge_ports": True}
    box.run("bridge", **wanted)
    box.process(
        None, "sh", "-c", "while :; do ip link add churn type veth peer name churn-far; ip link del churn; done"
    )
    for _round in range(40):
        result = box.run("bridge", **wanted)
        assert not result.changed, result.diff
        assert result.object["ports"] == sorted(names)


def test_an_interrupted_list_is_thrown_away(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.patchbay.netns.plugins.module_utils._kernel import netlink

    box.ip("link add one type veth peer name two")
    box.run("bridge", name="v-net-0", ports=["one", "two"])
    honest = netlink.NetlinkSocket._ask_once
    lies = iter([True] * 3)

    def flagged(self: object, message: object) -> tuple:
        answers, interrupted = honest(self, message)
        return ([], True) if next(lies, False) else (answers, interrupted)

    monkeypatch.setattr(netlink.NetlinkSocket, "_ask_once", flagged)
    assert not box.run("bridge", name="v-net-0", ports=["one", "two"], purge_ports=True).changed
    assert next(lies, None) is None, "the lists were read"


def test_ageing_time_is_left_alone_while_the_spanning_tree_changes(box: Box) -> None:
    """The kernel then shows twice the forward delay instead of what was set (br_topology_change_detection)."""
    wanted = {"name": "br0", "stp": True, "forward_delay": 2.0, "ageing_time": 12.5}
    box.checked("bridge", **wanted)
    box.ip("link add p1 type veth peer name p2")
    box.ip("link set p1 master br0 up")
    box.ip("link set p2 up")

    def options() -> dict:
        return box.link("br0")["linkinfo"]["info_data"]

    box.until(lambda: options()["topology_change"], timeout=20, what="a change of the topology")
    assert options()["ageing_time"] == 400
    assert not box.run("bridge", **wanted).changed
