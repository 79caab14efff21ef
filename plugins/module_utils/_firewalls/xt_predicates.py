# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What iptables rules ask about a packet, as values that can answer: yes, no, or None for what can't be known.

How the kernel answers is in net/netfilter/xt_*.c and net/ipv4/netfilter/ip_tables.c.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .model import Condition, Network, Packet, Unknown

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}


def negated(answer: bool | None) -> bool | None:
    """The opposite; the opposite of unknown is unknown."""
    return None if answer is None else not answer


def any_of(answers: t.Iterable[bool | None]) -> bool | None:
    """Whether one of them is true: unknown only if none is and one may be."""
    seen = set(answers)
    return True if True in seen else (None if None in seen else False)


def all_of(answers: t.Iterable[bool | None]) -> bool | None:
    """Whether all of them are true: unknown only if none is false and one may be."""
    return negated(any_of(negated(answer) for answer in answers))


def agreed(answers: t.Iterable[bool | None]) -> bool | None:
    """What all of them say; None when they differ."""
    seen = set(answers)
    return seen.pop() if len(seen) == 1 else None


@dataclass(frozen=True)
class Option:
    """One option of a rule, such as ``! --dport 80`` of the match tcp. ``test`` is None for what can't be told."""

    match: str
    """The name after -m; empty for what belongs to no match, such as -s."""
    words: str
    """The option as iptables lists it, without a negation."""
    test: Condition | None = None
    inverted: bool = False

    @property
    def text(self) -> str:
        """As iptables lists it inside its match."""
        return f"! {self.words}" if self.inverted else self.words

    def __str__(self) -> str:
        return f"-m {self.match} {self.text}".rstrip() if self.match else self.text

    def holds(self, packet: Packet) -> bool | None:
        """Whether the packet meets it, as far as can be known."""
        answer = self.test.holds(packet) if self.test else None
        return negated(answer) if self.inverted else answer

    def condition(self) -> Condition:
        """Itself, or Unknown where there is no test."""
        return self if self.test else Unknown(str(self))


@dataclass(frozen=True)
class Always:
    """What every packet meets."""

    def holds(self, _packet: Packet) -> bool | None:
        return True


@dataclass(frozen=True)
class Never:
    """What no packet meets that opens or continues a connection, such as being a later fragment."""

    def holds(self, _packet: Packet) -> bool | None:
        return False


# ---- addresses


def _field(packet: Packet, of: str) -> list[t.Any]:
    """The values that the field may have: one of the packet itself, or one of its connection (``original_source``...).

    A connection's fields are those of its first packet (original) and of the answers (reply), before and after
    translation. Those of an established one depend on the direction of the packet.
    """
    kind, _underscore, end = of.partition("_")
    if kind not in ("original", "reply"):
        return [getattr(packet, of)]
    side, port = (end.split("_")[0], "_port" if end.endswith("port") else "")
    other = {"source": "destination", "destination": "source"}[side]
    own, reverse = getattr(packet, side + port), getattr(packet, other + port)
    if packet.state != "new":
        return [None] if packet.translated else [own, reverse]
    if kind == "reply":
        own, side = reverse, other
    translation = {"source": "snat", "destination": "dnat"}[side]
    return [None] if translation in packet.translated else [own]


@dataclass(frozen=True)
class Address:
    """An address under a mask, which need not be that of a network. ``of``: source, destination, original_source..."""

    of: str
    family: int
    value: int
    mask: int

    def holds(self, packet: Packet) -> bool | None:
        if packet.family != self.family:
            return False
        return agreed(self._meets(network) for network in _field(packet, self.of))

    def _meets(self, network: Network | None) -> bool | None:
        if network is None:
            return None if self.mask else True
        known = int(network.netmask)
        if (int(network.network_address) ^ self.value) & self.mask & known:
            return False
        return None if self.mask & ~known else True


@dataclass(frozen=True)
class AddressRange:
    """An address between two, both included."""

    of: str
    family: int
    low: int
    high: int

    def holds(self, packet: Packet) -> bool | None:
        network = t.cast("Network | None", getattr(packet, self.of))
        if packet.family != self.family:
            return False
        if network is None:
            return None
        first, last = int(network.network_address), int(network.broadcast_address)
        if last < self.low or first > self.high:
            return False
        return True if self.low <= first and last <= self.high else None


# ---- ports and protocols


@dataclass(frozen=True)
class Protocol:
    """The protocol number of the packet, as in -p."""

    number: int

    def holds(self, packet: Packet) -> bool | None:
        if packet.protocol is None:
            return None
        return PROTOCOLS.get(packet.protocol) == self.number


