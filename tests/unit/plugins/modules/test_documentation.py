# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documentation says and what the modules do are one."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.patchbay.netns.plugins.module_utils import _door
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.layout import layout
from ansible_collections.patchbay.netns.tests.unit.plugins.modules.conftest import MODULES, Door, Engine, load
from ansible_collections.patchbay.netns.tests.unit.plugins.modules.test_door import OUTCOME, RESULTS

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "plugins" / "modules"
FRAGMENT = "patchbay.netns.common"
INTERNAL = {"options", "elements", "type", "required", "default", "choices", "aliases", "no_log"}

Options = t.Mapping[str, t.Mapping[str, t.Any]]


@functools.cache
def everything() -> dict[str, t.Any]:
    """What ansible-doc says of all our modules."""
    names = [f"patchbay.netns.{name}" for name in MODULES + others()]
    run = subprocess.run(
        [sys.executable, "-m", "ansible", "doc", "--json", *names],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible/collections")},
        stdout=subprocess.PIPE,
        check=True,
    )
    return t.cast("dict[str, t.Any]", json.loads(run.stdout))


def documented(module: str) -> tuple[dict[str, t.Any], t.Any, dict[str, t.Any]]:
    """DOCUMENTATION with its fragments, EXAMPLES and RETURN."""
    page = everything()[f"patchbay.netns.{module}"]
    return page["doc"], yaml.safe_load(page["examples"]), page["return"]


def spec(module: str) -> Options:
    return {**_door.COMMON_OPTIONS, **load(module).OPTIONS}


def essence(options: Options, nested: str) -> dict[str, t.Any]:
    """What documentation and argument spec both say of options."""
    return {
        name: {
            "type": option.get("type", "str"),
            "required": bool(option.get("required", False)),
            "default": option.get("default"),
            "choices": list(option.get("choices") or []),
            "elements": option.get("elements"),
            "options": essence(option.get(nested) or {}, nested),
        }
        for name, option in options.items()
    }


def others() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in MODULES and path.stem != "__init__")


@pytest.mark.parametrize("module", MODULES)
def test_every_option_is_documented_as_it_is(module: str) -> None:
    doc, _examples, _returned = documented(module)
    assert essence(doc["options"], "suboptions") == essence(spec(module), "options")


@pytest.mark.parametrize("module", MODULES)
def test_every_key_of_an_argument_spec_is_one_that_is_compared(module: str) -> None:
    def keys(options: Options) -> set[str]:
        return {key for option in options.values() for key in option} | {
            key for option in options.values() for key in keys(option.get("options", {}))
        }

    assert keys(spec(module)) <= INTERNAL


@pytest.mark.parametrize("module", MODULES)
def test_the_module_is_documented_under_its_name(module: str) -> None:
    assert documented(module)[0]["module"] == module


def test_the_action_group_is_the_modules_with_the_common_options_and_the_one_for_labs() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    with_fragment = {path.stem for path in FOLDER.glob("*.py") if FRAGMENT in path.read_text()}
    assert with_fragment == set(MODULES)
    assert set(runtime["action_groups"]["all"]) == {*MODULES, "topology"}


def test_every_option_of_topology_is_documented_as_it_is() -> None:
    doc, _examples, returned = documented("topology")
    assert essence(doc["options"], "suboptions") == essence(load("topology").OPTIONS, "options")
    assert {"commands", "commands_left_out", "lab"} == set(returned)


def test_every_lab_in_an_example_is_one() -> None:
    labs = [task["patchbay.netns.topology"].get("definition") for task in documented("topology")[1]]
    assert [layout(lab).name for lab in labs if lab] == ["red-blue", "many"]


def test_the_action_group_names_no_module_twice() -> None:
    group = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]["all"]
    assert len(group) == len(set(group))


# ---- examples


def unknown(params: t.Mapping[str, t.Any], options: Options, where: str = "") -> list[str]:
    """The options that an example uses and no documentation has."""
    found = []
    for name, value in params.items():
        if name not in options:
            found.append(f"{where}{name}")
            continue
        below = options[name].get("suboptions") or {}
        for record in value if isinstance(value, list) else [value]:
            if below and isinstance(record, dict):
                found += unknown(record, below, f"{where}{name}.")
    return found


@pytest.mark.parametrize("module", MODULES + others())
def test_examples_use_documented_options_only(module: str) -> None:
    doc, examples, _returned = documented(module)
    tasks = [task for task in examples if f"patchbay.netns.{module}" in task]
    assert tasks
    for task in tasks:
        assert unknown(task[f"patchbay.netns.{module}"] or {}, doc.get("options") or {}) == []


@pytest.mark.parametrize("module", MODULES + others())
def test_every_example_has_a_name_that_says_what_it_does(module: str) -> None:
    assert all(task.get("name", "")[:1].isupper() for task in documented(module)[1])


@pytest.mark.parametrize("module", MODULES)
def test_every_example_is_accepted(module: str, door: Door) -> None:
    for task in documented(module)[1]:
        params = task.get(f"patchbay.netns.{module}")
        if params is not None and "{{" not in str(params):
            answer = door.open(module, params, Engine(lambda _wish: OUTCOME))
            assert not answer.get("failed"), answer["msg"]


# ---- returned values


@pytest.mark.parametrize("module", MODULES)
def test_the_object_and_the_commands_are_documented(module: str) -> None:
    assert {"commands", RESULTS[module]} <= set(documented(module)[2])


@pytest.mark.parametrize("module", MODULES + others())
def test_the_documentation_is_free_of_stray_markup(module: str) -> None:
    text = (FOLDER / f"{module}.py").read_text().partition("EXAMPLES")[0]
    assert not re.search(r"``|\b[OVCMP]\([^)]*$", text, re.MULTILINE)
