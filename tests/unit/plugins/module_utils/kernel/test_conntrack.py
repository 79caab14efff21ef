# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entries of connection tracking: what is read from their bytes, and what is sent to delete or replace them."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import struct
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import conntrack
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.conntrack import Ends, Flow
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.netlink import Raw, Refusal
from hypothesis import given
from hypothesis import strategies as st

# What a kernel (6.18) answered about a forwarded connection and a forwarded datagram.
RECORDED_TCP4 = bytes.fromhex(
    "02000000340001801400018008000100cb00710908000200cb0071011c0002800500010006000000060002001388000006000300005000"
    "00340002801400018008000100c0a80f0108000200cb0071091c000280050001000600000006000200005000000600030013880000"
    "08000300000001ae080008000000000008000c00b9a943e608000b0000000001080007000006977f"
    "300004802c0001800500010003000000050002000a000000050003000a00000006000400230000000600050023000000"
)
RECORDED_UDP6 = bytes.fromhex(
    "0a0000004c0001802c0001801400030020010db80113000000000000000000091400040020010db80113000000000000000000011c000280"
    "0500010011000000060002001388000006000300005000004c0002802c00018014000300fd00001500000000000000000000000114000400"
    "20010db80113000000000000000000091c00028005000100110000000600020000500000060003001388000008000300000001aa08000800"
    "0000000008000c0049c6129608000b0000000001080007000000001d"
)
NUMBERS = {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132}


def number(text: str) -> int:
    return int(ipaddress.ip_address(text))


def attribute(kind: int, content: bytes, nested: int = 0) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind | nested) + content + b"\0" * (-len(content) % 4)


def nest(kind: int, *parts: bytes) -> bytes:
    return attribute(kind, b"".join(parts), 0x8000)


def a_tuple(
    kind: int, family: int, protocol: int, ends: Ends, zone: int | None = None, *, turned: bool = False
) -> bytes:
    """A tuple as the kernel writes it, or with everything in it ``turned`` round."""
    size, first = (4, 1) if family == 4 else (16, 3)
    addresses = [attribute(first, ends[0].to_bytes(size, "big")), attribute(first + 1, ends[2].to_bytes(size, "big"))]
    ports = [attribute(2, struct.pack("!H", ends[1])), attribute(3, struct.pack("!H", ends[3]))]
    numbers = [attribute(1, bytes([protocol])), *ports]
    parts = [nest(1, *addresses[:: -1 if turned else 1]), nest(2, *numbers[:: -1 if turned else 1])]
    if zone is not None:
        parts.append(attribute(3, struct.pack("!H", zone)))
    return nest(kind, *parts[:: -1 if turned else 1])


def body(family: int, *parts: bytes) -> bytes:
    return struct.pack("=BBH", 2 if family == 4 else 10, 0, 0) + b"".join(parts)


def state(kind: int, value: int) -> bytes:
    return nest(4, nest(kind, attribute(1, bytes([value])), attribute(2, b"\x0a")))


ID = attribute(12, b"\1\2\3\4")
HERE = Ends(number("203.0.113.9"), 5000, number("203.0.113.1"), 80)
BACK = Ends(number("192.168.15.1"), 80, number("203.0.113.9"), 5000)


def entry(protocol: str = "udp", *more: bytes) -> bytes:
    value = NUMBERS[protocol]
    return body(4, a_tuple(1, 4, value, HERE), a_tuple(2, 4, value, BACK), ID, *more)


def read(data: bytes, family: int = 4) -> Flow:
    flow = conntrack.decode(family, data)
    assert flow is not None
    return flow


def test_a_recorded_connection() -> None:
    flow = read(RECORDED_TCP4)
    assert (flow.family, flow.protocol, flow.established, flow.zone) == (4, "tcp", True, 0)
    assert flow.original == HERE
    assert flow.reply == BACK
    assert flow.timeout == 0x6977F
    assert flow.id == bytes.fromhex("08000c00b9a943e6")
    assert b"".join(flow.names) == RECORDED_TCP4[4:56]


def test_a_recorded_datagram_of_ipv6() -> None:
    flow = read(RECORDED_UDP6, 6)
    assert (flow.family, flow.protocol, flow.established) == (6, "udp", False)
    assert flow.original == (number("2001:db8:113::9"), 5000, number("2001:db8:113::1"), 80)
    assert flow.reply == (number("fd00:15::1"), 80, number("2001:db8:113::9"), 5000)


