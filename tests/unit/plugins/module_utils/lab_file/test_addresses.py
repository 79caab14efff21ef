# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses that are chosen: the next free one of each network, always the same, and kept while others come and go."""

from __future__ import annotations

import copy
import ipaddress
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.layout import layout
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.spec import LabSpec
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import topology_drawings as lab
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_drawings import addresses, laid
from hypothesis import given
from hypothesis import strategies as st


def chosen(spec: LabSpec) -> dict[str, list[str]]:
    return {name: [str(interface) for interface in interfaces] for name, interfaces in spec.chosen}


def record(**texts: str) -> dict[str, tuple[t.Any, ...]]:
    """What an earlier run chose: ``red_eth0`` stands for red/eth0."""
    return {name.replace("_", "/"): tuple(map(ipaddress.ip_interface, text.split())) for name, text in texts.items()}


# ---- at bridges


def test_each_gets_the_next_free_address_of_each_network_of_its_bridge() -> None:
    spec = laid("""
        bridges: {br0: {addresses: [10.0.0.2/29, "fd00::1/64", 10.1.0.1/24]}}
        namespaces:
          a: {interfaces: {eth0: {bridge: br0, addresses: auto}}}
          b: {interfaces: {eth0: {bridge: br0, addresses: 10.0.0.3/29}}}
          c: {interfaces: {eth0: {bridge: br0, addresses: auto}}}
    """)
    assert chosen(spec) == {
        "a/eth0": ["10.0.0.1/29", "fd00::2/64", "10.1.0.2/24"],
        "c/eth0": ["10.0.0.4/29", "fd00::3/64", "10.1.0.3/24"],
    }
    assert addresses(spec, "c/eth0") == chosen(spec)["c/eth0"]


def test_what_the_file_gives_is_never_chosen_wherever_it_stands() -> None:
    spec = laid("""
        bridges: {br0: {addresses: 10.0.0.1/24}}
        namespaces:
          a: {interfaces: {eth0: {bridge: br0, addresses: auto}}}
          z: {interfaces: {eth0: {bridge: br0, addresses: 10.0.0.2/24}}}
    """)
    assert chosen(spec) == {"a/eth0": ["10.0.0.3/24"]}


def test_a_bridge_without_addresses_has_a_pool() -> None:
    spec = laid("""
        namespaces:
          sw: {bridges: {br0: {pool: [10.0.0.0/30, "fd00::/126"]}}}
          a{n}: {count: 2, interfaces: {eth0: {bridge: sw/br0, addresses: auto}}}
    """)
    assert chosen(spec) == {"a1/eth0": ["10.0.0.1/30", "fd00::1/126"], "a2/eth0": ["10.0.0.2/30", "fd00::2/126"]}
    assert lab.link(spec, "sw/br0").addresses == ()


def test_a_switch_behind_a_switch_has_the_networks_of_the_segment() -> None:
    spec = laid("""
        bridges: {br0: {addresses: 10.0.0.1/24}}
        namespaces:
          sw: {bridges: {in: }, interfaces: {up: {bridge: br0, master: in}}}
          a: {interfaces: {eth0: {bridge: sw/in, addresses: auto}}}
          b: {interfaces: {eth0: {bridge: br0, addresses: auto}}}
    """)
    assert chosen(spec) == {"a/eth0": ["10.0.0.2/24"], "b/eth0": ["10.0.0.3/24"]}


def test_a_cable_to_a_port_is_a_cable_to_its_bridge() -> None:
    spec = laid("""
        bridges: {br0: {addresses: 10.0.0.1/24}}
        interfaces: {plug: {master: br0}}
        namespaces: {a: {interfaces: {eth0: {cable: /plug, addresses: auto}}}}
    """)
    assert chosen(spec) == {"a/eth0": ["10.0.0.2/24"]}


