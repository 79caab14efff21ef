# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The one handle on the kernel that the engine hands to objects: sockets and entry per namespace, opened once."""

from __future__ import annotations

import contextlib
import os
import typing as t

from . import namespaces
from .netlink import NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket


class Kernel:
    """Sockets and descriptors of the namespaces in use; ``netns`` is a name, or None for the caller's own.

    Use as a context manager. Every method raises NotFound for a namespace that is not there.
    """

    def __init__(self) -> None:
        self._files: dict[str | None, int] = {}
        self._identities: dict[str | None, str] = {}
        self._sockets: dict[tuple[str | None, int], NetlinkSocket] = {}

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_exc: object) -> None:
        for netns in list(self._files):
            self.forget(netns)

    def file(self, netns: str | None) -> int:
        """A descriptor of the namespace; it stays valid until ``forget``."""
        if netns not in self._files:
            self._files[netns] = namespaces.open_file(netns)
        return self._files[netns]

    @contextlib.contextmanager
    def inside(self, netns: str | None) -> t.Iterator[None]:
        """Run the block with this thread in the namespace."""
        if netns is None:
            yield
            return
        with namespaces.inside(self.file(netns)):
            yield

    def rtnl(self, netns: str | None) -> NetlinkSocket:
        """The rtnetlink socket of the namespace (rtnetlink(7))."""
        return self._socket(netns, NETLINK_ROUTE)

    def netfilter(self, netns: str | None) -> NetlinkSocket:
        """The nfnetlink socket of the namespace."""
        return self._socket(netns, NETLINK_NETFILTER)

    def _socket(self, netns: str | None, family: int) -> NetlinkSocket:
        if (netns, family) not in self._sockets:
            self.file(netns)
            with self.inside(netns):
                self._sockets[netns, family] = NetlinkSocket(family)
        return self._sockets[netns, family]

    def same(self, one: str | None, other: str | None) -> bool:
        """Whether two names stand for one namespace, as None and the name of the caller's own do."""
        first, second = os.fstat(self.file(one)), os.fstat(self.file(other))
        return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)

    def identity(self, netns: str | None) -> str:
        """A name for the namespace that outlives renames and is not given to another one."""
        if netns not in self._identities:
            self._identities[netns] = namespaces.identity(self.file(netns))
        return self._identities[netns]

    def forget(self, netns: str | None) -> None:
        """Close everything held of a namespace: before it is removed, or at the end."""
        for key in [key for key in self._sockets if key[0] == netns]:
            self._sockets.pop(key).close()
        self._identities.pop(netns, None)
        if netns in self._files:
            os.close(self._files.pop(netns))
