# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who serves a port that a forward would take: real sockets, found in this kernel."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import world
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import sockets
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._objects import listeners
from ansible_collections.patchbay.netns.plugins.module_utils._objects.listeners import Listening
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import ForwardSpec, Service, Target
from box import Box

ANY = {4: "0.0.0.0", 6: "::"}
INSIDE = {4: ipaddress.ip_address("192.168.15.2"), 6: ipaddress.ip_address("fd00:15::2")}
ME = f"{Path('/proc/self/comm').read_text(encoding='utf-8').strip()} (pid {os.getpid()})"


def spec(
    port: int = 80,
    *,
    family: int = 4,
    protocol: str = "tcp",
    high: int = 0,
    address: str = "",
    in_interface: str | None = None,
    **target: Any,
) -> ForwardSpec:
    local = ipaddress.ip_address(address) if address else None
    service = Service(family, protocol, Ports(port, high or port), local, in_interface)
    return ForwardSpec(service, Target(INSIDE[family], **target))


def found(*specs: ForwardSpec, netns: str | None = None) -> list[Listening]:
    with Kernel() as kernel:
        return listeners.observe(kernel, netns, specs or [spec()])


def told(*specs: ForwardSpec, netns: str | None = None) -> list[str]:
    return [listeners.describe(item) for item in found(*specs, netns=netns)]


@pytest.fixture
def opened(box: Box) -> Iterator[Any]:
    """Opens sockets in HOST that are closed with the test."""
    with contextlib.ExitStack() as closing:

        def open_one(
            address: str = "0.0.0.0", port: int = 80, *, kind: str = "tcp", only6: bool = True, device: str = ""
        ) -> socket.socket:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
            closing.callback(sock.close)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only6)
            if device:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((address, port))
            if kind == "tcp":
                sock.listen()
            return sock

        yield open_one


# ---- found or not


def test_where_nobody_listens_nobody_is_found(box: Box) -> None:
    assert found() == []


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("family", [4, 6])
def test_row_46_who_serves_the_port_is_found_with_its_process(opened: Any, family: int, kind: str) -> None:
    opened(ANY[family], kind=kind)
    address = ipaddress.ip_address(ANY[family])
    assert found(spec(family=family, protocol=kind)) == [Listening(None, family, kind, 80, address, None, (ME,))]


def test_row_46_the_message_names_process_and_pid(opened: Any) -> None:
    opened()
    assert told() == [f"{ME} listens on tcp 0.0.0.0:80"]


def test_row_46_a_server_in_a_namespace_is_found_there(box: Box) -> None:
    box.namespace("red")
    box.serve("red", 80)
    assert told(netns="red") == [f"{ME} listens on tcp [::]:80 (IPv4 too) in namespace red"]


def test_a_server_in_another_namespace_is_not_found(box: Box) -> None:
    box.namespace("red", "blue")
    box.serve("red", 80)
    assert (found(), found(netns="blue")) == ([], [])


def test_a_server_in_this_namespace_is_not_found_in_another(box: Box, opened: Any) -> None:
    box.namespace("red")
    opened()
    assert found(netns="red") == []


def test_another_port_is_not_meant(opened: Any) -> None:
    opened(port=81)
    assert found() == []


@pytest.mark.parametrize("port", [80, 85, 90])
def test_every_port_of_a_range_is_meant(opened: Any, port: int) -> None:
    opened(port=port)
    assert [item.port for item in found(spec(80, high=90))] == [port]


def test_another_protocol_is_not_meant(opened: Any) -> None:
    opened(kind="udp")
    assert found() == []


def test_two_forwards_find_what_each_of_them_takes(opened: Any) -> None:
    opened(port=80)
    opened(port=53, kind="udp")
    assert [(item.protocol, item.port) for item in found(spec(80), spec(53, protocol="udp"))] == [
        ("tcp", 80),
        ("udp", 53),
    ]


def test_a_bound_socket_that_does_not_listen_serves_nobody(box: Box) -> None:
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 80))
        assert found() == []


def test_an_accepted_connection_is_no_listener(opened: Any) -> None:
    listening = opened()
    with socket.create_connection(("127.0.0.1", 80)):
        connection, _peer = listening.accept()
        listening.close()
        with connection:
            assert found() == []


def test_a_connected_udp_socket_is_no_listener(opened: Any) -> None:
    sock = opened(port=5353, kind="udp")
    sock.connect(("127.0.0.1", 9))
    assert found(spec(5353, protocol="udp")) == []


# ---- both IP versions


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_an_ipv6_socket_for_everybody_takes_ipv4_away_too(opened: Any, kind: str) -> None:
    opened("::", kind=kind, only6=False)
    assert told(spec(protocol=kind)) == [f"{ME} listens on {kind} [::]:80 (IPv4 too)"]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_an_ipv6_socket_for_ipv6_alone_leaves_ipv4_alone(opened: Any, kind: str) -> None:
    opened("::", kind=kind, only6=True)
    assert found(spec(protocol=kind)) == []


def test_an_ipv6_socket_with_a_mapped_address_is_one_of_ipv4(box: Box, opened: Any) -> None:
    box.outside()
    opened("::ffff:203.0.113.1", only6=False)
    assert told() == [f"{ME} listens on tcp 203.0.113.1:80"]
    assert found(spec(family=6)) == []


def test_an_ipv4_socket_leaves_ipv6_alone(opened: Any) -> None:
    opened()
    assert found(spec(family=6)) == []


# ---- addresses and interfaces


