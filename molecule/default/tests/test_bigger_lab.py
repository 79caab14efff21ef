# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of site.yml with a third namespace, both address families and a UDP forward, on the machine whose inventory asks for it."""

from __future__ import annotations

from probing import Probe

ONLY_ON = "patchbay-default-trixie"

HOST, OUTSIDE, RED, BLUE, BRIDGE = "192.168.1.2", "192.168.1.50", "192.168.15.1", "192.168.15.2", "192.168.15.5"
HOST6, OUTSIDE6 = "2001:db8:1::2", "2001:db8:1::50"
BRIDGE6, RED6, BLUE6, GREEN6 = (f"fd00:15::{number}" for number in (5, 1, 2, 3))


def test_three_namespaces_are_a_longer_list(probe: Probe) -> None:
    assert [probe.ping(address, netns="green") for address in (RED, BLUE, BRIDGE, "8.8.8.8")] == ["reached"] * 4
    assert probe.run("sysctl", "net.ipv4.ip_default_ttl", netns="green") == "61"


def test_nameservers_are_the_namespaces_own(probe: Probe) -> None:
    assert probe.host.file("/etc/netns/blue/resolv.conf").content_string.endswith("\nnameserver 192.168.1.50\n")
    assert not probe.host.file("/etc/netns/red").exists


def test_ipv6_reaches_everybody(probe: Probe) -> None:
    assert [probe.ping(address, netns="red") for address in (BLUE6, GREEN6, BRIDGE6, OUTSIDE6)] == ["reached"] * 4
    assert probe.ping("2001:4860:4860::8888", netns="red") == "reached"


def test_ipv6_outside_sees_the_gateway(probe: Probe) -> None:
    with probe.server(8000, netns="outside") as token:
        answer = probe.ask("2001:4860:4860::8888", 8000, netns="red")
    assert answer == {"outcome": "reached", "who": token, "caller": HOST6}


def test_ipv6_forward_and_hairpin(probe: Probe) -> None:
    with probe.server(80, netns="blue") as token:
        callers = {netns: probe.ask(HOST6, 80, netns=netns) for netns in ("outside", "red", "blue", "")}
    assert {answer.get("who") for answer in callers.values()} == {token}
    assert callers["outside"]["caller"] == OUTSIDE6
    assert callers["red"]["caller"] == callers["blue"]["caller"] == BRIDGE6


def test_ipv6_traffic_inside_the_lab_keeps_its_source(probe: Probe) -> None:
    with probe.server(8000, netns="blue") as token:
        answer = probe.ask(BLUE6, 8000, netns="red")
    assert answer == {"outcome": "reached", "who": token, "caller": RED6}


def test_udp_is_forwarded_to_another_port(probe: Probe) -> None:
    with probe.server(53, netns="green", udp=True) as token:
        assert probe.ask(HOST, 5300, netns="outside", udp=True) == {
            "outcome": "reached",
            "who": token,
            "caller": OUTSIDE,
        }
        assert probe.ask(HOST, 5300, netns="outside") == {"outcome": "refused"}
