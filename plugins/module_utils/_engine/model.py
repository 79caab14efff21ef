# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.
"""The contract between the engine and the kinds of object: items, states, steps and wishes.

An *item* is one fact about the kernel (a link, an address, a route), a frozen dataclass with a key.
A *state* is a set of items, at most one per key. A *step* turns some items into others: it can be
applied, undone, and printed as the command that does the same. A *wish* is what a user asked for:
it says what to look at, which steps lead there, and how the object is shown.
"""

from __future__ import annotations

import abc
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from .._kernel.kernel import Kernel

Key = tuple[t.Any, ...]


class Item(t.Protocol):
    """One fact, comparable with ``==``; ``key`` says which fact it is, whatever its properties."""

    @property
    def key(self) -> Key: ...


Kind = t.TypeVar("Kind")


class State:
    """An immutable set of items, one per key: what was observed, or what a plan leads to."""

    def __init__(self, items: t.Iterable[Item] = ()) -> None:
        self._items: dict[Key, Item] = {item.key: item for item in items}

    def __iter__(self) -> t.Iterator[Item]:
        return iter(self._items.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self._items == other._items

    def __hash__(self) -> int:
        return hash(frozenset(self._items.values()))

    def __repr__(self) -> str:
        return f"State({list(self._items.values())!r})"

    def get(self, key: Key) -> t.Any:
        """The item with this key, or None."""
        return self._items.get(key)

    def of(self, kind: type[Kind]) -> list[Kind]:
        """All items of one class, in the order in which they were observed."""
        return [item for item in self._items.values() if isinstance(item, kind)]

    def changed(self, removed: t.Iterable[Item], added: t.Iterable[Item]) -> State:
        """A new state without ``removed`` (by key) and with ``added``."""
        gone = {item.key for item in removed}
        added = list(added)
        fresh = {item.key for item in added}
        kept = [item for key, item in self._items.items() if key not in gone or key in fresh]
        return State([*kept, *added])

    def recognized(self, other: State) -> State:
        """The same items; those that equal the other's are the other's, with all that was found out about them already."""
        return State(
            theirs if theirs == item else item for item, theirs in ((item, other.get(item.key)) for item in self)
        )


@dataclass(frozen=True)
class Step(abc.ABC):
    """Turns the items ``before`` into the items ``after``. Subclasses, one per kind, know how.

    Creation has an empty ``before``, removal an empty ``after``. ``lost`` are items of other kinds that
    the kernel drops by itself with this step (the addresses of a removed link): undoing brings them back.
    """

    before: tuple[t.Any, ...]
    after: tuple[t.Any, ...]
    lost: tuple[Step, ...] = ()

    phase: t.ClassVar[str] = "changes"
    """What progress calls such steps, in the plural."""

    @abc.abstractmethod
    def apply(self, kernel: Kernel) -> None:
        """Do it, or have the kernel handle send what does it when it next sends. Raises KernelError."""

    @classmethod  # noqa: B027 - most effects are there at once
    def settle(cls, kernel: Kernel, steps: t.Sequence[Step]) -> None:
        """Wait until the effects of these steps, all of this class, are there, when all steps of the run were carried out."""

    @classmethod  # noqa: B027 - most steps leave nothing to do
    def conclude(cls, kernel: Kernel, steps: t.Sequence[Step]) -> None:
        """Do what can't be undone but may be refused, when all else is done. Raises KernelError as long as none of it is."""

    @classmethod  # noqa: B027 - most steps leave nothing to do
    def finish(cls, kernel: Kernel, steps: t.Sequence[Step]) -> None:
        """Do the rest of these steps, which can't be undone, once it is certain that nothing else fails."""

    def rehearse(self, kernel: Kernel) -> None:  # noqa: B027 - most kinds have nobody to ask
        """Ask the kernel, without a trace, whether it would do it; where it can be asked. Raises as ``apply``."""

    @abc.abstractmethod
    def commands(self) -> list[str]:
        """The ``ip``, ``bridge``, ``sysctl`` or ``nft`` commands that do the same."""

    def undo(self) -> list[Step]:
        """The steps that lead back, in order."""
        return [type(self)(before=self.after, after=self.before), *self.lost]

    def project(self, state: State) -> State:
        """The state after this step, by reasoning alone: check mode's answer."""
        for step in self.lost:
            state = state.changed(step.after, ())
        return state.changed(self.before, self.after)


class Plannable(t.Protocol):
    """What a user wants to be present or absent. Validated completely when it is made."""

    @property
    def name(self) -> str:
        """How messages call it, such as ``veth veth-red in red``."""

    @property
    def present(self) -> bool:
        """Whether it is to be there afterwards."""

    def observe(self, kernel: Kernel) -> State:
        """Read every item that the plan or the view needs. Changes nothing. Raises NotFound."""

    def plan(self, state: State) -> list[Step]:
        """The ordered steps from ``state`` to the wish; pure. Raises Conflict, NotOurs, NotFound, InvalidInput."""


class Wish(Plannable, t.Protocol):
    """A wish for one object, which can be shown."""

    def view(self, state: State) -> dict[str, t.Any]:
        """The object as a user sees it in results and diffs; empty when it is absent. Pure."""

    def warnings(self, before: State, after: State) -> list[str]:
        """Sentences a user should read although the run succeeds: what it brings about, and what stays wrong. Pure."""
