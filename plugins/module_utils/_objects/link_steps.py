# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The steps that make, change and remove links."""

from __future__ import annotations

import errno
import time
import typing as t
from shlex import quote

from .._engine.model import Step
from .._errors import KernelError
from .._kernel import carriers, rtnl
from .._kernel.kernel import Kernel
from .._kernel.needs import NEEDS, lacking
from . import link_options, words
from .link import Link
from .words import place

_LEAST_MTU = 68  # bytes, ETH_MIN_MTU
_SAMPLES = 4
_NOTICED = 2.0  # seconds: far more than the kernel needs to notice a carrier, far less than anybody waits


class VethPair(Step):
    """Creates or removes a cable: both ends at once, each directly in its namespace.

    The first end comes into its bridge and up with it, if it is to be; the other one is left to a ``ChangeLink``.
    """

    phase = "cables"

    def apply(self, kernel: Kernel) -> None:
        if not self.after:
            _delete(kernel, self.before)
            return
        one, other = self.after
        peer = {
            "index": kernel.choose_index(other.netns, other.name),
            "attrs": [*_identity(other), ["IFLA_NET_NS_FD", kernel.file(other.netns)]],
        }
        doing = f"create {one.title} with its peer {other.name}{place(other.netns)}"
        _create(kernel, one, [["VETH_INFO_PEER", peer]], [], doing)

    @classmethod
    def settle(cls, kernel: Kernel, steps: t.Sequence[Step]) -> None:
        settle_all(kernel, [link for step in steps for link in step.after])

    def commands(self) -> list[str]:
        if not self.after:
            return [f"{words.ip(self.before[0].netns)} link del dev {quote(self.before[0].name)}"]
        one, other = self.after
        home = f" netns {quote(other.netns)}" if other.netns else ""
        made = (
            f"{words.ip(one.netns)} link add {_words(one)} type veth peer {_words(other)}{home}"
            if one.netns is None or other.netns is not None
            else f"ip link add {_words(other)} type veth peer {_words(one)} netns {quote(one.netns)}"
        )
        return [made, *_placing(one)]

    def undo(self) -> list[Step]:
        """None for a cable whose other end was in a namespace without a name: it can't be made again."""
        return super().undo() if self.after or len(self.before) == 2 else []


class CutCable(Step):
    """Removes a cable whose other end is in a namespace that goes: together with that, when nothing can fail any more."""

    phase = "cables"

    def apply(self, kernel: Kernel) -> None:
        """Until then it may be needed again."""

    @classmethod
    def conclude(cls, kernel: Kernel, steps: t.Sequence[Step]) -> None:
        for step in steps:
            _delete(kernel, step.before)
        kernel.flush()

    def undo(self) -> list[Step]:
        return []

    def commands(self) -> list[str]:
        (link,) = self.before
        return [f"{words.ip(link.netns)} link del dev {quote(link.name)}"]


class MakeLink(Step):
    """Creates or removes a link of any kind but veth, in its bridge and up if it is to be."""

    phase = "links"

    def apply(self, kernel: Kernel) -> None:
        if not self.after:
            _delete(kernel, self.before)
            return
        (link,) = self.after
        data = link_options.attributes(link.options)
        attributes: rtnl.Attributes = []
        if link.parent is not None:
            index = kernel.index(link.netns, link.parent)
            (data if link.kind == "vxlan" else attributes).append([_PARENTS.get(link.kind, "IFLA_LINK"), index])
        _create(kernel, link, data, attributes, f"create {link.title}")

    def commands(self) -> list[str]:
        link = (self.after or self.before)[0]
        ip = words.ip(link.netns)
        if not self.after:
            return [f"{ip} link del dev {quote(link.name)}"]
        parent = f"link {quote(link.parent)} " if link.parent and link.kind not in _PARENTS else ""
        kind = link_options.words(link.kind, link.options, link.parent)
        return [f"{ip} link add {parent}{_words(link)} type {kind}", *_placing(link)]


