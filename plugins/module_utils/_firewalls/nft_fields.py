# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What an nftables expression loads into a register: fields of a packet, with their names in nft(8).

Packets are taken to be ordinary: whole, and the first TCP segment of a connection has SYN and neither ACK, RST nor FIN.
Numbers are from linux/netfilter/nf_tables.h, if_packet.h and rtnetlink.h.
"""

from __future__ import annotations

import functools
import ipaddress
import sys
import typing as t
from dataclasses import dataclass

from . import nft_shown as shown
from .model import Network, Packet
from .nft_bits import Bits, joined, known, unknown

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58}
NFPROTO = {4: 2, 6: 10}
_ETHERTYPE = {4: 0x0800, 6: 0x86DD}
_UNICAST, _LOCAL, _BROADCAST, _MULTICAST = 1, 2, 3, 5  # RTN_*
_NOT_LOCAL = (_UNICAST, _BROADCAST, 4, 6, 7, 8)  # and anycast, blackhole, unreachable, prohibit
_SYN, _ACK_RST_FIN = 0x02, 0x15

Possible = tuple[Bits, ...]
"""The values that a field may have; empty when nothing is known, not even whether the packet has the field."""


class Field(t.Protocol):
    """What a register holds."""

    @property
    def size(self) -> int:
        """In bytes."""

    def possible(self, packet: Packet) -> Possible:
        """What it may be for this packet."""

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        """A value of the field, in the words of nft(8)."""


def native(number: int, size: int = 4) -> bytes:
    """A number in this machine's byte order."""
    return number.to_bytes(size, sys.byteorder)


@dataclass(frozen=True)
class Constant:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def possible(self, packet: Packet) -> Possible:
        return (known(self.data),)

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        return Blank("").show(data)

    def __str__(self) -> str:
        return self.show(self.data)


@dataclass(frozen=True)
class Blank:
    """A field that there are no words for, or one that packets do not tell: a mark, a limit, a time of day."""

    what: str
    size: int = 64

    def possible(self, packet: Packet) -> Possible:
        return ()

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        return shown.number(data[::-1] if len(data) == 4 and sys.byteorder == "little" else data)  # such as marks are

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True)
class Interface:
    """iifname and oifname, or with ``indexes`` iif and oif; ``side`` is an attribute of Packet."""

    side: str
    name: str
    indexes: tuple[tuple[str, int], ...] | None = None

    @property
    def size(self) -> int:
        return 16 if self.indexes is None else 4

    def possible(self, packet: Packet) -> Possible:
        name = getattr(packet, self.side)
        if name is None:
            return (unknown(self.size),)
        if self.indexes is None:
            return (known(name.encode(errors="surrogateescape")[:16].ljust(16, b"\0")),)
        if not name:
            return (known(bytes(4)),)
        # An interface that is not there yet has none of the indexes that are.
        return (known(native(dict(self.indexes).get(name, 0x7FFFFFFF))),)

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        if self.indexes is None:
            return shown.interface(data)
        index = int.from_bytes(data, sys.byteorder)
        name = next((name for name, number in self.indexes if number == index), "")
        return f'"{name}"' if name else str(index)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Meta:
    """meta nfproto, l4proto, protocol and pkttype."""

    name: str

    @property
    def size(self) -> int:
        return 2 if self.name == "protocol" else 1

    def possible(self, packet: Packet) -> Possible:
        if self.name == "nfproto":
            return (known(bytes([NFPROTO.get(packet.family, 0)])),)
        if self.name == "protocol":
            return (known(_ETHERTYPE.get(packet.family, 0).to_bytes(2, "big")),)
        if self.name == "l4proto":
            return (protocol_bits(packet),)
        return _packet_type(packet)

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        return shown.word(self.name, data, mask)

    def __str__(self) -> str:
        return f"meta {self.name}"


def protocol_bits(packet: Packet) -> Bits:
    number = PROTOCOLS.get(packet.protocol or "")
    return unknown(1) if number is None else known(bytes([number]))


