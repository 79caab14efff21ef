# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The matches of iptables rules: from the kernel's structs (linux/netfilter/xt_*.h) to conditions and their words.

iptables-legacy keeps these structs in its tables, iptables-nft in the nft expression "match". ``family`` is 4 or 6,
or the NFPROTO number of that (2 or 10).
Nothing here raises: what can't be read is Unknown.
"""

from __future__ import annotations

import typing as t

from . import xt_rarer, xt_words
from .model import Condition, Unknown, Verdict
from .xt_address_types import AddressType, PacketType
from .xt_conntrack import conntrack, state
from .xt_predicates import (
    AddressRange,
    Always,
    BridgePort,
    IcmpType,
    Option,
    Ports,
    TcpFlags,
)
from .xt_targets import xt_verdict
from .xt_words import UNREADABLE, Data, ip, ports_option, span

__all__ = ["Verdict", "xt_comment", "xt_conditions", "xt_match_text", "xt_verdict"]


def xt_conditions(name: str, revision: int, data: bytes, family: int) -> list[Condition]:
    """What the match asks of a packet: all of these. A comment asks nothing."""
    options = _options(name, revision, data, family)
    return [Unknown(f"-m {name}")] if options is None else [option.condition() for option in options]


def xt_match_text(name: str, revision: int, data: bytes, family: int) -> str:
    """The match as ``iptables -S`` lists it, such as ``-m tcp --dport 80``."""
    if name == "comment":
        return f"-m comment --comment {xt_words.quoted(xt_comment(name, data))}"
    options = _options(name, revision, data, family) or []
    shown = next((option.match for option in options), name)  # conntrack calls itself state if it was asked for so
    return " ".join([f"-m {shown}", *(option.text for option in options if option.words)])


def xt_comment(name: str, data: bytes) -> str:
    """The text of a comment match; empty for any other."""
    return xt_words.text(data) if name == "comment" else ""


def _options(name: str, revision: int, data: bytes, family: int) -> list[Option] | None:
    reader = _READERS.get(name)
    if name == "comment":
        return []
    if reader is None:
        return None
    try:
        return list(reader(Data(name, revision, data, xt_words.version(family))))
    except UNREADABLE:
        return None


Options = t.Iterator[Option]


# ---- protocols


def _tcp(data: Data) -> Options:
    """struct xt_tcp."""
    *spans, option, mask, flags, inverted = data.unpack("=4H4B")
    yield from _two_ports(data, spans, inverted)
    if option:
        yield Option("tcp", f"--tcp-option {option}", None, bool(inverted & 8))
    if mask or inverted & 4:
        words = f"--tcp-flags {xt_words.tcp_flags(mask)} {xt_words.tcp_flags(flags)}"
        yield Option("tcp", words, TcpFlags(mask, flags), bool(inverted & 4))


def _udp(data: Data) -> Options:
    """struct xt_udp."""
    *spans, inverted = data.unpack("=4HB")
    yield from _two_ports(data, spans, inverted)


def _two_ports(data: Data, spans: t.Sequence[int], inverted: int) -> Options:
    for of, option, (low, high), bit in (
        ("source_port", "--sport", spans[:2], 1),
        ("destination_port", "--dport", spans[2:], 2),
    ):
        if (low, high) != (0, 65535) or inverted & bit:
            yield ports_option(data.name, option, of, low, high, bool(inverted & bit))


def _sctp(data: Data) -> Options:
    """struct xt_sctp_info: the destination's ports come first."""
    to_low, to_high, from_low, from_high = data.unpack("=4H")
    flags, inverted = data.unpack("=2I", 284)
    if flags & 1:
        yield ports_option("sctp", "--sport", "source_port", from_low, from_high, bool(inverted & 1))
    if flags & 2:
        yield ports_option("sctp", "--dport", "destination_port", to_low, to_high, bool(inverted & 2))
    if flags & 4:
        yield Option("sctp", "--chunk-types", None, bool(inverted & 4))


def _dccp(data: Data) -> Options:
    """struct xt_dccp_info."""
    to_low, to_high, from_low, from_high, flags, inverted = data.unpack("=6H")
    if flags & 1:
        yield ports_option("dccp", "--sport", "source_port", from_low, from_high, bool(inverted & 1))
    if flags & 2:
        yield ports_option("dccp", "--dport", "destination_port", to_low, to_high, bool(inverted & 2))
    for bit, words in ((4, "--dccp-types"), (8, "--dccp-option")):
        if flags & bit:
            yield Option("dccp", words, None, bool(inverted & bit))


_MULTIPORT_ENDS: dict[int, tuple[str, tuple[str, ...]]] = {
    0: ("--sports", ("source_port",)),
    1: ("--dports", ("destination_port",)),
    2: ("--ports", ("source_port", "destination_port")),
}


