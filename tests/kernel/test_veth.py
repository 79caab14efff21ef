# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cables: both ends where and as they are wanted, repaired when they are not, and never taken from others."""

from __future__ import annotations

import contextlib

import pytest
import world
from box import Box, joined
from doors import Failed
from faults import shape, survives
from packets import AT_ONCE, SHORT

_SET_BY_USER = 3  # NET_ADDR_SET, linux/netdevice.h

CABLE = {
    "name": "veth-red",
    "netns": "red",
    "addresses": ["192.168.15.1/24", "fd00:15::1/64"],
    "peer": {"name": "veth-blue", "netns": "blue", "addresses": ["192.168.15.2/24", "fd00:15::2/64"]},
}


@pytest.fixture
def lab(box: Box) -> Box:
    """A box with red and blue in it."""
    box.run("netns", name="red")
    box.run("netns", name="blue")
    return box


def change(**changes: object) -> dict:
    """CABLE with other options; those of the peer begin with peer_."""
    peer = {name[5:]: value for name, value in changes.items() if name.startswith("peer_")}
    return {
        **CABLE,
        **{n: v for n, v in changes.items() if not n.startswith("peer_")},
        "peer": {**CABLE["peer"], **peer},
    }


# ---- making them


@pytest.mark.smoke
@pytest.mark.parametrize("to", ["192.168.15.2", "fd00:15::2"])
def test_packets_pass_at_once(lab: Box, to: str) -> None:
    assert not lab.ping("red", to, timeout=SHORT)
    lab.run("veth", **CABLE)
    answer = lab.ping("red", to)
    assert answer.source == to
    assert answer.rtt < AT_ONCE


@pytest.mark.smoke
def test_check_mode_foresees_the_run_and_the_second_run_changes_nothing(lab: Box) -> None:
    result = lab.checked("veth", **CABLE)
    assert result.changed
    assert result.object["addresses"] == ["192.168.15.1/24", "fd00:15::1/64"]
    assert result.object["peer"]["netns"] == "blue"
    assert lab.addresses("veth-blue", "blue") == ["192.168.15.2/24", "fd00:15::2/64"]


def test_described_from_the_other_end_it_is_the_same_cable(lab: Box) -> None:
    lab.run("veth", **CABLE)
    peer = {name: value for name, value in CABLE.items() if name != "peer"}
    assert not lab.run("veth", **CABLE["peer"], peer=peer).changed


def test_commands_do_the_same_as_the_module(lab: Box) -> None:
    lab.run("bridge", name="switch")
    options = change(
        peer_netns=None, peer_bridge="switch", peer_hairpin=True, peer_addresses=[], mtu=1400, peer_mtu=1400
    )
    for command in lab.run("veth", check=True, **options).commands:
        lab.tool("sh", "-ec", command)
    assert not lab.run("veth", **options).changed


def test_each_end_is_made_in_its_namespace_whatever_is_elsewhere(lab: Box) -> None:
    lab.ip("link add eth0 type bridge")
    before = lab.snapshot()
    assert lab.checked("veth", name="eth0", netns="red", peer={"name": "eth0", "netns": "blue"}).changed
    assert lab.snapshot() == before


def test_two_labs_at_once_may_use_one_name(lab: Box) -> None:
    lab.namespace(*(f"{side}{number}" for side in "abcd" for number in range(25)))

    def build(one: str, other: str) -> None:
        for number in range(25):
            lab.run("veth", name="eth0", netns=f"{one}{number}", peer={"name": "eth0", "netns": f"{other}{number}"})

    assert lab.parallel([lambda: build("a", "b"), lambda: build("c", "d")]) == [None, None]
    assert all(lab.link("eth0", f"{side}{number}") for side in "abcd" for number in (0, 24))


