# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that stops, wherever it stops, leaves the lab as it was before: routes of others, ports and impairments too."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import Link
from ansible_collections.patchbay.netns.plugins.module_utils._objects.route import NextHop, Route
from ansible_collections.patchbay.netns.plugins.module_utils._topology.lab import Lab
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_worlds import (
    MIXED,
    World,
    absent,
    commands,
    lab,
)

EDITS = [
    ("id: 10}, addresses: 10.10.0.1/24", "id: 10}, addresses: 10.10.0.2/24"),
    ("id: 10}, addresses: 10.10.0.1/24", "id: 11}, addresses: 10.10.0.1/24"),
    (
        "eth1: {cable: blue/eth1, addresses: 10.0.0.1/30}",
        "eth1: {dummy: true, addresses: 10.0.0.1/30}\n      eth2: {cable: blue/eth1}",
    ),
    ("d0: {dummy: true}", "d0: {cable: blue/d0}"),
    ('"fd15::1/64"]', '"fd15::2/64"]'),
    ('[192.168.15.1/24, "fd15::1/64"]', '[192.168.15.1/25, "fd15::1/64"]'),
    ("addresses: 10.0.0.2/30", "addresses: 10.0.0.2/30, up: false"),
    ("impair: {delay: 10ms}", "impair: {loss: 1%}"),
    ("bridges:\n", "bridges:\n  v-net-1: {stp: true}\n"),
    ("net.ipv4.ip_forward: 1", "net.ipv4.conf.all.rp_filter: 1"),
    ("nameservers: [192.0.2.53]", "nameservers: [192.0.2.54]"),
    ("  red:", "  green: {interfaces: {eth0: {bridge: v-net-0, addresses: auto}}}\n  red:"),
]


def built() -> World:
    """The mixed lab, with routes of others over its interfaces."""
    world = World()
    world.build(lab(MIXED))
    for device, gateway in (("v10", "10.10.0.77"), ("eth1", "10.0.0.2"), ("veth-red", "192.168.15.9")):
        hop = NextHop(ipaddress.ip_address(gateway), device)
        number = len(world.state.of(Route))
        world.put(Route("red", ipaddress.ip_network(f"10.{100 + number}.0.0/16"), (hop,), protocol=3))
    return world


def lost(world: World, before: State) -> list[object]:
    """What is not as it was; settings of interfaces that came back are what new ones have."""
    now = world.state
    keys = {item.key: None for item in (*before, *now) if ".accept_dad" not in str(item)}
    return [(before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)]


def stopped_everywhere(wish: Lab) -> None:
    """Carry a plan out as far as each of its steps, and take it back each time."""
    for stop in range(len(built().plan(wish)) + 1):
        world = built()
        before = world.state
        steps = world.plan(wish)[:stop]
        world.carry_out(steps)
        world.take_back(steps)
        assert lost(world, before) == [], commands(steps)


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_an_edit_that_stops_anywhere_is_taken_back(old: str, new: str) -> None:
    edited = MIXED.replace(old, new, 1)
    assert edited != MIXED
    stopped_everywhere(lab(edited))


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_the_same_edit_carried_through_leaves_nothing_to_do(old: str, new: str) -> None:
    wish, world = lab(MIXED.replace(old, new, 1)), built()
    world.build(wish)
    assert commands(world.plan(wish)) == []


def test_the_end_of_a_lab_that_stops_anywhere_is_taken_back() -> None:
    stopped_everywhere(absent("red-blue"))


def test_a_foreign_port_of_a_bridge_that_goes_is_plugged_in_again() -> None:
    theirs = Link(None, "tap0", "tun", "", 1500, up=True, bridge="v-net-0", hairpin=False, group=0)
    world = built().put(theirs)
    before = world.state
    steps = world.plan(absent("red-blue"))
    world.carry_out(steps)
    world.take_back(steps)
    assert lost(world, before) == []
