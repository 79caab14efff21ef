# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The part of a lab's plan that is about links and their addresses."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._engine.model import State, Step
from .._errors import Conflict, PatchbayError, Unsupported
from .._lab_file.spec import LinkSpec
from .._lab_file.values import variant
from .._objects import address, link, link_steps, sysctl
from .._objects.address import PutAddress
from .._objects.link import BridgeOptions, Link
from .._objects.link_steps import MakeLink, PinMtu, VethPair
from .._objects.route import KERNEL, PROTOCOL, PutRoute, Route
from . import plan_removals
from .context import Context, End
from .facts import Lacking

MOST_PORTS = 1023
"""Ports of one bridge (BR_MAX_PORTS, net/bridge/br_private.h)."""


@dataclass
class LinkPlan:
    """Steps by when they are due."""

    first: list[Step] = field(default_factory=list)
    """Removals that make place for what comes."""
    made: list[Step] = field(default_factory=list)
    changed: dict[str | None, list[Step]] = field(default_factory=dict)
    """By namespace: properties and addresses; of bridges after their ports, of what stands on others last."""


def plan(ctx: Context) -> LinkPlan:
    """All steps for links. Refusals are noted in the context."""
    out = LinkPlan(first=plan_removals.stacked(ctx) if ctx.purge else [])
    start: dict[End, Link] = {}
    for one, other in _cables(ctx):
        _plan_cable(ctx, out, start, one, other)
    for node in ctx.lab.nodes:
        for spec in sorted(node.links, key=lambda each: _depth(ctx, each)) if node.netns not in ctx.settled else ():
            if spec.kind != "veth":
                _plan_single(ctx, out, start, spec)
    out.made.sort(key=_makes_cable)  # bridges first: cables are plugged into them when they are made
    for node in ctx.lab.nodes:
        if node.netns in ctx.settled:
            continue
        changes = out.changed.setdefault(node.netns, [])
        for spec in sorted(node.links, key=lambda each: _turn(ctx, each)):
            now = start.get((spec.netns, spec.name))
            if now is not None:
                changes += _plan_properties(ctx, spec, now)
                changes += _pinned(ctx, start, spec, now) if spec.kind == "bridge" else []
    _check_ports(ctx)
    for each in ctx.state.of(Lacking):
        ctx.refuse(
            Unsupported(
                f"this kernel can't do what the lab asks for: {each.feature} {each.reason}", feature=each.feature
            )
        )
    return out


def _cables(ctx: Context) -> t.Iterator[tuple[LinkSpec, LinkSpec]]:
    """Every cable once; the end that is made where the kernel is asked comes first: it is plugged in at once."""
    done: set[End] = set()
    for key, spec in ctx.wanted.items():
        if spec.peer is None or key in done:
            continue
        other = ctx.wanted[spec.peer.netns, spec.peer.name]
        done.add((other.netns, other.name))
        first = max(spec, other, key=lambda end: (bool(end.bridge), end.netns is None))
        yield (first, other if first is spec else spec)


def _depth(ctx: Context, spec: LinkSpec) -> int:
    """Bridges and what stands on nothing first, then what stands on something, from the bottom up."""
    return 0 if spec.kind == "bridge" else 1 + _height(ctx, spec)


def _turn(ctx: Context, spec: LinkSpec) -> int:
    """When a link comes up: bridges after their ports, then what stands on something, for only then the kernel lets it."""
    height = _height(ctx, spec)
    return 1 + height if height else int(spec.kind == "bridge")


def _height(ctx: Context, spec: LinkSpec) -> int:
    """How many links it stands on, one on the other."""
    height, below = 0, ctx.wanted.get((spec.netns, spec.parent)) if spec.parent else None
    while height < len(ctx.wanted) and below is not None:
        height, below = height + 1, ctx.wanted.get((below.netns, below.parent)) if below.parent else None
    return height or int(spec.parent is not None)


def _makes_cable(step: Step) -> int:
    if isinstance(step, VethPair):
        return 1
    made: Link = step.after[0]
    return 0 if made.parent is None else 2


def _plan_cable(ctx: Context, out: LinkPlan, start: dict[End, Link], one: LinkSpec, other: LinkSpec) -> None:
    ends = [(each.netns, each.name) for each in (one, other)]
    settled = [each.netns in ctx.settled for each in (one, other)]
    if any(settled):  # then the cable is in place, which was seen
        for end, known in zip(ends, settled):
            if not known and ctx.claim(ctx.links[end]):
                start[end] = ctx.links[end]
        return
    now = [ctx.links.get(end) for end in ends]
    if all(now) and all(_is_end(each, spec) for each, spec in zip(now, (one, other))):
        claimed = [(end, each) for end, each in zip(ends, now) if each and ctx.claim(each)]  # each refusal is told
        start.update(claimed if len(claimed) == len(ends) else ())
        return
    for each in now:
        if each is not None and ctx.may_replace(each):
            plan_removals.remove(ctx, out.first, each)
    made = tuple(_bare(ctx, spec) for spec in (one, other))
    made = (_ready(made[0], one), made[1])
    out.made.append(VethPair((), made))
    for end, each in zip(ends, made):
        start[end] = each
        ctx.made.add(end)


