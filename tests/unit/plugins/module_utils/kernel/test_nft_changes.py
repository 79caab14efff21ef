# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changes that lead from one table to another, carried out on a table that refuses what the kernel would refuse."""

from __future__ import annotations

import ipaddress
import shlex
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_changes
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_changes import Change, Content, changes
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import (
    CHAINS,
    Chain,
    DnatBy,
    Masquerade,
    Ports,
    Rule,
)
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_sets import Declaration, Element, pack
from ansible_collections.patchbay.netns.plugins.module_utils._objects import nat_layout
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import nat_strategies as some
from hypothesis import given
from hypothesis import strategies as st

ip = ipaddress.ip_address


class Table:
    """A table as the kernel keeps it: says no by an assertion."""

    def __init__(self, content: Content | None) -> None:
        self.there = content is not None
        content = content or Content()
        self.chains = dict(content.chains)
        self.rules = {name: list(content.rules.get(name, ())) for name in content.chains}
        self.sets: dict[str, Declaration | None] = {**content.sets, **dict.fromkeys(content.strange)}
        self.elements = {name: set(content.elements.get(name, ())) for name in self.sets}
        self.dormant = content.dormant
        self._next = 1000

    def carry_out(self, change: Change) -> None:
        assert self.there or (change.verb, change.kind) == ("add", "table")
        getattr(self, f"_{change.verb}_{change.kind}")(change)

    def _add_table(self, _change: Change) -> None:
        self.there, self.dormant = True, False

    def _delete_table(self, _change: Change) -> None:
        self.__init__(None)  # type: ignore[misc]

    def _add_chain(self, change: Change) -> None:
        chain: Chain = change.subject
        there = self.chains.get(chain.name, chain)
        assert there._replace(policy=chain.policy) == chain  # else EEXIST or EOPNOTSUPP
        self.chains[chain.name] = chain
        self.rules.setdefault(chain.name, [])

    def _delete_chain(self, change: Change) -> None:
        assert not self.rules.pop(change.subject.name)  # else EBUSY
        del self.chains[change.subject.name]

    def _add_rule(self, change: Change) -> None:
        assert change.before is None
        self._place(change.subject, len(self.rules[change.subject.chain]))

    def _insert_rule(self, change: Change) -> None:
        handles = [rule.handle for rule in self.rules[change.subject.chain]]
        self._place(change.subject, handles.index(change.before))

    def _place(self, rule: Rule, at: int) -> None:
        assert all(self.sets.get(name) is not None for name in used(rule))  # else ENOENT
        self._next += 1
        self.rules[rule.chain].insert(at, replace(rule, handle=self._next))

    def _delete_rule(self, change: Change) -> None:
        those = self.rules[change.subject.chain]
        those.pop([rule.handle for rule in those].index(change.subject.handle))

    def _add_set(self, change: Change) -> None:
        assert change.subject.name not in self.sets
        self.sets[change.subject.name], self.elements[change.subject.name] = change.subject, set()

    def _delete_set(self, change: Change) -> None:
        name = getattr(change.subject, "name", change.subject)
        assert all(name not in used(rule) for those in self.rules.values() for rule in those)  # else EBUSY
        del self.sets[name], self.elements[name]

    def _add_elements(self, change: Change) -> None:
        what, elements = change.subject
        assert self.sets[what.name] == what
        there = {(element.key, element.end) for element in self.elements[what.name]}
        assert there.isdisjoint((element.key, element.end) for element in elements)  # else EEXIST
        self.elements[what.name] |= elements

    def _delete_elements(self, change: Change) -> None:
        what, elements = change.subject
        assert elements <= self.elements[what.name]  # else ENOENT
        self.elements[what.name] -= elements

    def content(self) -> Content | None:
        return (
            Content(
                self.chains,
                {name: tuple(those) for name, those in self.rules.items() if those},
                {name: what for name, what in self.sets.items() if what},
                {name: frozenset(those) for name, those in self.elements.items() if self.sets[name]},
                frozenset(name for name, what in self.sets.items() if not what),
                self.dormant,
            )
            if self.there
            else None
        )


def used(rule: Rule) -> set[str]:
    names = {rule.verdict.name} if isinstance(rule.verdict, DnatBy) else set()
    return names | ({rule.member.name} if rule.member else set())


