# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of connections, and of flows under a masquerade, when translation changes; and how entries are read.

The rules are nft(8)'s; the entries are read by a reader that shares nothing with the one under test.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import struct
from dataclasses import replace

import packets
import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import conntrack
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._objects import flows
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import (
    MasqueradeSpec,
)
from box import EXT, FAR4, HOST4, Box
from packets import SHORT
from scenery import BLUE, FORWARDING, GATEWAY, OUTSIDE, OWN, RED, versions
from tracking import (
    FAR,
    HIDDEN,
    change,
    connect,
    entries,
    entry,
    install,
    masquerade,
    passes,
    to,
)

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
