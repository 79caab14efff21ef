# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of flows when translation changes, with real packets: who is reached next, and which entries stay.

The rules are nft(8)'s, written here; the entries are read here too, by a reader that shares nothing with the one under test.
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import select
import socket
import struct
from dataclasses import replace
from typing import Any

import packets
import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import Step
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import conntrack
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
from box import EXT, FAR4, FAR6, HOST4, UPLINK, Box
from packets import SHORT
from scenery import BLUE, FORWARDING, GATEWAY, LAB, LOCALNET, OUTSIDE, OWN, RED, versions

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


# ---- the lab


@pytest.fixture
def routed(lab: Box) -> Box:
    """The lab, HOST routes, and connections are tracked."""
    for name in FORWARDING.values():
        lab.sysctl(name, "1")
    lab.nft(
        "table inet tracking {\nchain prerouting { type filter hook prerouting priority 0; ct state new accept\n}\n}"
    )
    install(lab)
    return lab


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


# ---- UDP


@versions
def test_row_20_the_next_datagram_goes_to_the_new_target(routed: Box, version: int) -> None:
    red, blue = (routed.serve(name, 80, "udp") for name in ("red", "blue"))
    old, new = [to(RED[version])], [to(BLUE[version])]
    install(routed, *old)
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == red.token
    install(routed, *new)
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == red.token, "the entry decides, not the rules"
    change(routed, old, new)
    answer = routed.udp(EXT, OWN[version], 80, source_port=5000)
    assert answer.token == blue.token
    assert answer.rtt < packets.AT_ONCE


@versions
@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "masqueraded"])
def test_row_20_the_old_target_can_not_keep_the_flow_by_talking(routed: Box, version: int, hidden: bool) -> None:
    """What it says under a masquerade would go out under the address and port that the client talks to."""
    rest = [masquerade(version)] if hidden else []
    kind = socket.AF_INET if version == 4 else socket.AF_INET6
    blue = routed.serve("blue", 80, "udp")
    old, new = [to(RED[version]), *rest], [to(BLUE[version]), *rest]
    install(routed, *old)
    with packets.open_socket("red", kind, socket.SOCK_DGRAM) as red:
        red.bind((RED[version], 80))
        red.settimeout(packets.TIMEOUT)
        assert routed.udp(EXT, OWN[version], 80, source_port=5000, timeout=0.01).outcome == "timeout"
        client = red.recvfrom(100)[1]
        red.sendto(b"answer", client)
        change(routed, old, new)
        for _count in range(3):
            red.sendto(b"and one more thing", client)
        assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == blue.token


@versions
def test_row_20_a_removed_forward_leads_nowhere_at_once(routed: Box, version: int) -> None:
    red = routed.serve("red", 80, "udp")
    install(routed, to(RED[version]))
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == red.token
    change(routed, [to(RED[version])], [])
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).outcome == "refused"


@versions
def test_a_flow_that_went_to_the_host_itself_goes_to_the_target(routed: Box, version: int) -> None:
    own, blue = routed.serve(None, 80, "udp"), routed.serve("blue", 80, "udp")
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == own.token
    change(routed, [], [to(BLUE[version])])
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == blue.token


@versions
def test_the_host_itself_can_not_keep_the_flow_by_talking(routed: Box, version: int) -> None:
    kind = socket.AF_INET if version == 4 else socket.AF_INET6
    blue = routed.serve("blue", 80, "udp")
    with packets.open_socket(None, kind, socket.SOCK_DGRAM) as own:
        own.bind((OWN[version], 80))
        own.settimeout(packets.TIMEOUT)
        assert routed.udp(EXT, OWN[version], 80, source_port=5000, timeout=0.01).outcome == "timeout"
        client = own.recvfrom(100)[1]
        change(routed, [], [to(BLUE[version])])
        own.sendto(b"and one more thing", client)
        assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == blue.token


@versions
def test_the_hosts_own_flow_goes_to_the_target(routed: Box, version: int) -> None:
    own, blue = routed.serve(None, 80, "udp"), routed.serve("blue", 80, "udp")
    ask = {"source": OWN[version], "source_port": 5000}
    assert routed.udp(None, OWN[version], 80, **ask).token == own.token
    change(routed, [], [to(BLUE[version], local=False)])
    assert routed.udp(None, OWN[version], 80, **ask).token == own.token
    before = entry(5000)
    change(routed, [to(BLUE[version], local=False)], [to(BLUE[version], local=True)])
    assert before[0] not in entries()
    assert routed.udp(None, OWN[version], 80, **ask).token == blue.token


