# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The least that somebody else's firewall has to let through for one of our paths, as a value."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass

from .._kernel.nft_rules import Ports, short
from .model import Network

PREFIX = "patchbay: "
"""How every mark of ours begins."""

SEPARATOR = " / "
"""Between the tags of objects that share a rule. No tag has it: no interface name has a slash."""


@dataclass(frozen=True)
class Opening:
    """One path through one firewall. What is None may be anything.

    Addresses are those that the forward hook sees: behind a dnat, before a masquerade. For a forward the destination is
    the target; for a masquerade the source is the network inside.
    """

    owner: str
    """Whose firewall it is: a key of owners.TITLES."""
    backend: str
    """nft or legacy, as in model.Table."""
    family: int
    """4 or 6."""
    tag: str
    """Which of our objects it is for; no two objects have the same."""
    in_interface: str | None = None
    out_interface: str | None = None
    source: Network | None = None
    destination: Network | None = None
    protocol: str | None = None
    """tcp, udp or sctp."""
    ports: Ports | None = None
    """Destination ports; only together with a protocol."""

    def __str__(self) -> str:
        words = [f"IPv{self.family}", self.protocol or "packets"]
        words += ["from", short(self.source)] if self.source else []
        words += ["to", short(self.destination)] if self.destination else []
        words += ["port", str(self.ports)] if self.ports else []
        words += ["in by", self.in_interface] if self.in_interface else []
        words += ["out by", self.out_interface] if self.out_interface else []
        return " ".join(words)

    @property
    def digest(self) -> str:
        """A short name for what is opened: equal for equal paths, whatever they are for."""
        parts = (
            self.family,
            self.in_interface,
            self.out_interface,
            self.source,
            self.destination,
            self.protocol,
            self.ports,
        )
        return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Standing:
    """An opening of ours that was found in somebody's configuration."""

    owner: str
    backend: str
    family: int
    tag: str
    content: str
    """What it opens, in a form that only its owner's file in this package reads."""
    whole: bool = True
    """Whether nothing of it is missing."""


@dataclass(frozen=True)
class Match:
    """One of the rules that an opening takes in a firewall that does not let answers pass by itself."""

    purpose: str
    in_interface: str | None = None
    out_interface: str | None = None
    source: Network | None = None
    destination: Network | None = None
    protocol: str | None = None
    ports: Ports | None = None
    states: tuple[str, ...] = ()
    """What connection tracking says of the packet."""


_KNOWN = ("established", "related")


def matches(opening: Opening) -> tuple[Match, ...]:
    """The first packet of a connection by everything that is known of it, then those of connections that are known.

    The latter are not told by port, nor by the address outside: an ICMP error (fragmentation needed, say) is
    related to a connection, has no ports, and comes from any router on the way.
    """
    there, back = opening.in_interface, opening.out_interface
    first = Match(
        "new", there, back, opening.source, opening.destination, opening.protocol, opening.ports, states=("new",)
    )
    if opening.destination is not None:
        # Neighbours on a bridge have to find each other first, by multicast that connection tracking leaves alone.
        finding = (Match("find", there, back, protocol="ipv6-icmp", states=("untracked",)),)
        return (
            first,
            Match("there", there, back, destination=opening.destination, states=_KNOWN),
            Match("back", back, there, source=opening.destination, states=_KNOWN),
            *(finding if opening.family == 6 and there is not None and there == back else ()),
        )
    return (
        first,
        Match("there", there, back, source=opening.source, states=_KNOWN),
        Match("back", back, there, destination=opening.source, states=_KNOWN),
    )


def tags_in(comment: str) -> list[str]:
    """The tags of a comment that marks one rule for several objects; none for a comment that is not ours."""
    return comment[len(PREFIX) :].split(SEPARATOR) if comment.startswith(PREFIX) else []


def comment_of(tags: t.Sequence[str]) -> str:
    """The opposite of ``tags_in``."""
    return PREFIX + SEPARATOR.join(tags)
