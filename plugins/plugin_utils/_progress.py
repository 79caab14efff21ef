# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""How far a run is, shown while it runs: told by the run itself, or read from the host that it runs on."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import threading
import time
import typing as t
from collections.abc import Callable

FIRST = 1.0
"""Seconds until the first line: a run that is done by then needs none."""

INTERVAL = 2.0
"""Seconds between two lines at least."""

PATIENCE = 2.0
"""Seconds that a run that is over waits for a look at its progress that is not."""

FOLDER = "/run/patchbay.netns/labs"

# What one look runs: prints the progress file, if the process that it belongs to lives. A killed run leaves its file behind.
_LOOK = (
    '{{ read -r line <{file} || [ -n "$line" ]; }} && pid=${{line#*\'"pid":\'}} && pid=${{pid# }} && pid=${{pid%%[!0-9]*}} '
    '&& [ -n "$pid" ] && [ -d "/proc/$pid" ] && printf "%s\\n" "$line"'
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

_FOR_THE_MAIN_THREAD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)

Show = Callable[[str], None]


class Lines:
    """Shows lines of progress, neither too early nor too many. Nothing that goes wrong here is the run's problem."""

    def __init__(self, show: Show, title: str) -> None:
        self._show, self._title = show, title
        self._next = time.monotonic() + FIRST
        self._last = ""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Take in how far the run is; cheap enough for every step of it."""
        now = time.monotonic()
        if now < self._next:
            return
        line = f"{self._title}: {phase} {done}/{total}"
        if line != self._last:
            self._next, self._last = now + INTERVAL, line
            with contextlib.suppress(Exception):
                self._show(line)


def command(lab: str) -> str | None:
    """What a shell runs to read the progress of a lab, or None when no lab can have this name."""
    if not _NAME.fullmatch(lab):
        return None
    return f"/bin/sh -c {shlex.quote(_LOOK.format(file=f'{FOLDER}/{lab}.progress'))}"


@contextlib.contextmanager
def watched(look: Callable[[], str], lines: Lines, *, first: float = FIRST, pause: float = 1.0) -> t.Iterator[None]:
    """While the block runs, look about every ``pause`` seconds, from another thread, and show what is seen.

    ``look`` returns the progress file's content, or anything else when there is none. The block never waits for it, but for
    ``PATIENCE`` at its end.
    """
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(look, lines, over, first, pause), daemon=True)
    # The system may hand a signal to any thread that does not block it. One that another thread gets does not wake the main
    # thread, which would go on waiting for the host although it was asked to end.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_MAIN_THREAD)
    thread.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE)


def _watch(look: Callable[[], str], lines: Lines, over: threading.Event, first: float, pause: float) -> None:
    wait = first
    while not over.wait(wait):
        begun = time.monotonic()
        with contextlib.suppress(Exception):
            seen = json.loads(look())
            if not over.is_set():
                lines(str(seen["phase"]), int(seen["done"]), int(seen["total"]))
        # A slow way to the host is used less often: looking must not take what working needs.
        wait = max(pause, time.monotonic() - begun)
