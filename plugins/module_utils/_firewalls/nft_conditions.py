# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""From the expressions of an nftables rule to its conditions and its verdict.

The reader follows the registers as the kernel does. What it can't read becomes a condition that nobody can know;
it raises nothing, whatever the bytes are.
"""

from __future__ import annotations

import struct
import typing as t
from dataclasses import dataclass, field

from .._kernel.rulesets import Attributes, Expression, RuleDump, SetDump, expressions, number, parse, text
from . import nft_shown as shown
from .model import Condition, Rule, Unknown, Verdict
from .nft_bits import EQ
from .nft_derived import Joined, Masked, Part, Swapped
from .nft_fields import AddressType, Blank, Constant, Field, Interface, Meta, Payload
from .nft_maps import Entry, entries, lookup_members
from .nft_statements import CONTINUE, STATEMENTS, UNSURE, verdict_of
from .nft_tests import Between, Compare
from .nft_tracking import Ct, Tracked
from .nft_words import map_text, rule_text, verdict_text, where_to
from .nft_xt import conditions as xt_conditions
from .nft_xt import verdict as xt_verdict

_META_IIF, _META_OIF, _META_IIFNAME, _META_OIFNAME, _META_BRI_IIFNAME, _META_BRI_OIFNAME = 4, 5, 6, 7, 17, 18
_META = {1: "protocol", 15: "nfproto", 16: "l4proto", 19: "pkttype"}
_META_BLANK = {
    0: "length", 2: "priority", 3: "mark", 8: "iiftype", 9: "oiftype", 10: "skuid", 11: "skgid", 13: "rtclassid", 20: "cpu",
    21: "iifgroup", 22: "oifgroup", 23: "cgroup", 24: "random", 25: "ipsec", 26: "iifkind", 27: "oifkind", 30: "time",
    31: "day", 32: "hour", 33: "sdif", 34: "sdifname",
}  # fmt: skip
_CT = {
    0: ("state", 4), 1: ("direction", 1), 2: ("status", 4), 7: ("l3proto", 1), 10: ("protocol", 1), 11: ("proto-src", 2),
    12: ("proto-dst", 2), 19: ("ip src", 4), 20: ("ip dst", 4), 21: ("ip6 src", 16), 22: ("ip6 dst", 16),
}  # fmt: skip
_CT_STATE, _CT_SRC, _CT_DST = 0, 8, 9
_CT_BLANK = {
    3: "mark", 4: "secmark", 5: "expiration", 6: "helper", 13: "label", 14: "packets", 15: "bytes", 16: "avgpkt",
    17: "zone", 18: "event", 23: "id",
}  # fmt: skip
_FIB_ADDRTYPE = 3
_FIB_RESULT = {1: "oif", 2: "oifname", 3: "type"}
_FIB_FLAGS = {1: "saddr", 2: "daddr", 4: "mark", 8: "iif", 16: "oif"}
_BITWISE_BOOL = 0
_LOOKUP_INVERTED = 1
_WORDS = 16  # the registers are sixteen words of four bytes
_TYPED = {"ip": 4, "ip6": 6}


@dataclass
class Context:
    """What a rule is read against: its table's family and sets, and the indexes of interfaces."""

    family: str
    sets: t.Mapping[str, SetDump] = field(default_factory=dict)
    interfaces: t.Mapping[str, int] = field(default_factory=dict)


def decode(dump: RuleDump, context: Context) -> list[Rule]:
    """The rule, or for a verdict map one rule for each of its elements. Raises nothing."""
    reader = _Reader(context)
    try:
        reader.run(dump.expressions)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error):  # bytes that make no sense
        reader.stop(Unknown("a rule that can't be read"))
    comment = dump.comment or reader.comment
    words = rule_text(reader.said, "" if reader.spoken or reader.verdict == CONTINUE else verdict_text(reader.verdict))
    if reader.entries is None:
        return [Rule(tuple(reader.conditions), reader.verdict, words, comment, dump.handle)]
    shared = tuple(reader.conditions)
    return [Rule((*shared, *entry.conditions), entry.verdict, words, comment, dump.handle) for entry in reader.entries]


