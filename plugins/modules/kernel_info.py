#!/usr/bin/python

# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_info
short_description: Find out what the kernel can do for namespaces, bridges and address translation
version_added: 0.1.0
description:
  - Tries each feature in a network namespace without a name, which ends with the module, and says what is missing.
  - Nothing that existed before is touched. The kernel may load modules of its own for what is tried, as it does on first use.
  - Fails with the package to install when the Python that runs the module has no suitable pyroute2.
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode), and tries the same there.
    support: full
  diff_mode:
    description: Nothing is changed, so there is nothing to compare.
    support: none
  idempotent:
    description: Nothing is changed.
    support: full
  platform:
    description: The system the module runs on. It needs root there.
    support: full
    platforms: Linux
requirements:
  - pyroute2 >= 0.7.2 for the Python that runs the module (the role P(patchbay.netns.host#role) installs it)
author:
  - The patchbay.netns founders (@patchbay)
seealso:
  - module: patchbay.netns.reachability
"""

EXAMPLES = r"""
- name: Ask the kernel
  patchbay.netns.kernel_info:
  register: kernel

- name: Stop where IPv6 can't be masqueraded
  ansible.builtin.assert:
    that: kernel.features.nat_ipv6.available
    fail_msg: "{{ kernel.features.nat_ipv6.reason }}"
"""

RETURN = r"""
features:
  description:
    - Each feature by its name.
    - V(netns), V(ipv6), V(veth), V(bridge), V(vlan_filtering) of bridges, V(nat_ipv4) and V(nat_ipv6) with nftables,
      V(fib), the test whether a destination is local, V(ct), connection tracking in nftables, V(intervals), sets of
      networks and ranges of ports, and V(sctp), connection tracking of SCTP, are used by modules of this collection.
    - V(vlan), V(vxlan), V(macvlan) and V(dummy) are links of a whole lab, V(netem) is what impairs them.
    - V(vrf) is a link that other tools make.
  returned: success
  type: dict
  contains:
    available:
      description: Whether trying it succeeded.
      type: bool
    reason:
      description: The kernel option and module that are missing, and the kernel's answer; empty when it is available.
      type: str
  sample:
    veth: {available: true, reason: ""}
    dummy:
      available: false
      reason: "needs CONFIG_DUMMY, module dummy: the kernel refused to create a link of type dummy: Unknown device type (EOPNOTSUPP)."
bridge_netfilter:
  description:
    - Whether bridged IPv4 packets pass the firewall of the namespace that the module runs in
      (C(net.bridge.bridge-nf-call-iptables) is C(1)).
  returned: success
  type: bool
  sample: false
pyroute2:
  description: The version of pyroute2 in use.
  returned: success
  type: str
  sample: 0.9.7
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.patchbay.netns.plugins.module_utils._errors import PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import features
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.codec import codec


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        version = codec().version
        found = features.find()
    except PatchbayError as error:
        module.fail_json(msg=str(error), code=error.code, details=error.details)
    module.exit_json(
        changed=False,
        features={name: {"available": finding.available, "reason": finding.reason} for name, finding in found.items()},
        bridge_netfilter=features.bridge_netfilter(),
        pyroute2=version,
    )


if __name__ == "__main__":
    main()
