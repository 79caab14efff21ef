# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many connections per second pass a forward that has a thousand neighbours, next to rules written by hand.

The rules are asked once per connection, at its first packet. Real packets go from a namespace outside through this one
to a target behind it, each connection from an address and port that was never seen before: else the kernel would
remember the answer, and not ask. The port that is connected to is the last one in the list.

Nothing waits for another process. The kernel completes handshakes while the server's queue has room, and a packet crosses
both cables within the call that sends it; so what is timed is one CPU at work, and comparable on a busy machine too.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "kernel"))

import world
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import execute
from ansible_collections.patchbay.netns.plugins.module_utils._objects.forward import Forward
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat import Nat

FEW, MANY = 1, 1000
CONNECTIONS = 2000  # in one measurement
EXT, TARGET = "bench-ext", "bench-target"
HOST, SERVER = "198.18.0.1", "10.65.0.2"
PORT, INSIDE = 10000, 80  # of the first forward, and where all of them lead
_QUEUE = 1 << 16
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h

_HERE = f"""
link add {EXT} type veth peer name eth0 netns {EXT}
link add {TARGET} type veth peer name eth0 netns {TARGET}
addr add {HOST}/24 dev {EXT}
addr add 10.65.255.254/16 dev {TARGET}
link set {EXT} up
link set {TARGET} up
route add 100.64.0.0/10 via 198.18.0.2
"""
# Every address of 100.64.0.0/10 is one of EXT's own: as many clients.
_IN_EXT = """
link set lo up
addr add 198.18.0.2/24 dev eth0
link set eth0 up
route add local 100.64.0.0/10 dev lo
"""
_IN_TARGET = f"""
link set lo up
addr add {SERVER}/16 dev eth0
link set eth0 up
route add default via 10.65.255.254
"""


# ---- the world


def ip(commands: str, *options: str) -> None:
    subprocess.run(["ip", *options, "-batch", "-"], input=commands, text=True, check=True)


def _set(name: str, value: int) -> None:
    Path("/proc/sys", name).write_text(str(value), encoding="ascii")


@contextlib.contextmanager
def machines() -> Iterator[None]:
    """EXT, this namespace, and TARGET, one behind the other."""
    ip(f"netns add {EXT}\nnetns add {TARGET}")
    try:
        ip(_HERE)
        ip(_IN_EXT, "-n", EXT)
        ip(_IN_TARGET, "-n", TARGET)
        world.inside(TARGET, _set, "net/core/somaxconn", _QUEUE)
        world.inside(EXT, _set, "net/ipv4/ip_local_port_range", "1024 65535")
        yield
    finally:
        ip(f"netns del {EXT}\nnetns del {TARGET}")


def forget_soon() -> None:
    """Connections of the last measurement shall not make the kernel's table large for the next one."""
    for name in ("tcp_timeout_close", "udp_timeout"):
        _set(f"net/netfilter/nf_conntrack_{name}", 1)


# ---- rules


def ours(protocol: str, count: int, state: str) -> Nat:
    """``count`` forwards; the first port is that of the last rule by hand."""
    return Nat(
        tuple(
            Forward.from_params(
                {
                    "protocol": protocol,
                    "port": str(PORT + number),
                    "to_address": SERVER,
                    "to_port": str(INSIDE),
                    "state": state,
                }
            )
            for number in range(count)
        )
    )


def by_hand(protocol: str, count: int) -> str:
    """The same as one rule for each port, as it is mostly written."""
    dnat = [f"{protocol} dport {PORT + number} dnat ip to {SERVER}:{INSIDE}" for number in reversed(range(count))]
    arriving = "\n".join(f"meta nfproto ipv4 fib daddr type local {each}" for each in dnat)
    own = "\n".join(f"ip daddr != 127.0.0.0/8 fib daddr type local {each}" for each in dnat)
    return f"""
table inet by-hand {{
  chain prerouting {{
    type nat hook prerouting priority dstnat
    {arriving}
  }}
  chain output {{
    type nat hook output priority -100
    {own}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat
    ip saddr 10.65.0.0/16 ip daddr 10.65.0.0/16 ct status dnat masquerade
  }}
}}
"""


