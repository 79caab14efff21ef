# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door that all modules share: what it hands to the engine, and what it answers."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils import _errors
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import Outcome
from ansible_collections.patchbay.netns.tests.unit.plugins.modules.bad_input import GOOD
from ansible_collections.patchbay.netns.tests.unit.plugins.modules.conftest import MODULES, Door, Engine

RESULTS = {
    "netns": "netns",
    "veth": "link",
    "bridge": "link",
    "ip_route_ns": "route",
    "nat_masquerade": "rule",
    "dnat_forward": "rule",
}
OUTCOME = Outcome(True, {"mtu": 1500}, {"mtu": 1400}, ["ip link set red mtu 1400"], [], "changed in place")
ERRORS = [kind for kind in vars(_errors).values() if isinstance(kind, type) and issubclass(kind, _errors.PatchbayError)]


def failing(error: Exception) -> Engine:
    def answer(_wish: t.Any) -> t.Any:
        raise error

    return Engine(answer)


@pytest.mark.parametrize("module", MODULES)
def test_the_object_is_returned_under_its_name(door: Door, module: str) -> None:
    answer = door.open(module, GOOD[module], Engine(lambda _wish: OUTCOME))
    assert answer[RESULTS[module]] == {"mtu": 1400}


def test_the_answer_says_what_changed_and_how(door: Door) -> None:
    answer = door.open("veth", GOOD["veth"], Engine(lambda _wish: OUTCOME))
    assert (answer["changed"], answer["commands"], answer["diff"]) == (
        True,
        ["ip link set red mtu 1400"],
        {
            "before": {"mtu": 1500},
            "after": {"mtu": 1400},
            "before_header": "before",
            "after_header": "after (changed in place)",
        },
    )


def test_warnings_reach_the_user(door: Door) -> None:
    outcome = replace(OUTCOME, warnings=["This is said once."])  # Ansible passes each text on once in a process
    answer = door.open("veth", GOOD["veth"], Engine(lambda _wish: outcome))
    assert any("This is said once." in str(warning) for warning in answer["warnings"])


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("module", MODULES)
def test_check_mode_reaches_the_engine(door: Door, module: str, check: bool) -> None:
    engine = Engine(lambda _wish: OUTCOME)
    door.open(module, GOOD[module], engine, _ansible_check_mode=check)
    assert engine.checks == [check]


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_its_sentence_its_code_and_its_details(door: Door, kind: t.Any) -> None:
    extra = {"errno": 17} if issubclass(kind, _errors.KernelError) else {}
    answer = door.open("veth", GOOD["veth"], failing(kind("Something is wrong.", device="red", **extra)))
    assert answer["failed"]
    assert (answer["msg"], answer["code"], answer["details"]) == (
        "Something is wrong.",
        kind.code,
        {"device": "red", **extra},
    )


def test_every_error_has_a_code_for_programs() -> None:
    assert all(kind.code.isupper() for kind in ERRORS)


@pytest.mark.parametrize("module", MODULES)
def test_absence_needs_nothing_but_what_names_the_object(door: Door, module: str) -> None:
    naming = {
        "netns": {"name": "red"},
        "veth": {"name": "veth-red"},
        "bridge": {"name": "v-net-0"},
        "ip_route_ns": {"destination": "default"},
        "nat_masquerade": {"source": "192.168.15.0/24"},
        "dnat_forward": {"protocol": "tcp", "port": 80},
    }
    engine = Engine(lambda _wish: OUTCOME)
    door.open(module, {**naming[module], "state": "absent"}, engine)
    assert [wish.present for wish in engine.wishes] == [False]


@pytest.mark.parametrize("module", MODULES)
def test_a_wish_says_whether_it_is_for_presence(door: Door, module: str) -> None:
    engine = Engine(lambda _wish: OUTCOME)
    door.open(module, GOOD[module], engine)
    assert [wish.present for wish in engine.wishes] == [True]
