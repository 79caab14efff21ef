# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Matches of iptables, from structs made by hand as the kernel's headers describe them."""

from __future__ import annotations

import ipaddress
import struct
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls import xt_matches, xt_rarer
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Packet, Unknown
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.xt_matches import (
    xt_comment,
    xt_conditions,
    xt_match_text,
)
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.xt_predicates import Address, all_of, any_of
from hypothesis import given
from hypothesis import strategies as st

net = ipaddress.ip_network
TCP = Packet(4, "tcp", "eth0", "eth1", net("10.0.0.1/32"), net("10.0.0.2/32"), source_port=40000, destination_port=80)
ANSWER = Packet(
    4,
    "tcp",
    "eth1",
    "eth0",
    net("10.0.0.2/32"),
    net("10.0.0.1/32"),
    source_port=80,
    destination_port=40000,
    state="established",
)
SOMETHING = Packet(4)


def said(name: str, data: bytes, packet: Packet, revision: int = 0) -> bool | None:
    return all_of(one.holds(packet) for one in xt_conditions(name, revision, data, packet.family))


def texts(name: str, data: bytes, revision: int = 0, family: int = 4) -> list[str]:
    return [one.what if isinstance(one, Unknown) else str(one) for one in xt_conditions(name, revision, data, family)]


# ---- three values


def test_all_and_any_know_what_they_can_know() -> None:
    assert [all_of([True, None]), all_of([False, None]), all_of([])] == [None, False, True]
    assert [any_of([True, None]), any_of([False, None]), any_of([])] == [True, None, False]


# ---- conntrack

STATE, STATUS, ALIAS, DIRECTION, ORIGSRC, ORIGDST = 1, 1 << 6, 1 << 13, 1 << 12, 1 << 2, 1 << 3


def conntrack(asked: int, inverted: int = 0, *, state: int = 0, status: int = 0, addresses: bytes = b"") -> bytes:
    """struct xt_conntrack_mtinfo3."""
    head = addresses.ljust(128, b"\0")
    return head + struct.pack("=2I5H2H2H4H", 0, 0, 0, 0, 0, 0, 0, asked, inverted, state, status, 0, 0, 0, 0)


NEW, ESTABLISHED, RELATED, INVALID, SNAT, DNAT, UNTRACKED = 8, 2, 4, 1, 64, 128, 256


@pytest.mark.parametrize(
    ("mask", "packet", "answer"),
    [
        (NEW, TCP, True),
        (NEW, ANSWER, False),
        (ESTABLISHED | RELATED, ANSWER, True),
        (ESTABLISHED | RELATED, TCP, False),
        (INVALID | UNTRACKED, TCP, False),
        (DNAT, TCP, False),
        (DNAT, Packet(4, translated=frozenset({"dnat"})), True),
        (SNAT, Packet(4, translated=frozenset({"dnat"})), False),
    ],
)
def test_states(mask: int, packet: Packet, answer: bool) -> None:
    assert said("conntrack", conntrack(STATE, state=mask), packet, 3) is answer
    assert said("conntrack", conntrack(STATE, STATE, state=mask), packet, 3) is not answer


def test_states_are_named_as_iptables_does() -> None:
    assert texts("conntrack", conntrack(STATE, state=NEW | DNAT), 3) == ["-m conntrack --ctstate NEW,DNAT"]
    assert texts("conntrack", conntrack(STATE | ALIAS, STATE, state=INVALID), 3) == ["-m state ! --state INVALID"]
    assert texts("state", struct.pack("=I", NEW | SNAT)) == ["-m state --state NEW,UNTRACKED"]


@pytest.mark.parametrize("revision", [1, 2])
def test_older_revisions_of_conntrack(revision: int) -> None:
    masks = struct.pack("=2B" if revision == 1 else "=2H", NEW, 0)
    ports = struct.pack("!4H", 0, 80, 0, 0)
    data = bytes(128) + struct.pack("=2IH", 0, 0, 0) + ports + struct.pack("=2H", STATE | 1 << 9, 0) + masks
    assert texts("conntrack", data, revision) == ["-m conntrack --ctstate NEW", "-m conntrack --ctorigdstport 80"]
    assert said("conntrack", data, TCP, revision) is True


