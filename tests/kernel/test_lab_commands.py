# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The printed commands, run by a shell, build the same lab, and change it in the same way."""

from __future__ import annotations

from typing import Any

import pytest
from box import Box
from lab_compare import differences
from lab_scenes import EDITED, MIXED, RED_BLUE, Lab, bystanders
from lab_traces import traces, whole

LESSONS: dict[str, tuple[Lab | None, Lab]] = {
    "red and blue": (None, RED_BLUE),
    "a bit of everything": (None, MIXED),
    "an edit": (MIXED, EDITED),
    "the edit back": (EDITED, MIXED),
}


def by_shell(box: Box, commands: list[str]) -> None:
    assert commands
    for command in commands:
        box.tool("sh", "-ec", command)


def settled(box: Box) -> Any:
    shown = whole(box)
    del shown["files"]  # a shell writes no records
    return shown


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_shell_that_runs_the_printed_commands_builds_the_lab(box: Box, lesson: str) -> None:
    first, lab = LESSONS[lesson]
    bystanders(box)
    if first is not None:
        box.run("topology", definition=first)
    commands = box.run("topology", definition=lab, check=True).commands
    by_shell(box, commands)
    found = differences(lab)
    assert found == [], "\n".join(found)
    # Rules carry no mark of a lab: what a shell wrote is nobody's until it is taken over.
    again = box.run("topology", definition=lab, adopt=True)
    assert again.commands == []


@pytest.mark.parametrize("lab", [RED_BLUE, MIXED], ids=["red and blue", "a bit of everything"])
def test_a_shell_that_runs_the_printed_commands_removes_the_lab(box: Box, lab: Lab) -> None:
    bystanders(box)
    before = settled(box)
    box.run("topology", definition=lab)
    by_shell(box, box.run("topology", definition=lab, state="absent", check=True).commands)
    box.until(lambda: traces(before, settled(box)) == [], what="the namespaces are freed a moment later")
    assert box.run("topology", name=lab["name"], state="absent").commands == [], "only records are left"
