# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwards as elements of maps: such as the kernel takes, and such as lead back to their forward."""

from __future__ import annotations

import ipaddress
import itertools
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_changes import Content
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import DnatBy, Ports
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_sets import Declaration, Element, unpack
from ansible_collections.patchbay.netns.plugins.module_utils._objects import nat_layout, nat_maps
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_maps import Shape, shape_of
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import (
    ForwardSpec,
    Service,
    Spec,
    Target,
)
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import nat_strategies as some
from hypothesis import given
from hypothesis import strategies as st

net, ip = ipaddress.ip_network, ipaddress.ip_address
LONGEST = 127  # NFTNL_UDATA_COMMENT_MAXLEN is 128 with the zero byte
LONGEST_NAME = 255  # NFT_SET_MAXNAMELEN is 256 with the zero byte

shapes = st.builds(
    Shape,
    st.sampled_from(["forwards", "incoming", "outgoing", "loopback"]),
    st.sampled_from(["tcp", "udp", "sctp"]),
    st.sampled_from([4, 6]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "by-source", "ranges"]),
)


def spec(low: int = 80, high: int | None = None, **target: t.Any) -> ForwardSpec:
    return ForwardSpec(Service(4, "tcp", Ports(low, high or low)), Target(ip("10.20.0.2"), **target))


def ends(what: Declaration, element: Element) -> list[tuple[bytes, bytes]]:
    """The lower and upper end of each field of the key."""
    lengths = {"ipv4_addr": 4, "ipv6_addr": 16, "inet_service": 4, "ifname": 16}
    out, start = [], 0
    for kind in what.key:
        piece = slice(start, start + lengths[kind])
        out.append((element.key[piece], element.end[piece]))
        start += lengths[kind]
    return out


def overlap(what: Declaration, one: Element, two: Element) -> bool:
    """Whether some packet has a key that is in both."""
    mine, theirs = ends(what, one), ends(what, two)
    return all(mine[at][0] <= theirs[at][1] and theirs[at][0] <= mine[at][1] for at in range(len(mine)))


# ---- the maps


@given(shape=shapes)
def test_the_name_of_a_map_says_its_shape(shape: Shape) -> None:
    assert shape_of(shape.name) == shape


@given(one=shapes, two=shapes)
def test_two_shapes_have_two_names(one: Shape, two: Shape) -> None:
    assert (one.name == two.name) == (one == two)


@given(shape=shapes)
def test_names_are_such_as_nft_takes(shape: Shape) -> None:
    assert shape.name.replace("-", "").isalnum()
    assert len(shape.name) <= LONGEST_NAME


@pytest.mark.parametrize(
    "name",
    [
        "",
        "forwards",
        "forwards-tcp",
        "forwards-icmp-ip",
        "forwards-tcp-ip-by-day",
        "forwards-tcp-ip-ranges-2",
        "x-forwards-tcp-ip",
        "forwards-tcp-ip\n",
    ],
)
def test_maps_of_others_have_no_shape(name: str) -> None:
    assert shape_of(name) is None


@given(shape=shapes)
def test_a_map_of_intervals_has_two_fields_at_least(shape: Shape) -> None:
    """The kernel has ranges of one field in another kind of set, whose elements are listed in halves."""
    assert not shape.declaration.interval or len(shape.key) >= 2


@given(shape=shapes)
def test_rules_look_into_the_map_with_its_own_key(shape: Shape) -> None:
    rules = list(shape.rules())
    assert rules
    for rule in rules:
        assert rule.verdict == DnatBy(shape.name, shape.key, shape.family, "inet_service" in shape.declaration.data)


@pytest.mark.parametrize(
    ("entry", "chains"),
    [
        ("forwards", ["prerouting", "output"]),
        ("incoming", ["prerouting"]),
        ("outgoing", ["output"]),
        ("loopback", ["output"]),
    ],
)
def test_who_looks_into_a_map(entry: str, chains: list[str]) -> None:
    assert [rule.chain for rule in Shape(entry, "tcp", 4).rules()] == chains