def test_an_unheard_of_revision_of_conntrack_is_unknown() -> None:
    assert xt_conditions("conntrack", 9, conntrack(STATE, state=NEW), 4) == [Unknown("-m conntrack")]


def test_the_way_of_an_established_packet_is_not_known() -> None:
    data = conntrack(DIRECTION)
    assert [said("conntrack", data, packet, 3) for packet in (TCP, ANSWER)] == [True, None]


def test_addresses_of_a_connection_are_those_of_its_first_packet() -> None:
    source = ipaddress.ip_address("10.0.0.1").packed.ljust(16, b"\0") + b"\xff" * 16
    data = conntrack(ORIGSRC, addresses=source)
    assert texts("conntrack", data, 3) == ["-m conntrack --ctorigsrc 10.0.0.1"]
    assert said("conntrack", data, TCP, 3) is True
    assert said("conntrack", data, ANSWER, 3) is None, "either way is possible"
    elsewhere = conntrack(ORIGSRC, addresses=b"\xc0".ljust(16, b"\0") + b"\xff" * 16)
    assert said("conntrack", elsewhere, ANSWER, 3) is False, "neither end is it"


def test_what_a_connection_became_after_its_first_packet_is_partly_known() -> None:
    seen_reply = conntrack(STATUS, status=2)
    assured = conntrack(STATUS, status=4)
    assert [said("conntrack", seen_reply, packet, 3) for packet in (TCP, ANSWER)] == [False, True]
    assert [said("conntrack", assured, packet, 3) for packet in (TCP, ANSWER)] == [False, None]


# ---- ports


def tcp(sport: tuple[int, int] = (0, 65535), dport: tuple[int, int] = (0, 65535), *more: int) -> bytes:
    """struct xt_tcp: ports, option, mask, flags, what is inverted."""
    return struct.pack("=4H4B", *sport, *dport, *(more or (0, 0, 0, 0)))


def test_ports_are_in_or_out_or_unknown() -> None:
    assert said("tcp", tcp(dport=(80, 90)), TCP) is True
    assert said("tcp", tcp(dport=(81, 90)), TCP) is False
    assert said("tcp", tcp(dport=(81, 90)), SOMETHING) is None
    assert said("tcp", tcp((0, 65535), (81, 90), 0, 0, 0, 2), TCP) is True


def test_a_match_of_all_ports_asks_nothing() -> None:
    assert xt_conditions("tcp", 0, tcp(), 4) == []
    assert xt_match_text("tcp", 0, tcp(), 4) == "-m tcp"


def test_a_new_tcp_connection_is_a_syn() -> None:
    syn = tcp((0, 65535), (0, 65535), 0, 0x17, 0x02, 0)
    assert texts("tcp", syn) == ["-m tcp --tcp-flags FIN,SYN,RST,ACK SYN"]
    assert [said("tcp", syn, packet) for packet in (TCP, ANSWER)] == [True, False]
    reset = tcp((0, 65535), (0, 65535), 0, 0x04, 0x04, 0)
    assert [said("tcp", reset, packet) for packet in (TCP, ANSWER)] == [False, None]


def test_a_tcp_option_is_unknown_but_the_rest_is_not() -> None:
    data = tcp((0, 65535), (81, 81), 7, 0, 0, 8)
    assert texts("tcp", data) == ["-m tcp --dport 81", "-m tcp ! --tcp-option 7"]
    assert said("tcp", data, TCP) is False


def test_udp_has_its_own_struct() -> None:
    data = struct.pack("=4HB", 53, 53, 0, 65535, 1)
    assert texts("udp", data) == ["-m udp ! --sport 53"]


