# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules to expressions and back, in every form that nft writes, and never a crash over somebody else's."""

from __future__ import annotations

import hashlib
import ipaddress
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import (
    nft_decode,
    nft_encode,
    nft_messages,
    nftables,
)
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_messages import Expression, make
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import (
    CHAINS,
    Dnat,
    Drop,
    Masquerade,
    Opaque,
    Ports,
    Rule,
)
from hypothesis import given
from hypothesis import strategies as st

net, addr = ipaddress.ip_network, ipaddress.ip_address
EQ, NEQ, LTE, GTE = nft_encode.CMP_EQ, nft_encode.CMP_NEQ, nft_encode.CMP_LTE, nft_encode.CMP_GTE

names = st.text(alphabet="abc019.-_é", min_size=1, max_size=15).filter(lambda text: len(text.encode()) <= 15)
ports = st.builds(lambda one, two: Ports(min(one, two), max(one, two)), st.integers(1, 65535), st.integers(1, 65535))


@st.composite
def networks(draw: t.Any, version: int) -> t.Any:
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    bits = 32 if version == 4 else 128
    return net((kind(draw(st.integers(0, 2**bits - 1))), draw(st.integers(1, bits))), strict=False)


@st.composite
def rules(draw: t.Any) -> Rule:
    """Any rule that there are words for."""
    version = draw(st.sampled_from([4, 6]))
    some = networks(version)
    maybe_port = st.none() | st.integers(1, 65535)
    protocol = draw(st.none() | st.sampled_from(["tcp", "udp", "sctp"]))
    target = st.builds(Dnat, some.map(lambda network: network.network_address), maybe_port)
    verdict = draw(st.one_of(st.just(Drop()), st.builds(Masquerade, st.none() | ports, st.booleans()), target))
    return Rule(
        draw(st.sampled_from(list(CHAINS))),
        verdict,
        family=version,
        in_interface=draw(st.none() | names),
        out_interface=draw(st.none() | names),
        not_in_interface=draw(st.none() | names),
        source=draw(st.none() | some),
        destination=draw(st.none() | some),
        not_destinations=tuple(draw(st.lists(some, max_size=3))),
        local_destination=draw(st.booleans()),
        protocol=protocol,
        ports=draw(st.none() | ports) if protocol else None,
        translated=draw(st.booleans()),
    )


def decode(expressions: list[Expression], chain: str = "postrouting") -> Rule:
    raw = tuple((each.name, nft_messages.encode(each)) for each in expressions)
    return nft_decode.decode(chain, [nft_messages.decode(name, data) for name, data in raw], raw)


@given(rule=rules())
def test_what_is_encoded_is_decoded(rule: Rule) -> None:
    data = nft_messages.join(nft_encode.encode(rule))
    expressions = [nft_messages.decode(name, content) for name, content in nft_messages.cut(data)]
    assert nft_decode.decode(rule.chain, expressions, ()) == rule


@given(rule=rules(), other=rules())
def test_two_meanings_have_two_texts(rule: Rule, other: Rule) -> None:
    other = replace(other, chain=rule.chain)
    assert (str(rule) == str(other)) == (rule == other)


def test_bytes_are_the_same_with_every_pyroute2() -> None:
    """The number was computed with 0.7.2, 0.7.7, 0.8.1 and 0.9.7 alike."""
    rule = Rule(
        "postrouting",
        Masquerade(Ports(1024, 65535), random=True),
        "patchbay masquerade [10.0.0.0/20] tcp",
        source=net("10.0.0.0/20"),
        not_destinations=(net("224.0.0.0/4"),),
        local_destination=True,
        protocol="tcp",
        ports=Ports(80, 90),
        translated=True,
    )
    batch = nftables.Batch(None)
    batch.add([rule, replace(rule, chain="prerouting", verdict=Dnat(addr("10.0.0.1"), 8080))])
    digest = hashlib.sha256()
    for message, _words, _rule in batch.messages():
        message["header"]["sequence_number"] = 1
        message.encode()
        digest.update(bytes(message.data))
    assert digest.hexdigest()[:16] == "4e9f620e36662166"


