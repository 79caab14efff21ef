# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random small firewalls in the language of nft(8) and of iptables(8), about the addresses and ports of crossing.py.

Most conditions are near the border of true: a packet of the crossing meets about half of them.
"""

from __future__ import annotations

from crossing import Sent
from hypothesis import strategies as st

PORTS = (22, 80, 443)
_SPANS = ("22", "80", "443", "79-81", "1-79", "{ 22, 443 }", "{ 20-30, 80 }", "< 80", ">= 80", "> 443", "<= 22")
_NETWORKS = {
    4: (
        *(
            "10.1.0.2",
            "10.2.0.2",
            "10.1.0.1",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.0.0/23",
            "10.2.0.0/30",
            "10.128.0.0/9",
        ),
        *(
            "10.1.0.2-10.1.0.9",
            "{ 10.1.0.0/24, 10.2.0.2 }",
            "{ 10.2.0.3, 192.0.2.0/24 }",
            "{ 10.1.0.1-10.1.0.2, 10.2.0.0/25 }",
        ),
        *("@nets4", "10.1.0.2", "10.2.0.2"),
    ),
    6: (
        *("fd01::2", "fd02::2", "fd01::1", "fd00::/8", "fd01::/64", "fd01::/17", "fd02::/127", "fd02::2/127"),
        *("fd01::2-fd01::9", "{ fd01::/64, fd02::2 }", "{ fd02::3, 2001:db8::/32 }", "@nets6"),
    ),
}
_SETS = """
    set nets4 { type ipv4_addr; flags interval; elements = { 10.1.0.0/30, 10.3.0.0/16 }; }
    set nets6 { type ipv6_addr; flags interval; elements = { fd01::/126, fd03::/16 }; }
    set pairs4 { type ipv4_addr . inet_service; flags interval; elements = { 10.1.0.0/24 . 80-90, 10.1.0.2 . 22, 10.2.0.2 . 443 }; }
    set names { type ifname; elements = { in0, eth7 }; }
    map ports { type inet_service : verdict; elements = { 22 : drop, 80 : accept, 443 : jump sub2 }; }
