# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Somebody's firewall as values: tables, chains at hooks, rules, and the packet that meets them.

Truth has three values here: True, False, and None for what can't be known beforehand (a rate limit, a mark,
a match that there are no words for).
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


@dataclass(frozen=True)
class Packet:
    """A kind of packet. What is None is not known, or may be anything.

    Addresses are networks: one of a single address is that address, a larger one means any address of it.
    """

    family: int
    """4 or 6."""
    protocol: str | None = None
    """tcp, udp, sctp, icmp or icmpv6."""
    in_interface: str | None = None
    """An empty text means none: the machine's own packet."""
    out_interface: str | None = None
    """An empty text means none: a packet to the machine itself, or one that is not routed yet."""
    source: Network | None = None
    destination: Network | None = None
    source_port: int | None = None
    destination_port: int | None = None
    state: str = "new"
    """What connection tracking says: new or established."""
    translated: frozenset[str] = frozenset()
    """Of ``dnat`` and ``snat``, what connection tracking says was done to the connection."""
    in_port: str | None = None
    """The bridge port a bridged packet came in by; in_interface is its bridge then."""
    out_port: str | None = None
    local: tuple[Network, ...] | None = None
    """The addresses of the namespace itself, where they matter (fib and addrtype tests)."""


class Condition(t.Protocol):
    """A part of a rule that a packet meets or not; a frozen dataclass."""

    def holds(self, packet: Packet) -> bool | None:
        """Whether the packet meets it, as far as can be known."""


@dataclass(frozen=True)
class Unknown:
    """A condition that there are no words for, or one that depends on more than the packet."""

    what: str

    def __str__(self) -> str:
        return self.what

    def holds(self, packet: Packet) -> bool | None:
        return None


@dataclass(frozen=True)
class Verdict:
    """What a rule does to a packet that meets it.

    ``kind`` is accept, drop, reject, queue, return, jump, goto, dnat, redirect, snat, masquerade, or continue for rules
    that only count, log or mark; ``chain`` is where a jump or goto leads; ``detail`` what a person may want to read
    (the target of a dnat).
    """

    kind: str
    chain: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Rule:
    """One rule. A verdict map (vmap) is several rules with the same ``handle`` and ``text``, one per element."""

    conditions: tuple[Condition, ...]
    verdict: Verdict
    text: str = ""
    """Close to how the owner's tool lists it."""
    comment: str = ""
    handle: int | None = field(default=None, compare=False)
    """nftables' number of the rule in its table; for legacy tables the position in its chain, from 1."""


@dataclass(frozen=True)
class Chain:
    """Rules in order. A base chain has a hook: prerouting, input, forward, output, postrouting or ingress."""

    name: str
    rules: tuple[Rule, ...] = ()
    hook: str | None = None
    type: str = ""
    """filter, nat or route."""
    priority: int = 0
    policy: str = "accept"
    """accept or drop; what happens to a packet that no rule of a base chain decided on."""


@dataclass(frozen=True)
class Table:
    """A table with everything in it."""

    backend: str
    """nft (which includes what iptables-nft writes) or legacy (iptables-legacy)."""
    family: str
    """ip, ip6, inet, bridge or netdev."""
    name: str
    chains: tuple[Chain, ...] = ()
    owned: bool = False
    """Whether it belongs to a process (flags owner), so that nobody else may change it."""

    def __str__(self) -> str:
        return f"{self.family} {self.name}" + (" (iptables-legacy)" if self.backend == "legacy" else "")

    def chain(self, name: str) -> Chain | None:
        """The chain of this name, or None."""
        return next((chain for chain in self.chains if chain.name == name), None)
