# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What kind of address a packet comes from or goes to: one's own, everybody's, a group's (the matches addrtype, pkttype).

How the kernel answers is in net/netfilter/xt_addrtype.c and xt_pkttype.c.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from .model import Network, Packet
from .xt_predicates import all_of, any_of, negated

_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/4"), 6: ipaddress.ip_network("ff00::/8")}
_LOOPBACK = {4: ipaddress.ip_network("127.0.0.0/8"), 6: ipaddress.ip_network("::1/128")}
_EVERYBODY = (ipaddress.ip_network("255.255.255.255/32"), ipaddress.ip_network("0.0.0.0/8"))


def _within(network: Network, others: t.Iterable[Network]) -> bool | None:
    same = [other for other in others if other.version == network.version]
    if any(network.subnet_of(other) for other in same):  # type: ignore[arg-type]
        return True
    return None if any(network.overlaps(other) for other in same) else False


def _may_be_broadcast(network: Network) -> bool:
    """Whether some network has it as its last or first address: all of /30 and larger ones end in two equal bits."""
    return network.version == 4 and (network.prefixlen < 32 or int(network.network_address) & 3 in (0, 3))


@dataclass(frozen=True)
class AddressType:
    """What the address is to the namespace: LOCAL, UNICAST, BROADCAST, MULTICAST or something rarer.

    IPv4 takes one of ``words``; IPv6 asks for all of them, and calls the local ones UNICAST too. ``limited``: only
    the addresses of the packet's interface are LOCAL, and which these are is not known.
    """

    of: str
    words: tuple[str, ...]
    limited: bool = False

    def holds(self, packet: Packet) -> bool | None:
        network = t.cast("Network | None", getattr(packet, self.of))
        if network is None:
            return None
        answers = [self._is(word, network, packet) for word in self.words]
        return any_of(answers) if packet.family == 4 else all_of(answers)

    def _is(self, word: str, network: Network, packet: Packet) -> bool | None:
        multicast = _within(network, [_MULTICAST[network.version]])
        if word == "MULTICAST":
            return multicast
        if word == "UNICAST" and network.version == 6:
            return negated(multicast)
        local = self._local(network, packet)
        if word == "LOCAL":
            return local
        if word in ("BROADCAST", "UNICAST"):
            broadcast = self._broadcast(network, packet, any_of([multicast, local]))
            return broadcast if word == "BROADCAST" else negated(any_of([multicast, local, broadcast]))
        return None

    def _local(self, network: Network, packet: Packet) -> bool | None:
        if _within(network, [_MULTICAST[network.version], *_EVERYBODY]):
            return False
        known = _within(network, [_LOOPBACK[network.version], *(packet.local or ())])
        if known is False and packet.local is None:
            return None
        return None if known and self.limited else known

    def _broadcast(self, network: Network, packet: Packet, other: bool | None) -> bool | None:
        everybody = _within(network, _EVERYBODY)
        if everybody or other:
            return everybody
        if packet.protocol == "tcp":
            return everybody
        return None if _may_be_broadcast(network) else everybody


@dataclass(frozen=True)
class PacketType:
    """How the packet was addressed in its Ethernet frame: unicast, broadcast or multicast."""

    word: str

    def holds(self, packet: Packet) -> bool | None:
        if packet.destination is None or packet.in_interface in (None, "", "lo"):
            return None  # what the machine says to others, or to itself, has no frame yet
        return AddressType("destination", (self.word.upper(),)).holds(_without_locals(packet))


def _without_locals(packet: Packet) -> Packet:
    """The packet as somebody sees it who has no address: every address is a stranger's."""
    return Packet(packet.family, packet.protocol, destination=packet.destination, local=())
