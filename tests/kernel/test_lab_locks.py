# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs at the same time wait for each other, for as long as they were told to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from box import Box
from doors import Failed
from lab_compare import differences
from lab_faults import Operations, watching
from lab_scenes import MIXED, RED_BLUE, Lab, changed
from lab_traces import files, traces, whole


def numbered(number: int) -> Lab:
    """A lab that has its own names and subnets."""
    return {
        "name": f"lab-{number}",
        "bridges": {f"br-{number}": {"addresses": [f"10.{100 + number}.0.1/24", f"fd00:{number}::1/64"]}},
        "namespaces": {
            f"l{number}-n{{n}}": {
                "count": 3,
                "interfaces": {"eth0": {"bridge": f"br-{number}", "addresses": "auto"}},
                "gateway": f"10.{100 + number}.0.1",
            }
        },
        "masquerade": [{"source": f"10.{100 + number}.0.0/24"}],
    }


@contextlib.contextmanager
def stopped(box: Box, lab: Lab) -> Iterator[int]:
    """While the block runs, a run of the lab stands still in the middle of its work. Yields its process id."""
    arrived, release = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:

        class Waits(Operations):
            def step(self) -> None:
                if self.here():
                    os.write(arrived[1], b"x")
                    os.read(release[0], 1)

        with watching(Waits(3)):
            box.run("topology", definition=lab)
        os._exit(0)
    os.read(arrived[0], 1)
    try:
        yield child
    finally:
        os.write(release[1], b"x")
        _pid, status = os.waitpid(child, 0)
        for end in (*arrived, *release):
            os.close(end)
    assert status == 0


def test_a_run_waits_for_another_that_is_at_work(box: Box) -> None:
    other = numbered(1)

    def second() -> bool:
        return box.run("topology", definition=other).changed

    read, write = os.pipe()
    with stopped(box, RED_BLUE):
        child = os.fork()
        if child == 0:
            changed_ = second()
            os.write(write, b"1" if changed_ else b"0")
            os._exit(0)
        os.set_blocking(read, False)
        box.until(lambda: waits(child), what="the second run waits")
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
        assert box.names() != [], "the first one has begun"
        assert "l1-n1" not in box.names()
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"1"
    assert differences(RED_BLUE, alone=False) == []
    assert differences(other, alone=False) == []
    os.close(read)
    os.close(write)


def waits(process: int) -> bool:
    """Whether the process has the lock's file open."""
    with contextlib.suppress(FileNotFoundError):
        return any(file.readlink().match("*/patchbay.netns/lock") for file in Path(f"/proc/{process}/fd").iterdir())
    return False


@pytest.mark.parametrize(
    "params", [{"definition": RED_BLUE}, {"name": "red-blue", "state": "absent"}], ids=["build", "absent"]
)
def test_who_waited_long_enough_is_told_for_whom(box: Box, params: dict[str, Any]) -> None:
    with stopped(box, MIXED) as holder:
        before = whole(box)
        with pytest.raises(Failed) as failure:
            box.run("topology", **params, lock_timeout=1)
        assert failure.value.code == "BUSY"
        assert str(holder) in failure.value.msg
        assert "lab mixed" in failure.value.msg
        assert "lock_timeout" in failure.value.msg
        assert traces(before, whole(box)) == []
    assert differences(MIXED) == []


def test_no_patience_means_at_once(box: Box) -> None:
    with stopped(box, MIXED), pytest.raises(Failed, match="lab mixed") as failure:
        box.run("topology", definition=RED_BLUE, lock_timeout=0)
    assert failure.value.code == "BUSY"


def test_the_single_modules_wait_for_a_lab_too_and_check_mode_for_nobody(box: Box) -> None:
    with stopped(box, RED_BLUE):
        assert box.run("topology", definition=numbered(1), check=True, lock_timeout=0).changed
        child = os.fork()
        if child == 0:
            box.run("netns", name="single")
            os._exit(0)
        box.until(lambda: waits(child), what="the module waits")
        assert "single" not in box.names()
    assert os.waitpid(child, 0)[1] == 0
    assert "single" in box.names()


def test_a_lock_whose_holder_died_is_free(box: Box) -> None:
    def die() -> None:
        class Dies(Operations):
            def step(self) -> None:
                if self.here():
                    os._exit(9)

        with watching(Dies(5)):
            box.run("topology", definition=MIXED)

    box.parallel([die])
    box.run("topology", definition=MIXED, lock_timeout=0)
    assert differences(MIXED) == []


def test_pitfall_43_eight_runs_of_one_lab_at_once_end_like_one(box: Box) -> None:
    box.run("topology", definition=MIXED)
    serial = whole(box)
    box.run("topology", definition=MIXED, state="absent")
    results = box.parallel([lambda: box.run("topology", definition=MIXED).changed] * 8)
    assert sorted(results) == [False] * 7 + [True], results
    assert differences(MIXED) == []
    left = [text for text in traces(serial, whole(box)) if "/files/" not in text]
    assert left == [], "\n".join(left)
    results = box.parallel([lambda: box.run("topology", name="mixed", state="absent").changed] * 8)
    assert sorted(results) == [False] * 7 + [True], results
    assert box.names() == []


def test_eight_labs_built_side_by_side_know_nothing_of_each_other(box: Box) -> None:
    before = whole(box)
    labs = [numbered(number) for number in range(8)]
    results = box.parallel([lambda lab=lab: box.run("topology", definition=lab).changed for lab in labs])
    assert results == [True] * 8
    for lab in labs:
        assert differences(lab, alone=False) == []
        assert not box.run("topology", definition=lab).changed
    results = box.parallel(
        [lambda lab=lab: box.run("topology", definition=lab, state="absent").changed for lab in labs[::2]]
        + [lambda lab=lab: box.run("topology", definition=edited(lab)).changed for lab in labs[1::2]]
    )
    assert results == [True] * 8
    for lab in labs[1::2]:
        assert differences(edited(lab), alone=False) == []
        box.run("topology", definition=lab, state="absent")
    assert traces(before, whole(box)) == []
    assert files("/run/patchbay.netns") == {}


def edited(lab: Lab) -> Lab:
    return changed(lab, lambda lab: next(iter(lab["namespaces"].values())).update(count=2))


def test_pitfall_36_the_same_names_can_be_made_and_removed_200_times(box: Box) -> None:
    before = whole(box)
    lab = {
        "name": "again",
        "bridges": {"v-net-0": {"addresses": "192.168.15.5/24"}},
        "namespaces": {
            "red": {
                "interfaces": {"veth-red": {"bridge": "v-net-0", "addresses": "auto"}, "eth1": {"cable": "blue/eth1"}}
            },
            "blue": {"interfaces": {"veth-blue": {"bridge": "v-net-0", "addresses": "auto"}}},
        },
    }
    for number in range(200):
        assert box.run("topology", definition=lab).changed
        if number % 20 == 0:
            assert box.ping("red", "192.168.15.2")
            assert differences(lab) == []
        assert box.run("topology", name="again", state="absent").changed
        assert box.names() == []
    assert traces(before, whole(box)) == []
    assert files("/run/patchbay.netns") == {}
