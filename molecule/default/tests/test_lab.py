# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The red and blue lab of site.yml, with packets. The machine's uplink is 192.168.1.2; the outside is 192.168.1.50 and 8.8.8.8."""

from __future__ import annotations

import json
import time

import pytest
from probing import Probe
from testinfra.host import Host

HOST = "192.168.1.2"
OUTSIDE = "192.168.1.50"
BRIDGE, RED, BLUE, GREEN = (f"192.168.15.{number}" for number in (5, 1, 2, 3))
HOST6, OUTSIDE6 = "2001:db8:1::2", "2001:db8:1::50"
BRIDGE6, RED6, BLUE6, GREEN6 = (f"fd00:15::{number}" for number in (5, 1, 2, 3))


@pytest.fixture
def probe(host: Host) -> Probe:
    return Probe(host)


@pytest.fixture
def dual(host: Host, suite: str) -> Probe:
    """For tests of what only the machine with the bigger lab has."""
    if suite != "trixie":
        pytest.skip("this machine has the tutorial's own lab")
    return Probe(host)


def test_pyroute2_comes_from_the_distribution_where_it_can(host: Host, suite: str) -> None:
    where = host.check_output("python3 -c 'import pyroute2; print(pyroute2.__file__)'")
    assert where.startswith("/usr/local/" if suite == "bullseye" else "/usr/lib/python3/dist-packages/")


def test_no_tool_was_needed(host: Host, suite: str) -> None:
    present = [tool for tool in ("ip", "nft", "iptables", "ping") if host.exists(tool)]
    assert suite != "trixie" or present == []


# Who reaches whom


def test_red_and_blue_reach_each_other(probe: Probe) -> None:
    assert probe.ping(BLUE, netns="red") == "reached"
    assert probe.ping(RED, netns="blue") == "reached"
    assert probe.ping("192.168.15.77", netns="red") == "timeout"


def test_the_host_reaches_both_and_they_reach_it(probe: Probe) -> None:
    assert [probe.ping(address) for address in (RED, BLUE)] == ["reached"] * 2
    assert [probe.ping(address, netns="blue") for address in (BRIDGE, HOST)] == ["reached"] * 2


def test_red_reaches_the_lan_and_the_internet(probe: Probe) -> None:
    assert [probe.ping(address, netns="red") for address in (OUTSIDE, "8.8.8.8")] == ["reached"] * 2


def test_the_outside_sees_the_gateway(probe: Probe) -> None:
    with probe.server(8000, netns="outside") as token:
        answer = probe.ask("8.8.8.8", 8000, netns="red")
    assert answer == {"outcome": "reached", "who": token, "caller": HOST}


def test_the_outside_has_no_way_into_the_lab_by_itself(probe: Probe) -> None:
    assert probe.ping(BLUE, netns="outside") == "no route"


def test_neighbour_tables_show_the_right_macs(probe: Probe) -> None:
    for name, address in (("red", RED), ("blue", BLUE)):
        assert probe.ping(address) == "reached"
        assert probe.ping(BLUE if name == "red" else RED, netns=name) == "reached"
    links = {name: probe.run("links", netns=name) for name in ("", "red", "blue")}
    red, blue = (probe.run("neighbours", netns=name) for name in ("red", "blue"))
    host = probe.run("neighbours")
    assert red[BLUE] == host[BLUE] == links["blue"]["veth-blue"]
    assert blue[RED] == host[RED] == links["red"]["veth-red"]
    assert red[BRIDGE] == blue[BRIDGE] == links[""]["v-net-0"]
    macs = [mac for found in links.values() for link, mac in found.items() if link != "lo"]
    assert len(set(macs)) == len(macs)


# The way in


def test_the_outside_reaches_blues_web_server_through_port_80(probe: Probe) -> None:
    with probe.server(80, netns="blue") as token:
        answer = probe.ask(HOST, 80, netns="outside")
    assert answer == {"outcome": "reached", "who": token, "caller": OUTSIDE}


def test_a_port_that_is_not_forwarded_is_refused(probe: Probe) -> None:
    with probe.server(81, netns="blue") as token:
        assert probe.ask(HOST, 81, netns="outside") == {"outcome": "refused"}
        assert probe.ask(BLUE, 81, netns="red")["who"] == token


def test_pitfall_02_somebody_elses_port_80_is_not_hijacked(probe: Probe) -> None:
    with probe.server(80, netns="blue"), probe.server(80, netns="outside") as theirs:
        answer = probe.ask(OUTSIDE, 80, netns="red")
    assert answer == {"outcome": "reached", "who": theirs, "caller": HOST}


def test_pitfall_03_the_hosts_own_connections_are_forwarded(probe: Probe) -> None:
    with probe.server(80, netns="blue") as token:
        answers = [probe.ask(address, 80) for address in (HOST, BRIDGE)]
    assert [answer.get("who") for answer in answers] == [token, token]


def test_pitfall_04_localhost_is_not_forwarded_unless_asked_for(probe: Probe) -> None:
    with probe.server(80, netns="blue"):
        assert probe.ask("127.0.0.1", 80) == {"outcome": "refused"}
    assert probe.run("sysctl", "net.ipv4.conf.v-net-0.route_localnet") == "0"


def test_pitfall_06_blue_reaches_itself_through_the_host(probe: Probe) -> None:
    with probe.server(80, netns="blue") as token:
        answers = [probe.ask(address, 80, netns="blue") for address in (HOST, BRIDGE)]
    assert answers == [{"outcome": "reached", "who": token, "caller": BRIDGE}] * 2


