# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Address translation in a lab: all of one namespace in one table, gone with the lab, and nobody else's touched."""

from __future__ import annotations

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Conflict
from ansible_collections.patchbay.netns.plugins.module_utils._objects.masquerade import Masquerade
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat import NatTable, PutNat
from ansible_collections.patchbay.netns.plugins.module_utils._topology.facts import Filtered
from ansible_collections.patchbay.netns.plugins.module_utils._topology.plan_nat import Gone
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import topology_drawings as drawings
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_worlds import (
    World,
    absent,
    commands,
    lab,
)

ROUTER = """
    namespaces:
      router:
        interfaces: {eth0: {cable: inner/eth0, addresses: 10.0.0.1/24}, eth1: {cable: outer/eth0, addresses: 192.0.2.1/24}}
        masquerade: [{source: 10.0.0.0/24, out_interface: eth1}, {source: 10.1.0.0/24}]
        forwards: [{protocol: tcp, port: 80, to: inner}, {protocol: udp, port: 53, to: inner}]
      inner: {interfaces: {eth0: {addresses: 10.0.0.2/24}}}
      outer:
"""
FORWARD = ("forward", "tcp 80 ipv4")


def specs(world: World, netns: str | None) -> list[str]:
    """What a namespace translates."""
    table: NatTable | None = world.get("nat-table", netns)
    return [str(each) for each in table.specs.values()] if table else []


def test_all_of_a_namespace_is_put_in_one_batch_when_its_addresses_are_there() -> None:
    world = World()
    steps = world.build(lab(ROUTER))
    puts = [index for index, step in enumerate(steps) if isinstance(step, PutNat)]
    assert len(puts) == 1
    assert [step.phase for step in steps[puts[0] + 1 :]].count("addresses") == 0
    assert sorted(specs(world, "router")) == [
        "10.0.0.0/24 out eth1",
        "10.1.0.0/24",
        "tcp 80 ipv4 to 10.0.0.2:80",
        "udp 53 ipv4 to 10.0.0.2:53",
    ]
    assert commands(world.plan(lab(ROUTER))) == []


def test_clients_next_to_the_target_are_served_too_for_its_network_will_be_there() -> None:
    world = World()
    world.build(lab(ROUTER))
    spec = world.get("nat-table", "router").specs[FORWARD]
    assert str(spec.target.hairpin) == "10.0.0.0/24"


def test_in_a_namespace_forwarding_is_set_and_on_the_host_it_is_borrowed() -> None:
    world = World()
    world.build(lab(ROUTER))
    assert world.get("sysctl", "router", "net.ipv4.ip_forward").value == "1"
    assert world.get("hold", "router", "net.ipv4.ip_forward") is None
    world.build(lab(drawings.RED_BLUE))
    held = world.get("hold", None, "net.ipv4.ip_forward")
    assert held.holders == {"masquerade 192.168.15.0/24", "forward tcp 80 ipv4"}


@pytest.mark.parametrize(
    ("without", "kept"),
    [
        (
            ", {protocol: udp, port: 53, to: inner}",
            ["10.0.0.0/24 out eth1", "10.1.0.0/24", "tcp 80 ipv4 to 10.0.0.2:80"],
        ),
        (
            ", {source: 10.1.0.0/24}",
            ["10.0.0.0/24 out eth1", "tcp 80 ipv4 to 10.0.0.2:80", "udp 53 ipv4 to 10.0.0.2:53"],
        ),
    ],
)
def test_what_the_file_no_longer_names_goes_and_the_rest_stays(without: str, kept: list[str]) -> None:
    world = World()
    world.build(lab(ROUTER))
    assert without in ROUTER
    edited = ROUTER.replace(without, "")
    world.build(lab(edited, purge=False))
    assert len(specs(world, "router")) == 4
    world.build(lab(edited))
    assert sorted(specs(world, "router")) == kept
    assert commands(world.plan(lab(edited))) == []


