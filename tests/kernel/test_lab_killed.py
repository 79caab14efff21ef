# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that is killed at any moment is no loss; one that is asked to end takes back what it did, and then ends."""

from __future__ import annotations

import itertools
import os
import signal
import time
from typing import Any

import pytest
from box import Box
from doors import Failed
from lab_compare import differences
from lab_faults import Operations, killed, watching
from lab_scenes import EDITED, MIXED, RED_BLUE, Lab, bystanders, changed
from lab_traces import traces, whole

RUNS: dict[str, tuple[Lab | None, dict[str, Any]]] = {
    "build": (None, {"definition": MIXED}),
    "edit": (MIXED, {"definition": EDITED}),
    "absent": (MIXED, {"name": "mixed", "state": "absent"}),
}
OTHER = changed(
    RED_BLUE,
    lambda lab: lab.update(
        name="other",
        bridges={"v-other": {"addresses": ["10.60.0.5/24"]}},
        namespaces={"o{n}": {"count": 2, "interfaces": {"eth0": {"bridge": "v-other", "addresses": "auto"}}}},
    ),
)
SHARES = 3


def settled(box: Box, lab: Lab | None) -> None:
    """Run the file, or none: what is there then is what it says, and stays."""
    if lab is None:
        box.run("topology", name="mixed", state="absent")
        assert not box.run("topology", name="mixed", state="absent").changed
        return
    box.run("topology", definition=lab)
    found = differences(lab, alone=lab is not OTHER)
    assert found == [], "\n".join(found)
    again = box.run("topology", definition=lab)
    assert again.commands == []


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("run", RUNS)
def test_whatever_runs_after_a_killed_run_gets_what_it_wants(box: Box, run: str, share: int) -> None:
    """After each death another lab is built first, then the same lab: as the dead run wanted it, as another file has it."""
    first, params = RUNS[run]
    bystanders(box)
    before = whole(box)
    for at in itertools.count(share, SHARES):
        if first is not None:
            box.run("topology", definition=first)
        if not killed(box, at, **params):
            break
        if at % 2:
            settled(box, OTHER)
        settled(box, params.get("definition") if at % 4 < 2 else [MIXED, EDITED, None][at // 4 % 3])
        if at % 2:
            assert differences(OTHER, alone=False) == []
            box.run("topology", definition=OTHER, state="absent")
        settled(box, None)
        left = traces(before, whole(box))
        assert left == [], f"after death at operation {at}:\n" + "\n".join(left)
    assert at > 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_is_asked_to_end_takes_back_what_it_did(box: Box, run: str, number: signal.Signals) -> None:
    first, params = RUNS[run]
    bystanders(box)
    if first is not None:
        box.run("topology", definition=first)
    before = whole(box)

    class Asked(Operations):
        def here(self) -> bool:
            if super().here():
                os.kill(os.getpid(), number)
            return False

    def job(at: int) -> Any:
        with watching(Asked(at)):
            try:
                box.run("topology", **params)
            except Failed as failure:
                return failure.code, failure.msg
        return "through", ""

    for at in (0, 1, 7, 14, 20):
        ((code, words),) = box.parallel([lambda at=at: job(at)])
        assert code == "INTERRUPTED", f"asked at operation {at}: {code} {words}"
        assert number.name in words
        left = traces(before, whole(box))
        assert left == [], f"asked at operation {at}:\n" + "\n".join(left)
    assert box.run("topology", **params).changed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_run_that_waits_for_another_ends_at_once_when_asked(box: Box, number: signal.Signals) -> None:
    box.run("topology", definition=OTHER)
    started, release = os.pipe(), os.pipe()

    def holder() -> str:
        class Waits(Operations):
            def step(self) -> None:
                if self.here():
                    os.write(started[1], b"x")
                    os.read(release[0], 1)

        with watching(Waits(0)):
            box.run("topology", definition=RED_BLUE)
        return "through"

    def waiter() -> str:
        os.read(started[0], 1)
        child = os.fork()
        if child == 0:
            time.sleep(0.3)
            os.kill(os.getppid(), number)
            os._exit(0)
        begin = time.monotonic()
        try:
            box.run("topology", definition=OTHER, state="absent")
            return "was not stopped"
        except Failed as failure:
            return f"{failure.code} {time.monotonic() - begin < 2}"
        finally:
            os.waitpid(child, 0)
            os.write(release[1], b"x")

    assert box.parallel([holder, waiter]) == ["through", "INTERRUPTED True"]
    assert differences(OTHER) == []
    for end in (*started, *release):
        os.close(end)