def test_pitfall_07_red_reaches_blue_through_the_host(probe: Probe) -> None:
    with probe.server(80, netns="blue") as token:
        answers = [probe.ask(address, 80, netns="red") for address in (HOST, BRIDGE)]
    assert answers == [{"outcome": "reached", "who": token, "caller": BRIDGE}] * 2


def test_pitfall_09_traffic_inside_the_lab_keeps_its_source(probe: Probe) -> None:
    with probe.server(8000, netns="blue") as token:
        answer = probe.ask(BLUE, 8000, netns="red")
    assert answer == {"outcome": "reached", "who": token, "caller": RED}
    heard = probe.run("multicast", "blue", "239.1.2.3", 9000, netns="red")
    assert heard == {"outcome": "reached", "caller": RED}


# How it was made


def test_pitfall_11_forwarding_is_on(probe: Probe) -> None:
    assert probe.run("sysctl", "net.ipv4.ip_forward") == "1"


def test_pitfall_17_no_rule_is_there_twice(host: Host, suite: str) -> None:
    if suite != "bookworm":
        pytest.skip("only this machine has nft")
    table = json.loads(host.check_output("nft --json list table inet patchbay"))["nftables"]
    rules = [item["rule"] for item in table if "rule" in item]
    bodies = [json.dumps([rule["chain"], rule["expr"]], sort_keys=True) for rule in rules]
    assert rules
    assert len(set(bodies)) == len(bodies)


@pytest.mark.parametrize("link", ["v-net-0", "veth-red-br", "veth-blue-br"])
def test_pitfalls_22_23_macs_are_set_and_not_left_to_chance(host: Host, link: str) -> None:
    assert host.file(f"/sys/class/net/{link}/addr_assign_type").content_string.strip() == "3"


@pytest.mark.parametrize("netns", ["red", "blue"])
def test_pitfall_26_loopback_is_up(probe: Probe, netns: str) -> None:
    assert [probe.ping(address, netns=netns) for address in ("127.0.0.1", "::1")] == ["reached"] * 2


def test_pitfall_33_router_advertisements_are_not_heard(probe: Probe) -> None:
    probe.run("advertise", "v-net-0", "2001:db8:3333::")
    probe.run("advertise", "uplink", "2001:db8:4444::")
    time.sleep(0.5)
    heard = {netns: probe.run("addresses6", netns=netns) for netns in ("red", "blue", "outside")}
    assert any(address.startswith("2001:db8:4444:") for address in heard["outside"])
    assert not any(address.startswith("2001:db8:3333:") for address in heard["red"] + heard["blue"])


def test_pitfall_38_the_stale_file_became_a_namespace(probe: Probe) -> None:
    names = probe.run("namespaces")
    assert names["blue"] > 4026531840  # the inode of a namespace, not of a file on a tmpfs
    assert len(set(names.values())) == len(names)


def test_pitfall_39_another_mount_namespace_sees_them(host: Host) -> None:
    look = "nsenter --target $(cat /root/bystander.pid) --mount stat --file-system --format=%T /run/netns/red /run/netns/blue"
    assert host.check_output(look) == "nsfs\nnsfs"


def test_iproute2_sees_them(host: Host, suite: str) -> None:
    if suite != "bookworm":
        pytest.skip("only this machine has ip")
    assert {line.split()[0] for line in host.check_output("ip netns").splitlines()} == {"outside", "red", "blue"}


# The bigger lab: IPv6, a third namespace, UDP


def test_three_namespaces_are_a_longer_list(dual: Probe) -> None:
    assert [dual.ping(address, netns="green") for address in (RED, BLUE, BRIDGE, "8.8.8.8")] == ["reached"] * 4
    assert dual.run("sysctl", "net.ipv4.ip_default_ttl", netns="green") == "61"


def test_nameservers_are_the_namespaces_own(dual: Probe) -> None:
    assert dual.host.file("/etc/netns/blue/resolv.conf").content_string.endswith("\nnameserver 192.168.1.50\n")
    assert not dual.host.file("/etc/netns/red").exists


def test_ipv6_reaches_everybody(dual: Probe) -> None:
    assert [dual.ping(address, netns="red") for address in (BLUE6, GREEN6, BRIDGE6, OUTSIDE6)] == ["reached"] * 4
    assert dual.ping("2001:4860:4860::8888", netns="red") == "reached"


def test_ipv6_outside_sees_the_gateway(dual: Probe) -> None:
    with dual.server(8000, netns="outside") as token:
        answer = dual.ask("2001:4860:4860::8888", 8000, netns="red")
    assert answer == {"outcome": "reached", "who": token, "caller": HOST6}


def test_ipv6_forward_and_hairpin(dual: Probe) -> None:
    with dual.server(80, netns="blue") as token:
        callers = {netns: dual.ask(HOST6, 80, netns=netns) for netns in ("outside", "red", "blue", "")}
    assert {answer.get("who") for answer in callers.values()} == {token}
    assert callers["outside"]["caller"] == OUTSIDE6
    assert callers["red"]["caller"] == callers["blue"]["caller"] == BRIDGE6


def test_ipv6_traffic_inside_the_lab_keeps_its_source(dual: Probe) -> None:
    with dual.server(8000, netns="blue") as token:
        answer = dual.ask(BLUE6, 8000, netns="red")
    assert answer == {"outcome": "reached", "who": token, "caller": RED6}


def test_udp_is_forwarded_to_another_port(dual: Probe) -> None:
    with dual.server(53, netns="green", udp=True) as token:
        assert dual.ask(HOST, 5300, netns="outside", udp=True) == {
            "outcome": "reached",
            "who": token,
            "caller": OUTSIDE,
        }
        assert dual.ask(HOST, 5300, netns="outside") == {"outcome": "refused"}
