# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""From the meaning of a rule to the expressions that the kernel runs, in the form in which nft(8) writes them.

Numbers are those of linux/netfilter/nf_tables.h, names as there.
"""

from __future__ import annotations

import struct
import typing as t

from .nft_messages import Expression, make
from .nft_rules import Dnat, DnatBy, Masquerade, Network, Opaque, Ports, Rule

REG_VERDICT, REG_1, REG_2 = 0, 1, 2
CMP_EQ, CMP_NEQ, CMP_LTE, CMP_GTE = 0, 1, 3, 5
RANGE_EQ = 0
META_IIFNAME, META_OIFNAME, META_NFPROTO, META_L4PROTO = 6, 7, 15, 16
BASE_NETWORK, BASE_TRANSPORT = 1, 2
FIB_F_DADDR, FIB_RESULT_ADDRTYPE = 2, 3
RTN_LOCAL = 2  # linux/rtnetlink.h
CT_STATUS, IPS_DST_NAT = 2, 1 << 5  # linux/netfilter/nf_conntrack_common.h
NAT_DNAT = 1
MAP_IPS, SPECIFIED, RANDOM = 1 << 0, 1 << 1, 1 << 2  # NF_NAT_RANGE_*, linux/netfilter/nf_nat.h
NF_DROP = 0
NFPROTO = {4: 2, 6: 10}
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
IFNAMSIZ = 16
SOURCE = {4: (12, 4), 6: (8, 16)}  # offset and length in the IP header
DESTINATION = {4: (16, 4), 6: (24, 16)}
DESTINATION_PORT = (2, 2)
_COUNTER = make("counter", bytes=0, packets=0)


def encode(rule: Rule) -> list[Expression]:
    """The expressions of the rule, in order."""
    if isinstance(rule.verdict, Opaque):
        return [Expression(name, (), raw) for name, raw in rule.verdict.expressions]
    counter = [] if isinstance(rule.verdict, (Dnat, DnatBy)) else [_COUNTER]
    return [*_conditions(rule), *counter, *_verdict(rule)]


def _conditions(rule: Rule) -> t.Iterator[Expression]:
    if rule.family is not None:
        yield from _meta(META_NFPROTO, bytes([NFPROTO[rule.family]]))
    for key, operator, name in (
        (META_IIFNAME, CMP_EQ, rule.in_interface),
        (META_IIFNAME, CMP_NEQ, rule.not_in_interface),
        (META_OIFNAME, CMP_EQ, rule.out_interface),
    ):
        if name is not None:
            yield from _meta(key, name.encode().ljust(IFNAMSIZ, b"\0"), operator)
    if rule.source is not None:
        yield from _prefix(SOURCE, rule.source, CMP_EQ)
    if rule.destination is not None:
        yield from _prefix(DESTINATION, rule.destination, CMP_EQ)
    for network in rule.not_destinations:
        yield from _prefix(DESTINATION, network, CMP_NEQ)
    if rule.local_destination:
        yield make("fib", dreg=REG_1, result=FIB_RESULT_ADDRTYPE, flags=FIB_F_DADDR)
        yield _compare(struct.pack("=I", RTN_LOCAL))
    if rule.protocol is not None:
        yield from _meta(META_L4PROTO, bytes([PROTOCOLS[rule.protocol]]))
    if rule.ports is not None:
        yield from _ports(rule.ports)
    if rule.translated:
        yield make("ct", dreg=REG_1, key=CT_STATUS)
        yield _masked(struct.pack("=I", IPS_DST_NAT))
        yield _compare(struct.pack("=I", 0), CMP_NEQ)
    if rule.member is not None:
        yield from _key(rule, rule.member.key)
        yield make("lookup", set=rule.member.name.encode(), sreg=REG_1)


def _key(rule: Rule, key: tuple[str, ...]) -> t.Iterator[Expression]:
    """Load the fields of a key, each behind the other."""
    word = 0
    for field in key:
        expression, words = _field(rule, field, register(word))
        yield expression
        word += words


def _field(rule: Rule, field: str, into: int) -> tuple[Expression, int]:
    """Load one field; also how many words of four bytes it takes."""
    if field == "iifname":
        return make("meta", dreg=into, key=META_IIFNAME), IFNAMSIZ // 4
    if field == "dport":
        return _payload(BASE_TRANSPORT, *DESTINATION_PORT, into), 1
    offset, length = (SOURCE if field == "saddr" else DESTINATION)[rule.family or 4]
    return _payload(BASE_NETWORK, offset, length, into), length // 4


def register(word: int) -> int:
    """The number of the register that begins at this word of four bytes (enum nft_registers)."""
    return 1 + word // 4 if word % 4 == 0 else 8 + word


def _compare(data: bytes, operator: int = CMP_EQ) -> Expression:
    return make("cmp", sreg=REG_1, op=operator, data=data)


def _masked(mask: bytes) -> Expression:
    return make("bitwise", sreg=REG_1, dreg=REG_1, len=len(mask), mask=mask, xor=bytes(len(mask)))


def _meta(key: int, value: bytes, operator: int = CMP_EQ) -> t.Iterator[Expression]:
    yield make("meta", dreg=REG_1, key=key)
    yield _compare(value, operator)


def _payload(base: int, offset: int, length: int, into: int = REG_1) -> Expression:
    return make("payload", dreg=into, base=base, offset=offset, len=length)


def _prefix(field: dict[int, tuple[int, int]], network: Network, operator: int) -> t.Iterator[Expression]:
    """Compare the leading bits of an address; the mask is of the host's bits, whatever their number."""
    offset, length = field[network.version]
    yield _payload(BASE_NETWORK, offset, length)
    if network.prefixlen < network.max_prefixlen:
        yield _masked(network.netmask.packed)
    yield _compare(network.network_address.packed, operator)


