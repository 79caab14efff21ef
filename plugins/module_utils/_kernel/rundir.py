# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Our directory under /run and the lock in it: two runs on one machine wait for each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

from .._errors import Busy, KernelError
from . import interruption

DIRECTORY = "/run/patchbay.netns"


_POLL = 0.02  # seconds


@contextlib.contextmanager
def locked(title: str, patience: float | None = None) -> t.Iterator[None]:
    """Hold the machine-wide lock while the block runs. ``title`` tells others who holds it.

    Raises Busy when another run holds it for longer than ``patience`` seconds (None waits for as long as it takes), and
    KernelError when the directory can't be made.
    """
    try:
        os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
        fd = os.open(f"{DIRECTORY}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KernelError(
            f"could not open the lock in {DIRECTORY}: {error.strerror}. This needs root: set become: true.",
            errno=error.errno or 0,
        ) from None
    try:
        _take(fd, patience)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()}, {title}".encode(errors="replace"), 0)
        try:
            yield
        finally:
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _take(fd: int, patience: float | None) -> None:
    start = time.monotonic()
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        interruption.check()
        waited = time.monotonic() - start
        if patience is not None and waited >= patience:
            holder = os.pread(fd, 4096, 0).decode(errors="replace") or "a process that did not say who it is"
            raise Busy(
                f"another run is at work on this machine: {holder}. Waited {waited:.0f} seconds for it to end. "
                "Try again later, or give a longer lock_timeout.",
                holder=holder,
            )
        time.sleep(_POLL)
