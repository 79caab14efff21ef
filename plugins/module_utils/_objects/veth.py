# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The wish for a veth cable: two ends, each in its namespace."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._engine.model import Item, State, Step
from .._errors import Conflict, InvalidInput, NotFound, NotOurs
from .._kernel.kernel import Kernel
from . import address, checks, link, machine, route, sysctl
from .checks import Interface
from .link import Link, Peer
from .link_steps import VethPair, changed
from .words import place


@dataclass(frozen=True)
class End:
    """What is wanted of one end; None stands for 'as it is', an empty ``bridge`` for 'in none'."""

    netns: str | None
    name: str
    addresses: tuple[Interface, ...] = ()
    purge: bool = False
    mac: str | None = None
    mtu: int | None = None
    up: bool = True
    bridge: str | None = None
    hairpin: bool | None = None

    @property
    def peer(self) -> Peer:
        """How the other end sees this one."""
        return Peer(self.netns, self.name)

    @property
    def title(self) -> str:
        return f"{self.name}{place(self.netns)}"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], where: str = "") -> End:
        """Validate the options of one end; ``where`` names it in messages. Raises InvalidInput."""
        if not params.get("name"):
            raise InvalidInput(f"{where}name is missing: name the interface at this end of the cable.")
        bridge = params.get("bridge")
        addresses = tuple(checks.host_interface(text, f"{where}addresses") for text in params.get("addresses") or ())
        checks.unique(addresses, f"{where}addresses")
        end = cls(
            netns=checks.namespace(params.get("netns"), f"{where}netns"),
            name=checks.interface(params["name"], f"{where}name"),
            addresses=addresses,
            purge=bool(params.get("purge_addresses")),
            mac=checks.mac(params.get("mac"), f"{where}mac"),
            mtu=checks.mtu(params.get("mtu"), f"{where}mtu"),
            up=params.get("up") is not False,
            bridge=checks.interface(bridge, f"{where}bridge") if bridge else bridge,
            hairpin=params.get("hairpin"),
        )
        if end.hairpin and end.bridge == "":
            raise InvalidInput(
                f"{where}hairpin: only a port of a bridge can reflect packets; name the bridge, or leave hairpin out."
            )
        if end.bridge and end.addresses:
            raise InvalidInput(
                f"{where}addresses: {end.name} is to be a port of bridge {end.bridge}, and a port's own addresses are not reached. "
                "Give the address to the bridge."
            )
        return end


