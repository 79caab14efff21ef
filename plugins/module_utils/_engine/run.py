# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Carry out a wish: observe, plan, apply or rehearse, and say what came of it."""

from __future__ import annotations

import collections
import contextlib
import gc
import typing as t
from dataclasses import dataclass

from .._errors import NoNamespace, PatchbayError
from .._kernel import interruption
from .._kernel.interruption import deferred
from .._kernel.kernel import Kernel
from .._kernel.rundir import locked
from .model import Plannable, State, Step, Wish


@dataclass(frozen=True)
class Outcome:
    """What a run did, or, in check mode, would have done."""

    changed: bool
    before: dict[str, t.Any]
    after: dict[str, t.Any]
    commands: list[str]
    warnings: list[str]
    manner: str
    """created, removed, changed in place, recreated, or unchanged."""


Watch = t.Callable[[str, int, int], None]
"""Is told of a run's progress: what is being done, how many of them are done, and how many there are."""


def unwatched(_phase: str, _done: int, _total: int) -> None:
    """Nobody wants to know."""


def execute(wish: Wish, *, check: bool = False) -> Outcome:
    """Bring the kernel to the wish, or with ``check`` only find out what that takes.

    Runs wait for each other on one lock. A run that fails half way takes its steps back.
    Raises PatchbayError.
    """
    with deferred(), contextlib.nullcontext() if check else locked(wish.name), uncollected(), Kernel() as kernel:
        observed, steps = carry_out(wish, kernel, check=check)
        commands = [command for step in steps for command in step.commands()]
        reached = observed
        if steps:
            reached = project(observed, steps)
            reached = reached if check else _observe(wish, kernel).recognized(reached)
        before = wish.view(observed)
        after = before if reached is observed else wish.view(reached)
        warnings = wish.warnings(observed, reached)
        return Outcome(bool(steps), before, after, commands, warnings, manner(steps, before, after))


def carry_out(
    wish: Plannable,
    kernel: Kernel,
    *,
    check: bool,
    watch: Watch = unwatched,
    confirm: t.Callable[[], None] = lambda: None,
) -> tuple[State, list[Step]]:
    """Look, plan, and carry the steps out or, with ``check``, rehearse them; returns what was seen and the steps.

    ``confirm`` is called when all is done but can still be undone; what it raises takes everything back.
    """
    observed = _observe(wish, kernel)
    steps = wish.plan(observed)
    if check:
        for step in steps:
            with contextlib.suppress(NoNamespace):  # one that is still to be made can't be asked
                step.rehearse(kernel)
    elif steps:
        apply(kernel, steps, watch=watch, confirm=confirm)
    return observed, steps


@contextlib.contextmanager
def uncollected() -> t.Iterator[None]:
    """Without the search for cyclic garbage: a run ends soon, and searching its thousands of new objects takes a fifth of it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _observe(wish: Plannable, kernel: Kernel) -> State:
    """Read what is there. What lived in a namespace that is gone is gone with it, so its absence needs nothing."""
    try:
        return wish.observe(kernel)
    except NoNamespace:
        if wish.present:
            raise
        return State()


def project(state: State, steps: t.Iterable[Step]) -> State:
    """The state that the steps lead to, by reasoning alone."""
    for step in steps:
        state = step.project(state)
    return state


def apply(
    kernel: Kernel,
    steps: t.Sequence[Step],
    *,
    watch: Watch = unwatched,
    confirm: t.Callable[[], None] = lambda: None,
) -> None:
    """Carry out steps in order; when one fails, undo those before it, last first, and raise its error."""
    done: set[int] = set()
    totals = collections.Counter(step.phase for step in steps)
    counts: collections.Counter[str] = collections.Counter()
    try:
        with kernel.gathering() as queue:
            for step in steps:
                interruption.check()
                watch(step.phase, counts[step.phase], totals[step.phase])
                queue.begin(step)
                step.apply(kernel)
                done.add(id(step))
                counts[step.phase] += 1
            kernel.flush()
            _settle(kernel, steps)
            interruption.check()
            confirm()
            for kind, of_kind in _by_kind(steps):
                queue.begin(of_kind[-1])
                kind.conclude(kernel, of_kind)
    except BaseException as error:
        queue.pardon()
        left = _roll_back(kernel, [step for step in steps if queue.took_effect(step, id(step) in done)], watch)
        if left and isinstance(error, PatchbayError):
            raise type(error)(
                f"{error} Taking back what was done before did not succeed either: {'; '.join(left)}", **error.details
            ) from None
        raise
    _finish(kernel, steps)


def _roll_back(kernel: Kernel, done: list[Step], watch: Watch) -> list[str]:
    """Undo the steps, last first, whatever refuses; returns what went wrong."""
    problems: list[str] = []
    backward: list[Step] = []
    with kernel.gathering(problems) as queue:
        for number, step in enumerate(reversed(done)):
            watch("steps taken back", number, len(done))
            for each in step.undo():
                queue.begin(each)
                try:
                    each.apply(kernel)
                    backward.append(each)
                except PatchbayError as error:
                    problems.append(str(error))
        kernel.flush()
        with contextlib.suppress(PatchbayError):
            _settle(kernel, backward)
    return problems


def _settle(kernel: Kernel, steps: t.Sequence[Step]) -> None:
    for kind, of_kind in _by_kind(steps):
        kind.settle(kernel, of_kind)


def _finish(kernel: Kernel, steps: t.Sequence[Step]) -> None:
    """What can't be undone: all of it is tried, then the first error is raised."""
    errors = []
    for kind, of_kind in _by_kind(steps):
        try:
            kind.finish(kernel, of_kind)
        except PatchbayError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _by_kind(steps: t.Iterable[Step]) -> list[tuple[type[Step], list[Step]]]:
    """The steps of each class, in the order of the first of each."""
    found: dict[type[Step], list[Step]] = {}
    for step in steps:
        found.setdefault(type(step), []).append(step)
    return list(found.items())


def manner(steps: t.Sequence[Step], before: t.Mapping[str, t.Any], after: t.Mapping[str, t.Any]) -> str:
    """How the object got from before to after, in the words of the diff."""
    if not steps:
        return "unchanged"
    if not before:
        return "created"
    if not after:
        return "removed"
    gone = {item.key for step in steps if not step.after for item in step.before}
    made = {item.key for step in steps if not step.before for item in step.after}
    return "recreated" if gone & made else "changed in place"