def test_both_ends_in_one_namespace(box: Box) -> None:
    assert box.checked("veth", name="one", peer={"name": "two"}).changed
    box.run("netns", name="red")
    assert box.checked("veth", name="one", netns="red", peer={"name": "two", "netns": "red"}).changed


@pytest.mark.smoke
def test_mac_is_set_when_made_so_that_nobody_rewrites_it_and_the_same_each_time(lab: Box) -> None:
    lab.run("veth", **CABLE)
    seen = []
    for name, netns in (("veth-red", "red"), ("veth-blue", "blue")):
        kind = lab.tool("ip", "netns", "exec", netns, "cat", f"/sys/class/net/{name}/addr_assign_type")
        assert int(kind) == _SET_BY_USER
        seen.append(lab.link(name, netns)["address"])
    assert len(set(seen)) == 2
    lab.run("veth", name="veth-red", netns="red", state="absent")
    lab.run("veth", **CABLE)
    assert [lab.link("veth-red", "red")["address"], lab.link("veth-blue", "blue")["address"]] == seen


def test_neighbours_have_the_macs_that_the_result_names(lab: Box) -> None:
    result = lab.run("veth", **change(mac="02:00:00:00:15:01"))
    assert lab.ping("red", "192.168.15.2")
    assert lab.neighbours("blue")["192.168.15.1"] == "02:00:00:00:15:01"
    assert lab.neighbours("red")["192.168.15.2"] == result.object["peer"]["mac"]


def test_addresses_have_their_broadcast_address(lab: Box) -> None:
    lab.run("veth", **change(addresses=["192.168.15.1/20", "10.0.0.0/31"], peer_addresses=["10.0.0.1/31"]))
    found = {entry["local"]: entry.get("broadcast") for entry in lab.link("veth-red", "red")["addr_info"]}
    assert found["192.168.15.1"] == "192.168.15.255"
    assert found["10.0.0.0"] is None
    assert lab.ping("blue", "10.0.0.0")


def test_ipv6_addresses_are_found_by_their_neighbours_when_the_module_returns(lab: Box) -> None:
    """The kernel acknowledges an address before it listens for questions about it, the more so under load."""
    lab.process(
        None, "sh", "-c", "while :; do ip link add churn type veth peer name churn-far; ip link del churn; done"
    )
    slow = []
    for number in range(60):
        lab.run("veth", **CABLE)
        if not (joined("red", "fd00:15::1") and joined("blue", "fd00:15::2")):
            slow.append(number)
        lab.run("veth", name="veth-red", netns="red", state="absent")
    assert slow == []


# ---- names and addresses that can't be


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (change(name="v" * 16), "has 16 bytes, the kernel takes at most 15"),
        (change(name="äääääääö"), "has 16 bytes"),
        (change(peer_name="v" * 16), "peer.name: the interface name 'v{16}' has 16 bytes"),
        (change(name="p1%d"), "no interface name"),
        (change(name="a/b"), "no interface name"),
        (change(name="a b"), "no interface name"),
        (change(name=""), "name is"),
        (change(addresses=["192.168.15.1"]), "did you mean 192.168.15.1/24"),
        (change(addresses=["fd00:15::1"]), "did you mean fd00:15::1/64"),
        (change(addresses=["192.168.15.0/24"]), "the network 192.168.15.0/24 itself"),
        (change(addresses=["192.168.15.255/24"]), "is the broadcast address"),
        (change(addresses=["192.168.15.1/24", "192.168.15.1/24"]), "listed twice"),
        (change(addresses=["192.168.15.2/24"]), "on both ends"),
        (change(mac="01:00:00:00:00:01"), "multicast"),
        (change(mac="fe:00"), "no MAC address"),
        (change(mtu=67), "MTU of 67"),
        (change(netns="gone"), "network namespace gone does not exist. Present: blue, red"),
        (change(peer_netns="gone"), "network namespace gone does not exist"),
        (change(peer_name="veth-red", peer_netns="red"), "both ends are called"),
        (change(addresses=[], bridge="gone"), "bridge gone does not exist"),
        (change(addresses=[], bridge="lo"), "lo in red is a physical interface, not a bridge|not a bridge"),
        (change(bridge="switch"), "a port's own addresses are not reached"),
        (change(hairpin=True), "only a port"),
        ({**CABLE, "peer": None}, "peer"),
    ],
)
def test_what_can_not_be_is_refused_in_one_sentence_before_anything_changes(
    lab: Box, options: dict, words: str, check: bool
) -> None:
    before = lab.snapshot("red"), lab.snapshot("blue"), lab.snapshot()
    with pytest.raises(Failed, match=words) as failure:
        lab.run("veth", check=check, **options)
    assert "\n" not in failure.value.msg
    assert (lab.snapshot("red"), lab.snapshot("blue"), lab.snapshot()) == before


