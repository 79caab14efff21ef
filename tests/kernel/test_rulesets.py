# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other people's firewalls, as they are read from this kernel: what is foreseen of a packet, against what happens to it."""

from __future__ import annotations

import os
import subprocess

import foreign_rules
import grammar
import packets
import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls import nft_tables
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Packet
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.walk import walk
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.netlink import NetlinkSocket
from box import Box
from crossing import UNSEEN, Crossing, Sent
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

EXAMPLES = 400 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 60


@pytest.fixture
def crossing(box: Box) -> Crossing:
    return Crossing(box)


def tried(function):
    """Try many firewalls in one world: each is taken away before the next."""
    return settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to make an example small takes too long in a real world
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )(function)


def agrees(crossing: Crossing, sent: Sent) -> None:
    """What is foreseen for certain is what happens."""
    foreseen = crossing.foreseen(sent)
    if foreseen is not None:
        arrived = bool(crossing.arrives(sent, timeout=packets.TIMEOUT if foreseen else UNSEEN))
        assert arrived == foreseen, f"{sent}\nforeseen {crossing.fates(sent)}\n{crossing.box.nft('list ruleset')}"


@tried
@given(firewall=grammar.firewalls(), sent=grammar.sents())
def test_what_is_foreseen_of_a_packet_happens_to_it(crossing, firewall, sent):
    crossing.clear()
    crossing.prepare(sent)
    crossing.load(firewall)
    event(f"foreseen: {crossing.foreseen(sent)}")
    agrees(crossing, sent)


@tried
@given(data=st.data(), sent=grammar.sents())
def test_what_is_foreseen_of_a_packet_in_rules_of_iptables_happens_to_it(crossing, data, sent):
    crossing.clear()
    crossing.prepare(sent)
    program = "iptables-nft-restore" if sent.family == 4 else "ip6tables-nft-restore"
    crossing.box.tool(program, stdin=data.draw(grammar.iptables(sent.family)))
    agrees(crossing, sent)


# ---- address translation


@tried
@given(
    rules=st.lists(
        st.tuples(grammar.conditions(4), st.sampled_from(["", "", "accept", "return"])), min_size=1, max_size=6
    ),
    priorities=st.tuples(st.sampled_from([-110, -90]), st.sampled_from([-120, -100, 50])),
    protocol=st.sampled_from(["tcp", "udp"]),
    port=st.sampled_from(grammar.PORTS),
)
def test_the_rule_that_is_foreseen_translates_the_packet(crossing, rules, priorities, protocol, port):
    crossing.clear()
    sent = Sent(4, protocol, port)
    half = len(rules) // 2
    lines = []
    for index, (some, priority) in enumerate(zip((rules[:half], rules[half:]), priorities, strict=True)):
        lines += [f"table ip nat{index} {{", f"chain pre {{ type nat hook prerouting priority {priority};"]
        for number, (condition, verdict) in enumerate(some):
            target = (
                f"meta l4proto {protocol} {condition} {verdict or f'dnat to 10.2.0.2:{7000 + 100 * index + number}'}"
            )
            lines.append(target)
        lines += ["}", "}"]
    crossing.load("\n".join(lines))
    found = crossing.fates(sent)[0][1].translations
    if all(one.certain for one in found):
        expected = int(found[0].rule.verdict.detail.split(":")[1]) if found else port
        assert crossing.arrives(sent, timeout=packets.TIMEOUT)[1] == expected, crossing.box.nft("list ruleset")


# ---- what well-known programs leave


def load(crossing: Crossing, rules: str) -> None:
    if rules.startswith("*"):
        crossing.box.tool("iptables-nft-restore", stdin=rules)
    else:
        crossing.box.nft(rules)


def blamed(crossing: Crossing, sent: Sent) -> str:
    """What surely drops the packet, or what the fate is otherwise; checked against the packet."""
    agrees(crossing, sent)
    for _hook, fate in crossing.fates(sent):
        if fate.dropped_by:
            rule = fate.dropped_by.rule
            return f"{fate.dropped_by.chain.name}: {rule.text if rule else fate.dropped_by.kind}"
    return {True: "passes", None: "perhaps"}[crossing.foreseen(sent)]