def test_sctp_names_the_destination_first() -> None:
    data = struct.pack("=4H", 6, 7, 5, 5) + bytes(276) + struct.pack("=2I", 3, 2)
    assert texts("sctp", data) == ["-m sctp --sport 5", "-m sctp ! --dport 6:7"]


def multiport(kind: int, ports: list[int], continues: list[int], inverted: int = 0) -> bytes:
    """struct xt_multiport_v1."""
    fill = [0] * (15 - len(ports))
    return struct.pack("=2B15H15BB", kind, len(ports), *ports, *fill, *continues, *fill, inverted)


def test_many_ports() -> None:
    data = multiport(1, [22, 79, 81], [0, 1, 0])
    assert texts("multiport", data, 1) == ["-m multiport --dports 22,79:81"]
    assert said("multiport", data, TCP, 1) is True
    assert said("multiport", multiport(0, [22, 79, 81], [0, 1, 0]), TCP, 1) is False
    assert said("multiport", multiport(1, [80], [0], 1), TCP, 1) is False


def test_either_port_may_be_meant() -> None:
    data = multiport(2, [40000], [0])
    assert texts("multiport", data, 1) == ["-m multiport --ports 40000"]
    assert said("multiport", data, TCP, 1) is True
    assert said("multiport", data, Packet(4, destination_port=1), 1) is None


def test_multiport_of_old() -> None:
    data = struct.pack("=2B15H", 1, 2, 80, 443, *[0] * 13)
    assert texts("multiport", data, 0) == ["-m multiport --dports 80,443"]


# ---- addresses and interfaces

LOCAL, BROADCAST, UNICAST, MULTICAST = 4, 8, 2, 32


@pytest.mark.parametrize(
    ("types", "destination", "local", "answer"),
    [
        (LOCAL, "10.0.0.2/32", ("10.0.0.2/32",), True),
        (LOCAL, "10.0.0.2/32", (), False),
        (LOCAL, "10.0.0.2/32", None, None),
        (LOCAL, "127.0.0.1/32", None, True),
        (LOCAL, "224.0.0.1/32", None, False),
        (LOCAL, "10.0.0.0/24", ("10.0.0.2/32",), None),
        (UNICAST, "10.0.0.2/32", (), True),
        (UNICAST, "10.0.0.2/32", ("10.0.0.2/32",), False),
        (MULTICAST | LOCAL, "224.0.0.1/32", (), True),
        (BROADCAST, "255.255.255.255/32", (), True),
        (BROADCAST, "10.0.0.2/32", (), False),
        (BROADCAST, "10.0.0.255/32", (), None),
    ],
)
def test_kinds_of_addresses(types: int, destination: str, local: t.Any, answer: bool | None) -> None:
    packet = Packet(4, "udp", destination=net(destination), local=local and tuple(map(net, local)))
    if local == ():
        packet = Packet(4, "udp", destination=net(destination), local=())
    assert said("addrtype", struct.pack("=2HI", 0, types, 0), packet, 1) is answer
    inverted = None if answer is None else not answer
    assert said("addrtype", struct.pack("=2HI", 0, types, 2), packet, 1) is inverted
    assert said("addrtype", struct.pack("=2H2I", 0, types, 0, 1), packet, 0) is inverted


def test_ipv6_asks_for_all_kinds_and_calls_its_own_addresses_unicast() -> None:
    packet = Packet(6, destination=net("fd00::1/128"), local=(net("fd00::1/128"),))
    assert said("addrtype", struct.pack("=2HI", 0, LOCAL | UNICAST, 0), packet, 1) is True
    assert said("addrtype", struct.pack("=2HI", 0, LOCAL | MULTICAST, 0), packet, 1) is False


