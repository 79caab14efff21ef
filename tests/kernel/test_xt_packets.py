# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What our reading of an iptables rule says of a packet, and what the kernel does to that packet."""

from __future__ import annotations

import concurrent.futures
import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Packet, Rule
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.xt_predicates import all_of
from box import Box
from iptables import TOOLS, installed, read
from packets import SHORT, Answer

pytestmark = installed

LEFT = {4: "10.1.0.1", 6: "fd01::1"}
RIGHT = {4: "10.2.0.2", 6: "fd02::2"}
HOST = {4: ["10.1.0.254", "10.2.0.254"], 6: ["fd01::fe", "fd02::fe"]}
TCP_PORT, UDP_PORT, FROM_TCP, FROM_UDP = 80, 53, 4000, 5000


def route_between(box: Box) -> None:
    """left - HOST - right, with HOST as the router; its ends are called as who is behind them."""
    box.namespace("left", "right")
    for netns in (None, "left", "right"):  # a router asks for neighbours from its link-local address
        box.sysctl("net.ipv6.conf.default.accept_dad", "0", netns=netns)
    for number, (name, address) in enumerate((("left", LEFT), ("right", RIGHT))):
        box.ip(f"link add {name} type veth peer name wire netns {name}")
        box.ip(f"link set {name} up")
        box.ip(f"-n {name} link set wire up")
        for version, length in ((4, 24), (6, 64)):
            quiet = " nodad" if version == 6 else ""
            box.ip(f"addr add {HOST[version][number]}/{length} dev {name}{quiet}")
            box.ip(f"-n {name} addr add {address[version]}/{length} dev wire{quiet}")
            box.ip(f"-n {name} -{version} route add default via {HOST[version][number]}")
    box.sysctl("net.ipv4.ip_forward", "1")
    box.sysctl("net.ipv6.conf.all.forwarding", "1")
    box.settle(None, "left", "right")


def local() -> tuple[Any, ...]:
    return tuple(ipaddress.ip_network(address) for version in (4, 6) for address in HOST[version])


def one(address: str) -> Any:
    return ipaddress.ip_network(address)


def crossing(version: int) -> dict[str, Packet]:
    """The packets that open a connection from left to right."""
    common = Packet(
        version,
        in_interface="left",
        out_interface="right",
        source=one(LEFT[version]),
        destination=one(RIGHT[version]),
        local=local(),
    )
    return {
        "tcp": replace(common, protocol="tcp", source_port=FROM_TCP, destination_port=TCP_PORT),
        "udp": replace(common, protocol="udp", source_port=FROM_UDP, destination_port=UDP_PORT),
        "ping": replace(common, protocol={4: "icmp", 6: "icmpv6"}[version]),
    }


def send(box: Box, kind: str, to: str) -> Answer:
    if kind == "tcp":
        return box.tcp("left", to, TCP_PORT, source_port=FROM_TCP, timeout=SHORT)
    if kind == "udp":
        return box.udp("left", to, UDP_PORT, source_port=FROM_UDP, timeout=SHORT)
    return box.ping("left", to, timeout=SHORT)


def written(box: Box, rule: str, *, version: int = 4, chain: str = "FORWARD") -> Rule:
    """Let the tool write the rule that drops; returns our reading of it."""
    box.tool(TOOLS[version], "-A", chain, *rule.split(), "-j", "DROP")
    found = next(table for table in read() if table.name == "filter").chain(chain)
    assert found is not None
    return found.rules[-1]


def only_first_packets(box: Box, version: int = 4, chain: str = "FORWARD") -> None:
    """Wave through what follows the first packet of a connection, so that the next rule meets nothing else."""
    box.tool(TOOLS[version], "-A", chain, "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")


def said(rule: Rule, packet: Packet) -> bool | None:
    return all_of(condition.holds(packet) for condition in rule.conditions)