_PARENTS = {"vxlan": "IFLA_VXLAN_LINK"}
"""Kinds whose parent is not told by IFLA_LINK."""


def _identity(link: Link) -> rtnl.Attributes:
    address = [["IFLA_ADDRESS", link.mac]] if link.mac else []
    return [["IFLA_IFNAME", link.name], ["IFLA_GROUP", link.group], *address, ["IFLA_MTU", link.mtu]]


def _words(link: Link) -> str:
    mtu = f" mtu {link.mtu}" if link.mtu != 1500 else ""
    address = f" address {link.mac}" if link.mac else ""
    return f"name {quote(link.name)} group {link.group}{address}{mtu}"


def _placing(link: Link) -> list[str]:
    """The commands for what the message that creates a link says of its place besides."""
    master = f" master {quote(link.bridge)}" if link.bridge else ""
    up = " up" if link.up else ""
    return [f"{words.ip(link.netns)} link set dev {quote(link.name)}{master}{up}"] if master or up else []


def _create(kernel: Kernel, link: Link, data: rtnl.Attributes, attributes: rtnl.Attributes, doing: str) -> None:
    """Create a link. Raises Unsupported, KernelError."""
    info: rtnl.Attributes = [["IFLA_INFO_KIND", link.kind]]
    if data:
        info.append(["IFLA_INFO_DATA", {"attrs": data}])
    if link.bridge:
        attributes = [*attributes, ["IFLA_MASTER", kernel.index(link.netns, link.bridge)]]
    attributes = [*_identity(link), *attributes, ["IFLA_LINKINFO", {"attrs": info}]]
    index = kernel.choose_index(link.netns, link.name)
    try:
        rtnl.create_link(kernel.rtnl(link.netns), attributes, doing, index=index, up=link.up)
    except KernelError as error:
        if error.errno == errno.EOPNOTSUPP and link.kind in NEEDS:
            raise lacking(link.kind, error) from None
        raise


def _delete(kernel: Kernel, links: t.Sequence[Link]) -> None:
    """Delete the first of these links; the others are those that go with it."""
    rtnl.delete_link(kernel.rtnl(links[0].netns), links[0].name, links[0].group)
    for link in links:
        kernel.forget_index(link.netns, link.name)


class ChangeLink(Step):
    """Changes a link in place: address, MTU, group, bridge membership, port and bridge properties, up or down.

    What it can't change, ``replaceable`` names.
    """

    phase = "interfaces"

    def apply(self, kernel: Kernel) -> None:
        before, after = self.before[0], self.after[0]
        sock, doing = kernel.rtnl(after.netns), f"change {after.title}"
        attributes: rtnl.Attributes = []
        if after.mac != before.mac:
            attributes.append(["IFLA_ADDRESS", after.mac])
        if after.mtu != before.mtu:
            attributes.append(["IFLA_MTU", after.mtu])
        if after.group != before.group:
            attributes.append(["IFLA_GROUP", after.group])
        if after.bridge != before.bridge:
            attributes.append(["IFLA_MASTER", kernel.index(after.netns, after.bridge) if after.bridge else 0])
        up = after.up if after.up != before.up else None
        if before.link_local and not after.link_local:  # in a message of its own: beside IFF_UP it comes too late
            rtnl.change_link(sock, after.name, [rtnl.without_link_local()], doing)
        if attributes or up is not None:
            rtnl.change_link(sock, after.name, attributes, doing, up=up)
        if bool(after.hairpin) != bool(before.hairpin) and after.bridge:
            data = {"attrs": [["IFLA_BRPORT_MODE", int(bool(after.hairpin))]]}
            info = {"attrs": [["IFLA_INFO_SLAVE_KIND", "bridge"], ["IFLA_INFO_SLAVE_DATA", data]]}
            rtnl.change_link(sock, after.name, [["IFLA_LINKINFO", info]], doing)
        if after.options != before.options:
            data = {"attrs": link_options.bridge_changes(before.options, after.options)}
            info = {"attrs": [["IFLA_INFO_KIND", "bridge"], ["IFLA_INFO_DATA", data]]}
            rtnl.change_link(sock, after.name, [["IFLA_LINKINFO", info]], doing)

    @classmethod
    def settle(cls, kernel: Kernel, steps: t.Sequence[Step]) -> None:
        settle_all(kernel, [step.after[0] for step in steps if not step.before[0].up])

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
        if before.link_local and not after.link_local:
            out.append(f"{ip} link set dev {name} addrgenmode none")
        if after.group != before.group:
            out.append(f"{ip} link set dev {name} group {after.group}")
        if after.bridge != before.bridge:
            out.append(f"{ip} link set dev {name} " + (f"master {quote(after.bridge)}" if after.bridge else "nomaster"))
        if bool(after.hairpin) != bool(before.hairpin) and after.bridge:
            out.append(f"{words.bridge(after.netns)} link set dev {name} hairpin {'on' if after.hairpin else 'off'}")
        if after.up != before.up:
            out.append(f"{ip} link set dev {name} {'up' if after.up else 'down'}")
        return out


