# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Links: what the kernel says of a veth end or a bridge, and the steps that make, change and remove them."""

from __future__ import annotations

import errno
import hashlib
import time
import typing as t
from dataclasses import dataclass, replace
from shlex import quote

from .._engine.model import Key, Step
from .._errors import KernelError, NotFound
from .._kernel import namespaces, rtnl
from .._kernel.kernel import Kernel
from . import link_options, words
from .link_options import BridgeOptions, MacvlanOptions, Options, VlanOptions, VxlanOptions
from .words import place

__all__ = [
    "BridgeOptions",
    "MacvlanOptions",
    "Options",
    "VlanOptions",
    "VxlanOptions",
]  # for those who say link.Options

GROUP = 0x7062
"""The link group of everything that we make: set by the message that creates it, so no link of ours is ever unmarked.

What belongs to a lab has the lab's own group, ``lab_group``, instead.
"""

_NAME_FREED = 2.0  # seconds: a name is taken until the kernel has freed the namespace that held it
_NOTICED = 2.0  # seconds: far more than the kernel needs to notice a carrier, far less than anybody waits


def lab_group(name: str) -> int:
    """The link group of a lab: our mark in the upper half, a hash of its name, never 0, in the lower one."""
    lower = int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big")
    return GROUP << 16 | (lower or 1)


def is_ours(group: int | None) -> bool:
    """Whether a link group is one that we give."""
    return group == GROUP or (group is not None and group >> 16 == GROUP and group & 0xFFFF != 0)


@dataclass(frozen=True)
class Peer:
    """The other end of a veth cable. ``netns`` is '?' where no name leads to its namespace."""

    netns: str | None
    name: str


@dataclass(frozen=True)
class Link:
    """One interface as the kernel has it. ``bridge`` is the master's name, ``hairpin`` None when there is none.

    ``parent`` is what a vlan, macvlan or vxlan stands on: a name in the same namespace, '?' for one in another.
    """

    netns: str | None
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool = False
    bridge: str | None = None
    hairpin: bool | None = None
    group: int = GROUP
    peer: Peer | None = None
    options: Options | None = None
    parent: str | None = None

    @property
    def ours(self) -> bool:
        """Whether we made it: alone, or as a part of a lab."""
        return is_ours(self.group)

    @property
    def key(self) -> Key:
        return ("link", self.netns, self.name)

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}{place(self.netns)}"


# ---- reading


def observe(kernel: Kernel, netns: str | None, name: str, peers: t.Sequence[str | None] = ()) -> Link | None:
    """One link, or None. ``peers`` are the namespaces in which a veth's other end is looked for first."""
    sock = kernel.rtnl(netns)
    message = rtnl.get_link(sock, name=name)
    return None if message is None else decode(kernel, netns, message, peers)


def decode(kernel: Kernel, netns: str | None, message: t.Any, peers: t.Sequence[str | None] = ()) -> Link:
    """A link from the kernel's message."""
    info = message.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") if info else None) or "physical"
    master = message.get_attr("IFLA_MASTER")
    upper = rtnl.get_link(kernel.rtnl(netns), index=master) if master else None
    return Link(
        netns=netns,
        name=message.get_attr("IFLA_IFNAME"),
        kind=kind,
        mac=message.get_attr("IFLA_ADDRESS") or "",
        mtu=message.get_attr("IFLA_MTU"),
        up=bool(message["flags"] & rtnl.IFF_UP),
        bridge=upper.get_attr("IFLA_IFNAME") if upper else None,
        hairpin=_hairpin(message),
        group=message.get_attr("IFLA_GROUP") or 0,
        peer=_peer(kernel, netns, message, peers) if kind == "veth" else None,
        options=link_options.decode(kind, info.get_attr("IFLA_INFO_DATA")) if info else None,
    )


def port_data(message: t.Any) -> t.Any:
    """What the kernel says of a link as a port of a bridge, or None when it is none."""
    info = message.get_attr("IFLA_LINKINFO")
    port = info and info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge"
    return info.get_attr("IFLA_INFO_SLAVE_DATA") if port else None


def _hairpin(message: t.Any) -> bool | None:
    data = port_data(message)
    return None if data is None else bool(data.get_attr("IFLA_BRPORT_MODE"))


def _peer(kernel: Kernel, netns: str | None, message: t.Any, candidates: t.Sequence[str | None]) -> Peer:
    """Find the other end: by its namespace's id and its index there, for names and indexes alone can deceive."""
    index, wanted = message.get_attr("IFLA_LINK"), message.get_attr("IFLA_LINK_NETNSID")
    near = dict.fromkeys([*candidates, netns, None])
    for candidate in [*near, *(name for name in namespaces.names() if name not in near)]:
        try:
            if _sees(kernel, netns, candidate) == wanted:
                other = rtnl.get_link(kernel.rtnl(candidate), index=index)
                if other is not None:
                    return Peer(candidate, other.get_attr("IFLA_IFNAME"))
        except (NotFound, KernelError):
            pass  # a leftover file, or a namespace that ended meanwhile
        if candidate not in near:
            kernel.forget(candidate)  # a machine may have more namespaces than a process may have files
    return Peer("?", f"index {index}")


