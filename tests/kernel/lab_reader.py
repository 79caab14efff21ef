# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is running, as plain data, read with ip, nft and /proc alone: none of the code under test is used here."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import world

IGNORED = ("sit0", "ip6tnl0", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0")
"""Interfaces that some kernels put into every namespace."""


@dataclass(frozen=True)
class Interface:
    """One interface as ip(8) shows it."""

    netns: str | None
    name: str
    index: int
    kind: str
    mac: str
    mtu: int
    up: bool
    running: bool
    """Up, and with a carrier."""
    group: int
    alias: str
    master: str | None
    hairpin: bool | None
    """None when it is no port of a bridge."""
    parent: str | None
    peer: tuple[str | None, str] | None
    """Namespace and name of the other end of a cable; None where ip(8) knows none."""
    addresses: frozenset[str]
    """The global ones, with prefix lengths."""
    unusable: frozenset[str]
    """Those of them that are still, or for good, tentative."""
    options: Mapping[str, Any]
    """What the kind has of its own, in ip's words."""


@dataclass(frozen=True)
class Route:
    """One route of any table but local. Equal routes lead the same way."""

    destination: str
    gateway: str | None
    device: str | None
    table: str
    metric: int
    protocol: str
    kind: str
    hops: tuple[tuple[str | None, str | None, int], ...] = ()


@dataclass(frozen=True)
class Place:
    """All that is in one namespace, or on the host."""

    netns: str | None
    interfaces: Mapping[str, Interface]
    routes: tuple[Route, ...]
    settings: Mapping[str, str]
    nameservers: tuple[str, ...] | None
    """Of /etc/netns/NAME/resolv.conf; None when there is no such file."""
    rules: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """What ``nft -j list ruleset`` has."""


def read(namespaces: Iterable[str], settings: Iterable[str] = ()) -> dict[str | None, Place]:
    """Read the host (under the key None) and the namespaces, with the values of these settings."""
    shown = {netns: _tool("ip", netns, "-d", "addr", "show") for netns in (None, *namespaces)}
    indexes = {
        (netns, link["ifindex"]): (link["ifname"], link.get("link_index")) for netns in shown for link in shown[netns]
    }
    return {netns: _place(netns, shown[netns], indexes, tuple(settings)) for netns in shown}


def _place(netns: str | None, shown: list, indexes: Mapping, settings: tuple[str, ...]) -> Place:
    # Asked by name: the list of all numbers may lack some while other namespaces are being freed.
    numbers = {entry["id"]: entry["name"] for entry in _tool("ip", netns, "netns", "list") if "id" in entry}
    found = [_interface(netns, link, indexes, numbers) for link in shown if link["ifname"] not in IGNORED]
    routes = [
        _route(route, version)
        for version in (4, 6)
        for route in _tool("ip", netns, f"-{version}", "route", "show", "table", "all")
        if route.get("table") != "local" and not route["dst"].startswith(("fe80", "ff00"))
    ]
    ruleset = _tool("nft", netns, "list", "ruleset")
    return Place(
        netns,
        {one.name: one for one in found},
        tuple(routes),
        {name: _setting(netns, name) for name in settings},
        _nameservers(netns),
        tuple(ruleset["nftables"]) if ruleset else (),
    )


def _tool(program: str, netns: str | None, *arguments: str) -> Any:
    where = [program, "-j", *arguments]
    if program == "ip" and netns is not None:
        where[1:1] = ["-n", netns]
    elif netns is not None:
        where[0:0] = ["ip", "netns", "exec", netns]
    done = subprocess.run(where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(where)}: {done.stderr.strip()}"
    return json.loads(done.stdout) if done.stdout.strip() else []


def _interface(netns: str | None, link: Mapping[str, Any], indexes: Mapping, numbers: Mapping) -> Interface:
    info = link.get("linkinfo", {})
    global_ = {
        f"{entry['local']}/{entry['prefixlen']}": entry
        for entry in link.get("addr_info", [])
        if entry["scope"] == "global" and "local" in entry
    }
    return Interface(
        netns=netns,
        name=link["ifname"],
        index=link["ifindex"],
        kind=info.get("info_kind", "physical"),
        mac=link.get("address", ""),
        mtu=link["mtu"],
        up="UP" in link["flags"],
        running={"UP", "LOWER_UP"} <= set(link["flags"]),
        group=int(link["group"]) if str(link["group"]).isdigit() else 0,
        alias=link.get("ifalias", ""),
        master=link.get("master"),
        hairpin=info.get("info_slave_data", {}).get("hairpin"),
        parent=link.get("link") or info.get("info_data", {}).get("link"),
        peer=_peer(netns, link, indexes, numbers) if info.get("info_kind") == "veth" else None,
        addresses=frozenset(global_),
        unusable=frozenset(text for text, entry in global_.items() if entry.get("tentative")),
        options=info.get("info_data", {}),
    )


def _peer(
    netns: str | None, link: Mapping[str, Any], indexes: Mapping, numbers: Mapping
) -> tuple[str | None, str] | None:
    """Both ends must point at each other; a namespace without a name is taken for the host."""
    if "link" in link:  # both ends in one namespace
        return netns, link["link"]
    other = numbers.get(link.get("link_netnsid"))
    end = indexes.get((other, link.get("link_index")))
    return (other, end[0]) if end is not None and end[1] == link["ifindex"] else None


def _route(route: Mapping[str, Any], version: int) -> Route:
    hops = tuple(
        sorted((hop.get("gateway"), hop.get("dev"), hop.get("weight", 1)) for hop in route.get("nexthops", []))
    )
    whole = {4: "0.0.0.0/0", 6: "::/0"}[version]
    return Route(
        destination=str(ipaddress.ip_network(whole if route["dst"] == "default" else route["dst"])),
        gateway=route.get("gateway"),
        device=None if hops else route.get("dev"),
        table=str(route.get("table", "main")),
        metric=route.get("metric", 0),
        protocol=str(route.get("protocol", "")),
        kind=route.get("type", "unicast"),
        hops=hops,
    )


def _setting(netns: str | None, name: str) -> str:
    path = Path("/proc/sys", *name.split("."))
    return " ".join(world.inside(netns, path.read_text, encoding="ascii").split())


def _nameservers(netns: str | None) -> tuple[str, ...] | None:
    path = Path(f"/etc/netns/{netns}/resolv.conf")
    if netns is None or not path.is_file():
        return None
    return tuple(line.split()[1] for line in path.read_text("utf-8").splitlines() if line.startswith("nameserver "))
