# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests of every sort that goes to rtnetlink: the class in Codec, the fields of its header, and the attributes."""

from __future__ import annotations

import typing as t

IDENTITY = [
    ["IFLA_IFNAME", "veth-réd"],
    ["IFLA_GROUP", 0x70620001],
    ["IFLA_ADDRESS", "02:00:5e:11:22:33"],
    ["IFLA_MTU", 9000],
]
HOP = {"hops": 1, "oif": 7, "flags": 4, "attrs": [["RTA_GATEWAY", "10.0.0.2"]]}
ROUTE = {"family": 2, "dst_len": 16, "table": 254, "proto": 112, "scope": 0, "type": 1, "flags": 4}


def nested(*attributes: t.Any, **fields: t.Any) -> dict[str, t.Any]:
    return {**fields, "attrs": [list(each) for each in attributes]}


def info(kind: str, *data: t.Any) -> list[t.Any]:
    more = [("IFLA_INFO_DATA", nested(*data))] if data else []
    return ["IFLA_LINKINFO", nested(("IFLA_INFO_KIND", kind), *more)]


def port(*data: t.Any) -> list[t.Any]:
    return ["IFLA_LINKINFO", nested(("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", nested(*data)))]


PEER = nested(*IDENTITY, ("IFLA_NET_NS_FD", 7))
REQUESTS: dict[str, tuple[str, dict[str, t.Any], list[t.Any]]] = {
    "veth": ("link", {}, [*IDENTITY, info("veth", ("VETH_INFO_PEER", PEER))]),
    "veth with a peer that is up": (
        "link",
        {"flags": 1, "change": 1},
        [*IDENTITY, info("veth", ("VETH_INFO_PEER", nested(*IDENTITY, flags=1, change=1)))],
    ),
    "bridge": ("link", {}, [*IDENTITY, info("bridge")]),
    "bridge with options": (
        "link",
        {},
        [
            info(
                "bridge",
                ("IFLA_BR_STP_STATE", 1),
                ("IFLA_BR_FORWARD_DELAY", 400),
                ("IFLA_BR_AGEING_TIME", 30000),
                ("IFLA_BR_VLAN_FILTERING", 1),
                ("IFLA_BR_VLAN_PROTOCOL", 0x88A8),
                ("IFLA_BR_MCAST_SNOOPING", 0),
                ("IFLA_BR_PRIORITY", 4096),
                ("IFLA_BR_MCAST_QUERY_INTVL", 2**40),
            )
        ],
    ),
    "port": ("link", {}, [["IFLA_IFNAME", "p"], port(("IFLA_BRPORT_MODE", 1), ("IFLA_BRPORT_COST", 100))]),
    "dummy": ("link", {}, [*IDENTITY, info("dummy")]),
    "vlan": ("link", {}, [["IFLA_LINK", 3], info("vlan", ("IFLA_VLAN_ID", 5), ("IFLA_VLAN_PROTOCOL", 0x8100))]),
    "vlan flags": ("link", {}, [info("vlan", ("IFLA_VLAN_FLAGS", {"flags": 1, "mask": 3}))]),
    "vlan priorities": (
        "link",
        {},
        [
            info(
                "vlan",
                (
                    "IFLA_VLAN_EGRESS_QOS",
                    nested(*[("IFLA_VLAN_QOS_MAPPING", {"from": n, "to": 7 - n}) for n in range(3)]),
                ),
            )
        ],
    ),
    "macvlan": ("link", {}, [["IFLA_LINK", 3], info("macvlan", ("IFLA_MACVLAN_MODE", "bridge"))]),
    "macvlan by number": ("link", {}, [["IFLA_LINK", 3], info("macvlan", ("IFLA_MACVLAN_MODE", 8))]),
    "vxlan": (
        "link",
        {},
        [
            info(
                "vxlan",
                ("IFLA_VXLAN_ID", 42),
                ("IFLA_VXLAN_LOCAL", "10.0.0.1"),
                ("IFLA_VXLAN_GROUP", "10.0.0.2"),
                ("IFLA_VXLAN_PORT", 4789),
                ("IFLA_VXLAN_LINK", 3),
                ("IFLA_VXLAN_TTL", 64),
                ("IFLA_VXLAN_LEARNING", 0),
                ("IFLA_VXLAN_PORT_RANGE", {"low": 1000, "high": 2000}),
            )
        ],
    ),
    "vxlan over IPv6": (
        "link",
        {},
        [info("vxlan", ("IFLA_VXLAN_LOCAL6", "fd00::1"), ("IFLA_VXLAN_GROUP6", "ff05::1"))],
    ),
    "vrf": ("link", {}, [info("vrf", ("IFLA_VRF_TABLE", 10))]),
    "rename": ("link", {"index": 7}, [["IFLA_IFNAME", "fifteen-letters"]]),
    "alias": ("link", {"index": 7}, [["IFLA_IFALIAS", ""]]),
    "move": ("link", {"index": 7}, [["IFLA_NET_NS_FD", 9], ["IFLA_NET_NS_PID", 1]]),
    "state": ("link", {"index": 7}, [["IFLA_OPERSTATE", "UP"], ["IFLA_CARRIER", 1], ["IFLA_MASTER", 0]]),
    "numbers of namespaces": ("link", {}, [["IFLA_LINK_NETNSID", -1], ["IFLA_NEW_NETNSID", 3]]),
    "other names": ("link", {"index": 7}, [["IFLA_PROP_LIST", nested(("IFLA_ALT_IFNAME", "long-name"))]]),
    "rare": ("link", {"family": 0}, [["IFLA_AF_SPEC", nested(("AF_INET6", nested(("IFLA_INET6_ADDR_GEN_MODE", 1))))]]),
    "dump": ("link", {}, [["IFLA_EXT_MASK", 8]]),
    "namespace": ("namespace_id", {}, [["NETNSA_FD", 7]]),
    "IPv4 address": (
        "address",
        {"family": 2, "prefixlen": 24, "index": 7, "flags": 0},
        [["IFA_LOCAL", "10.0.0.1"], ["IFA_ADDRESS", "10.0.0.1"], ["IFA_BROADCAST", "10.0.0.255"], ["IFA_FLAGS", 0x200]],
    ),
    "IPv6 address": ("address", {"family": 10, "prefixlen": 64, "index": 7, "flags": 2}, [["IFA_ADDRESS", "fd00::1"]]),
    "lifetime": (
        "address",
        {"family": 10},
        [["IFA_CACHEINFO", {"ifa_preferred": 5, "ifa_valid": 2**32 - 1, "cstamp": 0, "tstamp": 0}]],
    ),
    "route": (
        "route",
        ROUTE,
        [
            ["RTA_TABLE", 1000],
            ["RTA_DST", "10.1.0.0"],
            ["RTA_PRIORITY", 100],
            ["RTA_PREFSRC", "10.0.0.9"],
            ["RTA_METRICS", nested(("RTAX_MTU", 1400))],
            ["RTA_GATEWAY", "10.0.0.2"],
            ["RTA_OIF", 7],
        ],
    ),
    "IPv6 route": ("route", {**ROUTE, "family": 10}, [["RTA_DST", "fd01::"], ["RTA_GATEWAY", "fe80::1"], ["RTA_OIF", 7]]),
    "many hops": ("route", ROUTE, [["RTA_DST", "10.1.0.0"], ["RTA_MULTIPATH", [HOP, {**HOP, "oif": 8, "attrs": []}]]]),
    "via": ("route", ROUTE, [["RTA_DST", "10.1.0.0"], ["RTA_VIA", {"family": 10, "addr": "fe80::1"}]]),
    "neighbour": ("neighbour", {"family": 2, "ifindex": 7, "state": 128}, [["NDA_DST", "10.0.0.2"], ["NDA_LLADDR", "02:00:00:00:00:02"]]),
    "neighbours of a bridge": ("neighbour", {"family": 7}, [["NDA_VLAN", 5], ["NDA_PORT", 4789], ["NDA_LLADDR", "10.0.0.2"]]),
}  # fmt: skip
