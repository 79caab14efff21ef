# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The one handle on the kernel that the engine hands to objects: sockets and entry per namespace, opened once."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import typing as t

from .._errors import missing_interface
from . import descriptors, namespaces, procsys, rtnl
from .netlink import NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket
from .queue import Queue

_RESERVED = 48
"""Descriptors that are left for everything else: files, pipes, what the process had open before."""


class Kernel:
    """Sockets and descriptors of the namespaces in use; ``netns`` is a name, or None for the caller's own.

    Use as a context manager. Every method raises NotFound for a namespace that is not there.
    """

    def __init__(self) -> None:
        self._files: dict[str | None, int] = {}
        self._identities: dict[str | None, str] = {}
        self._sockets: dict[str | None, dict[int, NetlinkSocket]] = {}
        self._indexes: dict[str | None, dict[str, int]] = {}
        self._fresh: dict[str, int] = {}
        self._first = 0
        self._shelf: dict[str, int] = {}
        self._queue: Queue | None = None
        self._shared = False
        self._capacity = descriptors.available() - _RESERVED

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_exc: object) -> None:
        for netns in [*self._files, *self._sockets]:
            self._close(netns)
        for netns in list(self._shelf):
            self.discard(netns)

    # ---- sending together

    @contextlib.contextmanager
    def gathering(self, problems: list[str] | None = None) -> t.Iterator[Queue]:
        """While the block runs, requests wait in the queue that it gets, until ``flush`` or a question sends them.

        ``problems`` collects refusals instead of raising them. What still waits when the block fails is never sent.
        """
        self._queue = Queue(problems)
        self._hand_out(self._queue)
        try:
            yield self._queue
        finally:
            self._queue = None
            self._hand_out(None)

    def _hand_out(self, queue: Queue | None) -> None:
        for socks in self._sockets.values():
            for sock in socks.values():
                sock.queue = queue

    def flush(self) -> None:
        """Send what waits. Raises KernelError when the kernel refuses some of it."""
        if self._queue is not None:
            self._queue.flush()

    # ---- namespaces

    def create(
        self, netns: str, *, alias: str, up: bool, settings: t.Mapping[str, str] | None = None, leftover: bool = False
    ) -> None:
        """Make a namespace that has its settings, and whose lo has the alias, before anybody can see it. Raises KernelError.

        ``leftover`` says that there is a file of this name, which is no namespace.
        """
        if not self._shared:
            namespaces.share_directory()
            self._shared = True

        def prepare() -> None:
            self._make_room()
            sock = NetlinkSocket(NETLINK_ROUTE)
            self._sockets[netns] = {NETLINK_ROUTE: sock}
            rtnl.change_link(sock, "lo", [["IFLA_IFALIAS", alias]], "mark a namespace", up=up or None)
            sock.queue = self._queue
            for name, value in (settings or {}).items():
                procsys.write(name, value)
            if not self._first:
                # Beside lo there may be what drivers of tunnels put into every namespace, such as sit0.
                self._first = 1 + max(index for index, _name in socket.if_nameindex())
            self._fresh[netns] = self._first

        try:
            namespaces.create(netns, prepare, leftover=leftover)
        except BaseException:
            self.forget(netns)
            raise

    def file(self, netns: str | None) -> int:
        """A descriptor of the namespace; it stays valid until ``forget``, or until room is needed for others."""
        if netns not in self._files:
            self._make_room()
            self._files[netns] = namespaces.open_file(netns)
        return self._files[netns]

    def _make_room(self) -> None:
        """A process may have fewer descriptors than a lab has namespaces: close those that were opened first."""
        while len(self._files) + len(self._sockets) + len(self._shelf) >= self._capacity:
            names = itertools.chain(self._sockets, self._files)
            oldest = next((name for name in names if name is not None), None)
            self.flush()
            if oldest is not None:
                self._close(oldest)
            elif self._shelf:
                self.discard(next(iter(self._shelf)))
            else:
                return

    @contextlib.contextmanager
    def inside(self, netns: str | None) -> t.Iterator[None]:
        """Run the block with this thread in the namespace."""
        self.flush()
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
        sock = self._sockets.get(netns, {}).get(family)
        if sock is None:
            self._make_room()
            with namespaces.inside(self.file(netns)) if netns is not None else contextlib.nullcontext():
                sock = NetlinkSocket(family)
            sock.queue = self._queue
            self._sockets.setdefault(netns, {})[family] = sock
        return sock

    # ---- interfaces

    def index(self, netns: str | None, name: str) -> int:
        """The number of an interface, asked for once. Raises NotFound, naming those that are there."""
        known = self._indexes.setdefault(netns, {})
        if name not in known:
            message = rtnl.get_link(self.rtnl(netns), name=name)
            if message is None:
                raise missing_interface(
                    netns, name, [each.get_attr("IFLA_IFNAME") for each in rtnl.dump_links(self.rtnl(netns))]
                )
            known[name] = int(message["index"])
        return known[name]

    def learn_indexes(self, netns: str | None, indexes: t.Mapping[str, int]) -> None:
        """All interfaces of a namespace were just listed."""
        self._indexes[netns] = dict(indexes)

    def choose_index(self, netns: str | None, name: str) -> int:
        """The number to make an interface with; 0, the kernel's choice, but in a namespace that this handle made.

        There it is the one that the kernel would choose anyway: of the other end of a cable it takes no wish (veth_newlink).
        """
        self.forget_index(netns, name)
        if netns is None or netns not in self._fresh:
            return 0
        chosen = self._fresh[netns]
        self._fresh[netns] += 1
        self._indexes.setdefault(netns, {})[name] = chosen
        return chosen

    def forget_index(self, netns: str | None, name: str) -> None:
        """An interface of this name goes, or another one comes."""
        self._indexes.get(netns, {}).pop(name, None)

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
        self._close(netns)
        self._indexes.pop(netns, None)
        self._identities.pop(netns, None)
        if netns is not None:
            self._fresh.pop(netns, None)

    def _close(self, netns: str | None) -> None:
        for sock in self._sockets.pop(netns, {}).values():
            sock.close()
        if netns in self._files:
            os.close(self._files.pop(netns))

    # ---- taking a name away, and giving it back

    def shelve(self, netns: str) -> None:
        """Take a namespace's name away but keep the namespace, with all that is in it, until ``discard``. Raises KernelError."""
        self.flush()
        with namespaces.inside(self.file(netns)):
            self._shelf[netns] = namespaces.open_file(None)
        self.forget(netns)
        namespaces.remove(netns)

    def unshelve(self, netns: str) -> bool:
        """Give a shelved namespace its name back; False when there is none. Raises KernelError."""
        if netns not in self._shelf:
            return False
        namespaces.attach(netns, self._shelf[netns])
        os.close(self._shelf.pop(netns))
        return True

    def shelved(self, netns: str) -> int | None:
        """A descriptor of a shelved namespace; None where it had to make room for others."""
        return self._shelf.get(netns)

    def discard(self, netns: str) -> None:
        """Let go of a shelved namespace: the kernel frees it when nobody else uses it."""
        if netns in self._shelf:
            os.close(self._shelf.pop(netns))
