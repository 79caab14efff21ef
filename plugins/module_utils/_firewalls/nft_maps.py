# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The sets and verdict maps of nftables: from elements as the kernel keeps them to ranges, and to rules."""

from __future__ import annotations

import typing as t

from .._kernel.rulesets import CATCHALL, EVAL, INTERVAL, INTERVAL_END, Element, SetDump
from .model import Condition, Unknown, Verdict
from .nft_derived import Joined
from .nft_fields import Field
from .nft_statements import verdict_of_data
from .nft_tests import Among, Members, Span, span_text


class Entry(t.NamedTuple):
    """One element of a verdict map as the rule that it amounts to, and the element in words."""

    conditions: tuple[Condition, ...]
    verdict: Verdict
    key: str


def lookup_members(field: Field, name: str, found: SetDump | None, *, inverted: bool) -> Condition:
    """Whether a field is in a set."""
    shown = "" if name.startswith(("__set", "__map")) else name
    if found is None or found.flags & EVAL:
        return Unknown(f"{field} {'!= ' if inverted else ''}@{name}")
    if any(element.flags & CATCHALL for element in found.elements):
        return Among(field, Members([_all(found)], (found.key_length,)), shown, inverted, not _limited(found))
    members = Members([span for span, _element in _spans(found)], _widths(field, found))
    return Among(field, members, shown, inverted, sure=not _limited(found))


def entries(field: Field, name: str, found: SetDump | None) -> list[Entry]:
    """The elements of a verdict map. One that can't be read amounts to a rule that may do nothing."""
    if found is None or found.flags & EVAL:
        return [Entry((Unknown(f"{field} vmap @{name}"),), Verdict("continue"), "...")]
    widths = _widths(field, found)
    spans = _spans(found)
    out = []
    for span, element in spans:
        out.append(
            _entry(Among(field, Members([span], widths), sure=not element_limited(element)), element, field, span)
        )
    for element in found.elements:
        if element.flags & CATCHALL:
            others = Among(field, Members([span for span, _element in spans], widths), inverted=True)
            out.append(_entry(others, element, field, None))
    return out


def _entry(condition: Among, element: Element, field: Field, span: Span | None) -> Entry:
    verdict = verdict_of_data(element.data)
    key = "*" if span is None else span_text(field, span)
    if verdict.kind == "unknown":
        return Entry((condition, Unknown("a verdict that there are no words for")), Verdict("continue"), key)
    return Entry((condition,), verdict, key)


def element_limited(element: Element) -> bool:
    """Whether more than meeting the element is asked for, such as a limit of its own."""
    return any(name != "counter" for name in element.expressions)


def _limited(found: SetDump) -> bool:
    return any(element_limited(element) for element in found.elements)


def _all(found: SetDump) -> Span:
    return bytes(found.key_length), b"\xff" * found.key_length


def _widths(field: Field, found: SetDump) -> tuple[int, ...]:
    """The fields of a concatenation: as the set tells them, or else as they were loaded."""
    told = tuple((size + 3) & ~3 for size in found.fields)
    loaded = field.widths if isinstance(field, Joined) else ()
    widths = told if len(told) > 1 else loaded
    return widths if sum(widths) == found.key_length else (found.key_length,)


def _spans(found: SetDump) -> list[tuple[Span, Element]]:
    """The elements as ranges, both ends included."""
    elements = [element for element in found.elements if not element.flags & CATCHALL and element.key]
    if not found.flags & INTERVAL or any(element.end is not None for element in elements):
        return [((element.key, element.end or element.key), element) for element in elements]
    # A tree of points: from each one on, up to the next, the packet is in the element, or after an end in none.
    elements.sort(key=lambda element: (element.key, not element.flags & INTERVAL_END))
    points = sorted({element.key for element in elements})
    following = dict(zip(points, points[1:]))
    out = []
    for element in elements:
        if element.flags & INTERVAL_END:
            continue
        after = following.get(element.key)
        last = b"\xff" * len(element.key) if after is None else _before(after)
        out.append(((element.key, last), element))
    return out


def _before(key: bytes) -> bytes:
    return (int.from_bytes(key, "big") - 1).to_bytes(len(key), "big")
