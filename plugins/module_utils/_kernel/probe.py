# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Real packets: echo requests, TCP connections and datagrams sent from a namespace, and listeners that answer there.

A socket belongs to the namespace it was made in for good. So a thread enters a namespace only for the moment in which
it makes one, and all the waiting is done at home.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import json
import os
import secrets
import select
import selectors
import socket
import struct
import threading
import time
import typing as t

from .._errors import InvalidInput, KernelError
from . import namespaces

REACHED, REFUSED, UNREACHABLE, TIMEOUT = "reached", "refused", "unreachable", "timeout"

_UNREACHABLE = (
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EACCES,  # a route of type prohibit, or an answer 'administratively prohibited'
    errno.EPERM,  # dropped by the sender's own firewall
    errno.EINVAL,  # a route of type blackhole
    errno.ENOBUFS,  # the interface has no carrier
    errno.EPROTO,  # answers to IPv6: a parameter problem
)
_RECVERR = {4: (0, 11), 6: (41, 25)}  # IP_RECVERR, IPV6_RECVERR: linux/in.h, linux/in6.h
_IP_PKTINFO = 8  # linux/in.h; the socket module names it from Python 3.14 on
_ICMP = {4: 1, 6: 58}  # protocol numbers
_ECHO_REQUEST, _ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}  # RFC 792, RFC 4443
_NO_WAY = {4: (3, 11), 6: (1, 3)}  # destination unreachable, time exceeded
_AGAIN = 0.5  # seconds until a packet without an answer is sent once more
_MOST = 65535


class Reply(t.NamedTuple):
    """What came of one probe: the outcome, who answered, and what a listener of ours said."""

    outcome: str
    source: str = ""
    """The address that the answer, or the refusal, came from; '' when unknown."""
    token: str = ""
    """The token of the listener that answered; '' when none of ours did."""
    seen_as: str = ""
    """The address that the listener saw the probe come from."""
    rtt: float | None = None
    """Seconds from sending to the answer."""


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _open(netns: str | None, address: str, kind: int, protocol: int = 0) -> tuple[socket.socket, tuple[t.Any, ...]]:
    """A socket of the namespace, and the address as that namespace numbers its interfaces.

    Raises NotFound, InvalidInput for an interface that is not there, KernelError; OSError where there is no IPv6.
    """
    host, _percent, zone = address.partition("%")
    fd = namespaces.open_file(netns)
    try:
        with namespaces.inside(fd):
            scope = _scope(zone, netns) if zone else 0
            sock = socket.socket(_family(address), kind | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            raise
        hint = " This needs root: set become: true." if error.errno == errno.EPERM else ""
        raise KernelError(f"could not open a socket: {error.strerror}.{hint}", errno=error.errno or 0) from None
    finally:
        os.close(fd)
    return sock, (host, 0, 0, scope) if _version(address) == 6 else (host, 0)


def _scope(zone: str, netns: str | None) -> int:
    try:
        return socket.if_nametoindex(zone)
    except OSError:
        raise InvalidInput(
            f"%{zone}: there is no interface {zone} in {_where(netns)}; give one that is there."
        ) from None


def _bind(sock: socket.socket, source: str | None, netns: str | None, option: str) -> None:
    if source is None:
        return
    try:
        sock.bind((source, 0))
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        raise InvalidInput(
            f"{option}: {source} is no address of {_where(netns)}; give one that an interface there has, or leave it out."
        ) from None


def _where(netns: str | None) -> str:
    return f"namespace {netns}" if netns else "the namespace the module runs in"


def send(
    *,
    netns: str | None,
    to: str,
    protocol: str,
    port: int | None,
    source: str | None,
    timeout: float,
    converse: bool,
    option: str = "source",
) -> Reply:
    """Send one probe and wait for what comes of it, at most ``timeout`` seconds.

    With ``converse`` a TCP probe also reads what the other side says first. ``option`` names the source in errors.
    Raises NotFound for the namespace, InvalidInput for a source that is not there, KernelError.
    """
    kind, number = {
        "icmp": (socket.SOCK_RAW, _ICMP[_version(to)]),
        "tcp": (socket.SOCK_STREAM, 0),
        "udp": (socket.SOCK_DGRAM, 0),
    }[protocol]
    try:
        sock, target = _open(netns, to, kind, number)
    except OSError:
        return Reply(UNREACHABLE)  # a kernel without IPv6
    with sock:
        _bind(sock, source, netns, option)
        try:
            if protocol == "icmp":
                return _echo(sock, target, _version(to), timeout)
            target = (target[0], port, *target[2:])
            return (
                _connect(sock, target, timeout, converse)
                if protocol == "tcp"
                else _exchange(sock, target, _version(to), timeout)
            )
        except OSError as error:
            return _judged(error, protocol, to)


def _judged(error: OSError, protocol: str, to: str) -> Reply:
    if isinstance(error, socket.timeout) or error.errno in (errno.ETIMEDOUT, errno.EAGAIN):
        return Reply(TIMEOUT)
    if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET):
        return Reply(REFUSED)
    if error.errno in _UNREACHABLE:
        return Reply(UNREACHABLE)
    raise KernelError(f"could not probe {to} by {protocol}: {error.strerror}.", errno=error.errno or 0) from None


