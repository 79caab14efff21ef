# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The kernel settings that address translation needs, switched on for an object and given back when it leaves."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._engine.model import Item, Key, State, Step
from .._kernel import holds, procsys
from .._kernel.kernel import Kernel
from . import route, sysctl
from .words import place

_RTPROT_RA = 9  # linux/rtnetlink.h
FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


@dataclass(frozen=True)
class Advertised:
    """A device through which the namespace learnt an IPv6 route from router advertisements."""

    netns: str | None
    device: str

    @property
    def key(self) -> Key:
        return ("advertised", self.netns, self.device)


class Demand(t.NamedTuple):
    """The value that a setting is to have, and who needs it."""

    value: str
    holders: frozenset[str]


def observe(kernel: Kernel, netns: str | None, versions: t.Iterable[int], more: t.Iterable[str] = ()) -> list[Item]:
    """The settings that matter for the IP versions, the named ones, and all that are held; what would overrule them, too."""
    items: list[Item] = []
    names = list(holds.read(kernel.identity(netns)))
    for version in versions:
        names.append(FORWARDING[version])
        names += _switched_on_alone(kernel, netns, version)
        if version == 6:
            found = [item for item in route.observe(kernel, netns, 6) if isinstance(item, route.Route)]
            devices = sorted(
                {hop.device for item in found if item.protocol == _RTPROT_RA for hop in item.hops if hop.device}
            )
            items += [Advertised(netns, device) for device in devices]
            names += [_accept_ra(device) for device in devices]
    for name in dict.fromkeys([*names, *more]):
        items += sysctl.observe(kernel, netns, name)
    return [*items, *sysctl.observe_rivals(kernel, netns, [FORWARDING[version] for version in versions])]


def _switched_on_alone(kernel: Kernel, netns: str | None, version: int) -> list[str]:
    """The devices' own forwarding settings that are on while the namespace does not forward, or that are on record."""
    with kernel.inside(netns):
        alone = procsys.read(FORWARDING[version]) == "0"
        found = procsys.switched_on(f"net.ipv{version}.conf", "forwarding") if alone else []
    return [*found, *(name for name in holds.read(kernel.identity(netns)) if _of_one_device(name, version))]


def _of_one_device(name: str, version: int) -> bool:
    return name.startswith(f"net.ipv{version}.conf.") and name.endswith(".forwarding") and name != FORWARDING[version]


def _accept_ra(device: str) -> str:
    return sysctl.of_device(6, device, "accept_ra")


def needed(state: State, netns: str | None, version: int, holders: t.Collection[str]) -> dict[str, str]:
    """Setting and value, in the order to set them, for a namespace that forwards.

    Linux stops listening to router advertisements when it forwards, and drops the default routes it
    learnt, unless accept_ra is 2 beforehand (Documentation/networking/ip-sysctl.rst).
    """
    wanted: dict[str, str] = {}
    if version == 6:
        for found in state.of(Advertised):
            name = _accept_ra(found.device)
            now, held = state.get(("sysctl", netns, name)), state.get(("hold", netns, name))
            if now is not None and (now.value == "1" or held is not None):
                wanted[name] = "2"
        for held in state.of(sysctl.Hold):  # the route may be gone for a while, the need is not
            there = state.get(("sysctl", netns, held.name)) is not None
            if there and held.name.endswith(".accept_ra") and not held.holders.isdisjoint(holders):
                wanted[held.name] = "2"
    off = not is_on(state, netns, version)
    for item in state.of(sysctl.Sysctl):
        # Switching forwarding off for all switches it off for each device, also where it was on before.
        if _of_one_device(item.name, version) and (off or state.get(("hold", netns, item.name))):
            wanted[item.name] = "1"
    wanted[FORWARDING[version]] = "1"
    return wanted


def hold(state: State, netns: str | None, wanted: t.Mapping[str, Demand], holders: t.Collection[str]) -> list[Step]:
    """The steps by which everybody gets the values they demand, in order; those of ``holders`` who don't, let go."""
    return [
        step
        for name, demand in wanted.items()
        for step in sysctl.hold(
            state,
            netns,
            name,
            demand.value,
            demand.holders,
            leaving=frozenset(holders) - demand.holders,
            disturbed=_disturbed(name),
        )
    ]


def release(state: State, netns: str | None, wanted: t.Mapping[str, Demand], holders: t.Collection[str]) -> list[Step]:
    """The steps by which ``holders`` let go of what nobody demands; forwarding ends before what protects it."""
    leaving = {item.name: frozenset(holders) for item in state.of(sysctl.Hold) if item.name not in wanted}
    names = sorted(leaving, key=lambda name: (name.endswith(".accept_ra"), _disturbed(name), name))
    return [
        step for name in names for step in sysctl.release(state, netns, name, leaving[name], disturbed=_disturbed(name))
    ]


def _disturbed(name: str) -> bool:
    """Whether the setting is overwritten when forwarding is given back."""
    return any(_of_one_device(name, version) for version in FORWARDING)


def is_on(state: State, netns: str | None, version: int) -> bool:
    """Whether the namespace forwards."""
    now: sysctl.Sysctl | None = state.get(("sysctl", netns, FORWARDING[version]))
    return now is not None and now.value != "0"


def warnings(before: State, after: State, netns: str | None, version: int) -> list[str]:
    """What switching on means for the rest of the machine, and what would switch it off again."""
    out = sysctl.overruled(after, netns, {FORWARDING[version]: "1"})
    if is_on(before, netns, version):
        return out
    where = place(netns) or " here"
    return [
        *out,
        f"{FORWARDING[version]} is switched on{where}: from now on packets are routed between all interfaces{place(netns)}, "
        "not only for this rule. It is given back when the last object that needs it is absent; set forwarding: false to leave it alone.",
    ]
