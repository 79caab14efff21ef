# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What an nftables rule means, in words of its own: compared here, and written here as nft(8) text.

The same meaning has many forms in the kernel, so nothing compares bytes: rules are decoded into these
classes, and every form of one meaning becomes the same value.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Chain(t.NamedTuple):
    """A chain: of a base chain its type, hook, priority and policy (nft(8), "CHAINS"); of any other only the name."""

    name: str
    type: str = ""
    hook: str = ""
    priority: int = 0
    policy: str = "accept"

    def __str__(self) -> str:
        """As nft(8) writes it, after ``add chain inet patchbay NAME``."""
        return (
            f"{{ type {self.type} hook {self.hook} priority {self.priority}; policy {self.policy}; }}"
            if self.type
            else ""
        )


# In the order in which their rules are listed. The priorities are those that nft calls raw, dstnat and srcnat.
CHAINS = {
    chain.name: chain
    for chain in (
        Chain("guard", "filter", "prerouting", -300),
        Chain("prerouting", "nat", "prerouting", -100),
        Chain("output", "nat", "output", -100),
        Chain("postrouting", "nat", "postrouting", 100),
    )
}


@dataclass(frozen=True, order=True)
class Ports:
    """One port, or all from ``low`` to ``high``."""

    low: int
    high: int

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"

    def __len__(self) -> int:
        return self.high - self.low + 1

    def overlaps(self, other: Ports) -> bool:
        """Whether a port is in both."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Masquerade:
    """The source becomes the address of the outgoing interface, its port one of ``ports`` when given."""

    ports: Ports | None = None
    random: bool = False

    def __str__(self) -> str:
        return "masquerade" + (f" to :{self.ports}" if self.ports else "") + (" random" if self.random else "")


@dataclass(frozen=True)
class Dnat:
    """The destination becomes ``address``, and its port ``port`` when given."""

    address: Address
    port: int | None = None

    def __str__(self) -> str:
        if self.address.version == 4:
            return f"dnat ip to {self.address}" + (f":{self.port}" if self.port else "")
        return "dnat ip6 to " + (f"[{self.address}]:{self.port}" if self.port else str(self.address))


FIELDS = {
    # What a key may be made of, in this order: the types of nft(8), and what the packet is asked for.
    "iifname": "ifname",
    "saddr": "{addr}",
    "daddr": "{addr}",
    "dport": "inet_service",
}


@dataclass(frozen=True)
class DnatBy:
    """The destination becomes what the map ``name`` says for a ``key`` of FIELDS; what is not in the map is not translated."""

    name: str
    key: tuple[str, ...]
    version: int
    ports: bool
    """Whether the map tells the port too."""

    def __str__(self) -> str:
        return f"dnat {IP[self.version]} to {{key}} map @{self.name}"


@dataclass(frozen=True)
class Drop:
    """The packet is thrown away."""

    def __str__(self) -> str:
        return "drop"


@dataclass(frozen=True)
class Opaque:
    """A rule that says something these classes have no words for; kept as bytes, so that it can be put back."""

    expressions: tuple[tuple[str, bytes], ...]

    def __str__(self) -> str:
        return "# a rule of another shape: " + " ".join(name for name, _data in self.expressions)


Verdict = t.Union[Masquerade, Dnat, DnatBy, Drop, Opaque]
IP = {4: "ip", 6: "ip6"}


@dataclass(frozen=True)
class Member:
    """The condition that the ``key`` of FIELDS is in the set ``name``."""

    name: str
    key: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """One rule: all its conditions must hold, and then the verdict is carried out.

    ``family`` is 4 or 6; addresses imply it. ``not_destinations`` is sorted. ``local_destination`` means an
    address of the namespace itself, ``translated`` a connection whose destination was changed. ``handle``
    is the kernel's name for the rule and no part of its meaning.
    """

    chain: str
    verdict: Verdict
    comment: str = ""
    family: int | None = None
    in_interface: str | None = None
    not_in_interface: str | None = None
    out_interface: str | None = None
    source: Network | None = None
    destination: Network | None = None
    not_destinations: tuple[Network, ...] = ()
    local_destination: bool = False
    protocol: str | None = None
    ports: Ports | None = None
    translated: bool = False
    member: Member | None = None
    handle: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Bring the conditions to the one form in which equal meanings are equal values."""
        everything = [net for net in (self.source, self.destination) if net is not None and net.prefixlen == 0]
        seen = [net for net in (self.source, self.destination, *self.not_destinations) if net is not None]
        if self.family is None and seen:
            object.__setattr__(self, "family", seen[0].version)
        if everything:
            object.__setattr__(self, "source", None if self.source in everything else self.source)
            object.__setattr__(self, "destination", None if self.destination in everything else self.destination)
        object.__setattr__(self, "not_destinations", sort_networks(self.not_destinations))

    def __str__(self) -> str:
        """The rule in nft's own syntax, without its comment."""
        counter = [] if isinstance(self.verdict, (Dnat, DnatBy)) else ["counter"]
        verdict = str(self.verdict)
        if isinstance(self.verdict, DnatBy):
            verdict = verdict.replace("{key}", _key(self, self.verdict.key))
        return " ".join([*_conditions(self), *counter, verdict])


def sort_networks(networks: t.Iterable[Network]) -> tuple[Network, ...]:
    """In order and each once."""
    return tuple(sorted(set(networks), key=lambda net: (net.version, int(net.network_address), net.prefixlen)))


def _key(rule: Rule, key: tuple[str, ...]) -> str:
    ip = IP.get(rule.family or 0, "")
    words = {"iifname": "iifname", "saddr": f"{ip} saddr", "daddr": f"{ip} daddr", "dport": f"{rule.protocol} dport"}
    return " . ".join(words[field] for field in key)


def _conditions(rule: Rule) -> t.Iterator[str]:
    ip = IP.get(rule.family or 0, "")
    lookup = rule.verdict.key if isinstance(rule.verdict, DnatBy) else rule.member.key if rule.member else ()
    addresses = rule.source or rule.destination or rule.not_destinations or {"saddr", "daddr"} & set(lookup)
    if rule.family and not addresses:  # an address condition says the family by itself
        yield f"meta nfproto ipv{rule.family}"
    names = {"iifname": rule.in_interface, "iifname !=": rule.not_in_interface, "oifname": rule.out_interface}
    yield from (f'{words} "{name}"' for words, name in names.items() if name is not None)
    if rule.source is not None:
        yield f"{ip} saddr {short(rule.source)}"
    if rule.destination is not None:
        yield f"{ip} daddr {short(rule.destination)}"
    for network in rule.not_destinations:
        yield f"{ip} daddr != {short(network)}"
    if rule.local_destination:
        yield "fib daddr type local"
    if rule.ports is not None:
        yield f"{rule.protocol} dport {rule.ports}"
    elif rule.protocol is not None and "dport" not in lookup:
        yield f"meta l4proto {rule.protocol}"
    if rule.translated:
        yield "ct status dnat"
    if rule.member is not None:
        yield f"{_key(rule, rule.member.key)} @{rule.member.name}"


def short(network: Network) -> str:
    """The network as nft writes it: one address goes without its prefix length."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
