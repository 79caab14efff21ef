# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All labs were built and taken down, one of them half destroyed in between: the machine is as it was before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from probing import Probe
from testinfra.host import Host

Snapshot = dict[str, Any]


@pytest.fixture(scope="module")
def before(host: Host) -> Snapshot:
    return read(host, "/root/before.json")


@pytest.fixture(scope="module")
def built(host: Host) -> Snapshot:
    return read(host, "/root/built.json")


@pytest.fixture(scope="module")
def now(host: Host) -> Snapshot:
    snapshot: Snapshot = json.loads(host.check_output("python3 /root/snapshot.py"))
    return snapshot


def read(host: Host, path: str) -> Snapshot:
    snapshot: Snapshot = json.loads(host.file(path).content_string)
    return snapshot


def test_there_was_something_to_take_down(before: Snapshot, built: Snapshot) -> None:
    added = set(built["namespaces"]) - set(before["namespaces"])
    assert added == {"red", "blue", "left", "right", "netns1", "netns2", "rose", "navy", "gateway", "lan"}
    assert set(built["host"]["tables"]) - set(before["host"]["tables"]) == {"inet patchbay"}
    assert (before["sysctls"]["net/ipv4/ip_forward"], built["sysctls"]["net/ipv4/ip_forward"]) == ("0", "1")


@pytest.mark.parametrize("part", ["namespaces", "stacks", "sysctls"])
def test_the_machine_is_as_it_was(before: Snapshot, now: Snapshot, part: str) -> None:
    assert now[part] == before[part]


def test_no_file_is_left(before: Snapshot, built: Snapshot, now: Snapshot) -> None:
    kept = {
        "/run/patchbay.netns/holds",
        "/run/patchbay.netns/lock",
    }  # empty: a lock can't be removed while others may wait for it
    assert len(built["files"]) > len(before["files"])
    assert [path for path in now["files"] if path not in kept] == before["files"]


@pytest.mark.parametrize("part", ["links", "ports", "routes", "routes6", "rules", "tables"])
def test_the_hosts_own_network_is_as_it_was(before: Snapshot, now: Snapshot, part: str) -> None:
    assert now["host"][part] == before["host"][part]


def test_pitfall_11_forwarding_was_given_back(before: Snapshot, now: Snapshot) -> None:
    assert [snapshot["sysctls"]["net/ipv4/ip_forward"] for snapshot in (before, now)] == ["0", "0"]


def test_pitfall_40_near_names_survived(now: Snapshot) -> None:
    assert {"legacy", "redder"} <= set(now["namespaces"])
    assert {"v-net-00", "br-legacy"} <= set(now["host"]["links"])
    assert {"ip nat", "inet filter", "inet patchbay2"} == set(now["host"]["tables"])


def test_nobody_answers_any_more(host: Host) -> None:
    probe = Probe(host)
    with probe.server(80, netns="redder"):
        assert probe.ask("192.168.1.2", 80, netns="outside") == {"outcome": "refused"}
    assert probe.ask("192.168.1.2", 80) == {"outcome": "refused"}
    assert host.run("systemctl is-active two-servers@netns1.service").stdout.strip() == "inactive"
