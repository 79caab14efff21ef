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
from .nft_rules import Dnat, Masquerade, Network, Opaque, Ports, Rule

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


def encode(rule: Rule) -> list[Expression]:
    """The expressions of the rule, in order."""
    if isinstance(rule.verdict, Opaque):
        return [Expression(name, (), raw) for name, raw in rule.verdict.expressions]
    return [*_conditions(rule), *_verdict(rule)]


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


def _compare(data: bytes, operator: int = CMP_EQ) -> Expression:
    return make("cmp", sreg=REG_1, op=operator, data=data)


def _masked(mask: bytes) -> Expression:
    return make("bitwise", sreg=REG_1, dreg=REG_1, len=len(mask), mask=mask, xor=bytes(len(mask)))


def _meta(key: int, value: bytes, operator: int = CMP_EQ) -> t.Iterator[Expression]:
    yield make("meta", dreg=REG_1, key=key)
    yield _compare(value, operator)


def _payload(base: int, offset: int, length: int) -> Expression:
    return make("payload", dreg=REG_1, base=base, offset=offset, len=length)


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
