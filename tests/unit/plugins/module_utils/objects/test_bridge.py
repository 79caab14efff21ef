# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wish for a bridge."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import manner, project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import (
    Conflict,
    InvalidInput,
    NotFound,
    NotOurs,
    Unsupported,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.bridge import Bridge, Port, Pristine
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import BridgeOptions, Link
from ansible_collections.patchbay.netns.plugins.module_utils._objects.machine import Machine
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import assume, given
from hypothesis import strategies as st

FRESH = BridgeOptions(False, 15.0, 300.0, False, True)
NOW = Link(None, "v-net-0", "bridge", "02:00:00:00:15:05", 1500, up=True, options=FRESH)
EMPTY = State([Machine("test"), Pristine(FRESH)])
THERE = State([Machine("test"), NOW])


def wish(**params: t.Any) -> Bridge:
    return Bridge.from_params({"name": "v-net-0", "state": "present", "force": False, **params})


def commands(steps: list[Step]) -> list[str]:
    return [line for step in steps for line in step.commands()]


# ---- making


def test_row_22_a_bridge_is_made_with_a_mac_of_its_own() -> None:
    assert " address 02:" in commands(wish().plan(EMPTY))[0]


def test_row_22_a_bridge_keeps_its_mac_when_ports_come() -> None:
    state = State([*THERE, Port(None, "p1", None)])
    assert commands(wish(ports=["p1"]).plan(state)) == ["ip link set dev p1 master v-net-0"]


def test_row_29_options_are_set_before_the_bridge_is_up() -> None:
    lines = commands(wish(stp=True, forward_delay=4).plan(EMPTY))
    assert [line.split()[-1] for line in lines[1:]] == ["400", "up"]


def test_a_bridge_that_is_as_wanted_needs_nothing() -> None:
    assert wish(stp=False, ageing_time=300, mtu=1500).plan(THERE) == []


def test_an_option_is_changed_in_place() -> None:
    asked = wish(ageing_time=10)
    steps = asked.plan(THERE)
    assert manner(steps, asked.view(THERE), asked.view(project(THERE, steps))) == "changed in place"


def test_a_bridge_whose_name_begins_alike_is_another() -> None:
    state = State([*EMPTY, replace(NOW, name="v-net-01")])
    assert "name v-net-0 " in commands(wish().plan(state))[0]


# ---- the spanning tree


def test_a_spanning_tree_raises_a_delay_that_is_too_short_for_it() -> None:
    state = State([replace(NOW, options=replace(FRESH, forward_delay=0.0))])
    assert commands(wish(stp=True).plan(state)) == ["ip link set dev v-net-0 type bridge stp_state 1 forward_delay 200"]


def test_a_delay_that_is_too_short_for_the_running_tree_is_refused() -> None:
    state = State([replace(NOW, options=replace(FRESH, stp=True))])
    with pytest.raises(InvalidInput, match="too short while the bridge's spanning tree runs"):
        wish(forward_delay=0).plan(state)


def test_row_29_without_a_spanning_tree_there_may_be_no_delay() -> None:
    assert commands(wish(forward_delay=0).plan(THERE)) == ["ip link set dev v-net-0 type bridge forward_delay 0"]


@given(st.floats(), st.sampled_from(["forward_delay", "ageing_time"]))
def test_a_time_is_one_that_the_kernel_can_have_or_refused(seconds: float, option: str) -> None:
    try:
        value = getattr(wish(**{option: seconds}).options, option)
    except InvalidInput:
        return
    assert value == round(value * 100) / 100 >= 0


def test_an_option_that_the_kernel_lacks_is_refused() -> None:
    state = State([replace(NOW, options=replace(FRESH, vlan_filtering=None))])
    with pytest.raises(Unsupported, match="CONFIG_BRIDGE_VLAN_FILTERING"):
        wish(vlan_filtering=True).plan(state)


# ---- ports


def test_a_port_of_another_bridge_changes_sides() -> None:
    state = State([*THERE, Port(None, "p1", "br1")])
    assert commands(wish(ports=["p1"]).plan(state)) == ["ip link set dev p1 master v-net-0"]


def test_ports_that_are_not_listed_stay_without_purge() -> None:
    assert wish(ports=[]).plan(State([*THERE, Port(None, "p1", "v-net-0")])) == []


def test_purge_takes_out_what_is_not_listed() -> None:
    state = State([*THERE, Port(None, "p1", "v-net-0"), Port(None, "p10", "v-net-0")])
    assert commands(wish(ports=["p10"], purge_ports=True).plan(state)) == ["ip link set dev p1 nomaster"]


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match=r"ports: interface p1 does not exist. Create it first"):
        wish(ports=["p1"]).plan(THERE)


def test_a_bridge_is_no_port_of_itself() -> None:
    with pytest.raises(InvalidInput, match="can't be a port of itself"):
        wish(ports=["v-net-0"])


# ---- refusing and removing


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("kind", ["veth", "physical"])
def test_an_interface_of_another_kind_is_never_touched(kind: str, state: str) -> None:
    with pytest.raises(Conflict, match=f"v-net-0 is a {kind} interface, not a bridge"):
        wish(state=state, force=True).plan(State([replace(NOW, kind=kind, options=None)]))


def test_a_foreign_bridge_is_not_removed() -> None:
    with pytest.raises(NotOurs, match=r"^bridge v-net-0 was not made by this collection"):
        wish(state="absent").plan(State([replace(NOW, group=0)]))


def test_a_foreign_bridge_is_removed_by_force() -> None:
    assert commands(wish(state="absent", force=True).plan(State([replace(NOW, group=0)]))) == [
        "ip link del dev v-net-0"
    ]


def test_taking_back_a_removal_plugs_the_ports_again() -> None:
    (step,) = wish(state="absent").plan(State([*THERE, Port(None, "p1", "v-net-0")]))
    assert commands(step.undo())[-1] == "ip link set dev p1 master v-net-0"


# ---- properties


@given(some.bridge_cases())
def test_what_was_asked_for_is_shown_afterwards(case: tuple[Bridge, State]) -> None:
    asked, state = case
    try:
        reached = project(state, asked.plan(state))
    except (Conflict, InvalidInput):
        assume(False)
    view = asked.view(reached)
    assert (view["kind"], view["up"]) == ("bridge", asked.up)
    assert asked.mac in (None, view["mac"])
    assert asked.mtu in (None, view["mtu"])
    assert set(asked.ports) <= set(view["ports"])
    assert not asked.purge_ports or set(asked.ports) == set(view["ports"])
    assert {str(interface) for interface in asked.addresses} <= set(view["addresses"])
    for name in ("stp", "forward_delay", "ageing_time", "vlan_filtering", "multicast_snooping"):
        assert getattr(asked.options, name) in (None, view[name])
