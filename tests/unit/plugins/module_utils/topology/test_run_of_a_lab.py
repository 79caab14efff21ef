# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the parameters of a task to what is said of a lab: names, check mode, what is confirmed, what is told and remembered."""

from __future__ import annotations

import contextlib
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput, NotVerified
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import labs
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import Loopback
from ansible_collections.patchbay.netns.plugins.module_utils._topology import record as records
from ansible_collections.patchbay.netns.plugins.module_utils._topology import run as module
from ansible_collections.patchbay.netns.plugins.module_utils._topology.lab import Lab
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import topology_drawings as drawings
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_worlds import World

AUTO = "{name: lab, bridges: {br0: {addresses: 10.0.0.1/24}}, namespaces: {%s}}"
LEAF = "%s: {interfaces: {eth0: {bridge: br0, addresses: auto}}}"


class Home:
    """Stands in for the kernel handle."""

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_exc: object) -> None:
        pass

    def identity(self, _netns: str | None) -> str:
        return "home"


class Machine:
    """A world in which runs happen, and what was asked of it besides."""

    def __init__(self) -> None:
        self.world = World()
        self.locks: list[tuple[str, float]] = []
        self.checked: list[bool] = []
        self.disturbed = False

    @contextlib.contextmanager
    def locked(self, title: str, patience: float) -> t.Iterator[None]:
        self.locks.append((title, patience))
        yield

    def carry_out(
        self, wish: Lab, _kernel: Home, *, check: bool, watch: t.Callable[..., None], confirm: t.Callable[[], None]
    ) -> tuple[State, list[Step]]:
        self.checked.append(check)
        observed = self.world.seen(wish)
        steps = wish.plan(observed)
        if not check:
            for number, step in enumerate(steps):
                watch(step.phase, number, len(steps))
            self.world.carry_out(steps)
            self.world.finish()
            if self.disturbed:
                self.world.put(Loopback("red", up=False))
            confirm()
        return observed, steps

    def run(self, text: str | None, *, check: bool = False, diff: bool = False, **params: t.Any) -> dict[str, t.Any]:
        definition = None if text is None else drawings.read(text)
        defaults = {
            "state": "present",
            "purge": True,
            "adopt": False,
            "force": False,
            "verify": True,
            "lock_timeout": 7,
        }
        return module.run({**defaults, "definition": definition, **params}, check=check, diff=diff)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(labs, "FOLDER", str(tmp_path / "labs"))
    monkeypatch.setattr(module, "Kernel", Home)
    monkeypatch.setattr(module, "locked", made.locked)
    monkeypatch.setattr(module, "carry_out", made.carry_out)
    monkeypatch.setattr(records, "read", lambda _kernel, name: _named(made.world.get("lab"), name))
    monkeypatch.setattr(Lab, "observe", lambda lab, _kernel: made.world.seen(lab))
    return made


def _named(found: t.Any, name: str) -> t.Any:
    return found if found is not None and found.lab == name else None


# ---- results


def test_a_first_run_says_what_it_did_and_what_can_not_be_read_from_the_file(machine: Machine) -> None:
    found = machine.run(AUTO % LEAF % "a-very-long-name")
    assert found["changed"] is True
    assert "ip netns add a-very-long-name" in found["commands"]
    assert found["commands_left_out"] == 0
    assert found["lab"]["name"] == "lab"
    assert found["lab"]["namespaces"] == ["a-very-long-name"]
    assert found["lab"]["addresses"] == {"/br0": ["10.0.0.1/24"], "a-very-long-name/eth0": ["10.0.0.2/24"]}
    ((place, short),) = found["lab"]["names"].items()
    assert "a-very-long-name-eth0" in place
    assert machine.world.get("link", None, short) is not None
    assert "diff" not in found


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    machine.run(drawings.RED_BLUE)
    found = machine.run(drawings.RED_BLUE, diff=True)
    assert (found["changed"], found["commands"]) == (False, [])
    assert found["diff"] == {
        "before": "",
        "after": "",
        "before_header": "before",
        "after_header": "after (unchanged)",
    }


def test_the_header_of_the_difference_says_what_became_of_the_lab(machine: Machine) -> None:
    one = "{name: lab, namespaces: {red: }}"
    headers = [
        machine.run(text, diff=True, **options)["diff"]["after_header"]
        for text, options in ((one, {}), ("{name: lab, namespaces: {red: , blue: }}", {}), (one, {"state": "absent"}))
    ]
    assert headers == ["after (created)", "after (changed in place)", "after (removed)"]


