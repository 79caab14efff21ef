# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the firewall is: what was opened passes, both ways and after a reload; nothing else does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from probing import Probe
from testinfra.host import Host

HOST = {4: "192.168.1.2", 6: "2001:db8:1::2"}
OUTSIDE = {4: "192.168.1.50", 6: "2001:db8:1::50"}
FAR = {4: "8.8.8.8", 6: "2001:4860:4860::8888"}
BLUE = {4: "10.20.0.3", 6: "fd00:20::3"}
RED = {4: "10.20.0.2", 6: "fd00:20::2"}
FAMILIES = (4, 6)

RELOAD = {
    "ufw": "ufw reload",
    "firewalld": "firewall-cmd --reload; bash /root/firewalld-runtime.sh",
    "docker": "true",  # a daemon that starts again leaves DOCKER-USER as it is
}


def assert_open(probe: Probe, family: int) -> None:
    with probe.server(80, netns="blue") as token:
        assert probe.ask(HOST[family], 8080, netns="outside") == {
            "outcome": "reached",
            "who": token,
            "caller": OUTSIDE[family],
        }
        assert probe.ask(BLUE[family], 80, netns="outside").get("who") == token
    with probe.server(8000, netns="outside") as token:
        assert probe.ask(FAR[family], 8000, netns="red") == {
            "outcome": "reached",
            "who": token,
            "caller": HOST[family],
        }


def assert_closed(probe: Probe, family: int) -> None:
    with probe.server(80, netns="blue"):
        assert probe.ask(BLUE[family], 80, netns="outside")["outcome"] != "reached"
    with probe.server(8000, netns="outside"):
        assert probe.ask(FAR[family], 8000, netns="red")["outcome"] != "reached"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_forward_and_the_masquerade_pass(probe: Probe, family: int) -> None:
    assert_open(probe, family)


@pytest.mark.parametrize("family", FAMILIES)
def test_another_port_of_the_target_stays_closed(probe: Probe, family: int) -> None:
    with probe.server(81, netns="blue") as token:
        assert probe.ask(BLUE[family], 81).get("who") == token  # from the machine itself: not forwarded
        assert probe.ask(BLUE[family], 81, netns="outside")["outcome"] != "reached"


@pytest.mark.parametrize("family", FAMILIES)
def test_another_address_behind_the_bridge_stays_closed(probe: Probe, family: int) -> None:
    with probe.server(80, netns="red") as token:
        assert probe.ask(RED[family], 80).get("who") == token
        assert probe.ask(RED[family], 80, netns="outside")["outcome"] != "reached"


def test_everything_still_passes_after_the_firewall_was_reloaded(host: Host, probe: Probe, opener: Any) -> None:
    host.check_output(RELOAD[opener.owner])
    for family in FAMILIES:
        assert_open(probe, family)


def test_what_was_opened_is_found_again(opener: Any) -> None:
    found = opener.run("find")
    assert {one["tag"] for one in found} == {
        "forward tcp 8080 ipv4",
        "forward tcp 8080 ipv6",
        "masquerade 10.20.0.0/24 out uplink",
        "masquerade fd00:20::/64 out uplink",
    }
    assert all(one["whole"] for one in found)


def test_nothing_is_foreseen_to_be_dropped(opener: Any) -> None:
    assert opener.run("dropped") == []


def test_a_namespace_does_not_lead_to_the_machines_firewall(host: Host, opener: Any) -> None:
    before = opener.run("snapshot")
    done = host.run(f"ip netns exec red python3 /root/opener.py apply {opener.owner} nft")
    assert done.rc == 1
    # Docker's chain would be one of the namespace's own, and there is none.
    assert done.stderr.startswith("PROGRAM_FAILED" if opener.owner == "docker" else "UNSUPPORTED")
    assert opener.run("snapshot") == before


def test_opening_again_changes_nothing(opener: Any) -> None:
    before = opener.run("snapshot")
    assert opener.apply() == {"changed": False, "stand": True}
    assert opener.run("snapshot") == before


def test_two_objects_may_need_the_same_way(probe: Probe, opener: Any) -> None:
    before = opener.run("find")
    assert opener.apply("forward tcp 8888 ipv4") == {"changed": True, "stand": True}
    assert opener.run("remove", "forward tcp 8888 ipv4") == {"changed": True}
    assert opener.run("find") == before
    assert_open(probe, 4)


def test_removing_it_all_leaves_the_owners_configuration_as_it_was(host: Host, probe: Probe, opener: Any) -> None:
    before = host.file("/root/before.json").content_string
    try:
        assert opener.run("remove") == {"changed": True}
        assert opener.run("snapshot") == json.loads(before)
        for family in FAMILIES:
            assert_closed(probe, family)
        assert opener.run("remove") == {"changed": False}
        said = opener.run("dropped")
        assert {(owner, can_open) for owner, can_open, _text in said} == {(opener.owner, True)}
        assert all("set foreign_firewall: allow" in text for _owner, _can_open, text in said)
    finally:
        opener.apply()
    for family in FAMILIES:
        assert_open(probe, family)
