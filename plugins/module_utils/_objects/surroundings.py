# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What surrounds the flows of a namespace: its own addresses and where its routes lead, found quickly by address."""

from __future__ import annotations

import bisect
import ipaddress
import typing as t

from .._kernel import rtnl
from .._kernel.kernel import Kernel
from .._kernel.nft_rules import Ports
from .checks import Network

_BITS = {4: 32, 6: 128}
_LINK_LOCAL = (0x3FA, 118)  # fe80::/10: what is left of an address less so many bits
_LOCAL, _UNICAST = 2, 1  # RTN_*, linux/rtnetlink.h

Value = t.TypeVar("Value")


class Prefixes(t.Generic[Value]):
    """Values by network of one IP version; asked for an address, the most specific network's come first."""

    def __init__(self, version: int) -> None:
        self._bits = _BITS[version]
        self._by_length: dict[int, dict[int, Value]] = {}
        self._lengths: list[int] = []

    def setdefault(self, network: Network, value: Value) -> Value:
        """The value of the network; ``value`` if it had none."""
        length = network.prefixlen
        if length not in self._by_length:
            self._by_length[length] = {}
            self._lengths = sorted(self._by_length, reverse=True)
        return self._by_length[length].setdefault(int(network.network_address) >> (self._bits - length), value)

    def of(self, address: int) -> t.Iterator[Value]:
        """The values of all networks that contain the address."""
        for length in self._lengths:
            value = self._by_length[length].get(address >> (self._bits - length))
            if value is not None:
                yield value


class PortMap(t.Generic[Value]):
    """Values by range of ports: every range is cut where another one begins or ends."""

    def __init__(self, items: t.Iterable[tuple[Ports, Value]]) -> None:
        items = list(items)
        self._cuts = sorted({cut for ports, _value in items for cut in (ports.low, ports.high + 1)})
        self._values: list[list[Value]] = [[] for _cut in self._cuts]
        for ports, value in items:
            for index in range(
                bisect.bisect_left(self._cuts, ports.low), bisect.bisect_left(self._cuts, ports.high + 1)
            ):
                self._values[index].append(value)

    def of(self, port: int) -> list[Value]:
        """The values of all ranges that contain the port, in the order in which they were given."""
        index = bisect.bisect_right(self._cuts, port) - 1
        return self._values[index] if index >= 0 else []


def covers(network: Network, address: int) -> bool:
    """Whether the network, of the address's version, contains it."""
    return (int(network.network_address) ^ address) >> (_BITS[network.version] - network.prefixlen) == 0


def is_link_local(version: int, address: int) -> bool:
    """Whether it is an IPv6 address that means something on one link only."""
    return version == 6 and address >> _LINK_LOCAL[1] == _LINK_LOCAL[0]


def by_key(items: t.Iterable[tuple[t.Any, Ports, Value]]) -> dict[t.Any, PortMap[Value]]:
    """One map for all items with the same key."""
    grouped: dict[t.Any, list[tuple[Ports, Value]]] = {}
    for key, ports, value in items:
        grouped.setdefault(key, []).append((ports, value))
    return {key: PortMap(group) for key, group in grouped.items()}


class Surroundings:
    """What flows are judged by besides specs: which addresses are the namespace's own, and what leads where.

    Complete before it is asked: answers are remembered.
    """

    def __init__(self) -> None:
        self._local: dict[int, Prefixes[str]] = {4: Prefixes(4), 6: Prefixes(6)}
        self._networks: dict[int, list[Network]] = {4: [], 6: []}
        self._tables: dict[tuple[int, int], Prefixes[dict[int, set[str]]]] = {}
        self._own: dict[tuple[int, str], set[int]] = {}
        self._known: dict[tuple[int, int], frozenset[str]] = {}
        self._known_local: dict[tuple[int, int], bool] = {}

    def add_local(self, network: Network, device: str) -> None:
        """A network all of whose addresses are the namespace's own, as in its table ``local``."""
        self._local[network.version].setdefault(network, device)
        self._networks[network.version].append(network)
        address = int(network.network_address)
        if network.prefixlen == _BITS[network.version] and not is_link_local(network.version, address):
            self._own.setdefault((network.version, device), set()).add(address)

    def local_networks(self, version: int) -> list[Network]:
        """All of the namespace's own addresses, in the order of the routing table."""
        return self._networks[version]

    def add_route(self, network: Network, devices: t.Iterable[str], table: int = 254, metric: int = 0) -> None:
        """A route out of one of ``devices``."""
        routes = self._tables.setdefault((network.version, table), Prefixes(network.version))
        routes.setdefault(network, {}).setdefault(metric, set()).update(devices)

    def is_local(self, version: int, address: int) -> bool:
        known = self._known_local.get((version, address))
        if known is None:
            known = self._known_local[version, address] = next(self._local[version].of(address), None) is not None
        return known

    def devices(self, version: int, address: int) -> frozenset[str]:
        """The interfaces that packets to the address may leave by."""
        known = self._known.get((version, address))
        if known is None:
            best = (next(routes.of(address), {}) for (its, _table), routes in self._tables.items() if its == version)
            known = frozenset().union(*(metrics[min(metrics)] for metrics in best if metrics))
            self._known[version, address] = known
        return known

    def masks(self, version: int, destination: int, address: int) -> bool:
        """Whether a masquerade may have given ``address`` to a packet to ``destination``."""
        own = [
            self._own[version, device]
            for device in self.devices(version, destination)
            if (version, device) in self._own
        ]
        return any(address in addresses for addresses in own) if own else self.is_local(version, address)


def observe(kernel: Kernel, netns: str | None, versions: t.Iterable[int]) -> Surroundings:
    """Read the routes of all tables. Raises NotFound, KernelError."""
    found = Surroundings()
    sock = kernel.rtnl(netns)
    names = {link["index"]: str(link.get_attr("IFLA_IFNAME")) for link in rtnl.dump_links(sock)}
    for version in versions:
        anywhere = "0.0.0.0" if version == 4 else "::"
        for message in rtnl.dump_routes(sock, version):
            hops = message.get_attr("RTA_MULTIPATH") or []
            indexes = [hop["oif"] for hop in hops] or [message.get_attr("RTA_OIF")]
            devices = [names[index] for index in indexes if index in names]
            network = ipaddress.ip_network(f"{message.get_attr('RTA_DST') or anywhere}/{message['dst_len']}")
            if message["type"] == _LOCAL:
                found.add_local(network, devices[0] if devices else "lo")
            elif message["type"] == _UNICAST:
                table = message.get_attr("RTA_TABLE") or message["table"]
                found.add_route(network, devices, table, message.get_attr("RTA_PRIORITY") or 0)
    return found
