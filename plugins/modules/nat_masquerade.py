#!/usr/bin/python

# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nat_masquerade
short_description: Let a network out under the address of the interface it leaves by
version_added: 0.1.0
description:
  - Masquerade translates the source address of packets that leave O(source) to the address of the outgoing interface, so that
    machines that know no way back to the network can answer.
  - The rules live in a table of their own, C(inet patchbay), one in each namespace; it appears with the first rule and goes with
    the last one. No other table is touched, and neither C(nft) nor C(iptables) needs to be installed.
  - A masquerade is known by O(netns), O(source) and O(out_interface); its other options can be changed.
  - The table is compared by its meaning, so that one that was saved and loaded again by C(nft -f) is still recognized. What
    somebody else put into it, or changed in it, is put right by every run.
  - Of several masquerades that fit, the one with the narrowest source is carried out.
options:
  source:
    description:
      - The network whose packets are translated, IPv4 or IPv6, such as V(192.168.15.0/24).
      - V(0.0.0.0/0) and V(::/0) mean every packet that leaves, which is best combined with O(out_interface).
    type: str
    required: true
  out_interface:
    description: Translate only what leaves by this interface. When omitted, by any.
    type: str
  exclude:
    description:
      - Destinations whose packets keep their source address. An empty list excludes nothing.
      - When omitted, it is O(source) itself (so that neighbours see each other's own addresses) and multicast, V(224.0.0.0/4);
        for IPv6 V(ff00::/8) and the link-local addresses V(fe80::/10).
    type: list
    elements: str
  random:
    description: Choose source ports at random rather than keep them where possible.
    type: bool
    default: false
  to_ports:
    description:
      - The range that the source ports of TCP and UDP become part of, such as V(1024-65535).
      - When omitted, the kernel keeps a port where it can.
    type: str
extends_documentation_fragment:
  - patchbay.netns.common
  - patchbay.netns.nat
notes:
  - O(force) has no effect here.
seealso:
  - module: patchbay.netns.dnat_forward
  - module: patchbay.netns.ip_route_ns
"""

EXAMPLES = r"""
- name: Let the lab reach the outside
  patchbay.netns.nat_masquerade:
    source: 192.168.15.0/24

- name: The same for IPv6, only by the uplink, with source ports at random
  patchbay.netns.nat_masquerade:
    source: fd00:15::/64
    out_interface: eth0
    random: true

- name: A namespace that plays the router, which must not translate what goes to the office
  patchbay.netns.nat_masquerade:
    netns: router
    source: 10.20.0.0/16
    exclude: [10.20.0.0/16, 172.16.0.0/12]

- name: Stop it, and stop forwarding if it was this module that began it
  patchbay.netns.nat_masquerade:
    source: 192.168.15.0/24
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

rule:
  description: The masquerade, read back from the kernel's rules; empty when it is absent.
  returned: success
  type: dict
  contains:
    netns:
      description: The namespace; null for the one the module runs in.
      type: str
    source:
      description: The translated network.
      type: str
    out_interface:
      description: The only interface it applies to, or null.
      type: str
    exclude:
      description: Destinations left alone.
      type: list
      elements: str
    random:
      description: Whether source ports are chosen at random.
      type: bool
    to_ports:
      description: The range of source ports, or null.
      type: str
    forwarding:
      description: Whether the namespace forwards, whoever switched it on.
      type: bool
    blocked_by:
      description:
        - Who drops the packets that this lives by, as far as that is certain; empty when nobody does.
        - C(code) is V(FOREIGN_DROP), V(OWNER) for a table that belongs to a running program, or V(BR_NETFILTER) for packets
          between neighbours on one bridge, which meet the rules only because the kernel is set so.
      type: list
      elements: dict
    rules:
      description: The rules in nft's own syntax, each behind the name of its chain.
      type: list
      elements: str
  sample:
    netns: null
    source: 192.168.15.0/24
    out_interface: null
    exclude: [192.168.15.0/24, 224.0.0.0/4]
    random: false
    to_ports: null
    forwarding: true
    blocked_by: []
    rules:
      - "postrouting: ip saddr 192.168.15.0/24 ip daddr != 192.168.15.0/24 ip daddr != 224.0.0.0/4 counter masquerade"
"""

from ansible_collections.patchbay.netns.plugins.module_utils._door import run_module
from ansible_collections.patchbay.netns.plugins.module_utils._objects.masquerade import Masquerade

OPTIONS = {
    "source": {"type": "str", "required": True},
    "out_interface": {"type": "str"},
    "exclude": {"type": "list", "elements": "str"},
    "random": {"type": "bool", "default": False},
    "to_ports": {"type": "str"},
    "established": {"type": "str", "choices": ["keep", "reset"], "default": "keep"},
    "foreign_firewall": {"type": "str", "choices": ["report", "allow", "fail"], "default": "report"},
    "forwarding": {"type": "bool", "default": True},
}


def main() -> None:
    run_module(options=OPTIONS, make=Masquerade.wish, result="rule")


if __name__ == "__main__":
    main()