def _sees(kernel: Kernel, netns: str | None, other: str | None) -> int | None:
    """The id under which ``netns`` knows ``other``; None for itself, -1 when it does not know it."""
    if kernel.same(netns, other):
        return None
    known = rtnl.namespace_id(kernel.rtnl(netns), kernel.file(other))
    return -1 if known is None else known


def the_link(kernel: Kernel, netns: str | None, name: str) -> t.Any:
    """The kernel's message about an interface that must be there. Raises NotFound, naming those that are."""
    message = rtnl.get_link(kernel.rtnl(netns), name=name)
    if message is None:
        there = [other.get_attr("IFLA_IFNAME") for other in rtnl.dump_links(kernel.rtnl(netns))]
        raise missing(netns, name, there)
    return message


def index_of(kernel: Kernel, netns: str | None, name: str) -> int:
    """The index of an interface. Raises NotFound, naming those that are there."""
    return int(the_link(kernel, netns, name)["index"])


def missing(netns: str | None, name: str, there: t.Iterable[str]) -> NotFound:
    """The error for an interface that is not among those that are ``there``."""
    return NotFound(
        f"interface {name} does not exist{place(netns)}. Present: {', '.join(sorted(there)[:12])}. "
        "Name one of these, or create it first.",
        device=name,
    )


# ---- choosing


def choose_mac(seed: str, netns: str | None, name: str) -> str:
    """A locally administered address that is the same each time: neighbours need not learn anew.

    ``seed`` tells machines, and namespaces that act as machines, apart.
    """
    digest = hashlib.sha256("\0".join([seed, netns or "", name]).encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


# ---- changing


class VethPair(Step):
    """Creates or removes a cable: both ends at once, each directly in its namespace."""

    def apply(self, kernel: Kernel) -> None:
        if not self.after:
            rtnl.delete_link(kernel.rtnl(self.before[0].netns), self.before[0].name)
            return
        one, other = self.after
        peer = [*_identity(other), ["IFLA_NET_NS_FD", kernel.file(other.netns)]]
        data = {"attrs": [["VETH_INFO_PEER", {"attrs": peer}]]}
        info = ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "veth"], ["IFLA_INFO_DATA", data]]}]
        _create(
            kernel,
            one.netns,
            [*_identity(one), info],
            f"create {one.title} with its peer {other.name}{place(other.netns)}",
        )

    def commands(self) -> list[str]:
        if not self.after:
            return [f"{words.ip(self.before[0].netns)} link del dev {quote(self.before[0].name)}"]
        one, other = self.after
        home = f" netns {quote(other.netns)}" if other.netns else ""
        return [
            f"{words.ip(one.netns)} link add {_words(one)} type veth peer {_words(other)}{home}"
            if one.netns is None or other.netns is not None
            else f"ip link add {_words(other)} type veth peer {_words(one)} netns {quote(one.netns)}"
        ]

    def undo(self) -> list[Step]:
        """None for a cable whose other end was in a namespace without a name: it can't be made again."""
        return super().undo() if self.after or len(self.before) == 2 else []


class BridgeDevice(Step):
    """Creates or removes a bridge."""

    def apply(self, kernel: Kernel) -> None:
        if not self.after:
            rtnl.delete_link(kernel.rtnl(self.before[0].netns), self.before[0].name)
            return
        (link,) = self.after
        info = ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "bridge"]]}]
        _create(kernel, link.netns, [*_identity(link), info], f"create {link.title}")

    def commands(self) -> list[str]:
        link = (self.after or self.before)[0]
        if not self.after:
            return [f"{words.ip(link.netns)} link del dev {quote(link.name)}"]
        return [f"{words.ip(link.netns)} link add {_words(link)} type bridge"]


def _identity(link: Link) -> rtnl.Attributes:
    return [["IFLA_IFNAME", link.name], ["IFLA_GROUP", GROUP], ["IFLA_ADDRESS", link.mac], ["IFLA_MTU", link.mtu]]


def _words(link: Link) -> str:
    mtu = f" mtu {link.mtu}" if link.mtu != 1500 else ""
    return f"name {quote(link.name)} group {GROUP} address {link.mac}{mtu}"


def _create(kernel: Kernel, netns: str | None, attributes: rtnl.Attributes, doing: str) -> None:
    """Create a link; a name that a dying namespace still holds is waited for."""
    deadline = time.monotonic() + _NAME_FREED
    while True:
        try:
            return rtnl.create_link(kernel.rtnl(netns), attributes, doing)
        except KernelError as error:
            if error.errno != errno.EEXIST or time.monotonic() > deadline:
                raise
        time.sleep(0.002)


