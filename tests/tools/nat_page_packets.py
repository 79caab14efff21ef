# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For docs/nat.md: the drawing of our chains, and the journeys of some packets through a table, worked out from its rules."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_text
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_changes import Content
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import (
    CHAINS,
    Address,
    Chain,
    DnatBy,
    Drop,
    Masquerade,
    Rule,
)
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_sets import Element, unpack, unpack_one

OUTSIDE, NEIGHBOUR = (ipaddress.ip_address(text) for text in ("198.51.100.7", "203.0.113.66"))
HOST, BRIDGE = (ipaddress.ip_address(text) for text in ("203.0.113.10", "192.168.15.5"))
RED, BLUE, LOCALHOST = (ipaddress.ip_address(text) for text in ("192.168.15.1", "192.168.15.2", "127.0.0.1"))
LAB = ipaddress.ip_network("192.168.15.0/24")
_OWN = {"eth0": HOST, "v-net-0": BRIDGE, "lo": LOCALHOST}
_NAMES = {RED: "red", BLUE: "blue", OUTSIDE: "the machine outside"}
_HOOKS = {"in": ("prerouting", "routing", "forward", "postrouting"), "own": ("output", "routing", "postrouting")}
_INNER, _APART = 42, "    "


# ---- the drawing


def drawing(content: Content) -> str:
    """All chains of ours where packets pass them, with the rules that the content has in them."""
    nowhere = {chain.hook for chain in CHAINS.values()} - {hook for hooks in _HOOKS.values() for hook in hooks}
    if nowhere:
        raise ValueError(f"the drawing has no place for chains at {nowhere}")
    left = ["a packet comes in", "|", "v"]
    for chain in _at("prerouting"):
        left += [*_box(chain, content), "|", "v"]
    left += ["routing: where does it go now?", "|", "v"]
    left += [
        *_framed("forward", ["no chain of ours", "other people's firewalls may drop it here"]),
        "|",
    ]
    right = ["a process of this machine sends a packet", "|", "v"]
    for chain in _at("output"):
        right += [*_box(chain, content), "|", "v"]
    right += ["routing again, where the address changed", "|"]
    right += ["|"] * (len(left) - len(right))
    lines = [_centred(one) + _APART + _centred(two) for one, two in itertools.zip_longest(left, right, fillvalue="|")]
    width = 2 * (_INNER + 4) + len(_APART)
    middle = ["+" + "-" * (_INNER + 3 + len(_APART)) + "+", "|", "v"]
    for chain in _at("postrouting"):
        middle += [*_box(chain, content), "|", "v"]
    lines += [line.center(width) for line in [*middle, "it leaves, to blue for example"]]
    return "\n".join(line.rstrip() for line in lines)


def _at(hook: str) -> list[Chain]:
    return sorted((chain for chain in CHAINS.values() if chain.hook == hook), key=lambda chain: chain.priority)


def _box(chain: Chain, content: Content) -> list[str]:
    return _framed(chain.name, [f"type {chain.type}, priority {_priority(chain)}", *_said(chain, content)])


def _priority(chain: Chain) -> str:
    """As nft shows it, and as a number."""
    (line,) = (
        line for line in nft_text.render(Content(chains={chain.name: chain})).splitlines() if " priority " in line
    )
    shown = line.split(" priority ")[1].split(";")[0]
    return shown if shown == str(chain.priority) else f"{shown} ({chain.priority})"


def _said(chain: Chain, content: Content) -> Iterator[str]:
    for comment, rules in itertools.groupby(content.rules.get(chain.name, ()), key=lambda rule: rule.comment):
        yield f"* {comment.removeprefix('patchbay').removeprefix(':').strip()}"
        yield from dict.fromkeys(words for words in map(_does, rules) if words)


def _does(rule: Rule) -> str:
    if isinstance(rule.verdict, Drop):
        return f"    drop {rule.destination or rule.source} unless by {rule.not_in_interface}"
    return f"    look into {_looks_into(rule)}" if _looks_into(rule) else ""


def _looks_into(rule: Rule) -> str:
    return rule.verdict.name if isinstance(rule.verdict, DnatBy) else rule.member.name if rule.member else ""


def _framed(title: str, lines: Sequence[str]) -> list[str]:
    too_long = [line for line in lines if len(line) > _INNER]
    if too_long:
        raise ValueError(f"the drawing is too narrow for {too_long}")
    edge = "+" + "-" * (_INNER + 2) + "+"
    return [f"+- {title} ".ljust(_INNER + 3, "-") + "+", *(f"| {line.ljust(_INNER)} |" for line in lines), edge]


def _centred(line: str) -> str:
    return line.center(_INNER + 4)


# ---- the journeys


@dataclass(frozen=True)
class Packet:
    """The first packet of a TCP connection over IPv4."""

    source: Address
    destination: Address
    port: int
    in_interface: str | None = None
    """None for one of the machine's own."""
    translated: bool = False

    @property
    def ends(self) -> tuple[str, str]:
        """Both ends as they are shown; the client's port is of no interest."""
        return str(self.source), f"{self.destination}:{self.port}"

    @property
    def out_interface(self) -> str:
        """Where the lab's routes send it."""
        return "v-net-0" if self.destination in LAB else "eth0"


