# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Rules of the table ``inet patchbay`` that belong together: one masquerade or one forward, and the step that sets them.

Every rule carries a comment that says which object it is part of; by that it is found again, whoever
loaded it. Rules without such a comment are somebody else's and stay.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import typing as t
from dataclasses import dataclass, replace

from .._engine.model import Item, Key, State, Step
from .._errors import Conflict
from .._kernel import nftables
from .._kernel.kernel import Kernel
from .._kernel.nft_rules import CHAINS, Opaque, Rule
from .words import place, prefix

_TABLE = f"{nftables.FAMILY} {nftables.TABLE}"
_LONGEST_IDENTITY = 80  # bytes: nft takes comments of 128
_COMMENT = re.compile(r"patchbay (masquerade|forward) \[([^\]]*)\] (\S+)")
_PLAIN = re.compile(r"[\w .:/@+=,~-]*", re.ASCII)


@dataclass(frozen=True)
class NatObject:
    """All rules of one masquerade or forward, in the order of the chains and within them."""

    netns: str | None
    kind: str
    identity: str
    rules: tuple[Rule, ...]

    @property
    def key(self) -> Key:
        return ("nat", self.netns, self.kind, self.identity)

    @property
    def readable(self) -> list[Rule]:
        """The rules but those of another shape."""
        return [rule for rule in self.rules if not isinstance(rule.verdict, Opaque)]


@dataclass(frozen=True)
class NatTable:
    """The table itself: its chains, and those among them that would stay without rules of ours."""

    netns: str | None
    chains: frozenset[str]
    kept: frozenset[str] = frozenset()
    shared: bool = False
    """Whether somebody put more than rules into it (sets, maps): then it is never removed."""
    strange: frozenset[str] = frozenset()
    """Chains that have the name of one of ours and another type, hook or priority."""

    @property
    def key(self) -> Key:
        return ("nat-table", self.netns)


def identity(text: str) -> str:
    """``text``, or a short form of it when it is too long, or too strange, for a comment."""
    if _PLAIN.fullmatch(text) and len(text) <= _LONGEST_IDENTITY:
        return text
    return f"~{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def comment(kind: str, name: str, part: str) -> str:
    """The comment of a rule."""
    return f"patchbay {kind} [{name}] {part}"


def owner(rule: Rule) -> tuple[str, str] | None:
    """Kind and identity of the object that the rule is part of, or None when it is not ours."""
    match = _COMMENT.fullmatch(rule.comment)
    return (match[1], match[2]) if match else None


def part(rule: Rule) -> str:
    """What the rule does in its object."""
    return rule.comment.rpartition(" ")[2]


def observe(kernel: Kernel, netns: str | None) -> list[Item]:
    """The table and every object of ours in it."""
    table = nftables.read(kernel, netns)
    if table is None:
        return []
    ours: dict[tuple[str, str], list[Rule]] = {}
    kept = set(table.chains) - {rule.chain for rule in table.rules}
    for rule in table.rules:
        name = owner(rule)
        if name is None:
            kept.add(rule.chain)
        else:
            ours.setdefault(name, []).append(rule)
    objects = [NatObject(netns, kind, name, tuple(rules)) for (kind, name), rules in ours.items()]
    return [NatTable(netns, frozenset(table.chains), frozenset(kept), table.more, frozenset(table.strange)), *objects]


def put(state: State, netns: str | None, kind: str, name: str, rules: t.Iterable[Rule]) -> list[Step]:
    """The step that makes ``rules``, in the order of CHAINS, all that the object has; none removes it."""
    order = list(CHAINS)
    wanted = tuple(sorted(rules, key=lambda rule: order.index(rule.chain)))
    fresh = NatObject(netns, kind, name, wanted)
    now: NatObject | None = state.get(fresh.key)
    if (now.rules if now else ()) == wanted:
        return []
    table: NatTable | None = state.get(("nat-table", netns))
    others = {
        rule.chain
        for other in state.of(NatObject)
        if other.netns == netns and other.key != fresh.key
        for rule in other.rules
    }
    base = table or NatTable(netns, frozenset())
    _refuse_strange(base, {rule.chain for rule in wanted})
    chains = base.kept | others | {rule.chain for rule in wanted}
    reached = [replace(base, chains=frozenset(chains))] if chains or base.shared else []
    return [PutNat(_present(table, now), _present(*reached, fresh if wanted else None))]


def _refuse_strange(table: NatTable, needed: set[str]) -> None:
    for name in sorted(table.strange & needed):
        chain = CHAINS[name]
        raise Conflict(
            f"the chain {name} of the nftables table {_TABLE}{place(table.netns)} is not a {chain.type} chain at hook {chain.hook} "
            f"with priority {chain.priority}, so somebody else made it. "
            f"Remove that table with '{prefix(table.netns)}nft delete table {_TABLE}', or at least the chain, and run this again."
        )


def _present(*items: t.Any) -> tuple[t.Any, ...]:
    return tuple(item for item in items if item is not None)


class PutNat(Step):
    """Gives one object its rules, in one batch: the kernel takes all of it or nothing."""

    def apply(self, kernel: Kernel) -> None:
        self._send(kernel, commit=True)

    def rehearse(self, kernel: Kernel) -> None:
        self._send(kernel, commit=False)

    def _send(self, kernel: Kernel, *, commit: bool) -> None:
        """The handles are read anew: those of a step that is undone are not known when it is planned."""
        subject = next(item for item in (*self.before, *self.after) if isinstance(item, NatObject))
        table = nftables.read(kernel, subject.netns)
        batch = nftables.Batch(table)
        if table is not None:
            batch.remove(rule for rule in table.rules if owner(rule) == (subject.kind, subject.identity))
        batch.add(_rules(self.after))
        batch.send(kernel, subject.netns, commit=commit)

    def commands(self) -> list[str]:
        subject = (*self.before, *self.after)[0]
        before, after = _chains(self.before), _chains(self.after)
        if after is None:
            return _said(subject.netns, [f"delete table {_TABLE}"])
        lines = [f"delete rule {_TABLE} {rule.chain} handle {rule.handle or '?'}" for rule in _rules(self.before)]
        lines += [f"add table {_TABLE}"] if before is None else []
        lines += [_add_chain(name) for name in CHAINS if name in after - (before or frozenset())]
        lines += [f'add rule {_TABLE} {rule.chain} {rule} comment "{rule.comment}"' for rule in _rules(self.after)]
        lines += [f"delete chain {_TABLE} {name}" for name in sorted((before or frozenset()) - after)]
        return _said(subject.netns, lines)


def _rules(items: tuple[t.Any, ...]) -> tuple[Rule, ...]:
    return next((item.rules for item in items if isinstance(item, NatObject)), ())


def _chains(items: tuple[t.Any, ...]) -> frozenset[str] | None:
    return next((item.chains for item in items if isinstance(item, NatTable)), None)


def _add_chain(name: str) -> str:
    chain = CHAINS[name]
    return f"add chain {_TABLE} {name} {{ type {chain.type} hook {chain.hook} priority {chain.priority}; }}"


def _said(netns: str | None, lines: list[str]) -> list[str]:
    """As a shell takes them: what it would read something into is quoted."""
    quoted = (line if re.fullmatch(r"[\w ./:-]+", line, re.ASCII) else shlex.quote(line) for line in lines)
    return [f"{prefix(netns)}nft {line}" for line in quoted]
