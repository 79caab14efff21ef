# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The packets that a forward or a masquerade lives by, as they look on each hook: what somebody's firewall must let through."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, replace

from .._firewalls.model import Packet
from .._firewalls.opening import Opening
from .checks import Network
from .nat_specs import ForwardSpec, MasqueradeSpec, Spec

_OUTSIDE = {4: ipaddress.ip_address("192.0.2.1"), 6: ipaddress.ip_address("2001:db8::1")}
"""Somebody far away: addresses that no machine has (RFC 5737, RFC 3849)."""


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
class Path:
    """One kind of packet on one hook, and the least that lets it pass (its ``owner`` and ``backend`` are not told yet)."""

    hook: str
    packet: Packet
    opening: Opening
    bridged: bool = False
    """Whether it is bridged traffic, which meets the rules for routed packets only because of br_netfilter."""
    translated: bool = True
    """Whether a rule that translates its destination would take it away from us."""


def paths(spec: Spec, tag: str, around: Around) -> t.Iterator[Path]:
    """All of them, those that matter most first."""
    yield from _forward(spec, tag, around) if isinstance(spec, ForwardSpec) else _masquerade(spec, tag, around)


def _forward(spec: ForwardSpec, tag: str, around: Around) -> t.Iterator[Path]:
    service, target = spec.service, spec.target
    inside = around.device(target.address)
    outside = service.in_interface or around.uplink(service.family)
    where = ipaddress.ip_network(target.address)
    port = (target.ports or service.ports).low
    for source in target.sources or (None,):
        opening = Opening(
            "",
            "",
            service.family,
            tag if source is None else f"{tag} from {source}",
            service.in_interface,
            inside,
            source,
            where,
            service.protocol,
            target.ports or service.ports,
        )
        arriving = Packet(
            service.family,
            service.protocol,
            in_interface=outside,
            source=source,
            destination=_own(spec, around),
            destination_port=service.ports.low,
            local=around.local[service.family],
        )
        through = replace(
            arriving, out_interface=inside, destination=where, destination_port=port, translated=frozenset({"dnat"})
        )
        yield Path("prerouting", arriving, opening)
        yield from _both_ways(through, opening)
    if target.hairpin is not None:
        beside = replace(through, in_interface=inside, source=target.hairpin)
        open_to_all = not target.sources and service.in_interface is None
        its = (
            opening
            if open_to_all
            else replace(opening, tag=f"{tag} hairpin", in_interface=inside, source=target.hairpin)
        )
        yield from _both_ways(beside, its)


def _own(spec: ForwardSpec, around: Around) -> Network | None:
    """The address of the machine that a client connects to; one for all where all are meant."""
    service = spec.service
    if service.address is not None:
        return ipaddress.ip_network(service.address)
    usable = [
        network for network in around.local[service.family] if not network.is_loopback and not network.is_link_local
    ]
    return usable[0] if usable else None


def _masquerade(spec: MasqueradeSpec, tag: str, around: Around) -> t.Iterator[Path]:
    network = spec.source
    version = network.version
    everything = network.prefixlen == 0
    inside = None if everything else around.device(network.network_address + (0 if network.num_addresses == 1 else 1))
    outside = spec.out_interface or around.uplink(version)
    source = None if everything else network
    opening = Opening("", "", version, tag, inside, spec.out_interface, source)
    leaving = Packet(version, "tcp", inside, outside, source=source, local=around.local[version])
    yield from _both_ways(leaving, opening)
    if inside is not None and inside in around.filtered[version]:
        between = replace(leaving, out_interface=inside, destination=network)
        its = replace(opening, tag=f"{tag} bridged", out_interface=inside, destination=network)
        yield Path("forward", between, its, bridged=True)


def _both_ways(packet: Packet, opening: Opening) -> t.Iterator[Path]:
    """The first packet of a connection through the machine, and the answer to it."""
    yield Path("forward", packet, opening)
    yield Path("postrouting", packet, opening)
    answer = replace(
        packet,
        in_interface=packet.out_interface,
        out_interface=packet.in_interface,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.destination_port,
        destination_port=None,
        state="established",
    )
    yield Path("forward", answer, opening)
