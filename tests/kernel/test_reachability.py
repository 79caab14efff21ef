# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module reachability: each outcome, what proves it, and that it leaves nothing behind."""

from __future__ import annotations

import threading
import time

import pytest
import world
from box import EXT, EXT4, EXT6, Box
from doors import Failed


@pytest.fixture
def wire(box: Box) -> Box:
    """Two namespaces on one cable, .1 and .2, both IP versions."""
    box.wire("one", "two")
    return box


def outcome(box: Box, **probe: object) -> dict:
    """The result of one probe, whatever it is."""
    return box.run("reachability", probes=[probe], fail=False).raw["results"][0]


BOTH = pytest.mark.parametrize("to", ["10.0.0.2", "fd00::2"])
STREAM_AND_DATAGRAM = pytest.mark.parametrize("protocol", ["tcp", "udp"])


@pytest.mark.smoke
@BOTH
def test_echo_is_answered_by_the_owner_of_the_address(wire: Box, to: str) -> None:
    found = outcome(wire, **{"from": "one", "to": to})
    assert (found["outcome"], found["answered_by"], found["expected"]) == ("reached", to, True)
    assert 0 < found["rtt_ms"] < 1000
    assert (found["from"], found["protocol"], found["port"]) == ("one", "icmp", None)


@pytest.mark.parametrize("to", ["10.0.0.9", "fd00::9"])
def test_echo_to_nobody_times_out(wire: Box, to: str) -> None:
    found = outcome(wire, **{"from": "one", "to": to, "timeout": 0.3})
    assert (found["outcome"], found["answered_by"], found["rtt_ms"], found["expected"]) == ("timeout", "", None, False)


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
@pytest.mark.parametrize("to", ["172.16.0.1", "fd99::1"])
def test_no_route_is_unreachable(wire: Box, protocol: str, to: str) -> None:
    port = {} if protocol == "icmp" else {"port": 80}
    assert outcome(wire, **{"from": "one", "to": to, "protocol": protocol, **port})["outcome"] == "unreachable"


@pytest.mark.parametrize(
    ("kind", "to"), [("blackhole", "172.16.0.1"), ("prohibit", "172.16.0.1"), ("unreachable", "fd99::1")]
)
@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
def test_routes_that_refuse_are_unreachable(wire: Box, kind: str, to: str, protocol: str) -> None:
    wire.ip(f"-n one route add {kind} {to}")
    port = {} if protocol == "icmp" else {"port": 80}
    assert outcome(wire, **{"from": "one", "to": to, "protocol": protocol, **port})["outcome"] == "unreachable"


@pytest.mark.parametrize("to", ["172.16.0.1", "fd99::1"])
def test_a_router_that_knows_no_way_is_named(wire: Box, to: str) -> None:
    version, gateway = (6, "fd00::2") if ":" in to else (4, "10.0.0.2")
    wire.ip(f"-n one -{version} route add default via {gateway}")
    wire.sysctl("net.ipv4.ip_forward", "1", netns="two")
    wire.sysctl("net.ipv6.conf.all.forwarding", "1", netns="two")
    found = outcome(wire, **{"from": "one", "to": to})
    assert (found["outcome"], found["answered_by"]) == ("unreachable", gateway)


@BOTH
@STREAM_AND_DATAGRAM
def test_closed_port_is_refused_and_deaf_one_times_out(wire: Box, to: str, protocol: str) -> None:
    probe = {"from": "one", "to": to, "protocol": protocol, "port": 80, "timeout": 0.3}
    assert outcome(wire, **probe)["outcome"] == "refused"
    wire.nft("table inet deaf {\n chain ears { type filter hook input priority 0; policy drop; }\n}", netns="two")
    assert outcome(wire, **probe)["outcome"] == "timeout"


@pytest.mark.smoke
@BOTH
@STREAM_AND_DATAGRAM
def test_listener_proves_itself_and_ends_with_the_run(wire: Box, to: str, protocol: str) -> None:
    probe = {"from": "one", "to": to, "protocol": protocol, "port": 8080, "timeout": 1}
    found = outcome(wire, **probe, listener="two")
    assert (found["outcome"], found["answered_by"], found["expected"]) == ("reached", "two", True)
    assert found["seen_as"] == to[:-1] + "1"
    assert outcome(wire, **probe)["outcome"] == "refused"


