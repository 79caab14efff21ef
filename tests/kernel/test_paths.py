# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way through a forward, with real packets: who gets through, who does not, as whom, and what the kernel counted.

The table is in paths.py. Each of its lines is tried before there is a forward, with it, with what looks much the same, and
after it is gone.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import firewalls
import packets
import paths
import pytest
from box import Box
from paths import CLIENTS, FORMS, Case, Counted, Probe, Street, cases, counted, twins, under
from scenery import BLUE, OWN, rules, versions

EVERY = list(FORMS)
ORDINARY = EVERY[:-2]
LOOPBACK = [
    Case("localhost", form, protocol, (4,))
    for form in ("single", "other", "range", "shifted")
    for protocol in paths.PROTOCOLS
]
DROPPING = ("docker-nft", "docker-legacy", "administrator", "owned")
BRIDGING = ("br_netfilter", "nf_call_iptables")

# Where a firewall drops what is forwarded: each kind of client, both IP versions, every form that leads to other rules.
DROPPED = """
outside 4 tcp single
outside 6 udp range
outside 46 sctp other
second 4 udp sources
second 6 tcp shifted
red 4 tcp other
red 6 udp single
blue 46 tcp address
"""
# What the machine itself sends is not forwarded, whatever is dropped.
UNTOUCHED = """
host 4 udp single
host 6 tcp shifted
localhost 4 tcp other
"""
BRIDGED = """
outside 4 tcp shifted
outside 6 udp single
second 46 udp interface
red 4 udp single
red 6 tcp shifted
red 46 sctp range
blue 4 tcp single
blue 6 udp other
red 46 tcp interface
host 46 tcp address
localhost 4 udp single
"""
BRIDGED_AND_DROPPED = """
outside 46 tcp single
red 4 tcp shifted
red 6 udp single
blue 4 udp single
blue 6 tcp single
"""


@pytest.fixture
def street(box: Box) -> Iterator[Street]:
    """Two networks outside, HOST, red and blue."""
    made = Street(box)
    yield made
    made.close()


def passes(street: Street, case: Case, version: int, token: str) -> None:
    """The client gets through to blue, which sees it as who it should be; one element of our maps counted one packet."""
    probe = asked(case, version)
    before = counted(street.box)
    answer = street.ask(probe, case.protocol)
    assert answer.outcome == "reached", f"{probe}: {answer}\n{street.box.nft('list ruleset')}"
    assert answer.token == token, "somebody else answered"
    assert answer.seen[0] == case.client.seen[version]
    news = counted(street.box).since(before)
    assert_one(news, case, version)
    assert news.masquerades == case.client.hidden


def asked(case: Case, version: int) -> Probe:
    return Probe(case.who, case.client.asks[version], FORMS[case.form].ports[0])


def assert_one(news: Counted, case: Case, version: int) -> None:
    """One connection was counted, in one element, which leads where it went."""
    assert list(news.elements.values()) == [1], news
    name, _key, target = next(iter(news.elements))
    assert f'"{BLUE[version]}"' in target
    assert name.startswith("loopback-") == (case.who == "localhost")


def stays_out(street: Street, probe: Probe, protocol: str) -> None:
    """Nobody answers, and none of our counters moved."""
    before = counted(street.box)
    assert street.refuses(probe, protocol), f"{probe} and was answered\n{street.box.nft('list ruleset')}"
    news = counted(street.box).since(before)
    assert (dict(news.elements), news.masquerades) == ({}, 0)


def travel(street: Street, case: Case) -> None:
    """One line of the table, where no firewall drops it."""
    server = street.serve("blue", FORMS[case.form].ports[1], case.protocol)
    before = rules(street.box)
    for version in case.versions:
        stays_out(street, asked(case, version), case.protocol)
    street.box.run("dnat_forward", **case.task)
    for version in case.versions:
        passes(street, case, version, server.token)
        for twin in twins(case, version):
            stays_out(street, twin, case.protocol)
    street.box.run("dnat_forward", **case.task, state="absent")
    assert rules(street.box) == before
    for version in case.versions:
        stays_out(street, asked(case, version), case.protocol)


# ---- nobody else's firewall


@pytest.mark.parametrize("case", cases("outside", EVERY), ids=str)
def test_from_outside(street: Street, case: Case) -> None:
    """Blue sees the client's own address."""
    travel(street, case)


@pytest.mark.parametrize("case", cases("second", ORDINARY), ids=str)
def test_from_a_second_network_outside(street: Street, case: Case) -> None:
    travel(street, case)


@pytest.mark.parametrize("case", cases("host", EVERY), ids=str)
def test_from_the_host_itself_at_its_own_address(street: Street, case: Case) -> None:
    travel(street, case)


@pytest.mark.parametrize("case", cases("red", ORDINARY), ids=str)
def test_from_another_machine_on_the_bridge(street: Street, case: Case) -> None:
    """Blue sees the bridge's address: it would answer red directly otherwise, from an address that red did not ask."""
    travel(street, case)


@pytest.mark.parametrize("case", cases("blue", ORDINARY), ids=str)
def test_from_the_target_itself(street: Street, case: Case) -> None:
    travel(street, case)


