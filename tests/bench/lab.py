# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab that every program of the topology table builds, as values and as a lab file's content.

Namespaces hang on bridges by one cable each, and have an address and a default route to the bridge. ``a1``, ``a2``, ...
are on ``bench-a``, ``b1``, ``b2``, ... on ``bench-b``: more than 1,023 ports do not fit on one bridge.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

NAME = "bench"
PORTS = 1000  # the most namespaces that are put on one bridge
MANY = 4  # bridges of a lab with more than that


@dataclass(frozen=True)
class Bridge:
    """A bridge with its addresses, with prefix: the gateways of its namespaces."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Cable:
    """Namespace ``netns`` with its ``eth0``, whose other end is ``port`` of ``bridge``. ``addresses`` have a prefix."""

    netns: str
    port: str
    bridge: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]


@dataclass(frozen=True)
class Lab:
    """``size`` namespaces, spread evenly over one bridge or MANY."""

    size: int
    ipv6: bool = False

    @property
    def bridges(self) -> int:
        return 1 if self.size <= PORTS else MANY

    @property
    def families(self) -> str:
        """As floor.c wants them said."""
        return "46" if self.ipv6 else "4"

    @property
    def each(self) -> int:
        """Namespaces on one bridge."""
        if self.size % self.bridges:
            raise SystemExit(f"{self.size} namespaces can't be spread evenly over {self.bridges} bridges.")
        return self.size // self.bridges

    def switches(self) -> list[Bridge]:
        return [
            Bridge(f"bench-{_letter(number)}", self._hosts(number, 0xFFFE, prefix=True))
            for number in range(self.bridges)
        ]

    def cables(self) -> Iterator[Cable]:
        for bridge in range(self.bridges):
            letter, gateways = _letter(bridge), self._hosts(bridge, 0xFFFE, prefix=False)
            for number in range(1, self.each + 1):
                name = f"{letter}{number}"
                addresses = self._hosts(bridge, number, prefix=True)
                yield Cable(name, f"{name}-eth0", f"bench-{letter}", addresses, gateways)

    def _hosts(self, bridge: int, host: int, *, prefix: bool) -> tuple[str, ...]:
        """The addresses of one host in the networks of a bridge."""
        found = [f"{IPv4Address('10.64.0.0') + (bridge << 16) + host}{'/16' if prefix else ''}"]
        if self.ipv6:
            network = int(IPv6Address(f"fd64:{bridge:x}::"))
            found.append(f"{IPv6Address(network + host)}{'/64' if prefix else ''}")
        return tuple(found)

    def definition(self, *, written: bool = False, auto: bool = True, **changed: dict[str, Any]) -> dict[str, Any]:
        """What a lab file says: by templates, or with every namespace ``written`` out, if not ``auto`` with addresses.

        ``changed`` adds to what is said of the interface of a namespace that is written out.
        """
        namespaces: dict[str, Any] = {}
        for number, bridge in enumerate(self.switches()):
            gateways = list(self._hosts(number, 0xFFFE, prefix=False))
            each = {"interfaces": {"eth0": {"bridge": bridge.name, "addresses": "auto"}}, "gateway": gateways}
            if not written:
                namespaces[f"{_letter(number)}{{n}}"] = {"count": self.each, **each}
        if written:
            for cable in self.cables():
                addresses = "auto" if auto else list(cable.addresses)
                end = {"bridge": cable.bridge, "addresses": addresses, **changed.get(cable.netns, {})}
                namespaces[cable.netns] = {"interfaces": {"eth0": end}, "gateway": list(cable.gateways)}
        bridges = {bridge.name: {"addresses": list(bridge.addresses)} for bridge in self.switches()}
        return {"name": NAME, "bridges": bridges, "namespaces": namespaces}


def _letter(number: int) -> str:
    return string.ascii_lowercase[number]
