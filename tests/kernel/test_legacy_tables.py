# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of iptables-legacy as this kernel keeps them: read without a trace, and in the words of the tool itself."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import world
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError, NoNamespace
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls import legacy
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Chain, Table, Verdict
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.xt_matches import (
    xt_conditions,
    xt_match_text,
    xt_verdict,
)
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.xt_targets import xt_target_text
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import rulesets, xtables
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from box import Box

pytestmark = pytest.mark.skipif(
    not shutil.which("iptables-legacy"), reason="iptables-legacy is not installed, and nothing else writes its tables"
)
TOOLS = {4: "iptables-legacy", 6: "ip6tables-legacy"}


def read(netns: str | None = None) -> list[Table]:
    with Kernel() as kernel:
        return legacy.read(kernel, netns)


def listed(netns: str | None = None) -> dict[int, list[str]]:
    """The tables that the kernel lists for a namespace, without our code."""
    files = {4: Path("/proc/thread-self/net/ip_tables_names"), 6: Path("/proc/thread-self/net/ip6_tables_names")}
    return {
        version: sorted(world.inside(netns, path.read_text).split()) for version, path in files.items() if path.exists()
    }


LACKING = ("by that name", "Couldn't load", "missing kernel module", "does not exist", "can't initialize")
"""What the tool says when the kernel, or the tool itself, has no such match, target or table."""


def write(box: Box, arguments: list[str], version: int = 4) -> None:
    """Run the tool, or skip the test where the kernel lacks what the rule needs."""
    try:
        box.tool(TOOLS[version], *arguments)
    except AssertionError as refusal:
        if any(words in str(refusal) for words in LACKING):
            pytest.skip(f"not on this machine: {refusal}")
        raise


def chain(name: str, table: str = "filter", family: str = "ip") -> Chain:
    found = next(found for found in read() if (found.family, found.name) == (family, table)).chain(name)
    assert found is not None
    return found


# ---- nothing happens to who is looked at


def test_a_namespace_without_tables_has_none_and_gets_none(box: Box) -> None:
    assert read() == []
    assert not any(listed().values())


def test_a_table_that_is_not_there_does_not_appear(box: Box) -> None:
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    assert [str(table) for table in read()] == ["ip filter (iptables-legacy)"]
    assert listed() == {4: ["filter"], 6: []}


def test_reading_changes_no_rule_and_no_counter(box: Box) -> None:
    box.tool("iptables-legacy", "-A", "OUTPUT", "-o", "lo", "-j", "ACCEPT")
    box.ping(None, "127.0.0.1")
    before = box.tool("iptables-legacy", "-v", "-x", "-n", "-L")
    read()
    assert box.tool("iptables-legacy", "-v", "-x", "-n", "-L") == before


def test_tables_of_another_namespace_are_read_there(box: Box) -> None:
    box.namespace("red")
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "DROP", netns="red")
    assert [table.name for table in read("red")] == ["filter"]
    assert read() == []
    assert listed() == {4: [], 6: []}


def test_a_namespace_that_is_not_there_is_named(box: Box) -> None:
    with pytest.raises(NoNamespace, match="nowhere"):
        read("nowhere")


def test_a_kernel_without_legacy_tables_has_none(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xtables, "_LISTS", {4: "/proc/net/no_such_file", 6: "/proc/net/no_such_file"})
    assert read() == []


def test_who_is_not_root_is_told_so(box: Box) -> None:
    def as_nobody() -> str:
        os.setgid(65534)
        os.setuid(65534)
        with pytest.raises(KernelError) as refusal:
            read()
        return str(refusal.value)

    (answer,) = box.parallel([as_nobody])
    assert "set become: true" in answer


