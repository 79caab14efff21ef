# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Plugging: each cable gets its two ends, each port its bridge, each vlan and the like what it stands on."""

from __future__ import annotations

import typing as t

from .._errors import InvalidInput
from . import names
from .nodes import PLAIN_END, Bridge, Interface, Part, Site, title
from .problems import Problems, guess, lacks, where
from .spec import Path

PORTS = 1023
"""What a bridge takes: its ports have numbers of 10 bits, and none is 0 (BR_MAX_PORTS in net/bridge/br_private.h)."""


class Wiring:
    """All nodes of a lab by name, and how they are connected."""

    def __init__(self, lab: str, problems: Problems) -> None:
        self._lab = lab
        self._problems = problems
        self.sites: dict[str | None, Site] = {}
        self.names: list[tuple[str, str]] = []
        """What was shortened, and to what."""

    # ---- placing

    def place(self, site: Site) -> None:
        """Take a node in with all that the file has in it."""
        self.sites[site.netns] = site
        self._problems.who = site.netns
        draft, labels = site.draft, site.labels
        for name, bridge_draft, suffix in draft.bridges:
            path = site.path + suffix
            short = self._label(site, name, path)
            if short is not None:
                bridge = labels[short] = Bridge(site, name, short, bridge_draft, path)
                site.bridges.append(bridge)
        for name, interface_draft, suffix in draft.interfaces:
            path = site.path + suffix
            short = self._label(site, name, path)
            if short is not None:
                made = labels[short] = Interface(site, name, short, interface_draft, path)
                site.interfaces.append(made)
                if interface_draft.master is not None:
                    self._into_master(made)

    def _label(self, site: Site, name: str, path: Path) -> str | None:
        """The name for the kernel; None when it can't be had."""
        try:
            short = names.interface(self._lab, site.netns, name)
        except InvalidInput as error:
            self._problems.refused(path, error)
            return None
        if short != name:
            self.names.append((names.spoken(site.netns, name), short))
        other = site.labels.get(short)
        if other is None:
            return short
        hint = (
            ""
            if path == (*other.path, "port") or "interfaces" not in path
            else ", or say port for the end of a cable at a bridge"
        )
        self._problems.add(
            path,
            f"{site.title} would have two interfaces {name}: the other one is from {where(other.path)}. Choose another name{hint}.",
        )
        return None

    def find(self, site: Site, name: str) -> Part | None:
        """What the file calls so in a node."""
        found = site.labels.get(name)
        if found is None and len(name.encode()) > names.SIZE:
            found = site.labels.get(names.shortened(self._lab, site.netns, name))
        return found

    def _into_master(self, made: Interface) -> None:
        name = t.cast(str, made.draft.master)
        bridge = self.find(made.site, name)
        if isinstance(bridge, Bridge):
            made.bridge = bridge
            bridge.ports += 1
        else:
            known = [each.name for each in made.site.bridges]
            self._problems.add((*made.path, "master"), lacks(made.site.title, "bridge", name, known))

    # ---- plugging

    def plug(self) -> None:
        """Connect everything."""
        for site in self.sites.values():
            self._problems.who = site.netns
            for end in site.interfaces:
                said = end.draft.said
                if end.draft.target is None:
                    continue
                if said == "bridge":
                    self._to_bridge(end, *end.draft.target)
                else:
                    self._to_end(end, *end.draft.target)
        for site in self.sites.values():
            self._problems.who = site.netns
            for end in site.interfaces:
                if end.draft.said is None and end.peer is None:
                    self._problems.add(
                        end.path,
                        "this is the end of no cable: give it bridge, cable, vlan, macvlan, vxlan or dummy, or name it at the other end.",
                    )
        self._count_ports()

    def _site(self, netns: str | None, path: Path) -> Site | None:
        site = self.sites.get(netns)
        if site is None:
            known = [name for name in self.sites if name is not None]
            self._problems.add(path, f"there is no namespace {netns} in this file.{guess(t.cast(str, netns), known)}")
        return site

    def _to_bridge(self, end: Interface, netns: str | None, name: str) -> None:
        site = self._site(netns, (*end.path, "bridge"))
        if site is None:
            return
        bridge = site.labels.get(name) or self.find(site, name)
        if not isinstance(bridge, Bridge):
            self._problems.add((*end.path, "bridge"), self._no_bridge(end, site, name, bridge))
            return
        if end.bridge is bridge:
            self._problems.add(
                (*end.path, "bridge"),
                f"both ends of this cable would be ports of {title(bridge)}. Choose another bridge.",
            )
            return
        wanted = end.draft.port
        called = names.port(end.site.netns, end.name) if wanted is None else wanted
        short = self._label(site, called, end.path if wanted is None else (*end.path, "port"))
        if short is None:
            return
        port = site.labels[short] = Interface(site, called, short, PLAIN_END, end.path)
        port.bridge, port.peer, end.peer, port.mtu = bridge, end, port, end.mtu
        bridge.ports += 1
        site.ports.append(port)

    def _no_bridge(self, end: Interface, site: Site, name: str, found: Part | None) -> str:
        if found is not None:
            return f"{title(found)} is no bridge. For a cable to it say cable: {names.spoken(site.netns, name)}."
        if site.netns is None and isinstance(self.find(end.site, name), Bridge):
            return (
                f"the host has no bridge {name}, but {end.site.title} has one: for a port of it say "
                f"bridge: {end.site.netns}/{name}, or master: {name} at the end of a cable."
            )
        known = [bridge.name for bridge in site.bridges]
        return lacks(site.title, "bridge", name, known)

    def _to_end(self, end: Interface, netns: str | None, name: str) -> None:
        path = (*end.path, "cable")
        site = self._site(netns, path)
        if site is None:
            return
        other = self.find(site, name)
        if other is None:
            self._new_end(end, site, name, path)
            return
        wrong = self._wrong_end(end, other)
        if wrong is not None:
            self._problems.add(path, wrong)
            return
        self._join(end, t.cast(Interface, other))

    @staticmethod
    def _wrong_end(end: Interface, other: Part) -> str | None:
        """Why a cable can't lead to somebody; None when it can."""
        if other is end:
            return "this cable would lead from the interface to itself. Name the other end."
        there = names.spoken(other.site.netns, other.name)
        if isinstance(other, Bridge):
            return f"{title(other)} is a bridge: say bridge: {there.lstrip('/')}."
        if other.draft.said not in ("cable", None) or (other.draft is PLAIN_END and other in other.site.ports):
            return f"{title(other)} is no free end of a cable. Name another interface, or one that is not in the file."
        here = (end.site.netns, end.name)
        if other.draft.target not in (None, here):
            back = names.spoken(*other.draft.target)
            return f"the ends disagree: {title(other)} says cable: {back}. Say cable: {names.spoken(*here)} there, or choose another end."
        if other.peer not in (None, end):
            return f"{title(other)} has a cable to {title(other.peer)} already. Choose another end."
        return None

    def _new_end(self, end: Interface, site: Site, name: str, path: Path) -> None:
        short = self._label(site, name, path)
        if short is not None:
            other = site.labels[short] = Interface(site, name, short, PLAIN_END, end.path)
            other.mtu = end.mtu
            site.ends.append(other)
            self._join(end, other)

    def _join(self, end: Interface, other: Interface) -> None:
        end.peer, other.peer = other, end
        if end.bridge is not None and end.bridge is other.bridge:
            self._problems.add(
                (*end.path, "cable"),
                f"both ends of this cable would be ports of {title(end.bridge)}. Choose another bridge.",
            )

    def _count_ports(self) -> None:
        for site in self.sites.values():
            self._problems.who = site.netns
            for bridge in site.bridges:
                if bridge.ports > PORTS:
                    self._problems.add(
                        bridge.path,
                        f"{bridge.ports} ports would be in {title(bridge)}, and a bridge takes {PORTS} at most. "
                        "Spread them over more bridges.",
                    )
