# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The record of settings changed for objects of ours: one JSON file per namespace under /run, gone with a reboot."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .rundir import DIRECTORY


class Record(t.NamedTuple):
    """What the setting was before us, who needs another value, and which; records of older versions don't say which."""

    previous: str
    holders: list[str]
    value: str | None = None


_BOOT = "/proc/sys/kernel/random/boot_id"


def boot() -> str:
    """What tells this boot of the machine from others: where /run outlives a reboot, records of the time before don't count."""
    with contextlib.suppress(OSError), open(_BOOT, encoding="ascii") as file:
        return file.read().strip()
    return ""


def _path(identity: str) -> str:
    """The file of a namespace."""
    return f"{DIRECTORY}/holds/{boot()}-{identity}.json"


def read(identity: str) -> dict[str, Record]:
    """All records of the namespace, by the name of the setting."""
    try:
        with open(_path(identity), encoding="utf-8") as file:
            return {name: Record(**fields) for name, fields in json.load(file).items()}
    except FileNotFoundError:
        return {}


def write(identity: str, records: t.Mapping[str, Record]) -> None:
    """Replace all records of the namespace, whole or not at all; none removes the file."""
    path = _path(identity)
    if not records:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with contextlib.suppress(OSError):  # other namespaces have records
            os.rmdir(os.path.dirname(path))
        return
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump({name: record._asdict() for name, record in records.items()}, file, indent=1)
    os.replace(f"{path}.new", path)
