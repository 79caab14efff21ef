# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Where the target of a forward lies: which interface leads to it, which network it shares, and behind which bridge port."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._engine.model import Item, Key
from .._kernel import neighbours, procsys, rtnl
from .._kernel.kernel import Kernel
from . import route
from .checks import Address, Network
from .link import port_data

_MAIN = route.TABLES["main"]
BRIDGE_FILTER = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}


@dataclass(frozen=True)
class Way:
    """How the namespace reaches ``address``; None where there is no answer."""

    netns: str | None
    address: Address
    device: str | None = None
    network: Network | None = None
    """The connected network that contains the address; None when it is behind a router."""
    port: str | None = None
    """A bridge port, towards the address, that would not send a frame back to where it came from."""

    @property
    def key(self) -> Key:
        return ("way", self.netns, self.address)


def observe(kernel: Kernel, netns: str | None, addresses: t.Iterable[Address]) -> list[Item]:
    """The way to each of the addresses; the routes are read once."""
    out: list[Item] = []
    wanted = list(dict.fromkeys(addresses))
    for version in sorted({address.version for address in wanted}):
        routes = _Routes(item for item in route.observe(kernel, netns, version) if isinstance(item, route.Route))
        filtered = filtered_bridges(kernel, netns, version)
        ports = _Ports(kernel, netns, version, filtered) if filtered else None
        out += [_way(netns, address, routes, ports) for address in wanted if address.version == version]
    return out


def filtered_bridges(kernel: Kernel, netns: str | None, version: int) -> frozenset[str]:
    """The bridges whose bridged packets meet the rules for routed ones: all, or those that say so themselves (br_netfilter)."""
    with kernel.inside(netns):
        setting = procsys.read(BRIDGE_FILTER[version])
    if setting is None:  # br_netfilter is not there
        return frozenset()
    name = "IFLA_BR_NF_CALL_IPTABLES" if version == 4 else "IFLA_BR_NF_CALL_IP6TABLES"
    bridges = rtnl.dump_bridges(kernel.rtnl(netns))
    return frozenset(each for each, options in bridges.items() if setting == "1" or options.get(name))


def _way(netns: str | None, address: Address, routes: _Routes, ports: _Ports | None) -> Way:
    best = routes.best(address)
    if best is None or not best.hops:
        return Way(netns, address)
    hop = best.hops[0]
    network = best.destination if hop.gateway is None and best.destination.prefixlen else None
    port = ports.deaf(hop.device, address) if ports and hop.device and network else None
    return Way(netns, address, hop.device, network, port)


class _Routes:
    """The main table, asked for the most specific route to an address; of those the one with the lowest metric."""

    def __init__(self, routes: t.Iterable[route.Route]) -> None:
        self._by_length: dict[int, dict[int, route.Route]] = {}
        for item in routes:
            if item.table == _MAIN:
                network = item.destination
                same = self._by_length.setdefault(network.prefixlen, {})
                other = same.setdefault(int(network.network_address), item)
                if item.metric < other.metric:
                    same[int(network.network_address)] = item

    def best(self, address: Address) -> route.Route | None:
        number, bits = int(address), address.max_prefixlen
        for length in sorted(self._by_length, reverse=True):
            found = self._by_length[length].get(number >> (bits - length) << (bits - length))
            if found is not None:
                return found
        return None


class _Ports:
    """The ports of ``bridges``, and what is known to be behind them."""

    def __init__(self, kernel: Kernel, netns: str | None, version: int, bridges: t.Container[str]) -> None:
        sock = kernel.rtnl(netns)
        links = rtnl.dump_links(sock)
        names = ((str(link.get_attr("IFLA_IFNAME")), link["index"]) for link in links)
        self._indexes = {name: index for name, index in names if name in bridges}
        self._ports: dict[int, dict[int, tuple[str, bool]]] = {}
        for link in links:
            ports = self._ports.setdefault(link.get_attr("IFLA_MASTER") or 0, {})
            ports[link["index"]] = (str(link.get_attr("IFLA_IFNAME")), _reflects(link))
        self._neighbours = neighbours.Neighbours(sock, version)

    def deaf(self, device: str, address: Address) -> str | None:
        """The port of the bridge ``device`` behind which the address is, when it lacks hairpin mode.

        While the bridge does not know which port that is, one port with hairpin mode is taken for it.
        """
        bridge = self._indexes.get(device, 0)
        ports = self._ports.get(bridge, {}) if bridge else {}
        known = self._neighbours.port_of(bridge, address)
        if known in ports:
            ports = {known: ports[known]}
        deaf = [name for name, reflects in ports.values() if not reflects]
        return deaf[0] if deaf and len(deaf) == len(ports) else None


def _reflects(link: t.Any) -> bool:
    data = port_data(link)
    return data is not None and bool(data.get_attr("IFLA_BRPORT_MODE"))
