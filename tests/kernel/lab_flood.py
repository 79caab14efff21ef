# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Traffic that notices everything: numbered pings and a numbered TCP stream between two namespaces, from a process of its own."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import socket
import struct
import time
from dataclasses import dataclass

from packets import _echo, family, open_socket

_PACE = 0.001  # seconds between two pings
_GRACE = 3.0  # seconds for the last answers to come
_BUFFER = 1 << 22
_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_TCP_INFO, _RETRANSMITTED, _NEEDLESS = 11, 100, 216
"""linux/tcp.h: offsets of tcpi_total_retrans and tcpi_dsack_dups in struct tcp_info."""


@dataclass
class Report:
    """What came of a flood."""

    pings: int = 0
    lost: int = 0
    numbers: int = 0
    """How many numbers the stream sent."""
    missing: int = 0
    """How many of them did not arrive in order."""
    resent: int = 0
    """Segments that had to be sent again because they were lost; those sent again only for lack of patience don't count."""


class Flood:
    """Runs from the moment it is made until ``stop``."""

    def __init__(self, client: str | None, server: str | None, address: str) -> None:
        kind = family(address)
        raw = open_socket(client, kind, socket.SOCK_RAW, 1 if kind == socket.AF_INET else 58)
        sender, receiver = _stream(client, server, address, kind)
        self._end, self._answer = os.pipe(), os.pipe()
        self._child = os.fork()
        if self._child == 0:
            try:
                os.close(self._end[1])
                report = _Flooding(raw, sender, receiver, address, kind).run(self._end[0])
                os.write(self._answer[1], pickle.dumps(report))
            finally:
                os._exit(0)
        for sock in (raw, sender, receiver):
            sock.close()
        os.close(self._end[0])
        os.close(self._answer[1])

    def stop(self) -> Report:
        """End it, when the last answers have had time to come."""
        os.write(self._end[1], b"x")  # closing would not do: processes forked meanwhile have the pipe open, too
        os.close(self._end[1])
        with os.fdopen(self._answer[0], "rb") as answer:
            data = answer.read()
        os.waitpid(self._child, 0)
        assert data, "the flood died"
        report = pickle.loads(data)
        assert isinstance(report, Report)
        return report


def _stream(client: str | None, server: str | None, address: str, kind: int) -> tuple[socket.socket, socket.socket]:
    with open_socket(server, kind, socket.SOCK_STREAM) as listener:
        listener.bind((address, 0))
        listener.listen(1)
        sender = open_socket(client, kind, socket.SOCK_STREAM)
        sender.settimeout(5)
        sender.connect(listener.getsockname())
        receiver, _peer = listener.accept()
    sender.setblocking(False)
    receiver.setblocking(False)
    return sender, receiver


class _Flooding:
    """The loop in the child process."""

    def __init__(
        self, raw: socket.socket, sender: socket.socket, receiver: socket.socket, address: str, kind: int
    ) -> None:
        self.raw, self.sender, self.receiver = raw, sender, receiver
        raw.setsockopt(socket.SOL_SOCKET, 33, _BUFFER)  # SO_RCVBUFFORCE
        raw.setblocking(False)
        self.address, self.kind = address, kind
        self.identifier = os.getpid() & 0xFFFF
        self.report = Report()
        self.waiting: set[int] = set()
        self.out = b""
        self.into = b""
        self.expected = 0

    def run(self, end: int) -> Report:
        going, last = True, 0.0
        while going or (time.monotonic() < last + _GRACE and (self.waiting or self.expected < self.report.numbers)):
            now = time.monotonic()
            if going and now >= last + _PACE:
                last = now
                self._ping()
                self._write()
            ready = select.select([self.raw, self.receiver, *([end] if going else [])], [], [], _PACE)[0]
            if self.raw in ready:
                self._pong()
            if self.receiver in ready:
                self._read()
            if end in ready:
                going, last = False, time.monotonic()
            if self.out and not going:
                self._write(more=False)
        self.report.lost = len(self.waiting)
        self.report.missing = self.report.numbers - self.expected
        info = self.sender.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
        again, needless = (struct.unpack_from("=I", info, offset)[0] for offset in (_RETRANSMITTED, _NEEDLESS))
        self.report.resent = max(0, again - needless)
        return self.report

    def _ping(self) -> None:
        number = self.report.pings
        self.report.pings += 1
        self.waiting.add(number)
        with contextlib.suppress(OSError):  # no route is as good as lost: the number stays among those waited for
            self.raw.sendto(_echo(_REQUEST[self.kind], self.identifier, struct.pack("!I", number)), (self.address, 0))

    def _pong(self) -> None:
        while True:
            try:
                data = self.raw.recv(2048)
            except BlockingIOError:
                return
            body = data[(data[0] & 15) * 4 :] if self.kind == socket.AF_INET else data
            if body[0] == _REPLY[self.kind] and body[4:6] == struct.pack("!H", self.identifier):
                self.waiting.discard(struct.unpack_from("!I", body, 8)[0])

    def _write(self, *, more: bool = True) -> None:
        if more and not self.out:
            self.out = b"".join(struct.pack("!I", self.report.numbers + index) for index in range(64))
            self.report.numbers += 64
        with contextlib.suppress(BlockingIOError):
            self.out = self.out[self.sender.send(self.out) :]

    def _read(self) -> None:
        self.into += self.receiver.recv(1 << 16)
        whole = len(self.into) // 4
        for (number,) in struct.iter_unpack("!I", self.into[: whole * 4]):
            self.expected += number == self.expected
        self.into = self.into[whole * 4 :]
