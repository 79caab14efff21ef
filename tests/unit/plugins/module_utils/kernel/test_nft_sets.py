# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets and maps: keys and values packed and cut, declarations and elements as messages, and both in nft's own words."""

from __future__ import annotations

import contextlib
import ipaddress
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import attributes, nft_sets
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_messages as msg
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_sets import (
    Declaration,
    Element,
    pack,
    unpack,
)
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import nft_strategies as some
from hypothesis import given
from hypothesis import strategies as st

net, ip = ipaddress.ip_network, ipaddress.ip_address
TYPES = ("ipv4_addr", "ipv6_addr", "inet_service", "ifname")
VALUES: dict[str, st.SearchStrategy[t.Any]] = {
    "ipv4_addr": st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address),
    "ipv6_addr": st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address),
    "inet_service": st.integers(0, 65535),
    "ifname": some.names,
}
MAP = Declaration("m", ("ipv4_addr", "inet_service"), ("ipv4_addr", "inet_service"), interval=True, counter=True)
SET = Declaration("s", ("inet_service",))


@st.composite
def declarations(draw: t.Any) -> Declaration:
    """Any that these classes have words for; intervals need two fields (see nat_maps)."""
    interval = draw(st.booleans())
    key = draw(st.lists(st.sampled_from(TYPES), min_size=1 + interval, max_size=4))
    data = draw(st.lists(st.sampled_from(TYPES), max_size=2))
    return Declaration("a-name", tuple(key), tuple(data), interval, draw(st.booleans()))


@st.composite
def filled(draw: t.Any) -> tuple[Declaration, list[Element]]:
    """A set and what is in it."""
    what = draw(declarations())
    out = []
    for _each in range(draw(st.integers(0, 4))):
        ends = [_ends(kind, draw) if what.interval else [draw(VALUES[kind])] * 2 for kind in what.key]
        data = pack(*(draw(VALUES[kind]) for kind in what.data))
        comment = draw(st.text(alphabet="abc é", max_size=50))
        out.append(Element(*(pack(*(end[which] for end in ends)) for which in (0, 1)), data, comment))
    return what, out


def _ends(kind: str, draw: t.Any) -> list[t.Any]:
    """The lower and the upper end of a range; names have none."""
    value = draw(VALUES[kind])
    return [value, value] if kind == "ifname" else sorted([value, draw(VALUES[kind])])


def listed(message: msg.Raw) -> bytes:
    """What a list of elements would say if the kernel gave back what it was sent."""
    return message.body[4:]


# ---- keys


@given(data=st.data())
def test_a_value_of_each_type_comes_back(data: t.Any) -> None:
    kinds = tuple(data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5)))
    values = [data.draw(VALUES[kind]) for kind in kinds]
    found = unpack(kinds, pack(*values))
    plain = [
        each.network_address if hasattr(each, "prefixlen") else each.low if isinstance(each, Ports) else each
        for each in found
    ]
    assert plain == values


@given(network=st.integers(0, 32).flatmap(lambda bits: st.just(net(("10.0.0.0", bits), strict=False))))
def test_a_network_is_known_from_its_ends(network: t.Any) -> None:
    assert unpack(("ipv4_addr",), network.network_address.packed, network.broadcast_address.packed) == [network]


