# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a lab may go: what is not its own is left alone, adopted or refused, and all refusals are told at once."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._errors import (
    Conflict,
    InUse,
    InvalidInput,
    NotOurs,
    NotVerified,
    PatchbayError,
    Unsupported,
)
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.namespaces import Process
from ansible_collections.patchbay.netns.plugins.module_utils._objects.address import Address
from ansible_collections.patchbay.netns.plugins.module_utils._objects.impairment import Impaired
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import GROUP, Link, lab_group
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_options import NEW_BRIDGE
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import (
    EndProcesses,
    Loopback,
    Namespace,
    Occupants,
    Resolver,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.route import NextHop, Route
from ansible_collections.patchbay.netns.plugins.module_utils._topology import record as records
from ansible_collections.patchbay.netns.plugins.module_utils._topology.facts import Lacking, Others
from ansible_collections.patchbay.netns.plugins.module_utils._topology.lab import Lab
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import topology_drawings as drawings
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_worlds import (
    World,
    absent,
    commands,
    lab,
    work,
)

BRIDGE = Link(None, "v-net-0", "bridge", "02:00:00:00:00:77", 1500, up=True, group=0, options=NEW_BRIDGE)
ONE_BRIDGE = "bridges: {v-net-0: }"


def refusal(world: World, wish: Lab) -> PatchbayError:
    """Why a lab can't be built."""
    with pytest.raises(PatchbayError) as caught:
        world.plan(wish)
    return caught.value


# ---- what others made


@pytest.mark.parametrize(
    ("group", "kind", "said"),
    [
        (0, NotOurs, "bridge v-net-0 exists already and was not made by this collection."),
        (GROUP, NotOurs, "bridge v-net-0 exists already and was made by another task of this collection."),
        (lab_group("other"), Conflict, "bridge v-net-0 belongs to another lab, "),
    ],
)
def test_a_link_without_the_mark_of_the_lab_is_refused(group: int, kind: type[PatchbayError], said: str) -> None:
    error = refusal(World(replace(BRIDGE, group=group)), lab(ONE_BRIDGE))
    assert isinstance(error, kind)
    assert said in str(error)


def test_another_lab_is_called_by_its_name() -> None:
    world = World(replace(BRIDGE, group=lab_group("other")))
    state = world.seen(lab(ONE_BRIDGE)).changed((), [Others({lab_group("other"): "other"})])
    with pytest.raises(Conflict, match=r"belongs to another lab, other\. Choose another name\."):
        lab(ONE_BRIDGE).plan(state)


@pytest.mark.parametrize(
    ("there", "kind", "said"),
    [
        (Namespace("red", ours=False), NotOurs, "namespace red exists already and was not made by this collection."),
        (Namespace("red"), NotOurs, "namespace red exists already and was made by another task of this collection."),
        (Namespace("red", lab="other"), Conflict, "namespace red belongs to another lab, other. Choose another name."),
    ],
)
def test_a_namespace_without_the_mark_of_the_lab_is_refused(
    there: Namespace, kind: type[PatchbayError], said: str
) -> None:
    error = refusal(World(there), lab("namespaces: {red: }"))
    assert isinstance(error, kind)
    assert said in str(error)


def test_a_route_of_the_host_that_somebody_else_made_is_refused() -> None:
    text = "{bridges: {v-net-0: {addresses: 10.0.0.1/24}}, routes: [{destination: 10.5.0.0/16, gateway: 10.0.0.9}]}"
    theirs = Route(None, ipaddress.ip_network("10.5.0.0/16"), (NextHop(None, "eth0"),), protocol=3)
    error = refusal(World(theirs), lab(text))
    assert isinstance(error, NotOurs)
    assert "the host has a route 10.5.0.0/16 dev eth0 already, and it is not the lab's" in str(error)


def test_an_impairment_of_somebody_else_is_refused() -> None:
    text = "namespaces: {red: {interfaces: {d0: {dummy: true, impair: {delay: 10ms}}}}}"
    world = World()
    world.build(lab(text))
    world.put(Impaired("red", "d0", None, ours=False, kind="htb"))
    assert "d0 in namespace red has a queueing discipline already, htb" in str(refusal(world, lab(text)))


def test_name_servers_that_somebody_else_wrote_are_left_alone() -> None:
    world = World(Resolver("red", "nameserver 192.0.2.1\n"))
    text = "namespaces: {red: {nameservers: [192.0.2.53]}}"
    assert "/etc/netns/red/resolv.conf was not written by this collection" in str(refusal(world, lab(text)))
    world.build(lab(text, adopt=True))
    assert world.get("resolver", "red").nameservers == ["192.0.2.53"]
    world = World(Resolver("red", "nameserver 192.0.2.1\n"))
    world.build(lab("namespaces: {red: }"))
    world.build(lab("namespaces: {}"))
    assert world.get("resolver", "red") is not None


def test_a_network_that_the_host_has_elsewhere_is_refused() -> None:
    world = World(Route(None, ipaddress.ip_network("192.168.0.0/16"), (NextHop(None, "eth0"),), protocol=2))
    error = refusal(world, lab("bridges: {v-net-0: {addresses: 192.168.15.5/24}}"))
    assert isinstance(error, Conflict)
    assert "192.168.15.5/24 on v-net-0 overlaps the route 192.168.0.0/16 dev eth0" in str(error)
    world.build(lab("bridges: {v-net-0: {addresses: 192.168.15.5/24, allow_overlap: true}}"))


def test_a_setting_that_the_kernel_lacks_is_refused() -> None:
    error = refusal(World(Namespace("red", lab="lab")), lab("namespaces: {red: {sysctls: {net.ipv4.no_such: 1}}}"))
    assert isinstance(error, InvalidInput)
    assert "the kernel has no setting net.ipv4.no_such in namespace red" in str(error)


def test_what_this_kernel_lacks_is_said_before_anything_is_made() -> None:
    wish = lab(ONE_BRIDGE)
    state = State([*World().seen(wish), Lacking("vxlan", "needs CONFIG_VXLAN.")])
    with pytest.raises(Unsupported, match="this kernel can't do what the lab asks for: vxlan needs CONFIG_VXLAN"):
        wish.plan(state)


def test_more_ports_than_a_bridge_takes_are_refused_with_those_of_others() -> None:
    text = """
        bridges: {v-net-0: }
        namespaces: {"n{n}": {count: 1022, interfaces: {eth0: {bridge: v-net-0}}}}
    """
    theirs = [
        Link(None, f"tap{number}", "tun", "", 1500, bridge="v-net-0", hairpin=False, group=0) for number in range(2)
    ]
    assert "would have 1024 ports, 2 of them not the lab's" in str(refusal(World(*theirs), lab(text)))
    World(theirs[0]).plan(lab(text))


def test_all_refusals_are_told_at_once_and_the_first_decides_the_kind() -> None:
    world = World(Namespace("red", ours=False), Namespace("blue", lab="other"), BRIDGE)
    error = refusal(world, lab("{bridges: {v-net-0: }, namespaces: {red: , blue: }}"))
    assert isinstance(error, NotOurs)
    assert [word in str(error) for word in ("namespace red", "namespace blue", "bridge v-net-0")] == [True] * 3


@pytest.mark.parametrize(("count", "end"), [(8, "to make it the lab's."), (9, " And 1 more."), (12, " And 4 more.")])
def test_of_very_many_refusals_eight_are_told_and_the_others_counted(count: int, end: str) -> None:
    world = World(*(Namespace(f"n{number}", ours=False) for number in range(count)))
    error = refusal(world, lab(f'namespaces: {{"n{{n}}": {{count: {count}, start: 0}}}}'))
    assert str(error).count("exists already") == 8
    assert str(error).endswith(end)


# ---- what stands in the way


def test_what_is_something_else_is_not_replaced_without_force() -> None:
    tun = Link(None, "v-net-0", "tun", "", 1500, group=0)
    for options in ({}, {"adopt": True}):
        error = refusal(World(tun), lab(ONE_BRIDGE, **options))
        assert "It is not what the lab wants there: choose another name, or remove it." in str(error)
    world = World(tun)
    world.build(lab(ONE_BRIDGE, force=True))
    assert world.get("link", None, "v-net-0").kind == "bridge"


def test_even_by_force_nothing_is_taken_from_another_lab() -> None:
    other = Link(None, "v-net-0", "dummy", "", 1500, group=lab_group("other"))
    assert isinstance(refusal(World(other), lab(ONE_BRIDGE, force=True, adopt=True)), Conflict)


def test_what_a_run_that_was_killed_wanted_to_remove_is_the_labs_to_repair() -> None:
    world = World()
    world.build(lab(ONE_BRIDGE))
    world.put(replace(world.get("link", None, "v-net-0"), group=GROUP << 16))
    world.build(lab(ONE_BRIDGE))
    assert world.get("link", None, "v-net-0").group == lab_group("lab")


# ---- adopting


def by_hand() -> World:
    """The red and blue lab, made by somebody else in the same way."""
    world = World()
    world.build(lab(drawings.RED_BLUE))
    for each in world.state.of(Link):
        world.put(replace(each, group=0))
    for space in world.state.of(Namespace):
        world.put(replace(space, ours=False, lab=None))
    for route in world.state.of(Route):
        world.put(replace(route, protocol=3))
    return world.drop(("lab",))


def test_to_adopt_is_to_mark_and_nothing_else() -> None:
    world = by_hand()
    steps = work(world.plan(lab(drawings.RED_BLUE, adopt=True)))
    assert all(step.before for step in steps)
    for step in steps:
        assert len(step.before) == len(step.after)
        for old, new in zip(step.before, step.after):  # noqa: B905 - Python 3.9 knows no strict
            if isinstance(old, Link):
                assert replace(old, group=new.group) == new
            elif isinstance(old, Route):
                assert replace(old, protocol=112) == new
            else:
                assert isinstance(new, Namespace)
    world.build(lab(drawings.RED_BLUE, adopt=True))
    assert world.plan(lab(drawings.RED_BLUE)) == []


def test_adopting_repairs_what_differs_at_once() -> None:
    world = by_hand()
    extra = ipaddress.ip_interface("10.55.0.1/24")
    address = world.state.of(Address)[0]
    world.put(replace(address, interface=extra), replace(world.get("link", "red", "veth-red"), mtu=1400))
    world.build(lab(drawings.RED_BLUE, adopt=True))
    assert world.get("link", "red", "veth-red").mtu == 1500
    assert world.get("address", address.netns, address.device, extra) is None
    assert world.plan(lab(drawings.RED_BLUE)) == []


def test_without_adopt_a_lab_made_by_hand_is_refused() -> None:
    assert isinstance(refusal(by_hand(), lab(drawings.RED_BLUE)), NotOurs)


# ---- purging


def test_without_purge_what_the_file_no_longer_names_stays_and_stays_on_record() -> None:
    text = """
        bridges: {br0: {addresses: 10.0.0.1/24}}
        routes: [{destination: 10.7.0.0/16, gateway: 10.0.0.9}]
        namespaces: {red: {interfaces: {eth0: {bridge: br0}}, sysctls: {net.ipv4.ip_forward: 1}}}
    """
    world = World()
    world.build(lab(text))
    before, record = world.state, world.get("lab")
    world.build(lab("namespaces: {blue: }", purge=False))
    assert [item for item in before if world.state.get(item.key) != item and item != record] == []
    assert world.get("lab").namespaces == {"red", "blue"}
    world.build(lab("namespaces: {blue: }"))
    assert {each.name for each in world.state.of(Namespace)} == {"blue"}
    assert [*world.state.of(Link), *world.state.of(Route)] == []


# ---- absence


def test_absence_leaves_alone_and_names_what_the_file_names_and_the_lab_does_not_own() -> None:
    world = World(BRIDGE, Namespace("red", ours=False), Loopback("red", up=True))
    error = refusal(world, absent("lab", "{bridges: {v-net-0: }, namespaces: {red: , blue: }}"))
    assert isinstance(error, NotOurs)
    assert "namespace red was not made by this collection, so it is not removed." in str(error)
    assert "bridge v-net-0 was not made by this collection, so it is not removed." in str(error)
    assert world.plan(absent("lab")) == []


def test_absence_by_force_removes_what_the_file_names_whoever_made_it() -> None:
    world = World(BRIDGE, Namespace("red", ours=False), Loopback("red", up=True))
    world.build(absent("lab", "{bridges: {v-net-0: }, namespaces: {red: , blue: }}", force=True))
    assert [*world.state.of(Link), *world.state.of(Namespace)] == []


def test_what_is_removed_by_force_is_on_record_until_it_is_gone() -> None:
    world = World()
    world.build(lab("namespaces: {red: }"))
    world.put(Namespace("blue", ours=False), Loopback("blue", up=True))
    kept = [
        step.after for step in world.plan(absent("lab", "namespaces: {red: , blue: }", force=True)) if not work([step])
    ]
    assert [record.namespaces for after in kept for record in after] == [{"red", "blue"}]


def test_processes_inside_keep_a_namespace_unless_by_force() -> None:
    world = World()
    world.build(lab("namespaces: {red: }"))
    world.put(Occupants("red", (Process(4711, "sleep"),)))
    error = refusal(world, absent("lab"))
    assert isinstance(error, InUse)
    assert "namespace red is in use by process 4711 (sleep)" in str(error)
    steps = work(world.plan(absent("lab", force=True)))
    assert isinstance(steps[0], EndProcesses)
    assert commands(steps)[-1] == "ip netns del red"


# ---- looking again


class Mirror(Lab):
    """A lab that is looked at in a world."""

    world: t.ClassVar[World]

    def observe(self, kernel: t.Any) -> State:
        return self.world.seen(self)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Lab:
    Mirror.world = World()
    wish = Mirror(lab("namespaces: {red: , blue: }").spec)
    Mirror.world.build(wish)
    monkeypatch.setattr(records, "read", lambda _kernel, _lab: Mirror.world.get("lab"))
    return wish


def test_a_lab_that_is_as_it_should_be_is_verified(mirror: Lab) -> None:
    mirror.verify(t.cast(t.Any, None))


def test_a_lab_that_is_different_is_not_verified_and_the_difference_is_told(mirror: Lab) -> None:
    Mirror.world.put(Loopback("red", up=False))
    with pytest.raises(NotVerified, match=r"reading it back shows a difference.*ip -n red link set lo up") as caught:
        mirror.verify(t.cast(t.Any, None))
    assert caught.value.details["commands"] == ["ip -n red link set lo up"]
