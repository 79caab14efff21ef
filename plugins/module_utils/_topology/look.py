# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Looking at the links, addresses and routes of a lab: three dumps for each namespace, and nothing asked twice."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .._engine.model import Item
from .._kernel import procsys, rtnl
from .._kernel.kernel import Kernel
from .._lab_file.spec import LinkSpec, Node
from .._objects import address, impairment, link, netns, route, sysctl
from .._objects.checks import Interface
from .._objects.link import Peer
from .facts import Settled
from .glance import Glances
from .record import Record

_LO = 1
"""The number of lo in every namespace (LOOPBACK_IFINDEX, net/flow.h)."""


class Place(t.NamedTuple):
    """Where a link is: its namespace, and its number there."""

    netns: str | None
    number: int


class Seen(t.NamedTuple):
    """What one namespace has of links, as the kernel said it."""

    netns: str | None
    links: list[t.Any]
    names: dict[int, str]


def look(
    kernel: Kernel,
    there: t.Sequence[str],
    nodes: t.Mapping[str | None, Node],
    record: Record | None,
    glances: Glances | None,
) -> list[Item]:
    """Links, addresses and routes of the host and the namespaces that stay; of those that go, whose they are.

    What lies in a namespace that goes comes back with it when the run is taken back. Only of a cable that has to make place
    for another one, both ends are looked at.
    """
    items: list[Item] = []
    staying, going = [name for name in there if name in nodes], [name for name in there if name not in nodes]
    seen = [_see(kernel, place, nodes.get(place), record, items, glances) for place in [None, *staying]]
    likely = {node.netns: [each.peer.netns for each in node.links if each.peer] for node in nodes.values()}
    peers = _peers(kernel, seen, likely)
    wanted = {(each.netns, each.name): each for node in nodes.values() for each in node.links}
    if any(isinstance(item, Settled) for item in items) and not _joined(items, peers, seen, wanted):
        return look(kernel, there, nodes, record, None)
    if going and any(_leads_away(each, peers, wanted) for each in seen):
        seen += [_see(kernel, place, None, None, items, None) for place in going]
        peers = _peers(kernel, seen, likely)
    else:
        items += [item for place in going for item in _loopback(place, [rtnl.get_link(kernel.rtnl(place), index=_LO)])]
    greeted = {
        (each.netns, each.device) for each in items if isinstance(each, address.Address) and each.interface.version == 6
    }
    for place, links, names in seen:
        for message in links:
            if message["index"] == _LO:
                continue
            now = link.decode(kernel, place, message, names=names, peer=peers.get(Place(place, message["index"])))
            spec = wanted.get((place, now.name))
            if spec is None or now.kind not in ("veth", "bridge") or (spec.kind, spec.peer) != (now.kind, now.peer):
                now = replace(now, link_local=link.has_link_local(message))  # it may have to be made again
            if (
                spec is not None
                and any(each.version == 6 for each in spec.addresses)
                and (place, now.name) not in greeted
            ):
                items += _without_six(kernel, spec) if not link.has_link_local(message) else []
            items.append(now)
    return items


def _without_six(kernel: Kernel, spec: LinkSpec) -> list[Item]:
    """Of an interface that was made without IPv6 and is to have it: what has to be changed for that."""
    name = sysctl.of_device(6, spec.name, "accept_dad")
    with kernel.inside(spec.netns):
        value = procsys.read(name)
    found = [sysctl.Sysctl(spec.netns, name, value)] if value is not None else []
    return [*found, address.LinkLocal(spec.netns, spec.name, on=False)]


def _see(
    kernel: Kernel,
    place: str | None,
    node: Node | None,
    record: Record | None,
    items: list[Item],
    glances: Glances | None,
) -> Seen:
    """Look at one namespace; ``items`` gets its addresses and routes."""
    sock = kernel.rtnl(place)
    links = rtnl.dump_links(sock)
    if place is None:
        names = _names_of(kernel, place, links)
        items += _on_host(kernel, names, node, record)
    else:
        answers = rtnl.all_addresses(sock), rtnl.all_routes(sock)
        recognized = glances.recognized(node, (links, *answers)) if glances is not None and node is not None else None
        if glances is not None and recognized is not None:
            items += [netns.Namespace(place, lab=glances.lab), netns.Loopback(place, up=True), Settled(place)]
            return Seen(place, [], dict(recognized))
        names = _names_of(kernel, place, links)
        if glances is not None and node is not None:
            glances.looked_at(node, names)
        items += _loopback(place, links)
        items += _addresses(place, names, answers[0], node)
        items += route.of_messages(place, names, filter(_is_made, answers[1]))
    if node is not None and _may_be_impaired(node, links):
        items += impairment.observe(kernel, place, names)
    return Seen(place, links, names)


def _names_of(kernel: Kernel, place: str | None, links: t.Iterable[t.Any]) -> dict[int, str]:
    names = {message["index"]: link.name_of(message) for message in links}
    kernel.learn_indexes(place, {name: index for index, name in names.items()})
    return names


