# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Sets and maps of nftables: what they are declared as, what is in them, and how both are written.

A key or value is a concatenation of fields, each padded to four bytes. Where a set takes intervals, each field of an
element goes from its lower to its upper end.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import struct
import typing as t
from dataclasses import dataclass, field

from . import attributes as nla
from . import nft_messages as msg
from .netlink import CREATE
from .nft_rules import Network, Ports

_TYPES = {  # nft(8)'s name: libnftables' number, length in bytes
    "ipv4_addr": (7, 4),
    "ipv6_addr": (8, 16),
    "inet_service": (13, 2),
    "ifname": (41, 16),
}
_NAMES = {number: name for name, (number, _length) in _TYPES.items()}
_ANONYMOUS, _INTERVAL, _MAP, _CONCAT = 0x1, 0x4, 0x8, 0x80  # NFT_SET_*
_COMMENT = 0  # NFTNL_UDATA_SET_ELEM_COMMENT, libnftnl

# Attributes: NFTA_SET_*, NFTA_SET_DESC_*, NFTA_SET_ELEM_LIST_* and NFTA_SET_ELEM_*
_TABLE, _NAME, _FLAGS, _KEY_TYPE, _KEY_LENGTH, _DATA_TYPE, _DATA_LENGTH, _DESC, _ID, _EXPR = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    9,
    10,
    17,
)
_DESC_CONCAT, _FIELD_LENGTH = 2, 1
_ELEMENTS = 3
_ELEM_KEY, _ELEM_DATA, _ELEM_FLAGS, _ELEM_USERDATA, _ELEM_KEY_END = 1, 2, 3, 6, 10
_VALUE = 1  # NFTA_DATA_VALUE
_COUNTER = msg.make("counter", bytes=0, packets=0)
_MOST_BYTES = 60000  # the length of an attribute has 16 bits


class Element(t.NamedTuple):
    """What a set holds: ``key`` to ``end`` (the same for one value), the ``data`` of a map, and a comment. All packed."""

    key: bytes
    end: bytes
    data: bytes = b""
    comment: str = ""


@dataclass(frozen=True)
class Declaration:
    """What a set or map is: its name and the types of its fields. With ``data`` it is a map."""

    name: str
    key: tuple[str, ...]
    data: tuple[str, ...] = ()
    interval: bool = False
    counter: bool = field(default=False, compare=False)
    """Whether each element counts packets. Kernels before 5.7 can't, and leave it out without a word."""

    def __str__(self) -> str:
        """As nft(8) writes it, after ``add map inet patchbay NAME``."""
        types = " . ".join(self.key) + (f" : {' . '.join(self.data)}" if self.data else "")
        return f"{{ type {types};{' flags interval;' if self.interval else ''}{' counter;' if self.counter else ''} }}"

    @property
    def word(self) -> str:
        """What nft(8) calls it."""
        return "map" if self.data else "set"

    def shown(self, element: Element) -> str:
        """An element as nft(8) writes it."""
        text = self.shown_key(element)
        text += f' comment "{element.comment}"' if element.comment else ""
        both = self.data and element.data
        return f"{text} : {_shown(self.data, element.data, element.data)}" if both else text

    def shown_key(self, element: Element) -> str:
        """The part of it that tells it from others; enough to delete it."""
        return _shown(self.key, element.key, element.end)


def pack(*values: t.Any) -> bytes:
    """A concatenation: addresses, ports (int) and interface names (str), each padded."""
    return b"".join(map(_packed, values))


_PORT = struct.Struct(">Hxx")


def _packed(value: t.Any) -> bytes:
    if isinstance(value, int):
        return _PORT.pack(value)
    if isinstance(value, str):
        return value.encode().ljust(16, b"\0")
    packed: bytes = value.packed
    return packed


def _padded(kind: str) -> int:
    return (_TYPES[kind][1] + 3) & ~3


@functools.lru_cache(maxsize=256)
def _format(kinds: tuple[str, ...]) -> struct.Struct:
    """The fields of a concatenation without their padding."""
    return struct.Struct("=" + "".join(f"{_TYPES[kind][1]}s{_padded(kind) - _TYPES[kind][1]}x" for kind in kinds))


def _cut(kinds: tuple[str, ...], data: bytes) -> tuple[bytes, ...]:
    """The fields of a concatenation, each without its padding. Raises ValueError when the length is another."""
    fields = _format(kinds)
    if len(data) != fields.size:
        raise ValueError("a key of another length")
    return fields.unpack(data)


def unpack(kinds: tuple[str, ...], low: bytes, high: bytes | None = None) -> list[t.Any]:
    """The opposite of ``pack``, between two ends: networks, Ports and names. Raises ValueError for what is none of these."""
    high = low if high is None else high
    return [_unpacked(*triple) for triple in zip(kinds, _cut(kinds, low), _cut(kinds, high))]


