# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The netlink socket, against answers made by hand: acknowledgements, refusals, and lists that changed while they were read."""

from __future__ import annotations

import errno
import struct
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import netlink
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.netlink import NetlinkSocket, Refusal
from hypothesis import given
from hypothesis import strategies as st

ANSWER, NOOP = 16, 1
ERROR, DONE = 2, 3
MULTI, INTERRUPTED, TEXTS = 0x2, 0x10, 0x200


def packet(kind: int, sequence: int, body: bytes = b"", flags: int = 0) -> bytes:
    """One message, padded as the kernel pads it."""
    length = 16 + len(body)
    return struct.pack("=IHHII", length, kind, flags, sequence, 0) + body + b"\0" * (-length % 4)


def attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def error(sequence: int, number: int = 0, text: str | None = None, before: bytes = b"") -> bytes:
    """An acknowledgement, or with ``number`` a refusal, perhaps with the kernel's own words."""
    body = struct.pack("=i", -number) + b"\0" * 16
    if text is None:
        return packet(ERROR, sequence, body)
    return packet(ERROR, sequence, body + before + attribute(1, text.encode() + b"\0"), flags=TEXTS)


def done(sequence: int, *, flags: int = MULTI) -> bytes:
    return packet(DONE, sequence, struct.pack("=i", 0), flags=flags)


class Message(netlink.Raw):
    """A request whose answers are texts."""

    def __init__(self) -> None:
        super().__init__(ANSWER, 0, b"")

    def answer(self, content: bytes) -> t.Any:
        return content.decode()


class Wire:
    """Stands in for the socket: what is sent is kept, what is received was put there before."""

    def __init__(self, *datagrams: bytes) -> None:
        self.datagrams = list(datagrams)
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, _size: int, flags: int = 0) -> bytes:
        if not self.datagrams:
            raise BlockingIOError if flags else AssertionError("it waits for an answer that never comes")
        return self.datagrams.pop(0)


def on(*datagrams: bytes) -> NetlinkSocket:
    """A socket that will receive these; its first message has the sequence number 1."""
    sock = NetlinkSocket.__new__(NetlinkSocket)
    sock._socket = Wire(*datagrams)  # type: ignore[assignment]
    sock._sequence = 1
    sock.queue = None
    return sock


def listed(*texts: str, sequence: int = 1, interrupted: bool = False) -> bytes:
    flags = MULTI | (INTERRUPTED if interrupted else 0)
    return b"".join(packet(ANSWER, sequence, text.encode(), flags) for text in texts) + done(sequence, flags=flags)


# ---- sending


def test_messages_go_out_together() -> None:
    sock = on(error(1) + error(2))
    sock.send([Message(), Message()])
    assert len(sock._socket.sent) == 1  # type: ignore[attr-defined]


def test_every_message_is_waited_for() -> None:
    with pytest.raises(AssertionError, match="never comes"):
        on(error(1)).send([Message(), Message()])


def test_acknowledgements_may_come_in_several_datagrams() -> None:
    on(error(1), error(2)).send([Message(), Message()])


def test_answers_to_an_older_request_are_passed_over() -> None:
    on(error(99, errno.EPERM) + packet(NOOP, 1), error(1)).send([Message()])


def test_a_refusal_says_which_message_it_is_about() -> None:
    with pytest.raises(Refusal) as caught:
        on(error(1) + error(2, errno.EEXIST) + error(3)).send([Message(), Message(), Message()])
    assert (caught.value.index, caught.value.number) == (1, errno.EEXIST)


def test_of_two_refusals_the_first_is_told() -> None:
    with pytest.raises(Refusal) as caught:
        on(error(1, errno.EEXIST) + error(2, errno.EPERM)).send([Message(), Message()])
    assert caught.value.number == errno.EEXIST


def test_a_refusal_leaves_no_answer_behind_for_the_next_request() -> None:
    sock = on(error(1, errno.EEXIST), error(2), error(3))
    with pytest.raises(Refusal):
        sock.send([Message(), Message()])
    sock.send([Message()])


# ---- the kernel's own words


