# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab from nothing, and a lab that goes: what is done, in which order, and what is on record meanwhile."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import Link, lab_group
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_steps import ChangeLink, MakeLink, VethPair
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import (
    NameNamespace,
    Namespace,
    Resolver,
    WriteResolver,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.route import NextHop, PutRoute, Route
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Hold, Sysctl
from ansible_collections.patchbay.netns.plugins.module_utils._topology.record import KeepRecord, Record
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import topology_drawings as drawings
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_worlds import (
    World,
    absent,
    commands,
    lab,
    work,
)

GROUP = lab_group("red-blue")


def records(world: World, wish: t.Any) -> list[Record | None]:
    """The records that a run writes, in order; None for none."""
    return [step.after[0] if step.after else None for step in world.plan(wish) if isinstance(step, KeepRecord)]


# ---- from nothing


def test_a_lab_without_ipv6_is_built_with_these_commands() -> None:
    text = """
        name: red-blue
        bridges: {v-net-0: {addresses: 192.168.15.5/24}}
        namespaces:
          red:
            interfaces: {veth-red: {bridge: v-net-0, mac: "02:00:00:00:00:02", addresses: 192.168.15.1/24}}
            gateway: 192.168.15.5
    """
    found = [line.partition(" address 02:")[0] for line in commands(World().plan(lab(text)))]
    assert [line for line in found if "accept_ra" not in line and "mtu" not in line] == [
        "ip netns add red",
        "ip -n red link set lo up alias patchbay.netns:red-blue",
        f"ip link add name v-net-0 group {GROUP}",
        f"ip link add name veth-red-br group {GROUP}",
        "ip link set dev veth-red-br master v-net-0 up",
        "ip -n red link set dev veth-red addrgenmode none",
        "ip -n red link set dev veth-red up",
        "ip -n red addr add 192.168.15.1/24 brd + dev veth-red",
        "ip -n red route add default via 192.168.15.5 dev veth-red proto 112",
        "ip link set dev v-net-0 addrgenmode none",
        "ip link set dev v-net-0 up",
        "ip addr add 192.168.15.5/24 brd + dev v-net-0",
    ]


def test_everything_that_is_made_has_the_mark_of_the_lab() -> None:
    world = World()
    world.build(lab(drawings.RED_BLUE))
    assert {each.group for each in world.state.of(Link)} == {GROUP}
    assert {(each.name, each.lab) for each in world.state.of(Namespace)} == {("red", "red-blue"), ("blue", "red-blue")}
    assert {each.protocol for each in world.state.of(Route)} == {112}


def test_namespaces_come_first_then_bridges_then_cables_then_what_stands_on_them() -> None:
    text = """
        namespaces:
          sw:
            interfaces: {v10: {vlan: {parent: up, id: 10}}, up: {cable: a/up}, d0: {dummy: true}}
            bridges: {br0: }
          a: {interfaces: {eth0: {bridge: sw/br0}}}
    """
    made = [step for step in World().plan(lab(text)) if isinstance(step, (NameNamespace, MakeLink, VethPair))]
    assert [step.after[0].name for step in made] == ["sw", "a", "br0", "d0", "up", "a-eth0", "v10"]


def test_the_hosts_bridges_come_up_when_all_is_plugged_in() -> None:
    steps = World().plan(lab(drawings.RED_BLUE))
    up = [step.after[0].name for step in steps if isinstance(step, ChangeLink) and step.after[0].up]
    assert up[-1] == "v-net-0"


def test_what_stands_on_what_stands_on_something_comes_after_it_whatever_the_order_of_the_file() -> None:
    text = """
        namespaces:
          red:
            interfaces:
              top: {macvlan: {parent: middle}}
              middle: {vlan: {parent: d0, id: 5}}
              d0: {dummy: true}
    """
    world = World()
    world.build(lab(text))
    assert {each.name for each in world.state.of(Link)} == {"top", "middle", "d0"}


def test_interfaces_with_ipv6_wait_for_no_duplicates_and_others_have_no_ipv6() -> None:
    world = World()
    world.build(
        lab("""
        namespaces:
          four: {interfaces: {d0: {dummy: true, addresses: 10.0.0.1/24}}}
          six: {interfaces: {d0: {dummy: true, addresses: "fd00::1/64"}}}
    """)
    )
    assert [world.get("link", place, "d0").link_local for place in ("four", "six")] == [False, True]
    name = "net.ipv6.conf.default.accept_dad"
    assert [world.get("sysctl", place, name).value for place in ("four", "six")] == ["1", "0"]


def test_a_mac_that_is_not_given_is_the_same_each_time() -> None:
    first, second = World(), World()
    for world in (first, second):
        world.build(lab(drawings.RED_BLUE))
    assert first.state.of(Link) == second.state.of(Link)


# ---- going


def test_when_a_lab_goes_the_hosts_part_goes_first_and_namespaces_last() -> None:
    world = World()
    world.build(lab(drawings.RED_BLUE))
    found = commands(world.build(absent("red-blue")))
    assert sorted(found[-2:]) == ["ip netns del blue", "ip netns del red"]
    assert world.state == World().state


def test_a_lab_that_is_not_there_is_absent_already() -> None:
    assert World().plan(absent("red-blue")) == []
    assert World().plan(absent("red-blue", drawings.RED_BLUE)) == []


def test_a_namespace_that_is_no_longer_in_the_file_goes_with_its_name_servers() -> None:
    world = World()
    world.build(lab("namespaces: {red: {nameservers: [192.0.2.53]}, blue: }"))
    steps = work(world.build(lab("namespaces: {blue: }")))
    assert [type(step) for step in steps] == [WriteResolver, NameNamespace]
    assert world.state.of(Resolver) == []


def test_a_bridge_inside_of_a_namespace_and_the_cable_to_it_can_go_and_come_back() -> None:
    text = "namespaces: {sw: {bridges: {br0: }}, a: {interfaces: {eth0: {bridge: sw/br0}}}}"
    world = World()
    world.build(lab(text))
    before = world.state
    steps = world.plan(lab("namespaces: {sw: , a: }"))
    world.carry_out(steps)
    assert world.state.of(Link) == []
    world.take_back(steps)
    assert set(world.state.of(Link)) == set(before.of(Link))


def test_a_cable_that_leads_elsewhere_now_makes_place_before_the_new_one_comes() -> None:
    old = "namespaces: {a: {interfaces: {eth0: {cable: b/eth0, addresses: 10.0.0.1/24}}, gateway: 10.0.0.9}, b: , c: }"
    new = old.replace("cable: b/eth0", "cable: c/eth0")
    world = World()
    world.build(lab(old))
    theirs = Route("a", ipaddress.ip_network("10.5.0.0/16"), (NextHop(None, "eth0"),), protocol=3)
    world.put(theirs)
    before = world.state
    steps = world.plan(lab(new))
    pairs = [step for step in steps if isinstance(step, VethPair)]
    assert [bool(step.after) for step in pairs] == [False, True]
    lost = [item for step in pairs[0].lost for item in step.after]
    assert {type(item).__name__ for item in lost} == {"Link", "Address", "Route"}
    assert theirs in lost
    world.carry_out(steps)
    assert [step.after[0].title for step in steps if isinstance(step, PutRoute)] == ["default via 10.0.0.9 dev eth0"]
    world.take_back(steps)
    assert world.state == before


# ---- records


def test_the_record_names_everything_before_it_is_made_and_stays_as_it_is() -> None:
    text = """
        bridges: {br0: {addresses: 10.0.0.1/24}}
        routes: [{destination: 10.7.0.0/16, gateway: 10.0.0.9}]
        namespaces:
          red: {interfaces: {eth0: {bridge: br0, addresses: auto}}, masquerade: {source: 10.0.0.0/8}}
    """
    world = World()
    steps = world.plan(lab(text))
    assert isinstance(steps[0], KeepRecord)
    found = records(world, lab(text))
    assert found == [
        Record(
            "lab",
            lab_group("lab"),
            namespaces=frozenset({"red"}),
            routes=frozenset({("route", None, 254, ipaddress.ip_network("10.7.0.0/16"), 0)}),
            nat=frozenset({("red", "masquerade", "10.0.0.0/8")}),
            settings={("red", "net.ipv4.ip_forward"): "0"},
            chosen={"red/eth0": (ipaddress.ip_interface("10.0.0.2/24"),)},
        )
    ]
    world.build(lab(text))
    assert records(world, lab(text)) == []


def test_during_an_edit_the_record_names_what_was_and_what_will_be() -> None:
    world = World()
    world.build(lab("namespaces: {red: , blue: }"))
    during, after = records(world, lab("namespaces: {blue: , green: }"))
    assert during is not None
    assert after is not None
    assert during.namespaces == {"red", "blue", "green"}
    assert after.namespaces == {"blue", "green"}


def test_when_a_lab_goes_its_record_goes_last() -> None:
    world = World()
    world.build(lab("namespaces: {red: }"))
    steps = world.plan(absent("lab"))
    assert isinstance(steps[-1], KeepRecord)
    assert steps[-1].after == ()


def test_without_a_record_namespaces_are_found_by_their_marks() -> None:
    world = World()
    world.build(lab("namespaces: {red: }"))
    world.drop(("lab",))
    world.build(absent("lab"))
    assert world.state == World().state


def test_a_record_of_nothing_is_removed_without_any_work() -> None:
    world = World()
    world.put(Record("lab", lab_group("lab"), frozenset({"red"})))
    steps = world.plan(absent("lab"))
    assert work(steps) == []
    assert [step.after for step in steps] == [()]


# ---- settings that are given back


def test_a_setting_that_the_file_no_longer_names_is_what_it_was_before() -> None:
    world = World().put(
        Namespace("red", lab="lab"),
        Sysctl("red", "net.ipv4.ip_forward", "0"),
        Record("lab", lab_group("lab"), frozenset({"red"})),
    )
    world.build(lab("namespaces: {red: {sysctls: {net.ipv4.ip_forward: 1}}}"))
    assert world.get("lab").settings == {("red", "net.ipv4.ip_forward"): "0"}
    assert commands(world.build(lab("namespaces: {red: }"))) == ["ip netns exec red sysctl -w net.ipv4.ip_forward=0"]
    assert world.get("lab").settings == {}


def test_changing_a_setting_twice_does_not_forget_what_it_was_first() -> None:
    world = World().put(
        Namespace("red", lab="lab"),
        Sysctl("red", "net.ipv4.ip_forward", "0"),
        Record("lab", lab_group("lab"), frozenset({"red"})),
    )
    for value in (1, 2):
        world.build(lab(f"namespaces: {{red: {{sysctls: {{net.ipv4.ip_forward: {value}}}}}}}"))
    assert world.get("lab").settings == {("red", "net.ipv4.ip_forward"): "0"}


def test_the_hosts_settings_are_borrowed_and_given_back_by_the_last_who_holds_them() -> None:
    name = "net.ipv4.conf.all.rp_filter"
    world = World()
    world.build(lab(f"sysctls: {{{name}: 2}}"))
    assert world.get("hold", None, name) == Hold(None, name, "0", frozenset({"lab lab"}), "2")
    world.put(Hold(None, name, "0", frozenset({"lab lab", "lab other"}), "2"))
    world.build(absent("lab"))
    assert world.get("sysctl", None, name).value == "2"
    world.put(Hold(None, name, "0", frozenset({"lab lab"}), "2"))
    world.build(lab(f"sysctls: {{{name}: 2}}"))
    world.build(lab("sysctls: {}"))
    assert world.get("sysctl", None, name).value == "0"
    assert world.get("hold", None, name) is None


@pytest.mark.parametrize("servers", ["[]", "[192.0.2.54]"])
def test_name_servers_of_ours_are_changed_or_removed(servers: str) -> None:
    world = World()
    world.build(lab("namespaces: {red: {nameservers: [192.0.2.53]}}"))
    world.build(lab(f"namespaces: {{red: {{nameservers: {servers}}}}}"))
    assert [each.nameservers for each in world.state.of(Resolver)] == ([] if servers == "[]" else [["192.0.2.54"]])


def test_name_servers_that_nobody_names_any_more_go() -> None:
    world = World()
    world.build(lab("namespaces: {red: {nameservers: [192.0.2.53]}}"))
    world.build(lab("namespaces: {red: }"))
    assert world.state.of(Resolver) == []
