# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input gets one sentence that says what, where and what to do instead, before anything is changed."""

from __future__ import annotations

import contextlib
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import namespaces, rtnl
from ansible_collections.patchbay.netns.tests.unit.plugins.modules.bad_input import (
    ACCEPTED,
    GOOD,
    LEFT_OUT,
    SPOKEN,
    THERE,
    Case,
)
from ansible_collections.patchbay.netns.tests.unit.plugins.modules.conftest import MODULES, Door, Engine


class Accepted(BaseException):
    """The parameters got past the door."""


def accept(_wish: t.Any) -> t.Any:
    raise Accepted


def planning(state: State) -> t.Callable[[t.Any], t.Any]:
    """An engine that plans from a state, and stops there."""

    def answer(wish: t.Any) -> t.Any:
        wish.plan(state)
        raise Accepted

    return answer


OURS = [case for case in SPOKEN if isinstance(case.message, str)] + THERE
"""The cases whose words are ours."""


def test_there_are_cases_enough_of_every_module() -> None:
    assert len({str(case) for case in SPOKEN}) == len(SPOKEN) >= 60
    assert {case.module for case in SPOKEN} == {case.module for case in THERE} == set(MODULES)


# ---- what is refused for what it says


@pytest.mark.parametrize("module", MODULES)
def test_the_good_parameters_that_all_cases_start_from_are_accepted(door: Door, module: str) -> None:
    with pytest.raises(Accepted):
        door.open(module, GOOD[module], Engine(accept))


@pytest.mark.parametrize("case", SPOKEN, ids=str)
def test_bad_input_is_refused_in_one_sentence(door: Door, case: Case) -> None:
    answer = door.open(case.module, case.params, Engine(accept))
    assert answer.get("failed")
    assert case.says(answer["msg"]), answer["msg"]


@pytest.mark.parametrize("case", SPOKEN, ids=str)
def test_bad_input_is_refused_before_the_engine_is_asked(door: Door, case: Case) -> None:
    engine = Engine(accept)
    door.open(case.module, case.params, engine)
    assert engine.wishes == []


@pytest.mark.parametrize("case", SPOKEN, ids=str)
def test_check_mode_refuses_the_same(door: Door, case: Case) -> None:
    assert case.says(door.open(case.module, case.params, Engine(accept), _ansible_check_mode=True)["msg"])


@pytest.mark.parametrize("case", OURS, ids=str)
def test_a_refusal_reads_like_a_sentence(case: Case) -> None:
    message = str(case.message)
    assert message[-1] in ".?"
    assert not re.search(r"\n|Traceback|Error\b|Address\(|None|[a-z_]+=", message)


@pytest.mark.parametrize("case", [case for case in SPOKEN if case in OURS], ids=str)
def test_a_refusal_names_an_option(case: Case) -> None:
    options = {name.split(" ")[0] for name in (*GOOD[case.module], *case.params, "nexthops[1]", "route")}
    assert options & set(re.findall(r"[a-z_]+(?:\[1\])?", str(case.message)))


@pytest.mark.parametrize("case", OURS, ids=str)
def test_a_refusal_says_what_to_do_instead(case: Case) -> None:
    assert re.search(
        r"\b([Cc]hoose|[Gg]ive|[Ww]rite|did you mean|[Ss]et|[Rr]emove|[Rr]ename|[Nn]ame|[Cc]reate|[Ll]eave|[Pp]ut|[Bb]ring|[Uu]se|"
        r"[Ee]nd|such as|ports go from|needs|check|Forward|make one|leads to)\b",
        str(case.message),
    )


@pytest.mark.parametrize("proposal", [case for case in OURS if "did you mean" in str(case.message)], ids=str)
def test_what_a_refusal_proposes_is_accepted(door: Door, proposal: Case) -> None:
    """A question such as 'did you mean 192.168.15.1/24?' must not lead into the next refusal."""
    (option,) = [name for name in proposal.change if name in str(proposal.message).partition(":")[0]]
    proposed = str(proposal.message).partition("did you mean")[2]
    for text in re.findall(r"[0-9a-f.:]+/[0-9]+|[0-9]+-[0-9]+", proposed):
        value: t.Any = [text] if option in ("addresses", "sources") else text
        if option == "peer":
            value = {**proposal.change["peer"], "addresses": [text]}
        better = Case(proposal.module, {**proposal.change, option: value}, "")
        with pytest.raises(Accepted):
            door.open(better.module, better.params, Engine(accept))


# ---- what is refused for what is there


@pytest.mark.parametrize("module", MODULES)
def test_the_state_that_all_cases_start_from_is_accepted(door: Door, module: str) -> None:
    with pytest.raises(Accepted):
        door.open(module, GOOD[module], Engine(planning(ACCEPTED[module])))


@pytest.mark.parametrize("case", THERE, ids=str)
def test_what_contradicts_what_is_there_is_refused_in_one_sentence(door: Door, case: Case) -> None:
    assert case.there is not None
    answer = door.open(case.module, case.params, Engine(planning(case.there)))
    assert (answer.get("failed"), answer["msg"]) == (True, case.message)


@pytest.mark.parametrize("case", [case for case in THERE if "force: true" in str(case.message)], ids=str)
def test_force_does_what_a_refusal_says_it_does(door: Door, case: Case) -> None:
    assert case.there is not None
    with pytest.raises(Accepted):
        door.open(case.module, {**case.params, "force": True}, Engine(planning(case.there)))


@pytest.mark.parametrize("case", [case for case in THERE if "allow_overlap: true" in str(case.message)], ids=str)
def test_allow_overlap_does_what_a_refusal_says_it_does(door: Door, case: Case) -> None:
    assert case.there is not None
    with pytest.raises(Accepted):
        door.open(case.module, {**case.params, "allow_overlap": True}, Engine(planning(case.there)))


# ---- an unknown namespace


class Unopened:
    """A kernel that knows which namespaces there are, and nothing else."""

    def file(self, netns: str | None) -> int:
        return namespaces.open_file(netns) if netns else -1

    rtnl = netfilter = file

    def identity(self, netns: str | None) -> str:
        return f"namespace {self.file(netns)}"

    @contextlib.contextmanager
    def inside(self, netns: str | None) -> t.Iterator[None]:
        self.file(netns)
        yield


UNKNOWN = "network namespace rde does not exist. Present: blue, red, red2. Create it first with the netns module."


@pytest.mark.parametrize(
    ("module", "change"),
    [(module, {"netns": "rde"}) for module in MODULES if module != "netns"]
    + [("veth", {"netns": "red", "peer": {"name": "veth-red-br", "netns": "rde"}})],
)
def test_an_unknown_namespace_is_named_with_those_that_are_there(
    door: Door, module: str, change: dict[str, t.Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("red", "blue", "red2"):
        (tmp_path / name).touch()
    monkeypatch.setattr(namespaces, "DIRECTORY", str(tmp_path))
    opened = namespaces.open_file
    monkeypatch.setattr(namespaces, "open_file", lambda name: opened(name) if name == "rde" else -1)
    monkeypatch.setattr(rtnl, "get_link", lambda *_arguments, **_options: None)
    answer = door.open(module, {**GOOD[module], **change}, Engine(lambda wish: wish.observe(Unopened())))
    assert (answer.get("failed"), answer["msg"]) == (True, UNKNOWN)


def test_left_out_is_no_value() -> None:
    assert all(LEFT_OUT not in case.params.values() for case in SPOKEN)