def test_link_local_networks_and_single_addresses_are_nothing_to_choose_from() -> None:
    spec = laid("""
        bridges: {br0: {addresses: ["fe80::1/64", 10.9.9.9/32, 10.0.0.1/24]}}
        namespaces: {a: {interfaces: {eth0: {bridge: br0, addresses: auto}}}}
    """)
    assert chosen(spec) == {"a/eth0": ["10.0.0.2/24"]}


# ---- of cables


def test_a_cable_gets_a_pair_of_each_pool() -> None:
    spec = laid("""
        pool: [10.200.0.0/16, "fd00:200::/48"]
        interfaces: {x: {cable: red/x, addresses: auto}}
        namespaces:
          red: {interfaces: {x: {addresses: auto}, y: {cable: blue/y, addresses: auto}}}
          blue: {interfaces: {y: {addresses: auto}}}
    """)
    assert chosen(spec) == {
        "/x": ["10.200.0.0/31", "fd00:200::/127"],
        "red/x": ["10.200.0.1/31", "fd00:200::1/127"],
        "red/y": ["10.200.0.2/31", "fd00:200::2/127"],
        "blue/y": ["10.200.0.3/31", "fd00:200::3/127"],
    }


def test_the_end_that_comes_first_in_the_file_has_the_lower_address_whoever_names_the_cable() -> None:
    spec = laid("""
        pool: 10.200.0.0/16
        namespaces: {red: {interfaces: {x: {addresses: auto}}}, blue: {interfaces: {x: {cable: red/x, addresses: auto}}}}
    """)
    assert chosen(spec) == {"red/x": ["10.200.0.0/31"], "blue/x": ["10.200.0.1/31"]}


def test_an_end_that_is_not_described_has_no_address() -> None:
    spec = laid("pool: 10.200.0.0/16\nnamespaces: {red: {interfaces: {x: {cable: blue/x, addresses: auto}}}, blue: }")
    assert (chosen(spec), addresses(spec, "blue/x")) == ({"red/x": ["10.200.0.0/31"]}, [])


def test_opposite_of_an_address_the_next_one_of_its_network_is_chosen() -> None:
    spec = laid(
        "namespaces: {red: {interfaces: {x: {cable: blue/x, addresses: auto}}}, blue: {interfaces: {x: {addresses: 10.7.0.5/30}}}}"
    )
    assert chosen(spec) == {"red/x": ["10.7.0.6/30"]}


def test_pairs_keep_away_from_networks_of_the_file() -> None:
    spec = laid("""
        pool: 10.200.0.0/24
        bridges: {br0: {addresses: 10.200.0.1/30}, br1: {pool: 10.200.0.8/29}}
        interfaces: {d: {dummy: true, addresses: 10.200.0.6/32}}
        namespaces:
          r{n}: {count: 3, interfaces: {x: {cable: "r{n}/y", addresses: auto}}}
    """)
    assert chosen(spec) == {"r1/x": ["10.200.0.4/31"], "r2/x": ["10.200.0.16/31"], "r3/x": ["10.200.0.18/31"]}


def test_a_pair_begins_with_an_even_address_even_behind_a_single_one() -> None:
    spec = laid("""
        pool: 10.200.0.0/24
        interfaces: {d: {dummy: true, addresses: 10.200.0.0/32}}
        namespaces: {red: {interfaces: {x: {cable: red/y, addresses: auto}}}}
    """)
    assert chosen(spec) == {"red/x": ["10.200.0.2/31"]}


def test_a_network_inside_of_another_one_makes_neither_smaller() -> None:
    spec = laid("""
        pool: 10.200.0.0/24
        bridges: {br0: {addresses: 10.200.0.1/28}}
        interfaces: {d: {dummy: true, addresses: 10.200.0.2/32}}
        namespaces: {red: {interfaces: {x: {cable: red/y, addresses: auto}}}}
    """)
    assert chosen(spec) == {"red/x": ["10.200.0.16/31"]}


# ---- kept

