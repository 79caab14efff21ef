# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: lab_mistakes
short_description: Finds what is wrong with the description of a bridge lab
version_added: 0.1.0
author:
  - The patchbay.netns founders (@patchbay)
description:
  - Reads the description that the role P(patchbay.netns.bridge_lab#role) takes and says what no single module could know
    (an address or a name that is given twice) or would find out too late (names that are too long, addresses without prefix).
positional: _input
options:
  _input:
    description: The namespaces, as the role's variable C(bridge_lab_namespaces) lists them.
    type: list
    elements: dict
    required: true
  bridge:
    description: The name of the bridge.
    type: str
    required: true
  addresses:
    description: The addresses of the bridge.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse a lab that can't work
  ansible.builtin.assert:
    that: mistakes | length == 0
    fail_msg: "{{ mistakes | join(' ') }}"
  vars:
    mistakes: "{{ bridge_lab_namespaces | patchbay.netns.lab_mistakes(bridge='v-net-0', addresses=['192.168.15.5/24']) }}"
"""

RETURN = r"""
_value:
  description: One sentence for each mistake, empty when there is none.
  type: list
  elements: str
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.module_utils._objects import checks


class Lab:
    """The names and addresses met so far, and the mistakes among them."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self._namespaces: set[str] = set()
        self._links: dict[str, str] = {}
        self._owners: dict[checks.Address, str] = {}

    def bridge(self, name: str, addresses: Iterable[str]) -> None:
        """Take the bridge in."""
        who = f"the bridge {name}"
        self._links[name] = who
        self._checked(checks.interface, name, "bridge_lab_bridge")
        self._take_addresses(addresses, who)

    def namespace(self, item: Mapping[str, Any]) -> None:
        """Take one namespace in."""
        name = str(item["name"])
        who = f"the namespace {name}"
        inner, outer = item.get("link", f"veth-{name}"), item.get("bridge_link", f"veth-{name}-br")
        self._checked(checks.namespace, name, "bridge_lab_namespaces")
        if name in self._namespaces:
            self.mistakes.append(f"The namespace {name} is listed twice: list it once, with all its addresses.")
        elif outer in self._links:
            self.mistakes.append(
                f"The link {outer} of {who} has the name of {self._links[outer]}: set another bridge_link."
            )
        self._namespaces.add(name)
        self._links[outer] = f"the link of {who}"
        for option, link in (("link", inner), ("bridge_link", outer)):
            self._checked(checks.interface, link, f"{option} of {who}")
        self._take_addresses(item.get("addresses") or (), who)

    def _take_addresses(self, texts: Iterable[str], who: str) -> None:
        for text in texts:
            interface = self._checked(checks.host_interface, text, f"addresses of {who}")
            if interface is None:
                continue
            if interface.ip in self._owners:
                owner = self._owners[interface.ip]
                self.mistakes.append(
                    f"The address {interface.ip} of {who} belongs to {owner} already: give one of them another."
                )
            self._owners[interface.ip] = who

    def _checked(self, check: Callable[[str, str], Any], text: str, option: str) -> Any:
        try:
            return check(str(text), option)
        except InvalidInput as mistake:
            self.mistakes.append(str(mistake))
            return None


def lab_mistakes(namespaces: Sequence[Mapping[str, Any]], bridge: str, addresses: Iterable[str] = ()) -> list[str]:
    """One sentence for each mistake in the lab."""
    lab = Lab()
    lab.bridge(bridge, addresses)
    for item in namespaces:
        lab.namespace(item)
    return lab.mistakes


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Its name and function."""
        return {"lab_mistakes": lab_mistakes}
