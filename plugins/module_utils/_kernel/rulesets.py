# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Everybody's nftables tables, as the kernel tells them: chains, rules and sets whose contents are still attributes.

What they mean is read in ``_firewalls/nft_tables.py``. Numbers are from linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import errno
import socket
import struct
import typing as t
from dataclasses import dataclass

from .._errors import KernelError
from .attributes import attribute
from .attributes import pieces as each
from .attributes import unpack as parse
from .kernel import Kernel
from .netlink import NetlinkSocket, Raw, Refusal
from .nft_messages import comment

Attributes = dict[int, bytes]

_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_GETTABLE, _GETCHAIN, _GETRULE, _GETSET, _GETSETELEM = 1, 4, 7, 10, 13
_TABLE_NAME, _TABLE_FLAGS = 1, 2
_DORMANT, _OWNER = 0x1, 0x2
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 1, 3, 4, 5, 7
_HOOK_NUMBER, _HOOK_PRIORITY, _HOOK_DEVICE, _HOOK_DEVICES = 1, 2, 3, 4
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS, _RULE_USERDATA = 1, 2, 3, 4, 7
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2
_SET_TABLE, _SET_NAME, _SET_FLAGS, _SET_KEY_LENGTH, _SET_DESC = 1, 2, 3, 5, 9
_DESC_CONCAT, _FIELD_LENGTH = 2, 1
_ELEMENTS_SET, _ELEMENTS = 2, 3
_ELEM_KEY, _ELEM_DATA, _ELEM_FLAGS, _ELEM_KEY_END = 1, 2, 3, 10
_ELEM_EXPRESSION, _ELEM_EXPRESSIONS = 7, 11
_VALUE = 1  # NFTA_DATA_VALUE
_LOOKUP_SET = 1
_ABSENT = (errno.EOPNOTSUPP, errno.EINVAL, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)
_TRIES = 20

FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_*
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_NUMBERS: dict[str, tuple[str, ...]] = dict.fromkeys(("inet", "ip", "ip6", "bridge"), (*HOOKS, "ingress"))
_NUMBERS.update(netdev=("ingress", "egress"), arp=("input", "output", "forward"))

INTERVAL, MAP, EVAL = 0x4, 0x8, 0x20  # NFT_SET_*
INTERVAL_END, CATCHALL = 0x1, 0x2  # NFT_SET_ELEM_*


class Expression(t.NamedTuple):
    """One step of a rule: its name, such as cmp, and its attributes by number."""

    name: str
    attributes: Attributes


class Element(t.NamedTuple):
    """An element of a set: its key, where its range ends if it is one, and what a map says of it (attributes)."""

    key: bytes
    end: bytes | None
    data: Attributes
    flags: int
    expressions: tuple[str, ...] = ()
    """The names of what else is evaluated for a packet that meets the element."""


@dataclass(frozen=True)
class SetDump:
    name: str
    flags: int
    key_length: int
    fields: tuple[int, ...]
    """The lengths of the fields of a concatenation; empty when they are not told."""
    elements: tuple[Element, ...]


@dataclass(frozen=True)
class RuleDump:
    chain: str
    handle: int
    expressions: tuple[Expression, ...]
    comment: str


@dataclass(frozen=True)
class ChainDump:
    """A chain; ``hook`` is None for one that is only jumped to. ``devices`` is empty where a chain is not bound to any."""

    name: str
    hook: str | None
    type: str
    priority: int
    policy: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class TableDump:
    family: str
    name: str
    owned: bool
    chains: tuple[ChainDump, ...]
    rules: tuple[RuleDump, ...]
    sets: t.Mapping[str, SetDump]
    interfaces: t.Mapping[str, int]
    """The interfaces of the namespace with their indexes, if a rule speaks of indexes."""


