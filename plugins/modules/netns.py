#!/usr/bin/python

# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns
short_description: Manage network namespaces
version_added: 0.1.0
description:
  - Creates network namespaces as C(ip netns) does, so that C(ip netns) and every other tool sees them, also from other
    mount namespaces.
  - A leftover file under C(/run/netns) that is no namespace, as a crash leaves it, is repaired.
  - A new namespace ignores IPv6 router advertisements (C(net.ipv6.conf.default.accept_ra=0)) unless O(sysctls) says otherwise.
options:
  name:
    description:
      - The name of the namespace.
      - When omitted, O(netns) is taken, so that C(module_defaults) of the group C(patchbay.netns.all) can name it once.
    type: str
  netns:
    description: Another way to give the O(name); the O(name) rules where both are given.
  loopback:
    description: Whether C(lo) is up.
    type: bool
    default: true
  sysctls:
    description:
      - Kernel settings of the namespace. Only names under C(net.) belong to a namespace.
      - Settings that are not named are left as they are.
    type: dict
    default: {}
  nameservers:
    description:
      - The name servers that programs use which C(ip netns exec) starts, written to C(/etc/netns/NAME/resolv.conf).
      - An empty list removes the file. When omitted, the file is left as it is.
    type: list
    elements: str
  state:
    description:
      - V(absent) removes the namespace with all its interfaces. When processes are inside it fails and names them,
        unless O(force=true).
  force:
    description:
      - With O(state=absent), end the processes inside and remove the namespace even if this collection did not make it.
      - With O(state=present), replace a C(resolv.conf) that this collection did not write.
extends_documentation_fragment:
  - patchbay.netns.common
seealso:
  - module: patchbay.netns.veth
"""

EXAMPLES = r"""
- name: A namespace that routes
  patchbay.netns.netns:
    name: red
    sysctls:
      net.ipv4.ip_forward: 1
    nameservers: [9.9.9.9]

- name: Remove it, and whatever still runs inside
  patchbay.netns.netns:
    name: red
    state: absent
    force: true
"""

RETURN = r"""
commands:
  description:
    - The C(ip), C(bridge), C(sysctl) and C(nft) commands that do what was done, or would be done, in order.
    - Empty when nothing had to be changed.
  returned: success
  type: list
  elements: str

netns:
  description: The namespace as the kernel has it; empty when it is absent.
  returned: success
  type: dict
  sample:
    name: red
    loopback: true
    sysctls: {net.ipv4.ip_forward: "1"}
    nameservers: [9.9.9.9]
    ours: true
"""

from ansible_collections.patchbay.netns.plugins.module_utils._door import run_module
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import Netns

OPTIONS = {
    "name": {"type": "str"},
    "loopback": {"type": "bool", "default": True},
    "sysctls": {"type": "dict", "default": {}},
    "nameservers": {"type": "list", "elements": "str"},
}


def main() -> None:
    run_module(options=OPTIONS, make=Netns.from_params, result="netns", required_one_of=[("name", "netns")])


if __name__ == "__main__":
    main()
