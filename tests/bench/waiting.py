# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for what the kernel does in the background: freeing namespaces, and packets of neighbours that meet.

A namespace whose last name and process are gone is freed by one worker of the kernel, for all namespaces of the machine
(net/core/net_namespace.c, ``netns_wq``). While a worker does that its name ends in ``+netns``; afterwards in ``-netns``
(kernel/workqueue.c, ``wq_worker_comm``), so nothing but the plus sign says that it is busy.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

LONGEST = 60.0  # seconds; on a machine where others make namespaces it may never be idle
_CALM = 0.1  # seconds without work; longer than a grace period, after which more may turn up
_STEP = 0.002  # seconds between looks; what is told by `released` is no more exact than that
_AGAIN = 25  # looks after which new workers are searched for
_SILENCE = 1.0  # seconds without a packet


def released() -> float:
    """Wait until the kernel has freed all namespaces, and no interface is here that was not here at first.

    Returns the time (``time.perf_counter``) at which it was still busy for the last time, or LONGEST has passed.
    """
    workers: list[Path] = []
    looks = 0
    last = start = time.perf_counter()
    while True:
        if looks % _AGAIN == 0:
            workers = [path for path in Path("/proc").glob("[0-9]*/comm") if _reads(path).startswith("kworker/u")]
        looks += 1
        busy = any("+netns" in _reads(path) for path in workers)
        now = time.perf_counter()
        if busy or _packets().keys() - _AT_FIRST:
            last = now
        if now - last > _CALM or now - start > LONGEST:
            return last
        time.sleep(_STEP)


def settled(bridges: Iterable[str]) -> None:
    """Wait until nobody sends on the bridges: new IPv6 neighbours look for duplicates, routers and listeners."""
    wanted, seen = set(bridges), -1
    last = start = time.perf_counter()
    while time.perf_counter() - last < _SILENCE and time.perf_counter() - start < LONGEST:
        now = sum(count for name, count in _packets().items() if name in wanted)
        if now != seen:
            seen, last = now, time.perf_counter()
        time.sleep(0.05)


def _packets() -> dict[str, int]:
    """Interfaces of this namespace, and how many packets each has received."""
    lines = (line.partition(":") for line in _reads(Path("/proc/thread-self/net/dev")).splitlines()[2:])
    return {name.strip(): int(figures.split()[1]) for name, _colon, figures in lines}


def _reads(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended meanwhile
        return ""


_AT_FIRST = frozenset(_packets())  # lo, and what some kernels put into every namespace
