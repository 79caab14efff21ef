# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of an interface: what is added, purged, shown, and what the kernel's message says."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Conflict
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import rtnl
from ansible_collections.patchbay.netns.plugins.module_utils._objects import address
from ansible_collections.patchbay.netns.plugins.module_utils._objects.address import Address, PutAddress
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import Link
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_steps import changed
from ansible_collections.patchbay.netns.plugins.module_utils._objects.route import NextHop, Route
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import given
from hypothesis import strategies as st

LINK = Link("red", "veth-red", "veth", "02:00:00:00:15:01", 1500, up=True)


def at(text: str, **properties: t.Any) -> Address:
    return Address("red", "veth-red", ipaddress.ip_interface(text), **properties)


def plan(
    state: State, *wanted: str, changes: t.Sequence[Step] = (), purge: bool = False, overlap: bool = True
) -> list[Step]:
    interfaces = [ipaddress.ip_interface(text) for text in wanted]
    return address.plan(state, LINK, changes, interfaces, purge=purge, overlap=overlap)


def commands(steps: list[Step]) -> list[str]:
    return [line for step in steps for line in step.commands()]


def test_a_missing_address_is_added_with_its_broadcast() -> None:
    assert commands(plan(State(), "192.168.15.1/24")) == ["ip -n red addr add 192.168.15.1/24 brd + dev veth-red"]


def test_an_ipv6_address_is_added_without_duplicate_detection() -> None:
    assert commands(plan(State(), "fd00:15::1/64")) == ["ip -n red addr add fd00:15::1/64 nodad dev veth-red"]


@pytest.mark.parametrize("text", ["10.0.0.1/31", "10.0.0.1/32"])
def test_a_network_of_two_or_one_has_no_broadcast(text: str) -> None:
    assert at(text).broadcast is None


def test_the_broadcast_is_the_last_address_of_the_network() -> None:
    assert str(at("192.168.15.1/20").broadcast) == "192.168.15.255"


def test_an_address_in_another_spelling_is_the_same() -> None:
    assert plan(State([at("fd00:15::1/64")]), "fd00:0015:0:0::0001/64") == []


def test_an_address_with_another_prefix_is_another() -> None:
    assert len(plan(State([at("192.168.15.1/24")]), "192.168.15.1/25")) == 1


def test_an_address_of_a_prefix_named_device_is_another() -> None:
    other = Address("red", "veth-red2", ipaddress.ip_interface("192.168.15.1/24"))
    assert len(plan(State([other]), "192.168.15.1/24")) == 1


def test_others_stay_without_purge() -> None:
    assert plan(State([at("10.0.0.1/8")])) == []


def test_purge_removes_what_is_not_listed() -> None:
    assert commands(plan(State([at("10.0.0.1/8")]), purge=True)) == ["ip -n red addr del 10.0.0.1/8 dev veth-red"]


@pytest.mark.parametrize("found", [at("fe80::1/64"), at("fd00::1234/64", permanent=False)])
def test_purge_leaves_what_the_kernel_makes_by_itself(found: Address) -> None:
    assert plan(State([found]), purge=True) == []


def test_removing_the_first_address_of_a_network_puts_the_others_back() -> None:
    there = State([at("192.168.15.1/24"), at("192.168.15.2/24", secondary=True)])
    assert commands(plan(there, "192.168.15.2/24", purge=True)) == [
        "ip -n red addr del 192.168.15.1/24 dev veth-red",
        "ip -n red addr del 192.168.15.2/24 dev veth-red",
        "ip -n red addr add 192.168.15.2/24 brd + dev veth-red",
    ]


def test_removing_a_later_address_of_a_network_leaves_the_others_alone() -> None:
    there = State([at("192.168.15.1/24"), *(at(f"192.168.15.{n}/24", secondary=True) for n in (2, 3))])
    assert commands(plan(there, "192.168.15.1/24", "192.168.15.2/24", purge=True)) == [
        "ip -n red addr del 192.168.15.3/24 dev veth-red"
    ]


# ---- what a link loses when it goes down

DOWN = replace(LINK, up=False)
BOTH = State([LINK, at("192.168.15.1/24"), at("fd00:15::1/64")])


def going_down(state: State) -> list[Step]:
    return changed(LINK, DOWN, address.dropped(state, LINK, DOWN))


def test_row_28_a_link_that_goes_down_gets_its_ipv6_addresses_back() -> None:
    steps = address.plan(BOTH, DOWN, going_down(BOTH), (), purge=False, overlap=False)
    assert commands(steps) == ["ip -n red addr add fd00:15::1/64 nodad dev veth-red"]


def test_a_link_that_goes_down_gets_an_address_once_that_is_asked_for_too() -> None:
    wanted = [ipaddress.ip_interface("fd00:15::1/64")]
    assert len(address.plan(BOTH, DOWN, going_down(BOTH), wanted, purge=False, overlap=False)) == 1


