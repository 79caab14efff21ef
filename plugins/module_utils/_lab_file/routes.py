# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Routes of a node: each gateway is in a connected network, and leads through a device by the kernel's name for it."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .._objects.route import NextHop, Route
from .nodes import Part, Site, title
from .problems import Problems, lacks, some
from .services import RouteDraft
from .spec import Path
from .values import Held, variant
from .wiring import Wiring

Networks = t.Sequence["tuple[Held, Part]"]


class Routes:
    """Finds the ways of all routes."""

    def __init__(self, wiring: Wiring, problems: Problems) -> None:
        self._wiring = wiring
        self._problems = problems
        self._hops: dict[t.Any, tuple[NextHop, ...]] = {}

    def of(self, site: Site, own: t.Sequence[Part]) -> tuple[Route, ...]:
        """The routes of a node; ``own`` are its interfaces and bridges that have addresses."""
        networks = [(held, part) for part in own for held in part.held]
        drafts = site.draft.routes
        if len(drafts) > 1:
            self._check_doubles(site, drafts)
        out = []
        for draft in drafts:
            if draft.route.source is not None and site.netns is not None:
                self._check_source(site, draft, networks)
            devices = [self._device(site, draft, number, networks) for number in range(len(draft.gateways))]
            out.append(self._through(draft, site, devices))
        return tuple(out)

    def _check_doubles(self, site: Site, drafts: t.Iterable[RouteDraft]) -> None:
        seen: dict[t.Any, RouteDraft] = {}
        for draft in drafts:
            if seen.setdefault(draft.key, draft) is not draft:
                route = draft.route
                where = (
                    route.destination if route.destination.prefixlen else f"everywhere (IPv{route.destination.version})"
                )
                self._problems.add(
                    site.path + draft.path,
                    f"there are two routes to {where} with metric {route.metric}. Remove one, or give it another metric.",
                )

    def _check_source(self, site: Site, draft: RouteDraft, networks: Networks) -> None:
        addresses = [str(held.interface.ip) for held, _part in networks]
        if str(draft.route.source) not in addresses:
            self._problems.add(
                (*site.path, *draft.path, "source"),
                f"{draft.route.source} is no address of {site.title}. Its addresses are {some(addresses)}.",
            )

    def _through(self, draft: RouteDraft, site: Site, devices: list[str | None]) -> Route:
        """The route through these devices; thousands of namespaces may have the same hops."""
        key = (id(draft), *devices)
        hops = self._hops.get(key)
        if hops is None:
            hops = tuple(replace(hop, device=device) for hop, device in zip(draft.route.hops, devices))
            self._hops[key] = hops
        return variant(draft.route, netns=site.netns, hops=hops)

    # ---- one hop

    def _device(self, site: Site, draft: RouteDraft, number: int, networks: Networks) -> str | None:
        """The device that a hop leads through; None where only the host can know."""
        hop = draft.route.hops[number]
        named = None
        if hop.device is not None:
            named = self._named(site, hop.device, _place(site, draft, number, "device"))
            if named is None:
                return hop.device
        gateway = draft.gateways[number]
        if gateway >= 0 and not hop.onlink:
            way = self._way(site, draft, number, named, networks)
            return named.short if way is None and named is not None else way
        return None if named is None else named.short

    def _way(self, site: Site, draft: RouteDraft, number: int, named: Part | None, networks: Networks) -> str | None:
        """The device whose network has the gateway; the longest prefix wins."""
        gateway, address = draft.gateways[number], t.cast(t.Any, draft.route.hops[number].gateway)
        version = address.version
        best: Held | None = None
        way: Part | None = None
        for held, part in networks:
            subnet = held.subnet
            if not subnet.low <= gateway <= subnet.high or subnet.version != version:
                continue
            if held.number == gateway:
                problem = f"{address} is an address of {site.title} itself. Give that of a neighbour."
                self._problems.add(_place(site, draft, number, "gateway"), problem)
            fits = named in (None, part) and part.draft.spec.up
            if fits and (best is None or subnet.prefixlen > best.subnet.prefixlen):
                best, way = held, part
        if way is not None:
            return way.short
        link_local = version == 6 and address.is_link_local
        if (link_local and named is None) or (not link_local and site.netns is not None and not _unsure(site)):
            problem = _unreachable(site, address, named, networks)
            self._problems.add(_place(site, draft, number, "gateway"), problem)
        return None

    def _named(self, site: Site, name: str, path: Path) -> Part | None:
        """A device that a route names; None for one that only the host knows."""
        found = self._wiring.find(site, name)
        if found is None:
            if site.netns is not None and name != "lo":
                known = [part.name for part in site.labels.values()]
                self._problems.add(path, lacks(site.title, "interface", name, known))
        elif found.bridge is not None:
            self._problems.add(
                path,
                f"{title(found)} is a port of a bridge, and packets leave by the bridge. Say device: {found.bridge.name}.",
            )
        elif not found.draft.spec.up:
            self._problems.add(path, f"{title(found)} is down, and routes need what is up. Remove up: false.")
        return found


def _place(site: Site, draft: RouteDraft, number: int, option: str) -> Path:
    """Where the file says something of a hop."""
    base = site.path + draft.path
    if draft.path[0] == "gateway":
        return base
    return (*base, "nexthops", number, option) if len(draft.route.hops) > 1 else (*base, option)


def _unsure(site: Site) -> bool:
    """Whether an address of the node could not be chosen: that is a problem already, and what follows from it is none."""
    return any(part.draft.auto and not part.held for part in site.interfaces)


def _unreachable(site: Site, gateway: t.Any, named: Part | None, networks: Networks) -> str:
    """The sentence about a gateway that is in no connected network."""
    if gateway.version == 6 and gateway.is_link_local:
        return f"{gateway} is link-local, which means nothing without a device: say it under routes, with device."
    theirs = [(held, part) for held, part in networks if held.subnet.version == gateway.version]
    down = [part.name for held, part in theirs if not part.draft.spec.up and gateway in held.subnet.network]
    if down:
        return f"{gateway} is behind {down[0]}, which is down. Remove up: false, or choose another gateway."
    near = [f"{held.subnet} ({part.name})" for held, part in theirs if part.draft.spec.up]
    through = f" by {named.name}" if named is not None else ""
    there = f"Its networks are {some(near)}." if near else f"It has no IPv{gateway.version} network."
    return f"{gateway} can't be reached{through}: it is in no network that {site.title} is connected to. {there}"