@dataclass(frozen=True)
class Veth:
    """The wish for one cable. ``peer`` is None only when it is to be absent."""

    end: End
    peer: End | None
    present: bool = True
    force: bool = False
    overlap: bool = False

    @property
    def name(self) -> str:
        return f"veth {self.end.title}"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Veth:
        """Validate the module's parameters. Raises InvalidInput."""
        end = End.from_params(params)
        peer = End.from_params(params["peer"], "peer.") if params.get("peer") else None
        present = params["state"] == "present"
        if present and peer is None:
            raise InvalidInput(
                "peer is missing: a cable has two ends, so name the other one, such as peer: {name: veth-red-br}."
            )
        if peer is not None:
            _check_ends(end, peer)
        return cls(end, peer, present=present, force=params["force"], overlap=bool(params.get("allow_overlap")))

    # ---- observing

    def observe(self, kernel: Kernel) -> State:
        ends = [self.end, self.peer] if self.peer and self.present else [self.end]
        found: dict[t.Any, Link] = {}
        for end in ends:
            beyond = [other.netns for other in ends if other is not end]
            now = link.observe(kernel, end.netns, end.name, beyond)
            if now is not None:
                found[now.key] = now
        for now in list(found.values()):
            if now.peer is not None and now.peer.netns != "?" and ("link", now.peer.netns, now.peer.name) not in found:
                other = link.observe(kernel, now.peer.netns, now.peer.name, [now.netns])
                if other is not None:
                    found[other.key] = other
        items: list[Item] = [machine.observe(kernel), *found.values()]
        for now in found.values():
            items += address.observe(kernel, now.netns, now.name)
        there = items if self._is_cable(State(items)) else []  # what is in the way of a cable goes with its addresses
        for end in ends:
            items = [*items, *self._surroundings(kernel, end, there)]
        return State(items)

    def _is_cable(self, state: State) -> bool:
        """Whether both names are there and are the two ends of one cable."""
        if self.peer is None:
            return False
        one: Link | None = state.get(("link", self.end.netns, self.end.name))
        other: Link | None = state.get(("link", self.peer.netns, self.peer.name))
        return one is not None and other is not None and one.peer == self.peer.peer and other.peer == self.end.peer

    def _surroundings(self, kernel: Kernel, end: End, there: list[Item]) -> list[Item]:
        items: list[Item] = []
        if end.bridge:
            bridge = link.observe(kernel, end.netns, end.bridge)
            items += [bridge] if bridge else []
        for version in address.lacking(there, end.netns, end.name, end.addresses):
            items += route.observe(kernel, end.netns, version)
        return items

    # ---- planning

    def plan(self, state: State) -> list[Step]:
        one: Link | None = state.get(("link", self.end.netns, self.end.name))
        _check_kind(one)
        if not self.present or self.peer is None:
            return self._plan_removal(state, one)
        return self._plan_present(state, one, self.peer)

    def _plan_present(self, state: State, one: Link | None, peer: End) -> list[Step]:
        other: Link | None = state.get(("link", peer.netns, peer.name))
        _check_kind(other)
        for end in (self.end, peer):
            _check_bridge(state, end)
        if one and other and self._is_cable(state):
            return [*self._plan_end(state, self.end, one), *self._plan_end(state, peer, other)]
        removals = self._plan_replacement(state, one, other)
        bare = [_bare(state, self.end, peer.peer), _bare(state, peer, self.end.peer)]
        for step in removals:
            state = step.project(state)
        made: list[Step] = [VethPair((), tuple(bare))]
        for end in (self.end, peer):
            made += sysctl.without_duplicate_detection(end.netns, end.name, end.addresses)
        return [*removals, *made, *self._plan_end(state, self.end, bare[0]), *self._plan_end(state, peer, bare[1])]

    def _plan_end(self, state: State, end: End, now: Link) -> list[Step]:
        wanted = replace(link.with_defaults(now, mac=end.mac, mtu=end.mtu, hairpin=end.hairpin), up=end.up)
        if end.bridge is not None:
            wanted = replace(wanted, bridge=end.bridge or None)
        if wanted.bridge is None:
            if end.hairpin:
                raise InvalidInput(
                    f"hairpin: {end.title} is not a port of a bridge, and only a port can reflect packets. Name its bridge."
                )
            wanted = replace(wanted, hairpin=None)
        elif now.bridge != wanted.bridge and end.hairpin is None:
            wanted = replace(wanted, hairpin=False)  # what a new port has
        changes = changed(now, wanted, address.dropped(state, now, wanted))
        return changes + address.plan(state, wanted, changes, end.addresses, purge=end.purge, overlap=self.overlap)

    def _plan_replacement(self, state: State, one: Link | None, other: Link | None) -> list[Step]:
        """The removal of what carries our names but is not this cable."""
        if one and other and not self.force:
            raise Conflict(
                f"{one.title} and {other.title} are not two ends of one cable: the peer of {one.name} is {_peer_title(one)}, "
                f"the peer of {other.name} is {_peer_title(other)}. Rename one of them, or set force: true to replace both cables."
            )
        steps: list[Step] = []
        for now in (one, other):
            if now is not None and state.get(now.key) is not None:
                if not now.ours and not self.force:
                    raise NotOurs(
                        f"{now.title} exists with another peer, {_peer_title(now)}, and was not made by this collection. "
                        "Choose another name, or set force: true to replace it."
                    )
                steps.append(_removal(state, now))
                state = steps[-1].project(state)
        return steps

    def _plan_removal(self, state: State, now: Link | None) -> list[Step]:
        if now is None:
            return []
        if not now.ours and not self.force:
            raise NotOurs.kept(now.title)
        return [_removal(state, now)]

    # ---- showing

    def view(self, state: State) -> dict[str, t.Any]:
        now: Link | None = state.get(("link", self.end.netns, self.end.name))
        if now is None:
            return {}
        view = self._view_end(state, now, self.end)
        other: Link | None = state.get(("link", now.peer.netns, now.peer.name)) if now.peer else None
        if other is not None:
            view["peer"] = self._view_end(state, other, self.peer)
        elif now.peer is not None:
            view["peer"] = {"name": now.peer.name, "netns": now.peer.netns}
        return view

    @staticmethod
    def _view_end(state: State, now: Link, end: End | None) -> dict[str, t.Any]:
        asked = end.addresses if end else ()
        return link.shown(now, address.shown(state, now.netns, now.name, asked))

    def warnings(self, before: State, after: State) -> list[str]:
        return []


