# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Choosing addresses: hosts of a bridge's networks one by one, and pairs for cables without a bridge.

The same file gives the same addresses, and what earlier runs chose stays with its owner while it is free.
"""

from __future__ import annotations

import bisect
import typing as t

from .._objects.checks import Interface as Address
from . import names
from .nodes import Bridge, Interface, Segment, title
from .problems import Problems
from .values import Held, Reader, Subnet

Kept = t.Mapping[str, tuple[Address, ...]]


class Hosts:
    """Chooses for ends of cables to bridges, or to somebody who has an address: the next free one of each network there."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._networks: dict[t.Any, tuple[Subnet, ...]] = {}
        self._mine: dict[tuple[Interface, Subnet], int] = {}

    def keep(self, end: Interface, kept: Kept) -> None:
        """Take the addresses that the end had, where they are still to be had."""
        for address in kept.get(names.spoken(end.site.netns, end.name), ()):
            for subnet in self._of(end):
                taken, number = _segment(end).taken, int(address)
                fits = address.network == subnet.network and subnet.first <= number <= subnet.last
                if fits and (end, subnet) not in self._mine and number + subnet.key not in taken:
                    taken[number + subnet.key] = end
                    self._mine[end, subnet] = number

    def choose(self, end: Interface) -> None:
        """Give the end one address of each network."""
        networks = self._of(end)
        if not networks:
            peer = t.cast(Interface, end.peer)
            if peer.bridge is not None:
                lack = f"{title(peer.bridge)} has neither an address nor a pool"
            else:
                lack = f"{title(peer)} has an address, but no network"
            self._problems.add(
                (*end.path, "addresses"),
                f"there is nothing to choose from: {lack}. Give it one, or write the addresses.",
            )
            return
        held = []
        segment = _segment(end)
        for subnet in networks:
            number = self._mine.get((end, subnet)) if self._mine else None
            if number is None:
                number = _next(segment, subnet)
            if number is None:
                self._problems.add(
                    (*end.path, "addresses"),
                    f"no address is left in {subnet}: all {subnet.last - subnet.first + 1} are taken. Use a larger network.",
                )
                return
            segment.taken[number + subnet.key] = end
            held.append(Held(subnet.interface(number), number, subnet))
        end.held = tuple(held)

    def _of(self, end: Interface) -> tuple[Subnet, ...]:
        peer = t.cast(Interface, end.peer)
        source = peer if peer.bridge is None else peer.bridge
        found = self._networks.get(source)
        if found is None:
            found = self._networks[source] = self._found(source)
        return found

    def _found(self, source: Interface | Bridge) -> tuple[Subnet, ...]:
        """The networks of the addresses there, else the bridge's pool, else what other bridges of the segment have."""
        found = _routable(source.held)
        if not found and isinstance(source, Bridge):
            found = source.draft.pool
            if not found:
                others = [part for part in _segment(source).taken.values() if isinstance(part, Bridge)]
                found = _routable([held for part in dict.fromkeys(others) for held in part.held])
        return tuple(dict.fromkeys(found))


def _routable(held: t.Iterable[Held]) -> tuple[Subnet, ...]:
    """The networks in which there is something to choose: of link-local addresses everybody has one already."""
    return tuple(
        each.subnet
        for each in held
        if each.subnet.last > each.subnet.first and not (each.subnet.version == 6 and each.interface.is_link_local)
    )


def _segment(part: Interface | Bridge) -> Segment:
    return t.cast(Segment, part.segment).whole


def _next(segment: Segment, subnet: Subnet) -> int | None:
    taken, key = segment.taken, subnet.key
    number = segment.tried.get(id(subnet), subnet.first - 1) + 1
    while number + key in taken:
        number += 1
    segment.tried[id(subnet)] = number
    return number if number <= subnet.last else None


