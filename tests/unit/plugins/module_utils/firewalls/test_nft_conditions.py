# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nftables, from expressions made by hand to conditions, verdicts and words. tests/kernel reads those of nft(8)."""

from __future__ import annotations

import ipaddress
import struct
import sys
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Packet, Rule, Unknown
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.nft_bits import Bits, every, known, negated
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.nft_conditions import Context, decode
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.rulesets import (
    Element,
    Expression,
    RuleDump,
    SetDump,
    expressions,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

EQ, NEQ, LT, LTE, GT, GTE = range(6)
NETWORK, TRANSPORT = 1, 2
INTERVAL, MAP, EVAL = 4, 8, 0x20
END, CATCHALL = 1, 2
NET4, NET6 = ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::1/128")


def be(number: int) -> bytes:
    return struct.pack("!I", number)


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def value(data: bytes) -> bytes:
    return attribute(1, data)


def verdict(code: int, chain: str = "") -> bytes:
    inner = attribute(1, struct.pack("!i", code)) + (attribute(2, chain.encode() + b"\0") if chain else b"")
    return attribute(2, inner)


def meta(key: int, register: int = 1) -> Expression:
    return Expression("meta", {1: be(register), 2: be(key)})


def payload(base: int, offset: int, size: int, register: int = 1) -> Expression:
    return Expression("payload", {1: be(register), 2: be(base), 3: be(offset), 4: be(size)})


def ct(key: int, register: int = 1) -> Expression:
    return Expression("ct", {1: be(register), 2: be(key)})


def compare(data: bytes, operator: int = EQ, register: int = 1) -> Expression:
    return Expression("cmp", {1: be(register), 2: be(operator), 3: value(data)})


def mask(data: bytes) -> Expression:
    zeros = value(bytes(len(data)))
    return Expression("bitwise", {1: be(1), 2: be(1), 3: be(len(data)), 4: value(data), 5: zeros, 6: be(0)})


def lookup(name: str, inverted: bool = False, register: int | None = None) -> Expression:
    more = {} if register is None else {3: be(register)}
    return Expression("lookup", {1: name.encode() + b"\0", 2: be(1), 5: be(inverted), **more})


DROP = Expression("immediate", {1: be(0), 2: verdict(0)})
TCP = (meta(16), compare(b"\x06"))


def read(*steps: Expression, sets: t.Mapping[str, SetDump] | None = None, family: str = "inet") -> Rule:
    (rule,) = decode(RuleDump("forward", 7, steps, ""), Context(family, sets or {}, {"lo": 1, "in0": 2}))
    return rule


def holds(rule: Rule, packet: Packet) -> bool | None:
    return every(condition.holds(packet) for condition in rule.conditions)


def tcp(**more: t.Any) -> Packet:
    return Packet(4, "tcp", **more)


def elements(*keys: bytes, flags: int = 0, **more: t.Any) -> SetDump:
    return SetDump("numbers", flags, len(keys[0]), (), tuple(Element(key, None, {}, 0) for key in keys), **more)


@pytest.mark.parametrize(
    ("operator", "port", "truth"),
    [
        *((EQ, 80, True), (EQ, 81, False), (NEQ, 80, False), (NEQ, 79, True)),
        *((LT, 80, False), (LT, 79, True), (LTE, 80, True), (LTE, 81, False)),
        *((GT, 80, False), (GT, 81, True), (GTE, 80, True), (GTE, 79, False)),
    ],
)
def test_ports_are_compared(operator, port, truth):
    rule = read(*TCP, payload(TRANSPORT, 2, 2), compare(struct.pack("!H", 80), operator), DROP)
    assert holds(rule, tcp(destination_port=port)) is truth
    assert rule.verdict.kind == "drop"


def test_a_port_of_an_unknown_packet_is_not_known():
    rule = read(payload(TRANSPORT, 2, 2), compare(b"\0\x50"), DROP)
    assert holds(rule, tcp()) is None
    assert holds(rule, Packet(4)) is None


@pytest.mark.parametrize(
    ("network", "truth"), [("10.1.2.0/24", True), ("10.1.0.0/16", None), ("10.2.0.0/16", False), ("0.0.0.0/0", None)]
)
def test_a_prefix_holds_for_all_of_a_network_some_or_none(network, truth):
    rule = read(payload(NETWORK, 12, 4), mask(b"\xff\xff\xff\0"), compare(b"\x0a\1\2\0"), DROP)
    assert holds(rule, tcp(source=ipaddress.ip_network(network))) is truth
    assert rule.text == "ip saddr 10.1.2.0/24 drop"


def test_neighbouring_fields_are_compared_at_once():
    rule = read(payload(NETWORK, 12, 8), compare(bytes([10, 1, 2, 3, 10, 9, 8, 7])), DROP)
    here, there = ipaddress.ip_network("10.1.2.3"), ipaddress.ip_network("10.9.8.7")
    assert holds(rule, tcp(source=here, destination=there)) is True
    assert holds(rule, tcp(source=here)) is None
    assert holds(rule, tcp(destination=here)) is False
    assert rule.text == "ip saddr 10.1.2.3 ip daddr 10.9.8.7 drop"


@pytest.mark.parametrize(("name", "truth"), [("veth1", True), ("vet", False), ("", False), (None, None)])
def test_a_pattern_is_about_the_beginning_of_a_name(name, truth):
    rule = read(meta(6), compare(b"veth"), DROP)
    assert holds(rule, Packet(4, in_interface=name)) is truth
    assert rule.text == 'iifname "veth*" drop'


def test_a_name_is_compared_as_a_whole():
    rule = read(meta(7), compare(b"veth".ljust(16, b"\0")), DROP)
    assert holds(rule, Packet(4, out_interface="veth1")) is False
    assert rule.text == 'oifname "veth" drop'


@pytest.mark.parametrize(("name", "truth"), [("in0", True), ("lo", False), ("not there yet", False), (None, None)])
def test_an_index_is_that_of_a_name(name, truth):
    rule = read(meta(4), compare((2).to_bytes(4, sys.byteorder)), DROP)
    assert holds(rule, Packet(4, in_interface=name)) is truth
    assert rule.text == 'iif "in0" drop'


def test_in_the_bridge_family_an_interface_is_a_port():
    rule = read(meta(6), compare(b"port".ljust(16, b"\0")), DROP, family="bridge")
    assert holds(rule, Packet(4, in_interface="br0", in_port="port")) is True


@pytest.mark.parametrize(("state", "truth"), [("new", False), ("established", True), ("invalid", False)])
def test_states_are_bits(state, truth):
    rule = read(ct(0), mask((6).to_bytes(4, sys.byteorder)), compare(bytes(4), NEQ), DROP)
    assert holds(rule, Packet(4, state=state)) is truth
    assert rule.text == "ct state established,related drop"


def test_what_was_translated_is_one_bit_of_the_status():
    rule = read(ct(2), mask((0x20).to_bytes(4, sys.byteorder)), compare(bytes(4), NEQ), DROP)
    assert holds(rule, Packet(4)) is False
    assert holds(rule, Packet(4, translated=frozenset({"dnat"}))) is True


def test_without_a_connection_no_comparison_of_its_status_holds():
    rule = read(ct(2), mask((0x20).to_bytes(4, sys.byteorder)), compare(bytes(4), EQ), DROP)
    assert holds(rule, Packet(4, state="new")) is True
    assert holds(rule, Packet(4, state="invalid")) is False


def fib(flags: int) -> Expression:
    return Expression("fib", {1: be(1), 2: be(3), 3: be(flags)})


@pytest.mark.parametrize(
    ("address", "local", "truth"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.2", "10.0.0.1", False),
        ("10.0.0.0/24", "10.0.0.1", None),
        ("127.0.0.5", "10.0.0.1", True),
        ("224.0.0.1", "10.0.0.1", False),
        ("10.0.0.1", None, None),
    ],
)
def test_local_destinations_are_the_addresses_of_the_namespace(address, local, truth):
    rule = read(fib(2), compare((2).to_bytes(4, sys.byteorder)), DROP)
    own = None if local is None else (ipaddress.ip_network(local),)
    assert holds(rule, Packet(4, destination=ipaddress.ip_network(address), local=own)) is truth
    assert rule.text == "fib daddr type local drop"


# ---- sets


def test_a_set_without_a_name_is_shown_with_its_elements():
    sets = {"__set0": elements(b"\0\x16", b"\0\x50")}
    rule = read(*TCP, payload(TRANSPORT, 2, 2), lookup("__set0"), DROP, sets=sets)
    assert [holds(rule, tcp(destination_port=port)) for port in (22, 80, 81, None)] == [True, True, False, None]
    assert rule.text == "tcp dport { 22, 80 } drop"


def test_an_inverted_lookup_is_the_opposite():
    rule = read(*TCP, payload(TRANSPORT, 2, 2), lookup("ports", True), DROP, sets={"ports": elements(b"\0\x16")})
    assert [holds(rule, tcp(destination_port=port)) for port in (22, 80, None)] == [False, True, None]
    assert rule.text == "tcp dport != @ports drop"


def intervals(*spans: tuple[int, int]) -> SetDump:
    """As the kernel tells them: points at which something begins, and points at which it ends."""
    found = [Element(struct.pack("!I", low), None, {}, 0) for low, _high in spans]
    found += [Element(struct.pack("!I", high + 1), None, {}, END) for _low, high in spans if high < 0xFFFFFFFF]
    return SetDump("nets", INTERVAL, 4, (), (*found[::-1], Element(bytes(4), None, {}, END)))


def in_nets(found: SetDump, network: str) -> bool | None:
    rule = read(payload(NETWORK, 12, 4), lookup("nets"), DROP, sets={"nets": found})
    return holds(rule, tcp(source=ipaddress.ip_network(network)))


def test_ranges_end_before_the_next_point():
    found = intervals((10, 20), (30, 0xFFFFFFFF))
    shown = [in_nets(found, str(ipaddress.ip_address(number))) for number in (9, 10, 20, 21, 29, 30, 0xFFFFFFFF)]
    assert shown == [False, True, True, False, False, True, True]


def test_a_network_across_touching_ranges_is_wholly_in_the_set():
    assert in_nets(intervals((0, 127), (128, 255)), "0.0.0.0/24") is True
    assert in_nets(intervals((0, 126), (128, 255)), "0.0.0.0/24") is None


@given(st.sets(st.integers(0, 40)), st.integers(0, 40), st.integers(0, 5))
def test_a_network_is_in_a_set_if_all_of_its_addresses_are(members, start, bits):
    found = SetDump("nets", 0, 4, (), tuple(Element(struct.pack("!I", one), None, {}, 0) for one in members))
    start = start >> bits << bits
    addresses = set(range(start, start + (1 << bits)))
    expected = True if addresses <= members else None if addresses & members else False
    if not (members or expected is not False):
        return
    assert in_nets(found, f"{ipaddress.ip_address(start)}/{32 - bits}") is expected


def test_concatenations_are_compared_field_by_field():
    low, high = bytes([10, 0, 0, 0]) + b"\0\x50\0\0", bytes([10, 0, 0, 255]) + b"\0\x5a\0\0"
    pairs = SetDump("pairs", INTERVAL | 0x80, 8, (4, 2), (Element(low, high, {}, 0),))
    loads = (payload(NETWORK, 12, 4, register=1), payload(TRANSPORT, 2, 2, register=9))
    rule = read(*TCP, *loads, lookup("pairs"), DROP, sets={"pairs": pairs})
    here = ipaddress.ip_network("10.0.0.7")
    assert [holds(rule, tcp(source=here, destination_port=port)) for port in (79, 80, 90, 91)] == [
        False,
        True,
        True,
        False,
    ]
    assert holds(rule, tcp(source=ipaddress.ip_network("10.0.1.7"))) is False
    assert holds(rule, tcp(source=here)) is None
    assert rule.text == "ip saddr . tcp dport @pairs drop"


def test_a_set_that_packets_change_tells_nothing():
    rule = read(payload(TRANSPORT, 2, 2), lookup("s", True), DROP, sets={"s": elements(b"\0\x16", flags=EVAL)})
    assert holds(rule, tcp(destination_port=80)) is None


def verdicts(*entries: tuple[bytes, bytes, int]) -> SetDump:
    return SetDump("map", MAP, 2, (), tuple(Element(key, None, parse(data), flags) for key, data, flags in entries))


def test_a_verdict_map_is_a_rule_for_each_element():
    found = verdicts((b"\0\x16", verdict(0), 0), (b"\0\x50", verdict(-3, "web"), 0), (b"", verdict(1), CATCHALL))
    steps = (*TCP, payload(TRANSPORT, 2, 2), lookup("__map0", register=0))
    rules = decode(RuleDump("forward", 7, steps, "seen"), Context("inet", {"__map0": found}))
    assert [(rule.verdict.kind, rule.verdict.chain) for rule in rules] == [
        ("drop", ""),
        ("jump", "web"),
        ("accept", ""),
    ]
    meets = [[holds(rule, tcp(destination_port=port)) for rule in rules] for port in (22, 80, 81)]
    assert meets == [[True, False, False], [False, True, False], [False, False, True]]
    assert {(rule.text, rule.comment, rule.handle) for rule in rules} == {
        ("tcp dport vmap { 22 : drop, 80 : jump web, * : accept }", "seen", 7)
    }


# ---- what can't be foreseen or read


@pytest.mark.parametrize("name", ["limit", "quota", "connlimit", "new in linux 9"])
def test_what_nobody_can_foresee_is_unknown(name):
    rule = read(Expression(name, {}), DROP)
    assert [type(condition) for condition in rule.conditions] == [Unknown]
    assert holds(rule, tcp()) is None


@pytest.mark.parametrize("name", ["counter", "log", "notrack", "last"])
def test_what_decides_nothing_changes_nothing(name):
    rule = read(Expression(name, {}), DROP)
    assert (holds(rule, tcp()), rule.verdict.kind) == (True, "drop")


def test_a_mark_is_not_known():
    assert holds(read(meta(3), compare(bytes(4)), DROP), tcp()) is None


def test_a_stranger_may_have_changed_every_register():
    rule = read(meta(15), Expression("stranger", {}), compare(b"\x02"), DROP)
    assert [condition.holds(tcp()) for condition in rule.conditions] == [None, None]


def test_a_rule_without_a_verdict_goes_on():
    assert read(Expression("counter", {})).verdict.kind == "continue"


def test_nat_says_where_to():
    steps = [Expression("immediate", {1: be(1), 2: value(bytes([10, 0, 0, 1]))})]
    steps += [Expression("immediate", {1: be(2), 2: value(b"\x1f\x90")})]
    rule = read(*steps, Expression("nat", {1: be(1), 2: be(2), 3: be(1), 5: be(2)}))
    assert (rule.verdict.kind, rule.verdict.detail, rule.text) == ("dnat", "10.0.0.1:8080", "dnat to 10.0.0.1:8080")


_PACKETS = [
    Packet(4, "tcp", "in0", "", NET4, NET4, 1, 2, local=(NET4,)),
    Packet(6, "udp", "", None, NET6, NET6),
    Packet(4, state="invalid"),
]
_NAMES = """meta payload ct fib immediate bitwise byteorder cmp range lookup match target nat masq redir reject queue fwd
dynset objref exthdr limit log tproxy counter rt socket numgen hash xfrm osf strange"""
_names = st.sampled_from(_NAMES.split())
_small = st.one_of(st.integers(0, 40).map(be), st.binary(max_size=40), st.binary(max_size=20).map(value))
_steps = st.builds(Expression, _names, st.dictionaries(st.integers(1, 11), _small, max_size=7))
_elements = st.builds(
    Element,
    st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
    st.binary(max_size=20).map(parse),
    st.integers(0, 3),
)
_sets = st.builds(
    SetDump,
    st.just("s"),
    st.integers(0, 0x1FF),
    st.integers(0, 40),
    st.lists(st.integers(0, 20), max_size=3).map(tuple),
    st.lists(_elements, max_size=4).map(tuple),
)


@given(st.lists(_steps, max_size=6), _sets)
def test_no_expression_breaks_the_reader(steps, found):
    steps = [Expression("lookup", {**step.attributes, 1: b"s\0"}) if step.name == "lookup" else step for step in steps]
    for rule in decode(RuleDump("forward", 1, tuple(steps), ""), Context("inet", {"s": found}, {"in0": 2})):
        assert isinstance(rule.text, str)
        assert {holds(rule, packet) for packet in _PACKETS} <= {True, False, None}


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data):
    decode(RuleDump("forward", 1, expressions(data), ""), Context("ip"))


