# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel answers about sockets, byte by byte, and the processes that hold them."""

from __future__ import annotations

import ipaddress
import socket
import struct
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import sockets
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.sockets import Listener, Process
from hypothesis import given
from hypothesis import strategies as st

CLOSE, LISTEN = 7, 10
V6ONLY, LOCALS = 11, 12


def attribute(kind: int, data: bytes) -> bytes:
    padding = -len(data) % 4
    return struct.pack("=HH", len(data) + 4, kind) + data + bytes(padding)


def answer(address: str, port: int = 80, *, state: int = LISTEN, device: int = 0, attributes: bytes = b"") -> bytes:
    """An inet_diag_msg, put together field by field from linux/inet_diag.h."""
    packed = ipaddress.ip_address(address)
    family = socket.AF_INET if packed.version == 4 else socket.AF_INET6
    return b"".join(
        [
            struct.pack("=BBBB", family, state, 0, 0),
            struct.pack(">HH", port, 0),
            packed.packed.ljust(16, b"\0"),
            bytes(16),
            struct.pack("=III", device, 1, 2),
            struct.pack("=IIIII", 3, 4, 5, 1000, 4711),
            attributes,
        ]
    )


def decoded(data: bytes, protocol: str = "tcp") -> list[Listener]:
    return sockets.decode(data, protocol)


def test_every_field_is_read_from_its_place() -> None:
    (found,) = decoded(answer("203.0.113.1", 8080))
    assert found == Listener("tcp", ipaddress.ip_address("203.0.113.1"), 8080, None, 4711, 1000, False)


def test_an_ipv6_address_has_all_sixteen_bytes() -> None:
    (found,) = decoded(answer("2001:db8::1", attributes=attribute(V6ONLY, b"\0")))
    assert (found.address, found.both) == (ipaddress.ip_address("2001:db8::1"), False)


@pytest.mark.parametrize(("attributes", "both"), [(attribute(V6ONLY, b"\0"), True), (attribute(V6ONLY, b"\1"), False)])
def test_an_ipv6_socket_for_everybody_says_whether_ipv4_is_included(attributes: bytes, both: bool) -> None:
    (found,) = decoded(answer("::", attributes=attributes))
    assert (found.both, found.hears(4), found.hears(6)) == (both, both, True)


def test_an_older_kernel_that_does_not_say_is_taken_to_include_it() -> None:
    (found,) = decoded(answer("::"))
    assert found.both


def test_other_attributes_before_it_are_passed_over() -> None:
    (found,) = decoded(answer("::", attributes=attribute(8, b"\7") + attribute(V6ONLY, b"\1")))
    assert not found.both


def test_an_ipv4_socket_hears_ipv4_alone() -> None:
    (found,) = decoded(answer("0.0.0.0"))
    assert (found.hears(4), found.hears(6)) == (True, False)


def test_a_mapped_address_is_one_of_ipv4() -> None:
    (found,) = decoded(answer("::ffff:192.0.2.1"))
    assert found.address == ipaddress.ip_address("192.0.2.1")


def test_an_interface_that_is_gone_is_told_by_its_number() -> None:
    (found,) = decoded(answer("0.0.0.0", device=2_000_000_000))
    assert found.interface == "interface 2000000000"


def test_an_interface_has_a_name() -> None:
    (found,) = decoded(answer("0.0.0.0", device=1))
    assert found.interface == "lo"


@pytest.mark.parametrize(("protocol", "state", "count"), [("tcp", 1, 0), ("tcp", 7, 0), ("udp", 1, 0), ("udp", 7, 1)])
def test_a_socket_in_another_state_is_none(protocol: str, state: int, count: int) -> None:
    assert len(decoded(answer("0.0.0.0", state=state), protocol)) == count


def test_a_socket_of_another_family_is_none() -> None:
    assert decoded(b"\1" + answer("0.0.0.0")[1:]) == []


def storage(address: str) -> bytes:
    packed = ipaddress.ip_address(address)
    head = struct.pack("=H2x", socket.AF_INET) if packed.version == 4 else struct.pack("=H2x4x", socket.AF_INET6)
    return (head + packed.packed).ljust(128, b"\0")


def test_a_socket_of_sctp_has_all_its_addresses() -> None:
    both = attribute(LOCALS, storage("203.0.113.1") + storage("2001:db8::1"))
    found = decoded(answer("203.0.113.1", attributes=both), "sctp")
    assert [str(each.address) for each in found] == ["203.0.113.1", "2001:db8::1"]


