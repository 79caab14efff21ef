# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of connection tracking share: rules by nft(8), entries read independently, and connections that stay open."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
from typing import Any

import packets
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import Step
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._objects import flows
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import (
    ForwardSpec,
    MasqueradeSpec,
    Service,
    Spec,
    Target,
)
from box import EXT, FAR4, FAR6, Box
from packets import SHORT
from scenery import LAB, OUTSIDE, OWN, RED

FAR = {4: FAR4, 6: FAR6}
HIDDEN = tuple(
    MasqueradeSpec(network, exclude=(network,))
    for network in (ipaddress.ip_network(LAB[4]), ipaddress.ip_network(LAB[6]))
)
"""The whole lab, both versions, out of any interface."""


def to(address: str, protocol: str = "udp", ports: tuple[int, int] = (80, 80), **options: Any) -> ForwardSpec:
    """A forward; ``at`` and ``in_interface`` belong to its service, the rest to its target."""
    target = ipaddress.ip_address(address)
    at = options.pop("at", None)
    service = Service(
        target.version,
        protocol,
        Ports(*ports),
        ipaddress.ip_address(at) if at else None,
        options.pop("in_interface", None),
    )
    return ForwardSpec(service, Target(target, **options))


def masquerade(version: int) -> MasqueradeSpec:
    return HIDDEN[version == 6]


# ---- rules by hand


def install(box: Box, *specs: Spec) -> None:
    """Translate like this from now on."""
    chains: dict[str, list[str]] = {"prerouting": [], "output": [], "postrouting": []}
    for spec in specs:
        for chain, rule in forwarding(spec) if isinstance(spec, ForwardSpec) else hiding(spec):
            chains[chain].append(rule)
    priority = {"prerouting": -100, "output": -100, "postrouting": 100}
    text = "\n".join(
        f"chain {name} {{ type nat hook {name} priority {priority[name]};\n" + "\n".join(rules) + "\n}"
        for name, rules in chains.items()
    )
    box.nft(f"add table inet hand\ndelete table inet hand\ntable inet hand {{\n{text}\n}}")


def forwarding(spec: ForwardSpec) -> list[tuple[str, str]]:
    service, target = spec.service, spec.target
    ip = "ip" if service.family == 4 else "ip6"
    where = f"{ip} daddr {service.address}" if service.address else "fib daddr type local"
    port = f"meta nfproto ipv{service.family} {service.protocol} dport {service.ports}"
    address = str(target.address) if ip == "ip" else f"[{target.address}]"
    dnat = f"dnat {ip} to {address}" + (f":{target.ports}" if target.ports else "")
    sources = f"{ip} saddr {{ {', '.join(map(str, target.sources))} }}" if target.sources else ""
    device = f"iifname {service.in_interface}" if service.in_interface else ""
    rules = [("prerouting", f"{device} {where} {sources} {port} {dnat}")]
    loopback = "127.0.0.0/8" if ip == "ip" else "::1"
    if target.local:
        rules.append(("output", f"{where} {ip} daddr != {loopback} {sources} {port} {dnat}"))
    if target.loopback:
        rules.append(("output", f"{ip} daddr {loopback} {port} {dnat}"))
        rules.append(("postrouting", f"{ip} saddr {loopback} ct status dnat masquerade"))
    if target.hairpin:
        rules.append(
            ("postrouting", f"{ip} saddr {target.hairpin} {ip} daddr {target.address} ct status dnat masquerade")
        )
    return rules


def hiding(spec: MasqueradeSpec) -> list[tuple[str, str]]:
    ip = "ip" if spec.source.version == 4 else "ip6"
    device = f"oifname {spec.out_interface}" if spec.out_interface else ""
    excluded = "".join(f" {ip} daddr != {network}" for network in spec.exclude)
    return [("postrouting", f"{device} fib daddr type != local {ip} saddr {spec.source}{excluded} masquerade")]


def change(box: Box, old: list[Spec], new: list[Spec], *, reset: bool = False) -> None:
    """Change the rules, and do what is under test."""
    install(box, *new)
    for step in step_of(old, new, reset=reset):
        with Kernel() as kernel:
            step.apply(kernel)


def step_of(old: list[Spec], new: list[Spec], *, reset: bool = False) -> list[Step]:
    return flows.forget(None, old, new, reset_established=reset)


# ---- entries, read independently


def entries() -> dict[str, int]:
    """Every entry of HOST as text, with its id: ``17 CLIENT PORT > ADDRESS PORT; ADDRESS PORT > CLIENT PORT``."""
    found = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as sock:
        for family in (socket.AF_INET, socket.AF_INET6):
            sock.send(struct.pack("=IHHIIBBH", 20, 0x101, 0x301, 1, 0, family, 0, 0))
            ended = False
            while not ended:
                data = sock.recv(1 << 20)
                while data:
                    length, kind = struct.unpack_from("=IH", data)
                    ended = ended or kind in (2, 3)
                    if kind == 0x100:
                        said = attributes(data[20:length])
                        zone = f" zone {int.from_bytes(said[18], 'big')}" if 18 in said else ""
                        ends = [written(family, said[number]) for number in (1, 2)]
                        number = attributes(attributes(said[1])[2])[1][0]
                        found[f"{number} {ends[0]}; {ends[1]}{zone}"] = int.from_bytes(said[12], "big")
                    data = data[(length + 3) & ~3 :]
    return found


def attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def written(family: int, data: bytes) -> str:
    parts = attributes(data)
    addresses = list(attributes(parts[1]).values())
    ports = attributes(parts[2])
    texts = [
        f"{socket.inet_ntop(family, address)} {int.from_bytes(ports.get(kind, b''), 'big')}"
        for address, kind in zip(addresses, (2, 3), strict=True)
    ]
    return " > ".join(texts)


def entry(port: int) -> tuple[str, int]:
    """The one entry whose client has this port, and its id."""
    found = [(text, number) for text, number in entries().items() if f" {port} > " in text.partition(";")[0]]
    assert len(found) == 1, found
    return found[0]


# ---- connections


def connect(box: Box, version: int, *, port: int = 5000) -> tuple[socket.socket, socket.socket]:
    """A TCP connection from EXT to HOST's port 80, which leads to red; EXT's end and red's."""
    kind = socket.AF_INET if version == 4 else socket.AF_INET6
    listener = packets.open_socket("red", kind, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((RED[version], 80))
    listener.listen(1)
    client = packets.open_socket(EXT, kind, socket.SOCK_STREAM)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind((OUTSIDE[version], port))
    for end in (listener, client):
        end.settimeout(packets.TIMEOUT)
    client.connect((OWN[version], 80))
    server = listener.accept()[0]
    server.settimeout(packets.TIMEOUT)
    listener.close()
    return client, server


def passes(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether what one end says arrives at the other, within a retransmission or two."""
    word = secrets.token_bytes(8)
    sender.sendall(word)
    receiver.settimeout(SHORT)
    try:
        return receiver.recv(100) == word
    except TimeoutError:
        return False
