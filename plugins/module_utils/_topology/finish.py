# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The last look at each node: its routes find their way, its forwards their target, and all of it becomes a value."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .._kernel import procsys
from .._objects.forward import Forward
from .._objects.link import Peer
from .._objects.masquerade import Masquerade
from .._objects.route import Route
from .nodes import Part, Site, title
from .problems import Problems, guess, some
from .services import RouteDraft
from .spec import LinkSpec, Node, Path
from .translation import Translation
from .values import Held, variant
from .wiring import Wiring

_PEER = Peer(None, "")
_NODE = Node(None)


class Finish:
    """Makes the nodes of the lab as they are to be, once everything is plugged and has its addresses."""

    def __init__(self, lab: str, wiring: Wiring, problems: Problems) -> None:
        self._lab = lab
        self._wiring = wiring
        self._problems = problems
        self._hops: dict[t.Any, t.Any] = {}
        self._translation = Translation(wiring, problems)

    def node(self, site: Site) -> Node:
        """One node."""
        self._problems.who = site.netns
        draft = site.draft
        own = [part for part in (*site.bridges, *site.interfaces) if part.held]
        if len(own) > 1:
            self._check_networks(own)
        masquerades: tuple[Masquerade, ...] = ()
        forwards: tuple[Forward, ...] = ()
        settings = draft.sysctls
        if draft.masquerades or draft.forwards:
            masquerades = self._translation.masquerades(site)
            forwards = self._translation.forwards(site, own)
            settings = self._translation.settings(site, (*masquerades, *forwards))
        return variant(
            _NODE,
            netns=site.netns,
            links=tuple(self._links(site)),
            routes=self._routes(site, own) if draft.routes else (),
            sysctls=self._sysctls(site, settings) if settings else (),
            nameservers=draft.nameservers,
            masquerades=masquerades,
            forwards=forwards,
            path=site.path,
        )

    def _check_networks(self, own: t.Sequence[Part]) -> None:
        """One network is on one interface: of two the kernel would use only one."""
        seen: dict[int, Part] = {}
        for part in own:
            for held in part.held:
                subnet = held.subnet
                if subnet.first == subnet.last or (subnet.version == 6 and held.interface.is_link_local):
                    continue
                other = seen.setdefault(id(subnet), part)
                if other is not part and not (part.draft.spec.overlap or other.draft.spec.overlap):
                    self._problems.add(
                        (*part.path, "addresses"),
                        f"{subnet} is the network of {title(other)} too, and packets to it would leave by one of them only. "
                        "Choose another network, or set allow_overlap: true.",
                    )

    # ---- links

    def _links(self, site: Site) -> t.Iterator[LinkSpec]:
        netns = site.netns
        for bridge in site.bridges:
            yield variant(
                bridge.draft.spec, netns=netns, name=bridge.short, path=bridge.path,
                addresses=tuple([held.interface for held in bridge.held]),
            )  # fmt: skip
        for part in site.all_interfaces:
            peer, bridge, draft = part.peer, part.bridge, part.draft
            changes: dict[str, t.Any] = {"netns": netns, "name": part.short, "mtu": part.mtu, "path": part.path}
            if part.held:
                changes["addresses"] = tuple([held.interface for held in part.held])
            if bridge is not None:
                changes["bridge"] = bridge.short
                # A port that the file does not mention is asked for at the other end of its cable.
                asked = (
                    draft if draft.master is not None or peer is None or peer.draft.master is not None else peer.draft
                )
                changes["hairpin"] = asked.hairpin is True
            if peer is not None:
                changes["peer"] = variant(_PEER, netns=peer.site.netns, name=peer.short)
            if draft.spec.parent is not None:
                lower = self._wiring.find(site, draft.spec.parent)
                changes["parent"] = draft.spec.parent if lower is None else lower.short
            yield variant(draft.spec, **changes)

    # ---- routes

    def _routes(self, site: Site, own: t.Sequence[Part]) -> tuple[Route, ...]:
        networks = [(held, part) for part in own for held in part.held]
        out = []
        seen: dict[t.Any, RouteDraft] = {}
        for draft in site.draft.routes:
            other = seen.setdefault(draft.key, draft)
            if other is not draft:
                self._problems.add(
                    site.path + draft.path,
                    f"there are two routes to {_destination(draft.route)} with metric {draft.route.metric}. Remove one, or give it another metric.",
                )
            hops = [self._hop(site, draft, number, gateway, networks) for number, gateway in enumerate(draft.gateways)]
            out.append(self._with_hops(draft, site, hops))
            if (
                draft.route.source is not None
                and site.netns is not None
                and not any(held.interface.ip == draft.route.source for held, _part in networks)
            ):
                self._problems.add(
                    (*site.path, *draft.path, "source"),
                    f"{draft.route.source} is no address of {site.title}. {_listed('Its addresses are', [str(held.interface.ip) for held, _part in networks])}",
                )
        return tuple(out)

    def _with_hops(self, draft: RouteDraft, site: Site, devices: list[str | None]) -> Route:
        """The route through these devices; thousands of namespaces may have the same hops."""
        key = (id(draft), *devices)
        hops = self._hops.get(key)
        if hops is None:
            hops = tuple(replace(hop, device=device) for hop, device in zip(draft.route.hops, devices))
            self._hops[key] = hops
        return variant(draft.route, netns=site.netns, hops=hops)

    def _hop(
        self, site: Site, draft: RouteDraft, number: int, gateway: int, networks: t.Sequence[tuple[Held, Part]]
    ) -> str | None:
        """The device that a hop leads through, by the name that the kernel has for it."""
        hop = draft.route.hops[number]
        named: Part | None = None
        if hop.device is not None:
            named = self._device(site, hop.device, _place(site, draft, number, "device"))
            if named is None:
                return hop.device
        if gateway < 0 or hop.onlink:
            return named.short if named is not None else None
        version = t.cast(t.Any, hop.gateway).version
        if version == 6 and t.cast(t.Any, hop.gateway).is_link_local:
            if named is None:
                self._problems.add(
                    _place(site, draft, number, "gateway"),
                    f"{hop.gateway} is link-local, which needs a device to mean anything. Say it under routes, with device.",
                )
            return named.short if named is not None else None
        best: Held | None = None
        way: Part | None = None
        for held, part in networks:
            subnet = held.subnet
            if (
                subnet.low <= gateway <= subnet.high
                and subnet.version == version
                and (named is None or named is part)
                and part.draft.spec.up
            ):
                if held.number == gateway:
                    self._problems.add(
                        _place(site, draft, number, "gateway"),
                        f"{hop.gateway} is an address of {site.title} itself. Give that of a neighbour.",
                    )
                if best is None or subnet.prefixlen > best.subnet.prefixlen:
                    best, way = held, part
        if way is None:
            if site.netns is not None:
                self._problems.add(
                    _place(site, draft, number, "gateway"), _unreachable(site, hop.gateway, named, networks)
                )
            return named.short if named is not None else None
        return way.short

    def _device(self, site: Site, name: str, path: Path) -> Part | None:
        """A device that a route names; None for one that only the host knows."""
        found = self._wiring.find(site, name)
        if found is None and site.netns is not None and name != "lo":
            known = [part.name for part in site.labels.values()]
            self._problems.add(
                path,
                f"{site.title} has no interface {name}.{guess(name, known) or ' It has ' + some(known, 'none') + '.'}",
            )
        elif found is not None and found.bridge is not None:
            self._problems.add(
                path,
                f"{title(found)} is a port of a bridge, and packets leave by the bridge. Say device: {found.bridge.name}.",
            )
        elif found is not None and not found.draft.spec.up:
            self._problems.add(
                path, f"{title(found)} is down, and no route leads through what is down. Remove up: false."
            )
        return found

    # ---- settings

    def _sysctls(self, site: Site, settings: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Settings of one device name it as the kernel does."""
        if not any(".conf." in name or ".neigh." in name or "/" in name for name, _value in settings):
            return settings
        out = []
        for name, value in settings:
            parts = procsys.parts(name)
            if len(parts) == 5 and parts[2] in ("conf", "neigh") and parts[3] not in ("all", "default", "lo"):
                found = self._wiring.find(site, parts[3])
                if found is None and site.netns is not None:
                    known = [part.name for part in site.labels.values()]
                    self._problems.add(
                        (*site.path, "sysctls", name),
                        f"{site.title} has no interface {parts[3]}.{guess(parts[3], known) or ' It has ' + some(known, 'none') + '.'}",
                    )
                if found is not None and found.short != parts[3]:
                    name = ".".join([*parts[:3], found.short.replace(".", "/"), parts[4]])
            out.append((name, value))
        return tuple(out)


def _place(site: Site, draft: RouteDraft, number: int, option: str) -> Path:
    """Where the file says something of a hop."""
    base = site.path + draft.path
    if draft.path[0] == "gateway":
        return base
    return (*base, "nexthops", number, option) if len(draft.route.hops) > 1 else (*base, option)


def _destination(route: Route) -> str:
    return str(route.destination) if route.destination.prefixlen else f"everywhere (IPv{route.destination.version})"


def _unreachable(site: Site, gateway: t.Any, named: Part | None, networks: t.Sequence[tuple[Held, Part]]) -> str:
    """The sentence about a gateway that is in no connected network."""
    near = [
        f"{held.subnet} ({part.name})"
        for held, part in networks
        if part.draft.spec.up and held.subnet.version == gateway.version
    ]
    down = [
        part.name
        for held, part in networks
        if not part.draft.spec.up and int(gateway) in held.subnet and held.subnet.version == gateway.version
    ]
    if down:
        return f"{gateway} is behind {down[0]}, which is down. Remove up: false, or choose another gateway."
    through = f" by {named.name}" if named is not None else ""
    return f"{gateway} can't be reached{through}: it is in no network that {site.title} is connected to. {_listed(f'Its IPv{gateway.version} networks are', near)}"


def _listed(words: str, things: t.Sequence[str]) -> str:
    return f"{words} {some(things, '')}." if things else "It has none."
