#!/usr/bin/python

# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bridge
short_description: Manage Linux bridges
version_added: 0.1.0
description:
  - A bridge is a switch in the kernel. Interfaces are plugged into it as ports, and the host takes part through the bridge's
    own addresses.
  - The MAC address of a new bridge is set explicitly, so that it stays the same when ports come and go.
options:
  name:
    description: The name of the bridge, at most 15 bytes.
    type: str
    required: true
  addresses:
    description:
      - Addresses of the bridge, each with its prefix length. The broadcast address is computed as C(brd +) does.
      - Addresses that are not listed stay, unless O(purge_addresses=true).
    type: list
    elements: str
  purge_addresses:
    description: Remove addresses that are not listed. Addresses that the kernel makes by itself stay.
    type: bool
    default: false
  ports:
    description: Interfaces, in the same namespace, that are ports of this bridge. Others stay, unless O(purge_ports=true).
    type: list
    elements: str
  purge_ports:
    description: Take ports that are not listed out of the bridge.
    type: bool
    default: false
  mac:
    description: The MAC address. When omitted, a new bridge gets one that is the same each time it is made on this host.
    type: str
  mtu:
    description: The largest packet in bytes. When omitted, the kernel keeps it at the smallest MTU of the ports.
    type: int
  stp:
    description: Whether the spanning tree protocol runs. The kernel's default is off.
    type: bool
  forward_delay:
    description: How long a port listens before it forwards, in seconds; V(2) to V(30) while O(stp=true).
    type: float
  ageing_time:
    description: How long the bridge remembers behind which port a MAC address is, in seconds.
    type: float
  vlan_filtering:
    description: Whether the bridge tells VLANs apart. Refused with a clear message where the kernel can't.
    type: bool
  multicast_snooping:
    description: Whether the bridge sends multicast only to ports that asked for it.
    type: bool
  up:
    description: Whether the bridge is up.
    type: bool
    default: true
  allow_overlap:
    description:
      - Accept an address whose subnet overlaps a route that the namespace already has through another interface.
      - Without it this is refused, for traffic of one of the two would be lost.
    type: bool
    default: false
extends_documentation_fragment:
  - patchbay.netns.common
seealso:
  - module: patchbay.netns.veth
"""

EXAMPLES = r"""
- name: A switch that the host is part of
  patchbay.netns.bridge:
    name: v-net-0
    addresses: [192.168.15.5/24]

- name: A switch inside a namespace, with exactly these ports
  patchbay.netns.bridge:
    name: br0
    netns: router
    ports: [lan1, lan2]
    purge_ports: true
    stp: true
    forward_delay: 4
"""

RETURN = r"""
commands:
  description:
    - The C(ip), C(bridge), C(sysctl) and C(nft) commands that do what was done, or would be done, in order.
    - Empty when nothing had to be changed.
  returned: success
  type: list
  elements: str

link:
  description: The bridge as the kernel has it; empty when it is absent. Times are in seconds.
  returned: success
  type: dict
  sample:
    name: v-net-0
    netns: null
    kind: bridge
    mac: "02:a6:e3:0b:55:d5"
    mtu: 1500
    up: true
    bridge: null
    addresses: [192.168.15.5/24]
    ours: true
    stp: false
    forward_delay: 15.0
    ageing_time: 300.0
    vlan_filtering: false
    multicast_snooping: true
    ports: [veth-red-br]
"""

from ansible_collections.patchbay.netns.plugins.module_utils._door import run_module
from ansible_collections.patchbay.netns.plugins.module_utils._objects.bridge import Bridge

OPTIONS = {
    "name": {"type": "str", "required": True},
    "addresses": {"type": "list", "elements": "str"},
    "purge_addresses": {"type": "bool", "default": False},
    "ports": {"type": "list", "elements": "str"},
    "purge_ports": {"type": "bool", "default": False},
    "mac": {"type": "str"},
    "mtu": {"type": "int"},
    "stp": {"type": "bool"},
    "forward_delay": {"type": "float"},
    "ageing_time": {"type": "float"},
    "vlan_filtering": {"type": "bool"},
    "multicast_snooping": {"type": "bool"},
    "up": {"type": "bool", "default": True},
    "allow_overlap": {"type": "bool", "default": False},
}


def main() -> None:
    run_module(options=OPTIONS, make=Bridge.from_params, result="link")


if __name__ == "__main__":
    main()