def test_a_flow_to_localhost_goes_to_the_target(routed: Box) -> None:
    own, blue = routed.serve(None, 80, "udp"), routed.serve("blue", 80, "udp")
    routed.sysctl(LOCALNET, "1")
    ask = {"source": "127.0.0.1", "source_port": 5000}
    assert routed.udp(None, "127.0.0.1", 80, **ask).token == own.token
    change(routed, [], [to(BLUE[4])])
    assert routed.udp(None, "127.0.0.1", 80, **ask).token == own.token
    change(routed, [to(BLUE[4])], [to(BLUE[4], loopback=True)])
    answer = routed.udp(None, "127.0.0.1", 80, **ask)
    assert answer.token == blue.token
    assert answer.seen[0] == GATEWAY[4]


@versions
def test_flows_of_clients_that_are_let_in_no_more_end(routed: Box, version: int) -> None:
    """And those of clients that still are go on as they were."""
    red = routed.serve("red", 80, "udp")
    old = [to(RED[version])]
    new = [to(RED[version], sources=(ipaddress.ip_network(OUTSIDE[version]),))]
    install(routed, *old)
    far = {"source": FAR[version], "source_port": 5001}
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == red.token
    assert routed.udp(EXT, OWN[version], 80, **far).token == red.token
    before = entry(5000)
    change(routed, old, new)
    assert entry(5000) == before
    assert routed.udp(EXT, OWN[version], 80, **far).outcome == "refused"


@versions
def test_the_interface_a_flow_comes_in_by_is_that_of_the_way_back(routed: Box, version: int) -> None:
    own, red = routed.serve(None, 80, "udp"), routed.serve("red", 80, "udp")
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == own.token
    assert routed.udp("blue", OWN[version], 80, source_port=5001).token == own.token
    before = entry(5001)
    change(routed, [], [to(RED[version], in_interface=UPLINK)])
    assert entry(5001) == before
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == red.token


@versions
def test_a_shifted_range_keeps_flows_whose_port_stays(routed: Box, version: int) -> None:
    red = routed.serve("red", 8080, "udp")
    old = [replace(to(RED[version]), target=replace(to(RED[version]).target, ports=Ports(8080, 8080)))]
    new = [
        replace(to(RED[version], ports=(79, 79)), target=replace(old[0].target, ports=Ports(8079, 8079))),
        old[0],
    ]
    install(routed, *old)
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == red.token
    before = entry(5000)
    change(routed, old, new)
    assert entry(5000) == before


@versions
def test_a_flow_to_another_machines_same_port_survives(routed: Box, version: int) -> None:
    theirs = routed.serve(EXT, 80, "udp")
    old, new = [masquerade(version), to(RED[version])], [masquerade(version), to(BLUE[version])]
    install(routed, *old)
    assert routed.udp("red", FAR[version], 80, source_port=5000).token == theirs.token
    before = entry(5000)
    change(routed, old, new)
    assert entry(5000) == before
    change(routed, new, [masquerade(version)])
    assert entry(5000) == before


@versions
def test_a_forward_whose_target_stays_forgets_nothing(routed: Box, version: int) -> None:
    red = routed.serve("red", 80, "udp")
    old = [to(RED[version])]
    new = [
        to(
            RED[version],
            local=False,
            sources=(
                ipaddress.ip_network(f"{OUTSIDE[version]}/24" if version == 4 else f"{OUTSIDE[version]}/64", False),
            ),
            hairpin=ipaddress.ip_network(LAB[version]),
            loopback=version == 4,
        )
    ]
    install(routed, *old)
    assert routed.udp(EXT, OWN[version], 80, source_port=5000).token == red.token
    before = entry(5000)
    change(routed, old, new, reset=True)
    assert entry(5000) == before


def test_entries_of_another_protocol_port_or_zone_are_left_alone(routed: Box) -> None:
    routed.nft(
        """table inet zones {
          chain prerouting { type filter hook prerouting priority raw;
            udp sport 5003 ct zone set 7
            udp dport 5003 ct zone set 7
          }
        }"""
    )
    for port in (80, 81):
        routed.serve("red", port, "udp")
    routed.serve("red", 80, "tcp")
    old = [to(RED[4]), to(RED[4], "tcp"), to(RED[4], ports=(81, 81))]
    new = [to(BLUE[4]), *old[1:]]
    install(routed, *old)
    assert routed.udp(EXT, HOST4, 80, source_port=5000)
    assert routed.tcp(EXT, HOST4, 80, source_port=5001)
    assert routed.udp(EXT, HOST4, 81, source_port=5002)
    assert routed.udp(EXT, HOST4, 80, source_port=5003)
    others = {entry(port) for port in (5001, 5002, 5003)}
    assert any("zone 7" in text for text, _id in others)
    gone = entry(5000)
    change(routed, old, new, reset=True)
    assert {entry(port) for port in (5001, 5002, 5003)} == others
    assert gone[0] not in entries()