@dataclass(frozen=True)
class Ports:
    """One of the fields (source_port, destination_port, original_source_port...) lies in one of the ranges."""

    of: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]

    def holds(self, packet: Packet) -> bool | None:
        return any_of(agreed(self._meets(port) for port in _field(packet, of)) for of in self.of)

    def _meets(self, port: int | None) -> bool | None:
        if port is None:
            return True if (0, 65535) in self.ranges else None
        return any(low <= port <= high for low, high in self.ranges)


_SYN, _ACK = 0x02, 0x10
_FLAGS_OF_OLD = 0x3F
"""FIN to URG; the two above them negotiate congestion notification and may be set in an opening packet (RFC 3168)."""


@dataclass(frozen=True)
class TcpFlags:
    """The flags under the mask are exactly these. A new connection is one that opens: SYN and nothing else."""

    mask: int
    flags: int

    def holds(self, packet: Packet) -> bool | None:
        if packet.state == "new":
            if (_SYN ^ self.flags) & self.mask & _FLAGS_OF_OLD:
                return False
            return None if self.mask & ~_FLAGS_OF_OLD else True
        if self.mask & _SYN and self.mask & _ACK and self.flags & _SYN and not self.flags & _ACK:
            return False  # after the opening every segment with SYN has ACK
        return None


_ECHO_REQUEST = {4: 8, 6: 128}
_ECHO_REPLY = {4: 0, 6: 129}


@dataclass(frozen=True)
class IcmpType:
    """Type and codes of ICMP. Connection tracking knows echoes: requests open; errors are related, never new."""

    family: int
    kind: int
    low: int
    high: int

    def holds(self, packet: Packet) -> bool | None:
        if packet.state == "new":
            return self.kind == _ECHO_REQUEST[self.family] and self.low == 0
        echoes = (_ECHO_REQUEST[self.family], _ECHO_REPLY[self.family])
        return None if self.kind in echoes and self.low == 0 else False


# ---- connection tracking


@dataclass(frozen=True)
class State:
    """Connection tracking says one of these: NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED, SNAT, DNAT."""

    words: frozenset[str]

    def holds(self, packet: Packet) -> bool | None:
        said = {packet.state.upper(), *(word.upper() for word in packet.translated)}
        return bool(said & self.words)


@dataclass(frozen=True)
class Status:
    """The connection has one of these: EXPECTED, SEEN_REPLY, ASSURED, CONFIRMED (or SRC_NAT, DST_NAT)."""

    words: frozenset[str]

    def holds(self, packet: Packet) -> bool | None:
        return any_of(_has_status(packet, word) for word in self.words)


def _has_status(packet: Packet, word: str) -> bool | None:
    if word in ("SRC_NAT", "DST_NAT"):
        return {"SRC_NAT": "snat", "DST_NAT": "dnat"}[word] in packet.translated
    if packet.state == "new":  # an expected one would be related; a repeated first packet may be confirmed
        return None if word == "CONFIRMED" else False
    return True if word in ("SEEN_REPLY", "CONFIRMED") else None


@dataclass(frozen=True)
class Original:
    """The packet goes the way of the first one of its connection."""

    def holds(self, packet: Packet) -> bool | None:
        return True if packet.state == "new" else None


# ---- interfaces


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


@dataclass(frozen=True)
class Interface:
    """in_interface or out_interface has this name; one that ends in + is the beginning of names."""

    of: str
    pattern: str

    def holds(self, packet: Packet) -> bool | None:
        name = getattr(packet, self.of)
        return None if name is None else _matches(name, self.pattern)


def _is_bridged(packet: Packet) -> bool | None:
    """Whether a packet passes a bridge without being routed: in and out interface are the bridge then."""
    if packet.out_port:
        return True
    if packet.out_port == "" or packet.in_interface == "" or packet.out_interface == "":
        return False
    if None not in (packet.in_interface, packet.out_interface) and packet.in_interface != packet.out_interface:
        return False
    return None


def _port(packet: Packet, of: str) -> str | None:
    """The name of a bridge port, empty if there is none, None if unknown."""
    name = t.cast("str | None", getattr(packet, of))
    if name is not None:
        return name
    if packet.in_interface == "":
        return ""
    return "" if of == "out_port" and _is_bridged(packet) is False else None


@dataclass(frozen=True)
class BridgePort:
    """in_port or out_port has this name; an empty pattern means any port."""

    of: str
    pattern: str = ""

    def holds(self, packet: Packet) -> bool | None:
        name = _port(packet, self.of)
        if name is None:
            return True if not self.pattern and self.of == "out_port" and _is_bridged(packet) else None
        return bool(name) and (not self.pattern or _matches(name, self.pattern))
