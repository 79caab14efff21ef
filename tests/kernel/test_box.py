# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test library itself: a probe that must fail fails, and an answer proves who gave it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import world
from box import EXT, EXT4, EXT6, FAR4, FAR6, HOST4, HOST6, Box
from packets import SHORT

pytestmark = pytest.mark.smoke


def test_host_is_not_the_machine(box: Box) -> None:
    assert [link["ifname"] for link in box.ip("link show", json=True) if link["ifname"] != "sit0"] == ["lo"]
    assert box.names() == []
    assert world.here() != world.machine
    assert not any(Path("/proc/sys/net/ipv4/conf").glob("eth*"))


@pytest.mark.parametrize("round_", [1, 2])
def test_every_box_is_fresh(box: Box, round_: int) -> None:
    before = box.snapshot()
    assert before["netns"] == []
    box.namespace("left")
    box.ip("link add left type bridge")
    box.sysctl("net.ipv4.ip_forward", "1")
    assert box.snapshot() != before


@pytest.mark.parametrize("target", ["10.0.0.2", "fd00::2"])
def test_ping_is_answered_only_over_a_cable_that_is_up(box: Box, target: str) -> None:
    box.wire("one", "two")
    assert box.ping("one", target).source == target
    box.ip("-n two link set cable down")
    assert not box.ping("one", target, timeout=SHORT)


@pytest.mark.parametrize("target", ["10.0.0.7", "fd00::7"])
def test_ping_of_nobody_fails(box: Box, target: str) -> None:
    box.wire("one", "two")
    assert box.ping("one", target, timeout=SHORT).outcome == "timeout"


def test_ping_without_route_is_unreachable(box: Box) -> None:
    box.wire("one", "two")
    assert box.ping("one", "172.16.0.1").outcome == "unreachable"
    assert box.ping("one", "fd99::1").outcome == "unreachable"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(("client", "target"), [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
def test_token_proves_who_answered(box: Box, protocol: str, client: str, target: str) -> None:
    box.wire("one", "two")
    there, here = box.serve("two", 8080, protocol), box.serve("one", 8080, protocol)
    answer = getattr(box, protocol)("one", target, 8080)
    assert answer.token == there.token != here.token
    assert answer.seen[0] == client
    assert there.peers == [answer.seen]
    assert here.peers == []


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("target", ["10.0.0.2", "fd00::2"])
def test_closed_port_refuses_and_silent_host_times_out(box: Box, protocol: str, target: str) -> None:
    box.wire("one", "two")
    server = box.serve("two", 8080, protocol)
    probe = getattr(box, protocol)
    assert probe("one", target, 8081).outcome == "refused"
    server.close()
    assert probe("one", target, 8080).outcome == "refused"
    box.nft("table inet deaf {\n chain ears { type filter hook input priority 0; policy drop; }\n}", netns="two")
    assert probe("one", target, 8080, timeout=SHORT).outcome == "timeout"


def test_server_on_one_address_leaves_the_others(box: Box) -> None:
    box.wire("one", "two")
    box.serve("two", 8080, address="10.0.0.2")
    assert box.tcp("one", "10.0.0.2", 8080)
    assert box.tcp("one", "fd00::2", 8080).outcome == "refused"


def test_outside_reaches_host_and_far_addresses_but_knows_no_lab(box: Box) -> None:
    box.outside()
    for target in (EXT4, EXT6, FAR4, FAR6):
        assert box.ping(None, target).source == target
    for target in (HOST4, HOST6):
        assert box.ping(EXT, target)
    assert box.ping(EXT, "192.168.15.1").outcome == "unreachable"
    assert box.tcp(EXT, HOST4, 80).outcome == "refused"


def test_probes_leave_the_test_where_it_was(box: Box) -> None:
    box.wire("one", "two")
    before = world.here()
    box.ping("one", "10.0.0.2")
    box.serve("two", 8080)
    box.tcp("one", "10.0.0.2", 8080)
    box.sysctl("net.ipv4.ip_forward", netns="one")
    assert world.here() == before != world.inode("one")


def test_processes_live_in_their_namespace(box: Box) -> None:
    box.wire("one", "two")
    running = box.process("one")
    assert Path(f"/proc/{running.pid}/ns/net").stat().st_ino == world.inode("one")
    running.send_signal(signal.SIGTERM)
    assert running.wait(5) == -signal.SIGTERM


def test_parallel_jobs_run_at_once_and_report_errors(box: Box) -> None:
    first, second = os.pipe(), os.pipe()

    def meet(mine: int, other: int) -> int:
        os.write(mine, b"x")
        os.read(other, 1)  # returns only when the other job runs too
        return os.getpid()

    def fail() -> None:
        raise ValueError("as told")

    results = box.parallel([lambda: meet(first[1], second[0]), lambda: meet(second[1], first[0]), fail])
    assert results[0] != results[1]
    assert isinstance(results[2], ValueError)
    for end in (*first, *second):
        os.close(end)


def test_until_gives_up_at_the_deadline(box: Box) -> None:
    with pytest.raises(AssertionError, match="never"):
        box.until(lambda: False, timeout=0.02, what="never")
    assert box.until(lambda: 7) == 7
