# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Impairments on this kernel: real ones where it has netem, the refusal where it has not, and others' qdiscs in peace."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._errors import NotOurs, Unsupported
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import features
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._objects import impairment
from ansible_collections.patchbay.netns.plugins.module_utils._objects.impairment import Impair, Impaired, Impairment
from box import Box

SETTINGS: dict[str, dict[str, Any]] = {
    "delay": {"delay": "30ms"},
    "everything": {
        "delay": "10ms",
        "jitter": "2ms",
        "correlation": "25%",
        "loss": "1%",
        "duplicate": "0.1%",
        "corrupt": "0.1%",
        "reorder": "5%",
        "rate": "10mbit",
        "limit": 500,
    },
    "odd": {"delay": "1500us", "loss": "0.123456%", "rate": "1500bit"},
    "fast": {"rate": "100gbit"},
}


def wanted(case: str = "delay") -> Impaired:
    return Impaired(None, "one", Impairment.from_params(SETTINGS[case]))


@pytest.fixture
def cable(box: Box) -> Box:
    box.ip("netns add red")
    box.ip("link add one type veth peer name two netns red")
    box.ip("addr add 10.0.0.1/24 dev one")
    box.ip("-n red addr add 10.0.0.2/24 dev two")
    box.ip("link set one up")
    box.ip("-n red link set two up")
    return box


@pytest.fixture
def netem(cable: Box) -> Box:
    if not features.find(["netem"])["netem"].available:
        pytest.skip("this kernel has no netem")
    return cable


def foreign(box: Box) -> None:
    """A qdisc that somebody else put there: one that is in every kernel."""
    box.tool("tc", "qdisc", "add", "dev", "one", "root", "pfifo", "limit", "77")


def qdiscs(box: Box) -> str:
    return box.tool("tc", "qdisc", "show", "dev", "one")


def test_without_netem_the_refusal_says_what_is_missing(cable: Box) -> None:
    if features.find(["netem"])["netem"].available:
        pytest.skip("this kernel has netem")
    before = qdiscs(cable)
    with Kernel() as kernel, pytest.raises(Unsupported, match=r"CONFIG_NET_SCH_NETEM, module sch_netem\..*unknown"):
        Impair((), (wanted(),)).apply(kernel)
    assert qdiscs(cable) == before


def test_what_the_kernel_chose_is_nobodys(cable: Box) -> None:
    with Kernel() as kernel:
        assert impairment.observe(kernel, None) == []


def test_what_somebody_else_made_is_seen_and_spared(cable: Box) -> None:
    foreign(cable)
    before = qdiscs(cable)
    theirs = Impaired(None, "one", None, ours=False, kind="pfifo")
    with Kernel() as kernel:
        assert impairment.observe(kernel, None) == [theirs]
        with pytest.raises(NotOurs, match="pfifo"):
            impairment.plan(theirs, None, "one", wanted().impairment)
        Impair((wanted(),), ()).apply(kernel)  # ours was replaced meanwhile: nothing to remove
        if features.find(["netem"])["netem"].available:
            with pytest.raises(NotOurs, match="made meanwhile"):
                Impair((), (wanted(),)).apply(kernel)
            with pytest.raises(NotOurs, match="made meanwhile"):
                Impair((wanted(),), (wanted("fast"),)).apply(kernel)
    assert qdiscs(cable) == before


@pytest.mark.parametrize("case", SETTINGS)
@pytest.mark.parametrize("door", ["step", "commands"])
def test_an_impairment_is_made_and_read_back(netem: Box, case: str, door: str) -> None:
    step = Impair((), (wanted(case),))
    with Kernel() as kernel:
        if door == "step":
            step.apply(kernel)
        else:
            for command in step.commands():
                netem.tool(*command.split())
        assert impairment.observe(kernel, None) == [wanted(case)]
        assert impairment.observe(kernel, "red") == []


@pytest.mark.parametrize("case", SETTINGS)
def test_a_change_leaves_nothing_of_what_was(netem: Box, case: str) -> None:
    now = wanted("everything")
    with Kernel() as kernel:
        Impair((), (now,)).apply(kernel)
        (step,) = impairment.plan(now, None, "one", wanted(case).impairment) or [None]
        if step is not None:
            step.apply(kernel)
            assert impairment.observe(kernel, None) == [wanted(case)]
            for back in step.undo():
                back.apply(kernel)
        assert impairment.observe(kernel, None) == [now]


def test_it_ends_without_a_trace(netem: Box) -> None:
    before = qdiscs(netem)
    with Kernel() as kernel:
        Impair((), (wanted(),)).apply(kernel)
        Impair((wanted(),), ()).apply(kernel)
        Impair((wanted(),), ()).apply(kernel)
    assert qdiscs(netem) == before


def test_tc_sees_the_same(netem: Box) -> None:
    with Kernel() as kernel:
        Impair((), (wanted("everything"),)).apply(kernel)
    seen = qdiscs(netem)
    assert "qdisc netem 7062: root" in seen
    for words in (
        "limit 500",
        "delay 10ms  2ms 25%",
        "loss 1%",
        "duplicate 0.1%",
        "reorder 5%",
        "corrupt 0.1%",
        "rate 10Mbit",
    ):
        assert words in seen, seen


def test_packets_are_late(netem: Box) -> None:
    netem.tool("ping", "-c1", "-W2", "10.0.0.2")
    with Kernel() as kernel:
        Impair((), (wanted(),)).apply(kernel)
    began = time.monotonic()
    netem.tool("ping", "-c1", "-W2", "10.0.0.2")
    assert time.monotonic() - began >= 0.03


def test_an_interface_that_comes_back_gets_its_impairment(netem: Box) -> None:
    with Kernel() as kernel:
        Impair((), (wanted(),)).apply(kernel)
        state = State(impairment.observe(kernel, None))
        assert impairment.restoring(state, None, "one") == (Impair((), (wanted(),)),)