@STREAM_AND_DATAGRAM
def test_answer_of_another_than_the_listener_is_not_what_was_expected(wire: Box, protocol: str) -> None:
    wire.serve("two", 8080, protocol)
    with pytest.raises(
        Failed, match=r"one to 10\.0\.0\.2 \(.*/8080\) was answered by 10\.0\.0\.2, but not by the listener in one"
    ) as failure:
        wire.run(
            "reachability",
            probes=[
                {"from": "one", "to": "10.0.0.2", "protocol": protocol, "port": 8080, "listener": "one", "timeout": 0.5}
            ],
        )
    assert failure.value.raw["table"][1].split("  ")[-3:] != []
    assert "reached, but by another" in failure.value.raw["table"][1]


@STREAM_AND_DATAGRAM
def test_what_listens_already_is_left_alone(wire: Box, protocol: str) -> None:
    server = wire.serve("two", 8080, protocol)
    found = outcome(wire, **{"from": "one", "to": "10.0.0.2", "protocol": protocol, "port": 8080, "listener": "two"})
    assert (found["outcome"], found["answered_by"], found["expected"]) == ("reached", "10.0.0.2", True)
    assert len(server.peers) == 1


@STREAM_AND_DATAGRAM
def test_listener_answers_behind_a_port_forward_and_sees_the_translated_address(box: Box, protocol: str) -> None:
    box.outside()
    box.red_and_blue(ipv6=False)
    box.sysctl("net.ipv4.ip_forward", "1")
    box.nft(
        "table ip t {\n"
        f" chain pre {{ type nat hook prerouting priority -100; {protocol} dport 80 dnat to 192.168.15.2:8080; }}\n"
        " chain post { type nat hook postrouting priority 100; ip daddr 192.168.15.2 masquerade; }\n}"
    )
    probe = {
        "from": EXT,
        "to": "203.0.113.1",
        "protocol": protocol,
        "port": 80,
        "listener": "blue",
        "listener_port": 8080,
    }
    found = outcome(box, **probe)
    assert (found["answered_by"], found["seen_as"]) == ("blue", "192.168.15.5")
    box.nft("delete table ip t")
    assert not outcome(box, **probe, timeout=0.3)["expected"]


@STREAM_AND_DATAGRAM
def test_listener_with_many_addresses_answers_from_the_one_that_was_asked(wire: Box, protocol: str) -> None:
    wire.ip("-n two addr add 10.0.0.22/24 dev cable")
    wire.ip("-n two addr add fd00::22/64 dev cable nodad")
    wire.settle("two")
    for to in ("10.0.0.22", "fd00::22"):
        assert (
            outcome(wire, **{"from": "one", "to": to, "protocol": protocol, "port": 80, "listener": "two"})[
                "answered_by"
            ]
            == "two"
        )


def test_listener_on_one_address(wire: Box) -> None:
    probe = {
        "from": "one",
        "protocol": "tcp",
        "port": 80,
        "listener": "two",
        "listener_address": "10.0.0.2",
        "timeout": 0.5,
    }
    assert outcome(wire, **probe, to="10.0.0.2")["answered_by"] == "two"
    wire.ip("-n two addr add 10.0.0.22/24 dev cable")
    assert outcome(wire, **probe, to="10.0.0.22")["outcome"] == "refused"
    with pytest.raises(
        Failed, match=r"probes\[0\].listener_address: 10.0.0.7 is no address of namespace two; give one"
    ):
        outcome(wire, **{**probe, "to": "10.0.0.2", "listener_address": "10.0.0.7"})


def test_source_is_used_and_must_be_there(wire: Box) -> None:
    wire.ip("-n one addr add 10.0.0.11/24 dev cable")
    probe = {"from": "one", "to": "10.0.0.2", "protocol": "tcp", "port": 80, "listener": "two"}
    assert outcome(wire, **probe, source="10.0.0.11")["seen_as"] == "10.0.0.11"
    with pytest.raises(Failed, match=r"probes\[0\].source: 10.0.0.12 is no address of namespace one; give one"):
        outcome(wire, **probe, source="10.0.0.12")


