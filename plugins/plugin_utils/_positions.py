# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""A lab file: the data in it, and where in the file each piece of it stands.

The file is YAML as Ansible reads it, but data only: nothing in it is a template, and no tag makes an object. Keys are always
texts, so that a namespace can be called ``no`` or ``1``; a MAC address is never a number to the base of 60, nor anything a date.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import yaml
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import uncollected
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import Reader

_PARSER: t.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's reads a thousand namespaces in a twentieth of a second, PyYAML's own takes ten times as long."""

DEPTH = 50
"""How deep a file may be nested; a lab needs no tenth of it."""

PIECES = 2_000_000
"""How many pieces a file may have with all its aliases replaced, before it is a mistake or an attack."""

_TOO_MUCH = "the file is nested deeper, or unfolds to more, than any lab; write it out flat."
_TAG = "tag:yaml.org,2002:"
_TRUE = frozenset({"yes", "true", "on"})

Path = Iterable[str | int]


@dataclass(frozen=True)
class LabFile:
    """A lab file that was read."""

    name: str
    definition: dict[str, t.Any]
    root: Node

    def position(self, path: Path, *, key: bool = False) -> str:
        """``FILE:LINE:COLUMN`` of the deepest piece on the path that is in the file.

        A mapping or a list is found at its key, anything else at its value, or with ``key`` at its key, too.
        """
        node, mark = self.root, self.root.start_mark
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            name, node = found
            at_key = key or not isinstance(node, ScalarNode) or not node.value
            mark = (name if name is not None and at_key else node).start_mark
        return _place(self.name, mark)


def read(content: bytes, name: str) -> LabFile:
    """Read the content of the file ``name``. Raises InvalidInput with one line for each mistake."""
    with uncollected():
        return _read(_decoded(content, name), name)


def _read(text: str, name: str) -> LabFile:
    try:
        root = yaml.compose(text, Loader=_PARSER)
    except yaml.YAMLError as error:
        raise InvalidInput(_syntax(error, text, name)) from None
    except RecursionError:
        raise InvalidInput(f"{name}:1:1: {_TOO_MUCH}") from None
    if root is None:
        raise InvalidInput(f"{name}:1:1: the file is empty; a lab has a name and namespaces at least.")
    builder = _Builder(name)
    definition = builder.value(root, 0)
    if not builder.mistakes and not isinstance(root, MappingNode):
        builder.mistake(root, "a lab is a mapping that begins with its name, such as name: red-blue.")
    if builder.mistakes:
        raise InvalidInput("\n".join(builder.mistakes))
    return LabFile(name, definition, root)


class _Builder:
    """Turns nodes into data, and notes what can't be data."""

    def __init__(self, name: str) -> None:
        self.mistakes: list[str] = []
        self._name = name
        self._pieces = 0
        # What was built from a collection, and how many pieces it has: an alias is the same node again.
        self._built: dict[int, tuple[t.Any, int]] = {}
        self._open: set[int] = set()

    def mistake(self, node: Node, sentence: str) -> None:
        """Note what is wrong with the node."""
        self.mistakes.append(f"{_place(self._name, node.start_mark)}: {sentence}")

    def value(self, node: Node, depth: int) -> t.Any:
        """The data that the node stands for."""
        self._pieces += 1
        if isinstance(node, ScalarNode):
            return node.value if node.tag == f"{_TAG}str" else self._scalar(node)
        if id(node) in self._built:
            value, pieces = self._built[id(node)]
            self._pieces += pieces
            return value
        if id(node) in self._open:
            return self.mistake(node, "this alias stands inside of what it stands for; write out what is meant.")
        if depth > DEPTH or self._pieces > PIECES:
            return self.mistake(node, _TOO_MUCH)
        before = self._pieces
        self._open.add(id(node))
        build: t.Any = self._mapping if isinstance(node, MappingNode) else self._sequence
        value = build(node, depth + 1)
        self._open.discard(id(node))
        self._built[id(node)] = value, self._pieces - before
        return value

    def _scalar(self, node: ScalarNode) -> t.Any:
        kind, text = node.tag.removeprefix(_TAG), node.value
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in _TRUE
        try:
            if kind == "int":
                return _integer(text)
            if kind == "float":
                return _number(text)
        except ValueError:
            return self.mistake(node, f"{text!r} is no number.")
        if kind in ("timestamp", "value", "merge"):
            return text
        return self._unknown(node)

    def _sequence(self, node: SequenceNode, depth: int) -> list[t.Any]:
        if node.tag != f"{_TAG}seq":
            self._unknown(node)
        return [self.value(item, depth) for item in node.value]

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, t.Any]:
        if node.tag != f"{_TAG}map":
            self._unknown(node)
        built: dict[str, t.Any] = {}
        places: dict[str, Node] = {}
        merged: dict[str, t.Any] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                merged = self._merged(value, depth) | merged
            elif not isinstance(key, ScalarNode):
                self.mistake(
                    key, "a key is a text, and this is a collection; put quotes around a text that begins with { or [."
                )
            elif key.value in places:
                first = places[key.value].start_mark.line + 1
                self.mistake(key, f"the key {key.value} is here twice, first in line {first}; name it once.")
            else:
                places[key.value] = key
                built[key.value] = self.value(value, depth)
        return merged | built if merged else built

    def _merged(self, node: Node, depth: int) -> dict[str, t.Any]:
        """What ``<<`` brings in: of several mappings, the one that is named first rules."""
        merged: dict[str, t.Any] = {}
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            value = self.value(source, depth)
            if not isinstance(value, dict):
                self.mistake(source, "<< brings in a mapping, or a list of mappings, and this is neither.")
            else:
                merged = value | merged
        return merged

    def _unknown(self, node: Node) -> None:
        tag = node.tag.replace(_TAG, "!!")
        if tag == "!vault":
            self.mistake(node, "a single value can't be encrypted here; encrypt the whole file with ansible-vault.")
        else:
            self.mistake(node, f"the tag {tag} means nothing in a lab file; leave it out.")


