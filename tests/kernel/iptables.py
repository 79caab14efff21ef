# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""iptables-legacy as somebody else writes it, and our reading of it."""

from __future__ import annotations

import shutil

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls import legacy
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Table
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from box import Box

TOOLS = {4: "iptables-legacy", 6: "ip6tables-legacy"}
installed = pytest.mark.skipif(
    not shutil.which("iptables-legacy"), reason="iptables-legacy is not installed, and nothing else writes its tables"
)


def read(netns: str | None = None) -> list[Table]:
    """What we read of a namespace's tables."""
    with Kernel() as kernel:
        return legacy.read(kernel, netns)


LACKING = (
    "by that name",
    "Couldn't load",
    "missing kernel module",
    "does not exist",
    "can't initialize",
    "(No such file",
)
"""What the tool says when the kernel, or the tool itself, has no such match, target or table."""


def write(box: Box, arguments: list[str], version: int = 4, kind: str = "legacy") -> None:
    """Run the tool, or skip the test where the kernel lacks what the rule needs."""
    try:
        box.tool(TOOLS[version].replace("legacy", kind), *arguments)
    except AssertionError as refusal:
        if any(words in str(refusal) for words in LACKING):
            pytest.skip(f"not on this machine: {refusal}")
        raise