# ---- ICMP and ICMPv6 echo


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _echo(sock: socket.socket, target: tuple[t.Any, ...], version: int, timeout: float) -> Reply:
    """Echo requests with a random identifier and payload until one is answered with both."""
    identifier, payload = secrets.token_bytes(2), secrets.token_bytes(32)
    sent: list[float] = []

    def again() -> None:
        body = identifier + struct.pack("!H", len(sent)) + payload
        head = struct.pack("!BB", _ECHO_REQUEST[version], 0)
        sum_ = _checksum(head + b"\0\0" + body) if version == 4 else 0  # the kernel fills in ICMPv6's
        sent.append(time.monotonic())
        sock.sendto(head + struct.pack("!H", sum_) + body, target)

    for data, peer, now in _answers(sock, timeout, again):
        message = data[(data[0] & 15) * 4 :] if version == 4 else data
        if len(message) < 8:
            continue
        if message[0] == _ECHO_REPLY[version] and message[4:6] == identifier and message[8:] == payload:
            number = struct.unpack("!H", message[6:8])[0]
            return Reply(REACHED, peer[0], rtt=now - sent[number] if number < len(sent) else None)
        if message[0] in _NO_WAY[version] and _quoted(message[8:], version)[4:6] == identifier:
            return Reply(UNREACHABLE, peer[0])
    return Reply(TIMEOUT)


def _quoted(packet: bytes, version: int) -> bytes:
    """The ICMP message inside a packet that an error quotes."""
    return packet[40:] if version == 6 else packet[(packet[0] & 15) * 4 :] if packet else b""


def _answers(
    sock: socket.socket, timeout: float, again: t.Callable[[], None]
) -> t.Iterator[tuple[bytes, t.Any, float]]:
    """Send now and at intervals; yield what arrives, with the sender and the time, until ``timeout`` seconds are over."""
    start = time.monotonic()
    due = start
    while True:
        now = time.monotonic()
        if now >= start + timeout:
            return
        if now >= due:
            again()
            due += _AGAIN
        if select.select([sock], [], [], max(0.0, min(due, start + timeout) - time.monotonic()))[0]:
            data, peer = sock.recvfrom(_MOST)
            yield data, peer, time.monotonic()


# ---- TCP and UDP


def _connect(sock: socket.socket, target: tuple[t.Any, ...], timeout: float, converse: bool) -> Reply:
    start = time.monotonic()
    sock.settimeout(timeout)
    sock.connect(target)
    rtt = time.monotonic() - start
    token = seen_as = ""
    if converse:
        with contextlib.suppress(OSError):  # it was reached, whatever it says or does not say
            sock.settimeout(max(0.01, start + timeout - time.monotonic()))
            token, seen_as = _understood(sock.recv(1024))
    return Reply(REACHED, sock.getpeername()[0] if token else target[0], token, seen_as, rtt)