REJECTS = "counter -j REJECT --reject-with icmp-port-unreachable"
CASES = [
    (foreign_rules.DOCKER, Sent(), "FORWARD: policy"),
    (foreign_rules.DOCKER, Sent(to="published"), "FORWARD: policy"),
    (foreign_rules.DOCKER, Sent(to="host", port=22), "passes"),
    (foreign_rules.DOCKER, Sent(6), "passes"),
    (foreign_rules.FIREWALLD, Sent(), "filter_FWD_public: reject"),
    (foreign_rules.FIREWALLD, Sent(6), "filter_FWD_public: reject"),
    (foreign_rules.FIREWALLD, Sent(to="published"), "passes"),
    (foreign_rules.FIREWALLD, Sent(to="host", port=22), "passes"),
    (foreign_rules.FIREWALLD, Sent(to="host", port=80), "filter_INPUT: reject"),
    (foreign_rules.FIREWALLD, Sent(protocol="udp", answer=True), "passes"),
    (foreign_rules.UFW, Sent(), "FORWARD: policy"),
    (foreign_rules.UFW, Sent(port=443), "passes"),
    (foreign_rules.UFW, Sent(to="host", port=22), "passes"),
    (foreign_rules.UFW, Sent(to="host", port=80), "ufw-skip-to-policy-input: counter drop"),
    (foreign_rules.LIBVIRT, Sent(), f'LIBVIRT_FWI: oifname "out0" {REJECTS}'),
    (foreign_rules.LIBVIRT, Sent(protocol="udp", answer=True), "passes"),
    (foreign_rules.KUBE_PROXY, Sent(port=22), "reject-chain: reject"),
    (foreign_rules.KUBE_PROXY, Sent(port=80), "passes"),
    (foreign_rules.ADMINISTRATOR, Sent(port=443), "passes"),
    (foreign_rules.ADMINISTRATOR, Sent(port=80), "forward: policy"),
    (foreign_rules.ADMINISTRATOR, Sent(port=22, protocol="udp"), "perhaps"),
    (foreign_rules.ADMINISTRATOR, Sent(to="published"), "passes"),
    (foreign_rules.ADMINISTRATOR, Sent(to="host", port=22), "passes"),
    (foreign_rules.ADMINISTRATOR, Sent(6, to="host", port=22), "input: policy"),
]


@pytest.mark.parametrize(("rules", "sent", "expected"), CASES)
def test_who_drops_a_packet_among_what_programs_leave(crossing, rules, sent, expected):
    crossing.prepare(sent)
    load(crossing, rules)
    assert blamed(crossing, sent) == expected


def test_row_13_a_foreign_policy_drop_is_found(crossing):
    crossing.box.nft("table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }")
    (found,) = crossing.fates(Sent(to="published"))[1][1].drops
    assert (str(found), found.certain) == ("the policy drop of chain FORWARD in table ip filter", True)


def test_row_14_a_table_that_belongs_to_a_process_is_known(crossing):
    script = "table inet theirs { flags owner; chain forward { type filter hook forward priority 0; policy drop; }; }"
    process = subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        process.stdin.write(script + "\n")
        process.stdin.flush()
        crossing.box.until(crossing.tables)
        crossing.box.nft("table inet nobodys { chain forward { type filter hook forward priority 0; }; }")
        assert {table.name: table.owned for table in crossing.tables()} == {"theirs": True, "nobodys": False}
    finally:
        process.communicate()


# ---- what is read


def test_without_tables_nothing_is_read(box):
    with Kernel() as kernel:
        assert nft_tables.read(kernel, None) == []


def test_a_table_without_a_chain_on_the_asked_hooks_is_not_read(crossing):
    crossing.box.nft("table inet aside { chain out { type filter hook output priority 0; policy drop; }; }")
    assert crossing.tables("forward", "input") == []
    assert [table.name for table in crossing.tables("output")] == ["aside"]


def test_a_dormant_table_sees_no_packets(crossing):
    crossing.box.nft(
        "table inet asleep { flags dormant; chain f { type filter hook forward priority 0; policy drop; }; }"
    )
    agrees(crossing, Sent())
    assert crossing.tables() == []


def test_the_tables_of_a_namespace_are_its_own(crossing):
    crossing.box.nft("table ip theirs { chain f { type filter hook forward priority 0; }; }", netns="right")
    with Kernel() as kernel:
        assert [str(table) for table in nft_tables.read(kernel, "right")] == ["ip theirs"]


