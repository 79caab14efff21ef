# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Templates: one entry with ``count`` stands for many, and ``{n}`` is the number of each.

What has no ``{n}`` inside is the same object in all of them, so that whoever reads it has to read it only once.
"""

from __future__ import annotations

import collections
import re
import typing as t

from .._errors import InvalidInput
from .problems import Problems
from .spec import Path

_MARK = re.compile(r"\{n(?::0([1-9][0-9]?))?\}")
_NEARLY = re.compile(r"\{n[^}]*\}?")
Fill = t.Callable[[int], t.Any]


class Filled(str):
    """A key with its number, which remembers how the file writes it."""

    raw: str


class Entry(t.NamedTuple):
    """Something named: as it is in the file, or one of a template."""

    name: str
    body: t.Mapping[str, t.Any]
    path: Path
    """Where the file has it: the place of the template for all that come from it."""


def raw(key: str) -> str:
    """A key as the file writes it."""
    return key.raw if isinstance(key, Filled) else key


def unfold(section: t.Any, path: Path, problems: Problems) -> list[Entry]:
    """All entries of a section, templates unfolded, in the order of the file."""
    out: list[Entry] = []
    places: dict[str, Path] = {}
    for key, body in (section or {}).items():
        if not isinstance(key, str):
            continue  # told by the schema
        place = (*path, raw(key))
        if not isinstance(body, dict) or "count" not in body:
            entries = [Entry(key, body if isinstance(body, dict) else {}, place)]
            _refuse_marks(key, body, place, problems)
        else:
            entries = _instances(key, body, place, problems)
        for entry in entries:
            if entry.name in places:
                other = places[entry.name]
                problems.add(
                    place,
                    f"this makes {entry.name} a second time; the other one is "
                    f"{'from the same template' if other == place else 'at ' + str(other[-1])}. Choose other names or numbers.",
                )
                break
            places[entry.name] = place
            out.append(entry)
    return out


def _refuse_marks(key: str, body: t.Any, place: Path, problems: Problems) -> None:
    if _NEARLY.search(key):
        hint = " A start without a count makes no template." if isinstance(body, dict) and "start" in body else ""
        problems.add(place, f"{{n}} is replaced in templates only: add count, the number of those to make.{hint}")
    elif isinstance(body, dict) and "start" in body:
        problems.add((*place, "start"), "start belongs to a template: add count, or leave it out.")


def _instances(key: str, body: t.Mapping[str, t.Any], place: Path, problems: Problems) -> list[Entry]:
    try:
        count, start = int(body["count"]), int(body.get("start", 1))
    except (TypeError, ValueError):  # {n} of a template around it, which is no number here
        problems.add((*place, "count"), "a whole number is meant here.")
        return []
    inner = {name: part for name, part in body.items() if name not in ("count", "start")}
    _check_marks((key, inner), place, problems)
    name = _text_filler(key) or (lambda number: f"{key}{number}")
    fill = _filler(inner)
    numbers = range(start, start + count)
    if fill is None:
        return [Entry(name(number), inner, place) for number in numbers]
    try:
        return [Entry(name(number), fill(number), place) for number in numbers]
    except InvalidInput as error:
        problems.add(place, str(error))
        return []


def _check_marks(value: t.Any, place: Path, problems: Problems) -> None:
    if isinstance(value, str):
        for found in _NEARLY.findall(value):
            if not _MARK.fullmatch(found):
                problems.add(
                    place,
                    f"{found!r} is nothing that can be replaced: write {{n}}, or {{n:03}} for numbers of three digits.",
                )
    elif isinstance(value, dict):
        for key, part in value.items():
            _check_marks(key, place, problems)
            _check_marks(part, (*place, raw(key)), problems)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check_marks(part, place, problems)


def _filler(value: t.Any) -> Fill | None:
    """How to fill a number into a value; None for a value that has no place for one."""
    if isinstance(value, str):
        return _text_filler(value)
    if isinstance(value, dict):
        return _mapping_filler(value)
    if isinstance(value, list):
        parts = [(part, _filler(part)) for part in value]
        if any(fill for _part, fill in parts):
            return lambda number: [fill(number) if fill else part for part, fill in parts]
    return None


def _text_filler(text: str) -> Fill | None:
    if not _MARK.search(text):
        return None
    pieces = _MARK.split(text)  # text, width, text, width, ..., text
    template = pieces[0].replace("%", "%%")
    for width, after in zip(pieces[1::2], pieces[2::2]):
        template += f"%(n)0{width}d" if width else "%(n)d"
        template += after.replace("%", "%%")
    return lambda number: template % {"n": number}


def _mapping_filler(mapping: t.Mapping[str, t.Any]) -> Fill | None:
    parts = [(key, part, *_fillers(key, part)) for key, part in mapping.items()]
    if not any(name or fill for _key, _part, name, fill in parts):
        return None

    def filled(number: int) -> dict[str, t.Any]:
        made = {
            (_key(key, name(number)) if name else key): (fill(number) if fill else part)
            for key, part, name, fill in parts
        }
        if len(made) < len(parts):
            raise _doubled(name(number) if name else key for key, _part, name, _fill in parts)
        return made

    return filled


def _doubled(keys: t.Iterable[str]) -> InvalidInput:
    (key, _count), *_others = collections.Counter(keys).most_common()
    return InvalidInput(f"two keys become {key} once {{n}} is replaced. Name one of them differently.")


def _fillers(key: str, part: t.Any) -> tuple[Fill | None, Fill | None]:
    """For a key and what belongs to it; none for a template inside of the template, which has numbers of its own."""
    if isinstance(part, dict) and "count" in part:
        return None, None
    return _text_filler(key), _filler(part)


def _key(raw_key: str, name: str) -> Filled:
    made = Filled(name)
    made.raw = raw_key
    return made
