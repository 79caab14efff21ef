# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Sets and maps of nftables: what they are declared as, what is in them, and how both are written.

A key or value is a concatenation of fields, each padded to four bytes. Where a set takes intervals, each field of an
element goes from its lower to its upper end.
"""

from __future__ import annotations

import ipaddress
import struct
import typing as t
from dataclasses import dataclass, field

from . import nft_messages as msg
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
        pairs = zip(self.key, _cut(self.key, element.key), _cut(self.key, element.end))
        text = " . ".join(_shown(kind, low, high) for kind, low, high in pairs)
        text += f' comment "{element.comment}"' if element.comment else ""
        if self.data:
            text += " : " + " . ".join(
                _shown(kind, piece, piece) for kind, piece in zip(self.data, _cut(self.data, element.data))
            )
        return text


def pack(*values: t.Any) -> bytes:
    """A concatenation: addresses, ports (int) and interface names (str), each padded."""
    return b"".join(map(_packed, values))


def _packed(value: t.Any) -> bytes:
    if isinstance(value, int):
        return struct.pack(">Hxx", value)
    if isinstance(value, str):
        return value.encode().ljust(16, b"\0")
    return bytes(value.packed)


def _padded(kind: str) -> int:
    return (_TYPES[kind][1] + 3) & ~3


def _cut(kinds: tuple[str, ...], data: bytes) -> list[bytes]:
    """The fields of a concatenation, each without its padding. Raises ValueError when the length is another."""
    out, start = [], 0
    for kind in kinds:
        out.append(data[start : start + _TYPES[kind][1]])
        start += _padded(kind)
    if start != len(data):
        raise ValueError("a key of another length")
    return out


def unpack(kinds: tuple[str, ...], low: bytes, high: bytes | None = None) -> list[t.Any]:
    """The opposite of ``pack``, between two ends: networks, Ports and names. Raises ValueError for what is none of these."""
    high = low if high is None else high
    return [_unpacked(*triple) for triple in zip(kinds, _cut(kinds, low), _cut(kinds, high))]


def _unpacked(kind: str, low: bytes, high: bytes) -> t.Any:
    if kind == "inet_service":
        return Ports(int.from_bytes(low, "big"), int.from_bytes(high, "big"))
    if kind == "ifname":
        if low != high:
            raise ValueError("a range of names")
        return low.rstrip(b"\0").decode()
    return _between(low, high)


def _between(low: bytes, high: bytes) -> Network:
    """The network from its first to its last address. Raises ValueError when the range is none."""
    size = len(low) * 8
    first, last = int.from_bytes(low, "big"), int.from_bytes(high, "big")
    host = first ^ last
    if host & (host + 1) or first & host:
        raise ValueError("a range of addresses that is no network")
    return ipaddress.ip_network((low, size - host.bit_length()))


def _shown(kind: str, low: bytes, high: bytes) -> str:
    value = _unpacked(kind, low, high)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Ports):
        return str(value)
    return str(value.network_address) if value.prefixlen == value.max_prefixlen else str(value)


# ---- messages


def _types(kinds: tuple[str, ...]) -> int:
    """libnftables' number of a concatenation: six bits for each field."""
    number = 0
    for kind in kinds:
        number = number << 6 | _TYPES[kind][0]
    return number


def _length(kinds: tuple[str, ...]) -> int:
    return _TYPES[kinds[0]][1] if len(kinds) == 1 else sum(map(_padded, kinds))


def added(table: str, what: Declaration, number: int) -> msg.Raw:
    """The message that declares it; ``number`` tells it from others of the same batch."""
    concatenated = _CONCAT if what.interval and len(what.key) > 1 else 0
    flags = (_INTERVAL if what.interval else 0) | (_MAP if what.data else 0) | concatenated
    parts = [
        msg.text(_TABLE, table),
        msg.text(_NAME, what.name),
        msg.number(_FLAGS, flags),
        msg.number(_KEY_TYPE, _types(what.key)),
        msg.number(_KEY_LENGTH, _length(what.key)),
    ]
    if what.data:
        parts += [msg.number(_DATA_TYPE, _types(what.data)), msg.number(_DATA_LENGTH, _length(what.data))]
    if concatenated:
        fields = (msg.nested(msg.LIST_ELEMENT, msg.number(_FIELD_LENGTH, _TYPES[kind][1])) for kind in what.key)
        parts.append(msg.nested(_DESC, msg.nested(_DESC_CONCAT, *fields)))
    parts.append(msg.number(_ID, number))
    if what.counter:
        parts.append(msg.nested(_EXPR, msg.text(1, "counter"), msg.nested(2, msg.encode(_COUNTER))))
    return msg.message(msg.NEWSET, *parts, flags=msg.CREATE)


