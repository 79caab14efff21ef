# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The firewalls of iptables-legacy: from the kernel's entries to tables, chains and rules."""

from __future__ import annotations

import bisect
import struct
import typing as t

from .._kernel import xtables
from .._kernel.kernel import Kernel
from .._kernel.xtables import Entry, RawTable
from . import xt_matches, xt_words
from .model import Chain, Condition, Rule, Table, Verdict
from .xt_predicates import Address, Interface, Never, Option, Protocol
from .xt_targets import xt_target_text

_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}  # enum nf_ip_hook_priorities
_NAT = {"prerouting": -100, "output": -100, "input": 100, "postrouting": 100}
_DROP = struct.pack("=i", -1)
_PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp"}
_PROTOCOLS.update({89: "ospf", 103: "pim", 112: "vrrp", 132: "sctp", 136: "udplite"})


def read(kernel: Kernel, netns: str | None) -> list[Table]:
    """The legacy tables of the namespace, IPv4 first; those that it does not have are not made by looking.

    Raises NoNamespace, and KernelError when they can't be read.
    """
    return [table(raw) for raw in xtables.tables(kernel, netns)]


def table(raw: RawTable) -> Table:
    """A table of the kernel as a person knows it."""
    chains = _Layout(raw).chains()
    return Table("legacy", "ip" if raw.family == 4 else "ip6", raw.name, tuple(chains))


class _Layout:
    """Finds the chains in the row of entries.

    A base chain ends with its policy. A chain of a user begins with an ERROR target that carries its name and ends
    with a RETURN that iptables adds; a jump leads to the first entry after the name.
    """

    def __init__(self, raw: RawTable) -> None:
        self.raw = raw
        self.names: dict[int, str] = {}
        headers = [entry for entry in raw.entries if entry.target.name == "ERROR"]
        for header in headers[:-1]:  # the last one ends the table
            self.names[header.end] = xt_words.text(header.target.data)
        self.stops = [header.offset for header in headers]
        self.offsets = [entry.offset for entry in raw.entries]

    def chains(self) -> list[Chain]:
        """The base chains in the order of the hooks, then the others."""
        return [self._base(hook) for hook in self.raw.hooks] + [self._user(start) for start in self.names]

    def _base(self, hook: str) -> Chain:
        raw, end = self.raw, self.raw.underflows[hook]
        name = hook.upper()
        policy = raw.entries[bisect.bisect_left(self.offsets, end)].target.data
        kind = "nat" if raw.name == "nat" else ("route" if (raw.name, hook) == ("mangle", "output") else "filter")
        priority = _NAT[hook] if raw.name == "nat" else _PRIORITIES.get(raw.name, 0)
        rules = self._rules(name, raw.hooks[hook], end)
        return Chain(name, rules, hook, kind, priority, "drop" if policy[:4] == _DROP else "accept")

    def _user(self, start: int) -> Chain:
        entries = self._between(start, self.stops[bisect.bisect_left(self.stops, start)])
        return Chain(self.names[start], self._rules(self.names[start], start, entries[-1].offset if entries else start))

    def _between(self, start: int, end: int) -> t.Sequence[Entry]:
        return self.raw.entries[bisect.bisect_left(self.offsets, start) : bisect.bisect_left(self.offsets, end)]

    def _rules(self, chain: str, start: int, end: int) -> tuple[Rule, ...]:
        return tuple(self._rule(chain, entry, place) for place, entry in enumerate(self._between(start, end), start=1))

    def _rule(self, chain: str, entry: Entry, place: int) -> Rule:
        family = self.raw.family
        options, goes = packet_options(entry.packet, family)
        conditions: list[Condition] = [option.condition() for option in options]
        words = [f"-A {chain}", *map(str, options)]
        comment = ""
        for match in entry.matches:
            conditions += xt_matches.xt_conditions(*match, family)
            words.append(xt_matches.xt_match_text(*match, family))
            comment = comment or xt_matches.xt_comment(match.name, match.data)
        verdict, target = self._verdict(chain, entry, goes)
        text = " ".join(word for word in (*words, target) if word)
        return Rule(tuple(conditions), verdict, text, comment, place)

    def _verdict(self, chain: str, entry: Entry, goes: bool) -> tuple[Verdict, str]:
        """What the target does, and its words; ``goes``: -g rather than -j."""
        target, family = entry.target, self.raw.family
        verdict = xt_matches.xt_verdict(*target, family)
        if target.name == "NETMAP" and chain in ("INPUT", "POSTROUTING"):
            verdict = Verdict("snat", detail=verdict.detail)
        if verdict.kind != "jump":
            return verdict, xt_target_text(*target, family)
        if int(verdict.detail) == entry.end:  # a rule without a target goes on with the next
            return Verdict("continue"), ""
        to = self.names.get(int(verdict.detail), f"@{verdict.detail}")
        return Verdict("goto" if goes else "jump", to), f"{'-g' if goes else '-j'} {to}"


# ---- what a rule asks of the packet itself

_NOT_IN, _NOT_OUT, _NOT_SOURCE, _NOT_DESTINATION, _NOT_FRAGMENT, _NOT_PROTOCOL = 1, 2, 8, 16, 32, 64  # IPT_INV_*
_FRAGMENT = 1  # IPT_F_FRAG
_GOTO = {4: 2, 6: 4}  # IPT_F_GOTO, IP6T_F_GOTO
_HEADER = {4: "=4s4s4s4s16s16s16s16sHBB", 6: "=16s16s16s16s16s16s16s16sHxBB"}


def packet_options(data: bytes, family: int) -> tuple[list[Option], bool]:
    """What struct ipt_ip or ip6t_ip6 asks (-s, -d, -i, -o, -p, -f), and whether the rule leads on by -g."""
    (source, destination, source_mask, destination_mask, into, out, into_mask, out_mask, protocol, flags, inverted) = (
        struct.unpack_from(_HEADER[family], data)
    )
    options = [
        *_address("-s", "source", source, source_mask, bool(inverted & _NOT_SOURCE)),
        *_address("-d", "destination", destination, destination_mask, bool(inverted & _NOT_DESTINATION)),
        *_interface("-i", "in_interface", into, into_mask, bool(inverted & _NOT_IN)),
        *_interface("-o", "out_interface", out, out_mask, bool(inverted & _NOT_OUT)),
    ]
    if protocol:
        name = _PROTOCOLS.get(protocol, str(protocol))
        options.append(Option("", f"-p {name}", Protocol(protocol), bool(inverted & _NOT_PROTOCOL)))
    if family == 4 and flags & _FRAGMENT:
        options.append(Option("", "-f", Never(), bool(inverted & _NOT_FRAGMENT)))
    return options, bool(flags & _GOTO[family])


def _address(option: str, of: str, value: bytes, mask: bytes, inverted: bool) -> t.Iterator[Option]:
    if any(mask) or inverted:
        family = 4 if len(value) == 4 else 6
        address, under = xt_words.ip(value, family), xt_words.ip(mask, family)
        words = xt_words.network(address, under, whole=f"/{address.max_prefixlen}")
        yield Option("", f"{option} {words}", Address(of, family, int(address), int(under)), inverted)


def _interface(option: str, of: str, name: bytes, mask: bytes, inverted: bool) -> t.Iterator[Option]:
    pattern = xt_words.interface(name, mask)
    if pattern or inverted:
        yield Option("", f"{option} {pattern or '+'}", Interface(of, pattern or "+"), inverted)