class _Reader:
    """Runs through the expressions once."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.conditions: list[Condition] = []
        self.said: list[t.Any] = []
        """Conditions and texts of statements, in order."""
        self.verdict = CONTINUE
        self.entries: list[Entry] | None = None
        self.comment = ""
        self.spoken = False
        """Whether what was said includes the verdict."""
        self._registers: dict[int, Field] = {}

    def run(self, steps: t.Iterable[Expression]) -> None:
        for step in steps:
            if step.name in STATEMENTS:
                self._say(STATEMENTS[step.name](step.attributes, self._value))
            elif step.name in UNSURE:
                self._require(Unknown(UNSURE[step.name](step.attributes)))
            else:
                getattr(self, f"_read_{step.name}", self._read_stranger)(step.attributes, step.name)
            if self.entries is not None or self.verdict.kind != "continue":
                return

    def stop(self, condition: Condition) -> None:
        """What was read so far is not to be relied on."""
        self.entries = None
        self._require(condition)

    def _require(self, condition: Condition) -> None:
        self.conditions.append(condition)
        self.said.append(condition)

    def _say(self, words: str) -> None:
        if words:
            self.said.append(words)

    # ---- registers

    def _store(self, register: bytes | None, value: Field) -> None:
        word = _word(number(register))
        for index in range(word, min(_WORDS, word + (value.size + 3) // 4)):
            self._registers.pop(index, None)
        self._registers[word] = value

    def _load(self, register: bytes | None, size: int | None = None) -> Field:
        """What is in the registers from this one on, cut or put together to the size."""
        word = _word(number(register))
        found = [self._registers.get(word) or Blank("an unknown register", size or 4)]
        if size is None:
            return found[0]
        if found[0].size > size:
            return found[0] if isinstance(found[0], Blank) else Part(found[0], size)
        total = (found[0].size + 3) & ~3
        while total < size:
            following = self._registers.get(word + total // 4) or Blank("an unknown register", 4)
            found.append(following)
            total += (following.size + 3) & ~3
        return found[0] if len(found) == 1 else Joined(tuple(found))

    def _value(self, register: bytes | None, *, address: bool = False) -> str:
        """What a register holds, in words; '' without a register."""
        if register is None:
            return ""
        value = self._load(register)
        if isinstance(value, Constant) and address:
            return shown.address(value.data)
        return str(value)

    # ---- loads

    def _read_meta(self, attributes: Attributes, _name: str) -> None:
        key = number(attributes.get(2))
        if 3 in attributes:  # a register to take from: it sets
            return self._say(f"meta {_META_BLANK.get(key, _META.get(key, key))} set {self._value(attributes[3])}")
        return self._store(attributes.get(1), self._meta(key))

    def _meta(self, key: int) -> Field:
        inside, outside = (
            ("in_port", "out_port") if self.context.family == "bridge" else ("in_interface", "out_interface")
        )
        indexes = tuple(self.context.interfaces.items())
        fields: dict[int, Field] = {
            _META_IIFNAME: Interface(inside, "iifname"),
            _META_OIFNAME: Interface(outside, "oifname"),
            _META_IIF: Interface(inside, "iif", indexes),
            _META_OIF: Interface(outside, "oif", indexes),
            _META_BRI_IIFNAME: Interface("in_interface", "meta ibrname"),
            _META_BRI_OIFNAME: Interface("out_interface", "meta obrname"),
        }
        if key in fields:
            return fields[key]
        return Meta(_META[key]) if key in _META else Blank(f"meta {_META_BLANK.get(key, key)}")

    def _read_payload(self, attributes: Attributes, _name: str) -> None:
        base, offset, size = (number(attributes.get(kind)) for kind in (2, 3, 4))
        loaded = Payload(base, offset, size)
        if 5 in attributes:
            return self._say(f"{loaded} set {self._value(attributes[5])}")
        return self._store(attributes.get(1), loaded if 0 < size <= 4 * _WORDS else Blank(str(loaded)))

    def _read_ct(self, attributes: Attributes, _name: str) -> None:
        key = number(attributes.get(2))
        if 4 in attributes:
            return self._say(f"ct {_CT_BLANK.get(key, key)} set {self._value(attributes[4])}")
        if key != _CT_STATE:
            self.conditions.append(Tracked())  # without a connection the kernel gives up on the rule
        direction = number(attributes[3]) if 3 in attributes else None
        version = _TYPED.get(self.context.family)
        if key in (_CT_SRC, _CT_DST) and version:  # as long as the addresses of the table's family
            end = "src" if key == _CT_SRC else "dst"
            return self._store(attributes.get(1), Ct(end, 4 if version == 4 else 16, direction))
        if key in _CT:
            return self._store(attributes.get(1), Ct(*_CT[key], direction))
        return self._store(attributes.get(1), Blank(f"ct {_CT_BLANK.get(key, key)}"))

    def _read_fib(self, attributes: Attributes, _name: str) -> None:
        result, flags = number(attributes.get(2)), number(attributes.get(3))
        asked = " . ".join(name for bit, name in _FIB_FLAGS.items() if flags & bit)
        name = f"fib {asked} {_FIB_RESULT.get(result, result)}"
        if result == _FIB_ADDRTYPE:
            side = "source" if flags & 1 else "destination"
            return self._store(attributes.get(1), AddressType(side, name, restricted=bool(flags & 24)))
        return self._store(attributes.get(1), Blank(name))

    def _read_immediate(self, attributes: Attributes, _name: str) -> None:
        data = attributes.get(2, b"")
        if number(attributes.get(1)) == 0:
            self.verdict = verdict_of(data)
            if self.verdict.kind == "unknown":
                self.verdict = CONTINUE
                self._require(Unknown("a verdict that there are no words for"))
        else:
            self._store(attributes.get(1), Constant(parse(data).get(1, b"")))

    # ---- changes

    def _read_bitwise(self, attributes: Attributes, _name: str) -> None:
        size = number(attributes.get(3))
        value = self._load(attributes.get(1), size)
        mask, flipped = (parse(attributes.get(kind, b"")).get(1, b"") for kind in (4, 5))
        if number(attributes.get(6)) != _BITWISE_BOOL or not size or not size == len(mask) == len(flipped):
            value = Blank(str(value), size or 4)
        elif not isinstance(value, Blank):
            value = Masked(value, mask, flipped)
        self._store(attributes.get(2), value)

    def _read_byteorder(self, attributes: Attributes, _name: str) -> None:
        size, step = number(attributes.get(4)), number(attributes.get(5))
        value = self._load(attributes.get(1), size)
        if step not in (2, 4, 8) or size % step or value.size != size:
            value = Blank(str(value), size or 4)
        elif not isinstance(value, Blank):
            value = Swapped(value, step)
        self._store(attributes.get(2), value)

    # ---- tests

    def _read_cmp(self, attributes: Attributes, _name: str) -> None:
        data = parse(attributes.get(3, b"")).get(1, b"")
        found = Compare(self._load(attributes.get(1), len(data) or None), number(attributes.get(2)), data)
        last = self.conditions[-1] if self.conditions else None
        if isinstance(last, Compare) and last.begins_range_of(found):  # nft(8) writes a range as two comparisons
            self.conditions.pop()
            self.said.pop()
            self._require(Between(last.field, last.data, data))
        else:
            self._require(found)

    def _read_range(self, attributes: Attributes, _name: str) -> None:
        low, high = (parse(attributes.get(kind, b"")).get(1, b"") for kind in (3, 4))
        value = self._load(attributes.get(1), len(low) or None)
        self._require(Between(value, low, high, inverted=number(attributes.get(2)) != EQ))

    def _read_lookup(self, attributes: Attributes, _name: str) -> None:
        name = text(attributes.get(1))
        found = self.context.sets.get(name)
        value = self._load(attributes.get(2), found.key_length if found else None)
        if 3 not in attributes:
            inverted = bool(number(attributes.get(5)) & _LOOKUP_INVERTED)
            return self._require(lookup_members(value, name, found, inverted=inverted))
        if number(attributes[3]) == 0:
            self.entries, self.spoken = entries(value, name, found), True
            return self.said.append(f"{value} vmap {map_text(value, name, self.entries)}")
        self._require(lookup_members(value, name, found, inverted=False))
        return self._store(attributes[3], Blank(f"{value} map"))

    # ---- statements

    def _read_match(self, attributes: Attributes, _name: str) -> None:
        found, comment, words = xt_conditions(attributes, self.context.family)
        self.comment = self.comment or comment
        self.conditions += found
        self._say(words)

    def _read_target(self, attributes: Attributes, _name: str) -> None:
        self.verdict, words = xt_verdict(attributes, self.context.family)
        self.spoken = True
        self._say(words)

    def _read_nat(self, attributes: Attributes, _name: str) -> None:
        kind = "dnat" if number(attributes.get(1)) == 1 else "snat"
        address, last = (self._value(attributes.get(kind), address=True) for kind in (3, 4))
        port = self._value(attributes.get(5))
        whole = address if last in ("", address) else f"{address}-{last}"
        self.verdict = Verdict(kind, detail=where_to(whole, port))

    def _read_masq(self, attributes: Attributes, _name: str) -> None:
        self.verdict = Verdict("masquerade", detail=where_to("", self._value(attributes.get(2))))

    def _read_redir(self, attributes: Attributes, _name: str) -> None:
        self.verdict = Verdict("redirect", detail=where_to("", self._value(attributes.get(1))))

    def _read_reject(self, attributes: Attributes, _name: str) -> None:
        self.verdict = Verdict("reject", detail="with tcp reset" if number(attributes.get(1)) == 1 else "")

    def _read_queue(self, attributes: Attributes, _name: str) -> None:
        self.verdict = Verdict("queue", detail=str(number(attributes.get(1))))

    def _read_fwd(self, _attributes: Attributes, _name: str) -> None:
        self.verdict = Verdict(
            "queue", detail="fwd"
        )  # it leaves by another device: whether it arrives, nobody can tell

    def _read_dynset(self, attributes: Attributes, _name: str) -> None:
        words = f"{('add', 'update', 'delete')[min(number(attributes.get(3)), 2)]} @{text(attributes.get(1))}"
        inner = [one.name for one in expressions(attributes.get(10, b""))] or ["?"] * (7 in attributes)
        if any(name != "counter" for name in inner):  # a limit for each element
            self._require(Unknown(words))
        else:
            self._say(words)

    def _read_objref(self, attributes: Attributes, _name: str) -> None:
        kinds = {
            1: "counter",
            2: "quota",
            3: "ct helper",
            4: "limit",
            5: "ct count",
            7: "ct timeout",
            9: "ct expectation",
        }
        kind = kinds.get(number(attributes.get(1)), "object")
        words = f"{kind} name {text(attributes.get(2))}"
        if kind in ("quota", "limit", "ct count") or 5 in attributes or 4 in attributes:
            self._require(Unknown(words))
        else:
            self._say(words)

    def _read_exthdr(self, attributes: Attributes, _name: str) -> None:
        if 7 in attributes:
            return self._say("tcp option set")
        return self._store(attributes.get(1), Blank("an option of the header"))

    def _read_stranger(self, attributes: Attributes, name: str) -> None:
        """It may load any register, and end the rule."""
        loads = {"rt": "rt", "socket": "socket", "osf": "osf", "numgen": "numgen", "hash": "hash", "xfrm": "ipsec"}
        if name in loads:
            return self._store(attributes.get(_LOADS_TO.get(name, 1)), Blank(loads[name]))
        self._registers.clear()
        return self._require(Unknown(name or "an expression without a name"))


_LOADS_TO = {"rt": 1, "socket": 2, "osf": 1, "numgen": 1, "hash": 2, "xfrm": 1}
"""Which attribute is the register that an expression loads."""


def _word(register: int) -> int:
    """NFT_REG_1 to 4 and NFT_REG32_00 to 15 name the same sixteen words."""
    if 1 <= register <= 4:
        return (register - 1) * 4
    if 8 <= register <= 23:
        return register - 8
    raise ValueError(register)
