# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every form that nft writes of one meaning is one rule, and what has no words here is kept as it is."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_decode, nft_encode, nft_messages
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_messages import Expression, make
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import (
    Dnat,
    DnatBy,
    Masquerade,
    Member,
    Opaque,
    Ports,
    Rule,
)
from hypothesis import given
from hypothesis import strategies as st

net, addr = ipaddress.ip_network, ipaddress.ip_address
EQ, NEQ, LTE, GTE = nft_encode.CMP_EQ, nft_encode.CMP_NEQ, nft_encode.CMP_LTE, nft_encode.CMP_GTE


def decode(expressions: list[Expression], chain: str = "postrouting") -> Rule:
    raw = tuple((each.name, nft_messages.encode(each)) for each in expressions)
    return nft_decode.decode(chain, [nft_messages.decode(name, data) for name, data in raw], raw)


MASQ = [make("masq")]


def meta(key: int, data: bytes, operator: int = EQ) -> list[Expression]:
    return [make("meta", dreg=1, key=key), make("cmp", sreg=1, op=operator, data=data)]


IPV4 = meta(nft_encode.META_NFPROTO, b"\x02")
IPV6 = meta(nft_encode.META_NFPROTO, b"\x0a")
TCP = meta(nft_encode.META_L4PROTO, b"\x06")


def load(
    offset: int, length: int, data: bytes, operator: int = EQ, base: int = 1, register: int = 1
) -> list[Expression]:
    return [
        make("payload", dreg=register, base=base, offset=offset, len=length),
        make("cmp", sreg=register, op=operator, data=data),
    ]


def port(operator: int, number: int) -> list[Expression]:
    return load(2, 2, number.to_bytes(2, "big"), operator, base=2)


SAME_MEANING: dict[str, tuple[list[Expression], Rule]] = {
    "a /24 as three bytes": (
        [*IPV4, *load(12, 3, b"\xc0\xa8\x0f"), *MASQ],
        Rule("postrouting", Masquerade(), source=net("192.168.15.0/24")),
    ),
    "not a /8 as one byte": (
        [*IPV4, *load(16, 1, b"\x0a", NEQ), *MASQ],
        Rule("postrouting", Masquerade(), not_destinations=(net("10.0.0.0/8"),)),
    ),
    "an IPv6 /64 as eight bytes": (
        [*IPV6, *load(8, 8, addr("fd00:15::").packed[:8]), *MASQ],
        Rule("postrouting", Masquerade(), source=net("fd00:15::/64")),
    ),
    "both addresses in one load": (
        [*IPV4, *load(12, 8, addr("10.0.0.9").packed + addr("10.0.0.1").packed), *MASQ],
        Rule("postrouting", Masquerade(), source=net("10.0.0.9/32"), destination=net("10.0.0.1/32")),
    ),
    "both IPv6 addresses in one load": (
        [*IPV6, *load(8, 32, addr("fd00::9").packed + addr("fd00::1").packed), *MASQ],
        Rule("postrouting", Masquerade(), source=net("fd00::9/128"), destination=net("fd00::1/128")),
    ),
    "a range as two comparisons": (
        [*IPV4, *TCP, *port(GTE, 80), *port(LTE, 90)[1:], *MASQ],
        Rule("postrouting", Masquerade(), family=4, protocol="tcp", ports=Ports(80, 90)),
    ),
    "a range in two loads, upper end first": (
        [*IPV4, *TCP, *port(LTE, 90), *port(GTE, 80), *MASQ],
        Rule("postrouting", Masquerade(), family=4, protocol="tcp", ports=Ports(80, 90)),
    ),
    "the protocol in the IPv4 header": (
        [*IPV4, *load(9, 1, b"\x06"), *MASQ],
        Rule("postrouting", Masquerade(), family=4, protocol="tcp"),
    ),
    "other registers": (
        [*IPV4, *load(12, 4, addr("10.0.0.9").packed, register=9), *MASQ],
        Rule("postrouting", Masquerade(), source=net("10.0.0.9/32")),
    ),
    "conditions in another order": (
        [*load(12, 3, b"\xc0\xa8\x0f"), *TCP, *IPV4, *MASQ],
        Rule("postrouting", Masquerade(), source=net("192.168.15.0/24"), protocol="tcp"),
    ),
    "a condition twice": (
        [*IPV4, *IPV4, *TCP, *TCP, *MASQ],
        Rule("postrouting", Masquerade(), family=4, protocol="tcp"),
    ),
    "with a counter": (
        [*IPV4, Expression("counter", (), b"\x0c\x00\x01\x00" + bytes(8)), *MASQ],
        Rule("postrouting", Masquerade(), family=4),
    ),
    "a map by other registers": (
        [
            *IPV4,
            *TCP,
            make("payload", dreg=9, base=2, offset=2, len=2),
            make("lookup", set=b"m", sreg=9, dreg=9),
            make("nat", type=1, family=2, addr_min=9, proto_min=10, flags=2),
        ],
        Rule("postrouting", DnatBy("m", ("dport",), 4, True), family=4, protocol="tcp"),
    ),
    "a map as the kernel completes it": (
        [
            *IPV4,
            *TCP,
            make("payload", dreg=1, base=1, offset=12, len=4),
            make("payload", dreg=9, base=2, offset=2, len=2),
            make("lookup", set=b"m", sreg=1, dreg=1, flags=0),
            make("nat", type=1, family=2, addr_min=1, addr_max=1, flags=1),
        ],
        Rule("postrouting", DnatBy("m", ("saddr", "dport"), 4, False), family=4, protocol="tcp"),
    ),
    "a set of two fields": (
        [
            *IPV6,
            *TCP,
            make("payload", dreg=1, base=1, offset=24, len=16),
            make("payload", dreg=2, base=2, offset=2, len=2),
            make("lookup", set=b"s", sreg=1),
            *MASQ,
        ],
        Rule("postrouting", Masquerade(), family=6, protocol="tcp", member=Member("s", ("daddr", "dport"))),
    ),
    "dnat as the kernel completes it": (
        [
            *IPV4,
            make("immediate", dreg=1, data=addr("10.0.0.1").packed),
            make("immediate", dreg=2, data=b"\x00\x50"),
            make("nat", type=1, family=2, addr_min=1, addr_max=1, proto_min=2, proto_max=2, flags=3),
        ],
        Rule("postrouting", Dnat(addr("10.0.0.1"), 80), family=4),
    ),
}