def _multiport(data: Data) -> Options:
    """struct xt_multiport and xt_multiport_v1: a port with a flag begins a range that the next one ends."""
    kind, count, *rest = data.unpack("=2B15H")
    continues, inverted = (data.unpack("=15BB", 32)[:15], data.unpack("=B", 47)[0]) if data.revision else ((0,) * 15, 0)
    option, of = _MULTIPORT_ENDS[kind]
    ranges, position = [], 0
    while position < count:
        last = position + 1 if continues[position] else position
        ranges.append((rest[position], rest[last]))
        position = last + 1
    words = ",".join(span(low, high) for low, high in ranges)
    yield Option("multiport", f"{option} {words}", Ports(of, tuple(ranges)), bool(inverted))


def _icmp(data: Data) -> Options:
    """struct ipt_icmp and ip6t_icmp."""
    kind, low, high, inverted = data.unpack("=4B")
    option = "--icmp-type" if data.family == 4 else "--icmpv6-type"
    if data.family == 4 and kind == 255:
        yield Option(data.name, f"{option} any", Always(), bool(inverted & 1))
        return
    codes = "" if (low, high) == (0, 255) else f"/{low}" if low == high else f"/{low}-{high}"
    yield Option(data.name, f"{option} {kind}{codes}", IcmpType(data.family, kind, low, high), bool(inverted & 1))


# ---- addresses

_TYPES = ["UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT"]
_TYPES += ["THROW", "NAT", "XRESOLVE"]
"""The bits are numbered as in rtnetlink(7)."""


def _addrtype(data: Data) -> Options:
    """struct xt_addrtype_info and xt_addrtype_info_v1."""
    source, destination = data.unpack("=2H")
    if data.revision:
        (flags,) = data.unpack("=I", 4)
    else:
        not_source, not_destination = data.unpack("=2I", 4)
        flags = bool(not_source) | bool(not_destination) << 1
    limited = bool(flags & 12)
    for of, option, mask, bit in (("source", "--src-type", source, 1), ("destination", "--dst-type", destination, 2)):
        if mask:
            words = xt_words.bits(mask, _TYPES)
            test = AddressType(of, tuple(words), limited)
            yield Option("addrtype", f"{option} {','.join(words)}", test, bool(flags & bit))
    for bit, words_of in ((4, "--limit-iface-in"), (8, "--limit-iface-out")):
        if flags & bit:
            yield Option("addrtype", words_of, Always())


def _iprange(data: Data) -> Options:
    """struct xt_iprange_mtinfo."""
    (flags,) = data.unpack("=B", 64)
    for of, option, bit, offset in (("source", "--src-range", 1, 0), ("destination", "--dst-range", 2, 32)):
        if flags & bit:
            low, high = (ip(data.bytes(offset + at, 16), data.family) for at in (0, 16))
            test = AddressRange(of, data.family, int(low), int(high))
            yield Option("iprange", f"{option} {low}-{high}", test, bool(flags & bit << 4))


def _mac(data: Data) -> Options:
    """struct xt_mac_info."""
    words = ":".join(f"{byte:02x}" for byte in data.bytes(0, 6))
    yield Option("mac", f"--mac-source {words}", None, bool(data.unpack("=i", 8)[0]))


_PACKET_TYPES = {0: "unicast", 1: "broadcast", 2: "multicast"}  # linux/if_packet.h


def _pkttype(data: Data) -> Options:
    """struct xt_pkttype_info."""
    kind, inverted = data.unpack("=2i")
    word = _PACKET_TYPES.get(kind)
    yield Option("pkttype", f"--pkt-type {word or kind}", PacketType(word) if word else None, bool(inverted))


def _physdev(data: Data) -> Options:
    """struct xt_physdev_info: names with masks, then what is inverted and what is asked."""
    inverted, asked = data.unpack("=2B", 64)
    for bit, option, of, offset in (
        (0x01, "--physdev-in", "in_port", 0),
        (0x08, "--physdev-is-in", "in_port", None),
        (0x02, "--physdev-out", "out_port", 32),
        (0x10, "--physdev-is-out", "out_port", None),
        (0x04, "--physdev-is-bridged", "out_port", None),
    ):
        if asked & bit:
            pattern = "" if offset is None else xt_words.interface(data.bytes(offset, 16), data.bytes(offset + 16, 16))
            yield Option("physdev", f"{option} {pattern}".rstrip(), BridgePort(of, pattern), bool(inverted & bit))


_READERS: dict[str, t.Callable[[Data], Options]] = {
    "tcp": _tcp,
    "udp": _udp,
    "udplite": _udp,
    "sctp": _sctp,
    "dccp": _dccp,
    "multiport": _multiport,
    "icmp": _icmp,
    "icmp6": _icmp,
    "addrtype": _addrtype,
    "iprange": _iprange,
    "mac": _mac,
    "pkttype": _pkttype,
    "physdev": _physdev,
    "conntrack": conntrack,
    "state": state,
    **xt_rarer.READERS,
}