def test_a_server_on_loopback_matters_only_where_loopback_is_forwarded(opened: Any) -> None:
    opened("127.0.0.1")
    assert (len(found(spec())), len(found(spec(loopback=True)))) == (0, 1)


def test_a_server_on_ipv6_loopback_never_matters(opened: Any) -> None:
    opened("::1")
    assert found(spec(family=6, loopback=True)) == []


def test_a_server_on_the_forwards_own_address_is_found(box: Box, opened: Any) -> None:
    box.outside()
    opened("203.0.113.1")
    assert told(spec(address="203.0.113.1")) == [f"{ME} listens on tcp 203.0.113.1:80"]


def test_a_server_on_another_address_keeps_its_clients(box: Box, opened: Any) -> None:
    box.outside()
    box.ip("addr add 203.0.113.2/24 dev uplink")
    opened("203.0.113.2")
    assert (len(found(spec(address="203.0.113.1"))), len(found(spec()))) == (0, 1)


@pytest.mark.parametrize(("in_interface", "matters"), [(None, 1), ("uplink", 1), ("v-net-0", 0)])
def test_a_server_bound_to_an_interface_matters_where_the_forward_takes_packets(
    box: Box, opened: Any, in_interface: str | None, matters: int
) -> None:
    box.outside()
    opened(device="uplink")
    assert len(found(spec(in_interface=in_interface))) == matters


def test_the_interface_that_a_server_is_bound_to_is_named(box: Box, opened: Any) -> None:
    box.outside()
    opened(device="uplink")
    assert told() == [f"{ME} listens on tcp 0.0.0.0:80 (only on uplink)"]


def test_the_interface_is_looked_up_in_the_servers_namespace(box: Box) -> None:
    box.wire("red", "blue")
    box.ip("link add other type bridge")  # takes the first free number here
    server = box.serve("red", 80)
    server._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"cable\0")
    assert [item.interface for item in found(netns="red")] == ["cable"]


@pytest.mark.parametrize(("local", "matters"), [(True, 1), (False, 0)])
def test_a_server_bound_to_lo_matters_where_the_machines_own_connections_are_taken(
    opened: Any, local: bool, matters: int
) -> None:
    opened(device="lo")
    assert len(found(spec(local=local))) == matters


def test_a_group_of_multicast_is_no_address_of_this_machine(opened: Any) -> None:
    opened("224.0.0.251", 5353, kind="udp")
    assert found(spec(5353, protocol="udp")) == []


# ---- processes

_SERVER = r"""
import os, socket, sys, time
sock = socket.create_server(("0.0.0.0", 80), reuse_port=True)
for _ in range(int(sys.argv[1])):
    if not os.fork():
        break
os.write(1, b"ready\n")
time.sleep(1000)
"""


@pytest.fixture
def server(box: Box) -> Iterator[Any]:
    """Starts a program that listens on port 80 with so many children, and returns all their process ids."""
    running: list[subprocess.Popen] = []

    def start(children: int, netns: str | None = None) -> list[int]:
        command = [sys.executable, "-c", _SERVER, str(children)]
        process = world.inside(
            netns, subprocess.Popen, command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        running.append(process)
        for _each in range(children + 1):
            assert process.stdout.readline() == "ready\n"
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        return sorted([process.pid, *map(int, listed)])

    yield start
    for process in running:
        os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()


def test_row_46_all_processes_that_share_a_socket_are_named(server: Any) -> None:
    pids = server(2)
    name = Path(f"/proc/{pids[0]}/comm").read_text(encoding="utf-8").strip()
    assert told() == [f"{name} (pid {', '.join(map(str, pids))}) listens on tcp 0.0.0.0:80"]


def test_of_many_processes_the_first_are_named(server: Any) -> None:
    pids = server(6)
    assert f"(pid {', '.join(map(str, pids[:5]))} and 2 more) listens" in told()[0]


def test_two_servers_of_one_port_are_one_finding(server: Any) -> None:
    (first,), (second,) = server(0), server(0)
    (item,) = found()
    assert sorted([first, second]) == sorted(pid for pid in (first, second) if str(pid) in item.processes[0])


def test_a_process_of_a_namespace_is_named(box: Box, server: Any) -> None:
    box.namespace("red")
    (pid,) = server(0, "red")
    assert f"(pid {pid}) listens" in told(netns="red")[0]


def test_a_socket_of_the_kernel_is_told_as_what_it_is(box: Box) -> None:
    box.ip("link add vx0 type vxlan id 5 dstport 4789")
    box.ip("link set vx0 up")
    assert told(spec(4789, protocol="udp"))[0].startswith("somebody who can't be seen from here")


def test_a_process_in_another_container_is_told_as_what_it_is(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened()
    monkeypatch.setattr(sockets, "_PROC", "/proc/self/map_files")  # a folder without any process
    assert told() == [
        "somebody who can't be seen from here (a process in another container, or the kernel itself) "
        "listens on tcp 0.0.0.0:80"
    ]


# ---- what it leaves behind


def test_looking_leaves_no_descriptor_open(opened: Any) -> None:
    opened()
    before = len(list(Path("/proc/self/fd").iterdir()))
    found()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_kernel_without_sctp_has_no_such_listeners(box: Box) -> None:
    assert found(spec(protocol="sctp")) == []


def test_many_sockets_are_all_read(opened: Any) -> None:
    for port in range(20000, 20600):
        opened(port=port, kind="udp")
    assert len(found(spec(20000, high=20999, protocol="udp"))) == 600
