# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of messages: what is packed is cut again, and nothing that anybody sends makes the reader fall."""

from __future__ import annotations

import ipaddress
import struct
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import (
    attributes,
    nft_decode,
    nft_encode,
    nft_messages,
    nft_sets,
    nftables,
)
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_messages import Expression, make
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Chain, Masquerade, Opaque, Rule
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import nft_strategies as some
from hypothesis import given
from hypothesis import strategies as st

kinds = st.integers(1, 0x3FFF)
EXPRESSIONS = [
    "meta",
    "payload",
    "cmp",
    "range",
    "bitwise",
    "lookup",
    "immediate",
    "counter",
    "fib",
    "ct",
    "masq",
    "nat",
]

# ---- attributes


@given(found=st.lists(st.tuples(kinds, st.binary(max_size=40)), max_size=6))
def test_attributes_are_cut_as_they_were_packed(found: list[tuple[int, bytes]]) -> None:
    data = b"".join(attributes.attribute(kind, content) for kind, content in found)
    assert list(attributes.pieces(data)) == found


@given(content=st.binary(max_size=40))
def test_every_attribute_ends_at_a_multiple_of_four(content: bytes) -> None:
    packed = attributes.attribute(1, content)
    assert len(packed) % 4 == 0
    assert packed[4 + len(content) :] == bytes(len(packed) - 4 - len(content))


@given(number=st.integers(0, 2**32 - 1))
def test_numbers_are_in_network_order(number: int) -> None:
    ((_kind, data),) = attributes.pieces(attributes.number(3, number))
    assert data == struct.pack(">I", number)
    assert attributes.as_number(data) == number


@given(number=st.integers(-(2**31), 2**31 - 1))
def test_negative_numbers_come_back(number: int) -> None:
    ((_kind, data),) = attributes.pieces(attributes.number(3, number))
    assert attributes.as_signed(data) == number


@pytest.mark.parametrize("data", [None, b"", b"123", b"12345"])
def test_what_is_no_number_is_none(data: bytes | None) -> None:
    assert attributes.as_number(data) is None
    assert attributes.as_signed(data) is None


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30))
def test_texts_end_with_a_zero_byte(text: str) -> None:
    ((_kind, data),) = attributes.pieces(attributes.text(1, text))
    assert data == text.encode() + b"\0"
    assert attributes.as_text(data) == text


def test_nested_attributes_are_marked_as_such() -> None:
    packed = attributes.nested(2, attributes.number(1, 7))
    assert struct.unpack_from("=HH", packed) == (12, 2 | 0x8000)
    assert attributes.unpack(attributes.unpack(packed)[2]) == {1: b"\0\0\0\7"}


@given(data=st.binary(max_size=60))
def test_random_bytes_can_be_cut(data: bytes) -> None:
    assert sum(len(content) for _kind, content in attributes.pieces(data)) <= len(data)


@given(data=some.attributes | st.binary(max_size=60))
def test_by_kind_the_last_of_each_counts(data: bytes) -> None:
    assert attributes.unpack(data) == dict(attributes.pieces(data))


def test_an_attribute_that_is_cut_off_ends_the_list() -> None:
    data = attributes.number(1, 1) + attributes.number(2, 2)
    assert list(attributes.pieces(data[:-1])) == [(1, b"\0\0\0\1")]


def test_a_message_names_its_subsystem_and_family() -> None:
    message = nft_messages.message(nft_messages.NEWRULE, b"body", flags=0x400)
    assert (message.kind, message.body) == (10 << 8 | 6, b"\1\0\0\0body")


# ---- expressions


@given(rule=some.rules())
def test_what_is_encoded_is_decoded(rule: Rule) -> None:
    data = nft_messages.join(nft_encode.encode(rule))
    expressions = [nft_messages.decode(name, content) for name, content in nft_messages.cut(data)]
    assert nft_decode.decode(rule.chain, expressions, ()) == rule


@given(rule=some.rules())
def test_encoding_is_the_same_every_time(rule: Rule) -> None:
    assert nft_encode.encode(rule) == nft_encode.encode(rule)


@pytest.mark.parametrize(
    ("expression", "data"),
    [
        (make("meta", dreg=1, key=15), "08000100 00000001 08000200 0000000f"),
        (make("cmp", sreg=1, op=0, data=b"\x02"), "08000100 00000001 08000200 00000000 0c000380 05000100 02000000"),
        (make("lookup", set=b"m", sreg=1, dreg=1), "06000100 6d000000 08000200 00000001 08000300 00000001"),
        (make("immediate", dreg=0, data=0), "08000100 00000000 10000280 0c000280 08000100 00000000"),
        (make("masq"), ""),
        (make("counter", bytes=0, packets=7), "0c000100 00000000 00000000 0c000200 00000000 00000007"),
    ],
    ids=lambda value: value.name if isinstance(value, Expression) else "",
)
@pytest.mark.skipif(struct.pack("=H", 1) != b"\1\0", reason="the headers are in the machine's own order")
def test_expressions_are_the_kernels_own_bytes(expression: Expression, data: str) -> None:
    assert nft_messages.encode(expression) == bytes.fromhex(data)
    assert nft_messages.decode(expression.name, bytes.fromhex(data)) == expression