JOURNEYS = {
    "A client outside connects to port 80 of the host": Packet(OUTSIDE, HOST, 80, "eth0"),
    "The host itself connects to port 80 at its own address": Packet(HOST, HOST, 80),
    "The host connects to port 80 of localhost": Packet(LOCALHOST, LOCALHOST, 80),
    "Red, blue's neighbour, connects to port 80 of the host": Packet(RED, HOST, 80, "v-net-0"),
    "Red connects to a server outside": Packet(RED, OUTSIDE, 443, "v-net-0"),
    "A neighbour of the host tries to reach the host's localhost": Packet(NEIGHBOUR, LOCALHOST, 80, "eth0"),
}


def journeys(content: Content) -> str:
    """What happens to each packet of JOURNEYS, station by station."""
    return "\n\n".join(f"{title}\n{_table(_journey(content, packet))}" for title, packet in JOURNEYS.items())


_Row = tuple[str, str, str, str]


def _table(rows: Sequence[_Row]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"  {line}".rstrip() for line in lines)


def _journey(content: Content, start: Packet) -> list[_Row]:
    way = "own" if start.in_interface is None else "in"
    rows: list[_Row] = [("station", "from", "to", "why"), ("start", *start.ends, "")]
    packet = start
    for hook in _HOOKS[way]:
        if hook == "routing":
            rows.append((hook, "", "", f"{packet.destination} is behind {packet.out_interface}"))
            continue
        if hook == "forward":
            rows.append((hook, "", "", "no chain of ours; somebody else's may drop it"))
            continue
        for chain in _at(hook):
            if chain.name not in content.chains:
                continue
            after, why = _through(content, chain, packet)
            if after is None:
                return [*rows, (chain.name, "", "", why)]
            rows.append((chain.name, *(after.ends if after.ends != packet.ends else ("", "")), why))
            packet = after
    return [*rows, ("arrival", *packet.ends, f"at {_NAMES[packet.destination]}"), *_answer(start, packet)]


def _answer(start: Packet, end: Packet) -> list[_Row]:
    there = ("answer", f"{end.destination}:{end.port}", str(end.source), "")
    back = (
        "client sees",
        f"{start.destination}:{start.port}",
        str(start.source),
        "conntrack undoes it; no rule is asked",
    )
    return [there, back]


def _through(content: Content, chain: Chain, packet: Packet) -> tuple[Packet | None, str]:
    """The packet behind the chain, None where it ends here, and why."""
    for rule in content.rules[chain.name]:
        if not _fits(content, rule, packet):
            continue
        if isinstance(rule.verdict, Drop):
            return None, f"dropped: {rule.comment.removeprefix('patchbay: ')}"
        if isinstance(rule.verdict, Masquerade):
            own = _OWN[packet.out_interface]
            why = f"in {rule.member.name}" if rule.member else rule.comment.removeprefix("patchbay ")
            return replace(packet, source=own), f"{why}; {own} is the address of {packet.out_interface}"
        found = _found(content, rule, packet)
        if found is not None:
            address, port = found
            return replace(packet, destination=address, port=port, translated=True), f"in {_looks_into(rule)}"
    return packet, "no rule fits"


def _fits(content: Content, rule: Rule, packet: Packet) -> bool:
    way_in = packet.in_interface or ""
    conditions = (
        rule.family in (None, 4),
        rule.protocol in (None, "tcp"),
        rule.in_interface in (None, way_in),
        rule.not_in_interface is None or rule.not_in_interface != way_in,
        rule.out_interface in (None, packet.out_interface),
        rule.source is None or packet.source in rule.source,
        rule.destination is None or packet.destination in rule.destination,
        not any(packet.destination in network for network in rule.not_destinations),
        not rule.local_destination or packet.destination in _OWN.values(),
        packet.translated or not rule.translated,
        rule.member is None or _element(content, rule.member.name, rule.member.key, packet) is not None,
    )
    return all(conditions)


def _found(content: Content, rule: Rule, packet: Packet) -> tuple[Address, int] | None:
    """What the map says for the packet."""
    assert isinstance(rule.verdict, DnatBy)
    element = _element(content, rule.verdict.name, rule.verdict.key, packet)
    if element is None:
        return None
    address, *port = unpack_one(content.sets[rule.verdict.name].data, element.data)
    return address, port[0] if port else packet.port


def _element(content: Content, name: str, key: tuple[str, ...], packet: Packet) -> Element | None:
    values = {"iifname": packet.in_interface, "saddr": packet.source, "daddr": packet.destination}
    for element in content.elements[name]:
        fields = dict(zip(key, unpack(content.sets[name].key, element.key, element.end), strict=True))
        ports = fields.pop("dport")
        if ports.low <= packet.port <= ports.high and all(
            values[field] == found if field == "iifname" else values[field] in found for field, found in fields.items()
        ):
            return element
    return None
