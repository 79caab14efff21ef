# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masquerade with real packets, and the life of the table ``inet patchbay``."""

from __future__ import annotations

import re
import socket
import struct
import time

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_messages
from box import EXT, EXT4, FAR4, Box
from doors import Failed
from packets import SHORT, open_socket
from scenery import BLUE, BRIDGE_FILTER, FORWARDING, LAB, OUTSIDE, OWN, RED, versions


def table(box: Box) -> str:
    """Our table as nft(8) shows it, less what its counters counted; or ''."""
    is_there = "table inet patchbay" in box.nft("list ruleset")
    return box.tool("nft", "-s", "list", "table", "inet", "patchbay") if is_there else ""


def table_with_counters(box: Box) -> str:
    return box.nft("list table inet patchbay")


def reload(box: Box) -> None:
    """Save our table with nft, throw it away and load it again: the same meaning in nft's own bytes."""
    saved = table(box)
    assert saved
    box.nft("flush ruleset")
    box.nft(saved)


@versions
def test_outside_answers_only_with_masquerade_and_sees_the_gateway(lab: Box, version: int) -> None:
    server = lab.serve(EXT, 8080)
    lab.sysctl(FORWARDING[version], "1")
    assert lab.tcp("red", OUTSIDE[version], 8080, timeout=SHORT).outcome != "reached"
    lab.checked("nat_masquerade", source=LAB[version])
    answer = lab.tcp("red", OUTSIDE[version], 8080)
    assert answer.token == server.token
    assert answer.seen[0] == OWN[version]
    if version == 4:
        assert lab.ping("red", FAR4)
    lab.checked("nat_masquerade", source=LAB[version], state="absent")
    assert not lab.tcp("red", OUTSIDE[version], 8080, timeout=SHORT)
    assert table(lab) == ""


@versions
def test_pitfall_9_10_neighbours_see_each_other(lab: Box, version: int) -> None:
    """Where bridged packets pass the rules, a masquerade of everything would change red's address for blue too."""
    lab.sysctl(BRIDGE_FILTER[version], "1")
    lab.serve("blue", 8080)
    lab.run("nat_masquerade", source=LAB[version])
    assert lab.tcp("red", BLUE[version], 8080).seen[0] == RED[version]
    lab.run("nat_masquerade", source=LAB[version], exclude=[])
    assert lab.tcp("red", BLUE[version], 8080, timeout=SHORT).seen[:1] != (RED[version],)


def test_pitfall_9_multicast_keeps_its_source(lab: Box) -> None:
    lab.sysctl(BRIDGE_FILTER[4], "1")
    group = "239.15.15.15"
    with (
        open_socket("blue", socket.AF_INET, socket.SOCK_DGRAM) as ear,
        open_socket("red", socket.AF_INET, socket.SOCK_DGRAM) as mouth,
    ):
        ear.bind(("", 5000))
        ear.settimeout(2)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(BLUE[4]))
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(RED[4]))
        lab.run("nat_masquerade", source=LAB[4])
        mouth.sendto(b"hello", (group, 5000))
        assert ear.recvfrom(100)[1][0] == RED[4]


@versions
def test_only_the_named_interface_is_translated(lab: Box, version: int) -> None:
    lab.serve(EXT, 8080)
    lab.checked("nat_masquerade", source=LAB[version], out_interface="elsewhere")
    assert not lab.tcp("red", OUTSIDE[version], 8080, timeout=SHORT)
    lab.checked("nat_masquerade", source=LAB[version], out_interface="uplink")
    assert lab.tcp("red", OUTSIDE[version], 8080)
    lab.checked("nat_masquerade", source=LAB[version], out_interface="uplink", state="absent")
    assert "elsewhere" in table(lab)
    assert not lab.tcp("red", OUTSIDE[version], 8080, timeout=SHORT)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_ports_become_part_of_the_range(lab: Box, protocol: str) -> None:
    lab.serve(EXT, 8080, protocol)
    result = lab.checked("nat_masquerade", source=LAB[4], to_ports="40000-40009", random=True)
    assert (result.object["to_ports"], result.object["random"]) == ("40000-40009", True)
    for _round in range(3):
        assert 40000 <= getattr(lab, protocol)("red", EXT4, 8080).seen[1] <= 40009
    assert lab.ping("red", EXT4)
    result = lab.checked("nat_masquerade", source=LAB[4])
    assert result.diff["after_header"] == "after (changed in place)"
    assert (result.object["to_ports"], result.object["random"]) == (None, False)


