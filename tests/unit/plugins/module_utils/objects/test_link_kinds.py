# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links of every kind: their options as values, attributes and words, the group of their lab, the step that makes them."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError, Unsupported
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import rtnl
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.needs import NEEDS
from ansible_collections.patchbay.netns.plugins.module_utils._objects import link, link_options, link_steps
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import GROUP, Link, Peer, lab_group
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_options import (
    MACVLAN_MODES,
    NEW_BRIDGE,
    VLAN_PROTOCOLS,
    BridgeOptions,
    MacvlanOptions,
    VlanOptions,
    VxlanOptions,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_steps import ChangeLink, MakeLink, VethPair
from hypothesis import assume, given
from hypothesis import strategies as st

MAC = "02:00:00:00:00:01"
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).filter(lambda address: not address.is_unspecified)
vlans = st.builds(VlanOptions, st.integers(0, 4094), st.sampled_from(sorted(VLAN_PROTOCOLS)))
macvlans = st.builds(MacvlanOptions, st.sampled_from(sorted(MACVLAN_MODES)))
vxlans = st.builds(
    VxlanOptions,
    st.integers(0, 2**24 - 1),
    st.none() | addresses,
    st.none() | addresses,
    st.integers(1, 65535),
    st.integers(0, 255),
    st.booleans(),
)
OPTIONS = {"vlan": vlans, "macvlan": macvlans, "vxlan": vxlans}


class Handle:
    """Remembers what is made, and knows every interface's index."""

    def __init__(self, refusal: KernelError | None = None) -> None:
        self.refusal = refusal
        self.made: list[tuple[t.Any, t.Any]] = []

    def rtnl(self, netns: str | None) -> str:
        return netns or "host"

    def index(self, _netns: str | None, name: str) -> int:
        return {"eth0": 7, "v-net-0": 8}[name]

    def choose_index(self, _netns: str | None, _name: str) -> int:
        return 0

    def forget_index(self, netns: str | None, name: str) -> None:
        """Nothing is remembered."""

    def file(self, _netns: str | None) -> int:
        return 99


def made(monkeypatch: pytest.MonkeyPatch, step: t.Any, refusal: KernelError | None = None) -> tuple[t.Any, t.Any]:
    """The answer that the kernel would give of the link that the step makes, and the header of the peer."""
    sent: list[tuple[t.Any, bool]] = []

    def create(_sock: t.Any, attributes: t.Any, _doing: str, *, index: int = 0, up: bool = False) -> None:
        if refusal:
            raise refusal
        sent.append((attributes, up))

    monkeypatch.setattr(rtnl, "create_link", create)
    step.apply(t.cast("t.Any", Handle()))
    ((attributes, up),) = sent
    message = rtnl._message(rtnl.codec().link, 16, 0, {"flags": int(up)}, attributes)
    return message.answer(message.body), attributes


def vlan(**properties: t.Any) -> Link:
    return replace(Link("red", "v10", "vlan", MAC, 1500, options=VlanOptions(10), parent="eth0"), **properties)


# ---- the group


@given(st.text(max_size=20))
def test_a_labs_group_is_ours_and_is_no_other_mark(name: str) -> None:
    group = lab_group(name)
    assert group >> 16 == 0x7062
    assert 0 < group & 0xFFFF < 1 << 16
    assert vlan(group=group).ours
    assert group == lab_group(name)


def test_labs_have_groups_of_their_own() -> None:
    assert lab_group("red-blue") != lab_group("red-blue2")


@pytest.mark.parametrize(
    ("group", "ours"),
    [(GROUP, True), (28770, True), (GROUP << 16 | 1, True), (GROUP << 16, False), (0, False), (None, False),
     (0x7063 << 16 | 1, False), (GROUP + 1, False)],
)  # fmt: skip
def test_only_our_groups_are_ours(group: int | None, ours: bool) -> None:
    assert link.is_ours(group) == ours


# ---- options


@pytest.mark.parametrize("kind", OPTIONS)
@given(data=st.data())
def test_options_survive_the_way_through_a_message(kind: str, data: t.Any) -> None:
    options = data.draw(OPTIONS[kind])
    inner = {"attrs": link_options.attributes(options)}
    info = {"attrs": [["IFLA_INFO_KIND", kind], ["IFLA_INFO_DATA", inner]]}
    message = rtnl._message(rtnl.codec().link, 16, 0, {}, [["IFLA_LINKINFO", info]])
    answer = message.answer(message.body).get_attr("IFLA_LINKINFO")
    assert link_options.decode(kind, answer.get_attr("IFLA_INFO_DATA")) == options


