# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wish for a cable."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import manner, project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Conflict, InvalidInput, NotFound, NotOurs
from ansible_collections.patchbay.netns.plugins.module_utils._objects.address import Address
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import BridgeOptions, Link, Peer
from ansible_collections.patchbay.netns.plugins.module_utils._objects.machine import Machine
from ansible_collections.patchbay.netns.plugins.module_utils._objects.veth import Veth
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import assume, given

ONE = Link("red", "veth-red", "veth", "02:00:00:00:15:01", 1500, up=True, peer=Peer(None, "veth-red-br"))
OTHER = Link(None, "veth-red-br", "veth", "02:00:00:00:15:02", 1500, up=True, peer=Peer("red", "veth-red"))
BRIDGE = Link(None, "v-net-0", "bridge", "02:00:00:00:15:05", 1500, options=BridgeOptions())
EMPTY = State([Machine("test"), BRIDGE])
CABLE = State([*EMPTY, ONE, OTHER])


def wish(peer: dict[str, t.Any] | None = None, **params: t.Any) -> Veth:
    return Veth.from_params(
        {
            "name": "veth-red",
            "netns": "red",
            "state": "present",
            "force": False,
            "peer": {"name": "veth-red-br", **(peer or {})},
            **params,
        }
    )


def commands(steps: list[Step]) -> list[str]:
    return [line for step in steps for line in step.commands()]


def how(asked: Veth, state: State) -> str:
    steps = asked.plan(state)
    return manner(steps, asked.view(state), asked.view(project(state, steps)))


# ---- parameters


