# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets and answers inside network namespaces, with nothing but Python's standard library.

The tests copy this file into machines that have neither ``ip`` nor ``ping``, and it shares no line with the code under
test. Every command prints one JSON value. ``--netns`` is a name under /run/netns; without it the machine itself.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import fcntl
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import socketserver
import struct
import sys
import time
import typing as t

RUN = pathlib.Path("/run/netns")
CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 0x100000
SERVER_LIFE = 300  # seconds, so that a forgotten server does not live on

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    """Raise what the C library noted as the error of the last call."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def enter(netns: str | None) -> None:
    """Go into the named namespace, for good."""
    if netns:
        with (RUN / netns).open() as file:
            check(libc.setns(file.fileno(), CLONE_NEWNET))


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def outcome_of(error: OSError) -> str:
    """One word for how an attempt failed."""
    if isinstance(error, TimeoutError):  # on Python 3.9 socket.timeout is another class, and an OSError without errno
        return "timeout"
    if error.errno is None:
        return "timeout"
    words = {errno.ECONNREFUSED: "refused", errno.ENETUNREACH: "no route", errno.EHOSTUNREACH: "no neighbour"}
    return words.get(error.errno, errno.errorcode.get(error.errno, str(error)))


# Clients


def ping(to: str, source: str | None, seconds: float, size: int) -> dict[str, t.Any]:
    """One echo request with a random payload. The answer must carry the same payload and come from ``to``."""
    six = ":" in to
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    request_type, reply_type = (128, 129) if six else (8, 0)
    payload = os.urandom(size)
    number = os.getpid() & 0xFFFF
    packet = struct.pack("!BBHHH", request_type, 0, 0, number, 1) + payload
    if not six:
        packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
    with socket.socket(family_of(to), socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(seconds)
        if source:
            raw.bind((source, 0))
        end = time.monotonic() + seconds
        try:
            raw.sendto(packet, (to, 0))
            while time.monotonic() < end:
                raw.settimeout(max(0.001, end - time.monotonic()))
                data, sender = raw.recvfrom(65535)
                message = data if six else data[(data[0] & 15) * 4 :]
                if message[0] == reply_type and message[8:] == payload and sender[0] == to:
                    return {"outcome": "reached"}
        except OSError as error:
            return {"outcome": outcome_of(error)}
    return {"outcome": "timeout"}


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def ask(to: str, port: int, source: str | None, seconds: float) -> dict[str, t.Any]:
    """Fetch http://to:port/ and return what the server said about itself and about us."""
    client = http.client.HTTPConnection(to, port, timeout=seconds, source_address=(source, 0) if source else None)
    try:
        client.request("GET", "/")
        text = client.getresponse().read().decode()
    except OSError as error:
        return {"outcome": outcome_of(error)}
    except http.client.HTTPException as error:
        return {"outcome": type(error).__name__}
    finally:
        client.close()
    try:
        return {"outcome": "reached", **json.loads(text)}
    except ValueError:
        return {"outcome": "reached", "text": text}


def ask_udp(to: str, port: int, source: str | None, seconds: float) -> dict[str, t.Any]:
    """The same with one datagram."""
    with socket.socket(family_of(to), socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        if source:
            client.bind((source, 0))
        try:
            client.connect((to, port))
            client.send(b"who are you?")
            return {"outcome": "reached", **json.loads(client.recv(65535))}
        except OSError as error:
            return {"outcome": outcome_of(error)}


def advertise(link: str, prefix: str) -> dict[str, t.Any]:
    """Send one router advertisement (RFC 4861) for an on-link, autonomous /64 to everybody on a link."""
    option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 600, 600, 0) + socket.inet_pton(socket.AF_INET6, prefix)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(link))
        raw.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0) + option, ("ff02::1", 0))
    return {"outcome": "sent"}


def addresses6() -> list[str]:
    """The IPv6 addresses of the namespace."""
    rows = (line.split() for line in pathlib.Path("/proc/thread-self/net/if_inet6").read_text().splitlines())
    return [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])) for row in rows]


# Servers


