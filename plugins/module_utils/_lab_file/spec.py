# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""A lab as values, complete: templates are unfolded, names shortened, addresses chosen, routes lead through a device.

The host is one node and each namespace is another; all nodes can hold the same things.
"""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass

from .._objects.checks import Interface
from .._objects.forward import Forward
from .._objects.impairment import Impairment
from .._objects.link import Options, Peer
from .._objects.masquerade import Masquerade
from .._objects.route import Route

Path = tuple[t.Union[str, int], ...]
"""Where in the lab file something is said, such as ``("namespaces", "red", "gateway", 0)``."""


@dataclass(frozen=True)
class LinkSpec:
    """One interface as it is to be; only what is None stays as it is."""

    netns: str | None
    name: str
    kind: str
    """veth, bridge, vlan, vxlan, macvlan or dummy."""
    addresses: tuple[Interface, ...] = ()
    mac: str | None = None
    mtu: int = 1500
    up: bool = True
    bridge: str | None = None
    """The bridge in the same namespace that it is a port of."""
    hairpin: bool | None = None
    """None when it is no port."""
    peer: Peer | None = None
    """The other end of a veth."""
    parent: str | None = None
    """The interface in the same namespace that a vlan, macvlan or vxlan stands on."""
    options: Options | None = None
    """What the kind has of its own, complete."""
    impairment: Impairment | None = None
    overlap: bool = False
    path: Path = ()


@dataclass(frozen=True)
class Node:
    """The host (``netns`` None) or one namespace, with all that the lab has in it."""

    netns: str | None
    links: tuple[LinkSpec, ...] = ()
    routes: tuple[Route, ...] = ()
    """Complete but for devices that only the host knows."""
    sysctls: tuple[tuple[str, str], ...] = ()
    nameservers: tuple[str, ...] | None = None
    masquerades: tuple[Masquerade, ...] = ()
    forwards: tuple[Forward, ...] = ()
    path: Path = ()


@dataclass(frozen=True)
class LabSpec:
    """A whole lab. Each cable is in it twice, once from each end."""

    name: str
    host: Node
    namespaces: tuple[Node, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    """What the file calls an interface and what it is called because that is too long, in the order of the file."""
    chosen: tuple[tuple[str, tuple[Interface, ...]], ...] = ()
    """The addresses that were chosen for ``addresses: auto``, by ``namespace/interface`` (``/interface`` on the host)."""

    @functools.cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, the host first."""
        return (self.host, *self.namespaces)
