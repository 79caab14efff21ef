# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Messages of rtnetlink(7), packed and read by tables that are taken from pyroute2's classes.

Those classes know every attribute's name, number and type, but build an object for each, in each message: hundreds of
microseconds where the kernel needs ten. Here a class is looked through once (``table``), each attribute when it is
first met. An answer keeps its bytes and reads only what it is asked for. What is rare and not known here, pyroute2
itself packs and reads: slower, the same values.
"""

from __future__ import annotations

import functools
import struct
import types
import typing as t

from . import attribute_types, attributes
from .attribute_types import Packer, Type, packer
from .codec import codec, unreadable
from .netlink import Raw

Attributes = t.Sequence[t.Sequence[t.Any]]
Lookup = t.Callable[[str], t.Any]
Source = t.Any
"""A class of pyroute2."""

_MESSAGE_HEADER, _ATTRIBUTE_HEADER = 16, 4
_FLAGS = {"nested": 0x8000, "net_byteorder": 0x4000}  # linux/netlink.h: NLA_F_NESTED, NLA_F_NET_BYTEORDER
_KINDS = ("IFLA_INFO_KIND", "IFLA_INFO_SLAVE_KIND")
_BYTES = Type(bytes, bytes)


class Message(Raw):
    """A request: ``kind`` and ``flags`` for its header, and its body, packed when it is made.

    ``fields`` are those of the header of its family (struct ifinfomsg and the like); what is left out is 0.
    """

    def __init__(
        self, table: Table, kind: int, flags: int, fields: t.Mapping[str, t.Any], attributes: Attributes
    ) -> None:
        super().__init__(kind, flags, table.pack(fields, attributes))
        self.table = table

    def answer(self, content: bytes) -> Answer:
        return Answer(self.table, content)


class Answer:
    """A message, or an attribute that holds others, as the kernel sent it: ``[field]`` and ``get_attr(name)``.

    ``["attrs"]`` are all attributes as pairs of name and value; one without a name is called UNKNOWN.
    """

    __slots__ = ("_content", "_found", "_table")

    def __init__(self, table: Table, content: bytes) -> None:
        self._table = table
        self._content = content
        self._found: dict[int, bytes] | None = None

    def __getitem__(self, field: str) -> t.Any:
        if field == "attrs":
            return [self._pair(number, content) for number, content in attributes.pieces(self._rest())]
        unpack, offset = self._table.fields[field]
        try:
            return unpack(self._content, offset)[0]
        except struct.error:  # older kernels have fewer
            return 0

    def get_attr(self, name: str, default: t.Any = None) -> t.Any:
        """The value of an attribute, or ``default`` when it is not there or pyroute2 does not know it."""
        number, read = self._table.readers[name]
        found = self._found
        if found is None:
            found = self._found = attributes.unpack(self._rest())
        content = found.get(number)
        if content is None:
            return default
        return read(content) if read is not None else self._table.reader_for(name, self)(content)

    @property
    def whole(self) -> bytes:
        """All bytes, header and attributes."""
        return self._content

    def content(self, name: str) -> bytes | None:
        """The bytes of an attribute, or None: for who does not need them as a text."""
        if self._found is None:
            self._found = attributes.unpack(self._rest())
        return self._found.get(self._table.readers[name][0])

    def decoded(self) -> t.Any:
        """The same as pyroute2's own object."""
        return self._table.foreign(self._content)

    def _rest(self) -> bytes:
        return self._content[self._table.size :]

    def _pair(self, number: int, content: bytes) -> tuple[str, t.Any]:
        name = self._table.names.get(number)
        if name is None:
            return "UNKNOWN", content
        read = self._table.readers[name][1] or self._table.reader_for(name, self)
        return name, read(content)

    def __repr__(self) -> str:
        fields = {name: self[name] for name in self._table.fields}
        return repr({**fields, "attrs": self["attrs"]})


class _Lazy(dict[t.Any, t.Any]):
    """A mapping whose values are made when they are first asked for."""

    def __init__(self, make: t.Callable[[t.Any], t.Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: t.Any) -> t.Any:
        value = self[key] = self._make(key)
        return value


class _Asker:
    """Stands in for the object that pyroute2 chooses an attribute's class by: it asks for other attributes or fields."""

    def __init__(self, source: Source, get_attr: Lookup, field: Lookup) -> None:
        self._source = source
        self._field = field
        self.get_attr = get_attr
        self.fields_matter = False

    def __getitem__(self, name: str) -> t.Any:
        self.fields_matter = True
        return self._field(name)

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._source, name)


