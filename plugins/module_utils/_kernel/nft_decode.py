# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""From the kernel's expressions to the meaning of a rule, whoever wrote them.

nft(8) writes one meaning in several forms: a /24 as a load of three bytes or as a load of four with a mask,
a range as one expression or as two comparisons, two neighbouring addresses as one load. The decoder follows
the registers and turns every form into the same conditions; what it can't read makes the rule opaque.
"""

from __future__ import annotations

import ipaddress
import struct
import typing as t

from . import nft_encode as nft
from .nft_messages import Expression
from .nft_rules import Dnat, DnatBy, Drop, Masquerade, Member, Network, Opaque, Ports, Rule, Verdict

_PROTOCOL_NAMES = {number: name for name, number in nft.PROTOCOLS.items()}
_FAMILIES = {number: version for version, number in nft.NFPROTO.items()}
_BYTES = {4: 4, 6: 16}


class _Unreadable(Exception):
    """The rule says something that there are no words for here."""


class _Value(t.NamedTuple):
    """What a register holds: a field of the packet, under a mask or whole, or constant bytes."""

    field: tuple[t.Any, ...]
    mask: bytes | None = None


class _Condition(t.NamedTuple):
    value: _Value
    operator: int
    data: bytes


def decode(
    chain: str,
    expressions: t.Sequence[Expression],
    raw: tuple[tuple[str, bytes], ...],
    *,
    comment: str = "",
    handle: int | None = None,
) -> Rule:
    """The rule that the expressions mean; its verdict is Opaque, with ``raw`` in it, when they can't be read."""
    try:
        fields = _Reader(expressions).fields()
        return Rule(chain, comment=comment, handle=handle, **fields)
    except (_Unreadable, ValueError, TypeError, LookupError, struct.error):
        return Rule(chain, Opaque(raw), comment, handle=handle)


def _word(register: int) -> int:
    """NFT_REG_1 to 4 and NFT_REG32_00 to 15 name the same sixteen words."""
    if 1 <= register <= 4:
        return (register - 1) * 4
    if 8 <= register <= 23:
        return register - 8
    raise _Unreadable


