# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Impairments: what users write, the bytes that go to the kernel, the plan and the commands."""

from __future__ import annotations

import struct
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._errors import (
    InvalidInput,
    KernelError,
    NotOurs,
    Unsupported,
)
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import attributes, qdisc
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.netlink import Raw, Refusal
from ansible_collections.patchbay.netns.plugins.module_utils._objects import impairment
from ansible_collections.patchbay.netns.plugins.module_utils._objects.impairment import Impair, Impaired, Impairment
from hypothesis import given
from hypothesis import strategies as st

EVERYTHING = {
    "delay": "10ms",
    "jitter": "2ms",
    "correlation": "25%",
    "loss": "1%",
    "duplicate": "0.1%",
    "corrupt": "0.1%",
    "reorder": "5%",
    "rate": "10mbit",
    "limit": 1000,
}
SLOW = Impairment(delay=0.01)
FOREIGN = Impaired("red", "eth0", None, ours=False, kind="tbf")
percents = st.integers(0, 100_000_000).map(lambda millionths: millionths / 1e6)
impairments = st.builds(
    Impairment,
    delay=st.integers(0, 274_000_000).map(lambda microseconds: microseconds / 1e6),
    jitter=st.integers(0, 274_000_000).map(lambda microseconds: microseconds / 1e6),
    correlation=percents,
    loss=percents,
    duplicate=percents,
    corrupt=percents,
    reorder=percents,
    rate=st.integers(0, 10**12 // 8).map(lambda count: count * 8),
    limit=st.integers(1, 2**32 - 1),
)


# ---- what users write


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("delay", "10ms", 0.01),
        ("delay", "1.5s", 1.5),
        ("delay", "200us", 0.0002),
        ("delay", "10 MS", 0.01),
        ("delay", "0ms", 0.0),
        ("jitter", "0.5ms", 0.0005),
        ("loss", "1%", 1.0),
        ("loss", "0.1 %", 0.1),
        ("loss", "100%", 100.0),
        ("corrupt", "0.000001%", 0.000001),
        ("rate", "10mbit", 10_000_000),
        ("rate", "1gbit", 1_000_000_000),
        ("rate", "500kbit", 500_000),
        ("rate", "1.5Mbit", 1_500_000),
        ("rate", "1500bit", 1496),  # whole bytes
        ("limit", 50, 50),
        ("limit", "50", 50),
    ],
)
def test_texts_are_read_in_their_unit(name: str, text: t.Any, value: float) -> None:
    assert impairment.read(name, text, name) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("delay", "10", "10 has no unit; did you mean 10ms?"),
        ("delay", 10, "10 has no unit; did you mean 10ms?"),
        ("loss", 1, "1 has no unit; did you mean 1%?"),
        ("loss", "0.5", "0.5 has no unit; did you mean 0.5%?"),
        ("rate", 10, "10 has no unit; did you mean 10mbit?"),
        ("rate", "10Mbps", "'Mbps' is no unit of a rate; did you mean 10mbit? There are tbit, gbit, mbit, kbit, bit."),
        ("delay", "10min", "'min' is no unit of a time; did you mean 10ms?"),
        ("loss", "1ms", "'ms' is no unit of a share; did you mean 1%?"),
        ("delay", "-1ms", "is no time; write one such as 10ms"),
        ("delay", "ms", "is no time"),
        ("delay", "", "is no time"),
        ("delay", True, "True is no time"),
        ("delay", "1e3ms", "is no time"),
        ("delay", "\u0661ms", "is no time"),
        ("delay", "275s", "275s is impossible; give 1us to 274s"),
        ("delay", "0.1us", "0.1us is impossible"),
        ("loss", "101%", "101% is impossible; give 0% to 100%"),
        ("loss", "0.0000001%", "is impossible"),
        ("rate", "0mbit", "a rate of 0mbit is impossible"),
        ("rate", "7bit", "a rate of 7bit is impossible"),
        ("rate", "2tbit", "a rate of 2tbit is impossible"),
        ("limit", 0, "0 is no number of packets; write one such as 1000"),
        ("limit", "10ms", "'10ms' is no number of packets"),
        ("limit", True, "True is no number of packets"),
        ("limit", 2**32, "is no number of packets"),
    ],
)
def test_what_can_mean_nothing_is_refused_with_the_way_out(name: str, text: t.Any, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        impairment.read(name, text, f"impair.{name}")
    assert str(error.value).startswith(f"impair.{name}: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "nothing is set"),
        ({"loss": None}, "nothing is set"),
        ({"los": "1%"}, "'los' is nothing that can be set. Give one or more of delay, jitter"),
        ({"jitter": "1ms"}, "jitter: it only has a meaning beside delay"),
        ({"delay": "1ms", "correlation": "1%"}, "correlation: it only has a meaning beside jitter"),
        ({"loss": "1%", "reorder": "1%"}, "reorder: it only has a meaning beside delay"),
    ],
)
def test_settings_that_mean_nothing_together_are_refused(params: dict[str, t.Any], said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        Impairment.from_params(params)
    assert said in str(error.value)


def test_everything_can_be_set() -> None:
    assert Impairment.from_params(EVERYTHING) == Impairment(0.01, 0.002, 25.0, 1.0, 0.1, 0.1, 5.0, 10_000_000, 1000)


@given(impairments)
def test_what_is_shown_is_read_as_the_same(one: Impairment) -> None:
    texts = impairment.shown(one)
    assert {name: impairment.read(name, text, name) for name, text in texts.items()} == {
        name: getattr(one, name) for name in texts
    }
    assert Impairment(**{name: impairment.read(name, text, name) for name, text in texts.items()}) == one


def test_what_is_not_set_is_not_shown() -> None:
    assert impairment.shown(SLOW) == {"delay": "10ms", "limit": 1000}


# ---- the kernel's bytes

TC: dict[str, tuple[dict[str, t.Any], str]] = {
    "everything": (
        EVERYTHING,
        "5a620200e8030000295c8f020100000037894100127a0000"
        "10000100000000400000000000000000"
        "0c000300cdcccc0c00000000"
        "0c0004003789410000000000"
        "14000600d0121300000000000000000000000000",
    ),
    "delay": ({"delay": "10ms"}, "5a620200e803000000000000000000000000000000000000"),
    "odd delay": ({"delay": "1500us"}, "8d5b0000e803000000000000000000000000000000000000"),
    "reorder": (
        {"delay": "10ms", "reorder": "5%"},
        "5a620200e8030000000000000100000000000000000000000c000300cdcccc0c00000000",
    ),
    "loss": ({"loss": "0.1%"}, "00000000e803000037894100000000000000000000000000"),
    "odd rate": (
        {"rate": "1500bit"},
        "00000000e80300000000000000000000000000000000000014000600bb000000000000000000000000000000",
    ),
    "high rate": (
        {"rate": "100gbit"},
        "00000000e803000000000000000000000000000000000000"
        "0c00080000dd0ee902000000"
        "14000600ffffffff000000000000000000000000",
    ),
    "limit": ({"limit": 5}, "000000000500000000000000000000000000000000000000"),
}
"""What tc of iproute2 6.1 sends as TCA_OPTIONS for the same settings."""

_NANOSECONDS = {10, 11}  # TCA_NETEM_LATENCY64 and _JITTER64, which that tc does not know


@pytest.mark.parametrize("case", TC)
def test_the_kernel_is_told_what_tc_tells_it(case: str) -> None:
    params, sent = TC[case]
    ours = qdisc.pack(impairment._encode(Impairment.from_params(params)))
    theirs = bytes.fromhex(sent)
    assert ours[:24] == theirs[:24]
    found = attributes.unpack(ours[24:])
    said = {kind: content for kind, content in found.items() if any(content) and kind not in _NANOSECONDS}
    assert said == attributes.unpack(theirs[24:])


@pytest.mark.parametrize("case", TC)
def test_what_tc_made_is_read_as_what_it_was_told(case: str) -> None:
    params, sent = TC[case]
    netem = qdisc.unpack(bytes.fromhex(sent))
    assert netem is not None
    assert impairment._decode(netem) == Impairment.from_params(params)


@given(impairments)
def test_an_impairment_survives_the_way_through_the_kernel(one: Impairment) -> None:
    netem = qdisc.unpack(qdisc.pack(impairment._encode(one)))
    assert netem is not None
    assert impairment._decode(netem) == one


def test_a_change_also_names_what_is_no_longer_set() -> None:
    assert set(attributes.unpack(qdisc.pack(qdisc.Netem())[24:])) == {1, 3, 4, 6, 10, 11}


def test_options_that_are_cut_off_are_nothing() -> None:
    assert qdisc.unpack(b"\0" * 20) is None


class Socket:
    """Takes requests and answers a dump."""

    def __init__(self, *answers: bytes, refusal: Refusal | None = None) -> None:
        self.answers = list(answers)
        self.refusal = refusal
        self.sent: list[Raw] = []

    def send(self, messages: list[Raw]) -> None:
        self.sent += messages
        if self.refusal:
            raise self.refusal

    def ask(self, _message: Raw, *, dump: bool) -> list[bytes]:
        assert dump
        return self.answers


class Handle:
    """What a step uses of the kernel's handle."""

    def __init__(self, sock: Socket) -> None:
        self.sock = sock

    def rtnl(self, _netns: str | None) -> Socket:
        return self.sock

    def index(self, _netns: str | None, _device: str) -> int:
        return 7

    def flush(self) -> None:
        """Nothing waits."""


def root(index: int, kind: str, *, handle: int, parent: int = 0xFFFFFFFF, options: bytes = b"") -> bytes:
    """An answer to RTM_GETQDISC."""
    head = struct.pack("=BxxxiIII", 0, index, handle, parent, 2)
    return head + attributes.text(1, kind) + attributes.attribute(2, options)


def test_only_what_somebody_put_at_a_root_is_seen() -> None:
    ours = qdisc.pack(impairment._encode(SLOW))
    sock = Socket(
        root(1, "noqueue", handle=0),
        root(2, "netem", handle=qdisc.HANDLE, options=ours),
        root(3, "netem", handle=0x8001_0000, options=ours),
        root(4, "tbf", handle=qdisc.HANDLE),
        root(5, "fq_codel", handle=0x8002_0000, parent=0x8001_0001),
        root(6, "tbf", handle=0x8003_0000),
    )
    names = {1: "lo", 2: "two", 3: "three", 4: "four", 5: "five"}
    assert impairment.observe(t.cast("t.Any", Handle(sock)), "red", names) == [
        Impaired("red", "two", SLOW),
        Impaired("red", "three", None, ours=False),
        Impaired("red", "four", None, ours=False, kind="tbf"),
    ]


# ---- plan and step


def planned(now: Impaired | None, wanted: Impairment | None) -> list[str]:
    return [line for step in impairment.plan(now, "red", "eth0", wanted) for line in step.commands()]


def test_the_plan_makes_changes_and_removes() -> None:
    now = Impaired("red", "eth0", SLOW)
    assert planned(None, None) == []
    assert planned(now, SLOW) == []
    assert planned(FOREIGN, None) == []
    tc = "tc -n red qdisc {} dev eth0 root handle 7062: netem"
    assert planned(None, SLOW) == [f"{tc.format('add')} delay 10ms limit 1000"]
    assert planned(now, replace(SLOW, loss=0.5)) == [f"{tc.format('change')} delay 10ms loss 0.5% limit 1000"]
    assert planned(now, None) == [tc.format("del")]


def test_the_command_says_everything() -> None:
    (step,) = impairment.plan(None, None, "a b", Impairment.from_params(EVERYTHING))
    assert step.commands() == [
        "tc qdisc add dev 'a b' root handle 7062: netem delay 10ms 2ms 25% loss 1% duplicate 0.1% corrupt 0.1% "
        "reorder 5% rate 10mbit limit 1000"
    ]


def test_somebody_elses_is_in_the_way() -> None:
    with pytest.raises(
        NotOurs, match=r"eth0 in namespace red has a queueing discipline already, tbf, that was not made"
    ):
        impairment.plan(FOREIGN, "red", "eth0", SLOW)


def test_only_ours_come_back_with_an_interface() -> None:
    now = Impaired("red", "eth0", SLOW)
    assert impairment.restoring(State([now]), "red", "eth0") == (Impair((), (now,)),)
    assert impairment.restoring(State([FOREIGN]), "red", "eth0") == ()
    assert impairment.restoring(State(), "red", "eth0") == ()


NOW, THEN = Impaired("red", "eth0", SLOW), Impaired("red", "eth0", replace(SLOW, loss=1.0))
STEPS = {"made": Impair((), (NOW,)), "changed": Impair((NOW,), (THEN,)), "removed": Impair((NOW,), ())}
CREATE, EXCL = 0x400, 0x200


@pytest.mark.parametrize(
    ("step", "kind", "flags"), [("made", 36, CREATE | EXCL), ("changed", 36, 0), ("removed", 37, 0)]
)
def test_each_step_is_one_message_that_spares_others(step: str, kind: int, flags: int) -> None:
    sock = Socket()
    STEPS[step].apply(t.cast("t.Any", Handle(sock)))
    (message,) = sock.sent
    assert (message.kind, message.flags) == (kind, 0x5 | flags)
    assert struct.unpack_from("=BxxxiIII", message.body) == (0, 7, qdisc.HANDLE, 0xFFFFFFFF, 0)
    assert attributes.as_text(attributes.unpack(message.body[20:])[1]) == "netem"


@pytest.mark.parametrize(
    ("step", "number", "text", "error", "said"),
    [
        ("made", 17, "", NotOurs, "made meanwhile"),
        ("changed", 17, "", NotOurs, "made meanwhile"),
        ("made", 2, "Specified qdisc kind is unknown", Unsupported, "CONFIG_NET_SCH_NETEM, module sch_netem"),
        ("changed", 2, "Qdisc not found. To create specify NLM_F_CREATE flag", KernelError, "Qdisc not found"),
        ("made", 1, "", KernelError, "needs root"),
        ("removed", 1, "", KernelError, "needs root"),
    ],
)
def test_a_refusal_is_explained(step: str, number: int, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        STEPS[step].apply(t.cast("t.Any", Handle(Socket(refusal=Refusal(number, text, 0)))))


@pytest.mark.parametrize("number", [2, 19, 22])
def test_what_is_gone_already_needs_no_removal(number: int) -> None:
    STEPS["removed"].apply(t.cast("t.Any", Handle(Socket(refusal=Refusal(number, "", 0)))))
