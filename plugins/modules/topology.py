#!/usr/bin/python

# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: topology
short_description: Build a whole lab from one file, or remove it, all or nothing
version_added: 0.2.0
description:
  - Takes a whole lab, two namespaces or a thousand, and makes the kernel match it in one run.
  - All or nothing. When something fails, or the run is interrupted, everything that it had done is taken back.
  - What is there already and as it should be is left alone, so that traffic goes on; a second run changes nothing.
  - The whole file is checked before anything is sent to the managed host. Each mistake is told as C(FILE:LINE:COLUMN), all of
    them at once.
  - "A run that takes longer than a second shows how far it is, such as C(lab red-blue on HOST: namespaces 340/1000). With C(async)
    or C(no_log), or in check mode, it doesn't."
  - Everything that belongs to the lab carries its name as a mark in the kernel. Other labs, and what was made by hand, are never
    changed or removed unless O(adopt) or O(force) says so.
options:
  src:
    description:
      - The lab file on the controller, a YAML file with the keys of O(definition). It is looked for as the one of
        M(ansible.builtin.copy) is, in C(files/) of the role and beside the playbook.
      - Its contents are data and are never templated. It may be encrypted as a whole with C(ansible-vault). Anchors, aliases and
        merge keys work; one key twice in a mapping is a mistake.
      - Exactly one of O(src) and O(definition) is needed, unless O(state=absent) and O(name) is given.
    type: str
  definition:
    description:
      - The lab, written into the task.
      - The top level is the host itself, and each of its C(namespaces) takes the same keys. C(name) is needed; further keys are
        C(pool), C(bridges), C(interfaces), C(namespaces), C(gateway), C(routes), C(sysctls), C(nameservers), C(masquerade) and
        C(forwards).
      - An interface says what it is by one of C(bridge) (a cable to a port of that bridge, C(NAMESPACE/BRIDGE) for one inside of
        a namespace), C(cable) (a cable to C(NAMESPACE/INTERFACE), or to C(/INTERFACE) of the host), C(vlan), C(macvlan), C(vxlan)
        and C(dummy). It takes C(addresses), a list or V(auto), further C(mac), C(mtu), C(up), C(master), C(hairpin), C(port),
        C(impair) and C(allow_overlap).
      - A namespace or bridge with C(count), such as C(n{n}) with C(count=200), is a template for as many, in which C({n}) stands for
        the number.
      - C(routes), C(masquerade) and C(forwards) take the options of M(patchbay.netns.ip_route_ns),
        M(patchbay.netns.nat_masquerade) and M(patchbay.netns.dnat_forward).
      - C(docs/lab.schema.json) in the collection is the complete description, for editors, too.
    type: dict
  name:
    description:
      - The name of a lab that is to be removed, when neither O(src) nor O(definition) is at hand.
    type: str
  state:
    description:
      - V(present) makes the kernel match the lab.
      - V(absent) removes the lab of that name with all that carries its mark, whatever the file says is in it.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - Whether what carries the lab's mark but is not in the file, or not any more, is removed.
    type: bool
    default: true
  adopt:
    description:
      - Take over what was made by hand, or by the other modules of this collection, where it has the name of something in the lab.
      - Without it, such a thing is an error that names it.
    type: bool
    default: false
  verify:
    description:
      - Read everything back before the run is final, and compare it with the lab. A difference takes everything back and is an
        error.
    type: bool
    default: false
  force:
    description:
      - With O(state=absent), also remove what is in the lab's file but carries no mark of it, and end the processes inside of its
        namespaces.
    type: bool
    default: false
  lock_timeout:
    description:
      - How many seconds to wait for another run on the same host to end.
    type: int
    default: 300
attributes:
  action:
    description: Has a part that runs on the controller, which reads O(src), checks it and shows progress.
    support: full
  async:
    description: Can be run with the keyword C(async).
    support: full
  check_mode:
    description: Can run in C(check_mode) and predict what a run does, without changing anything.
    support: full
  diff_mode:
    description: Returns the lab before and after as a tree of text.
    support: full
  idempotent:
    description: A second run with the same parameters changes nothing.
    support: full
  platform:
    description: The system the module runs on. It needs root there.
    support: full
    platforms: Linux
