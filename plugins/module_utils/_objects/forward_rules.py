# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The rules of one port forward, and what a set of such rules forwards."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, replace

from .._kernel.nft_rules import Dnat, Drop, Masquerade, Ports, Rule
from . import nat, ports
from .checks import Address, Network

KIND = "forward"
LOOPBACK = {4: ipaddress.ip_network("127.0.0.0/8"), 6: ipaddress.ip_network("::1/128")}


@dataclass(frozen=True)
class Service:
    """What is forwarded: the part of a forward that tells it from all others, its key."""

    family: int
    protocol: str
    ports: Ports
    address: Address | None = None
    in_interface: str | None = None

    def __str__(self) -> str:
        address = f" at {self.address}" if self.address else ""
        device = f" in {self.in_interface}" if self.in_interface else ""
        return f"{self.protocol} {self.ports} ipv{self.family}{address}{device}"

    @property
    def identity(self) -> str:
        return nat.identity(str(self))

    def overlaps(self, other: Service) -> bool:
        """Whether one packet can be meant by both."""
        return (
            (self.family, self.protocol) == (other.family, other.protocol)
            and self.ports.overlaps(other.ports)
            and _compatible(self.address, other.address)
            and _compatible(self.in_interface, other.in_interface)
        )


def _compatible(one: object, other: object) -> bool:
    return one is None or other is None or one == other


@dataclass(frozen=True)
class Target:
    """Where a service is forwarded to, and for whom."""

    address: Address
    ports: Ports | None = None
    """None keeps the port numbers."""
    sources: tuple[Network, ...] = ()
    local: bool = True
    localhost: bool = False
    hairpin: Network | None = None
    """The network whose own clients are let in by translating their source address too."""


def build(service: Service, target: Target) -> tuple[Rule, ...]:
    """All rules of the forward, those of one chain in order."""
    return (*_translations(service, target), *_returns(service, target))


def _translations(service: Service, target: Target) -> t.Iterator[Rule]:
    """Destinations change before routing: for packets that come in, and for the machine's own."""
    destination = ipaddress.ip_network(service.address) if service.address else None
    not_loopback = (LOOPBACK[service.family],) if destination is None else ()
    for outside, inside in ports.pairs(service.ports, target.ports):
        for source in target.sources or (None,):
            common: dict[str, t.Any] = {
                "verdict": Dnat(target.address, inside),
                "family": service.family,
                "source": source,
                "destination": destination,
                "local_destination": destination is None,  # else other machines' services would be hijacked
                "protocol": service.protocol,
                "ports": outside,
            }
            yield Rule("prerouting", comment=_comment(service, "in"), in_interface=service.in_interface, **common)
            if target.local:
                yield Rule("output", comment=_comment(service, "local"), not_destinations=not_loopback, **common)
        if target.localhost:
            yield Rule(
                "output",
                Dnat(target.address, inside),
                _comment(service, "localhost"),
                destination=LOOPBACK[service.family],
                protocol=service.protocol,
                ports=outside,
            )


def _returns(service: Service, target: Target) -> t.Iterator[Rule]:
    """Sources change after routing where the answer would not come back this way."""
    networks = {"hairpin": target.hairpin, "localhost": LOOPBACK[service.family] if target.localhost else None}
    for part, network in networks.items():
        if network is not None:
            yield Rule(
                "postrouting",
                Masquerade(),
                _comment(service, part),
                source=network,
                destination=ipaddress.ip_network(target.address),
                protocol=service.protocol,
                ports=target.ports or service.ports,
                translated=True,
            )
    if target.localhost:  # route_localnet lets neighbours in at 127.0.0.0/8: CVE-2020-8558
        loopback = LOOPBACK[service.family]
        yield Rule("guard", Drop(), _comment(service, "guard"), not_in_interface="lo", destination=loopback)
        yield Rule("guard", Drop(), _comment(service, "guard"), not_in_interface="lo", source=loopback)


def _comment(service: Service, part: str) -> str:
    return nat.comment(KIND, service.identity, part)


def claims(found: nat.NatObject) -> dict[str, Service]:
    """What the rules of a forward take in: packets that come ``in``, the machine's own, and those to localhost."""
    out: dict[str, Service] = {}
    for rule in found.readable:
        part = nat.part(rule)
        if part not in _CLAIMS or rule.chain != _CLAIMS[part] or not (rule.family and rule.protocol and rule.ports):
            continue
        address = rule.destination.network_address if rule.destination is not None and part != "localhost" else None
        service = Service(rule.family, rule.protocol, rule.ports, address, rule.in_interface)
        if part in out:  # a shifted range has one rule per port
            low, high = min(out[part].ports.low, rule.ports.low), max(out[part].ports.high, rule.ports.high)
            service = replace(service, ports=Ports(low, high))
        out[part] = service
    return out


_CLAIMS = {"in": "prerouting", "local": "output", "localhost": "output"}


def _parts(found: nat.NatObject, name: str, chain: str = "prerouting") -> list[Rule]:
    return [rule for rule in found.readable if nat.part(rule) == name and rule.chain == chain]


def shown(found: nat.NatObject) -> dict[str, t.Any]:
    """The forward as a user sees it, read from its rules; what can't be read from them is left out."""
    rules = [rule for rule in _parts(found, "in") if isinstance(rule.verdict, Dnat) and rule.ports]
    if not rules:
        return {}
    first = rules[0]
    outside = Ports(min(_low(rule) for rule in rules), max(_high(rule) for rule in rules))
    numbers = [rule.verdict.port for rule in rules if isinstance(rule.verdict, Dnat) and rule.verdict.port]
    inside = Ports(min(numbers), max(numbers)) if numbers else outside
    hairpin = _parts(found, "hairpin", "postrouting")
    return {
        "family": f"ipv{first.family}",
        "protocol": first.protocol,
        "port": str(outside),
        "address": str(first.destination.network_address) if first.destination else None,
        "in_interface": first.in_interface,
        "to_address": str(first.verdict.address) if isinstance(first.verdict, Dnat) else None,
        "to_port": str(inside),
        "sources": list(dict.fromkeys(str(rule.source) for rule in rules if rule.source)),
        "local": bool(_parts(found, "local", "output")),
        "hairpin": str(hairpin[0].source) if hairpin else None,
        "localhost": bool(_parts(found, "localhost", "output")),
    }


def _low(rule: Rule) -> int:
    return rule.ports.low if rule.ports else 0


def _high(rule: Rule) -> int:
    return rule.ports.high if rule.ports else 0
