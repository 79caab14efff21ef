# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The neighbour tables: which MAC address belongs to an IP address, and behind which bridge port a MAC address is."""

from __future__ import annotations

import socket
import typing as t

from . import netlink
from .codec import codec
from .messages import Message, table
from .netlink import NetlinkSocket, Refusal

_GETNEIGH = 30  # linux/rtnetlink.h
_PF_BRIDGE = 7


def _dump(sock: NetlinkSocket, family: int) -> list[t.Any]:
    message = Message(table(codec().neighbour), _GETNEIGH, netlink.REQUEST, {"family": family}, [])
    try:
        return sock.ask(message, dump=True)
    except Refusal:  # no table, so nothing is known
        return []


class Neighbours:
    """Both tables, read once."""

    def __init__(self, sock: NetlinkSocket, version: int) -> None:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._macs = {
            (entry["ifindex"], entry.get_attr("NDA_DST")): entry.get_attr("NDA_LLADDR") for entry in _dump(sock, family)
        }
        self._ports = {
            (entry.get_attr("NDA_MASTER"), entry.get_attr("NDA_LLADDR")): entry["ifindex"]
            for entry in _dump(sock, _PF_BRIDGE)
        }

    def port_of(self, bridge: int, address: t.Any) -> int | None:
        """The index of the port of the bridge (by its index) that leads to the IP address, or None while that is not known."""
        mac = self._macs.get((bridge, str(address)))
        return self._ports.get((bridge, mac)) if mac else None
