# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The red and blue lab of site.yml, with packets. The machine's uplink is 192.168.1.2; the outside is 192.168.1.50 and 8.8.8.8."""

from __future__ import annotations

import time

import pytest
from probing import Probe
from testinfra.host import Host

HOST = "192.168.1.2"
OUTSIDE = "192.168.1.50"
BRIDGE, RED, BLUE = (f"192.168.15.{number}" for number in (5, 1, 2))


def test_pyroute2_comes_from_the_distribution_where_it_can(host: Host, suite: str) -> None:
    where = host.check_output("python3 -c 'import pyroute2; print(pyroute2.__file__)'")
    assert where.startswith("/usr/local/" if suite == "bullseye" else "/usr/lib/python3/dist-packages/")


def test_no_tool_was_needed(host: Host, suite: str) -> None:
    present = [tool for tool in ("ip", "nft", "iptables", "ping") if host.exists(tool)]
    assert suite != "trixie" or present == []


def has(probe: Probe, netns: str, prefix: str) -> bool:
    """Whether a namespace has an IPv6 address that begins so."""
    return any(address.startswith(prefix) for address in probe.run("addresses6", netns=netns))


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


@pytest.mark.parametrize("link", ["v-net-0", "veth-red-br", "veth-blue-br"])
def test_pitfalls_22_23_macs_are_set_and_not_left_to_chance(host: Host, link: str) -> None:
    assert host.file(f"/sys/class/net/{link}/addr_assign_type").content_string.strip() == "3"


@pytest.mark.parametrize("netns", ["red", "blue"])
def test_pitfall_26_loopback_is_up(probe: Probe, netns: str) -> None:
    assert [probe.ping(address, netns=netns) for address in ("127.0.0.1", "::1")] == ["reached"] * 2


def test_pitfall_33_router_advertisements_are_not_heard(probe: Probe) -> None:
    probe.run("advertise", "v-net-0", "2001:db8:3333::")
    probe.run("advertise", "uplink", "2001:db8:4444::")
    deadline = time.monotonic() + 10
    while not has(probe, "outside", "2001:db8:4444:"):  # who listens has heard it, and so the lab has had its chance
        assert time.monotonic() < deadline, "the advertisement never came"
    assert not has(probe, "red", "2001:db8:3333:")
    assert not has(probe, "blue", "2001:db8:3333:")


def test_pitfall_38_the_stale_file_became_a_namespace(probe: Probe) -> None:
    names = probe.run("namespaces")
    assert names["blue"] > 4026531840  # the inode of a namespace, not of a file on a tmpfs
    assert len(set(names.values())) == len(names)


def test_pitfall_39_another_mount_namespace_sees_them(host: Host) -> None:
    look = "nsenter --target $(cat /root/bystander.pid) --mount stat --file-system --format=%T /run/netns/red /run/netns/blue"
    assert host.check_output(look) == "nsfs\nnsfs"
