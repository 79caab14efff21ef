# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The part of a lab's plan that removes links, knowing all that goes with them: when it is undone, that comes back, too."""

from __future__ import annotations

import typing as t

from .._engine.model import State, Step
from .._errors import Conflict
from .._lab_file.values import variant
from .._objects import address, impairment, sysctl
from .._objects.link import Link
from .._objects.link_steps import ChangeLink, CutCable, MakeLink, PinMtu, VethPair
from .._objects.route import KERNEL, PutRoute, Route
from .context import Context


def remove(ctx: Context, steps: list[Step], now: Link) -> None:
    """Add the step that removes a link; a cable goes once, and with a link what stands on it."""
    if (now.netns, now.name) in ctx.removed:
        return
    ends = [now]
    if now.kind == "veth" and now.peer is not None:
        other = ctx.links.get((now.peer.netns, now.peer.name))
        ends += [other] if other is not None else []
    gone = list(ends)
    ctx.removed |= {(end.netns, end.name) for end in ends}
    lost = [step for end in ends for step in _returning(ctx, end, gone)]
    lost += [PutRoute((), (route,)) for route in _routes(ctx, gone)]
    kind = VethPair if now.kind == "veth" else MakeLink
    steps.append(kind(tuple(ends), (), tuple(lost)))


def stacked(ctx: Context) -> list[Step]:
    """The removal of what stands on other links and is not wanted: its number or address may be wanted by another one."""
    steps: list[Step] = []
    for now in _unwanted(ctx):
        if now.kind in _STACKED:
            remove(ctx, steps, now)
    return steps


_STACKED = ("vlan", "macvlan", "vxlan")


def leftovers(ctx: Context) -> list[Step]:
    """The removal of what has the lab's mark and is not wanted, on the host and in the namespaces that stay.

    What lies in a namespace that goes, goes with it; of a cable out of there, the end that stays is removed. To be asked for
    when it is known what becomes of the routes.
    """
    steps: list[Step] = []
    parents = {(spec.netns, spec.parent): spec for spec in ctx.wanted.values() if spec.parent is not None}
    for now in sorted(
        _unwanted(ctx), key=lambda each: each.kind == "bridge"
    ):  # what is taken back finds its bridge there
        above = parents.get((now.netns, now.name))
        if above is not None:
            ctx.refuse(
                Conflict(
                    f"{above.kind} {above.name} is to stand on {now.title}, which the file no longer names. "
                    f"Name {now.name} in the file, or let {above.name} stand on something else."
                )
            )
        if now.kind == "veth" and now.peer is None:
            steps.append(CutCable((now,), ()))
        elif now.peer is None or (now.peer.netns, now.peer.name) not in ctx.wanted:
            remove(ctx, steps, now)  # else its other end is made anew, or refused
    return steps


def _unwanted(ctx: Context) -> list[Link]:
    return [
        now
        for end, now in ctx.links.items()
        if (end[0] is None or end[0] in ctx.nodes) and end not in ctx.wanted and ctx.owns(now)
    ]


def _returning(ctx: Context, end: Link, gone: list[Link]) -> list[Step]:
    """The steps that make a link what it was after it was made again, and those that make again what stood on it.

    ``gone`` gets the links that go with it.
    """
    bare = variant(end, up=False, bridge=None, hairpin=None, link_local=True)
    addresses = [each for each in ctx.addresses.get((end.netns, end.name), ()) if not each.automatic]
    steps: list[Step] = [
        *sysctl.without_duplicate_detection(end.netns, end.name, (each.interface for each in addresses)),
        *([ChangeLink((bare,), (end,))] if bare != end or not end.link_local else []),
        *address.restoring(State(addresses), end.netns, end.name),
        *impairment.restoring(ctx.state, end.netns, end.name),
    ]
    if end.kind == "bridge":
        steps += [PinMtu((end,), (end,)), *_plugged(ctx, end)]
    for child in [each for each in ctx.links.values() if (each.netns, each.parent) == (end.netns, end.name)]:
        if (child.netns, child.name) not in ctx.removed:
            ctx.removed.add((child.netns, child.name))
            gone.append(child)
            steps.append(MakeLink((), (variant(child, up=False, bridge=None, hairpin=None, link_local=True),)))
            steps += _returning(ctx, child, gone)
    return steps


def _plugged(ctx: Context, bridge: Link) -> list[Step]:
    """The ports of a bridge, plugged in again; those that were removed before it come back by themselves."""
    ports = [
        each
        for end, each in ctx.links.items()
        if end[0] == bridge.netns and each.bridge == bridge.name and end not in ctx.removed
    ]
    return [ChangeLink((variant(port, bridge=None, hairpin=None),), (port,)) for port in ports]


def _routes(ctx: Context, gone: t.Iterable[Link]) -> list[Route]:
    """The routes that the kernel drops with the links, but those that the plan has removed or replaced by then."""
    devices = {(link.netns, link.name) for link in gone}
    places = dict.fromkeys(netns for netns, _name in devices)
    return [
        route
        for netns in places
        for route in ctx.routes.get(netns, ())
        if route.protocol != KERNEL
        and route.key not in ctx.rerouted
        and any((netns, hop.device) in devices for hop in route.hops)
    ]
