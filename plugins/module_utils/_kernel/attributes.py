# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The attributes that netlink messages are made of (linux/netlink.h, struct nlattr), packed and cut by hand.

For messages that pyroute2 has no fit class for, or that are too many for one.
"""

from __future__ import annotations

import struct
import typing as t

NESTED = 0x8000  # NLA_F_NESTED
_TYPE_MASK = 0x3FFF  # NLA_TYPE_MASK
_HEADER = struct.Struct("=HH")
_BE32 = struct.Struct(">I")


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    length = 4 + len(payload)
    return _HEADER.pack(length, kind) + payload + b"\0" * (-length & 3)


def number(kind: int, value: int) -> bytes:
    """An attribute with a 32-bit number in network order; negative ones as their two's complement."""
    return _HEADER.pack(8, kind) + _BE32.pack(value & 0xFFFFFFFF)


def text(kind: int, value: str) -> bytes:
    """An attribute with a text that ends with a zero byte."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def pieces(data: bytes) -> t.Iterator[tuple[int, bytes]]:
    """Kind and content of each attribute, in order. What is cut off or malformed ends it."""
    start, size = 0, len(data)
    while start + 4 <= size:
        length, kind = _HEADER.unpack_from(data, start)
        if length < 4 or start + length > size:
            return
        yield kind & _TYPE_MASK, data[start + 4 : start + length]
        start += (length + 3) & ~3


def places(data: bytes, start: int) -> list[tuple[int, int, int]]:
    """Kind, beginning and end, padding included, of each attribute from ``start`` on."""
    found: list[tuple[int, int, int]] = []
    size = len(data)
    while start + 4 <= size:
        length, kind = _HEADER.unpack_from(data, start)
        if length < 4 or start + length > size:
            break
        end = start + ((length + 3) & ~3)
        found.append((kind & _TYPE_MASK, start, end))
        start = end
    return found


def unpack(data: bytes) -> dict[int, bytes]:
    """The attributes by kind; of one that is there twice, the last."""
    # As ``pieces``, written out: most of reading a large table is this loop.
    found: dict[int, bytes] = {}
    start, size = 0, len(data)
    while start + 4 <= size:
        length, kind = _HEADER.unpack_from(data, start)
        if length < 4 or start + length > size:
            break
        found[kind & _TYPE_MASK] = data[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def as_number(data: bytes | None) -> int | None:
    """The value of a ``number`` attribute."""
    return _BE32.unpack(data)[0] if data is not None and len(data) == 4 else None


def as_signed(data: bytes | None) -> int | None:
    """The same for an attribute that may be negative."""
    value = as_number(data)
    return value - (1 << 32) if value is not None and value & 0x80000000 else value


def as_text(data: bytes | None) -> str:
    """The value of a ``text`` attribute; empty when there is none."""
    return (data or b"").rstrip(b"\0").decode(errors="replace")
