# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The part of JSON Schema (draft 2020-12) that the lab file's schema uses, so that managed hosts need no library for it.

A schema is compiled once into functions: a lab may have thousands of parts.
"""

from __future__ import annotations

import re
import typing as t

from .problems import guess, some
from .spec import Path

Schema = t.Mapping[str, t.Any]


class Mistake(t.NamedTuple):
    """One place where a value is not as the schema wants it."""

    path: Path
    message: str
    shape: bool
    """Whether the value, or a part of it, is of another kind than what reads it expects."""


Mistakes = list[Mistake]
Check = t.Callable[[t.Any, Path, "Mistakes | None"], bool]
"""Whether a value is valid; what is wrong is entered into the list, if there is one."""

_NAMES = {
    "object": "a mapping", "array": "a list", "string": "a text", "integer": "a whole number", "number": "a number",
    "boolean": "true or false", "null": "nothing",
}  # fmt: skip


def compile_schema(schema: Schema) -> Check:
    """A function that checks values against a schema. Raises ValueError for a keyword that is not known here."""
    return _Compiler(schema).check(schema)


class _Compiler:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._made: dict[str, Check] = {}

    def resolved(self, schema: Schema) -> Schema:
        """What a reference points to."""
        name = schema.get("$ref")
        return self._root["$defs"][name.rpartition("/")[2]] if name else schema

    def check(self, schema: Schema) -> Check:
        """The function for one schema."""
        if "$ref" in schema:
            return self._reference(schema["$ref"])
        unknown = schema.keys() - _KEYWORDS.keys() - _WORDS
        if unknown:
            raise ValueError(f"the schema keyword {', '.join(sorted(unknown))} is not known here")
        makers = dict.fromkeys(maker for keyword, maker in _KEYWORDS.items() if keyword in schema)
        parts = [maker(self, schema) for maker in makers]
        return parts[0] if len(parts) == 1 else _all_of(parts)

    def _reference(self, name: str) -> Check:
        if name not in self._made:
            self._made[name] = self.check(self.resolved({"$ref": name}))
        return self._made[name]

    def homes(self, key: str) -> list[str]:
        """The titles of the mappings that have such a key."""
        parts = [self._root, *self._root.get("$defs", {}).values()]
        return [part["title"] for part in parts if key in part.get("properties", ()) and "title" in part]


def _all_of(parts: t.Sequence[Check]) -> Check:
    """The type comes first: after it, other words about the same value would only repeat what is wrong."""
    return lambda value, path, out: all(part(value, path, out) for part in parts)


# ---- kinds of values


def _is(kind: str, value: t.Any) -> bool:
    if kind == "integer":
        return (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, float) and value.is_integer()
        )
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, _CLASSES[kind])


_CLASSES: dict[str, t.Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def kind_of(value: t.Any) -> str:
    """What a value is, in the words of JSON."""
    return next((kind for kind in _NAMES if _is(kind, value)), type(value).__name__)


def _listed(value: str | t.Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _type(compiler: _Compiler, schema: Schema) -> Check:
    kinds = _listed(schema["type"])
    plain = tuple(_CLASSES[kind] for kind in kinds if kind in _CLASSES)
    counted = tuple(kind for kind in kinds if kind not in _CLASSES)
    message = schema.get("errorMessage")

    def check(value: t.Any, path: Path, out: Mistakes | None) -> bool:
        if isinstance(value, plain) or any(_is(kind, value) for kind in counted):
            return True
        if out is not None:
            out.append(Mistake(path, wrong_kind(value, kinds, message), True))
        return False

    return check


def wrong_kind(value: t.Any, kinds: t.Sequence[str], message: str | None) -> str:
    """The sentence about a value of the wrong kind."""
    if isinstance(value, dict) and list(value.items()) == [("n", None)] and "string" in kinds:
        return "YAML reads {n} without quotes as a mapping: write '{n}'."
    wanted = [_NAMES[kind] for kind in kinds if kind != "null"]
    meant = message or f"{' or '.join(wanted)} is meant here"
    got = "nothing" if value is None else f"{shown(value)} is {_NAMES.get(kind_of(value), kind_of(value))}"
    if "string" in kinds and isinstance(value, (bool, int, float)):
        as_bool = "YAML reads yes, no, on, off, true and false as true or false" if isinstance(value, bool) else ""
        number = f"YAML reads {shown(value)} as a number"
        return f"{meant}, and {as_bool or number}: put it in quotes."
    return f"{meant}, not nothing." if value is None else f"{meant}, and {got}."


def shown(value: t.Any) -> str:
    """A value for a message, shortened."""
    if isinstance(value, (bool, type(None))):
        return {True: "true", False: "false", None: "null"}[value]
    out = ascii(value) if isinstance(value, str) else str(value)
    return out if len(out) <= 40 else f"{out[:37]}..."


# ---- mappings and lists


def _object(compiler: _Compiler, schema: Schema) -> Check:
    """All keywords about mappings, in one function: most of a lab file is mappings."""
    properties = {name: compiler.check(part) for name, part in schema.get("properties", {}).items()}
    further = _further(compiler, schema, properties)
    required = schema.get("required", ())

    def check(value: t.Any, path: Path, out: Mistakes | None) -> bool:
        if not isinstance(value, dict):
            return True
        good = True
        for key, part in value.items():
            test = properties.get(key)
            fine = further(key, part, path, out) if test is None else test(part, (*path, key), out)
            if not fine:
                if out is None:
                    return False
                good = False
        missing = [name for name in required if name not in value]
        if out is not None:
            out += [Mistake(path, f"{name} is missing. {_first(schema, name)}", True) for name in missing]
        return good and not missing

    return check


def _further(
    compiler: _Compiler, schema: Schema, properties: t.Mapping[str, Check]
) -> t.Callable[[t.Any, t.Any, Path, Mistakes | None], bool]:
    """The check of a key, and what belongs to it, that is none of the ``properties``."""
    patterns = [(re.compile(key), compiler.check(part)) for key, part in schema.get("patternProperties", {}).items()]
    others = schema.get("additionalProperties", True)
    other = compiler.check(others) if isinstance(others, dict) else None
    names = compiler.check(schema["propertyNames"]) if "propertyNames" in schema else None

    def check(key: t.Any, part: t.Any, path: Path, out: Mistakes | None) -> bool:
        if not isinstance(key, str):
            return _odd_key(key, path, out)
        inner = (*path, key)
        if names is not None and not names(key, inner, out):
            return False
        found = [test for pattern, test in patterns if pattern.search(key)]
        if found:
            return all(test(part, inner, out) for test in found)
        if other is not None:
            return other(part, inner, out)
        if others is False and out is not None:
            out.append(Mistake(inner, _no_key(key, properties, compiler.homes(key)), True))
        return others is not False

    return check


def _first(schema: Schema, name: str) -> str:
    described = schema.get("properties", {}).get(name, {}).get("description", "")
    return f"It says: {described}" if described else "Add it."


def _odd_key(key: t.Any, path: Path, out: Mistakes | None) -> bool:
    if out is not None:
        out.append(Mistake((*path, str(key)), wrong_kind(key, ("string",), "a name is meant here"), True))
    return False


def _no_key(key: str, known: t.Iterable[str], homes: t.Sequence[str]) -> str:
    """The sentence about a key that is not known: where it belongs, or what was meant."""
    if homes:
        return f"{key} belongs to {' or '.join(homes)}, not here."
    near = guess(key, known)
    return f"there is no key {shown(key)} here.{near or f' Possible are {some(known)}.'}"


def _array(compiler: _Compiler, schema: Schema) -> Check:
    item = compiler.check(schema.get("items", {}))
    least = schema.get("minItems", 0)

    def check(value: t.Any, path: Path, out: Mistakes | None) -> bool:
        if not isinstance(value, list):
            return True
        good = True
        for number, part in enumerate(value):
            if not item(part, (*path, number), out):
                good = False
        if len(value) < least:
            good = False
            if out is not None:
                out.append(
                    Mistake(path, schema.get("errorMessage", "the list is too short") + ", and it is empty.", False)
                )
        return good

    return check


# ---- single values


def _value(compiler: _Compiler, schema: Schema) -> Check:
    """All keywords about numbers and texts, and enum."""
    enum = schema.get("enum")
    pattern = re.compile(schema["pattern"]) if "pattern" in schema else None
    low, high, shortest = schema.get("minimum"), schema.get("maximum"), schema.get("minLength", 0)

    def wrong(value: t.Any) -> str | None:
        if enum is not None and not any(value == each and kind_of(value) == kind_of(each) for each in enum):
            return f"{' or '.join(map(shown, enum))} is meant here"
        if isinstance(value, str):
            if (pattern is not None and not pattern.search(value)) or len(value) < shortest:
                return "another text is meant here"
        elif _is("number", value):
            if low is not None and value < low:
                return f"a number not below {low} is meant here"
            if high is not None and value > high:
                return f"a number not above {high} is meant here"
        return None

    def check(value: t.Any, path: Path, out: Mistakes | None) -> bool:
        message = wrong(value)
        if message is None:
            return True
        if out is not None:
            hint = guess(value, enum) if enum and isinstance(value, str) else ""
            out.append(Mistake(path, f"{schema.get('errorMessage', message)}, not {shown(value)}.{hint}", False))
        return False

    return check


def _any_of(compiler: _Compiler, schema: Schema) -> Check:
    branches = [compiler.check(part) for part in schema["anyOf"]]
    kinds = [_listed(compiler.resolved(part).get("type", ())) for part in schema["anyOf"]]
    message = schema.get("errorMessage")

    def check(value: t.Any, path: Path, out: Mistakes | None) -> bool:
        for branch in branches:
            if branch(value, path, None):
                return True
        if out is None:
            return False
        # Somebody who wrote a list meant the branch that is about lists: what is wrong is inside of it.
        meant = [branch for branch, names in zip(branches, kinds) if any(_is(name, value) for name in names)]
        if not meant:
            out.append(Mistake(path, wrong_kind(value, [kind for names in kinds for kind in names], message), True))
        elif isinstance(value, (dict, list)):
            meant[0](value, path, out)
        else:
            out.append(Mistake(path, f"{message or 'another value is meant here'}, not {shown(value)}.", False))
        return False

    return check


_WORDS = {"$schema", "$defs", "title", "description", "errorMessage"}
_KEYWORDS: dict[str, t.Callable[[_Compiler, Schema], Check]] = {
    "type": _type,
    "properties": _object, "patternProperties": _object, "additionalProperties": _object, "propertyNames": _object,
    "required": _object,
    "items": _array, "minItems": _array,
    "enum": _value, "pattern": _value, "minimum": _value, "maximum": _value, "minLength": _value,
    "anyOf": _any_of,
}  # fmt: skip