def _is_end(now: Link | None, spec: LinkSpec) -> bool:
    return now is not None and now.kind == "veth" and now.peer == spec.peer


def _bare(ctx: Context, spec: LinkSpec) -> Link:
    """A link as it is made: with its final address, down, in no bridge."""
    return Link(
        spec.netns,
        spec.name,
        spec.kind,
        spec.mac or link.choose_mac(ctx.seed, spec.netns, spec.name),
        spec.mtu,
        group=ctx.group,
        peer=spec.peer,
        options=spec.options,
        parent=spec.parent,
    )


def _ready(bare: Link, spec: LinkSpec) -> Link:
    """The same, but up and plugged in at once, where nothing has to be set before."""
    if any(interface.version == 6 for interface in spec.addresses):
        return bare
    return variant(bare, up=spec.up, bridge=spec.bridge, hairpin=False if spec.bridge else None)


def _plan_single(ctx: Context, out: LinkPlan, start: dict[End, Link], spec: LinkSpec) -> None:
    end = (spec.netns, spec.name)
    now = ctx.links.get(end)
    if end in ctx.removed:
        now = None  # it goes with what it stood on
    wanted = _bare(ctx, spec)
    if now is not None and not link.replaceable(now, wanted):
        if ctx.claim(now):
            start[end] = now
        return
    if now is not None and ctx.may_replace(now):
        plan_removals.remove(ctx, out.first, now)
    start[end] = wanted
    ctx.made.add(end)
    out.made.append(MakeLink((), (wanted,)))


# ---- properties and addresses


def _plan_properties(ctx: Context, spec: LinkSpec, now: Link) -> list[Step]:
    if now.bridge is not None and (spec.netns, spec.name) not in ctx.made and (spec.netns, now.bridge) in ctx.made:
        now = variant(now, bridge=None, hairpin=None)  # the bridge is made anew
    try:
        wanted = _wanted(ctx, spec, now)
        if (spec.netns, spec.name) in ctx.made:
            return [*_undetected(ctx, spec), *link_steps.changed(now, wanted), *_new_addresses(ctx, spec, wanted)]
        changes = link_steps.changed(now, wanted, address.dropped(_around(ctx, spec), now, wanted))
        return [*changes, *_addresses(ctx, spec, wanted, changes)]
    except PatchbayError as error:
        ctx.refuse(error)
        return []


def _wanted(ctx: Context, spec: LinkSpec, now: Link) -> Link:
    """What a link that is there, or is made by then, is to become."""
    six = any(interface.version == 6 for interface in spec.addresses)
    fresh = (spec.netns, spec.name) in ctx.made
    return variant(
        now,
        mac=spec.mac or now.mac,
        mtu=spec.mtu,
        up=spec.up,
        bridge=spec.bridge,
        hairpin=bool(spec.hairpin) if spec.bridge else None,
        group=ctx.group,
        options=_options(spec, now),
        # Without IPv6 none gets a link-local address: a thousand of these keep a machine busy.
        link_local=now.link_local if six or not fresh else now.up,
    )


def _pinned(ctx: Context, start: t.Mapping[End, Link], spec: LinkSpec, now: Link) -> list[Step]:
    """A bridge keeps its MTU when it gets a port with another one: that has to be said once."""
    ports = [each for each in ctx.nodes[spec.netns].links if each.bridge == spec.name and each.mtu != spec.mtu]
    new = now.group != ctx.group or (spec.netns, spec.name) in ctx.made
    if not any(new or _comes(ctx, each, start.get((each.netns, each.name))) for each in ports):
        return []
    wanted = _wanted(ctx, spec, now)
    return [PinMtu((wanted,), (wanted,))]


def _comes(ctx: Context, spec: LinkSpec, now: Link | None) -> bool:
    """Whether a port is not yet what it is to be."""
    if now is None or (spec.netns, spec.name) in ctx.made:
        return True
    return (now.mtu, now.bridge) != (spec.mtu, spec.bridge)


def _options(spec: LinkSpec, now: Link) -> link.Options | None:
    """The options that are wanted; what this kernel does not show of a bridge can't be wanted."""
    wanted = spec.options
    if not isinstance(wanted, BridgeOptions) or not isinstance(now.options, BridgeOptions):
        return wanted
    for name in ("vlan_filtering", "multicast_snooping"):
        if getattr(now.options, name) is None:
            wanted = variant(wanted, **{name: None})
    if now.options.ageing_time is None:  # not to be seen while the spanning tree changes
        wanted = variant(wanted, ageing_time=None)
    return wanted


