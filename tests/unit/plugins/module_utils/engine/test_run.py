# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying out a wish: order, check mode, taking back, and what is said of it."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine import run
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import Key, State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.queue import Queue


@dataclass(frozen=True)
class Lamp:
    name: str
    on: bool = False

    @property
    def key(self) -> Key:
        return ("lamp", self.name)


class World:
    """Stands in for the kernel: lamps, a log of what was done, and names that refuse to be touched."""

    def __init__(self, *lamps: Lamp, broken: t.Iterable[str] = ()) -> None:
        self.state = State(lamps)
        self.log: list[str] = []
        self.broken = set(broken)

    def __call__(self) -> World:
        return self

    def __enter__(self) -> World:
        self.log.append("open")
        return self

    def __exit__(self, *_exc: object) -> None:
        self.log.append("close")

    @contextlib.contextmanager
    def gathering(self, problems: list[str] | None = None) -> t.Iterator[Queue]:
        yield Queue(problems)

    def flush(self) -> None:
        """Lamps are switched at once."""


class Switch(Step):
    def apply(self, kernel: t.Any) -> None:
        word = "+".join(f"{lamp.name}{'*' if lamp.on else ''}" for lamp in self.after) or f"-{self.before[0].name}"
        if word in kernel.broken:
            raise KernelError(f"the kernel refused to do {word}.", errno=1)
        kernel.log.append(word)
        kernel.state = kernel.state.changed(self.before, self.after)

    def rehearse(self, kernel: t.Any) -> None:
        kernel.log.append("rehearse")

    def commands(self) -> list[str]:
        return [f"switch {(self.after or self.before)[0].name}"]


@dataclass(frozen=True)
class Wanted:
    """Wants lamps switched as given, one step for each; ``gone`` are removed first."""

    lamps: tuple[Lamp, ...]
    gone: tuple[str, ...] = ()
    texts: list[str] = field(default_factory=list)
    name: str = "lamps"

    def observe(self, kernel: t.Any) -> State:
        kernel.log.append("observe")
        return kernel.state

    def plan(self, state: State) -> list[Step]:
        steps: list[Step] = [
            Switch((state.get(("lamp", name)),), ()) for name in self.gone if state.get(("lamp", name))
        ]
        for lamp in self.lamps:
            now = None if lamp.name in self.gone else state.get(lamp.key)
            if now != lamp or lamp.name in self.gone:
                steps.append(Switch((now,) if now else (), (lamp,)))
        return steps

    def view(self, state: State) -> dict[str, t.Any]:
        return {lamp.name: lamp.on for lamp in state.of(Lamp)}

    def warnings(self, before: State, after: State) -> list[str]:
        return self.texts


@pytest.fixture
def locks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    taken: list[str] = []

    @contextlib.contextmanager
    def locked(_title: str) -> t.Iterator[None]:
        taken.append("taken")
        yield
        taken.append("given back")

    monkeypatch.setattr(run, "locked", locked)
    return taken


@pytest.fixture
def do(monkeypatch: pytest.MonkeyPatch, locks: list[str]) -> t.Callable[..., run.Outcome]:
    def execute(world: World, wish: Wanted, **options: t.Any) -> run.Outcome:
        monkeypatch.setattr(run, "Kernel", world)
        return run.execute(wish, **options)

    return execute


ON = Wanted((Lamp("a", True), Lamp("b", True)))


def test_steps_are_carried_out_in_order_between_two_looks(do: t.Any) -> None:
    world = World()
    do(world, ON)
    assert world.log == ["open", "observe", "a*", "b*", "observe", "close"]


def test_a_run_says_what_it_did(do: t.Any) -> None:
    outcome = do(World(Lamp("a")), ON)
    assert (outcome.changed, outcome.before, outcome.after, outcome.commands, outcome.manner) == (
        True,
        {"a": False},
        {"a": True, "b": True},
        ["switch a", "switch b"],
        "changed in place",
    )


def test_nothing_to_do_changes_nothing_and_looks_once(do: t.Any) -> None:
    world = World(Lamp("a", True), Lamp("b", True))
    outcome = do(world, ON)
    assert (outcome.changed, outcome.commands, outcome.manner) == (False, [], "unchanged")
    assert world.log == ["open", "observe", "close"]


def test_warnings_are_passed_on(do: t.Any) -> None:
    assert do(World(), Wanted((), texts=["mind the gap"])).warnings == ["mind the gap"]