class ChangeLink(Step):
    """Changes a link in place: address, MTU, bridge membership, port and bridge properties, up or down."""

    def apply(self, kernel: Kernel) -> None:
        before, after = self.before[0], self.after[0]
        sock, doing = kernel.rtnl(after.netns), f"change {after.title}"
        attributes: rtnl.Attributes = []
        if after.mac != before.mac:
            attributes.append(["IFLA_ADDRESS", after.mac])
        if after.mtu != before.mtu:
            attributes.append(["IFLA_MTU", after.mtu])
        if after.bridge != before.bridge:
            attributes.append(["IFLA_MASTER", index_of(kernel, after.netns, after.bridge) if after.bridge else 0])
        up = after.up if after.up != before.up else None
        if attributes or up is not None:
            rtnl.change_link(sock, after.name, attributes, doing, up=up)
        if up:
            _settle(kernel, after)
        if bool(after.hairpin) != bool(before.hairpin) and after.bridge:
            data = {"attrs": [["IFLA_BRPORT_MODE", int(bool(after.hairpin))]]}
            info = {"attrs": [["IFLA_INFO_SLAVE_KIND", "bridge"], ["IFLA_INFO_SLAVE_DATA", data]]}
            rtnl.change_link(sock, after.name, [["IFLA_LINKINFO", info]], doing)
        if after.options != before.options:
            data = {"attrs": link_options.bridge_changes(before.options, after.options)}
            info = {"attrs": [["IFLA_INFO_KIND", "bridge"], ["IFLA_INFO_DATA", data]]}
            rtnl.change_link(sock, after.name, [["IFLA_LINKINFO", info]], doing)

    def commands(self) -> list[str]:
        before, after = self.before[0], self.after[0]
        ip, name = words.ip(after.netns), quote(after.name)
        out = []
        if after.options != before.options:
            changes = link_options.bridge_changes(before.options, after.options)
            out.append(f"{ip} link set dev {name} type bridge {link_options.bridge_words(changes)}")
        if after.mac != before.mac:
            out.append(f"{ip} link set dev {name} address {after.mac}")
        if after.mtu != before.mtu:
            out.append(f"{ip} link set dev {name} mtu {after.mtu}")
        if after.bridge != before.bridge:
            out.append(f"{ip} link set dev {name} " + (f"master {quote(after.bridge)}" if after.bridge else "nomaster"))
        if bool(after.hairpin) != bool(before.hairpin) and after.bridge:
            out.append(f"{words.bridge(after.netns)} link set dev {name} hairpin {'on' if after.hairpin else 'off'}")
        if after.up != before.up:
            out.append(f"{ip} link set dev {name} {'up' if after.up else 'down'}")
        return out


def _settle(kernel: Kernel, link: Link) -> None:
    """Wait until the kernel has noticed that both ends of a cable are up: a bridge forwards nothing until it has.

    It notices a moment later, on its own. Without the wait the first packet may be lost, and IPv6 then pauses a second.
    """
    if link.peer is None or link.peer.netns == "?":
        return
    deadline = time.monotonic() + _NOTICED
    for netns, name in ((link.netns, link.name), (link.peer.netns, link.peer.name)):
        while time.monotonic() < deadline:
            message = rtnl.get_link(kernel.rtnl(netns), name=name)
            if message is None or not message.get_attr("IFLA_CARRIER") or _noticed(message):
                break
            time.sleep(0.001)


def _noticed(message: t.Any) -> bool:
    data = port_data(message)
    disabled = data is not None and data.get_attr("IFLA_BRPORT_STATE") == 0  # BR_STATE_DISABLED, linux/if_bridge.h
    return message.get_attr("IFLA_OPERSTATE") == "UP" and not disabled


def changed(now: Link, wanted: Link, lost: tuple[Step, ...] = ()) -> list[Step]:
    """The step from one state of a link to another, if any; ``lost`` is what the kernel drops with it."""
    return [] if now == wanted else [ChangeLink((now,), (wanted,), lost)]


def with_defaults(link: Link, **wanted: t.Any) -> Link:
    """The link with those of the wanted properties that are not None."""
    return replace(link, **{name: value for name, value in wanted.items() if value is not None})


def shown(link: Link, addresses: list[str]) -> dict[str, t.Any]:
    """A link as users see it."""
    view: dict[str, t.Any] = {
        "name": link.name,
        "netns": link.netns,
        "kind": link.kind,
        "mac": link.mac,
        "mtu": link.mtu,
        "up": link.up,
        "bridge": link.bridge,
        "addresses": addresses,
        "ours": link.ours,
    }
    if link.bridge is not None:
        view["hairpin"] = bool(link.hairpin)
    if link.parent is not None:
        view["parent"] = link.parent
    return {**view, **link_options.shown(link.options)}
