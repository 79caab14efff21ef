# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for the plan of every lab, tried in a small kernel made of values."""

from __future__ import annotations

import copy
import re
import typing as t

from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.layout import layout
from ansible_collections.patchbay.netns.plugins.module_utils._objects.address import Address
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import Link
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_steps import CutCable
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import NameNamespace, Namespace
from ansible_collections.patchbay.netns.plugins.module_utils._objects.route import Route
from ansible_collections.patchbay.netns.plugins.module_utils._topology.lab import Lab
from ansible_collections.patchbay.netns.plugins.module_utils._topology.record import KeepRecord
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_drawings import labs
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_worlds import World, absent, commands
from hypothesis import assume, given
from hypothesis import strategies as st

_CHANGES: dict[str, t.Callable[[t.Any], st.SearchStrategy[t.Any]]] = {
    "mtu": lambda _path: st.sampled_from([1400, 9000]),
    "mac": lambda _path: st.just("02:00:00:00:00:01"),
    "addresses": lambda _path: st.sampled_from([[], ["10.77.0.1/24"], ["10.77.0.1/24", "10.77.0.2/24", "fd77::1/64"]]),
    "impair": lambda _path: st.just({"delay": "10ms"}),
}

_OF_DEVICES = re.compile(r"\.(accept_dad|addr_gen_mode)'")
"""Settings of interfaces that were there before: what they were is not looked at."""

_ADDED: dict[str, t.Callable[[str, int], t.Any]] = {
    "dummy": lambda _name, number: {"dummy": True, "addresses": [f"10.66.{number}.1/24"]},
    "vlan": lambda name, number: {"vlan": {"parent": name, "id": number + 1}, "addresses": [f"10.67.{number}.1/24"]},
    "macvlan": lambda name, _number: {"macvlan": {"parent": name}, "impair": {"loss": "1%"}},
    "vxlan": lambda name, number: {"vxlan": {"parent": name, "id": number + 1}},
}


def wish(definition: t.Any) -> Lab:
    """The wish for a lab, if that is one."""
    try:
        lab = Lab(layout(definition))
    except InvalidInput:
        assume(False)
        raise
    names = {each.name for each in lab.spec.host.links}
    assume(
        all(each.parent in names for each in lab.spec.host.links if each.parent)
    )  # there is nothing else to stand on
    return lab


@st.composite
def pairs(draw: t.Any) -> tuple[Lab, Lab]:
    """A lab, and the same one edited: interfaces and namespaces changed, some gone, something standing on others."""
    before = draw(labs())
    _edit(draw, before, "a")
    after = copy.deepcopy(before)
    _edit(draw, after, draw(st.sampled_from(["a", "b"])))
    if after["namespaces"] and draw(st.booleans()):
        del after["namespaces"][draw(st.sampled_from(sorted(after["namespaces"])))]
    return wish(before), wish(after)


def _edit(draw: t.Any, definition: dict[str, t.Any], mark: str) -> None:
    """Change some interfaces and bridges; what is new has the mark in its name."""
    for number in range(draw(st.integers(0, 4))):
        home = draw(st.sampled_from([definition, *definition["namespaces"].values()]))
        kind = draw(st.sampled_from(["interfaces", "bridges"]))
        if not home.get(kind):
            continue
        name = draw(st.sampled_from(sorted(home[kind])))
        what = draw(st.sampled_from([*_CHANGES, *_ADDED, "route", "remove"]))
        if what == "remove":
            del home[kind][name]
        elif what in _ADDED:
            home["interfaces"] = {**home.get("interfaces", {}), f"{mark}{number}": _ADDED[what](name, number)}
        elif what == "route":
            route = {"destination": f"10.{100 + number}.0.0/16", "device": name}
            home["routes"] = [each for each in home.get("routes", []) if each["destination"] != route["destination"]]
            home["routes"].append(route)
        elif kind == "interfaces" or what in ("mtu", "mac"):
            home[kind][name] = {**(home[kind][name] or {}), what: draw(_CHANGES[what](name))}


def differences(one: State, other: State) -> list[t.Any]:
    """What is not the same in two states."""
    keys = {item.key: None for item in (*one, *other)}
    return [(one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)]


@given(labs())
def test_what_a_lab_asks_for_is_there_after_a_run_and_nothing_is_left_to_do(definition: t.Any) -> None:
    lab, world = wish(definition), World()
    world.build(lab)
    assert commands(world.plan(lab)) == []
    found = {(each.netns, each.name): each for each in world.state.of(Link)}
    assert found.keys() == {(each.netns, each.name) for node in lab.spec.nodes for each in node.links}
    for node in lab.spec.nodes:
        for each in node.links:
            now = found[each.netns, each.name]
            assert (now.kind, now.mtu, now.up, now.bridge, now.peer) == (
                each.kind,
                each.mtu,
                each.up,
                each.bridge,
                each.peer,
            )
            here = {a.interface for a in world.state.of(Address) if (a.netns, a.device) == (each.netns, each.name)}
            assert here == set(each.addresses)
    assert {each.name for each in world.state.of(Namespace)} == {node.netns for node in lab.spec.namespaces}


@given(labs())
def test_absence_leaves_the_machine_as_it_was_before_the_lab(definition: t.Any) -> None:
    world, clean = World(), World()
    world.build(wish(definition))
    world.build(absent("drawn"))
    assert differences(world.state, clean.state) == []


@given(pairs())
def test_an_edit_leads_to_the_same_machine_as_building_the_edited_lab_from_nothing(both: tuple[Lab, Lab]) -> None:
    before, after = both
    edited, fresh = World(), World()
    edited.build(before)
    edited.build(after)
    fresh.build(after)
    kinds = (Link, Address, Route, Namespace)
    assert (
        differences(*(State(each for each in world.state if isinstance(each, kinds)) for world in (edited, fresh)))
        == []
    )
    assert commands(edited.plan(after)) == []


@given(pairs(), st.integers(0, 200), st.booleans())
def test_a_run_that_stops_anywhere_can_be_taken_back_completely(both: tuple[Lab, Lab], stop: int, leaves: bool) -> None:
    before, after = both
    world = World()
    world.build(before)
    state = world.state
    steps = world.plan(absent("drawn") if leaves else after)[:stop]
    world.carry_out(steps)
    world.take_back(steps)
    assert [each for each in differences(state, world.state) if not _OF_DEVICES.search(str(each))] == []


@given(pairs())
def test_what_check_mode_projects_is_what_a_run_brings_about(both: tuple[Lab, Lab]) -> None:
    before, after = both
    world = World()
    world.build(before)
    steps = [step for step in world.plan(after) if not isinstance(step, (CutCable, KeepRecord))]
    assume(
        not any(isinstance(step, NameNamespace) and not step.after for step in steps)
    )  # what is inside is not looked at
    projected = project(world.state, steps)
    world.build(after)
    kinds = (Link, Address, Namespace)
    assert (
        differences(*(State(each for each in found if isinstance(each, kinds)) for found in (projected, world.state)))
        == []
    )


@given(pairs())
def test_no_step_of_a_plan_changes_nothing_and_namespaces_go_last(both: tuple[Lab, Lab]) -> None:
    before, after = both
    world = World()
    world.build(before)
    steps: list[Step] = world.plan(after)
    assert not any(step.before == step.after and not step.commands() for step in steps)
    going = [index for index, step in enumerate(steps) if isinstance(step, NameNamespace) and not step.after]
    behind = steps[going[0] :] if going else []
    assert all(isinstance(step, (NameNamespace, KeepRecord)) for step in behind)