class Table:
    """The fields and attributes of one class: their names, places and types.

    ``fields`` are pairs of name and format of ``struct``, ``rows`` those of a class's nla_map. Types are looked up in
    ``source``. Raises ValueError, TypeError or AttributeError for what it can't read.
    """

    def __init__(
        self, source: Source, fields: t.Sequence[tuple[str, str]], rows: t.Sequence[t.Sequence[t.Any]]
    ) -> None:
        self.source = source
        self._struct, self.fields = _layout(fields)
        self.size = (self._struct.size + 3) & ~3
        self._zeros = dict.fromkeys(self.fields, 0)
        self._blank = bytes(self.size)
        self.rows = _rows(rows)
        self.names = {number: name for name, (number, _kind, _flags) in self.rows.items()}
        self.readers: t.Mapping[str, tuple[int, t.Any]] = _Lazy(self._reader)
        self._packers: t.Mapping[t.Any, Packer | None] = _Lazy(self._packer)
        self._chosen: t.Mapping[tuple[str, Source], Packer] = _Lazy(lambda key: self._pack_with(*key))
        self._by_kind = all(name in self.rows for name in _KINDS)
        self._known: dict[t.Any, Source] = {}
        self._choices = {name for name in self.rows if isinstance(self._class(name), types.FunctionType)}

    # ---- packing

    def pack(self, fields: t.Mapping[str, t.Any], attributes: Attributes) -> bytes:
        """The bytes of a message of this class, without the netlink header."""
        head = self._head(fields) if fields else self._blank
        packers = self._packers
        if self._choices:
            return head + b"".join(
                [(packers[name] or self._chosen_packer(name, attributes))(value) for name, value in attributes]
            )
        return head + b"".join([packers[name](value) for name, value in attributes])  # type: ignore[misc]

    def _chosen_packer(self, name: str, attributes: Attributes) -> Packer:
        """For an attribute whose type depends on others, as the options of a link do on its kind."""
        chosen = self._choose(name, dict(attributes).get, {}.__getitem__)  # type: ignore[arg-type]
        return self._chosen[name, chosen] if chosen is not None else functools.partial(self._foreign_packed, name)

    def _head(self, fields: t.Mapping[str, t.Any]) -> bytes:
        values = {**self._zeros, **fields}
        if len(values) != len(self._zeros):
            raise KeyError(f"no such field: {', '.join(values.keys() - self._zeros)}")
        packed = self._struct.pack(*values.values())
        return packed + b"\0" * (-len(packed) & 3)

    def _packer(self, name: t.Any) -> Packer | None:
        if isinstance(name, int):
            return packer(name, _BYTES)
        if name not in self.rows:
            raise unreadable(f"has no attribute {name}")
        if name in self._choices:
            hops = self._kind(name)
            return packer(self.rows[name][0], hops) if hops is not None else None
        return self._pack_with(name, self._class(name), self._kind(name))

    def _pack_with(self, name: str, source: Source, kind: Type | None = None) -> Packer:
        kind = kind or of_class(source)
        if kind is None:
            return functools.partial(self._foreign_packed, name)
        number, _kind, flags = self.rows[name]
        return packer(number | flags | source.nla_flags, kind)

    def _foreign_packed(self, name: str, value: t.Any) -> bytes:
        message = self.source()
        message["attrs"] = [[name, value]]
        message.encode()
        return bytes(message.data)[_header_size(self.source) + self.size :]

    # ---- reading

    def _reader(self, name: str) -> tuple[int, t.Any]:
        """The number of the attribute and what reads it: None where that depends on others."""
        if name not in self.rows:
            return -1, None
        kind = self._kind(name)
        return self.rows[name][0], kind.read if kind is not None else None

    def reader_for(self, name: str, answer: Answer) -> t.Callable[[bytes], t.Any]:
        """What reads an attribute whose type depends on others in the answer, or that only pyroute2 can read."""
        chosen = self._choose(name, answer.get_attr, answer.__getitem__) if name in self._choices else None
        kind = of_class(chosen) if chosen is not None else None
        if kind is not None:
            return kind.read
        return lambda content: content if self.source.cell_header else answer.decoded().get_attr(name)

    def foreign(self, content: bytes) -> t.Any:
        """An object of pyroute2's class, decoded."""
        size = _header_size(self.source)
        form = "=I12x" if size == _MESSAGE_HEADER else "=Hxx"
        message = self.source(struct.pack(form, size + len(content)) + content)
        message.decode()
        return message

    # ---- types

    def _class(self, name: str) -> t.Any:
        kind = self.rows[name][1].lstrip("*").partition("(")[0]
        return self.source if kind in ("nested", "recursive") else getattr(self.source, kind)

    def _kind(self, name: str) -> Type | None:
        """The type of an attribute, or None where that depends on others or only pyroute2 can tell."""
        kind, found = self.rows[name][1], self._class(name)
        if kind.startswith("*"):
            return _hops(found) if name == "RTA_MULTIPATH" else None
        if name in self._choices or "(" in kind:
            return None
        return of_class(found)

    def _choose(self, name: str, get_attr: Lookup, field: Lookup) -> Source:
        """The class that pyroute2 would take, or None where it can't tell by what is asked here."""
        key = (name, get_attr(_KINDS[0]), get_attr(_KINDS[1])) if self._by_kind else name
        if key not in self._known:
            asker = _Asker(self.source, get_attr, field)
            try:
                found = self._class(name)(asker, data=b"", offset=0)
            except (KeyError, AttributeError, TypeError):
                found = None
            if asker.fields_matter:
                return found
            self._known[key] = found
        return self._known[key]


