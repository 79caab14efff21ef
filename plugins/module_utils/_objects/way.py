# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Where the target of a forward lies: which interface leads to it, which network it shares, and behind which bridge port."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._engine.model import Item, Key
from .._kernel import neighbours, rtnl
from .._kernel.kernel import Kernel
from . import route, sysctl
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


def observe(kernel: Kernel, netns: str | None, address: Address) -> list[Item]:
    """The way to the address, and the setting that decides whether bridged packets pass the rules."""
    found = [item for item in route.observe(kernel, netns, address.version) if isinstance(item, route.Route)]
    best = _best(found, address)
    if best is None or not best.hops:
        return [Way(netns, address)]
    hop = best.hops[0]
    network = best.destination if hop.gateway is None and best.destination.prefixlen else None
    setting = sysctl.observe(kernel, netns, BRIDGE_FILTER[address.version])
    filtered = any(isinstance(item, sysctl.Sysctl) and item.value == "1" for item in setting)
    port = _deaf_port(kernel, netns, hop.device, address) if filtered and hop.device and network else None
    return [Way(netns, address, hop.device, network, port)]


def _best(routes: t.Iterable[route.Route], address: Address) -> route.Route | None:
    """The most specific route of the main table, of those the one with the lowest metric."""
    fitting = [item for item in routes if item.table == _MAIN and address in item.destination]
    return max(fitting, key=lambda item: (item.destination.prefixlen, -item.metric), default=None)


def _deaf_port(kernel: Kernel, netns: str | None, device: str, address: Address) -> str | None:
    """The port of the bridge ``device`` behind which the address is, when it lacks hairpin mode.

    While the bridge does not know which port that is, one port with hairpin mode is taken for it.
    """
    sock = kernel.rtnl(netns)
    links = rtnl.dump_links(sock)
    bridge = next((link["index"] for link in links if link.get_attr("IFLA_IFNAME") == device), 0)
    ports = {link["index"]: link for link in links if link.get_attr("IFLA_MASTER") == bridge}
    known = neighbours.port_of(sock, bridge, address)
    if known in ports:
        ports = {known: ports[known]}
    deaf = [str(link.get_attr("IFLA_IFNAME")) for link in ports.values() if not _reflects(link)]
    return deaf[0] if deaf and len(deaf) == len(ports) else None


def _reflects(link: t.Any) -> bool:
    data = port_data(link)
    return data is not None and bool(data.get_attr("IFLA_BRPORT_MODE"))
