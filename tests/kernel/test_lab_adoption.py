# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab that somebody built with the commands of a tutorial, and the file that takes it over while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from box import Box
from doors import Failed
from lab_compare import differences
from lab_flood import Flood
from lab_scenes import RED_BLUE, Lab, bystanders, changed
from lab_traces import steady, traces, whole

TUTORIAL = """
ip netns add red
ip netns add blue
ip link add v-net-0 type bridge
ip link set dev v-net-0 up
ip link add veth-red type veth peer name veth-red-br
ip link add veth-blue type veth peer name veth-blue-br
ip link set veth-red netns red
ip link set veth-blue netns blue
ip link set veth-red-br master v-net-0
ip link set veth-blue-br master v-net-0
ip -n red addr add 192.168.15.1/24 dev veth-red
ip -n blue addr add 192.168.15.2/24 dev veth-blue
ip -n red link set veth-red up
ip -n blue link set veth-blue up
ip link set veth-red-br up
ip link set veth-blue-br up
ip -n red link set lo up
ip -n blue link set lo up
ip addr add 192.168.15.5/24 dev v-net-0
ip netns exec red ip route add default via 192.168.15.5
ip netns exec blue ip route add default via 192.168.15.5
"""
LAB: Lab = {
    "name": "red-blue",
    "bridges": {"v-net-0": {"addresses": ["192.168.15.5/24"]}},
    "namespaces": {
        name: {
            "interfaces": {f"veth-{name}": {"bridge": "v-net-0", "addresses": [f"192.168.15.{number}/24"]}},
            "gateway": "192.168.15.5",
        }
        for number, name in enumerate(("red", "blue"), start=1)
    },
}


def by_hand(box: Box) -> None:
    box.tool("sh", "-ec", TUTORIAL)
    box.until(lambda: box.ping("red", "192.168.15.2", timeout=0.1))
    box.until(lambda: box.ping("blue", "192.168.15.5", timeout=0.1))


def wrong(lab: Lab) -> list[str]:
    """How the lab differs from its file, but that a bridge made by hand has the MAC address of one of its ports."""
    return [text for text in differences(lab) if "share the MAC address" not in text]


def indexes(box: Box) -> Mapping[tuple[str | None, str], int]:
    return {
        (netns, link["ifname"]): link["ifindex"]
        for netns in (None, "red", "blue")
        for link in box.ip("link show", json=True, netns=netns)
    }


def test_a_lab_built_by_hand_is_taken_over_while_it_talks(box: Box) -> None:
    bystanders(box)
    by_hand(box)
    before, there = indexes(box), whole(box)["running"]["stranger"]
    flood = Flood("red", "blue", "192.168.15.2")
    foreseen = box.run("topology", definition=LAB, adopt=True, check=True)
    result = box.run("topology", definition=LAB, adopt=True)
    assert (result.changed, result.commands) == (True, foreseen.commands)
    found = wrong(LAB)
    again = box.run("topology", definition=LAB)
    report = flood.stop()
    assert found == []
    assert (again.changed, again.commands) == (False, [])
    assert indexes(box) == before, "nothing was made anew"
    assert (report.lost, report.missing, report.resent) == (0, 0, 0), report
    assert whole(box)["running"]["stranger"]["addr show"] == there["addr show"]
    box.run("topology", name="red-blue", state="absent")
    assert box.names() == ["stranger"]


def test_what_is_wrong_in_it_is_put_right_and_the_rest_stays(box: Box) -> None:
    by_hand(box)
    before = indexes(box)
    box.tool("sh", "-ec", """
        ip -n red addr del 192.168.15.1/24 dev veth-red
        ip -n red addr add 192.168.15.77/24 dev veth-red
        ip -n blue link set veth-blue mtu 1300
        ip link set veth-blue-br nomaster
    """)  # fmt: skip
    box.run("topology", definition=LAB, adopt=True)
    assert wrong(LAB) == []
    assert indexes(box) == before
    assert not box.run("topology", definition=LAB).changed


