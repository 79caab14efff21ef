# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The wish for any number of forwards and masquerades in one namespace: one table, one batch, one truth.

The whole table follows from the forwards and masquerades that it holds, so every run also puts right what somebody else
changed in it: the order of its rules, doubles, strangers.
"""

from __future__ import annotations

import re
import shlex
import typing as t
from dataclasses import dataclass

from .._engine.model import Item, Key, State, Step
from .._kernel import nft_changes, nftables
from .._kernel.kernel import Kernel
from .._kernel.nft_changes import Content
from . import flows, forwarding, listeners, nat_layout
from .forwarding import Demand
from .nat_claims import Claims
from .nat_specs import ForwardSpec, Spec
from .words import prefix


@dataclass(frozen=True)
class NatTable:
    """The table as it is, or as it is to be."""

    netns: str | None
    content: Content

    @property
    def key(self) -> Key:
        return ("nat-table", self.netns)


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
    def versions(self) -> tuple[int, ...]:
        """The IP versions that it is about."""

    @property
    def reset(self) -> bool:
        """Whether established connections are cut when their path changes."""

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """The specs that it is about; several where both IP versions are meant."""

    def observe(self, kernel: Kernel) -> list[Item]:
        """What it needs to know beside the table."""

    def settings(self, state: State) -> list[str]:
        """The names of kernel settings that matter to it beside forwarding."""

    @property
    def bare(self) -> list[Spec]:
        """What is to be in the table as far as it is known without a look at the kernel; nothing when it is to be absent."""

    @property
    def force(self) -> bool:
        """Whether it may take a port away from a process that serves it."""

    def specs(self, state: State) -> list[Spec]:
        """The same, complete."""

    def demands(self, state: State) -> dict[str, Demand]:
        """The kernel settings that it needs."""

    def view(self, state: State, specs: list[Spec]) -> dict[str, t.Any]:
        """How a user sees what the table holds of it."""

    def warnings(self, before: State, after: State) -> list[str]: ...


def holder(key: tuple[str, str]) -> str:
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

    def observe(self, kernel: Kernel) -> State:
        content = nftables.read(kernel, self.netns)
        items: list[Item] = [NatTable(self.netns, content)] if content else []
        items += [item for part in self.parts for item in part.observe(kernel)]
        bare = [spec for part in self.parts for spec in part.bare]
        items += listeners.observe(kernel, self.netns, [spec for spec in bare if isinstance(spec, ForwardSpec)])
        found = State(items)
        more = dict.fromkeys(name for part in self.parts for name in part.settings(found))
        versions = sorted({version for part in self.parts for version in part.versions})
        return State([*items, *forwarding.observe(kernel, self.netns, versions, more)])

    def plan(self, state: State) -> list[Step]:
        """What opens the machine comes after the rules that guard it, and goes before them."""
        wanted = self._demands(state)
        holders = {holder(key) for part in self.parts for key in part.keys}
        return [
            *forwarding.release(state, self.netns, wanted, holders),
            *self._translate(state),
            *forwarding.hold(state, self.netns, wanted),
        ]

    def _demands(self, state: State) -> dict[str, Demand]:
        out: dict[str, Demand] = {}
        for part in self.parts:
            for name, demand in part.demands(state).items():
                before = out[name].holders if name in out else frozenset()
                out[name] = Demand(demand.value, before | demand.holders)
        return out

    def _translate(self, state: State) -> list[Step]:
        """The step that sets the table, and the one that ends flows on paths that are no more."""
        table: NatTable | None = state.get(("nat-table", self.netns))
        now = nat_layout.specs(table.content if table else None)
        wanted = {
            key: spec for key, spec in now.items() if key not in {key for part in self.parts for key in part.keys}
        }
        claims = Claims(self.netns, wanted.values())
        for part in self.parts:
            for spec in part.specs(state):
                claims.add(spec)
                if not part.force:
                    listeners.refuse(state, now.get(spec.key), spec)
                wanted[spec.key] = spec
        content = nat_layout.layout(wanted.values())
        if content == (table.content if table else None):
            return []
        reset = any(part.reset for part in self.parts)
        put = PutNat(_present(table), _present(content and NatTable(self.netns, content)))
        return [put, *flows.forget(self.netns, tuple(now.values()), tuple(wanted.values()), reset)]

    def view(self, state: State) -> dict[str, t.Any]:
        table: NatTable | None = state.get(("nat-table", self.netns))
        found = nat_layout.specs(table.content if table else None)
        shown = [part.view(state, [found[key] for key in part.keys if key in found]) for part in self.parts]
        return shown[0] if len(shown) == 1 else {part.name: view for part, view in zip(self.parts, shown) if view}

    def warnings(self, before: State, after: State) -> list[str]:
        return list(dict.fromkeys(warning for part in self.parts for warning in part.warnings(before, after)))


def _present(*items: t.Any) -> tuple[t.Any, ...]:
    return tuple(item for item in items if item is not None)
