#!/usr/bin/python

# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_route_ns
short_description: Manage routes in network namespaces
version_added: 0.1.0
description:
  - Adds, replaces and removes one route. A route is known by its destination, table and metric.
  - A route with the same destination, table and metric but another gateway is replaced in one step, so there is no moment
    without a route.
  - A gateway that the kernel could not reach is refused before anything is changed.
options:
  destination:
    description:
      - The network in CIDR, such as V(192.168.1.0/24), or V(default). V(0.0.0.0/0) and V(::/0) mean the default route too.
      - V(default) is the IPv6 default route when O(gateway) or O(source) is an IPv6 address.
    type: str
    required: true
  gateway:
    description: The next hop, in a network that the namespace is connected to.
    type: str
  device:
    description: The interface to send through. When omitted, it is the one that the gateway is behind.
    type: str
  source:
    description: The source address that the host prefers for this route; it must be one of its own.
    type: str
  metric:
    description: The route's metric; a smaller one is preferred. The kernel's default is 0, and 1024 for IPv6.
    type: int
  table:
    description: The routing table, V(main), V(local), V(default) or a number.
    type: str
    default: main
  type:
    description: V(unicast) leads somewhere; the others drop packets, silently or with an ICMP answer.
    type: str
    choices: [unicast, blackhole, unreachable, prohibit]
  onlink:
    description: Take the gateway to be a direct neighbour behind O(device) although no network says so.
    type: bool
  mtu:
    description: The largest packet to that destination, in bytes.
    type: int
  nexthops:
    description: Several ways, among which flows are divided (multipath). Excludes O(gateway), O(device) and O(onlink).
    type: list
    elements: dict
    suboptions:
      gateway:
        description: The next hop.
        type: str
      device:
        description: The interface to send through.
        type: str
      weight:
        description: The share of flows, V(1) to V(256), relative to the other ways.
        type: int
        default: 1
      onlink:
        description: Take the gateway to be a direct neighbour.
        type: bool
        default: false
  state:
    description:
      - With V(absent), a route is removed only if it has all the properties that are given.
extends_documentation_fragment:
  - patchbay.netns.common
seealso:
  - module: patchbay.netns.veth
"""

EXAMPLES = r"""
- name: Everything that is not local goes to the bridge
  patchbay.netns.ip_route_ns:
    netns: red
    destination: default
    gateway: 192.168.15.5

- name: Two ways, the second one takes three quarters of the flows
  patchbay.netns.ip_route_ns:
    netns: red
    destination: 10.0.0.0/8
    nexthops:
      - gateway: 192.168.15.5
      - gateway: 192.168.15.6
        weight: 3

- name: Packets to this network are refused
  patchbay.netns.ip_route_ns:
    destination: "fd00:bad::/48"
    type: prohibit
"""

RETURN = r"""
commands:
  description:
    - The C(ip), C(bridge), C(sysctl) and C(nft) commands that do what was done, or would be done, in order.
    - Empty when nothing had to be changed.
  returned: success
  type: list
  elements: str

route:
  description: The route as the kernel has it; empty when it is absent.
  returned: success
  type: dict
  sample:
    netns: red
    destination: 0.0.0.0/0
    gateway: 192.168.15.5
    device: veth-red
    onlink: false
    source: null
    metric: 0
    table: main
    type: unicast
    mtu: null
    nexthops: []
    ours: true
"""

from ansible_collections.patchbay.netns.plugins.module_utils._door import run_module
from ansible_collections.patchbay.netns.plugins.module_utils._objects.ip_route import IpRoute

HOP = {
    "gateway": {"type": "str"},
    "device": {"type": "str"},
    "weight": {"type": "int", "default": 1},
    "onlink": {"type": "bool", "default": False},
}
OPTIONS = {
    "destination": {"type": "str", "required": True},
    "gateway": {"type": "str"},
    "device": {"type": "str"},
    "source": {"type": "str"},
    "metric": {"type": "int"},
    "table": {"type": "str", "default": "main"},
    "type": {"type": "str", "choices": ["unicast", "blackhole", "unreachable", "prohibit"]},
    "onlink": {"type": "bool"},
    "mtu": {"type": "int"},
    "nexthops": {"type": "list", "elements": "dict", "options": HOP},
}


def main() -> None:
    run_module(options=OPTIONS, make=IpRoute.from_params, result="route")


if __name__ == "__main__":
    main()
