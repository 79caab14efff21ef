# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Requests of rtnetlink(7) in plain values: links, addresses, routes. One function is one message.

``doing`` completes the sentence 'the kernel refused to ...' for the person who reads the error.
Field numbers are those of linux/rtnetlink.h and linux/if_link.h.
"""

from __future__ import annotations

import errno
import functools
import socket
import typing as t

from . import attributes, netlink
from .codec import codec
from .messages import Message, table
from .netlink import NetlinkSocket, Refusal, Words
from .queue import Queue, Request

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_GETNSID = 90

IFF_UP = 0x1
IFA_F_NODAD, IFA_F_TENTATIVE = 0x02, 0x40

_GONE = frozenset({errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENOENT})

Attributes = list[list[t.Any]]

_NO_STATISTICS = ["IFLA_EXT_MASK", 1 << 3]  # RTEXT_FILTER_SKIP_STATS: IPv6's counters are a quarter of an answer
_RTM_F_CLONED = 0x200
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def _message(source: t.Any, number: int, flags: int, fields: t.Mapping[str, t.Any], attributes: Attributes) -> Message:
    return Message(table(source), number, netlink.REQUEST | flags, fields, attributes)


def _send(
    sock: NetlinkSocket, message: t.Any, doing: Words, *, missing_ok: bool = False, patient: bool = False
) -> None:
    """Send a request, or let it wait in the socket's queue where there is one."""
    queue = sock.queue or Queue()
    queue.add(Request(sock, message, doing, _GONE if missing_ok else frozenset(), patient))
    if sock.queue is None:
        queue.flush()


def get_link(sock: NetlinkSocket, *, name: str | None = None, index: int = 0) -> t.Any:
    """The link as an answer of struct ifinfomsg, or None when there is none of that name or index."""
    attributes: Attributes = [_NO_STATISTICS, ["IFLA_IFNAME", name]] if name else [_NO_STATISTICS]
    try:
        return sock.ask(_message(codec().link, _GETLINK, 0, {"index": index}, attributes))[0]
    except Refusal as refusal:
        if refusal.number == errno.ENODEV:
            return None
        raise refusal.explain(f"show interface {name or index}") from None


def dump_links(sock: NetlinkSocket) -> list[t.Any]:
    """Every link of the namespace."""
    return _dump(sock, _whole(codec().link, _GETLINK), "list interfaces")


@functools.cache
def _whole(source: t.Any, number: int) -> Message:
    """The request for all there are: the same each time."""
    return _message(source, number, 0, {}, [_NO_STATISTICS] if number == _GETLINK else [])


def _dump(sock: NetlinkSocket, message: t.Any, doing: Words) -> list[t.Any]:
    try:
        return sock.ask(message, dump=True)
    except Refusal as refusal:
        raise refusal.explain(doing) from None


def dump_bridges(sock: NetlinkSocket) -> dict[str, dict[str, t.Any]]:
    """The options (IFLA_BR_*) of every bridge, by its name."""
    out: dict[str, dict[str, t.Any]] = {}
    for link in dump_links(sock):
        info = link.get_attr("IFLA_LINKINFO")
        if info is not None and info.get_attr("IFLA_INFO_KIND") == "bridge":
            data = info.get_attr("IFLA_INFO_DATA")
            out[str(link.get_attr("IFLA_IFNAME"))] = dict(data["attrs"]) if data is not None else {}
    return out


def create_link(sock: NetlinkSocket, attributes: Attributes, doing: Words, *, index: int = 0, up: bool = False) -> None:
    """Create a link, with the number ``index`` unless that is 0. Raises KernelError, with errno EEXIST when the name is taken.

    A name that a dying namespace still holds is waited for.
    """
    fields = {"index": index, **({"flags": IFF_UP, "change": IFF_UP} if up else {})}
    flags = netlink.ACK | netlink.CREATE | netlink.EXCL
    _send(sock, _message(codec().link, _NEWLINK, flags, fields, attributes), doing, patient=True)


def change_link(
    sock: NetlinkSocket, name: str, attributes: Attributes, doing: Words, *, up: bool | None = None
) -> None:
    """Change attributes of the link and, with ``up``, its administrative state."""
    fields = {} if up is None else {"flags": IFF_UP if up else 0, "change": IFF_UP}
    _send(sock, _message(codec().link, _NEWLINK, netlink.ACK, fields, [["IFLA_IFNAME", name], *attributes]), doing)


DOOMED = 0x7062_0000
"""The link group of what is about to be deleted: deleting a group costs one grace period, each link of its own one more."""


def delete_link(sock: NetlinkSocket, name: str, group: int = 0) -> None:
    """Delete a link, which is in ``group``; one that is gone already is fine. Waits for the kernel's grace period (15 ms)."""
    doing = f"delete interface {name}"
    if sock.queue is not None:
        mark, pardon = (
            _message(codec().link, _NEWLINK, netlink.ACK, {}, [["IFLA_IFNAME", name], ["IFLA_GROUP", number]])
            for number in (DOOMED, group)
        )
        sentence = _message(codec().link, _DELLINK, netlink.ACK, {}, [["IFLA_GROUP", DOOMED]])
        sock.queue.condemn(*(Request(sock, message, doing, _GONE) for message in (mark, sentence, pardon)))
        return
    _send(sock, _message(codec().link, _DELLINK, netlink.ACK, {}, [["IFLA_IFNAME", name]]), doing, missing_ok=True)


