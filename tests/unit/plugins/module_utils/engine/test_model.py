# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The set of facts that plans start from and lead to."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import Key, State
from hypothesis import given
from hypothesis import strategies as st


@dataclass(frozen=True)
class Fact:
    name: str
    value: int = 0

    @property
    def key(self) -> Key:
        return ("fact", self.name)


facts = st.lists(st.builds(Fact, st.sampled_from("abc"), st.integers(0, 3)), max_size=5)


@given(facts)
def test_a_state_holds_one_item_per_key(items: list[Fact]) -> None:
    assert len(list(State(items))) == len({item.key for item in items})


@given(facts)
def test_order_does_not_matter(items: list[Fact]) -> None:
    unique = list(State(items))
    assert State(unique) == State(reversed(unique))
    assert hash(State(unique)) == hash(State(reversed(unique)))


@given(facts, facts)
def test_what_is_added_is_there(items: list[Fact], more: list[Fact]) -> None:
    changed = State(items).changed((), more)
    assert all(changed.get(item.key) == State(more).get(item.key) for item in more)


@given(facts, facts)
def test_what_is_removed_is_gone(items: list[Fact], fewer: list[Fact]) -> None:
    changed = State(items).changed(fewer, ())
    assert all(changed.get(item.key) is None for item in fewer)


@given(facts, facts, facts)
def test_a_change_leaves_the_state_it_starts_from_alone(items: list[Fact], fewer: list[Fact], more: list[Fact]) -> None:
    state, twin = State(items), State(items)
    state.changed(fewer, more)
    assert state == twin


def test_a_state_is_not_its_items() -> None:
    assert State([Fact("a")]) != [Fact("a")]


def test_items_of_one_class_are_found() -> None:
    assert State([Fact("a"), Fact("b")]).of(Fact) == [Fact("a"), Fact("b")]
