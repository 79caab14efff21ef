# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside ufw: our rules are ufw's, and read like it."""

from __future__ import annotations

from typing import Any

from probing import Probe
from testinfra.host import Host

ONLY_ON = "patchbay-firewalls-ufw"


def test_ufw_lists_our_rules_with_their_marks(host: Host) -> None:
    lines = host.check_output("ufw show added").splitlines()
    assert (
        "ufw route allow in on uplink out on br-lab to 10.20.0.3 port 80 proto tcp comment 'patchbay: forward tcp 8080 ipv4'"
        in lines
    )
    assert (
        "ufw route allow in on br-lab out on uplink from fd00:20::/64 comment 'patchbay: masquerade fd00:20::/64 out uplink'"
        in lines
    )


def test_an_equal_rule_of_the_administrators_stays_theirs(host: Host, opener: Any) -> None:
    theirs = "in on uplink out on br-lab to 10.20.0.3 port 80 proto tcp"
    opener.run("remove")
    try:
        host.check_output(f"ufw route allow {theirs}")
        before = opener.run("snapshot")
        assert not opener.apply("forward tcp 8080 ipv4")["changed"]
        opener.run("remove")
        assert opener.run("snapshot") == before
    finally:
        host.check_output(f"ufw route delete allow {theirs}")
        opener.apply()


def test_openings_are_removed_while_ufw_is_disabled(host: Host, opener: Any) -> None:
    try:
        host.check_output("ufw disable")
        assert opener.run("remove") == {"changed": True}
        assert "patchbay" not in host.check_output("ufw show added")
    finally:
        host.check_output("ufw --force enable")
        opener.apply()


def test_one_accept_is_enough_beside_docker_in_the_same_chain(host: Host, probe: Probe, opener: Any) -> None:
    # Docker's chains come first and let through what they do not know.
    host.check_output("iptables -N DOCKER-USER")
    host.check_output("iptables -I FORWARD -j DOCKER-USER")
    try:
        with probe.server(80, netns="blue") as token:
            assert probe.ask("192.168.1.2", 8080, netns="outside").get("who") == token
        opener.run("remove")
        assert {owner for owner, _can_open, _text in opener.run("dropped")} == {"ufw"}
    finally:
        host.check_output("iptables -D FORWARD -j DOCKER-USER")
        host.check_output("iptables -X DOCKER-USER")
        opener.apply()