class PinMtu(Step):
    """Makes a bridge keep its MTU, which otherwise follows that of its ports (br_mtu_auto_adjust in net/bridge/br_if.c).

    Changing it does that, and setting it to what it is changes nothing: hence the detour. Taking it back goes the same way, for
    the kernel may have refused the second half of it.
    """

    phase = "interfaces"

    def apply(self, kernel: Kernel) -> None:
        (link,) = self.after
        for mtu in self._mtus():
            rtnl.change_link(kernel.rtnl(link.netns), link.name, [["IFLA_MTU", mtu]], f"change {link.title}")

    def commands(self) -> list[str]:
        (link,) = self.after
        return [f"{words.ip(link.netns)} link set dev {quote(link.name)} mtu {mtu}" for mtu in self._mtus()]

    def _mtus(self) -> tuple[int, int]:
        (link,) = self.after
        return (link.mtu - 1 if link.mtu > _LEAST_MTU else link.mtu + 1, link.mtu)


def settle_all(kernel: Kernel, links: t.Iterable[Link]) -> None:
    """Wait until the kernel has noticed that both ends of the cables are up: a bridge forwards nothing until it has.

    It notices a moment later, on its own. Without the wait the first packet may be lost, and IPv6 then pauses a second.
    Of the links that are not cables or not up, nothing is waited for.
    """
    waiting: dict[str | None, dict[str, None]] = {}
    for link in links:
        if link.up and (link.bridge or link.kind == "bridge"):
            waiting.setdefault(link.netns, {})[link.bridge or link.name] = None
        if link.up and link.peer is not None and link.peer.netns != "?":
            ends = [(link.netns, link.name), (link.peer.netns, link.peer.name)]
            # Both ends are noticed together; of those at one switch or host, all are looked at by one question.
            for netns, name in [end for end in ends if end[0] is None] or ends:
                waiting.setdefault(netns, {})[name] = None
    deadline = time.monotonic() + _NOTICED
    for netns, names in waiting.items():
        # The kernel goes through them in order, so the last one is waited for first; of many, samples tell the rest.
        order = list(names)
        for group in ({order[-1]}, set(order[:: 1 + len(order) // _SAMPLES])):
            unnoticed = group
            while unnoticed and time.monotonic() < deadline:
                unnoticed = carriers.unnoticed(kernel.rtnl(netns), unnoticed)
                time.sleep(0.001 if unnoticed else 0)


def changed(now: Link, wanted: Link, lost: tuple[Step, ...] = ()) -> list[Step]:
    """The step from one state of a link to another, if any; ``lost`` is what the kernel drops with it."""
    return [] if now == wanted else [ChangeLink((now,), (wanted,), lost)]