class _Reader:
    """Runs through the expressions once and collects conditions and the verdict."""

    def __init__(self, expressions: t.Sequence[Expression]) -> None:
        self.registers: dict[int, _Value] = {}
        self.conditions: list[_Condition] = []
        self.verdict: Verdict | None = None
        self.member: Member | None = None
        for expression in expressions:
            if expression.name == "counter":  # counts, and changes nothing
                continue
            if expression.raw or self.verdict is not None:
                raise _Unreadable
            reader = getattr(self, f"_read_{expression.name}", None)
            if reader is None:
                raise _Unreadable
            reader(dict(expression.attributes))

    def fields(self) -> dict[str, t.Any]:
        """The keyword arguments of Rule."""
        if self.verdict is None:
            raise _Unreadable
        return {"verdict": self.verdict, "member": self.member, **_Conditions(self.conditions).fields}

    def _store(self, register: int, value: _Value) -> None:
        self.registers[_word(register)] = value

    def _load(self, register: int) -> _Value:
        return self.registers[_word(register)]

    def _constant(self, register: int | None) -> bytes | None:
        if register is None:
            return None
        field = self._load(register).field
        if field[0] != "constant":
            raise _Unreadable
        return t.cast(bytes, field[1])

    def _read_meta(self, attributes: dict[str, t.Any]) -> None:
        self._store(attributes["dreg"], _Value(("meta", attributes["key"])))

    def _read_payload(self, attributes: dict[str, t.Any]) -> None:
        self._store(
            attributes["dreg"], _Value(("payload", attributes["base"], attributes["offset"], attributes["len"]))
        )

    def _read_fib(self, attributes: dict[str, t.Any]) -> None:
        self._store(attributes["dreg"], _Value(("fib", attributes["result"], attributes["flags"])))

    def _read_ct(self, attributes: dict[str, t.Any]) -> None:
        if "direction" in attributes:
            raise _Unreadable
        self._store(attributes["dreg"], _Value(("ct", attributes["key"])))

    def _read_bitwise(self, attributes: dict[str, t.Any]) -> None:
        value, mask = self._load(attributes["sreg"]), attributes["mask"]
        if attributes.get("op", 0) != 0 or any(attributes["xor"]) or value.mask is not None:
            raise _Unreadable
        self._store(attributes["dreg"], value._replace(mask=mask))

    def _read_cmp(self, attributes: dict[str, t.Any]) -> None:
        self.conditions.append(_Condition(self._load(attributes["sreg"]), attributes["op"], attributes["data"]))

    def _read_range(self, attributes: dict[str, t.Any]) -> None:
        if attributes["op"] != nft.RANGE_EQ:
            raise _Unreadable
        value = self._load(attributes["sreg"])
        self.conditions.append(_Condition(value, nft.CMP_GTE, attributes["from"]))
        self.conditions.append(_Condition(value, nft.CMP_LTE, attributes["to"]))

    def _read_immediate(self, attributes: dict[str, t.Any]) -> None:
        if attributes["dreg"] != nft.REG_VERDICT:
            self._store(attributes["dreg"], _Value(("constant", attributes["data"])))
        elif attributes["data"] == nft.NF_DROP:
            self.verdict = Drop()
        else:
            raise _Unreadable

    def _read_lookup(self, attributes: dict[str, t.Any]) -> None:
        """A key made of fields of the packet is in a set, or is translated by a map."""
        if attributes.get("flags", 0):
            raise _Unreadable
        name = attributes["set"].decode()
        key = tuple(self._gather(_word(attributes["sreg"])))
        if "dreg" in attributes:
            self._store(attributes["dreg"], _Value(("map", name, key)))
        elif self.member is None:
            self.member = Member(name, key)
        else:
            raise _Unreadable

    def _gather(self, word: int) -> t.Iterator[str]:
        """The names of the fields that lie one behind the other from this register on."""
        while word in self.registers and self.registers[word].field in _KEY_FIELDS:
            value = self.registers[word]
            if value.mask is not None:
                raise _Unreadable
            name, words = _KEY_FIELDS[value.field]
            yield name
            word += words

    def _read_masq(self, attributes: dict[str, t.Any]) -> None:
        flags = attributes.get("flags", 0)
        specified = nft.SPECIFIED if "proto_min" in attributes else 0
        if flags & ~nft.RANDOM != specified:
            raise _Unreadable
        low = self._constant(attributes.get("proto_min"))
        high = self._constant(attributes.get("proto_max")) or low
        ports = Ports(_number(low), _number(high)) if low and high else None
        self.verdict = Masquerade(ports, bool(flags & nft.RANDOM))

    def _read_nat(self, attributes: dict[str, t.Any]) -> None:
        if attributes["type"] != nft.NAT_DNAT or attributes.get("flags", 0) & ~(nft.MAP_IPS | nft.SPECIFIED):
            raise _Unreadable
        for end in ("addr", "proto"):  # the kernel adds the upper end, equal to the lower one
            if attributes.get(f"{end}_max", attributes.get(f"{end}_min")) != attributes.get(f"{end}_min"):
                raise _Unreadable
        version = _FAMILIES[attributes["family"]]
        found = self._load(attributes["addr_min"]).field
        if found[0] == "map":
            self.verdict = self._translation(found, version, attributes)
            return
        packed = self._constant(attributes["addr_min"])
        if packed is None or len(packed) != _BYTES[version]:
            raise _Unreadable
        port = self._constant(attributes.get("proto_min"))
        self.verdict = Dnat(ipaddress.ip_address(packed), _number(port) if port else None)

    def _translation(self, found: tuple[t.Any, ...], version: int, attributes: dict[str, t.Any]) -> DnatBy:
        _map, name, key = found
        port = attributes.get("proto_min")
        if port is not None and _word(port) != _word(attributes["addr_min"]) + _BYTES[version] // 4:
            raise _Unreadable
        return DnatBy(name, key, version, port is not None)