def test_a_purged_address_stays_away_after_its_link_went_down() -> None:
    steps = address.plan(BOTH, DOWN, going_down(BOTH), (), purge=True, overlap=False)
    assert commands(steps) == ["ip -n red addr del 192.168.15.1/24 dev veth-red"]


def test_a_link_that_stays_up_loses_nothing() -> None:
    assert tuple(address.dropped(BOTH, LINK, replace(LINK, mtu=1400))) == ()


# ---- overlap


def route_through(device: str, text: str, netns: str | None = "red") -> Route:
    return Route(netns, ipaddress.ip_network(text), (NextHop(device=device),))


@pytest.mark.parametrize("subnet", ["192.168.15.0/24", "192.168.0.0/16", "192.168.15.128/25"])
def test_row_47_a_subnet_that_overlaps_another_route_is_refused(subnet: str) -> None:
    with pytest.raises(Conflict, match=f"overlaps the route {subnet} dev eth0"):
        plan(State([route_through("eth0", subnet)]), "192.168.15.129/24", overlap=False)


def test_row_47_the_refusal_can_be_waived() -> None:
    assert plan(State([route_through("eth0", "192.168.15.0/24")]), "192.168.15.1/24", overlap=True)


@pytest.mark.parametrize(
    "route",
    [
        route_through("veth-red", "192.168.15.0/24"),
        route_through("eth0", "0.0.0.0/0"),
        route_through("eth0", "192.168.14.0/24"),
        route_through("eth0", "192.168.15.0/24", netns="blue"),
        route_through("eth0", "fd00:15::/64"),
    ],
    ids=["own device", "default route", "neighbouring subnet", "another namespace", "another family"],
)
def test_a_route_that_takes_nothing_away_is_no_overlap(route: Route) -> None:
    assert plan(State([route]), "192.168.15.1/24", overlap=False)


def test_an_address_that_is_there_is_not_asked_about_overlap() -> None:
    state = State([at("192.168.15.1/24"), route_through("eth0", "192.168.15.0/24")])
    assert plan(state, "192.168.15.1/24", overlap=False) == []


# ---- properties


def listed(state: State) -> set[t.Any]:
    return {item.interface for item in state.of(Address)}


@given(some.addresses_of("red", "veth-red"), some.wanted_addresses)
def test_every_wanted_address_is_there_afterwards(there: list[Address], wanted: list[str]) -> None:
    reached = project(State(there), plan(State(there), *wanted))
    assert listed(reached) == {ipaddress.ip_interface(text) for text in wanted} | listed(State(there))


@given(some.addresses_of("red", "veth-red"), some.wanted_addresses)
def test_only_wanted_and_automatic_addresses_outlive_a_purge(there: list[Address], wanted: list[str]) -> None:
    reached = project(State(there), plan(State(there), *wanted, purge=True))
    automatic = {item.interface for item in there if item.automatic}
    assert listed(reached) == {ipaddress.ip_interface(text) for text in wanted} | automatic


@given(some.addresses_of("red", "veth-red"), some.wanted_addresses, st.booleans())
def test_nothing_is_left_to_do(there: list[Address], wanted: list[str], purge: bool) -> None:
    reached = project(State(there), plan(State(there), *wanted, purge=purge))
    assert plan(reached, *wanted, purge=purge) == []


@given(some.addresses_of("red", "veth-red"))
def test_a_removed_interface_gets_back_what_the_kernel_would_not_make(there: list[Address]) -> None:
    back = {step.after[0].interface for step in address.restoring(State(there), "red", "veth-red")}
    assert back == {item.interface for item in there if not item.automatic}


# ---- showing


def test_addresses_are_shown_in_one_order() -> None:
    state = State([at("fd00::1/64"), at("10.0.0.10/8"), at("10.0.0.9/8")])
    assert address.shown(state, "red", "veth-red") == ["10.0.0.9/8", "10.0.0.10/8", "fd00::1/64"]


def test_an_automatic_address_is_shown_only_to_who_asks_for_it() -> None:
    found = at("fe80::1/64")
    shown = [address.shown(State([found]), "red", "veth-red", wanted) for wanted in ((), (found.interface,))]
    assert shown == [[], ["fe80::1/64"]]


# ---- the kernel's message


@given(some.host_interfaces())
def test_an_address_survives_the_way_through_a_message(interface: t.Any) -> None:
    pytest.importorskip("pyroute2")
    item = Address("red", "veth-red", interface)
    message = rtnl._address_message(20, 0, 7, interface, item.broadcast)
    assert address.decode("red", "veth-red", message.answer(message.body)) == item


def test_the_step_back_from_adding_is_removing() -> None:
    (back,) = PutAddress((), (at("10.0.0.1/8"),)).undo()
    assert back.commands() == ["ip -n red addr del 10.0.0.1/8 dev veth-red"]
