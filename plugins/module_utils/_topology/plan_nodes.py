# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The parts of a lab's plan that are about namespaces, routes, settings and name servers."""

from __future__ import annotations

import typing as t

from .._engine.model import Key, Step
from .._errors import Conflict, InUse, InvalidInput, NotOurs, PatchbayError
from .._lab_file.spec import Node
from .._objects import ip_route, netns, sysctl
from .._objects.netns import Loopback, MarkNamespace, NameNamespace, Namespace, Occupants, SetLoopback
from .._objects.route import PROTOCOL, PutRoute, Route
from .._objects.sysctl import SetSysctl, Sysctl
from .context import Context
from .facts import Fresh

# ---- namespaces


def namespaces(ctx: Context) -> list[Step]:
    """Namespaces that are made, repaired or adopted, with what must be set before anything is in them."""
    steps: list[Step] = []
    for node in ctx.lab.namespaces:
        name = t.cast(str, node.netns)
        now = ctx.namespace(name)
        if now is None or not now.live:
            made = (Namespace(name, lab=ctx.lab.name), Loopback(name, up=True), *_quiet(ctx, node))
            steps.append(NameNamespace((now,) if now else (), made))
        elif now.lab == ctx.lab.name or _adopts(ctx, now):
            if now.lab != ctx.lab.name:
                steps.append(MarkNamespace((now,), (Namespace(name, lab=ctx.lab.name),)))
            lo: Loopback | None = ctx.state.get(("loopback", name))
            if lo is not None and not lo.up:
                steps.append(SetLoopback((lo,), (Loopback(name, up=True),)))
    return steps


def _adopts(ctx: Context, now: Namespace) -> bool:
    if now.lab is not None:
        ctx.refuse(Conflict(f"namespace {now.name} belongs to another lab, {now.lab}. Choose another name."))
        return False
    if not ctx.adopt:
        maker = "was made by another task of this collection" if now.ours else "was not made by this collection"
        ctx.refuse(
            NotOurs(
                f"namespace {now.name} exists already and {maker}. "
                "Choose another name, or set adopt: true to make it the lab's.",
                netns=now.name,
            )
        )
    return ctx.adopt


def _quiet(ctx: Context, node: Node) -> list[Sysctl]:
    """What every interface of a new namespace starts with."""
    fresh: Fresh = ctx.state.get(("fresh",))
    six = any(interface.version == 6 for each in node.links for interface in each.addresses)
    wanted = {**netns.QUIET, **(netns.AT_ONCE if six else {})}
    return [
        Sysctl(node.netns, name, value) for name, value in wanted.items() if fresh.values.get(name) not in (None, value)
    ]


def removals(ctx: Context, names: t.Iterable[str]) -> list[Step]:
    """Namespaces that go, whoever is in them being asked first."""
    steps: list[Step] = []
    for name in names:
        now = ctx.namespace(name)
        inside: Occupants | None = ctx.state.get(("occupants", name))
        if now is None:
            continue
        if inside is not None and inside.processes:
            try:
                steps += netns.evict(inside, force=ctx.force)
            except InUse as error:
                ctx.refuse(error)
        found: netns.Resolver | None = ctx.state.get(("resolver", name))
        if found is not None and found.ours:
            steps.append(netns.WriteResolver((found,), ()))
        steps.append(NameNamespace((now,), (), unplug=False))
    return steps


# ---- routes


def routes(ctx: Context, node: Node) -> tuple[list[Step], list[Step]]:
    """The steps that remove routes, which come before the addresses change, and those that put routes, which come after."""
    if node.netns in ctx.settled:
        return [], []
    wanted = {route.key: route for route in node.routes}
    there: dict[Key, Route] = {
        route.key: route for route in ctx.routes.get(node.netns, ()) if not _is_lost(ctx, node, route)
    }
    gone: list[Step] = []
    if ctx.purge:
        known = ctx.record.routes if ctx.record and node.netns is None else None
        for key, now in there.items():
            if now.protocol == PROTOCOL and key not in wanted and (key in known if known is not None else node.netns):
                gone.append(PutRoute((now,), ()))
    put: list[Step] = []
    for key, route in wanted.items():
        put += _put(ctx, node, there.get(key), route)
    ctx.rerouted |= {step.before[0].key for step in (*gone, *put) if step.before}
    return gone, put


def _is_lost(ctx: Context, node: Node, route: Route) -> bool:
    """Whether the route goes before others are put: its link is removed, made anew, or loses its last address."""
    devices = [(node.netns, hop.device) for hop in route.hops if hop.device]
    return any(
        end in ctx.made or end in ctx.removed or (end in ctx.unrouted and route.destination.version == 4)
        for end in devices
    )


