# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links: their MAC addresses, the steps that make and change them, and how they are shown."""

from __future__ import annotations

import shlex
import typing as t
from dataclasses import fields, replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.codec import codec
from ansible_collections.patchbay.netns.plugins.module_utils._objects import link, link_options, words
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import (
    BridgeOptions,
    Link,
    Peer,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_steps import (
    ChangeLink,
    MakeLink,
    VethPair,
    changed,
)
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import assume, given
from hypothesis import strategies as st

ONE = Link("red", "veth-red", "veth", "02:00:00:00:15:01", 1500, peer=Peer(None, "veth-red-br"))
OTHER = Link(None, "veth-red-br", "veth", "02:00:00:00:15:02", 1500, peer=Peer("red", "veth-red"))
BRIDGE = Link(
    None, "v-net-0", "bridge", "02:00:00:00:15:05", 1500, options=BridgeOptions(False, 15.0, 300.0, False, True)
)


def change(**properties: t.Any) -> list[str]:
    now = replace(ONE, bridge="v-net-0", hairpin=False)
    (step,) = changed(now, replace(now, **properties))
    return step.commands()


# ---- MAC addresses


@given(st.text(max_size=8), some.maybe(some.good_names), some.good_names)
def test_rows_22_23_a_chosen_mac_is_local_and_of_one(seed: str, netns: str | None, name: str) -> None:
    assert int(link.choose_mac(seed, netns, name)[:2], 16) & 0b11 == 0b10


@given(some.good_names, some.good_names)
def test_row_30_a_chosen_mac_is_the_same_each_time(netns: str, name: str) -> None:
    assert link.choose_mac("x", netns, name) == link.choose_mac("x", netns, name)


@pytest.mark.parametrize(
    "other", [("y", "red", "veth-red"), ("x", "red2", "veth-red"), ("x", "red", "veth-red2"), ("x", None, "veth-red"),
              ("x", "redveth-", "red")]
)  # fmt: skip
def test_machines_namespaces_and_names_have_macs_of_their_own(other: tuple[str, str | None, str]) -> None:
    assert link.choose_mac(*other) != link.choose_mac("x", "red", "veth-red")


# ---- making


def test_both_ends_are_made_by_one_command() -> None:
    assert VethPair((), (ONE, OTHER)).commands() == [
        "ip link add name veth-red-br group 28770 address 02:00:00:00:15:02 type veth "
        "peer name veth-red group 28770 address 02:00:00:00:15:01 netns red"
    ]


def test_a_cable_between_namespaces_is_made_in_one_of_them() -> None:
    blue = replace(OTHER, netns="blue")
    (line,) = VethPair((), (ONE, blue)).commands()
    assert (line[:13], line[-10:]) == ("ip -n red lin", "netns blue")


def test_an_mtu_that_is_not_the_kernels_is_named() -> None:
    assert "mtu 9000 type bridge" in MakeLink((), (replace(BRIDGE, mtu=9000),)).commands()[0]


def test_a_cable_is_removed_by_one_end() -> None:
    assert VethPair((ONE, OTHER), ()).commands() == ["ip -n red link del dev veth-red"]


def test_a_removed_cable_can_be_made_again() -> None:
    (back,) = VethPair((ONE, OTHER), ()).undo()
    assert back.after == (ONE, OTHER)


def test_a_cable_whose_other_end_nobody_can_name_is_not_made_again() -> None:
    assert VethPair((replace(ONE, peer=Peer("?", "index 7")),), ()).undo() == []


# ---- changing


def test_equal_links_need_no_step() -> None:
    assert changed(ONE, replace(ONE)) == []


@pytest.mark.parametrize(
    ("properties", "command"),
    [
        ({"mac": "02:00:00:00:00:01"}, "ip -n red link set dev veth-red address 02:00:00:00:00:01"),
        ({"mtu": 1400}, "ip -n red link set dev veth-red mtu 1400"),
        ({"bridge": "br1"}, "ip -n red link set dev veth-red master br1"),
        ({"bridge": None}, "ip -n red link set dev veth-red nomaster"),
        ({"hairpin": True}, "bridge -n red link set dev veth-red hairpin on"),
        ({"up": True}, "ip -n red link set dev veth-red up"),
    ],
)
def test_each_property_has_its_command(properties: dict[str, t.Any], command: str) -> None:
    assert change(**properties) == [command]


def test_an_interface_is_put_up_last() -> None:
    assert change(up=True, mtu=1400, bridge="br1")[-1] == "ip -n red link set dev veth-red up"


@pytest.mark.parametrize(
    ("options", "words_"),
    [
        ({"stp": True}, "stp_state 1"),
        ({"forward_delay": 4.25}, "forward_delay 425"),
        ({"ageing_time": 0.0}, "ageing_time 0"),
        ({"vlan_filtering": True}, "vlan_filtering 1"),
        ({"multicast_snooping": False}, "mcast_snooping 0"),
    ],
)
def test_each_bridge_option_has_its_words(options: dict[str, t.Any], words_: str) -> None:
    assert BRIDGE.options
    (step,) = changed(BRIDGE, replace(BRIDGE, options=replace(BRIDGE.options, **options)))
    assert step.commands() == [f"ip link set dev v-net-0 type bridge {words_}"]


@given(some.options, some.options)
def test_only_options_that_differ_are_sent(before: BridgeOptions, after: BridgeOptions) -> None:
    sent = {name for name, _value in link_options.bridge_changes(before, after)}
    assert sent == {
        link_options._BRIDGE[field.name][0]
        for field in fields(BridgeOptions)
        if getattr(before, field.name) != getattr(after, field.name)
    }


@given(some.options)
def test_options_survive_the_way_through_a_message(options: BridgeOptions) -> None:
    message = codec().link()
    data = {"attrs": link_options.bridge_changes(None, options)}
    message["attrs"] = [["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "bridge"], ["IFLA_INFO_DATA", data]]}]]
    message.encode()
    answer = codec().link(bytes(message.data))
    answer.decode()
    assert link_options.decode("bridge", answer.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")) == options


def test_changing_and_changing_back_is_nothing() -> None:
    step = ChangeLink((ONE,), (replace(ONE, mtu=1400),))
    (back,) = step.undo()
    assert (back.before, back.after) == (step.after, step.before)


def test_unasked_properties_are_kept() -> None:
    assert link.with_defaults(ONE, mac=None, mtu=1400) == replace(ONE, mtu=1400)


# ---- words


@given(some.good_names)
def test_every_name_is_one_word_of_a_command(name: str) -> None:
    assert shlex.split(words.ip(name)) == ["ip", "-n", name]
    assert shlex.split(words.bridge(name)) == ["bridge", "-n", name]
    assert shlex.split(words.prefix(name)) == ["ip", "netns", "exec", name]


@given(some.good_names, some.good_names)
def test_every_interface_name_is_one_word_of_a_command(netns: str, name: str) -> None:
    assume(netns != name)
    odd = replace(ONE, netns=netns, name=name)
    steps = [ChangeLink((odd,), (replace(odd, mtu=68),)), MakeLink((), (odd,)), VethPair((odd, OTHER), ())]
    assert all(name in shlex.split(line) for step in steps for line in step.commands())


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (words.ip(None), "ip"),
        (words.bridge(None), "bridge"),
        (words.prefix(None), ""),
        (words.place(None), ""),
        (words.place("red"), " in namespace red"),
    ],
)
def test_the_callers_own_namespace_needs_no_words(found: str, expected: str) -> None:
    assert found == expected


# ---- showing


def test_hairpin_is_shown_of_ports_only() -> None:
    assert "hairpin" not in link.shown(ONE, [])
    assert link.shown(replace(ONE, bridge="v-net-0", hairpin=True), [])["hairpin"] is True


def test_bridge_options_are_shown_of_bridges_only() -> None:
    assert "stp" not in link.shown(ONE, [])
    assert link.shown(BRIDGE, [])["ageing_time"] == 300.0
