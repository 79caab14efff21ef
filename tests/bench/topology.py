# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the topology module takes for a thousand namespaces, next to the kernel's floor and what people use today.

All programs build the same lab (lab.py), which is checked with a small one first. They take turns, and the median of each
counts. Each starts when the kernel has freed the last lab; what is timed on a lab that stands starts when its new IPv6
neighbours have nothing to say to each other any more. Removal is timed until the kernel has released everything.
"""

from __future__ import annotations

import collections
import functools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import alike
import comparisons
import ours
from lab import Lab
from waiting import released, settled

GROWTH = (0.1, 1, 3)  # sizes of labs, in the one that is asked for
MEMORY, MEGABYTE = 120, 10**6  # what its process is to need at most
OURS = ("floor.c", "the module", "the module, all written out,")  # they build the same in every detail


@dataclass(frozen=True)
class Row:
    """A line of the table: ours and another figure, each with its unit; what their ratio is to be at most."""

    what: str
    mine: str
    beside: str
    theirs: str
    ratio: float | None
    bound: float | None


@dataclass
class Bench:
    """What was measured, one figure for each round."""

    lab: Lab
    floor: comparisons.Floor
    module: ours.Module = field(default_factory=ours.Module)
    times: dict[str, list[float]] = field(default_factory=lambda: collections.defaultdict(list))

    def middle(self, name: str) -> float:
        return statistics.median(self.times[name])

    # ---- what is timed

    def of_floor(self, lab: Lab, name: str) -> None:
        """Build the lab in C and tear it down at once."""
        released()
        self.times[name].append(self.floor.run("up", lab))
        self.floor.run("down", lab)

    def of_module(self, lab: Lab, name: str) -> None:
        """Build the lab with the module and tear it down at once."""
        released()
        self.times[name].append(self.module.present(lab.definition(), changes=True).seconds)
        self.module.absent()

    def whole_floor(self) -> None:
        """Build in C, wait, tear down."""
        released()
        start = time.perf_counter()
        self.times["floor"].append(self.floor.run("up", self.lab))
        self.times["floor, whole"].append(time.perf_counter() - start)
        self._settled()
        start = time.perf_counter()
        self.floor.run("down", self.lab)
        self.times["floor, down"].append(released() - start)

    def whole_module(self, kind: str, *, written: bool) -> None:
        """Build, run again, change one cable, tear down; from templates, or with everything written out.

        The first run that finds nothing to do learns how to recognize that faster.
        """
        definition = self.lab.definition(written=written, auto=not written)
        changed = self.lab.definition(written=True, auto=not written, **{f"a{self.lab.each // 2}": {"mtu": 1400}})
        released()
        build = self.module.present(definition, changes=True)
        self._settled()
        first = self.module.present(definition, changes=False)
        again = self.module.present(definition, changes=False)
        change = self.module.present(changed, changes=True)
        down = self.module.absent()
        self.times[f"{kind}, down"].append(released() - down.start)
        self.times[kind].append(build.seconds)
        self.times[f"{kind}, first"].append(first.seconds)
        self.times[f"{kind}, again"].append(again.seconds)
        self.times[f"{kind}, change"].append(change.seconds)
        self.times[f"{kind}, peak"].append(build.peak)
        self.times["imports, peak"].append(build.imports)

    def playbook(self, kind: str, *, written: bool) -> None:
        """The same as whole playbooks."""
        definition = self.lab.definition(written=written, auto=not written)
        released()
        self.times[kind].append(ours.playbook(definition, changes=True))
        self._settled()
        self.times[f"{kind}, again"].append(ours.playbook(definition, changes=False))
        self.module.absent()

    def other(self, name: str, build: Callable[[], object]) -> None:
        """Another program; what it built is swept away."""
        released()
        start = time.perf_counter()
        build()
        self.times[name].append(time.perf_counter() - start)
        comparisons.sweep(self.lab)

    def round(self, *, slow: bool) -> None:
        """Each program once."""
        smaller, _same, larger = sizes(self.lab.size)
        both = Lab(self.lab.size, ipv6=True)
        self.whole_floor()
        self.whole_module("module", written=False)
        self.whole_module("written", written=True)
        self.of_floor(both, "floor 46")
        self.of_module(both, "module 46")
        self.playbook("playbook", written=False)
        self.playbook("playbook, written", written=True)
        self.other("batch", lambda: comparisons.batch(self.lab))
        for size in (smaller, larger):
            self.of_floor(Lab(size), f"floor {size}")
            self.of_module(Lab(size), f"module {size}")
        if slow:
            self.other("shell", lambda: comparisons.shell(comparisons.script(self.lab)))
            if not comparisons.mininet_missing():
                released()
                self.times["mininet"].append(comparisons.mininet(self.lab))

    def _settled(self) -> None:
        settled(bridge.name for bridge in self.lab.switches())


def sizes(size: int) -> tuple[int, ...]:
    """The labs that growth is measured with."""
    return tuple(int(size * factor) for factor in GROWTH)


# ---- whether they build the same


def must_be_alike(bench: Bench) -> None:
    """Build a lab of three with each program; ends this one when two differ, or a namespace does not answer."""
    for lab in (Lab(3), Lab(3, ipv6=True)):
        wanted: dict[bool, object] = {}
        for name, build, remove in programs(bench, lab):
            build()
            alike.must_answer(lab)
            for strict in (False, True) if name in OURS else (False,):
                found = alike.read(lab, strict=strict)
                if found != wanted.setdefault(strict, found):
                    raise SystemExit(f"{name} built another lab than floor.c:\n{found}\n{wanted[strict]}")
            remove()
            released()


def programs(bench: Bench, lab: Lab) -> list[tuple[str, Callable[[], object], Callable[[], object]]]:
    """Who builds the lab with namespaces that have names, how, and what removes it."""
    make, remove = bench.module.present, bench.module.absent
    sweep = functools.partial(comparisons.sweep, lab)
    return [
        (OURS[0], lambda: bench.floor.run("up", lab), lambda: bench.floor.run("down", lab)),
        (OURS[1], lambda: make(lab.definition(), changes=True), remove),
        (OURS[2], lambda: make(lab.definition(written=True, auto=False), changes=True), remove),
        ("the script", lambda: comparisons.shell(comparisons.script(lab)), sweep),
        ("ip -batch", lambda: comparisons.batch(lab), sweep),
    ]


# ---- saying


def rows(bench: Bench) -> Iterator[Row]:
    """The table."""

    def row(what: str, mine: str, beside: str, theirs: str, bound: float | None = None) -> Row:
        ratio = bench.middle(mine) / bench.middle(theirs)
        return Row(what, _seconds(bench.times[mine]), beside, _seconds(bench.times[theirs]), ratio, bound)

    yield row("build", "module", "floor", "floor", 1.3)
    yield row("  all written out", "written", "floor", "floor", 1.3)
    yield row("  IPv4 and IPv6", "module 46", "floor, both", "floor 46")
    yield row("again for the first time", "module, first", "build", "module", 0.1)
    yield row("  all written out", "written, first", "build", "written", 0.1)
    yield row("again, nothing to change", "module, again", "build", "module", 0.1)
    yield row("  all written out", "written, again", "build", "written", 0.1)
    yield row("one changed cable", "module, change", "build", "module", 0.2)
    yield row("  all written out", "written, change", "build", "written", 0.2)
    yield row("tear down, until released", "module, down", "floor", "floor, down", 1.2)
    yield row("a whole playbook", "playbook", "floor", "floor, whole", 2)
    yield row("  all written out", "playbook, written", "floor", "floor, whole")
    yield row("  again, nothing to change", "playbook, again", "building", "playbook")
    yield row("  again, all written out", "playbook, written, again", "building", "playbook, written")
    others: dict[str, tuple[str, float | None]] = {
        "batch": ("ip -batch", 1 / 5),
        "shell": ("shell loop", 1 / 20),
        "mininet": ("Mininet", None),
    }
    for name, (title, bound) in others.items():
        if bench.times[name]:
            yield row("a whole playbook", "playbook", title, name, bound)
    yield from growth(bench)
    imports = bench.middle("imports, peak") / MEGABYTE
    for what, kind in ((f"memory, {imports:.0f} MB of it imports", "module"), ("  all written out", "written")):
        peak = bench.middle(f"{kind}, peak") / MEGABYTE
        yield Row(what, f"{peak:.0f} MB", "bound", f"{MEMORY} MB", peak / MEMORY, 1.0)


def growth(bench: Bench) -> Iterator[Row]:
    """Time for each namespace of a larger lab, in that of a smaller one."""
    smaller, same, larger = sizes(bench.lab.size)
    names = {smaller: str(smaller), same: "", larger: str(larger)}

    def each(program: str, size: int) -> float:
        return bench.middle(f"{program} {names[size]}".strip()) / size

    for few, many in ((smaller, same), (same, larger)):
        mine, floor = (each(program, many) / each(program, few) for program in ("module", "floor"))
        what = f"each of {many:,}, in each of {few:,}"
        yield Row(what, f"{mine:.2f} x", "floor", f"{floor:.2f} x", mine / floor, 1.3)


def _seconds(times: list[float]) -> str:
    return f"{statistics.median(times):.3f} s ({min(times):.3f})"


def report(size: int, rounds: int, slow: int) -> None:
    """Measure and print the table."""
    missing = comparisons.mininet_missing()
    with comparisons.Floor() as floor:
        bench = Bench(Lab(size), floor)
        must_be_alike(bench)
        for number in range(rounds):
            print(f"topology: round {number + 1} of {rounds} ...", file=sys.stderr, flush=True)
            bench.round(slow=number < slow)
    print()
    print(f"one lab of {size:,} namespaces, median of {rounds} (and the least); of shell and Mininet {slow}")
    if missing:
        print(f"Mininet is not measured: install {missing} for that.")
    print(f"{'what':<31}{'ours':>20}{'next to':>14}{'':>20}{'ratio':>8}  bound")
    for row in rows(bench):
        print(_line(row), flush=True)


def _line(row: Row) -> str:
    ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
    missed = ", missed" if row.bound and row.ratio and row.ratio > row.bound else ""
    bound = f"{row.bound:.2f}{missed}" if row.bound else ""
    return f"{row.what:<31}{row.mine:>20}{row.beside:>14}{row.theirs:>20}{ratio:>8}  {bound}".rstrip()


def profile(size: int) -> None:
    """Print what a build, a run without changes, the next such run and a removal spend their time on."""
    module, lab = ours.Module(), Lab(size)
    module.present(Lab(3).definition(), changes=True)  # learns what is to be imported
    module.absent()
    for changes in (True, False, False):
        released()
        module.present(lab.definition(), changes=changes, profile=True)
    module.absent(profile=True)