@pytest.mark.parametrize("case", LOOPBACK, ids=str)
def test_from_localhost(street: Street, case: Case) -> None:
    """Blue sees the bridge's address. The same task without ``loopback`` is a negative twin."""
    street.box.run("dnat_forward", **{**case.task, "loopback": False})
    stays_out(street, asked(case, 4), case.protocol)
    street.box.run("dnat_forward", **case.task, state="absent")
    travel(street, case)


@pytest.mark.parametrize("who", ["outside", "host", "red"])
@versions
def test_a_datagram_in_fragments_arrives_whole(street: Street, version: int, who: str) -> None:
    """Only the first fragment has the port in it."""
    server = street.serve("blue", 80, "udp")
    street.box.run("dnat_forward", protocol="udp", port="80", to_address=[BLUE[version]])
    client = CLIENTS[who]
    with packets.open_socket(client.netns, packets.family(OWN[version]), socket.SOCK_DGRAM) as sock:
        sock.settimeout(packets.TIMEOUT)
        sock.connect((OWN[version], 80))
        sock.send(bytes(4000))
        said = json.loads(sock.recv(2048))
    assert said["token"] == server.token
    assert said["peer"][0] == client.seen[version]


# ---- somebody else's firewall


@pytest.mark.parametrize("case", [case for name in DROPPING for case in under(name, DROPPED)], ids=str)
def test_a_firewall_that_drops_what_is_forwarded_drops_this_until_its_owner_opens_it(
    street: Street, case: Case
) -> None:
    """It is translated, and dropped afterwards: no accept of ours can help that, and nobody's rules are changed."""
    dropped_until_opened(street, case)


@pytest.mark.parametrize("case", [case for name in DROPPING for case in under(name, UNTOUCHED)], ids=str)
def test_a_firewall_that_drops_what_is_forwarded_lets_the_hosts_own_connections_pass(
    street: Street, case: Case
) -> None:
    foreign = firewalls.CONDITIONS[case.firewall](street.box)
    travel(street, case)
    assert foreign.dropped() == 0


@pytest.mark.parametrize("case", [case for name in BRIDGING for case in under(name, BRIDGED)], ids=str)
def test_where_bridged_packets_pass_the_rules(street: Street, case: Case) -> None:
    """The target itself needs a bridge port that sends frames back; without it, it has no way to itself."""
    firewalls.CONDITIONS[case.firewall](street.box)
    if case.who == "blue":
        needs_the_port(street, case)
    travel(street, case)


@versions
@pytest.mark.parametrize("firewall", ["br_netfilter", "nf_call_iptables"])
def test_where_bridged_packets_pass_the_rules_it_is_told_what_the_target_needs(
    street: Street, version: int, firewall: str
) -> None:
    firewalls.CONDITIONS[firewall](street.box)
    task = Case("blue", "single", "tcp", (version,)).task
    told = [text for text in street.box.run("dnat_forward", **task).warnings if "veth-blue-br" in text]
    assert len(told) == 1
    assert "hairpin: true" in told[0]
    send_back(street)
    assert not [text for text in street.box.run("dnat_forward", **task).warnings if "veth-blue-br" in text]


@pytest.mark.parametrize("case", under("br_netfilter+docker", BRIDGED_AND_DROPPED), ids=str)
def test_where_bridged_packets_are_dropped_as_if_they_were_forwarded(street: Street, case: Case) -> None:
    if case.who == "blue":
        send_back(street)
    dropped_until_opened(street, case)


def dropped_until_opened(street: Street, case: Case) -> None:
    """One line of the table, where a firewall drops it."""
    foreign = firewalls.CONDITIONS[case.firewall](street.box)
    theirs = firewalls.foreign_rules(street.box)
    server = street.serve("blue", FORMS[case.form].ports[1], case.protocol)
    for version in case.versions:
        stays_out(street, asked(case, version), case.protocol)
    street.box.run("dnat_forward", **case.task)
    assert firewalls.foreign_rules(street.box) == theirs
    for version in case.versions:
        is_dropped(street, case, version, foreign)
    foreign.open()
    opened = firewalls.foreign_rules(street.box)
    for version in case.versions:
        passes(street, case, version, server.token)
        for twin in twins(case, version):
            stays_out(street, twin, case.protocol)
    street.box.run("dnat_forward", **case.task, state="absent")
    assert firewalls.foreign_rules(street.box) == opened
    for version in case.versions:
        stays_out(street, asked(case, version), case.protocol)


def is_dropped(street: Street, case: Case, version: int, foreign: firewalls.Foreign) -> None:
    """We counted and translated the packet, they counted and dropped it."""
    before, dropped = counted(street.box), foreign.dropped()
    assert street.refuses(asked(case, version), case.protocol)
    assert_one(counted(street.box).since(before), case, version)
    more = foreign.dropped() - dropped
    # On a bridge whose packets pass the rules, what its machines tell everybody is dropped too, now and then.
    assert more >= 1 if foreign.bridged else more == 1


def needs_the_port(street: Street, case: Case) -> None:
    server = street.serve("blue", FORMS[case.form].ports[1], case.protocol)
    street.box.run("dnat_forward", **case.task)
    for version in case.versions:
        assert street.refuses(asked(case, version), case.protocol)
    street.box.run("dnat_forward", **case.task, state="absent")
    server.close()
    send_back(street)


def send_back(street: Street) -> None:
    street.box.ip("link set veth-blue-br type bridge_slave hairpin on")
