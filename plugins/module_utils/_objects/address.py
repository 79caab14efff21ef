# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Addresses of an interface: read, compared as values, added with their broadcast address, purged when asked."""

from __future__ import annotations

import ipaddress
import socket
import typing as t
from dataclasses import dataclass, field
from shlex import quote

from .._engine.model import Item, Key, State, Step
from .._errors import Conflict
from .._kernel import procsys, rtnl, solicited
from .._kernel.kernel import Kernel
from . import words
from .checks import Interface
from .link import Link, index_of
from .route import TABLES, Route
from .words import place

_HALF = 1  # some VPNs write the default route as two halves of everything
_RT_SCOPE_LINK = 253  # linux/rtnetlink.h
_IFA_F_SECONDARY, _IFA_F_PERMANENT = 0x01, 0x80  # linux/if_addr.h


@dataclass(frozen=True)
class Address:
    """An address with its prefix on one interface."""

    netns: str | None
    device: str
    interface: Interface
    permanent: bool = field(default=True, compare=False)
    secondary: bool = field(default=False, compare=False)

    @property
    def key(self) -> Key:
        return ("address", self.netns, self.device, self.interface)

    @property
    def automatic(self) -> bool:
        """Whether the kernel makes such addresses by itself: IPv6 link-local ones and those with a lifetime."""
        return not self.permanent or (self.interface.version == 6 and self.interface.is_link_local)

    @property
    def broadcast(self) -> ipaddress.IPv4Address | None:
        """As ``brd +`` in ip-address(8) computes it; networks of one or two addresses have none (RFC 3021)."""
        network = self.interface.network
        return (
            network.broadcast_address if isinstance(network, ipaddress.IPv4Network) and network.prefixlen < 31 else None
        )


class PutAddress(Step):
    """Adds or removes one address."""

    phase = "addresses"

    def apply(self, kernel: Kernel) -> None:
        item: Address = (self.after or self.before)[0]
        sock, index = kernel.rtnl(item.netns), kernel.index(item.netns, item.device)
        if self.after:
            rtnl.add_address(sock, index, item.interface, item.broadcast, self._doing)
        else:
            rtnl.delete_address(sock, index, item.interface, self._doing)

    def _doing(self) -> str:
        item: Address = (self.after or self.before)[0]
        verb, where = ("add", "to") if self.after else ("remove", "from")
        return f"{verb} {item.interface} {where} {item.device}{place(item.netns)}"

    @classmethod
    def settle(cls, kernel: Kernel, steps: t.Sequence[Step]) -> None:
        """Wait until their neighbours can find the new IPv6 addresses."""
        added: dict[str | None, list[Address]] = {}
        for step in steps:
            for item in step.after:
                if item.interface.version == 6 and item.device != "lo":
                    added.setdefault(item.netns, []).append(item)
        for netns, items in added.items():
            links = rtnl.dump_links(kernel.rtnl(netns))
            up = {each.get_attr("IFLA_IFNAME") for each in links if each["flags"] & rtnl.IFF_UP}
            with kernel.inside(netns):
                for item in items:
                    if item.device in up and isinstance(item.interface, ipaddress.IPv6Interface):
                        solicited.wait(item.interface.ip)

    def commands(self) -> list[str]:
        item: Address = (self.after or self.before)[0]
        extra = ""
        if self.after:
            extra = " brd +" if item.broadcast else " nodad" if item.interface.version == 6 else ""
        return [
            f"{words.ip(item.netns)} addr {'add' if self.after else 'del'} {item.interface}{extra} dev {quote(item.device)}"
        ]


@dataclass(frozen=True)
class LinkLocal:
    """Whether an interface gives itself an IPv6 link-local address."""

    netns: str | None
    device: str
    on: bool

    @property
    def key(self) -> Key:
        return ("link-local", self.netns, self.device)


class SetLinkLocal(Step):
    """Lets an interface give itself a link-local address from now on, or takes it away."""

    phase = "addresses"

    def apply(self, kernel: Kernel) -> None:
        (wanted,) = self.after
        with kernel.inside(wanted.netns):
            procsys.write(self._setting(wanted), "0" if wanted.on else "1")  # IN6_ADDR_GEN_MODE_*, linux/if_link.h
        if not wanted.on:
            sock, index = kernel.rtnl(wanted.netns), kernel.index(wanted.netns, wanted.device)
            for message in rtnl.dump_addresses(sock, index):
                if comes_by_itself(message):
                    address = decode(wanted.netns, wanted.device, message).interface
                    rtnl.delete_address(sock, index, address, f"remove {address} from {wanted.device}")

    def commands(self) -> list[str]:
        (wanted,) = self.after
        line = f"{words.prefix(wanted.netns)}sysctl -w {quote(self._setting(wanted))}={0 if wanted.on else 1}"
        flush = f"{words.ip(wanted.netns)} -6 addr flush dev {quote(wanted.device)} scope link"
        return [line] if wanted.on else [line, flush]

    @staticmethod
    def _setting(wanted: LinkLocal) -> str:
        return f"net.ipv6.conf.{wanted.device.replace('.', '/')}.addr_gen_mode"


