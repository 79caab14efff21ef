# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Reading what users write: names, addresses, networks. Each refusal is one sentence with the way out."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._errors import InvalidInput

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Interface = t.Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]

_NAME_BYTES = 15  # IFNAMSIZ less its final zero, linux/if.h
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def interface(text: str, option: str) -> str:
    """An interface name as the kernel takes it (dev_valid_name in net/core/dev.c). Raises InvalidInput."""
    size = len(_utf8(text, option))
    if not text:
        raise InvalidInput(f"{option} is empty: give the name of an interface, such as veth-red.")
    if size > _NAME_BYTES:
        raise InvalidInput(
            f"{option}: the interface name {text!r} has {size} bytes, the kernel takes at most {_NAME_BYTES}. Choose a shorter name."
        )
    spelled(text, option)
    return text


def spelled(text: str, option: str) -> None:
    """What an interface name is made of, however long it is. Raises InvalidInput."""
    # The kernel looks for white space byte by byte, in Latin-1: 0xa0 is some there, wherever UTF-8 has it.
    if (
        text in (".", "..")
        or any(c in "/:%" or c.isspace() or ord(c) < 32 for c in text)
        or b"\xa0" in _utf8(text, option)
    ):
        raise InvalidInput(
            f"{option}: {text!r} is no interface name: '/', ':', '%' and white space can't be in one, and it can't be '.' or '..'."
        )


def namespace(text: str | None, option: str = "netns") -> str | None:
    """The name of a network namespace; None stays None, the caller's own. Raises InvalidInput."""
    if text is None:
        return None
    if not text or text in (".", ".."):
        raise InvalidInput(
            f"{option}: {text!r} is no name for a network namespace: give one such as red"
            f"{', or leave the option out for the current one' if option.endswith('netns') else ''}."
        )
    if "/" in text or "\0" in text:
        raise InvalidInput(
            f"{option}: the namespace name {text!r} contains '/'; give the bare name of a file in /run/netns, such as red."
        )
    size = len(_utf8(text, option))
    if size > 255:
        raise InvalidInput(
            f"{option}: the namespace name has {size} bytes, a file name takes at most 255. Choose a shorter name."
        )
    if text.strip() != text or any(ord(c) < 32 for c in text):
        raise InvalidInput(
            f"{option}: the namespace name {text!r} begins or ends with white space or holds control characters. Choose another name."
        )
    return text


def _utf8(text: str, option: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{option}: {text!r} holds bytes that are no UTF-8. Choose another name.") from None


def _family(text: str) -> int:
    return 6 if ":" in text else 4


def _zoneless(text: str, option: str) -> None:
    if "%" in text:
        raise InvalidInput(
            f"{option}: {text!r} holds '%': leave the zone out, an interface is named by an option of its own."
        )


def address(text: str, option: str, *, zone: bool = False) -> Address:
    """A bare address, without prefix, and without ``%zone`` unless that is allowed. Raises InvalidInput."""
    if not zone:
        _zoneless(text, option)
    bare, slash, _length = text.partition("/")
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        raise InvalidInput(
            f"{option}: {text!r} is no IP address; write one such as 192.168.15.5 or fd00:15::5."
        ) from None
    if getattr(parsed, "scope_id", None):
        interface(str(parsed).partition("%")[2], option)
    if slash:
        raise InvalidInput(f"{option}: {text!r} has a prefix length, but one address is meant: write {bare}.")
    return parsed


def host_interface(text: str, option: str) -> Interface:
    """An address with its prefix length, as an interface carries it. Raises InvalidInput."""
    if "/" not in text:
        address(text, option)
        guess = 64 if _family(text) == 6 else 24
        raise InvalidInput(
            f"{option}: {text} has no prefix length, so the kernel would not know its network: did you mean {text}/{guess}?"
        )
    _zoneless(text, option)
    try:
        parsed = ipaddress.ip_interface(text)
    except ValueError:
        raise InvalidInput(
            f"{option}: {text!r} is no address with a prefix length; write one such as 192.168.15.1/24 or fd00:15::1/64."
        ) from None
    network = parsed.network
    if parsed.ip.is_unspecified or parsed.ip.is_multicast:
        what = "multicast" if parsed.ip.is_multicast else "unspecified"
        raise InvalidInput(
            f"{option}: {text} is {what}, which no interface can have as its address. Choose a host address."
        )
    if (
        parsed.version == 4
        and network.prefixlen < 31
        and parsed.ip in (network.network_address, network.broadcast_address)
    ):
        what = "address" if parsed.ip == network.network_address else "broadcast address"
        raise InvalidInput(
            f"{option}: {text} is the {what} of the network {network} itself; choose a host address in it, "
            f"such as {network.network_address + 1}/{network.prefixlen}."
        )
    return parsed


def network(text: str, option: str) -> Network:
    """A network in CIDR; a host address with a shorter prefix is refused. Raises InvalidInput."""
    _zoneless(text, option)
    if "/" not in text:
        try:
            parsed = ipaddress.ip_address(text)
        except ValueError:
            raise _no_network(text, option) from None
        raise InvalidInput(
            f"{option}: {text} has no prefix length: did you mean the one address {text}/{parsed.max_prefixlen}, or a network such as "
            f"{ipaddress.ip_network((parsed, 64 if parsed.version == 6 else 24), strict=False)}?"
        )
    try:
        loose = ipaddress.ip_interface(text)
    except ValueError:
        raise _no_network(text, option) from None
    if loose.ip != loose.network.network_address:
        raise InvalidInput(
            f"{option}: {text} is a host address, not a network: "
            f"did you mean the network {loose.network} or the one address {loose.ip}/{loose.max_prefixlen}?"
        )
    return loose.network


def _no_network(text: str, option: str) -> InvalidInput:
    return InvalidInput(f"{option}: {text!r} is no network; write one such as 192.168.15.0/24 or fd00:15::/64.")


def mac(text: str | None, option: str) -> str | None:
    """A unicast Ethernet address in lower case with colons. Raises InvalidInput."""
    if text is None:
        return None
    plain = text.lower().replace("-", ":")
    if not _MAC.fullmatch(plain):
        raise InvalidInput(
            f"{option}: {text!r} is no MAC address; write six pairs of hexadecimal digits, such as 02:00:00:00:15:01."
        )
    first = int(plain[:2], 16)
    if first & 1 or plain == "00:00:00:00:00:00":
        kind = "multicast" if first & 1 else "all zeros"
        raise InvalidInput(f"{option}: {text} is {kind}; an interface needs a unicast address, such as 02{plain[2:]}.")
    return plain


def mtu(value: int | None, option: str) -> int | None:
    """An MTU that both veth and bridge take, 68 to 65535 bytes (RFC 791; ETH_MAX_MTU). Raises InvalidInput."""
    if value is not None and not 68 <= value <= 65535:
        raise InvalidInput(f"{option}: an MTU of {value} bytes is impossible; give 68 to 65535 (1500 is usual).")
    return value


def unique(texts: t.Iterable[t.Any], option: str) -> None:
    """Raises InvalidInput when something is given twice."""
    seen = set()
    for text in texts:
        if text in seen:
            raise InvalidInput(f"{option}: {text} is listed twice; name it once.")
        seen.add(text)
