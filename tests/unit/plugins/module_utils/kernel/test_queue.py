# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests of many steps that are sent together: in which order, in which groups, and whose effects are known."""

from __future__ import annotations

import errno
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import netlink, queue
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.netlink import Raw, Refusal
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.queue import LIMIT, Queue, Request
from hypothesis import given
from hypothesis import strategies as st


class Message(Raw):
    def __init__(self, text: str, flags: int = 0) -> None:
        super().__init__(0, flags, text.encode())

    def __repr__(self) -> str:
        return self.body.decode()


class Socket:
    """Stands in for a netlink socket: keeps what it was sent, and refuses what it was told to refuse, so many times."""

    def __init__(self, log: list[list[str]] | None = None, **refused: tuple[int, int]) -> None:
        self.sent: list[list[str]] = [] if log is None else log
        self.refused = {text.replace("_", " "): list(each) for text, each in refused.items()}

    def exchange(self, messages: t.Sequence[Message]) -> dict[int, Refusal]:
        self.sent.append([repr(each) for each in messages])
        refusals: dict[int, Refusal] = {}
        for index, message in enumerate(messages):
            number, times = self.refused.get(repr(message), (0, 0))
            if times:
                self.refused[repr(message)][1] -= 1
                refusals[index] = Refusal(number, "", index)
        return refusals


def request(sock: t.Any, text: str, flags: int = 0, **options: t.Any) -> Request:
    return Request(sock, Message(text, flags), f"do {text}", **options)


def condemn(waiting: Queue, sock: t.Any, name: str) -> None:
    waiting.condemn(*(request(sock, text) for text in (f"mark {name}", "sentence", f"pardon {name}")))


ALWAYS = 1000


# ---- order and groups


def test_nothing_is_sent_before_it_is_asked_for() -> None:
    sock, waiting = Socket(), Queue()
    waiting.add(request(sock, "a"))
    assert sock.sent == []
    waiting.flush()
    assert sock.sent == [["a"]]
    waiting.flush()
    assert sock.sent == [["a"]]


def test_what_follows_each_other_on_one_socket_is_sent_together_and_the_order_stays() -> None:
    log: list[list[str]] = []
    one, other, waiting = Socket(log), Socket(log), Queue()
    for sock, text in ((one, "a"), (one, "b"), (other, "c"), (one, "d"), (other, "e"), (other, "f")):
        waiting.add(request(sock, text))
    waiting.flush()
    assert log == [["a", "b"], ["c"], ["d"], ["e", "f"]]


@given(st.lists(st.integers(0, 2), max_size=3 * LIMIT))
def test_order_stays_and_no_send_is_too_large_whatever_is_added(numbers: list[int]) -> None:
    log: list[list[str]] = []
    socks, waiting = [Socket(log) for _each in range(3)], Queue()
    for index, number in enumerate(numbers):
        waiting.add(request(socks[number], str(index)))
    waiting.flush()
    assert [text for group in log for text in group] == [str(index) for index in range(len(numbers))]
    assert all(len(group) <= LIMIT for group in log)


def test_a_full_queue_sends_by_itself() -> None:
    sock, waiting = Socket(), Queue()
    for number in range(LIMIT + 1):
        waiting.add(request(sock, str(number)))
    assert [len(group) for group in sock.sent] == [LIMIT]


# ---- refusals


def test_the_first_refusal_is_the_error_and_those_behind_it_were_tried() -> None:
    sock, waiting = Socket(b=(errno.EPERM, ALWAYS), c=(errno.EINVAL, ALWAYS)), Queue()
    for text in "abc":
        waiting.add(request(sock, text))
    with pytest.raises(KernelError, match=r"^the kernel refused to do b: Operation not permitted \(EPERM\)"):
        waiting.flush()


def test_of_each_step_it_is_known_whether_anything_of_it_was_carried_out() -> None:
    sock, waiting = Socket(b=(errno.EINVAL, ALWAYS)), Queue()
    steps = {text: object() for text in "abc"}
    for text, step in steps.items():
        waiting.begin(step)
        waiting.add(request(sock, text))
    with pytest.raises(KernelError):
        waiting.flush()
    assert {text: waiting.took_effect(step, returned=True) for text, step in steps.items()} == {
        "a": True,
        "b": False,
        "c": True,
    }


def test_a_step_of_several_requests_took_effect_when_one_of_them_did() -> None:
    sock, waiting, step = Socket(b=(errno.EINVAL, ALWAYS)), Queue(), object()
    waiting.begin(step)
    waiting.add(request(sock, "a"))
    waiting.add(request(sock, "b"))
    with pytest.raises(KernelError):
        waiting.flush()
    assert waiting.took_effect(step, returned=False)


@pytest.mark.parametrize("returned", [True, False])
def test_of_a_step_that_sent_nothing_by_the_queue_the_caller_knows(returned: bool) -> None:
    waiting, step = Queue(), object()
    waiting.begin(step)
    assert waiting.took_effect(step, returned=returned) is returned


