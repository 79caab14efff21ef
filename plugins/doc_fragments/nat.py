# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that translate addresses have in common."""

    DOCUMENTATION = r"""
options:
  established:
    description:
      - What becomes of established connections (TCP and SCTP) whose path changes. V(keep) leaves them on the old path until they
        end, V(reset) cuts them.
      - UDP, and connections that are not established yet, always follow the change at once. The kernel asks the rules
        only once per connection, so their tracking entries are removed, and no others.
    type: str
    choices: [keep, reset]
    default: keep
    version_added: 0.2.0
  foreign_firewall:
    description:
      - What to do where somebody else's firewall (Docker's, ufw's, firewalld's, an administrator's) drops the packets that this
        lives by. An accept in a table of ours would not help, for a drop anywhere is final.
      - V(report) goes on and warns; the warning names table, chain, rule or policy, its owner, and the commands that let the
        packets pass, in the owner's own language.
      - V(allow) runs these commands where the owner has a place for the rules of others, which is the chain C(DOCKER-USER), a
        C(ufw route) rule, or a policy of firewalld. The opening is as narrow as the owner's language allows, carries a mark, is
        made once, and goes with O(state=absent), or when this option says something else. Everywhere else V(allow) is V(report).
      - V(fail) fails before anything is changed, with the code V(FOREIGN_FIREWALL).
      - No rule that this collection did not write is ever edited, and no table that belongs to a running program.
    type: str
    choices: [report, allow, fail]
    default: report
    version_added: 0.2.0
  forwarding:
    description:
      - Switch on forwarding (C(net.ipv4.ip_forward) or C(net.ipv6.conf.all.forwarding)) in the namespace.
      - If it was off before, it is given back as soon as no object of this collection needs it any more.
      - A machine that forwards does so between all its interfaces; a warning says so when this module switches it on.
      - For IPv6, interfaces that learn routes from router advertisements get C(accept_ra=2), for the kernel would drop these
        routes otherwise. This is given back as well.
    type: bool
    default: true
"""
