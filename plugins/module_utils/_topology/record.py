# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The record of a lab: where to look for what is the lab's, and what to give back when it leaves.

It is written before anything is made, so it may name more than there is; that something is the lab's, its own mark proves.
"""

from __future__ import annotations

import contextlib
import ipaddress
import typing as t
from dataclasses import dataclass, field

from .._engine.model import Key, Step
from .._errors import KernelError
from .._kernel import labs
from .._kernel.kernel import Kernel
from .._objects import link
from .._objects.checks import Interface

Settings = t.Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Record:
    """What a lab has, beside what lies in its namespaces and on its links."""

    lab: str
    group: int
    """The group of its links."""
    namespaces: frozenset[str] = frozenset()
    routes: frozenset[Key] = frozenset()
    """The keys of routes of the host."""
    nat: frozenset[tuple[str | None, str, str]] = frozenset()
    """Masquerades and forwards: the namespace, and the two parts of a spec's key."""
    settings: Settings = field(default_factory=dict)
    """By namespace and name: what a setting was before the lab changed it."""
    chosen: t.Mapping[str, tuple[Interface, ...]] = field(default_factory=dict)
    """The addresses that were chosen for ``addresses: auto``."""

    @property
    def key(self) -> Key:
        return ("lab",)

    def joined(self, other: Record) -> Record:
        """Both: what may be there while one becomes the other."""
        return Record(
            other.lab,
            other.group,
            self.namespaces | other.namespaces,
            self.routes | other.routes,
            self.nat | other.nat,
            {**other.settings, **self.settings},
            {**self.chosen, **other.chosen},
        )


def read(kernel: Kernel, lab: str) -> Record | None:
    """The record of a lab of this host, or None. Raises KernelError."""
    found = labs.read(lab, kernel.identity(None))
    if found is None:
        return None
    return Record(
        lab,
        found.get("group", link.lab_group(lab)),
        frozenset(found.get("namespaces", ())),
        frozenset(
            ("route", None, table, ipaddress.ip_network(destination), metric)
            for table, destination, metric in found.get("routes", ())
        ),
        frozenset((netns, kind, text) for netns, kind, text in found.get("nat", ())),
        {(netns, name): value for netns, name, value in found.get("settings", ())},
        {
            place: tuple(ipaddress.ip_interface(text) for text in texts)
            for place, texts in found.get("chosen", {}).items()
        },
    )


def groups(kernel: Kernel, lab: str) -> dict[int, str]:
    """The names of all other labs of this host that have a record, by the groups of their links."""
    out: dict[int, str] = {}
    for name in labs.names():
        if name != lab:
            with contextlib.suppress(KernelError):  # that lab's own run will say so
                found = labs.read(name, kernel.identity(None))
                if found is not None:
                    out[found.get("group", link.lab_group(name))] = name
    return out


class KeepRecord(Step):
    """Writes or removes the record. It has no command, for nothing in the kernel changes."""

    phase = "records"

    def apply(self, kernel: Kernel) -> None:
        record: Record = (self.after or self.before)[0]
        labs.write(record.lab, kernel.identity(None), _plain(record) if self.after else None)

    def commands(self) -> list[str]:
        return []


def _plain(record: Record) -> dict[str, t.Any]:
    return {
        "group": record.group,
        "namespaces": sorted(record.namespaces),
        "routes": sorted([key[2], str(key[3]), key[4]] for key in record.routes),
        "nat": sorted(record.nat, key=repr),
        "settings": [[netns, name, value] for (netns, name), value in record.settings.items()],
        "chosen": {place: [str(each) for each in interfaces] for place, interfaces in record.chosen.items()},
    }


def change(now: Record | None, wanted: Record | None) -> list[Step]:
    """The step from one record to the other, if any."""
    if now == wanted:
        return []
    return [KeepRecord((now,) if now else (), (wanted,) if wanted else ())]