def refusal(datagram: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        on(datagram).send([Message()])
    return caught.value


def test_the_kernels_words_are_read() -> None:
    assert refusal(error(1, errno.EINVAL, "Invalid MAC")).text == "Invalid MAC"


def test_the_kernels_words_are_found_behind_other_attributes() -> None:
    other = attribute(2, struct.pack("=I", 7)) + attribute(3, b"abc")
    assert refusal(error(1, errno.EINVAL, "Invalid MAC", before=other)).text == "Invalid MAC"


def test_a_kernel_without_words_has_none() -> None:
    assert refusal(error(1, errno.EINVAL)).text == ""


def test_attributes_that_are_no_text_are_no_words() -> None:
    body = struct.pack("=i", -errno.EINVAL) + b"\0" * 16 + attribute(2, b"\1\0\0\0")
    assert refusal(packet(ERROR, 1, body, flags=TEXTS)).text == ""


@given(st.binary(max_size=64))
def test_any_bytes_for_words_end_in_a_refusal(tail: bytes) -> None:
    body = struct.pack("=i", -errno.EINVAL) + b"\0" * 16 + tail
    assert refusal(packet(ERROR, 1, body, flags=TEXTS)).number == errno.EINVAL


def test_a_refusal_is_explained_in_the_kernels_words() -> None:
    explained = Refusal(errno.EINVAL, "Invalid MAC", 0).explain("create veth red")
    assert str(explained) == "the kernel refused to create veth red: Invalid MAC (EINVAL)."


def test_a_refusal_without_words_is_explained_in_those_of_its_number() -> None:
    assert "File exists (EEXIST)" in str(Refusal(errno.EEXIST, "", 0).explain("create veth red"))


def test_who_lacks_the_right_is_told_to_become_root() -> None:
    assert str(Refusal(errno.EPERM, "", 0).explain("create veth red")).endswith("This needs root: set become: true.")


def test_an_explained_refusal_keeps_its_number() -> None:
    explained = Refusal(errno.EEXIST, "", 0).explain("create veth red")
    assert (type(explained), explained.errno, explained.details["errno"]) == (KernelError, errno.EEXIST, errno.EEXIST)


def test_a_number_without_a_name_is_shown_as_it_is() -> None:
    assert "(9999)" in str(Refusal(9999, "", 0).explain("create veth red"))


# ---- asking


def test_the_answer_to_one_request_is_decoded() -> None:
    assert on(packet(ANSWER, 1, b"veth") + error(1)).ask(Message()) == ["veth"]


def test_one_request_asks_for_an_acknowledgement_and_a_list_for_everything() -> None:
    one, many = Message(), Message()
    on(error(1)).ask(one)
    on(done(1)).ask(many, dump=True)
    assert (one.flags, many.flags) == (0x1 | 0x4, 0x1 | 0x300)


def test_a_list_may_come_in_several_datagrams() -> None:
    sock = on(packet(ANSWER, 1, b"red!", MULTI), packet(ANSWER, 1, b"blue", MULTI), done(1))
    assert sock.ask(Message(), dump=True) == ["red!", "blue"]


def test_a_list_may_end_without_a_number() -> None:
    assert on(packet(DONE, 1, b"", MULTI)).ask(Message(), dump=True) == []


def test_a_list_that_ends_in_an_error_is_refused() -> None:
    with pytest.raises(Refusal):
        on(packet(DONE, 1, struct.pack("=i", -errno.EPERM), MULTI)).ask(Message(), dump=True)


def test_what_is_asked_for_and_not_there_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        on(error(1, errno.ENODEV)).ask(Message())
    assert caught.value.number == errno.ENODEV


# ---- lists that change while they are read


def test_row_44_a_list_that_changed_is_read_again() -> None:
    sock = on(listed("half", interrupted=True), listed("whole", sequence=2))
    assert sock.ask(Message(), dump=True) == ["whole"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_row_44_one_flag_anywhere_in_the_list_is_enough(place: int) -> None:
    flags = [MULTI | (INTERRUPTED if number == place else 0) for number in range(3)]
    half = packet(ANSWER, 1, b"red!", flags[0]) + packet(ANSWER, 1, b"blue", flags[1]) + done(1, flags=flags[2])
    assert on(half, listed("whole", sequence=2)).ask(Message(), dump=True) == ["whole"]


def test_row_44_a_list_that_never_holds_still_is_an_error_not_half_an_answer() -> None:
    tries = [listed("half", sequence=number, interrupted=True) for number in range(1, netlink._DUMP_TRIES + 1)]
    with pytest.raises(Refusal, match="the list changed each time it was read"):
        on(*tries).ask(Message(), dump=True)


def test_row_44_the_rest_of_an_older_list_is_passed_over() -> None:
    sock = on(listed("half", interrupted=True), packet(ANSWER, 1, b"late", MULTI), listed("whole", sequence=2))
    assert sock.ask(Message(), dump=True) == ["whole"]


# ---- batches


def test_a_batch_waits_for_what_asks_for_an_answer() -> None:
    on(error(2) + error(3)).send_batch([Message() for _each in range(4)], acknowledged=2)


def test_a_refused_batch_says_which_message_it_is_about() -> None:
    with pytest.raises(Refusal) as caught:
        on(error(3, errno.ENOENT)).send_batch([Message() for _each in range(4)], acknowledged=2)
    assert caught.value.index == 2


def test_answers_left_over_from_a_refused_batch_are_thrown_away() -> None:
    sock = on(error(2, errno.ENOENT), error(3, errno.ENOENT))
    with pytest.raises(Refusal):
        sock.send_batch([Message() for _each in range(4)], acknowledged=2)
    assert sock._socket.datagrams == []  # type: ignore[attr-defined]


@given(st.lists(st.integers(0, 40), max_size=6))
def test_messages_of_any_length_are_told_apart(lengths: list[int]) -> None:
    data = b"".join(packet(ANSWER, 1, b"x" * length) for length in lengths) + error(1)
    assert [len(text) for text in on(data).ask(Message())] == lengths