def test_which_addresses_the_interface_has_is_not_known() -> None:
    packet = Packet(4, destination=net("10.0.0.2/32"), local=(net("10.0.0.2/32"),))
    data = struct.pack("=2HI", 0, LOCAL, 4)
    assert texts("addrtype", data, 1) == ["-m addrtype --dst-type LOCAL", "-m addrtype --limit-iface-in"]
    assert said("addrtype", data, packet, 1) is None


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (net("10.1.0.0/24"), True),
        (net("10.0.0.0/8"), None),
        (net("10.2.0.0/24"), False),
        (net("0.0.0.0/0"), None),
        (None, None),
        (net("fd00::/8"), False),
    ],
)
def test_a_network_of_senders_is_inside_or_outside_or_both(source: t.Any, answer: bool | None) -> None:
    test = Address("source", 4, int(ipaddress.ip_address("10.1.0.0")), 0xFFFF0000)
    assert test.holds(Packet(source.version if source else 4, source=source)) is answer


def iprange(low: str, high: str, flags: int = 1) -> bytes:
    ends = [ipaddress.ip_address(end).packed.ljust(16, b"\0") for end in (low, high)]
    return b"".join(ends) + bytes(32) + bytes([flags])


def test_ranges_of_addresses() -> None:
    data = iprange("10.0.0.1", "10.0.0.9")
    assert texts("iprange", data) == ["-m iprange --src-range 10.0.0.1-10.0.0.9"]
    sources = ["10.0.0.1/32", "10.0.0.10/32", "10.0.0.8/29", "10.0.0.2/31"]
    assert [said("iprange", data, Packet(4, source=net(one))) for one in sources] == [True, False, None, True]
    assert texts("iprange", iprange("fd00::1", "fd00::2", 0x11), family=6) == [
        "-m iprange ! --src-range fd00::1-fd00::2"
    ]


def physdev(asked: int, inverted: int = 0, into: bytes = b"", out: bytes = b"") -> bytes:
    """struct xt_physdev_info; a name with + is a beginning."""
    fields = []
    for name in (into, out):
        known = len(name) - 1 if name.endswith(b"+") else len(name) + 1
        fields += [name.rstrip(b"+"), b"\xff" * known if name else b""]
    return struct.pack("=16s16s16s16s2B", *fields, inverted, asked)


BRIDGED = Packet(4, in_interface="br0", out_interface="br0", in_port="p1", out_port="p2")


@pytest.mark.parametrize(
    ("data", "text", "answer"),
    [
        (physdev(1, into=b"p1"), "--physdev-in p1", True),
        (physdev(1, 1, into=b"p1"), "! --physdev-in p1", False),
        (physdev(2, out=b"q+"), "--physdev-out q+", False),
        (physdev(2, out=b"p+"), "--physdev-out p+", True),
        (physdev(4), "--physdev-is-bridged", True),
        (physdev(8), "--physdev-is-in", True),
        (physdev(16, 16), "! --physdev-is-out", False),
    ],
)
def test_bridge_ports(data: bytes, text: str, answer: bool) -> None:
    assert texts("physdev", data) == [f"-m physdev {text}"]
    assert said("physdev", data, BRIDGED) is answer


def test_a_routed_packet_is_not_bridged() -> None:
    assert said("physdev", physdev(4), TCP) is False
    assert said("physdev", physdev(4), Packet(4, in_interface="br0", out_interface="br0")) is None


@pytest.mark.parametrize("way", [{"in_interface": ""}, {"out_interface": ""}, {"out_port": ""}])
def test_what_begins_or_ends_in_the_machine_is_not_bridged(way: dict[str, str]) -> None:
    assert said("physdev", physdev(4), Packet(4, **t.cast("t.Any", way))) is False


# ---- the others