def observe(kernel: Kernel, netns: str | None, device: str) -> list[Item]:
    """All addresses of an interface that is there."""
    messages = rtnl.dump_addresses(kernel.rtnl(netns), index_of(kernel, netns, device))
    return [decode(netns, device, message) for message in messages]


def lacking(there: t.Iterable[Item], netns: str | None, device: str, wanted: t.Iterable[Interface]) -> set[int]:
    """The IP versions of the wanted addresses that are not there: only for these the routes matter, which may be many."""
    have = set(there)
    return {interface.version for interface in wanted if Address(netns, device, interface) not in have}


def decode(netns: str | None, device: str, message: t.Any) -> Address:
    """An address from the kernel's message."""
    packed = message.content("IFA_LOCAL") or message.content("IFA_ADDRESS")
    kind = ipaddress.IPv4Interface if message["family"] == 2 else ipaddress.IPv6Interface
    flags = message.get_attr("IFA_FLAGS")
    flags = message["flags"] if flags is None else flags
    return Address(
        netns,
        device,
        kind((int.from_bytes(packed, "big"), message["prefixlen"])),
        permanent=bool(flags & _IFA_F_PERMANENT),
        secondary=message["family"] == 2 and bool(flags & _IFA_F_SECONDARY),
    )


def comes_by_itself(message: t.Any) -> bool:
    """Whether the kernel's message is about a link-local IPv6 address that nobody has to keep in mind."""
    return message["scope"] == _RT_SCOPE_LINK and message["family"] == socket.AF_INET6


def dropped(state: State, now: Link, wanted: Link) -> tuple[Step, ...]:
    """The steps that put back what the kernel drops when the link goes down: its global IPv6 addresses."""
    if not now.up or wanted.up:
        return ()
    return tuple(step for step in restoring(state, now.netns, now.name) if step.after[0].interface.version == 6)


def plan(
    state: State,
    link: Link,
    changes: t.Sequence[Step],
    wanted: t.Sequence[Interface],
    *,
    purge: bool,
    overlap: bool,
) -> list[Step]:
    """The steps to the wanted addresses after ``changes`` of their link; ``purge`` removes others.

    Addresses that the changes cost are put back. Raises Conflict for a subnet that is in use.
    """
    netns, device = link.netns, link.name
    kept: list[Step] = []
    for change in changes:
        state = change.project(state)
        kept += [step for step in change.lost if not purge and step.after[0].interface not in wanted]
    here: list[Address] = [item for item in state.of(Address) if (item.netns, item.device) == (netns, device)]
    goal = [Address(netns, device, interface) for interface in wanted]
    gone = [item for item in here if purge and item not in goal and not item.automatic]
    steps: list[Step] = [PutAddress((item,), ()) for item in gone]
    # Removing the first address of an IPv4 network takes the others of that network along (promote_secondaries=0).
    networks = {item.interface.network for item in gone if not item.secondary}
    dragged = [item for item in here if item.secondary and item not in gone and item.interface.network in networks]
    steps += [PutAddress((item,), ()) for item in dragged]
    for item in goal:
        if item not in here:
            if not overlap:
                _refuse_overlap(state, item)
            steps.append(PutAddress((), (item,)))
    return [*steps, *kept, *(PutAddress((), (item,)) for item in dragged)]


def _refuse_overlap(state: State, item: Address) -> None:
    for route in state.of(Route):
        if route.netns != item.netns or route.device == item.device or route.table != TABLES["main"]:
            continue
        if route.destination.prefixlen <= _HALF or route.destination.is_link_local:
            continue
        if route.destination.version == item.interface.version and route.destination.overlaps(item.interface.network):
            raise Conflict(
                f"{item.interface} on {item.device} overlaps the route {route.title} that is already there{place(item.netns)}; "
                "traffic of one of the two would be lost. Choose another subnet, or set allow_overlap: true.",
                route=route.title,
            )


def shown(state: State, netns: str | None, device: str, wanted: t.Sequence[Interface] = ()) -> list[str]:
    """The interface's addresses in a stable order; automatic ones only when they were asked for."""
    here = [item for item in state.of(Address) if (item.netns, item.device) == (netns, device)]
    kept = [item.interface for item in here if not item.automatic or item.interface in wanted]
    return [str(interface) for interface in sorted(kept, key=lambda i: (i.version, i.ip, i.network.prefixlen))]


def restoring(state: State, netns: str | None, device: str) -> tuple[Step, ...]:
    """The steps that put the interface's addresses back after it was removed."""
    here = [item for item in state.of(Address) if (item.netns, item.device) == (netns, device) and not item.automatic]
    return tuple(PutAddress((), (item,)) for item in here)
