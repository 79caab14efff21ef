# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The tables of iptables-legacy as the kernel keeps them: one block of bytes each, cut into entries.

Formats: linux/netfilter/x_tables.h, linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h. Asking the
kernel for a table makes it, and loads its module, so only those are asked for that it lists itself.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import typing as t

from .._errors import KernelError
from .kernel import Kernel

_LISTS = {4: "/proc/thread-self/net/ip_tables_names", 6: "/proc/thread-self/net/ip6_tables_names"}
_SOCKETS = {4: (socket.AF_INET, socket.IPPROTO_IP), 6: (socket.AF_INET6, socket.IPPROTO_IPV6)}
_GET_INFO, _GET_ENTRIES = 64, 65  # IPT_SO_*, and IP6T_SO_* alike
_NAME = "@32s"  # XT_TABLE_MAXNAMELEN
_INFO = f"{_NAME}I5I5III"  # struct ipt_getinfo
_ENTRIES = f"{_NAME}I0Q"  # struct ipt_get_entries, up to its first entry
_ENTRY = {4: "@84xIHHI2Q", 6: "@136xIHHI2Q"}  # struct ipt_entry and ip6t_entry, without the packet's part
PACKET_PART = {4: 84, 6: 136}
"""The size of struct ipt_ip and ip6t_ip6."""
_PART = "@H29sB"  # struct xt_entry_match and xt_entry_target
_ATTEMPTS = 20

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
"""enum nf_inet_hooks."""

_libc = ctypes.CDLL(None, use_errno=True)


class Part(t.NamedTuple):
    """A match or a target of an entry. The target of a plain verdict has an empty name."""

    name: str
    revision: int
    data: bytes


class Entry(t.NamedTuple):
    """One rule: where it lies, what it asks of the packet itself (struct ipt_ip or ip6t_ip6), and the rest."""

    offset: int
    packet: bytes
    matches: tuple[Part, ...]
    target: Part
    end: int
    """Where the next one lies."""


class RawTable(t.NamedTuple):
    """A table as it is. ``hooks`` says where the chain of each hook begins, ``underflows`` where its policy lies."""

    family: int
    """4 or 6."""
    name: str
    entries: tuple[Entry, ...]
    hooks: dict[str, int]
    underflows: dict[str, int]


def tables(kernel: Kernel, netns: str | None) -> list[RawTable]:
    """The legacy tables that the namespace has, of both families; none are made by asking.

    Raises NoNamespace, and KernelError when they can't be read.
    """
    with kernel.inside(netns):
        return [_table(family, name) for family in (4, 6) for name in _names(family)]


def _names(family: int) -> list[str]:
    """What the namespace of this thread has, in the order of their names."""
    try:
        with open(_LISTS[family], encoding="ascii", errors="replace") as listed:
            return sorted(listed.read().split())
    except FileNotFoundError:  # the kernel has no legacy tables of this family, or none is loaded
        return []
    except OSError as error:
        raise _refused(f"list the tables of iptables-legacy for IPv{family}", error) from None


def _table(family: int, name: str) -> RawTable:
    what = f"read table {name} of iptables-legacy for IPv{family}"
    try:
        with socket.socket(_SOCKETS[family][0], socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as sock:
            for _attempt in range(_ATTEMPTS):
                raw = _attempted(sock, family, name)
                if raw is not None:
                    return raw
    except OSError as error:
        raise _refused(what, error) from None
    except (struct.error, ValueError) as error:
        raise KernelError(f"could not {what}: its form is not the one of this machine ({error}).", errno=0) from None
    raise KernelError(f"could not {what}: it changed all the time. Try again.", errno=errno.EAGAIN)


def _attempted(sock: socket.socket, family: int, name: str) -> RawTable | None:
    """The table, or None if somebody replaced it between the two questions."""
    packed = name.encode("ascii")
    info = struct.unpack(_INFO, _asked(sock, family, _GET_INFO, struct.pack(_NAME, packed), struct.calcsize(_INFO)))
    valid, begins, ends, size = info[1], info[2:7], info[7:12], info[13]
    head = struct.calcsize(_ENTRIES)
    try:
        data = _asked(sock, family, _GET_ENTRIES, struct.pack(_ENTRIES, packed, size), head + size)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return None
        raise
    hooks = [(hook, number) for number, hook in enumerate(HOOKS) if valid >> number & 1]
    return RawTable(
        family,
        name,
        tuple(entries(data[head:], family)),
        {hook: begins[number] for hook, number in hooks},
        {hook: ends[number] for hook, number in hooks},
    )


def _asked(sock: socket.socket, family: int, option: int, question: bytes, size: int) -> bytes:
    """getsockopt(2) whose buffer carries the question; Python's own has no way to say one. Raises OSError."""
    buffer = ctypes.create_string_buffer(question, size)
    length = ctypes.c_uint32(size)
    if _libc.getsockopt(sock.fileno(), _SOCKETS[family][1], option, buffer, ctypes.byref(length)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw[: length.value]


def entries(data: bytes, family: int) -> t.Iterator[Entry]:
    """Cut the block of a table into its entries. Raises ValueError and struct.error for what is no such block."""
    offset = 0
    while offset < len(data):
        _cache, target_offset, next_offset, *_rest = struct.unpack_from(_ENTRY[family], data, offset)
        first = offset + struct.calcsize(_ENTRY[family])
        target, end = offset + target_offset, offset + next_offset
        if not first <= target < end <= len(data):
            raise ValueError(f"an entry at {offset} reaches from {target} to {end}")
        packet = data[offset : offset + PACKET_PART[family]]
        (last,) = _parts(data, target, end)
        yield Entry(offset, packet, tuple(_parts(data, first, target)), last, end)
        offset = end


def _parts(data: bytes, offset: int, end: int) -> t.Iterator[Part]:
    head = struct.calcsize(_PART)
    while offset < end:
        size, name, revision = struct.unpack_from(_PART, data, offset)
        if size < head or offset + size > end:
            raise ValueError(f"a part at {offset} has {size} bytes")
        yield Part(name.split(b"\0")[0].decode("ascii", "replace"), revision, data[offset + head : offset + size])
        offset += size


def _refused(doing: str, error: OSError) -> KernelError:
    hint = ""
    if error.errno in (errno.EPERM, errno.EACCES):
        root = os.geteuid() == 0  # then it is a container without privileges
        hint = (
            " This needs the capabilities CAP_NET_ADMIN and CAP_NET_RAW."
            if root
            else " This needs root: set become: true."
        )
    return KernelError(f"could not {doing}: {error.strerror}.{hint}", errno=error.errno or 0)
