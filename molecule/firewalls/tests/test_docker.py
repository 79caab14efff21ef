# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside Docker: each kind of iptables has its own DOCKER-USER, and both are asked."""

from __future__ import annotations

from typing import Any

import pytest
from probing import Probe
from testinfra.host import Host

ONLY_ON = "patchbay-firewalls-docker"
FORWARD = "forward tcp 8080 ipv4"


def test_the_administrators_rule_is_the_last(host: Host) -> None:
    last = host.check_output("iptables-nft -S DOCKER-USER").splitlines()[-1]
    assert last == '-A DOCKER-USER -i uplink -p tcp -m tcp --dport 2222 -m comment --comment "no ssh" -j DROP'


@pytest.mark.parametrize("purpose", ["new", "there", "back"])
@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
def test_a_way_that_lost_a_rule_is_closed_and_can_be_mended(
    host: Host, probe: Probe, opener: Any, tool: str, purpose: str
) -> None:
    opener.run("remove")  # the masquerade's answers go the same way
    try:
        opener.apply(FORWARD)
        lines = host.check_output(f"{tool} -S DOCKER-USER").splitlines()
        (rule,) = [line for line in lines if f" {purpose}]" in line]
        host.check_output(f"{tool} {rule.replace('-A', '-D', 1)}")
        assert any(one["tag"] == FORWARD and not one["whole"] for one in opener.run("find"))
        with probe.server(80, netns="blue") as token:
            assert probe.ask("192.168.1.2", 8080, netns="outside")["outcome"] == "timeout"
            assert opener.apply(FORWARD) == {"changed": True, "stand": True}
            assert probe.ask("192.168.1.2", 8080, netns="outside").get("who") == token
    finally:
        opener.apply()