# ---- the elements


@given(forward=some.forwards())
def test_every_element_of_a_forward_carries_its_tag(forward: ForwardSpec) -> None:
    tag = f"patchbay forward {forward.service.protocol} {forward.service.ports}"
    found = [element.comment for _shape, element in nat_maps.elements(forward)]
    assert found
    assert all(comment == tag or comment.startswith(f"{tag} ") for comment in found)


def test_the_longest_tag_is_short_enough_for_nft() -> None:
    service = Service(6, "sctp", Ports(60000, 65535), ip("2001:db8:1111:2222:3333:4444:5555:6666"), "x" * 15)
    far = ip("fd00:1111:2222:3333:4444:5555:6666:7777")
    for loopback in (False, True):
        target = Target(far, None, loopback=loopback, hairpin=net(f"{far}/128"))
        for _shape, element in nat_maps.elements(ForwardSpec(service, target)):
            assert len(element.comment.encode()) <= LONGEST


@given(forward=some.forwards())
def test_elements_are_such_as_their_map_holds(forward: ForwardSpec) -> None:
    for shape, element in nat_maps.elements(forward):
        what = shape.declaration
        assert len(unpack(what.key, element.key, element.end)) == len(what.key)
        assert len(unpack(what.data, element.data)) == len(what.data)
        assert what.interval or element.key == element.end
        assert all(low <= high for low, high in ends(what, element))


@given(specs=some.spec_sets)
def test_no_two_elements_of_a_set_overlap(specs: list[Spec]) -> None:
    """The kernel refuses that: hairpin networks inside each other, ranges that touch, forwards that meet."""
    content = nat_layout.layout(specs) or Content()
    for name, what in content.sets.items():
        for one, two in itertools.combinations(content.elements[name], 2):
            assert not overlap(what, one, two), name


def in_set(content: Content, source: str, target: str, port: int) -> bool:
    (name,) = {rule.member.name for rule in content.all_rules() if rule.member}
    what, found = content.sets[name], content.elements[name]
    key = ip(source).packed + ip(target).packed + port.to_bytes(2, "big") + bytes(2)
    return any(overlap(what, element, Element(key, key)) for element in found)


def answered(wanted: list[tuple[t.Any, Ports]]) -> Content:
    """The table for forwards to one target, each with its hairpin network and its ports at the target."""
    found = nat_layout.layout(
        ForwardSpec(
            Service(4, "tcp", Ports(1000 + 100 * at, 1000 + 100 * at + len(inside) - 1)),
            Target(ip("10.20.0.2"), inside, hairpin=lab),
        )
        for at, (lab, inside) in enumerate(wanted)
    )
    assert found is not None
    return found


hairpins = st.lists(
    st.tuples(
        st.sampled_from([net(text) for text in some.LABS[4]]),
        st.sampled_from([Ports(80, 80), Ports(80, 90), Ports(85, 95), Ports(91, 99)]),
    ),
    min_size=1,
    max_size=5,
)
"""Networks inside each other, ranges that touch and overlap."""


@given(
    wanted=hairpins,
    source=st.sampled_from(["10.20.0.1", "10.20.0.9", "10.20.7.1", "10.9.9.9", "192.0.2.1", "127.0.0.1"]),
    port=st.integers(79, 100),
)
def test_row_7_every_client_in_the_targets_network_is_let_in(
    wanted: list[tuple[t.Any, Ports]], source: str, port: int
) -> None:
    meant = any(ip(source) in lab and inside.low <= port <= inside.high for lab, inside in wanted)
    content = answered(wanted)
    assert in_set(content, source, "10.20.0.2", port) == meant
    assert not in_set(content, source, "10.20.0.3", port)


@given(wanted=hairpins)
def test_networks_inside_each_other_are_cut_to_elements_that_do_not_overlap(wanted: list[tuple[t.Any, Ports]]) -> None:
    content = answered(wanted)
    for name, what in content.sets.items():
        assert not [pair for pair in itertools.combinations(content.elements[name], 2) if overlap(what, *pair)]


