# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Delay, loss and a limited rate for what leaves an interface (tc-netem(8))."""

from __future__ import annotations

import decimal
import re
import typing as t
from dataclasses import dataclass, fields

from .._errors import InvalidInput

_LONGEST = 3600  # seconds
_FASTEST = 1_000_000_000_000  # bit/s
_MOST = 0xFFFFFFFF  # packets: 32 bits
_TIME_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}  # nanoseconds, longest first
_RATE_UNITS = {"tbit": 10**12, "gbit": 10**9, "mbit": 10**6, "kbit": 10**3, "bit": 1}  # bit/s, largest first
_DIGITS = 6  # of a percentage: the kernel keeps 32 bits of it
_TEXT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z%/]*)", re.ASCII)
_TIMES = ("delay", "jitter")
_EXAMPLES = {"time": "10ms", "share": "1%", "rate": "10mbit"}


@dataclass(frozen=True)
class Impairment:
    """What happens to packets that leave an interface.

    ``delay`` and ``jitter`` in seconds, ``rate`` in bit/s (0: unlimited), ``limit`` in packets, the others in percent;
    ``correlation`` is how much each delay depends on the one before.
    """

    delay: float = 0.0
    jitter: float = 0.0
    correlation: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    rate: int = 0
    limit: int = 1000

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], option: str = "impair") -> Impairment:
        """Read what users write, such as ``{delay: 10ms, loss: 1%}``; ``option`` names it in messages. Raises InvalidInput."""
        names = [field.name for field in fields(cls)]
        given = {name: value for name, value in params.items() if value is not None}
        strange = [name for name in given if name not in names]
        if strange or not given:
            problem = f"{strange[0]!r} is nothing that can be set" if strange else "nothing is set"
            raise InvalidInput(f"{option}: {problem}. Give one or more of {', '.join(names)}.")
        made = cls(**{name: read(name, value, f"{option}.{name}") for name, value in given.items()})
        for name, needed in (("jitter", "delay"), ("correlation", "jitter"), ("reorder", "delay")):
            if getattr(made, name) and not getattr(made, needed):
                raise InvalidInput(f"{option}.{name}: it only has a meaning beside {needed}. Give {needed} too.")
        return made


def read(name: str, value: t.Any, option: str) -> t.Any:
    """One field of an impairment from what a user wrote; ``option`` names it in messages. Raises InvalidInput."""
    if name == "limit":
        return _limit(value, option)
    if name == "rate":
        bits = _quantity(value, option, "rate", _RATE_UNITS)
        if not 8 <= bits <= _FASTEST:
            raise InvalidInput(f"{option}: a rate of {value} is impossible; give 8bit to 1tbit, per second.")
        return round(bits / 8) * 8  # the kernel counts bytes
    if name in _TIMES:
        nanoseconds = _quantity(value, option, "time", _TIME_UNITS)
        if nanoseconds > _LONGEST * 10**9:
            raise InvalidInput(f"{option}: {value} is too long; give {_LONGEST}s at most.")
        return round(nanoseconds) / 1e9
    percent = _quantity(value, option, "share", {"%": 1})
    if percent > 100 or 0 < percent < decimal.Decimal(10) ** -_DIGITS:
        raise InvalidInput(
            f"{option}: {value} is impossible; give 0% to 100%, and at most {_DIGITS} digits after the point."
        )
    return float(round(percent, _DIGITS))


def _quantity(value: t.Any, option: str, what: str, units: t.Mapping[str, int]) -> decimal.Decimal:
    """A number with its unit, in the smallest one. Raises InvalidInput."""
    example = _EXAMPLES[what]
    match = None if isinstance(value, bool) else _TEXT.fullmatch(str(value).strip())
    if match is None:
        raise InvalidInput(f"{option}: {value!r} is no {what}; write one such as {example}.")
    number, unit = match[1], match[2].lower()
    if unit in units:
        return decimal.Decimal(number) * units[unit]
    meant = f"{number}{re.sub('^[0-9.]+', '', example)}"
    if not unit:
        raise InvalidInput(f"{option}: {value} has no unit; did you mean {meant}?")
    raise InvalidInput(
        f"{option}: {match[2]!r} is no unit of a {what}; did you mean {meant}? There are {', '.join(units)}."
    )


def _limit(value: t.Any, option: str) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,10}", text, re.ASCII) or not 1 <= int(text) <= _MOST:
        raise InvalidInput(f"{option}: {value!r} is no number of packets; write one such as 1000.")
    return int(text)


def shown(impairment: Impairment) -> dict[str, t.Any]:
    """The impairment as users write it, without what is not set."""
    out: dict[str, t.Any] = {}
    for field in fields(Impairment):
        value = getattr(impairment, field.name)
        if value or field.name == "limit":
            out[field.name] = _written(field.name, value)
    return out


def _written(name: str, value: t.Any) -> t.Any:
    if name == "limit":
        return value
    if name == "rate" or name in _TIMES:
        units = _RATE_UNITS if name == "rate" else _TIME_UNITS
        count = value if name == "rate" else round(value * 1e9)
        unit = next(unit for unit, size in units.items() if count % size == 0)
        return f"{count // units[unit]}{unit}"
    return f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".") + "%"
