# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our modules have worked on a machine that was in use: what was there is untouched, byte for byte, and ours works beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from probing import Probe
from testinfra.host import Host

Snapshot = dict[str, Any]
HOST, OUTSIDE, WEB = "192.168.1.2", "192.168.1.50", "10.20.0.2"


@pytest.fixture(scope="module")
def before(host: Host) -> Snapshot:
    snapshot: Snapshot = json.loads(host.file("/root/before.json").content_string)
    return snapshot


@pytest.fixture(scope="module")
def now(host: Host) -> Snapshot:
    snapshot: Snapshot = json.loads(host.check_output("python3 /root/snapshot.py"))
    return snapshot


# What was there


def test_namespaces_and_their_networks_are_untouched(before: Snapshot, now: Snapshot) -> None:
    assert set(now["namespaces"]) - set(before["namespaces"]) == {"web"}
    for name, inode in before["namespaces"].items():
        assert now["namespaces"][name] == inode
        assert now["stacks"][name] == before["stacks"][name]


def test_links_and_bridges_are_untouched(before: Snapshot, now: Snapshot) -> None:
    assert set(now["host"]["links"]) - set(before["host"]["links"]) == {"web-host"}
    assert {name: now["host"]["links"][name] for name in before["host"]["links"]} == before["host"]["links"]
    assert now["host"]["ports"] == before["host"]["ports"]


@pytest.mark.parametrize("family", ["routes", "routes6"])
def test_routes_are_untouched(before: Snapshot, now: Snapshot, family: str) -> None:
    def theirs(snapshot: Snapshot) -> list[Any]:
        return [route for route in snapshot["host"][family] if route.get("dev") != "web-host"]

    assert theirs(now) == theirs(before)
    assert now["host"]["rules"] == before["host"]["rules"]


def test_firewall_tables_are_untouched(before: Snapshot, now: Snapshot) -> None:
    theirs = dict(now["host"]["tables"])
    ours = theirs.pop("inet patchbay")
    assert theirs == before["host"]["tables"]
    assert "dnat" in ours


def test_settings_are_untouched(before: Snapshot, now: Snapshot) -> None:
    assert {name: now["sysctls"].get(name) for name in before["sysctls"]} == before["sysctls"]


def test_legacy_works_as_ever(probe: Probe) -> None:
    assert probe.ping("10.99.0.2") == "reached"
    assert probe.ping("8.8.8.8", netns="legacy") == "reached"
    with probe.server(80, netns="legacy") as token:
        assert probe.ask(HOST, 8088, netns="outside")["who"] == token


# What is new


def test_web_reaches_the_outside_under_the_hosts_address(probe: Probe) -> None:
    with probe.server(8000, netns="outside") as token:
        assert probe.ask(OUTSIDE, 8000, netns="web") == {"outcome": "reached", "who": token, "caller": HOST}


def test_web_reaches_the_host_over_ipv6(probe: Probe) -> None:
    assert probe.ping("fd00:20::1", netns="web") == "reached"
    assert probe.ping("fd00:20::2") == "reached"


def test_what_leaves_through_another_link_is_not_masqueraded(probe: Probe) -> None:
    with probe.server(8000, netns="legacy") as token:
        assert probe.ask("10.99.0.2", 8000, netns="web") == {"outcome": "reached", "who": token, "caller": WEB}


def test_a_blackhole_swallows(probe: Probe) -> None:
    # What the kernel says of a blackhole route, see ip-route(8).
    assert probe.ping("100.64.0.1", netns="web") == "EINVAL"


def test_friends_reach_web_on_another_port(probe: Probe) -> None:
    with probe.server(443, netns="web") as token:
        assert probe.ask(HOST, 8443, netns="outside") == {"outcome": "reached", "who": token, "caller": OUTSIDE}


def test_others_do_not(probe: Probe) -> None:
    with probe.server(443, netns="web"):
        assert probe.ask(HOST, 8443, netns="legacy") == {"outcome": "refused"}


def test_pitfall_04_the_hosts_loopback_is_forwarded_where_asked_for(probe: Probe) -> None:
    with probe.server(443, netns="web") as token:
        assert probe.ask("127.0.0.1", 8443).get("who") == token


def test_pitfall_05_nobody_else_reaches_the_hosts_loopback(host: Host, probe: Probe) -> None:
    with probe.server(9999) as token:
        assert probe.ask("127.0.0.1", 9999)["who"] == token
        for netns, gateway in (("web", "10.20.0.1"), ("outside", HOST)):
            inside = f"ip netns exec {netns}"
            host.check_output(f"{inside} sysctl -qw net.ipv4.conf.eth0.route_localnet=1")
            host.check_output(f"{inside} ip route add 127.0.0.2 via {gateway}")
            answer = probe.ask("127.0.0.2", 9999, netns=netns)
            host.check_output(f"{inside} ip route delete 127.0.0.2 via {gateway}")
            host.check_output(f"{inside} sysctl -qw net.ipv4.conf.eth0.route_localnet=0")
            assert answer["outcome"] != "reached"


def test_pitfall_18_a_twin_on_another_port_stays_theirs(probe: Probe) -> None:
    with probe.server(80, netns="web") as ours, probe.server(80, netns="legacy") as theirs:
        assert probe.ask(HOST, 8089, netns="outside")["who"] == ours
        assert probe.ask(HOST, 8088, netns="outside")["who"] == theirs


def test_pitfall_47_nothing_of_the_refused_labs_was_made(now: Snapshot) -> None:
    assert {"red", "blue"} & set(now["namespaces"]) == set()
    assert "v-net-0" not in now["host"]["links"]
