# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps that are sent together: what is waited for, what is confirmed, and what happens when something of it fails."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import typing as t
from dataclasses import dataclass

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine import run
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import Key, Step
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Interrupted, KernelError, NotVerified
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.interruption import deferred
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.netlink import Raw, Refusal
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.queue import Queue, Request


@dataclass(frozen=True)
class Light:
    name: str

    @property
    def key(self) -> Key:
        return ("light", self.name)


class Grid:
    """Stands in for the kernel and for its one socket: what is sent is written down, what is broken is refused."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.log: list[str] = []
        self.queue: Queue | None = None

    @contextlib.contextmanager
    def gathering(self, problems: list[str] | None = None) -> t.Iterator[Queue]:
        self.queue = Queue(problems)
        try:
            yield self.queue
        finally:
            self.queue = None

    def flush(self) -> None:
        assert self.queue is not None
        self.queue.flush()

    def exchange(self, messages: t.Sequence[Raw]) -> dict[int, Refusal]:
        texts = [message.body.decode() for message in messages]
        self.log.append(" ".join(texts))
        return {index: Refusal(1, "broken", index) for index, text in enumerate(texts) if text in self.broken}

    def request(self, text: str) -> Request:
        return Request(t.cast(t.Any, self), Raw(0, 0, text.encode()), f"send {text}")


class Lit(Step):
    """Switches a light by a request that waits for others."""

    phase = "lights"

    def apply(self, kernel: t.Any) -> None:
        kernel.queue.add(kernel.request(_word(self)))

    @classmethod
    def settle(cls, kernel: t.Any, steps: t.Sequence[Step]) -> None:
        kernel.log.append(f"settle {' '.join(map(_word, steps))}")

    @classmethod
    def finish(cls, kernel: t.Any, steps: t.Sequence[Step]) -> None:
        kernel.log.append(f"finish {' '.join(map(_word, steps))}")
        if "finish" in kernel.broken:
            raise KernelError("the kernel refused to finish.", errno=1)

    def commands(self) -> list[str]:
        return []


class Lamp(Lit):
    """Another kind, that needs what was before it to be done."""

    phase = "lamps"

    def apply(self, kernel: t.Any) -> None:
        kernel.flush()
        word = _word(self)
        if word in kernel.broken:
            raise KernelError(f"could not switch {word}.", errno=1)
        kernel.log.append(f"at once {word}")


class Removed(Lit):
    """Is marked first, and removed with all others that are."""

    def apply(self, kernel: t.Any) -> None:
        name = (self.before or self.after)[0].name
        if self.before:
            kernel.queue.condemn(*(kernel.request(f"{word}-{name}") for word in ("mark", "sentence", "pardon")))
        else:
            kernel.queue.add(kernel.request(f"+{name}"))


def _word(step: Step) -> str:
    return f"{'+' if step.after else '-'}{(step.after or step.before)[0].name}"


def on(name: str, kind: type[Step] = Lit) -> Step:
    return kind((), (Light(name),))


def off(name: str, kind: type[Step] = Removed) -> Step:
    return kind((Light(name),), ())


def apply(grid: Grid, *steps: Step, **options: t.Any) -> list[str]:
    run.apply(t.cast(t.Any, grid), steps, **options)
    return grid.log


# ---- all goes well


def test_requests_are_sent_together_then_what_they_do_is_waited_for_by_kind_then_all_is_finished() -> None:
    grid = Grid()
    log = apply(grid, on("a"), on("x", Lamp), on("b"), on("c"), confirm=lambda: grid.log.append("confirm"))
    assert log == [
        "+a",
        "at once +x",
        "+b +c",
        "settle +a +b +c",
        "settle +x",
        "confirm",
        "finish +a +b +c",
        "finish +x",
    ]


def test_progress_is_told_by_phase() -> None:
    told: list[tuple[str, int, int]] = []
    apply(Grid(), on("a"), on("x", Lamp), on("b"), watch=lambda *each: told.append(each))
    assert told == [("lights", 0, 2), ("lamps", 0, 1), ("lights", 1, 2)]


# ---- something fails


def test_what_was_carried_out_is_taken_back_and_what_was_refused_is_not() -> None:
    grid = Grid("+b")
    with pytest.raises(KernelError, match=r"^the kernel refused to send \+b: broken"):
        apply(grid, on("a"), on("b"), on("c"))
    assert grid.log == ["+a +b +c", "-c -a", "settle -c -a"]


def test_what_was_never_sent_is_not_taken_back() -> None:
    grid = Grid("+x")
    with pytest.raises(KernelError, match=r"^could not switch \+x\.$"):
        apply(grid, on("a"), on("x", Lamp), on("b"))
    assert grid.log == ["+a", "-a", "settle -a"]


def test_what_waits_when_a_step_fails_is_never_sent() -> None:
    grid = Grid()

    class Fails(Lit):
        def apply(self, kernel: t.Any) -> None:
            raise KernelError("no.", errno=1)

    with pytest.raises(KernelError, match=r"^no\.$"):
        apply(grid, on("a"), on("b", Fails))
    assert grid.log == []


def test_a_lab_that_is_not_confirmed_is_taken_back_and_not_finished() -> None:
    def deny() -> None:
        raise NotVerified("it is not what was asked for.")

    grid = Grid()
    with pytest.raises(NotVerified, match=r"^it is not what was asked for\.$"):
        apply(grid, on("a"), confirm=deny)
    assert grid.log == ["+a", "settle +a", "-a", "settle -a"]


def test_links_that_are_marked_are_pardoned_before_anything_is_taken_back() -> None:
    grid = Grid("+b")
    with pytest.raises(KernelError):
        apply(grid, on("a"), off("gone"), on("b"))
    assert grid.log == ["+a mark-gone +b", "pardon-gone", "-a", "settle -a"]


def test_links_whose_sentence_was_carried_out_are_made_again() -> None:
    grid = Grid("+x")
    with pytest.raises(KernelError):
        apply(grid, off("gone"), on("x", Lamp))
    assert grid.log == ["mark-gone", "sentence-gone", "+gone", "settle +gone"]


def test_what_can_not_be_taken_back_is_told_and_everything_else_is() -> None:
    grid = Grid("+b", "-c")
    with pytest.raises(
        KernelError, match=r"send \+b: broken .*did not succeed either: the kernel refused to send -c: b"
    ):
        apply(grid, on("a"), on("c"), on("b"))
    assert grid.log == ["+a +c +b", "-c -a", "settle -c -a"]


def test_a_step_that_fails_only_partly_is_taken_back_as_a_whole() -> None:
    class Two(Lit):
        def apply(self, kernel: t.Any) -> None:
            if self.after:
                kernel.queue.add(kernel.request("first"))
                kernel.queue.add(kernel.request("second"))
            else:
                super().apply(kernel)

    grid = Grid("second")
    with pytest.raises(KernelError):
        apply(grid, on("a", Two))
    assert grid.log == ["first second", "-a", "settle -a"]


# ---- asked to end


def test_a_run_that_is_asked_to_end_ends_between_two_steps_and_takes_back_what_it_did() -> None:
    grid = Grid()

    def watch(phase: str, done: int, _total: int) -> None:
        if (phase, done) == ("lights", 1):
            os.kill(os.getpid(), signal.SIGTERM)

    with deferred(), pytest.raises(Interrupted, match=r"^stopped by SIGTERM"):
        apply(grid, on("x", Lamp), on("a"), on("b"), on("c"), watch=watch)
    assert grid.log == ["at once +x", "at once -x", "settle -x"]


def test_a_run_that_is_asked_to_end_while_it_waits_is_not_confirmed() -> None:
    class Slow(Lit):
        @classmethod
        def settle(cls, kernel: t.Any, steps: t.Sequence[Step]) -> None:
            kernel.log.append("wait")
            os.kill(os.getpid(), signal.SIGINT)

    grid = Grid()
    with deferred(), pytest.raises(Interrupted, match=r"^stopped by SIGINT"):
        apply(grid, on("a", Slow), confirm=lambda: grid.log.append("confirm"))
    assert "confirm" not in grid.log
    assert "-a" in grid.log


# ---- what can't be undone


def test_trouble_at_the_end_is_told_when_all_was_tried_and_nothing_is_taken_back() -> None:
    grid = Grid("finish")
    with pytest.raises(KernelError, match=r"^the kernel refused to finish\.$"):
        apply(grid, on("a"), on("x", Lamp))
    assert grid.log[-2:] == ["finish +a", "finish +x"]
    assert not any("-" in line for line in grid.log)


# ---- garbage


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_again_after_a_run_if_it_was_before(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(ZeroDivisionError), run.uncollected():
            assert not gc.isenabled()
            raise ZeroDivisionError
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