def test_without_being_told_so_nothing_is_taken_over(box: Box) -> None:
    """The refusal names everything that stands in the way, and what to do."""
    by_hand(box)
    before = steady(box)
    for check in (True, False):
        with pytest.raises(Failed) as failure:
            box.run("topology", definition=LAB, check=check)
        assert failure.value.code == "NOT_OURS"
        for name in ("red", "blue", "v-net-0", "adopt: true"):
            assert name in failure.value.msg
    assert traces(before, whole(box)) == []


@pytest.mark.parametrize(
    "hand", ["ip netns add red", "ip link add v-net-0 type bridge", "ip link add veth-red-br type bridge"]
)
def test_one_thing_of_somebody_else_is_enough(box: Box, hand: str) -> None:
    box.tool("sh", "-ec", hand)
    before = steady(box)
    with pytest.raises(Failed, match="was not made by this collection") as failure:
        box.run("topology", definition=LAB)
    assert failure.value.code == "NOT_OURS"
    assert traces(before, whole(box)) == []


def test_what_the_single_modules_made_is_taken_over_too(box: Box) -> None:
    box.red_and_blue(ipv6=False)
    before = indexes(box)
    with pytest.raises(Failed, match="another task of this collection"):
        box.run("topology", definition=LAB)
    box.run("topology", definition=LAB, adopt=True)
    assert differences(LAB) == []
    assert indexes(box) == before


def test_another_labs_things_are_not_taken_over(box: Box) -> None:
    box.run("topology", definition=RED_BLUE)
    before = whole(box)
    other = changed(RED_BLUE, lambda lab: lab.update(name="other"))
    for options in ({}, {"adopt": True}):
        with pytest.raises(Failed, match="red-blue"):
            box.run("topology", definition=other, **options)
        assert traces(before, whole(box)) == []


def test_a_cable_in_the_place_of_another_is_no_lab(box: Box) -> None:
    """Names alone do not make it: these two ends are not those of one cable."""
    by_hand(box)
    box.ip("-n red link del veth-red")
    box.ip("link add veth-red-br type veth peer name other")
    box.ip("link add twin type veth peer name veth-red netns red")
    before = steady(box)
    with pytest.raises(Failed) as failure:
        box.run("topology", definition=LAB, adopt=True)
    assert failure.value.code in ("NOT_OURS", "CONFLICT")
    assert traces(before, whole(box)) == []


# ---- absent


def absent(box: Box, **params: Any) -> Any:
    return box.run("topology", definition=LAB, state="absent", **params)


def test_absent_leaves_what_has_no_mark_and_says_so(box: Box) -> None:
    by_hand(box)
    before = steady(box)
    for check in (True, False):
        with pytest.raises(Failed) as failure:
            absent(box, check=check)
        assert failure.value.code == "NOT_OURS"
        for name in ("red", "blue", "v-net-0", "force: true"):
            assert name in failure.value.msg
    assert traces(before, whole(box)) == []


def test_absent_of_a_name_only_knows_only_marks(box: Box) -> None:
    by_hand(box)
    before = steady(box)
    assert not box.run("topology", name="red-blue", state="absent").changed
    assert traces(before, whole(box)) == []


def test_absent_with_force_removes_what_the_file_names(box: Box) -> None:
    bystanders(box)
    before = whole(box)
    by_hand(box)
    assert absent(box, force=True).changed
    left = traces(before, whole(box))
    assert left == [], "\n".join(left)
    assert not absent(box).changed


def test_absent_names_the_processes_inside_and_ends_them_with_force(box: Box) -> None:
    box.run("topology", definition=LAB)
    running = box.process("red")
    before = steady(box)
    with pytest.raises(Failed, match=str(running.pid)) as failure:
        absent(box)
    assert failure.value.code == "IN_USE"
    assert traces(before, whole(box)) == []
    assert running.poll() is None
    assert absent(box, force=True).changed
    assert running.wait(5) != 0
    assert box.names() == []