@pytest.mark.parametrize(
    ("kind", "options", "parent", "words"),
    [
        ("dummy", None, None, "dummy"),
        ("bridge", BridgeOptions(), None, "bridge"),
        ("bridge", NEW_BRIDGE, None, "bridge"),
        ("bridge", replace(NEW_BRIDGE, stp=True, ageing_time=10.0), None, "bridge stp_state 1 ageing_time 1000"),
        ("vlan", VlanOptions(10), "eth0", "vlan id 10"),
        ("vlan", VlanOptions(10, "802.1ad"), "eth0", "vlan id 10 protocol 802.1ad"),
        ("macvlan", MacvlanOptions("private"), "eth0", "macvlan mode private"),
        ("vxlan", VxlanOptions(42), None, "vxlan id 42 dstport 4789"),
        (
            "vxlan",
            VxlanOptions(
                42, ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2"), 8472, 64, learning=False
            ),
            "eth0",
            "vxlan id 42 local 10.0.0.1 remote 10.0.0.2 dev eth0 dstport 8472 ttl 64 nolearning",
        ),
        ("vxlan", VxlanOptions(1, remote=ipaddress.ip_address("ff05::1")), "e", "vxlan id 1 group ff05::1 dev e dstport 4789"),
    ],
)  # fmt: skip
def test_each_kind_has_its_words(kind: str, options: t.Any, parent: str | None, words: str) -> None:
    assert link_options.words(kind, options, parent) == words


def test_kinds_of_others_have_no_options() -> None:
    assert link_options.decode("vrf", object()) is None
    assert link_options.decode("vlan", None) is None
    assert link_options.shown(None) == {}


def test_options_are_shown_as_text() -> None:
    shown = link.shown(vlan(kind="vxlan", options=VxlanOptions(42, ipaddress.ip_address("fd00::1"))), [])
    assert (shown["id"], shown["local"], shown["remote"], shown["parent"]) == (42, "fd00::1", None, "eth0")


# ---- making


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({}, "link eth0 name v10 group 28770 address 02:00:00:00:00:01 type vlan id 10"),
        ({"kind": "vxlan", "options": VxlanOptions(5)},
         "name v10 group 28770 address 02:00:00:00:00:01 type vxlan id 5 dev eth0 dstport 4789"),
        ({"kind": "dummy", "options": None, "parent": None, "mtu": 1400, "mac": "", "group": 5},
         "name v10 group 5 mtu 1400 type dummy"),
    ],
)  # fmt: skip
def test_each_kind_is_made_by_one_command(properties: dict[str, t.Any], words: str) -> None:
    assert MakeLink((), (vlan(**properties),)).commands() == [f"ip -n red link add {words}"]


def test_what_the_message_includes_are_commands_of_their_own() -> None:
    assert MakeLink((), (vlan(up=True, bridge="v-net-0"),)).commands()[1:] == [
        "ip -n red link set dev v10 master v-net-0 up"
    ]
    one = Link(None, "a", "veth", MAC, 1500, up=True, bridge="v-net-0", peer=Peer("red", "b"))
    other = Link("red", "b", "veth", MAC, 1500, peer=Peer(None, "a"))
    assert VethPair((), (one, other)).commands()[1:] == ["ip link set dev a master v-net-0 up"]


def test_a_link_is_removed_by_its_name() -> None:
    assert MakeLink((vlan(),), ()).commands() == ["ip -n red link del dev v10"]


@pytest.mark.parametrize("kind", OPTIONS)
@given(data=st.data())
def test_one_message_says_all(kind: str, data: t.Any) -> None:
    wanted = vlan(kind=kind, options=data.draw(OPTIONS[kind]), up=data.draw(st.booleans()), group=lab_group("x"))
    with pytest.MonkeyPatch.context() as patch:
        answer, _sent = made(patch, MakeLink((), (wanted,)))
    assert link.decode(t.cast("t.Any", None), "red", answer, names={7: "eth0"}) == wanted


def test_a_cable_is_plugged_in_and_up_by_the_message_that_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Link(None, "a", "veth", MAC, 1500, up=True, bridge="v-net-0", peer=Peer("red", "b"))
    other = Link("red", "b", "veth", MAC, 1500, peer=Peer(None, "a"))
    answer, attributes = made(monkeypatch, VethPair((), (one, other)))
    assert link.decode(t.cast("t.Any", None), None, answer, names={8: "v-net-0"}, peer=one.peer) == one
    info = dict(attributes)["IFLA_LINKINFO"]["attrs"]
    ((_name, peer),) = dict(info)["IFLA_INFO_DATA"]["attrs"]
    assert "flags" not in peer, "the kernel refuses a peer that is to be up (ENOTCONN)"