def unpack_one(kinds: tuple[str, ...], data: bytes) -> list[t.Any]:
    """The same for one value of each field: what ``pack`` was given. Raises ValueError."""
    return [_READERS[kind](field) for kind, field in zip(kinds, _cut(kinds, data))]


def _port(field: bytes) -> int:
    return int.from_bytes(field, "big")


def _name(field: bytes) -> str:
    return field.rstrip(b"\0").decode()


_READERS: dict[str, t.Callable[[bytes], t.Any]] = {
    "ipv4_addr": ipaddress.IPv4Address,
    "ipv6_addr": ipaddress.IPv6Address,
    "inet_service": _port,
    "ifname": _name,
}


def _unpacked(kind: str, low: bytes, high: bytes) -> t.Any:
    if kind == "inet_service":
        return Ports(_port(low), _port(high))
    if kind == "ifname":
        if low != high:
            raise ValueError("a range of names")
        return _name(low)
    return _between(low, high)


def _between(low: bytes, high: bytes) -> Network:
    """The network from its first to its last address. Raises ValueError when the range is none."""
    size = len(low) * 8
    first, last = int.from_bytes(low, "big"), int.from_bytes(high, "big")
    host = first ^ last
    if host & (host + 1) or first & host:
        raise ValueError("a range of addresses that is no network")
    return ipaddress.ip_network((low, size - host.bit_length()))


def _shown(kinds: tuple[str, ...], low: bytes, high: bytes) -> str:
    """A concatenation as nft(8) writes it, each field from its lower to its upper end."""
    pairs = zip(kinds, _cut(kinds, low), _cut(kinds, high))
    return " . ".join([_WORDS[kind](one) if one == two else _range(kind, one, two) for kind, one, two in pairs])


# Objects of ipaddress are left out where the C library says the same: all commands of a large lab are printed.
_WORDS: dict[str, t.Callable[[bytes], str]] = {
    "ipv4_addr": socket.inet_ntoa,
    "ipv6_addr": lambda field: str(ipaddress.IPv6Address(field)),
    "inet_service": lambda field: str(_port(field)),
    "ifname": lambda field: '"{}"'.format(field.rstrip(b"\0").decode(errors="replace")),
}


@functools.lru_cache(maxsize=1024)  # the same few sources and networks again and again
def _range(kind: str, low: bytes, high: bytes) -> str:
    try:
        return str(_unpacked(kind, low, high))
    except ValueError:  # somebody else's, and no network
        return f"{_WORDS[kind](low)}-{_WORDS[kind](high)}"


# ---- messages


def _types(kinds: tuple[str, ...]) -> int:
    """libnftables' number of a concatenation: six bits for each field."""
    number = 0
    for kind in kinds:
        number = number << 6 | _TYPES[kind][0]
    return number


@functools.lru_cache(maxsize=256)
def _length(kinds: tuple[str, ...]) -> int:
    return _TYPES[kinds[0]][1] if len(kinds) == 1 else sum(map(_padded, kinds))


def added(table: str, what: Declaration, number: int) -> msg.Raw:
    """The message that declares it; ``number`` tells it from others of the same batch."""
    concatenated = _CONCAT if what.interval and len(what.key) > 1 else 0
    flags = (_INTERVAL if what.interval else 0) | (_MAP if what.data else 0) | concatenated
    parts = [
        nla.text(_TABLE, table),
        nla.text(_NAME, what.name),
        nla.number(_FLAGS, flags),
        nla.number(_KEY_TYPE, _types(what.key)),
        nla.number(_KEY_LENGTH, _length(what.key)),
    ]
    if what.data:
        parts += [nla.number(_DATA_TYPE, _types(what.data)), nla.number(_DATA_LENGTH, _length(what.data))]
    if concatenated:
        fields = (nla.nested(msg.LIST_ELEMENT, nla.number(_FIELD_LENGTH, _TYPES[kind][1])) for kind in what.key)
        parts.append(nla.nested(_DESC, nla.nested(_DESC_CONCAT, *fields)))
    parts.append(nla.number(_ID, number))
    if what.counter:
        parts.append(nla.nested(_EXPR, nla.text(1, "counter"), nla.nested(2, msg.encode(_COUNTER))))
    return msg.message(msg.NEWSET, *parts, flags=CREATE)


def removed(table: str, name: str) -> msg.Raw:
    """The message that removes the set with all that is in it."""
    return msg.message(msg.DELSET, nla.text(_TABLE, table), nla.text(_NAME, name))