def _put(ctx: Context, node: Node, now: Route | None, wanted: Route) -> list[Step]:
    if now is None:
        return [PutRoute((), (wanted,))]
    same = (
        now.type == wanted.type
        and now.source == wanted.source
        and now.mtu == wanted.mtu
        and len(now.hops) == len(wanted.hops)
        and ip_route.match(wanted.hops, now.hops)
    )
    mine = now.protocol == PROTOCOL and (node.netns is not None or bool(ctx.record and now.key in ctx.record.routes))
    if same and now.protocol == PROTOCOL:
        return []
    if mine or node.netns is not None or ctx.adopt:
        return [PutRoute((now,), (wanted,))]
    ctx.refuse(
        NotOurs(
            f"the host has a route {now.title} already, and it is not the lab's. "
            "Leave the route out of the lab, or set adopt: true to make it the lab's."
        )
    )
    return []


# ---- settings and name servers


def settings(ctx: Context, node: Node) -> tuple[list[Step], dict[tuple[str, str], str]]:
    """The steps to the settings of one node, and what they were before the lab, by namespace and name."""
    if node.netns is None:
        return _host_settings(ctx, node), {("", name): "" for name, _value in node.sysctls}
    before = {name: value for (place, name), value in _earlier(ctx).items() if place == node.netns}
    steps: list[Step] = []
    kept: dict[tuple[str, str], str] = {}
    for name, value in node.sysctls:
        now = _setting(ctx, node.netns, name)
        if now is not None:
            kept[node.netns, name] = before.get(name, now.value)
        elif ctx.is_there(node.netns) and not _is_of_new_device(ctx, node, name):
            ctx.refuse(_no_setting(name, node.netns))
            continue
        if now is None or now.value != value:
            known = (now,) if now is not None and ctx.is_there(node.netns) else ()
            steps.append(SetSysctl(known, (Sysctl(node.netns, name, value),)))
    if ctx.purge and ctx.is_there(node.netns):
        named = dict(node.sysctls)
        for name, value in before.items():
            now = _setting(ctx, node.netns, name)
            if name not in named and now is not None and now.value != value:
                steps.append(SetSysctl((now,), (Sysctl(node.netns, name, value),)))
    return steps, kept


def _earlier(ctx: Context) -> t.Mapping[tuple[str, str], str]:
    return ctx.record.settings if ctx.record else {}


def _setting(ctx: Context, place: str, name: str) -> Sysctl | None:
    """The setting as it is, or as it will be in a namespace that is still to be made."""
    if ctx.is_there(place):
        now: Sysctl | None = ctx.state.get(("sysctl", place, name))
        return now
    fresh: Fresh = ctx.state.get(("fresh",))
    quiet = {**fresh.values, **netns.QUIET}
    return Sysctl(place, name, quiet[name]) if name in fresh.values else None


def _is_of_new_device(ctx: Context, node: Node, name: str) -> bool:
    parts = name.split(".")
    return len(parts) > 4 and any((node.netns, part.replace("/", ".")) in ctx.made for part in parts[3:-1])


def _no_setting(name: str, place: str | None) -> PatchbayError:
    where = f" in namespace {place}" if place else ""
    return InvalidInput(
        f"the kernel has no setting {name}{where}; check its name, and that its protocol or module is there."
    )


def _host_settings(ctx: Context, node: Node) -> list[Step]:
    """The host's settings are borrowed: others may need them too."""
    holder = f"lab {ctx.lab.name}"
    steps: list[Step] = []
    wanted = dict(node.sysctls)
    for name, value in wanted.items():
        try:
            steps += sysctl.hold(ctx.state, None, name, value, holder)
        except PatchbayError as error:
            ctx.refuse(error)
    for place, name in _earlier(ctx):
        if place == "" and name not in wanted and ctx.purge:
            steps += sysctl.release(ctx.state, None, name, holder)
    return steps


def name_servers(ctx: Context, node: Node) -> list[Step]:
    """The steps to the file that names the servers of one namespace; one that we wrote goes when nobody names any."""
    if node.netns is None:
        return []
    found: netns.Resolver | None = ctx.state.get(("resolver", node.netns))
    wanted = node.nameservers
    if wanted is None and found is not None and found.ours and ctx.purge:
        wanted = ()
    try:
        return netns.plan_resolver(found, node.netns, wanted, force=ctx.force or ctx.adopt)
    except PatchbayError as error:
        ctx.refuse(error)
        return []
