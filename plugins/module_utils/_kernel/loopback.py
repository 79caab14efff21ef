# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""lo of the namespace that the calling thread is in: every namespace has it, so it can carry a mark."""

from __future__ import annotations

import contextlib
import typing as t

from . import rtnl
from .netlink import NETLINK_ROUTE, NetlinkSocket


class Loopback(t.NamedTuple):
    """Whether lo is up, and its alias."""

    up: bool
    alias: str | None


def read() -> Loopback:
    """What lo is like. Raises KernelError."""
    with contextlib.closing(NetlinkSocket(NETLINK_ROUTE)) as sock:
        message = rtnl.get_link(sock, name="lo")
        return Loopback(bool(message["flags"] & rtnl.IFF_UP), message.get_attr("IFLA_IFALIAS"))
