# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Whole rules in the words of nft(8)."""

from __future__ import annotations

import typing as t

from .model import Unknown, Verdict
from .nft_bits import EQ
from .nft_fields import Field, Meta
from .nft_maps import Entry
from .nft_tests import Compare

_TRANSLATES = ("dnat", "snat", "redirect", "masquerade")


def where_to(address: str, port: str) -> str:
    """An address with a port, as far as there are any."""
    if ":" in address and port:
        address = f"[{address}]"
    return f"{address}:{port}" if port else address


def map_text(value: Field, name: str, found: list[Entry]) -> str:
    """A verdict map: its name, or the start of its elements."""
    if not name.startswith("__map"):
        return f"@{name}"
    texts = [f"{entry.key} : {verdict_text(entry.verdict)}" for entry in found[:4]] + ["..."] * (len(found) > 4)
    return f"{{ {', '.join(texts)} }}"


def verdict_text(verdict: Verdict) -> str:
    """A verdict with what belongs to it."""
    detail = f"to {verdict.detail}" if verdict.detail and verdict.kind in _TRANSLATES else verdict.detail
    return " ".join(part for part in (verdict.kind, verdict.chain, detail) if part)


_IMPLY_FAMILY = (" ip ", " ip6 ", " icmp", " meta l4proto icmp", " meta l4proto ipv6-icmp")
_IMPLY_PROTOCOL = ("th sport", "th dport", "tcp flags", "icmp type", "icmp code")


def rule_text(said: list[t.Any], verdict: str) -> str:
    """The rule as nft(8) lists it: what an address or a port implies is not written."""
    out: list[str] = []
    protocol = ""
    for index, one in enumerate(said):
        words = str(one)
        if isinstance(one, Unknown):
            words = one.what
        if isinstance(one, Compare) and isinstance(one.field, Meta) and one.operator == EQ:
            ahead = [str(later) for later in said[index + 1 :]]
            if one.field.name == "nfproto" and any(sign in f" {later}" for sign in _IMPLY_FAMILY for later in ahead):
                continue
            if one.field.name == "l4proto" and any(sign in later for sign in _IMPLY_PROTOCOL for later in ahead):
                protocol = one.field.show(one.data).replace("ipv6-icmp", "icmpv6")
                continue
        if protocol:
            for name in ("th sport", "th dport", "icmp type", "icmp code"):
                words = words.replace(name, f"{protocol} {name.split()[1]}")
        out.append(words)
    return " ".join(part for part in [*out, verdict] if part)