def _undetected(ctx: Context, spec: LinkSpec) -> list[Step]:
    """In a namespace that this run makes, all interfaces are told beforehand."""
    return sysctl.without_duplicate_detection(spec.netns, spec.name, spec.addresses) if ctx.is_there(spec.netns) else []


def _around(ctx: Context, spec: LinkSpec) -> State:
    """What matters to the addresses of one link: its own, and the routes that don't lead to the lab itself."""
    routes = [
        route
        for route in ctx.routes.get(spec.netns, ())
        if not any(
            ctx.owns(ctx.links[spec.netns, hop.device])
            for hop in route.hops
            if hop.device and (spec.netns, hop.device) in ctx.links
        )
    ]
    return State([*ctx.addresses.get((spec.netns, spec.name), ()), *routes])


def _new_addresses(ctx: Context, spec: LinkSpec, wanted: Link) -> list[Step]:
    if not ctx.is_there(spec.netns):
        return [PutAddress((), (address.Address(spec.netns, spec.name, each),)) for each in spec.addresses]
    around = State(item for item in _around(ctx, spec) if not isinstance(item, address.Address))
    return address.plan(around, wanted, [], spec.addresses, purge=False, overlap=spec.overlap)


def _addresses(ctx: Context, spec: LinkSpec, wanted: Link, changes: t.Sequence[Step]) -> list[Step]:
    here = ctx.addresses.get((spec.netns, spec.name), ())
    have = {item.interface for item in here if not item.automatic}
    if not changes and have == set(spec.addresses):
        return []
    purge = ctx.purge and (ctx.adopt or ctx.owns(ctx.links[spec.netns, spec.name]))
    steps = address.plan(_around(ctx, spec), wanted, changes, spec.addresses, purge=purge, overlap=spec.overlap)
    return [*_link_local(ctx, spec), *_flushing(ctx, spec, steps)]


def _link_local(ctx: Context, spec: LinkSpec) -> list[Step]:
    """What was made without IPv6 gets its link-local address when it is to have IPv6 after all."""
    now: address.LinkLocal | None = ctx.state.get(("link-local", spec.netns, spec.name))
    if now is None:
        return []
    detected = sysctl.of_device(6, spec.name, "accept_dad")
    at_once = sysctl.change(ctx.state, spec.netns, detected, "0")
    return [*at_once, address.SetLinkLocal((now,), (variant(now, on=True),))]


def _flushing(ctx: Context, spec: LinkSpec, steps: list[Step]) -> list[Step]:
    """The steps, where they remove the last IPv4 address of a device: with it the kernel drops all IPv4 routes through it.

    The removal is told what is lost. Foreign routes are put back at once; the lab's own are put by the plan for routes, which
    is told that they are gone.
    """
    removals = [step for step in steps if isinstance(step, PutAddress) and not step.after]
    gone = [step.before[0].interface for step in removals if step.before[0].interface.version == 4]
    here = ctx.addresses.get((spec.netns, spec.name), ())
    if not gone or any(item.interface.version == 4 and item.interface not in gone for item in here):
        return steps
    ctx.unrouted.add((spec.netns, spec.name))
    through = [
        route
        for route in ctx.routes.get(spec.netns, ())
        if route.device == spec.name and route.destination.version == 4 and route.protocol != KERNEL
    ]
    lost = [PutRoute((), (route,)) for route in through]
    last = removals[-1]
    steps[steps.index(last)] = variant(last, lost=(*last.lost, *lost))
    again = [step for step in lost if step.after[0].protocol != PROTOCOL and _reaches(step.after[0], spec)]
    return [*steps, *again]


def _reaches(route: Route, spec: LinkSpec) -> bool:
    """Whether the addresses that a device is to have lead to the gateway."""
    gateways = [hop.gateway for hop in route.hops if hop.gateway is not None]
    return bool(gateways) and all(any(each in held.network for held in spec.addresses) for each in gateways)


# ---- limits


def _check_ports(ctx: Context) -> None:
    counts: dict[End, int] = {}
    for spec in ctx.wanted.values():
        if spec.bridge:
            counts[spec.netns, spec.bridge] = counts.get((spec.netns, spec.bridge), 0) + 1
    foreign: dict[End, int] = {}
    for end, now in ctx.links.items():
        if now.bridge and end not in ctx.wanted and not ctx.owns(now):
            foreign[end[0], now.bridge] = foreign.get((end[0], now.bridge), 0) + 1
    for bridge, count in counts.items():
        total = count + foreign.get(bridge, 0)
        if total > MOST_PORTS:
            ctx.refuse(
                Conflict(
                    f"bridge {bridge[1]}{ctx.place(bridge[0])} would have {total} ports, {foreign.get(bridge, 0)} of them not the "
                    f"lab's, and the kernel takes {MOST_PORTS}. Spread them over more bridges."
                )
            )