def _packet_type(packet: Packet) -> Possible:
    """PACKET_HOST for what comes by a cable to one address; who bridges it, or whom it is from, may make it another."""
    single = packet.destination is not None and packet.destination.num_addresses == 1
    if not single or not packet.in_interface or packet.in_interface == "lo" or packet.in_port:
        return ()
    address = t.cast(Network, packet.destination).network_address
    return () if address.is_multicast or str(address) == "255.255.255.255" else (known(b"\0"),)


@dataclass(frozen=True)
class Payload:
    """Bytes of a header: ``base`` is 0 for the link layer, 1 for the network and 2 for the transport header."""

    base: int
    offset: int
    size: int

    def possible(self, packet: Packet) -> Possible:
        header = _header(packet, self.base)
        if header is None or self.offset + self.size > header.size:
            return ()
        return (header.cut(self.offset, self.size),)

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        return shown.payload(self.base, self.offset, data, mask)

    def __str__(self) -> str:
        return shown.payload_name(self.base, self.offset, self.size)


@functools.lru_cache(maxsize=64)
def _header(packet: Packet, base: int) -> Bits | None:
    if base == 0:
        return joined([unknown(12), known(_ETHERTYPE.get(packet.family, 0).to_bytes(2, "big"))])
    if base == 1:
        return _network_header(packet)
    return _transport_header(packet) if base == 2 else None


def _network_header(packet: Packet) -> Bits:
    if packet.family == 4:
        fragment = Bits(2, 0, 0x3FFF)  # neither more fragments nor an offset (RFC 791)
        start = [known(b"\x45"), unknown(5), fragment, unknown(1), protocol_bits(packet), unknown(2)]
    else:
        start = [Bits(1, 0x60, 0xF0), unknown(5), protocol_bits(packet), unknown(1)]  # RFC 8200
    return joined([*start, address_bits(packet.source, packet.family), address_bits(packet.destination, packet.family)])


def address_bits(network: Network | None, family: int) -> Bits:
    size = 4 if family == 4 else 16
    if network is None or network.version != family:
        return unknown(size)
    return Bits(size, int(network.network_address), int(network.netmask))


def _transport_header(packet: Packet) -> Bits | None:
    if packet.protocol not in ("tcp", "udp", "sctp"):
        return None
    ports = joined([port_bits(packet.source_port), port_bits(packet.destination_port)])
    if packet.protocol == "tcp":
        flags = Bits(1, _SYN, _SYN | _ACK_RST_FIN) if packet.state == "new" else unknown(1)
        return joined([ports, unknown(9), flags, unknown(6)])
    return joined([ports, unknown(4)])


def port_bits(port: int | None) -> Bits:
    return unknown(2) if port is None else known(port.to_bytes(2, "big"))


@dataclass(frozen=True)
class AddressType:
    """fib saddr type and fib daddr type."""

    side: str
    """source or destination."""
    name: str
    restricted: bool = False
    """Whether only the addresses of one interface count."""
    size: int = 4

    def possible(self, packet: Packet) -> Possible:
        network = getattr(packet, self.side)
        if network is None or network.version != packet.family:
            return ()
        return tuple(known(native(kind)) for kind in self._kinds(network, packet.local))

    def _kinds(self, network: Network, local: tuple[Network, ...] | None) -> tuple[int, ...]:
        if network.is_multicast:
            return (_MULTICAST,)
        if network == ipaddress.ip_network("255.255.255.255/32"):
            return (_BROADCAST,)
        if local is None and not network.is_loopback:
            return ()
        touched = [own for own in local or () if own.version == network.version and own.overlaps(network)]
        if network.is_loopback or any(_covers(own, network) for own in touched):
            return () if self.restricted else (_LOCAL,)
        return () if touched else _NOT_LOCAL

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        return shown.word("fib type", data, mask)

    def __str__(self) -> str:
        return self.name


def _covers(one: Network, other: Network) -> bool:
    return one.prefixlen <= other.prefixlen and int(other.network_address) & int(one.netmask) == int(
        one.network_address
    )
