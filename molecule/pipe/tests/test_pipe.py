# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipe: red 192.168.15.1 and blue 192.168.15.2 on the two ends of one cable, and nobody else."""

from __future__ import annotations

from probing import Probe

RED, BLUE = "192.168.15.1", "192.168.15.2"


def test_the_ends_reach_each_other(probe: Probe) -> None:
    assert probe.ping(BLUE, netns="red") == "reached"
    assert probe.ping(RED, netns="blue") == "reached"


def test_a_server_on_the_other_end_answers(probe: Probe) -> None:
    with probe.server(8000, netns="blue") as token:
        assert probe.ask(BLUE, 8000, netns="red") == {"outcome": "reached", "who": token, "caller": RED}
    assert probe.ask(BLUE, 8000, netns="red") == {"outcome": "refused"}


def test_neighbour_tables_show_the_right_macs(probe: Probe) -> None:
    assert probe.ping(BLUE, netns="red") == "reached"
    assert probe.run("neighbours", netns="red")[BLUE] == probe.run("links", netns="blue")["veth-blue"]
    assert probe.run("neighbours", netns="blue")[RED] == probe.run("links", netns="red")["veth-red"]


def test_the_cable_leads_nowhere_else(probe: Probe) -> None:
    assert [probe.ping(address, netns="red") for address in ("192.168.1.2", "192.168.1.50", "8.8.8.8")] == [
        "no route"
    ] * 3
    assert probe.ping("192.168.15.77", netns="red") == "timeout"


def test_each_namespace_has_its_end_and_the_host_has_none(probe: Probe) -> None:
    assert {name: set(probe.run("links", netns=name)) - {"lo"} for name in ("red", "blue", "")} == {
        "red": {"veth-red"},
        "blue": {"veth-blue"},
        "": {"uplink"},
    }


def test_pitfall_26_loopback_is_up(probe: Probe) -> None:
    assert [probe.ping(address, netns="red") for address in ("127.0.0.1", "::1", RED)] == ["reached"] * 3


def test_pitfall_11_the_host_forwards_nothing(probe: Probe) -> None:
    assert probe.run("sysctl", "net.ipv4.ip_forward") == "0"
