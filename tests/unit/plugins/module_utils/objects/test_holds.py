# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds of several holders at once, their record, and the file that makes their values survive."""

from __future__ import annotations

import json
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import project
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import dropin, holds, namespaces
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.holds import Record
from ansible_collections.patchbay.netns.plugins.module_utils._objects import sysctl
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Hold, KeepHold, Rivals, Sysctl

FORWARD = "net.ipv4.ip_forward"
OFF, ON = Sysctl(None, FORWARD, "0"), Sysctl(None, FORWARD, "1")


def hold(state: State, holders: t.Any, value: str = "1") -> State:
    return project(state, sysctl.hold(state, None, FORWARD, value, holders))


def release(state: State, holders: t.Any) -> State:
    return project(state, sysctl.release(state, None, FORWARD, holders))


# ---- several at once


def test_several_holders_are_recorded_in_one_step() -> None:
    steps = sysctl.hold(State([OFF]), None, FORWARD, "1", frozenset(["a", "b"]))
    assert [step.after for step in steps] == [(Hold(None, FORWARD, "0", frozenset(["a", "b"]), "1"),), (ON,)]


def test_a_holder_with_a_long_name_is_one_holder() -> None:
    (held,) = hold(State([OFF]), "lab").of(Hold)
    assert held.holders == frozenset(["lab"])


def test_several_holders_join_those_that_are_there() -> None:
    (held,) = hold(hold(State([OFF]), "a"), ["b", "c"]).of(Hold)
    assert (held.previous, held.holders) == ("0", frozenset("abc"))


def test_no_holder_holds_nothing() -> None:
    assert sysctl.hold(State([OFF]), None, FORWARD, "1", frozenset()) == []


def test_several_holders_let_go_in_one_step() -> None:
    state = hold(State([OFF]), frozenset("abc"))
    (step,) = sysctl.release(state, None, FORWARD, frozenset("ab"))
    assert step.after == (Hold(None, FORWARD, "0", frozenset("c"), "1"),)


def test_when_all_let_go_at_once_the_value_goes_back() -> None:
    assert release(hold(State([OFF]), frozenset("ab")), frozenset("abc")) == State([OFF])


def test_who_holds_nothing_changes_nothing_in_company_either() -> None:
    assert sysctl.release(hold(State([OFF]), "a"), None, FORWARD, frozenset("bc")) == []


# ---- the value


def test_the_record_says_which_value_is_held() -> None:
    (held,) = hold(State([OFF]), "a", " 1\n").of(Hold)
    assert held.value == "1"


def test_the_last_one_who_holds_says_the_value() -> None:
    (held,) = hold(hold(State([OFF]), "a"), "b", "2").of(Hold)
    assert (held.previous, held.value) == ("0", "2")


def test_a_record_without_a_value_gets_it_with_the_next_run() -> None:
    old = Hold(None, FORWARD, "0", frozenset("a"))
    (step,) = sysctl.hold(State([ON, old]), None, FORWARD, "1", "a")
    assert (step.before, step.after) == ((old,), (Hold(None, FORWARD, "0", frozenset("a"), "1"),))


# ---- record and file


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Any:
    """A kernel whose namespace is that of process 1, with a /run of its own."""
    monkeypatch.setattr(holds, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(dropin, "DIRECTORY", str(tmp_path / "sysctl.d"))
    monkeypatch.setattr(namespaces, "is_boots", lambda namespace: namespace == "own")
    return types.SimpleNamespace(
        identity=lambda netns: f"cookie-{netns}", file=lambda netns: netns or "own", folder=tmp_path
    )


def written(machine: t.Any) -> list[str]:
    file = machine.folder / "sysctl.d" / dropin.NAME
    return [line for line in file.read_text().splitlines() if line[0] != "#"] if file.exists() else []


def keep(machine: t.Any, *steps: Step) -> None:
    for step in steps:
        step.apply(machine)


def holding(name: str = "net.ipv4.conf.a.forwarding", netns: str | None = None, value: str | None = "1") -> KeepHold:
    return KeepHold((), (Hold(netns, name, "0", frozenset(["lab"]), value),))


def test_what_is_recorded_is_in_the_file(machine: t.Any) -> None:
    keep(machine, holding(), holding("net.ipv4.conf.b.forwarding"))
    assert written(machine) == ["-net.ipv4.conf.a.forwarding = 1", "-net.ipv4.conf.b.forwarding = 1"]


def test_undoing_takes_it_out_again(machine: t.Any) -> None:
    step = holding()
    keep(machine, step, holding("net.ipv4.conf.b.forwarding"), *step.undo())
    assert written(machine) == ["-net.ipv4.conf.b.forwarding = 1"]


def test_another_namespace_is_recorded_alone(machine: t.Any) -> None:
    keep(machine, holding(netns="red"))
    assert (written(machine), len(holds.read("cookie-red"))) == ([], 1)


def test_a_record_of_an_older_version_is_not_in_the_file(machine: t.Any) -> None:
    keep(machine, holding(value=None), holding("net.ipv4.conf.b.forwarding"))
    assert written(machine) == ["-net.ipv4.conf.b.forwarding = 1"]


def test_a_run_that_dies_between_file_and_record_is_repeated(machine: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(holds, "write", die)
    with pytest.raises(KeyboardInterrupt):
        keep(machine, holding())
    assert (len(written(machine)), holds.read("cookie-None")) == (1, {})


def test_the_record_of_an_older_version_is_read(machine: t.Any) -> None:
    holds.write("cookie-1", {FORWARD: Record("0", ["lab"], "1")})
    (file,) = (machine.folder / "holds").iterdir()
    file.write_text(json.dumps({FORWARD: {"previous": "0", "holders": ["lab"]}}))
    assert holds.read("cookie-1") == {FORWARD: Record("0", ["lab"], None)}


# ---- rivals


def rivals(*values: str) -> State:
    lines = tuple(
        dropin.Assignment("net/ipv4/ip_forward", value, f"/etc/sysctl.d/z{value}.conf, line 7") for value in values
    )
    return State([Rivals(None, FORWARD, lines)])


def test_who_says_something_else_is_told_with_file_and_line() -> None:
    (warning,) = sysctl.overruled(rivals("1", "0"), None, {FORWARD: "1"})
    assert "/etc/sysctl.d/z0.conf, line 7 says 0" in warning


def test_who_says_the_same_is_not_told() -> None:
    assert sysctl.overruled(rivals("1"), None, {FORWARD: "1"}) == []


def test_what_is_not_wanted_is_not_told() -> None:
    assert sysctl.overruled(rivals("0"), None, {"net.ipv4.conf.a.route_localnet": "1"}) == []