# ---- bits


@given(st.integers(0, 0xFF), st.integers(0, 0xFF), st.integers(0, 5), st.integers(0, 0xFF))
def test_comparisons_of_half_known_bits_agree_with_all_they_may_be(mask_of_known, number, operator, other):
    half = Bits(1, number & mask_of_known, mask_of_known)
    numbers = [one for one in range(256) if one & mask_of_known == half.value]
    said = {known(bytes([one])).compares(operator, other) for one in numbers}
    answer = half.compares(operator, other)
    assert answer is None or said == {answer}
    assert (answer is None) == (len(said) == 2)


@given(st.integers(0, 0xFF), st.integers(0, 0xFF), st.integers(0, 0xFF), st.integers(0, 0xFF))
def test_masks_of_half_known_bits_agree_with_all_they_may_be(mask_of_known, number, mask_of_rule, flipped):
    masked = Bits(1, number & mask_of_known, mask_of_known).masked(mask_of_rule, flipped)
    for one in range(256):
        if one & mask_of_known == number & mask_of_known:
            assert masked.equals((one & mask_of_rule) ^ flipped) is not False


def test_three_values():
    assert (negated(None), negated(True), every([True, None]), every([None, False]), every([])) == (
        None, False, None, False, True,
    )  # fmt: skip
