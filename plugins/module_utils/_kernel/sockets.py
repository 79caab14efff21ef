# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Who listens in a namespace: sockets by sock_diag(7), their processes by /proc (proc(5))."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import struct
import typing as t
from dataclasses import dataclass

from .attributes import unpack
from .kernel import Kernel
from .netlink import NetlinkSocket, Raw, Refusal

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20  # linux/netlink.h, linux/sock_diag.h
_CLOSE, _LISTEN = 7, 10  # net/tcp_states.h
_PROTOCOLS = {"tcp": (socket.IPPROTO_TCP, _LISTEN), "udp": (socket.IPPROTO_UDP, _CLOSE), "sctp": (132, _LISTEN)}
"""Number, and the state of a socket that takes what comes from anybody: a connected UDP socket is ESTABLISHED."""
_REQUEST = struct.Struct("=BBBBI48x")  # inet_diag_req_v2, linux/inet_diag.h: family, protocol, ext, pad, states, id
_ANSWER = struct.Struct("=BBBB2s2x16s16xI8x12xII")  # inet_diag_msg: family, state, port, source, device, uid, inode
_SKV6ONLY, _LOCALS = 11, 12  # INET_DIAG_*; the kernel adds both unasked where they mean something
_SOCKADDR_STORAGE = 128
_SCTP_ENDPOINTS = "/proc/thread-self/net/sctp/eps"
_PROC = "/proc"


@dataclass(frozen=True)
class Listener:
    """A socket that takes connections, or datagrams, from anybody."""

    protocol: str
    address: Address
    """All zeros: every address. An IPv4 address that an IPv6 socket is bound to is one here."""
    port: int
    interface: str | None = None
    """The one interface that it hears, where it is bound to one."""
    inode: int = 0
    """The number by which processes hold it; 0 where nobody does."""
    uid: int = 0
    both: bool = False
    """Whether it is an IPv6 socket for every address that takes IPv4 too."""

    def hears(self, family: int) -> bool:
        """Whether packets of IPv4 (4) or IPv6 (6) come to it."""
        return self.both or self.address.version == family


class Process(t.NamedTuple):
    """Who holds a socket; ``name`` as the kernel has it, of 15 bytes at most."""

    pid: int
    name: str


def listeners(kernel: Kernel, netns: str | None, protocol: str) -> list[Listener]:
    """All listeners of ``tcp``, ``udp`` or ``sctp``. A protocol that the kernel lacks has none. Raises KernelError."""
    with kernel.inside(netns):
        sock = NetlinkSocket(_NETLINK_SOCK_DIAG)
        try:
            answers = [_dump(sock, family, protocol) for family in (socket.AF_INET, socket.AF_INET6)]
        finally:
            sock.close()
        if protocol == "sctp" and answers == [None, None]:
            return _sctp_endpoints()
        return [each for answer in answers for one in answer or () for each in decode(one, protocol)]


def _dump(sock: NetlinkSocket, family: int, protocol: str) -> list[bytes] | None:
    """The kernel's answers, or None where nobody in it answers for the protocol."""
    number, state = _PROTOCOLS[protocol]
    try:
        return sock.ask(Raw(_SOCK_DIAG_BY_FAMILY, 0, _REQUEST.pack(family, number, 0, 0, 1 << state)), dump=True)
    except Refusal as refusal:
        if refusal.number in (errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            return None
        raise refusal.explain("list the sockets") from None


def decode(answer: bytes, protocol: str) -> list[Listener]:
    """The listeners that one inet_diag_msg tells of: one, but none where the socket is in another state, and for SCTP
    one for each address. What is cut short tells of none.
    """
    if len(answer) < _ANSWER.size:
        return []
    family, state, _timer, _retrans, port, source, device, uid, inode = _ANSWER.unpack_from(answer)
    if family not in (socket.AF_INET, socket.AF_INET6) or state != _PROTOCOLS[protocol][1]:
        return []
    attributes = unpack(answer[_ANSWER.size :])
    address = ipaddress.ip_address(source[:4] if family == socket.AF_INET else source)
    both = family == socket.AF_INET6 and not any(source) and not any(attributes.get(_SKV6ONLY, b""))
    addresses = _locals(attributes.get(_LOCALS, b"")) or [address]
    number = int.from_bytes(port, "big")
    return [
        Listener(protocol, _plain(each), number, _interface(device), inode, uid, both and each == address)
        for each in addresses
    ]


def _plain(address: Address) -> Address:
    return getattr(address, "ipv4_mapped", None) or address


def _locals(data: bytes) -> list[Address]:
    """The addresses of an SCTP socket: an array of sockaddr_storage."""
    found: list[Address] = []
    for start in range(0, len(data) - _SOCKADDR_STORAGE + 1, _SOCKADDR_STORAGE):
        (family,) = struct.unpack_from("=H", data, start)
        if family == socket.AF_INET:
            found.append(ipaddress.ip_address(data[start + 4 : start + 8]))
        elif family == socket.AF_INET6:
            found.append(ipaddress.ip_address(data[start + 8 : start + 24]))
    return found


def _interface(index: int) -> str | None:
    """Its name in the namespace that the thread is in; the number of one that is gone."""
    if not index:
        return None
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def _sctp_endpoints() -> list[Listener]:
    """From the kernel's own list, which does not say what interface a socket is bound to (net/sctp/proc.c)."""
    try:
        with open(_SCTP_ENDPOINTS, encoding="ascii") as file:
            lines = file.read().splitlines()[1:]
    except OSError:
        return []
    return [each for line in lines for each in _sctp_endpoint(line.split())]


def _sctp_endpoint(fields: list[str]) -> t.Iterator[Listener]:
    """ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS: of one socket, with one address or more."""
    with contextlib.suppress(ValueError):
        _endpoint, _socket, _style, state, _bucket, port, uid, inode, *addresses = fields
        for text in addresses if int(state) == _LISTEN else []:
            address = ipaddress.ip_address(text)
            both = address.version == 6 and address.is_unspecified
            yield Listener("sctp", _plain(address), int(port), None, int(inode), int(uid), both)


def processes(inodes: t.Collection[int]) -> dict[int, list[Process]]:
    """The processes that hold each of the sockets, by number. Those that can't be looked into are left out."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes if inode}
    found: dict[int, list[Process]] = {}
    for pid in sorted(int(name) for name in os.listdir(_PROC) if name.isdigit()) if wanted else []:
        for inode in {wanted[link] for link in _open_files(pid) if link in wanted}:
            found.setdefault(inode, []).append(Process(pid, _name(pid)))
    return found


def _open_files(pid: int) -> t.Iterator[str]:
    """What the descriptors of a process lead to; it may end, or close them, at any moment."""
    folder = f"{_PROC}/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                yield os.readlink(f"{folder}/{name}")


def _name(pid: int) -> str:
    """The process's name, without what would disturb a message."""
    try:
        with open(f"{_PROC}/{pid}/comm", encoding="utf-8", errors="replace") as file:
            name = file.read().rstrip("\n")
    except OSError:
        return "?"
    return "".join(c if c.isprintable() else "?" for c in name)
