# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""How one attribute's content is packed and read, for each type that pyroute2's tables name.

pyroute2 describes a type by a class. Which type it is shows in whose ``encode`` and ``decode`` the class uses; those
are written out here as plain functions, which take a tenth of the time. Values are those of pyroute2. Where it takes a
text of an address, the packed bytes and the objects of ``ipaddress`` are welcome too.
"""

from __future__ import annotations

import functools
import socket
import struct
import typing as t

_HEADER = struct.Struct("=HH")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")  # by what the length leaves when divided by four
_OPERSTATES = ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP")  # RFC 2863, linux/if.h
_ADDRESSES = 8192  # the texts of addresses whose bytes are kept

Packer = t.Callable[[t.Any], bytes]
Reader = t.Callable[[bytes], t.Any]


class Type(t.NamedTuple):
    """How the content of an attribute is packed from a value, and read.

    ``size`` is set where it never varies, ``form`` where the content is one number of this machine's byte order.
    """

    pack: Packer
    read: Reader
    size: int | None = None
    form: str | None = None


def packer(number: int, kind: Type) -> Packer:
    """What makes the whole attribute, header and padding included, of a value."""
    # Thousands of messages are made of these functions: each avoids a call where it can.
    pack = kind.pack
    if kind.form is not None and kind.size is not None:
        return functools.partial(struct.Struct(f"=HH{kind.form}{-kind.size & 3}x").pack, 4 + kind.size, number)
    if kind.size is not None:
        head, tail = _HEADER.pack(4 + kind.size, number), _PADDING[kind.size & 3]
        return lambda value: head + pack(value) + tail
    return _text_packer(number) if pack is _pack_zero_text else _any_packer(number, pack)


def _any_packer(number: int, pack: Packer, header: t.Callable[[int, int], bytes] = _HEADER.pack) -> Packer:
    padding = _PADDING

    def whole(value: t.Any) -> bytes:
        content = pack(value)
        size = len(content)
        return header(4 + size, number) + content + padding[size & 3]

    return whole


def _text_packer(number: int, header: t.Callable[[int, int], bytes] = _HEADER.pack) -> Packer:
    ends = tuple(b"\0" * (4 - rest) for rest in range(4))  # the zero that ends the text, and padding

    def whole(value: str | bytes) -> bytes:
        content = value.encode() if isinstance(value, str) else value
        size = len(content)
        return header(5 + size, number) + content + ends[size & 3]

    return whole


# ---- numbers


def _number(form: str, names: t.Mapping[int, t.Any]) -> Type:
    """A number of this format of ``struct``; some have ``names``."""
    # Alone and aligned to nothing, a native number is as large as a standard one: the same bytes, packed faster.
    cut = struct.Struct(form if form[0] in "<>=!" else f"={form}")
    pack, unpack, size = cut.pack, cut.unpack_from, cut.size

    def read(content: bytes) -> t.Any:
        return unpack(content if len(content) >= size else content.ljust(size, b"\0"))[0]

    if not names:
        return Type(pack, read, size, form if len(form) == 1 else None)
    numbers = {name: number for number, name in names.items()}
    return Type(lambda value: pack(numbers.get(value, value)), lambda content: _named(names, read(content)), size)


def _named(names: t.Mapping[int, t.Any], number: int) -> t.Any:
    return names.get(number, number)


_STATE = _number("B", dict(enumerate(_OPERSTATES)))

# ---- texts and bytes


def _binary(value: t.Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(memoryview(value))


def _hex(content: bytes) -> str:
    return content.hex(":")


def _text(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _zero_text(content: bytes) -> str | bytes:
    return _text(content.strip(b"\0"))


def _pack_zero_text(value: str | bytes) -> bytes:
    return (value.encode() if isinstance(value, str) else value) + b"\0"


# ---- addresses


def _mac(value: t.Any) -> bytes:
    """The six bytes of an address with colons."""
    if not isinstance(value, str):
        return bytes(value)
    full = len(value) == 17  # not such as 2:0:0:0:0:1
    packed = bytes.fromhex(value.replace(":", "")) if full else bytes([int(part, 16) for part in value.split(":")])
    if len(packed) != 6:
        raise ValueError(f"{value} is no MAC address")
    return packed


@functools.lru_cache(_ADDRESSES)
def _address_of_text(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def _address(value: t.Any) -> bytes:
    if isinstance(value, str):
        return _address_of_text(value)
    return value if isinstance(value, bytes) else bytes(value.packed)


def _read_address(content: bytes) -> t.Any:
    if len(content) == 4:
        return socket.inet_ntop(socket.AF_INET, content)
    return socket.inet_ntop(socket.AF_INET6, content) if len(content) == 16 else content


def _link_address(value: t.Any) -> bytes:
    return _mac(value) if isinstance(value, str) and len(value) == 17 and "::" not in value else _address(value)


def _read_link_address(content: bytes) -> str:
    return str(_read_address(content)) if len(content) in (4, 16) else content.hex(":")


def _via(value: t.Any) -> bytes:
    packed = _address(value["addr"])
    return struct.pack("=H", value["family"]) + packed


def _read_via(content: bytes) -> dict[str, t.Any]:
    return {"family": int.from_bytes(content[:2], _native()), "addr": _read_link_address(content[2:])}


def _bridge_id(value: t.Any) -> bytes:
    return struct.pack("=H", value["prio"]) + _mac(value["addr"])


def _read_bridge_id(content: bytes) -> dict[str, t.Any]:
    return {"prio": int.from_bytes(content[:2], _native()), "addr": content[2:8].hex(":")}


def _native() -> t.Literal["little", "big"]:
    return "little" if struct.pack("=H", 1)[0] else "big"


# ---- which type a class is

_BY_DECODER = {
    "nlmsg_atoms.none.decode": Type(lambda _value: b"", lambda _content: None, 0),
    "nlmsg_atoms.flag.decode": Type(lambda _value: b"", lambda _content: True, 0),
    "nlmsg_atoms.hex.decode": Type(_binary, _hex),
    "nlmsg_atoms.l2addr.decode": Type(_mac, _hex, 6),
    "nlmsg_atoms.lladdr.decode": Type(_link_address, _read_link_address),
    "nlmsg_atoms.ipXaddr.decode": Type(_address, _read_address),
    "nlmsg_atoms.target.decode": Type(_address, _read_address),
    "nlmsg_atoms.ipaddr.ft_decode": Type(_address, _read_address),
    "nlmsg_decoder_string.ft_decode": Type(_binary, bytes),
    "ifinfbase.state.decode": _STATE,
    "rtmsg_base.rtvia.decode": Type(_via, _read_via),
    "ifla_bridge_id.decode": Type(_bridge_id, _read_bridge_id, 8),
}
_TEXT = "nlmsg_atoms.string.decode"
_PLAIN_DECODERS = ("nlmsg_base.decode", "nla.decode", "nla_string.decode", "ifinfmsg.decode")
_PLAIN_ENCODERS = (
    "nlmsg_base.encode",
    "ifinfbase.encode",  # what it adds is for names of flags
    "nlflags.encode",
    "rtmsg.encode",
    "ifinfbase.netns_fd.encode",  # opens files by name
    "ifinfbase.xdp.xdp_flags.encode",  # only warns
    "ifinfbase.ifinfo.gre_data.gre_flags.encode",
)


def of(source: t.Any) -> Type | None:
    """The type that this class of pyroute2 is, or None when it holds other fields or attributes, or is unknown."""
    decoder = str(source.decode.__qualname__)
    if decoder in _PLAIN_DECODERS:
        decoder = str(source.ft_decode.__qualname__)
    if decoder == _TEXT:
        return Type(_pack_zero_text, _zero_text) if source.zstring == 1 else Type(_binary, _text)
    known = _BY_DECODER.get(decoder)
    if known is not None:
        return known
    fields = list(source.fields)
    if is_plain(source) and len(fields) == 1 and fields[0][0] == "value" and not source.nla_map:
        return _number(fields[0][1], source.value_map)
    return None


def is_plain(source: t.Any) -> bool:
    """Whether the class adds nothing of its own to how fields and attributes are packed and read."""
    return (
        source.encode.__qualname__ in _PLAIN_ENCODERS
        and source.decode.__qualname__ in _PLAIN_DECODERS
        and source.ft_decode.__qualname__ == "nlmsg_decoder_generic.ft_decode"
    )
