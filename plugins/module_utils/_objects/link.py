# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Links: what the kernel says of the end of a veth, of a bridge and of other kinds. Their steps are in link_steps.py."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass, field, replace

from .._engine.model import Key
from .._errors import KernelError, NotFound, missing_interface
from .._kernel import attributes, namespaces, rtnl
from .._kernel.kernel import Kernel
from . import link_options
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


def lab_group(name: str, taken: t.Container[int] = ()) -> int:
    """The link group of a lab: our mark in the upper half, a hash of its name, never 0, in the lower one.

    Of those that are ``taken`` by other labs, it is none: the next one that is free.
    """
    lower = int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big") or 1
    while GROUP << 16 | lower in taken:
        lower = lower % 0xFFFF + 1
    return GROUP << 16 | lower


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
    link_local: bool = field(default=True, compare=False)
    """Whether it gets an IPv6 link-local address when it comes up: known only of what a run makes."""

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


def decode(
    kernel: Kernel,
    netns: str | None,
    message: t.Any,
    peers: t.Sequence[str | None] = (),
    names: t.Mapping[int, str] | None = None,
    peer: Peer | None = None,
) -> Link:
    """A link from the kernel's message. With the ``names`` of all indexes nothing more is asked: ``peer`` is as given."""
    info = message.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") if info else None) or "physical"
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    return Link(
        netns=netns,
        name=message.get_attr("IFLA_IFNAME"),
        kind=kind,
        mac=message.get_attr("IFLA_ADDRESS") or "",
        mtu=message.get_attr("IFLA_MTU"),
        up=bool(message["flags"] & rtnl.IFF_UP),
        bridge=_name(kernel, netns, message.get_attr("IFLA_MASTER"), names),
        hairpin=_hairpin(message),
        group=message.get_attr("IFLA_GROUP") or 0,
        peer=_peer(kernel, netns, message, peers) if kind == "veth" and names is None else peer,
        options=link_options.decode(kind, data),
        parent=_parent(kernel, netns, message, kind, data, names),
    )


def _name(kernel: Kernel, netns: str | None, index: int | None, names: t.Mapping[int, str] | None) -> str | None:
    """The name that belongs to an index; None for no index."""
    if not index:
        return None
    if names is not None:
        return names.get(index)
    message = rtnl.get_link(kernel.rtnl(netns), index=index)
    return message.get_attr("IFLA_IFNAME") if message else None


def _parent(
    kernel: Kernel, netns: str | None, message: t.Any, kind: str, data: t.Any, names: t.Mapping[int, str] | None
) -> str | None:
    if kind == "vxlan" and data is not None:
        index = data.get_attr("IFLA_VXLAN_LINK")
    else:
        index = message.get_attr("IFLA_LINK") if kind in ("vlan", "macvlan") else None
    if index and message.get_attr("IFLA_LINK_NETNSID") is not None:
        return "?"
    return _name(kernel, netns, index, names)


def name_of(message: t.Any) -> str:
    """The name of a link, from the kernel's message."""
    return str(message.get_attr("IFLA_IFNAME"))


def kind_of(message: t.Any) -> str | None:
    """The kind of a link, from the kernel's message."""
    info = message.get_attr("IFLA_LINKINFO")
    return info.get_attr("IFLA_INFO_KIND") if info else None


def has_link_local(message: t.Any) -> bool:
    """Whether a link gets an IPv6 link-local address when it comes up, from the kernel's message.

    IFLA_AF_SPEC holds AF_INET6, and that IFLA_INET6_ADDR_GEN_MODE (8), where 1 is IN6_ADDR_GEN_MODE_NONE (linux/if_link.h).
    """
    families = attributes.unpack(message.content("IFLA_AF_SPEC") or b"")
    return attributes.unpack(families.get(10, b"")).get(8) != b"\1"


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
        raise missing_interface(netns, name, there)
    return message


def index_of(kernel: Kernel, netns: str | None, name: str) -> int:
    """The index of an interface. Raises NotFound, naming those that are there."""
    return int(the_link(kernel, netns, name)["index"])


# ---- choosing


def choose_mac(seed: str, netns: str | None, name: str) -> str:
    """A locally administered address that is the same each time: neighbours need not learn anew.

    ``seed`` tells machines, and namespaces that act as machines, apart.
    """
    digest = hashlib.sha256("\0".join([seed, netns or "", name]).encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


# ---- comparing and showing


def replaceable(now: Link, wanted: Link) -> bool:
    """Whether only another link, made in the place of this one, can be what is wanted."""
    fixed = not isinstance(now.options, BridgeOptions) and now.options != wanted.options
    return now.kind != wanted.kind or now.parent != wanted.parent or fixed


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