@pytest.mark.parametrize(
    ("name", "revision", "data", "text"),
    [
        ("mark", 1, struct.pack("=2IB", 1, 0xFFFFFFFF, 0), "-m mark --mark 0x1"),
        ("connmark", 1, struct.pack("=2IB", 1, 0xFF, 1), "-m connmark ! --mark 0x1/0xff"),
        ("limit", 0, struct.pack("=2I", 200000, 7), "-m limit --limit 3/min --limit-burst 7"),
        ("mac", 0, struct.pack("=6B2xi", 2, 0, 0, 0, 0, 1, 1), "-m mac ! --mac-source 02:00:00:00:00:01"),
        ("owner", 1, struct.pack("=4I2B", 0, 0, 5, 10, 3, 2), "-m owner --uid-owner 0"),
        ("set", 4, struct.pack("=H2B", 7, 2, 3), "-m set ! --match-set #7 src,dst"),
        ("statistic", 0, struct.pack("=2H2I", 1, 0, 2, 1), "-m statistic --mode nth --every 3 --packet 1"),
        ("nonsense", 0, b"", "-m nonsense"),
    ],
)
def test_what_depends_on_more_than_the_packet_is_unknown(name: str, revision: int, data: bytes, text: str) -> None:
    first, *_rest = xt_conditions(name, revision, data, 4)
    assert first == Unknown(text)
    assert first.holds(TCP) is None


def test_pings_open_and_errors_do_not() -> None:
    ping = Packet(4, "icmp")
    for data, text, answer in (
        (struct.pack("=4B", 8, 0, 255, 0), "8", True),
        (struct.pack("=4B", 255, 0, 255, 0), "any", True),
        (struct.pack("=4B", 3, 4, 4, 0), "3/4", False),
    ):
        assert texts("icmp", data) == [f"-m icmp --icmp-type {text}"]
        assert said("icmp", data, ping) is answer
    assert texts("icmp6", struct.pack("=4B", 128, 0, 255, 1), family=6) == ["-m icmp6 ! --icmpv6-type 128"]


def test_recent_only_takes_down_addresses_with_set() -> None:
    def recent(kind: int) -> bytes:
        return struct.pack("=2I2B200sBx16s", 0, 0, kind, 0, b"list", 0, b"\xff\xff\xff\xff")

    assert [said("recent", recent(kind), TCP, 1) for kind in (2, 4)] == [True, None]


def test_a_comment_asks_nothing_and_is_kept() -> None:
    data = b"it's mine".ljust(256, b"\0")
    assert xt_conditions("comment", 0, data, 4) == []
    assert xt_comment("comment", data) == "it's mine"
    assert xt_match_text("comment", 0, data, 4) == '-m comment --comment "it\\\'s mine"'
    assert xt_comment("tcp", tcp()) == ""


def test_numbers_of_families_are_understood_too() -> None:
    data = iprange("fd00::1", "fd00::2")
    assert xt_conditions("iprange", 1, data, 10) == xt_conditions("iprange", 1, data, 6)


# ---- never a crash over somebody else's

MATCHES = sorted({*xt_matches._READERS, "comment", "unheard-of"})
families = st.sampled_from([4, 6, 1, 2, 7, 10, 0])
contents = st.binary(max_size=320) | st.binary(min_size=300, max_size=400)
PACKETS = [
    TCP,
    ANSWER,
    SOMETHING,
    BRIDGED,
    Packet(6, "icmpv6", source=net("fe80::/10"), destination=net("ff02::1/128")),
]


@given(st.sampled_from(MATCHES), st.integers(0, 255), contents, families)
def test_no_match_raises(name: str, revision: int, data: bytes, family: int) -> None:
    conditions = xt_conditions(name, revision, data, family)
    xt_comment(name, data)
    assert xt_match_text(name, revision, data, family).startswith("-m ")
    assert {one.holds(packet) for one in conditions for packet in PACKETS} <= {True, False, None}
    assert all(str(one) for one in conditions)
    hash(tuple(conditions))


@given(st.sampled_from(sorted(xt_rarer.READERS)), st.integers(0, 255))
def test_a_match_cut_short_is_unknown(name: str, revision: int) -> None:
    assert xt_conditions(name, revision, b"", 4) == [Unknown(f"-m {name}")]