@st.composite
def ends(draw: t.Any, family: int) -> Ends:
    addresses, ports = st.integers(0, 2 ** (32 if family == 4 else 128) - 1), st.integers(0, 65535)
    return Ends(draw(addresses), draw(ports), draw(addresses), draw(ports))


@given(st.data(), st.sampled_from([4, 6]), st.sampled_from(sorted(NUMBERS)), st.none() | st.integers(0, 65535))
def test_the_order_of_attributes_does_not_matter(data: t.Any, family: int, protocol: str, zone: int | None) -> None:
    """What is read at fixed places is what is read by walking through the attributes."""
    one, two = data.draw(ends(family)), data.draw(ends(family))
    value = NUMBERS[protocol]
    flows = []
    for turned in (False, True):
        parts = [a_tuple(1, family, value, one, zone, turned=turned), a_tuple(2, family, value, two, turned=turned), ID]
        flows.append(read(body(family, *parts[:: -1 if turned else 1]), family))
    for flow in flows:
        assert (flow.protocol, flow.original, flow.reply, flow.zone) == (protocol, one, two, zone or 0)


@given(st.sampled_from([RECORDED_TCP4, RECORDED_UDP6]), st.data())
def test_damaged_answers_are_no_entries_and_no_crash(recorded: bytes, data: t.Any) -> None:
    cut = data.draw(st.integers(0, len(recorded)))
    damage = data.draw(st.binary(max_size=8))
    place = data.draw(st.integers(0, cut))
    for family in (4, 6):
        conntrack.decode(family, recorded[:place] + damage + recorded[place + len(damage) : cut])


@pytest.mark.parametrize(
    ("protocol", "kind", "value", "established"),
    [
        *[("tcp", 1, value, value in (3, 4, 5, 6, 7)) for value in range(10)],
        *[("sctp", 3, value, value in (4, 5, 6, 7)) for value in range(10)],
    ],
)
def test_which_states_are_established(protocol: str, kind: int, value: int, established: bool) -> None:
    assert read(entry(protocol, state(kind, value))).established is established


@pytest.mark.parametrize(("protocol", "established"), [("tcp", True), ("sctp", True), ("dccp", True), ("udp", False)])
def test_connections_without_a_state_count_as_established(protocol: str, established: bool) -> None:
    """Those that a flowtable carries come without."""
    assert read(entry(protocol)).established is established


def test_protocols_without_ports() -> None:
    icmp = nest(2, attribute(1, b"\1"), attribute(4, b"\1\2"), attribute(5, b"\x08"), attribute(6, b"\0"))
    addresses = nest(1, attribute(1, b"\x0a\0\0\1"), attribute(2, b"\x0a\0\0\2"))
    flow = read(body(4, nest(1, addresses, icmp), nest(2, addresses, icmp), ID))
    assert (flow.protocol, flow.established) == ("1", False)
    assert flow.original == (0x0A000001, 0, 0x0A000002, 0)


@pytest.mark.parametrize(
    ("parts", "zone"),
    [
        ([a_tuple(1, 4, 17, HERE), a_tuple(2, 4, 17, BACK), attribute(18, b"\0\7")], 7),
        ([a_tuple(1, 4, 17, HERE, 8), a_tuple(2, 4, 17, BACK)], 8),
        ([a_tuple(1, 4, 17, HERE), a_tuple(2, 4, 17, BACK, 9)], 9),
    ],
    ids=["of both directions", "of the original direction", "of the answers"],
)
def test_zones(parts: list[bytes], zone: int) -> None:
    assert read(body(4, *parts, ID)).zone == zone


def test_an_unwanted_entry_is_not_read_on() -> None:
    asked = []

    def wanted(*about: t.Any) -> bool:
        asked.append(about)
        return False

    assert conntrack.decode(4, entry(), wanted) is None
    assert conntrack.decode(4, body(4, a_tuple(1, 4, 17, HERE, turned=True)), wanted) is None
    assert asked == [(4, "udp", HERE)] * 2


# ---- asking and telling


@pytest.fixture(autouse=True)
def something_is_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conntrack.procsys, "read", lambda _name: "5")


class Kernel:
    """Stands in for the kernel: what is asked and sent is kept; answers and refusals were put there before."""

    def __init__(self, *answers: t.Any) -> None:
        self.answers = list(answers)
        self.said: list[Raw] = []

    def netfilter(self, _netns: str | None) -> Kernel:
        return self

    def inside(self, _netns: str | None) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def _next(self) -> t.Any:
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, int):
            raise Refusal(answer, "", int(answer in (errno.EEXIST, errno.ENOMEM)))  # those are about the second message
        return answer

    def ask(self, message: Raw, *, dump: bool = False) -> t.Any:
        self.said.append(message)
        return self._next() or []

    def send(self, messages: list[Raw]) -> None:
        self.said += messages
        self._next()


