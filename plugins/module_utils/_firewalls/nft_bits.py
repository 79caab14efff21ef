# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Bytes of which some bits are known and others are not.

Nearly all that is known beforehand of a packet has this form: an exact port, the prefix of an address, one bit of a
connection's status. Masks, comparisons and ranges can be worked out on it in three values.
"""

from __future__ import annotations

import typing as t

EQ, NEQ, LT, LTE, GT, GTE = range(6)  # NFT_CMP_*


class Bits(t.NamedTuple):
    """``size`` bytes; a bit of ``value`` counts where the same bit of ``known`` is set, and is 0 elsewhere."""

    size: int
    value: int
    known: int

    @property
    def full(self) -> int:
        """All bits set."""
        return (1 << 8 * self.size) - 1

    @property
    def low(self) -> int:
        """The smallest number it may be."""
        return self.value

    @property
    def high(self) -> int:
        """The largest number it may be."""
        return self.value | (self.full & ~self.known)

    def cut(self, offset: int, size: int) -> Bits:
        """Some of its bytes."""
        shift, full = 8 * (self.size - offset - size), (1 << 8 * size) - 1
        return Bits(size, self.value >> shift & full, self.known >> shift & full)

    def masked(self, mask: int, flipped: int) -> Bits:
        """(bits & mask) ^ flipped, as NFT_BITWISE_MASK_XOR does it."""
        known = (self.known | ~mask) & self.full
        return Bits(self.size, ((self.value & mask) ^ flipped) & known, known)

    def swapped(self, step: int) -> Bits:
        """With the byte order of every ``step`` bytes turned around."""
        return Bits(self.size, _swap(self.value, self.size, step), _swap(self.known, self.size, step))

    def equals(self, other: int) -> bool | None:
        """Whether it is this number."""
        if (self.value ^ other) & self.known:
            return False
        return True if self.known == self.full else None

    def within(self, low: int, high: int) -> bool | None:
        """Whether low <= it <= high."""
        if low == high:
            return self.equals(low)
        if self.high < low or self.low > high:
            return False
        return True if low <= self.low and self.high <= high else None

    def compares(self, operator: int, other: int) -> bool | None:
        """Whether it stands in this relation (NFT_CMP_*) to the number."""
        if operator == EQ:
            return self.equals(other)
        if operator == NEQ:
            return negated(self.equals(other))
        if operator in (LT, GTE):
            less = True if self.high < other else False if self.low >= other else None
            return less if operator == LT else negated(less)
        if operator in (GT, LTE):
            more = True if self.low > other else False if self.high <= other else None
            return more if operator == GT else negated(more)
        return None


def _swap(number: int, size: int, step: int) -> int:
    data = number.to_bytes(size, "big")
    return int.from_bytes(b"".join(data[at : at + step][::-1] for at in range(0, size, step)), "big")


def known(data: bytes) -> Bits:
    """Bytes that are wholly known."""
    return Bits(len(data), int.from_bytes(data, "big"), (1 << 8 * len(data)) - 1)


def unknown(size: int) -> Bits:
    """Bytes of which nothing is known."""
    return Bits(size, 0, 0)


def joined(parts: t.Iterable[Bits]) -> Bits:
    """Bytes one after another."""
    size = value = mask = 0
    for part in parts:
        shift = 8 * part.size
        size, value, mask = size + part.size, value << shift | part.value, mask << shift | part.known
    return Bits(size, value, mask)


def negated(truth: bool | None) -> bool | None:
    """Not, in three values."""
    return None if truth is None else not truth


def agreed(truths: t.Iterable[bool | None]) -> bool | None:
    """What all of several possibilities say; None if they differ or there are none."""
    found = set(truths)
    return found.pop() if len(found) == 1 else None


def every(truths: t.Iterable[bool | None]) -> bool | None:
    """And, in three values."""
    result: bool | None = True
    for truth in truths:
        if truth is False:
            return False
        result = result if truth else None
    return result
