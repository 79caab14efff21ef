# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The golden rulesets: what every combination of the options of the NAT modules makes of our table.

The files under tests/unit/golden say it once and were read by people; tests compare. ``make golden`` writes them anew:
look at the difference before you commit it.

A file is about one family and one form of ports, and has each piece of a table (a map, a set, a chain) once, behind the
options with which it is there. A ruleset is the pieces that fit its options, in the order of the file.
"""

from __future__ import annotations

import difflib
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.patchbay.netns.tests.tools import golden_options
from ansible_collections.patchbay.netns.tests.tools.golden_options import Group, Options

FOLDER = Path(__file__).parents[1] / "unit" / "golden"
_ANEW = "If that is what was meant: 'make golden', and read the difference before you commit it."


@dataclass(frozen=True)
class Piece:
    """A map, set or chain as nft(8) shows it, and the boxes of options with which it is part of the table."""

    text: str
    boxes: tuple[tuple[frozenset[str], ...], ...]

    def fits(self, options: Options) -> bool:
        """Whether a ruleset with these options has it."""
        return any(all(value in values for value, values in zip(options, box, strict=True)) for box in self.boxes)


# ---- writing


def written(group: Group) -> str:
    """The text of the group's golden file."""
    rulesets = {options: group.pieces(options) for options in group.all_options()}
    found: dict[tuple[Any, ...], set[Options]] = {}
    for options, pieces in rulesets.items():
        for name, text in pieces.items():
            found.setdefault((golden_options.place(name), text), set()).add(options)
    order = {options: number for number, options in enumerate(rulesets)}
    parts = sorted(found.items(), key=lambda item: (item[0][0], min(order[options] for options in item[1])))
    head = "".join(f"# {line}\n" for line in group.heading)
    return head + "".join(f"\n{_conditions(group, having, len(rulesets))}{text}" for (_place, text), having in parts)


def _conditions(group: Group, having: set[Options], count: int) -> str:
    """The lines that say with which options a piece is there, as few as the search for large boxes finds."""
    lines = []
    for box in _boxes(list(group.axes.values()), having):
        named = [
            f"{axis} {' or '.join(value for value in values if value in chosen)}"
            for (axis, values), chosen in zip(group.axes.items(), box, strict=True)
            if len(chosen) < len(values)
        ]
        lines.append(f"## {', '.join(named) or 'always'}\n")
    return f"# in {len(having)} of {count}\n" + "".join(lines)


def _boxes(axes: Sequence[Sequence[str]], having: set[Options]) -> Iterator[tuple[frozenset[str], ...]]:
    """Products of options that together are exactly ``having``: each grown from the first option that is left, axis by axis."""
    left = dict.fromkeys(options for options in itertools.product(*axes) if options in having)
    while left:
        first, *_others = left
        box = [{value} for value in first]
        for number, values in enumerate(axes):
            for value in values:
                wider = [*box[:number], {value}, *box[number + 1 :]]
                if all(options in having for options in itertools.product(*wider)):
                    box[number].add(value)
        for options in itertools.product(*box):
            left.pop(options, None)
        yield tuple(map(frozenset, box))


# ---- reading


def read(group: Group, text: str) -> list[Piece]:
    """The pieces that a golden file has. Raises ValueError when a line names options that the group does not have."""
    blocks = text.split("\n# in ")[1:]
    return [_piece(group, block.split("\n")[1:]) for block in blocks]


def _piece(group: Group, lines: Iterable[str]) -> Piece:
    boxes, text = [], []
    for line in lines:
        if line.startswith("## "):
            boxes.append(_box(group, line[3:]))
        else:
            text.append(line)
    return Piece("\n".join(text).rstrip("\n") + "\n", tuple(boxes))


def _box(group: Group, line: str) -> tuple[frozenset[str], ...]:
    chosen: dict[str, frozenset[str]] = {axis: frozenset(values) for axis, values in group.axes.items()}
    for condition in [] if line == "always" else line.split(", "):
        axis, _space, values = condition.partition(" ")
        chosen[axis] = frozenset(values.split(" or "))
        if not chosen[axis] <= set(group.axes[axis]):
            raise ValueError(f"{group.name}: {condition} is no option")
    return tuple(chosen.values())


def ruleset(pieces: Iterable[Piece], options: Options) -> str:
    """The table with these options, as the golden file has it."""
    body = "\n".join(piece.text for piece in pieces if piece.fits(options))
    return f"table inet patchbay {{\n{body}}}\n"


# ---- comparing


def difference(name: str, text: str) -> str:
    """What a golden file would change in, as a unified diff with the way out; empty when it would not."""
    path = FOLDER / name
    golden = path.read_text(encoding="utf-8") if path.exists() else ""
    if golden == text:
        return ""
    lines = difflib.unified_diff(golden.splitlines(), text.splitlines(), f"golden/{name}", "planned now", lineterm="")
    return "\n".join([*lines, _ANEW])


def contents() -> Iterator[tuple[str, str]]:
    """Each golden file by its name, with the text that it should have now."""
    for group in golden_options.GROUPS:
        yield f"{group.name}.nft", written(group)
    yield "samples.nft", golden_options.samples()


def main() -> None:
    """Write the golden files anew, or print one ruleset: ``golden.py dnat_forward-ipv4-single loopback=yes ...``."""
    if len(sys.argv) > 1:
        print(shown(sys.argv[1], sys.argv[2:]), end="")
        return
    FOLDER.mkdir(exist_ok=True)
    wanted = dict(contents())
    for path in FOLDER.glob("*.nft"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def shown(name: str, chosen: Sequence[str]) -> str:
    """One ruleset whole, as the golden file has it; of options that are not named the first value. Ends with what is wrong."""
    group = next((group for group in golden_options.GROUPS if group.name == name), None)
    if group is None:
        sys.exit(f"{name} is none of: {', '.join(group.name for group in golden_options.GROUPS)}")
    given = dict(text.partition("=")[::2] for text in chosen)
    for axis, value in given.items():
        if value not in group.axes.get(axis, ()):
            choices = (f"{axis}={'|'.join(values)}" for axis, values in group.axes.items())
            sys.exit(f"{axis}={value} is none of: {' '.join(choices)}")
    options = tuple(given.get(axis, values[0]) for axis, values in group.axes.items())
    return ruleset(read(group, (FOLDER / f"{name}.nft").read_text(encoding="utf-8")), options)


if __name__ == "__main__":
    main()
