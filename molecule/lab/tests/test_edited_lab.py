# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The red and blue lab after its file was edited: what is new is there, what was taken out is gone, what stayed was not disturbed."""

from __future__ import annotations

import json

import pytest
from probing import Probe
from testinfra.host import Host

HOST, OUTSIDE = "192.168.1.2", "192.168.1.50"
BRIDGE, BLUE, GREEN = "192.168.15.5", "192.168.15.2", "192.168.15.1"  # green's is the first free one
BRIDGE6, BLUE6, GREEN6 = "fd00:15::5", "fd00:15::2", "fd00:15::1"


def test_the_namespaces_are_those_of_the_file(probe: Probe) -> None:
    assert set(probe.run("namespaces")) == {"outside", "redder", "blue", "green"}


def test_the_links_are_those_of_the_file(probe: Probe) -> None:
    assert {name: set(probe.run("links", netns=name)) - {"lo"} for name in ("blue", "green", "")} == {
        "blue": {"veth-blue", "to-green"},
        "green": {"veth-green", "to-blue"},
        "": {"uplink", "v-net-00", "v-net-0", "veth-blue-br", "veth-green-br"},
    }


@pytest.mark.parametrize("address", [BLUE, BLUE6, BRIDGE, BRIDGE6, OUTSIDE, "8.8.8.8"])
def test_green_reaches_everybody(probe: Probe, address: str) -> None:
    assert probe.ping(address, netns="green") == "reached"


def test_the_cable_past_the_bridge_works(probe: Probe) -> None:
    assert probe.ping("10.0.0.1", netns="blue") == "reached"


def test_settings_reach_the_namespace(probe: Probe) -> None:
    assert probe.run("sysctl", "net.ipv4.ip_default_ttl", netns="green") == "61"
    assert probe.run("sysctl", "net.ipv4.ip_default_ttl", netns="blue") == "64"


def test_the_outside_sees_the_host(probe: Probe) -> None:
    with probe.server(8000, netns="outside") as token:
        assert probe.ask("8.8.8.8", 8000, netns="green") == {"outcome": "reached", "who": token, "caller": HOST}


def test_the_new_port_leads_to_blue_and_the_old_one_nowhere(probe: Probe) -> None:
    with probe.server(80, netns="blue") as token:
        assert probe.ask(HOST, 8080, netns="outside") == {"outcome": "reached", "who": token, "caller": OUTSIDE}
        assert [probe.ask(HOST, 8080, netns=netns).get("who") for netns in ("green", "blue", "")] == [token] * 3
        assert probe.ask(HOST, 80, netns="outside") == {"outcome": "refused"}


def test_no_tool_was_needed(host: Host, suite: str) -> None:
    present = [tool for tool in ("ip", "bridge", "nft", "iptables") if host.exists(tool)]
    assert suite != "trixie" or present == []


def test_the_record_of_the_lab_is_there(host: Host) -> None:
    json.loads(host.file("/run/patchbay.netns/labs/red-blue.json").content_string)
    assert not host.file("/run/patchbay.netns/labs/red-blue.progress").exists
