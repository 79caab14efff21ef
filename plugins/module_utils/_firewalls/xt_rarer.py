# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Matches whose answer depends on more than the packet (rates, marks, sets, owners): words for them, no answers."""

from __future__ import annotations

import typing as t

from . import xt_words
from .xt_predicates import Always, Option
from .xt_words import Data, quoted, span, text

Options = t.Iterator[Option]


def _mark(data: Data) -> Options:
    """struct xt_mark_mtinfo1 and xt_connmark_mtinfo1."""
    mark, mask, inverted = data.unpack("=2IB")
    yield Option(data.name, f"--mark {xt_words.mark(mark, mask)}", None, bool(inverted))


_SCALE = 10000  # XT_LIMIT_SCALE: periods are in 1/10000 s
_PERIODS = (("day", 86400 * _SCALE), ("hour", 3600 * _SCALE), ("min", 60 * _SCALE), ("sec", _SCALE))


def _rate(period: int) -> str:
    """So many per day, or per a shorter time as long as that is as exact."""
    chosen = _PERIODS[0]
    for unit in _PERIODS[1:]:
        if period > unit[1] or unit[1] // period < unit[1] % period:
            break
        chosen = unit
    return f"{chosen[1] // period}/{chosen[0]}"


def _limit(data: Data) -> Options:
    """struct xt_rateinfo."""
    period, burst = data.unpack("=2I")
    if not period:
        raise ValueError(period)
    yield Option("limit", f"--limit {_rate(period)}" + (f" --limit-burst {burst}" if burst != 5 else ""))


def _hashlimit(data: Data) -> Options:
    """struct xt_hashlimit_mtinfo1 to 3: the name comes first."""
    yield Option("hashlimit", f"--hashlimit-name {text(data.bytes(0, 16 if data.revision < 2 else 255))}")


def _set(data: Data) -> Options:
    """struct xt_set_info: the set's number (its name is not in the rule), and which ends it is asked about."""
    if not data.revision:
        raise ValueError(data.revision)
    index, dimensions, flags = data.unpack("=H2B")
    ends = ",".join("src" if flags >> number & 1 else "dst" for number in range(1, min(dimensions, 6) + 1))
    yield Option("set", f"--match-set #{index} {ends}", None, bool(flags & 1))


_RECENT = ((2, "--set"), (1, "--rcheck"), (4, "--update"), (8, "--remove"))


def _recent(data: Data) -> Options:
    """struct xt_recent_mtinfo and its revision 1. Only --set, which takes down the address, says yes to everything."""
    seconds, hits, kinds, inverted = data.unpack("=2I2B")
    (side,) = data.unpack("=B", 210)
    words = [name for bit, name in _RECENT if kinds & bit]
    words += [f"--seconds {seconds}"] if seconds else []
    words += ["--reap"] if kinds & 32 else []
    words += [f"--hitcount {hits}"] if hits else []
    words += ["--rttl"] if kinds & 16 else []
    words += [f"--name {text(data.bytes(10, 200))}"]
    words += [f"--mask {xt_words.ip(data.bytes(212, 16), data.family)}"] if data.revision else []
    words += ["--rdest" if side else "--rsource"]
    yield Option("recent", " ".join(words), Always() if kinds & 2 else None, bool(inverted))


def _statistic(data: Data) -> Options:
    """struct xt_statistic_info."""
    mode, flags, number, packet = data.unpack("=2H2I")
    inverted = "! " if flags & 1 else ""
    if mode == 0:
        yield Option("statistic", f"--mode random {inverted}--probability {number / 0x80000000:.11f}")
    else:
        yield Option("statistic", f"--mode nth {inverted}--every {number + 1} --packet {packet}")