def after(now: Content | None, planned: t.Iterable[Change]) -> Table:
    table = Table(now)
    for change in planned:
        table.carry_out(change)
    return table


tables = st.none() | some.contents()
reachable = st.none() | some.contents(strange=False) | some.spec_sets.map(nat_layout.layout)


@given(now=tables, wanted=reachable)
def test_the_changes_lead_from_any_table_to_any_other(now: Content | None, wanted: Content | None) -> None:
    assert after(now, changes(now, wanted)).content() == wanted


@given(specs=some.spec_sets, stays=st.lists(st.booleans(), min_size=8, max_size=8))
def test_what_comes_finds_its_place_among_what_stays(specs: list[t.Any], stays: list[bool]) -> None:
    there = nat_layout.layout(each for at, each in enumerate(specs) if stays[at])
    now, wanted = there and some.numbered(there), nat_layout.layout(specs)
    assert after(now, changes(now, wanted)).content() == wanted
    assert after(wanted and some.numbered(wanted), changes(wanted and some.numbered(wanted), now)).content() == now


@given(content=reachable)
def test_equal_tables_need_no_change(content: Content | None) -> None:
    assert changes(content, content) == []


@given(now=tables, wanted=reachable)
def test_afterwards_no_change_is_left(now: Content | None, wanted: Content | None) -> None:
    assert changes(after(now, changes(now, wanted)).content(), wanted) == []


@given(now=some.spec_sets, wanted=some.spec_sets)
def test_rules_that_are_in_both_keep_their_counters(now: list[t.Any], wanted: list[t.Any]) -> None:
    """As long as both are ours: the order is always the same, so nothing that stays has to be moved."""
    old, new = nat_layout.layout(now), nat_layout.layout(wanted)
    if old is None or new is None:
        return
    gone = {change.subject for change in changes(some.numbered(old), new) if (change.verb, change.kind) == GONE}
    assert gone == set(old.all_rules()) - set(new.all_rules())


GONE = ("delete", "rule")


@given(now=some.spec_sets, more=some.forwards())
def test_elements_that_are_in_both_keep_their_counters(now: list[t.Any], more: t.Any) -> None:
    old, new = nat_layout.layout(now) or Content(), nat_layout.layout(some.compatible([*now, more])) or Content()
    touched: set[t.Any] = set()
    for change in changes(old, new):
        if change.kind == "elements":
            touched |= {(change.subject[0].name, element) for element in change.subject[1]}
    for name in set(old.elements) & set(new.elements):
        assert not {(name, element) for element in old.elements[name] & new.elements[name]} & touched


# ---- in words


@given(now=tables, wanted=reachable)
def test_every_change_is_said_in_whole_lines(now: Content | None, wanted: Content | None) -> None:
    for change in changes(now, wanted):
        lines = change.command()
        assert lines
        for line in lines:
            assert line.startswith(f"{change.verb} ")
            assert "\n" not in line
            assert line.count('"') % 2 == 0
            assert line.count("{") == line.count("}")


@given(now=tables, wanted=reachable)
def test_every_change_is_said_of_our_table(now: Content | None, wanted: Content | None) -> None:
    for change in changes(now, wanted):
        assert all(" inet patchbay" in line for line in change.command())


@given(now=tables, wanted=reachable)
def test_every_line_can_be_one_word_of_a_shell(now: Content | None, wanted: Content | None) -> None:
    for change in changes(now, wanted):
        assert all(shlex.split(shlex.quote(line)) == [line] for line in change.command())