def test_comment_is_what_nft_writes() -> None:
    assert nftables._userdata("hello") == b"\x00\x06hello\x00"
    assert nftables._comment(b"\x00\x06hello\x00") == "hello"
    assert nftables._comment(b"\x01\x02xx\x00\x03hi\x00") == "hi"
    for strange in (b"", b"\x00", b"\x00\xff", b"\x05\x10x", b"\x00\x03\xff\xfe\x00"):
        assert isinstance(nftables._comment(strange), str)


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


@given(
    expressions=st.lists(
        st.builds(
            lambda name, attributes: make(name, **attributes),
            st.sampled_from(["meta", "payload", "cmp", "bitwise", "immediate", "fib", "ct", "masq", "nat", "range"]),
            st.just({}),
        )
        | st.sampled_from([each for those in OTHER_MEANING.values() for each in those]),
        max_size=8,
    )
)
def test_no_rule_makes_the_decoder_crash(expressions: list[Expression]) -> None:
    assert isinstance(decode(expressions), Rule)


@given(data=st.binary(max_size=64))
def test_broken_expressions_are_kept_as_they_are(data: bytes) -> None:
    for name in ("cmp", "nat", "unheard-of"):
        expression = nft_messages.decode(name, data)
        assert isinstance(nft_decode.decode("postrouting", [expression, *MASQ], ()), Rule)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            Rule("guard", Drop(), not_in_interface="lo", destination=net("127.0.0.0/8")),
            'iifname != "lo" ip daddr 127.0.0.0/8 drop',
        ),
        (Rule("postrouting", Masquerade(), source=net("0.0.0.0/0")), "meta nfproto ipv4 masquerade"),
        (Rule("postrouting", Masquerade(), source=net("10.0.0.1/32")), "ip saddr 10.0.0.1 masquerade"),
        (
            Rule("postrouting", Masquerade(Ports(5, 9), random=True), family=6, out_interface="eth0", protocol="udp"),
            'meta nfproto ipv6 oifname "eth0" meta l4proto udp masquerade to :5-9 random',
        ),
        (
            Rule(
                "prerouting",
                Dnat(addr("fd00::2"), 80),
                family=6,
                local_destination=True,
                protocol="tcp",
                ports=Ports(80, 80),
            ),
            "meta nfproto ipv6 fib daddr type local tcp dport 80 dnat ip6 to [fd00::2]:80",
        ),
        (
            Rule(
                "prerouting",
                Dnat(addr("10.0.0.2")),
                in_interface="eth0",
                source=net("10.0.0.0/8"),
                protocol="tcp",
                ports=Ports(1, 2),
            ),
            'iifname "eth0" ip saddr 10.0.0.0/8 tcp dport 1-2 dnat ip to 10.0.0.2',
        ),
    ],
)
def test_text_is_nfts_own(rule: Rule, text: str) -> None:
    assert str(rule) == text


def test_table_goes_with_the_last_rule_and_comes_with_the_first() -> None:
    def words(batch: nftables.Batch) -> list[str]:
        return [text for _message, text, _rule in batch.messages()]

    rule = Rule("postrouting", Masquerade(), "ours", family=4, handle=7)
    batch = nftables.Batch(None)
    assert words(batch) == []
    batch.add([rule])
    assert words(batch)[0] == "add the table inet patchbay"
    alone = nftables.Batch(nftables.Table(("postrouting",), (rule,)))
    alone.remove([rule])
    assert words(alone) == ["delete the table inet patchbay"]
    twin = replace(rule, handle=8)
    for table in (
        nftables.Table(("postrouting",), (rule, twin)),
        nftables.Table(("postrouting", "theirs"), (rule,)),
        nftables.Table(("postrouting",), (rule,), more=True),
    ):
        shared = nftables.Batch(table)
        shared.remove([rule])
        assert "delete the table inet patchbay" not in words(shared)
        assert ("delete the chain postrouting" in words(shared)) == (twin not in table.rules or len(table.rules) == 1)
    changed = nftables.Batch(nftables.Table(("postrouting",), (rule,)))
    changed.remove([rule])
    changed.add([replace(rule, family=6)])
    assert len(words(changed)) == 2