def test_empty_names_mean_where_the_module_runs(wire: Box) -> None:
    wire.ip("link add wire type veth peer name wire netns one")
    wire.ip("addr add 10.1.0.5/24 dev wire")
    wire.ip("link set wire up")
    wire.ip("-n one link set wire up")
    wire.ip("-n one addr add 10.1.0.1/24 dev wire")
    result = wire.run(
        "reachability",
        probes=[
            {"to": "10.1.0.1"},
            {"from": "", "to": "10.1.0.1"},
            {"from": "one", "to": "10.1.0.5", "protocol": "tcp", "port": 80, "listener": ""},
        ],
    )
    assert [found["from"] for found in result.raw["results"]] == [None, None, "one"]
    assert result.raw["results"][2]["answered_by"] == "this host"
    assert result.raw["reached"] == 3


def test_link_local_addresses_with_their_interface(wire: Box) -> None:
    wire.until(lambda: "tentative" not in wire.ip("-n two -6 addr show dev cable"))
    address = next(entry["local"] for entry in wire.link("cable", "two")["addr_info"] if entry["scope"] == "link")
    wire.until(lambda: "tentative" not in wire.ip("-n one -6 addr show dev cable"))
    assert outcome(wire, **{"from": "one", "to": f"{address}%cable"})["outcome"] == "reached"
    with pytest.raises(Failed, match=r"link-local, so it needs the interface to leave by: write fe80::1%veth-red"):
        outcome(wire, **{"from": "one", "to": "fe80::1"})
    with pytest.raises(Failed, match="there is no interface wire in namespace one"):
        outcome(wire, **{"from": "one", "to": "fe80::1%wire"})


@pytest.mark.parametrize(
    ("expect", "to", "port", "met"),
    [
        ("reached", "10.0.0.2", 80, False),
        ("refused", "10.0.0.2", 80, True),
        ("unreachable", "10.0.0.2", 80, False),
        ("any", "10.0.0.2", 80, True),
        ("unreachable", "172.16.0.1", 80, True),
        ("unreachable", "10.0.0.9", 80, True),  # silence counts as unreachable
        ("refused", "10.0.0.9", 80, False),
    ],
)
def test_expectations(wire: Box, expect: str, to: str, port: int, met: bool) -> None:
    probe = {"from": "one", "to": to, "protocol": "tcp", "port": port, "expect": expect, "timeout": 0.3}
    assert outcome(wire, **probe)["expected"] is met
    if met:
        wire.run("reachability", probes=[probe])
    else:
        with pytest.raises(
            Failed, match=rf"1 of 1 probes did not go as expected: one to {to} .*, expected {expect}\.$"
        ):
            wire.run("reachability", probes=[probe])


def test_table_is_aligned_and_complete(wire: Box) -> None:
    probes = [
        {"from": "one", "to": "10.0.0.2"},
        {"from": "one", "to": "fd00::2", "protocol": "tcp", "port": 8080, "listener": "two"},
        {"from": "two", "to": "10.0.0.1", "protocol": "udp", "port": 53, "expect": "refused"},
        {"to": "172.16.0.1"},
    ]
    lines = wire.run("reachability", probes=probes, fail=False).raw["table"]
    assert lines[0].split() == ["from", "to", "protocol/port", "outcome", "answered", "by", "rtt"]
    starts = [lines[0].index(word) for word in ("to", "protocol/port", "outcome", "answered by", "rtt")]
    assert all(line[start - 1] == " " != line[start] for line in lines for start in starts)
    assert [line[starts[2] : starts[3]].strip() for line in lines[1:]] == [
        "reached",
        "reached",
        "refused, as expected",
        "unreachable, NOT reached",
    ]
    assert lines[2][starts[3] :].split()[0] == "two"
    assert lines[4].startswith("this host")


def test_check_mode_sends_the_same_packets(wire: Box) -> None:
    probe = {"from": "one", "to": "10.0.0.2", "protocol": "udp", "port": 9, "listener": "two"}
    result = wire.run("reachability", check=True, probes=[probe])
    assert not result.changed
    assert result.raw["results"][0]["answered_by"] == "two"