@versions
def test_pitfall_11_forwarding_is_given_back_to_what_it_was(box: Box, version: int) -> None:
    name = FORWARDING[version]
    result = box.checked("nat_masquerade", source=LAB[version])
    assert box.sysctl(name) == "1"
    assert any(name in text for text in result.warnings)
    box.run("nat_masquerade", source="10.0.0.0/8" if version == 4 else "fd01::/16")
    box.checked("nat_masquerade", source=LAB[version], state="absent")
    assert box.sysctl(name) == "1", "another one needs it"
    box.checked("nat_masquerade", source="10.0.0.0/8" if version == 4 else "fd01::/16", state="absent")
    assert box.sysctl(name) == "0"


@versions
def test_pitfall_11_forwarding_that_was_on_stays_on(box: Box, version: int) -> None:
    box.sysctl(FORWARDING[version], "1")
    assert box.checked("nat_masquerade", source=LAB[version]).warnings == []
    box.checked("nat_masquerade", source=LAB[version], state="absent")
    assert box.sysctl(FORWARDING[version]) == "1"


@versions
def test_pitfall_11_a_device_that_forwarded_by_itself_still_does_afterwards(box: Box, version: int) -> None:
    box.outside()
    own = f"net.ipv{version}.conf.uplink.forwarding"
    other = f"net.ipv{version}.conf.lo.forwarding"
    box.sysctl(own, "1")
    box.checked("nat_masquerade", source=LAB[version])
    box.checked("nat_masquerade", source="10.0.0.0/8" if version == 4 else "fd01::/16")
    assert (box.sysctl(own), box.sysctl(other)) == ("1", "1")
    box.checked("nat_masquerade", source=LAB[version], state="absent")
    box.checked("nat_masquerade", source="10.0.0.0/8" if version == 4 else "fd01::/16", state="absent")
    assert (box.sysctl(FORWARDING[version]), box.sysctl(own), box.sysctl(other)) == ("0", "1", "0")


def test_forwarding_can_be_left_alone_and_let_go(box: Box) -> None:
    assert box.checked("nat_masquerade", source=LAB[4], forwarding=False).warnings == []
    assert box.sysctl(FORWARDING[4]) == "0"
    box.checked("nat_masquerade", source=LAB[4])
    assert box.sysctl(FORWARDING[4]) == "1"
    box.checked("nat_masquerade", source=LAB[4], forwarding=False)
    assert box.sysctl(FORWARDING[4]) == "0"


def advertise(box: Box) -> None:
    """One router advertisement of EXT on the uplink (RFC 4861, 4.2): 'I am a default router for half an hour'."""
    with open_socket(EXT, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        index = box.link("uplink", EXT)["ifindex"]
        sock.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, index))


def learnt(box: Box) -> list[dict]:
    return [route for route in box.routes(version=6) if route.get("protocol") == "ra"]


def test_ipv6_default_route_of_router_advertisements_survives(box: Box) -> None:
    box.outside()
    box.ip("-6 route del default")
    setting = "net.ipv6.conf.uplink.accept_ra"
    assert box.sysctl(setting) == "1"
    box.until(
        lambda: "tentative" not in box.ip(f"-n {EXT} -6 addr show dev uplink scope link"),
        what="EXT's link-local address",
    )
    advertise(box)
    box.until(lambda: learnt(box), what="the learnt route")
    box.checked("nat_masquerade", source=LAB[6])
    assert learnt(box)
    assert box.sysctl(setting) == "2"
    box.ip("-6 route del default proto ra")
    advertise(box)
    box.until(lambda: learnt(box), what="the learnt route, while forwarding")
    box.checked("nat_masquerade", source=LAB[6], state="absent")
    assert box.sysctl(setting) == "1"


def test_pitfall_17_three_runs_leave_one_rule(box: Box) -> None:
    box.run("nat_masquerade", source=LAB[4])
    once = table(box)
    for _round in range(2):
        assert not box.run("nat_masquerade", source=LAB[4]).changed
    assert table(box) == once


def test_pitfall_17_duplicates_collapse_in_one_run(box: Box) -> None:
    box.run("nat_masquerade", source=LAB[4])
    once = table(box)
    line = next(line.strip() for line in once.splitlines() if "masquerade comment" in line)
    for _round in range(3):
        box.nft(f"add rule inet patchbay postrouting {line}")
    assert table(box).count("comment") == 4
    assert box.checked("nat_masquerade", source=LAB[4]).changed
    assert table(box) == once


def test_pitfall_18_twins_of_others_stay(box: Box) -> None:
    """A rule that says the same, to the last word of its comment, but in another table, belongs to whoever wrote it."""
    box.run("nat_masquerade", source=LAB[4])
    line = next(line.strip() for line in table(box).splitlines() if "masquerade comment" in line)
    box.nft(
        f"add table inet theirs\nadd chain inet theirs post {{ type nat hook postrouting priority 90; }}\nadd rule inet theirs post {line}"
    )
    theirs = box.nft("list table inet theirs")
    assert not box.run("nat_masquerade", source=LAB[4]).changed
    box.checked("nat_masquerade", source=LAB[4], state="absent")
    assert "patchbay {" not in table(box)
    assert box.nft("list table inet theirs") == theirs
    assert not box.run("nat_masquerade", source=LAB[4], state="absent").changed


