# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Carry out a wish: observe, plan, apply or rehearse, and say what came of it."""

from __future__ import annotations

import contextlib
import gc
import typing as t
from dataclasses import dataclass

from .._errors import NoNamespace, PatchbayError
from .._kernel.kernel import Kernel
from .._kernel.rundir import locked
from .model import State, Step, Wish


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


def execute(wish: Wish, *, check: bool = False) -> Outcome:
    """Bring the kernel to the wish, or with ``check`` only find out what that takes.

    Runs wait for each other on one lock. A run that fails half way takes its steps back.
    Raises PatchbayError.
    """
    with contextlib.nullcontext() if check else locked(), _uncollected(), Kernel() as kernel:
        observed = _observe(wish, kernel)
        steps = wish.plan(observed)
        commands = [command for step in steps for command in step.commands()]
        if check:
            for step in steps:
                step.rehearse(kernel)
            reached = project(observed, steps)
        else:
            apply(kernel, steps)
            reached = _observe(wish, kernel).recognized(project(observed, steps)) if steps else observed
        before = wish.view(observed)
        after = before if reached is observed else wish.view(reached)
        warnings = wish.warnings(observed, reached)
        return Outcome(bool(steps), before, after, commands, warnings, manner(steps, before, after))


@contextlib.contextmanager
def _uncollected() -> t.Iterator[None]:
    """Without the search for cyclic garbage: a run ends soon, and searching its thousands of new objects takes a fifth of it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _observe(wish: Wish, kernel: Kernel) -> State:
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


def apply(kernel: Kernel, steps: t.Iterable[Step]) -> None:
    """Carry out steps in order; when one fails, undo those before it, last first, and raise its error."""
    done: list[Step] = []
    try:
        for step in steps:
            step.apply(kernel)
            done.append(step)
    except BaseException as error:
        left = _roll_back(kernel, done)
        if left and isinstance(error, PatchbayError):
            raise type(error)(
                f"{error} Taking back what was done before did not succeed either: {'; '.join(left)}", **error.details
            ) from None
        raise


def _roll_back(kernel: Kernel, done: list[Step]) -> list[str]:
    problems = []
    for step in reversed(done):
        for backward in step.undo():
            try:
                backward.apply(kernel)
            except PatchbayError as error:
                problems.append(str(error))
    return problems


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
