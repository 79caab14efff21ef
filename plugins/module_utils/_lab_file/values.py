# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Addresses and other values, made cheaply: a lab may have thousands of them, and most differ in a number only."""

from __future__ import annotations

import functools
import ipaddress
import socket
import typing as t

from .._objects import checks
from .._objects.checks import Interface, Network

_T = t.TypeVar("_T")
_FAMILIES = ((socket.AF_INET, 4, 32), (socket.AF_INET6, 6, 128))
_MULTICAST = {4: (0xE0000000, 0xEFFFFFFF), 6: (0xFF << 120, (1 << 128) - 1)}
_LENGTHS = {str(number): number for number in range(129)}


def variant(model: _T, **changes: t.Any) -> _T:
    """``dataclasses.replace`` for values that check nothing when they are made; it takes a tenth of the time."""
    made = object.__new__(type(model))
    made.__dict__.update(model.__dict__, **changes)
    return made


class Subnet:
    """One network that addresses of the lab are in. There is one object for each, so that identity tells them apart."""

    __slots__ = ("_cheap", "_model", "first", "high", "key", "last", "low", "network", "plain", "prefixlen", "version")

    def __init__(self, model: Interface) -> None:
        """``model`` is any address in it."""
        self._model = model
        self._cheap = _is_cheap(model.version)
        self.network: Network = model.network
        self.version = model.version
        self.prefixlen: int = self.network.prefixlen
        self.low = int(self.network.network_address)
        self.high = self.low | (1 << (self.network.max_prefixlen - self.prefixlen)) - 1
        self.key = 0 if self.version == 4 else 1 << 128
        """What to add to an address to tell the IP versions apart."""
        narrow = self.prefixlen >= self.network.max_prefixlen - 1
        self.first = self.low if narrow else self.low + 1
        """The first address that is free to be chosen: not the network's own."""
        self.last = self.high if narrow or self.version == 6 else self.high - 1
        """The last one: no IPv4 broadcast."""
        multicast = _MULTICAST[self.version]
        self.plain = self.low > 0 and (self.high < multicast[0] or self.low > multicast[1])
        """Whether all addresses in it are of the kind that an interface can have."""

    def interface(self, number: int) -> Interface:
        """The address with this number, with its prefix length."""
        return _sibling(self._model, number) if self._cheap else interface(self.version, number, self.prefixlen)

    def has(self, other: Held) -> bool:
        """Whether an address is in it."""
        return self.version == other.subnet.version and self.low <= other.number <= self.high

    def __str__(self) -> str:
        return str(self.network)


def interface(version: int, number: int, prefixlen: int) -> Interface:
    """An address with its prefix length from numbers."""
    made = ipaddress.IPv4Interface if version == 4 else ipaddress.IPv6Interface
    return made((number, prefixlen))


def _sibling(model: Interface, number: int) -> Interface:
    """Another address of the same network: it shares the network, whose making takes most of the time."""
    made = object.__new__(type(model))
    made.__dict__.update(model.__dict__)
    made._ip = number  # type: ignore[union-attr]
    if model.version == 6:
        made._scope_id = None  # type: ignore[union-attr]
    return made


@functools.cache
def _is_cheap(version: int) -> bool:
    """Whether this Python's addresses are made of what ``_sibling`` believes."""
    proper = interface(version, 7, 28)
    try:
        made = _sibling(interface(version, 3, 28), 7)
        return _facets(made) == _facets(proper)
    except AttributeError:
        return False


def _facets(made: Interface) -> tuple[t.Any, ...]:
    return (made, str(made), hash(made), made.ip, made.network, made.netmask, made.hostmask, made.is_link_local)


class Held(t.NamedTuple):
    """One address of an interface."""

    interface: Interface
    number: int
    subnet: Subnet

    @property
    def key(self) -> int:
        """Different for all addresses of both IP versions."""
        return self.number + self.subnet.key


class Reader:
    """Reads addresses; those of one network share it."""

    def __init__(self) -> None:
        self._subnets: dict[tuple[int, int, int], Subnet] = {}
        self._read: dict[str, Held] = {}

    @property
    def subnets(self) -> list[Subnet]:
        """All networks met so far."""
        return list(self._subnets.values())

    def subnet(self, version: int, low: int, prefixlen: int) -> Subnet:
        """The one object for the network that begins with ``low``."""
        found = self._subnets.get((version, prefixlen, low))
        if found is None:
            found = self._subnets[version, prefixlen, low] = Subnet(interface(version, low, prefixlen))
        return found

    def network(self, network: Network) -> Subnet:
        """The one object for this network."""
        return self.subnet(network.version, int(network.network_address), network.prefixlen)

    def held(self, text: str) -> Held:
        """An address with its prefix length as an interface has it. Raises InvalidInput, as ``checks.host_interface`` does."""
        found = self._read.get(text)
        if found is None:
            found = self._quick(text) or self.of(checks.host_interface(text, "address"))
            self._read[text] = found
        return found

    def of(self, interface: Interface) -> Held:
        """What is known of an address that is read already."""
        number, subnet = int(interface), self.network(interface.network)
        return Held(subnet.interface(number), number, subnet)

    def _quick(self, text: str) -> Held | None:
        """An address in a network that was met before, or None: then it has to be read in full."""
        bare, _slash, length = text.partition("/")
        prefixlen = _LENGTHS.get(length)
        if prefixlen is None:
            return None
        family, version, bits = _FAMILIES[":" in bare]
        try:
            number = int.from_bytes(socket.inet_pton(family, bare), "big")
        except (OSError, ValueError):
            return None
        shift = bits - prefixlen
        if shift < 0:
            return None
        subnet = self._subnets.get((version, prefixlen, number >> shift << shift))
        if subnet is None or not subnet.plain or not subnet.first <= number <= subnet.last:
            return None
        return Held(subnet.interface(number), number, subnet)
