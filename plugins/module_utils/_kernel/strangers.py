# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Whether there is any firewall but ours: asked in every run, so that what understands firewalls is loaded only then."""

from __future__ import annotations

import os

from . import attributes as nla
from . import nft_messages as msg
from .kernel import Kernel
from .netlink import Refusal
from .nft_changes import TABLE

_CHAIN_TABLE, _CHAIN_HOOK = 1, 4  # NFTA_CHAIN_*
_LEGACY = ("/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names")
_OPENED = ("/etc/ufw/user.rules", "/etc/firewalld/policies/patchbay.xml")
"""Where an opening of ours may stand although its firewall is not running."""


def any_here(kernel: Kernel, netns: str | None) -> bool:
    """Whether somebody else has chains at hooks, or tables of iptables-legacy, or may have an opening of ours on record."""
    with kernel.inside(netns):
        if any(map(_has_content, _LEGACY)):
            return True
    return any(map(os.path.exists, _OPENED)) or _has_chains(kernel, netns)


def _has_content(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return bool(file.read().strip())
    except OSError:
        return False


def _has_chains(kernel: Kernel, netns: str | None) -> bool:
    try:
        bodies = kernel.netfilter(netns).ask(msg.message(msg.GETCHAIN, family=0), dump=True)
    except (OSError, Refusal):  # no nf_tables here, or no right to look: then reading our own table says so
        return False
    return any(_is_foreign(body) for body in bodies)


def _is_foreign(body: bytes) -> bool:
    found = nla.unpack(body[4:])
    ours = body[0] == msg.INET and nla.as_text(found.get(_CHAIN_TABLE)) == TABLE
    return _CHAIN_HOOK in found and not ours