def filled(kind: int, table: str, what: Declaration, elements: t.Iterable[Element]) -> list[msg.Raw]:
    """The messages that add (NEWSETELEM) or remove (DELSETELEM) elements; as many as it takes."""
    out: list[msg.Raw] = []
    chunk: list[bytes] = []
    size = 0
    head = nla.text(_TABLE, table) + nla.text(_NAME, what.name)
    flags = CREATE if kind == msg.NEWSETELEM else 0
    for element in elements:
        packed = _element(what, element, whole=kind == msg.NEWSETELEM)
        if size + len(packed) > _MOST_BYTES:
            out.append(msg.message(kind, head, nla.nested(_ELEMENTS, *chunk), flags=flags))
            chunk, size = [], 0
        chunk.append(packed)
        size += len(packed)
    if chunk:
        out.append(msg.message(kind, head, nla.nested(_ELEMENTS, *chunk), flags=flags))
    return out


def _element(what: Declaration, element: Element, *, whole: bool) -> bytes:
    """One element; of one that is to be removed the key says enough."""
    body = _valued(_ELEM_KEY, element.key[: _TYPES[what.key[0]][1]] if len(what.key) == 1 else element.key)
    if what.interval:
        body += _valued(_ELEM_KEY_END, element.end)
    if whole and element.data:
        body += _valued(_ELEM_DATA, element.data[: _length(what.data)])
    if whole and element.comment:
        text = element.comment.encode() + b"\0"
        body += nla.attribute(_ELEM_USERDATA, bytes([_COMMENT, len(text)]) + text)
    return nla.nested(msg.LIST_ELEMENT, body)


def _valued(kind: int, value: bytes) -> bytes:
    """An attribute of which a value is the only one."""
    head, tail = _around(kind, len(value))
    return head + value + tail


@functools.lru_cache(maxsize=256)
def _around(kind: int, length: int) -> tuple[bytes, bytes]:
    """What comes before and behind a value of this length: the same in every element of a set."""
    empty = nla.nested(kind, nla.attribute(_VALUE, bytes(length)))
    return empty[:8], empty[8 + length :]


def declared(body: bytes) -> Declaration | None:
    """The declaration in an answer to GETSET; None for a set of a kind that is not used here."""
    found = nla.unpack(body)
    flags = nla.as_number(found.get(_FLAGS)) or 0
    key, data = _kinds(nla.as_number(found.get(_KEY_TYPE))), _kinds(nla.as_number(found.get(_DATA_TYPE)) or 0)
    if (
        flags & ~(_INTERVAL | _MAP | _CONCAT)
        or key is None
        or data is None
        or bool(flags & _MAP) != bool(data)
        or not key
    ):
        return None
    if nla.as_number(found.get(_KEY_LENGTH)) != _length(key):
        return None
    return Declaration(nla.as_text(found.get(_NAME)), key, data, bool(flags & _INTERVAL), _EXPR in found)


def _kinds(number: int | None) -> tuple[str, ...] | None:
    out: list[str] = []
    rest = number or 0
    while rest:
        name = _NAMES.get(rest & 63)
        if name is None:
            return None
        out.append(name)
        rest >>= 6
    return tuple(reversed(out))


def is_named(body: bytes) -> bool:
    """Whether an answer to GETSET is about a set with a name; others are part of a rule, and go with it."""
    return not (nla.as_number(nla.unpack(body).get(_FLAGS)) or 0) & _ANONYMOUS


def name(body: bytes) -> str:
    """The name in an answer to GETSET, whatever the kind of set."""
    return nla.as_text(nla.unpack(body).get(_NAME))


def elements(body: bytes) -> t.Iterator[Element | None]:
    """The elements in an answer to GETSETELEM; None for one of another shape."""
    listed = nla.unpack(body).get(_ELEMENTS, b"")
    for _kind, piece in nla.pieces(listed):
        found = nla.unpack(piece)
        key = _value(found.get(_ELEM_KEY))
        if key is None or nla.as_number(found.get(_ELEM_FLAGS)):
            yield None
            continue
        end = _value(found.get(_ELEM_KEY_END))
        data = _value(found.get(_ELEM_DATA)) or b""
        yield Element(_pad(key), _pad(end or key), _pad(data), _comment(found.get(_ELEM_USERDATA)))


def _pad(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) & 3) if len(data) & 3 else data


def _value(data: bytes | None) -> bytes | None:
    """The bytes of a value: an attribute of which it is the only one."""
    return (
        data[4 : 4 + struct.unpack_from("=H", data)[0] - 4]
        if data is not None and len(data) > 4 and data[2] & 0x3F == _VALUE
        else None
    )


def _comment(userdata: bytes | None) -> str:
    if userdata is None or len(userdata) < 2 or userdata[0] != _COMMENT:
        return ""
    return userdata[2 : 2 + userdata[1]].rstrip(b"\0").decode(errors="replace")


def request(kind: int, table: str, name: str = "") -> msg.Raw:
    """The request for all sets of the table (GETSET), or all elements of one (GETSETELEM)."""
    return msg.message(kind, nla.text(_TABLE, table), *([nla.text(_NAME, name)] if name else []))
