# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates: one entry that stands for many."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.problems import Problems
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.templates import Entry, unfold
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import topology_drawings as lab
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_drawings import laid, node
from hypothesis import given
from hypothesis import strategies as st


def unfolded(section: dict[str, t.Any]) -> list[Entry]:
    problems = Problems()
    entries = unfold(section, ("namespaces",), problems)
    problems.refuse()
    return entries


@pytest.mark.parametrize(
    ("key", "body", "names"),
    [
        ("n{n}", {"count": 3}, ["n1", "n2", "n3"]),
        ("n", {"count": 3}, ["n1", "n2", "n3"]),
        ("n{n}", {"count": 3, "start": 0}, ["n0", "n1", "n2"]),
        ("n{n:03}", {"count": 2, "start": 9}, ["n009", "n010"]),
        ("{n}-{n:02}", {"count": 1, "start": 120}, ["120-120"]),
        ("n{n}", {"count": "2", "start": "5"}, ["n5", "n6"]),
        ("n{n}", {"count": 0}, []),
        ("100%-{n}", {"count": 1}, ["100%-1"]),
    ],
)
def test_a_template_is_numbered(key: str, body: dict[str, t.Any], names: list[str]) -> None:
    assert [entry.name for entry in unfolded({key: body})] == names


def test_the_number_is_replaced_in_every_text_at_every_depth_and_in_keys() -> None:
    body = {"count": 2, "a{n}": {"b": ["x{n}", {"c{n:02}": "{n}{n}%d"}], "d": 7, "e": True}, "f": "plain"}
    assert [entry.body for entry in unfolded({"n": body})] == [
        {"a1": {"b": ["x1", {"c01": "11%d"}], "d": 7, "e": True}, "f": "plain"},
        {"a2": {"b": ["x2", {"c02": "22%d"}], "d": 7, "e": True}, "f": "plain"},
    ]


def test_what_has_no_number_is_one_object_for_all() -> None:
    shared, own = {"bridge": "br0"}, {"bridge": "br{n}"}
    one, two = unfolded({"n": {"count": 2, "interfaces": {"a": shared, "b": own}}})
    assert one.body["interfaces"]["a"] is two.body["interfaces"]["a"] is shared
    assert one.body["interfaces"]["b"] is not two.body["interfaces"]["b"]


def test_a_template_inside_of_a_template_has_numbers_of_its_own() -> None:
    spec = laid("""
        namespaces:
          sw{n}: {count: 2, bridges: {"br{n}": {count: 2, pool: "10.{n}.0.0/24"}, "own{n}": {pool: "10.9.{n}.0/24"}}}
    """)
    assert [[link.name for link in each.links] for each in spec.namespaces] == [
        ["br1", "br2", "own1"],
        ["br1", "br2", "own2"],
    ]


def test_places_are_those_of_the_file() -> None:
    spec = laid("namespaces: {'n{n}': {count: 2, interfaces: {'e{n}': {dummy: true, addresses: '10.0.{n}.1/24'}}}}")
    assert {each.path for each in spec.namespaces} == {("namespaces", "n{n}")}
    assert node(spec, "n2").links[0].path == ("namespaces", "n{n}", "interfaces", "e{n}")
    assert set(
        lab.refusal("namespaces: {'n{n}': {count: 2, interfaces: {'e{n}': {dummy: true, addresses: '10.0.{n}.1'}}}}")
    ) == {"namespaces.n{n}.interfaces.e{n}.addresses"}
    assert set(lab.refusal("namespaces: {'n{n}': {count: 2, sysctls: {'kernel.{n}': 1}}}")) == {
        'namespaces.n{n}.sysctls["kernel.{n}"]'
    }


