# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While it was prepared the machine had the lab, edited it and removed it: the snapshots say what was left."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

Snapshot = dict[str, Any]
EMPTY = {"/run/patchbay.netns/holds", "/run/patchbay.netns/labs", "/run/patchbay.netns/lock"}
"""What stays once the collection was used. A lock can't be removed while others may wait for it."""


@pytest.fixture(scope="module")
def snapshots(host: Host) -> dict[str, Snapshot]:
    return {name: json.loads(host.file(f"/root/{name}.json").content_string) for name in ("before", "built", "gone")}


def test_there_was_something_to_take_down(snapshots: dict[str, Snapshot]) -> None:
    before, built = snapshots["before"], snapshots["built"]
    assert set(built["namespaces"]) - set(before["namespaces"]) == {"blue", "green"}
    assert (before["sysctls"]["net/ipv4/ip_forward"], built["sysctls"]["net/ipv4/ip_forward"]) == ("0", "1")


@pytest.mark.parametrize("part", ["namespaces", "host", "stacks", "sysctls"])
def test_the_machine_is_as_it_was(snapshots: dict[str, Snapshot], part: str) -> None:
    assert snapshots["gone"][part] == snapshots["before"][part]


def test_no_file_is_left(snapshots: dict[str, Snapshot]) -> None:
    assert [path for path in snapshots["gone"]["files"] if path not in EMPTY] == snapshots["before"]["files"]
