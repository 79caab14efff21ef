# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Words of shell commands, shared by every kind of object that prints some."""

from __future__ import annotations

from shlex import quote


def ip(netns: str | None) -> str:
    """``ip``, or ``ip -n red``."""
    return f"ip -n {quote(netns)}" if netns else "ip"


def bridge(netns: str | None) -> str:
    """``bridge``, or ``bridge -n red``."""
    return f"bridge -n {quote(netns)}" if netns else "bridge"


def prefix(netns: str | None) -> str:
    """What any other command is run behind: '' or ``ip netns exec red ``."""
    return f"ip netns exec {quote(netns)} " if netns else ""


def place(netns: str | None) -> str:
    """Where, for messages: '' or ' in namespace red'."""
    return f" in namespace {netns}" if netns else ""
