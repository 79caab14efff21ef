# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The nfnetlink messages of nf_tables (linux/netfilter/nf_tables.h), on pyroute2's codec.

The attributes of expressions are declared here because pyroute2's own declarations want different Python
values in different releases, decode to other values than they encode from, and misread the fib expression.
"""

from __future__ import annotations

import functools
import struct
import typing as t

from .codec import codec
from .netlink import REQUEST

NEWTABLE, DELTABLE = 0, 2
GETTABLE, GETCHAIN, GETRULE = 1, 4, 7
NEWCHAIN, DELCHAIN = 3, 5
NEWRULE, DELRULE = 6, 8
BATCH_BEGIN, BATCH_END = 0x10, 0x11
SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
INET = 1  # NFPROTO_INET
_LIST_ELEMENT = 1  # NFTA_LIST_ELEM

Value = t.Union[int, bytes]
Attributes = tuple[tuple[str, Value], ...]

# Attribute names in the order of their numbers. "data" holds bytes for a value and an int for a verdict.
_EXPRESSIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "meta": (("dreg", "be32"), ("key", "be32"), ("sreg", "be32")),
    "payload": (
        ("dreg", "be32"),
        ("base", "be32"),
        ("offset", "be32"),
        ("len", "be32"),
        ("sreg", "be32"),
    ),
    "cmp": (("sreg", "be32"), ("op", "be32"), ("data", "data")),
    "range": (("sreg", "be32"), ("op", "be32"), ("from", "data"), ("to", "data")),
    "bitwise": (
        ("sreg", "be32"),
        ("dreg", "be32"),
        ("len", "be32"),
        ("mask", "data"),
        ("xor", "data"),
        ("op", "be32"),
        ("shift", "data"),
    ),
    "immediate": (("dreg", "be32"), ("data", "data")),
    "fib": (("dreg", "be32"), ("result", "be32"), ("flags", "be32")),
    "ct": (("dreg", "be32"), ("key", "be32"), ("direction", "uint8"), ("sreg", "be32")),
    "masq": (("flags", "be32"), ("proto_min", "be32"), ("proto_max", "be32")),
    "nat": (
        ("type", "be32"),
        ("family", "be32"),
        ("addr_min", "be32"),
        ("addr_max", "be32"),
        ("proto_min", "be32"),
        ("proto_max", "be32"),
        ("flags", "be32"),
    ),
}


class Expression(t.NamedTuple):
    """One expression of a rule: its name and its attributes, or its raw bytes when the name is not known here."""

    name: str
    attributes: Attributes
    raw: bytes = b""

    def get(self, name: str) -> t.Any:
        """The attribute, or None."""
        return dict(self.attributes).get(name)


def make(name: str, **attributes: Value) -> Expression:
    """An expression, its attributes given by name."""
    return Expression(name, tuple(attributes.items()))


class _Classes(t.NamedTuple):
    table: t.Any
    chain: t.Any
    rule: t.Any
    message: t.Any
    element: t.Any
    expressions: dict[str, t.Any]


@functools.cache
def _classes() -> _Classes:
    """The message classes; made when first needed, for they need pyroute2."""
    nla: t.Any = codec().attribute
    nfgen_msg: t.Any = codec().nft_message

    class Verdict(nla):
        nla_map = (("unspec", "none"), ("code", "sbe32"), ("chain", "asciiz"))

    class Data(nla):
        nla_map = (("unspec", "none"), ("value", "cdata"), ("verdict", "nft_verdict"))
        nft_verdict = Verdict

    class Element(nla):
        nla_map = (("unspec", "none"), ("name", "asciiz"), ("data", "cdata"))

    class Table(nfgen_msg):
        nla_map = (
            ("NFTA_TABLE_UNSPEC", "none"),
            ("NFTA_TABLE_NAME", "asciiz"),
            ("NFTA_TABLE_FLAGS", "be32"),
            ("NFTA_TABLE_USE", "be32"),
        )

    class Hook(nla):
        nla_map = (("NFTA_HOOK_UNSPEC", "none"), ("NFTA_HOOK_HOOKNUM", "be32"), ("NFTA_HOOK_PRIORITY", "sbe32"))

    class Chain(nfgen_msg):
        nla_map = (
            ("NFTA_CHAIN_UNSPEC", "none"),
            ("NFTA_CHAIN_TABLE", "asciiz"),
            ("NFTA_CHAIN_HANDLE", "be64"),
            ("NFTA_CHAIN_NAME", "asciiz"),
            ("NFTA_CHAIN_HOOK", "nft_hook"),
            ("NFTA_CHAIN_POLICY", "be32"),
            ("NFTA_CHAIN_USE", "be32"),
            ("NFTA_CHAIN_TYPE", "asciiz"),
        )
        nft_hook = Hook

    class Rule(nfgen_msg):
        nla_map = (
            ("unspec", "none"),
            ("table", "asciiz"),
            ("chain", "asciiz"),
            ("handle", "be64"),
            ("expressions", "cdata"),  # a list of Element, joined and cut here: thousands of rules share few of them
            ("compat", "hex"),
            ("position", "be64"),
            ("userdata", "cdata"),
        )

    expressions = {}
    for name, fields in _EXPRESSIONS.items():
        kinds = tuple((attribute, "nft_data" if kind == "data" else kind) for attribute, kind in fields)
        expressions[name] = type(f"nft_{name}", (nla,), {"nla_map": (("unspec", "none"), *kinds), "nft_data": Data})
    return _Classes(Table, Chain, Rule, nfgen_msg, Element, expressions)


@functools.lru_cache(maxsize=4096)
def encode(expression: Expression) -> bytes:
    """The content of NFTA_EXPR_DATA."""
    if expression.raw or expression.name not in _EXPRESSIONS:
        return expression.raw
    kinds = dict(_EXPRESSIONS[expression.name])
    message = _classes().expressions[expression.name]()
    message["attrs"] = [(name, _nested(kinds[name], value)) for name, value in expression.attributes]
    message.encode()
    return bytes(message.data[4:])  # without the header of the attribute itself


def _nested(kind: str, value: Value) -> t.Any:
    if kind != "data":
        return value
    if isinstance(value, int):
        return {"attrs": [("verdict", {"attrs": [("code", value)]})]}
    return {"attrs": [("value", value)]}


@functools.lru_cache(maxsize=4096)
def decode(name: str, raw: bytes) -> Expression:
    """The opposite of ``encode``. What can't be read keeps its bytes and has no attributes."""
    unread = Expression(name, (), raw)
    if name not in _EXPRESSIONS:
        return unread
    try:
        message = _classes().expressions[name](struct.pack("=HH", len(raw) + 4, 0) + raw)
        message.decode()
        found = [(slot[0], _plain(name, slot)) for slot in message["attrs"]]
    except Exception:  # whatever pyroute2 stumbles over in somebody else's rule
        return unread
    if any(value is None for _attribute, value in found):
        return unread
    return Expression(name, t.cast(Attributes, tuple(found)))