MAP = Declaration("m", ("ipv4_addr", "inet_service"), ("ipv4_addr",), interval=True, counter=True)
RULE = Rule("postrouting", Masquerade(), "ours", family=4, protocol="tcp", ports=Ports(80, 90), handle=7)
KEY = pack(ip("10.0.0.0"), 80), pack(ip("10.255.255.255"), 90)


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (Change("add", "table"), ["add table inet patchbay"]),
        (Change("delete", "table"), ["delete table inet patchbay"]),
        (
            Change("add", "chain", CHAINS["guard"]),
            ["add chain inet patchbay guard { type filter hook prerouting priority -300; policy accept; }"],
        ),
        (Change("add", "chain", Chain("plain")), ["add chain inet patchbay plain"]),
        (Change("delete", "chain", CHAINS["guard"]), ["delete chain inet patchbay guard"]),
        (
            Change("add", "rule", RULE),
            [
                "add rule inet patchbay postrouting meta nfproto ipv4 tcp dport 80-90 counter masquerade "
                'comment "ours"'
            ],
        ),
        (
            Change("insert", "rule", replace(RULE, comment=""), 3),
            [
                "insert rule inet patchbay postrouting position 3 meta nfproto ipv4 tcp dport 80-90 counter masquerade"
            ],
        ),
        (Change("delete", "rule", RULE), ["delete rule inet patchbay postrouting handle 7"]),
        (Change("delete", "set", "theirs"), ["delete set inet patchbay theirs"]),
        (Change("delete", "set", MAP), ["delete map inet patchbay m"]),
        (
            Change("add", "set", MAP),
            [
                "add map inet patchbay m { type ipv4_addr . inet_service : ipv4_addr; flags interval; counter; }"
            ],
        ),
        (
            Change("add", "elements", (MAP, {Element(*KEY, pack(ip("10.20.0.2")), "ours")})),
            ['add element inet patchbay m { 10.0.0.0/8 . 80-90 comment "ours" : 10.20.0.2 }'],
        ),
        (
            Change("delete", "elements", (MAP, {Element(*KEY, pack(ip("10.20.0.2")), "ours")})),
            ["delete element inet patchbay m { 10.0.0.0/8 . 80-90 }"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_changes_are_said_as_nft_would_be_told(change: Change, lines: list[str]) -> None:
    assert change.command() == lines


def test_an_element_that_we_would_not_write_is_removed_in_words_too() -> None:
    """Somebody's ``add element inet patchbay m { 10.0.0.1-10.0.0.5 . 80 : 10.20.0.2 }``."""
    stranger = Element(pack(ip("10.0.0.1"), 80), pack(ip("10.0.0.5"), 80), pack(ip("10.20.0.2")))
    empty = Content(sets={"m": MAP}, elements={"m": frozenset()})
    (change,) = changes(replace(empty, elements={"m": frozenset([stranger])}), empty)
    assert change.command() == ["delete element inet patchbay m { 10.0.0.1-10.0.0.5 . 80 }"]


@pytest.mark.parametrize("name", [b"\xff" * 16, b"a" * 15 + b"\xe9"])
def test_an_interface_name_that_is_no_text_is_removed_in_words_too(name: bytes) -> None:
    what = Declaration("s", ("ifname",))
    empty = Content(sets={"s": what}, elements={"s": frozenset()})
    (change,) = changes(replace(empty, elements={"s": frozenset([Element(name, name)])}), empty)
    assert change.command()[0].startswith("delete element inet patchbay s {")


# ---- order


def test_a_table_that_sleeps_is_woken() -> None:
    content = some.numbered(t.cast(Content, nat_layout.layout([some.masquerade().parts[0].spec])))  # type: ignore[attr-defined]
    assert changes(replace(content, dormant=True), content) == [Change("add", "table")]


def test_no_table_from_a_table_takes_one_change() -> None:
    assert changes(Content(dict(CHAINS)), None) == [Change("delete", "table")]


def test_a_policy_is_changed_in_place() -> None:
    chain = CHAINS["postrouting"]
    now = Content({chain.name: chain._replace(policy="drop")}, {chain.name: (RULE,)})
    wanted = Content({chain.name: chain}, {chain.name: (RULE,)})
    assert changes(now, wanted) == [Change("add", "chain", chain)]


def test_new_rules_go_to_their_places_among_those_that_stay() -> None:
    first, second, third, fourth = (replace(RULE, ports=Ports(port, port), handle=port) for port in (1, 2, 3, 4))
    chains = {"postrouting": CHAINS["postrouting"]}
    now = Content(chains, {"postrouting": (second, third)})
    wanted = Content(chains, {"postrouting": (first, second, third, fourth)})
    assert changes(now, wanted) == [
        Change("insert", "rule", replace(first, handle=None), 2),
        Change("add", "rule", replace(fourth, handle=None)),
    ]


def test_the_table_has_one_name_everywhere() -> None:
    assert (nft_changes.FAMILY, nft_changes.TABLE) == ("inet", "patchbay")
