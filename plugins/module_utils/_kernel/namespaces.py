# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Named network namespaces: files under /run/netns, made and removed as iproute2 does (ip-netns(8))."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import signal
import socket
import struct
import time
import typing as t

from .._errors import InUse, KernelError, NoNamespace
from . import syscalls

DIRECTORY = "/run/netns"
_OWN = "/proc/thread-self/ns/net"
_BOOT = "/proc/1/ns/net"
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, Linux 5.14
_MOUNT_WINDOW = 0.2  # seconds: `ip netns add` creates the file first and mounts a moment later


class Process(t.NamedTuple):
    """A process inside a namespace: its id and its command name (/proc/PID/comm)."""

    pid: int
    command: str


def path(name: str) -> str:
    """The file that stands for the namespace ``name``."""
    return f"{DIRECTORY}/{name}"


def names() -> list[str]:
    """All names under /run/netns, sorted; stale files too."""
    try:
        return sorted(os.listdir(DIRECTORY))
    except FileNotFoundError:
        return []


def device() -> int:
    """The device number of all files that are namespaces: nsfs is one device."""
    return os.stat(_OWN).st_dev


def _is_namespace(file: str) -> bool:
    return os.stat(file).st_dev == device()


def exists(name: str) -> bool:
    """Whether a file of this name is there, namespace or not."""
    return os.path.lexists(path(name))


def is_stale(name: str) -> bool:
    """Whether the file is there but is no namespace, and stays so for longer than iproute2 needs to mount it."""
    return name in stale([name])


def stale(names: t.Iterable[str]) -> set[str]:
    """Those of the names that are stale, after one wait for all of them."""
    deadline = time.monotonic() + _MOUNT_WINDOW
    left = {name for name in names if _looks_stale(name)}
    while left and time.monotonic() < deadline:
        time.sleep(0.005)
        left = {name for name in left if _looks_stale(name)}
    return left


def _looks_stale(name: str) -> bool:
    try:
        return not _is_namespace(path(name))
    except FileNotFoundError:
        return os.path.islink(path(name))  # a dangling link is stale, no file at all is not


