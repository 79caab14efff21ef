# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fills the marked blocks of docs/nat.md with what the code makes today: ``make docs`` writes them, a test compares.

A block stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Everything else on the page is written by hand.
"""

from __future__ import annotations

import difflib
import functools
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.patchbay.netns.plugins.module_utils._door import COMMON_OPTIONS
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_text
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_changes import Content
from ansible_collections.patchbay.netns.plugins.module_utils._objects import flows
from ansible_collections.patchbay.netns.plugins.module_utils._objects.forward import Forward
from ansible_collections.patchbay.netns.plugins.module_utils._objects.masquerade import Masquerade
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat import Nat, NatTable, Part, PutNat
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Sysctl
from ansible_collections.patchbay.netns.plugins.module_utils._objects.way import Way
from ansible_collections.patchbay.netns.plugins.modules import dnat_forward, nat_masquerade
from ansible_collections.patchbay.netns.tests.tools import golden_options, nat_page_firewalls, nat_page_packets

PAGE = Path(__file__).parents[2] / "docs" / "nat.md"
_BLOCK = re.compile(r"(?P<start><!-- generated: (?P<name>.+?) -->\n)(?P<text>.*?)(?P<end><!-- end -->)", re.DOTALL)
_SETTINGS = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.v-net-0.route_localnet")
_LAB = {"192.168.15.2": "192.168.15.0/24", "192.168.15.1": "192.168.15.0/24", "fd00:15::2": "fd00:15::/64"}

Params = dict[str, Any]
SPECS: dict[str, dict[str, Any]] = {
    "dnat_forward": {**dnat_forward.OPTIONS, **COMMON_OPTIONS},
    "nat_masquerade": {**nat_masquerade.OPTIONS, **COMMON_OPTIONS},
}
BOTH = tuple(option for option in SPECS["dnat_forward"] if option in SPECS["nat_masquerade"])
"""The options that both modules have; they mean the same and are explained once."""
FORWARD: Params = {"protocol": "tcp", "port": "80", "to_address": ["192.168.15.2"]}
MASQUERADE: Params = {"source": "192.168.15.0/24"}

EXAMPLES: dict[str, dict[str, Params]] = {
    "dnat_forward": {
        "protocol": {"protocol": "udp"},
        "port": {"port": "8000-8010"},
        "address": {"address": ["203.0.113.10"]},
        "in_interface": {"in_interface": "eth0"},
        "to_address": {"to_address": ["192.168.15.2", "fd00:15::2"]},
        "to_port": {"to_port": "8080"},
        "sources": {"sources": ["198.51.100.0/24"]},
        "local": {"local": False},
        "hairpin": {"hairpin": False},
        "loopback": {"loopback": True},
    },
    "nat_masquerade": {
        "source": {"source": "192.168.16.0/24"},
        "out_interface": {"out_interface": "eth0"},
        "exclude": {"exclude": ["192.168.15.0/24", "10.0.0.0/8"]},
        "random": {"random": True},
        "to_ports": {"to_ports": "1024-65535"},
    },
    "both": {
        "established": {"established": "reset"},
        "foreign_firewall": {"foreign_firewall": "allow"},
        "forwarding": {"forwarding": False},
        "netns": {"netns": "router"},
        "state": {"state": "absent"},
        "force": {"force": True},
    },
}
"""What the effect of each option is shown with, beside what is given anyway."""


# ---- what a wish makes


def _forward(**params: Any) -> Forward:
    return Forward.from_params({**FORWARD, **params})


def _masquerade(**params: Any) -> Masquerade:
    return Masquerade.from_params({**MASQUERADE, **params})


def _planned(*parts: Part, now: Content | None = None) -> tuple[Content | None, list[str]]:
    """The table to be, on a machine with the lab's networks and all settings off, and the other commands."""
    wish = Nat(parts)
    netns = wish.netns
    ways = (
        Way(netns, ipaddress.ip_address(address), "v-net-0", ipaddress.ip_network(network))
        for address, network in _LAB.items()
    )
    table = [NatTable(netns, now)] if now else []
    steps = wish.plan(State([*ways, *table, *(Sysctl(netns, name, "0") for name in _SETTINGS)]))
    content, commands = now, []
    for step in steps:
        if isinstance(step, PutNat):
            content = step.after[0].content if step.after else None
        elif not isinstance(step, flows.ForgetFlows):
            commands += step.commands()
    return content, commands


def _content(*parts: Part) -> Content:
    content, _commands = _planned(*parts)
    assert content is not None
    return content


# ---- the blocks


