# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What nftables makes of fields: masked, turned around, cut, and put side by side."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from .model import Packet
from .nft_bits import Bits, joined, known, unknown
from .nft_fields import Field, Possible

_MOST_POSSIBILITIES = 16


@dataclass(frozen=True)
class Masked:
    """A field of which only some bits count, and some of these may be turned around."""

    field: Field
    mask: bytes
    flipped: bytes

    @property
    def size(self) -> int:
        return len(self.mask)

    def possible(self, packet: Packet) -> Possible:
        mask, flipped = int.from_bytes(self.mask, "big"), int.from_bytes(self.flipped, "big")
        return tuple(bits.masked(mask, flipped) for bits in self.field.possible(packet) if bits.size == self.size)

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        return self.field.show(data, self.mask)

    def __str__(self) -> str:
        return str(self.field)


@dataclass(frozen=True)
class Swapped:
    """A field in the other byte order, so that numbers of this machine compare as they should."""

    field: Field
    step: int

    @property
    def size(self) -> int:
        return self.field.size

    def possible(self, packet: Packet) -> Possible:
        return tuple(bits.swapped(self.step) for bits in self.field.possible(packet))

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        turned = (data[at : at + self.step][::-1] for at in range(0, len(data), self.step))
        return self.field.show(b"".join(turned), mask)

    def __str__(self) -> str:
        return str(self.field)


@dataclass(frozen=True)
class Part:
    """The first bytes of a longer field, as a pattern such as ``veth*`` looks at them."""

    field: Field
    size: int

    def possible(self, packet: Packet) -> Possible:
        return tuple(bits.cut(0, self.size) for bits in self.field.possible(packet) if bits.size >= self.size)

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        return self.field.show(data, mask)

    def __str__(self) -> str:
        return str(self.field)


@dataclass(frozen=True)
class Joined:
    """A concatenation: fields one after another, each filled up to whole words of four bytes."""

    fields: tuple[Field, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """The sizes of the fields with what fills them up."""
        return tuple((field.size + 3) & ~3 for field in self.fields)

    @property
    def size(self) -> int:
        return sum(self.widths)

    def possible(self, packet: Packet) -> Possible:
        choices = [field.possible(packet) or (unknown(field.size),) for field in self.fields]
        combined = list(itertools.islice(itertools.product(*choices), _MOST_POSSIBILITIES + 1))
        if len(combined) > _MOST_POSSIBILITIES:
            return ()
        return tuple(joined(known_pad(bits) for bits in one) for one in combined)

    def show(self, data: bytes, mask: bytes | None = None) -> str:
        out, start = [], 0
        for field, width in zip(self.fields, self.widths):
            out.append(field.show(data[start : start + field.size]))
            start += width
        return " . ".join(out)

    def __str__(self) -> str:
        return " . ".join(map(str, self.fields))


def known_pad(bits: Bits) -> Bits:
    """The bits, filled up with zeros to whole words as the kernel does it."""
    return joined([bits, known(bytes(-bits.size % 4))])