# ---- check mode


def test_check_mode_predicts_what_a_run_does(do: t.Any) -> None:
    assert do(World(Lamp("a")), ON, check=True) == do(World(Lamp("a")), ON)


def test_check_mode_changes_nothing(do: t.Any) -> None:
    world = World(Lamp("a"))
    do(world, ON, check=True)
    assert (world.state, world.log) == (
        State([Lamp("a")]),
        ["open", "observe", "rehearse", "rehearse", "close"],
    )


def test_check_mode_waits_for_nobody(do: t.Any, locks: list[str]) -> None:
    do(World(), ON, check=True)
    assert locks == []


def test_row_43_a_run_holds_the_lock(do: t.Any, locks: list[str]) -> None:
    do(World(), ON)
    assert locks == ["taken", "given back"]


# ---- taking back


def test_row_42_a_run_that_fails_takes_its_steps_back_last_first(do: t.Any) -> None:
    world = World(broken=["c*"])
    with pytest.raises(KernelError):
        do(world, Wanted((Lamp("a", True), Lamp("b", True), Lamp("c", True))))
    assert world.log == ["open", "observe", "a*", "b*", "-b", "-a", "close"]


def test_row_42_after_taking_back_everything_is_as_before(do: t.Any) -> None:
    world = World(Lamp("a"), Lamp("b"), broken=["c*"])
    with pytest.raises(KernelError):
        do(world, Wanted((Lamp("a", True), Lamp("c", True)), gone=("b",)))
    assert world.state == State([Lamp("a"), Lamp("b")])


def test_the_error_is_the_kernels(do: t.Any) -> None:
    with pytest.raises(KernelError, match=r"^the kernel refused to do b\*\.$"):
        do(World(broken=["b*"]), ON)


def test_what_could_not_be_taken_back_is_said_with_the_error(do: t.Any) -> None:
    with pytest.raises(
        KernelError, match=r"refused to do b\*\. Taking back .* not succeed either: the kernel refused to do -a\."
    ) as caught:
        do(World(broken=["b*", "-a"]), ON)
    assert caught.value.errno == 1


def test_one_step_that_stays_does_not_keep_the_others(do: t.Any) -> None:
    world = World(broken=["c*", "-b"])
    with pytest.raises(KernelError):
        do(world, Wanted((Lamp("a", True), Lamp("b", True), Lamp("c", True))))
    assert world.log[-2:] == ["-a", "close"]


def test_an_interrupted_run_takes_its_steps_back(do: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    apply = Switch.apply

    def interrupted(self: Switch, kernel: t.Any) -> None:
        if self.after and self.after[0].name == "b":
            raise KeyboardInterrupt
        apply(self, kernel)

    monkeypatch.setattr(Switch, "apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        do(world, ON)
    assert world.state == State()


# ---- manner and projection


A, LIT = Lamp("a"), Lamp("a", True)


@pytest.mark.parametrize(
    ("steps", "before", "after", "word"),
    [
        ([], {"a": 1}, {"a": 1}, "unchanged"),
        ([Switch((), (A,))], {}, {"a": 1}, "created"),
        ([Switch((A,), ())], {"a": 1}, {}, "removed"),
        ([Switch((A,), (LIT,))], {"a": 1}, {"a": 1}, "changed in place"),
        ([Switch((A,), ()), Switch((), (LIT,))], {"a": 1}, {"a": 1}, "recreated"),
        ([Switch((A,), ()), Switch((), (Lamp("b"),))], {"a": 1}, {"a": 1}, "changed in place"),
    ],
)
def test_the_manner_is_one_word_of_the_diff(steps: t.Any, before: t.Any, after: t.Any, word: str) -> None:
    assert run.manner(steps, before, after) == word


def test_what_the_kernel_drops_by_itself_is_gone_in_the_projection() -> None:
    step = Switch((A,), (), (Switch((), (Lamp("b"),)),))
    assert step.project(State([A, Lamp("b"), Lamp("c")])) == State([Lamp("c")])


def test_what_the_kernel_dropped_is_brought_back_by_undoing() -> None:
    step = Switch((A,), (), (Switch((), (Lamp("b"),)),))
    assert run.project(State([Lamp("c")]), step.undo()) == State([A, Lamp("b"), Lamp("c")])
