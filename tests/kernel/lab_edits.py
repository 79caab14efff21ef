# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random edits of a lab file, as somebody makes them with an editor while the lab runs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Optional

import lab_strategies as grow
from hypothesis import strategies as st
from lab_files import split
from lab_repair import repaired
from lab_strategies import Draw, Lab

Place = tuple[Optional[str], str]  # noqa: UP045 - evaluated, on Python 3.9 too


@st.composite
def edits(draw: Draw, lab: Lab) -> Lab:
    """The lab after one to three changes."""
    lab = copy.deepcopy(lab)
    for _each in range(draw(st.integers(1, 3))):
        draw(st.sampled_from(CHANGES))(draw, lab)
        lab = repaired(lab)
    return lab


def _interfaces(lab: Lab, *without: str) -> list[Place]:
    nodes = [(None, lab), *lab["namespaces"].items()]
    return [
        (netns, name)
        for netns, node in nodes
        for name, options in node.get("interfaces", {}).items()
        if not set(without) & set(options)
    ]


def _options(lab: Lab, place: Place) -> dict[str, Any]:
    found = (lab if place[0] is None else lab["namespaces"][place[0]])["interfaces"][place[1]]
    assert isinstance(found, dict)
    return found


def _in_template(lab: Lab, place: Place) -> bool:
    """What is said there is said of several namespaces."""
    return place[0] is not None and "count" in lab["namespaces"][place[0]]


def _some(draw: Draw, places: list) -> Any:
    return draw(st.sampled_from(places)) if places else None


def remove_namespace(draw: Draw, lab: Lab) -> None:
    name = _some(draw, sorted(lab["namespaces"]))
    lab["namespaces"].pop(name, None)


def rename_namespace(draw: Draw, lab: Lab) -> None:
    """Every mention follows."""
    old = _some(draw, [name for name, node in lab["namespaces"].items() if "count" not in node])
    if old is None or "green" in lab["namespaces"]:
        return
    lab["namespaces"] = {"green" if name == old else name: node for name, node in lab["namespaces"].items()}
    for place in _interfaces(lab):
        options = _options(lab, place)
        for key in ("cable", "bridge"):
            if key in options and split(options[key])[0] == old:
                options[key] = f"green/{split(options[key])[1]}"
    for node in (lab, *lab["namespaces"].values()):
        for forward in node.get("forwards", []):
            if forward.get("to") == old:
                forward["to"] = "green"


def remove_interface(draw: Draw, lab: Lab) -> None:
    place = _some(draw, _interfaces(lab))
    if place:
        del (lab if place[0] is None else lab["namespaces"][place[0]])["interfaces"][place[1]]


def rename_interface(draw: Draw, lab: Lab) -> None:
    place = _some(draw, _interfaces(lab))
    if not place:
        return
    netns, old = place
    node = lab if netns is None else lab["namespaces"][netns]
    new = f"was-{old}"
    node["interfaces"] = {new if name == old else name: options for name, options in node["interfaces"].items()}
    for other in _interfaces(lab):
        options = _options(lab, other)
        if "cable" in options and split(options["cable"]) == place:
            options["cable"] = f"{netns or ''}/{new}"
        if other[0] == netns and options.get("macvlan", {}).get("parent") == old:
            options["macvlan"]["parent"] = new


def remove_bridge(draw: Draw, lab: Lab) -> None:
    name = _some(draw, sorted(lab.get("bridges", {})))
    lab.get("bridges", {}).pop(name, None)


def change_bridge(draw: Draw, lab: Lab) -> None:
    reference = _some(draw, grow.all_bridges(lab))
    if reference:
        where, name = split(reference)
        node = lab if where is None else lab["namespaces"][where]
        node["bridges"][name] |= draw(
            st.sampled_from(
                [
                    {"mtu": 1400},
                    {"mtu": 1500},
                    {"ageing_time": 20},
                    {"up": False},
                    {"up": True},
                    {"multicast_snooping": False},
                    {"stp": True},
                    {"addresses": ["10.222.0.1/24"]},
                ]
            )
        )


