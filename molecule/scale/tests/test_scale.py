# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hundred namespaces on four bridges: all are there, packets pass, and when they were removed before nothing was left."""

from __future__ import annotations

import json

import pytest
from probing import Probe
from testinfra.host import Host

HOST, OUTSIDE = "192.168.1.2", "192.168.1.50"
NAMES = {f"net{bridge}-{number}" for bridge in (1, 2, 3, 4) for number in range(1, 51)}
EMPTY = {"/run/patchbay.netns/holds", "/run/patchbay.netns/labs", "/run/patchbay.netns/lock"}
"""What stays once the collection was used. A lock can't be removed while others may wait for it."""


def address(name: str) -> str:
    """Which address a namespace is expected to have: addresses are dealt out in the order of the file, after the bridge's own .1."""
    bridge, number = name.removeprefix("net").split("-")
    return f"10.80.{bridge}.{int(number) + 1}"


def test_all_are_there_and_nobody_else(probe: Probe) -> None:
    assert set(probe.run("namespaces")) == NAMES | {"outside"}
    assert len(probe.run("links")) == len(NAMES) + 4 + len(["lo", "uplink"])


def test_the_host_reaches_every_namespace(host: Host) -> None:
    # One process for all of them: starting Python two hundred times takes longer than the lab.
    script = "import json, sys, probe; print([a for a in sys.argv[1:] if probe.ping(a, None, 1.0, 56)['outcome'] != 'reached'])"
    everybody = " ".join(sorted(map(address, NAMES)))
    assert host.check_output(f'cd /root && python3 -c "{script}" {everybody}') == "[]"


@pytest.mark.parametrize("name", ["net1-1", "net2-17", "net4-50"])
def test_namespaces_reach_all_bridges_and_the_outside(probe: Probe, name: str) -> None:
    others = [address(other) for other in ("net1-50", "net2-1", "net3-25", "net4-1")]
    assert [probe.ping(to, netns=name) for to in (*others, OUTSIDE)] == ["reached"] * 5


def test_who_is_seen(probe: Probe) -> None:
    with probe.server(8000, netns="outside") as token:
        assert probe.ask(OUTSIDE, 8000, netns="net3-3") == {"outcome": "reached", "who": token, "caller": HOST}
    with probe.server(8000, netns="net1-1") as token:
        answer = probe.ask(address("net1-1"), 8000, netns="net4-50")
        assert answer == {"outcome": "reached", "who": token, "caller": address("net4-50")}


def test_after_the_removal_the_machine_was_as_before(host: Host) -> None:
    before, gone = (json.loads(host.file(f"/root/{name}.json").content_string) for name in ("before", "gone"))
    assert {part for part in before if part != "files" and gone[part] != before[part]} == set()
    assert [path for path in gone["files"] if path not in EMPTY] == before["files"]