def _plain(name: str, slot: t.Any) -> Value | None:
    """The value of an attribute; None for one of a newer kernel: what is not understood can't be compared."""
    kind = dict(_EXPRESSIONS[name]).get(slot[0])
    return _flat(slot[1]) if kind == "data" else slot[1] if kind else None


def _flat(data: t.Any) -> Value | None:
    value = data.get_attr("value")
    if value is not None:
        return bytes(value)
    verdict = data.get_attr("verdict")
    if verdict is None or verdict.get_attr("chain") is not None:  # a jump
        return None
    return int(verdict.get_attr("code"))


def batch_mark(kind: int) -> t.Any:
    """The message that begins or ends a batch."""
    message = _classes().message()
    message["res_id"] = SUBSYSTEM
    message["header"]["type"] = kind
    message["header"]["flags"] = REQUEST
    return message


def _prepared(message: t.Any, kind: int, flags: int, attributes: list[tuple[str, t.Any]]) -> t.Any:
    message["nfgen_family"] = INET
    message["header"]["type"] = SUBSYSTEM << 8 | kind
    message["header"]["flags"] = REQUEST | flags
    message["attrs"] = attributes
    return message


def table(kind: int, name: str, *, flags: int = 0) -> t.Any:
    """A message about a table."""
    return _prepared(_classes().table(), kind, flags, [("NFTA_TABLE_NAME", name)])


def chain(kind: int, attributes: list[tuple[str, t.Any]], *, flags: int = 0) -> t.Any:
    """A message about a chain."""
    return _prepared(_classes().chain(), kind, flags, attributes)


def rule(kind: int, attributes: list[tuple[str, t.Any]], *, flags: int = 0) -> t.Any:
    """A message about a rule."""
    return _prepared(_classes().rule(), kind, flags, attributes)


def join(expressions: t.Iterable[Expression]) -> bytes:
    """The value of a rule's attribute ``expressions``."""
    return b"".join(map(_element, expressions))


@functools.lru_cache(maxsize=4096)
def _element(expression: Expression) -> bytes:
    message = _classes().element()
    message["header"]["type"] = _LIST_ELEMENT
    message["attrs"] = [("name", expression.name), ("data", encode(expression))]
    message.encode()
    data = bytes(message.data)
    return data.ljust((len(data) + 3) & ~3, b"\0")


def cut(data: bytes) -> list[tuple[str, bytes]]:
    """The opposite of ``join``, each expression with its name and its undecoded content."""
    out = []
    start = 0
    while start + 4 <= len(data):
        length = max(4, struct.unpack_from("=H", data, start)[0])
        out.append(_cut_element(data[start : start + length]))
        start += (length + 3) & ~3
    return out


@functools.lru_cache(maxsize=4096)
def _cut_element(data: bytes) -> tuple[str, bytes]:
    message = _classes().element(data)
    message.decode()
    return str(message.get_attr("name")), bytes(message.get_attr("data") or b"")