def _child(node: Node, step: str | int) -> tuple[Node | None, Node] | None:
    """The key (None in a list) and the value that one step of a path leads to, or None if the file has no such piece."""
    if isinstance(node, MappingNode):
        for key, value in _entries(node, DEPTH):
            if key.value == str(step):
                return key, value
    elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return None, node.value[step]
    return None


def _entries(node: MappingNode, depth: int) -> Iterator[tuple[Node, Node]]:
    """A mapping's own keys, then those that ``<<`` brings in."""
    merged: list[Node] = []
    for key, value in node.value:
        if key.tag == f"{_TAG}merge":
            merged += value.value if isinstance(value, SequenceNode) else [value]
        else:
            yield key, value
    for source in merged:
        if isinstance(source, MappingNode) and depth:
            yield from _entries(source, depth - 1)


def _integer(text: str) -> int | str:
    """A whole number as YAML 1.1 writes it; what has colons is an address, and stays a text."""
    if ":" in text:
        return text
    digits = text.replace("_", "")
    bare = digits.lstrip("+-")
    if bare[:2] in ("0x", "0b") or bare == "0":
        return int(digits, 0)
    return int(digits, 8 if bare.startswith("0") else 10)


def _number(text: str) -> float | str:
    """A number with a fraction; infinities and the like stay texts, since no option can be one."""
    digits = text.replace("_", "")
    return text if ":" in text or digits.lstrip("+-").lower() in (".inf", ".nan") else float(digits)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = content[: error.start].decode("utf-8-sig")
        line, column = good.count("\n") + 1, len(good) - good.rfind("\n")
        raise InvalidInput(
            f"{name}:{line}:{column}: the byte 0x{content[error.start]:02x} is no UTF-8; save the file as UTF-8."
        ) from None


def _syntax(error: yaml.YAMLError, text: str, name: str) -> str:
    """What keeps the file from being YAML, in one sentence."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return _unprintable(text, name)
    row = [*text.split("\n"), ""][mark.line]
    problem = str(getattr(error, "problem", None) or getattr(error, "context", None) or "it can't be read")
    if row[mark.column : mark.column + 1] == "\t" or row[: mark.column + 1].lstrip(" ").startswith("\t"):
        sentence = "there is a tab here, which YAML does not take for indentation; write spaces."
    elif "another document" in problem:
        sentence = "another document begins here; a lab is one file with one document, so remove the line ---."
    elif "undefined alias" in problem:
        sentence = f"{problem}; define the anchor (&) above its alias (*)."
    else:
        sentence = f"this is no YAML: {problem}; look at this line, and at the one above it."
    return f"{_place(name, mark)}: {sentence}"


def _unprintable(text: str, name: str) -> str:
    """The error without a mark is about a character that no YAML file may hold."""
    found = Reader.NON_PRINTABLE.search(text)
    offset = found.start() if found else 0
    line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    return f"{name}:{line}:{column}: there is a control character here; remove it."


def _place(name: str, mark: t.Any) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}"
