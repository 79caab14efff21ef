# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What happens to a packet on a hook, over everybody's tables (nft(8), "Overall evaluation of the ruleset").

An accept ends one base chain only, and so does the end of it; a drop is final. Where a condition can't be known, both ways
are followed: a chain is evaluated once, however many ways lead into it, and answers with all the ways out of it.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .model import Chain, Packet, Rule, Table
from .nft_bits import every

TRANSLATIONS = ("dnat", "redirect", "snat", "masquerade")
_SLOTS = {"prerouting": -100, "output": -100, "input": 100, "postrouting": 100}
"""Where on a hook address translation happens, whatever the priorities of nat chains are, which only order these among
themselves (NF_IP_PRI_NAT_DST and NF_IP_PRI_NAT_SRC, linux/netfilter_ipv4.h)."""
_CONNTRACK = -200
"""Before this priority connection tracking has not seen a packet that enters (NF_IP_PRI_CONNTRACK)."""
_DEEPEST = 128
"""More chains than this in one another are not followed; nftables allows 16 jumps (NFT_JUMP_STACK_SIZE)."""


@dataclass(frozen=True)
class Finding:
    """A rule, or the policy of a chain, that drops or translates the packet."""

    table: Table
    chain: Chain
    rule: Rule | None
    """None for the policy."""
    kind: str
    """policy, drop, reject or queue (a program decides); dnat, redirect, snat or masquerade."""
    certain: bool
    """Whether it happens to every such packet that was not dropped before; otherwise it may or may not."""

    def __str__(self) -> str:
        if self.rule is None:
            return f"the policy {self.chain.policy} of chain {self.chain.name} in table {self.table}"
        return f"the rule '{self.rule.text}' of chain {self.chain.name} in table {self.table}"


@dataclass(frozen=True)
class Fate:
    """What becomes of the packet on one hook."""

    drops: tuple[Finding, ...] = ()
    """Everything that drops it or may drop it, in the order in which the packet meets it."""
    translations: tuple[Finding, ...] = ()
    """The rules that translate it or may do so; the first that does ends the translation."""

    @property
    def passes(self) -> bool | None:
        """Whether it passes the hook: surely, surely not, or perhaps."""
        if any(found.certain for found in self.drops):
            return False
        return None if self.drops else True

    @property
    def dropped_by(self) -> Finding | None:
        """What surely drops it, if that is sure."""
        return next((found for found in self.drops if found.certain), None)


def walk(
    tables: t.Iterable[Table],
    hook: str,
    packet: Packet,
    *,
    bridged: bool = False,
    translated: Packet | None = None,
) -> Fate:
    """Follow the packet through all base chains of the hook that see packets of its kind, by priority.

    ``bridged`` asks the tables of family bridge instead of those of ip, ip6 and inet. ``translated`` is the packet as
    chains behind address translation see it; unless told, what a rule translates is unknown from there on.
    Chains of type nat see new connections only; chains before connection tracking see none.
    """
    drops: list[Finding] = []
    translations: list[Finding] = []
    nat_is_over = behind = False
    for table, chain in _base_chains(tables, hook, packet.family, bridged):
        if chain.type == "nat":
            if packet.state != "new" or nat_is_over:
                continue
        elif not behind and chain.priority > _SLOTS.get(hook, chain.priority):
            behind, packet = True, translated or _blurred(packet, translations)
        ways = _Walker(table, chain, _untracked(packet) if _is_early(hook, chain) else packet).base()
        if chain.type == "nat" and translations:  # an earlier chain may have done it, and then this one is not asked
            ways = _Ways(ways.ends | {"accept"}, tuple(replace(found, certain=False) for found in ways.findings))
        elif "translated" in ways.ends:
            nat_is_over = "accept" not in ways.ends
        translations += [found for found in ways.findings if found.kind in TRANSLATIONS]
        drops += [found for found in ways.findings if found.kind not in TRANSLATIONS]
        if not ways.ends - {"drop"}:
            break
    return Fate(tuple(drops), tuple(translations))


def _base_chains(tables: t.Iterable[Table], hook: str, family: int, bridged: bool) -> list[tuple[Table, Chain]]:
    """The base chains that see the packet, in order. The order of equal priorities is not defined."""
    families = {"bridge"} if bridged else {"inet", "ip" if family == 4 else "ip6"}
    if hook in ("ingress", "egress"):
        families.add("netdev")
    found = [
        (table, chain) for table in tables if table.family in families for chain in table.chains if chain.hook == hook
    ]
    return sorted(found, key=lambda pair: _order(hook, pair[1]))