def removed(table: str, name: str) -> msg.Raw:
    """The message that removes the set with all that is in it."""
    return msg.message(msg.DELSET, msg.text(_TABLE, table), msg.text(_NAME, name))


def filled(kind: int, table: str, what: Declaration, elements: t.Iterable[Element]) -> list[msg.Raw]:
    """The messages that add (NEWSETELEM) or remove (DELSETELEM) elements; as many as it takes."""
    out: list[msg.Raw] = []
    chunk: list[bytes] = []
    size = 0
    head = msg.text(_TABLE, table) + msg.text(_NAME, what.name)
    flags = msg.CREATE if kind == msg.NEWSETELEM else 0
    for element in elements:
        packed = _element(what, element, whole=kind == msg.NEWSETELEM)
        if size + len(packed) > _MOST_BYTES:
            out.append(msg.message(kind, head, msg.nested(_ELEMENTS, *chunk), flags=flags))
            chunk, size = [], 0
        chunk.append(packed)
        size += len(packed)
    if chunk:
        out.append(msg.message(kind, head, msg.nested(_ELEMENTS, *chunk), flags=flags))
    return out


def _element(what: Declaration, element: Element, *, whole: bool) -> bytes:
    """One element; of one that is to be removed the key says enough."""
    single = len(what.key) == 1
    length = _TYPES[what.key[0]][1] if single else len(element.key)
    body = msg.nested(_ELEM_KEY, msg.attribute(_VALUE, element.key[:length]))
    if what.interval:
        body += msg.nested(_ELEM_KEY_END, msg.attribute(_VALUE, element.end))
    if whole and element.data:
        data = element.data[: _length(what.data)]
        body += msg.nested(_ELEM_DATA, msg.attribute(_VALUE, data))
    if whole and element.comment:
        text = element.comment.encode() + b"\0"
        body += msg.attribute(_ELEM_USERDATA, bytes([_COMMENT, len(text)]) + text)
    return msg.nested(msg.LIST_ELEMENT, body)


def declared(body: bytes) -> Declaration | None:
    """The declaration in an answer to GETSET; None for a set of a kind that is not used here."""
    found = msg.unpack(body)
    flags = msg.as_number(found.get(_FLAGS)) or 0
    key, data = _kinds(msg.as_number(found.get(_KEY_TYPE))), _kinds(msg.as_number(found.get(_DATA_TYPE)) or 0)
    if (
        flags & ~(_INTERVAL | _MAP | _CONCAT)
        or key is None
        or data is None
        or bool(flags & _MAP) != bool(data)
        or not key
    ):
        return None
    if msg.as_number(found.get(_KEY_LENGTH)) != _length(key):
        return None
    return Declaration(msg.as_text(found.get(_NAME)), key, data, bool(flags & _INTERVAL), _EXPR in found)


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
    return not (msg.as_number(msg.unpack(body).get(_FLAGS)) or 0) & _ANONYMOUS


def name(body: bytes) -> str:
    """The name in an answer to GETSET, whatever the kind of set."""
    return msg.as_text(msg.unpack(body).get(_NAME))


def elements(body: bytes) -> t.Iterator[Element | None]:
    """The elements in an answer to GETSETELEM; None for one of another shape."""
    listed = msg.unpack(body).get(_ELEMENTS, b"")
    for _kind, piece in msg.pieces(listed):
        found = msg.unpack(piece)
        key = _value(found.get(_ELEM_KEY))
        if key is None or _ELEM_FLAGS in found and msg.as_number(found[_ELEM_FLAGS]):
            yield None
            continue
        end = _value(found.get(_ELEM_KEY_END))
        data = _value(found.get(_ELEM_DATA)) or b""
        yield Element(_pad(key), _pad(end or key), _pad(data), _comment(found.get(_ELEM_USERDATA)))


def _pad(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) & 3)


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
    return msg.message(kind, msg.text(_TABLE, table), *([msg.text(_NAME, name)] if name else []))
