# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What connection tracking says of a packet, as nftables loads it (linux/netfilter/nf_conntrack_common.h)."""

from __future__ import annotations

from dataclasses import dataclass

from . import nft_shown as shown
from .model import Packet
from .nft_bits import Bits, known, unknown
from .nft_fields import NFPROTO, Possible, address_bits, native, port_bits, protocol_bits

_STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
_SEEN_REPLY, _CONFIRMED, _SRC_NAT, _DST_NAT = 0x2, 0x8, 0x10, 0x20  # IPS_*
_NEW_KNOWN = 0x2 | 0x4  # a first packet has no reply, so it can't be assured


@dataclass(frozen=True)
class Ct:
    """What connection tracking says. ``direction`` is 0 for the original one, 1 for replies, None where it does not matter."""

    name: str
    size: int
    direction: int | None = None

    def possible(self, packet: Packet) -> Possible:
        found = self._found(packet)
        return () if found is None or found.size != self.size else (found,)

    def _found(self, packet: Packet) -> Bits | None:
        if self.name == "state":
            return known(native(_STATES[packet.state])) if packet.state in _STATES else None
        if self.name == "status":
            return _status(packet)
        if self.name == "direction":
            return known(b"\0") if packet.state == "new" else unknown(1)
        if self.name == "l3proto":
            return known(bytes([NFPROTO.get(packet.family, 0)]))
        if self.name == "protocol":
            return protocol_bits(packet)
        return self._original(packet)

    def _original(self, packet: Packet) -> Bits | None:
        """One end of the connection as it was before any translation."""
        changed = {"src": "snat", "dst": "dnat"}.get(self.name.split("-")[-1].split()[-1])
        if self.direction != 0 or packet.state != "new" or changed in packet.translated:
            return None
        ends: dict[str, Bits] = {
            "src": address_bits(packet.source, packet.family),
            "dst": address_bits(packet.destination, packet.family),
            "proto-src": port_bits(packet.source_port),
            "proto-dst": port_bits(packet.destination_port),
        }
        return ends.get(self.name.split()[-1])

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        return shown.ct(self.name, data, mask)

    def __str__(self) -> str:
        direction = {0: "original ", 1: "reply "}.get(-1 if self.direction is None else self.direction, "")
        return f"ct {direction}{self.name}"


@dataclass(frozen=True)
class Tracked:
    """The condition that the packet belongs to a connection."""

    def holds(self, packet: Packet) -> bool | None:
        return packet.state not in ("invalid", "untracked")


def _status(packet: Packet) -> Bits:
    if packet.state not in ("new", "established"):
        return unknown(4)
    value = (_DST_NAT if "dnat" in packet.translated else 0) | (_SRC_NAT if "snat" in packet.translated else 0)
    mask = _DST_NAT | _SRC_NAT
    if packet.state == "new":
        mask |= _NEW_KNOWN
    else:
        value, mask = value | _SEEN_REPLY | _CONFIRMED, mask | _SEEN_REPLY | _CONFIRMED
    return Bits(4, *(int.from_bytes(native(number), "big") for number in (value, mask)))
