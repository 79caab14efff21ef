# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules say of other people's firewalls, and a person who does what they say."""

from __future__ import annotations

import re
from typing import Any

from box import Box

_COMMANDS = re.compile(r"`((?:ip netns exec \w+ )?(?:ip6?tables-|nft )[^`]*)`")


def told(box: Box, module: str, **params: Any) -> list[str]:
    """The warnings about other people's firewalls: as many as the result has entries."""
    result = box.run(module, **params)
    said = [text for text in result.warnings if " what this needs " in text]
    assert len(said) == len(result.object["blocked_by"])
    return said


def commands(warning: str) -> list[str]:
    """The command lines for a shell that a warning has."""
    return _COMMANDS.findall(warning)


def follow(box: Box, warning: str) -> None:
    """Do what the warning says, in a shell."""
    (line,) = commands(warning)
    box.tool("sh", "-ec", line)
