# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for what the kernel does in the background: freeing namespaces, and packets of neighbours that meet.

A namespace whose last name and process are gone is freed later, by one worker for the whole machine that takes all there
are at a time (net/core/net_namespace.c, ``cleanup_net``). It says nothing when it is done. So a witness goes last: a
namespace that is given up after all others, and counts for a limit of one until it is freed (user_namespaces(7),
``max_net_namespaces``). When a second one can be made, it is gone, and all that were given up before it. An idle kernel
takes about 0.04 s for that.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Iterable
from pathlib import Path

LONGEST = 60.0  # seconds that are waited for neighbours to become silent
_SILENCE = 1.0  # seconds without a packet
_STEP = 0.001  # seconds between questions whether the witness is gone
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


def released() -> float:
    """Wait until the kernel has freed all namespaces that were given up before; returns that ``time.perf_counter``."""
    child = os.fork()
    if child == 0:
        try:
            _outlive_witness()
        except BaseException as error:  # nothing of the parent's may run twice
            os.write(2, f"waiting for the kernel's clean-up: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("When the kernel has freed namespaces can't be told here: times would mean nothing.")
    return time.perf_counter()


def _outlive_witness() -> None:
    """Move to a user namespace that may have one network namespace; return when that was made, given up and freed."""
    _unshare(_CLONE_NEWUSER)
    Path("/proc/sys/user/max_net_namespaces").write_text("1")
    child = os.fork()
    if child == 0:
        os._exit(_libc.unshare(_CLONE_NEWNET) and 1)  # the witness is given up as this process ends
    if os.waitpid(child, 0)[1]:
        raise OSError("no network namespace can be made in a new user namespace")
    while True:
        try:
            return _unshare(_CLONE_NEWNET)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        time.sleep(_STEP)


def _unshare(what: int) -> None:
    if _libc.unshare(what):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


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
    lines = (line.partition(":") for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:])
    return {name.strip(): int(figures.split()[1]) for name, _colon, figures in lines}
