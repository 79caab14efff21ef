# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The nodes of a lab while it is laid out: interfaces and bridges that know each other, and who shares a layer-2 segment."""

from __future__ import annotations

import typing as t

from .parts import BridgeDraft, InterfaceDraft
from .services import ForwardDraft, RouteDraft, Setting
from .spec import LinkSpec, Masquerade, Path
from .values import Held

PLAIN_END = InterfaceDraft(None, LinkSpec(netns=None, name="", kind="veth"))
"""The other end of a cable, of which the file says nothing else."""


class NodeDraft(t.NamedTuple):
    """What the file says of the host or a namespace. Places are seen from the node's own."""

    interfaces: tuple[tuple[str, InterfaceDraft, Path], ...] = ()
    bridges: tuple[tuple[str, BridgeDraft, Path], ...] = ()
    routes: tuple[RouteDraft, ...] = ()
    sysctls: tuple[Setting, ...] = ()
    nameservers: tuple[str, ...] | None = None
    masquerades: tuple[tuple[Masquerade, Path], ...] = ()
    forwards: tuple[ForwardDraft, ...] = ()


class Segment:
    """Those who hear each other without a router: in it an address, and a MAC address, is given once."""

    __slots__ = ("_into", "_vlans", "macs", "taken", "tried")

    def __init__(self) -> None:
        self._into: Segment | None = None
        self._vlans: dict[t.Any, Segment] = {}
        self.taken: dict[int, Interface | Bridge] = {}
        """Who has an address, by ``Held.key``."""
        self.macs: dict[str, Interface | Bridge] = {}
        self.tried: dict[int, int] = {}
        """Of each subnet, by its identity, the address up to which none is free."""

    @property
    def whole(self) -> Segment:
        """The segment that this one has become a part of."""
        found = self
        while found._into is not None:
            found = found._into
        return found

    def join(self, other: Segment) -> bool:
        """Make one of two segments, both of them empty yet; False when they are one already."""
        one, two = self.whole, other.whole
        if one is two:
            return False
        if one._has(two) or two._has(one):
            return True  # a VLAN that is led back into what it is on: who hears whom is for nobody to say
        two._into = one
        for tag, part in two._vlans.items():
            one.vlan(tag).join(part)
        return True

    def _has(self, other: Segment) -> bool:
        """Whether another one is a VLAN of this one, or of its VLANs."""
        return any(part.whole is other or part.whole._has(other) for part in self._vlans.values())

    def vlan(self, tag: t.Any) -> Segment:
        """The segment of those who use a tag in this one."""
        return self.whole._vlans.setdefault(tag, Segment())


class Bridge:
    """One bridge."""

    __slots__ = ("bridge", "draft", "held", "mtu", "name", "path", "ports", "segment", "short", "site")

    def __init__(self, site: Site, name: str, short: str, draft: BridgeDraft, path: Path) -> None:
        self.site, self.name, self.short, self.draft, self.path = site, name, short, draft, path
        self.held = draft.held
        self.mtu = draft.spec.mtu
        self.ports = 0
        self.bridge: Bridge | None = None  # it is in none, which is asked of interfaces too
        self.segment = Segment()


class Interface:
    """One interface that is no bridge."""

    __slots__ = ("bridge", "draft", "held", "mtu", "name", "path", "peer", "segment", "short", "site")

    def __init__(self, site: Site, name: str, short: str, draft: InterfaceDraft, path: Path) -> None:
        self.site, self.name, self.short, self.draft, self.path = site, name, short, draft, path
        self.held: tuple[Held, ...] = draft.held
        self.mtu = draft.spec.mtu
        self.bridge: Bridge | None = None
        self.peer: Interface | None = None
        self.segment: Segment | None = None


Part = t.Union[Bridge, Interface]


class Site:
    """The host or one namespace."""

    __slots__ = ("bridges", "draft", "ends", "interfaces", "labels", "netns", "path", "ports")

    def __init__(self, netns: str | None, draft: NodeDraft, path: Path) -> None:
        self.netns, self.draft, self.path = netns, draft, path
        self.labels: dict[str, Part] = {}
        """All that is in it, by the name that the kernel gets."""
        self.bridges: list[Bridge] = []
        self.interfaces: list[Interface] = []
        self.ends: list[Interface] = []
        """Ends of cables that are said at the other end only."""
        self.ports: list[Interface] = []
        """The ends at its bridges of cables from elsewhere."""

    @property
    def title(self) -> str:
        """The node in messages."""
        return "the host" if self.netns is None else self.netns


def title(part: Part) -> str:
    """An interface or bridge in messages."""
    return f"{part.name} of {part.site.title}"
