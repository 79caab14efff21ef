# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules in the words of the tool that wrote them: what we read is what ``iptables -S`` lists, line by line."""

from __future__ import annotations

import shutil

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.xt_matches import (
    xt_conditions,
    xt_match_text,
    xt_verdict,
)
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.xt_targets import xt_target_text
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import rulesets
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from box import Box
from iptables import TOOLS, installed, read, write

pytestmark = installed

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
    (rule,) = (rule for one in read()[0].chains for rule in one.rules)
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
    write(box, ["-t", table, "-A", name, *rule], version, "nft")
    theirs = box.tool(TOOLS[version].replace("legacy", "nft"), "-t", table, "-S")
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
