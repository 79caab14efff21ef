# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies in files: names of namespaces, records of settings, name servers, the lock."""

from __future__ import annotations

import errno
import fcntl
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError, NotFound
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import holds, namespaces, resolver, rundir
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.holds import Record
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def run_netns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "netns"
    monkeypatch.setattr(namespaces, "DIRECTORY", str(folder))
    return folder


# ---- namespaces


def test_without_a_folder_there_is_no_namespace(run_netns: Path) -> None:
    assert namespaces.names() == []


def test_names_are_sorted(run_netns: Path) -> None:
    run_netns.mkdir()
    for name in ("red2", "blue", "red"):
        (run_netns / name).touch()
    assert namespaces.names() == ["blue", "red", "red2"]


def test_a_missing_namespace_is_named_with_those_that_are_there(run_netns: Path) -> None:
    run_netns.mkdir()
    (run_netns / "red2").touch()
    with pytest.raises(NotFound, match=r"^network namespace red does not exist\. Present: red2\. Create it first"):
        namespaces.open_file("red")


def test_where_there_are_many_the_first_ten_are_named(run_netns: Path) -> None:
    run_netns.mkdir()
    for number in range(12):
        (run_netns / f"n{number:02}").touch()
    assert str(namespaces.missing("red")).count("n0") == 10


def test_where_there_is_none_this_is_said(run_netns: Path) -> None:
    assert "None is present." in str(namespaces.missing("red"))


def test_row_38_a_leftover_file_is_no_namespace(run_netns: Path) -> None:
    run_netns.mkdir()
    (run_netns / "red").touch()
    with pytest.raises(NotFound, match=r"is a leftover file, not a namespace.*Run the netns module with name: red"):
        namespaces.open_file("red")


def test_row_38_a_file_that_stays_no_namespace_is_stale(run_netns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "_MOUNT_WINDOW", 0)
    run_netns.mkdir()
    (run_netns / "red").touch()
    assert namespaces.is_stale("red")


def test_row_38_a_link_that_leads_nowhere_is_stale(run_netns: Path) -> None:
    run_netns.mkdir()
    (run_netns / "red").symlink_to("nowhere")
    assert namespaces.is_stale("red")


def test_no_file_is_not_stale(run_netns: Path) -> None:
    assert not namespaces.is_stale("red")


def test_a_file_that_becomes_a_namespace_in_time_is_not_stale(run_netns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([False, False, True])
    monkeypatch.setattr(namespaces, "_is_namespace", lambda file: next(looks))
    assert not namespaces.is_stale("red")


# ---- records of settings

records = st.dictionaries(st.text(min_size=1), st.builds(Record, st.text(), st.lists(st.text())), max_size=3)


@given(records)
def test_records_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, written: t.Any) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(holds, "DIRECTORY", str(tmp_path_factory.mktemp("run")))
        holds.write("cookie-1", written)
        assert holds.read("cookie-1") == written


@pytest.fixture
def run_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(holds, "DIRECTORY", str(tmp_path))
    return tmp_path / "holds"


def test_a_namespace_without_records_has_none(run_holds: Path) -> None:
    assert holds.read("cookie-1") == {}


def test_the_last_record_takes_file_and_folder_along(run_holds: Path) -> None:
    holds.write("cookie-1", {"net.ipv4.ip_forward": Record("0", ["lab"])})
    holds.write("cookie-1", {})
    assert not run_holds.exists()


def test_a_record_of_the_time_before_a_reboot_does_not_count(
    run_holds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds.write("cookie-1", {"net.ipv4.ip_forward": Record("0", ["lab"])})
    another = tmp_path / "boot_id"
    another.write_text("another boot\n")
    monkeypatch.setattr(holds, "_BOOT", str(another))
    assert holds.read("cookie-1") == {}


def test_no_record_can_be_written_twice(run_holds: Path) -> None:
    holds.write("cookie-1", {})
    holds.write("cookie-1", {})


def test_records_of_two_namespaces_are_apart(run_holds: Path) -> None:
    holds.write("cookie-1", {"net.ipv4.ip_forward": Record("0", ["lab"])})
    assert holds.read("cookie-10") == {}


# ---- name servers


@pytest.fixture
def etc_netns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "netns"
    monkeypatch.setattr(resolver, "DIRECTORY", str(folder))
    return folder


def test_name_servers_are_read_as_they_were_written(etc_netns: Path) -> None:
    resolver.write("red", resolver.text(["9.9.9.9"]))
    assert resolver.read("red") == f"{resolver.MARK}nameserver 9.9.9.9\n"


def test_a_namespace_without_a_file_has_none(etc_netns: Path) -> None:
    assert resolver.read("red") is None


def test_removing_leaves_no_empty_folder(etc_netns: Path) -> None:
    resolver.write("red", "x")
    resolver.remove("red")
    assert not etc_netns.exists()


def test_removing_leaves_the_files_of_others(etc_netns: Path) -> None:
    resolver.write("red", "x")
    (etc_netns / "red/hosts").touch()
    resolver.write("red2", "x")
    resolver.remove("red")
    assert sorted(path.name for path in etc_netns.rglob("*")) == ["hosts", "red", "red2", "resolv.conf"]


def test_removing_what_is_not_there_is_fine(etc_netns: Path) -> None:
    resolver.remove("red")


def test_a_file_that_can_not_be_written_is_an_error_with_its_path(etc_netns: Path) -> None:
    etc_netns.touch()
    with pytest.raises(KernelError, match=f"could not write {etc_netns}/red/resolv.conf"):
        resolver.write("red", "x")


# ---- the lock


def test_row_43_while_one_run_holds_the_lock_another_can_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rundir, "DIRECTORY", str(tmp_path))
    with rundir.locked("a test"), (tmp_path / "lock").open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_row_43_the_lock_is_given_back_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rundir, "DIRECTORY", str(tmp_path))
    with pytest.raises(ZeroDivisionError), rundir.locked("a test"):
        raise ZeroDivisionError
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_who_can_not_make_the_lock_is_told_to_become_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "makedirs", refuse)
    with (
        pytest.raises(KernelError, match=r"Permission denied. This needs root: set become: true"),
        rundir.locked("a test"),
    ):
        pass
