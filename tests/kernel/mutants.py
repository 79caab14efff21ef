# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mutants of our table: each thing that nft(8) lists in it, altered in each way that could matter, one at a time.

They are made from the listing, and what is in a rule is taken apart completely: a new kind of condition can't be left
out, for nobody would know how to alter it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from box import Box

TABLE = "inet patchbay"
_OTHER = {4: "10.99.0.0/24", 6: "fd99:99::/64"}


@dataclass(frozen=True)
class Mutant:
    """One alteration: where, what it does, and the script that tells nft(8)."""

    part: str
    """The chain, map or set."""
    words: str
    script: str

    def __str__(self) -> str:
        return f"{self.part}: {self.words}"


def listing(box: Box) -> str:
    """Our table without what its counters counted, the elements of each set in order."""
    return re.sub(
        r"elements = \{ (.*?) \}\n",
        lambda match: "elements = {" + "\n".join(sorted(re.split(r",\s+", match[1]))) + "}\n",
        box.tool("nft", "-s", "list", "table", *TABLE.split()),
        flags=re.DOTALL,
    )


def parts(box: Box) -> dict[str, str]:
    """The chains, maps and sets by their names, with what nft lists in them."""
    text = box.tool("nft", "-a", "-s", "list", "table", *TABLE.split())
    return {
        f"{kind} {name}": body
        for kind, name, body in re.findall(r"\n\t(\w+) (\S+) \{.*?\n(.*?)\n\t\}", text, re.DOTALL)
    }


def mutants(box: Box, part: str) -> Iterator[Mutant]:
    """All alterations of one part."""
    kind, name = part.split()
    body = parts(box)[part]
    if kind == "chain":
        yield Mutant(part, "policy drop", f"add chain {TABLE} {name} {{ policy drop; }}")
        for line in body.splitlines()[1:]:
            rule, handle = re.fullmatch(r"\s*(.*) # handle (\d+)", line).groups()  # type: ignore[union-attr]
            yield from _of_rule(part, name, rule, handle)
    else:
        for element in _elements(body):
            yield from _of_element(part, name, element)


# ---- rules

_TOKEN = re.compile(
    r"(?P<member>(ip6?) saddr \. \2 daddr \. tcp dport @\S+)"
    r"|(?P<version>meta nfproto ipv[46])"
    r'|(?P<device>[io]ifname (?:!= )?"[^"]+")'
    r"|(?P<network>ip6? [sd]addr (?:!= )?[0-9a-f:./]+)(?= )"
    r"|(?P<local>fib daddr type local)"
    r"|(?P<status>ct status dnat)"
    r"|(?P<counter>counter)"
    r"|(?P<drop>drop)"
    r"|(?P<masquerade>masquerade)"
    r"|(?P<dnat>dnat ip6? to tcp dport map @\S+)"
    r'|(?P<comment>comment ".*")'
)
_VERDICTS = ("drop", "masquerade", "dnat")


def _of_rule(part: str, chain: str, rule: str, handle: str) -> Iterator[Mutant]:
    tokens = _taken_apart(rule)
    yield Mutant(part, f"without '{rule}'", f"delete rule {TABLE} {chain} handle {handle}")
    for number, (kind, token) in enumerate(tokens):
        if kind in ("counter", "comment"):
            continue  # changes nothing for a packet; the comment has a test of its own
        removed = [] if kind in _VERDICTS else [""]
        for other in [*removed, *_others(kind, token)]:
            texts = [*(text for _kind, text in tokens[:number]), other, *(text for _kind, text in tokens[number + 1 :])]
            words = f"'{other}' for '{token}' in '{rule}'"
            yield Mutant(part, words, f"replace rule {TABLE} {chain} handle {handle} {' '.join(texts)}")


def _taken_apart(rule: str) -> list[tuple[str, str]]:
    found, rest = [], rule
    while rest:
        match = _TOKEN.match(rest)
        assert match, f"'{rest}' in '{rule}' is something new: say here how it can be altered"
        found.append((str(match.lastgroup), match[0]))
        rest = rest[match.end() :].lstrip()
    return found


def _others(kind: str, token: str) -> list[str]:
    """What could stand in its place."""
    if kind == "version":
        return [token[:-1] + ("6" if token.endswith("4") else "4")]
    if kind == "device":
        return [_inverted(token), re.sub('".*"', '"elsewhere"', token)]
    if kind == "network":
        front, text = token.rsplit(" ", 1)
        return [_inverted(token), *(f"{front} {network}" for network in _other_networks(text))]
    if kind in ("member", "dnat"):
        others = {
            "@forwards-tcp-ip": "@loopback-tcp-ip",
            "@loopback-tcp-ip": "@forwards-tcp-ip",
        }
        front, name = token.rsplit(" ", 1)
        verdicts = ["accept", "drop"] if kind == "dnat" else [f"{front} != {name}"]
        renamed = [f"{front} {others[name]}"] if name in others else []
        return [token.replace("tcp dport", "udp dport"), *verdicts, *renamed]
    return {
        "local": ["fib daddr type != local", "fib daddr type multicast"],
        "status": ["ct status snat", "ct status != dnat"],
        "drop": ["accept"],
        "masquerade": ["accept", "drop"],
    }[kind]


def _inverted(condition: str) -> str:
    if "!= " in condition:
        return condition.replace("!= ", "")
    front, value = condition.rsplit(" ", 1)
    return f"{front} != {value}"


def _other_networks(text: str) -> list[str]:
    """Half of it, far more than it, and another one."""
    network = ipaddress.ip_network(text)
    half = next(network.subnets()) if network.prefixlen < network.max_prefixlen else network.network_address + 1
    return [str(half), str(network.supernet(new_prefix=1)), _OTHER[network.version]]


# ---- elements


def _elements(body: str) -> list[str]:
    match = re.search(r"elements = \{ (.*?) \}", body, re.DOTALL)
    return re.split(r",\s+", match[1]) if match else []


def _of_element(part: str, name: str, element: str) -> Iterator[Mutant]:
    key, middle, data = re.fullmatch(  # type: ignore[union-attr]
        r'(.*?)((?: counter)?(?: comment ".*")?)(?: : (.*))?', element
    ).groups()
    gone = f"delete element {TABLE} {name} {{ {key} }}"
    yield Mutant(part, f"without '{element}'", gone)
    fields = key.split(" . ")
    results = data.split(" . ") if data else []
    for number, field in enumerate([*fields, *results]):
        for other in _other_values(field):
            values = [*fields, *results]
            values[number] = other
            new = " . ".join(values[: len(fields)]) + middle
            new += f" : {' . '.join(values[len(fields) :])}" if results else ""
            words = f"'{other}' for '{field}' in '{element}'"
            yield Mutant(part, words, f"{gone}\nadd element {TABLE} {name} {{ {new} }}")


def _other_values(field: str) -> list[str]:
    if field.isdigit():
        return [str(int(field) + 1)]
    if "/" in field:
        return _other_networks(field)
    return [str(ipaddress.ip_address(field) + 1), str(ipaddress.ip_address(field) - 1)]
