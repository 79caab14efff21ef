# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What a run changes, as a tree that a person can read: by namespace, by interface, one fact a line."""

from __future__ import annotations

import typing as t

from .._engine.model import Item, Key, Step
from .._objects import link_options
from .._objects.address import Address
from .._objects.impairment import Impaired
from .._objects.impairment import shown as impairment_words
from .._objects.link import Link
from .._objects.nat import NatTable
from .._objects.nat_specs import ForwardSpec
from .._objects.netns import Loopback, Namespace, Resolver
from .._objects.route import Route
from .._objects.sysctl import Sysctl

Fact = tuple[t.Optional[str], str, str]
"""The namespace, the interface or '', and the words."""


def difference(title: str, steps: t.Iterable[Step]) -> tuple[str, str]:
    """What the steps change, before and after: as texts whose lines can be compared. Empty where there is nothing."""
    before: dict[Key, Item | None] = {}
    after: dict[Key, Item | None] = {}
    for step in steps:
        lost = [item for each in step.lost for item in each.after]
        for item in (*step.before, *lost):
            before.setdefault(item.key, item)
            after[item.key] = None
        for item in step.after:
            before.setdefault(item.key, None)
            after[item.key] = item
    changed = [key for key in after if before[key] != after[key]]
    return _tree(title, (before[key] for key in changed)), _tree(title, (after[key] for key in changed))


def _tree(title: str, items: t.Iterable[Item | None]) -> str:
    places: dict[str | None, dict[str, list[str]]] = {}
    for item in items:
        for netns, device, text in _facts(item) if item is not None else ():
            lines = places.setdefault(netns, {}).setdefault(device, [])
            lines += [text] if text else []
    if not places:
        return ""
    out = [title]
    for netns, devices in places.items():
        out.append(f"  namespace {netns}" if netns else "  host")
        for device in sorted(devices, key=bool, reverse=True):
            out += [f"    {device}"] if device else []
            out += [f"    {'  ' if device else ''}{line}" for line in devices[device]]
    return "\n".join(out) + "\n"


def _facts(item: Item) -> list[Fact]:
    """What a line or more says of one item; nothing of those that only we need to know."""
    if isinstance(item, Namespace):
        return [(item.name, "", "" if item.live else "a leftover file")]
    if isinstance(item, Loopback):
        return [(item.netns, "lo", "up" if item.up else "down")]
    if isinstance(item, Link):
        return [(item.netns, item.name, _link(item))]
    if isinstance(item, Address):
        return [(item.netns, item.device, str(item.interface))]
    if isinstance(item, Impaired) and item.impairment is not None:
        words = ", ".join(f"{name} {value}" for name, value in impairment_words(item.impairment).items())
        return [(item.netns, item.device, f"impaired: {words}")]
    if isinstance(item, Route):
        return [(item.netns, "", f"route {item.title}")]
    if isinstance(item, Sysctl):
        return [(item.netns, "", f"{item.name} = {item.value}")]
    if isinstance(item, Resolver):
        return [(item.netns, "", f"name servers {', '.join(item.nameservers)}")]
    if isinstance(item, NatTable):
        specs = item.specs.values()
        return [
            (item.netns, "", f"{'forward' if isinstance(each, ForwardSpec) else 'masquerade'} {each}") for each in specs
        ]
    return []


def _link(item: Link) -> str:
    parts = [item.kind, f"mtu {item.mtu}", item.mac, "up" if item.up else "down"]
    if item.peer is not None:
        other = f"{item.peer.name} in {item.peer.netns}" if item.peer.netns else f"{item.peer.name} on the host"
        parts.append(f"cable to {other}")
    if item.bridge:
        parts.append(f"port of {item.bridge}" + (" with hairpin" if item.hairpin else ""))
    if item.parent:
        parts.append(f"on {item.parent}")
    if not item.ours:
        parts.append("not the lab's")
    parts += [f"{name} {value}" for name, value in link_options.shown(item.options).items() if value is not None]
    return ", ".join(parts)