def _layout(fields: t.Sequence[tuple[str, str]]) -> tuple[struct.Struct, dict[str, tuple[t.Any, int]]]:
    """All fields as one ``struct``, and each by its name: what unpacks it, and from where."""
    orders = {form[0] if form[0] in "<>=!" else "=" for _name, form in fields} or {"="}
    if len(orders) != 1:
        raise ValueError("fields of different byte orders")
    order = orders.pop()
    forms = [form.lstrip("<>=!") for _name, form in fields]
    places, offset = {}, 0
    for (name, _form), form in zip(fields, forms):
        one = struct.Struct(order + form)
        if not form.endswith("x"):
            if len(form) != 1 or form == "s":
                raise ValueError(f"a field of the format {form}")
            places[name] = (one.unpack_from, offset)
        offset += one.size
    return struct.Struct(order + "".join(forms)), places


def _rows(rows: t.Sequence[t.Sequence[t.Any]]) -> dict[str, tuple[int, str, int]]:
    """Number, name of the type, and flags of each attribute, from (name, type), or (number, name, type, flags)."""
    found = {}
    for place, row in enumerate(rows):
        number, (name, kind, *more) = (row[0], row[1:]) if isinstance(row[0], int) else (place, row)
        kind, _bar, word = kind.replace(" ", "").partition("|")
        flags = (more[0] if more else 0) | (_FLAGS[word] if word else 0) | (_FLAGS["nested"] * (kind == "nested"))
        found[name] = (number, kind, flags)
    return found


def _header_size(source: Source) -> int:
    return _ATTRIBUTE_HEADER if source.is_nla else _MESSAGE_HEADER


@functools.lru_cache(None)
def of_class(source: Source) -> Type | None:
    """The type of an attribute of this class, or None where only pyroute2 knows."""
    kind = attribute_types.of(source)
    if kind is not None or not attribute_types.is_plain(source):
        return kind
    try:
        inner = Table(source, source.fields, source.nla_map)
    except (ValueError, TypeError, AttributeError, struct.error):
        return None
    return Type(functools.partial(_pack_inner, inner), functools.partial(Answer, inner))


def _pack_inner(inner: Table, value: t.Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if len(value) == 1 and "attrs" in value:
        return inner.pack({}, value["attrs"])
    return inner.pack({name: each for name, each in value.items() if name != "attrs"}, value.get("attrs", ()))


def _hops(choose: t.Any) -> Type | None:
    """The records of RTA_MULTIPATH (linux/rtnetlink.h, struct rtnexthop): each starts with its length."""
    source = choose(None)
    inner = Table(source, (("", "2x"), *source.fields), source.nla_map)

    def pack(records: t.Sequence[t.Mapping[str, t.Any]]) -> bytes:
        packed = [_pack_inner(inner, record) for record in records]
        return b"".join([struct.pack("=H", len(each)) + each[2:] for each in packed])

    def read(content: bytes) -> list[Answer]:
        found, start = [], 0
        while start + inner.size <= len(content):
            (length,) = struct.unpack_from("=H", content, start)
            found.append(Answer(inner, content[start : start + length]))
            start += max(inner.size, (length + 3) & ~3)
        return found

    return Type(pack, read)


@functools.lru_cache(None)
def table(source: Source) -> Table:
    """The table of a message's class. Raises MissingLibrary when this version of pyroute2 has it in another shape."""
    try:
        return Table(source, source.fields, source.nla_map)
    except (ValueError, TypeError, AttributeError, KeyError, struct.error) as error:
        raise unreadable(f"describes {getattr(source, '__name__', source)} in an unknown way ({error})") from None


@functools.lru_cache(None)
def qdisc() -> Table:
    """Of queueing disciplines (linux/rtnetlink.h, struct tcmsg); their options are bytes, which each kind lays out anew.

    Written out here, for pyroute2's class brings modules for all of tc.
    """
    fields = (("family", "B"), ("", "3x"), ("index", "i"), ("handle", "I"), ("parent", "I"), ("info", "I"))
    return Table(codec().link, fields, ((1, "TCA_KIND", "asciiz"), (2, "TCA_OPTIONS", "cdata")))
