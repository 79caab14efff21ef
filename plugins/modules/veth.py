#!/usr/bin/python

# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: veth
short_description: Manage virtual Ethernet cables
version_added: 0.1.0
description:
  - A veth pair is a cable with two ends, each of which is an interface in some network namespace.
  - Each end is created directly in its namespace, both with one message to the kernel.
  - An end that is there with another peer is recreated when this collection made it. Two interfaces that carry both names
    but are not each other's peer are named in an error, and replaced only with O(force=true).
options:
  name:
    description: The name of this end, at most 15 bytes.
    type: str
    required: true
  peer:
    description: The other end. Required unless O(state=absent); removing one end removes both.
    type: dict
    suboptions:
      name:
        description: The name of the other end.
        type: str
        required: true
      netns:
        description: The namespace of the other end. When omitted, it is the one the module runs in, not that of O(netns).
        type: str
      addresses:
        description:
          - Addresses of this end, each with its prefix length. IPv6 addresses are usable at once (no duplicate detection).
          - Addresses that are not listed stay, unless O(peer.purge_addresses=true).
        type: list
        elements: str
      purge_addresses:
        description: Remove addresses that are not listed. Addresses that the kernel makes by itself stay.
        type: bool
        default: false
      mac:
        description:
          - The MAC address. When omitted, a new interface gets one that is the same each time it is made on this host.
        type: str
      mtu:
        description: The largest packet in bytes. When omitted it is left as it is; a new interface has 1500.
        type: int
      up:
        description: Whether this end is up.
        type: bool
        default: true
      bridge:
        description:
          - The bridge, in the same namespace as this end, that this end is a port of.
          - An empty string takes it out of its bridge. When omitted, it stays where it is.
        type: str
      hairpin:
        description:
          - Whether the bridge may send a packet back out of the port it came from. Needed when a namespace reaches itself
            through a port forward of the host while C(br_netfilter) is active. When omitted, it is left as it is.
        type: bool
  addresses:
    description:
      - Addresses of this end, each with its prefix length. IPv6 addresses are usable at once (no duplicate detection).
      - Addresses that are not listed stay, unless O(purge_addresses=true).
    type: list
    elements: str
  purge_addresses:
    description: Remove addresses that are not listed. Addresses that the kernel makes by itself stay.
    type: bool
    default: false
  mac:
    description:
      - The MAC address. When omitted, a new interface gets one that is the same each time it is made on this host.
    type: str
  mtu:
    description: The largest packet in bytes. When omitted it is left as it is; a new interface has 1500.
    type: int
  up:
    description: Whether this end is up.
    type: bool
    default: true
  bridge:
    description:
      - The bridge, in the same namespace as this end, that this end is a port of.
      - An empty string takes it out of its bridge. When omitted, it stays where it is.
    type: str
  hairpin:
    description:
      - Whether the bridge may send a packet back out of the port it came from. Needed when a namespace reaches itself
        through a port forward of the host while C(br_netfilter) is active. When omitted, it is left as it is.
    type: bool
  allow_overlap:
    description:
      - Accept an address whose subnet overlaps a route that the namespace already has through another interface.
      - Without it this is refused, for traffic of one of the two would be lost.
    type: bool
    default: false
extends_documentation_fragment:
  - patchbay.netns.common
seealso:
  - module: patchbay.netns.netns
  - module: patchbay.netns.bridge
"""

EXAMPLES = r"""
- name: A cable from namespace red to a bridge of the host
  patchbay.netns.veth:
    name: veth-red
    netns: red
    addresses: [192.168.15.1/24]
    peer:
      name: veth-red-br
      bridge: v-net-0

- name: A cable between two namespaces, with both IP versions
  patchbay.netns.veth:
    name: veth-red
    netns: red
    addresses: [192.168.15.1/24, "fd00:15::1/64"]
    peer:
      name: veth-blue
      netns: blue
      addresses: [192.168.15.2/24, "fd00:15::2/64"]

- name: Pull the cable out
  patchbay.netns.veth:
    name: veth-red
    netns: red
    state: absent
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
  description: This end as the kernel has it, and the other one under C(peer); empty when it is absent.
  returned: success
  type: dict
  sample:
    name: veth-red
    netns: red
    kind: veth
    mac: "02:5b:3f:d1:db:7d"
    mtu: 1500
    up: true
    bridge: null
    addresses: [192.168.15.1/24]
    ours: true
    peer:
      name: veth-red-br
      netns: null
      kind: veth
      mac: "02:5f:1b:85:1e:6b"
      mtu: 1500
      up: true
      bridge: v-net-0
      hairpin: false
      addresses: []
      ours: true
"""

from ansible_collections.patchbay.netns.plugins.module_utils._door import run_module
from ansible_collections.patchbay.netns.plugins.module_utils._objects.veth import Veth

END = {
    "addresses": {"type": "list", "elements": "str"},
    "purge_addresses": {"type": "bool", "default": False},
    "mac": {"type": "str"},
    "mtu": {"type": "int"},
    "up": {"type": "bool", "default": True},
    "bridge": {"type": "str"},
    "hairpin": {"type": "bool"},
}
OPTIONS = {
    "name": {"type": "str", "required": True},
    "peer": {"type": "dict", "options": {"name": {"type": "str", "required": True}, "netns": {"type": "str"}, **END}},
    "allow_overlap": {"type": "bool", "default": False},
    **END,
}


def main() -> None:
    run_module(options=OPTIONS, make=Veth.from_params, result="link", required_if=[("state", "present", ["peer"])])


if __name__ == "__main__":
    main()