# ---- masquerades


@versions
def test_a_running_flow_is_translated_once_a_masquerade_is_added(routed: Box, version: int) -> None:
    server = routed.serve(EXT, 80, "udp")
    assert routed.udp("red", FAR[version], 80, source_port=5000, timeout=SHORT).outcome == "timeout"
    assert routed.until(lambda: server.peers)[-1][0] == RED[version]
    change(routed, [], [masquerade(version)])
    answer = routed.udp("red", FAR[version], 80, source_port=5000)
    assert answer.token == server.token
    assert answer.seen[0] == OWN[version]


@versions
def test_a_running_flow_is_translated_no_more_once_the_masquerade_is_removed(routed: Box, version: int) -> None:
    server = routed.serve(EXT, 80, "udp")
    install(routed, masquerade(version))
    assert routed.udp("red", FAR[version], 80, source_port=5000).seen[0] == OWN[version]
    assert routed.udp(EXT, OWN[version], 80, source_port=5001).outcome == "refused"
    other = entry(5001)
    change(routed, [masquerade(version)], [])
    assert entry(5001) == other
    assert routed.udp("red", FAR[version], 80, source_port=5000, timeout=SHORT).outcome == "timeout"
    assert server.peers[-1][0] == RED[version]


def test_a_running_ping_is_answered_once_a_masquerade_is_added(routed: Box) -> None:
    """ping(8) keeps its identifier, and so its entry, as long as it runs."""
    with packets.open_socket("red", socket.AF_INET, socket.SOCK_RAW, 1) as sock:

        def answered(number: int) -> bool:
            data = struct.pack("!BBHHH", 8, 0, 0, 4711, number)
            sock.sendto(data[:2] + struct.pack("!H", packets.checksum(data)) + data[4:], (FAR4, 0))
            return bool(select.select([sock], [], [], SHORT)[0])

        assert not answered(1)
        change(routed, [], [masquerade(4)])
        assert answered(2)


@versions
def test_flows_within_the_lab_survive_a_masquerade(routed: Box, version: int) -> None:
    for name in FORWARDING:
        routed.serve("blue", 80 + name, "udp")
    routed.sysctl("net.bridge.bridge-nf-call-iptables", "1")
    routed.sysctl("net.bridge.bridge-nf-call-ip6tables", "1")
    assert routed.udp("red", BLUE[version], 84, source_port=5000)
    assert routed.udp("red", GATEWAY[version], 9, source_port=5001).outcome == "refused"
    before = {entry(5000), entry(5001)}
    change(routed, [], [masquerade(version)])
    assert {entry(5000), entry(5001)} == before