def _exchange(sock: socket.socket, target: tuple[t.Any, ...], version: int, timeout: float) -> Reply:
    sent: list[float] = []
    sock.setsockopt(*_RECVERR[version], 1)
    sock.connect(target)

    def again() -> None:
        sent.append(time.monotonic())
        sock.send(secrets.token_bytes(16))

    for data, peer, now in _answers(sock, timeout, again):
        token, seen_as = _understood(data)
        return Reply(REACHED, peer[0], token, seen_as, now - sent[-1])
    return Reply(TIMEOUT)


def _understood(data: bytes) -> tuple[str, str]:
    """The token and the client's address in a listener's answer; empty when somebody else answered."""
    try:
        said = json.loads(data)
        return str(said["patchbay"]), str(said["seen_as"])
    except (ValueError, KeyError, TypeError):
        return "", ""


# ---- listeners


class Listeners:
    """Listeners that answer everyone with a token of their own. A context manager: at its end all are gone."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[t.Any, ...], str] = {}
        self._selector = selectors.DefaultSelector()
        self._end, self._stop = os.pipe2(os.O_CLOEXEC)
        self._selector.register(self._end, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.write(self._stop, b"x")
        if self._thread.ident is not None:
            self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        os.close(self._end)
        os.close(self._stop)

    def start(self, *, netns: str | None, protocol: str, address: str, port: int, option: str) -> str:
        """Listen, unless it is done already; returns the token, '' when somebody else listens there.

        ``option`` names the address in errors. Raises InvalidInput for an address that is not there, NotFound, KernelError.
        """
        key = (netns, protocol, address, port)
        if key not in self._tokens:
            self._tokens[key] = self._listen(*key, option)
        return self._tokens[key]

    def run(self) -> None:
        """Begin to answer: after the last ``start``."""
        if any(self._tokens.values()):
            self._thread.start()

    def _listen(self, netns: str | None, protocol: str, address: str, port: int, option: str) -> str:
        sock, target = _open(netns, address, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
        try:
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if protocol == "tcp":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((target[0], port, *target[2:]))
            if protocol == "tcp":
                sock.listen(128)
            else:
                sock.setsockopt(
                    *(
                        (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)
                        if ":" in address
                        else (socket.IPPROTO_IP, _IP_PKTINFO)
                    ),
                    1,
                )
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                return ""
            if error.errno == errno.EADDRNOTAVAIL:
                raise InvalidInput(
                    f"{option}: {address} is no address of {_where(netns)}; give one that an interface there has, or leave it out."
                ) from None
            raise KernelError(
                f"could not listen on port {port} in {_where(netns)}: {error.strerror}.", errno=error.errno or 0
            ) from None
        token = secrets.token_hex(8)
        self._selector.register(sock, selectors.EVENT_READ, token)
        return token

    def _serve(self) -> None:
        while True:
            for key, _events in self._selector.select():
                if key.fd == self._end:
                    return
                sock = t.cast(socket.socket, key.fileobj)
                with contextlib.suppress(OSError):  # the client has gone
                    (_accept if sock.type & socket.SOCK_STREAM == socket.SOCK_STREAM else _reply)(sock, key.data)


def _accept(sock: socket.socket, token: str) -> None:
    connection, peer = sock.accept()
    with connection:
        connection.sendall(_said(token, peer))


def _reply(sock: socket.socket, token: str) -> None:
    """Answer from the address that was asked, whichever of the namespace's addresses it is."""
    _data, info, _flags, peer = sock.recvmsg(_MOST, 256)
    ancillary: list[tuple[int, int, bytes]] = []
    for level, kind, value in info:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            ancillary.append((level, kind, value[:16] + bytes(4)))
        elif (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            ancillary.append(
                (level, kind, bytes(4) + value[4:8] + bytes(4))
            )  # struct in_pktinfo: ipi_spec_dst is the second
    sock.sendmsg([_said(token, peer)], ancillary, 0, peer)


def _said(token: str, peer: t.Any) -> bytes:
    return json.dumps({"patchbay": token, "seen_as": str(ipaddress.ip_address(peer[0].partition("%")[0]))}).encode()