STRANGERS = {
    "a rule without our comment": "add rule inet patchbay postrouting ip saddr 10.0.0.0/8 masquerade",
    "a rule before ours": "insert rule inet patchbay postrouting accept",
    "a rule with a comment that lies": "add rule inet patchbay postrouting ip saddr 10.0.0.0/8 masquerade "
    'comment "patchbay masquerade 11.0.0.0/8"',
    "a chain": "add chain inet patchbay theirs { type filter hook forward priority 0; policy drop; }",
    "a chain that is jumped to": "add chain inet patchbay theirs\nadd rule inet patchbay postrouting jump theirs",
    "a set": "add set inet patchbay allowed { type ipv4_addr; elements = { 10.0.0.1 } }",
    "a set of another kind": "add set inet patchbay allowed { type mark . ether_addr; }",
    "a map to chains": "add chain inet patchbay theirs\n"
    "add map inet patchbay ways { type inet_service : verdict; elements = { 80 : goto theirs } }",
    "a policy that drops": "add chain inet patchbay postrouting { policy drop; }",
    "a table put to sleep": "add table inet patchbay { flags dormant; }",
    "a chain of our name at another hook": "delete chain inet patchbay postrouting\n"
    "add chain inet patchbay postrouting { type filter hook forward priority 0; }",
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_is_not_ours_in_our_own_table_goes_in_one_run(box: Box, stranger: str) -> None:
    box.run("nat_masquerade", source=LAB[4])
    right = table(box)
    flush = "flush chain inet patchbay postrouting\n" if "delete chain" in STRANGERS[stranger] else ""
    box.nft(f"{flush}{STRANGERS[stranger]}")
    assert table(box) != right
    assert box.checked("nat_masquerade", source=LAB[4]).changed
    assert table(box) == right


def test_the_order_of_rules_is_ours_and_comes_back(box: Box) -> None:
    """The narrower network is asked first, in whatever order they were made and whoever shuffled them."""
    for source in ("10.0.0.0/8", "10.1.0.0/16", "fd00::/8", "10.1.1.0/24"):
        box.run("nat_masquerade", source=source)
    right = table(box)
    found = re.findall(r'comment "patchbay masquerade (\S+)"', right)
    assert found == ["10.1.1.0/24", "10.1.0.0/16", "10.0.0.0/8", "fd00::/8"]
    lines = [line.strip() for line in right.splitlines() if "masquerade comment" in line]
    shuffled = [f"add rule inet patchbay postrouting {line}" for line in reversed(lines)]
    box.nft("\n".join(["flush chain inet patchbay postrouting", *shuffled]))
    assert box.checked("nat_masquerade", source="10.1.0.0/16").changed
    assert table(box) == right


def test_rules_that_stay_keep_their_counters(lab: Box) -> None:
    lab.run("nat_masquerade", source=LAB[4])
    assert lab.ping("red", EXT4)
    for source in ("192.168.15.0/25", "10.0.0.0/8"):
        lab.run("nat_masquerade", source=source)
    line = next(line for line in table_with_counters(lab).splitlines() if 'masquerade 192.168.15.0/24"' in line)
    assert "counter packets 1 " in line


ALL_SHAPES = [
    {"source": "192.168.15.0/24"},
    {"source": "10.0.0.0/20", "out_interface": "eth0.100"},
    {"source": "10.128.0.0/9", "exclude": ["10.0.0.0/8", "10.1.2.3/32", "172.16.0.0/12"]},
    {"source": "10.9.9.9/32", "exclude": []},
    {"source": "0.0.0.0/0", "out_interface": "eth0", "random": True},
    {"source": "fd00:15::/64", "to_ports": "1024-65535"},
    {"source": "fd00::/9", "to_ports": "5000"},
    {"source": "fd00::1/128", "out_interface": "eth0", "to_ports": "5000-5001", "random": True},
    {"source": "::/0"},
]


@pytest.mark.parametrize("params", ALL_SHAPES, ids=lambda params: "-".join(str(value) for value in params.values()))
def test_rules_are_known_again_after_nft_reloaded_them(box: Box, params: dict) -> None:
    result = box.checked("nat_masquerade", **params)
    for name, value in params.items():
        assert result.object[name] == (sorted(value) if name == "exclude" else value)
    reload(box)
    again = box.run("nat_masquerade", **params)
    assert not again.changed, again.diff
    assert again.object == result.object
    box.checked("nat_masquerade", state="absent", **params)
    assert table(box) == ""


@pytest.mark.parametrize("params", ALL_SHAPES, ids=lambda params: "-".join(str(value) for value in params.values()))
def test_commands_do_the_same(box: Box, params: dict) -> None:
    commands = box.run("nat_masquerade", check=True, **params).commands
    for command in commands:
        box.tool("sh", "-c", command)
    assert not box.run("nat_masquerade", **params).changed
    for command in box.run("nat_masquerade", check=True, state="absent", **params).commands:
        box.tool("sh", "-c", command)
    assert table(box) == ""


@pytest.mark.parametrize(
    "other",
    [
        "ip saddr 192.168.15.0/24 masquerade",
        "ip saddr 192.168.15.0/24 ip daddr != 192.168.15.0/24 ip daddr != 224.0.0.0/4 snat ip to 203.0.113.1",
        "ip saddr { 192.168.15.0/24, 10.0.0.0/8 } masquerade",
        "ip saddr 192.168.15.0/24 limit rate 10/second counter masquerade",
        "ip saddr 192.168.15.0/24 meta mark 7 masquerade",
        'ip saddr 192.168.15.0/24 oifname "veth*" masquerade',
        "ip saddr 192.168.15.0/24 masquerade persistent",
        "ip saddr 192.168.15.0/24 jump elsewhere",
        "ip saddr & 255.0.255.0 == 192.0.15.0 masquerade",
        "ip saddr 192.168.15.0/24 tcp sport 80 masquerade",
        "meta l4proto tcp tcp flags syn masquerade",
        'log prefix "hello" accept',
    ],
)
def test_a_rule_of_ours_that_was_rewritten_is_set_right(box: Box, other: str) -> None:
    box.run("nat_masquerade", source=LAB[4])
    right = table(box)
    comment = re.search(r'comment ".*"', right).group()  # type: ignore[union-attr]
    box.nft(
        f"flush chain inet patchbay postrouting\nadd chain inet patchbay elsewhere\nadd rule inet patchbay postrouting {other} {comment}"
    )
    result = box.checked("nat_masquerade", source=LAB[4])
    assert result.changed
    assert table(box) == right


def test_a_counter_is_no_other_rule(box: Box) -> None:
    box.run("nat_masquerade", source=LAB[4])
    line = next(line.strip() for line in table(box).splitlines() if "masquerade comment" in line)
    box.nft(f"flush chain inet patchbay postrouting\nadd rule inet patchbay postrouting counter {line}")
    assert not box.run("nat_masquerade", source=LAB[4]).changed


def test_flushed_ruleset_is_made_anew(lab: Box) -> None:
    lab.run("nat_masquerade", source=LAB[4])
    lab.nft("flush ruleset")
    assert not lab.ping("red", EXT4, timeout=SHORT)
    assert lab.checked("nat_masquerade", source=LAB[4]).changed
    assert lab.ping("red", EXT4)


@pytest.mark.parametrize(("missing", "named"), [("masq", "nft_masq"), ("meta", "expression meta")])
def test_pitfall_48_missing_kernel_feature_is_named(
    box: Box, monkeypatch: pytest.MonkeyPatch, missing: str, named: str
) -> None:
    """An expression that no kernel has stands for one that this kernel lacks: both are refused the same way."""
    join = nft_messages.join
    monkeypatch.setattr(
        nft_messages,
        "join",
        lambda those: join(each._replace(name="lacking") if each.name == missing else each for each in those),
    )
    for check in (True, False):
        with pytest.raises(Failed, match=named) as caught:
            box.run("nat_masquerade", source=LAB[4], check=check)
        assert caught.value.code == "UNSUPPORTED"
        assert table(box) == ""
        assert box.sysctl(FORWARDING[4]) == "0"


def test_in_a_namespace_nothing_happens_elsewhere(box: Box) -> None:
    box.namespace("router")
    before = box.snapshot()
    result = box.checked("nat_masquerade", netns="router", source=LAB[4])
    assert all(command.startswith("ip netns exec router ") for command in result.commands)
    assert "masquerade" in box.nft("list ruleset", netns="router")
    assert box.sysctl(FORWARDING[4], netns="router") == "1"
    assert box.snapshot() == before
    box.checked("nat_masquerade", netns="router", source=LAB[4], state="absent")
    assert box.nft("list ruleset", netns="router") == ""


def test_a_thousand_objects_are_read_in_a_moment(box: Box) -> None:
    sources = [f"10.{number // 256}.{number % 256}.0/24" for number in range(1000)]
    lines = "\n".join(
        f'add rule inet patchbay postrouting ip saddr {source} masquerade comment "patchbay masquerade [{source}] all"'
        for source in sources
    )
    box.nft(
        f"add table inet patchbay\nadd chain inet patchbay postrouting {{ type nat hook postrouting priority 100; }}\n{lines}"
    )
    start = time.monotonic()
    assert box.run("nat_masquerade", source="10.3.231.0/24", exclude=[]).object["source"] == "10.3.231.0/24"
    assert time.monotonic() - start < 5