@contextlib.contextmanager
def rules(who: str, protocol: str, count: int) -> Iterator[None]:
    """The forwards, as long as they are needed."""
    if who == "ours":
        execute(ours(protocol, count, "present"))
        try:
            yield
        finally:
            execute(ours(protocol, count, "absent"))
        return
    _set("net/ipv4/ip_forward", 1)
    subprocess.run(["nft", "-f", "-"], input=by_hand(protocol, count), text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "by-hand"], check=True)


# ---- packets


@dataclass
class Clients:
    """Addresses that nobody came from before."""

    used: int = 0

    def next(self) -> str:
        self.used += 1
        return str(ipaddress.IPv4Address("100.64.0.0") + self.used)


def tcp(clients: Clients) -> float:
    """Seconds for CONNECTIONS handshakes, each from another port of a fresh address, and the resets that end them."""
    source = (clients.next(), 0)
    server = world.inside(TARGET, socket.create_server, (SERVER, INSIDE), backlog=_QUEUE)

    def connect() -> float:
        start = time.perf_counter()
        for _each in range(CONNECTIONS):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.bind(source)
                client.connect((HOST, PORT))
        return time.perf_counter() - start

    with server:
        return world.inside(EXT, connect)


def udp(clients: Clients) -> float:
    """Seconds for the first packets of CONNECTIONS clients."""
    server = world.inside(TARGET, socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    client = world.inside(EXT, socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    with server, client:
        server.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, CONNECTIONS * 4096)
        server.bind((SERVER, INSIDE))
        # struct in_pktinfo: the packet goes out under any address that the sender names.
        sources = [
            [(socket.IPPROTO_IP, 8, struct.pack("=I4s4x", 0, socket.inet_aton(clients.next())))]
            for _each in range(CONNECTIONS)
        ]
        start = time.perf_counter()
        for source in sources:
            client.sendmsg([b"?"], source, 0, (HOST, PORT))
        took = time.perf_counter() - start
        _must_have_arrived(server)
    return took


def _must_have_arrived(server: socket.socket) -> None:
    """A benchmark of packets that were lost is worth nothing."""
    server.setblocking(False)
    arrived = 0
    with contextlib.suppress(BlockingIOError):
        while server.recv(1):
            arrived += 1
    if arrived != CONNECTIONS:
        raise SystemExit(f"{arrived} of {CONNECTIONS} packets arrived: these times mean nothing.")


PACKETS = {"tcp": tcp, "udp": udp}


# ---- saying


def measure(rounds: int) -> dict[tuple[str, str, int], float]:
    """Connections per second by protocol, who made the rules, and how many there are: the median of ``rounds``, in turns."""
    found: dict[tuple[str, str, int], list[float]] = {}
    clients = Clients()
    with machines():
        for _round in range(rounds):
            for protocol, send in PACKETS.items():
                for who in ("ours", "by hand"):
                    for count in (FEW, MANY):
                        with rules(who, protocol, count):
                            forget_soon()
                            send(clients)  # the first ones find cold caches
                            rate = CONNECTIONS / send(clients)
                        found.setdefault((protocol, who, count), []).append(rate)
    return {key: statistics.median(rates) for key, rates in found.items()}


def report(rounds: int) -> None:
    """Print the table."""
    found = measure(rounds)
    print()
    print(f"new connections per second through a forward, median of {rounds}")
    print(
        f"{'protocol':<10}{'rules':<12}{f'{FEW} forward':>14}{f'{MANY} forwards':>16}{'ratio':>8}{'ours/by hand':>16}"
    )
    for protocol in PACKETS:
        for who in ("ours", "by hand"):
            few, many = found[protocol, who, FEW], found[protocol, who, MANY]
            print(f"{protocol:<10}{who:<12}{few:>12.0f}/s{many:>14.0f}/s{many / few:>8.2f}", end="")
            hand = found[protocol, "by hand", MANY]
            print(f"{many / hand:>13.1f} x" if who == "ours" else "", flush=True)


if __name__ == "__main__":
    report(5)
