# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random labs are built, read back by tools, edited, and taken away without a trace.

``LAB_EXAMPLES=20000 make kernel ARGS='-k random_labs'`` is for a long night.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from box import Box
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from lab_compare import compare, running
from lab_edits import edits
from lab_files import Meaning, Wanted, meaning
from lab_reader import Place
from lab_scenes import bystanders
from lab_strategies import Lab, labs
from lab_traces import traces, whole

PARTS = 6
EXAMPLES = int(os.environ.get("LAB_EXAMPLES", "300"))


@pytest.mark.parametrize("part", range(PARTS))
def test_random_labs_are_built_edited_and_removed(closed_world: None, part: int) -> None:
    longer = "LAB_EXAMPLES" in os.environ

    @seed(part + (int.from_bytes(os.urandom(4), "big") if longer else 0))
    @settings(
        max_examples=-(-EXAMPLES // PARTS),
        deadline=None,
        database=None,
        phases=list(Phase) if longer else [Phase.generate],  # a failure is told at once; a longer run makes it small
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def example(data: st.DataObject) -> None:
        lab = data.draw(labs())
        edited = data.draw(edits(lab))
        note(f"lab = {json.dumps(lab)}\nedited = {json.dumps(edited)}")
        lives_and_dies(lab, edited)

    example()


def lives_and_dies(lab: Lab, edited: Lab) -> None:
    """Everything that a lab goes through, on a host where others have something, too."""
    box = Box()
    bystanders(box)
    before = whole(box)
    first = run(box, lab)
    assert first.changed == bool(lab["namespaces"] or lab.get("bridges"))
    old, there = meaning(lab), places(lab)
    run(box, edited)
    new, then = meaning(edited), places(edited)
    assert list(touched(old, new, there, then)) == []
    run(box, lab)
    assert compare(old, running(old)) == []
    gone = box.run("topology", name=lab["name"], state="absent")
    assert gone.changed == bool(lab["namespaces"] or lab.get("bridges") or lab.get("masquerade") or lab.get("forwards"))
    left = traces(before, whole(box))
    assert left == [], "\n".join(left)
    box.close()


def run(box: Box, lab: Lab) -> Any:
    """Check mode foresees what is done; what is done is what the file says; done again, it is nothing."""
    lab = {key: value for key, value in lab.items() if not key.startswith("_")}
    foreseen = box.run("topology", definition=lab, check=True)
    result = box.run("topology", definition=lab)
    assert (foreseen.changed, foreseen.commands, foreseen.object) == (result.changed, result.commands, result.object)
    places(lab)
    again = box.run("topology", definition=lab)
    assert (again.changed, again.commands) == (False, [])
    return result


def places(lab: Lab) -> Mapping[str | None, Place]:
    """What runs; it must be what the file says."""
    wanted = meaning(lab)
    found = running(wanted)
    differences = compare(wanted, found)
    assert differences == [], "\n".join(differences)
    return found


def touched(
    old: Meaning, new: Meaning, there: Mapping[str | None, Place], then: Mapping[str | None, Place]
) -> Iterator[str]:
    """What an edit was not about and changed all the same."""
    named = {text for one in new.interfaces() for text in one.addresses}
    for one in old.interfaces():
        other = new.get(one.key)
        if other is None or not same_device(one, other):
            continue
        for name, before in there[one.netns].interfaces.items():
            after = then[one.netns].interfaces.get(name)
            if name == one.name and (after is None or after.index != before.index):
                yield f"{one.key} was made anew"
            elif name == one.name and one == other and one.networks and before.addresses & named:
                continue  # chosen for it once, and now somebody else's
            elif name == one.name and one == other and (before.mac, before.addresses) != (after.mac, after.addresses):
                yield f"{one.key} was changed: {before} -> {after}"


def same_device(one: Wanted, other: Wanted) -> bool:
    """Whether the kernel can turn one into the other without making it anew."""
    if (one.kind, one.peer, one.parent) != (other.kind, other.peer, other.parent):
        return False
    return one.kind != "vxlan" or one.options == other.options