class Web(http.server.BaseHTTPRequestHandler):
    """Says which server this is and who called."""

    token = ""

    def do_GET(self) -> None:
        body = json.dumps({"who": self.token, "caller": plain(self.client_address[0])}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Datagram(socketserver.BaseRequestHandler):
    """The same for datagrams."""

    token = ""

    def handle(self) -> None:
        sock = self.request[1]
        answer = {"who": self.token, "caller": plain(self.client_address[0])}
        sock.sendto(json.dumps(answer).encode(), self.client_address)


def plain(address: str) -> str:
    return address.replace("::ffff:", "")


class DualTCP(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


class DualUDP(socketserver.UDPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True


def serve(port: int, token: str, udp: bool) -> dict[str, t.Any]:
    """Start a server on both address families in the background, and return its process when it can be reached."""
    Web.token = Datagram.token = token
    server: socketserver.BaseServer = DualUDP(("::", port), Datagram) if udp else DualTCP(("::", port), Web)
    child = os.fork()
    if child:
        return {"pid": child}
    os.setsid()
    signal.alarm(SERVER_LIFE)
    with pathlib.Path(os.devnull).open("r+b") as nothing:
        for number in range(3):
            os.dup2(nothing.fileno(), number)
    server.serve_forever()
    raise AssertionError("a server does not end by itself")


# What is there


def link_mac(name: str) -> str:
    """SIOCGIFHWADDR, see netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, 0x8927, struct.pack("256s", name.encode()))
    return ":".join(f"{byte:02x}" for byte in answer[18:24])


def links() -> dict[str, str]:
    """Every link of the namespace with its MAC address."""
    return {name: link_mac(name) for _index, name in socket.if_nameindex()}


def neighbours() -> dict[str, str]:
    """The IPv4 neighbours that are resolved, with their MAC addresses."""
    rows = (line.split() for line in pathlib.Path("/proc/thread-self/net/arp").read_text().splitlines()[1:])
    return {row[0]: row[3] for row in rows if int(row[2], 16) & 2}


def sysctl(name: str) -> str:
    return pathlib.Path("/proc/sys", name.replace(".", "/")).read_text().strip()


def all_sysctls() -> dict[str, str]:
    """Every network setting that can be read, except those of single links and those that count."""
    found = {}
    for path in sorted(pathlib.Path("/proc/sys/net").rglob("*")):
        name = str(path.relative_to("/proc/sys"))
        if re.search(r"/(conf|neigh)/(?!all/|default/)", name) or re.search(r"nf_conntrack_count|/flush$|random", name):
            continue
        try:
            found[name] = path.read_text().strip()
        except OSError:
            continue
    return found


def namespaces() -> dict[str, int]:
    """The named namespaces with their inodes."""
    return {path.name: path.stat().st_ino for path in sorted(RUN.glob("*"))}


def multicast(sender: str, receiver: str, group: str, port: int) -> dict[str, t.Any]:
    """Send one datagram to a group from one namespace; the source address that a member in another one sees."""
    payload = os.urandom(16)
    enter(receiver)  # a socket stays in the namespace that it was opened in
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as member:
        member.bind(("", port))
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + bytes(4))
        member.settimeout(2)
        enter(sender)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(payload, (group, port))
        try:
            data, source = member.recvfrom(65535)
        except OSError as error:
            return {"outcome": outcome_of(error)}
    return {"outcome": "reached" if data == payload else "other", "caller": source[0]}


# The outside world: a namespace of its own, made with hand-packed netlink messages (rtnetlink(7), veth(4))


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def request(kind: int, flags: int, body: bytes) -> None:
    """Send one message and wait for the kernel's acknowledgement."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.send(struct.pack("IHHII", len(body) + 16, kind, flags | 0x5, 1, 0) + body)  # NLM_F_REQUEST | NLM_F_ACK
        code = -struct.unpack_from("i", sock.recv(65535), 16)[0]
        if code:
            raise OSError(code, os.strerror(code))


CREATE = 0x600  # NLM_F_CREATE | NLM_F_EXCL
NEWLINK, NEWADDR, NEWROUTE = 16, 20, 24


def add_veth(name: str, peer: str, netns_file: t.TextIO) -> None:
    end = bytes(16) + attribute(3, peer.encode() + b"\0") + attribute(28, struct.pack("I", netns_file.fileno()))
    info = attribute(1, b"veth") + attribute(2, attribute(1, end))
    request(NEWLINK, CREATE, bytes(16) + attribute(3, name.encode() + b"\0") + attribute(18, info))


def set_up(name: str) -> None:
    request(NEWLINK, 0, struct.pack("BxHiII", 0, 0, socket.if_nametoindex(name), 1, 1))


def add_address(link: str, address: str) -> None:
    plain_address, prefix = address.split("/")
    family = family_of(plain_address)
    value = socket.inet_pton(family, plain_address)
    head = struct.pack("BBBBI", family, int(prefix), 0x02, 0, socket.if_nametoindex(link))  # IFA_F_NODAD
    request(NEWADDR, CREATE, head + attribute(1, value) + attribute(2, value))


def add_route(destination: str, gateway: str) -> None:
    network, prefix = destination.split("/")
    family = family_of(network)
    head = struct.pack("BBBBBBBBI", family, int(prefix), 0, 0, 254, 4, 0, 1, 0)  # main, static, universe, unicast
    target = attribute(1, socket.inet_pton(family, network)) if int(prefix) else b""
    request(NEWROUTE, CREATE, head + target + attribute(5, socket.inet_pton(family, gateway)))


def add_netns(name: str) -> None:
    """As `ip netns add` does it, see iproute2's ip/ipnetns.c."""
    RUN.mkdir(exist_ok=True)
    if libc.mount(b"", str(RUN).encode(), b"none", MS_SHARED | MS_REC, None) < 0:
        check(libc.mount(str(RUN).encode(), str(RUN).encode(), b"none", MS_BIND | MS_REC, None))
        check(libc.mount(b"", str(RUN).encode(), b"none", MS_SHARED | MS_REC, None))
    path = RUN / name
    path.touch(exist_ok=False)
    child = os.fork()
    if not child:
        check(libc.unshare(CLONE_NEWNET))
        check(libc.mount(b"/proc/thread-self/ns/net", str(path).encode(), b"none", MS_BIND, None))
        set_up("lo")
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise OSError(f"the namespace {name} could not be made")


def make_outside() -> dict[str, t.Any]:
    """A LAN behind the machine's uplink: a host 192.168.1.50 that also stands for 8.8.8.8, and knows no way to any lab."""
    if (RUN / "outside").exists():
        return {"changed": False}
    add_netns("outside")
    with (RUN / "outside").open() as file:
        add_veth("uplink", "eth0", file)
    set_up("uplink")
    add_address("uplink", "192.168.1.2/24")
    add_address("uplink", "2001:db8:1::2/64")
    child = os.fork()
    if not child:
        enter("outside")
        set_up("eth0")
        for address in ("192.168.1.50/24", "8.8.8.8/32", "2001:db8:1::50/64", "2001:4860:4860::8888/128"):
            add_address("eth0", address)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise OSError("the outside could not be given its addresses")
    add_route("0.0.0.0/0", "192.168.1.50")
    add_route("::/0", "2001:db8:1::50")
    return {"changed": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--netns")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("ping", "ask", "ask-udp"):
        client = commands.add_parser(name)
        client.add_argument("to")
        if name != "ping":
            client.add_argument("port", type=int)
        else:
            client.add_argument("--size", type=int, default=56)
        client.add_argument("--source")
        client.add_argument("--seconds", type=float, default=1.0)
    for name in ("serve", "serve-udp"):
        server = commands.add_parser(name)
        server.add_argument("port", type=int)
        server.add_argument("token")
    commands.add_parser("sysctl").add_argument("name")
    group = commands.add_parser("multicast")
    group.add_argument("receiver")
    group.add_argument("group")
    group.add_argument("port", type=int)
    router = commands.add_parser("advertise")
    router.add_argument("link")
    router.add_argument("prefix")
    for name in ("addresses6", "links", "neighbours", "all-sysctls", "namespaces", "make-outside"):
        commands.add_parser(name)
    args = parser.parse_args()
    enter(args.netns)
    actions: dict[str, t.Callable[[], t.Any]] = {
        "ping": lambda: ping(args.to, args.source, args.seconds, args.size),
        "ask": lambda: ask(args.to, args.port, args.source, args.seconds),
        "ask-udp": lambda: ask_udp(args.to, args.port, args.source, args.seconds),
        "serve": lambda: serve(args.port, args.token, udp=False),
        "serve-udp": lambda: serve(args.port, args.token, udp=True),
        "multicast": lambda: multicast(args.netns, args.receiver, args.group, args.port),
        "sysctl": lambda: sysctl(args.name),
        "advertise": lambda: advertise(args.link, args.prefix),
        "addresses6": addresses6,
        "links": links,
        "neighbours": neighbours,
        "all-sysctls": all_sysctls,
        "namespaces": namespaces,
        "make-outside": make_outside,
    }
    json.dump(actions[args.command](), sys.stdout)
    print()


if __name__ == "__main__":
    main()
