# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rule means as a value, and how nft(8) would say it."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import (
    CHAINS,
    Chain,
    Dnat,
    DnatBy,
    Drop,
    Masquerade,
    Member,
    Opaque,
    Ports,
    Rule,
    sort_networks,
)
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import nft_strategies as some
from hypothesis import given

net, addr = ipaddress.ip_network, ipaddress.ip_address

# ---- meaning


def test_the_handle_is_no_part_of_the_meaning() -> None:
    rule = Rule("postrouting", Drop(), handle=1)
    assert replace(rule, handle=2) == rule
    assert hash(replace(rule, handle=2)) == hash(rule)


def test_the_comment_is_part_of_the_meaning() -> None:
    assert Rule("postrouting", Drop(), "one") != Rule("postrouting", Drop(), "two")


def test_an_address_implies_the_family() -> None:
    assert Rule("postrouting", Drop(), source=net("10.0.0.0/8")).family == 4
    assert Rule("postrouting", Drop(), not_destinations=(net("fd00::/8"),)).family == 6


def test_every_address_is_no_condition_but_the_family() -> None:
    assert Rule("postrouting", Drop(), source=net("0.0.0.0/0")) == Rule("postrouting", Drop(), family=4)
    assert Rule("postrouting", Drop(), destination=net("::/0")) == Rule("postrouting", Drop(), family=6)


def test_exclusions_are_a_set() -> None:
    one, two = net("10.0.0.0/8"), net("172.16.0.0/12")
    rule = Rule("postrouting", Drop(), not_destinations=(two, one, two))
    assert rule == Rule("postrouting", Drop(), not_destinations=(one, two))


def test_networks_are_sorted_by_number_not_by_text() -> None:
    texts = ["fd00::/8", "100.0.0.0/8", "10.0.0.0/16", "10.0.0.0/8", "9.0.0.0/8"]
    assert list(map(str, sort_networks(map(net, texts)))) == [
        "9.0.0.0/8",
        "10.0.0.0/8",
        "10.0.0.0/16",
        "100.0.0.0/8",
        "fd00::/8",
    ]


@given(rule=some.rules())
def test_a_rule_made_from_its_own_fields_is_the_same(rule: Rule) -> None:
    assert replace(rule) == rule


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (Ports(80, 80), Ports(80, 80), True),
        (Ports(80, 90), Ports(90, 95), True),
        (Ports(80, 90), Ports(1, 65535), True),
        (Ports(80, 89), Ports(90, 95), False),
        (Ports(80, 80), Ports(81, 81), False),
    ],
)
def test_ports_overlap(one: Ports, two: Ports, expected: bool) -> None:
    assert (one.overlaps(two), two.overlaps(one)) == (expected, expected)


def test_ports_count_both_ends() -> None:
    assert (len(Ports(80, 80)), len(Ports(8000, 8010)), len(Ports(1, 65535))) == (1, 11, 65535)


# ---- text


@given(rule=some.rules(), other=some.rules())
def test_two_meanings_have_two_texts(rule: Rule, other: Rule) -> None:
    other = replace(other, chain=rule.chain)
    assert (str(rule) == str(other)) == (rule == other)


@given(rule=some.rules())
def test_a_text_is_one_line_without_loose_ends(rule: Rule) -> None:
    text = str(rule)
    assert "\n" not in text
    assert "None" not in text
    assert "{" not in text
    assert "  " not in text
    assert text.count('"') % 2 == 0


@given(rule=some.rules())
def test_rules_that_are_not_counted_by_element_have_a_counter(rule: Rule) -> None:
    assert (" counter " in f" {rule}") == (not isinstance(rule.verdict, (Dnat, DnatBy)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            Rule("guard", Drop(), not_in_interface="lo", destination=net("127.0.0.0/8")),
            'iifname != "lo" ip daddr 127.0.0.0/8 counter drop',
        ),
        (Rule("postrouting", Masquerade(), source=net("0.0.0.0/0")), "meta nfproto ipv4 counter masquerade"),
        (Rule("postrouting", Masquerade(), source=net("10.0.0.1/32")), "ip saddr 10.0.0.1 counter masquerade"),
        (
            Rule("postrouting", Masquerade(Ports(5, 9), random=True), family=6, out_interface="eth0", protocol="udp"),
            'meta nfproto ipv6 oifname "eth0" meta l4proto udp counter masquerade to :5-9 random',
        ),
        (
            Rule(
                "prerouting",
                Dnat(addr("fd00::2"), 80),
                family=6,
                local_destination=True,
                protocol="tcp",
                ports=Ports(80, 80),
            ),
            "meta nfproto ipv6 fib daddr type local tcp dport 80 dnat ip6 to [fd00::2]:80",
        ),
        (
            Rule(
                "prerouting",
                Dnat(addr("10.0.0.2")),
                in_interface="eth0",
                source=net("10.0.0.0/8"),
                protocol="tcp",
                ports=Ports(1, 2),
            ),
            'iifname "eth0" ip saddr 10.0.0.0/8 tcp dport 1-2 dnat ip to 10.0.0.2',
        ),
        (
            Rule(
                "prerouting",
                DnatBy("forwards-tcp-ip", ("dport",), 4, True),
                family=4,
                local_destination=True,
                protocol="tcp",
            ),
            "meta nfproto ipv4 fib daddr type local dnat ip to tcp dport map @forwards-tcp-ip",
        ),
        (
            Rule("prerouting", DnatBy("m", ("iifname", "saddr", "daddr", "dport"), 6, False), family=6, protocol="udp"),
            "dnat ip6 to iifname . ip6 saddr . ip6 daddr . udp dport map @m",
        ),
        (
            Rule(
                "postrouting",
                Masquerade(),
                family=4,
                protocol="tcp",
                translated=True,
                member=Member("s", ("saddr", "daddr", "dport")),
            ),
            "ct status dnat ip saddr . ip daddr . tcp dport @s counter masquerade",
        ),
        (Rule("prerouting", Opaque((("meta", b""), ("log", b"")))), "counter # a rule of another shape: meta log"),
    ],
)
def test_text_is_nfts_own(rule: Rule, text: str) -> None:
    assert str(rule) == text


@pytest.mark.parametrize(
    ("chain", "text"),
    [
        (CHAINS["guard"], "{ type filter hook prerouting priority -300; policy accept; }"),
        (CHAINS["postrouting"]._replace(policy="drop"), "{ type nat hook postrouting priority 100; policy drop; }"),
        (Chain("plain"), ""),
    ],
)
def test_a_chain_is_said_as_nft_would_be_told(chain: Chain, text: str) -> None:
    assert str(chain) == text
