# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which listeners a forward cuts off, and how that is told."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import sockets
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.sockets import Listener, Process
from ansible_collections.patchbay.netns.plugins.module_utils._objects import listeners
from ansible_collections.patchbay.netns.plugins.module_utils._objects.listeners import Listening
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import ForwardSpec, Service, Target

ip = ipaddress.ip_address


def spec(
    low: int = 80,
    high: int = 80,
    *,
    family: int = 4,
    protocol: str = "tcp",
    address: str = "",
    in_interface: str | None = None,
    **target: t.Any,
) -> ForwardSpec:
    service = Service(family, protocol, Ports(low, high), ip(address) if address else None, in_interface)
    return ForwardSpec(service, Target(ip("192.0.2.1" if family == 4 else "2001:db8::1"), **target))


def listener(address: str = "0.0.0.0", port: int = 80, **fields: t.Any) -> Listener:
    return Listener(fields.pop("protocol", "tcp"), ip(address), port, **fields)


@pytest.mark.parametrize(
    ("forward", "found"),
    [
        (spec(), listener()),
        (spec(address="203.0.113.1"), listener()),
        (spec(in_interface="eth0"), listener()),
        (spec(local=False, loopback=False), listener()),
        (spec(70, 80), listener()),
        (spec(80, 90), listener()),
        (spec(), listener("203.0.113.1")),
        (spec(in_interface="eth0"), listener("203.0.113.1")),
        (spec(address="203.0.113.1"), listener("203.0.113.1")),
        (spec(loopback=True), listener("127.0.0.1")),
        (spec(loopback=True), listener("127.0.0.53")),
        (spec(loopback=True, address="203.0.113.1", in_interface="eth0"), listener("127.0.0.1")),
        (spec(), listener(interface="eth0")),
        (spec(in_interface="eth0"), listener(interface="eth0")),
        (spec(), listener(interface="lo")),
        (spec(local=False, loopback=True), listener(interface="lo")),
        (spec(), listener("::", both=True)),
        (spec(family=6), listener("::", both=True)),
        (spec(family=6), listener("2001:db8::9")),
    ],
)  # fmt: skip
def test_row_46_whose_packets_are_taken_is_shadowed(forward: ForwardSpec, found: Listener) -> None:
    assert listeners.shadows(forward, found)


@pytest.mark.parametrize(
    ("forward", "found"),
    [
        (spec(), listener(port=81)),
        (spec(70, 79), listener()),
        (spec(81, 90), listener()),
        (spec(protocol="udp"), listener()),
        (spec(), listener("127.0.0.1")),
        (spec(family=6, loopback=True), listener("::1")),
        (spec(address="203.0.113.1"), listener("203.0.113.2")),
        (spec(in_interface="eth0"), listener(interface="eth1")),
        (spec(local=False), listener(interface="lo")),
        (spec(), listener("::")),
        (spec(), listener("2001:db8::9")),
        (spec(family=6), listener()),
        (spec(protocol="udp"), listener("224.0.0.251", protocol="udp")),
        (spec(family=6, protocol="udp"), listener("ff02::fb", protocol="udp")),
    ],
)  # fmt: skip
def test_who_keeps_all_packets_is_not(forward: ForwardSpec, found: Listener) -> None:
    assert not listeners.shadows(forward, found)


# ---- looking


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., t.Any]:
    """Pretends that there are these listeners, and returns what is observed."""

    def observe(found: list[Listener], held: dict[int, list[Process]], *specs: ForwardSpec) -> t.Any:
        monkeypatch.setattr(
            sockets, "listeners", lambda _kernel, _netns, name: [each for each in found if each.protocol == name]
        )
        monkeypatch.setattr(sockets, "processes", lambda inodes: {inode: held.get(inode, []) for inode in inodes})
        return listeners.observe(Kernel(), None, specs or [spec()])

    return observe


def test_row_46_processes_are_told_by_name(machine: t.Any) -> None:
    held = {1: [Process(813, "nginx"), Process(812, "nginx"), Process(9, "caddy")]}
    (item,) = machine([listener(inode=1)], held)
    assert item.processes == ("caddy (pid 9)", "nginx (pid 812, 813)")


def test_sockets_that_share_a_port_are_one_finding(machine: t.Any) -> None:
    held = {1: [Process(812, "nginx")], 2: [Process(812, "nginx"), Process(813, "nginx")]}
    (item,) = machine([listener(inode=1), listener(inode=2)], held)
    assert item.processes == ("nginx (pid 812, 813)",)


def test_one_socket_may_be_in_the_way_of_both_ip_versions(machine: t.Any) -> None:
    found = machine([listener("::", both=True)], {}, spec(), spec(family=6))
    assert [item.family for item in found] == [4, 6]


def test_forwards_of_one_service_find_a_listener_once(machine: t.Any) -> None:
    assert len(machine([listener()], {}, spec(), spec(address="203.0.113.1"))) == 1


def test_findings_have_keys_of_their_own(machine: t.Any) -> None:
    found = [listener(), listener("203.0.113.1"), listener(interface="eth0"), listener("::", both=True)]
    assert len({item.key for item in machine(found, {})}) == 4


# ---- telling


def listening(address: str = "0.0.0.0", **fields: t.Any) -> str:
    values: dict[str, t.Any] = {
        "netns": None, "family": 4, "protocol": "tcp", "port": 80, "interface": None,
        "processes": ("nginx (pid 812, 813)",), **fields,
    }  # fmt: skip
    return listeners.describe(Listening(address=ip(address), **values))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (listening(), "nginx (pid 812, 813) listens on tcp 0.0.0.0:80"),
        (listening("2001:db8::1", family=6), "nginx (pid 812, 813) listens on tcp [2001:db8::1]:80"),
        (listening("::"), "nginx (pid 812, 813) listens on tcp [::]:80 (IPv4 too)"),
        (listening("::", interface="eth0"), "nginx (pid 812, 813) listens on tcp [::]:80 (IPv4 too; only on eth0)"),
        (listening(netns="red"), "nginx (pid 812, 813) listens on tcp 0.0.0.0:80 in namespace red"),
        (listening(processes=("a (pid 1)", "b (pid 2)")), "a (pid 1) and b (pid 2) listen on tcp 0.0.0.0:80"),
        (
            listening(processes=("systemd (pid 1)",)),
            "systemd (pid 1) listens on tcp 0.0.0.0:80 (a socket unit: see systemctl list-sockets)",
        ),
        (
            listening(processes=()),
            "somebody who can't be seen from here (a process in another container, or the kernel itself) "
            "listens on tcp 0.0.0.0:80",
        ),
    ],
)  # fmt: skip
def test_a_listener_is_told_in_one_sentence(text: str, expected: str) -> None:
    assert text == expected