def test_fifteen_bytes_are_a_name(lab: Box) -> None:
    assert lab.checked("veth", **change(name="v" * 15, peer_name="äääääää1")).changed


# ---- changing them


@pytest.mark.parametrize(
    "options",
    [
        change(mtu=1400),
        change(mac="02:00:00:00:00:99"),
        change(up=False),
        change(addresses=["192.168.15.1/24", "192.168.15.11/24", "fd00:15::1/64"]),
        change(addresses=["192.168.15.1/16", "fd00:15::1/64"], purge_addresses=True),
        change(addresses=[], purge_addresses=True),
        change(peer_addresses=["fd00:15::22/64"], peer_purge_addresses=True),
    ],
    ids=["mtu", "mac", "down", "more addresses", "other prefix", "no addresses", "peer"],
)
def test_changed_in_place(lab: Box, options: dict) -> None:
    lab.run("veth", **CABLE)
    index = lab.link("veth-red", "red")["ifindex"]
    result = lab.checked("veth", **options)
    assert result.changed
    assert "changed in place" in result.diff["after_header"]
    assert lab.link("veth-red", "red")["ifindex"] == index


def test_addresses_are_kept_unless_purged(lab: Box) -> None:
    lab.run("veth", **CABLE)
    lab.ip("-n red addr add 192.168.15.77/24 dev veth-red")
    assert not lab.run("veth", **CABLE).changed
    lab.checked("veth", **change(purge_addresses=True))
    assert lab.addresses("veth-red", "red") == ["192.168.15.1/24", "fd00:15::1/64"]
    assert lab.ping("red", "192.168.15.2")


def test_purging_the_first_address_keeps_the_wanted_second(lab: Box) -> None:
    """The kernel drops an IPv4 network's further addresses with its first one."""
    lab.run("veth", **CABLE)
    lab.run("veth", **change(addresses=["192.168.15.1/24", "192.168.15.3/24"]))
    lab.checked("veth", **change(addresses=["192.168.15.3/24"], purge_addresses=True))
    assert lab.addresses("veth-red", "red") == ["192.168.15.3/24"]


def test_an_address_beyond_the_cable_of_another_network_is_refused_unless_allowed(lab: Box) -> None:
    lab.run("veth", **CABLE)
    second = {"name": "other", "netns": "red", "addresses": ["192.168.15.129/25"], "peer": {"name": "other"}}
    with pytest.raises(
        Failed, match=r"192\.168\.15\.129/25 on other overlaps the route 192\.168\.15\.0/24 .*allow_overlap"
    ) as failure:
        lab.run("veth", **second)
    assert failure.value.code == "CONFLICT"
    assert not lab.link("other", "red")
    assert lab.checked("veth", **second, allow_overlap=True).changed


def test_default_routes_are_no_overlap(lab: Box) -> None:
    lab.run("veth", **CABLE)
    lab.run("ip_route_ns", netns="red", destination="default", gateway="192.168.15.2")
    assert lab.checked("veth", name="other", netns="red", addresses=["10.0.0.1/24"], peer={"name": "other"}).changed