@pytest.mark.parametrize(
    "data",
    [
        attributes.number(99, 1),
        attributes.attribute(1, b"123"),
        attributes.nested(3, attributes.nested(2, attributes.number(1, 0), attributes.text(2, "to"))),
    ],
)
def test_what_is_not_known_keeps_its_bytes(data: bytes) -> None:
    """An attribute of a newer kernel, a number of another size, a jump."""
    assert nft_messages.decode("cmp", data) == Expression("cmp", (), data)
    assert nft_messages.encode(Expression("cmp", (), data)) == data


@given(
    parts=st.lists(
        st.tuples(st.sampled_from([*EXPRESSIONS, "unheard-of", "addresses", ""]), some.attributes), max_size=6
    )
)
def test_nothing_makes_the_decoder_crash(parts: list[tuple[str, bytes]]) -> None:
    expressions = [nft_messages.decode(name, data) for name, data in parts]
    assert isinstance(nft_decode.decode("postrouting", expressions, tuple(parts)), Rule)


@given(
    family=st.sampled_from([b"\2", b"\x0a", b"", b"\2\2"]),
    field=st.sampled_from([(1, 9, 1), (1, 12, 4), (1, 16, 4), (1, 8, 32), (2, 2, 2), (1, 9, 0), (1, 0, 40)]),
    operator=st.integers(0, 6),
    data=st.binary(max_size=34) | st.integers(-5, 5),
    mask=st.none() | st.binary(max_size=34),
)
def test_no_comparison_makes_the_decoder_crash(
    family: bytes, field: tuple[int, int, int], operator: int, data: t.Any, mask: bytes | None
) -> None:
    base, offset, length = field
    expressions = [
        make("meta", dreg=1, key=nft_encode.META_NFPROTO),
        make("cmp", sreg=1, op=0, data=family),
        make("payload", dreg=1, base=base, offset=offset, len=length),
        *([make("bitwise", sreg=1, dreg=1, len=length, mask=mask, xor=bytes(len(mask)))] if mask is not None else []),
        make("cmp", sreg=1, op=operator, data=data),
        make("masq"),
    ]
    assert isinstance(nft_decode.decode("postrouting", expressions, ()), Rule)


@given(key=st.integers(0, 20), data=st.binary(max_size=17) | st.integers(-5, 5))
def test_no_question_about_a_packet_makes_the_decoder_crash(key: int, data: t.Any) -> None:
    expressions = [make("meta", dreg=1, key=key), make("cmp", sreg=1, op=0, data=data), make("masq")]
    assert isinstance(nft_decode.decode("postrouting", expressions, ()), Rule)


# ---- answers of the kernel


@given(body=some.attributes | st.binary(max_size=80))
def test_no_answer_about_a_rule_makes_the_reader_crash(body: bytes) -> None:
    assert isinstance(nftables._rule(body), Rule)


@given(body=some.attributes | st.binary(max_size=80))
def test_no_answer_about_a_chain_makes_the_reader_crash(body: bytes) -> None:
    assert isinstance(nftables._chain(b"\1\0\0\0" + body), Chain)


@given(body=some.attributes | st.binary(max_size=80))
def test_no_answer_about_a_set_makes_the_reader_crash(body: bytes) -> None:
    assert isinstance(nft_sets.name(body), str)
    assert isinstance(nft_sets.is_named(body), bool)
    assert nft_sets.declared(body) is None or isinstance(nft_sets.declared(body), nft_sets.Declaration)
    assert all(each is None or isinstance(each, nft_sets.Element) for each in nft_sets.elements(body))


@given(rule=some.rules(), comment=st.text(alphabet="abc é[]'", max_size=60))
def test_a_rule_of_ours_comes_back_with_its_comment(rule: Rule, comment: str) -> None:
    body = nftables._rule_message(rule.chain, nft_encode.encode(rule), comment).body[4:]
    found = nftables._rule(body)
    assert (found.chain, found.comment, found.verdict) == (rule.chain, comment, rule.verdict)


@pytest.mark.parametrize(
    ("userdata", "comment"),
    [
        (b"\x00\x06hello\x00", "hello"),
        (b"\x01\x02xx\x00\x03hi\x00", "hi"),
        (b"", ""),
        (b"\x00", ""),
        (b"\x05\x10x", ""),
        (b"\x00\xffhi", "hi"),
        (b"\x00\x03\xff\xfe\x00", "\ufffd\ufffd"),
    ],
)
def test_the_comment_is_found_among_what_nft_keeps_with_a_rule(userdata: bytes, comment: str) -> None:
    assert nft_messages.comment(userdata) == comment


def test_a_chain_of_another_hook_is_read_as_such() -> None:
    hook = attributes.nested(4, attributes.number(1, 3), attributes.number(2, -150))
    body = attributes.text(3, "theirs") + hook + attributes.text(7, "route") + attributes.number(5, 0)
    assert nftables._chain(b"\1\0\0\0" + body) == Chain("theirs", "route", "output", -150, "drop")


def test_a_rule_of_another_shape_is_kept_whole() -> None:
    listed = attributes.nested(4, nft_messages.join([Expression("tomorrow", (), b"1234"), make("masq")]))
    rule = nftables._rule(attributes.text(2, "postrouting") + listed)
    assert rule == Rule("postrouting", Opaque((("tomorrow", b"1234"), ("masq", b""))))
    assert nft_messages.join(nft_encode.encode(rule)) == attributes.unpack(listed)[4]


def test_the_target_of_a_map_is_no_constant() -> None:
    address = make("immediate", dreg=1, data=ipaddress.ip_address("10.0.0.1").packed)
    rule = nft_decode.decode("postrouting", [address, make("masq")], ())
    assert rule.verdict == Masquerade()
