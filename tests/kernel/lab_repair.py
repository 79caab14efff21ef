# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes out of a random lab what leads nowhere, so that every lab makes sense however it was put together."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterator
from typing import Any

from lab_files import listed, split

Lab = dict[str, Any]


def repaired(lab: Lab) -> Lab:
    """A copy of the lab in which every reference leads to something."""
    lab = copy.deepcopy(lab)
    while any(_drop_interface(lab, netns, node) for netns, node in _nodes(lab)):
        pass
    for netns, node in _nodes(lab):
        _repair_addresses(lab, node)
        _repair_routes(lab, node)
        _repair_nat(lab, netns, node)
    return lab


def _nodes(lab: Lab) -> Iterator[tuple[str | None, dict[str, Any]]]:
    yield None, lab
    yield from lab["namespaces"].items()


def node_of(lab: Lab, netns: str | None) -> dict[str, Any] | None:
    return lab if netns is None else lab["namespaces"].get(netns)


def bridge_at(lab: Lab, reference: str) -> dict[str, Any] | None:
    where, name = split(reference)
    return ((node_of(lab, where) or {}).get("bridges") or {}).get(name)


def _drop_interface(lab: Lab, netns: str | None, node: dict[str, Any]) -> bool:
    interfaces = node.get("interfaces", {})
    for name, options in list(interfaces.items()):
        if "master" in options and options["master"] not in node.get("bridges", {}):
            del options["master"]
            options.pop("hairpin", None)
        if not _leads_somewhere(lab, netns, name, options, interfaces):
            del interfaces[name]
            return True
    return False


def _leads_somewhere(lab: Lab, netns: str | None, name: str, options: dict[str, Any], near: dict[str, Any]) -> bool:
    if "bridge" in options:
        return bridge_at(lab, options["bridge"]) is not None
    if "macvlan" in options:
        below = near.get(options["macvlan"]["parent"])
        return below is not None and below.get("up", True)
    if "vxlan" in options:
        return True
    if "cable" in options:
        where, other = split(options["cable"])
        far = node_of(lab, where)
        if far is None:
            return False
        there = far.get("interfaces", {}).get(other)
        if there is None:  # named here only; nobody else may name it
            return _namers(lab, where, other) == [(netns, name)]
        return (
            "bridge" not in there
            and ("cable" not in there or split(there["cable"]) == (netns, name))
            and (_namers(lab, where, other) == [(netns, name)])
        )
    return len(_namers(lab, netns, name)) == 1


def _namers(lab: Lab, netns: str | None, name: str) -> list[tuple[str | None, str]]:
    return [
        (where, one)
        for where, node in _nodes(lab)
        for one, options in node.get("interfaces", {}).items()
        if "cable" in options and split(options["cable"]) == (netns, name)
    ]


def networks_of(lab: Lab, node: dict[str, Any]) -> list[Any]:
    """The networks that the node will be connected to by interfaces that are up."""
    out = []
    for options in [*node.get("interfaces", {}).values(), *node.get("bridges", {}).values()]:
        texts = options.get("addresses")
        if texts == "auto":
            bridge = bridge_at(lab, options["bridge"]) if "bridge" in options else None
            texts = (bridge.get("addresses") or bridge.get("pool")) if bridge else []
        if options.get("up", True):
            out += [ipaddress.ip_interface(text).network for text in listed(texts)]
    return out


def _repair_addresses(lab: Lab, node: dict[str, Any]) -> None:
    taken: set[Any] = set()
    for options in node.get("interfaces", {}).values():
        if options.get("addresses") == "auto":
            bridge = bridge_at(lab, options["bridge"]) if "bridge" in options else {}
            source = (bridge or {}).get("addresses") or (bridge or {}).get("pool")
            if not (source if "bridge" in options else lab.get("pool")):
                options["addresses"] = []
        if "master" in options:
            options.pop("addresses", None)
        # A namespace that is in one network twice is another story.
        own = set(networks_of(lab, {"interfaces": {"one": options}}))
        if own & taken:
            options["addresses"] = []
        taken |= own


def _repair_routes(lab: Lab, node: dict[str, Any]) -> None:
    near = networks_of(lab, node)

    def reached(text: str | None) -> bool:
        return text is None or any(ipaddress.ip_address(text) in network for network in near)

    def beyond(route: dict[str, Any]) -> bool:
        return ipaddress.ip_network(route["destination"]) not in near

    if "gateway" in node:
        node["gateway"] = [text for text in listed(node["gateway"]) if reached(text)]
    if "routes" in node:
        node["routes"] = [route for route in node["routes"] if reached(route.get("gateway")) and beyond(route)]


def _repair_nat(lab: Lab, netns: str | None, node: dict[str, Any]) -> None:
    """A forward to a namespace needs an address there in a network that the forwarder is in, too."""
    near = networks_of(lab, node)

    def reached(target: str | None) -> bool:
        if target is None:
            return True
        far = lab["namespaces"].get(target)
        return far is not None and target != netns and bool(set(near) & set(networks_of(lab, far)))

    if node.get("forwards") or node.get("masquerade"):
        node.get("sysctls", {}).pop("net.ipv4.ip_forward", None)  # it would contradict them
    if "forwards" in node:
        node["forwards"] = [one for one in node["forwards"] if reached(one.get("to"))]
