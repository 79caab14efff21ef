# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The bytes of nf_tables' messages and expressions (linux/netfilter/nf_tables.h): attributes packed and cut by hand.

pyroute2's classes are not used here: their values differ between releases, they misread the fib expression, and a
table of a thousand forwards is packed and read by these few lines in a tenth of the time.
"""

from __future__ import annotations

import functools
import struct
import typing as t

from . import attributes as nla
from .netlink import REQUEST, Raw

NEWTABLE, GETTABLE, DELTABLE = 0, 1, 2
NEWCHAIN, GETCHAIN, DELCHAIN = 3, 4, 5
NEWRULE, GETRULE, DELRULE = 6, 7, 8
NEWSET, GETSET, DELSET = 9, 10, 11
NEWSETELEM, GETSETELEM, DELSETELEM = 12, 13, 14
BATCH_BEGIN, BATCH_END = 0x10, 0x11
SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
INET = 1  # NFPROTO_INET
LIST_ELEMENT = 1  # NFTA_LIST_ELEM
USERDATA_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT, libnftnl

Value = t.Union[int, bytes]
Attributes = tuple[tuple[str, Value], ...]


def comment(userdata: bytes) -> str:
    """The comment among the type-length-value triples that nft keeps with a rule."""
    offset = 0
    while offset + 2 <= len(userdata):
        kind, length = userdata[offset], userdata[offset + 1]
        if kind == USERDATA_COMMENT:
            return userdata[offset + 2 : offset + 2 + length].rstrip(b"\0").decode(errors="replace")
        offset += 2 + length
    return ""


# ---- messages


def message(kind: int, *attributes: bytes, flags: int = 0, family: int = INET) -> Raw:
    """A message about a table, chain, rule, set or element (struct nfgenmsg, then attributes)."""
    return Raw(SUBSYSTEM << 8 | kind, REQUEST | flags, bytes([family, 0, 0, 0]) + b"".join(attributes))


def batch_mark(kind: int) -> Raw:
    """The message that begins or ends a batch."""
    return Raw(kind, REQUEST, struct.pack(">BBH", 0, 0, SUBSYSTEM))


# ---- expressions

# Attribute names in the order of their numbers, from 1. "data" holds bytes for a value and an int for a verdict.
_EXPRESSIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "meta": (("dreg", "number"), ("key", "number"), ("sreg", "number")),
    "payload": (("dreg", "number"), ("base", "number"), ("offset", "number"), ("len", "number"), ("sreg", "number")),
    "cmp": (("sreg", "number"), ("op", "number"), ("data", "data")),
    "range": (("sreg", "number"), ("op", "number"), ("from", "data"), ("to", "data")),
    "bitwise": (
        ("sreg", "number"),
        ("dreg", "number"),
        ("len", "number"),
        ("mask", "data"),
        ("xor", "data"),
        ("op", "number"),
        ("shift", "data"),
    ),
    "lookup": (("set", "text"), ("sreg", "number"), ("dreg", "number"), ("set_id", "number"), ("flags", "number")),
    "immediate": (("dreg", "number"), ("data", "data")),
    "counter": (("bytes", "wide"), ("packets", "wide")),
    "fib": (("dreg", "number"), ("result", "number"), ("flags", "number")),
    "ct": (("dreg", "number"), ("key", "number"), ("direction", "byte"), ("sreg", "number")),
    "masq": (("flags", "number"), ("proto_min", "number"), ("proto_max", "number")),
    "nat": (
        ("type", "number"),
        ("family", "number"),
        ("addr_min", "number"),
        ("addr_max", "number"),
        ("proto_min", "number"),
        ("proto_max", "number"),
        ("flags", "number"),
    ),
}
_KINDS = {
    name: {field: (at, kind) for at, (field, kind) in enumerate(fields, 1)} for name, fields in _EXPRESSIONS.items()
}
_DATA_VALUE, _DATA_VERDICT, _VERDICT_CODE = 1, 2, 1


class Expression(t.NamedTuple):
    """One expression of a rule: its name and its attributes, or its raw bytes when the name is not known here."""

    name: str
    attributes: Attributes
    raw: bytes = b""


def make(name: str, **attributes: Value) -> Expression:
    """An expression, its attributes given by name."""
    return Expression(name, tuple(attributes.items()))


@functools.lru_cache(maxsize=4096)
def encode(expression: Expression) -> bytes:
    """The content of NFTA_EXPR_DATA."""
    if expression.raw or expression.name not in _EXPRESSIONS:
        return expression.raw
    kinds = _KINDS[expression.name]
    return b"".join(_packed(*kinds[name], value) for name, value in expression.attributes)


def _packed(at: int, kind: str, value: Value) -> bytes:
    if kind == "data":
        if isinstance(value, int):
            return nla.nested(at, nla.nested(_DATA_VERDICT, nla.number(_VERDICT_CODE, value)))
        return nla.nested(at, nla.attribute(_DATA_VALUE, value))
    if isinstance(value, bytes):
        return nla.attribute(at, value + b"\0")
    if kind == "number":
        return nla.number(at, value)
    return nla.attribute(at, struct.pack(">Q" if kind == "wide" else "B", value))


@functools.lru_cache(maxsize=4096)
def decode(name: str, raw: bytes) -> Expression:
    """The opposite of ``encode``. What can't be read, such as an attribute of a newer kernel, keeps its bytes and has no attributes."""
    fields = _EXPRESSIONS.get(name)
    if fields is None:
        return Expression(name, (), raw)
    found: list[tuple[str, Value]] = []
    for at, content in nla.pieces(raw):
        value = _unpacked(fields[at - 1][1], content) if 1 <= at <= len(fields) else None
        if value is None:
            return Expression(name, (), raw)
        found.append((fields[at - 1][0], value))
    return Expression(name, tuple(found))


def _unpacked(kind: str, content: bytes) -> Value | None:
    if kind == "text":
        return content.rstrip(b"\0")
    if kind != "data":
        size = {"number": 4, "byte": 1, "wide": 8}[kind]
        return int.from_bytes(content, "big") if len(content) == size else None
    data = nla.unpack(content)
    if _DATA_VALUE in data:
        return data[_DATA_VALUE]
    verdict = nla.unpack(data.get(_DATA_VERDICT, b""))
    return (
        nla.as_signed(verdict.get(_VERDICT_CODE)) if len(verdict) == 1 else None
    )  # else a jump: to whom is not read here


def join(expressions: t.Iterable[Expression]) -> bytes:
    """The content of a rule's list of expressions."""
    return b"".join(map(element, expressions))


@functools.lru_cache(maxsize=4096)
def element(expression: Expression) -> bytes:
    """An expression as an element of a list."""
    return nla.nested(LIST_ELEMENT, nla.text(1, expression.name), nla.nested(2, encode(expression)))


def cut(data: bytes) -> list[tuple[str, bytes]]:
    """The opposite of ``join``, each expression with its name and its undecoded content."""
    return [_cut_element(content) for _kind, content in nla.pieces(data)]


@functools.lru_cache(maxsize=4096)
def _cut_element(data: bytes) -> tuple[str, bytes]:
    found = nla.unpack(data)
    return nla.as_text(found.get(1)), found.get(2, b"")
