# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""/etc/netns/NAME/resolv.conf: ``ip netns exec`` binds it over /etc/resolv.conf (ip-netns(8))."""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._errors import KernelError

DIRECTORY = "/etc/netns"
MARK = "# Written by patchbay.netns; a later run replaces it.\n"


def path(netns: str) -> str:
    """The file of one namespace."""
    return f"{DIRECTORY}/{netns}/resolv.conf"


def names() -> set[str]:
    """The namespaces that have a folder of files of their own."""
    try:
        return set(os.listdir(DIRECTORY))
    except OSError:
        return set()


def text(nameservers: t.Iterable[str]) -> str:
    """The file's content for these servers."""
    return MARK + "".join(f"nameserver {server}\n" for server in nameservers)


def read(netns: str) -> str | None:
    """The file's content, or None where there is none."""
    try:
        with open(path(netns), encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KernelError(f"could not read {path(netns)}: {error.strerror}.", errno=error.errno or 0) from None


def write(netns: str, content: str) -> None:
    """Replace the file, whole or not at all. Raises KernelError."""
    file = path(netns)
    try:
        os.makedirs(os.path.dirname(file), mode=0o755, exist_ok=True)
        with open(f"{file}.new", "w", encoding="utf-8") as out:
            out.write(content)
        os.replace(f"{file}.new", file)
    except OSError as error:
        raise KernelError(f"could not write {file}: {error.strerror}.", errno=error.errno or 0) from None


def remove(netns: str) -> None:
    """Remove the file, and the directories that are empty without it."""
    with contextlib.suppress(OSError):
        os.unlink(path(netns))
        os.rmdir(f"{DIRECTORY}/{netns}")
        os.rmdir(DIRECTORY)
