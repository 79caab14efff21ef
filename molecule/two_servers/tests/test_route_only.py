# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A route without NAT: the ping of blue arrives at the LAN, and the answer gets lost."""

from __future__ import annotations

import re

from probing import Probe
from testinfra.host import Host

LAN, GATEWAY, BRIDGE = "192.168.1.50", "192.168.1.2", "192.168.15.5"


def echo_requests_seen(host: Host, netns: str) -> int:
    counters = host.check_output(f"nsenter --net=/run/netns/{netns} cat /proc/net/snmp")
    names, values = (line.split() for line in re.findall(r"^Icmp:.*$", counters, re.MULTILINE))
    return int(values[names.index("InEchos")])


def test_blue_and_red_reach_each_other_and_the_gateway(probe: Probe) -> None:
    assert [probe.ping(address, netns="blue") for address in ("192.168.15.1", BRIDGE)] == ["reached"] * 2
    assert probe.ping(GATEWAY, netns="blue") == "reached"


def test_the_ping_of_blue_arrives_and_gets_no_answer(host: Host, probe: Probe) -> None:
    before = echo_requests_seen(host, "lan")
    assert probe.ping(LAN, netns="blue") == "timeout"
    assert echo_requests_seen(host, "lan") == before + 1


def test_without_the_route_not_even_the_request_leaves(host: Host, probe: Probe) -> None:
    before = echo_requests_seen(host, "lan")
    assert probe.ping(LAN, netns="red") == "no route"
    assert echo_requests_seen(host, "lan") == before


def test_the_route_leads_to_one_network_only(probe: Probe) -> None:
    assert probe.ping("8.8.8.8", netns="blue") == "no route"


def test_the_lan_and_the_gateway_reach_each_other(probe: Probe) -> None:
    assert probe.ping(LAN, netns="gateway") == "reached"
    assert probe.ping(GATEWAY, netns="lan") == "reached"


def test_nothing_of_it_is_on_the_host(probe: Probe) -> None:
    assert set(probe.run("links")) == {"lo", "uplink", "br0", "veth1", "veth2"}
    assert probe.ping(BRIDGE) == "timeout"