def _joined(
    items: t.Iterable[Item],
    peers: t.Mapping[Place, Peer],
    seen: t.Iterable[Seen],
    wanted: t.Mapping[tuple[str | None, str], LinkSpec],
) -> bool:
    """Whether the cables out of the namespaces that were recognized end where they should."""
    settled = {item.netns for item in items if isinstance(item, Settled)}
    ends = {(each.netns, each.names[place.number]): peer for each in seen for place, peer in _of(each, peers)}
    for (place, name), spec in wanted.items():
        if spec.peer is None or place not in settled or spec.peer.netns in settled:
            continue
        if ends.get((spec.peer.netns, spec.peer.name)) != Peer(place, name):
            return False
    return True


def _of(seen: Seen, peers: t.Mapping[Place, Peer]) -> list[tuple[Place, Peer]]:
    places = (Place(seen.netns, number) for number in seen.names)
    return [(place, peers[place]) for place in places if place in peers]


def _leads_away(seen: Seen, peers: t.Mapping[Place, Peer], wanted: t.Container[tuple[str | None, str]]) -> bool:
    """Whether a cable whose name is wanted leads to a namespace that was not looked at."""
    return any(
        (seen.netns, seen.names[message["index"]]) in wanted
        and link.kind_of(message) == "veth"
        and Place(seen.netns, message["index"]) not in peers
        for message in seen.links
    )


def _may_be_impaired(node: Node, links: t.Iterable[t.Any]) -> bool:
    return any(each.impairment for each in node.links) or any(each.get_attr("IFLA_QDISC") == "netem" for each in links)


def _on_host(kernel: Kernel, names: t.Mapping[int, str], host: Node | None, record: Record | None) -> list[Item]:
    """Addresses of the host, and its routes where they matter: they may be many."""
    sock = kernel.rtnl(None)
    items = _addresses(None, names, rtnl.all_addresses(sock), host)
    have = {(item.device, item.interface) for item in items if isinstance(item, address.Address)}
    wanted = {(each.name, interface) for each in (host.links if host else ()) for interface in each.addresses}
    if not wanted <= have or (host and host.routes) or (record and record.routes):
        items += route.of_messages(None, names, rtnl.all_routes(sock))
    return items


def _loopback(place: str, links: t.Sequence[t.Any]) -> list[Item]:
    """Whether lo is up, and by its alias, whose namespace it is."""
    for message in links:
        if message["index"] == _LO:
            ours, lab = netns.owner(message.get_attr("IFLA_IFALIAS"))
            up = bool(message["flags"] & rtnl.IFF_UP)
            return [netns.Namespace(place, ours=ours, lab=lab), netns.Loopback(place, up)]
    return []


def _addresses(
    place: str | None, names: t.Mapping[int, str], messages: t.Iterable[t.Any], node: Node | None
) -> list[Item]:
    """All addresses but those of lo, and the link-local ones that come by themselves: unless the file names such addresses."""
    named = node is not None and any(_is_link_local(interface) for each in node.links for interface in each.addresses)
    found = ((m["index"], m) for m in messages)
    kept = [(index, m) for index, m in found if index != _LO and index in names]
    return [address.decode(place, names[index], m) for index, m in kept if named or not address.comes_by_itself(m)]


def _is_link_local(interface: Interface) -> bool:
    return interface.version == 6 and interface.is_link_local


def _is_made(message: t.Any) -> bool:
    """Whether somebody made a route, and it did not come with an address."""
    return message["proto"] != route.KERNEL and message["table"] != route.TABLES["local"]


def _peers(
    kernel: Kernel, seen: t.Sequence[Seen], likely: t.Mapping[str | None, t.Sequence[str | None]]
) -> dict[Place, Peer]:
    """The other end of every cable whose ends are both among what was seen.

    A namespace knows others by numbers of its own, so one with cables that lead out of it is asked for them. ``likely`` are
    the namespaces that each has cables to by the lab's file.
    """
    out: dict[Place, Peer] = {}
    by_place = {each.netns: each for each in seen}

    def pair(one: Place, other: Place) -> None:
        name = by_place[other.netns].names.get(other.number)
        if name is not None:
            out[one] = Peer(other.netns, name)
            out[other] = Peer(one.netns, by_place[one.netns].names[one.number])

    for place, links, _names in seen:
        beyond: dict[int, list[tuple[int, int]]] = {}
        for message in links:
            index, other = message["index"], message.get_attr("IFLA_LINK")
            if not other or Place(place, index) in out or link.kind_of(message) != "veth":
                continue
            number = message.get_attr("IFLA_LINK_NETNSID")
            if number is None:
                pair(Place(place, index), Place(place, other))
            else:
                beyond.setdefault(number, []).append((index, other))
        for number, candidate in _numbers(kernel, place, set(beyond), likely.get(place, ()), by_place):
            for index, other in beyond[number]:
                pair(Place(place, index), Place(candidate, other))
    return out


def _numbers(
    kernel: Kernel,
    place: str | None,
    unknown: set[int],
    likely: t.Iterable[str | None],
    all_places: t.Mapping[str | None, object],
) -> t.Iterator[tuple[int, str | None]]:
    """The namespaces behind the numbers by which ``place`` knows them; each is asked about, the likely ones first."""
    near = dict.fromkeys([None, *likely])
    for far in (False, True):
        if not unknown:
            return
        group = [each for each in (all_places if far else near) if each in all_places and each != place]
        group = [each for each in group if each not in near] if far else group
        numbers = rtnl.namespace_ids(kernel.rtnl(place), [kernel.file(each) for each in group])
        for number, candidate in zip(numbers, group):
            if number in unknown:
                unknown.discard(number)
                yield number, candidate
