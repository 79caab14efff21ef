# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first two messages of SCTP (RFC 9260) by hand, so that a kernel without SCTP can tell where they go.

A client sends INIT; the server answers INIT ACK with its token and the client's address in the cookie. A packet whose
CRC32c is wrong is not taken for one: who translates ports has to compute it anew.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import secrets
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple

import packets
from packets import Answer, open_socket

PROTOCOL = 132
_INIT, _INIT_ACK, _ABORT = 1, 2, 6  # RFC 9260, 3.2
_COOKIE = 7  # RFC 9260, 3.3.3
_BODY = struct.Struct("!IIHHI")  # initiate tag, window, streams out and in, first sequence number


def crc32c(data: bytes) -> int:
    """The checksum of SCTP (RFC 9260, appendix A), with the bits of the polynomial mirrored."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _bit in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def _packet(ports: tuple[int, int], tag: int, kind: int, parameters: bytes = b"") -> bytes:
    chunk = _BODY.pack(secrets.randbits(31) + 1 if kind == _INIT else 1, 65536, 1, 1, 1) + parameters
    chunk = struct.pack("!BBH", kind, 0, 4 + len(chunk)) + chunk
    head = struct.pack("!HHI", *ports, tag)
    # The checksum is the one field that is not in network order (RFC 9260, appendix A).
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


class _Message(NamedTuple):
    """A packet as it was received. ``initiate`` is the tag that answers to it bear."""

    source_port: int
    port: int
    tag: int
    kind: int
    initiate: int
    rest: bytes


def _understood(data: bytes, family: int) -> _Message | None:
    """None when it is no SCTP packet, or a broken one."""
    if family == socket.AF_INET:
        data = data[(data[0] & 15) * 4 :]
    if len(data) < 16 or crc32c(data[:8] + bytes(4) + data[12:]) != int.from_bytes(data[8:12], "little"):
        return None
    source_port, port, tag = struct.unpack_from("!HHI", data)
    initiate = int.from_bytes(data[16:20], "big")
    return _Message(source_port, port, tag, data[12], initiate, data[16 + _BODY.size :])


def probe(
    netns: str | None, to: str, port: int, *, timeout: float = packets.TIMEOUT, source: str = "", source_port: int = 0
) -> Answer:
    """Send INIT and wait for INIT ACK. An ABORT, or that the other machine has no SCTP at all, counts as refused."""
    kind = packets.family(to)
    own = source_port or secrets.randbelow(20000) + 40000
    init = _packet((own, port), 0, _INIT)
    outcome = "timeout"
    with open_socket(netns, kind, socket.SOCK_RAW, PROTOCOL) as sock:
        if source:
            sock.bind((source, 0))
        sock.connect((to, 0))
        start = time.monotonic()
        try:
            sock.send(init)
            while select.select([sock], [], [], max(0.0, start + timeout - time.monotonic()))[0]:
                data, peer = sock.recvfrom(65535)
                found = _understood(data, kind)
                if found is not None and found.kind == _INIT and (found.source_port, found.port) == (own, port):
                    return Answer("refused")  # it came back to the socket that sent it: nobody else takes it here
                if found is None or (found.source_port, found.port) != (port, own):
                    continue
                if found.kind == _ABORT:
                    outcome = "refused"
                if found.kind == _INIT_ACK and found.tag == int.from_bytes(init[16:20], "big"):
                    said = json.loads(found.rest[4 : int.from_bytes(found.rest[2:4], "big")])
                    seen = tuple(said["peer"])
                    return Answer("reached", peer[0], said["token"], seen, time.monotonic() - start)
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENOPROTOOPT, errno.EPROTO):  # as ICMP and ICMPv6 say it
                return Answer("refused")
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM):
                return Answer("unreachable")
            raise
    return Answer(outcome)


@dataclass
class SctpServer:
    """Answers INIT for both IP versions, from the moment it is made."""

    netns: str | None
    port: int
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    peers: list[tuple] = field(default_factory=list)
    """The (address, port) of every client so far."""

    def __post_init__(self) -> None:
        self._sockets = [
            open_socket(self.netns, family, socket.SOCK_RAW, PROTOCOL) for family in (socket.AF_INET, socket.AF_INET6)
        ]
        self._ends, self._end = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            ready = select.select([*self._sockets, self._ends], [], [])[0]
            if self._ends in ready:
                return
            for sock in ready:
                self._reply(sock)

    def _reply(self, sock: socket.socket) -> None:
        data, peer = sock.recvfrom(65535)
        found = _understood(data, sock.family)
        if found is None or found.kind != _INIT or found.port != self.port:
            return
        client = (str(ipaddress.ip_address(peer[0])), found.source_port)
        self.peers.append(client)
        cookie = json.dumps({"token": self.token, "peer": client}).encode()
        padding = b"\0" * (-len(cookie) % 4)
        parameter = struct.pack("!HH", _COOKIE, 4 + len(cookie)) + cookie + padding
        sock.sendto(_packet((self.port, found.source_port), found.initiate, _INIT_ACK, parameter), (peer[0], 0))

    def close(self) -> None:
        """Stop answering."""
        os.write(self._end, b"x")
        self._thread.join()
        for sock in self._sockets:
            sock.close()
        os.close(self._end)
        os.close(self._ends)