notes:
  - Where the connection is V(local), nobody else is to be become, and the controller's Python has pyroute2, the work is done in
    Ansible's own process, which saves the time of starting another. The result is the same.
  - This module is in the action group C(patchbay.netns.all), but takes no C(netns); where C(module_defaults) of the group set it,
    write C(netns={{ omit }}) in the task.
requirements:
  - pyroute2 >= 0.7.2 for the Python that runs the module (the role P(patchbay.netns.host#role) installs it)
seealso:
  - module: patchbay.netns.netns
  - module: patchbay.netns.veth
  - module: patchbay.netns.bridge
  - module: patchbay.netns.reachability
author:
  - The patchbay.netns founders (@patchbay)
"""

EXAMPLES = r"""
- name: The lab in files/red-blue.yml, and nothing but what is in it
  patchbay.netns.topology:
    src: red-blue.yml

- name: Red and blue on a bridge that the host is part of, with a way out and a way in
  patchbay.netns.topology:
    definition:
      name: red-blue
      bridges:
        v-net-0: {addresses: [192.168.15.5/24]}
      namespaces:
        red:
          interfaces:
            veth-red: {bridge: v-net-0, addresses: [192.168.15.1/24]}
          gateway: 192.168.15.5
        blue:
          interfaces:
            veth-blue: {bridge: v-net-0, addresses: [192.168.15.2/24]}
          gateway: 192.168.15.5
      masquerade: {source: 192.168.15.0/24}
      forwards:
        - {protocol: tcp, port: 80, to: blue}

- name: Two hundred namespaces on one bridge, read back before the run is final
  patchbay.netns.topology:
    definition:
      name: many
      bridges:
        lan: {addresses: [10.20.0.1/16]}
      namespaces:
        n{n}:
          count: 200
          interfaces:
            eth0: {bridge: lan, addresses: auto}
          gateway: 10.20.0.1
    verify: true

- name: Take over a lab that a script has built
  patchbay.netns.topology:
    src: red-blue.yml
    adopt: true

- name: No lab of this name any more
  patchbay.netns.topology:
    name: red-blue
    state: absent
"""

RETURN = r"""
commands:
  description:
    - The C(ip), C(bridge), C(tc), C(sysctl) and C(nft) commands that do what was done, or would be done, in order.
    - Empty when nothing had to be changed, and where they are more than anybody reads, see RV(commands_left_out).
  returned: success
  type: list
  elements: str

commands_left_out:
  description:
    - How many changes a run has made without telling its commands, because they are too many. With C(check_mode) or C(diff) they
      are told all the same.
  returned: success
  type: int
  sample: 0

lab:
  description: The lab as it is now; one that is absent has no namespaces and no addresses.
  returned: success
  type: dict
  contains:
    name:
      description: The name of the lab.
      type: str
    namespaces:
      description: The namespaces in it.
      type: list
      elements: str
    addresses:
      description:
        - The addresses of every interface that has some, by C(NAMESPACE/INTERFACE), or C(/INTERFACE) on the host; those
          that were chosen for C(addresses=auto), too.
      type: dict
    names:
      description: What an interface is called whose name in the file is too long for the kernel, by the name in the file.
      type: dict
  sample:
    name: red-blue
    namespaces: [blue, red]
    addresses:
      /v-net-0: [192.168.15.5/24]
      blue/veth-blue: [192.168.15.2/24]
      red/veth-red: [192.168.15.1/24]
    names: {}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.patchbay.netns.plugins.module_utils._errors import PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._topology.run import run

OPTIONS = {
    "src": {"type": "str"},
    "definition": {"type": "dict"},
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "purge": {"type": "bool", "default": True},
    "adopt": {"type": "bool", "default": False},
    "verify": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "lock_timeout": {"type": "int", "default": 300},
}
CONSTRAINTS = {
    "mutually_exclusive": [("src", "definition")],
    "required_one_of": [("src", "definition", "name")],
    "required_if": [("state", "present", ("src", "definition"), True)],
}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True, **CONSTRAINTS)
    try:
        result = run(module.params, check=module.check_mode, diff=module._diff)
    except PatchbayError as error:
        module.fail_json(msg=str(error), code=error.code, details=error.details)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
