#!/usr/bin/python

# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: reachability
short_description: Find out with real packets who reaches whom
version_added: 0.1.0
description:
  - Sends echo requests, opens TCP connections and sends datagrams from network namespaces, and tells for each what came of it.
  - With O(probes[].listener), something that answers with a random number is started in another namespace, so that the
    answer proves who gave it, through whatever address translation lies between.
  - Fails when an answer is not the one that O(probes[].expect) names, unless O(fail=false).
  - All probes are sent at once. Nothing is changed, and nothing but Python's standard library is needed.
options:
  probes:
    description: The questions to ask.
    type: list
    elements: dict
    required: true
    suboptions:
      from:
        description: The namespace to send from. When omitted or empty, it is the one that the module runs in.
        type: str
      to:
        description:
          - The IPv4 or IPv6 address to reach.
          - A link-local address needs the interface to leave by, such as V(fe80::1%veth-red).
        type: str
        required: true
      protocol:
        description: V(icmp) is an echo request, ICMPv6 where O(probes[].to) is an IPv6 address.
        type: str
        choices: [icmp, tcp, udp]
        default: icmp
      port:
        description: The port to reach. Needed for V(tcp) and V(udp).
        type: int
      source:
        description: The address to send from, one that the sender has. When omitted, the sender's routes decide.
        type: str
      listener:
        description:
          - Listen in this namespace while the probes run, and answer with a random number. Empty means the namespace that the
            module runs in.
          - A probe that is expected to be V(reached) is then expected to be answered by this listener.
          - Where something listens on the port already, it is left alone and no listener is started. Then the answer alone
            counts.
        type: str
      listener_port:
        description: The port to listen on, where it is another one than O(probes[].port), as behind a port forward.
        type: int
      listener_address:
        description: The one address to listen on. When omitted, all addresses of the family of O(probes[].to).
        type: str
      expect:
        description:
          - The outcome that is right.
          - V(unreachable) is met by RV(results[].outcome=timeout) as well, for both mean that nobody answered.
        type: str
        choices: [reached, unreachable, refused, any]
        default: reached
      timeout:
        description: Seconds to wait for an answer. Echo requests and datagrams are repeated every half second meanwhile.
        type: float
        default: 2.0
  fail:
    description: Whether to fail when a result is not as expected. The results are returned either way.
    type: bool
    default: true
attributes:
  check_mode:
    description: Can run in C(check_mode), and sends the same packets there.
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
author:
  - The patchbay.netns founders (@patchbay)
seealso:
  - module: patchbay.netns.kernel_info
"""

EXAMPLES = r"""
- name: Red reaches blue, and not the outside
  patchbay.netns.reachability:
    probes:
      - from: red
        to: 192.168.15.2
      - from: red
        to: 8.8.8.8
        expect: unreachable
        timeout: 1

- name: A connection to the host's port 80 ends in blue
  patchbay.netns.reachability:
    probes:
      - from: red
        to: 192.168.15.5
        protocol: tcp
        port: 80
        listener: blue

- name: Look, and show a table, whatever the results are
  patchbay.netns.reachability:
    probes:
      - from: red
        to: fd00:15::2
    fail: false
  register: lab

- name: Who reached whom
  ansible.builtin.debug:
    msg: "{{ lab.table }}"
"""

RETURN = r"""
results:
  description: What came of each probe, in the order of O(probes).
  returned: always, unless a probe could not be sent
  type: list
  elements: dict
  contains:
    from:
      description: The namespace it was sent from; null for the one that the module runs in.
      type: str
      sample: red
    to:
      description: The address it was sent to.
      type: str
      sample: 192.168.15.5
    protocol:
      description: The protocol.
      type: str
      sample: tcp
    port:
      description: The port; null for V(icmp).
      type: int
      sample: 80
    outcome:
      description:
        - V(reached), there was an answer, or the connection was accepted.
        - V(refused), nothing listens on the port, or a firewall says so.
        - V(unreachable), there is no route or no neighbour, or somebody on the way said so.
        - V(timeout), there was no answer in time.
      type: str
      sample: reached
    answered_by:
      description:
        - The namespace of the listener, when its random number came back.
        - Otherwise the address that the answer came from; empty when nobody answered.
      type: str
      sample: blue
    seen_as:
      description: The address that the listener saw the probe come from; empty without an answer of the listener.
      type: str
      sample: 192.168.15.1
    rtt_ms:
      description: Milliseconds until the answer, or until the connection stood; null when there was none.
      type: float
      sample: 0.187
    expected:
      description: Whether this is what O(probes[].expect) names.
      type: bool
      sample: true
table:
  description: The results as lines of aligned text, the first of them the heading.
  returned: always, unless a probe could not be sent
  type: list
  elements: str
  sample:
    - from  to            protocol/port  outcome  answered by  rtt
    - red   192.168.15.5  tcp/80         reached  blue         0.19 ms
reached:
  description: How many probes were answered.
  returned: always, unless a probe could not be sent
  type: int
  sample: 1
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.patchbay.netns.plugins.module_utils._errors import PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._paths import reachability

PROBE = {
    "from": {"type": "str"},
    "to": {"type": "str", "required": True},
    "protocol": {"type": "str", "choices": ["icmp", "tcp", "udp"], "default": "icmp"},
    "port": {"type": "int"},
    "source": {"type": "str"},
    "listener": {"type": "str"},
    "listener_port": {"type": "int"},
    "listener_address": {"type": "str"},
    "expect": {"type": "str", "choices": ["reached", "unreachable", "refused", "any"], "default": "reached"},
    "timeout": {"type": "float", "default": 2.0},
}
OPTIONS = {
    "probes": {"type": "list", "elements": "dict", "required": True, "options": PROBE},
    "fail": {"type": "bool", "default": True},
}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        results = reachability.run(reachability.parse(module.params["probes"]))
    except PatchbayError as error:
        module.fail_json(msg=str(error), code=error.code, details=error.details)
    answer: dict[str, t.Any] = {
        "changed": False,
        "results": [result.view() for result in results],
        "table": reachability.table(results),
        "reached": sum(result.reply.outcome == "reached" for result in results),
    }
    surprises = reachability.surprises(results)
    if surprises and module.params["fail"]:
        module.fail_json(msg=surprises, code="NOT_AS_EXPECTED", **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
