# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Names: those that are too long are shortened, always to the same, and the ends of cables at bridges get theirs."""

from __future__ import annotations

import hashlib
import re

from .._errors import InvalidInput
from .._objects import checks

SIZE = 15  # bytes: IFNAMSIZ less its final zero
_HEAD, _TAIL = 8, 6
_PLAIN = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,14}")
_RESERVED = ("all", "default")  # net.ipv4.conf has entries of these names


def interface(lab: str, netns: str | None, name: str) -> str:
    """The name that the kernel gets for an interface or bridge of the lab. Raises InvalidInput.

    A name of more than 15 bytes becomes its first 8 and 6 digits that differ between labs, namespaces and names.
    """
    if _PLAIN.fullmatch(name):
        short = name
    elif len(name.encode("utf-8", "surrogatepass")) <= SIZE:
        short = checks.interface(name, "name")
    else:
        checks.spelled(name, "name")
        short = shortened(lab, netns, name)
    if short == "lo" or short in _RESERVED:
        raise InvalidInput(
            "lo is in every namespace already; addresses for a namespace that are on no cable belong to a dummy."
            if short == "lo"
            else f"the kernel keeps the name {short} for itself. Choose another one."
        )
    return short


def shortened(lab: str, netns: str | None, name: str) -> str:
    head = name.encode()[:_HEAD].decode(errors="ignore")
    digest = hashlib.sha256("\0".join([lab, netns or "", name]).encode()).hexdigest()
    return f"{head}-{digest[:_TAIL]}"


def port(netns: str | None, name: str) -> str:
    """What the end of a cable at a bridge is called by default; it may be too long."""
    return f"{name}-br" if netns is None or netns in name else f"{netns}-{name}"


def reference(text: str) -> tuple[str | None, str]:
    """``red/eth0`` as (red, eth0); ``eth0`` and ``/eth0`` are on the host. Raises InvalidInput."""
    netns, slash, name = text.rpartition("/")
    if not name or "/" in netns:
        raise InvalidInput(f"{text!r} names no interface: write NAMESPACE/NAME, or /NAME for one of the host.")
    return (netns or None, name) if slash else (None, name)


def spoken(netns: str | None, name: str) -> str:
    """An interface as the file and messages refer to it: ``red/eth0``, ``/to-red``."""
    return f"{netns or ''}/{name}"


def whose(netns: str | None) -> str:
    """A node in messages."""
    return "the host" if netns is None else netns


def checked_namespace(text: str) -> str:
    """The name of a namespace. Raises InvalidInput."""
    if not _PLAIN.fullmatch(text):
        checks.namespace(text, "name")
    return text
