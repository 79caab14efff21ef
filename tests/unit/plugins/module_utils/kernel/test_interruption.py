# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Being asked to end, waiting for another run, and telling how far one is."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Busy, Interrupted, KernelError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import (
    descriptors,
    holds,
    interruption,
    labs,
    rundir,
)

# ---- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_noticed_where_it_is_checked_and_only_once(number: signal.Signals) -> None:
    with interruption.deferred():
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted, match=f"^stopped by {number.name}; everything") as caught:
            interruption.check()
        interruption.check()
    assert caught.value.details == {"signal": number.name}


def test_nobody_who_was_not_asked_to_end_ends() -> None:
    with interruption.deferred():
        interruption.check()
    interruption.check()


def test_a_signal_that_nobody_checked_is_forgotten_with_its_block() -> None:
    with interruption.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
    interruption.check()


def test_what_signals_did_before_they_do_again_also_after_an_error() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: seen.append(number))
    try:
        with pytest.raises(ZeroDivisionError), interruption.deferred():
            os.kill(os.getpid(), signal.SIGHUP)
            raise ZeroDivisionError
        assert seen == []
        os.kill(os.getpid(), signal.SIGHUP)
        assert seen == [signal.SIGHUP]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_the_block_runs_as_it_would_without() -> None:
    seen: list[str] = []

    def run() -> None:
        with interruption.deferred():
            interruption.check()
            seen.append("ran")

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == ["ran"]
    assert signal.getsignal(signal.SIGTERM) is before


# ---- the lock


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(rundir, "DIRECTORY", str(tmp_path))
    return tmp_path


def test_who_waited_long_enough_is_told_who_holds_the_lock(run: Path) -> None:
    with rundir.locked("lab red-blue"), pytest.raises(Busy) as caught, rundir.locked("lab other", 0.05):
        pass
    assert f"at work on this machine: process {os.getpid()}, lab red-blue. Waited 0 seconds" in str(caught.value)
    assert "give a longer lock_timeout" in str(caught.value)
    assert caught.value.details["holder"] == f"process {os.getpid()}, lab red-blue"


def test_nobody_who_waited_took_the_holders_name_away(run: Path) -> None:
    with rundir.locked("lab red-blue"):
        with pytest.raises(Busy), rundir.locked("lab other", 0):
            pass
        assert (run / "lock").read_text() == f"process {os.getpid()}, lab red-blue"
    assert (run / "lock").read_text() == ""


def test_a_holder_that_did_not_say_who_it_is_is_one_all_the_same(run: Path) -> None:
    with rundir.locked("lab red-blue"):
        (run / "lock").write_text("")
        with pytest.raises(Busy, match="a process that did not say who it is"), rundir.locked("x", 0):
            pass


def test_the_lock_is_had_as_soon_as_the_other_run_ends(run: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with rundir.locked("first"):
            entered.set()
            leave.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(5)
    threading.Timer(0.05, leave.set).start()
    with rundir.locked("second", 5):
        assert leave.is_set()
    thread.join()


def test_who_waits_for_the_lock_can_be_asked_to_end(run: Path) -> None:
    with interruption.deferred(), rundir.locked("first"):
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted), rundir.locked("second"):
            pass


# ---- progress


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(labs, "FOLDER", str(tmp_path / "labs"))
    return tmp_path / "labs"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[float], None]:
    now = [100.0]
    monkeypatch.setattr(labs.time, "monotonic", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def test_progress_is_told_a_few_times_a_second(folder: Path, clock: t.Callable[[float], None]) -> None:
    progress = labs.Progress("red-blue")
    progress("cables", 1, 10)
    assert not folder.exists()
    clock(1)
    progress("cables", 2, 10)
    progress("cables", 3, 10)
    found = json.loads((folder / "red-blue.progress").read_text())
    assert found == {"pid": os.getpid(), "phase": "cables", "done": 2, "total": 10}
    clock(1)
    progress("routes", 0, 7)
    assert json.loads((folder / "red-blue.progress").read_text())["phase"] == "routes"


def test_what_a_run_told_goes_with_it_and_the_records_stay(folder: Path, clock: t.Callable[[float], None]) -> None:
    progress = labs.Progress("red-blue")
    clock(1)
    progress("cables", 2, 10)
    labs.write("other", "home", {})
    progress.close()
    assert [path.name for path in folder.iterdir()] == ["other.json"]
    labs.write("other", "home", None)
    assert not folder.exists()


def test_what_a_run_that_was_killed_left_goes_with_the_next(folder: Path) -> None:
    folder.mkdir()
    (folder / "red-blue.progress").write_text("{}")
    labs.Progress("red-blue").close()
    assert not folder.exists()


def test_trouble_with_the_file_never_disturbs_the_run(folder: Path, clock: t.Callable[[float], None]) -> None:
    folder.write_text("no folder")
    progress = labs.Progress("red-blue")
    clock(1)
    progress("cables", 2, 10)
    progress.close()


# ---- files of labs


def test_records_have_names_and_are_gone_whole(folder: Path) -> None:
    assert labs.names() == []
    labs.write("b", "home", {"x": 1})
    labs.write("a", "home", {"y": [2]})
    assert labs.names() == ["a", "b"]
    assert labs.read("b", "home") == {"x": 1}
    labs.write("a", "home", None)
    labs.write("a", "home", None)
    assert labs.names() == ["b"]


def test_a_record_of_another_host_or_boot_does_not_count(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs.write("a", "home", {"x": 1})
    assert labs.read("a", "elsewhere") is None
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(holds, "_BOOT", str(tmp_path / "boot_id"))
    assert labs.read("a", "home") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"boot": 1}', "\x00", '{"boot": "x", "home": "home", "lab": 7}'])
def test_a_file_that_is_no_record_is_an_error_that_says_what_to_do(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "a.json").write_text(text.replace('"x"', json.dumps(holds.boot())))
    with pytest.raises(KernelError, match=r"could not read the record of lab a, .*a\.json: .*Remove the file; "):
        labs.read("a", "home")


def test_a_record_that_can_not_be_written_is_an_error_with_its_path(folder: Path) -> None:
    folder.write_text("no folder")
    with pytest.raises(KernelError, match=r"could not write .*/labs/a\.json"):
        labs.write("a", "home", {})


def test_a_record_that_could_not_be_written_whole_leaves_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs.write("a", "home", {"x": 1})

    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(labs.os, "replace", refuse)
    with pytest.raises(KernelError, match="No space left on device"):
        labs.write("a", "home", {"x": 2})
    assert labs.read("a", "home") == {"x": 1}


# ---- descriptors


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (1024, 4096, 4096),
        (1024, resource.RLIM_INFINITY, 16384),
        (1024, 1 << 20, 16384),
        (1 << 20, 1 << 20, None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_is_useful(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int | None
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _which: limits[-1])
    monkeypatch.setattr(descriptors.resource, "setrlimit", lambda _which, both: limits.append(both))
    assert descriptors.available() == (wanted or (16384 if soft == resource.RLIM_INFINITY else soft))
    assert limits[1:] == ([(wanted, hard)] if wanted else [])


def test_where_the_limit_can_not_be_raised_it_is_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _which: (1024, 4096))
    monkeypatch.setattr(descriptors.resource, "setrlimit", refuse)
    assert descriptors.available() == 1024
