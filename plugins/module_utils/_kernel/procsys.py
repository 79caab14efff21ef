# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Settings under /proc/sys, seen from the namespace the calling thread is in (proc(5), sysctl(8))."""

from __future__ import annotations

import contextlib
import errno
import os

from .._errors import KernelError


def parts(name: str) -> list[str]:
    """The path below /proc/sys; as in sysctl(8), the separator met first rules, the other one is a dot in a name."""
    dot, slash = name.find("."), name.find("/")
    if slash != -1 and (dot == -1 or slash < dot):
        return name.split("/")
    return [part.replace("/", ".") for part in name.split(".")]


def fold(value: object) -> str:
    """A value as it is compared: runs of white space are one space."""
    return " ".join(str(value).split())


def _path(name: str) -> str:
    return "/proc/sys/" + "/".join(parts(name))


def read(name: str) -> str | None:
    """The value, folded; None where the kernel has no such setting. Raises KernelError when it can't be read."""
    try:
        with open(_path(name), encoding="utf-8") as file:
            return fold(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.EPERM or error.errno == errno.EACCES or os.path.exists(_path(name)):
            raise KernelError(f"could not read {_path(name)}: {error.strerror}.", errno=error.errno or 0) from None
        return None


def switched_on(folder: str, name: str) -> list[str]:
    """The settings ``folder.*.name`` that are 1, by name; a dot in a device's name is written as a slash."""
    try:
        entries = sorted(os.listdir(_path(folder)))
    except OSError:
        return []
    names = [f"{folder}.{entry.replace('.', '/')}.{name}" for entry in entries]
    return [each for each in names if read(each) == "1"]


def write(name: str, value: str) -> None:
    """Write a value; where it can't be written, it is fine if it is there already. Raises KernelError."""
    try:
        fd = os.open(_path(name), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, f"{value}\n".encode())  # with its end, or an empty value would write nothing
        finally:
            os.close(fd)
    except OSError as error:
        with contextlib.suppress(KernelError):
            if read(name) == fold(value):
                return
        hint = {
            errno.EROFS: " /proc/sys is read-only here (a container without privileges?): set it from outside.",
            errno.EINVAL: " The kernel does not take this value.",
            errno.EACCES: " This needs root: set become: true.",
        }.get(error.errno or 0, "")
        raise KernelError(
            f"could not set {name} to {value!r}: {error.strerror}.{hint}", errno=error.errno or 0
        ) from None
