# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Reading ports and port ranges, and which port becomes which."""

from __future__ import annotations

import re

from .._errors import InvalidInput
from .._kernel.nft_rules import Ports

SHIFT_LIMIT = 1024  # ports of one shifted range: each needs rules of its own


def parse(text: str, option: str) -> Ports:
    """A port such as ``80`` or a range such as ``8000-8010``. Raises InvalidInput."""
    match = re.fullmatch(r"([0-9]{1,9})(?:\s*[-:]\s*([0-9]{1,9}))?", str(text).strip(), re.ASCII)
    if match is None:
        raise InvalidInput(f"{option}: {text!r} is no port; write a number such as 80 or a range such as 8000-8010.")
    low, high = int(match[1]), int(match[2] or match[1])
    for number in (low, high):
        if not 1 <= number <= 65535:
            raise InvalidInput(f"{option}: {number} is no port number; ports go from 1 to 65535.")
    if low > high:
        raise InvalidInput(f"{option}: the range {low}-{high} is written backwards; did you mean {high}-{low}?")
    return Ports(low, high)


def pairs(outside: Ports, inside: Ports | None) -> list[tuple[Ports, int | None]]:
    """Which ports one rule takes, and to which port it sends them; None keeps the number.

    The kernel's own translation of a range to another range always picks its first port, so a shifted
    range becomes one pair per port.
    """
    if len(outside) == 1:
        return [(outside, (inside or outside).low)]
    if inside is None or inside == outside:
        return [(outside, None)]
    shift = inside.low - outside.low
    return [(Ports(port, port), port + shift) for port in range(outside.low, outside.high + 1)]


def check_widths(outside: Ports, inside: Ports | None) -> None:
    """Raises InvalidInput unless both ranges have the same number of ports, and few enough where they differ."""
    if inside is None or inside == outside:
        return
    if len(inside) != len(outside):
        verb = "shrinks" if len(inside) < len(outside) else "grows"
        fitting = f"{inside.low}-{inside.low + len(outside) - 1}" if len(outside) > 1 else str(inside.low)
        raise InvalidInput(
            f"to_port: the range {verb} from {_counted(outside)} to {_counted(inside)}; "
            f"both need the same number of ports, so write {fitting}, or leave to_port out to keep the numbers."
        )
    if len(outside) > SHIFT_LIMIT:
        raise InvalidInput(
            f"to_port: a range that changes its numbers may have {SHIFT_LIMIT} ports at most, {outside} has {len(outside)}; "
            "leave to_port out to keep the numbers, or split the range."
        )


def _counted(ports: Ports) -> str:
    return f"{len(ports)} port{'s' if len(ports) > 1 else ''} ({ports})"