def read(
    kernel: Kernel,
    netns: str | None,
    *,
    skip: frozenset[tuple[str, str]] = frozenset(),
    hooks: t.Collection[str] = HOOKS,
) -> list[TableDump]:
    """The tables that have chains on these hooks, less those to ``skip``: pairs of family and name.

    Dormant tables see no packets and are left out. Empty where the kernel has no nf_tables. Raises KernelError.
    """
    try:
        sock = kernel.netfilter(netns)
        for _attempt in range(_TRIES):
            reading = _Reading(sock)
            found = reading.tables(skip, hooks)
            if len(reading.generations) <= 1:
                return [_with_interfaces(table, kernel, netns) for table in found]
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise KernelError(f"could not open a netfilter socket: {error.strerror}.", errno=error.errno or 0) from None
    except Refusal as refusal:
        if refusal.number in _ABSENT:
            return []
        raise refusal.explain("list the nftables rules") from None
    raise KernelError("the nftables rules changed each time they were read: try again.", errno=errno.EINTR)


class _Reading:
    """One pass over the rules. ``generations`` are the numbers of the rule sets that answers came from: more than one
    means that somebody changed the rules in between, and that what was read may be torn."""

    def __init__(self, sock: NetlinkSocket) -> None:
        self.generations: set[int] = set()
        self._sock = sock

    def tables(self, skip: frozenset[tuple[str, str]], hooks: t.Collection[str]) -> list[TableDump]:
        chains: dict[tuple[str, str], list[ChainDump]] = {}
        for family, attributes in self._dump(_GETCHAIN):
            where = (family, text(attributes.get(_CHAIN_TABLE)))
            chains.setdefault(where, []).append(_chain(family, attributes))
        wanted = {
            where
            for where, members in chains.items()
            if where not in skip and any(chain.hook in hooks for chain in members)
        }
        if not wanted:
            return []
        flags = {
            (family, text(attributes.get(_TABLE_NAME))): number(attributes.get(_TABLE_FLAGS))
            for family, attributes in self._dump(_GETTABLE)
        }
        return [
            self._table(family, name, bool(flags.get((family, name), 0) & _OWNER), tuple(members))
            for (family, name), members in chains.items()
            if (family, name) in wanted and not flags.get((family, name), 0) & _DORMANT
        ]

    def _table(self, family: str, name: str, owned: bool, chains: tuple[ChainDump, ...]) -> TableDump:
        rules = tuple(
            _rule(attributes)
            for where, attributes in self._dump(_GETRULE, family, _RULE_TABLE, name)
            if (where, text(attributes.get(_RULE_TABLE))) == (family, name)
        )
        used = {
            text(expression.attributes.get(_LOOKUP_SET))
            for rule in rules
            for expression in rule.expressions
            if expression.name == "lookup"
        }
        declared = self._dump(_GETSET, family, _SET_TABLE, name) if used else []
        sets = {
            text(attributes.get(_SET_NAME)): attributes
            for where, attributes in declared
            if (where, text(attributes.get(_SET_TABLE))) == (family, name)
        }
        contents = {one: self._set(family, name, one, sets[one]) for one in used if one in sets}
        return TableDump(family, name, owned, chains, rules, contents, {})

    def _set(self, family: str, table: str, name: str, attributes: Attributes) -> SetDump:
        elements: list[Element] = []
        if not number(attributes.get(_SET_FLAGS)) & EVAL:  # packets change it: what is in it now tells nothing
            for _family, answer in self._dump(_GETSETELEM, family, _SET_TABLE, table, _ELEMENTS_SET, name):
                elements += [_element(parse(one)) for _kind, one in each(answer.get(_ELEMENTS, b""))]
        concat = parse(attributes.get(_SET_DESC, b"")).get(_DESC_CONCAT, b"")
        fields = tuple(number(parse(one).get(_FIELD_LENGTH)) for _kind, one in each(concat))
        return SetDump(
            name,
            number(attributes.get(_SET_FLAGS)),
            number(attributes.get(_SET_KEY_LENGTH)),
            fields,
            tuple(elements),
        )

    def _dump(self, kind: int, family: str = "", *names: t.Any) -> t.Iterator[tuple[str, Attributes]]:
        """Yields the family and the attributes of each answer; ``names`` are attribute numbers and texts in turn."""
        numbers = {name: value for value, name in FAMILIES.items()}
        body = struct.pack("!BBH", numbers.get(family, 0), 0, 0)
        for kind_of_name, value in zip(names[::2], names[1::2]):
            body += attribute(kind_of_name, value.encode(errors="surrogateescape") + b"\0")
        for answer in self._sock.ask(Raw(_SUBSYSTEM << 8 | kind, 0, body), dump=True):
            protocol, _version, generation = struct.unpack_from("!BBH", answer)
            self.generations.add(generation)
            yield FAMILIES.get(protocol, str(protocol)), parse(answer[4:])


