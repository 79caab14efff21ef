# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab that stands: what somebody changed in it is repaired, and an edit of its file touches only what it names."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import Step
from ansible_collections.patchbay.netns.plugins.module_utils._objects.address import Address
from ansible_collections.patchbay.netns.plugins.module_utils._objects.impairment import Impaired
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import NameNamespace, Resolver
from ansible_collections.patchbay.netns.plugins.module_utils._objects.route import NextHop, PutRoute, Route
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_worlds import (
    MIXED,
    World,
    commands,
    lab,
)


@pytest.fixture
def built() -> World:
    world = World()
    world.build(lab(MIXED))
    return world


def after(world: World, *changes: t.Any) -> list[str]:
    """The commands of the next run when somebody changed these."""
    world.put(*changes)
    found = commands(world.plan(lab(MIXED)))
    world.build(lab(MIXED))
    assert commands(world.plan(lab(MIXED))) == []
    return found


def change(world: World, *key: t.Any, **changes: t.Any) -> list[str]:
    """The same for one fact of which something was changed."""
    return after(world, replace(world.get(*key), **changes))


def test_a_lab_that_is_as_its_file_says_needs_nothing(built: World) -> None:
    assert built.plan(lab(MIXED)) == []


# ---- one thing changed: one step puts it right


@pytest.mark.parametrize(
    ("key", "changes", "repair"),
    [
        (("link", "red", "eth1"), {"mtu": 1400}, ["ip -n red link set dev eth1 mtu 1500"]),
        (("link", "red", "eth1"), {"up": False}, ["ip -n red link set dev eth1 up"]),
        (("link", "red", "eth1"), {"bridge": "br9"}, ["ip -n red link set dev eth1 nomaster"]),
        (("link", None, "veth-red-br"), {"hairpin": False}, ["bridge link set dev veth-red-br hairpin on"]),
        (("link", None, "veth-red-br"), {"up": False}, ["ip link set dev veth-red-br up"]),
        (
            ("link", None, "veth-red-br"),
            {"bridge": None, "hairpin": None},
            ["ip link set dev veth-red-br master v-net-0", "bridge link set dev veth-red-br hairpin on"],
        ),
        (("link", "red", "d0"), {"up": False}, ["ip -n red link set dev d0 up"]),
        (("link", "red", "v10"), {"mtu": 1280}, ["ip -n red link set dev v10 mtu 1500"]),
        (("loopback", "blue"), {"up": False}, ["ip -n blue link set lo up"]),
        (
            ("sysctl", "red", "net.ipv4.ip_forward"),
            {"value": "0"},
            ["ip netns exec red sysctl -w net.ipv4.ip_forward=1"],
        ),
    ],
)
def test_a_property_that_was_changed_is_put_right_by_one_step(
    built: World, key: t.Any, changes: t.Any, repair: list[str]
) -> None:
    assert change(built, *key, **changes) == repair


def test_a_mac_that_the_file_does_not_name_is_left_as_it_is(built: World) -> None:
    assert change(built, "link", "red", "eth1", mac="02:00:00:00:00:99") == []


def test_the_options_of_a_bridge_are_put_right(built: World) -> None:
    now = built.get("link", None, "v-net-0")
    assert change(built, "link", None, "v-net-0", options=replace(now.options, stp=True)) == [
        "ip link set dev v-net-0 type bridge stp_state 0"
    ]


def test_what_the_kernel_does_not_show_of_a_bridge_is_not_repaired_for_ever(built: World) -> None:
    now = built.get("link", None, "v-net-0")
    hidden = replace(now.options, vlan_filtering=None, multicast_snooping=None, ageing_time=None)
    built.put(replace(now, options=hidden))
    assert commands(built.plan(lab(MIXED))) == []


def test_an_address_that_is_missing_is_added_and_one_too_many_is_removed(built: World) -> None:
    built.drop(("address", "red", "eth1", ipaddress.ip_interface("10.0.0.1/30")))
    assert after(built, Address("blue", "eth1", ipaddress.ip_interface("10.99.0.1/24"))) == [
        "ip -n red addr add 10.0.0.1/30 brd + dev eth1",
        "ip -n blue addr del 10.99.0.1/24 dev eth1",
    ]


def test_an_address_that_came_by_itself_stays(built: World) -> None:
    assert after(built, Address("red", "eth1", ipaddress.ip_interface("fe80::1/64"))) == []