class Pairs:
    """Chooses for both ends of cables without a bridge: two addresses next to each other, a /31 or /127 of the lab's pool."""

    def __init__(self, reader: Reader, problems: Problems, pool: t.Sequence[Subnet]) -> None:
        self._reader = reader
        self._problems = problems
        self._pools = [_Pool(subnet, reader.subnets) for subnet in pool]
        self._mine: dict[tuple[Interface, _Pool], tuple[int, bool]] = {}
        self.later: set[Interface] = set()
        """Ends that get their address together with the other end of their cable."""

    def keep(self, end: Interface, kept: Kept) -> None:
        """Take the pair of which either end had an address, where it is still to be had."""
        peer = t.cast(Interface, end.peer)
        for owner in (end, peer) if peer.draft.auto else (end,):
            for address in kept.get(names.spoken(owner.site.netns, owner.name), ()):
                self._keep(end, address, second=owner is peer)

    def _keep(self, end: Interface, address: Address, *, second: bool) -> None:
        number = int(address)
        for pool in self._pools:
            fits = address.version == pool.subnet.version and address.network.prefixlen == pool.length
            if fits and (end, pool) not in self._mine and pool.take(number & ~1):
                # Which half the end itself has: the same as the address, or the other one.
                self._mine[end, pool] = (number & ~1, bool(number & 1) != second)

    def choose(self, end: Interface) -> None:
        """Give both ends an address of each of the lab's networks."""
        peer = t.cast(Interface, end.peer)
        if not self._pools:
            self._problems.add(
                (*end.path, "addresses"),
                "there is nothing to choose from: the lab has no pool. Add one at the top, such as pool: 10.200.0.0/16, "
                "or write the addresses.",
            )
            return
        mine: list[Held] = []
        theirs: list[Held] = []
        for pool in self._pools:
            low, turned = self._mine.get((end, pool), (None, False))
            if low is None:
                low = pool.next()
            if low is None:
                self._problems.add(
                    (*end.path, "addresses"),
                    f"no pair of addresses is left in the lab's pool {pool.subnet}. Use a larger network.",
                )
                return
            subnet = self._reader.subnet(pool.subnet.version, low, pool.length)
            pair = [Held(subnet.interface(number), number, subnet) for number in (low, low + 1)]
            mine.append(pair[turned])
            theirs.append(pair[not turned])
        end.held = tuple(mine)
        if peer.draft.auto:
            peer.held = tuple(theirs)


class _Pool:
    """The pairs of one network, less those in which the file has something."""

    def __init__(self, subnet: Subnet, known: t.Iterable[Subnet]) -> None:
        self.subnet = subnet
        self.length = subnet.network.max_prefixlen - 1
        self._used: set[int] = set()
        self._blocked = _merged(
            (each.low, each.high)
            for each in known
            if each.version == subnet.version
            and subnet.low <= each.low
            and each.high <= subnet.high
            and each is not subnet
        )
        self._next = subnet.low

    def take(self, low: int) -> bool:
        """Take the pair that begins with ``low``; False where it is not to be had."""
        inside = self.subnet.low <= low and low + 1 <= self.subnet.high
        if not inside or low in self._used or self._block(low) is not None:
            return False
        self._used.add(low)
        return True

    def next(self) -> int | None:
        """Take the next free pair; None when there is none."""
        low = self._next
        while low + 1 <= self.subnet.high:
            block = self._block(low)
            if block is not None:
                low = (block + 2) & ~1
            elif low in self._used:
                low += 2
            else:
                self._next = low + 2
                self._used.add(low)
                return low
        self._next = low
        return None

    def _block(self, low: int) -> int | None:
        """The end of what the file has in this pair, or None."""
        place = bisect.bisect_right(self._blocked, (low + 1, self.subnet.high + 1)) - 1
        return self._blocked[place][1] if place >= 0 and self._blocked[place][1] >= low else None


def _merged(ranges: t.Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that overlap as one."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1]:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return out
