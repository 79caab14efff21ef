# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network namespaces: made so that everybody sees them, quiet, and removed without leaving anything alive."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import packets
import pytest
import world
from box import Box
from doors import Failed

FILE = Path("/run/netns/red")


# ---- making them


@pytest.mark.smoke
def test_made_unseen_in_check_mode_then_for_everybody_and_once(box: Box) -> None:
    box.run("netns", check=True, name="red")
    assert box.names() == []
    result = box.checked("netns", name="red")
    assert result.changed
    assert result.object["ours"] is True
    assert box.ip("netns list", json=True)[0]["name"] == "red"
    assert world.inode("red") != world.here()


@pytest.mark.smoke
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_loopback_answers_in_both_families(box: Box, address: str) -> None:
    box.run("netns", name="red")
    assert box.ping("red", address).source == address
    box.checked("netns", name="red", loopback=False)
    assert not box.ping("red", address, timeout=packets.SHORT)


def test_name_may_be_given_as_netns(box: Box) -> None:
    assert box.checked("netns", netns="red").object["name"] == "red"
    with pytest.raises(Failed):
        box.run("netns")


def test_commands_do_the_same_as_the_module(box: Box) -> None:
    options = {"name": "red", "sysctls": {"net.ipv4.ip_forward": 1}}
    commands = box.run("netns", check=True, **options).commands
    assert commands
    for command in commands:
        box.tool("sh", "-ec", command)
    assert not box.run("netns", **options).changed


def test_sysctls_are_set_kept_and_changed(box: Box) -> None:
    first = {"net.ipv4.ip_forward": True, "net.ipv4.ip_local_port_range": "20000 30000"}
    assert box.checked("netns", name="red", sysctls=first).changed
    assert box.sysctl("net.ipv4.ip_forward", netns="red") == "1"
    assert box.sysctl("net.ipv4.ip_local_port_range", netns="red").split() == ["20000", "30000"]
    assert box.sysctl("net.ipv4.ip_forward") == "0", "HOST must not change"
    assert not box.run("netns", name="red").changed
    assert box.checked("netns", name="red", sysctls={"net/ipv4/ip_forward": 0}).changed
    assert box.sysctl("net.ipv4.ip_forward", netns="red") == "0"


@pytest.mark.parametrize(
    "name", ["kernel.hostname", "net", "net.ipv4.no_such_thing", "net.ipv4...kernel.hostname", "vm.swappiness"]
)
def test_settings_that_belong_to_no_namespace_are_refused(box: Box, name: str) -> None:
    with pytest.raises(Failed, match="setting"):
        box.run("netns", name="red", sysctls={name: "1"})
    assert box.names() == []


def test_a_value_that_the_kernel_refuses_leaves_no_namespace(box: Box) -> None:
    before = box.snapshot()
    with pytest.raises(Failed, match=r"net\.ipv4\.ip_local_port_range"):
        box.run("netns", name="red", sysctls={"net.ipv4.ip_forward": 1, "net.ipv4.ip_local_port_range": "0 99999"})
    assert box.snapshot() == before


def test_nameservers_are_those_of_programs_inside(box: Box) -> None:
    box.checked("netns", name="red", nameservers=["9.9.9.9", "2620:fe::fe"])
    assert "nameserver 2620:fe::fe" in box.tool("ip", "netns", "exec", "red", "cat", "/etc/resolv.conf")
    box.checked("netns", name="red", nameservers=[])
    assert not Path("/etc/netns/red").exists()


def test_a_foreign_resolv_conf_is_left_alone(box: Box) -> None:
    file = Path("/etc/netns/red/resolv.conf")
    file.parent.mkdir()
    file.write_text("nameserver 1.1.1.1\n")
    with pytest.raises(Failed, match="was not written by this collection"):
        box.run("netns", name="red", nameservers=["9.9.9.9"])
    box.run("netns", name="red")
    box.run("netns", name="red", state="absent")
    assert file.read_text() == "nameserver 1.1.1.1\n"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a" * 256, " red", "red\n"],
    ids=["empty", "dot", "dots", "slash", "long", "space", "newline"],
)
@pytest.mark.parametrize("check", [True, False])
def test_names_that_can_not_be_are_refused_first(box: Box, name: str, check: bool) -> None:
    with pytest.raises(Failed) as failure:
        box.run("netns", check=check, name=name)
    assert failure.value.code == "INVALID_INPUT"
    assert box.names() == []


