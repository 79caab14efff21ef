# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The system calls that Python 3.9 has no names for, by way of libc."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNET = 0x40000000  # linux/sched.h
MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 1 << 20  # linux/mount.h
MNT_DETACH = 2  # umount2(2)

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), what)


def setns(fd: int) -> None:
    """Move the calling thread into the network namespace behind ``fd``. Raises OSError. See setns(2)."""
    _checked(_libc.setns(fd, CLONE_NEWNET), "setns")


def unshare_net() -> None:
    """Move the calling thread into a new, empty network namespace. Raises OSError. See unshare(2)."""
    _checked(_libc.unshare(CLONE_NEWNET), "unshare")


def mount(source: str, target: str, flags: int) -> None:
    """mount(2) without a file system type or data. Raises OSError."""
    _checked(_libc.mount(os.fsencode(source), os.fsencode(target), b"none", flags, None), target)


def unmount(target: str) -> None:
    """umount2(2), lazily: busy mounts go away when their last user does. Raises OSError."""
    _checked(_libc.umount2(os.fsencode(target), MNT_DETACH), target)
