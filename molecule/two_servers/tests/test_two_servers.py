# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two servers on port 8080 in namespaces of their own, behind br0 172.20.0.10/16."""

from __future__ import annotations

import json

import pytest
from probing import Probe
from testinfra.host import Host

BRIDGE, ONE, TWO = "172.20.0.10", "172.20.0.11", "172.20.0.12"


@pytest.mark.parametrize("asker", ["", "netns1", "netns2"])
def test_both_servers_answer_with_their_own_names(probe: Probe, asker: str) -> None:
    caller = {"": BRIDGE, "netns1": ONE, "netns2": TWO}[asker]
    answers = [probe.ask(address, 8080, netns=asker).get("text") for address in (ONE, TWO)]
    assert answers == [f"netns1 answers {caller}\n", f"netns2 answers {caller}\n"]


def test_another_port_is_refused(probe: Probe) -> None:
    assert [probe.ask(address, 8081)["outcome"] for address in (ONE, TWO)] == ["refused"] * 2


def test_the_host_itself_has_no_server(probe: Probe) -> None:
    assert [probe.ask(address, 8080)["outcome"] for address in ("127.0.0.1", BRIDGE)] == ["refused"] * 2


@pytest.mark.parametrize("name", ["netns1", "netns2"])
def test_pitfall_39_systemd_runs_the_servers_inside(host: Host, name: str) -> None:
    service = host.service(f"two-servers@{name}.service")
    assert service.is_running
    pid = host.check_output(f"systemctl show --property=MainPID --value two-servers@{name}.service")
    assert host.check_output(f"readlink /proc/{pid}/ns/net") == f"net:[{Probe(host).run('namespaces')[name]}]"


def test_the_outside_sees_the_gateway(probe: Probe) -> None:
    assert [probe.ping("8.8.8.8", netns=netns) for netns in ("netns1", "netns2")] == ["reached"] * 2
    with probe.server(8000, netns="outside") as token:
        answer = probe.ask("8.8.8.8", 8000, netns="netns2")
    assert answer == {"outcome": "reached", "who": token, "caller": "192.168.1.2"}


def test_the_outside_has_no_way_in(probe: Probe) -> None:
    assert probe.ask(ONE, 8080, netns="outside") == {"outcome": "no route"}
    assert probe.ask("192.168.1.2", 8080, netns="outside") == {"outcome": "refused"}


def test_neighbour_tables_show_the_right_macs(probe: Probe) -> None:
    assert [probe.ping(address) for address in (ONE, TWO)] == ["reached"] * 2
    neighbours = probe.run("neighbours")
    assert neighbours[ONE] == probe.run("links", netns="netns1")["ceth1"]
    assert neighbours[TWO] == probe.run("links", netns="netns2")["ceth2"]
    assert probe.run("neighbours", netns="netns1")[BRIDGE] == probe.run("links")["br0"]


def test_the_bridge_is_as_the_tutorial_draws_it(host: Host) -> None:
    (bridge,) = json.loads(host.check_output("ip -json address show dev br0"))
    (address,) = [entry for entry in bridge["addr_info"] if entry["family"] == "inet"]
    assert (address["local"], address["prefixlen"], address["broadcast"]) == (BRIDGE, 16, "172.20.255.255")
    ports = json.loads(host.check_output("ip -json link show master br0"))
    assert {port["ifname"] for port in ports} == {"veth1", "veth2"}
    assert {len(port.get("addr_info", [])) for port in ports} == {0}


@pytest.mark.parametrize("name", ["netns1", "netns2"])
def test_the_default_route_is_the_bridge(host: Host, name: str) -> None:
    (route,) = json.loads(host.check_output(f"ip -json -netns {name} route show default"))
    assert (route["gateway"], route["dev"]) == (BRIDGE, f"ceth{name[-1]}")