def _bare(state: State, end: End, peer: Peer) -> Link:
    """The end as it is created: with its final address, down, in no bridge."""
    seed = machine.seed(state)
    return Link(
        end.netns, end.name, "veth", end.mac or link.choose_mac(seed, end.netns, end.name), end.mtu or 1500, peer=peer
    )


def _removal(state: State, now: Link) -> Step:
    """The step that removes a cable, knowing what else goes with it."""
    ends = [now]
    if now.peer is not None:
        other: Link | None = state.get(("link", now.peer.netns, now.peer.name))
        ends += [other] if other is not None else []
    lost: list[Step] = []
    for end in ends:
        bare = replace(end, up=False, bridge=None, hairpin=None)
        lost += [*changed(bare, end), *address.restoring(state, end.netns, end.name)]
    return VethPair(tuple(ends), (), tuple(lost))


def _peer_title(now: Link) -> str:
    if now.peer is None or now.peer.netns == "?":
        return f"an interface in a namespace without a name ({now.peer.name if now.peer else 'unknown'})"
    return f"{now.peer.name}{place(now.peer.netns)}"


def _check_ends(end: End, peer: End) -> None:
    if (end.netns, end.name) == (peer.netns, peer.name):
        raise InvalidInput(f"peer.name: both ends are called {end.title}; a cable needs two names, or two namespaces.")
    if end.mac is not None and end.mac == peer.mac:
        raise InvalidInput(f"peer.mac: both ends have the MAC address {end.mac}; give each its own, or leave both out.")
    if end.bridge and end.bridge == peer.bridge and end.netns == peer.netns:
        raise InvalidInput(
            f"peer.bridge: both ends are to be ports of {end.bridge}, which would be a loop. Put one end elsewhere."
        )
    twins = {interface.ip for interface in end.addresses} & {interface.ip for interface in peer.addresses}
    if twins:
        raise InvalidInput(f"peer.addresses: {min(map(str, twins))} is on both ends; give each end its own address.")


def _check_kind(now: Link | None) -> None:
    if now is not None and now.kind != "veth":
        raise Conflict(
            f"{now.name}{place(now.netns)} is a {now.kind} interface, not a veth. Choose another name for the cable."
        )


def _check_bridge(state: State, end: End) -> None:
    if not end.bridge:
        return
    bridge: Link | None = state.get(("link", end.netns, end.bridge))
    if bridge is None:
        raise NotFound(
            f"bridge {end.bridge} does not exist{place(end.netns)}. Create it first with the bridge module.",
            bridge=end.bridge,
        )
    if bridge.kind != "bridge":
        raise Conflict(
            f"{bridge.name}{place(end.netns)} is a {bridge.kind} interface, not a bridge, so {end.name} can't be its port. Name a bridge."
        )