def _owner(data: Data) -> Options:
    """struct xt_owner_match_info."""
    first_user, last_user, first_group, last_group, asked, inverted = data.unpack("=4I2B")
    for bit, words in (
        (4, "--socket-exists"),
        (1, f"--uid-owner {span(first_user, last_user, '-')}"),
        (2, f"--gid-owner {span(first_group, last_group, '-')}"),
        (8, "--suppl-groups"),
    ):
        if asked & bit:
            yield Option("owner", words, None, bool(inverted & bit))


def _length(data: Data) -> Options:
    """struct xt_length_info."""
    low, high, inverted = data.unpack("=2HB")
    yield Option("length", f"--length {span(low, high)}", None, bool(inverted))


def _mss(data: Data) -> Options:
    """struct xt_tcpmss_match_info."""
    low, high, inverted = data.unpack("=2HB")
    yield Option("tcpmss", f"--mss {span(low, high)}", None, bool(inverted))


def _dscp(data: Data) -> Options:
    """struct xt_dscp_info."""
    value, inverted = data.unpack("=2B")
    yield Option("dscp", f"--dscp {value:#04x}", None, bool(inverted))


def _tos(data: Data) -> Options:
    """struct xt_tos_match_info."""
    mask, value, inverted = data.unpack("=3B")
    yield Option("tos", f"--tos {value:#04x}/{mask:#04x}", None, bool(inverted))


def _hops(data: Data) -> Options:
    """struct ipt_ttl_info and ip6t_hl_info."""
    mode, value = data.unpack("=2B")
    yield Option(data.name, f"--{data.name}-{('eq', 'eq', 'lt', 'gt')[mode]} {value}", None, mode == 1)


def _helper(data: Data) -> Options:
    """struct xt_helper_info."""
    (inverted,) = data.unpack("=i")
    yield Option("helper", f"--helper {quoted(text(data.bytes(4, 30)))}", None, bool(inverted))


def _devgroup(data: Data) -> Options:
    """struct xt_devgroup_info."""
    flags, source, source_mask, destination, destination_mask = data.unpack("=5I")
    for bit, option, group, mask in (
        (1, "--src-group", source, source_mask),
        (4, "--dst-group", destination, destination_mask),
    ):
        if flags & bit:
            yield Option("devgroup", f"{option} {xt_words.mark(group, mask)}", None, bool(flags & bit << 1))


def _rpfilter(data: Data) -> Options:
    """struct xt_rpfilter_info."""
    (flags,) = data.unpack("=B")
    names = ((1, "--loose"), (2, "--validmark"), (4, "--accept-local"), (8, "--invert"))
    yield Option("rpfilter", " ".join(name for bit, name in names if flags & bit))


def _quota(data: Data) -> Options:
    """struct xt_quota_info."""
    (inverted,) = data.unpack("=I")
    yield Option("quota", f"--quota {data.unpack('=Q', 8)[0]}", None, bool(inverted & 1))


def _connlimit(data: Data) -> Options:
    """struct xt_connlimit_info, whose inversion means: at most."""
    mask = xt_words.ip(data.bytes(0, 16), data.family)
    limit, flags = data.unpack("=2I", 16)
    side = "--connlimit-daddr" if flags & 2 else "--connlimit-saddr"
    bits = bin(int(mask)).count("1")
    yield Option("connlimit", f"--connlimit-{'upto' if flags & 1 else 'above'} {limit} --connlimit-mask {bits} {side}")


READERS: dict[str, t.Callable[[Data], Options]] = {
    "mark": _mark,
    "connmark": _mark,
    "limit": _limit,
    "hashlimit": _hashlimit,
    "set": _set,
    "recent": _recent,
    "statistic": _statistic,
    "owner": _owner,
    "length": _length,
    "tcpmss": _mss,
    "dscp": _dscp,
    "tos": _tos,
    "ttl": _hops,
    "hl": _hops,
    "helper": _helper,
    "devgroup": _devgroup,
    "rpfilter": _rpfilter,
    "quota": _quota,
    "connlimit": _connlimit,
}