_KEY_FIELDS: dict[tuple[t.Any, ...], tuple[str, int]] = {
    # What a register holds: the name of the field, and how many words it takes.
    ("meta", nft.META_IIFNAME): ("iifname", nft.IFNAMSIZ // 4),
    ("payload", nft.BASE_TRANSPORT, *nft.DESTINATION_PORT): ("dport", 1),
    **{("payload", nft.BASE_NETWORK, *place): ("saddr", place[1] // 4) for place in nft.SOURCE.values()},
    **{("payload", nft.BASE_NETWORK, *place): ("daddr", place[1] // 4) for place in nft.DESTINATION.values()},
}


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


class _Conditions:
    """Gathers comparisons into the conditions of a rule; a contradiction or a stranger is unreadable."""

    def __init__(self, conditions: t.Sequence[_Condition]) -> None:
        self.fields: dict[str, t.Any] = {}
        self._not_destinations: list[Network] = []
        self._low, self._high = 0, 65535
        self._ports_seen = False
        later = []
        for condition in conditions:
            if condition.value.field[0] == "payload":  # addresses need the family first
                later.append(condition)
            else:
                self._read(condition)
        for condition in later:
            self._read_payload(condition)
        if self._not_destinations:
            self.fields["not_destinations"] = tuple(self._not_destinations)
        if self._ports_seen:
            self.fields["ports"] = Ports(self._low, self._high)
            if "protocol" not in self.fields or self._low > self._high:
                raise _Unreadable

    def _set(self, name: str, value: t.Any) -> None:
        if self.fields.setdefault(name, value) != value:
            raise _Unreadable

    def _read(self, condition: _Condition) -> None:
        (kind, *key), operator, data = condition.value.field, condition.operator, condition.data
        if kind == "meta" and condition.value.mask is None:
            self._read_meta(key[0], operator, data)
        elif kind == "fib" and key == [nft.FIB_RESULT_ADDRTYPE, nft.FIB_F_DADDR] and operator == nft.CMP_EQ:
            if data != struct.pack("=I", nft.RTN_LOCAL) or condition.value.mask is not None:
                raise _Unreadable
            self._set("local_destination", True)
        elif kind == "ct" and key == [nft.CT_STATUS] and operator == nft.CMP_NEQ and not any(data):
            if condition.value.mask != struct.pack("=I", nft.IPS_DST_NAT):
                raise _Unreadable
            self._set("translated", True)
        else:
            raise _Unreadable

    def _read_meta(self, key: int, operator: int, data: bytes) -> None:
        names = {
            (nft.META_IIFNAME, nft.CMP_EQ): "in_interface",
            (nft.META_IIFNAME, nft.CMP_NEQ): "not_in_interface",
            (nft.META_OIFNAME, nft.CMP_EQ): "out_interface",
        }
        if (key, operator) in names and len(data) == nft.IFNAMSIZ:  # a shorter one is a pattern such as "veth*"
            self._set(names[key, operator], data.rstrip(b"\0").decode())
        elif key == nft.META_NFPROTO and operator == nft.CMP_EQ:
            self._set("family", _FAMILIES[data[0]])
        elif key == nft.META_L4PROTO and operator == nft.CMP_EQ:
            self._set("protocol", _PROTOCOL_NAMES[data[0]])
        else:
            raise _Unreadable

    def _read_payload(self, condition: _Condition) -> None:
        _payload, base, offset, length = condition.value.field
        if base == nft.BASE_TRANSPORT and (offset, length) == nft.DESTINATION_PORT and condition.value.mask is None:
            self._read_port(condition.operator, _number(condition.data))
        elif base == nft.BASE_NETWORK:
            self._read_addresses(condition, offset, length)
        else:
            raise _Unreadable

    def _read_port(self, operator: int, number: int) -> None:
        if operator in (nft.CMP_EQ, nft.CMP_GTE):
            self._low = max(self._low, number)
        if operator in (nft.CMP_EQ, nft.CMP_LTE):
            self._high = min(self._high, number)
        if operator not in (nft.CMP_EQ, nft.CMP_GTE, nft.CMP_LTE):
            raise _Unreadable
        self._ports_seen = True

    def _read_addresses(self, condition: _Condition, offset: int, length: int) -> None:
        """Cut a load at the borders of the address fields: nft joins neighbours."""
        version = self.fields["family"]
        mask = condition.value.mask or b"\xff" * length
        if version == 4 and (offset, length) == (9, 1) and condition.operator == nft.CMP_EQ and mask == b"\xff":
            self._set("protocol", _PROTOCOL_NAMES[condition.data[0]])
            return
        position = 0
        while position < length:
            name, start, size = _field(version, offset + position)
            count = min(size - (offset + position - start), length - position)
            piece = slice(position, position + count)
            if offset + position != start:
                raise _Unreadable
            self._set_address(
                name, condition, _network(version, condition.data[piece], mask[piece]), whole=count == length
            )
            position += count

    def _set_address(self, name: str, condition: _Condition, network: Network, *, whole: bool) -> None:
        if condition.operator == nft.CMP_EQ:
            self._set(name, network)
        elif condition.operator == nft.CMP_NEQ and name == "destination" and whole:
            self._not_destinations.append(network)
        else:
            raise _Unreadable


def _field(version: int, offset: int) -> tuple[str, int, int]:
    for name, (start, size) in (("source", nft.SOURCE[version]), ("destination", nft.DESTINATION[version])):
        if start <= offset < start + size:
            return name, start, size
    raise _Unreadable


def _network(version: int, data: bytes, mask: bytes) -> Network:
    size = _BYTES[version]
    bits = "".join(f"{byte:08b}" for byte in mask)
    length = len(bits.rstrip("0"))
    if "0" in bits[:length]:
        raise _Unreadable
    return ipaddress.ip_network((data.ljust(size, b"\0"), length))
