# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The part of a lab's plan that is about address translation: one wish of many parts in each namespace that has any."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._engine.model import State, Step
from .._errors import Conflict, PatchbayError
from .._lab_file.spec import LabSpec, LinkSpec, Node
from .._objects import sysctl
from .._objects.nat import Nat, Part
from .._objects.nat_specs import Key, Spec
from .._objects.way import Way
from .context import Context
from .facts import Filtered, Translation
from .record import Record


@dataclass(frozen=True)
class Gone:
    """A forward or masquerade that the lab had, and that it no longer names."""

    netns: str | None
    kind: str
    text: str

    name: t.ClassVar[str] = "what the lab no longer names"
    present: t.ClassVar[bool] = False
    forwarding: t.ClassVar[bool] = False
    reset: t.ClassVar[bool] = False
    force: t.ClassVar[bool] = False
    foreign_firewall: t.ClassVar[str] = "report"
    bare: t.ClassVar[list[Spec]] = []

    @property
    def keys(self) -> tuple[Key, ...]:
        return ((self.kind, self.text),)

    @property
    def versions(self) -> tuple[int, ...]:
        """A masquerade's or a forward's, by how it is written."""
        words = self.text.split()
        six = words[2] == "ipv6" if self.kind == "forward" else ":" in words[0]
        return (6 if six else 4,)

    def specs(self, state: State) -> list[Spec]:
        return []

    def settings(self, state: State) -> list[str]:
        return []

    def demands(self, state: State) -> dict[str, str]:
        return {}

    def view(self, state: State, specs: list[Spec]) -> dict[str, t.Any]:
        return {}

    def warnings(self, state: State) -> list[str]:
        return []


def wishes(lab: LabSpec, record: Record | None, *, purge: bool) -> dict[str | None, Nat]:
    """The wish for each namespace in which the lab translates addresses, or did so before."""
    parts: dict[str | None, list[t.Any]] = {}
    for node in lab.nodes:
        if node.masquerades or node.forwards:
            parts[node.netns] = [*node.masquerades, *node.forwards]
    nodes = {node.netns for node in lab.nodes}
    for place, kind, text in sorted(record.nat, key=repr) if record and purge else ():
        named = {key for part in parts.get(place, ()) for key in part.keys}
        if (kind, text) not in named and place in nodes:
            parts.setdefault(place, []).append(Gone(place, kind, text))
    return {place: Nat(tuple(each)) for place, each in parts.items()}


def keys(lab: LabSpec) -> frozenset[tuple[str | None, str, str]]:
    """What a record says of the lab's address translation."""
    parts: list[tuple[str | None, Part]] = []
    for node in lab.nodes:
        parts += [(node.netns, part) for part in node.masquerades]
        parts += [(node.netns, part) for part in node.forwards]
    return frozenset((netns, *key) for netns, part in parts for key in part.keys)


def plan(ctx: Context, parts: t.Mapping[str | None, Nat]) -> list[Step]:
    """The steps in all namespaces. Refusals are noted in the context."""
    steps: list[Step] = []
    for place, wish in parts.items():
        state = seen(ctx, place)
        try:
            if place is None:
                _refuse_others(ctx, wish, state)
            steps += wish.plan(state)
        except PatchbayError as error:
            ctx.refuse(error)
    return steps


def warnings(ctx: Context, parts: t.Mapping[str | None, Nat]) -> list[str]:
    """What the wishes warn of."""
    out: list[str] = []
    for place, wish in parts.items():
        state = seen(ctx, place)
        out += wish.warnings(state, state)
    return list(dict.fromkeys(out))


def seen(ctx: Context, place: str | None) -> State:
    """What was seen, with the ways and devices that the lab is about to make."""
    found: Translation | None = ctx.state.get(("translation", place))
    state = found.state if found else State()
    node = ctx.nodes[place]
    ways = [_way(ctx, node, target.address) for part in node.forwards for target in part.targets]
    more: list[t.Any] = [way for way in ways if way is not None]
    for way in ways:
        name = sysctl.of_device(4, way.device, "route_localnet") if way and way.device else None
        if name is not None and state.get(("sysctl", place, name)) is None:
            more.append(sysctl.Sysctl(place, name, "0"))
    return state.changed((), more)


def _way(ctx: Context, node: Node, target: t.Any) -> Way | None:
    """How the node will reach an address in one of its own networks."""
    for each in node.links:
        for interface in each.addresses:
            if interface.version == target.version and target in interface.network:
                return Way(node.netns, target, each.name, interface.network, _deaf_port(ctx, node, each, target))
    return None


def _deaf_port(ctx: Context, node: Node, bridge: LinkSpec, target: t.Any) -> str | None:
    """The port towards the target that would not send a frame back to where it came from, where that matters."""
    filtered: Filtered | None = ctx.state.get(("filtered", node.netns))
    if bridge.kind != "bridge" or filtered is None or target.version not in filtered.versions:
        return None
    for port in node.links:
        end = ctx.wanted.get((port.peer.netns, port.peer.name)) if port.bridge == bridge.name and port.peer else None
        if end is not None and any(interface.ip == target for interface in end.addresses):
            return None if port.hairpin else port.name
    return None


def _refuse_others(ctx: Context, wish: Nat, state: State) -> None:
    """The host's table is shared: what is in it already, and not by this lab, is somebody else's."""
    table = state.get(("nat-table", None))
    mine = {(kind, text) for place, kind, text in ctx.record.nat if place is None} if ctx.record else set()
    for part in wish.parts:
        for key in part.keys if part.present else ():
            if table is not None and key in table.specs and key not in mine and not ctx.adopt:
                ctx.refuse(
                    Conflict(
                        f"the {' of '.join(key)} is there already, made by a task or by another lab. "
                        "Leave it out of the lab, or set adopt: true to make it the lab's."
                    )
                )
