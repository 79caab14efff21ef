# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What our table holds, and the changes that lead from one content to another, each as nft(8) would say it.

Pure: nothing here talks to the kernel.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .nft_rules import CHAINS, Chain, DnatBy, Rule
from .nft_sets import Declaration, Element

TABLE = "patchbay"
FAMILY = "inet"
_WHERE = f"{FAMILY} {TABLE}"
_ELEMENTS_IN_A_LINE = 50  # a thousand programs would be started otherwise; more than this nobody reads


@dataclass(frozen=True)
class Content:
    """A table: its chains by name, their rules in order, its sets by name and what is in them.

    ``strange`` names sets of kinds that these classes have no words for, or with such elements.
    """

    chains: t.Mapping[str, Chain] = field(default_factory=dict)
    rules: t.Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    sets: t.Mapping[str, Declaration] = field(default_factory=dict)
    elements: t.Mapping[str, frozenset[Element]] = field(default_factory=dict)
    strange: frozenset[str] = frozenset()
    dormant: bool = False
    """Whether somebody has put the table to sleep: then none of its rules is carried out."""

    def all_rules(self) -> t.Iterator[Rule]:
        """Every rule, chain by chain in the order of CHAINS; those of other chains last."""
        for name in [*CHAINS, *(set(self.rules) - set(CHAINS))]:
            yield from self.rules.get(name, ())


class Change(t.NamedTuple):
    """One change; ``subject`` is a Chain, a Rule, a Declaration, elements with their Declaration, or a name."""

    verb: str
    """add, insert or delete."""
    kind: str
    """table, chain, rule, set or elements."""
    subject: t.Any = None
    before: int | None = None
    """The handle of the rule that an inserted one comes before."""

    def command(self) -> list[str]:
        """What nft(8) is told, without the word nft."""
        return list(_WORDS[self.kind](self))


def _table(change: Change) -> t.Iterator[str]:
    yield f"{change.verb} table {_WHERE}"


def _chain(change: Change) -> t.Iterator[str]:
    chain: Chain = change.subject
    yield f"{change.verb} chain {_WHERE} {chain.name}" + (f" {chain}" if change.verb == "add" and chain.type else "")


def _rule(change: Change) -> t.Iterator[str]:
    rule: Rule = change.subject
    if change.verb == "delete":
        yield f"delete rule {_WHERE} {rule.chain} handle {rule.handle or '?'}"
        return
    comment = f' comment "{rule.comment}"' if rule.comment else ""
    position = f" position {change.before}" if change.before else ""
    yield f"{change.verb} rule {_WHERE} {rule.chain}{position} {rule}{comment}"


def _set(change: Change) -> t.Iterator[str]:
    what = change.subject
    if isinstance(what, Declaration):
        yield f"{change.verb} {what.word} {_WHERE} {what.name}" + (f" {what}" if change.verb == "add" else "")
    else:  # of a kind that has no word here
        yield f"{change.verb} set {_WHERE} {what}"


def _elements(change: Change) -> t.Iterator[str]:
    what, elements = change.subject
    words = what.shown if change.verb == "add" else what.shown_key
    shown = [words(element) for element in sorted(elements)]
    for start in range(0, len(shown), _ELEMENTS_IN_A_LINE):
        few = ", ".join(shown[start : start + _ELEMENTS_IN_A_LINE])
        yield f"{change.verb} element {_WHERE} {what.name} {{ {few} }}"


_WORDS = {"table": _table, "chain": _chain, "rule": _rule, "set": _set, "elements": _elements}


def changes(now: Content | None, wanted: Content | None) -> list[Change]:
    """What leads from ``now`` to ``wanted``, in an order that the kernel takes; None is no table at all."""
    if now is None or wanted is None:
        if now is None and wanted is None:
            return []
        if wanted is None:
            return [Change("delete", "table")]
        return [Change("add", "table"), *changes(Content(), wanted)]
    other_sets = {name for name in now.strange if name in wanted.sets}
    other_sets |= {name for name, what in now.sets.items() if name in wanted.sets and wanted.sets[name] != what}
    other_chains = {name for name, chain in now.chains.items() if _is_other(chain, wanted.chains.get(name))}
    gone, come = _rules(now, wanted, other_sets, other_chains)
    return [
        *([Change("add", "table")] if now.dormant else []),
        *gone,
        *_sets_that_go(now, wanted, other_sets),
        *(
            Change("delete", "chain", chain)
            for name, chain in now.chains.items()
            if name in other_chains or name not in wanted.chains
        ),
        *_sets_that_come(now, wanted, other_sets),
        *(
            Change("add", "chain", chain)
            for name, chain in wanted.chains.items()
            if name in other_chains or now.chains.get(name) != chain
        ),
        *come,
    ]


def _is_other(chain: Chain, wanted: Chain | None) -> bool:
    """Whether it has to be made anew; a policy can be changed in place."""
    return wanted is not None and chain._replace(policy=wanted.policy) != wanted


def _sets_that_go(now: Content, wanted: Content, other: set[str]) -> t.Iterator[Change]:
    for name in [*now.sets, *sorted(now.strange - set(now.sets))]:
        if name in other or name not in wanted.sets:
            yield Change("delete", "set", now.sets.get(name, name))
        elif surplus := now.elements[name] - wanted.elements[name]:
            yield Change("delete", "elements", (now.sets[name], surplus))


def _sets_that_come(now: Content, wanted: Content, other: set[str]) -> t.Iterator[Change]:
    for name, what in wanted.sets.items():
        fresh = name in other or name not in now.sets
        if fresh:
            yield Change("add", "set", what)
        if missing := wanted.elements[name] - (frozenset() if fresh else now.elements[name]):
            yield Change("add", "elements", (what, missing))


def _rules(
    now: Content, wanted: Content, other_sets: set[str], other_chains: set[str]
) -> tuple[list[Change], list[Change]]:
    """The rules to delete, and those to add, each at its place."""
    gone: list[Change] = []
    come: list[Change] = []
    for name in [*wanted.rules, *(name for name in now.rules if name not in wanted.rules)]:
        old, new = now.rules.get(name, ()), wanted.rules.get(name, ())
        if name in other_chains or name not in wanted.chains:
            kept: list[tuple[int, int]] = []
        else:
            kept = [(at, to) for at, to in _in_common(old, new) if not _uses(old[at]) & other_sets]
        stay = {at for at, _to in kept}
        gone += [Change("delete", "rule", rule) for at, rule in enumerate(old) if at not in stay]
        places = {to: old[at].handle for at, to in kept}
        come += [_placed(rule, to, places) for to, rule in enumerate(new) if to not in places]
    return gone, come


def _in_common(old: tuple[Rule, ...], new: tuple[Rule, ...]) -> list[tuple[int, int]]:
    """The pairs of positions of a longest series of rules that both have in the same order."""
    if old == new:
        return [(at, at) for at in range(len(old))]
    import difflib  # only here: most runs find every rule in its place

    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return [(block.a + at, block.b + at) for block in blocks for at in range(block.size)]


def _uses(rule: Rule) -> set[str]:
    """The names of the sets that the rule looks into."""
    names = {rule.verdict.name} if isinstance(rule.verdict, DnatBy) else set()
    return names | ({rule.member.name} if rule.member else set())


def _placed(rule: Rule, to: int, places: t.Mapping[int, int | None]) -> Change:
    """Rules that stay keep their handles and counters, and new ones come between them."""
    behind = [at for at in places if at > to]
    if not behind:
        return Change("add", "rule", rule)
    return Change("insert", "rule", rule, places[min(behind)])