RING = """
    pool: 10.200.0.0/24
    bridges: {br0: {addresses: 10.0.0.1/24}}
    namespaces:
      red: {interfaces: {eth0: {bridge: br0, addresses: auto}, x: {cable: blue/x, addresses: auto}}}
      blue: {interfaces: {eth0: {bridge: br0, addresses: auto}, x: {addresses: auto}}}
"""


def test_what_was_chosen_before_stays() -> None:
    spec = laid(RING, record(red_eth0="10.0.0.9/24", blue_x="10.200.0.6/31"))
    assert chosen(spec) == {
        "red/eth0": ["10.0.0.9/24"],
        "red/x": ["10.200.0.7/31"],
        "blue/eth0": ["10.0.0.2/24"],
        "blue/x": ["10.200.0.6/31"],
    }


def test_the_upper_half_of_a_pair_keeps_the_lower_one_from_others() -> None:
    ring = RING.replace("blue: {", "new: {interfaces: {y: {cable: new/z, addresses: auto}}}\n      blue: {")
    spec = laid(ring, record(red_x="10.200.0.1/31"))
    assert (chosen(spec)["red/x"], chosen(spec)["blue/x"]) == (["10.200.0.1/31"], ["10.200.0.0/31"])
    assert chosen(spec)["new/y"] == ["10.200.0.2/31"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("red_eth0", "10.0.0.1/24"),  # the bridge's own
        ("red_eth0", "10.0.1.9/24"),  # of a network that the bridge had once
        ("red_eth0", "10.0.0.9/25"),
        ("red_eth0", "10.0.0.0/24"),
        ("red_eth0", "10.0.0.255/24"),
        ("red_x", "10.200.0.0/30"),
        ("red_x", "10.201.0.0/31"),
        ("red_x", "fd00::/127"),
        ("gone_x", "10.200.0.0/31"),
    ],
)
def test_what_does_not_fit_any_more_is_forgotten(name: str, text: str) -> None:
    assert laid(RING, record(**{name: text})) == laid(RING)


def test_of_two_addresses_in_one_network_the_first_stays() -> None:
    assert chosen(laid(RING, record(red_eth0="10.0.0.7/24 10.0.0.9/24")))["red/eth0"] == ["10.0.0.7/24"]


def test_what_another_one_kept_is_not_chosen_even_by_those_before_it() -> None:
    spec = laid(RING, record(blue_eth0="10.0.0.2/24"))
    assert (chosen(spec)["red/eth0"], chosen(spec)["blue/eth0"]) == (["10.0.0.3/24"], ["10.0.0.2/24"])


def test_two_that_kept_the_same_do_not_both_get_it() -> None:
    spec = laid(RING, record(red_eth0="10.0.0.7/24", blue_eth0="10.0.0.7/24"))
    assert (chosen(spec)["red/eth0"], chosen(spec)["blue/eth0"]) == (["10.0.0.7/24"], ["10.0.0.2/24"])


def test_a_pair_is_kept_by_one_cable_only() -> None:
    ring = RING.replace("blue: {", "new: {interfaces: {y: {cable: new/z, addresses: auto}}}\n      blue: {")
    spec = laid(ring, record(red_x="10.200.0.8/31", new_y="10.200.0.8/31"))
    assert (chosen(spec)["red/x"], chosen(spec)["new/y"]) == (["10.200.0.8/31"], ["10.200.0.0/31"])


def test_who_asks_no_more_keeps_nothing() -> None:
    ring = RING.replace(", x: {addresses: auto}", "")
    assert chosen(laid(ring, record(blue_x="10.200.0.9/31")))["red/x"] == ["10.200.0.0/31"]


def test_a_pair_goes_when_the_file_has_its_network_by_now() -> None:
    ring = RING.replace("br0: {", "br1: {addresses: 10.200.0.9/29}, br0: {")
    assert chosen(laid(ring, record(red_x="10.200.0.10/31")))["red/x"] == ["10.200.0.0/31"]