def _text(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def _lab(**params: Any) -> Content:
    """The lab of red and blue, as the page has it."""
    return _content(_forward(**params), _masquerade())


def _option(module: str, option: str) -> str:
    """What the option is set to, and what that changes."""
    example = EXAMPLES[module][option]
    maker = _masquerade if module == "nat_masquerade" else _forward
    before, after = maker(), maker(**example)
    if option == "state":
        now, _commands = _planned(before)
        change = _difference((now, []), (_planned(after, now=now)[0], []))
    else:
        change = _difference(_planned(before), _planned(after))
    said = ", ".join(f"`{name}: {_yaml(value)}`" for name, value in example.items())
    return f"{said}\n\n{_text(change, 'diff')}" if change else f"{said}: the table stays the same."


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, bool):
        return json.dumps(value)
    return f'"{value}"' if re.fullmatch(r"[0-9]+|.*::.*", value) else value


_Planned = tuple[Content | None, list[str]]


def _difference(before: _Planned, after: _Planned) -> str:
    """The pieces of the table that differ, then the other commands that do."""
    old, new = (nft_text.pieces(content) if content else {} for content, _commands in (before, after))
    names = sorted({*old, *new}, key=golden_options.place)
    parts = [_piece(old.get(name, ""), new.get(name, "")) for name in names if old.get(name) != new.get(name)]
    commands = _lines(before[1], after[1])
    return "\n".join([*parts, *commands])


def _piece(old: str, new: str) -> str:
    """One map, set or chain: whole where it comes or goes, else its heading and the lines that change."""
    one, two = (text.replace("\t", "    ").splitlines() for text in (old, new))
    if one and two:
        return "\n".join([f" {two[0]}", *_lines(one[1:-1], two[1:-1]), f" {two[-1]}"])
    return "\n".join(_lines(one, two))


def _lines(old: Sequence[str], new: Sequence[str]) -> list[str]:
    compared = difflib.unified_diff(old, new, n=0, lineterm="")
    return [line for line in compared if not line.startswith(("---", "+++", "@@"))]


def _forgotten(protocol: str, established: str) -> str:
    """conntrack's part in leading a port from red to blue."""
    old, new = (_forward(protocol=protocol, to_address=[address]).bare for address in ("192.168.15.1", "192.168.15.2"))
    return "\n".join(
        command for step in flows.forget(None, old, new, established == "reset") for command in step.commands()
    )


def _followers() -> str:
    lines = []
    for protocol in ("udp", "tcp"):
        for established in ("keep", "reset"):
            command = _forgotten(protocol, established).removesuffix(" || true")
            lines.append(f"| {protocol} | `established: {established}` | {f'`{command}`' if command else 'nothing'} |")
    return "\n".join(["| protocol | option | as a command |", "|---|---|---|", *lines])


BLOCKS: dict[str, Callable[[], str]] = {
    "drawing": lambda: _text(nat_page_packets.drawing(_lab(loopback=True))),
    "journeys": lambda: _text(nat_page_packets.journeys(_lab(loopback=True))),
    "lab": lambda: _text(nft_text.render(_lab()).replace("\t", "    ")),
    "forgotten": _followers,
    **nat_page_firewalls.BLOCKS,
    **{
        f"{module} {option}": functools.partial(_option, module, option)
        for module, examples in EXAMPLES.items()
        for option in examples
    },
}


# ---- the page


def filled(page: str, blocks: Mapping[str, Callable[[], str]] = BLOCKS) -> str:
    """The page with all its blocks written anew. Raises ValueError for a block that has a name of its own invention."""

    def write(match: re.Match[str]) -> str:
        if match["name"] not in blocks:
            raise ValueError(f"nothing is generated under the name '{match['name']}'; there are: {', '.join(blocks)}")
        return f"{match['start']}{blocks[match['name']]()}\n{match['end']}"

    return _BLOCK.sub(write, page)


def marked(page: str) -> list[str]:
    """The names of the blocks of a page, in its order."""
    return [match["name"] for match in _BLOCK.finditer(page)]


def by_hand(page: str) -> str:
    """The page less what is generated."""
    return _BLOCK.sub("", page)


def difference(page: str) -> str:
    """What would change on the page, as a unified diff with the way out; empty when nothing would."""
    wanted = filled(page)
    if wanted == page:
        return ""
    lines = difflib.unified_diff(page.splitlines(), wanted.splitlines(), "docs/nat.md", "made now", n=1, lineterm="")
    return "\n".join([*lines, "If that is what was meant: `make docs`, and read the words around it again."])


def missing(page: str) -> Iterator[str]:
    """The options that the page has no part for: a heading, some words, and a block."""
    for module, options in SPECS.items():
        for option in options:
            name = f"{'both' if option in BOTH else module} {option}"
            part = re.search(rf"\n#### `{option}`\n\n(?P<words>.+?)<!-- generated: {name} -->", page, re.DOTALL)
            if part is None or "####" in part["words"] or not re.search(r"\w{3,}.*\.", part["words"]):
                yield name


def main() -> None:
    """Write the page's blocks anew."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