def test_the_commands_of_a_large_lab_are_counted_unless_somebody_asks(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_COMMANDS", 3)
    asked = machine.run(drawings.RED_BLUE, check=True)
    found = machine.run(drawings.RED_BLUE)
    assert found["commands"] == []
    assert found["commands_left_out"] > 3
    assert len(asked["commands"]) >= found["commands_left_out"]
    assert asked["commands_left_out"] == 0


def test_warnings_are_passed_on(machine: Machine) -> None:
    assert any("net.ipv4.ip_forward is switched on" in line for line in machine.run(drawings.RED_BLUE)["warnings"])


# ---- check mode


def test_check_mode_changes_nothing_waits_for_nobody_and_shows_the_difference(machine: Machine) -> None:
    before = machine.world.state
    found = machine.run(drawings.RED_BLUE, check=True)
    assert machine.world.state == before
    assert machine.locks == []
    assert machine.checked == [True]
    assert found["changed"] is True
    assert "namespace red" in found["diff"]["after"]


def test_check_mode_leaves_alone_what_a_run_that_is_at_work_tells(machine: Machine) -> None:
    folder = Path(labs.FOLDER)
    folder.mkdir()
    (folder / "red-blue.progress").write_text("{}")
    machine.run(drawings.RED_BLUE, check=True)
    assert (folder / "red-blue.progress").exists()


def test_a_run_holds_the_lock_in_the_name_of_its_lab(machine: Machine) -> None:
    machine.run(drawings.RED_BLUE)
    assert machine.locks == [("lab red-blue", 7)]


# ---- verification


def test_what_is_not_as_it_should_be_after_a_run_is_not_verified(machine: Machine) -> None:
    machine.disturbed = True
    with pytest.raises(NotVerified, match="ip -n red link set lo up"):
        machine.run(drawings.RED_BLUE)


def test_nobody_looks_again_with_verify_off(machine: Machine) -> None:
    machine.disturbed = True
    machine.run(drawings.RED_BLUE, verify=False)


# ---- addresses that were chosen


def test_addresses_that_were_chosen_stay_when_others_come_and_go(machine: Machine) -> None:
    first = machine.run(AUTO % ", ".join(LEAF % name for name in ("b", "c")))["lab"]["addresses"]
    second = machine.run(AUTO % ", ".join(LEAF % name for name in ("a", "b", "c")))["lab"]["addresses"]
    third = machine.run(AUTO % ", ".join(LEAF % name for name in ("a", "c")))["lab"]["addresses"]
    assert (first["b/eth0"], first["c/eth0"]) == (["10.0.0.2/24"], ["10.0.0.3/24"])
    assert second == {**first, "a/eth0": ["10.0.0.4/24"]}
    assert (third["a/eth0"], third["c/eth0"]) == (second["a/eth0"], second["c/eth0"])


# ---- absence


def test_a_lab_goes_by_its_name_or_by_its_file(machine: Machine) -> None:
    for options in ({"text": None, "name": "red-blue"}, {"text": drawings.RED_BLUE}):
        machine.run(drawings.RED_BLUE)
        assert machine.run(**options, state="absent")["changed"] is True
        assert machine.world.state == World().state
        assert machine.run(**options, state="absent")["changed"] is False


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"state": "present"}, "definition is missing: give the lab's file with src"),
        ({"state": "absent"}, "name is missing: say which lab is to be absent"),
        ({"state": "absent", "name": "../x"}, "name: "),
        ({"state": "absent", "name": ""}, "name"),
        (
            {"state": "present", "definition": {"name": "a"}, "name": "b"},
            "name: b is not the lab of the definition, which is",
        ),
        ({"state": "absent", "definition": {"namespaces": {}}}, "name"),
        ({"state": "present", "definition": {}}, "name"),
        ({"state": "present", "definition": []}, ""),
    ],
)
def test_a_lab_needs_a_name_and_one_that_is_to_be_there_a_file(
    machine: Machine, params: dict[str, t.Any], said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        machine.run(None, **params)
    assert said in str(caught.value)
    assert machine.world.state == World().state
