# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running programs: what they print, what they complain of, and what is said of those that are not there."""

from __future__ import annotations

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import namespaces, programs
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel


def test_a_program_gives_what_it_printed() -> None:
    assert programs.run(Kernel(), None, ["sh", "-c", "echo $LC_ALL; cat"]) == "C.UTF-8\n"


def test_a_complaint_becomes_the_error() -> None:
    with pytest.raises(programs.ProgramFailed) as caught:
        programs.run(Kernel(), None, ["sh", "-c", "echo no such zone >&2; exit 112"])
    assert str(caught.value) == "sh -c 'echo no such zone >&2; exit 112' failed: no such zone"
    assert caught.value.details["status"] == 112


def test_a_program_that_is_not_there_is_to_be_run_by_hand() -> None:
    with pytest.raises(programs.ProgramFailed, match=r"patchbay-nothing is not installed .* 'not there'"):
        programs.run(Kernel(), None, ["patchbay-nothing", "not there"])


def test_programs_of_the_administrator_are_found_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert programs.find("sh") is not None


def test_no_namespace_is_that_of_the_boot_where_it_can_not_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "_BOOT", "/nowhere")
    assert not programs.in_boot_namespace(Kernel(), None)