def test_what_waits_when_a_group_is_refused_is_never_sent() -> None:
    log: list[list[str]] = []
    one, other, waiting, step = Socket(log, a=(errno.EINVAL, ALWAYS)), Socket(log), Queue(), object()
    waiting.add(request(one, "a"))
    waiting.begin(step)
    waiting.add(request(other, "b"))
    with pytest.raises(KernelError):
        waiting.flush()
    waiting.flush()
    assert log == [["a"]]
    assert not waiting.took_effect(step, returned=True)


def test_a_tolerated_refusal_is_as_good_as_success() -> None:
    sock, waiting, step = Socket(a=(errno.ENODEV, ALWAYS)), Queue(), object()
    waiting.begin(step)
    waiting.add(request(sock, "a", tolerated={errno.ENODEV}))
    waiting.flush()
    assert waiting.took_effect(step, returned=False)


def test_problems_are_collected_where_somebody_collects_them() -> None:
    problems: list[str] = []
    sock, waiting = Socket(a=(errno.EINVAL, ALWAYS), c=(errno.EPERM, ALWAYS)), Queue(problems)
    for text in "abc":
        waiting.add(request(sock, text))
    waiting.flush()
    assert [each[: len("the kernel refused to do a")] for each in problems] == [
        "the kernel refused to do a",
        "the kernel refused to do c",
    ]


# ---- names that are about to be free


def test_a_patient_request_is_asked_again_with_what_failed_behind_it() -> None:
    sock = Socket(b=(errno.EEXIST, 2), c=(errno.ENODEV, 2))
    waiting = Queue()
    for text in "abcd":
        waiting.add(request(sock, text, patient=text == "b"))
    waiting.flush()
    assert sock.sent == [["a", "b", "c", "d"], ["b", "c"], ["b", "c"]]


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_NAME_FREED", 0.01)
    sock, waiting = Socket(a=(errno.EEXIST, ALWAYS)), Queue()
    waiting.add(request(sock, "a", patient=True))
    with pytest.raises(KernelError, match=r"File exists \(EEXIST\)"):
        waiting.flush()
    assert len(sock.sent) > 1


def test_who_is_not_patient_is_not_asked_again() -> None:
    sock, waiting = Socket(a=(errno.EEXIST, 1)), Queue()
    waiting.add(request(sock, "a"))
    with pytest.raises(KernelError):
        waiting.flush()
    assert sock.sent == [["a"]]


# ---- condemned links


def test_condemned_links_of_one_socket_share_one_sentence() -> None:
    log: list[list[str]] = []
    one, other, waiting = Socket(log), Socket(log), Queue()
    for sock, name in ((one, "eth0"), (one, "eth1"), (other, "eth2")):
        condemn(waiting, sock, name)
    waiting.flush()
    assert log == [["mark eth0", "mark eth1"], ["mark eth2"], ["sentence"], ["sentence"]]
    waiting.flush()
    assert len(log) == 4


def test_a_removal_takes_effect_with_the_sentence_not_with_the_mark() -> None:
    sock, waiting, step = Socket(sentence=(errno.EPERM, ALWAYS)), Queue(), object()
    waiting.begin(step)
    condemn(waiting, sock, "eth0")
    with pytest.raises(KernelError):
        waiting.flush()
    assert not waiting.took_effect(step, returned=True)
    sock.refused = {}
    waiting.flush()
    assert waiting.took_effect(step, returned=False)


def test_what_is_to_be_made_waits_for_what_goes_for_it_may_have_its_name() -> None:
    sock, waiting = Socket(), Queue()
    condemn(waiting, sock, "eth0")
    waiting.add(request(sock, "create eth0", netlink.CREATE))
    assert sock.sent == [["mark eth0"], ["sentence"]]
    waiting.flush()
    assert sock.sent[2:] == [["create eth0"]]


def test_what_makes_nothing_does_not_hurry_the_sentence() -> None:
    sock, waiting = Socket(), Queue()
    condemn(waiting, sock, "eth0")
    waiting.add(request(sock, "change eth1"))
    assert sock.sent == []


def test_who_gives_up_pardons_what_is_marked_and_sends_nothing_else() -> None:
    sock, waiting, step = Socket(mark_eth1=(errno.EPERM, ALWAYS)), Queue(), object()
    waiting.begin(step)
    condemn(waiting, sock, "eth0")
    condemn(waiting, sock, "eth1")
    with pytest.raises(KernelError):
        waiting.flush()
    waiting.add(request(sock, "later"))
    waiting.pardon()
    waiting.flush()
    assert sock.sent == [["mark eth0", "mark eth1"], ["pardon eth0", "pardon eth1"]]
    assert not waiting.took_effect(step, returned=True)


def test_what_was_carried_out_is_not_pardoned() -> None:
    sock, waiting = Socket(), Queue()
    condemn(waiting, sock, "eth0")
    waiting.flush()
    waiting.pardon()
    assert sock.sent == [["mark eth0"], ["sentence"]]
