# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small kernel made of values: it carries out the steps of a lab's plan, and is as strict and as tidy as Linux is.

What has no place is refused, what belongs to something goes with it, and a namespace that lost its name can come back.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import Item, Key, State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.spec import LinkSpec
from ansible_collections.patchbay.netns.plugins.module_utils._objects.address import (
    Address,
    LinkLocal,
    PutAddress,
    SetLinkLocal,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.impairment import Impaired
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import Link
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_steps import ChangeLink, CutCable, VethPair
from ansible_collections.patchbay.netns.plugins.module_utils._objects.machine import Machine
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat import NatTable
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import NameNamespace, Namespace, Occupants
from ansible_collections.patchbay.netns.plugins.module_utils._objects.route import PutRoute, Route
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Hold, Sysctl, of_device
from ansible_collections.patchbay.netns.plugins.module_utils._topology.facts import Fresh, Others, Translation
from ansible_collections.patchbay.netns.plugins.module_utils._topology.lab import Lab
from ansible_collections.patchbay.netns.plugins.module_utils._topology.record import KeepRecord, Record
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_drawings import laid

FRESH = {
    "net.ipv6.conf.default.accept_ra": "1",
    "net.ipv6.conf.default.accept_dad": "1",
    "net.ipv4.ip_forward": "0",
    "net.ipv6.conf.all.forwarding": "0",
    "net.ipv4.conf.all.rp_filter": "0",
}
"""Settings of a new namespace; the host starts with the same."""

MIXED = """
name: red-blue
bridges:
  v-net-0: {addresses: [192.168.15.5/24, "fd15::5/64"], stp: false}
routes: [{destination: 10.7.0.0/16, gateway: 192.168.15.1}]
namespaces:
  red:
    interfaces:
      veth-red: {bridge: v-net-0, addresses: [192.168.15.1/24, "fd15::1/64"], hairpin: true, impair: {delay: 10ms}}
      eth1: {cable: blue/eth1, addresses: 10.0.0.1/30}
      v10: {vlan: {parent: eth1, id: 10}, addresses: 10.10.0.1/24}
      d0: {dummy: true}
    gateway: [192.168.15.5, "fd15::5"]
    routes: [{destination: 10.8.0.0/16, gateway: 10.10.0.9}]
    sysctls: {net.ipv4.ip_forward: 1}
    nameservers: [192.0.2.53]
  blue:
    interfaces:
      eth1: {addresses: 10.0.0.2/30}
"""
"""A lab with something of everything."""

Any = t.Any


class World:
    """All facts of one machine. ``state`` shows them, ``seen`` shows what looking at a lab finds of them."""

    def __init__(self, *items: Item) -> None:
        self._facts: dict[Key, Item] = {}
        self._shelf: dict[str, list[Item]] = {}
        self._cut: list[Link] = []
        settings = [Sysctl(None, name, value) for name, value in FRESH.items()]
        self._put([*settings, *items])

    @property
    def state(self) -> State:
        return State(self._facts.values())

    def get(self, *key: Any) -> Any:
        return self._facts.get(key)

    def put(self, *items: Item) -> World:
        """Somebody else makes or changes these."""
        self._put(items)
        return self

    def drop(self, *keys: Key) -> World:
        """Somebody else removes these, with all that goes along."""
        for key in keys:
            self._drop(self._facts[key])
        return self

    # ---- what a run does

    def carry_out(self, steps: t.Iterable[Step]) -> None:
        """Apply the steps in order."""
        for step in steps:
            self._apply(step)

    def take_back(self, steps: t.Sequence[Step]) -> None:
        """Undo the steps, last first; nothing was finished yet."""
        self._cut = []
        for step in reversed(steps):
            self.carry_out(step.undo())

    def finish(self) -> None:
        """What went is gone for good."""
        for link in self._cut:
            self._drop(link)
        for name in self._shelf:
            for link in self._all(Link):
                if link.peer is not None and link.peer.netns == name:
                    self._drop(link)
        self._cut, self._shelf = [], {}

    def build(self, lab: Lab) -> list[Step]:
        """A whole run; returns its steps."""
        steps = self.plan(lab)
        self.carry_out(steps)
        self.finish()
        return steps

    def plan(self, lab: Lab) -> list[Step]:
        """The plan of a lab, with the record that is there."""
        lab = replace(lab, record=self.get("lab"))
        return lab.plan(self.seen(lab))

    # ---- what looking finds

    def _without_six(self, spec: LinkSpec) -> list[Item]:
        """Of an interface that was made without IPv6 and is to have it: what has to be changed for that."""
        now: Link | None = self.get("link", spec.netns, spec.name)
        has = any(
            a.interface.version == 6 for a in self._all(Address) if (a.netns, a.device) == (spec.netns, spec.name)
        )
        if now is None or now.link_local or has or all(each.version == 4 for each in spec.addresses):
            return []
        name = of_device(6, spec.name, "accept_dad")
        return [
            self.get("sysctl", spec.netns, name) or Sysctl(spec.netns, name, "1"),
            LinkLocal(spec.netns, spec.name, False),
        ]

    def seen(self, lab: Lab) -> State:
        """As ``scene.observe``: the host, the namespaces of the file, and of those that go only their names."""
        nodes = {node.netns: node for node in lab.spec.nodes}
        record: Record | None = self.get("lab")
        known = (
            set(record.namespaces)
            if record
            else {each.name for each in self._all(Namespace) if each.lab == lab.spec.name}
        )
        known |= {node.netns for node in lab.claimed.namespaces if node.netns} if lab.claimed else set()
        live = {each.name for each in self._all(Namespace) if each.live}
        going = {name for name in known if name not in nodes}
        looked: set[Any] = {None, *(live & nodes.keys())}
        wanted = {(each.netns, each.name) for node in nodes.values() for each in node.links}
        links = [each for each in self._all(Link) if each.netns in looked]
        if any((each.netns, each.name) in wanted and each.peer and each.peer.netns not in looked for each in links):
            looked |= going
        items: list[Item] = [Machine("seed"), Others({})]
        for item in self._facts.values():
            place = item.name if isinstance(item, Namespace) else getattr(item, "netns", None)
            if isinstance(item, (Namespace, Occupants)) or item.key[0] in ("loopback", "resolver"):
                items += [item] if place in nodes or place in going else []
            elif isinstance(item, Link) and item.netns in looked:
                hidden = item.peer is not None and item.peer.netns not in looked
                items.append(replace(item, peer=None) if hidden else item)
            elif isinstance(item, Sysctl):
                named = place in looked and item.name in self._names(nodes.get(place), record)
                items += [item] if named else []
            elif place in looked and not isinstance(item, NatTable):
                items.append(item)
        for spec in (each for node in nodes.values() for each in node.links if each.netns in looked):
            items += self._without_six(spec)
        if nodes.keys() - {None} - live:
            items.append(Fresh(FRESH))
        for place in lab.translations:
            if place in looked:
                parts = [each for each in self._facts.values() if isinstance(each, (NatTable, Sysctl, Hold))]
                items.append(Translation(place, State(each for each in parts if each.netns == place)))  # type: ignore[union-attr]
        return State(items)

    @staticmethod
    def _names(node: Any, record: Record | None) -> set[str]:
        before = [name for place, name in record.settings if node and place == (node.netns or "")] if record else []
        return {name for name, _value in node.sysctls} | set(before) if node else set()

    # ---- the rules of this kernel

    def _all(self, kind: type[Any]) -> list[Any]:
        return [each for each in self._facts.values() if isinstance(each, kind)]

    def _put(self, items: t.Iterable[Item]) -> None:
        self._facts.update((item.key, item) for item in items)

    def _apply(self, step: Step) -> None:
        if isinstance(step, NameNamespace):
            self._name(step)
        elif isinstance(step, CutCable):
            self._cut += step.before
        elif isinstance(step, SetLinkLocal):
            (wanted,) = step.after
            self.put(replace(self.get("link", wanted.netns, wanted.device), link_local=wanted.on))
        else:
            step = self._with_peers(step) if isinstance(step, ChangeLink) else step
            for item in step.before:
                there = self._facts.get(item.key)
                again = isinstance(step, ChangeLink) and there in step.after  # made in the right way at once
                assert there == item or again or isinstance(item, (Sysctl, NatTable)), f"{there} is not {item}"
            kept = {item.key for item in step.after}
            for item in step.before:
                self._drop(item) if item.key not in kept else None
            before = {item.key for item in step.before}
            for item in self._as_made(step):
                assert item.key in before or isinstance(item, Sysctl) or item.key not in self._facts, f"{item} is there"
                self._check(item)
                old = self._facts.get(item.key)
                self._put([item])
                self._after_change(old, item)
            if isinstance(step, PutAddress) and not step.after:
                self._without_address(step.before[0])

    def _with_peers(self, step: ChangeLink) -> ChangeLink:
        """A change is planned for a link as it was seen: without its peer, where nobody looked."""
        there = self._facts.get(step.before[0].key)
        peer = there.peer if isinstance(there, Link) else None
        before, after = (tuple(replace(each, peer=peer) for each in side) for side in (step.before, step.after))
        return replace(step, before=before, after=after)

    @staticmethod
    def _as_made(step: Step) -> list[t.Any]:
        """Of the second end of a cable, the message that makes both says neither its bridge nor that it is up."""
        if not isinstance(step, VethPair) or len(step.after) < 2:
            return list(step.after)
        return [step.after[0], replace(step.after[1], up=False, bridge=None, hairpin=None)]

    def _name(self, step: NameNamespace) -> None:
        name = (step.after or step.before)[0].name
        if step.after and step.after[0].live:
            there = self._shelf.pop(name, None)
            assert there is not None or not self._is_live(name), f"{name} is there"
            settings = [Sysctl(name, each, value) for each, value in FRESH.items()]
            self._put(there if there is not None else [*settings, *step.after])
        else:
            inside = [each for each in self._facts.values() if self._place(each) == name]
            self._shelf[name] = inside
            for each in inside:
                del self._facts[each.key]
            self._put(step.after)

    @staticmethod
    def _place(item: Item) -> Any:
        outside = item.key[0] in ("resolver",)
        return None if outside else item.name if isinstance(item, Namespace) else getattr(item, "netns", None)

    def _is_live(self, name: str | None) -> bool:
        found = self.get("netns", name)
        return name is None or (found is not None and found.live)

    def _check(self, item: Item) -> None:
        place = self._place(item)
        assert self._is_live(place), f"{item} has no namespace"
        if isinstance(item, Link):
            for other in (item.bridge, item.parent):
                assert other is None or self.get("link", place, other), f"{item.title} needs {other}"
        if isinstance(item, (Address, Impaired)):
            assert self.get("link", place, item.device), f"{item} has no device"
        if isinstance(item, Route):
            for hop in item.hops:
                device = self.get("link", place, hop.device) if hop.device else None
                assert hop.device is None or (device and device.up), f"{item.title} leads through no device that is up"
                near = [each for each in self._all(Address) if (each.netns, each.device) == (place, hop.device)]
                direct = hop.gateway is None or hop.onlink or hop.gateway.is_link_local or hop.device is None
                assert direct or any(hop.gateway in each.interface.network for each in near), (
                    f"{item.title} is unreachable"
                )

    def _after_change(self, old: Any, new: Item) -> None:
        if isinstance(new, Link) and old is not None and old.up and not new.up:
            for each in self._all(Address):
                if (each.netns, each.device, each.interface.version) == (new.netns, new.name, 6):
                    del self._facts[each.key]
            self._unroute(new.netns, new.name, (4, 6))

    def _without_address(self, gone: Address) -> None:
        """A device without any IPv4 address has no IPv4 route, and no route has a source that nobody has."""
        here = [each for each in self._all(Address) if each.netns == gone.netns]
        if gone.interface.version == 4 and not any(
            each.device == gone.device and each.interface.version == 4 for each in here
        ):
            self._unroute(gone.netns, gone.device, (4,))
        if gone.interface.version == 4 and all(each.interface.ip != gone.interface.ip for each in here):
            for each in self._all(Route):
                if each.netns == gone.netns and each.source == gone.interface.ip:
                    del self._facts[each.key]

    def _unroute(self, place: str | None, device: str, versions: t.Container[int]) -> None:
        for each in self._all(Route):
            through = any(hop.device == device for hop in each.hops)
            if each.netns == place and each.destination.version in versions and through:
                del self._facts[each.key]

    def _drop(self, item: Any) -> None:
        if self._facts.pop(item.key, None) is None or not isinstance(item, Link):
            return
        place, name = item.netns, item.name
        for each in self._all(Link):
            if each.netns == place and each.parent == name:
                self._drop(each)
            elif each.netns == place and each.bridge == name:
                self._put([replace(each, bridge=None, hairpin=None)])
            elif each.peer is not None and (each.peer.netns, each.peer.name) == (place, name):
                self._drop(each)
        self._unroute(place, name, (4, 6))
        for key, each in list(self._facts.items()):
            setting = isinstance(each, Sysctl) and each.netns == place and f".{name}." in each.name
            if setting or key[:3] in {("address", place, name), ("impaired", place, name)}:
                del self._facts[key]


def lab(text: str, **options: t.Any) -> Lab:
    """The wish for the lab of a file."""
    return Lab(laid(text), **options)


def absent(name: str, text: str | None = None, **options: t.Any) -> Lab:
    """The wish that a lab is gone; ``text`` is its file, where there is one."""
    return Lab(laid(f"name: {name}"), claimed=laid(text) if text else None, **options)


def work(steps: t.Iterable[Step]) -> list[Step]:
    """The steps that change something in the kernel."""
    return [step for step in steps if not isinstance(step, KeepRecord)]


def commands(steps: t.Iterable[Step]) -> list[str]:
    """What the steps do, as commands."""
    return [line for step in work(steps) for line in step.commands()]


def routes_in(steps: t.Iterable[Step]) -> list[PutRoute]:
    """Those of the steps that are about routes."""
    return [step for step in steps if isinstance(step, PutRoute)]