FORWARDED = """
-i left
! -i left
-i le+
-o right
-o left
! -o r+
-s 10.1.0.0/24
! -s 10.1.0.0/24
-s 10.0.0.1/255.0.0.255
-d 10.2.0.2
-d 10.2.0.3
! -d 10.2.0.3
-p tcp
! -p tcp
-p icmp
-f
! -f
-p tcp --dport 80
-p tcp ! --dport 80
-p tcp --dport 81:
-p tcp --sport 4000:4001
-p udp --dport 53
-p udp ! --sport 1:4999
-p tcp --syn
-p tcp ! --syn
-p tcp --tcp-flags SYN,ACK SYN,ACK
-p tcp --tcp-flags ALL SYN
-p tcp -m multiport --dports 22,80,443
-p tcp -m multiport ! --dports 22,80,443
-p tcp -m multiport --sports 22,4000:4001
-p udp -m multiport --ports 53
-p udp -m multiport --ports 5000,6000
-p udp -m multiport ! --ports 54,55:60
-m conntrack --ctstate NEW
-m conntrack ! --ctstate NEW
-m conntrack --ctstate RELATED,ESTABLISHED
-m conntrack --ctstate INVALID,UNTRACKED
-m conntrack --ctstate DNAT,SNAT
-m conntrack ! --ctstate DNAT
-m conntrack --ctstatus SEEN_REPLY
-m conntrack ! --ctstatus ASSURED
-m conntrack --ctstatus NONE
-m conntrack ! --ctstatus NONE
-m conntrack --ctdir ORIGINAL
-m conntrack --ctdir REPLY
-m conntrack --ctproto 17
-m conntrack ! --ctproto 17
-m conntrack --ctorigsrc 10.1.0.0/24
-m conntrack ! --ctorigdst 10.2.0.2
-m conntrack --ctreplsrc 10.2.0.2
-m conntrack --ctrepldst 10.2.0.2
-p tcp -m conntrack --ctorigdstport 80
-p udp -m conntrack ! --ctorigsrcport 5000
-p udp -m conntrack --ctreplsrcport 50:60
-p tcp -m conntrack --ctrepldstport 80
-m state --state NEW
-m state ! --state NEW
-m addrtype --dst-type LOCAL
-m addrtype ! --dst-type LOCAL
-m addrtype --src-type UNICAST
-m addrtype --dst-type BROADCAST,MULTICAST
-m addrtype ! --src-type LOCAL --dst-type UNICAST
-m iprange --dst-range 10.2.0.1-10.2.0.9
-m iprange ! --src-range 10.2.0.1-10.2.0.9
-p icmp --icmp-type echo-request
-p icmp ! --icmp-type echo-request
-p icmp --icmp-type echo-reply
-p icmp --icmp-type any
-m pkttype --pkt-type unicast
-m pkttype --pkt-type multicast
-m physdev ! --physdev-is-bridged
-m recent --set --name seen
-m comment --comment nothing
""".strip().splitlines()

FORWARDED6 = """
-i left
-s fd01::/64
! -s fd01::/64
-d fd02::2
-d ::2/::ffff
-p ipv6-icmp
! -p ipv6-icmp
-p tcp --dport 80
-p udp -m multiport --ports 53
-m conntrack --ctstate NEW
-m conntrack --ctorigsrc fd01::1
-m conntrack ! --ctreplsrc fd02::/64
-m addrtype --dst-type LOCAL
-m addrtype --dst-type UNICAST
-m addrtype --dst-type MULTICAST
-m addrtype ! --src-type LOCAL
-m iprange --src-range fd01::1-fd01::5
-p ipv6-icmp --icmpv6-type echo-request
-p ipv6-icmp ! --icmpv6-type 128
-p ipv6-icmp --icmpv6-type echo-reply
""".strip().splitlines()


@pytest.mark.parametrize(
    ("version", "rule"), [*((4, rule) for rule in FORWARDED), *((6, rule) for rule in FORWARDED6)], ids=str
)
def test_the_kernel_drops_what_the_rule_is_said_to_meet(box: Box, version: int, rule: str) -> None:
    route_between(box)
    box.serve("right", TCP_PORT)
    box.serve("right", UDP_PORT, "udp")
    only_first_packets(box, version)
    reading = written(box, rule, version=version)
    expected = {kind: said(reading, packet) for kind, packet in crossing(version).items()}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = {kind: pool.submit(send, box, kind, RIGHT[version]) for kind in expected}
    assert expected == {kind: answer.result().outcome != "reached" for kind, answer in answers.items()}


TO_THE_HOST = """
-m addrtype --dst-type LOCAL
-m addrtype ! --dst-type LOCAL
-m addrtype --dst-type UNICAST
-m addrtype --src-type LOCAL
-i left
""".strip().splitlines()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("rule", TO_THE_HOST)
def test_addresses_of_the_host_are_told_from_others(box: Box, rule: str, version: int) -> None:
    route_between(box)
    assert box.ping("left", HOST[version][1]).outcome == "reached"  # and now the neighbours know each other
    only_first_packets(box, version, "INPUT")
    reading = written(box, rule, version=version, chain="INPUT")
    packet = replace(crossing(version)["ping"], destination=one(HOST[version][1]), out_interface="")
    assert said(reading, packet) is (send(box, "ping", HOST[version][1]).outcome != "reached")