@versions
def test_the_flows_of_the_uplinks_own_address_survive_a_masquerade_of_everything(routed: Box, version: int) -> None:
    """It would give them the address that they have."""
    server = routed.serve(EXT, 80, "udp")
    everything = MasqueradeSpec(ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0"))
    assert routed.udp(None, FAR[version], 80, source_port=5000).token == server.token
    before = entry(5000)
    change(routed, [], [everything])
    assert entry(5000) == before


# ---- TCP


@versions
def test_row_21_an_established_connection_stays_with_its_target(routed: Box, version: int) -> None:
    install(routed, to(RED[version], "tcp"))
    client, server = connect(routed, version)
    with client, server:
        change(routed, [to(RED[version], "tcp")], [to(BLUE[version], "tcp")])
        assert passes(client, server)
        assert passes(server, client)
        blue = routed.serve("blue", 80)
        assert routed.tcp(EXT, OWN[version], 80).token == blue.token


@versions
@pytest.mark.parametrize("new", ["blue", "none"])
def test_row_21_a_connection_that_is_reset_ends_when_the_client_speaks(routed: Box, version: int, new: str) -> None:
    """The client is refused by who gets its next segment; the old target hears nothing more."""
    install(routed, to(RED[version], "tcp"))
    client, server = connect(routed, version)
    with client, server:
        change(routed, [to(RED[version], "tcp")], [to(BLUE[version], "tcp")] if new == "blue" else [], reset=True)
        client.sendall(b"still there?")
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        server.settimeout(SHORT)
        with pytest.raises(TimeoutError):
            server.recv(100)


@versions
def test_row_21_a_connection_that_is_reset_stays_silent_when_the_target_speaks(routed: Box, version: int) -> None:
    """Without a masquerade the target's words leave under its own address, which the client never talked to."""
    install(routed, to(RED[version], "tcp"))
    client, server = connect(routed, version)
    with client, server:
        change(routed, [to(RED[version], "tcp")], [], reset=True)
        assert not passes(server, client)


@versions
def test_row_21_a_connection_that_is_reset_ends_on_both_sides_when_the_target_speaks_under_a_masquerade(
    routed: Box, version: int
) -> None:
    rest = [masquerade(version)]
    install(routed, to(RED[version], "tcp"), *rest)
    client, server = connect(routed, version)
    with client, server:
        change(routed, [to(RED[version], "tcp"), *rest], rest, reset=True)
        server.sendall(b"still there?")
        with pytest.raises(ConnectionResetError):
            server.recv(100)
        client.sendall(b"and you?")
        with pytest.raises(ConnectionResetError):
            client.recv(100)


@versions
def test_a_connection_that_nobody_answered_is_forgotten_and_reaches_the_new_target(routed: Box, version: int) -> None:
    """The client's next try, a second later, is a new flow."""
    routed.nft(
        "table inet dead { chain input { type filter hook input priority 0; tcp dport 80 drop; }\n}", netns="red"
    )
    old, new = [to(RED[version], "tcp")], [to(BLUE[version], "tcp")]
    install(routed, *old)
    blue = routed.serve("blue", 80)
    kind = socket.AF_INET if version == 4 else socket.AF_INET6
    with packets.open_socket(EXT, kind, socket.SOCK_STREAM) as client:
        client.bind((OUTSIDE[version], 5000))
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect((OWN[version], 80))
        gone = routed.until(lambda: [text for text in entries() if " 5000 > " in text.partition(";")[0]])[0]
        assert RED[version] in gone
        change(routed, old, new)
        assert gone not in entries()
        assert select.select([], [client], [], 5)[1], "no answer to the next try"
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        routed.until(lambda: blue.peers == [(OUTSIDE[version], 5000)])


# ---- the reader and the eraser


def test_nothing_tracked_yet_is_no_error(box: Box) -> None:
    with Kernel() as kernel:
        assert conntrack.flows(kernel, None, (4, 6)) == []
        flows.ForgetFlows(old=HIDDEN, new=()).apply(kernel)


@versions
def test_the_reader_sees_what_is_there(routed: Box, version: int) -> None:
    routed.serve("red", 80, "udp")
    install(routed, to(RED[version]))
    assert routed.udp(EXT, OWN[version], 80, source_port=5000)
    with Kernel() as kernel:
        found = [flow for flow in conntrack.flows(kernel, None, [version]) if flow.original.source_port == 5000]
    number = [int(ipaddress.ip_address(text)) for text in (OUTSIDE[version], OWN[version], RED[version])]
    assert [(flow.family, flow.protocol, flow.established, flow.zone) for flow in found] == [(version, "udp", False, 0)]
    assert found[0].original == (number[0], 5000, number[1], 80)
    assert found[0].reply == (number[2], 80, number[0], 5000)
    assert found[0].id[4:] == struct.pack("!I", entry(5000)[1])


def test_an_entry_that_came_in_place_of_another_one_stays(routed: Box) -> None:
    routed.serve("red", 80, "udp")
    install(routed, to(RED[4]))
    assert routed.udp(EXT, HOST4, 80, source_port=5000)
    before = entry(5000)
    with Kernel() as kernel:
        found = [flow for flow in conntrack.flows(kernel, None, [4]) if flow.original.source_port == 5000]
        others = [replace(flow, id=flow.id[:4] + bytes(byte ^ 255 for byte in flow.id[4:])) for flow in found]
        assert conntrack.forget(kernel, None, others) == 0
        assert entry(5000) == before
        assert conntrack.forget(kernel, None, found) == 1
        assert before[0] not in entries()
        assert conntrack.forget(kernel, None, found) == 0


def test_flows_of_a_namespace_are_its_own(routed: Box) -> None:
    """The same specs, but red is where they changed."""
    routed.serve("red", 80, "udp")
    install(routed, to(RED[4]))
    assert routed.udp(EXT, HOST4, 80, source_port=5000)
    before = entry(5000)
    with Kernel() as kernel:
        for step in flows.forget("red", [to(RED[4])], []):
            step.apply(kernel)
    assert entry(5000) == before
