# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lab files for tests: read from YAML as people write them, or drawn at random, and what layout says of them."""

from __future__ import annotations

import textwrap
import typing as t

import pytest
import yaml
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.layout import layout
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.problems import where
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.spec import LabSpec, LinkSpec, Node
from hypothesis import strategies as st

RED_BLUE = """
    name: red-blue
    bridges:
      v-net-0: {addresses: [192.168.15.5/24, "fd15::5/64"]}
    namespaces:
      red:
        interfaces: {veth-red: {bridge: v-net-0, addresses: [192.168.15.1/24, "fd15::1/64"]}}
        gateway: [192.168.15.5, "fd15::5"]
      blue:
        interfaces: {veth-blue: {bridge: v-net-0, addresses: [192.168.15.2/24, "fd15::2/64"]}}
        gateway: [192.168.15.5, "fd15::5"]
    masquerade: {source: 192.168.15.0/24}
    forwards: [{protocol: tcp, port: 80, to: blue}]
"""


def read(text: str) -> dict[str, t.Any]:
    """A lab file; its name may be left out."""
    found: dict[str, t.Any] = yaml.safe_load(textwrap.dedent(text)) or {}
    return {"name": "lab", **found}


def laid(text: str, kept: t.Mapping[str, t.Any] | None = None) -> LabSpec:
    """The lab of a file."""
    return layout(read(text), kept)


def refusal(text: str) -> dict[str, list[str]]:
    """What is wrong with a lab file: sentences by place."""
    return problems(read(text))


def problems(definition: t.Any) -> dict[str, list[str]]:
    """What is wrong with a lab file that is read already."""
    with pytest.raises(InvalidInput) as caught:
        layout(definition)
    found: dict[str, list[str]] = {}
    for problem in caught.value.details["problems"]:
        found.setdefault(where(problem["path"]), []).append(problem["message"])
    return found


def node(spec: LabSpec, netns: str | None) -> Node:
    """One node of a lab."""
    return next(each for each in spec.nodes if each.netns == netns)


def link(spec: LabSpec, reference: str) -> LinkSpec:
    """One interface, such as ``red/eth0`` or ``/v-net-0``."""
    netns, _slash, name = reference.rpartition("/")
    return next(each for each in node(spec, netns or None).links if each.name == name)


def addresses(spec: LabSpec, reference: str) -> list[str]:
    """The addresses of one interface."""
    return [str(interface) for interface in link(spec, reference).addresses]


# ---- at random

_CHOSEN = {"addresses": "auto", "allow_overlap": True}


@st.composite
def labs(draw: t.Any) -> dict[str, t.Any]:
    """A lab that can be built, with addresses to be chosen everywhere.

    Bridges are on the host and in namespaces, cables (``left`` and ``right``) between any two of them, and ``leaf``
    namespaces at bridges are what nobody else needs.
    """
    names = [f"ns{number}" for number in range(draw(st.integers(1, 3)))]
    definition: dict[str, t.Any] = {
        "name": "drawn",
        "pool": ["10.200.0.0/24", "fd00:200::/64"],
        "bridges": {},
        "interfaces": {},
    }
    definition["namespaces"] = {name: {"interfaces": {}, "bridges": {}} for name in names}
    homes: dict[str, dict[str, t.Any]] = {"": definition, **definition["namespaces"]}
    anywhere = st.sampled_from(list(homes))
    bridges = []
    for number in range(draw(st.integers(1, 4))):
        home = draw(anywhere)
        bridges.append(f"{home}/br{number}")
        homes[home]["bridges"][f"br{number}"] = draw(_bridges(number))
    for number in range(draw(st.integers(0, 5))):
        used = draw(st.lists(st.sampled_from(bridges), max_size=3))
        definition["namespaces"][f"leaf{number}"] = leaf(used)
    for number in range(draw(st.integers(0, 4))):
        one, other = draw(anywhere), draw(anywhere)
        homes[one]["interfaces"][f"left{number}"] = {"cable": f"{other}/right{number}", **_CHOSEN}
        if draw(st.booleans()):
            homes[other]["interfaces"][f"right{number}"] = {"addresses": "auto"}
    return definition


def leaf(bridges: t.Iterable[str]) -> dict[str, t.Any]:
    """A namespace with cables to bridges."""
    return {"interfaces": {f"eth{number}": {"bridge": bridge, **_CHOSEN} for number, bridge in enumerate(bridges)}}


@st.composite
def _bridges(draw: t.Any, number: int) -> dict[str, t.Any]:
    networks = draw(st.sampled_from([["10.{0}.0.1/24"], ["fd{0:02}::1/64"], ["10.{0}.0.5/27", "fd{0:02}::5/64"]]))
    if draw(st.booleans()):
        return {"addresses": [text.format(number) for text in networks]}
    return {"pool": [f"10.{number}.0.0/26", f"fd{number:02}::/120"][: draw(st.integers(1, 2))]}