def without_link_local() -> list[t.Any]:
    """The attribute of a link that gets no IPv6 link-local address when it comes up.

    Packed by hand: pyroute2 packs address families slowly. IFLA_AF_SPEC, IFLA_INET6_ADDR_GEN_MODE and
    IN6_ADDR_GEN_MODE_NONE are from linux/if_link.h.
    """
    mode = attributes.attribute(8, b"\1")
    return [26, attributes.attribute(socket.AF_INET6, mode)]


def delete_group(sock: NetlinkSocket, group: int) -> None:
    """Delete all links of a group at once: one grace period for all of them."""
    message = _message(codec().link, _DELLINK, netlink.ACK, {}, [["IFLA_GROUP", group]])
    _send(sock, message, f"delete the interfaces of group {group}", missing_ok=True)


def namespace_id(sock: NetlinkSocket, fd: int) -> int | None:
    """The id by which the socket's namespace knows the one behind ``fd`` (IFLA_LINK_NETNSID), or None."""
    return namespace_ids(sock, [fd])[0]


def namespace_ids(sock: NetlinkSocket, fds: t.Sequence[int]) -> list[int | None]:
    """The same for many."""
    messages = [_message(codec().namespace_id, _GETNSID, 0, {}, [["NETNSA_FD", fd]]) for fd in fds]
    try:
        values = [answer.get_attr("NETNSA_NSID") for answer in sock.ask_each(messages)]
    except Refusal as refusal:
        raise refusal.explain("tell the id of a network namespace") from None
    return [None if value in (None, -1, 0xFFFFFFFF) else int(value) for value in values]


def dump_addresses(sock: NetlinkSocket, index: int) -> list[t.Any]:
    """The addresses of the link with this index, as answers of struct ifaddrmsg."""
    answers = _dump(sock, _message(codec().address, _GETADDR, 0, {"index": index}, []), "list addresses")
    return [answer for answer in answers if answer["index"] == index]  # kernels before 4.20 don't filter


def all_addresses(sock: NetlinkSocket) -> list[t.Any]:
    """The addresses of all links and both IP versions of the namespace, in one list."""
    answers = _dump(sock, _whole(codec().address, _GETADDR), "list addresses")
    return [answer for answer in answers if answer["family"] in _FAMILIES]


def _address_message(number: int, flags: int, index: int, address: t.Any, broadcast: t.Any) -> t.Any:
    version4 = address.version == 4
    fields = {
        "family": socket.AF_INET if version4 else socket.AF_INET6,
        "prefixlen": address.network.prefixlen,
        "index": index,
        "flags": 0 if version4 else IFA_F_NODAD,
    }
    packed = address.packed
    attributes: Attributes = [["IFA_LOCAL", packed], ["IFA_ADDRESS", packed]]
    if broadcast is not None:
        attributes.append(["IFA_BROADCAST", broadcast.packed])
    return _message(codec().address, number, flags, fields, attributes)


def add_address(sock: NetlinkSocket, index: int, address: t.Any, broadcast: t.Any, doing: Words) -> None:
    """Add an ``ipaddress`` interface address; IPv6 without duplicate detection, so that it is usable at once."""
    message = _address_message(_NEWADDR, netlink.ACK | netlink.CREATE | netlink.EXCL, index, address, broadcast)
    _send(sock, message, doing)


def delete_address(sock: NetlinkSocket, index: int, address: t.Any, doing: Words) -> None:
    """Remove an address; one that is gone already is fine."""
    _send(sock, _address_message(_DELADDR, netlink.ACK, index, address, None), doing, missing_ok=True)


def dump_routes(sock: NetlinkSocket, version: int) -> list[t.Any]:
    """All routes of all tables of one IP version, as answers of struct rtmsg; cloned and cached ones left out."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        answers = sock.ask(_message(codec().route, _GETROUTE, 0, {"family": family}, []), dump=True)
    except Refusal as refusal:
        if refusal.number in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP):
            return []  # a kernel without IPv6
        raise refusal.explain("list routes") from None
    return [answer for answer in answers if answer["family"] == family and not answer["flags"] & _RTM_F_CLONED]


def all_routes(sock: NetlinkSocket) -> list[t.Any]:
    """All routes of all tables of both IP versions, in one list; cloned and cached ones left out."""
    answers = _dump(sock, _whole(codec().route, _GETROUTE), "list routes")
    return [answer for answer in answers if answer["family"] in _FAMILIES and not answer["flags"] & _RTM_F_CLONED]


def put_route(
    sock: NetlinkSocket, fields: t.Mapping[str, t.Any], attributes: Attributes, doing: Words, *, replace: bool
) -> None:
    """Add a route, or with ``replace`` put it in the place of the one with the same key in one step."""
    flags = netlink.ACK | netlink.CREATE | (netlink.REPLACE if replace else netlink.EXCL)
    _send(sock, _message(codec().route, _NEWROUTE, flags, fields, attributes), doing)


def delete_route(sock: NetlinkSocket, fields: t.Mapping[str, t.Any], attributes: Attributes, doing: Words) -> None:
    """Remove a route; one that is gone already is fine."""
    _send(sock, _message(codec().route, _DELROUTE, netlink.ACK, fields, attributes), doing, missing_ok=True)