def change_interface(draw: Draw, lab: Lab) -> None:
    """MTU, MAC address, up or down, hairpin."""
    below = {
        (place[0], _options(lab, place)["macvlan"]["parent"])
        for place in _interfaces(lab)
        if "macvlan" in _options(lab, place)
    }
    place = _some(draw, [one for one in _interfaces(lab, "macvlan", "vxlan") if one not in below])
    if place:
        options = _options(lab, place)
        what = draw(st.sampled_from(["mtu", "mac", "no mac", "up", "hairpin"]))
        if what == "mtu":
            options["mtu"] = draw(st.sampled_from(grow.MTUS))
        elif what == "mac" and not _in_template(lab, place):
            options["mac"] = f"02:00:00:00:02:{draw(st.integers(1, 255)):02x}"
        elif what == "no mac":
            options.pop("mac", None)
        elif what == "up":
            options["up"] = not options.get("up", True)
        elif "bridge" in options:
            options["hairpin"] = not options.get("hairpin", False)


def change_addresses(draw: Draw, lab: Lab) -> None:
    place = _some(draw, [one for one in _interfaces(lab, "master") if not _in_template(lab, one)])
    if place:
        options = _options(lab, place)
        now = options.get("addresses", [])
        now = [] if now == "auto" else [now] if isinstance(now, str) else list(now)
        number = lab["_next"] = lab.get("_next", 0) + 1
        more = [f"10.180.{number}.1/24", f"fd00:180:{number}::1/64", f"10.181.{number}.7/32"]
        options["addresses"] = draw(st.sampled_from([now[1:], now[:1], [*now, more[0]], [*now, *more], [], more[2]]))


def move_plug(draw: Draw, lab: Lab) -> None:
    """To another bridge, with an address of it."""
    places = [place for place in _interfaces(lab) if "bridge" in _options(lab, place)]
    place, other = _some(draw, places), _some(draw, grow.all_bridges(lab))
    if place and other and split(other)[0] != place[0]:
        near = {_options(lab, one).get("bridge") for one in places if one[0] == place[0] and one != place}
        if other not in near:
            options = _options(lab, place)
            options["bridge"] = other
            options["addresses"] = "auto"


def change_upper(draw: Draw, lab: Lab) -> None:
    place = _some(draw, [one for one in _interfaces(lab) if {"macvlan", "vxlan"} & set(_options(lab, one))])
    if place:
        options = _options(lab, place)
        if "macvlan" in options:
            options["macvlan"]["mode"] = draw(st.sampled_from(["bridge", "private", "vepa"]))
        else:
            options["vxlan"] |= draw(st.sampled_from([{"ttl": 9}, {"port": 4791}, {"id": 4000}, {"learning": False}]))


def change_routing(draw: Draw, lab: Lab) -> None:
    nodes = [node for node in lab["namespaces"].values() if node.get("routes") or node.get("gateway")]
    node = _some(draw, nodes)
    if node and node.get("routes") and draw(st.booleans()):
        node["routes"].pop()
    elif node:
        node.pop("gateway", None)


def change_nat(draw: Draw, lab: Lab) -> None:
    node = _some(
        draw, [one for one in (lab, *lab["namespaces"].values()) if one.get("forwards") or one.get("masquerade")]
    )
    if node:
        kind = draw(st.sampled_from([kind for kind in ("forwards", "masquerade") if node.get(kind)]))
        node[kind].pop()


def change_template(draw: Draw, lab: Lab) -> None:
    for node in lab["namespaces"].values():
        if "count" in node:
            node["count"] = draw(st.integers(0, 4))


CHANGES: list[Callable[[Draw, Lab], None]] = [
    grow.add_bridge, grow.add_namespace, grow.add_cable, grow.add_plug, grow.add_inner_bridge, grow.add_upper,
    grow.add_routing, grow.add_settings, grow.add_nat, grow.add_template,
    remove_namespace, rename_namespace, remove_interface, rename_interface, remove_bridge, change_bridge,
    change_interface, change_interface, change_addresses, change_addresses, move_plug, change_upper, change_routing,
    change_nat, change_template,
]  # fmt: skip
