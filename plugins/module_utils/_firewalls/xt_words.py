# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""How values lie in xtables structs and how iptables writes them (iptables-extensions(8))."""

from __future__ import annotations

import ipaddress
import string
import struct
import typing as t

from .xt_predicates import Option, Ports

UNREADABLE = (struct.error, ValueError, IndexError, KeyError)
"""What the readers raise on data of another form than they expect."""

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
_PLAIN = set(string.ascii_letters + string.digits + "_-")


class Data(t.NamedTuple):
    """The data of one match or target."""

    name: str
    revision: int
    data: bytes
    family: int

    def unpack(self, form: str, offset: int = 0) -> tuple[t.Any, ...]:
        """As struct.unpack_from. Raises struct.error."""
        return struct.unpack_from(form, self.data, offset)

    def bytes(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes. Raises struct.error."""
        return t.cast(bytes, struct.unpack_from(f"={length}s", self.data, offset)[0])


def version(family: int) -> int:
    """4 or 6, of that itself or of an NFPROTO number (2 or 10); the others have no addresses of their own: 4."""
    return 6 if family in (6, 10) else 4


def text(data: bytes) -> str:
    """The text up to the first zero byte."""
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def quoted(words: str) -> str:
    """In quotation marks where a shell would need them."""
    if words and set(words) <= _PLAIN:
        return words
    return '"' + "".join(f"\\{letter}" if letter in "\"\\'" else letter for letter in words) + '"'


def bits(mask: int, names: t.Sequence[str]) -> list[str]:
    """The names of the bits that are set, the lowest first; a bit without a name keeps its number."""
    return [names[bit] if bit < len(names) else f"{1 << bit:#x}" for bit in range(mask.bit_length()) if mask >> bit & 1]


def tcp_flags(mask: int) -> str:
    """Names of TCP flags."""
    return ",".join(bits(mask, _FLAGS)) or "NONE"


def span(low: int, high: int, dash: str = ":") -> str:
    """A number, or a range of them."""
    return str(low) if low == high else f"{low}{dash}{high}"


def ip(data: bytes, family: int) -> Address:
    """The address at the beginning of a union nf_inet_addr."""
    return ipaddress.ip_address(data[: 4 if family == 4 else 16])


def network(value: Address, mask: Address, *, whole: str = "") -> str:
    """An address under a mask: ``10.0.0.0/8``; ``whole`` is what follows a single address."""
    wide = value.max_prefixlen
    ones = bin(int(mask)).count("1")
    if int(mask) != (1 << wide) - (1 << (wide - ones)):
        return f"{value}/{mask}"
    return f"{value}{whole if ones == wide else f'/{ones}'}"


def interface(name: bytes, mask: bytes) -> str:
    """The name of an interface; with + behind it where only its beginning is asked for; empty where nothing is."""
    asked = len(mask.rstrip(b"\0"))
    words = text(name[:asked])
    return words if asked == 0 or b"\0" in name[:asked] or asked == len(name) else f"{words}+"


def mark(value: int, mask: int) -> str:
    """A mark, with its mask unless that is whole."""
    return f"{value:#x}" if mask == 0xFFFFFFFF else f"{value:#x}/{mask:#x}"


def ports_option(match: str, option: str, of: str, low: int, high: int, inverted: bool) -> Option:
    """An option about one port or one range."""
    return Option(match, f"{option} {span(low, high)}", Ports((of,), ((low, high),)), inverted)