def test_an_address_that_the_file_gives_by_now_goes_to_whom_the_file_gives_it() -> None:
    spec = laid(
        RING.replace(
            "blue: {interfaces: {eth0: {bridge: br0, addresses: auto}",
            "blue: {interfaces: {eth0: {bridge: br0, addresses: 10.0.0.2/24}",
        ),
        record(red_eth0="10.0.0.2/24"),
    )
    assert chosen(spec)["red/eth0"] == ["10.0.0.3/24"]


# ---- whatever the lab


def everywhere(spec: LabSpec) -> list[t.Any]:
    return [interface for node in spec.nodes for link in node.links for interface in link.addresses]


@given(lab.labs())
def test_the_same_file_gives_the_same_lab(definition: dict[str, t.Any]) -> None:
    before = copy.deepcopy(definition)
    spec = layout(definition)
    assert definition == before
    assert layout(copy.deepcopy(definition)) == spec
    assert layout(definition, dict(spec.chosen)) == spec


@given(lab.labs())
def test_no_address_is_there_twice_and_no_name(definition: dict[str, t.Any]) -> None:
    spec = layout(definition)
    found = everywhere(spec)
    assert len(found) == len(set(found))
    for node in spec.nodes:
        names = [link.name for link in node.links]
        assert len(names) == len(set(names))
        assert all(len(name.encode()) <= 15 for name in names)


@given(lab.labs())
def test_every_end_that_asked_has_addresses_and_they_are_usable(definition: dict[str, t.Any]) -> None:
    spec = layout(definition)
    asked = {
        f"{netns}/{name}"
        for netns, home in {"": definition, **definition["namespaces"]}.items()
        for name in home["interfaces"]
    }
    assert {name for name, _interfaces in spec.chosen} == asked
    for _name, interfaces in spec.chosen:
        for interface in interfaces:
            network = interface.network
            if interface.version == 4 and network.prefixlen < 31:
                assert interface.ip not in (network.network_address, network.broadcast_address)


@given(lab.labs())
def test_both_ends_of_a_cable_name_each_other(definition: dict[str, t.Any]) -> None:
    spec = layout(definition)
    links = {(link.netns, link.name): link for node in spec.nodes for link in node.links}
    for link in links.values():
        if link.peer is not None:
            back = links[link.peer.netns, link.peer.name].peer
            assert back is not None
            assert (back.netns, back.name) == (link.netns, link.name)
        assert link.bridge is None or links[link.netns, link.bridge].kind == "bridge"
        assert not (link.bridge and link.addresses)
        assert (link.hairpin is None) == (link.bridge is None)


@given(lab.labs(), st.data())
def test_addresses_stay_when_others_come_and_go(definition: dict[str, t.Any], data: st.DataObject) -> None:
    kept = dict(layout(definition).chosen)
    namespaces = {
        name: body
        for name, body in definition["namespaces"].items()
        if not name.startswith("leaf") or data.draw(st.booleans())
    }
    bridges = [
        f"{home}/{name}" for home, body in {"": definition, **namespaces}.items() for name in body.get("bridges", ())
    ]
    namespaces = {"first": lab.leaf(bridges), **namespaces}
    changed = without_cables({**definition, "namespaces": namespaces}, data.draw(st.sets(st.integers(0, 3))))
    changed["interfaces"] = {"new": {"cable": "first/new", "addresses": "auto"}, **changed["interfaces"]}
    for name, interfaces in layout(changed, kept).chosen:
        assert name not in kept or interfaces == kept[name]


def without_cables(definition: dict[str, t.Any], numbers: set[int]) -> dict[str, t.Any]:
    """The lab less the cables with these numbers."""
    gone = {f"{end}{number}" for number in numbers for end in ("left", "right")}
    fewer = {**definition, "namespaces": {name: dict(body) for name, body in definition["namespaces"].items()}}
    for home in (fewer, *fewer["namespaces"].values()):
        home["interfaces"] = {name: body for name, body in home["interfaces"].items() if name not in gone}
    return fewer