@pytest.mark.parametrize("rule", ["-o lo", "! -o lo", "-m addrtype --src-type LOCAL", "-o right"])
def test_the_machines_own_packets_are_told_from_others(box: Box, rule: str) -> None:
    route_between(box)
    reading = written(box, rule, chain="OUTPUT")
    packet = replace(crossing(4)["ping"], in_interface="", source=one(HOST[4][1]))
    assert said(reading, packet) is (box.ping(None, RIGHT[4], timeout=SHORT).outcome != "reached")


ANSWERS = """
-m conntrack --ctstate ESTABLISHED
-m conntrack ! --ctstate NEW
-m conntrack --ctstatus SEEN_REPLY,CONFIRMED
-m state --state NEW
-p udp --sport 53
-i left
-s 10.2.0.0/24
""".strip().splitlines()


@pytest.mark.parametrize("rule", ANSWERS)
def test_answers_are_told_from_questions(box: Box, rule: str) -> None:
    route_between(box)
    server = box.serve("right", UDP_PORT, "udp")
    # Only answers come to the rule: the others are waved through before.
    box.tool("iptables-legacy", "-A", "FORWARD", "-i", "left", "-j", "ACCEPT")
    reading = written(box, rule)
    question = crossing(4)["udp"]
    answer = replace(
        question,
        in_interface="right",
        out_interface="left",
        source=question.destination,
        destination=question.source,
        source_port=UDP_PORT,
        destination_port=FROM_UDP,
        state="established",
    )
    outcome = send(box, "udp", RIGHT[4]).outcome
    assert server.peers, "the question did not arrive"
    assert said(reading, answer) is (outcome != "reached")


TRANSLATED = """
-m conntrack --ctstate DNAT
-m conntrack ! --ctstate DNAT
-m conntrack --ctstate SNAT
-m conntrack --ctstate NEW --ctproto 6
-p tcp --dport 80
-p tcp --dport 8080
-m conntrack --ctorigsrc 10.1.0.1
""".strip().splitlines()


@pytest.mark.parametrize("rule", TRANSLATED)
def test_translated_connections_are_told_from_others(box: Box, rule: str) -> None:
    route_between(box)
    box.serve("right", TCP_PORT)
    target = f"-p tcp -d {HOST[4][0]} --dport 8080 -j DNAT --to-destination {RIGHT[4]}:80"
    box.tool("iptables-legacy", "-t", "nat", "-A", "PREROUTING", *target.split())
    only_first_packets(box)
    reading = written(box, rule)
    packet = replace(crossing(4)["tcp"], translated=frozenset({"dnat"}))
    answer = box.tcp("left", HOST[4][0], 8080, source_port=FROM_TCP, timeout=SHORT)
    assert said(reading, packet) is (answer.outcome != "reached")


def test_the_address_before_a_translation_is_not_guessed(box: Box) -> None:
    reading = written(box, "-m conntrack --ctorigdst 10.1.0.254")
    assert said(reading, replace(crossing(4)["tcp"], translated=frozenset({"dnat"}))) is None


BRIDGED = """
-m physdev --physdev-in to-left
-m physdev --physdev-in to-right
-m physdev ! --physdev-in to-right
-m physdev --physdev-out to-right
-m physdev --physdev-out to-+
-m physdev --physdev-is-bridged
-m physdev ! --physdev-is-bridged
-m physdev --physdev-is-in --physdev-is-out
-m physdev ! --physdev-is-in
-i v-net
-i to-left
-m pkttype --pkt-type unicast
""".strip().splitlines()


@pytest.mark.parametrize("rule", BRIDGED)
def test_bridge_ports_are_told_from_each_other(box: Box, rule: str) -> None:
    box.namespace("left", "right")
    box.ip("link add v-net type bridge")
    box.ip("link set v-net up")
    for number, name in enumerate(("left", "right"), start=1):
        box.ip(f"link add to-{name} type veth peer name wire netns {name}")
        box.ip(f"link set to-{name} master v-net up")
        box.ip(f"-n {name} link set wire up")
        box.ip(f"-n {name} addr add 10.3.0.{number}/24 dev wire")
    try:
        box.sysctl("net.bridge.bridge-nf-call-iptables", "1")
    except FileNotFoundError:
        pytest.skip("this kernel has no br_netfilter: bridged packets meet no iptables rule")
    only_first_packets(box)
    reading = written(box, rule)
    packet = Packet(
        4, "icmp", "v-net", "v-net", one("10.3.0.1"), one("10.3.0.2"), in_port="to-left", out_port="to-right"
    )
    assert said(reading, packet) is (box.ping("left", "10.3.0.2", timeout=SHORT).outcome != "reached")