def _is_early(hook: str, chain: Chain) -> bool:
    return hook in ("ingress", "prerouting", "output") and chain.type != "nat" and chain.priority < _CONNTRACK


def _untracked(packet: Packet) -> Packet:
    """The packet as long as nothing is known of its connection; rules read that as the state invalid."""
    return replace(packet, state="invalid", translated=frozenset())


def _order(hook: str, chain: Chain) -> tuple[int, int]:
    return (_SLOTS.get(hook, chain.priority), chain.priority) if chain.type == "nat" else (chain.priority, 0)


def _blurred(packet: Packet, translations: t.Sequence[Finding]) -> Packet:
    """The packet, less what translation may have changed."""
    kinds = {found.kind for found in translations}
    if kinds & {"dnat", "redirect"}:
        packet = replace(packet, destination=None, destination_port=None)
    if kinds & {"snat", "masquerade"}:
        packet = replace(packet, source=None, source_port=None)
    sure = {"dnat" if found.kind in ("dnat", "redirect") else "snat" for found in translations if found.certain}
    return replace(packet, translated=packet.translated | sure)


class _Ways(t.NamedTuple):
    """The ways out of a chain: ``ends`` of accept, drop, translated and fall (back to the caller), and what is on them."""

    ends: frozenset[str]
    findings: tuple[Finding, ...]


class _Walker:
    """Evaluates chains of one table for one packet, each of them once."""

    def __init__(self, table: Table, base: Chain, packet: Packet) -> None:
        self._table = table
        self._base = base
        self._packet = packet
        self._chains = {chain.name: chain for chain in table.chains}
        self._known: dict[str, _Ways | None] = {}

    def base(self) -> _Ways:
        """The ways out of the base chain, its policy included."""
        ways = self._ways(self._base)
        if "fall" not in ways.ends:
            return ways
        ends = ways.ends - {"fall"}
        if self._base.policy != "drop":
            return _Ways(ends | {"accept"}, ways.findings)
        policy = Finding(self._table, self._base, None, "policy", certain=not ends - {"drop"})
        return _Ways(ends | {"drop"}, (*ways.findings, policy))

    def _chain(self, name: str, depth: int) -> _Ways:
        """The ways out of a chain that is jumped to. One that is not there, or leads into itself, may do anything."""
        if name not in self._known:
            self._known[name] = None
            chain = self._chains.get(name)
            if chain is not None and depth < _DEEPEST:
                self._known[name] = self._ways(chain, depth)
        return self._known[name] or _Ways(frozenset({"fall", "accept"}), ())

    def _ways(self, chain: Chain, depth: int = 0) -> _Ways:
        ends: set[str] = set()
        findings: dict[tuple[int, str], Finding] = {}
        for rule in chain.rules:
            truth = every(condition.holds(self._packet) for condition in rule.conditions)
            if truth is False:
                continue
            sure = truth is True and not ends - {"drop"}
            ways = self._verdict(chain, rule, depth)
            for found in ways.findings:
                key = (id(found.rule), found.chain.name)
                certain = (sure and found.certain) or (key in findings and findings[key].certain)
                findings[key] = found if found.certain == certain else replace(found, certain=certain)
            ends |= ways.ends - {"next"}
            if truth is True and "next" not in ways.ends:
                return _Ways(frozenset(ends), tuple(findings.values()))
        return _Ways(frozenset(ends | {"fall"}), tuple(findings.values()))

    def _verdict(self, chain: Chain, rule: Rule, depth: int) -> _Ways:
        """What a rule that applies leads to; the end ``next`` is the next rule."""
        kind = rule.verdict.kind
        if kind in ("drop", "reject"):
            return _Ways(frozenset({"drop"}), (Finding(self._table, chain, rule, kind, certain=True),))
        if kind == "queue":
            return _Ways(frozenset({"drop", "accept"}), (Finding(self._table, chain, rule, kind, certain=False),))
        if kind in TRANSLATIONS:
            return _Ways(frozenset({"translated"}), (Finding(self._table, chain, rule, kind, certain=True),))
        if kind == "accept":
            return _Ways(frozenset({"accept"}), ())
        if kind == "return":
            return _Ways(frozenset({"fall"}), ())
        if kind in ("jump", "goto"):
            ways = self._chain(rule.verdict.chain, depth + 1)
            if kind == "jump" and "fall" in ways.ends:
                return _Ways(ways.ends - {"fall"} | {"next"}, ways.findings)
            return ways
        return _Ways(frozenset({"next"}), ())