@pytest.mark.parametrize(
    ("kinds", "low", "high"),
    [
        (("ipv4_addr",), pack(ip("10.0.0.1")), pack(ip("10.0.0.5"))),
        (("ipv4_addr",), pack(ip("10.0.0.1")), pack(ip("10.0.0.2"))),
        (("ipv4_addr",), pack(ip("10.0.0.3")), pack(ip("10.0.0.4"))),
        (("ifname",), pack("eth0"), pack("eth1")),
        (("ifname",), b"\xff" * 16, b"\xff" * 16),
        (("ipv4_addr",), bytes(3), bytes(3)),
        (("ipv4_addr",), bytes(8), bytes(8)),
        (("ipv4_addr", "inet_service"), bytes(6), bytes(6)),
        (("inet_service",), bytes(4), bytes(2)),
    ],
)
def test_what_is_none_of_these_is_refused(kinds: tuple[str, ...], low: bytes, high: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(kinds, low, high)


@given(kinds=st.lists(st.sampled_from(TYPES), max_size=3), low=st.binary(max_size=40), high=st.binary(max_size=40))
def test_random_bytes_are_a_key_or_refused(kinds: list[str], low: bytes, high: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert len(unpack(tuple(kinds), low, high)) == len(kinds)


# ---- declarations


@given(what=declarations())
def test_a_declaration_comes_back(what: Declaration) -> None:
    found = nft_sets.declared(nft_sets.added("patchbay", what, 1).body[4:])
    assert found == what
    assert found is not None
    assert found.counter == what.counter


@given(what=declarations())
def test_a_declaration_of_ours_has_a_name(what: Declaration) -> None:
    body = nft_sets.added("patchbay", what, 1).body[4:]
    assert nft_sets.is_named(body)
    assert nft_sets.name(body) == what.name


def test_the_counter_is_no_part_of_what_a_set_is() -> None:
    """Old kernels leave it out without a word; the set is ours all the same."""
    assert Declaration("s", ("ifname",), counter=True) == Declaration("s", ("ifname",))


@pytest.mark.parametrize(
    ("flags", "key_type", "key_length"),
    [
        (0x10, 13, 2),  # timeouts
        (0x40, 13, 2),  # expressions that are evaluated
        (0x2, 13, 2),  # constant
        (0x8, 13, 2),  # a map without data
        (0x0, 5, 4),  # a mark
        (0x0, 0, 4),
        (0x0, 13, 4),  # ports that take as much as an address
        (0x0, 7 << 6 | 5, 8),
    ],
)
def test_sets_of_other_kinds_have_no_declaration(flags: int, key_type: int, key_length: int) -> None:
    parts = [
        attributes.text(2, "theirs"),
        attributes.number(3, flags),
        attributes.number(4, key_type),
        attributes.number(5, key_length),
    ]
    assert nft_sets.declared(b"".join(parts)) is None
    assert nft_sets.name(b"".join(parts)) == "theirs"


def test_a_verdict_map_has_no_declaration() -> None:
    parts = [
        attributes.text(2, "theirs"),
        attributes.number(3, 0x8),
        attributes.number(4, 13),
        attributes.number(5, 2),
        attributes.number(6, 0xFFFFFF00),
        attributes.number(7, 16),
    ]
    assert nft_sets.declared(b"".join(parts)) is None


def test_anonymous_sets_go_with_their_rules() -> None:
    assert not nft_sets.is_named(attributes.text(2, "__set0") + attributes.number(3, 0x3))


# ---- elements


@given(case=filled())
def test_elements_come_back(case: tuple[Declaration, list[Element]]) -> None:
    what, elements = case
    messages = nft_sets.filled(msg.NEWSETELEM, "patchbay", what, elements)
    assert [each for message in messages for each in nft_sets.elements(listed(message))] == elements


@given(case=filled())
def test_an_element_to_remove_is_named_by_its_key(case: tuple[Declaration, list[Element]]) -> None:
    what, elements = case
    messages = nft_sets.filled(msg.DELSETELEM, "patchbay", what, elements)
    found = [each for message in messages for each in nft_sets.elements(listed(message))]
    assert found == [element._replace(data=b"", comment="") for element in elements]


def test_many_elements_are_many_messages_each_short_enough() -> None:
    elements = [Element(pack(port), pack(port), b"", "x" * 100) for port in range(2000)]
    messages = nft_sets.filled(msg.NEWSETELEM, "patchbay", SET, elements)
    assert len(messages) > 1
    assert all(len(message.body) < 65536 for message in messages)
    assert [each for message in messages for each in nft_sets.elements(listed(message))] == elements


def test_no_elements_are_no_messages() -> None:
    assert nft_sets.filled(msg.NEWSETELEM, "patchbay", SET, []) == []


@pytest.mark.parametrize("flags", [1, 2], ids=["the end of an interval", "whatever is not in the set"])
def test_elements_of_another_shape_are_none(flags: int) -> None:
    key = attributes.nested(1, attributes.attribute(1, b"\0\x50"))
    body = attributes.nested(3, attributes.nested(1, key, attributes.number(3, flags)), attributes.nested(1, key))
    assert list(nft_sets.elements(body)) == [None, Element(pack(80), pack(80))]


# ---- in words


@given(case=filled())
def test_an_element_is_one_line(case: tuple[Declaration, list[Element]]) -> None:
    what, elements = case
    for element in elements:
        text = what.shown(element)
        assert "\n" not in text
        assert text.count('"') % 2 == 0


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (SET, "{ type inet_service; }"),
        (
            MAP,
            "{ type ipv4_addr . inet_service : ipv4_addr . inet_service; flags interval; counter; }",
        ),
        (Declaration("m", ("ifname",), ("ipv6_addr",)), "{ type ifname : ipv6_addr; }"),
    ],
)
def test_a_declaration_is_said_as_nft_would_be_told(what: Declaration, text: str) -> None:
    assert str(what) == text


def test_what_tells_something_is_a_map() -> None:
    assert (MAP.word, SET.word) == ("map", "set")


@pytest.mark.parametrize(
    ("element", "text"),
    [
        (
            Element(pack(ip("10.0.0.1"), 80), pack(ip("10.0.0.1"), 80), pack(ip("10.20.0.2"), 8080)),
            "10.0.0.1 . 80 : 10.20.0.2 . 8080",
        ),
        (
            Element(pack(ip("10.0.0.0"), 80), pack(ip("10.255.255.255"), 90), pack(ip("10.20.0.2"), 80), "ours"),
            '10.0.0.0/8 . 80-90 comment "ours" : 10.20.0.2 . 80',
        ),
        (
            Element(pack(ip("0.0.0.0"), 1), pack(ip("255.255.255.255"), 1), pack(ip("10.20.0.2"), 1)),
            "0.0.0.0/0 . 1 : 10.20.0.2 . 1",
        ),
    ],
)
def test_an_element_is_said_as_nft_would_be_told(element: Element, text: str) -> None:
    assert MAP.shown(element) == text


def test_interface_names_are_quoted() -> None:
    what = Declaration("s", ("ifname", "inet_service"))
    assert what.shown(Element(pack("eth0", 80), pack("eth0", 80))) == '"eth0" . 80'
