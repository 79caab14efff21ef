# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold of every plan of every kind of object, whatever was asked and whatever is there."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import manner, project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._objects.flows import ForgetFlows
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import EndProcesses
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import KeepHold
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import assume, given
from hypothesis import strategies as st

pytestmark = pytest.mark.parametrize("kind", some.cases)


def planned(wish: t.Any, state: State) -> list[Step]:
    """The plan; refusals are legitimate and have tests of their own."""
    try:
        return wish.plan(state)
    except PatchbayError:
        assume(False)
        raise


def case(data: t.Any, kind: str) -> tuple[t.Any, State, list[Step]]:
    wish, state = data.draw(some.cases[kind](state=data.draw(st.sampled_from(["present", "absent"]))))
    return wish, state, planned(wish, state)


@given(data=st.data())
def test_nothing_is_left_to_do_after_a_plan(kind: str, data: t.Any) -> None:
    wish, state, steps = case(data, kind)
    assert wish.plan(project(state, steps)) == []


@given(data=st.data())
def test_a_removed_object_shows_nothing(kind: str, data: t.Any) -> None:
    wish, state = data.draw(some.cases[kind](state="absent"))
    assert wish.view(project(state, planned(wish, state))) == {}


@given(data=st.data())
def test_an_object_that_is_present_shows_something(kind: str, data: t.Any) -> None:
    wish, state = data.draw(some.cases[kind]())
    assert wish.view(project(state, planned(wish, state)))


@given(data=st.data())
def test_taking_back_all_steps_leads_to_the_start(kind: str, data: t.Any) -> None:
    _wish, state, steps = case(data, kind)
    assume(not any(isinstance(step, EndProcesses) for step in steps))  # the dead stay dead
    assume(all(step.undo() or isinstance(step, ForgetFlows) for step in steps))
    reached = project(state, steps)
    backward = [step for done in reversed(steps) for step in done.undo()]
    assert project(reached, backward) == state


@given(data=st.data())
def test_a_step_that_changes_the_kernel_has_a_command(kind: str, data: t.Any) -> None:
    _wish, _state, steps = case(data, kind)
    assert all(step.commands() for step in steps if not isinstance(step, (KeepHold, ForgetFlows)))


@given(data=st.data())
def test_every_step_back_can_be_printed(kind: str, data: t.Any) -> None:
    _wish, _state, steps = case(data, kind)
    assert all(isinstance(line, str) for step in steps for backward in step.undo() for line in backward.commands())


@given(data=st.data())
def test_every_step_turns_what_is_there(kind: str, data: t.Any) -> None:
    """A step starts from the state that the ones before it lead to."""
    _wish, state, steps = case(data, kind)
    for step in steps:
        assert all(state.get(item.key) == item for item in step.before)
        state = step.project(state)


@given(data=st.data())
def test_no_step_does_nothing(kind: str, data: t.Any) -> None:
    _wish, _state, steps = case(data, kind)
    assert all(step.before != step.after for step in steps if not isinstance(step, ForgetFlows))


@given(data=st.data())
def test_planning_is_pure(kind: str, data: t.Any) -> None:
    wish, state, steps = case(data, kind)
    untouched = State(state)
    assert (wish.plan(state), state) == (steps, untouched)


@given(data=st.data())
def test_the_manner_fits_the_plan(kind: str, data: t.Any) -> None:
    wish, state, steps = case(data, kind)
    before, after = wish.view(state), wish.view(project(state, steps))
    words = manner(steps, before, after)
    assert (words == "unchanged") == (not steps)
    assert words != "created" or not before
    assert words != "removed" or not after


@given(data=st.data())
def test_an_object_has_a_name_for_messages(kind: str, data: t.Any) -> None:
    wish, _state = data.draw(some.cases[kind]())
    assert " " in wish.name


@given(data=st.data())
def test_warnings_are_texts(kind: str, data: t.Any) -> None:
    wish, state, steps = case(data, kind)
    assert all(isinstance(text, str) for text in wish.warnings(state, project(state, steps)))


@given(data=st.data())
def test_a_warning_is_said_once(kind: str, data: t.Any) -> None:
    wish, state, steps = case(data, kind)
    said = wish.warnings(state, project(state, steps))
    assert len(set(said)) == len(said)
