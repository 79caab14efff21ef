# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel settings: names, values, and the hold that gives a value back when its last holder leaves."""

from __future__ import annotations

import os
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import procsys
from ansible_collections.patchbay.netns.plugins.module_utils._objects import sysctl
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Hold, KeepHold, SetSysctl, Sysctl
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import given
from hypothesis import strategies as st

FORWARD = "net.ipv4.ip_forward"


def setting(value: str) -> Sysctl:
    return Sysctl("red", FORWARD, value)


# ---- names


@pytest.mark.parametrize(
    "name", [FORWARD, "net/ipv4/ip_forward", "net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"]
)
def test_a_setting_of_a_namespace_is_taken(name: str) -> None:
    assert sysctl.valid_name(name, "here") == name


@pytest.mark.parametrize(
    "name",
    ["", "net", "net.ipv4", "kernel.panic", "vm/swappiness", "net..ip_forward", "net/../kernel/panic", "net.ipv4.//.x",
     "/net/ipv4/ip_forward", "net.ipv4.ip_forward.", ".net.ipv4.x", "net.ipv4.a\0b"],
)  # fmt: skip
def test_any_other_setting_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"is not a setting of a network namespace; only names under net\. are"):
        sysctl.valid_name(name, "here")


@given(some.wild | some.wild.map("net.ipv4.{}".format) | some.wild.map("net/ipv4/{}".format))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    try:
        sysctl.valid_name(name, "here")
    except InvalidInput:
        return
    path = "/proc/sys/" + "/".join(procsys.parts(name))
    os.fsencode(path)
    assert (os.path.normpath(path), "\0" in path) == (path, False)
    assert path.startswith("/proc/sys/net/")


# ---- changing


def test_the_value_that_is_there_needs_no_step() -> None:
    assert sysctl.change(State([setting("1")]), "red", FORWARD, "1") == []


def test_white_space_in_a_value_does_not_matter() -> None:
    state = State([Sysctl(None, "net.ipv4.ip_local_port_range", "32768 60999")])
    assert sysctl.change(state, None, "net.ipv4.ip_local_port_range", "32768\t60999\n") == []


def test_another_value_is_written() -> None:
    (step,) = sysctl.change(State([setting("0")]), "red", FORWARD, "1")
    assert step.commands() == ["ip netns exec red sysctl -w net.ipv4.ip_forward=1"]


def test_a_value_of_several_words_is_quoted() -> None:
    step = SetSysctl((), (Sysctl(None, "net.ipv4.ip_local_port_range", "1024 60999"),))
    assert step.commands() == ["sysctl -w net.ipv4.ip_local_port_range='1024 60999'"]


def test_a_setting_that_the_kernel_lacks_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"the kernel has no setting net\.ipv4\.ip_forwad in namespace red"):
        sysctl.change(State(), "red", "net.ipv4.ip_forwad", "1")


def test_shown_leaves_out_what_is_not_there() -> None:
    assert sysctl.shown(State([setting("1")]), "red", [FORWARD, "net.ipv4.other"]) == {FORWARD: "1"}


# ---- holding


def hold(state: State, holder: str) -> State:
    return project(state, sysctl.hold(state, "red", FORWARD, "1", holder))


def release(state: State, holder: str) -> State:
    return project(state, sysctl.release(state, "red", FORWARD, holder))


def test_row_11_a_value_that_was_there_is_not_held() -> None:
    assert sysctl.hold(State([setting("1")]), "red", FORWARD, "1", "lab") == []


def test_row_11_the_record_is_written_before_the_value() -> None:
    assert [type(step) for step in sysctl.hold(State([setting("0")]), "red", FORWARD, "1", "lab")] == [
        KeepHold,
        SetSysctl,
    ]


def test_row_11_the_value_is_given_back_before_the_record_goes() -> None:
    state = hold(State([setting("0")]), "lab")
    assert [type(step) for step in sysctl.release(state, "red", FORWARD, "lab")] == [SetSysctl, KeepHold]


def test_who_holds_nothing_gives_nothing_back() -> None:
    state = hold(State([setting("0")]), "lab")
    assert sysctl.release(state, "red", FORWARD, "another") == []


def test_the_record_of_a_setting_that_is_gone_is_dropped() -> None:
    state = State([Hold("red", FORWARD, "0", frozenset(["lab"]))])
    assert release(state, "lab") == State()


def test_a_held_value_that_somebody_changed_is_set_again() -> None:
    state = State([setting("0"), Hold("red", FORWARD, "0", frozenset(["lab"]))])
    assert hold(state, "lab").get(setting("1").key) == setting("1")


holders = st.lists(st.sampled_from("abcd"), min_size=1, unique=True)


@given(holders, st.randoms(use_true_random=False), st.sampled_from(["0", "2"]))
def test_when_all_holders_have_left_everything_is_as_before(names: list[str], random: t.Any, before: str) -> None:
    state = start = State([setting(before)])
    for name in names:
        state = hold(state, name)
    for name in random.sample(names, len(names)):
        state = release(state, name)
    assert state == start


@given(holders)
def test_while_one_holder_is_left_the_value_stays(names: list[str]) -> None:
    state = State([setting("0")])
    for name in names:
        state = hold(state, name)
    for name in names[:-1]:
        state = release(state, name)
    assert state.get(setting("1").key) == setting("1")


@given(holders)
def test_holding_twice_is_holding_once(names: list[str]) -> None:
    state = State([setting("0")])
    for name in names:
        state = hold(state, name)
    assert all(sysctl.hold(state, "red", FORWARD, "1", name) == [] for name in names)