def test_a_template_is_what_it_would_be_written_out() -> None:
    template = laid("""
        bridges: {"br{n}": {count: 2, addresses: "10.{n}.0.1/24"}}
        namespaces:
          n{n}:
            count: 2
            interfaces: {eth0: {bridge: "br{n}", addresses: auto}, "d{n}": {dummy: true, addresses: "10.9.{n}.1/24"}}
            gateway: "10.{n}.0.1"
            routes: [{destination: "10.8.{n}.0/24", device: "d{n}"}]
            sysctls: {"net.ipv4.conf.d{n}.rp_filter": "{n}"}
            masquerade: {source: "10.9.{n}.0/24", out_interface: eth0}
            forwards: [{protocol: tcp, port: "80{n}", to: far}]
          far: {interfaces: {e0: {bridge: br1, addresses: auto}, e1: {bridge: br2, addresses: auto}}}
    """)
    written = laid("""
        bridges: {br1: {addresses: 10.1.0.1/24}, br2: {addresses: 10.2.0.1/24}}
        namespaces:
          n1:
            interfaces: {eth0: {bridge: br1, addresses: auto}, d1: {dummy: true, addresses: 10.9.1.1/24}}
            gateway: 10.1.0.1
            routes: [{destination: 10.8.1.0/24, device: d1}]
            sysctls: {net.ipv4.conf.d1.rp_filter: 1}
            masquerade: {source: 10.9.1.0/24, out_interface: eth0}
            forwards: [{protocol: tcp, port: 801, to: far}]
          n2:
            interfaces: {eth0: {bridge: br2, addresses: auto}, d2: {dummy: true, addresses: 10.9.2.1/24}}
            gateway: 10.2.0.1
            routes: [{destination: 10.8.2.0/24, device: d2}]
            sysctls: {net.ipv4.conf.d2.rp_filter: 2}
            masquerade: {source: 10.9.2.0/24, out_interface: eth0}
            forwards: [{protocol: tcp, port: 802, to: far}]
          far: {interfaces: {e0: {bridge: br1, addresses: auto}, e1: {bridge: br2, addresses: auto}}}
    """)
    assert len(template.nodes) == len(written.nodes)
    for one, other in zip(template.nodes, written.nodes):  # noqa: B905 - Python 3.9 knows no strict
        assert [[(field, value) for field, value in vars(link).items() if field != "path"] for link in one.links] == [
            [(field, value) for field, value in vars(link).items() if field != "path"] for link in other.links
        ]
        assert {**vars(one), "links": (), "path": ()} == {**vars(other), "links": (), "path": ()}
    assert template.chosen == written.chosen
    assert all(name.__class__ is str for each in template.nodes for name, _value in each.sysctls)
    assert all(link.name.__class__ is str for each in template.nodes for link in each.links)


def test_one_gateway_for_all_leads_through_the_device_of_each() -> None:
    spec = laid("""
        bridges: {br0: {addresses: 10.0.0.1/24}}
        namespaces: {"n{n}": {count: 2, interfaces: {"e{n}": {bridge: br0, addresses: auto}}, gateway: 10.0.0.1}}
    """)
    assert [(route.netns, route.device) for each in spec.namespaces for route in each.routes] == [
        ("n1", "e1"),
        ("n2", "e2"),
    ]


@given(st.text(alphabet="ab{}n:03%-", max_size=12), st.integers(0, 1200))
def test_any_text_is_replaced_or_told(text: str, number: int) -> None:
    problems = Problems()
    entries = unfold({"k{n}": {"count": 1, "start": number, "x": text}}, (), problems)
    wanted = text.replace("{n}", str(number))
    for width in range(1, 100):
        wanted = wanted.replace(f"{{n:0{width}}}", f"{number:0{width}}")
    if not problems:
        assert entries[0].body["x"] == wanted


def test_two_keys_that_become_one_are_told() -> None:
    text = "namespaces: {r: {count: 2, interfaces: {'e{n}': {dummy: true}, e2: {dummy: true}}}}"
    assert lab.refusal(text)["namespaces.r"] == [
        "two keys become e2 once {n} is replaced. Name one of them differently."
    ]
