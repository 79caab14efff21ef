# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""One route as the kernel has it, and the steps that add, replace and remove it (ip-route(8))."""

from __future__ import annotations

import functools
import ipaddress
import typing as t
from dataclasses import dataclass
from shlex import quote

from .._engine.model import Item, Key, Step
from .._kernel import rtnl
from .._kernel.kernel import Kernel
from . import words
from .checks import Address, Network
from .words import place

PROTOCOL = 0x70
"""The routing protocol number of every route that we make; the kernel and other tools leave unknown ones alone."""

TYPES = {"unicast": 1, "blackhole": 6, "unreachable": 7, "prohibit": 8}  # RTN_*, linux/rtnetlink.h
TABLES = {"main": 254, "default": 253, "local": 255}  # RT_TABLE_*
_TYPE_NAMES = {number: name for name, number in TYPES.items()}
_TABLE_NAMES = {number: name for name, number in TABLES.items()}
KERNEL = 2
"""RTPROT_KERNEL: the protocol number of routes that come and go with addresses."""
_RTNH_F_ONLINK = 4
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_DEFAULT_METRIC = {4: 0, 6: 1024}  # IP6_RT_PRIO_USER


@dataclass(frozen=True)
class NextHop:
    """Where packets go next: a gateway, a device, or both."""

    gateway: Address | None = None
    device: str | None = None
    weight: int = 1
    onlink: bool = False


@dataclass(frozen=True)
class Route:
    """One route. A route with one way has it in ``hops`` as well; reject types have none."""

    netns: str | None
    destination: Network
    hops: tuple[NextHop, ...] = ()
    source: Address | None = None
    metric: int = 0
    table: int = TABLES["main"]
    type: str = "unicast"
    mtu: int | None = None
    protocol: int = PROTOCOL

    @property
    def key(self) -> Key:
        return ("route", self.netns, self.table, self.destination, self.metric)

    @property
    def ours(self) -> bool:
        return self.protocol == PROTOCOL

    @property
    def device(self) -> str | None:
        return self.hops[0].device if len(self.hops) == 1 else None

    @property
    def title(self) -> str:
        """The route in ip-route(8)'s words."""
        return " ".join(_words(self))


def default_metric(version: int) -> int:
    """The metric of a route that names none."""
    return _DEFAULT_METRIC[version]


def table_name(number: int) -> str:
    """The table as users write it."""
    return _TABLE_NAMES.get(number, str(number))


def _hop_words(hop: NextHop) -> list[str]:
    out = ["via", str(hop.gateway)] if hop.gateway else []
    out += ["dev", quote(hop.device)] if hop.device else []
    return [*out, "onlink"] if hop.onlink else out


def _words(route: Route, *, marked: bool = False) -> list[str]:
    everything = route.destination.prefixlen == 0
    default = "default" if route.destination.version == 4 or route.hops else "::/0"
    out = [] if route.type == "unicast" else [route.type]
    out.append(default if everything else str(route.destination))
    if len(route.hops) == 1:
        out += _hop_words(route.hops[0])
    out += ["src", str(route.source)] if route.source else []
    out += ["metric", str(route.metric)] if route.metric != default_metric(route.destination.version) else []
    out += ["table", table_name(route.table)] if route.table != TABLES["main"] else []
    out += ["mtu", str(route.mtu)] if route.mtu else []
    out += ["proto", str(PROTOCOL)] if marked else []
    if len(route.hops) > 1:
        for hop in route.hops:
            out += ["nexthop", *_hop_words(hop), "weight", str(hop.weight)]
    return out


class PutRoute(Step):
    """Adds, removes or replaces one route; a replacement leaves no moment without it."""

    phase = "routes"

    def apply(self, kernel: Kernel) -> None:
        route: Route = (self.after or self.before)[0]
        sock = kernel.rtnl(route.netns)
        names = {hop.device: kernel.index(route.netns, hop.device) for hop in route.hops if hop.device}
        if self.after:
            rtnl.put_route(sock, _fields(route), _attributes(route, names), self._doing, replace=bool(self.before))
        else:
            rtnl.delete_route(sock, _fields(route), _attributes(route, names), self._doing)

    def _doing(self) -> str:
        route: Route = (self.after or self.before)[0]
        return f"{'put' if self.after else 'remove'} the route {route.title}{place(route.netns)}"

    def commands(self) -> list[str]:
        route: Route = (self.after or self.before)[0]
        version = " -6" if route.destination.version == 6 else ""
        verb = ("replace" if self.before else "add") if self.after else "del"
        text = " ".join(_words(route, marked=bool(self.after)))
        return [f"{words.ip(route.netns)}{version} route {verb} {text}"]


def _fields(route: Route) -> dict[str, t.Any]:
    direct = route.type == "unicast" and all(hop.gateway is None for hop in route.hops)
    return {
        "family": 2 if route.destination.version == 4 else 10,
        "dst_len": route.destination.prefixlen,
        "table": route.table if route.table < 256 else 252,  # RT_TABLE_COMPAT
        "proto": route.protocol,
        "scope": _SCOPE_LINK if direct and route.destination.version == 4 else _SCOPE_UNIVERSE,
        "type": TYPES[route.type],
        "flags": _RTNH_F_ONLINK if len(route.hops) == 1 and route.hops[0].onlink else 0,
    }


