# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The matches conntrack and state (linux/netfilter/xt_conntrack.h, xt_state.h)."""

from __future__ import annotations

import typing as t

from . import xt_words
from .xt_predicates import Address, Never, Option, Original, Ports, Protocol, State, Status
from .xt_words import Data, ip, span

_STATE, _PROTO, _ORIGINAL_SOURCE = 1 << 0, 1 << 1, 1 << 2
_STATUS, _EXPIRES, _FIRST_PORT, _DIRECTION, _ALIAS = 1 << 6, 1 << 7, 1 << 8, 1 << 12, 1 << 13
_ENDS = (
    ("original_source", "--ctorigsrc"),
    ("original_destination", "--ctorigdst"),
    ("reply_source", "--ctreplsrc"),
    ("reply_destination", "--ctrepldst"),
)
_STATES = ((1, "INVALID"), (8, "NEW"), (4, "RELATED"), (2, "ESTABLISHED"))
"""XT_CONNTRACK_STATE_BIT of enum ip_conntrack_info, in the order of iptables."""
_STATES_OF_CONNTRACK = (*_STATES, (256, "UNTRACKED"), (64, "SNAT"), (128, "DNAT"))
_STATES_OF_STATE = (*_STATES, (64, "UNTRACKED"))
_STATUSES = ("EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SRC_NAT", "DST_NAT")


def _states(match: str, option: str, mask: int, names: t.Sequence[tuple[int, str]], inverted: bool) -> Option:
    words = [name for bit, name in names if mask & bit]
    return Option(match, f"{option} {','.join(words)}", State(frozenset(words)), inverted)


def state(data: Data) -> t.Iterator[Option]:
    """struct xt_state_info. Inverting is a matter of the tool, which sets the other bits."""
    (mask,) = data.unpack("=I")
    yield _states("state", "--state", mask, _STATES_OF_STATE, False)


def conntrack(data: Data) -> t.Iterator[Option]:
    """struct xt_conntrack_mtinfo1 to 3."""
    low, high, number, *ports, asked, inverted = data.unpack("=2I7H", 128)
    state_mask, status_mask = data.unpack("=2B" if data.revision == 1 else "=2H", 150)
    if not 1 <= data.revision <= 3:
        raise ValueError(data.revision)
    if asked & _STATE:
        match, option = ("state", "--state") if asked & _ALIAS else ("conntrack", "--ctstate")
        yield _states(match, option, state_mask, _STATES_OF_CONNTRACK, bool(inverted & _STATE))
    if asked & _PROTO:
        yield Option("conntrack", f"--ctproto {number}", Protocol(number), bool(inverted & _PROTO))
    yield from _addresses(data, asked, inverted)
    yield from _ports(data, ports, asked, inverted)
    if asked & _STATUS:
        words = xt_words.bits(status_mask, _STATUSES)
        test = Status(frozenset(words)) if words else Never()
        yield Option("conntrack", f"--ctstatus {','.join(words) or 'NONE'}", test, bool(inverted & _STATUS))
    if asked & _EXPIRES:
        yield Option("conntrack", f"--ctexpire {span(low, high)}", None, bool(inverted & _EXPIRES))
    if asked & _DIRECTION:
        reply = bool(inverted & _DIRECTION)
        yield Option("conntrack", f"--ctdir {'REPLY' if reply else 'ORIGINAL'}", _direction(reply))


def _direction(reply: bool) -> Option:
    return Option("conntrack", "--ctdir ORIGINAL", Original(), reply)


def _addresses(data: Data, asked: int, inverted: int) -> t.Iterator[Option]:
    for number, (of, option) in enumerate(_ENDS):
        bit = _ORIGINAL_SOURCE << number
        if asked & bit:
            value, mask = (ip(data.bytes(32 * number + at, 16), data.family) for at in (0, 16))
            test = Address(of, data.family, int(value), int(mask))
            yield Option("conntrack", f"{option} {xt_words.network(value, mask)}", test, bool(inverted & bit))


def _ports(data: Data, ports: t.Sequence[int], asked: int, inverted: int) -> t.Iterator[Option]:
    """Revision 3 has ranges in the host's order of bytes, the older ones single ports in the network's."""
    lows = ports if data.revision == 3 else data.unpack("!4H", 138)
    highs = data.unpack("=4H", 154) if data.revision == 3 else lows
    for number, (of, option) in enumerate(_ENDS):
        bit = _FIRST_PORT << number
        if asked & bit:
            test = Ports((f"{of}_port",), ((lows[number], highs[number]),))
            yield Option("conntrack", f"{option}port {span(lows[number], highs[number])}", test, bool(inverted & bit))
