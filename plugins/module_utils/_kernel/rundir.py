# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Our directory under /run and the lock in it: two runs on one machine wait for each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing as t

from .._errors import KernelError

DIRECTORY = "/run/patchbay.netns"


@contextlib.contextmanager
def locked() -> t.Iterator[None]:
    """Hold the machine-wide lock while the block runs. Raises KernelError when the directory can't be made."""
    try:
        os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
        fd = os.open(f"{DIRECTORY}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KernelError(
            f"could not open the lock in {DIRECTORY}: {error.strerror}. This needs root: set become: true.",
            errno=error.errno or 0,
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
