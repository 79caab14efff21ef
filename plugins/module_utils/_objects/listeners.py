# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Processes that a forward would cut off: they serve a port that from then on leads somewhere else."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._engine.model import Item, Key
from .._errors import Conflict
from .._kernel import sockets
from .._kernel.kernel import Kernel
from .._kernel.sockets import Listener, Process
from .checks import Address
from .nat_specs import ForwardSpec, Spec
from .words import place

_MOST = 5
_ACTIVATED = "systemd (pid 1)"


@dataclass(frozen=True)
class Listening:
    """One address and port that somebody serves and that a forward would take; ``family`` is the forward's."""

    netns: str | None
    family: int
    protocol: str
    port: int
    address: Address
    """All zeros: every address."""
    interface: str | None
    """The one interface that is heard, or None for all."""
    processes: tuple[str, ...]
    """Such as ``nginx (pid 812, 813)``, by name; empty where nobody can be seen who holds the socket."""

    @property
    def key(self) -> Key:
        return ("listening", self.netns, self.family, self.protocol, self.port, self.address, self.interface)

    def hears(self, family: int) -> bool:
        """Whether packets of this IP version would have got there."""
        return family == self.family


def observe(kernel: Kernel, netns: str | None, services: t.Iterable[ForwardSpec]) -> list[Item]:
    """All who would no longer be reached, at least by some, when these forwards are there. Raises KernelError."""
    specs = list(services)
    heard: dict[tuple[t.Any, ...], list[Listener]] = {}
    for protocol in dict.fromkeys(spec.service.protocol for spec in specs):
        mine = [spec for spec in specs if spec.service.protocol == protocol]
        for found in sockets.listeners(kernel, netns, protocol):
            for family in {spec.service.family: None for spec in mine if shadows(spec, found)}:
                heard.setdefault((family, protocol, found.port, found.address, found.interface), []).append(found)
    held = sockets.processes({found.inode for group in heard.values() for found in group})
    items: list[Item] = []
    for (family, protocol, port, address, interface), group in heard.items():
        names = _named(process for found in group for process in held.get(found.inode, ()))
        items.append(Listening(netns, family, protocol, port, address, interface, names))
    return items


def shadows(spec: ForwardSpec, found: Listener | Listening) -> bool:
    """Whether the forward takes packets that the listener would have got."""
    service, target = spec.service, spec.target
    if found.protocol != service.protocol or not found.hears(service.family):
        return False
    if not service.ports.low <= found.port <= service.ports.high or found.address.is_multicast:
        return False
    if found.address.is_loopback:
        return target.loopback and service.family == 4
    if found.interface == "lo":  # where the machine's connections to itself pass, whatever the address
        reached = target.local or target.loopback
    else:
        reached = found.interface is None or service.in_interface in (None, found.interface)
    return reached and (found.address.is_unspecified or service.address in (None, found.address))


def _cut_off(taken: t.Iterable[Listening], spec: Spec | None) -> list[Listening]:
    return [found for found in taken if isinstance(spec, ForwardSpec) and shadows(spec, found)]


def refuse(taken: t.Collection[Listening], now: Spec | None, wanted: Spec) -> None:
    """Raises Conflict when the wanted forward cuts off one of ``taken`` whom the present one, if any, leaves alone."""
    already = _cut_off(taken, now)
    for found in _cut_off(taken, wanted):
        if found not in already:
            raise Conflict(
                f"{describe(found)}, and would not be reached any more. Stop it, choose another port or address, "
                "or set force: true to forward the port all the same.",
                listener=describe(found),
            )


def warnings(taken: t.Iterable[Listening], wanted: Spec) -> list[str]:
    """What to say of those who are cut off by a forward that is there."""
    return [
        f"{describe(found)}, and is not reached while {wanted.key[1]} is forwarded."
        for found in _cut_off(taken, wanted)
    ]


def _named(processes: t.Iterable[Process]) -> tuple[str, ...]:
    """Each name once, with its processes."""
    pids: dict[str, list[int]] = {}
    for pid, name in sorted(set(processes)):
        pids.setdefault(name, []).append(pid)
    return tuple(f"{name} (pid {_few(numbers)})" for name, numbers in pids.items())


def _few(numbers: list[int]) -> str:
    more = len(numbers) - _MOST
    return ", ".join(map(str, numbers[:_MOST])) + (f" and {more} more" if more > 0 else "")


def describe(listening: Listening) -> str:
    """For messages: who listens on what, and where."""
    who = " and ".join(listening.processes)
    if not who:
        who = "somebody who can't be seen from here (a process in another container, or the kernel itself)"
    address = f"[{listening.address}]" if listening.address.version == 6 else str(listening.address)
    notes = ["IPv4 too"] if listening.address.version > listening.family else []
    notes += [f"only on {listening.interface}"] if listening.interface else []
    notes += ["a socket unit: see systemctl list-sockets"] if _ACTIVATED in listening.processes else []
    note = f" ({'; '.join(notes)})" if notes else ""
    listens = "listen" if len(listening.processes) > 1 else "listens"
    return f"{who} {listens} on {listening.protocol} {address}:{listening.port}{note}{place(listening.netns)}"
