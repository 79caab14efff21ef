# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The wish for any number of forwards and masquerades in one namespace: one table, one batch, one truth.

The whole table follows from the forwards and masquerades that it holds, so every run also puts right what somebody else
changed in it: the order of its rules, doubles, strangers.
"""

from __future__ import annotations

import functools
import re
import shlex
import types
import typing as t
from dataclasses import dataclass

from .._engine.model import Item, State, Step
from .._kernel import nft_changes, nftables, strangers
from .._kernel.kernel import Kernel
from .._kernel.nft_changes import Content
from . import forwarding, listeners, nat_layout, way
from .forwarding import Demand
from .listeners import Listening
from .nat_claims import Claims
from .nat_specs import ForwardSpec, Key, Spec
from .words import prefix


@dataclass(frozen=True)
class NatTable:
    """The table as it is, or as it is to be."""

    netns: str | None
    content: Content

    @property
    def key(self) -> tuple[t.Any, ...]:
        return ("nat-table", self.netns)

    @functools.cached_property
    def specs(self) -> dict[Key, Spec]:
        """The forwards and masquerades in it."""
        return nat_layout.specs(self.content)

    def knowing(self, specs: t.Mapping[Key, Spec]) -> NatTable:
        """This table, of which it is known what is in it: to understand a thousand elements takes its time."""
        self.__dict__["specs"] = dict(specs)
        return self


class PutNat(Step):
    """Makes the table what it is to be, in one batch: the kernel takes all of it or nothing."""

    def apply(self, kernel: Kernel) -> None:
        nftables.put(kernel, self._netns, self._content(self.after))

    def rehearse(self, kernel: Kernel) -> None:
        nftables.put(kernel, self._netns, self._content(self.after), commit=False)

    def commands(self) -> list[str]:
        planned = nft_changes.changes(self._content(self.before), self._content(self.after))
        lines = (line for change in planned for line in change.command())
        # As a shell takes them: what it would read something into is quoted.
        quoted = (line if re.fullmatch(r"[\w ./:-]+", line, re.ASCII) else shlex.quote(line) for line in lines)
        return [f"{prefix(self._netns)}nft {line}" for line in quoted]

    @property
    def _netns(self) -> str | None:
        table: NatTable = (*self.before, *self.after)[0]
        return table.netns

    @staticmethod
    def _content(items: tuple[t.Any, ...]) -> Content | None:
        return items[0].content if items else None


class Part(t.Protocol):
    """One forward or masquerade that a user asked for."""

    @property
    def netns(self) -> str | None: ...

    @property
    def name(self) -> str: ...

    @property
    def present(self) -> bool: ...

    @property
    def forwarding(self) -> bool:
        """Whether forwarding is to be switched on for it."""

    @property
    def reset(self) -> bool:
        """Whether established connections are cut when their path changes."""

    @property
    def force(self) -> bool:
        """Whether it may take a port away from a process that serves it, or wait behind somebody else's forward."""

    @property
    def foreign_firewall(self) -> str:
        """report, allow or fail: what to do where somebody else's firewall drops its packets."""

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions that it is about."""

    @property
    def keys(self) -> tuple[Key, ...]:
        """The specs that it is about, one for each IP version."""

    @property
    def bare(self) -> list[Spec]:
        """What is to be in the table as far as it is known without a look at the kernel; nothing when it is to be absent."""

    def specs(self, state: State) -> list[Spec]:
        """The same, complete."""

    def settings(self, state: State) -> list[str]:
        """The names of kernel settings that matter to it beside forwarding."""

    def demands(self, state: State) -> dict[str, str]:
        """The values that it needs these settings to have. Raises NotFound."""

    def view(self, state: State, specs: list[Spec]) -> dict[str, t.Any]:
        """How a user sees what the table holds of it."""

    def warnings(self, state: State) -> list[str]: ...


def holder(key: Key) -> str:
    """The name under which a spec holds kernel settings."""
    return " ".join(key)


@dataclass(frozen=True)
class Nat:
    """The wish for all ``parts``, which live in the same namespace."""

    parts: tuple[Part, ...]

    @property
    def netns(self) -> str | None:
        return self.parts[0].netns

    @property
    def name(self) -> str:
        return ", ".join(part.name for part in self.parts)

    @property
    def present(self) -> bool:
        return any(part.present for part in self.parts)

    # ---- observing

    def observe(self, kernel: Kernel) -> State:
        content = nftables.read(kernel, self.netns)
        items: list[Item] = [NatTable(self.netns, content)] if content else []
        wanted = [spec for part in self.parts for spec in part.bare if isinstance(spec, ForwardSpec)]
        items += way.observe(kernel, self.netns, (spec.target.address for spec in wanted))
        items += listeners.observe(kernel, self.netns, wanted)
        versions = sorted({version for part in self.parts for version in part.versions})
        if strangers.any_here(kernel, self.netns):
            items += _foreign().observe(kernel, self.netns, versions)
        found = State(items)
        more = dict.fromkeys(name for part in self.parts for name in part.settings(found))
        return State([*items, *forwarding.observe(kernel, self.netns, versions, more)])

    # ---- planning

    def plan(self, state: State) -> list[Step]:
        """What opens the machine comes after the rules that guard it, and goes before them."""
        wanted = self._demands(state)
        holders = {holder(key) for part in self.parts for key in part.keys}
        return [
            *forwarding.release(state, self.netns, wanted, holders),
            *self._translate(state),
            *forwarding.hold(state, self.netns, wanted, holders),
            *self._open(state),
        ]

    def _open(self, state: State) -> list[Step]:
        """What somebody else's firewall has to let through, or no longer."""
        if not self._is_surrounded(state):
            return []
        foreign = _foreign()
        _content, now = self._table(state)
        steps: list[Step] = []
        for part in self.parts:
            wanted = {spec.key: spec for spec in part.specs(state)}
            for key in part.keys:
                steps += foreign.plan(
                    state, self.netns, holder(key), now.get(key), wanted.get(key), part.foreign_firewall
                )
        return sorted(
            steps, key=lambda step: isinstance(step, foreign.CloseFirewall)
        )  # what can't be undone comes last

    def _forwarders(self) -> dict[int, frozenset[str]]:
        """Who needs forwarding, for each IP version."""
        found: dict[int, set[str]] = {}
        for part in self.parts:
            if part.present and part.forwarding:
                for version, key in zip(part.versions, part.keys):
                    found.setdefault(version, set()).add(holder(key))
        return {version: frozenset(holders) for version, holders in sorted(found.items())}

    def _demands(self, state: State) -> dict[str, Demand]:
        out: dict[str, Demand] = {}
        for version, holders in self._forwarders().items():
            for name, value in forwarding.needed(state, self.netns, version, holders).items():
                out[name] = Demand(value, holders)
        for part in self.parts:
            for name, value in part.demands(state).items():
                others = out[name].holders if name in out else frozenset()
                # Who goes without the other IP version must not leave this one's setting behind.
                needy = {holder(key) for version, key in zip(part.versions, part.keys) if f".ipv{version}." in name}
                out[name] = Demand(value, others | needy)
        return out

    def _translate(self, state: State) -> list[Step]:
        """The step that sets the table, and the one that ends flows on paths that are no more."""
        table: NatTable | None = state.get(("nat-table", self.netns))
        asked = [(part, part.specs(state)) for part in self.parts]
        alone = {spec.key: spec for _part, specs in asked for spec in specs}
        content = nat_layout.layout(alone.values())
        if table is not None and table.content == content:
            table.knowing(alone)  # there is what was asked for, and nothing else
            return []
        now = table.specs if table else {}
        mine = {key for part in self.parts for key in part.keys}
        wanted = {key: spec for key, spec in now.items() if key not in mine}
        claims, taken, surrounded = Claims(self.netns, wanted.values()), state.of(Listening), self._is_surrounded(state)
        for part, specs in asked:
            for spec in specs:
                claims.add(spec)
                if not part.force and (taken or surrounded):
                    listeners.refuse(taken, now.get(spec.key), spec)
                    if surrounded:
                        _foreign().refuse_rivals(state, self.netns, spec, now.get(spec.key))
                wanted[spec.key] = spec
        if wanted != alone:
            content = nat_layout.layout(wanted.values())
        if content == (table.content if table else None):
            return []
        from . import flows

        put = PutNat(_items(table), _items(content and NatTable(self.netns, content).knowing(wanted)))
        return [put, *flows.forget(self.netns, now.values(), wanted.values(), any(part.reset for part in self.parts))]

    def _is_surrounded(self, state: State) -> bool:
        """Whether there are other firewalls, or openings of ours on record."""
        return any(item.key[0] in ("firewalls", "opened") for item in state)

    def _table(self, state: State) -> tuple[Content | None, dict[Key, Spec]]:
        """The table and what is in it."""
        found: NatTable | None = state.get(("nat-table", self.netns))
        return (found.content, found.specs) if found else (None, {})

    # ---- saying

    def view(self, state: State) -> dict[str, t.Any]:
        """One part in full; of several, each in a line."""
        _content, found = self._table(state)
        there = [(part, [found[key] for key in part.keys if key in found]) for part in self.parts]
        if len(there) == 1:
            part, specs = there[0]
            return self._with_firewalls(state, part.view(state, specs), specs)
        return {holder(spec.key): str(spec) for _part, specs in there for spec in specs}

    def _with_firewalls(self, state: State, view: dict[str, t.Any], specs: list[Spec]) -> dict[str, t.Any]:
        """The view of a part, with what somebody else's firewalls do to it."""
        shown = _foreign().shown if self._is_surrounded(state) else None
        stopped = [each for spec in specs if shown for each in shown(state, self.netns, spec, holder(spec.key))]
        return {**view, "blocked_by": stopped} if view else view

    def warnings(self, before: State, after: State) -> list[str]:
        out: list[str] = []
        for version in self._forwarders():
            out += forwarding.warnings(before, after, self.netns, version)
        taken, surrounded = after.of(Listening), self._is_surrounded(after)
        for part in self.parts:
            out += part.warnings(before)
            for spec in part.specs(before) if taken or surrounded else ():
                out += listeners.warnings(taken, spec)
                out += _foreign().warnings(after, self.netns, spec, holder(spec.key)) if surrounded else []
        return list(dict.fromkeys(out))


def _foreign() -> types.ModuleType:
    """What understands other people's firewalls: much code, which a machine without one needs not load."""
    from . import foreign

    return foreign


def _items(*items: t.Any) -> tuple[t.Any, ...]:
    return tuple(item for item in items if item is not None)
