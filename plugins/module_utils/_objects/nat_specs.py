# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What address translation is asked to do: forwards and masquerades as values, without a word about nftables."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass

from .._kernel.nft_rules import Ports
from .checks import Address, Network


@dataclass(frozen=True)
class Service:
    """What is forwarded: the part of a forward that tells it from all others, its key."""

    family: int
    """4 or 6."""
    protocol: str
    """tcp, udp or sctp."""
    ports: Ports
    address: Address | None = None
    """The one local address that is meant; None means all of them."""
    in_interface: str | None = None

    def __hash__(self) -> int:
        # Hashing an address takes longer than the comparison that it saves: few services have the same ports.
        return hash((self.protocol, self.ports.low, self.family))

    def __str__(self) -> str:
        return self._text

    @functools.cached_property
    def _text(self) -> str:
        address = f" at {self.address}" if self.address else ""
        device = f" in {self.in_interface}" if self.in_interface else ""
        return f"{self.protocol} {self.ports} ipv{self.family}{address}{device}"

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
    """As many as the service has; None keeps the numbers."""
    sources: tuple[Network, ...] = ()
    """Sorted; empty means everybody."""
    local: bool = True
    """Whether the machine's own connections to its own addresses, loopback aside, are forwarded too."""
    loopback: bool = False
    """Whether those to 127.0.0.0/8 are, whatever the service's address and interface and the sources say."""
    hairpin: Network | None = None
    """The network whose own clients are let in by translating their source address too."""


Key = tuple[str, str]


@dataclass(frozen=True)
class ForwardSpec:
    """One forward, complete."""

    service: Service
    target: Target

    def __hash__(self) -> int:
        return hash(self.service)  # one service leads to one target

    @property
    def key(self) -> Key:
        return ("forward", str(self.service))

    def __str__(self) -> str:
        address = f"[{self.target.address}]" if self.service.family == 6 else str(self.target.address)
        return f"{self.service} to {address}:{self.target.ports or self.service.ports}"


@dataclass(frozen=True)
class MasqueradeSpec:
    """One masquerade, complete: what comes from ``source`` leaves with the address of the outgoing interface."""

    source: Network
    out_interface: str | None = None
    exclude: tuple[Network, ...] = ()
    """Destinations whose packets keep their source; sorted."""
    random: bool = False
    to_ports: Ports | None = None

    def __str__(self) -> str:
        return f"{self.source} out {self.out_interface}" if self.out_interface else str(self.source)

    @property
    def key(self) -> Key:
        return ("masquerade", str(self))


Spec = t.Union[ForwardSpec, MasqueradeSpec]
