# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings under /proc/sys: their paths, reading and writing."""

from __future__ import annotations

import errno
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import procsys
from hypothesis import given
from hypothesis import strategies as st

FORWARD = "net.ipv4.ip_forward"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc/sys with one setting in it."""
    monkeypatch.setattr(procsys, "_path", lambda name: str(tmp_path.joinpath(*procsys.parts(name))))
    (tmp_path / "net/ipv4").mkdir(parents=True)
    (tmp_path / "net/ipv4/ip_forward").write_text("0\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_a_name_is_a_path_as_in_sysctl(name: str, path: str) -> None:
    assert procsys._path(name) == f"/proc/sys/{path}"


@given(st.lists(st.text("ab.", min_size=1).filter(lambda part: part.strip(".")), min_size=2))
def test_both_separators_lead_to_the_same_place(parts: list[str]) -> None:
    dotted = ".".join(part.replace(".", "/") for part in parts)
    if dotted.startswith("/"):
        return  # a dot at the beginning of the first part can't be told from the other separator
    first = dotted.find("."), dotted.find("/")
    if first[1] != -1 and first[1] < first[0]:
        return
    assert procsys.parts(dotted) == parts


@given(st.text())
def test_folding_twice_is_folding_once(value: str) -> None:
    assert procsys.fold(procsys.fold(value)) == procsys.fold(value)


@pytest.mark.parametrize(("value", "folded"), [(1, "1"), ("4096\t87380\t6291456\n", "4096 87380 6291456"), ("", "")])
def test_white_space_is_folded(value: object, folded: str) -> None:
    assert procsys.fold(value) == folded


def test_a_value_is_read_without_its_line_end(tree: Path) -> None:
    assert procsys.read(FORWARD) == "0"


@pytest.mark.parametrize("name", ["net.ipv4.no_such_thing", "net.no.such.folder", f"{FORWARD}.below_a_file"])
def test_a_setting_that_is_not_there_is_none(tree: Path, name: str) -> None:
    assert procsys.read(name) is None


def test_another_value_is_written(tree: Path) -> None:
    procsys.write(FORWARD, "1")
    assert procsys.read(FORWARD) == "1"


def test_an_empty_value_is_written(tree: Path) -> None:
    """To the kernel, no write at all is no change: an empty value is an empty line."""
    file = tree / "net/ipv4/ip_forward"
    file.write_text("")
    procsys.write(FORWARD, "")
    assert file.read_text() == "\n"


@pytest.fixture
def refusing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[int], None]:
    """Lets nothing be written any more: every try has the error."""

    def refuse(number: int) -> None:
        def opened(*_arguments: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "open", opened)

    return refuse


def test_row_35_a_value_that_can_not_be_written_is_fine_where_it_is_there_already(
    refusing: t.Callable[[int], None],
) -> None:
    refusing(errno.EROFS)
    procsys.write(FORWARD, " 0\n")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EROFS, "read-only here"),
        (errno.EINVAL, "The kernel does not take this value."),
        (errno.EACCES, "set become: true"),
        (errno.EIO, "Input/output error."),
    ],
)
def test_row_35_a_value_that_can_not_be_written_is_an_error_with_a_way_out(
    refusing: t.Callable[[int], None], number: int, hint: str
) -> None:
    refusing(number)
    with pytest.raises(KernelError, match=f"could not set {FORWARD} to '1'.*{hint}"):
        procsys.write(FORWARD, "1")


def test_a_value_that_can_not_be_read_is_an_error_not_absence(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> object:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(procsys, "open", refuse, raising=False)
    with pytest.raises(KernelError, match="could not read"):
        procsys.read(FORWARD)
