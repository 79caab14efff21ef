# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Looking at all that a lab is made of."""

from __future__ import annotations

import os
import typing as t

from .._engine.model import Item, State
from .._errors import NotFound
from .._kernel import namespaces, procsys, resolver, rtnl
from .._kernel.kernel import Kernel
from .._lab_file.spec import LabSpec, Node
from .._objects import link, machine, netns, sysctl, way
from .._objects.nat import Nat
from .facts import Filtered, Fresh, Lacking, Others, Translation
from .glance import Glances
from .look import look
from .record import Record, groups


def observe(
    kernel: Kernel,
    lab: LabSpec,
    record: Record | None,
    parts: t.Mapping[str | None, Nat],
    *,
    claimed: LabSpec | None = None,
    glances: Glances | None = None,
) -> State:
    """Everything that the plan for ``lab`` needs. ``parts`` are its wishes for address translation.

    Of a lab that is to be absent, ``claimed`` is what its file names. What ``glances`` recognizes is not looked at closely.
    """
    items: list[Item] = [machine.observe(kernel)]
    items += [record] if record else []
    items.append(Others(groups(kernel, lab.name)))
    nodes = {node.netns: node for node in lab.nodes}
    wanted = [node.netns for node in lab.namespaces if node.netns is not None]
    known = set(record.namespaces if record else _marked(lab.name))
    known |= {node.netns for node in claimed.namespaces if node.netns is not None} if claimed else set()
    there, leftovers = _names([*wanted, *sorted(known - nodes.keys())])
    items += [netns.Namespace(name, ours=False) for name in there]
    items += [netns.Namespace(name, live=False, ours=False) for name in leftovers]
    items += look(kernel, there, nodes, record, glances)
    going = [name for name in there if name not in nodes]
    items += _occupants(going)
    items += _settings(kernel, nodes, there, record)
    items += _resolvers([*nodes.values()], going)
    items += _filtered(kernel, [node for node in nodes.values() if node.forwards], there)
    items += _lacking(lab, items)
    for place, wish in parts.items():
        if place is None or place in there:
            items.append(Translation(place, wish.observe(kernel)))
    return State(items)


def _names(names: t.Iterable[str]) -> tuple[list[str], set[str]]:
    """Those of the names that are namespaces, and those that are leftover files; whose they are, is not known yet."""
    there: list[str] = []
    doubtful: list[str] = []
    device = namespaces.device()
    for name in names:
        try:
            (there if os.stat(namespaces.path(name)).st_dev == device else doubtful).append(name)
        except OSError:
            doubtful += [name] if namespaces.exists(name) else []
    leftovers = namespaces.stale(doubtful)
    return [*there, *(name for name in doubtful if name not in leftovers and namespaces.exists(name))], leftovers


def _marked(lab: str) -> frozenset[str]:
    """The namespaces with the lab's mark, when no record tells: all are looked into."""
    found = []
    for name in namespaces.names():
        try:
            with Kernel() as kernel:
                alias = rtnl.get_link(kernel.rtnl(name), name="lo").get_attr("IFLA_IFALIAS")
        except NotFound:
            continue  # a leftover file
        if netns.owner(alias) == (True, lab):
            found.append(name)
    return frozenset(found)


# ---- settings and files


def _settings(
    kernel: Kernel, nodes: t.Mapping[str | None, Node], there: t.Sequence[str], record: Record | None
) -> list[Item]:
    items: list[Item] = []
    fresh: dict[str, None] = dict.fromkeys([*netns.QUIET, *netns.AT_ONCE])
    changed: dict[str, list[str]] = {}
    for where, name in record.settings if record else ():
        changed.setdefault(where, []).append(name)
    for place, node in nodes.items():
        names = dict.fromkeys([*(name for name, _value in node.sysctls), *changed.get(place or "", ())])
        if place is None:
            items += [each for name in names for each in sysctl.observe(kernel, None, name)]
        elif place not in there:
            fresh.update(dict.fromkeys(name for name, _value in node.sysctls))
        elif names:
            with kernel.inside(place):
                values = {name: procsys.read(name) for name in names}
            items += [sysctl.Sysctl(place, name, value) for name, value in values.items() if value is not None]
    if any(place is not None and place not in there for place in nodes):
        with namespaces.inside_new():
            values = {name: procsys.read(name) for name in fresh}
        items.append(Fresh({name: value for name, value in values.items() if value is not None}))
    return items


def _filtered(kernel: Kernel, nodes: t.Sequence[Node], there: t.Sequence[str]) -> list[Item]:
    """What br_netfilter does where forwards are; a namespace that is still to be made is like any new one."""
    out: list[Item] = []
    for node in nodes:
        new = node.netns is not None and node.netns not in there
        with namespaces.inside_new() if new else kernel.inside(node.netns):
            versions = frozenset(version for version, name in way.BRIDGE_FILTER.items() if procsys.read(name) == "1")
        out.append(Filtered(node.netns, versions))
    return out


def _lacking(lab: LabSpec, items: t.Iterable[Item]) -> list[Item]:
    """What the kernel can't do of what the lab needs. What is there already needs no trying."""
    there = {item.kind for item in items if isinstance(item, link.Link)}
    links = [each for node in lab.nodes for each in node.links]
    wanted = {each.kind for each in links if each.kind not in ("veth", "bridge")} - there
    wanted |= {"netem"} if any(each.impairment for each in links) else set()
    options = (each.options for each in links if isinstance(each.options, link.BridgeOptions))
    wanted |= {"vlan_filtering"} if any(each.vlan_filtering for each in options) else set()
    if not wanted:
        return []
    from .._kernel import features  # much code, for what most labs don't use

    return [Lacking(name, found.reason) for name, found in features.find(wanted).items() if not found.available]


def _resolvers(nodes: t.Iterable[Node], going: t.Iterable[str]) -> list[Item]:
    names = resolver.names()
    wanted = [node.netns for node in nodes if node.netns in names] + [name for name in going if name in names]
    found = ((name, resolver.read(name)) for name in wanted if name is not None)
    return [netns.Resolver(name, text) for name, text in found if text is not None]


def _occupants(going: t.Sequence[str]) -> list[Item]:
    """The processes inside the namespaces that are to go; /proc is searched once."""
    if not going:
        return []
    inside = namespaces.inhabitants()
    found = ((name, inside.get(os.stat(namespaces.path(name)).st_ino)) for name in going)
    return [netns.Occupants(name, tuple(processes)) for name, processes in found if processes]
