# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What this kernel can do, found by doing it: in a namespace without a name that ends with the question."""

from __future__ import annotations

import errno
import ipaddress
import os
import typing as t
from dataclasses import dataclass

from .._errors import KernelError, PatchbayError
from . import namespaces, nftables, procsys, qdisc, rtnl
from .kernel import Kernel
from .needs import NEEDS
from .netlink import Refusal
from .nft_changes import Content
from .nft_rules import CHAINS, Dnat, Drop, Masquerade, Rule
from .nft_sets import Declaration, Element, pack

_BRIDGE_NETFILTER = "net.bridge.bridge-nf-call-iptables"
_SCTP = "net.netfilter.nf_conntrack_sctp_timeout_closed"  # there as soon as connections are tracked


@dataclass(frozen=True)
class Feature:
    """Something to try, after the feature ``below`` where it stands on that."""

    name: str
    attempt: t.Callable[[Kernel], None]
    below: str = ""


@dataclass(frozen=True)
class Finding:
    """Whether a feature is there, and if not, what is missing."""

    available: bool
    reason: str = ""


def _link(kind: str, *data: list[t.Any], parent: str = "") -> t.Callable[[Kernel], None]:
    """Creates a link of this kind, on top of ``parent`` where it needs one."""

    def attempt(kernel: Kernel) -> None:
        sock = kernel.rtnl(None)
        attributes: rtnl.Attributes = [["IFLA_IFNAME", f"try-{kind}"]]
        if parent:
            below = rtnl.get_link(sock, name=parent)
            if below is None:
                raise KernelError(f"it stands on a link that could not be made, {parent}.", errno=errno.ENODEV)
            attributes.append(["IFLA_LINK", below["index"]])
        info: rtnl.Attributes = [["IFLA_INFO_KIND", kind]]
        if data:
            info.append(["IFLA_INFO_DATA", {"attrs": [*data]}])
        rtnl.create_link(sock, [*attributes, ["IFLA_LINKINFO", {"attrs": info}]], f"create a link of type {kind}")

    return attempt


def _vlan_filtering(kernel: Kernel) -> None:
    data = {"attrs": [["IFLA_BR_VLAN_FILTERING", 1]]}
    info = {"attrs": [["IFLA_INFO_KIND", "bridge"], ["IFLA_INFO_DATA", data]]}
    sock = kernel.rtnl(None)
    rtnl.change_link(sock, "try-bridge", [["IFLA_LINKINFO", info]], "switch on VLAN filtering on a bridge")


def _ipv6(kernel: Kernel) -> None:
    sock = kernel.rtnl(None)
    below = rtnl.get_link(sock, name="lo")
    rtnl.add_address(sock, below["index"], ipaddress.ip_interface("fd00::1/128"), None, "add an IPv6 address")


def _netem(kernel: Kernel) -> None:
    try:
        qdisc.create(kernel.rtnl(None), 1, qdisc.Netem())  # on lo, which every namespace has as its first
    except Refusal as refusal:
        raise refusal.explain("put a netem on lo") from None


def _rules(*rules: Rule) -> t.Callable[[Kernel], None]:
    """Adds rules to a table of their own."""

    def attempt(kernel: Kernel) -> None:
        nftables.put(kernel, None, _content(rules), commit=False)

    return attempt


def _content(rules: t.Sequence[Rule]) -> Content:
    chains = {rule.chain: CHAINS[rule.chain] for rule in rules}
    return Content(chains, {name: tuple(rule for rule in rules if rule.chain == name) for name in chains})


def _intervals(kernel: Kernel) -> None:
    network = ipaddress.ip_network("192.0.2.0/24")
    low, high = network.network_address.packed + pack(80), network.broadcast_address.packed + pack(90)
    what = Declaration("try", ("ipv4_addr", "inet_service"), ("ipv4_addr",), interval=True, counter=True)
    element = Element(low, high, pack(network.network_address), "patchbay")
    nftables.put(kernel, None, Content(sets={"try": what}, elements={"try": frozenset([element])}), commit=False)


def _nat(source: str, target: str) -> t.Callable[[Kernel], None]:
    network, address = ipaddress.ip_network(source), ipaddress.ip_address(target)
    return _rules(
        Rule("prerouting", Dnat(address, 80), family=address.version),
        Rule("output", Dnat(address, 80), family=address.version),
        Rule("postrouting", Masquerade(), source=network),
    )


def _sctp(kernel: Kernel) -> None:
    # Connections are tracked from now on, which shows the settings of all protocols.
    nftables.put(kernel, None, _content([Rule("postrouting", Masquerade(), translated=True)]))
    if procsys.read(_SCTP) is None:
        raise KernelError("connections of SCTP are not tracked.", errno=errno.EPROTONOSUPPORT)


_FEATURES = (
    Feature("ipv6", _ipv6),
    Feature("veth", _link("veth")),
    Feature("bridge", _link("bridge")),
    Feature("vlan_filtering", _vlan_filtering, below="bridge"),
    Feature("vlan", _link("vlan", ["IFLA_VLAN_ID", 5], parent="try-bridge"), below="bridge"),
    Feature("vxlan", _link("vxlan", ["IFLA_VXLAN_ID", 5])),
    Feature("macvlan", _link("macvlan", parent="try-veth"), below="veth"),
    Feature("vrf", _link("vrf", ["IFLA_VRF_TABLE", 5])),
    Feature("dummy", _link("dummy")),
    Feature("netem", _netem),
    Feature("nat_ipv4", _nat("192.0.2.0/24", "192.0.2.1")),
    Feature("nat_ipv6", _nat("2001:db8::/64", "2001:db8::1")),
    Feature("fib", _rules(Rule("guard", Drop(), local_destination=True))),
    Feature("ct", _rules(Rule("guard", Drop(), translated=True))),
    Feature("intervals", _intervals),
    Feature("sctp", _sctp),
)

NAMES = ("netns", *(feature.name for feature in _FEATURES))
"""All features that are tried, in the order of the findings."""


def find(names: t.Collection[str] | None = None) -> dict[str, Finding]:
    """Try the named features, or all. Raises MissingLibrary, and KernelError when this process may not try."""
    wanted = set(NAMES if names is None else names)
    needed = wanted | {feature.below for feature in _FEATURES if feature.name in wanted}
    try:
        with namespaces.inside_new(), Kernel() as kernel:
            tried = {feature.name: _try(feature, kernel) for feature in _FEATURES if feature.name in needed}
            found = {"netns": Finding(True), **tried}
    except KernelError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise
        words = f"the kernel has no network namespaces (CONFIG_NET_NS): {os.strerror(error.errno)}."
        found = {name: Finding(False, words) for name in NAMES}
    return {name: finding for name, finding in found.items() if name in wanted}


def _try(feature: Feature, kernel: Kernel) -> Finding:
    try:
        feature.attempt(kernel)
    except PatchbayError as error:
        return Finding(False, f"needs {NEEDS[feature.name]}: {error}")
    return Finding(True)


def bridge_netfilter() -> bool:
    """Whether bridged IPv4 packets pass the firewall of the namespace that the caller is in."""
    return procsys.read(_BRIDGE_NETFILTER) == "1"
