# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The last look at each node: what runs over its interfaces is finished, and all of it becomes a value."""

from __future__ import annotations

import typing as t

from .._kernel import procsys
from .._objects.forward import Forward
from .._objects.link import Peer
from .._objects.masquerade import Masquerade
from .nodes import Interface, Part, Site, title
from .problems import Problems, lacks
from .routes import Routes
from .services import Setting
from .spec import LinkSpec, Node
from .templates import raw
from .translation import Translation
from .values import variant
from .wiring import Wiring

_PEER = Peer(None, "")
_NODE = Node(None)
_LEAST6 = 1280  # bytes, RFC 8200; the kernel takes IPv6 away from an interface with less
_NO_DEVICE = ("all", "default", "lo")


class Finish:
    """Makes the nodes of the lab as they are to be, once everything is plugged and has its addresses."""

    def __init__(self, wiring: Wiring, problems: Problems) -> None:
        self._wiring = wiring
        self._problems = problems
        self._routes = Routes(wiring, problems)
        self._translation = Translation(wiring, problems)

    def node(self, site: Site) -> Node:
        """One node."""
        self._problems.who = site.netns
        draft = site.draft
        own: list[Part] = [part for part in site.bridges if part.held]
        own += [part for part in site.interfaces if part.held]
        for part in own:
            if part.mtu < _LEAST6:
                self._check_mtu(part)
        if len(own) > 1:
            self._check_networks(own)
        masquerades: tuple[Masquerade, ...] = ()
        forwards: tuple[Forward, ...] = ()
        settings = draft.sysctls
        if draft.masquerades or draft.forwards:
            masquerades, forwards, settings = self._translation.of(site, own)
        return variant(
            _NODE,
            netns=site.netns,
            links=self._links(site),
            routes=self._routes.of(site, own) if draft.routes else (),
            sysctls=self._settings(site, settings) if settings else (),
            nameservers=draft.nameservers,
            masquerades=masquerades,
            forwards=forwards,
            path=site.path,
        )

    def _check_mtu(self, part: Part) -> None:
        if any(held.subnet.version == 6 for held in part.held):
            self._problems.add(
                (*part.path, "mtu"),
                f"{title(part)} has IPv6 addresses, which need {_LEAST6} bytes at least, and it has {part.mtu}. Raise it.",
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

    def _links(self, site: Site) -> tuple[LinkSpec, ...]:
        """Bridges, then the others, then ports of cables from elsewhere."""
        netns = site.netns
        out = [
            variant(
                bridge.draft.spec,
                netns=netns,
                name=bridge.short,
                path=bridge.path,
                addresses=tuple([held.interface for held in bridge.held]),
            )
            for bridge in site.bridges
        ]
        for parts in (site.interfaces, site.ends, site.ports):
            out += [self._link(netns, part) for part in parts]
        return tuple(out)

    def _link(self, netns: str | None, part: Interface) -> LinkSpec:
        peer, bridge, draft = part.peer, part.bridge, part.draft
        changes: dict[str, t.Any] = {"netns": netns, "name": part.short, "mtu": part.mtu, "path": part.path}
        if part.held:
            changes["addresses"] = tuple([held.interface for held in part.held])
        if bridge is not None:
            changes["bridge"] = bridge.short
            changes["hairpin"] = _reflects(part)
        if peer is not None:
            changes["peer"] = variant(_PEER, netns=peer.site.netns, name=peer.short)
        if draft.spec.parent is not None:
            lower = self._wiring.find(part.site, draft.spec.parent)
            changes["parent"] = draft.spec.parent if lower is None else lower.short
        return variant(draft.spec, **changes)

    # ---- settings

    def _settings(self, site: Site, settings: tuple[Setting, ...]) -> tuple[tuple[str, str], ...]:
        """Settings and values; those of one device name it as the kernel does."""
        return tuple([(self._setting(site, name), value) for name, value in settings])

    def _setting(self, site: Site, name: str) -> str:
        if ".conf." not in name and ".neigh." not in name and "/" not in name:
            return str(name)
        parts = procsys.parts(name)
        if len(parts) != 5 or parts[2] not in ("conf", "neigh") or parts[3] in _NO_DEVICE:
            return str(name)
        found = self._wiring.find(site, parts[3])
        if found is None and site.netns is not None:
            known = [part.name for part in site.labels.values()]
            self._problems.add((*site.path, "sysctls", raw(name)), lacks(site.title, "interface", parts[3], known))
        if found is None or found.short == parts[3]:
            return str(name)
        return ".".join([*parts[:3], found.short.replace(".", "/"), parts[4]])


def _reflects(part: Interface) -> bool:
    """Whether a port is in hairpin mode: with ``bridge`` this is said at the other end of its cable."""
    if part.draft.master is not None:
        return part.draft.hairpin is True
    peer = t.cast(Interface, part.peer)
    return peer.draft.hairpin is True and peer.draft.master is None
