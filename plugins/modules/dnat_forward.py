#!/usr/bin/python

# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dnat_forward
short_description: Forward a port of the host, or of a namespace, to another address
version_added: 0.1.0
description:
  - Who connects to O(port) at an address of this machine is connected to O(to_address) instead.
  - Only packets to a I(local) destination are translated. What passes through on its way to another machine's O(port) is never
    hijacked.
  - The rules live in a table of their own, C(inet patchbay), one in each namespace; it appears with the first rule and goes with
    the last one. No other table is touched, and neither C(nft) nor C(iptables) needs to be installed.
  - A forward is known by O(netns), O(protocol), O(port), O(address), O(in_interface) and its IP version; its other options can
    be changed. Two forwards that take in the same packets are refused.
  - The table is compared by its meaning, so that one that was saved and loaded again by C(nft -f) is still recognized. What
    somebody else put into it, or changed in it, is put right by every run.
  - A forward is an element of a map, found in one look-up however many forwards there are. C(nft list table inet patchbay)
    shows each with its counter.
  - A process of this machine that serves the port would not be reached any more, so the module fails and names it; so it
    does for a rule of somebody else that forwards the port before this one is asked. See O(force).
options:
  protocol:
    description: The protocol of the port; a port number means nothing without it.
    type: str
    choices: [tcp, udp, sctp]
    required: true
  port:
    description: The port to forward, such as V(80), or a range, such as V(8000-8010).
    type: str
    required: true
  address:
    description:
      - Forward only what is sent to this address of the machine; one address of each IP version at most.
      - When omitted, every local address of the IP versions of O(to_address).
    type: list
    elements: str
  in_interface:
    description:
      - Forward only what comes in through this interface. When omitted, through any.
      - The machine's own connections, see O(local), come in through none and are forwarded regardless. Of two forwards of one
        port at different interfaces, only one can have them.
    type: str
  to_address:
    description:
      - The address to forward to, IPv4 or IPv6, or one of each to forward both. Required when O(state=present).
      - With O(state=absent) it, O(address) or O(sources) tells the IP version; without any of them both versions are removed.
    type: list
    elements: str
  to_port:
    description:
      - The port at O(to_address), or a range of the same size as O(port). When omitted, the port number stays the same.
      - A range with other numbers may have 1024 ports at most, for each port is an element of its own.
    type: str
  sources:
    description:
      - The networks whose packets are forwarded; to all others the port looks as if there were no forward.
      - This holds for the machine's own connections too, whose source is one of its own addresses, but not for O(loopback).
      - Where O(to_address) names both IP versions, the sources must, too, so that none is left open by mistake.
    type: list
    elements: str
  local:
    description: Whether connections that the machine itself makes to one of its addresses are forwarded too.
    type: bool
    default: true
  hairpin:
    description:
      - Whether clients in the target's own network can use the forward too.
      - Their source address is translated to the machine's own, for the target would answer them directly otherwise, and they
        would not take that for an answer.
      - The network is found from the routes. When O(to_address) is in no connected network, a warning says so.
      - A target that uses its own forward needs one thing more where bridged packets pass the firewall
        (C(net.bridge.bridge-nf-call-iptables=1)), which is hairpin mode on its bridge port. See O(patchbay.netns.veth#module:hairpin).
    type: bool
    default: true
  loopback:
    description:
      - Whether connections from the machine to C(127.0.0.0/8) are forwarded too, whatever O(address), O(in_interface) and
        O(sources) say. IPv4 only, for the kernel never lets C(::1) out.
      - This sets C(route_localnet) on the interface towards the target, and adds rules that keep neighbours from using it to
        reach services that listen on loopback addresses only.
      - With targets of both IP versions it works for the IPv4 one, and a warning says so.
    type: bool
    default: false
    aliases: [localhost]
extends_documentation_fragment:
  - patchbay.netns.common
  - patchbay.netns.nat
notes:
  - With O(force=true) a port is forwarded although a process of this machine serves it, or a rule of somebody else forwards it;
    a warning names the process.
seealso:
  - module: patchbay.netns.nat_masquerade
  - module: patchbay.netns.veth
"""

EXAMPLES = r"""
- name: Port 80 of this machine is the web server in the namespace blue
  patchbay.netns.dnat_forward:
    protocol: tcp
    port: 80
    to_address: 192.168.15.2

- name: Two servers on the same port, each behind a port of its own; this one also at localhost
  patchbay.netns.dnat_forward:
    protocol: tcp
    port: 8081
    to_address: 172.20.0.11
    to_port: 8080
    loopback: true

- name: A range of UDP ports at one address, for the office only
  patchbay.netns.dnat_forward:
    protocol: udp
    port: 8000-8010
    address: 203.0.113.1
    to_address: 192.168.15.2
    sources: [198.51.100.0/24]

- name: IPv4 and IPv6 at once, on a machine whose firewall is ufw, firewalld or Docker's
  patchbay.netns.dnat_forward:
    protocol: tcp
    port: 80
    to_address: [192.168.15.2, "fd00:15::2"]
    foreign_firewall: allow

- name: No forward of port 80 any more, neither IPv4 nor IPv6
  patchbay.netns.dnat_forward:
    protocol: tcp
    port: 80
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
  description: The forward, read back from the kernel's rules; empty when it is absent.
  returned: success
  type: dict
  contains:
    netns:
      description: The namespace; null for the one the module runs in.
      type: str
    family:
      description: V(ipv4), V(ipv6), or both.
      type: list
      elements: str
    protocol:
      description: The protocol.
      type: str
    port:
      description: The forwarded port or range.
      type: str
    address:
      description: The only local addresses it applies to; empty when it applies to all.
      type: list
      elements: str
    in_interface:
      description: The only interface it applies to, or null.
      type: str
    to_address:
      description: The addresses of the target, one for each IP version.
      type: list
      elements: str
    to_port:
      description: The port or range at the target.
      type: str
    sources:
      description: The networks it is for; empty when it is for all.
      type: list
      elements: str
    local:
      description: Whether the machine's own connections are forwarded.
      type: bool
    hairpin:
      description: The networks whose own clients are let in, one for each IP version.
      type: list
      elements: str
    loopback:
      description: Whether connections to 127.0.0.0/8 are forwarded.
      type: bool
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
      description: The elements in nft's own syntax, each behind the name of its map or set.
      type: list
      elements: str
  sample:
    netns: null
    family: [ipv4]
    protocol: tcp
    port: "80"
    address: []
    in_interface: null
    to_address: [192.168.15.2]
    to_port: "80"
    sources: []
    local: true
    hairpin: [192.168.15.0/24]
    loopback: false
    forwarding: true
    blocked_by: []
    rules:
      - "forwards-tcp-ip: 80 comment \"patchbay forward tcp 80 hairpin 192.168.15.0/24\" : 192.168.15.2 . 80"
      - "masqueraded-tcp-ip: 192.168.15.0/24 . 192.168.15.2 . 80"
"""

from ansible_collections.patchbay.netns.plugins.module_utils._door import run_module
from ansible_collections.patchbay.netns.plugins.module_utils._objects.forward import Forward

OPTIONS = {
    "protocol": {"type": "str", "choices": ["tcp", "udp", "sctp"], "required": True},
    "port": {"type": "str", "required": True},
    "address": {"type": "list", "elements": "str"},
    "in_interface": {"type": "str"},
    "to_address": {"type": "list", "elements": "str"},
    "to_port": {"type": "str"},
    "sources": {"type": "list", "elements": "str"},
    "local": {"type": "bool", "default": True},
    "hairpin": {"type": "bool", "default": True},
    "loopback": {"type": "bool", "default": False, "aliases": ["localhost"]},
    "established": {"type": "str", "choices": ["keep", "reset"], "default": "keep"},
    "foreign_firewall": {"type": "str", "choices": ["report", "allow", "fail"], "default": "report"},
    "forwarding": {"type": "bool", "default": True},
}


def main() -> None:
    run_module(
        options=OPTIONS,
        make=Forward.wish,
        result="rule",
        required_if=[("state", "present", ["to_address"])],
    )


if __name__ == "__main__":
    main()