def test_longest_name(box: Box) -> None:
    assert box.checked("netns", name="a" * 255).changed


def test_a_name_that_begins_like_another_is_another(box: Box) -> None:
    box.run("netns", name="red")
    assert box.checked("netns", name="red2").changed
    assert box.checked("netns", name="re").changed
    box.checked("netns", name="red", state="absent")
    assert box.names() == ["re", "red2"]


# ---- quiet towards router advertisements


def advertise(box: Box, netns: str, device: str, prefix: str) -> None:
    """Send one router advertisement (RFC 4861) that offers a prefix and a default route."""
    option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + socket.inet_pton(socket.AF_INET6, prefix)
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + option

    def send() -> None:
        index = socket.if_nametoindex(device)
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.bind(("fe80::1", 0, 0, index))
            sock.sendto(message, ("ff02::1", 0, 0, index))

    world.inside(netns, send)


def test_router_advertisements_do_not_configure_a_namespace_unless_asked(box: Box) -> None:
    box.run("bridge", name="switch")
    box.namespace("router", "plain")
    box.run("netns", name="red")
    box.run("netns", name="asked", sysctls={"net.ipv6.conf.default.accept_ra": 1})
    for name in ("router", "plain", "red", "asked"):
        box.run("veth", name=f"to-{name}", bridge="switch", peer={"name": "eth0", "netns": name})
    box.ip("-n router addr add fe80::1/64 dev eth0 nodad")

    def configured(name: str) -> bool:
        return any(address.startswith("2001:db8:99:") for address in box.addresses("eth0", name))

    def heard() -> bool:
        advertise(box, "router", "eth0", "2001:db8:99::")
        return configured("plain") and configured("asked")

    box.until(heard, timeout=10, what="advertisements reach those who listen")
    assert not configured("red")
    assert box.routes("red", 6) == []
    assert box.routes("asked", 6) != []


# ---- seen by everybody


def test_other_mount_namespaces_see_what_is_made_and_unmade_later(box: Box) -> None:
    box.run("netns", name="first")
    ask, asked = os.pipe()
    answer, answered = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            world.copy_of_mounts()
            for _round in range(2):
                os.write(answered, b"?")
                os.read(ask, 1)
                try:
                    world.inside("red", world.here)
                    os.write(answered, b"y")
                except OSError:
                    os.write(answered, b"n")
            status = 0
        finally:
            os._exit(status)
    seen = []
    for state in ("present", "absent"):
        os.read(answer, 1)
        box.run("netns", name="red", state=state)
        os.write(asked, b"!")
        seen.append(os.read(answer, 1))
    assert os.waitpid(child, 0)[1] == 0
    for end in (ask, asked, answer, answered):
        os.close(end)
    assert seen == [b"y", b"n"]


def test_mounts_are_made_as_iproute2_makes_them(box: Box) -> None:
    def table() -> list[str]:
        lines = Path("/proc/thread-self/mountinfo").read_text().splitlines()
        return [" ".join(line.split()[6:8]) for line in lines if " /run/netns " in line]

    box.run("netns", name="red")
    ours = table()
    box.ip("netns add blue")
    assert table() == ours, "ip found nothing left to do"
    assert "shared:" in ours[-1]


# ---- leftovers


@pytest.mark.smoke
@pytest.mark.parametrize("content", ["", "text"])
def test_a_leftover_file_is_repaired(box: Box, content: str) -> None:
    box.ip("netns add other")
    FILE.write_text(content)
    assert box.checked("netns", name="red").changed
    assert box.ping("red", "127.0.0.1")


def test_a_leftover_file_is_explained_to_other_modules(box: Box) -> None:
    box.ip("netns add other")
    FILE.touch()
    with pytest.raises(Failed, match="leftover file, not a namespace"):
        box.run("bridge", name="switch", netns="red")


def test_a_leftover_file_is_removed_with_absent(box: Box) -> None:
    box.ip("netns add other")
    FILE.touch()
    assert box.checked("netns", name="red", state="absent").changed
    assert box.names() == ["other"]


