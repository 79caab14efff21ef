# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a lab file means, understood a second time from its documentation: the tests' own reading of it.

It knows what the tests write into lab files, and does not check anything.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

KINDS = ("macvlan", "vxlan")
Key = tuple[Optional[str], str]  # noqa: UP045 - evaluated, on Python 3.9 too
"""A namespace (None: the host) and what the file calls something in it."""


@dataclass(frozen=True)
class Wanted:
    """An interface that is to be there."""

    netns: str | None
    name: str
    """What the file calls it; the kernel may know it by a shorter name."""
    kind: str
    addresses: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    """With automatic addresses: one of each of these instead of ``addresses``; two ends of a cable share a pair."""
    pool: bool = False
    """The networks are the lab's pool: the address is half of a pair out of it."""
    mac: str | None = None
    mtu: int | None = None
    up: bool = True
    master: str | None = None
    hairpin: bool = False
    peer: Key | None = None
    parent: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.netns, self.name)


@dataclass(frozen=True)
class Machine:
    """The host or a namespace, as it is to be. Routes, masquerades and forwards are those of the file."""

    netns: str | None
    interfaces: Mapping[str, Wanted]
    routes: tuple[Mapping[str, Any], ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    nameservers: tuple[str, ...] = ()
    masquerades: tuple[Mapping[str, Any], ...] = ()
    forwards: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Meaning:
    """A whole lab."""

    name: str
    machines: Mapping[str | None, Machine]

    @property
    def namespaces(self) -> list[str]:
        return [netns for netns in self.machines if netns is not None]

    def interfaces(self) -> Iterator[Wanted]:
        for machine in self.machines.values():
            yield from machine.interfaces.values()

    def get(self, key: Key) -> Wanted | None:
        machine = self.machines.get(key[0])
        return machine.interfaces.get(key[1]) if machine else None


def meaning(lab: Mapping[str, Any]) -> Meaning:
    """What the file asks for, with templates unfolded and both ends of every cable."""
    nodes: dict[str | None, Mapping[str, Any]] = {None: lab, **unfolded(lab.get("namespaces", {}))}
    bridges = {netns: unfolded(node.get("bridges", {})) for netns, node in nodes.items()}
    found: dict[Key, Wanted] = {}
    for netns, there in bridges.items():
        for name, options in there.items():
            found[netns, name] = _bridge(netns, name, options)
    for netns, node in nodes.items():
        for name, options in (node.get("interfaces") or {}).items():
            for end in _ends(lab, bridges, nodes, netns, name, options):
                found[end.key] = end
    machines = {
        netns: _machine(netns, node, {name: one for (where, name), one in found.items() if where == netns})
        for netns, node in nodes.items()
    }
    return Meaning(lab["name"], machines)


# ---- templates


def unfolded(things: Mapping[str, Any]) -> dict[str, Any]:
    """Named things with their templates written out."""
    out = {}
    for key, value in things.items():
        if not value or "count" not in value:
            out[key] = value or {}
            continue
        inner = {name: part for name, part in value.items() if name not in ("count", "start")}
        start = value.get("start", 1)
        for number in range(start, start + value["count"]):
            out[_filled(key, number) if "{n" in key else f"{key}{number}"] = _filled(inner, number)
    return out


def _filled(value: Any, number: int) -> Any:
    if isinstance(value, str):
        return re.sub(r"\{n(?::([0-9]+))?\}", lambda found: format(number, found[1] or ""), value)
    if isinstance(value, Mapping):
        return {_filled(key, number): _filled(part, number) for key, part in value.items()}
    return [_filled(part, number) for part in value] if isinstance(value, (list, tuple)) else value


# ---- interfaces


def _bridge(netns: str | None, name: str, options: Mapping[str, Any]) -> Wanted:
    own = {
        key: options[key]
        for key in ("stp", "forward_delay", "ageing_time", "vlan_filtering", "multicast_snooping")
        if options.get(key) is not None
    }
    return Wanted(
        netns,
        name,
        "bridge",
        listed(options.get("addresses")),
        mac=options.get("mac"),
        mtu=options.get("mtu", 1500),
        up=options.get("up", True),
        options=own,
    )


def _ends(
    lab: Mapping[str, Any], bridges: Mapping, nodes: Mapping, netns: str | None, name: str, options: Mapping[str, Any]
) -> Iterator[Wanted]:
    """The interface that the file has, and the other end of its cable."""
    automatic = options.get("addresses") == "auto"
    common = Wanted(
        netns,
        name,
        "veth",
        () if automatic else listed(options.get("addresses")),
        mac=options.get("mac"),
        mtu=options.get("mtu", 1500),
        up=options.get("up", True),
        master=options.get("master"),
        hairpin=bool(options.get("hairpin")) and "master" in options,
    )
    for kind in KINDS:
        if kind in options:
            yield _upper(kind, common, options, nodes[netns])
            return
    if "bridge" in options:
        where, bridge = split(options["bridge"])
        port = options.get("port") or (f"{name}-br" if (netns or "") in name else f"{netns}-{name}")
        networks = _networks(bridges[where][bridge]) if automatic else ()
        yield replace(common, networks=networks, peer=(where, port))
        yield Wanted(
            where,
            port,
            "veth",
            mtu=common.mtu,
            master=bridge,
            hairpin=bool(options.get("hairpin")) and "master" not in options,
            peer=common.key,
        )
        return
    if "cable" in options:
        other = split(options["cable"])
        yield replace(common, networks=tuple(lab.get("pool", ())) if automatic else (), pool=automatic, peer=other)
        if other[1] not in ((nodes[other[0]].get("interfaces")) or {}):
            yield Wanted(other[0], other[1], "veth", mtu=common.mtu, peer=common.key)
        return
    yield replace(
        common,
        networks=tuple(lab.get("pool", ())) if automatic else (),
        pool=automatic,
        peer=_other_end(nodes, common.key),
    )


def _other_end(nodes: Mapping, key: Key) -> Key | None:
    """Who names this interface as the other end of its cable."""
    for netns, node in nodes.items():
        for name, options in (node.get("interfaces") or {}).items():
            if "cable" in options and split(options["cable"]) == key:
                return netns, name
    return None


def _upper(kind: str, common: Wanted, options: Mapping[str, Any], node: Mapping[str, Any]) -> Wanted:
    own = dict(options[kind])
    parent = own.pop("parent", None)
    below = (node.get("interfaces") or {}).get(parent) or unfolded(node.get("bridges") or {}).get(parent) or {}
    six = any(":" in str(own.get(end, "")) for end in ("local", "remote"))
    usual = (1430 if six else 1450) if kind == "vxlan" else below.get("mtu", 1500)
    return replace(common, kind=kind, parent=parent, mtu=options.get("mtu", usual), options=own)


def _networks(bridge: Mapping[str, Any]) -> tuple[str, ...]:
    own = [str(ipaddress.ip_interface(text).network) for text in listed(bridge.get("addresses"))]
    return tuple(own or bridge.get("pool", ()))


def split(reference: str) -> Key:
    """``red/eth0`` as (red, eth0); what is on the host has None."""
    netns, slash, name = reference.rpartition("/")
    return (netns or None, name) if slash else (None, reference)


def listed(value: Any) -> tuple:
    """A list, or the one thing that stands for it."""
    return () if value is None else (value,) if isinstance(value, (str, Mapping)) else tuple(value)


# ---- the rest of a machine


def _machine(netns: str | None, node: Mapping[str, Any], interfaces: dict[str, Wanted]) -> Machine:
    defaults = [
        {"destination": "0.0.0.0/0" if ipaddress.ip_address(text).version == 4 else "::/0", "gateway": text}
        for text in listed(node.get("gateway"))
    ]
    settings = {
        name: str(int(value) if isinstance(value, bool) else value)
        for name, value in (node.get("sysctls") or {}).items()
    }
    return Machine(
        netns,
        interfaces,
        (*defaults, *listed(node.get("routes"))),
        settings,
        listed(node.get("nameservers")),
        listed(node.get("masquerade")),
        listed(node.get("forwards")),
    )