def flows(kernel: Kernel, *families: int) -> list[Flow]:
    return conntrack.flows(t.cast(t.Any, kernel), None, families)


def test_an_entry_that_is_listed_twice_is_one() -> None:
    assert len(flows(Kernel([entry(), entry()]), 4)) == 1


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_kernel_without_tracking_has_no_flows(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(conntrack.procsys, "read", lambda _name: None)
    assert flows(Kernel(number, number), 4, 6) == []


def test_a_kernel_that_tracks_and_can_not_tell_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conntrack.procsys, "read", lambda _name: "3")
    with pytest.raises(KernelError, match="nf_conntrack_netlink"):
        flows(Kernel(errno.EINVAL), 4)


def test_no_rights_is_an_error() -> None:
    with pytest.raises(KernelError, match="become: true"):
        flows(Kernel(errno.EPERM), 4)


def test_what_is_deleted_is_named_by_ends_zone_and_id() -> None:
    """Without ends the kernel would delete everything."""
    zone = attribute(18, b"\0\7")
    kernel = Kernel()
    assert conntrack.forget(t.cast(t.Any, kernel), None, [read(entry("udp", zone))]) == 1
    (message,) = kernel.said
    assert (message.kind, message.flags) == (0x102, 0x5)
    assert message.body == body(4, a_tuple(1, 4, 17, HERE), zone, ID)


def test_an_entry_that_ended_by_itself_is_no_error() -> None:
    kernel = Kernel(None, errno.ENOENT, None)
    assert conntrack.forget(t.cast(t.Any, kernel), None, [read(entry())] * 3) == 2
    assert len(kernel.said) == 3


def test_other_refusals_to_delete_are_errors() -> None:
    with pytest.raises(KernelError, match="EBUSY"):
        conntrack.forget(t.cast(t.Any, Kernel(errno.EBUSY)), None, [read(entry())])


BLUE = number("192.168.15.2")


def redirect(kernel: Kernel) -> list[int]:
    flow = read(entry("udp", attribute(7, struct.pack("!I", 30))))
    conntrack.redirect(t.cast(t.Any, kernel), None, flow, BLUE, 8080)
    return [message.kind & 0xFF for message in kernel.said]


def test_a_redirected_entry_lasts_as_long_as_the_old_one_would() -> None:
    kernel = Kernel()
    assert redirect(kernel) == [2, 0]
    assert kernel.said[1].flags == 0x605
    straight = Ends(HERE.destination, HERE.destination_port, HERE.source, HERE.source_port)
    address = struct.pack("!I", BLUE)
    where = nest(
        13, attribute(1, address), attribute(2, address), nest(3, *(attribute(n, b"\x1f\x90") for n in (1, 2)))
    )
    assert kernel.said[1].body == body(
        4, a_tuple(1, 4, 17, HERE), a_tuple(2, 4, 17, straight), attribute(7, b"\0\0\0\x1e"), where
    )


def test_the_client_that_was_quicker_keeps_its_new_entry() -> None:
    kernel = Kernel(errno.EEXIST, [entry()])
    assert redirect(kernel) == [2, 0, 1]


def test_the_target_that_was_quicker_loses_its_entry() -> None:
    other = Ends(number("192.168.15.1"), 80, HERE.source, HERE.source_port)
    answers = Ends(HERE.source, HERE.source_port, HERE.destination, 80)
    theirs = body(4, a_tuple(1, 4, 17, other), a_tuple(2, 4, 17, answers), attribute(12, b"\5\6\7\x08"))
    kernel = Kernel(errno.EEXIST, [theirs])
    assert redirect(kernel) == [2, 0, 1, 2, 0]
    assert kernel.said[3].body == body(4, a_tuple(1, 4, 17, other), attribute(12, b"\5\6\7\x08"))


def test_an_entry_that_is_gone_meanwhile_is_not_replaced_again() -> None:
    assert redirect(Kernel(errno.EEXIST, errno.ENOENT)) == [2, 0, 1]


def test_an_entry_that_can_not_be_replaced_is_forgotten() -> None:
    assert redirect(Kernel(errno.ENOMEM)) == [2, 0]


def test_other_refusals_to_redirect_are_errors() -> None:
    with pytest.raises(KernelError, match="EPERM"):
        redirect(Kernel(errno.EPERM))
