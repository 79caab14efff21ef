# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What stands on what: VLANs, macvlans and VXLANs on their parents, and who shares a layer-2 segment in the end."""

from __future__ import annotations

import typing as t

from .._errors import InvalidInput
from .._objects import checks
from .._objects.link_options import MacvlanOptions, VlanOptions, VxlanOptions
from .nodes import Bridge, Interface, Part, Segment, Site, title
from .parts import MTU
from .problems import Problems, lacks
from .wiring import Wiring

_HEADERS = {4: 50, 6: 70}  # bytes of Ethernet, IP, UDP and VXLAN around each packet (RFC 7348)


class Stack:
    """Stands interfaces on their parents: their MTUs and segments are known afterwards."""

    def __init__(self, wiring: Wiring, problems: Problems) -> None:
        self._wiring = wiring
        self._problems = problems
        self._done: set[Interface] = set()
        self._outside: dict[str, Segment] = {}
        """The segments of interfaces of the host that the file only mentions."""
        self._closing: list[tuple[Interface, Bridge]] = []
        """Cables between bridges that are connected without them, with one of the bridges."""

    def settle(self) -> None:
        """Do it for all nodes."""
        for site in self._wiring.sites.values():
            self._plugged(site)
        if self._closing:
            self._check_loops()
        for site in self._wiring.sites.values():
            self._problems.who = site.netns
            uppers = [part for part in site.interfaces if part.draft.said not in ("bridge", "cable", None)]
            for part in uppers:
                self._stand(part, [])
            if len(uppers) > 1:
                self._neighbours(site, uppers)

    def _plugged(self, site: Site) -> None:
        """The segments of cables: those of the bridges that they lead to, or their own."""
        for end in (*site.interfaces, *site.ends):
            peer = end.peer
            if peer is None or end.segment is not None:
                continue
            if peer.bridge is not None:
                if end.bridge is not None and not peer.bridge.segment.join(end.bridge.segment):
                    self._closing.append((end, end.bridge))
                end.segment = peer.segment = peer.bridge.segment
            elif end.bridge is not None:
                end.segment = peer.segment = end.bridge.segment
            else:
                end.segment = peer.segment = Segment()

    def _check_loops(self) -> None:
        """In a loop of bridges a broadcast goes round until somebody cuts it, unless a spanning tree does so first."""
        safe = {
            bridge.segment.whole
            for site in self._wiring.sites.values()
            for bridge in site.bridges
            if bridge.draft.has("stp") or bridge.draft.has("vlan_filtering")
        }
        for end, bridge in self._closing:
            peer = t.cast(Interface, end.peer)
            if end.draft.spec.up and peer.draft.spec.up and bridge.segment.whole not in safe:
                self._problems.who = end.site.netns
                self._problems.add(
                    end.path,
                    f"this cable closes a loop of bridges, in which broadcasts would go round for ever. "
                    f"Set stp: true on {title(bridge)} and the others, or up: false here.",
                )

    def _stand(self, part: Interface, above: list[Interface]) -> None:
        """Settle one interface, after what it stands on."""
        if part in self._done:
            return
        if part in above:
            loop = [*above[above.index(part) :], part]
            self._problems.add(
                (*part.path, t.cast(str, part.draft.said), "parent"),
                f"{' stands on '.join(each.name for each in loop)}: none of them can be made first. Choose another parent.",
            )
            self._done.update(loop)
            return
        name = part.draft.spec.parent
        lower = self._parent(part, name) if name is not None else None
        if isinstance(lower, Interface) and lower.draft.said in ("vlan", "macvlan", "vxlan"):
            self._stand(lower, [*above, part])
        if part in self._done:
            return
        self._done.add(part)
        if lower is not None and lower is part.bridge:
            self._problems.add(
                (*part.path, "master"), f"{part.name} stands on {lower.name}, so it can't be a port of it."
            )
        self._fit(part, lower)
        self._join(part, lower, name)

    def _parent(self, part: Interface, name: str) -> Part | None:
        found = self._wiring.find(part.site, name)
        path = (*part.path, t.cast(str, part.draft.said), "parent")
        if found is None and part.site.netns is not None:
            known = [each.name for each in part.site.labels.values() if each is not part]
            self._problems.add(path, lacks(part.site.title, "interface", name, known))
        elif found is None:
            try:
                checks.interface(name, "parent")
            except InvalidInput as error:
                self._problems.refused(path, error)
        elif part.draft.said == "macvlan" and found.bridge is not None:
            self._problems.add(
                path,
                f"{title(found)} is a port of a bridge, and no macvlan can stand on one. Say parent: {found.bridge.name}.",
            )
        return found

    def _fit(self, part: Interface, lower: Part | None) -> None:
        """The MTU: at most what the parent has room for."""
        options = part.draft.spec.options
        room = lower.mtu if lower is not None else MTU
        if isinstance(options, VxlanOptions):
            end = options.remote or options.local
            room -= _HEADERS[end.version if end else 4]
            usual = min(room, MTU - _HEADERS[4])
        elif options is None:
            return
        else:
            usual = room
        wanted = part.draft.mtu
        part.mtu = usual if wanted is None else wanted
        if wanted is not None and lower is not None and wanted > room:
            self._problems.add(
                (*part.path, "mtu"),
                f"{wanted} is more than fits: its parent {lower.name} has {lower.mtu}, which leaves {room}. "
                f"Raise that one, or give {room}.",
            )

    def _join(self, part: Interface, lower: Part | None, name: str | None) -> None:
        options = part.draft.spec.options
        segment = part.bridge.segment if part.bridge is not None else Segment()
        if isinstance(options, (VlanOptions, MacvlanOptions)) and name is not None:
            under = lower.segment if lower is not None else self._outside.setdefault(name, Segment())
            if under is not None:
                below = under.vlan((options.protocol, options.id)) if isinstance(options, VlanOptions) else under
                below.join(segment)
        part.segment = segment

    def _neighbours(self, site: Site, uppers: t.Sequence[Interface]) -> None:
        """What only one interface of a namespace, or on a parent, can be."""
        seen: dict[t.Any, Interface] = {}
        for part in uppers:
            options, parent = part.draft.spec.options, part.draft.spec.parent
            if isinstance(options, VlanOptions):
                what = f"VLAN {options.id} of {parent} ({options.protocol})"
            elif isinstance(options, VxlanOptions):
                what = f"VXLAN {options.id} at port {options.port}"
            else:
                continue
            other = seen.setdefault(what, part)
            if other is not part:
                self._problems.add(
                    (*part.path, t.cast(str, part.draft.said), "id"),
                    f"{other.name} is {what} already. Give another id, or remove one of them.",
                )
        self._alone([part for part in uppers if isinstance(part.draft.spec.options, MacvlanOptions)])

    def _alone(self, macvlans: t.Sequence[Interface]) -> None:
        """A macvlan in passthru mode has its parent for itself."""
        first: dict[str | None, Interface] = {}
        for part in macvlans:
            parent = part.draft.spec.parent
            other = first.setdefault(parent, part)
            modes = [t.cast(MacvlanOptions, each.draft.spec.options).mode for each in (other, part)]
            if other is not part and "passthru" in modes:
                self._problems.add(
                    (*part.path, "macvlan"),
                    f"a macvlan in passthru mode has its parent for itself, and {parent} has {other.name} too. Choose another mode.",
                )
