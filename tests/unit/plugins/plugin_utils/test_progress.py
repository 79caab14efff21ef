# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress: neither too early nor too many lines, and never in the way of the work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.plugin_utils import _progress

SEEN = json.dumps({"pid": 1, "phase": "namespaces", "done": 340, "total": 1000})
LINE = "lab red-blue on host: namespaces 340/1000"


class Clock:
    """Stands in for ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_progress, "time", clock)
    return clock


def lines() -> tuple[_progress.Lines, list[str]]:
    shown: list[str] = []
    return _progress.Lines(shown.append, "lab red-blue on host"), shown


def test_a_run_that_is_over_soon_shows_nothing(clock: Clock) -> None:
    watch, shown = lines()
    for _number in range(9):
        clock.now += 0.1
        watch("namespaces", 340, 1000)
    assert shown == []


def test_lines_come_at_intervals(clock: Clock) -> None:
    watch, shown = lines()
    for number in range(100):
        clock.now += 0.1
        watch("namespaces", number, 100)
    assert [line.rpartition(" ")[2] for line in shown] == ["9/100", "29/100", "49/100", "69/100", "89/100"]


def test_the_same_line_is_not_shown_twice(clock: Clock) -> None:
    watch, shown = lines()
    for _number in range(100):
        clock.now += 1
        watch("namespaces", 340, 1000)
    assert shown == [LINE]


def test_a_display_that_fails_does_not_matter(clock: Clock) -> None:
    def broken(_line: str) -> None:
        raise BrokenPipeError

    clock.now += 0
    watch = _progress.Lines(broken, "lab")
    clock.now += 10
    watch("namespaces", 1, 2)


# ---- looking from outside


def looked(look: t.Callable[[], str], seconds: float = 0.3) -> list[str]:
    watch, shown = lines()
    watch._next = 0
    with _progress.watched(look, watch, first=0.01, pause=0.01):
        time.sleep(seconds)
    return shown


def test_what_is_seen_is_shown() -> None:
    assert looked(lambda: SEEN) == [LINE]


@pytest.mark.parametrize("seen", ["", "no JSON", "[]", "{}", '{"phase": "x", "done": null, "total": 1}'])
def test_what_is_no_progress_is_not_shown(seen: str) -> None:
    assert looked(lambda: seen) == []


def test_a_look_that_fails_is_not_the_last_one() -> None:
    answers = iter(["", SEEN])
    assert looked(lambda: next(answers)) == [LINE]


def test_nothing_is_shown_once_the_work_is_over() -> None:
    started, free = threading.Event(), threading.Event()

    def late() -> str:
        started.set()
        free.wait(5)
        return SEEN

    watch, shown = lines()
    watch._next = 0
    with _progress.watched(late, watch, first=0):
        started.wait(5)
        threading.Timer(0.1, free.set).start()
    assert shown == []


def test_a_look_that_hangs_does_not_hold_the_work_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "PATIENCE", 0.05)
    free = threading.Event()
    begun = time.monotonic()
    looked(lambda: str(free.wait(10)), seconds=0.05)
    assert time.monotonic() - begun < 5
    free.set()


def test_requests_to_end_are_for_the_thread_that_works() -> None:
    masks = []

    def look() -> str:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        return SEEN

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    looked(look)
    assert masks[0] >= {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_an_error_of_the_work_passes_through() -> None:
    watch, _shown = lines()
    with pytest.raises(ZeroDivisionError), _progress.watched(lambda: SEEN, watch):
        raise ZeroDivisionError


# ---- the command that looks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_progress, "FOLDER", str(tmp_path))
    return tmp_path


def printed(lab: str) -> str:
    command = _progress.command(lab)
    assert command
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
@pytest.mark.parametrize("end", ["", "\n"])
def test_the_progress_of_a_living_run_is_read(folder: Path, separators: tuple[str, str], end: str) -> None:
    content = json.dumps({"phase": "a b", "done": 1, "total": 2, "pid": os.getpid()}, separators=separators)
    (folder / "red-blue.progress").write_text(content + end)
    assert printed("red-blue") == content + "\n"


def test_what_a_killed_run_left_is_not_read(folder: Path) -> None:
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    (folder / "red-blue.progress").write_text(json.dumps({"pid": dead.pid, "phase": "x", "done": 1, "total": 2}))
    assert printed("red-blue") == ""


@pytest.mark.parametrize("content", ["", "nothing", '{"pid": null}', '{"pid": "1"}'])
def test_what_is_no_progress_file_is_not_read(folder: Path, content: str) -> None:
    (folder / "red-blue.progress").write_text(content)
    assert printed("red-blue") == ""


@pytest.mark.usefixtures("folder")
def test_a_run_without_progress_is_silent() -> None:
    assert printed("red-blue") == ""


@pytest.mark.parametrize("lab", ["", "../etc", "a b", "$(reboot)", "-a", "x" * 64, "red\n"])
def test_a_name_that_no_lab_has_is_not_looked_for(lab: str) -> None:
    assert _progress.command(lab) is None
