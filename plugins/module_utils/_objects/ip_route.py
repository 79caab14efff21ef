# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The wish for one route, and what a gateway must be to be reachable."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, replace

from .._engine.model import Item, Key, State, Step
from .._errors import InvalidInput, NotFound, NotOurs, missing_interface
from .._kernel import rtnl
from .._kernel.kernel import Kernel
from . import checks, route
from .checks import Network
from .route import NextHop, PutRoute, Route
from .words import place


@dataclass(frozen=True)
class Device:
    """An interface that a route may lead through."""

    netns: str | None
    name: str
    up: bool

    @property
    def key(self) -> Key:
        return ("device", self.netns, self.name)


@dataclass(frozen=True)
class IpRoute:
    """The wish for one route; what the user left out is None and stays as it is."""

    wanted: Route
    present: bool
    force: bool
    given: frozenset[str]
    """The properties that the user named: only these are compared."""

    @property
    def name(self) -> str:
        return f"route {self.wanted.title}{place(self.wanted.netns)}"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> IpRoute:
        """Validate the module's parameters. Raises InvalidInput."""
        destination = _destination(params["destination"], params.get("gateway"), params.get("source"))
        hops = _hops(params)
        source = params.get("source")
        wanted = Route(
            netns=checks.namespace(params.get("netns")),
            destination=destination,
            hops=hops,
            source=checks.address(source, "source") if source else None,
            metric=_metric(params.get("metric"), destination.version),
            table=_table(params.get("table") or "main"),
            type=params.get("type") or "unicast",
            mtu=checks.mtu(params.get("mtu"), "mtu"),
        )
        _check_families(wanted)
        present = params["state"] == "present"
        _check_shape(wanted, present)
        given = frozenset(
            name
            for name in ("gateway", "device", "source", "type", "onlink", "mtu", "nexthops")
            if params.get(name) is not None
        )
        return cls(wanted, present=present, force=params["force"], given=given)

    def observe(self, kernel: Kernel) -> State:
        netns, version = self.wanted.netns, self.wanted.destination.version
        items: list[Item] = [
            Device(netns, m.get_attr("IFLA_IFNAME"), bool(m["flags"] & rtnl.IFF_UP))
            for m in rtnl.dump_links(kernel.rtnl(netns))
        ]
        return State([*items, *route.observe(kernel, netns, version)])

    def plan(self, state: State) -> list[Step]:
        now: Route | None = state.get(self.wanted.key)
        if not self.present:
            return self._plan_absent(now)
        for hop in self.wanted.hops:
            self._check_hop(state, hop)
        if now is not None and self._satisfied(now):
            return []
        return [PutRoute((now,) if now else (), (self._completed(state, now),))]

    def _plan_absent(self, now: Route | None) -> list[Step]:
        if now is None or not self._satisfied(now):
            return []
        if not now.ours and not self.force:
            raise NotOurs.kept(f"the route {now.title}{place(now.netns)}")
        return [PutRoute((now,), ())]

    def _satisfied(self, now: Route) -> bool:
        """Whether the route has all the properties that were given."""
        wanted = self.wanted
        if (self.present or "type" in self.given) and now.type != wanted.type:
            return False
        if "source" in self.given and now.source != wanted.source:
            return False
        if "mtu" in self.given and now.mtu != wanted.mtu:
            return False
        if not wanted.hops:
            return True
        return len(now.hops) == len(wanted.hops) and match(wanted.hops, now.hops)

    def _completed(self, state: State, now: Route | None) -> Route:
        """The wanted route with the devices that the kernel will choose, and what was left out as it is now."""
        hops = tuple(
            replace(hop, device=_way(state, self.wanted, hop)) if hop.device is None else hop
            for hop in self.wanted.hops
        )
        kept: dict[str, t.Any] = {}
        if now is not None and now.type == self.wanted.type:
            kept = {name: getattr(now, name) for name in ("source", "mtu") if name not in self.given}
        return replace(self.wanted, hops=hops, **kept)

    def _check_hop(self, state: State, hop: NextHop) -> None:
        devices = {device.name: device for device in state.of(Device)}
        where = place(self.wanted.netns)
        if hop.device is not None and hop.device not in devices:
            raise missing_interface(self.wanted.netns, hop.device, devices)
        if hop.device is not None and not devices[hop.device].up:
            raise NotFound(
                f"interface {hop.device} is down{where}, and a route through it can't be kept. Bring it up first.",
                device=hop.device,
            )
        if hop.gateway is None or hop.onlink or (hop.gateway.version == 6 and hop.gateway.is_link_local and hop.device):
            return
        if _way(state, self.wanted, hop) is None:
            networks = [f"{r.destination} ({r.device})" for r in _connected(state) if r.destination.prefixlen]
            there = (
                f"The connected networks are {', '.join(networks)}."
                if networks
                else "No network is connected: no interface has an address and is up."
            )
            raise InvalidInput(
                f"gateway {hop.gateway} is not on-link{where}, so the kernel could not reach it. {there} "
                "Choose a gateway in one of them, or set onlink: true with a device."
            )

    def view(self, state: State) -> dict[str, t.Any]:
        now: Route | None = state.get(self.wanted.key)
        return {} if now is None or (not self.present and not self._satisfied(now)) else route.shown(now)

    def warnings(self, before: State, after: State) -> list[str]:
        return []


