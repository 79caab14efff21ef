# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Which links have a carrier that the kernel has not noticed yet, read by hand because it is asked of many and often.

Field numbers are those of linux/if_link.h; port states those of linux/if_bridge.h.
"""

from __future__ import annotations

import errno
import struct
import typing as t

from . import attributes
from .netlink import NetlinkSocket, Raw, Refusal

_GETLINK = 18  # linux/rtnetlink.h
_BODY = struct.Struct("=BxHiII")  # struct ifinfomsg
_IFNAME, _OPERSTATE, _LINKINFO, _EXT_MASK, _CARRIER = 3, 16, 18, 29, 33
_SLAVE_KIND, _SLAVE_DATA, _PORT_STATE = 4, 5, 1
_SKIP_STATISTICS = struct.pack("=I", 1 << 3)  # RTEXT_FILTER_SKIP_STATS
_OPERATING = 6  # IF_OPER_UP
_DISABLED = 0  # BR_STATE_DISABLED
_FEW = 4  # links that are asked for one by one rather than with all others


def unnoticed(sock: NetlinkSocket, names: t.Collection[str]) -> set[str]:
    """Those of the links that have a carrier but do not operate yet, or do not forward as ports. Raises KernelError."""
    try:
        if len(names) > _FEW:
            answers = sock.ask(Raw(_GETLINK, 0, _request()), dump=True)
        else:
            answers = [answer for name in names for answer in _one(sock, name)]
    except Refusal as refusal:
        raise refusal.explain("list interfaces") from None
    return {name for name in map(_waiting, answers) if name is not None and name in names}


def _request(*further: bytes) -> bytes:
    return b"".join([_BODY.pack(0, 0, 0, 0, 0), attributes.attribute(_EXT_MASK, _SKIP_STATISTICS), *further])


def _one(sock: NetlinkSocket, name: str) -> list[bytes]:
    try:
        return list(sock.ask(Raw(_GETLINK, 0, _request(attributes.text(_IFNAME, name)))))
    except Refusal as refusal:
        if refusal.number == errno.ENODEV:
            return []
        raise


def _waiting(answer: bytes) -> str | None:
    """The name of the link in the answer, None unless it is one to wait for."""
    found = attributes.unpack(answer[_BODY.size :])
    if found.get(_CARRIER) != b"\1":
        return None
    port = attributes.unpack(found.get(_LINKINFO, b""))
    state = attributes.unpack(port.get(_SLAVE_DATA, b"")) if port.get(_SLAVE_KIND) == b"bridge\0" else {}
    if found.get(_OPERSTATE) == bytes([_OPERATING]) and state.get(_PORT_STATE) != bytes([_DISABLED]):
        return None
    return attributes.as_text(found.get(_IFNAME))
