# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A crossing: HOST between the machines left and right. Single packets are sent over it, and seen or not at the other side.

``foreseen`` asks the code under test what becomes of a packet; ``arrives`` sends it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import re
import select
import socket
import struct
import time
from dataclasses import dataclass, field, replace
from typing import Any

import packets
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls import nft_tables
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Packet, Table
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.walk import Fate, walk
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from box import Box
from world import inside

LEFT = {4: "10.1.0.2", 6: "fd01::2"}
RIGHT = {4: "10.2.0.2", 6: "fd02::2"}
NEAR = {4: "10.1.0.1", 6: "fd01::1"}
FAR = {4: "10.2.0.1", 6: "fd02::1"}
NUMBERS = {"tcp": 6, "udp": 17}
PUBLISHED = 9000
"""What HOST sends on to port 80 of right, for both protocols."""
UNSEEN = 0.06
"""Seconds to wait for a packet that should not arrive: on these cables one arrives in the time of a system call."""

_OURS = """
table inet ours {
    chain pre {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 10.1.0.1 meta l4proto { tcp, udp } th dport 9000 dnat ip to 10.2.0.2:80
        ip6 daddr fd01::1 meta l4proto { tcp, udp } th dport 9000 dnat ip6 to [fd02::2]:80
    }
    chain track {
        type filter hook prerouting priority -400; policy accept;
        ct state new
    }
}
"""
_ports = itertools.count(20000)


@dataclass(frozen=True)
class Sent:
    """One packet, as its sender makes it. From left to right, or from left to HOST, or as an answer from right to left."""

    family: int = 4
    protocol: str = "tcp"
    port: int = 80
    to: str = "right"
    """right, host, or published: HOST's port that leads to right."""
    answer: bool = False
    """Whether it is right's answer to such a packet; udp to right only."""
    number: int = field(default_factory=lambda: next(_ports) % 30000 + 20000)
    """The port of left: no two packets are of one connection."""

    def hooks(self) -> list[tuple[str, Packet]]:
        """The hooks that it passes, with what is known of it there."""
        family = self.family
        here, there = (ipaddress.ip_network(ends[family]) for ends in (LEFT, RIGHT))
        known = Packet(family, self.protocol, "in0", "out0", here, there, self.number, self.port, local=LOCAL)
        if self.answer:
            turned = {"source": there, "destination": here, "source_port": self.port, "destination_port": self.number}
            known = replace(known, in_interface="out0", out_interface="in0", state="established", **turned)
        if self.to == "published":
            known = replace(known, translated=frozenset({"dnat"}))
            known = replace(known, destination_port=80)
        if self.to == "host":
            known = replace(known, destination=ipaddress.ip_network(NEAR[family]), out_interface="")
            return [("prerouting", known), ("input", known)]
        return [("prerouting", self._arriving(known)), ("forward", known), ("postrouting", known)]

    def _arriving(self, known: Packet) -> Packet:
        known = replace(known, out_interface="")
        if self.to != "published":
            return known
        near = ipaddress.ip_network(NEAR[self.family])
        return replace(known, destination=near, destination_port=PUBLISHED, translated=frozenset())


LOCAL = tuple(ipaddress.ip_network(end) for ends in (NEAR, FAR) for end in ends.values())


