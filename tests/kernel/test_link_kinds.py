# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links of every kind on this kernel: made as their commands make them, seen by ip(8), or refused with what is missing."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError, Unsupported
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import features, rtnl
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.needs import NEEDS
from ansible_collections.patchbay.netns.plugins.module_utils._objects import link
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import Link, Peer, lab_group
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_options import (
    NEW_BRIDGE,
    BridgeOptions,
    MacvlanOptions,
    VlanOptions,
    VxlanOptions,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_steps import (
    ChangeLink,
    MakeLink,
    VethPair,
    settle_all,
)
from box import Box

MAC = "02:00:00:00:00:{:02x}"
V4 = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")
V6 = ipaddress.ip_address("fd00::1"), ipaddress.ip_address("fd00::2")
GROUP = lab_group("red-blue")
KINDS: dict[str, tuple[str, Any, str | None]] = {
    "bridge": ("bridge", NEW_BRIDGE, None),
    "bridge with options": (
        "bridge",
        BridgeOptions(stp=True, forward_delay=4.0, ageing_time=10.0, vlan_filtering=False, multicast_snooping=False),
        None,
    ),
    "dummy": ("dummy", None, None),
    "vlan": ("vlan", VlanOptions(10), "v-net-0"),
    "vlan of a provider": ("vlan", VlanOptions(10, "802.1ad"), "v-net-0"),
    **{f"macvlan {mode}": ("macvlan", MacvlanOptions(mode), "one") for mode in ("private", "vepa", "bridge")},
    "vxlan": ("vxlan", VxlanOptions(42), None),
    "vxlan with all": ("vxlan", VxlanOptions(42, *V4, port=8472, ttl=64, learning=False), "one"),
    "vxlan over IPv6": ("vxlan", VxlanOptions(42, *V6), "one"),
    "vxlan of a group": ("vxlan", VxlanOptions(42, remote=ipaddress.ip_address("239.0.0.1")), "one"),
}


def wanted(case: str, name: str = "new", **properties: Any) -> Link:
    kind, options, parent = KINDS[case]
    return Link(None, name, kind, MAC.format(9), 1400, group=GROUP, options=options, parent=parent, **properties)


def below(box: Box) -> None:
    """What links stand on."""
    box.ip("link add v-net-0 type bridge")
    box.ip("link add one type veth peer name two")
    box.ip("link set v-net-0 up")  # a VLAN can only be up on what is up
    box.ip("link set one up")
    box.ip("link set two up")


def able(kind: str) -> bool:
    return features.find([kind])[kind].available


def run(box: Box, commands: list[str]) -> None:
    for command in commands:
        box.tool(*command.split())


@pytest.mark.smoke
@pytest.mark.parametrize("case", KINDS)
def test_a_link_of_each_kind_is_what_was_wanted_or_refused_with_what_is_missing(box: Box, case: str) -> None:
    below(box)
    new = wanted(case, up=True)
    with Kernel() as kernel:
        step = MakeLink((), (new,))
        if not able(new.kind):
            with pytest.raises(Unsupported) as error:
                step.apply(kernel)
            assert NEEDS[new.kind] in str(error.value)
            assert "Unknown device type" in str(error.value)
            return
        step.apply(kernel)
        assert link.observe(kernel, None, "new") == new
        for back in step.undo():
            back.apply(kernel)
        assert link.observe(kernel, None, "new") is None


@pytest.mark.parametrize("case", KINDS)
def test_the_printed_commands_make_the_same_link(box: Box, case: str) -> None:
    if not able(KINDS[case][0]):
        pytest.skip("this kernel lacks it")
    below(box)
    new = wanted(case, up=True)
    run(box, MakeLink((), (new,)).commands())
    with Kernel() as kernel:
        assert link.observe(kernel, None, "new") == new


def test_ip_sees_the_same(box: Box) -> None:
    if not able("vxlan"):
        pytest.skip("this kernel lacks it")
    below(box)
    with Kernel() as kernel:
        MakeLink((), (wanted("vxlan with all"),)).apply(kernel)
    (seen,) = box.ip("link show new", json=True)
    data = seen["linkinfo"]["info_data"]
    assert (data["id"], data["local"], data["remote"], data["port"], data["ttl"], data["link"]) == (
        42, "10.0.0.1", "10.0.0.2", 8472, 64, "one"
    )  # fmt: skip
    assert (data["learning"], seen["group"], seen["mtu"], seen["address"]) == (False, str(GROUP), 1400, MAC.format(9))


# ---- cables that are plugged in and up at once


def ends(**properties: Any) -> tuple[Link, Link]:
    one = Link(
        None, "veth-red-br", "veth", MAC.format(1), 1500, peer=Peer("red", "veth-red"), group=GROUP, **properties
    )
    other = Link("red", "veth-red", "veth", MAC.format(2), 1500, peer=Peer(None, "veth-red-br"), group=GROUP)
    return one, other


def stage(box: Box) -> None:
    box.ip("netns add red")
    box.ip("link add v-net-0 type bridge")
    box.ip("link set v-net-0 up")


@pytest.mark.smoke
@pytest.mark.parametrize("door", ["step", "commands"])
def test_a_cable_is_plugged_in_and_up_as_it_is_made(box: Box, door: str) -> None:
    stage(box)
    one, other = ends(up=True, bridge="v-net-0", hairpin=False)
    step = VethPair((), (one, other))
    with Kernel() as kernel:
        if door == "step":
            step.apply(kernel)
        else:
            run(box, step.commands())
        assert link.observe(kernel, None, one.name) == one
        assert link.observe(kernel, "red", other.name) == other


def test_a_cable_forwards_when_it_has_settled(box: Box) -> None:
    stage(box)
    one, other = ends(up=True, bridge="v-net-0", hairpin=False)
    up = ChangeLink((other,), (Link(**{**vars(other), "up": True}),))
    with Kernel() as kernel:
        VethPair((), (one, other)).apply(kernel)
        up.apply(kernel)
        settle_all(kernel, [one, *up.after])
    (port,) = box.bridge("link show dev veth-red-br", json=True)
    assert port["state"] == "forwarding"
    (seen,) = box.ip("-n red link show veth-red", json=True)
    assert seen["operstate"] == "UP"


def test_many_cables_settle(box: Box) -> None:
    stage(box)
    made = []
    with Kernel() as kernel:
        for number in range(60):
            one, other = ends(up=True, bridge="v-net-0", hairpin=False)
            one = Link(**{**vars(one), "name": f"p{number}", "peer": Peer("red", f"e{number}")})
            other = Link(**{**vars(other), "name": f"e{number}", "peer": Peer(None, f"p{number}")})
            VethPair((), (one, other)).apply(kernel)
            ChangeLink((other,), (Link(**{**vars(other), "up": True}),)).apply(kernel)
            made.append(one)
        settle_all(kernel, made)
    ports = box.bridge("link show", json=True)
    assert {port["state"] for port in ports} == {"forwarding"}


def test_nothing_is_waited_for_in_vain(box: Box) -> None:
    stage(box)
    one, other = ends(up=True)
    with Kernel() as kernel:
        VethPair((), (one, other)).apply(kernel)
        settle_all(kernel, [one, Link(None, "gone", "veth", "", 1500, up=True, peer=Peer("red", "gone-too"))])


def test_a_cable_that_goes_comes_back_as_it_was(box: Box) -> None:
    stage(box)
    one, other = ends(up=True, bridge="v-net-0", hairpin=False)
    with Kernel() as kernel:
        VethPair((), (one, other)).apply(kernel)
        gone = VethPair((one, other), ())
        gone.apply(kernel)
        assert link.observe(kernel, None, one.name) is None
        for back in gone.undo():
            back.apply(kernel)
        assert link.observe(kernel, None, one.name) == one


def test_a_link_is_taken_over_by_its_group(box: Box) -> None:
    stage(box)
    with Kernel() as kernel:
        now = link.observe(kernel, None, "v-net-0")
        assert now is not None
        assert not now.ours
        taken = Link(**{**vars(now), "group": GROUP})
        ChangeLink((now,), (taken,)).apply(kernel)
        assert link.observe(kernel, None, "v-net-0") == taken
        assert taken.ours


# ---- reading many


def test_a_dump_says_as_much_as_questions(box: Box) -> None:
    below(box)
    box.ip("link set two master v-net-0")
    if able("vxlan"):
        box.ip("link add vx type vxlan id 5 dev one dstport 4789")
    with Kernel() as kernel:
        messages = rtnl.dump_links(kernel.rtnl(None))
        names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in messages}
        for message in messages:
            single = link.observe(kernel, None, names[message["index"]])
            assert single is not None
            assert link.decode(kernel, None, message, names=names, peer=single.peer) == single


# ---- features


@pytest.mark.parametrize("names", [["vxlan"], ["vlan", "macvlan"], ["netem"], ["netns"], [], ["vlan_filtering"]])
def test_only_what_was_asked_is_told(box: Box, names: list[str]) -> None:
    assert list(features.find(names)) == names
    everything = features.find()
    for name, finding in features.find(names).items():
        assert finding.available == everything[name].available


def test_a_name_that_is_taken_is_no_lack(box: Box) -> None:
    stage(box)
    with Kernel() as kernel, pytest.raises(KernelError, match=re.escape("(EEXIST)")):
        MakeLink((), (wanted("bridge", "v-net-0"),)).apply(kernel)
