# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The files of labs under /run: the record of what a lab has, and how far a run that works on it has come."""

from __future__ import annotations

import contextlib
import json
import os
import time
import typing as t

from .._errors import KernelError
from . import holds
from .rundir import DIRECTORY

FOLDER = f"{DIRECTORY}/labs"
_PROGRESS_EVERY = 0.2  # seconds


def names() -> list[str]:
    """The labs that have a record, sorted."""
    try:
        return sorted(name[: -len(".json")] for name in os.listdir(FOLDER) if name.endswith(".json"))
    except FileNotFoundError:
        return []


def read(name: str, home: str) -> dict[str, t.Any] | None:
    """The record of a lab. ``home`` is the identity of the namespace that is the lab's host.

    One of another host, or of the time before a reboot, does not count. Raises KernelError for a file that is no record.
    """
    path = _path(name, "json")
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
        return dict(record["lab"]) if (record["boot"], record["home"]) == (holds.boot(), home) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KernelError(
            f"could not read the record of lab {name}, {path}: {error}. Remove the file; "
            "the next run finds the lab's objects by their marks.",
            errno=getattr(error, "errno", None) or 0,
        ) from None


def write(name: str, home: str, record: t.Mapping[str, t.Any] | None) -> None:
    """Replace the record, whole or not at all; None removes it. Raises KernelError."""
    path = _path(name, "json")
    try:
        if record is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with contextlib.suppress(OSError):  # other labs have records
                os.rmdir(FOLDER)
            return
        os.makedirs(FOLDER, mode=0o755, exist_ok=True)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(json.dumps({"boot": holds.boot(), "home": home, "lab": record}, separators=(",", ":")))
        os.replace(f"{path}.new", path)
    except OSError as error:
        raise KernelError(f"could not write {path}: {error.strerror}.", errno=error.errno or 0) from None


def read_digests(name: str, home: str) -> dict[str, t.Any]:
    """What was last written with ``write_digests`` for this host and boot; nothing when that can't be read."""
    try:
        with open(_path(name, "digests"), encoding="utf-8") as file:
            found = json.load(file)
        return dict(found["digests"]) if (found["boot"], found["home"]) == (holds.boot(), home) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_digests(name: str, home: str, digests: t.Mapping[str, t.Any]) -> None:
    """Put the digests of a lab's namespaces on file, in place of those that are there. Trouble with the file costs time only."""
    path = _path(name, "digests")
    with contextlib.suppress(OSError):
        if not digests:
            os.unlink(path)
            os.rmdir(FOLDER)
            return
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(json.dumps({"boot": holds.boot(), "home": home, "digests": digests}, separators=(",", ":")))
        os.replace(f"{path}.new", path)


def _path(name: str, ending: str) -> str:
    return f"{FOLDER}/{name}.{ending}"


class Progress:
    """Where others can read how far a run has come: ``labs/NAME.progress``, while the run lasts."""

    def __init__(self, name: str) -> None:
        self._path = _path(name, "progress")
        self._next = time.monotonic() + _PROGRESS_EVERY

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Write it down, a few times a second. Trouble with the file never disturbs the run."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _PROGRESS_EVERY
        with contextlib.suppress(OSError):
            os.makedirs(FOLDER, mode=0o755, exist_ok=True)
            with open(f"{self._path}.new", "w", encoding="ascii") as file:
                json.dump({"pid": os.getpid(), "phase": phase, "done": done, "total": total}, file)
            os.replace(f"{self._path}.new", self._path)

    def close(self) -> None:
        """The run is over. What one that was killed left behind goes, too."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        with contextlib.suppress(OSError):  # there are records
            os.rmdir(FOLDER)