@pytest.mark.parametrize("name", SAME_MEANING)
def test_every_form_of_one_meaning_is_one_rule(name: str) -> None:
    expressions, rule = SAME_MEANING[name]
    assert decode(expressions) == rule


def bitwise(mask: bytes, xor: bytes) -> Expression:
    return make("bitwise", sreg=1, dreg=1, len=len(mask), mask=mask, xor=xor)


PAYLOAD = make("payload", dreg=1, base=1, offset=12, len=4)
OTHER_MEANING: dict[str, list[Expression]] = {
    "no verdict": IPV4,
    "nothing": [],
    "two verdicts": [*MASQ, *MASQ],
    "a condition behind the verdict": [*MASQ, *IPV4],
    "accept": [make("immediate", dreg=0, data=1)],
    "an address without its family": [*load(12, 3, b"\xc0\xa8\x0f"), *MASQ],
    "two families": [*IPV4, *IPV6, *MASQ],
    "two sources": [*IPV4, *load(12, 1, b"\x0a"), *load(12, 1, b"\x0b"), *MASQ],
    "not a source": [*IPV4, *load(12, 1, b"\x0a", NEQ), *MASQ],
    "not both addresses": [*IPV4, *load(12, 8, bytes(8), NEQ), *MASQ],
    "half an address": [*IPV4, *load(14, 2, b"\x00\x01"), *MASQ],
    "a mask with a hole": [*IPV4, PAYLOAD, bitwise(b"\xff\x00\xff\x00", bytes(4)), *load(12, 4, bytes(4))[1:], *MASQ],
    "a mask and an exclusive or": [
        *IPV4,
        PAYLOAD,
        bitwise(b"\xff" * 4, b"\x01" * 4),
        *load(12, 4, bytes(4))[1:],
        *MASQ,
    ],
    "host bits": [*IPV4, PAYLOAD, bitwise(b"\xff\xff\xff\x00", bytes(4)), *load(12, 4, b"\x0a\x00\x00\x01")[1:], *MASQ],
    "a port without a protocol": [*IPV4, *port(EQ, 80), *MASQ],
    "a source port": [*IPV4, *TCP, *load(0, 2, b"\x00\x50", base=2), *MASQ],
    "not a port": [*IPV4, *TCP, *port(NEQ, 80), *MASQ],
    "no port at all": [*IPV4, *TCP, *port(GTE, 90), *port(LTE, 80), *MASQ],
    "another protocol": [*meta(nft_encode.META_L4PROTO, b"\x01"), *MASQ],
    "a pattern of names": [*meta(nft_encode.META_OIFNAME, b"veth"), *MASQ],
    "an interface by number": [*meta(5, b"\x01\x00\x00\x00"), *MASQ],
    "a packet mark": [*meta(3, b"\x01\x00\x00\x00"), *MASQ],
    "an empty register": [make("cmp", sreg=2, op=EQ, data=b"\x02"), *MASQ],
    "a strange register": [make("meta", dreg=99, key=15), *MASQ],
    "persistent": [make("masq", flags=8)],
    "ports that the kernel would ignore": [make("immediate", dreg=1, data=b"\x00\x50"), make("masq", proto_min=1)],
    "snat": [make("immediate", dreg=1, data=bytes(4)), make("nat", type=0, family=2, addr_min=1)],
    "dnat to a range": [
        make("immediate", dreg=1, data=bytes(4)),
        make("immediate", dreg=2, data=bytes(4)),
        make("nat", type=1, family=2, addr_min=1, addr_max=2),
    ],
    "dnat to what the packet says": [*IPV4, PAYLOAD, make("nat", type=1, family=2, addr_min=1)],
    "dnat of another family": [make("immediate", dreg=1, data=bytes(4)), make("nat", type=1, family=10, addr_min=1)],
    "the tuple's original direction": [make("ct", dreg=1, key=2, direction=0), *MASQ],
    "another status": [make("ct", dreg=1, key=2), bitwise(bytes(4), bytes(4)), *load(0, 4, bytes(4), NEQ)[1:], *MASQ],
    "another fib question": [make("fib", dreg=1, result=3, flags=1), *load(0, 4, b"\x02\0\0\0")[1:], *MASQ],
    "not local": [make("fib", dreg=1, result=3, flags=2), *load(0, 4, b"\x02\0\0\0", NEQ)[1:], *MASQ],
    "not in a set": [*IPV4, PAYLOAD, make("lookup", set=b"s", sreg=1, flags=1), *MASQ],
    "in two sets": [*IPV4, PAYLOAD, *[make("lookup", set=b"s", sreg=1)] * 2, *MASQ],
    "part of an address in a set": [
        *IPV4,
        PAYLOAD,
        bitwise(b"\xff\xff\xff\x00", bytes(4)),
        make("lookup", set=b"s", sreg=1),
        *MASQ,
    ],
    "a map whose port lies elsewhere": [
        *IPV4,
        PAYLOAD,
        make("lookup", set=b"m", sreg=1, dreg=1),
        make("nat", type=1, family=2, addr_min=1, proto_min=2, flags=2),
    ],
    "a map and a range of addresses": [
        *IPV4,
        PAYLOAD,
        make("lookup", set=b"m", sreg=1, dreg=1),
        make("nat", type=1, family=2, addr_min=1, addr_max=2),
    ],
    "an expression of tomorrow": [Expression("tomorrow", (), b"1234"), *MASQ],
    "a jump": [Expression("immediate", (), nft_messages.encode(make("immediate", dreg=0, data=-3))), *MASQ],
}


@pytest.mark.parametrize("name", OTHER_MEANING)
def test_another_meaning_is_opaque_and_can_be_put_back(name: str) -> None:
    rule = decode(OTHER_MEANING[name])
    assert isinstance(rule.verdict, Opaque)
    assert [nft_messages.encode(each) for each in nft_encode.encode(rule)] == [
        data for _name, data in rule.verdict.expressions
    ]
    assert decode(nft_encode.encode(rule)) == rule


@given(expressions=st.lists(st.sampled_from([each for those in OTHER_MEANING.values() for each in those]), max_size=8))
def test_no_series_of_expressions_makes_the_decoder_crash(expressions: list[Expression]) -> None:
    assert isinstance(decode(expressions), Rule)
