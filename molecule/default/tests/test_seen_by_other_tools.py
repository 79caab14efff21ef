# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What iproute2 and nft see of the lab, on the machine that has them."""

from __future__ import annotations

import json

from testinfra.host import Host

ONLY_ON = "patchbay-default-bookworm"


def test_pitfall_17_no_rule_is_there_twice(host: Host) -> None:
    table = json.loads(host.check_output("nft --json list table inet patchbay"))["nftables"]
    rules = [item["rule"] for item in table if "rule" in item]
    bodies = [json.dumps([rule["chain"], rule["expr"]], sort_keys=True) for rule in rules]
    assert rules
    assert len(set(bodies)) == len(bodies)


def test_iproute2_sees_them(host: Host) -> None:
    assert {line.split()[0] for line in host.check_output("ip netns").splitlines()} == {"outside", "red", "blue"}
