# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Values and fields in the words of nft(8), so that a person finds the rule in its listing."""

from __future__ import annotations

import ipaddress
import sys

_WORDS = {
    "nfproto": {2: "ipv4", 10: "ipv6"},
    "protocol": {0x0800: "ip", 0x86DD: "ip6", 0x0806: "arp", 0x8100: "vlan"},
    "l4proto": {1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 50: "esp", 51: "ah", 58: "ipv6-icmp", 132: "sctp"},
    "pkttype": {0: "host", 1: "broadcast", 2: "multicast", 3: "other"},
    "direction": {0: "original", 1: "reply"},
    "fib type": {
        1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole", 7: "unreachable", 8: "prohibit",
    },
}  # fmt: skip
_WORDS["l3proto"] = _WORDS["nfproto"]
_BITS = {
    "state": {1: "invalid", 2: "established", 4: "related", 8: "new", 64: "untracked"},
    "status": {
        1: "expected", 2: "seen-reply", 4: "assured", 8: "confirmed", 16: "snat", 32: "dnat", 512: "dying",
    },
}  # fmt: skip
_PAYLOADS = {
    (1, 12, 4): "ip saddr", (1, 16, 4): "ip daddr", (1, 9, 1): "ip protocol", (1, 8, 1): "ip ttl",
    (1, 8, 16): "ip6 saddr", (1, 24, 16): "ip6 daddr", (1, 6, 1): "ip6 nexthdr", (1, 7, 1): "ip6 hoplimit",
    (2, 0, 2): "th sport", (2, 2, 2): "th dport", (2, 13, 1): "tcp flags", (2, 0, 1): "icmp type", (2, 1, 1): "icmp code",
    (0, 0, 6): "ether daddr", (0, 6, 6): "ether saddr", (0, 12, 2): "ether type",
}  # fmt: skip
_TCP_FLAGS = {1: "fin", 2: "syn", 4: "rst", 8: "psh", 16: "ack", 32: "urg", 64: "ecn", 128: "cwr"}
_BASES = {0: "ll", 1: "nh", 2: "th", 3: "ih"}
_ADDRESSES = {12: 4, 16: 4, 8: 16, 24: 16}
"""Where addresses begin in the network header, and how long they are; IPv4's two do not begin where IPv6's do."""


def number(data: bytes) -> str:
    """Any bytes: short ones as a decimal number, longer ones in hexadecimal."""
    value = int.from_bytes(data, "big")
    return str(value) if len(data) <= 2 else f"0x{value:0{2 * len(data)}x}"


def address(data: bytes) -> str:
    """Four or sixteen bytes as an address, others as a number."""
    return str(ipaddress.ip_address(data)) if len(data) in (4, 16) else number(data)


def network(data: bytes, mask: bytes) -> str:
    """An address with a mask: as a prefix if it is one."""
    bits = "".join(f"{byte:08b}" for byte in mask)
    length = len(bits.rstrip("0"))
    if "0" in bits[:length]:
        return f"{address(data)} & {address(mask)}"
    return address(data) if length == len(bits) else f"{address(data)}/{length}"


def interface(data: bytes) -> str:
    """A name, or the beginning of names."""
    name = data.split(b"\0")[0].decode(errors="replace")
    return f'"{name}"' if b"\0" in data or len(data) >= 16 else f'"{name}*"'


def word(kind: str, data: bytes, mask: bytes | None = None) -> str:
    """A number that has a name."""
    value = int.from_bytes(data, sys.byteorder if kind == "fib type" else "big")
    return _WORDS.get(kind, {}).get(value, str(value))


def flags(names: dict[int, str], value: int) -> str:
    """The names of the bits that are set."""
    found = [name for bit, name in names.items() if value & bit]
    return ",".join(found) if found else str(value)


def ct(name: str, data: bytes, mask: bytes | None = None) -> str:
    """What connection tracking says."""
    if name in _BITS:
        return flags(_BITS[name], int.from_bytes(data, sys.byteorder))
    if name.split()[-1] in ("src", "dst"):
        return address(data)
    return word({"protocol": "l4proto"}.get(name, name), data)


def payload_name(base: int, offset: int, size: int) -> str:
    """The header field at this place, or the place."""
    if base == 1 and offset in _ADDRESSES and (base, offset, size) not in _PAYLOADS and size < _ADDRESSES[offset]:
        size = _ADDRESSES[offset]  # nft loads only the bytes that a prefix covers
    return _PAYLOADS.get((base, offset, size)) or f"@{_BASES.get(base, base)},{8 * offset},{8 * size}"


def payload(base: int, offset: int, data: bytes, mask: bytes | None = None) -> str:
    """A value of the field at this place."""
    size = len(data)
    if base == 1 and offset in _ADDRESSES and size <= _ADDRESSES[offset] and (offset != 8 or size > 2):
        width = _ADDRESSES[offset]
        fill = bytes(width - size)
        return network(data + fill, (mask or b"\xff" * size)[:size].ljust(size, b"\xff") + fill)
    if base == 1 and (offset, size) in ((9, 1), (6, 1)):
        return word("l4proto", data)
    if base == 2 and (offset, size) == (13, 1):
        names = flags(_TCP_FLAGS, data[0])
        return names if mask is None else f"{names} / {flags(_TCP_FLAGS, mask[0])}"
    if base == 0 and size == 6:
        return data.hex(":")
    if base == 0 and (offset, size) == (12, 2):
        return word("protocol", data)
    return number(data)