def test_moved_into_a_bridge_and_out(box: Box) -> None:
    box.run("bridge", name="switch", addresses=["192.168.15.5/24"])
    box.run("netns", name="red")
    cable = {"name": "port", "peer": {"name": "eth0", "netns": "red", "addresses": ["192.168.15.1/24"]}}
    box.run("veth", **cable)
    assert not box.ping(None, "192.168.15.1", timeout=SHORT)
    box.checked("veth", **cable, bridge="switch", hairpin=True)
    assert box.ping(None, "192.168.15.1")
    assert box.link("port")["linkinfo"]["info_slave_data"]["hairpin"] is True
    assert not box.run("veth", **cable).changed, "an omitted bridge is not managed"
    box.checked("veth", **cable, bridge="switch", hairpin=False)
    box.checked("veth", **cable, bridge="")
    assert not box.ping(None, "192.168.15.1", timeout=SHORT)


def test_an_end_in_another_namespace_is_another_cable(lab: Box) -> None:
    """The name that stays is ours: the old cable is replaced, in one run, and the diff says so."""
    lab.run("veth", **CABLE)
    lab.run("netns", name="green")
    result = lab.checked("veth", **change(peer_netns="green"))
    assert result.changed
    assert lab.ping("red", "192.168.15.2")
    assert lab.link("veth-blue", "green")
    assert not lab.link("veth-blue", "blue")


# ---- those that are not what they seem


@pytest.fixture
def crossed(lab: Box) -> Box:
    """Two links with the right names that are not each other's peer."""
    lab.ip("link add veth-red netns red type veth peer name decoy1")
    lab.ip("link add veth-blue netns blue type veth peer name decoy2")
    return lab


@pytest.mark.parametrize("check", [True, False])
def test_right_names_that_are_no_pair_are_named_and_left(crossed: Box, check: bool) -> None:
    before = shape(crossed)
    with pytest.raises(
        Failed, match=r"not two ends of one cable.*veth-red is decoy1.*veth-blue is decoy2.*force: true"
    ) as failure:
        crossed.run("veth", check=check, **CABLE)
    assert failure.value.code == "CONFLICT"
    assert shape(crossed) == before


def test_right_names_that_are_no_pair_are_repaired_with_force(crossed: Box) -> None:
    assert not crossed.ping("red", "192.168.15.2", timeout=SHORT)
    result = crossed.checked("veth", **CABLE, force=True)
    assert result.changed
    assert "recreated" in result.diff["after_header"]
    assert crossed.ping("red", "192.168.15.2")
    assert not crossed.link("decoy1")


def test_equal_indexes_in_other_namespaces_do_not_deceive(lab: Box) -> None:
    """The peer's number alone fits a stranger that has the same number in another namespace."""
    lab.run("netns", name="green")
    lab.ip("link add veth-red netns red type veth peer name veth-blue netns green")
    lab.ip("link add veth-blue netns blue type veth peer name stranger")
    assert lab.link("veth-blue", "green")["ifindex"] == lab.link("veth-blue", "blue")["ifindex"]
    with pytest.raises(Failed, match="not two ends of one cable"):
        lab.run("veth", **CABLE)


@pytest.mark.parametrize("check", [True, False])
def test_something_else_of_that_name_is_never_replaced(lab: Box, check: bool) -> None:
    lab.ip("-n red link add veth-red type bridge")
    for options in ({}, {"force": True}):
        with pytest.raises(Failed, match=r"veth-red in (namespace )?red is a bridge interface, not a veth"):
            lab.run("veth", check=check, **CABLE, **options)
        with pytest.raises(Failed, match="is a bridge interface, not a veth"):
            lab.run("veth", check=check, name="veth-red", netns="red", state="absent", **options)