class Crossing:
    """HOST, left and right, and sockets that see all that arrives."""

    def __init__(self, box: Box) -> None:
        self.box = box
        box.namespace("left", "right")
        for side, here, number in (("left", "in0", 1), ("right", "out0", 2)):
            box.ip(f"link add {here} type veth peer name eth0 netns {side}")
            box.ip(f"link set {here} up")
            box.ip(f"-n {side} link set eth0 up")
            box.ip(f"addr add 10.{number}.0.1/24 dev {here}")
            box.ip(f"addr add fd0{number}::1/64 dev {here} nodad")
            box.ip(f"-n {side} addr add 10.{number}.0.2/24 dev eth0")
            box.ip(f"-n {side} addr add fd0{number}::2/64 dev eth0 nodad")
            box.ip(f"-n {side} route add default via 10.{number}.0.1")
            box.ip(f"-n {side} -6 route add default via fd0{number}::1")
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            box.sysctl(name, "1")
        box.settle(None, "left", "right")
        for family in (
            4,
            6,
        ):  # neighbours know each other: HOST can't ask yet, before its own addresses are established
            for side, here, far, near in (("left", "in0", LEFT, NEAR), ("right", "out0", RIGHT, FAR)):
                there, gateway = box.link("eth0", side)["address"], box.link(here)["address"]
                box.ip(f"neigh replace {far[family]} lladdr {there} dev {here} nud permanent")
                box.ip(f"-n {side} neigh replace {near[family]} lladdr {gateway} dev eth0 nud permanent")
            assert box.ping("left", RIGHT[family])
        box.nft(_OURS)

    def clear(self) -> None:
        """Take away everybody's tables but ours."""
        self.box.nft("flush ruleset\n" + _OURS)

    def load(self, script: str) -> None:
        """Give it to nft(8), less the lines that it refuses: some conditions contradict each other."""
        lines = script.splitlines()
        for _attempt in range(len(lines)):
            try:
                self.box.nft("\n".join(lines))
                return
            except AssertionError as refused:
                found = re.search(r"/dev/stdin:(\d+):", str(refused))
                if not found or lines[int(found[1]) - 1].startswith(("table", "chain", "}", " ")):
                    raise
                del lines[int(found[1]) - 1]

    def tables(self, *hooks: str) -> list[Table]:
        """What the code under test reads."""
        with Kernel() as kernel:
            more = {"hooks": hooks} if hooks else {}
            return nft_tables.read(kernel, None, skip=frozenset({("inet", "ours")}), **more)

    def fates(self, sent: Sent) -> list[tuple[str, Fate]]:
        """What the code under test says of the packet on each hook that it passes."""
        tables = self.tables()
        out = []
        for hook, packet in sent.hooks():
            later = {"translated": sent.hooks()[1][1]} if hook == "prerouting" and sent.to == "published" else {}
            out.append((hook, walk(tables, hook, packet, **later)))
        return out

    def foreseen(self, sent: Sent) -> bool | None:
        """Whether it passes all of them."""
        said = {fate.passes for _hook, fate in self.fates(sent)}
        return False if False in said else None if None in said else True

    def arrives(self, sent: Sent, *, timeout: float) -> tuple[int, ...]:
        """Send it. The ports that it arrives with, source and destination; empty if it does not."""
        with self._watching(sent) as (watching, seen):
            if sent.answer:
                self._send("right", sent, RIGHT, LEFT[sent.family], (sent.port, sent.number))
            else:
                target = (RIGHT if sent.to == "right" else NEAR)[sent.family]
                port = PUBLISHED if sent.to == "published" else sent.port
                self._send("left", sent, LEFT, target, (sent.number, port))
            deadline = time.monotonic() + timeout
            while select.select([watching], [], [], max(0, deadline - time.monotonic()))[0]:
                ports = seen(watching)
                if sent.number in ports:
                    return ports
            return ()

    def prepare(self, sent: Sent) -> None:
        """Make the connection that an answer belongs to, while nobody's rules are there."""
        if sent.answer:
            assert self.arrives(replace(sent, answer=False), timeout=packets.TIMEOUT)

    @contextlib.contextmanager
    def _watching(self, sent: Sent) -> Any:
        """A socket that sees what arrives. On HOST behind its own rules, elsewhere on the cable."""
        if sent.to == "host":
            kind = socket.AF_INET if sent.family == 4 else socket.AF_INET6
            with packets.open_socket(None, kind, socket.SOCK_RAW, NUMBERS[sent.protocol]) as watching:
                yield watching, lambda sock: _ports_of(sock.recv(2048)[20 if sent.family == 4 else 0 :])
        else:
            side = "left" if sent.answer else "right"
            with inside(side, socket.socket, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as watching:
                watching.bind(("eth0", 3))
                yield watching, _on_cable

    def _send(self, netns: str, sent: Sent, source: dict[int, str], to: str, ports: tuple[int, int]) -> None:
        """Make the packet by hand, so that nothing is sent again and nobody needs to listen."""
        kind = socket.AF_INET if sent.family == 4 else socket.AF_INET6
        number = NUMBERS[sent.protocol]
        if sent.protocol == "tcp":
            body = struct.pack("!HHIIBBHHH", *ports, 1, 0, 5 << 4, 0x02, 1024, 0, 0)
        else:
            body = struct.pack("!HHHH", *ports, 8, 0)
        ends = (ipaddress.ip_address(end).packed for end in (source[sent.family], to))
        pseudo = b"".join(ends) + struct.pack("!II", len(body), number)
        at = 16 if sent.protocol == "tcp" else 6
        body = body[:at] + struct.pack("!H", packets.checksum(pseudo + body)) + body[at + 2 :]
        with packets.open_socket(netns, kind, socket.SOCK_RAW, number) as sock:
            sock.sendto(body, (to, 0))


def _on_cable(watching: socket.socket) -> tuple[int, ...]:
    """The ports of the next packet that came in."""
    data, where = watching.recvfrom(2048)
    if where[2] == socket.PACKET_OUTGOING or len(data) < 28:
        return ()
    protocol, header = (data[9], data[20:]) if data[0] >> 4 == 4 else (data[6], data[40:])
    return _ports_of(header) if protocol in NUMBERS.values() else ()


def _ports_of(header: bytes) -> tuple[int, ...]:
    return struct.unpack("!HH", header[:4]) if len(header) >= 4 else ()