def test_many_probes_are_sent_at_once_and_leave_nothing(wire: Box) -> None:
    before = wire.snapshot("one"), wire.snapshot("two"), threading.active_count()
    silent = [{"from": "one", "to": "10.0.0.9", "timeout": 0.5, "expect": "unreachable"} for _probe in range(40)]
    loud = [
        {"from": "two", "to": "10.0.0.1", "protocol": "udp", "port": 5000 + n, "listener": "one"} for n in range(40)
    ]
    start = time.monotonic()
    result = wire.run("reachability", probes=[*silent, *loud])
    assert time.monotonic() - start < 3, "one after the other they take 20 s"
    assert result.raw["reached"] == 40
    assert before == (wire.snapshot("one"), wire.snapshot("two"), threading.active_count())


@pytest.mark.parametrize(
    ("probe", "sentence"),
    [
        (
            {"from": "gone", "to": "10.0.0.1"},
            r"probes\[0\]\.from: network namespace gone does not exist\. Present: one, two\.",
        ),
        (
            {"from": "one", "to": "10.0.0.2", "protocol": "tcp", "port": 80, "listener": "gone"},
            r"probes\[0\]\.listener: network namespace gone does not exist",
        ),
        ({"from": "a/b", "to": "10.0.0.1"}, r"probes\[0\]\.from: the namespace name 'a/b' contains '/'"),
        ({"to": "10.0.0.2/24"}, r"probes\[0\]\.to: '10\.0\.0\.2/24' has a prefix length, .* write 10\.0\.0\.2"),
        ({"to": "example.org"}, r"probes\[0\]\.to: 'example\.org' is no IP address"),
        ({"to": "224.0.0.1"}, r"probes\[0\]\.to: 224\.0\.0\.1 is a multicast address"),
        ({"to": "0.0.0.0"}, r"probes\[0\]\.to: 0\.0\.0\.0 is the unspecified address"),
        (
            {"to": "fd00::2%cable"},
            r"probes\[0\]\.to: fd00::2%cable is not link-local, so it takes no interface: write fd00::2\.",
        ),
        ({"to": "10.0.0.2", "protocol": "tcp"}, r"probes\[0\]\.port is missing: say which tcp port of 10\.0\.0\.2"),
        ({"to": "10.0.0.2", "port": 80}, r"probes\[0\]\.port: icmp has no ports"),
        ({"to": "10.0.0.2", "protocol": "udp", "port": 0}, r"probes\[0\]\.port: 0 is no port"),
        ({"to": "10.0.0.2", "protocol": "udp", "port": 70000}, r"probes\[0\]\.port: 70000 is no port"),
        ({"to": "10.0.0.2", "source": "fd00::1"}, r"probes\[0\]\.source: fd00::1 is IPv6, but to: 10\.0\.0\.2 is IPv4"),
        ({"to": "10.0.0.2", "listener": "two"}, r"probes\[0\]\.listener: icmp is answered by the kernel"),
        (
            {"to": "10.0.0.2", "protocol": "tcp", "port": 80, "listener_port": 8080},
            r"listener_port says nothing without listener",
        ),
        (
            {"to": "10.0.0.2", "protocol": "tcp", "port": 80, "listener": "two", "listener_address": "::1"},
            r"probes\[0\]\.listener_address: ::1 is IPv6, but to: 10\.0\.0\.2 is IPv4",
        ),
        (
            {"to": "10.0.0.2", "protocol": "tcp", "port": 80, "listener": "two", "listener_port": 70000},
            r"probes\[0\]\.listener_port: 70000 is no port",
        ),
        ({"to": "10.0.0.2", "timeout": 0}, r"probes\[0\]\.timeout: 0 seconds is no sensible time"),
        ({"to": "10.0.0.2", "timeout": 90}, r"probes\[0\]\.timeout: 90 seconds is no sensible time"),
    ],
)
def test_what_can_not_be_sent_is_refused_in_one_sentence(wire: Box, probe: dict, sentence: str) -> None:
    with pytest.raises(Failed, match=sentence) as failure:
        wire.run("reachability", probes=[probe])
    assert "\n" not in failure.value.msg


def test_no_probes_at_all(box: Box) -> None:
    with pytest.raises(Failed, match="probes is empty"):
        box.run("reachability", probes=[])


def test_runs_from_any_namespace_without_leaving_it(box: Box) -> None:
    box.outside()
    here = world.here()
    result = box.run("reachability", probes=[{"to": EXT4}, {"to": EXT6}, {"from": EXT, "to": "203.0.113.1"}])
    assert result.raw["reached"] == 3
    assert world.here() == here
