# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Addresses: those of the file are entered first, then those of earlier runs, and what is missing is chosen from pools."""

from __future__ import annotations

import typing as t

from .._objects.checks import Interface as Address
from . import names
from .nodes import Interface, Part, title
from .pools import Hosts, Kept, Pairs
from .problems import Problems
from .spec import Path
from .values import Reader, Subnet
from .wiring import Wiring


class Addresses:
    """Enters and chooses the addresses of a whole lab."""

    def __init__(self, wiring: Wiring, reader: Reader, problems: Problems) -> None:
        self._wiring = wiring
        self._reader = reader
        self._problems = problems
        self.chosen: list[tuple[str, tuple[Address, ...]]] = []

    def settle(self, pool: t.Sequence[Subnet], kept: Kept) -> None:
        """Do it for all nodes."""
        autos: list[Interface] = []
        for site in self._wiring.sites.values():
            self._problems.who = site.netns
            for bridge in site.bridges:
                self._enter(bridge)
            for part in site.interfaces:
                self._enter(part)
                if part.draft.auto and part.segment is not None:
                    autos.append(part)
        if autos:
            self._choose(autos, pool, kept)

    def _choose(self, autos: list[Interface], pool: t.Sequence[Subnet], kept: Kept) -> None:
        on_bridges = Hosts(self._problems)
        on_cables = Pairs(self._reader, self._problems, pool)
        jobs: list[tuple[t.Any, Interface]] = []
        for end in autos:
            peer = t.cast(Interface, end.peer)
            if peer.bridge is not None or peer.held:
                jobs.append((on_bridges, end))
            elif end not in on_cables.later:
                jobs.append((on_cables, end))
                on_cables.later.add(peer)
        # What earlier runs chose is taken by its owners before anybody chooses anew.
        for chooser, end in jobs if kept else ():
            chooser.keep(end, kept)
        for chooser, end in jobs:
            self._problems.who = end.site.netns
            chooser.choose(end)
        for end in autos:
            if end.held:
                self.chosen.append(
                    (names.spoken(end.site.netns, end.name), tuple([held.interface for held in end.held]))
                )

    # ---- entering

    def _enter(self, part: Part) -> None:
        """Enter what the file gives: addresses and MAC address."""
        if part.segment is None:
            return  # a cable that leads nowhere, which is a problem already
        mac = part.draft.spec.mac
        if part.held:
            taken = part.segment.whole.taken
            for number, held in enumerate(part.held):
                other = taken.setdefault(held.key, part)
                if other is not part:
                    self._problems.add(
                        _place(part, number),
                        f"{held.interface.ip} is the address of {title(other)} too, in the same layer-2 segment. "
                        "Give one of them another.",
                    )
        if mac is not None:
            other = part.segment.whole.macs.setdefault(mac, part)
            if other is not part:
                self._problems.add(
                    (*part.path, "mac"),
                    f"{mac} is the MAC address of {title(other)} too, in the same layer-2 segment. Give one of them another.",
                )


def _place(part: Part, number: int) -> Path:
    """Where the file gives an address; a lone one is no list."""
    return (*part.path, "addresses", number) if len(part.held) > 1 else (*part.path, "addresses")