def test_a_route_that_is_missing_is_put_and_one_that_was_changed_is_replaced(built: World) -> None:
    default = ipaddress.ip_network("0.0.0.0/0")
    now: Route = built.get("route", "red", 254, default, 0)
    built.drop(("route", "red", 254, ipaddress.ip_network("10.8.0.0/16"), 0))
    elsewhere = replace(now, hops=(NextHop(ipaddress.ip_address("192.168.15.9"), "veth-red"),))
    assert after(built, elsewhere) == [
        "ip -n red route replace default via 192.168.15.5 dev veth-red proto 112",
        "ip -n red route add 10.8.0.0/16 via 10.10.0.9 dev v10 proto 112",
    ]


def test_a_route_of_the_lab_that_the_file_does_not_name_is_removed_and_those_of_others_stay(built: World) -> None:
    hop = (NextHop(None, "eth1"),)
    ours = Route("red", ipaddress.ip_network("10.50.0.0/16"), hop)
    theirs = Route("red", ipaddress.ip_network("10.51.0.0/16"), hop, protocol=3)
    assert after(built, ours, theirs) == ["ip -n red route del 10.50.0.0/16 dev eth1"]


def test_on_the_host_only_routes_on_record_are_the_labs(built: World) -> None:
    assert after(built, Route(None, ipaddress.ip_network("10.50.0.0/16"), (NextHop(None, "v-net-0"),))) == []
    edited = MIXED.replace("routes: [{destination: 10.7.0.0/16, gateway: 192.168.15.1}]\n", "", 1)
    assert commands(built.plan(lab(edited))) == ["ip route del 10.7.0.0/16 via 192.168.15.1 dev v-net-0"]


def test_an_impairment_that_was_changed_or_removed_is_put_right(built: World) -> None:
    now: Impaired = built.get("impaired", "red", "veth-red")
    assert now.impairment is not None
    assert change(built, "impaired", "red", "veth-red", impairment=replace(now.impairment, delay=0.5)) == [
        "tc -n red qdisc change dev veth-red root handle 7062: netem delay 10ms limit 1000"
    ]
    built.drop(("impaired", "red", "veth-red"))
    assert after(built) == ["tc -n red qdisc add dev veth-red root handle 7062: netem delay 10ms limit 1000"]


def test_the_file_with_name_servers_is_written_again(built: World) -> None:
    ours: Resolver = built.get("resolver", "red")
    found = change(built, "resolver", "red", text=ours.text.replace("192.0.2.53", "192.0.2.54"))
    assert found == [
        "mkdir -p /etc/netns/red",
        "printf '%s\\n' 'nameserver 192.0.2.53' > /etc/netns/red/resolv.conf",
    ]


def test_an_interface_that_is_missing_comes_back_with_all_that_was_on_it(built: World) -> None:
    built.drop(("link", "red", "v10"))
    assert after(built)[1:] == [
        "ip -n red link set dev v10 addrgenmode none",
        "ip -n red link set dev v10 up",
        "ip -n red addr add 10.10.0.1/24 brd + dev v10",
        "ip -n red route add 10.8.0.0/16 via 10.10.0.9 dev v10 proto 112",
    ]


def test_a_cable_of_which_one_end_was_moved_away_is_made_anew_and_what_stood_on_it_too(built: World) -> None:
    built.drop(("link", "red", "eth1"))
    found = after(built)
    assert [line.split(" address ")[0] for line in found if "link add" in line] == [
        "ip -n red link add name eth1 group 1885505701",
        "ip -n red link add link eth1 name v10 group 1885505701",
    ]
    assert not any(name in line for line in found for name in ("veth-red", "v-net-0", "netns add"))


def test_a_namespace_that_is_missing_comes_back_with_all_that_was_in_it(built: World) -> None:
    built.drop(("link", "blue", "eth1"), ("loopback", "blue"), ("netns", "blue"))
    steps = built.plan(lab(MIXED))
    assert [step.after[0].name for step in steps if isinstance(step, NameNamespace)] == ["blue"]
    after(built)


def test_a_leftover_file_in_the_place_of_a_namespace_is_repaired(built: World) -> None:
    built.drop(("link", "blue", "eth1"), ("loopback", "blue"))
    found = change(built, "netns", "blue", live=False, ours=False, lab=None)
    first = found.index("ip netns del blue")
    assert found[first : first + 3] == [
        "ip netns del blue",
        "ip netns add blue",
        "ip -n blue link set lo up alias patchbay.netns:red-blue",
    ]