@pytest.mark.parametrize("kind", ["vlan", "macvlan", "vxlan", "dummy", "bridge"])
def test_a_kind_that_the_kernel_lacks_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    refusal = KernelError("the kernel refused to: Unknown device type (EOPNOTSUPP).", errno=95)
    with pytest.raises(Unsupported) as error:
        made(monkeypatch, MakeLink((), (vlan(kind=kind, options=None),)), refusal)
    assert NEEDS[kind] in str(error.value)
    assert "Unknown device type" in str(error.value)


@pytest.mark.parametrize(
    ("properties", "answer"),
    [
        ({}, False),
        ({"mtu": 1400, "group": 0, "up": True, "mac": MAC[:-1] + "2"}, False),
        ({"options": VlanOptions(11)}, True),
        ({"parent": "eth1"}, True),
        ({"kind": "macvlan", "options": MacvlanOptions()}, True),
    ],
)
def test_what_only_another_link_can_be(properties: dict[str, t.Any], answer: bool) -> None:
    assert link.replaceable(vlan(), vlan(**properties)) is answer


def test_a_bridges_options_can_change() -> None:
    bridge = Link(None, "br0", "bridge", MAC, 1500, options=NEW_BRIDGE)
    assert not link.replaceable(bridge, replace(bridge, options=replace(NEW_BRIDGE, stp=True)))


def test_a_link_can_be_taken_over() -> None:
    assert ChangeLink((vlan(group=0),), (vlan(group=5),)).commands() == ["ip -n red link set dev v10 group 5"]


# ---- reading many


def message(*attributes: list[t.Any]) -> t.Any:
    request = rtnl._message(rtnl.codec().link, 16, 0, {"index": 9}, list(attributes))
    return request.answer(request.body)


def seen(*attributes: list[t.Any], **options: t.Any) -> Link:
    base = [["IFLA_IFNAME", "x"], ["IFLA_MTU", 1500], ["IFLA_ADDRESS", MAC]]
    return link.decode(t.cast("t.Any", None), None, message(*base, *attributes), names={7: "eth0"}, **options)


def info(kind: str, *data: list[t.Any]) -> list[t.Any]:
    return ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", kind], ["IFLA_INFO_DATA", {"attrs": list(data)}]]}]


VLAN_5 = info("vlan", ["IFLA_VLAN_ID", 5], ["IFLA_VLAN_PROTOCOL", 0x8100])


def test_with_all_names_nothing_is_asked() -> None:
    assert seen(VLAN_5, ["IFLA_LINK", 7], ["IFLA_MASTER", 7]) == Link(
        None, "x", "vlan", MAC, 1500, bridge="eth0", group=0, options=VlanOptions(5), parent="eth0"
    )
    assert seen(["IFLA_LINK", 7]).parent is None, "only some kinds stand on others"


def test_a_parent_in_another_namespace_has_no_name_here() -> None:
    assert seen(VLAN_5, ["IFLA_LINK", 7], ["IFLA_LINK_NETNSID", 0]).parent == "?"


def test_the_peer_is_as_given() -> None:
    assert seen(info("veth"), ["IFLA_LINK", 7]).peer is None
    assert seen(info("veth"), ["IFLA_LINK", 7], peer=Peer("red", "b")).peer == Peer("red", "b")


@given(st.integers(1, 65535))
def test_protocols_and_modes_without_a_name_are_shown_by_number(number: int) -> None:
    assume(number not in VLAN_PROTOCOLS.values())
    shown = seen(info("vlan", ["IFLA_VLAN_ID", 5], ["IFLA_VLAN_PROTOCOL", number])).options
    assert isinstance(shown, VlanOptions)
    assert int(shown.protocol, 16) == number


# ---- waiting


def test_the_last_of_a_namespace_is_waited_for_and_then_samples_by_one_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, set[str]]] = []
    monkeypatch.setattr(
        link_steps.carriers,
        "unnoticed",
        lambda sock, names: asked.append((sock, set(names))) or (set(names) if len(asked) == 1 else set()),
    )
    ends = [Link("sw", f"p{n}", "veth", MAC, 1500, up=True, peer=Peer("sw", f"q{n}")) for n in range(3)]
    down = Link("down", "p", "veth", MAC, 1500, peer=Peer(None, "q"))
    lost = Link("lost", "p", "veth", MAC, 1500, up=True, peer=Peer("?", "index 7"))
    link_steps.settle_all(t.cast("t.Any", Handle()), [*ends, down, lost, vlan(up=True)])
    assert {place for place, _names in asked} == {"sw"}
    names = [each for _place, each in asked]
    assert names[:2] == [{"q2"}, {"q2"}], "asked again until it was noticed"
    assert names[2:] == [{"p0", "p1", "p2"}], "of so many, every second one"
