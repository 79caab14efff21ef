# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The packets that a forward or a masquerade lives by, as they look on each hook, and the tables of others that they meet."""

from __future__ import annotations

import functools
import ipaddress
import typing as t
from dataclasses import dataclass, replace

from .._engine.model import Key
from .._firewalls import docker
from .._firewalls.model import Chain, Packet, Rule, Table
from .._firewalls.opening import PREFIX, Opening, Standing
from .checks import Network
from .nat_specs import ForwardSpec, MasqueradeSpec, Spec

_OUTSIDE = {4: ipaddress.ip_address("192.0.2.1"), 6: ipaddress.ip_address("2001:db8::1")}
"""Somebody far away: addresses that no machine has (RFC 5737, RFC 3849)."""
TO_ELSEWHERE = ("dnat", "redirect")
"""Verdicts that give a packet another destination."""
_MOST_PORTS = 1024


@dataclass(frozen=True)
class Around:
    """What has to be known of the namespace."""

    local: t.Mapping[int, tuple[Network, ...]]
    """Its own addresses, by IP version."""
    device: t.Callable[[t.Any], str | None]
    """The interface that leads to an address."""
    filtered: t.Mapping[int, frozenset[str]]
    """The bridges whose bridged packets meet the rules for routed ones, by IP version."""

    def uplink(self, version: int) -> str | None:
        """The interface that leads to the outside."""
        return self.device(_OUTSIDE[version])


@dataclass(frozen=True)
class Firewalls:
    """Everybody else's tables in the namespace, and what has to be known to follow a packet through them."""

    netns: str | None
    tables: tuple[Table, ...]
    around: Around
    at_home: bool = True
    """Whether the namespace is the one that the machine's daemons, and the tools of firewalld and ufw, mean."""

    @property
    def key(self) -> Key:
        return ("firewalls", self.netns)

    def without(self, gone: t.Callable[[Standing], bool]) -> Firewalls:
        """Less those of our rules in Docker's chain that belong to openings which are ``gone``."""
        return replace(self, tables=tuple(_less(table, gone) for table in self.tables))

    @functools.cached_property
    def answers(self) -> dict[t.Any, t.Any]:
        """What was found out already, by question."""
        return {}

    @functools.cached_property
    def prerouting(self) -> list[Table]:
        return list(_apart(self.tables, "prerouting"))

    @functools.cached_property
    def forward(self) -> list[Table]:
        return list(_apart(self.tables, "forward"))

    @functools.cached_property
    def postrouting(self) -> list[Table]:
        return list(_apart(self.tables, "postrouting"))

    @functools.cached_property
    def translates(self) -> bool:
        """Whether any rule gives packets another destination."""
        return any(
            rule.verdict.kind in TO_ELSEWHERE for table in self.tables for chain in table.chains for rule in chain.rules
        )


def _apart(tables: t.Iterable[Table], hook: str) -> t.Iterator[Table]:
    """The tables that have a chain on the hook; one that has several, once for each, so that each can be asked alone."""
    for table in tables:
        for base in table.chains:
            if base.hook == hook:
                yield replace(table, chains=(base, *(chain for chain in table.chains if chain.hook is None)))


def _less(table: Table, gone: t.Callable[[Standing], bool]) -> Table:
    def stays(chain: Chain, rule: Rule) -> bool:
        if not rule.comment.startswith(PREFIX):
            return True
        return not any(map(gone, docker.find([replace(table, chains=(replace(chain, rules=(rule,)),))])))

    users = table.chain(docker.CHAIN)
    if users is None:
        return table
    kept = replace(users, rules=tuple(rule for rule in users.rules if stays(users, rule)))
    return replace(table, chains=tuple(kept if chain is users else chain for chain in table.chains))


@dataclass(frozen=True)
class Path:
    """One kind of packet on one hook, and the least that lets it pass (its ``owner`` and ``backend`` are not told yet)."""

    hook: str
    packet: Packet
    opening: Opening
    bridged: bool = False
    """Whether it is bridged traffic, which meets the rules for routed packets only because of br_netfilter."""
    behind: Packet | None = None
    """The packet as chains behind our address translation on this hook see it."""
    opening_behind: Opening | None = None
    """What they have to let through."""


def paths(spec: Spec, tag: str, around: Around) -> t.Iterator[Path]:
    """All of them, those that matter most first."""
    yield from _forward(spec, tag, around) if isinstance(spec, ForwardSpec) else _masquerade(spec, tag, around)


# ---- forwards


def _forward(spec: ForwardSpec, tag: str, around: Around) -> t.Iterator[Path]:
    service, target = spec.service, spec.target
    inside = around.device(target.address)
    for source in target.sources or (None,):
        opening = Opening(
            "",
            "",
            service.family,
            tag if source is None else f"{tag} from {source}",
            service.in_interface,
            inside,
            source,
            ipaddress.ip_network(target.address),
            service.protocol,
            target.ports or service.ports,
        )
        for arriving in _arriving(spec, source, inside, around):
            yield from _through(spec, arriving, opening, service.ports.low, (target.ports or service.ports).low)
            if service.ports.low != service.ports.high:
                yield from _through(spec, arriving, opening, service.ports.high, (target.ports or service.ports).high)