def test_a_dangling_link_is_repaired(box: Box) -> None:
    box.ip("netns add other")
    FILE.symlink_to("/proc/999999999/ns/net")
    assert box.checked("netns", name="red").changed
    assert box.ping("red", "127.0.0.1")


# ---- removing them


@pytest.mark.smoke
def test_removed_once_and_gone(box: Box) -> None:
    box.run("netns", name="red", nameservers=["9.9.9.9"])
    box.run("netns", check=True, name="red", state="absent")
    assert box.names() == ["red"]
    result = box.checked("netns", name="red", state="absent")
    assert result.changed
    assert result.object == {}
    assert box.names() == []
    assert not Path("/etc/netns/red").exists()


def test_removed_with_its_cables_whose_names_are_free_at_once(box: Box) -> None:
    for _round in range(100):
        box.run("netns", name="red")
        box.run("veth", name="veth-red-br", peer={"name": "veth-red", "netns": "red"})
        box.run("netns", name="red", state="absent")
        assert not box.link("veth-red-br")


def test_cables_of_others_do_not_outlive_it_either(box: Box) -> None:
    box.run("netns", name="red")
    box.ip("link add foreign type veth peer name foreign netns red")
    box.run("netns", name="red", state="absent")
    assert not box.link("foreign")


def test_processes_inside_are_named_and_nothing_is_touched(box: Box) -> None:
    box.run("netns", name="red")
    running = box.process("red")
    before = box.snapshot()
    for check in (True, False):
        with pytest.raises(Failed, match=rf"in use by process {running.pid} \(sleep\)") as failure:
            box.run("netns", check=check, name="red", state="absent")
        assert failure.value.code == "IN_USE"
        assert failure.value.details["processes"] == [{"pid": running.pid, "command": "sleep"}]
    assert box.snapshot() == before
    assert running.poll() is None


def test_processes_inside_are_ended_with_force_and_those_elsewhere_are_not(box: Box) -> None:
    box.run("netns", name="red")
    box.run("netns", name="blue")
    inside, elsewhere, here = box.process("red"), box.process("blue"), box.process(None)
    deaf = box.process("red", "sh", "-c", "trap '' TERM; while :; do sleep 1000; done")
    inode = world.inode("red")
    assert inode in world.inhabited()
    result = box.run("netns", name="red", state="absent", force=True)
    assert result.changed
    assert any("kill" in command for command in result.commands)
    assert inside.wait(5) and deaf.wait(5)
    assert elsewhere.poll() is None and here.poll() is None
    assert inode not in world.inhabited()


def test_a_namespace_of_others_is_left_and_named_unless_forced(box: Box) -> None:
    box.namespace("red")
    before = box.snapshot()
    with pytest.raises(Failed, match="namespace red was not made by this collection") as failure:
        box.run("netns", name="red", state="absent")
    assert failure.value.code == "NOT_OURS"
    assert box.snapshot() == before
    assert box.run("netns", name="red").object["ours"] is False
    box.checked("netns", name="red", state="absent", force=True)
    assert box.names() == []


def test_a_namespace_made_anew_by_others_is_not_ours(box: Box) -> None:
    box.run("netns", name="red")
    box.ip("netns del red")
    box.namespace("red")
    with pytest.raises(Failed, match="was not made by this collection"):
        box.run("netns", name="red", state="absent")


# ---- two runs at once


def test_many_runs_at_once_end_like_one(box: Box) -> None:
    def one() -> bool:
        return box.run("netns", name="red", sysctls={"net.ipv4.ip_forward": 1}).changed

    results = box.parallel([one] * 8)
    assert sorted(results) == [False] * 7 + [True]
    assert box.ping("red", "127.0.0.1")

    def away() -> bool:
        return box.run("netns", name="red", state="absent").changed

    assert sorted(box.parallel([away] * 8)) == [False] * 7 + [True]
    assert box.names() == []


def test_together_with_ip_netns_add_nobody_loses_a_namespace(box: Box) -> None:
    box.run("netns", name="seed")

    def ours() -> None:
        for number in range(25):
            box.run("netns", name=f"ours{number}")

    def theirs() -> None:
        for number in range(25):
            box.ip(f"netns add theirs{number}")

    assert box.parallel([ours, theirs]) == [None, None]
    for number in range(25):
        assert box.ping(f"ours{number}", "127.0.0.1")
        world.inside(f"theirs{number}", world.here)