def open_file(name: str | None) -> int:
    """A file descriptor for the namespace ``name``, or for the caller's own with None. The caller closes it.

    Raises NoNamespace when there is no such namespace. A missing one is never created.
    """
    try:
        fd = os.open(_OWN if name is None else path(name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise missing(str(name)) from None
    if name is not None and os.fstat(fd).st_dev != os.stat(_OWN).st_dev:
        os.close(fd)
        raise NoNamespace(
            f"/run/netns/{name} is a leftover file, not a namespace (a restart or a crash leaves such files). "
            f"Run the netns module with name: {name}, it repairs the file."
        )
    return fd


def missing(name: str) -> NoNamespace:
    """The error for a namespace that is not there, with the names that are."""
    others = names()
    there = f"Present: {', '.join(others[:10])}{', ...' if len(others) > 10 else ''}." if others else "None is present."
    return NoNamespace(
        f"network namespace {name} does not exist. {there} Create it first with the netns module.", netns=name
    )


@contextlib.contextmanager
def _elsewhere(leave: t.Callable[[], None]) -> t.Iterator[None]:
    """Run the block after ``leave`` moved this thread to another namespace; on every way out it is back home.

    A thread that can't be brought home would do harm in the wrong namespace: then the process ends.
    """
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        leave()
        try:
            yield
        finally:
            _return(home)
    finally:
        os.close(home)


def inside(fd: int) -> contextlib.AbstractContextManager[None]:
    """Run a block with this thread in the namespace behind ``fd``, and bring it home afterwards. Raises KernelError."""
    return _elsewhere(functools.partial(_enter, fd))


def inside_new() -> contextlib.AbstractContextManager[None]:
    """Run a block in a new namespace without a name; it is gone afterwards unless somebody holds it. Raises KernelError."""
    return _elsewhere(_leave)


def _leave() -> None:
    try:
        syscalls.unshare_net()
    except OSError as error:
        raise _denied("make a network namespace", error) from None


def _enter(fd: int) -> None:
    try:
        syscalls.setns(fd)
    except OSError as error:
        raise _denied("enter a network namespace", error) from None


def _return(home: int) -> None:
    try:
        syscalls.setns(home)
    except OSError:
        os._exit(70)  # EX_SOFTWARE: better no process than one in the wrong namespace


def _denied(doing: str, error: OSError) -> KernelError:
    hint = ""
    if error.errno in (errno.EPERM, errno.EACCES):
        root = os.geteuid() == 0  # then it is a container without privileges
        hint = " This needs the capability CAP_SYS_ADMIN." if root else " This needs root: set become: true."
    return KernelError(f"could not {doing}: {error.strerror}.{hint}", errno=error.errno or 0)


@contextlib.contextmanager
def _directory_lock() -> t.Iterator[None]:
    fd = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def share_directory() -> None:
    """Make /run/netns a shared mount of its own, so that other mount namespaces see what is mounted there.

    Raises KernelError.
    """
    try:
        os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
        try:
            syscalls.mount("", DIRECTORY, syscalls.MS_SHARED | syscalls.MS_REC)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: not a mount point yet
                raise
            syscalls.mount(DIRECTORY, DIRECTORY, syscalls.MS_BIND | syscalls.MS_REC)
            syscalls.mount("", DIRECTORY, syscalls.MS_SHARED | syscalls.MS_REC)
    except OSError as error:
        raise _denied(f"share {DIRECTORY}", error) from None


def create(name: str, prepare: t.Callable[[], object], *, leftover: bool = False) -> None:
    """Create a namespace. ``prepare`` runs inside it before anybody can see it by name.

    The directory must be shared. A stale file of the same name is replaced, one that is known to be a ``leftover`` at once.
    Nothing is left behind on failure. Raises KernelError.
    """
    try:
        with _directory_lock(), _new_file(name, leftover=leftover), inside_new():
            prepare()
            syscalls.mount(_OWN, path(name), syscalls.MS_BIND)
    except OSError as error:
        raise _denied(f"create network namespace {name}", error) from None


def attach(name: str, fd: int) -> None:
    """Give the namespace behind ``fd`` a name. Nothing is left behind on failure. Raises KernelError."""
    try:
        # From the inside, as a new one gets its name: what the descriptor was opened through may be mounted no more.
        with _directory_lock(), _new_file(name), inside(fd):
            syscalls.mount(_OWN, path(name), syscalls.MS_BIND)
    except OSError as error:
        raise _denied(f"name network namespace {name}", error) from None


@contextlib.contextmanager
def _new_file(name: str, *, leftover: bool = False) -> t.Iterator[None]:
    """A file to mount a namespace on, in place of a stale one; it goes when the block fails. Raises OSError."""
    file = path(name)
    if exists(name) and (_looks_stale(name) if leftover else is_stale(name)):
        os.unlink(file)
    os.close(os.open(file, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    try:
        yield
    except BaseException:
        os.unlink(file)
        raise


def remove(name: str) -> None:
    """Take the name away: unmount and unlink. What the namespace holds goes with its last user. Raises KernelError."""
    try:
        with contextlib.suppress(OSError):  # EINVAL: a stale file is not mounted
            syscalls.unmount(path(name))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path(name))
    except OSError as error:
        raise _denied(f"remove network namespace {name}", error) from None


def touch_stale(name: str) -> None:
    """Put back a leftover file: the opposite of repairing one."""
    os.close(os.open(path(name), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))


def processes(fd: int) -> list[Process]:
    """The processes whose main thread lives in the namespace behind ``fd``, this one excepted."""
    return inhabitants().get(os.fstat(fd).st_ino, [])


def inhabitants() -> dict[int, list[Process]]:
    """All processes but this one, by the inode number of the network namespace that their main thread lives in."""
    found: dict[int, list[Process]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):  # it ended, or it is a zombie
                inode = os.stat(f"/proc/{entry}/ns/net").st_ino
                with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as comm:
                    found.setdefault(inode, []).append(Process(int(entry), comm.read().strip()))
    return {inode: sorted(there) for inode, there in found.items()}


def is_boots(file: int) -> bool:
    """Whether a descriptor is of the namespace that the machine's daemons live in: that of process 1."""
    try:
        boot = os.stat(_BOOT)
    except OSError:  # nobody may look, or there is no such process
        return False
    here = os.fstat(file)
    return (here.st_dev, here.st_ino) == (boot.st_dev, boot.st_ino)


def identity(fd: int) -> str:
    """A name for the namespace behind ``fd`` that no other namespace gets before the next boot.

    The kernel's cookie where it has one (Linux 5.14), else the inode number, which may be used again.
    """
    with inside(fd), socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            return f"cookie-{struct.unpack('Q', probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8))[0]}"
        except OSError:
            return f"inode-{os.fstat(fd).st_ino}"


_PATIENCE = 3.0  # seconds between asking a process to end and ending it


def end_processes(fd: int) -> None:
    """End every process in the namespace behind ``fd``: SIGTERM, some patience, SIGKILL. Raises InUse if one stays."""
    for number, patience in ((signal.SIGTERM, _PATIENCE), (signal.SIGKILL, _PATIENCE)):
        for process in processes(fd):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        deadline = time.monotonic() + patience
        while processes(fd) and time.monotonic() < deadline:
            time.sleep(0.01)
    left = processes(fd)
    if left:
        listed = ", ".join(f"{process.pid} ({process.command})" for process in left)
        raise InUse(f"process {listed} did not end even when killed; it may wait for a disk or a device.")