def test_interfaces_are_named_as_in_the_namespace_of_the_rules(crossing):
    crossing.box.nft(
        'table ip theirs { chain f { type filter hook forward priority 0; iif "eth0" drop; }; }', netns="right"
    )
    with Kernel() as kernel:
        (table,) = nft_tables.read(kernel, "right")
    assert table.chain("f").rules[0].text == 'iif "eth0" drop'


def test_comments_and_handles_are_read(crossing):
    crossing.box.nft('table ip one { chain f { type filter hook forward priority 0; drop comment "for good"; }; }')
    crossing.box.tool("iptables-nft", "-A", "INPUT", "-m", "comment", "--comment", "why", "-j", "ACCEPT")
    rules = [rule for table in crossing.tables() for chain in table.chains for rule in chain.rules]
    assert [rule.comment for rule in rules] == ["for good", "why"]
    assert f'drop comment "for good" # handle {rules[0].handle}\n' in crossing.box.tool("nft", "-a", "list", "ruleset")


LISTED = [
    'iifname "in0" oifname "veth*" accept',
    "ip saddr 10.0.0.0/8 ip daddr 10.2.0.2 tcp dport 80 drop",
    "ip6 daddr fd00::/8 udp sport != 53 accept",
    "ct state established,related accept",
    "ct status dnat accept",
    "tcp dport 79-81 reject",
    "tcp dport { 22, 8000-8010 } accept",
    "ip saddr { 10.0.0.0/8, 192.0.2.1 } drop",
    "meta l4proto { tcp, udp } th dport 53 accept",
    "fib daddr type local return",
    "ip protocol icmp accept",
    "icmpv6 type 130-137 drop",
    "limit rate 3/second accept",
    "meta mark 0x00000003 accept",
    "ip saddr != 10.0.0.1-10.0.0.9 drop",
    'iifname . tcp dport . ip saddr { "in0" . 80-90 . 10.0.0.0/24 } accept',
    'log prefix "seen "',
    "jump other",
]


@pytest.mark.parametrize("text", LISTED)
def test_rules_are_worded_as_nft_lists_them(crossing, text):
    crossing.box.nft(
        f"table inet one {{ chain other {{ }}; chain f {{ type filter hook forward priority 0; {text}; }}; }}"
    )
    (rule,) = crossing.tables()[0].chain("f").rules
    assert rule.text == text
    assert text in " ".join(crossing.box.nft("list chain inet one f").split()).replace(" burst 5 packets", "")


def test_large_sets_are_read_whole(crossing):
    elements = ", ".join(f"192.{one}.{two}.0/25" for one in range(20) for two in range(200))
    crossing.box.nft(
        f"table ip one {{ set many {{ type ipv4_addr; flags interval; elements = {{ {elements} }}; }};"
        "chain f { type filter hook forward priority 0; ip saddr @many drop; ip saddr != @many counter; }; }"
    )
    members = crossing.tables("forward")[0].chain("f").rules[0].conditions[0].members
    assert len(members.spans) == 4000


def test_a_ruleset_that_changes_while_it_is_read_is_read_again(crossing, monkeypatch):
    crossing.box.nft("table ip one { chain f { type filter hook forward priority 0; ip saddr 192.0.2.1 drop; }; }")
    ask, asked = NetlinkSocket.ask, []

    def change_once(sock, message, *, dump=False):
        answers = ask(sock, message, dump=dump)
        if not asked:
            crossing.box.nft("add rule ip one f counter accept")
        asked.append(message)
        return answers

    monkeypatch.setattr(NetlinkSocket, "ask", change_once)
    assert len(crossing.tables()[0].chain("f").rules) == 2
    assert len(asked) > 3, "it was read once only"


def test_a_bridge_firewall_sees_bridged_packets_only(crossing):
    crossing.box.nft('table bridge one { chain f { type filter hook forward priority 0; iifname "port" drop; }; }')
    packet = Packet(4, in_interface="br0", in_port="port", out_interface="br0")
    tables = crossing.tables()
    assert walk(tables, "forward", packet, bridged=True).passes is False
    assert walk(tables, "forward", packet).passes is True


def test_a_chain_bound_to_a_device_sees_what_comes_by_it(crossing):
    crossing.box.nft('table netdev one { chain f { type filter hook ingress device "in0" priority 0; policy drop; }; }')
    tables = crossing.tables("ingress")
    seen = [walk(tables, "ingress", Packet(4, in_interface=name)).passes for name in ("in0", "out0", None)]
    assert seen == [False, True, None]