def number(data: bytes | None) -> int:
    """A number as nf_tables sends them, in network byte order; 0 for an attribute that is not there."""
    return int.from_bytes(data or b"", "big")


def text(data: bytes | None) -> str:
    """A name, without its final zero, such that it can be sent back; '' for an attribute that is not there."""
    return (data or b"").rstrip(b"\0").decode(errors="surrogateescape")


def expressions(data: bytes) -> tuple[Expression, ...]:
    """The expressions of a rule, in order."""
    found = (parse(one) for _kind, one in each(data))
    return tuple(Expression(text(one.get(_EXPRESSION_NAME)), parse(one.get(_EXPRESSION_DATA, b""))) for one in found)


def _chain(family: str, attributes: Attributes) -> ChainDump:
    hook = parse(attributes.get(_CHAIN_HOOK, b""))
    hooks = _NUMBERS.get(family, ())
    which = number(hook.get(_HOOK_NUMBER))
    names = [hook[_HOOK_DEVICE]] if _HOOK_DEVICE in hook else [one for _kind, one in each(hook.get(_HOOK_DEVICES, b""))]
    return ChainDump(
        text(attributes.get(_CHAIN_NAME)),
        (hooks[which] if which < len(hooks) else f"hook {which}") if hook else None,
        text(attributes.get(_CHAIN_TYPE)),
        int.from_bytes(hook.get(_HOOK_PRIORITY, b""), "big", signed=True),
        "drop" if _CHAIN_POLICY in attributes and number(attributes[_CHAIN_POLICY]) == 0 else "accept",
        tuple(map(text, names)),
    )


def _rule(attributes: Attributes) -> RuleDump:
    return RuleDump(
        text(attributes.get(_RULE_CHAIN)),
        number(attributes.get(_RULE_HANDLE)),
        expressions(attributes.get(_RULE_EXPRESSIONS, b"")),
        comment(attributes.get(_RULE_USERDATA, b"")),
    )


def _element(attributes: Attributes) -> Element:
    key = parse(attributes.get(_ELEM_KEY, b"")).get(_VALUE, b"")
    end = parse(attributes[_ELEM_KEY_END]).get(_VALUE) if _ELEM_KEY_END in attributes else None
    more = [attributes[_ELEM_EXPRESSION]] if _ELEM_EXPRESSION in attributes else []
    more += [one for _kind, one in each(attributes.get(_ELEM_EXPRESSIONS, b""))]
    names = tuple(text(parse(one).get(_EXPRESSION_NAME)) for one in more)
    return Element(key, end, parse(attributes.get(_ELEM_DATA, b"")), number(attributes.get(_ELEM_FLAGS)), names)


_META_KEY = 2
_INDEXES = (4, 5)  # NFT_META_IIF, NFT_META_OIF


def _with_interfaces(table: TableDump, kernel: Kernel, netns: str | None) -> TableDump:
    """The same table with the names of the interfaces, if one of its rules compares indexes."""
    asked = any(
        expression.name == "meta" and number(expression.attributes.get(_META_KEY)) in _INDEXES
        for rule in table.rules
        for expression in rule.expressions
    )
    if not asked:
        return table
    with kernel.inside(netns):
        names = {name: index for index, name in socket.if_nameindex()}
    return TableDump(table.family, table.name, table.owned, table.chains, table.rules, table.sets, names)
