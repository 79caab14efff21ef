# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody who forgot become: true reads one sentence, and nothing has changed."""

from __future__ import annotations

import os
from typing import Any

import doors
import pytest
from box import Box

NOBODY = 65534

TASKS: dict[str, dict[str, Any]] = {
    "netns": {"name": "green"},
    "bridge": {"name": "br0"},
    "veth": {"name": "veth-red", "netns": "red", "mtu": 1400, "peer": {"name": "veth-red-br"}},
    "ip_route_ns": {"netns": "red", "destination": "10.0.0.0/8", "type": "blackhole"},
    "nat_masquerade": {"source": "192.168.15.0/24"},
    "dnat_forward": {"protocol": "tcp", "port": "80", "to_address": "192.168.15.2"},
}


def complaint(module: str, *, check: bool) -> str:
    """What the module says to a user without rights."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    try:
        doors.run(module, TASKS[module], check=check)
    except doors.Failed as failed:
        return failed.msg
    return "it ran"


@pytest.mark.parametrize("check", [True, False], ids=["check mode", "in earnest"])
@pytest.mark.parametrize("module", TASKS)
def test_without_root_the_error_says_become(box: Box, module: str, check: bool) -> None:
    box.red_and_blue()
    before = box.snapshot()
    (said,) = box.parallel([lambda: complaint(module, check=check)])
    assert str(said).endswith("This needs root: set become: true.")
    assert box.snapshot() == before