def _attributes(route: Route, indexes: t.Mapping[str, int]) -> rtnl.Attributes:
    out: rtnl.Attributes = [["RTA_TABLE", route.table]]
    if route.destination.prefixlen:
        out.append(["RTA_DST", route.destination.network_address.packed])
    if route.metric:
        out.append(["RTA_PRIORITY", route.metric])
    if route.source:
        out.append(["RTA_PREFSRC", route.source.packed])
    if route.mtu:
        out.append(["RTA_METRICS", {"attrs": [["RTAX_MTU", route.mtu]]}])
    if len(route.hops) == 1:
        out += _hop_attributes(route.hops[0])
        out += [["RTA_OIF", indexes[hop.device]] for hop in route.hops if hop.device]
    elif route.hops:
        out.append(["RTA_MULTIPATH", [_hop_record(hop, indexes) for hop in route.hops]])
    return out


def _hop_attributes(hop: NextHop) -> rtnl.Attributes:
    return [["RTA_GATEWAY", hop.gateway.packed]] if hop.gateway else []


def _hop_record(hop: NextHop, indexes: t.Mapping[str, int]) -> dict[str, t.Any]:
    return {
        "hops": hop.weight - 1,
        "oif": indexes[hop.device] if hop.device else 0,
        "flags": _RTNH_F_ONLINK if hop.onlink else 0,
        "attrs": _hop_attributes(hop),
    }


def _indexes(kernel: Kernel, netns: str | None) -> dict[str, int]:
    return {m.get_attr("IFLA_IFNAME"): m["index"] for m in rtnl.dump_links(kernel.rtnl(netns))}


def observe(kernel: Kernel, netns: str | None, version: int) -> list[Item]:
    """The routes of one IP version that a user could have made; the first of those that share a key."""
    devices = {index: name for name, index in _indexes(kernel, netns).items()}
    return of_messages(netns, devices, rtnl.dump_routes(kernel.rtnl(netns), version))


def of_messages(netns: str | None, devices: t.Mapping[int, str], messages: t.Iterable[t.Any]) -> list[Item]:
    """The same from the kernel's messages, of either version; ``devices`` are the names of all indexes."""
    found: dict[Key, Item] = {}
    for message in messages:
        if message["type"] in _TYPE_NAMES and not message["tos"]:
            route = _decode(netns, 4 if message["family"] == 2 else 6, message, devices)
            found.setdefault(route.key, route)
    return list(found.values())


def _decode(netns: str | None, version: int, message: t.Any, devices: t.Mapping[int, str]) -> Route:
    metrics = message.get_attr("RTA_METRICS")
    source = message.get_attr("RTA_PREFSRC")
    name = _TYPE_NAMES[message["type"]]
    return Route(
        netns=netns,
        destination=_network(version, message.content("RTA_DST"), message["dst_len"]),
        hops=_decode_hops(message, devices) if name == "unicast" else (),
        source=ipaddress.ip_address(source) if source else None,
        metric=message.get_attr("RTA_PRIORITY") or 0,
        table=message.get_attr("RTA_TABLE") or message["table"],
        type=name,
        mtu=metrics.get_attr("RTAX_MTU") if metrics else None,
        protocol=message["proto"],
    )


@functools.lru_cache(maxsize=1024)
def _network(version: int, packed: bytes | None, length: int) -> Network:
    """The network in a message; most of a lab's routes are default routes."""
    kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    return kind((int.from_bytes(packed or b"", "big"), length))


@functools.lru_cache(maxsize=1024)
def _address(text: str) -> Address:
    return ipaddress.ip_address(text)


def _decode_hops(message: t.Any, devices: t.Mapping[int, str]) -> tuple[NextHop, ...]:
    many = message.get_attr("RTA_MULTIPATH")
    if not many:
        return (_decode_hop(message, message.get_attr("RTA_OIF"), 1, message["flags"], devices),)
    return tuple(_decode_hop(record, record["oif"], record["hops"] + 1, record["flags"], devices) for record in many)


def _decode_hop(record: t.Any, index: int | None, weight: int, flags: int, devices: t.Mapping[int, str]) -> NextHop:
    gateway = record.get_attr("RTA_GATEWAY")
    via = record.get_attr("RTA_VIA")  # an IPv6 gateway of an IPv4 route
    if gateway is None and isinstance(via, dict):
        gateway = via.get("addr")
    return NextHop(
        _address(gateway) if gateway else None,
        devices.get(index, f"index {index}") if index else None,
        weight,
        bool(flags & _RTNH_F_ONLINK),
    )


def shown(route: Route) -> dict[str, t.Any]:
    """A route as users see it."""
    one = route.hops[0] if len(route.hops) == 1 else NextHop()
    return {
        "netns": route.netns,
        "destination": str(route.destination),
        "gateway": str(one.gateway) if one.gateway else None,
        "device": one.device,
        "onlink": one.onlink,
        "source": str(route.source) if route.source else None,
        "metric": route.metric,
        "table": table_name(route.table),
        "type": route.type,
        "mtu": route.mtu,
        "nexthops": [_shown_hop(hop) for hop in route.hops] if len(route.hops) > 1 else [],
        "ours": route.ours,
    }


def _shown_hop(hop: NextHop) -> dict[str, t.Any]:
    return {
        "gateway": str(hop.gateway) if hop.gateway else None,
        "device": hop.device,
        "weight": hop.weight,
        "onlink": hop.onlink,
    }