def _ports(ports: Ports) -> t.Iterator[Expression]:
    yield _payload(BASE_TRANSPORT, *DESTINATION_PORT)
    low, high = _port(ports.low), _port(ports.high)
    if low == high:
        yield _compare(low)
    else:
        yield make("range", sreg=REG_1, op=RANGE_EQ, **{"from": low, "to": high})


def _port(number: int) -> bytes:
    return struct.pack(">H", number)


def _load(register: int, data: bytes) -> Expression:
    return make("immediate", dreg=register, data=data)


def _verdict(rule: Rule) -> t.Iterator[Expression]:
    verdict = rule.verdict
    if isinstance(verdict, Masquerade):
        yield from _masquerade(verdict)
    elif isinstance(verdict, Dnat):
        yield _load(REG_1, verdict.address.packed)
        attributes = {"type": NAT_DNAT, "family": NFPROTO[verdict.address.version], "addr_min": REG_1}
        if verdict.port is not None:
            yield _load(REG_2, _port(verdict.port))
            attributes.update(proto_min=REG_2, flags=SPECIFIED)
        yield make("nat", **attributes)
    elif isinstance(verdict, DnatBy):
        yield from _key(rule, verdict.key)
        yield make("lookup", set=verdict.name.encode(), sreg=REG_1, dreg=REG_1)
        attributes = {"type": NAT_DNAT, "family": NFPROTO[verdict.version], "addr_min": REG_1}
        if verdict.ports:
            attributes.update(proto_min=register(SOURCE[verdict.version][1] // 4), flags=SPECIFIED)
        yield make("nat", **attributes)
    else:
        yield make("immediate", dreg=REG_VERDICT, data=NF_DROP)


def _masquerade(verdict: Masquerade) -> t.Iterator[Expression]:
    """Without the flag the kernel takes ports and ignores them."""
    flags = (RANDOM if verdict.random else 0) | (SPECIFIED if verdict.ports else 0)
    attributes = {"flags": flags} if flags else {}
    if verdict.ports is not None:
        yield _load(REG_1, _port(verdict.ports.low))
        attributes["proto_min"] = REG_1
        if len(verdict.ports) > 1:
            yield _load(REG_2, _port(verdict.ports.high))
            attributes["proto_max"] = REG_2
    yield make("masq", **attributes)