@pytest.mark.parametrize(
    ("params", "peer", "words"),
    [
        ({"name": "veth-red", "netns": None}, {"name": "veth-red"}, "both ends are called veth-red"),
        ({"mac": "02:00:00:00:00:01"}, {"mac": "02-00-00-00-00-01"}, "both ends have the MAC address"),
        ({"netns": None, "bridge": "br0"}, {"bridge": "br0"}, "which would be a loop"),
        ({"addresses": ["10.0.0.1/8"]}, {"addresses": ["10.0.0.1/24"]}, "10.0.0.1 is on both ends"),
    ],
)
def test_two_ends_that_exclude_each_other_are_refused(params: t.Any, peer: t.Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        wish(peer, **params)


def test_equal_names_in_two_namespaces_are_two_ends() -> None:
    assert wish({"name": "veth-red", "netns": "blue"})


def test_one_bridge_name_in_two_namespaces_is_two_bridges() -> None:
    assert wish({"bridge": "br0"}, bridge="br0")


def test_the_refusal_names_the_end() -> None:
    with pytest.raises(InvalidInput, match=r"^peer\.addresses: "):
        wish({"addresses": ["192.168.15.5"]})


def test_a_cable_without_a_peer_can_only_be_removed() -> None:
    with pytest.raises(InvalidInput, match="a cable has two ends"):
        Veth.from_params({"name": "veth-red", "state": "present", "force": False})
    assert Veth.from_params({"name": "veth-red", "state": "absent", "force": False})


# ---- making


def test_row_24_each_end_is_made_in_its_namespace_and_nothing_is_moved() -> None:
    lines = commands(wish().plan(EMPTY))
    assert sum("link add" in line for line in lines) == 1
    assert not any("link set" in line and "netns" in line for line in lines)


def test_row_23_macs_are_part_of_the_making() -> None:
    (made,) = [line for line in commands(wish().plan(EMPTY)) if "link add" in line]
    assert made.count(" address 02:") == 2


def test_row_36_an_unwanted_cable_goes_before_the_new_one_is_made() -> None:
    state = State([*EMPTY, replace(ONE, peer=Peer("blue", "old"))])
    assert [("del" in line, "add" in line) for line in commands(wish().plan(state))][:2] == [
        (True, False),
        (False, True),
    ]


def test_a_new_end_becomes_a_port_before_it_is_up() -> None:
    lines = commands(wish({"bridge": "v-net-0"}).plan(EMPTY))
    assert lines.index("ip link set dev veth-red-br master v-net-0") < lines.index("ip link set dev veth-red-br up")


def test_an_address_is_added_after_the_interface_is_up() -> None:
    lines = commands(wish(addresses=["192.168.15.1/24"]).plan(EMPTY))
    assert lines[-2:][0].startswith("ip -n red addr add") or lines.index(
        "ip -n red link set dev veth-red up"
    ) < lines.index("ip -n red addr add 192.168.15.1/24 brd + dev veth-red")


# ---- finding


def test_the_cable_that_is_wanted_needs_nothing() -> None:
    assert wish().plan(CABLE) == []


@pytest.mark.parametrize("longer", ["veth-red2", "veth-red-br"])
def test_a_name_that_begins_alike_is_another_cable(longer: str) -> None:
    state = State([*EMPTY, replace(ONE, name=longer, peer=Peer("blue", "x"))])
    assert how(wish({"name": "other"}), state) == "created"


def test_an_mtu_is_changed_in_place() -> None:
    assert how(wish(mtu=1400), CABLE) == "changed in place"


def test_a_peer_of_another_name_means_recreation() -> None:
    state = State([*EMPTY, replace(ONE, peer=Peer("blue", "old")), replace(OTHER, netns="blue", name="old")])
    assert how(wish(), state) == "recreated"


def test_a_peer_in_another_namespace_means_recreation() -> None:
    state = State([*EMPTY, replace(ONE, peer=Peer("blue", "veth-red-br")), replace(OTHER, netns="blue")])
    assert how(wish(), state) == "recreated"


def test_what_was_left_out_stays_as_it_is() -> None:
    there = State([*EMPTY, replace(ONE, mtu=9000), replace(OTHER, bridge="v-net-0", hairpin=True)])
    assert wish().plan(there) == []


def test_an_empty_bridge_takes_a_port_out() -> None:
    there = State([*EMPTY, ONE, replace(OTHER, bridge="v-net-0", hairpin=False)])
    assert commands(wish({"bridge": ""}).plan(there)) == ["ip link set dev veth-red-br nomaster"]


def test_a_new_port_reflects_nothing_unless_asked() -> None:
    assert commands(wish({"bridge": "v-net-0"}).plan(CABLE)) == ["ip link set dev veth-red-br master v-net-0"]


def test_row_8_a_port_reflects_when_asked() -> None:
    assert commands(wish({"bridge": "v-net-0", "hairpin": True}).plan(CABLE)) == [
        "ip link set dev veth-red-br master v-net-0",
        "bridge link set dev veth-red-br hairpin on",
    ]


# ---- refusing


def test_two_ends_of_two_cables_are_not_a_pair() -> None:
    state = State([*EMPTY, replace(ONE, peer=Peer("blue", "a")), replace(OTHER, peer=Peer("green", "b"))])
    with pytest.raises(Conflict, match="the peer of veth-red is a in namespace blue"):
        wish().plan(state)


def test_two_ends_of_two_cables_are_replaced_by_force() -> None:
    state = State([*EMPTY, replace(ONE, peer=Peer("blue", "a")), replace(OTHER, peer=Peer("green", "b"))])
    assert how(wish(force=True), state) == "recreated"


def test_a_foreign_cable_of_the_same_name_is_not_replaced() -> None:
    state = State([*EMPTY, replace(ONE, group=0, peer=Peer("?", "index 7"))])
    with pytest.raises(NotOurs, match="a namespace without a name"):
        wish().plan(state)


@pytest.mark.parametrize("kind", ["bridge", "physical", "tun"])
@pytest.mark.parametrize("end", [ONE, OTHER])
def test_an_interface_of_another_kind_is_never_replaced(kind: str, end: Link) -> None:
    with pytest.raises(Conflict, match=f"is a {kind} interface, not a veth"):
        wish(force=True).plan(State([*EMPTY, replace(end, kind=kind, peer=None)]))


def test_a_bridge_that_is_missing_is_named() -> None:
    with pytest.raises(NotFound, match=r"bridge br9 does not exist\. Create it first"):
        wish({"bridge": "br9"}).plan(CABLE)


def test_a_bridge_that_is_a_veth_is_refused() -> None:
    fake = replace(BRIDGE, kind="veth", options=None)
    with pytest.raises(Conflict, match="v-net-0 is a veth interface, not a bridge"):
        wish({"bridge": "v-net-0"}).plan(State([ONE, OTHER, fake]))


def test_a_bridge_in_another_namespace_does_not_count() -> None:
    with pytest.raises(NotFound, match="does not exist in namespace red"):
        wish(bridge="v-net-0").plan(CABLE)


# ---- absent


def test_one_command_removes_both_ends() -> None:
    assert commands(wish(state="absent").plan(CABLE)) == ["ip -n red link del dev veth-red"]


def test_a_foreign_cable_is_not_removed() -> None:
    with pytest.raises(NotOurs, match=r"^veth veth-red in namespace red was not made by this collection"):
        wish(state="absent").plan(State([replace(ONE, group=0), OTHER]))


def test_both_ends_are_gone_after_the_removal_of_one() -> None:
    reached = project(CABLE, wish(state="absent").plan(CABLE))
    assert not [item for item in reached.of(Link) if item.kind == "veth"]


# ---- properties


@given(some.veth_cases())
def test_what_was_asked_for_is_shown_afterwards(case: tuple[Veth, State]) -> None:
    asked, state = case
    try:
        reached = project(state, asked.plan(state))
    except (Conflict, InvalidInput):
        assume(False)
    view = asked.view(reached)
    for end, shown in ((asked.end, view), (asked.peer, view["peer"])):
        assert end is not None
        assert (shown["name"], shown["netns"], shown["kind"], shown["up"]) == (end.name, end.netns, "veth", end.up)
        assert end.mac in (None, shown["mac"])
        assert end.mtu in (None, shown["mtu"])
        assert end.bridge is None or shown["bridge"] == (end.bridge or None)
        assert end.hairpin in (None, shown.get("hairpin", False))
        assert {str(interface) for interface in end.addresses} <= set(shown["addresses"])


@given(some.veth_cases(state="absent"))
def test_addresses_go_with_a_removed_cable(case: tuple[Veth, State]) -> None:
    asked, state = case
    reached = project(state, asked.plan(state))
    present = {(item.netns, item.name) for item in reached.of(Link)}
    assert {(item.netns, item.device) for item in reached.of(Address) if not item.automatic} <= present
