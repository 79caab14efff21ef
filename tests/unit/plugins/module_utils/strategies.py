# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hypothesis draws from: texts that users write, and small worlds in which names and addresses collide.

The worlds hold what ``observe`` finds, and only what it can find: the two ends of a cable name each other, a
bridge port has a bridge. Names come from small pools, so that what is wanted is often there, or half there.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace

from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import resolver
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.namespaces import Process
from ansible_collections.patchbay.netns.plugins.module_utils._objects.address import Address
from ansible_collections.patchbay.netns.plugins.module_utils._objects.bridge import Bridge, Port, Pristine
from ansible_collections.patchbay.netns.plugins.module_utils._objects.ip_route import Device, IpRoute
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import (
    GROUP,
    BridgeOptions,
    Link,
    Peer,
    lab_group,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.machine import Machine
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import (
    QUIET,
    Loopback,
    Namespace,
    Netns,
    Occupants,
    Resolver,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.route import PROTOCOL, NextHop, Route
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Sysctl
from ansible_collections.patchbay.netns.plugins.module_utils._objects.veth import Veth
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import nat_strategies
from hypothesis import strategies as st

# ---- texts

anything = st.text(st.characters(), max_size=40)
"""Any text at all, also such that UTF-8 can't carry: what a byte string in a playbook becomes."""

_marks = st.text(alphabet="abz019.:/%-_ \t\0é∞", max_size=20)
wild = st.one_of(anything, _marks, st.text(alphabet="0123456789./:abcdef", max_size=24))
"""Any text, and more often than chance has it one that nearly means something."""

good_names = st.text(alphabet="abcXYZ0189._-+$;&'\"\\é", min_size=1, max_size=15).filter(
    lambda text: text not in (".", "..") and len(text.encode()) <= 15 and b"\xa0" not in text.encode()
)
"""Names that the kernel takes for an interface, among them such as a shell would choke on."""

long_names = st.text(alphabet="abc019.-_é漢", min_size=6, max_size=60).filter(lambda text: len(text.encode()) > 15)

addresses4 = st.builds(ipaddress.IPv4Address, st.integers(0, 2**32 - 1))
addresses6 = st.builds(ipaddress.IPv6Address, st.integers(0, 2**128 - 1))
addresses = st.one_of(addresses4, addresses6)


@st.composite
def networks(draw: t.Any) -> t.Any:
    """Any network, host bits zero."""
    address = draw(addresses)
    return ipaddress.ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False)


@st.composite
def host_interfaces(draw: t.Any) -> t.Any:
    """Any address that an interface can have, with its prefix length."""
    address = draw(addresses.filter(lambda each: not (each.is_unspecified or each.is_multicast)))
    interface = ipaddress.ip_interface((address, draw(st.integers(1, address.max_prefixlen))))
    network = interface.network
    if interface.version == 4 and network.prefixlen < 31 and address in (network[0], network[-1]):
        return ipaddress.ip_interface("192.168.15.1/24")
    return interface


macs = st.builds(
    lambda rest: ":".join(f"{byte:02x}" for byte in (0x02, *rest)),
    st.lists(st.integers(0, 255), min_size=5, max_size=5),
)
mtus = st.sampled_from([68, 1280, 1400, 1500, 9000, 65535])
link_groups = st.sampled_from([0, GROUP, GROUP << 16, lab_group("red-blue")])

# ---- worlds: pools

spaces = st.sampled_from([None, "red", "blue"])
_FOUR = ["192.168.15.1/24", "192.168.15.2/24", "192.168.15.3/24", "192.168.15.200/25", "10.0.0.1/8"]
_SIX = ["fd00:15::1/64", "fd00:15::2/64", "fd00:99::1/48"]
pool = st.sampled_from([ipaddress.ip_interface(text) for text in _FOUR + _SIX])
wanted_addresses = st.lists(pool, unique=True, max_size=4).map(lambda found: [str(each) for each in found])


def maybe(strategy: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
    """The strategy, or None."""
    return st.one_of(st.none(), strategy)


@st.composite
def addresses_of(draw: t.Any, netns: str | None, device: str) -> list[Address]:
    """The addresses of one interface as the kernel lists them: the first of an IPv4 network leads, others follow it."""
    found, networks_seen = [], set()
    for interface in draw(st.lists(pool, unique=True, max_size=4)):
        later = interface.version == 4 and interface.network in networks_seen
        networks_seen.add(interface.network)
        found.append(Address(netns, device, interface, permanent=draw(st.booleans()), secondary=later))
    if draw(st.booleans()):
        found.append(Address(netns, device, ipaddress.ip_interface("fe80::aa/64")))
    return found


options = st.builds(
    BridgeOptions,
    stp=st.booleans(),
    forward_delay=st.integers(200, 3000).map(lambda ticks: ticks / 100),
    ageing_time=st.integers(0, 100_000).map(lambda ticks: ticks / 100),
    vlan_filtering=st.booleans(),
    multicast_snooping=st.booleans(),
)
"""The options of a bridge, every one known."""

# ---- worlds: netns

SETTINGS = ["net.ipv4.ip_forward", "net.ipv6.conf.all.disable_ipv6", *QUIET]


@st.composite
def netns_cases(draw: t.Any, *, state: str = "present") -> tuple[Netns, State]:
    """A wish for the namespace red, and what is there."""
    params = {
        "name": "red",
        "state": state,
        "force": True,
        "loopback": draw(st.booleans()),
        "sysctls": draw(st.dictionaries(st.sampled_from(SETTINGS), st.sampled_from([0, 1, "2", True]))),
        "nameservers": draw(maybe(st.lists(st.sampled_from(["9.9.9.9", "fd00::53"]), unique=True))),
    }
    wish = Netns.from_params(params)
    items: list[t.Any] = []
    there = draw(st.sampled_from(["none", "stale", "live"]))
    if there == "live":
        items += [Namespace("red", ours=draw(st.booleans())), Loopback("red", draw(st.booleans()))]
        inside = draw(st.lists(st.builds(Process, st.integers(2, 9), st.just("sleep")), max_size=2))
        items.append(Occupants("red", tuple(inside)))
        settings = dict(wish.sysctls)
    else:
        items += [Namespace("red", live=False, ours=False)] if there == "stale" else []
        settings = {**QUIET, **dict(wish.sysctls)} if wish.present else {}
    items += [Sysctl("red", name, draw(st.sampled_from("012"))) for name in settings]
    file = draw(maybe(st.sampled_from([resolver.text(["9.9.9.9"]), "nameserver 1.1.1.1\n"])))
    items += [Resolver("red", file)] if file is not None else []
    return wish, State(items)


# ---- worlds: veth


@st.composite
def _end_params(draw: t.Any, name: str) -> dict[str, t.Any]:
    bridge = draw(st.sampled_from([None, None, "", "br0", "br1"]))
    return {
        "name": name,
        "netns": draw(spaces),
        "addresses": [] if bridge else draw(wanted_addresses),
        "purge_addresses": draw(st.booleans()),
        "mac": draw(maybe(macs)),
        "mtu": draw(maybe(mtus)),
        "up": draw(st.booleans()),
        "bridge": bridge,
        "hairpin": draw(maybe(st.booleans())) if bridge else None,
    }


def _distinct(end: dict[str, t.Any], peer: dict[str, t.Any]) -> bool:
    """Whether a cable can have these two ends: the refusals have tests of their own."""
    return (
        not (end["mac"] and end["mac"] == peer["mac"])
        and not (end["bridge"] and (end["bridge"], end["netns"]) == (peer["bridge"], peer["netns"]))
        and not {text.split("/")[0] for text in end["addresses"]} & {text.split("/")[0] for text in peer["addresses"]}
    )


@st.composite
def _link_like(draw: t.Any, netns: str | None, name: str, peer: Peer | None) -> Link:
    bridge = draw(st.sampled_from([None, "br0", "br1"]))
    return Link(
        netns,
        name,
        "veth",
        draw(macs),
        draw(mtus),
        up=draw(st.booleans()),
        bridge=bridge,
        hairpin=draw(st.booleans()) if bridge else None,
        group=draw(link_groups),
        peer=peer,
    )


@st.composite
def veth_cases(draw: t.Any, *, state: str = "present") -> tuple[Veth, State]:
    """A wish for a cable, and what is there: nothing, the cable, others by its names, or cables whose ends nobody can name."""
    end, peer = draw(_end_params("cable")), draw(_end_params("other"))
    if not _distinct(end, peer):
        peer.update(mac=None, bridge="", addresses=[], hairpin=None)
    wish = Veth.from_params(
        {**end, "peer": peer, "state": state, "force": True, "allow_overlap": draw(st.booleans())},
    )
    assert wish.peer is not None
    one, other = wish.end.peer, wish.peer.peer
    items: list[t.Any] = [Machine("test")]
    shape = draw(st.sampled_from(["nothing", "whole", "one", "other", "both apart", "one unnamed"]))
    if shape == "whole":
        items += [draw(_link_like(one.netns, one.name, other)), draw(_link_like(other.netns, other.name, one))]
    if shape in ("one", "both apart"):
        far = Peer("blue", "elsewhere1")
        items += [draw(_link_like(one.netns, one.name, far)), draw(_link_like(far.netns, far.name, one))]
    if shape in ("other", "both apart"):
        far = Peer("blue", "elsewhere2")
        items += [draw(_link_like(other.netns, other.name, far)), draw(_link_like(far.netns, far.name, other))]
    if shape == "one unnamed":
        items.append(draw(_link_like(one.netns, one.name, Peer("?", "index 7"))))
    for found in [item for item in items if isinstance(item, Link)]:
        items += draw(addresses_of(found.netns, found.name))
    for wanted in (wish.end, wish.peer):
        if wanted.bridge:
            items.append(
                Link(wanted.netns, wanted.bridge, "bridge", "02:00:00:00:00:99", 1500, options=BridgeOptions())
            )
    return wish, State(items)


# ---- worlds: bridge


@st.composite
def bridge_cases(draw: t.Any, *, state: str = "present") -> tuple[Bridge, State]:
    """A wish for a bridge, and what is there."""
    wanted = {
        "stp": draw(maybe(st.booleans())),
        "forward_delay": draw(maybe(st.sampled_from([2, 4.25, 30]))),
        "ageing_time": draw(maybe(st.sampled_from([0, 0.5, 300]))),
        "vlan_filtering": draw(maybe(st.booleans())),
        "multicast_snooping": draw(maybe(st.booleans())),
    }
    wish = Bridge.from_params(
        {
            **wanted,
            "name": "br0",
            "netns": draw(spaces),
            "state": state,
            "force": True,
            "addresses": draw(wanted_addresses),
            "purge_addresses": draw(st.booleans()),
            "ports": draw(st.lists(st.sampled_from(["p1", "p2", "p10"]), unique=True)),
            "purge_ports": draw(st.booleans()),
            "mac": draw(maybe(macs)),
            "mtu": draw(maybe(mtus)),
            "up": draw(st.booleans()),
            "allow_overlap": draw(st.booleans()),
        }
    )
    items: list[t.Any] = [Machine("test")]
    there = draw(st.booleans())
    if there:
        items.append(
            Link(
                wish.netns,
                "br0",
                "bridge",
                draw(macs),
                draw(mtus),
                up=draw(st.booleans()),
                group=draw(link_groups),
                options=draw(options),
            )
        )
        items += draw(addresses_of(wish.netns, "br0"))
    if wish.present:
        items.append(Pristine(draw(options)))
    elsewhere = [None, "br1", "br0"] if there else [None, "br1"]
    items += [Port(wish.netns, name, draw(st.sampled_from(elsewhere))) for name in wish.ports]
    if there:
        others = set(draw(st.lists(st.sampled_from(["p3", "p4"]), unique=True)))
        items += [Port(wish.netns, name, "br0") for name in others]
    return wish, State(items)


# ---- worlds: routes

_GATEWAYS = {4: ["192.168.15.5", "192.168.15.6"], 6: ["fd00:15::5", "fd00:15::6", "fe80::1"]}
_TARGETS = {4: ["default", "10.9.0.0/16", "192.168.15.0/24"], 6: ["::/0", "fd00:9::/48", "fd00:15::/64"]}


@st.composite
def _hop_params(draw: t.Any, version: int) -> dict[str, t.Any]:
    gateway = draw(maybe(st.sampled_from(_GATEWAYS[version])))
    must = gateway is None or gateway.startswith("fe80")
    device = draw(st.sampled_from(["dev0", "dev1"] if must else [None, "dev0"]))
    return {"gateway": gateway, "device": device, "onlink": bool(gateway and device and draw(st.booleans()))}


@st.composite
def _way_params(draw: t.Any, version: int) -> dict[str, t.Any]:
    kind = draw(st.sampled_from([None, "unicast", "unicast", "blackhole", "prohibit"]))
    if kind in ("blackhole", "prohibit"):
        return {"type": kind}
    if draw(st.integers(0, 3)):
        return {"type": kind, "mtu": draw(maybe(mtus)), **draw(_hop_params(version))}
    hops = draw(
        st.lists(_hop_params(version), min_size=1, max_size=3, unique_by=lambda hop: (hop["gateway"], hop["device"]))
    )
    return {"type": kind, "nexthops": [{**hop, "weight": draw(st.integers(1, 3))} for hop in hops]}


@st.composite
def route_cases(draw: t.Any, *, state: str = "present") -> tuple[IpRoute, State]:
    """A wish for a route, and what is there: two devices that are up, their networks, and perhaps the route or another."""
    version = draw(st.sampled_from([4, 6]))
    netns = draw(spaces)
    source = ipaddress.ip_address({4: "192.168.15.1", 6: "fd00:15::1"}[version])
    common = {
        "destination": draw(st.sampled_from(_TARGETS[version])),
        "netns": netns,
        "metric": draw(maybe(st.sampled_from([0, 100]))),
        "table": draw(st.sampled_from(["main", "100"])),
        "source": draw(maybe(st.just(str(source)))),
        "state": state,
        "force": True,
    }
    wish = IpRoute.from_params({**common, **draw(_way_params(version))})
    found = [Device(netns, "dev0", True), Device(netns, "dev1", True), Device(netns, "lo", True)]
    connected = {4: ["192.168.15.0/24", "172.20.0.0/16"], 6: ["fd00:15::/64", "fd00:20::/64"]}[version]
    items: list[t.Any] = [
        *found,
        *(
            Route(
                netns,
                ipaddress.ip_network(text),
                (NextHop(device=f"dev{number}"),),
                metric=_kernels(version),
                protocol=2,
            )
            for number, text in enumerate(connected)
        ),
    ]
    if draw(st.booleans()):
        gateway = ipaddress.ip_address(draw(st.sampled_from(_GATEWAYS[version])))
        hops = draw(st.sampled_from([(NextHop(gateway, "dev0"),), (NextHop(device="dev1"),), ()]))
        items.append(
            replace(
                wish.wanted,
                hops=hops,
                type="unicast" if hops else "unreachable",
                source=draw(maybe(st.just(source))),
                mtu=draw(maybe(mtus)) if hops else None,
                protocol=draw(st.sampled_from([PROTOCOL, 3])),
            )
        )
    return wish, State(items)


def _kernels(version: int) -> int:
    """The metric of the kernel's own routes to connected networks."""
    return 256 if version == 6 else 0


cases = {
    "netns": netns_cases,
    "veth": veth_cases,
    "bridge": bridge_cases,
    "ip_route": route_cases,
    "masquerade": nat_strategies.masquerade_cases,
    "forward": nat_strategies.forward_cases,
}
