# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real packets from plain sockets: pings, and servers whose random token proves who answered."""

from __future__ import annotations

import contextlib
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
from collections.abc import Iterator
from dataclasses import dataclass, field

from world import inside

TIMEOUT = 2.0
"""Seconds to wait for an answer that should come. Nothing waits this long unless it is about to fail."""
SHORT = 0.4
"""Seconds to wait for an answer that should not come."""
AT_ONCE = 0.95
"""Seconds within which an answer came without a retry: who asked for a neighbour in vain asks again after 1 s (RFC 4861, 10)."""

_ECHO = {4: (8, 0), 6: (128, 129)}  # request and reply, RFC 792 and RFC 4443
_UNREACHABLE = (
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.EACCES,
    errno.EPERM,
    errno.EADDRNOTAVAIL,
    errno.EINVAL,
    errno.ENOBUFS,
)


def family(address: str) -> socket.AddressFamily:
    """The address family of a literal address."""
    return socket.AF_INET6 if ipaddress.ip_address(address.split("%")[0]).version == 6 else socket.AF_INET


def _target(address: str, port: int) -> tuple:
    return socket.getaddrinfo(address, port, flags=socket.AI_NUMERICHOST, type=socket.SOCK_DGRAM)[0][4]


def open_socket(netns: str | None, *args: int) -> socket.socket:
    """A socket of the namespace; it works there from wherever it is used."""
    return inside(netns, socket.socket, *args)


@dataclass(frozen=True)
class Answer:
    """What came of a probe. True when an answer came.

    ``token`` is the server's own, ``seen`` the (address, port) that the server saw the probe come from, ``source`` the
    address that the answer came from.
    """

    outcome: str
    """reached, refused, unreachable or timeout."""
    source: str = ""
    token: str = ""
    seen: tuple = ()
    rtt: float = 0.0

    def __bool__(self) -> bool:
        return self.outcome == "reached"


def ping(
    netns: str | None,
    to: str,
    *,
    timeout: float = TIMEOUT,
    size: int = 32,
    source: str = "",
    dont_fragment: bool = False,
) -> Answer:
    """One echo request with a random identifier and payload; the reply must carry both."""
    kind = family(to)
    version = 6 if kind == socket.AF_INET6 else 4
    request, reply = _ECHO[version]
    identifier, payload = secrets.randbelow(1 << 16), secrets.token_bytes(size)
    with _in_host_scope(open_socket(netns, kind, socket.SOCK_RAW, 1 if version == 4 else 58)) as sock:
        try:
            if dont_fragment:
                sock.setsockopt(socket.IPPROTO_IP, 10, 3)  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE
            if source:
                sock.bind((source, 0))
            start = time.monotonic()
            sock.sendto(_echo(request, identifier, payload), _target(to, 0))
        except OSError as error:
            return _failed(error)
        while time.monotonic() < start + timeout:
            if not select.select([sock], [], [], max(0, start + timeout - time.monotonic()))[0]:
                break
            data, peer = sock.recvfrom(65535)
            body = data[(data[0] & 15) * 4 :] if version == 4 else data
            if body[0] == reply and body[4:6] == struct.pack("!H", identifier) and body[8:] == payload:
                return Answer("reached", peer[0], rtt=time.monotonic() - start)
    return Answer("timeout")


@contextlib.contextmanager
def _in_host_scope(sock: socket.socket) -> Iterator[socket.socket]:
    with sock:
        yield sock


def _echo(kind: int, identifier: int, payload: bytes) -> bytes:
    """An echo request; the kernel fills in the checksum for ICMPv6, not for ICMP."""
    data = struct.pack("!BBHHH", kind, 0, 0, identifier, 1) + payload
    return data[:2] + struct.pack("!H", checksum(data)) + data[4:]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _failed(error: OSError) -> Answer:
    if isinstance(error, (TimeoutError, socket.timeout)) or error.errno in (errno.ETIMEDOUT, errno.EAGAIN):
        return Answer("timeout")
    if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET):
        return Answer("refused")
    if error.errno in _UNREACHABLE:
        return Answer("unreachable")
    raise error


def _answer(data: bytes, sock: socket.socket, start: float) -> Answer:
    said = json.loads(data) if data else {"token": "", "peer": ()}
    return Answer("reached", sock.getpeername()[0], said["token"], tuple(said["peer"]), time.monotonic() - start)


def tcp(
    netns: str | None, to: str, port: int, *, timeout: float = TIMEOUT, source: str = "", source_port: int = 0
) -> Answer:
    """Connect and read what the server says."""
    with open_socket(netns, family(to), socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        start = time.monotonic()
        try:
            if source or source_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((source, source_port))
            sock.connect(_target(to, port))
            data = b"".join(iter(lambda: sock.recv(4096), b""))
        except OSError as error:
            return _failed(error)
        return _answer(data, sock, start)


def udp(
    netns: str | None, to: str, port: int, *, timeout: float = TIMEOUT, source: str = "", source_port: int = 0
) -> Answer:
    """Send one datagram and read the answer to it."""
    with open_socket(netns, family(to), socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        start = time.monotonic()
        try:
            if source or source_port:
                sock.bind((source, source_port))
            sock.connect(_target(to, port))
            sock.send(secrets.token_bytes(16))
            data = sock.recv(65535)
        except OSError as error:
            return _failed(error)
        return _answer(data, sock, start)


@dataclass
class Server:
    """Listens in a namespace from the moment it is made, and tells every client its token and the client's address."""

    netns: str | None
    port: int
    protocol: str = "tcp"
    address: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    peers: list[tuple] = field(default_factory=list)
    """The (address, port) of every client so far."""

    def __post_init__(self) -> None:
        kind = family(self.address) if self.address else socket.AF_INET6
        self._socket = open_socket(
            self.netns, kind, socket.SOCK_STREAM if self.protocol == "tcp" else socket.SOCK_DGRAM
        )
        try:
            self._listen(kind)
        except BaseException:
            self._socket.close()
            raise
        self._ends, self._end = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _listen(self, kind: int) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == socket.AF_INET6 and not self.address:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        self._socket.bind((self.address, self.port))
        self.port = self._socket.getsockname()[1]
        if self.protocol == "tcp":
            self._socket.listen(64)

    def _serve(self) -> None:
        while True:
            ready = select.select([self._socket, self._ends], [], [])[0]
            if self._ends in ready:
                return
            with contextlib.suppress(OSError):
                (self._accept if self.protocol == "tcp" else self._reply)()

    def _accept(self) -> None:
        connection, peer = self._socket.accept()
        with connection:
            connection.sendall(self._said(peer))
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(TIMEOUT)
            while connection.recv(4096):
                pass

    def _reply(self) -> None:
        _data, info, _flags, peer = self._socket.recvmsg(65535, 256)
        # The answer leaves from the address that was asked, whichever of the namespace's it is.
        same = [
            (level, kind, value)
            for level, kind, value in info
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
        ]
        self._socket.sendmsg(
            [self._said(peer)], [(level, kind, value[:16] + b"\0\0\0\0") for level, kind, value in same], 0, peer
        )

    def _said(self, peer: tuple) -> bytes:
        address = ipaddress.ip_address(peer[0].split("%")[0])
        client = (str(getattr(address, "ipv4_mapped", None) or address), peer[1])
        self.peers.append(client)
        return json.dumps({"token": self.token, "peer": client}).encode()

    def close(self) -> None:
        """Stop listening. Returns when the port is free."""
        if self._thread.is_alive():
            os.write(self._end, b"x")
            self._thread.join()
            os.close(self._end)
            os.close(self._ends)
            self._socket.close()