def test_a_namespace_that_translates_nothing_any_more_has_no_table() -> None:
    world = World()
    world.build(lab(ROUTER))
    lines = ROUTER.splitlines()
    bare = "\n".join(line for line in lines if "masquerade:" not in line and "forwards:" not in line)
    world.build(lab(bare))
    assert world.get("nat-table", "router") is None
    assert world.get("lab").nat == frozenset()
    assert world.get("sysctl", "router", "net.ipv4.ip_forward").value == "0"


def test_when_the_lab_goes_the_host_gets_back_its_settings_and_keeps_what_others_translate() -> None:
    world = World()
    other = "{name: other, masquerade: {source: 172.16.0.0/12}}"
    world.build(lab(other))
    record = world.get("lab")
    world.drop(("lab",))
    world.build(lab(drawings.RED_BLUE))
    world.build(absent("red-blue"))
    assert specs(world, None) == ["172.16.0.0/12"]
    assert world.get("sysctl", None, "net.ipv4.ip_forward").value == "1"
    world.put(record)
    world.build(absent("other"))
    assert world.get("nat-table", None) is None
    assert world.get("sysctl", None, "net.ipv4.ip_forward").value == "0"


def test_on_the_host_what_somebody_else_translates_is_refused_or_adopted() -> None:
    text = "masquerade: {source: 172.16.0.0/12}"
    world = World()
    world.build(lab(text))
    world.drop(("lab",))
    with pytest.raises(
        Conflict, match=r"^the masquerade of 172\.16\.0\.0/12 is there already, made by a task or by another lab"
    ):
        world.plan(lab(text))
    assert commands(world.plan(lab(text, adopt=True))) == []
    world.build(lab(text, adopt=True))
    assert world.get("lab").nat == {(None, "masquerade", "172.16.0.0/12")}
    world.build(absent("lab"))
    assert specs(world, None) == []


@pytest.mark.parametrize(
    ("kind", "text", "version"),
    [
        ("forward", "tcp 80 ipv4", 4),
        ("forward", "tcp 80 ipv6 at fd00::1", 6),
        ("forward", "udp 53 ipv4 in ipv6", 4),
        ("masquerade", "10.0.0.0/8", 4),
        ("masquerade", "10.0.0.0/8 out ppp:1", 4),
        ("masquerade", "fd00::/8 out eth0", 6),
    ],
)
def test_what_is_gone_is_of_the_version_that_its_key_says(kind: str, text: str, version: int) -> None:
    gone = Gone(None, kind, text)
    assert (gone.versions, gone.keys, gone.present) == ((version,), ((kind, text),), False)


def test_what_is_gone_is_a_part_like_others() -> None:
    there = {name for name in dir(Masquerade) if not name.startswith("_")} - {"from_params", "wish", "spec", "widening"}
    needed = {
        "netns",
        "name",
        "present",
        "forwarding",
        "reset",
        "force",
        "foreign_firewall",
        "versions",
        "keys",
        "bare",
    }
    needed |= {"specs", "settings", "demands", "view", "warnings"}
    assert needed <= there | set(Masquerade.__annotations__)
    gone = Gone("red", "masquerade", "10.0.0.0/8")
    assert all(hasattr(gone, name) for name in needed)


# ---- warnings


def test_the_first_run_warns_of_a_port_that_sends_nothing_back_and_hairpin_mode_is_the_answer() -> None:
    wish = lab(drawings.RED_BLUE)
    state = World().seen(wish).changed((), [Filtered(None, frozenset({4}))])
    (said,) = [line for line in wish.warnings(state) if "hairpin" in line]
    assert "the target 192.168.15.2 can't reach itself through this forward" in said
    assert "port veth-blue-br of bridge v-net-0 sends no frame back" in said
    quiet = lab(
        drawings.RED_BLUE.replace("veth-blue: {bridge: v-net-0,", "veth-blue: {bridge: v-net-0, hairpin: true,")
    )
    assert [line for line in quiet.warnings(state) if "hairpin" in line] == []


def test_switching_forwarding_on_is_told_once() -> None:
    world, wish = World(), lab(drawings.RED_BLUE)
    assert sum("net.ipv4.ip_forward is switched on here" in line for line in wish.warnings(world.seen(wish))) == 1
    world.build(wish)
    assert wish.warnings(world.seen(wish)) == []
