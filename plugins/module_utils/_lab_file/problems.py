# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What is wrong with a lab file, collected: each problem is a place in the file and one sentence."""

from __future__ import annotations

import difflib
import re
import typing as t

from .._errors import InvalidInput
from .spec import Path

_TOLD = 50
"""Problems in the text of the error: more than anybody reads at once."""
_PLAIN_KEY = re.compile(r"[^\W\d][\w{}:@+-]*")
_OPTION = re.compile(r"(?P<key>[a-z_]+)(?:\[(?P<number>[0-9]+)\])?(?:\.(?P<inner>[a-z_]+))?: ")


class _Found(t.NamedTuple):
    message: str
    who: str | None
    others: set[str | None]


class Problems:
    """The problems met so far, at most one of a kind for all that come from one template."""

    def __init__(self) -> None:
        self.who: str | None = None
        """The namespace that is looked at: those of one template share their place in the file."""
        self._found: dict[Path, list[_Found]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, path: Path, message: str) -> None:
        """Enter one; what another namespace of the same template has at the same place is only counted."""
        here = self._found.setdefault(path, [])
        for found in here:
            if found.who != self.who:
                found.others.add(self.who)
                return
            if found.message == message:
                return
        here.append(_Found(message, self.who, set()))

    def take(self, path: Path, error: InvalidInput) -> None:
        """Enter what a reader of one option, or of a whole mapping of options, refused.

        These begin with the option: it becomes part of the place.
        """
        message = str(error)
        match = _OPTION.match(message)
        if match:
            number, inner = match["number"], match["inner"]
            path = (*path, match["key"], *([int(number) - 1] if number else []), *([inner] if inner else []))
            message = message[match.end() :]
        self.add(path, message)

    def refused(self, path: Path, error: InvalidInput) -> None:
        """Enter what a reader of the one value at this place refused."""
        match = _OPTION.match(str(error))
        self.add(path, str(error)[match.end() :] if match else str(error))

    def settle(self, better: Problems) -> None:
        """Take in the problems of others, whose words replace those for the same place."""
        self._found.update(better._found)

    def listed(self) -> list[dict[str, t.Any]]:
        """All of them as data."""
        return [
            {"path": list(path), "message": found.message + _more(found)}
            for path, here in self._found.items()
            for found in here
        ]

    def refuse(self) -> None:
        """Raises InvalidInput when there are any."""
        if not self._found:
            return
        found = self.listed()
        lines = [f"{where(each['path'])}: {each['message']}".removeprefix(": ") for each in found[:_TOLD]]
        if len(found) > _TOLD:
            lines.append(f"There are {len(found) - _TOLD} more problems.")
        raise InvalidInput("\n".join(lines), problems=found)


def _more(found: _Found) -> str:
    return f" (This is {found.who}; {len(found.others)} more of the template are like it.)" if found.others else ""


def where(path: t.Iterable[str | int]) -> str:
    """A place as people write it, such as ``namespaces.red.gateway[0]``."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            out += f".{part}" if out else part
        else:
            out += f'["{part}"]'
    return out


def guess(word: str, known: t.Iterable[str]) -> str:
    """'Did you mean ...?' with a space before it, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def some(names: t.Iterable[str]) -> str:
    """Names for a message: the first few of them."""
    listed = list(names)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return ", ".join(listed[:8]) + more if listed else "none"


def lacks(owner: str, what: str, name: str, known: t.Collection[str]) -> str:
    """The sentence about something that is not there: what was meant, or what there is."""
    return f"{owner} has no {what} {name}.{guess(name, known) or f' It has {some(known)}.'}"
