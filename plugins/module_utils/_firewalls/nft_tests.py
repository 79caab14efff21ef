# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The conditions that nftables rules are made of: comparisons, ranges and sets, in three values."""

from __future__ import annotations

import bisect
import typing as t
from dataclasses import dataclass

from . import nft_bits as bits
from .model import Packet
from .nft_derived import Joined, Masked
from .nft_fields import Blank, Field, Interface, Payload

Span = tuple[bytes, bytes]
"""The first and the last value of a range, for a concatenation with the fields one after another."""

_OPERATORS = {bits.NEQ: "!= ", bits.LT: "< ", bits.LTE: "<= ", bits.GT: "> ", bits.GTE: ">= "}
_MOST_SHOWN = 8


@dataclass(frozen=True)
class Compare:
    """A field and a value in one of the relations NFT_CMP_*. A value shorter than the field is about its beginning."""

    field: Field
    operator: int
    data: bytes

    def holds(self, packet: Packet) -> bool | None:
        size, value = len(self.data), int.from_bytes(self.data, "big")
        return bits.agreed(
            one.cut(0, size).compares(self.operator, value) if one.size >= size else None
            for one in self.field.possible(packet)
        )

    def begins_range_of(self, other: Compare) -> bool:
        """Whether this and the other are the two ends of a range."""
        ends = (self.operator, other.operator) == (bits.GTE, bits.LTE)
        return ends and self.field == other.field and len(self.data) == len(other.data)

    def __str__(self) -> str:
        if isinstance(self.field, Masked) and self.operator == bits.NEQ and not any(self.data):  # ct state new,related
            return f"{self.field} {self.field.field.show(self.field.mask)}"
        neighbours = _neighbours(self.field, self.data) if self.operator == bits.EQ else ""
        return neighbours or f"{self.field} {_OPERATORS.get(self.operator, '')}{self.field.show(self.data)}"


def _neighbours(field: Field, data: bytes) -> str:
    """nft(8) loads fields that lie side by side at once: their text apart, or ''."""
    if isinstance(field, Payload) and len(data) == field.size:
        for base, offset, sizes in ((1, 12, (4, 4)), (1, 8, (16, 16)), (2, 0, (2, 2))):
            if (field.base, field.offset, field.size) == (base, offset, sum(sizes)):
                first, second = Payload(base, offset, sizes[0]), Payload(base, offset + sizes[0], sizes[1])
                return f"{first} {first.show(data[: sizes[0]])} {second} {second.show(data[sizes[0] :])}"
    return ""


@dataclass(frozen=True)
class Between:
    """A field within a range, or with ``inverted`` outside of it."""

    field: Field
    low: bytes
    high: bytes
    inverted: bool = False

    def holds(self, packet: Packet) -> bool | None:
        size = len(self.low)
        low, high = int.from_bytes(self.low, "big"), int.from_bytes(self.high, "big")
        inside = bits.agreed(
            one.cut(0, size).within(low, high) if one.size >= size else None for one in self.field.possible(packet)
        )
        return bits.negated(inside) if self.inverted else inside

    def __str__(self) -> str:
        operator = "!= " if self.inverted else ""
        return f"{self.field} {operator}{self.field.show(self.low)}-{self.field.show(self.high)}"


class Members:
    """The elements of a set, ready to be searched. Equal if the elements are."""

    def __init__(self, spans: t.Iterable[Span], widths: tuple[int, ...]) -> None:
        self.spans = tuple(spans)
        self.widths = widths
        numbers = sorted((int.from_bytes(low, "big"), int.from_bytes(high, "big")) for low, high in self.spans)
        self._lows: list[int] = []
        self._highs: list[int] = []
        for low, high in numbers if len(widths) < 2 else ():
            if self._highs and low <= self._highs[-1] + 1:  # touching ranges are one
                self._highs[-1] = max(high, self._highs[-1])
            else:
                self._lows.append(low)
                self._highs.append(high)
        self._parts = [] if len(widths) < 2 else [tuple(self._cut(low, high)) for low, high in self.spans]

    def _cut(self, low: bytes, high: bytes) -> t.Iterator[tuple[int, int, int, int]]:
        start = 0
        for width in self.widths:
            end = start + width
            yield start, width, int.from_bytes(low[start:end], "big"), int.from_bytes(high[start:end], "big")
            start = end

    def has(self, one: bits.Bits) -> bool | None:
        """Whether the value is in the set."""
        return self._has_fields(one) if len(self.widths) > 1 else self._has_number(one)

    def _has_number(self, one: bits.Bits) -> bool | None:
        last = bisect.bisect_right(self._lows, one.high)
        result: bool | None = False
        for index in range(last - 1, -1, -1):
            if self._highs[index] < one.low:
                break
            truth = one.within(self._lows[index], self._highs[index])
            if truth:
                return True
            result = result if truth is False else None
        return result

    def _has_fields(self, one: bits.Bits) -> bool | None:
        result: bool | None = False
        for parts in self._parts:
            truth = bits.every(one.cut(start, width).within(low, high) for start, width, low, high in parts)
            if truth:
                return True
            result = result if truth is False else None
        return result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Members) and (self.spans, self.widths) == (other.spans, other.widths)

    def __hash__(self) -> int:
        return hash((self.spans, self.widths))


@dataclass(frozen=True)
class Among:
    """A field that is in a set, or with ``inverted`` is not. ``sure`` is False where being in it does not suffice."""

    field: Field
    members: Members
    name: str = ""
    """Of a set that has one; without it the elements are shown."""
    inverted: bool = False
    sure: bool = True

    def holds(self, packet: Packet) -> bool | None:
        size = sum(self.members.widths)
        inside = bits.agreed(
            self.members.has(one.cut(0, size)) if one.size >= size else None for one in self.field.possible(packet)
        )
        if inside and not self.sure:
            return None
        return bits.negated(inside) if self.inverted else inside

    def __str__(self) -> str:
        operator = "!= " if self.inverted else ""
        return f"{self.field} {operator}{self.elements()}"

    def elements(self) -> str:
        """The set as nft(8) writes it, or the start of a long one."""
        if self.name:
            return f"@{self.name}"
        spans = self.members.spans
        texts = [span_text(self.field, span) for span in spans[:_MOST_SHOWN]] + ["..."] * (len(spans) > _MOST_SHOWN)
        return f"{{ {', '.join(texts)} }}"


def span_text(field: Field, span: Span) -> str:
    """One element of a set."""
    low, high = span
    if low == high:
        return field.show(low)
    if isinstance(field, Joined):
        out, start = [], 0
        for part, width in zip(field.fields, field.widths):
            piece = slice(start, start + part.size)
            out.append(span_text(part, (low[piece], high[piece])))
            start += width
        return " . ".join(out)
    if isinstance(field, Interface):  # a pattern such as veth*
        return field.show(low.rstrip(b"\0"))
    differing = int.from_bytes(low, "big") ^ int.from_bytes(high, "big")
    whole = (1 << 8 * len(low)) - 1
    prefix = not differing & (differing + 1) and not int.from_bytes(low, "big") & differing
    if prefix and len(low) in (4, 16) and not isinstance(field, Blank):
        return f"{field.show(low)}/{bin(whole ^ differing).count('1')}"
    return f"{field.show(low)}-{field.show(high)}"
