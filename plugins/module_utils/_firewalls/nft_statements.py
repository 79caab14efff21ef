# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The statements of nftables that decide nothing, those that nobody can foresee, and the verdicts."""

from __future__ import annotations

import typing as t

from .._kernel.rulesets import Attributes, number, parse, text
from .model import Verdict

CONTINUE = Verdict("continue")
UNREADABLE = Verdict("unknown")

_CODES = {
    0: "drop", 1: "accept", 2: "drop", 3: "queue", -1: "continue", -2: "continue", -3: "jump", -4: "goto", -5: "return",
}  # fmt: skip
"""NF_DROP, NF_ACCEPT, NF_STOLEN, NF_QUEUE, NFT_CONTINUE, NFT_BREAK, NFT_JUMP, NFT_GOTO and NFT_RETURN."""
_ValueOf = t.Callable[[t.Optional[bytes]], str]


def verdict_of(data: bytes) -> Verdict:
    """The verdict in an attribute of type NFTA_*_DATA; its kind is unknown if it can't be read."""
    return verdict_of_data(parse(data))


def verdict_of_data(data: Attributes) -> Verdict:
    """The same of attributes that were parsed already."""
    if 2 not in data:
        return UNREADABLE
    attributes = parse(data[2])
    code = int.from_bytes(attributes.get(1, b"\x7f"), "big", signed=True)
    if code not in _CODES and code & 0xFF == 3:  # the upper half is the number of the queue
        return Verdict("queue", detail=str(code >> 16 & 0xFFFF))
    kind = _CODES.get(code)
    return Verdict(kind, text(attributes.get(2))) if kind else UNREADABLE


def _log(attributes: Attributes, _value: _ValueOf) -> str:
    prefix = text(attributes.get(2))
    return f'log prefix "{prefix}"' if prefix else "log"


def _tproxy(attributes: Attributes, value: _ValueOf) -> str:
    address, port = value(attributes.get(2)), value(attributes.get(3))
    return f"tproxy to {address}{':' if port else ''}{port}"


def _named(name: str) -> t.Callable[[Attributes, _ValueOf], str]:
    return lambda _attributes, _value: name


STATEMENTS: dict[str, t.Callable[[Attributes, _ValueOf], str]] = {
    "counter": _named("counter"),
    "last": _named("last"),
    "log": _log,
    "notrack": _named("notrack"),
    "dup": _named("dup"),
    "flow_offload": _named("flow add"),
    "synproxy": _named("synproxy"),
    "tproxy": _tproxy,
    "ct_helper": _named("ct helper set"),
    "ct_timeout": _named("ct timeout set"),
    "ct_expect": _named("ct expectation set"),
}
"""What they do is not about whether this packet goes on: their words."""


def _limit(attributes: Attributes) -> str:
    units = {1: "second", 60: "minute", 3600: "hour", 86400: "day", 604800: "week"}
    over = "over " if number(attributes.get(5)) & 1 else ""
    return f"limit rate {over}{number(attributes.get(1))}/{units.get(number(attributes.get(2)), '?')}"


UNSURE: dict[str, t.Callable[[Attributes], str]] = {
    "limit": _limit,
    "quota": lambda attributes: f"quota {number(attributes.get(1))} bytes",
    "connlimit": lambda attributes: f"ct count {number(attributes.get(1))}",
}
"""They depend on the packets before this one: their words."""
