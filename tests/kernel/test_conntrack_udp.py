# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of UDP flows when translation changes, with real packets: who is reached next, and which entries stay.

The rules are nft(8)'s; the entries are read by a reader that shares nothing with the one under test.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import replace

import packets
import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from box import EXT, HOST4, UPLINK, Box
from scenery import BLUE, GATEWAY, LAB, LOCALNET, OUTSIDE, OWN, RED, versions
from tracking import (
    FAR,
    change,
    entries,
    entry,
    install,
    masquerade,
    to,
)

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
