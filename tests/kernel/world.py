# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The closed world that tests run in: mount and network namespaces of this process's own.

Nothing here uses the code under test. Python 3.9 and the standard library suffice.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000  # linux/sched.h
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18  # linux/mount.h
_MNT_DETACH = 2
_OWN = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)
_entered: set[int] = set()  # process ids: a forked child shares its parent's world, and may not renew it
machine = Path(_OWN).stat().st_ino
"""The network namespace that the process was started in."""

T = TypeVar("T")


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _mount(kind: str, target: str, flags: int = 0) -> None:
    source = None if flags else kind.encode()
    _checked(_libc.mount(source, target.encode(), source, flags, None), f"mount {target}")


def enter() -> None:
    """Leave the machine: from now on mounts and networks of this thread are its own. Once per process."""
    if os.getpid() in _entered:
        return
    Path("/etc/netns").mkdir(exist_ok=True)
    _checked(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET), "unshare")
    _mount("none", "/", _MS_REC | _MS_PRIVATE)
    for folder in ("/run", "/etc/netns"):
        _mount("tmpfs", folder)
    _entered.add(os.getpid())


def renew() -> None:
    """An empty /run and /etc/netns and a network namespace with nothing but lo; what was there is gone."""
    if os.getpid() not in _entered:
        raise RuntimeError("the closed world was not entered: this would change the machine")
    for folder in ("/run", "/etc/netns"):
        _checked(_libc.umount2(folder.encode(), _MNT_DETACH), f"umount {folder}")
        _mount("tmpfs", folder)
    _checked(_libc.unshare(_CLONE_NEWNET), "unshare")


def copy_of_mounts() -> None:
    """Give the calling process a copy of the mount namespace, as a container or a service has one."""
    _checked(_libc.unshare(_CLONE_NEWNS), "unshare")


def here() -> int:
    """The inode number of the network namespace that the calling thread is in."""
    return Path(_OWN).stat().st_ino


def inode(netns: str) -> int:
    """The inode number of a named network namespace."""
    return Path("/run/netns", netns).stat().st_ino


def inhabited() -> set[int]:
    """The inode numbers of the network namespaces that processes live in."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended
            found.add(Path(process, "ns/net").stat().st_ino)
    return found


def move(netns: str) -> None:
    """Move the calling thread into a named network namespace, for good."""
    fd = os.open(f"/run/netns/{netns}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(fd, _CLONE_NEWNET), f"setns {netns}")
    finally:
        os.close(fd)


def inside(netns: str | None, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function in a named namespace (None: where the caller is), on a thread that ends afterwards.

    Sockets, files under /proc/sys and child processes made there stay in that namespace.
    """
    if netns is None:
        return function(*args, **kwargs)

    def there() -> T:
        move(netns)
        return function(*args, **kwargs)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(there).result()