"""
_DIVERSE = (
    *(
        'iifname "in0"',
        'iifname "out0"',
        'iifname "in*"',
        'iifname != "in0"',
        'iifname { "in0", "lo" }',
        "iifname @names",
    ),
    *('iif "in0"', 'iif != "in0"', 'oifname "out0"', 'oifname != "out*"', 'oif "out0"', 'oif { "in0", "out0" }'),
    *('iifname { "i*", "eth0" }', 'iifname . oifname { "in0" . "out0" }', 'oifname "*0"', 'iifname "in00"'),
    *(
        "ct state new",
        "ct state established,related",
        "ct state != new",
        "ct state { new, established }",
        "ct state invalid",
    ),
    *("ct status dnat", "ct status != dnat", "ct status & dnat == 0", "ct status seen-reply", "ct direction original"),
    *(
        "ct original proto-dst 80",
        "ct original proto-dst 9000",
        "ct protocol tcp",
        "meta pkttype host",
        "meta pkttype != host",
    ),
    *(
        "fib daddr type local",
        "fib daddr type != local",
        "fib daddr type { local, multicast }",
        "fib saddr type unicast",
    ),
    *("meta l4proto tcp", "meta l4proto { tcp, udp }", "meta l4proto != udp", "tcp flags & (fin|syn|rst|ack) == syn"),
    *(
        "tcp flags syn",
        "tcp flags != syn",
        "tcp flags & (syn|ack) == ack",
        "tcp flags & (fin|rst) == 0",
        "meta protocol ip",
    ),
    *(
        "limit rate 9999/second",
        "meta mark 0",
        "meta mark set 7",
        "counter",
        'log prefix "seen "',
        "quota over 900 mbytes",
    ),
    *("meta l4proto . th dport { tcp . 80, udp . 22-30 }", "meta length > 20", "rt classid 0", "socket transparent 1"),
)
_DIVERSE_OF = {
    4: (
        *("ip protocol tcp", "ip protocol != { tcp, icmp }", "ip frag-off & 0x1fff != 0", "ip version 4", "ip ttl > 3"),
        *(
            "ip saddr . tcp dport @pairs4",
            "ip saddr . tcp dport != { 10.1.0.2 . 80, 10.1.0.2 . 22 }",
            "meta nfproto ipv4",
        ),
        *("ip saddr & 0.0.0.255 == 0.0.0.2", "ip daddr & 0.0.0.3 != 0.0.0.2", "ct original ip saddr 10.1.0.2"),
        *("ip saddr 10.1.0.2 ip daddr 10.2.0.2", "ip saddr . ip daddr . th dport { 10.1.0.2 . 10.2.0.0/24 . 80 }"),
        *("ct original ip daddr 10.1.0.1", "ip dscp cs0", "@nh,96,32 & 0xffffff00 == 0x0a010000", "ip hdrlength 5"),
    ),
    6: (
        *(
            "ip6 nexthdr tcp",
            "ip6 nexthdr != { tcp, icmpv6 }",
            "ip6 version 6",
            "ip6 hoplimit > 3",
            "meta nfproto ipv6",
        ),
        *("ip6 saddr fd01::2 ip6 daddr fd02::2", "ip6 saddr . tcp dport { fd01::2 . 80, fd01::/32 . 22 }"),
        *("ct original ip6 saddr fd01::2", "ip6 daddr & ::f == ::2", "ip6 saddr . ip6 daddr { fd01::2 . fd02::2 }"),
    ),
}
_BOTH = (
    "meta nfproto vmap { ipv4 : jump sub1, ipv6 : continue }",
    "ct state vmap { new : continue, established : accept }",
)
_MAPS = (
    *(
        "tcp dport vmap @ports",
        "tcp dport vmap { 22 : drop, 80 : jump sub1, 400-500 : accept }",
        "th dport vmap { 80-90 : goto sub2 }",
    ),
    *('iifname vmap { "in0" : jump sub1, "out0" : drop }', 'oifname vmap { "out*" : continue, "lo" : drop }'),
    *(
        "ct state vmap { new : jump sub1, established : accept, invalid : drop }",
        "meta l4proto vmap { tcp : return, udp : jump sub2 }",
    ),
    *("tcp dport vmap { 22 : accept, * : continue }", "udp dport vmap { 80 : continue, * : drop }"),
)
_MAPS4 = (
    "ip saddr vmap { 10.1.0.0/24 : jump sub1, 10.2.0.0/24 : accept }",
    "ip daddr . tcp dport vmap { 10.2.0.0/24 . 80 : jump sub2, 10.2.0.2 . 22-23 : drop }",
    "ip daddr vmap { 10.1.0.1 : jump sub2, 10.2.0.2 : continue, 0.0.0.0/0 : drop }",
)
_VERDICTS = ("accept", "accept", "drop", "drop", "return", "counter", "continue", "reject")
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


def _address(version: int) -> st.SearchStrategy[str]:
    word = "ip" if version == 4 else "ip6"
    return st.builds(
        lambda end, negation, network: f"{word} {end} {negation}{network}",
        st.sampled_from(["saddr", "daddr"]),
        st.sampled_from(["", "", "!= "]),
        st.sampled_from(_NETWORKS[version]),
    )


def _ports() -> st.SearchStrategy[str]:
    return st.builds(
        lambda protocol, end, span, negation: f"{protocol} {end} {'' if span[0] in '<>' else negation}{span}",
        st.sampled_from(["tcp", "udp", "meta l4proto { tcp, udp } th"]),
        st.sampled_from(["dport", "dport", "dport", "sport"]),
        st.sampled_from(_SPANS),
        st.sampled_from(["", "", "!= "]),
    )


def conditions(*versions: int) -> st.SearchStrategy[str]:
    """One condition, or more, of a rule about IPv4, IPv6 or both."""
    choices = [_ports(), st.sampled_from(_DIVERSE)]
    for version in versions:
        choices += [_address(version), st.sampled_from(_DIVERSE_OF[version])]
    return st.one_of(choices)


@st.composite
def _rules(draw: st.DrawFn, versions: tuple[int, ...], deeper: tuple[str, ...], hook: str) -> str:
    if draw(st.integers(0, 4)) == 0 and deeper == ("sub1", "sub2"):
        return draw(
            st.sampled_from([*_MAPS, *(_MAPS4 if 4 in versions else ()), *(_BOTH if len(versions) > 1 else ())])
        )
    tests = draw(st.lists(conditions(*versions), min_size=draw(st.sampled_from([0, 1, 1, 1])), max_size=2))
    jumps = [f"{kind} {name}" for kind in ("jump", "goto") for name in deeper]
    verdicts = [one for one in _VERDICTS if one != "reject" or hook in ("input", "forward", "output")]
    verdict = draw(st.sampled_from([*verdicts, *jumps]))
    return " ".join([*dict.fromkeys(tests), verdict])


@st.composite
def tables(draw: st.DrawFn, number: int, hooks: tuple[str, ...]) -> str:
    """One table with one or two base chains and two chains that are jumped to."""
    family = draw(st.sampled_from(["inet", "inet", "ip", "ip6"]))
    versions = {"inet": (4, 6), "ip": (4,), "ip6": (6,)}[family]
    lines = [f"table {family} table{number} {{", _SETS]
    chosen = draw(st.lists(st.sampled_from(hooks), min_size=1, max_size=2))
    for name, deeper in (("sub2", ()), ("sub1", ("sub2",))):
        body = draw(st.lists(_rules(versions, deeper, "any"), min_size=1, max_size=3))
        lines += [f"chain {name} {{", *body, "}"]
    for index, hook in enumerate(chosen):
        priority, policy = draw(st.sampled_from([-350, -10, 0, 7])), draw(st.sampled_from(["accept", "drop"]))
        body = draw(st.lists(_rules(versions, ("sub1", "sub2"), hook), min_size=2, max_size=6))
        lines += [f"chain base{index} {{ type filter hook {hook} priority {priority}; policy {policy};", *body, "}"]
    return "\n".join([*lines, "}"])


@st.composite
def firewalls(
    draw: st.DrawFn, hooks: tuple[str, ...] = ("prerouting", "input", "forward", "forward", "postrouting")
) -> str:
    """A script of one to three tables."""
    return "\n".join(draw(tables(number, hooks)) for number in range(draw(st.integers(1, 3))))


def sents() -> st.SearchStrategy[Sent]:
    """A packet of the crossing."""
    journeys = st.sampled_from(["right", "right", "right", "published", "host", "answer"])
    return st.builds(
        lambda family, protocol, port, journey: Sent(
            family,
            "udp" if journey == "answer" else protocol,
            port,
            "right" if journey == "answer" else journey,
            answer=journey == "answer",
        ),
        st.sampled_from([4, 4, 6]),
        st.sampled_from(["tcp", "udp"]),
        st.sampled_from(PORTS),
        journeys,
    )


# ---- iptables

_ARGUMENTS = (
    *(
        "-i in0",
        "! -i in0",
        "-i in+",
        "-o out0",
        "! -o out+",
        "-p tcp",
        "-p udp",
        "-p tcp --dport 80",
        "-p udp --dport 22",
    ),
    *(
        "-p tcp ! --dport 80",
        "-p tcp --dport 79:81",
        "-p tcp -m multiport --dports 22,443",
        "-p udp -m multiport ! --dports 80:90",
    ),
    *(
        "-p tcp --syn",
        "-p tcp ! --syn",
        "-p tcp --tcp-flags FIN,SYN SYN",
        "-m conntrack --ctstate NEW",
        "-m state --state NEW",
    ),
    *("-m conntrack --ctstate ESTABLISHED,RELATED", "-m conntrack --ctstate DNAT", "-m conntrack ! --ctstate DNAT"),
    *(
        "-m conntrack --ctorigdstport 80",
        "-m conntrack --ctdir ORIGINAL",
        "-m comment --comment seen",
        "-m mark --mark 0",
    ),
    *(
        "-m limit --limit 3000/second",
        "-m addrtype --dst-type LOCAL",
        "-m addrtype ! --dst-type LOCAL",
        "-m addrtype --src-type UNICAST",
    ),
    *("-m pkttype --pkt-type unicast", "-p icmp", "-m conntrack ! --ctstate INVALID", ""),
)
_ARGUMENTS_OF = {
    4: (
        *("-s 10.1.0.2", "-d 10.2.0.0/24", "! -s 10.1.0.0/16", "! -d 10.2.0.2", "-s 10.0.0.0/9 -d 10.2.0.0/31"),
        *("-m iprange --src-range 10.1.0.1-10.1.0.5", "-m iprange ! --dst-range 10.2.0.1-10.2.0.5", "-f", "! -f"),
    ),
    6: ("-s fd01::2", "-d fd02::/64", "! -s fd01::/16", "! -d fd02::2", "-m iprange --src-range fd01::1-fd01::5"),
}
_JUMPS = ("ACCEPT", "ACCEPT", "DROP", "DROP", "RETURN", "REJECT", "LOG", "MARK --set-mark 3")


@st.composite
def iptables(draw: st.DrawFn, version: int) -> str:
    """Something for iptables-restore(8): the table filter with chains at all hooks, and two more."""
    policy = st.sampled_from(["ACCEPT", "ACCEPT", "DROP"])
    lines = ["*filter", ":OUTPUT ACCEPT", ":SUB1 -", ":SUB2 -"]
    lines += [f":{chain} {draw(policy)}" for chain in ("INPUT", "FORWARD")]
    tests = st.sampled_from([*_ARGUMENTS, *_ARGUMENTS_OF[version]])
    for chain, deeper in (
        ("SUB2", ()),
        ("SUB1", ("SUB2",)),
        ("FORWARD", ("SUB1", "SUB2")),
        ("INPUT", ("SUB1", "SUB2")),
    ):
        for _rule in range(draw(st.integers(0, 4))):
            jumps = [f"{letter} {name}" for letter in ("-j", "-g") for name in deeper]
            jump = draw(st.sampled_from([*(f"-j {name}" for name in _JUMPS), *jumps]))
            test = draw(tests)
            if (chain in ("INPUT", "SUB1", "SUB2") and "-o " in test) or (version == 6 and "icmp" in test):
                continue
            lines.append(f"-A {chain} {test} {jump}")
    return "\n".join([*lines, "COMMIT", ""])