def test_a_cable_of_others_that_fits_is_used_but_not_removed(lab: Box) -> None:
    lab.ip("link add veth-red netns red type veth peer name veth-blue netns blue")
    result = lab.checked("veth", **CABLE)
    assert result.object["ours"] is False
    before = lab.snapshot("red")
    for check in (True, False):
        with pytest.raises(Failed, match=r"veth veth-red in .*red was not made by this collection") as failure:
            lab.run("veth", check=check, name="veth-red", netns="red", state="absent")
        assert failure.value.code == "NOT_OURS"
    assert lab.snapshot("red") == before
    assert lab.checked("veth", name="veth-red", netns="red", state="absent", force=True).changed


# ---- removing them


@pytest.mark.smoke
def test_removed_by_one_end_with_both(lab: Box) -> None:
    lab.run("veth", **CABLE)
    lab.ip("link add veth-red2 netns red type veth peer name bystander")
    result = lab.checked("veth", name="veth-red", netns="red", state="absent")
    assert result.changed
    assert not lab.link("veth-red", "red") and not lab.link("veth-blue", "blue")
    assert lab.link("veth-red2", "red")


def test_absent_in_a_namespace_that_is_gone(lab: Box) -> None:
    lab.run("veth", **CABLE)
    lab.run("netns", name="red", state="absent")
    assert not lab.link("veth-blue", "blue")
    lab.run("veth", name="veth-blue", netns="blue", state="absent")


# ---- failing half way, and at once


@pytest.mark.parametrize(
    "start",
    [
        None,
        change(mtu=1400, mac="02:00:00:00:00:99", addresses=["10.9.9.9/24"]),
        change(peer_netns=None, peer_mtu=1400),
    ],
    ids=["nothing", "another shape", "another peer"],
)
def test_a_run_that_fails_at_any_step_leaves_what_was_there(lab: Box, start: dict | None) -> None:
    if start:
        lab.run("veth", **start)
    survives(lab, "veth", **change(purge_addresses=True))
    assert lab.ping("red", "192.168.15.2")


def test_a_removal_that_fails_leaves_what_was_there(lab: Box) -> None:
    lab.run("veth", **CABLE)
    survives(lab, "veth", name="veth-red", netns="red", state="absent")


def test_an_address_that_the_kernel_refuses_leaves_no_cable(lab: Box) -> None:
    lab.sysctl("net.ipv6.conf.all.disable_ipv6", "1", netns="blue")
    before = shape(lab)
    with pytest.raises(Failed, match="fd00:15::2/64"):
        lab.run("veth", **CABLE)
    assert shape(lab) == before


def test_many_runs_at_once_end_like_one(lab: Box) -> None:
    alone = lab.run("veth", **CABLE)
    expected = shape(lab)
    lab.run("veth", name="veth-red", netns="red", state="absent")
    results = lab.parallel([lambda: lab.run("veth", **CABLE)] * 8)
    assert sorted(result.changed for result in results) == [False] * 7 + [True]
    assert all(result.object == alone.object for result in results)
    assert shape(lab) == expected


def test_no_run_ever_leaves_its_namespace(lab: Box) -> None:
    here = world.here()
    for options in (CABLE, change(netns="gone"), change(addresses=["1.2.3.4"]), change(mtu=1400)):
        for check in (True, False):
            with contextlib.suppress(Failed):
                lab.run("veth", check=check, **options)
            assert world.here() == here


def test_a_namespace_may_be_named_from_within(box: Box) -> None:
    """There, its name and no name at all are one namespace."""
    box.run("netns", name="red")
    wanted = {"name": "one", "netns": "red", "addresses": ["10.9.0.1/24"], "peer": {"name": "two"}}

    def inside() -> list[bool]:
        world.move("red")
        return [box.run("veth", **wanted).changed, box.run("veth", **wanted).changed]

    assert box.parallel([inside]) == [[True, False]]
    assert {link["ifname"] for link in box.ip("-n red link show", json=True)} >= {"one", "two"}