# ---- the file edited


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("cable: blue/eth1, addresses", "cable: blue/eth1, up: true, addresses", []),
        (
            "delay: 10ms",
            "delay: 20ms",
            ["tc -n red qdisc change dev veth-red root handle 7062: netem delay 20ms limit 1000"],
        ),
        (", impair: {delay: 10ms}", "", ["tc -n red qdisc del dev veth-red root handle 7062: netem"]),
        (
            "      d0: {dummy: true}\n",
            "",
            ["ip -n red link del dev d0"],
        ),
        (", hairpin: true", "", ["bridge link set dev veth-red-br hairpin off"]),
        (
            "eth1: {addresses: 10.0.0.2/30}",
            "eth1: {addresses: [10.0.0.2/30, 10.0.0.3/24]}",
            ["ip -n blue addr add 10.0.0.3/24 brd + dev eth1"],
        ),
        (
            "destination: 10.8.0.0/16, gateway: 10.10.0.9",
            "destination: 10.8.0.0/16, gateway: 10.10.0.8",
            ["ip -n red route replace 10.8.0.0/16 via 10.10.0.8 dev v10 proto 112"],
        ),
    ],
)
def test_an_edit_touches_only_what_it_names(built: World, old: str, new: str, expected: list[str]) -> None:
    edited = MIXED.replace(old, new)
    assert edited != MIXED
    assert commands(built.build(lab(edited))) == expected
    assert commands(built.plan(lab(edited))) == []


def test_another_vlan_is_another_interface_and_its_routes_follow(built: World) -> None:
    found = commands(built.build(lab(MIXED.replace("id: 10", "id: 11"))))
    assert found[0] == "ip -n red link del dev v10"
    assert found[-1] == "ip -n red route add 10.8.0.0/16 via 10.10.0.9 dev v10 proto 112"
    assert all("v10" in line for line in found)


# ---- addresses and the routes that hang on them


def test_with_its_last_ipv4_address_a_device_loses_its_routes_and_gets_them_again(built: World) -> None:
    edited = MIXED.replace("id: 10}, addresses: 10.10.0.1/24", "id: 10}, addresses: 10.10.0.2/24")
    assert commands(built.build(lab(edited))) == [
        "ip -n red addr del 10.10.0.1/24 dev v10",
        "ip -n red addr add 10.10.0.2/24 brd + dev v10",
        "ip -n red route add 10.8.0.0/16 via 10.10.0.9 dev v10 proto 112",
    ]


def test_a_route_of_somebody_else_is_put_again_when_the_new_address_still_reaches_its_gateway(built: World) -> None:
    gateway = ipaddress.ip_address("10.10.0.77")
    theirs = Route("red", ipaddress.ip_network("10.60.0.0/16"), (NextHop(gateway, "v10"),), protocol=3)
    built.put(theirs)
    built.build(lab(MIXED.replace("10.10.0.1/24", "10.10.0.2/24")))
    assert built.get(*theirs.key) == theirs
    steps: list[Step] = built.build(lab(MIXED.replace("10.10.0.1/24", "10.10.0.2/28")))
    assert built.get(*theirs.key) is None
    assert [step.after[0].destination for step in steps if isinstance(step, PutRoute)] == [
        ipaddress.ip_network("10.8.0.0/16")
    ]


def test_one_ipv4_address_that_stays_keeps_the_routes(built: World) -> None:
    more = MIXED.replace("addresses: 10.10.0.1/24", "addresses: [10.10.0.1/24, 10.11.0.1/24]")
    built.build(lab(more))
    assert commands(built.build(lab(more.replace("10.11.0.1", "10.11.0.2")))) == [
        "ip -n red addr del 10.11.0.1/24 dev v10",
        "ip -n red addr add 10.11.0.2/24 brd + dev v10",
    ]


def test_an_interface_that_is_to_have_ipv6_after_all_gets_its_link_local_address(built: World) -> None:
    edited = MIXED.replace("eth1: {addresses: 10.0.0.2/30}", 'eth1: {addresses: [10.0.0.2/30, "fd10::2/64"]}')
    assert commands(built.build(lab(edited))) == [
        "ip netns exec blue sysctl -w net.ipv6.conf.eth1.accept_dad=0",
        "ip netns exec blue sysctl -w net.ipv6.conf.eth1.addr_gen_mode=0",
        "ip -n blue addr add fd10::2/64 nodad dev eth1",
    ]
