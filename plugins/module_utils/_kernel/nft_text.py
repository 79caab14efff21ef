# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Our table as ``nft -s list table inet patchbay`` prints it, from its content alone: nothing here talks to the kernel."""

from __future__ import annotations

import typing as t

from .nft_changes import FAMILY, TABLE, Content
from .nft_rules import Chain, Rule
from .nft_sets import Declaration, Element

# nft(8), "CHAINS", table of priority names; a name holds for its neighbours too: filter + 10 to filter - 10.
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_ONLY_AT = {"dstnat": "prerouting", "srcnat": "postrouting"}
_NEAR = 10
_MORE_ELEMENTS = ",\n\t\t\t     "


def render(content: Content) -> str:
    """The whole table: sets and maps, then chains, in the order in which ``content`` has them; it ends with a newline.

    Elements are sorted by their keys, one to a line: nft has them in an order of its own, and several small ones to a line.
    What these classes have no words for is named in a comment, so what nft prints can be read back and this need not be.
    """
    body = "\n".join(pieces(content).values())
    flags = "\tflags dormant\n" + ("\n" if body else "") if content.dormant else ""
    return f"table {FAMILY} {TABLE} {{\n{flags}{body}}}\n"


def pieces(content: Content) -> dict[str, str]:
    """The sets, maps and chains that ``render`` puts one behind the other, each by its kind and name, such as ``chain output``."""
    out: dict[str, str] = {}
    for name, what in content.sets.items():
        out[f"{what.word} {name}"] = _block(f"{what.word} {name}", _declared(what, content.elements.get(name, ())))
    for name in sorted(content.strange):
        out[f"set {name}"] = _block(f"set {name}", ["# a set of another kind"])
    for name, chain in content.chains.items():
        out[f"chain {name}"] = _block(f"chain {name}", _chain(chain, content.rules.get(name, ())))
    return out


def _block(head: str, lines: t.Iterable[str]) -> str:
    return "".join([f"\t{head} {{\n", *(f"\t\t{line}\n" for line in lines), "\t}\n"])


def _declared(what: Declaration, elements: t.Iterable[Element]) -> t.Iterator[str]:
    yield f"type {' . '.join(what.key)}" + (f" : {' . '.join(what.data)}" if what.data else "")
    if what.interval:
        yield "flags interval"
    if what.counter:
        yield "counter"
    shown = [_element(what, element) for element in sorted(elements)]
    if shown:
        yield f"elements = {{ {_MORE_ELEMENTS.join(shown)} }}"


def _element(what: Declaration, element: Element) -> str:
    """The element with the counter that the set gives to each; it stands between the key and the comment."""
    text = what.shown(element)
    if not what.counter:
        return text
    key = Declaration(what.name, what.key, interval=what.interval).shown(element._replace(data=b"", comment=""))
    return f"{key} counter{text[len(key) :]}"


def _chain(chain: Chain, rules: t.Iterable[Rule]) -> t.Iterator[str]:
    if chain.type:
        yield f"type {chain.type} hook {chain.hook} priority {_priority(chain)}; policy {chain.policy};"
    for rule in rules:
        yield str(rule) + (f' comment "{rule.comment}"' if rule.comment else "")


def _priority(chain: Chain) -> str:
    for name, value in _PRIORITIES.items():
        offset = chain.priority - value
        if abs(offset) <= _NEAR:
            if _ONLY_AT.get(name, chain.hook) != chain.hook:
                break
            return name + (f" {'+' if offset > 0 else '-'} {abs(offset)}" if offset else "")
    return str(chain.priority)