def _arriving(spec: ForwardSpec, source: Network | None, inside: str | None, around: Around) -> t.Iterator[Packet]:
    """The first packet of each kind of client, before its destination is translated and but for its port."""
    service, target = spec.service, spec.target
    outside = service.in_interface or (
        around.device(source.network_address) if source else around.uplink(service.family)
    )
    first = Packet(
        service.family,
        service.protocol,
        in_interface=outside,
        source=source,
        destination=next(iter(own_addresses(spec, around)), None),
        local=around.local[service.family],
    )
    hairpin = target.hairpin
    is_inside = source is not None and hairpin is not None and source.subnet_of(t.cast(t.Any, hairpin))
    if not is_inside:
        yield first
    if hairpin is not None and service.in_interface in (None, inside) and (source is None or source.overlaps(hairpin)):
        yield replace(first, in_interface=inside, source=source if is_inside else hairpin)


def _through(spec: ForwardSpec, arriving: Packet, opening: Opening, port: int, its_port: int) -> t.Iterator[Path]:
    """The way of a client's packets to one port through the machine, and of the answers."""
    before = replace(arriving, out_interface="", destination_port=port)
    through = replace(
        arriving,
        out_interface=opening.out_interface,
        destination=opening.destination,
        destination_port=its_port,
        translated=frozenset({"dnat"}),
    )
    yield from _both_ways(through, opening)
    asked = replace(_anywhere(opening), destination=before.destination, ports=spec.service.ports)
    behind = replace(through, out_interface="")
    yield Path("prerouting", before, asked, behind=behind, opening_behind=_anywhere(opening))
    answered = replace(_anywhere(opening), source=opening.destination, destination=None, protocol=None, ports=None)
    yield Path("prerouting", replace(_answer(through), out_interface=""), answered)


def own_addresses(spec: ForwardSpec, around: Around) -> list[Network]:
    """The addresses of the machine that a client may connect to, those of the interface towards the outside first."""
    service = spec.service
    if service.address is not None:
        return [ipaddress.ip_network(service.address)]
    outside = service.in_interface or around.uplink(service.family)
    usable = [each for each in around.local[service.family] if not each.is_loopback and not each.is_link_local]
    return sorted(usable, key=lambda each: around.device(each.network_address) != outside)


def asking(spec: ForwardSpec, around: Around) -> Packet:
    """What a client outside sends to the machine, whichever address and port of the forward it asks."""
    service = spec.service
    return Packet(
        service.family,
        service.protocol,
        in_interface=service.in_interface or around.uplink(service.family),
        local=around.local[service.family],
    )


def asked_ports(spec: ForwardSpec, hints: t.Iterable[int]) -> list[int]:
    """The ports of the forward to look at: all, or of very many those that ``hints`` name, and both ends."""
    ports = spec.service.ports
    if ports.high - ports.low < _MOST_PORTS:
        return list(range(ports.low, ports.high + 1))
    return sorted({ports.low, ports.high, *(port for port in hints if ports.low <= port <= ports.high)})


# ---- masquerades


def _masquerade(spec: MasqueradeSpec, tag: str, around: Around) -> t.Iterator[Path]:
    network = spec.source
    version = network.version
    outside = spec.out_interface or around.uplink(version)
    led = _behind(network, around)
    inside = dict.fromkeys(device for device in led if device not in (None, outside))
    sure = led[0] if set(led) == set(inside) and len(inside) == 1 else None
    opening = Opening("", "", version, tag, sure, spec.out_interface, network if network.prefixlen else None)
    for device in inside or (None,):
        leaving = Packet(version, "tcp", device, outside, source=opening.source, local=around.local[version])
        yield from _both_ways(leaving, opening)
        yield Path("prerouting", replace(leaving, out_interface=""), _anywhere(opening))
        if device is not None and device in around.filtered[version]:
            between = replace(leaving, out_interface=device, destination=network)
            its = replace(opening, tag=f"{tag} bridged", in_interface=device, out_interface=device, destination=network)
            for packet in (between, replace(between, state="established")):
                yield Path("forward", packet, its, bridged=True)


def _behind(network: Network, around: Around) -> list[str | None]:
    """The interfaces that lead to a network: to its ends, and to what it has of our own addresses; any for everything."""
    if network.prefixlen == 0:
        return [None]
    edge = 0 if network.num_addresses <= 2 else 1  # a network's first and last addresses are nobody's
    own = (each.network_address for each in around.local[network.version] if each.prefixlen == each.max_prefixlen)
    ends = (network.network_address + edge, network.broadcast_address - edge)
    return [around.device(address) for address in (*ends, *(each for each in own if each in network))]


# ---- both


def _both_ways(packet: Packet, opening: Opening) -> t.Iterator[Path]:
    """The first packet of a connection through the machine, the answer to it, and what follows."""
    yield Path("forward", packet, opening)
    yield Path("postrouting", packet, _anywhere(opening), behind=_hidden(packet), opening_behind=_outwards(opening))
    yield Path("forward", _answer(packet), opening)
    yield Path("forward", replace(packet, state="established"), opening)


def _answer(packet: Packet) -> Packet:
    return replace(
        packet,
        in_interface=packet.out_interface,
        out_interface=packet.in_interface,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.destination_port,
        destination_port=None,
        state="established",
    )


def _hidden(packet: Packet) -> Packet:
    """The packet behind a masquerade: from some address of the machine."""
    return replace(packet, source=None, translated=packet.translated | {"snat"})


def _anywhere(opening: Opening) -> Opening:
    """Without interfaces: before routing there is none to go out by, and iptables knows none that was come in by behind it."""
    return replace(opening, in_interface=None, out_interface=None)


def _outwards(opening: Opening) -> Opening:
    return replace(opening, in_interface=None, source=None)