def test_a_table_that_changes_between_the_questions_is_asked_for_again(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    asked = xtables._asked
    changes = iter(["-A", "-A", "-D"])

    def interrupted(sock: Any, family: int, option: int, *rest: Any) -> bytes:
        if option == xtables._GET_ENTRIES and (change := next(changes, "")):
            box.tool("iptables-legacy", change, "INPUT", "-j", "ACCEPT")
        return asked(sock, family, option, *rest)

    monkeypatch.setattr(xtables, "_asked", interrupted)
    assert [rule.text for rule in chain("INPUT").rules] == ["-A INPUT -j ACCEPT"] * 2


def test_a_table_that_never_rests_is_an_error_that_says_so(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    monkeypatch.setattr(xtables, "_attempted", lambda *_args: None)
    with pytest.raises(KernelError, match=r"table filter .* changed all the time"):
        read()


# ---- tables and chains

HOOKS = {
    "raw": {"PREROUTING": -300, "OUTPUT": -300},
    "mangle": dict.fromkeys(["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"], -150),
    "nat": {"PREROUTING": -100, "INPUT": 100, "OUTPUT": -100, "POSTROUTING": 100},
    "filter": dict.fromkeys(["INPUT", "FORWARD", "OUTPUT"], 0),
    "security": dict.fromkeys(["INPUT", "FORWARD", "OUTPUT"], 50),
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("table", HOOKS)
def test_base_chains_have_the_hooks_and_priorities_of_the_kernel(box: Box, table: str, version: int) -> None:
    write(box, ["-t", table, "-S"], version)
    (found,) = read()
    assert (found.backend, found.family, found.name) == ("legacy", "ip" if version == 4 else "ip6", table)
    assert {one.name: one.priority for one in found.chains} == HOOKS[table]
    assert all(one.hook == one.name.lower() and one.policy == "accept" for one in found.chains)
    for one in found.chains:
        odd = {("nat", one.name): "nat", ("mangle", "OUTPUT"): "route"}
        assert one.type == odd.get((table, one.name), "filter")


def test_a_policy_is_read_and_is_no_rule(box: Box) -> None:
    box.tool("iptables-legacy", "-P", "FORWARD", "DROP")
    (table,) = read()
    assert {one.name: (one.policy, one.rules) for one in table.chains} == {
        "INPUT": ("accept", ()),
        "FORWARD": ("drop", ()),
        "OUTPUT": ("accept", ()),
    }


def test_chains_of_users_end_where_the_next_one_begins(box: Box) -> None:
    for name in ("empty", "one", "two", "last"):
        box.tool("iptables-legacy", "-N", name)
    box.tool("iptables-legacy", "-A", "one", "-j", "DROP")
    box.tool("iptables-legacy", "-A", "two", "-s", "10.0.0.1", "-j", "RETURN")
    box.tool("iptables-legacy", "-A", "two", "-j", "RETURN")
    (table,) = read()
    users = {one.name: [rule.text for rule in one.rules] for one in table.chains if one.hook is None}
    assert users == {
        "empty": [],
        "one": ["-A one -j DROP"],
        "two": ["-A two -s 10.0.0.1/32 -j RETURN", "-A two -j RETURN"],
        "last": [],
    }


def test_jumps_and_gotos_name_their_chain(box: Box) -> None:
    for name in ("first", "second"):
        box.tool("iptables-legacy", "-N", name)
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "second")
    box.tool("iptables-legacy", "-A", "INPUT", "-g", "first")
    box.tool("ip6tables-legacy", "-N", "third")
    box.tool("ip6tables-legacy", "-A", "INPUT", "-p", "tcp", "-g", "third")
    assert [rule.verdict for rule in chain("INPUT").rules] == [Verdict("jump", "second"), Verdict("goto", "first")]
    assert [rule.verdict for rule in chain("INPUT", family="ip6").rules] == [Verdict("goto", "third")]


def test_a_rule_without_target_goes_on(box: Box) -> None:
    box.tool("iptables-legacy", "-A", "INPUT", "-p", "tcp")
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    assert [rule.verdict.kind for rule in chain("INPUT").rules] == ["continue", "accept"]


def test_rules_have_their_place_and_comment(box: Box) -> None:
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    box.tool("iptables-legacy", "-A", "INPUT", "-m", "comment", "--comment", "for grün", "-j", "ACCEPT")
    rules = chain("INPUT").rules
    assert [(rule.handle, rule.comment) for rule in rules] == [(1, ""), (2, "for grün")]
    assert rules[1].conditions == ()


def test_a_long_ruleset_is_read_whole(box: Box) -> None:
    lines = [f"-A INPUT -s 10.{number // 256}.{number % 256}.1/32 -j ACCEPT" for number in range(3000)]
    box.tool("iptables-legacy-restore", stdin="\n".join(["*filter", *lines, "COMMIT", ""]))
    assert [rule.text for rule in chain("INPUT").rules] == lines


# ---- words: what we write is what the tool lists

RULES = """
filter FORWARD -s 10.0.0.0/8 ! -d 10.1.2.3 -i eth0 ! -o veth+ -p tcp -j DROP
filter FORWARD -s 10.0.0.1/255.0.255.0 -p icmp -j ACCEPT
filter FORWARD -f -p igmp -j DROP
filter FORWARD ! -f -i + -j RETURN
filter FORWARD ! -p udp
filter FORWARD -p 200
filter FORWARD -p tcp -m tcp
filter FORWARD -p tcp --sport 1:100 ! --dport 80 --syn
filter FORWARD -p tcp ! --syn
filter FORWARD -p tcp --tcp-flags SYN,ACK NONE --tcp-option 7
filter FORWARD -p tcp --tcp-flags ALL FIN,PSH,URG ! --tcp-option 7
filter FORWARD -p udp --sport 53 --dport 1024:
filter FORWARD -p sctp --sport 5 ! --dport 6:7
filter FORWARD -p dccp --sport 5 ! --dport 6:7
filter FORWARD -p tcp -m multiport --dports 80,443,8000:8010
filter FORWARD -p udp -m multiport ! --sports 80,443
filter FORWARD -p udp -m multiport --ports 80,90:99,1,2,3,4,5,6,7,8,9,10,11
filter FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,DNAT
filter FORWARD -m conntrack ! --ctstate INVALID,NEW,SNAT,UNTRACKED --ctstatus ASSURED,CONFIRMED,SEEN_REPLY,EXPECTED
filter FORWARD -m conntrack --ctproto tcp --ctorigsrc 10.0.0.0/8 ! --ctorigdst 1.2.3.4 --ctreplsrc 5.6.7.8 --ctdir REPLY
filter FORWARD -m conntrack ! --ctrepldst 1.0.0.0/8 --ctorigsrcport 1:5 --ctorigdstport 80 --ctexpire 1:10
filter FORWARD -m conntrack --ctreplsrcport 1 ! --ctrepldstport 3:4 --ctdir ORIGINAL
filter FORWARD -m conntrack ! --ctstatus NONE ! --ctproto 6 ! --ctexpire 5
filter FORWARD -m state --state NEW,RELATED
filter FORWARD -m state ! --state INVALID,UNTRACKED
filter INPUT -m addrtype --dst-type LOCAL ! --src-type MULTICAST,BROADCAST --limit-iface-in
filter OUTPUT -m addrtype ! --dst-type UNICAST,BLACKHOLE,PROHIBIT --limit-iface-out
filter FORWARD -m physdev --physdev-in p1 ! --physdev-out p2+ --physdev-is-bridged
filter FORWARD -m physdev ! --physdev-is-in --physdev-is-out
filter FORWARD -m mark --mark 1
filter FORWARD -m mark ! --mark 0x1/0xff
filter FORWARD -m connmark --mark 1/2
filter FORWARD -m limit --limit 3/min --limit-burst 7
filter FORWARD -m limit --limit 10/sec
filter FORWARD -m limit --limit 7/hour
filter FORWARD -m limit --limit 100/day
filter FORWARD -m recent --set --name foo
filter FORWARD -m recent ! --update --seconds 60 --hitcount 3 --rttl --name foo --rdest
filter FORWARD -m recent --rcheck --seconds 60 --reap --name foo --mask 255.255.255.0
filter FORWARD -m iprange --src-range 10.0.0.1-10.0.0.9 ! --dst-range 1.1.1.1-2.2.2.2
filter FORWARD -m mac ! --mac-source 02:00:00:00:00:01
filter FORWARD -m pkttype --pkt-type multicast
filter FORWARD -m pkttype ! --pkt-type unicast
filter FORWARD -p icmp --icmp-type echo-request
filter FORWARD -p icmp ! --icmp-type 3/4
filter FORWARD -p icmp --icmp-type any
filter FORWARD -m statistic --mode random --probability 0.5
filter FORWARD -m statistic --mode nth ! --every 3 --packet 1
filter OUTPUT -m owner --uid-owner 1000 ! --gid-owner 5-10
filter OUTPUT -m owner ! --socket-exists
filter FORWARD -m comment --comment simple-1 -j ACCEPT
filter FORWARD -m comment --comment it's\\a"comment" -j ACCEPT
filter FORWARD -m length --length 10:20
filter FORWARD -m length ! --length 10
filter FORWARD -m dscp --dscp 10
filter FORWARD -m tos ! --tos 16/63
filter FORWARD -m ttl --ttl-lt 5
filter FORWARD -m ttl ! --ttl-eq 5
filter FORWARD -m helper ! --helper ftp
filter FORWARD -m devgroup --src-group 1 ! --dst-group 2/3
filter FORWARD -m quota ! --quota 1000
filter FORWARD -p tcp -m connlimit --connlimit-above 3 --connlimit-mask 24
filter FORWARD -p tcp -m connlimit --connlimit-upto 3 --connlimit-daddr
filter FORWARD -p tcp -m tcpmss ! --mss 1:100
filter FORWARD -p tcp -m multiport --ports 80:90 -m comment --comment multi -m conntrack --ctstate NEW -j ACCEPT
raw PREROUTING -m rpfilter --loose --validmark --accept-local --invert -j DROP
filter INPUT -j QUEUE
filter INPUT -j REJECT
filter INPUT -j REJECT --reject-with icmp-net-unreachable
filter INPUT -j REJECT --reject-with icmp-host-unreachable
filter INPUT -j REJECT --reject-with icmp-proto-unreachable
filter INPUT -j REJECT --reject-with icmp-net-prohibited
filter INPUT -j REJECT --reject-with icmp-host-prohibited
filter INPUT -j REJECT --reject-with icmp-admin-prohibited
filter INPUT -p tcp -j REJECT --reject-with tcp-reset
filter INPUT -j LOG
filter INPUT -j LOG --log-prefix a:b"c --log-level 3 --log-tcp-options --log-ip-options --log-uid --log-macdecode
filter INPUT -p tcp -j LOG --log-tcp-sequence
filter INPUT -j NFLOG --nflog-prefix hi:there --nflog-group 3 --nflog-threshold 2 --nflog-size 64
filter INPUT -j NFQUEUE --queue-num 3 --queue-bypass
filter INPUT -j NFQUEUE --queue-balance 1:4 --queue-cpu-fanout
filter INPUT -j AUDIT --type reject
filter INPUT -j CONNMARK --set-mark 1
mangle POSTROUTING -j CHECKSUM --checksum-fill
mangle POSTROUTING -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
mangle POSTROUTING -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400
mangle PREROUTING -j MARK --set-mark 1
mangle PREROUTING -j MARK --and-mark 1
mangle PREROUTING -j CONNMARK --save-mark
mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff
mangle PREROUTING -j DSCP --set-dscp 10
mangle PREROUTING -j TOS --set-tos 4/4
mangle PREROUTING -j TTL --ttl-dec 1
mangle PREROUTING -p tcp -j TPROXY --on-port 5 --on-ip 1.2.3.4 --tproxy-mark 1/1
mangle PREROUTING -j TEE --gateway 1.2.3.4
mangle POSTROUTING -j CLASSIFY --set-class 1:2
raw PREROUTING -j CT --notrack
raw PREROUTING -j NOTRACK
raw PREROUTING -j CT --zone 5
raw PREROUTING -j TRACE
nat POSTROUTING -j MASQUERADE
nat POSTROUTING -p tcp -j MASQUERADE --to-ports 1000-2000 --random
nat POSTROUTING -j MASQUERADE --random-fully
nat POSTROUTING -j SNAT --to-source 1.2.3.4
nat POSTROUTING -p udp -j SNAT --to-source 1.2.3.4-1.2.3.9:10-20 --random --persistent
nat POSTROUTING -p udp -j SNAT --to-source 1.2.3.4:10 --random-fully
nat PREROUTING -p tcp -j DNAT --to-destination 1.2.3.4:80
nat PREROUTING -p tcp --dport 8000:8010 -j DNAT --to-destination 1.2.3.4:9000-9010/8000
nat PREROUTING -p tcp -j DNAT --to-destination :80
nat PREROUTING -p tcp -j DNAT --to-destination 1.2.3.4-1.2.3.6 --random --persistent
nat OUTPUT -p tcp -j REDIRECT --to-ports 80
nat OUTPUT -p tcp -j REDIRECT --to-ports 80-90 --random
nat OUTPUT -p tcp -j REDIRECT
nat PREROUTING -j NETMAP --to 10.0.0.0/8
""".strip().splitlines()

RULES6 = """
filter FORWARD -s fd00::/8 ! -d fd00::1 -i eth0 ! -o veth+ -p tcp -j DROP
filter FORWARD -s ::1/ffff::ffff
filter FORWARD -p ipv6-icmp --icmpv6-type echo-request
filter FORWARD -p ipv6-icmp ! --icmpv6-type 1/4
filter FORWARD -p tcp -m multiport --dports 80,443
filter FORWARD -m conntrack --ctorigsrc fd00::/8 ! --ctorigdst fd00::1 --ctorigsrcport 1:5
filter FORWARD -m state --state NEW,RELATED
filter FORWARD -m addrtype --dst-type LOCAL,UNICAST
filter FORWARD -m iprange --src-range fd00::1-fd00::9
filter FORWARD -m hl --hl-gt 5
filter FORWARD -m recent --set --name foo6
filter FORWARD -p tcp -m connlimit --connlimit-above 3 --connlimit-mask 64
filter INPUT -j REJECT
filter INPUT -j REJECT --reject-with icmp6-no-route
filter INPUT -j REJECT --reject-with icmp6-adm-prohibited
filter INPUT -j REJECT --reject-with icmp6-addr-unreachable
filter INPUT -j REJECT --reject-with icmp6-policy-fail
filter INPUT -j REJECT --reject-with icmp6-reject-route
filter INPUT -p tcp -j REJECT --reject-with tcp-reset
mangle PREROUTING -j HL --hl-dec 1
mangle PREROUTING -p tcp -j TPROXY --on-port 5 --on-ip fd00::1
mangle PREROUTING -j TEE --gateway fd00::1
nat POSTROUTING -j MASQUERADE
nat POSTROUTING -p tcp -j MASQUERADE --to-ports 1000-2000
nat POSTROUTING -j SNAT --to-source fd00::1
nat PREROUTING -p tcp -j DNAT --to-destination [fd00::1]:80
nat PREROUTING -p tcp -j DNAT --to-destination fd00::1-fd00::5 --random
nat PREROUTING -p tcp --dport 8000:8010 -j DNAT --to-destination [fd00::1]:9000-9010/8000
nat PREROUTING -p tcp -j DNAT --to-destination :80
nat OUTPUT -p tcp -j REDIRECT --to-ports 80
nat PREROUTING -j NETMAP --to fd00:5::/64
""".strip().splitlines()


@pytest.mark.parametrize(
    ("version", "line"), [*((4, line) for line in RULES), *((6, line) for line in RULES6)], ids=str
)
def test_a_rule_reads_as_the_tool_lists_it(box: Box, version: int, line: str) -> None:
    table, name, *rule = line.split()
    write(box, ["-t", table, "-A", name, *rule], version)
    theirs = [said for said in box.tool(TOOLS[version], "-t", table, "-S").splitlines() if said.startswith("-A")]
    assert [rule.text for one in read()[0].chains for rule in one.rules] == theirs


def test_a_match_without_words_is_named_and_unknown(box: Box) -> None:
    write(box, ["-A", "FORWARD", "-m", "u32", "--u32", "6&0xFF=1", "-j", "DROP"])
    (rule,) = chain("FORWARD").rules
    assert rule.text == "-A FORWARD -m u32 -j DROP"
    assert [getattr(one, "what", "") for one in rule.conditions] == ["-m u32"]


@pytest.mark.skipif(not shutil.which("iptables-nft"), reason="iptables-nft is not installed")
@pytest.mark.parametrize(
    ("version", "line"), [*((4, line) for line in RULES), *((6, line) for line in RULES6)], ids=str
)
def test_what_iptables_nft_keeps_of_xtables_reads_the_same(box: Box, version: int, line: str) -> None:
    table, name, *rule = line.split()
    write(box, ["-t", table, "-A", name, *rule], version)
    legacy_rule = next(found for one in read()[0].chains for found in one.rules)
    nft_tool = TOOLS[version].replace("legacy", "nft")
    box.tool(nft_tool, "-t", table, "-A", name, *rule)
    theirs = box.tool(nft_tool, "-t", table, "-S")
    parts = [(kind, *part) for kind, part in xtables_parts(table)]
    if not parts:
        pytest.skip("iptables-nft says all of this in nftables' own words")
    for kind, part, revision, data in parts:
        if kind == "match":
            assert xt_match_text(part, revision, data, version) in theirs
            assert set(xt_conditions(part, revision, data, version)) <= set(legacy_rule.conditions)
        else:
            assert xt_target_text(part, revision, data, version) in theirs
            assert xt_verdict(part, revision, data, version) == legacy_rule.verdict


def xtables_parts(table: str) -> list[tuple[str, tuple[str, int, bytes]]]:
    """What the nftables rules of a table hold in xtables' form: match or target, its name, revision and data."""
    with Kernel() as kernel:
        found = next(one for one in rulesets.read(kernel, None) if one.name == table)
    return [
        (one.name, (rulesets.text(one.attributes[1]), rulesets.number(one.attributes.get(2)), one.attributes[3]))
        for rule in found.rules
        for one in rule.expressions
        if one.name in ("match", "target")
    ]


# ---- what is no table


def test_a_block_that_is_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="entry at 0"):
        list(xtables.entries(struct.pack("@84xIHHI2Q", 0, 112, 0, 0, 0, 0) + bytes(40), 4))
