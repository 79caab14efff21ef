# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every example lab, built by the module in a box: its packets go where its comments and its picture say, and all of it goes again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import packets
import pytest
from box import EXT4, FAR4, HOST4, Box

yaml = pytest.importorskip("yaml")

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = {path.stem: path for path in sorted((CHECKOUT / "playbooks/labs").glob("*.yml"))}


class Lab:
    """One example lab that stands in a box with an outside."""

    def __init__(self, box: Box, name: str) -> None:
        self.box = box
        self.file = read(name)
        box.outside()
        # It appears when the kernel is sure that nobody else has it, which takes a second: too late for the snapshot.
        box.ip("-6 addr flush dev uplink scope link")
        self.before = box.snapshot()
        self.result = box.run("topology", definition=self.file)

    def address(self, netns: str, interface: str, version: int = 4) -> str:
        """The first address that ip(8) shows there, without its prefix length: addresses that were chosen are asked for."""
        found = [text.partition("/")[0] for text in self.box.addresses(interface, netns)]
        return next(text for text in found if (":" in text) == (version == 6))


def read(name: str) -> Any:
    """The content of an example file."""
    return yaml.safe_load(FILES[name].read_text(encoding="utf-8"))


@pytest.fixture
def lab(box: Box, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab that the test's parameter names. Whatever the test finds, a second run has nothing to do and absent leaves nothing."""
    built = Lab(box, request.param)
    yield built
    again = box.run("topology", definition=built.file)
    assert (again.changed, again.commands) == (False, [])
    gone = box.run("topology", name=request.param, state="absent")
    assert gone.changed
    assert box.snapshot() == built.before


def lab_is(name: str) -> pytest.MarkDecorator:
    """The lab that a test is about."""
    return pytest.mark.parametrize("lab", [name], indirect=True, ids=[name])


# red-blue


@lab_is("red-blue")
def test_red_and_blue_reach_each_other_the_host_and_the_outside(lab: Lab) -> None:
    ways = [("red", "192.168.15.2"), ("blue", "192.168.15.1"), ("red", "192.168.15.5"), (None, "192.168.15.2")]
    assert all(lab.box.ping(*way) for way in ways)
    server = lab.box.serve("ext", 8000)
    answer = lab.box.tcp("red", FAR4, 8000)
    assert (answer.token, answer.seen[0]) == (server.token, HOST4)


@lab_is("red-blue")
def test_port_80_of_the_host_is_blue(lab: Lab) -> None:
    server = lab.box.serve("blue", 80)
    answers = [lab.box.tcp(netns, HOST4, 80) for netns in ("ext", "red", None, "blue")]
    assert [answer.token for answer in answers] == [server.token] * 4
    assert answers[0].seen[0] == EXT4
    assert not lab.box.tcp("ext", HOST4, 81, timeout=packets.SHORT)


# two-sites


@lab_is("two-sites")
def test_each_pc_reaches_each_other_pc_through_the_routers(lab: Lab) -> None:
    pcs = ["pc-a1", "pc-a2", "pc-b1", "pc-b2"]
    for version, networks in ((4, ["10.1.0.", "10.2.0."]), (6, ["fd00:1::", "fd00:2::"])):
        addresses = {netns: lab.address(netns, "eth0", version) for netns in pcs}
        assert [address.startswith(networks[netns[3] == "b"]) for netns, address in addresses.items()] == [True] * 4
        assert [(pc, to) for pc in pcs for to in addresses.values() if not lab.box.ping(pc, to)] == []


@lab_is("two-sites")
def test_nobody_translates_between_the_sites(lab: Lab) -> None:
    server = lab.box.serve("pc-b1", 8000)
    answer = lab.box.tcp("pc-a1", lab.address("pc-b1", "eth0"), 8000)
    assert (answer.token, answer.seen[0]) == (server.token, lab.address("pc-a1", "eth0"))


@lab_is("two-sites")
def test_without_the_routes_back_a_ping_arrives_and_nothing_comes_back(lab: Lab) -> None:
    edited = {**lab.file, "namespaces": {**lab.file["namespaces"]}}
    edited["namespaces"]["router-b"] = {**edited["namespaces"]["router-b"], "routes": []}
    lab.box.run("topology", definition=edited)
    before = echo_requests(lab.box, "pc-b1")
    assert not lab.box.ping("pc-a1", lab.address("pc-b1", "eth0"), timeout=packets.SHORT)
    assert echo_requests(lab.box, "pc-b1") == before + 1
    lab.box.run("topology", definition=lab.file)
    assert lab.box.ping("pc-a1", lab.address("pc-b1", "eth0"))


@lab_is("two-sites")
def test_nothing_of_the_sites_is_on_the_host(lab: Lab) -> None:
    shown = lab.box.snapshot()
    assert {part for part in shown if shown[part] != lab.before[part]} == {"netns"}


def echo_requests(box: Box, netns: str) -> int:
    """How many pings have arrived in a namespace."""
    names, values = re.findall(r"^Icmp: (.*)$", box.tool("cat", "/proc/net/snmp", netns=netns), flags=re.M)
    return int(values.split()[names.split().index("InEchos")])


# leaf-spine

RACKS = (1, 2, 3, 4)


@lab_is("leaf-spine")
def test_every_server_reaches_every_other_one(lab: Lab) -> None:
    addresses = {f"{letter}{rack}": lab.address(f"{letter}{rack}", "eth0") for rack in RACKS for letter in "ab"}
    assert [address.startswith(f"10.10.{netns[1]}.") for netns, address in addresses.items()] == [True] * 8
    assert [(netns, to) for netns in addresses for to in addresses.values() if not lab.box.ping(netns, to)] == []


@lab_is("leaf-spine")
def test_each_leaf_has_two_ways_and_uses_both(lab: Lab) -> None:
    server = lab.box.serve("a3", 80)
    before = [forwarded(lab.box, f"spine{number}") for number in (1, 2)]
    flows = [lab.box.tcp("a1", lab.address("a3", "eth0"), 80, source_port=40000 + n) for n in range(32)]
    assert {answer.token for answer in flows} == {server.token}
    after = [forwarded(lab.box, f"spine{number}") for number in (1, 2)]
    assert [after[n] > before[n] for n in (0, 1)] == [True, True]


@lab_is("leaf-spine")
def test_the_command_that_the_page_says_to_try_shows_both_spines(lab: Lab) -> None:
    page = (CHECKOUT / "docs/labs/README.md").read_text(encoding="utf-8")
    command = re.search(r"`ip netns exec leaf1 (ip route get 10\.10\.3\.2 .*? sport) 40001 (dport \d+)`", page)
    assert command, "the page no longer says so"
    shown = [lab.box.tool(*f"{command[1]} {port} {command[2]}".split(), netns="leaf1") for port in range(40001, 40017)]
    assert {re.search(r"via (\S+)", text)[1] for text in shown} == {"10.1.1.0", "10.2.1.0"}


def forwarded(box: Box, netns: str) -> int:
    """How many packets a namespace has passed on."""
    names, values = re.findall(r"^Ip: (.*)$", box.tool("cat", "/proc/net/snmp", netns=netns), flags=re.M)
    return int(values.split()[names.split().index("ForwDatagrams")])


# internet

CUSTOMERS = (1, 2, 3, 4, 5)


@lab_is("internet")
def test_the_server_sees_each_customer_by_its_public_address(lab: Lab) -> None:
    server = lab.box.serve("web", 80)
    public = [lab.address(f"router{n}", "wan") for n in CUSTOMERS]
    assert len(set(public)) == len(CUSTOMERS)
    assert {lab.address(f"pc{n}", "eth0") for n in CUSTOMERS} == {"192.168.1.2"}
    answers = [lab.box.tcp(f"pc{n}", "203.0.113.80", 80) for n in CUSTOMERS]
    assert [(answer.token, answer.seen[0]) for answer in answers] == [(server.token, address) for address in public]


@lab_is("internet")
def test_port_8080_of_a_customer_is_its_pc(lab: Lab) -> None:
    servers = {n: lab.box.serve(f"pc{n}", 80) for n in CUSTOMERS}
    for n, server in servers.items():
        asker = f"pc{n % 5 + 1}"
        answer = lab.box.tcp(asker, lab.address(f"router{n}", "wan"), 8080)
        assert (answer.token, answer.seen[0]) == (server.token, lab.address(f"router{n % 5 + 1}", "wan"))


@lab_is("internet")
def test_the_provider_does_not_know_the_private_networks(lab: Lab) -> None:
    assert lab.box.tcp("web", "192.168.1.2", 80).outcome == "unreachable"
    assert lab.box.tcp("web", lab.address("router1", "wan"), 22).outcome == "refused"


@lab_is("internet")
def test_the_picture_has_the_addresses_that_are_chosen(lab: Lab) -> None:
    assert [lab.address(f"router{n}", "wan") for n in CUSTOMERS] == [f"198.51.100.{n + 1}" for n in CUSTOMERS]


# two-hundred


@lab_is("two-hundred")
def test_two_hundred_namespaces_reach_their_neighbours_and_the_other_bridges(lab: Lab) -> None:
    names = [f"net{bridge}-{n}" for bridge in (1, 2, 3, 4) for n in range(1, 51)]
    assert [lab.address(f"net{bridge}-{n}", "eth0") for bridge, n in ((1, 1), (1, 50), (4, 50))] == [
        "10.80.1.2",
        "10.80.1.51",
        "10.80.4.51",
    ]
    assert set(names) <= set(lab.box.names())
    assert [name for name in names if not lab.box.ping(name, f"10.80.{name[3]}.1")] == []
    assert [name for name in names[::10] if not lab.box.ping(name, "10.80.4.51")] == []


@lab_is("two-hundred")
def test_two_hundred_namespaces_leave_under_the_hosts_address(lab: Lab) -> None:
    server = lab.box.serve("ext", 8000)
    assert lab.box.tcp("net4-50", FAR4, 8000).seen[0] == HOST4
    inner = lab.box.serve("net1-1", 8000)
    assert lab.box.tcp("net4-50", "10.80.1.2", 8000).seen[0] == "10.80.4.51"
    assert server.token != inner.token
