# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is remembered of a lab under /run: written, read, joined, and what of it counts."""

from __future__ import annotations

import ipaddress
import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import labs
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import lab_group
from ansible_collections.patchbay.netns.plugins.module_utils._topology import record
from ansible_collections.patchbay.netns.plugins.module_utils._topology.record import KeepRecord, Record
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import given
from hypothesis import strategies as st

FULL = Record(
    "red-blue",
    lab_group("red-blue"),
    frozenset({"red", "blue"}),
    frozenset(
        {
            ("route", None, 254, ipaddress.ip_network("10.7.0.0/16"), 0),
            ("route", None, 100, ipaddress.ip_network("fd07::/64"), 1024),
        }
    ),
    frozenset({(None, "masquerade", "192.168.15.0/24"), ("red", "forward", "tcp 80 ipv4")}),
    {("red", "net.ipv4.ip_forward"): "0", ("", "net.ipv4.ip_forward"): ""},
    {"red/eth0": (ipaddress.ip_interface("10.0.0.2/24"), ipaddress.ip_interface("fd00::2/64"))},
)


class Home:
    """Stands in for the kernel handle: all that matters is whose machine it is."""

    def __init__(self, name: str = "cookie-1") -> None:
        self.name = name

    def identity(self, netns: str | None) -> str:
        assert netns is None
        return self.name


def read(lab: str = "red-blue", home: str = "cookie-1") -> Record | None:
    return record.read(t.cast(t.Any, Home(home)), lab)


def keep(before: Record | None, after: Record | None) -> None:
    for step in record.change(before, after):
        step.apply(t.cast(t.Any, Home()))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(labs, "FOLDER", str(tmp_path / "labs"))
    return tmp_path / "labs"


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_maybe = st.one_of(st.none(), _texts)
_routes = st.tuples(st.just("route"), st.none(), st.integers(0, 1000), some.networks(), st.integers(0, 2**32 - 1))
records = st.builds(
    Record,
    st.sampled_from(["a", "b.c_d-e"]),
    st.integers(1, 2**31),
    st.frozensets(_texts),
    st.frozensets(_routes, max_size=3),
    st.frozensets(st.tuples(_maybe, st.sampled_from(["forward", "masquerade"]), _texts), max_size=3),
    st.dictionaries(st.tuples(_texts, _texts), _texts, max_size=3),
    st.dictionaries(_texts, st.lists(some.host_interfaces(), max_size=2).map(tuple), max_size=3),
)


@given(records)
def test_a_record_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, written: Record) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(labs, "FOLDER", str(tmp_path_factory.mktemp("run") / "labs"))
        keep(None, written)
        assert read(written.lab) == written


def test_the_file_is_the_same_for_the_same_record(folder: Path) -> None:
    keep(None, FULL)
    first = (folder / "red-blue.json").read_text()
    keep(
        None,
        Record(
            FULL.lab, FULL.group, frozenset(sorted(FULL.namespaces)), FULL.routes, FULL.nat, FULL.settings, FULL.chosen
        ),
    )
    assert (folder / "red-blue.json").read_text() == first
    assert json.loads(first)["lab"]["namespaces"] == ["blue", "red"]


def test_the_record_that_goes_takes_file_and_folder_along(folder: Path) -> None:
    keep(None, FULL)
    keep(FULL, None)
    assert not folder.exists()
    assert read() is None


def test_a_record_of_another_host_does_not_count(folder: Path) -> None:
    keep(None, FULL)
    assert read(home="cookie-2") is None


def test_a_broken_record_is_an_error_that_says_what_to_do(folder: Path) -> None:
    folder.mkdir()
    (folder / "red-blue.json").write_text("{")
    with pytest.raises(
        KernelError, match=r"could not read the record of lab red-blue, .*Remove the file; the next run finds"
    ):
        read()


def test_a_record_of_an_older_version_may_lack_what_was_not_known_then(folder: Path) -> None:
    labs.write("red-blue", "cookie-1", {"namespaces": ["red"]})
    assert read() == Record("red-blue", lab_group("red-blue"), frozenset({"red"}))


def test_other_labs_are_known_by_the_groups_of_their_links(folder: Path) -> None:
    keep(None, FULL)
    keep(None, Record("other", 77))
    keep(None, Record("mine", 78))
    (folder / "broken.json").write_text("{")
    labs.write("elsewhere", "cookie-2", {"group": 79})
    assert record.groups(t.cast(t.Any, Home()), "mine") == {FULL.group: "red-blue", 77: "other"}


def test_a_lab_whose_group_is_taken_gets_the_next() -> None:
    first = lab_group("red-blue")
    assert lab_group("red-blue", {first}) == first + 1
    assert lab_group("red-blue", {first, first + 1}) == first + 2
    last = 0x7062FFFF
    every = set(range(first, last + 1))
    assert lab_group("red-blue", every) == 0x70620001


# ---- joining


def test_while_one_lab_becomes_another_both_are_on_record() -> None:
    after = Record(
        "red-blue",
        FULL.group,
        frozenset({"blue", "green"}),
        settings={("red", "net.ipv4.ip_forward"): "1", ("green", "x"): "5"},
        chosen={"red/eth0": (ipaddress.ip_interface("10.0.0.9/24"),)},
    )
    both = FULL.joined(after)
    assert both.namespaces == {"red", "blue", "green"}
    assert (both.routes, both.nat) == (FULL.routes, FULL.nat)
    assert both.settings[("red", "net.ipv4.ip_forward")] == "0"  # what was before the lab stays what was before
    assert both.settings[("green", "x")] == "5"
    assert both.chosen == after.chosen


@given(records)
def test_joining_what_is_the_same_changes_nothing(one: Record) -> None:
    assert one.joined(one) == one


def test_the_same_record_needs_no_step() -> None:
    assert record.change(FULL, FULL) == []
    assert record.change(None, None) == []
    (step,) = record.change(None, FULL)
    assert isinstance(step, KeepRecord)
    assert step.commands() == []
    (back,) = step.undo()
    assert (back.before, back.after) == ((FULL,), ())