@given(st.binary(max_size=300), st.sampled_from(["tcp", "udp", "sctp"]))
def test_whatever_comes_is_decoded_or_passed_over(data: bytes, protocol: str) -> None:
    decoded(data, protocol)


@given(st.binary(max_size=400), st.sampled_from(["0.0.0.0", "::", "2001:db8::1"]))
def test_whatever_follows_a_socket_it_is_found(attributes: bytes, address: str) -> None:
    assert decoded(answer(address, attributes=attributes))


@given(st.integers(0, 71))
def test_what_is_cut_short_is_no_socket(length: int) -> None:
    assert decoded(answer("0.0.0.0")[:length]) == []


# ---- the list of SCTP

_HEAD = " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n"


@pytest.fixture
def endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str], list[Listener]]:
    def read(lines: str) -> list[Listener]:
        (tmp_path / "eps").write_text(_HEAD + lines)
        monkeypatch.setattr(sockets, "_SCTP_ENDPOINTS", str(tmp_path / "eps"))
        return sockets._sctp_endpoints()

    return read


def test_an_endpoint_that_listens_is_found(endpoints: t.Any) -> None:
    (found,) = endpoints("       0        0 2   10  29   5000  1000 4711 0.0.0.0 \n")
    assert found == Listener("sctp", ipaddress.ip_address("0.0.0.0"), 5000, None, 4711, 1000, False)


def test_an_endpoint_with_several_addresses_is_found_at_each(endpoints: t.Any) -> None:
    found = endpoints("0 0 2 10 29 5000 0 4711 192.0.2.1 2001:0db8:0000:0000:0000:0000:0000:0001 \n")
    assert [str(each.address) for each in found] == ["192.0.2.1", "2001:db8::1"]


def test_an_endpoint_that_does_not_listen_is_none(endpoints: t.Any) -> None:
    assert endpoints("0 0 2 7 29 5000 0 4711 0.0.0.0 \n") == []


@pytest.mark.parametrize("line", ["", "x", "0 0 2 10 29", "0 0 2 ten 29 5000 0 4711 0.0.0.0", "0 0 2 10 29 1 0 4 here"])
def test_a_line_that_means_nothing_is_passed_over(endpoints: t.Any, line: str) -> None:
    assert endpoints(f"{line}\n") == []


def test_without_the_list_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_SCTP_ENDPOINTS", "/nowhere/eps")
    assert sockets._sctp_endpoints() == []


# ---- processes


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., None]:
    monkeypatch.setattr(sockets, "_PROC", str(tmp_path))

    def add(pid: int, name: str | bytes, *links: str) -> None:
        folder = tmp_path / str(pid) / "fd"
        folder.mkdir(parents=True)
        (tmp_path / str(pid) / "comm").write_bytes(name.encode() if isinstance(name, str) else name)
        for number, link in enumerate(links):
            (folder / str(number)).symlink_to(link)

    return add


def test_a_socket_is_found_with_all_its_processes(proc: t.Any) -> None:
    proc(812, "nginx\n", "/dev/null", "socket:[4711]")
    proc(99, "nginx\n", "socket:[4711]", "socket:[4711]")
    proc(7, "sshd\n", "socket:[47110]")
    assert sockets.processes({4711}) == {4711: [Process(99, "nginx"), Process(812, "nginx")]}


def test_one_process_may_hold_several_sockets(proc: t.Any) -> None:
    proc(812, "nginx\n", "socket:[1]", "socket:[2]")
    assert sockets.processes({1, 2}) == {1: [Process(812, "nginx")], 2: [Process(812, "nginx")]}


def test_a_process_that_can_not_be_looked_into_is_left_out(proc: t.Any, tmp_path: Path) -> None:
    (tmp_path / "812").mkdir()
    (tmp_path / "self").mkdir()
    assert sockets.processes({4711}) == {}


def test_a_socket_that_nobody_holds_has_no_process(proc: t.Any) -> None:
    proc(812, "nginx\n", "socket:[0]")
    assert sockets.processes({0}) == {}


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"a\nb\x1b[31m\n", "a?b?[31m"), (b"\xff\n", "\N{REPLACEMENT CHARACTER}"), (b"two words\n", "two words")],
)
def test_a_name_can_not_disturb_a_message(proc: t.Any, raw: bytes, shown: str) -> None:
    proc(812, raw, "socket:[1]")
    assert sockets.processes({1})[1][0].name == shown