def _connected(state: State) -> list[Route]:
    return [r for r in state.of(Route) if r.hops and all(hop.gateway is None for hop in r.hops)]


def _way(state: State, wanted: Route, hop: NextHop) -> str | None:
    """The device whose connected network holds the gateway; the longest prefix wins."""
    if hop.gateway is None:
        return hop.device
    if hop.onlink or (hop.gateway.version == 6 and hop.gateway.is_link_local):
        return hop.device
    fitting = [
        r
        for r in _connected(state)
        if hop.gateway in r.destination and r.destination != wanted.destination and hop.device in (None, r.device)
    ]
    return max(fitting, key=lambda r: r.destination.prefixlen).device if fitting else None


def match(wanted: tuple[NextHop, ...], now: tuple[NextHop, ...]) -> bool:
    """Whether the hops are the same ones in any order; a device that was not named fits any."""
    left = list(now)
    for hop in wanted:
        twin = next(
            (
                other
                for other in left
                if other.gateway == hop.gateway
                and hop.device in (None, other.device)
                and other.weight == hop.weight
                and other.onlink == hop.onlink
            ),
            None,
        )
        if twin is None:
            return False
        left.remove(twin)
    return True


def _destination(text: str, *hints: str | None) -> Network:
    if text == "default":
        six = any(hint and ":" in hint for hint in hints)
        return ipaddress.ip_network("::/0" if six else "0.0.0.0/0")
    network = checks.network(text, "destination")
    if network.is_multicast:
        raise InvalidInput(
            f"destination: {text} is multicast, which this module does not route. Give a unicast network."
        )
    return network


def _hops(params: t.Mapping[str, t.Any]) -> tuple[NextHop, ...]:
    if params.get("nexthops") is not None:
        if any(params.get(name) for name in ("gateway", "device", "onlink")):
            raise InvalidInput(
                "nexthops: give gateway, device and onlink inside of each next hop, not beside the list."
            )
        hops = tuple(_hop(record, f"nexthops[{number}].") for number, record in enumerate(params["nexthops"], 1))
        if not hops:
            raise InvalidInput("nexthops: the list is empty; name at least one next hop, or use gateway.")
        checks.unique(
            (" through ".join(str(part) for part in (hop.gateway, hop.device) if part) for hop in hops), "nexthops"
        )
        return hops
    hop = _hop(params, "")
    return () if hop.gateway is None and hop.device is None and not hop.onlink else (hop,)


def _hop(params: t.Mapping[str, t.Any], where: str) -> NextHop:
    gateway, device = params.get("gateway"), params.get("device")
    hop = NextHop(
        checks.address(gateway, f"{where}gateway") if gateway else None,
        checks.interface(device, f"{where}device") if device else None,
        _weight(params.get("weight"), where),
        bool(params.get("onlink")),
    )
    if hop.gateway is not None and (hop.gateway.is_unspecified or hop.gateway.is_multicast or hop.gateway.is_loopback):
        raise InvalidInput(
            f"{where}gateway: {gateway} can't be a gateway; give the address of a neighbour, such as 192.168.15.5."
        )
    if hop.onlink and (hop.gateway is None or hop.device is None):
        raise InvalidInput(f"{where}onlink: this needs both a gateway and the device behind which it is.")
    if where and hop.gateway is None and hop.device is None:
        raise InvalidInput(f"{where.rstrip('.')} names neither a gateway nor a device; give one of them.")
    return hop


def _weight(value: int | None, where: str) -> int:
    weight = 1 if value is None else value
    if not 1 <= weight <= 256:
        raise InvalidInput(f"{where}weight: {weight} is impossible; give 1 to 256.")
    return weight


def _metric(value: int | None, version: int) -> int:
    if value is None:
        return route.default_metric(version)
    if not 0 <= value <= 0xFFFFFFFF:
        raise InvalidInput(f"metric: {value} is impossible; give 0 to 4294967295, a smaller one is preferred.")
    return value or route.default_metric(version)


def _table(text: str) -> int:
    if text in route.TABLES:
        return route.TABLES[text]
    if not re.fullmatch("[0-9]{1,10}", text) or not 1 <= int(text) <= 0xFFFFFFFF:
        raise InvalidInput(
            f"table: {text!r} is no routing table; give main, local, default or a number from 1 to 4294967295."
        )
    return int(text)


def _check_families(wanted: Route) -> None:
    version = wanted.destination.version
    named = [("source", wanted.source), *(("gateway", hop.gateway) for hop in wanted.hops)]
    for option, address in named:
        if address is not None and address.version != version:
            raise InvalidInput(
                f"{option}: {address} is IPv{address.version} but the destination {wanted.destination} is IPv{version}; "
                "give both in one family, and a task for each family."
            )


def _check_shape(wanted: Route, present: bool) -> None:
    if wanted.type != "unicast" and (wanted.hops or wanted.mtu):
        raise InvalidInput(
            f"type: a {wanted.type} route leads nowhere, so it takes no gateway, device, nexthops or mtu. Remove them or the type."
        )
    if present and wanted.type == "unicast" and not wanted.hops:
        raise InvalidInput(
            f"the route to {wanted.destination} leads nowhere: give gateway, device or nexthops, or a type such as blackhole."
        )