@pytest.mark.parametrize(
    ("forward", "maps"),
    [
        (spec(), ["forwards-tcp-ip"]),
        (spec(local=False), ["incoming-tcp-ip"]),
        (spec(loopback=True), ["forwards-tcp-ip", "loopback-tcp-ip"]),
        (spec(80, 90), ["forwards-tcp-ip-ranges"]),
        (spec(80, 82, ports=Ports(90, 92)), ["forwards-tcp-ip"] * 3),
        (spec(sources=(net("10.0.0.0/8"), net("172.16.0.0/12"))), ["forwards-tcp-ip-by-source"] * 2),
        (
            replace(spec(), service=replace(spec().service, in_interface="eth0")),
            ["incoming-tcp-ip-by-interface", "outgoing-tcp-ip"],
        ),
        (
            replace(spec(), service=replace(spec().service, in_interface="eth0", address=ip("203.0.113.1"))),
            ["incoming-tcp-ip-by-interface-by-address", "outgoing-tcp-ip-by-address"],
        ),
    ],
)
def test_which_maps_a_forward_is_in(forward: ForwardSpec, maps: list[str]) -> None:
    assert sorted(shape.name for shape, _element in nat_maps.elements(forward)) == maps


# ---- back


NAME = "forwards-tcp-ip"
GOOD = next(nat_maps.elements(spec()))[1]


def test_a_good_element_is_a_forward() -> None:
    assert nat_maps.forwards({NAME: [GOOD]}) == [spec()]


@pytest.mark.parametrize(
    "change",
    [
        {"comment": ""},
        {"comment": "mine"},
        {"comment": "patchbay forward udp 80"},
        {"comment": "patchbay forward tcp 81"},
        {"comment": "patchbay forward tcp 81-90"},
        {"comment": "patchbay forward tcp 80 and more"},
        {"key": b"\0\x50"},
        {"data": b""},
        {"data": GOOD.data + bytes(4)},
    ],
)
def test_an_element_that_contradicts_itself_is_no_forward(change: dict[str, t.Any]) -> None:
    assert nat_maps.forwards({NAME: [GOOD._replace(**change)]}) == []


def test_elements_of_other_maps_are_no_forwards() -> None:
    assert nat_maps.forwards({"theirs": [GOOD]}) == []


def test_a_shifted_range_is_known_by_what_is_left_of_it() -> None:
    forward = spec(80, 89, ports=Ports(8080, 8089))
    found = [element for _shape, element in nat_maps.elements(forward)]
    assert [nat_maps.forwards({NAME: [element]}) for element in found] == [[forward]] * 10


def test_an_element_that_leads_elsewhere_than_the_others_does_not_count() -> None:
    forward = spec(80, 81, ports=Ports(8080, 8081))
    one, two = sorted(element for _shape, element in nat_maps.elements(forward))
    astray = two._replace(data=ip("10.66.0.6").packed + two.data[4:])
    assert nat_maps.forwards({NAME: [one, astray]}) == [forward]


def test_a_shift_to_ports_that_are_none_is_no_forward() -> None:
    high = spec(80, 81, ports=Ports(65534, 65535))
    last = max(element for _shape, element in nat_maps.elements(high))
    beyond = last._replace(comment="patchbay forward tcp 80-99")
    assert nat_maps.forwards({NAME: [beyond]}) == []


@given(
    name=shapes.map(lambda shape: shape.name) | st.just("theirs"),
    elements=st.lists(
        st.builds(
            Element,
            st.binary(max_size=40),
            st.binary(max_size=40),
            st.binary(max_size=20),
            st.sampled_from(
                [GOOD.comment, "patchbay forward udp 1-65535 hairpin 1.2.3.4/33", "patchbay forward tcp 99999"]
            ),
        )
        | st.just(GOOD),
        max_size=4,
    ),
)
def test_no_element_makes_reading_crash(name: str, elements: list[Element]) -> None:
    assert isinstance(nat_maps.forwards({name: elements}), list)
