# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Openings as ufw's own route rules, marked by their comments.

ufw keeps them in /etc/ufw and lets replies pass by itself. Two rules that differ only in their comments are one rule to it,
so a rule that serves several of our objects carries the tags of all of them.
"""

from __future__ import annotations

import shlex
import typing as t

from .._errors import Unsupported
from .._kernel import programs
from .._kernel.kernel import Kernel
from .._kernel.nft_rules import short
from .opening import PREFIX, Opening, Standing, comment_of, tags_in

_FILES = ("/etc/ufw/user.rules", "/etc/ufw/user6.rules")
_ALLOW = "ufw route allow "
_IN_FILES = "comment=" + PREFIX.encode().hex()
_PROTOCOLS = (None, "tcp", "udp")


def content(opening: Opening) -> str:
    """The rule as `ufw show added` lists it, without its comment."""
    words: list[str] = []
    words += ["in on", opening.in_interface] if opening.in_interface else []
    words += ["out on", opening.out_interface] if opening.out_interface else []
    words += ["from", short(opening.source)] if opening.source else []
    words += ["to", short(opening.destination)] if opening.destination else []
    words += ["port", str(opening.ports).replace("-", ":")] if opening.ports else []
    words += ["proto", opening.protocol] if opening.protocol else []
    return " ".join(words)


def commands(opening: Opening) -> list[str]:
    """The shell commands that make the opening."""
    return [f"ufw route prepend allow {content(opening)} comment {shlex.quote(comment_of([opening.tag]))}"]


def undo(opening: Opening) -> list[str]:
    """The shell commands that take it back."""
    return [f"ufw route delete allow {content(opening)}"]


def find(kernel: Kernel, netns: str | None) -> list[Standing]:
    """Our openings. None in a namespace that ufw does not work in. Raises ProgramFailed."""
    if not _mentioned() or not programs.in_boot_namespace(kernel, netns):
        return []
    return [
        Standing("ufw", "nft", 6 if _is_ipv6(rule) else 4, tag, rule)
        for rule, comment in _added(kernel).items()
        for tag in tags_in(comment)
    ]


def apply(kernel: Kernel, netns: str | None, opening: Opening) -> bool:
    """Add the rule before all others. Gives whether it was missing. Raises ProgramFailed and Unsupported."""
    _check(kernel, netns, opening)
    rule, rules = content(opening), _added(kernel)
    if rule not in rules:
        _run(kernel, ["prepend", "allow"], rule, comment_of([opening.tag]))
        return True
    tags = tags_in(rules[rule])
    if not tags or opening.tag in tags:  # without tags it is somebody else's rule, which opens the same way
        return False
    _run(kernel, ["allow"], rule, comment_of([*tags, opening.tag]))
    return True


def remove(kernel: Kernel, netns: str | None, standing: Standing) -> bool:
    """Delete the rule, or only the tag when it serves another object too. Raises ProgramFailed."""
    tags = tags_in(_added(kernel).get(standing.content, ""))
    if standing.tag not in tags:
        return False
    tags.remove(standing.tag)
    if tags:
        _run(kernel, ["allow"], standing.content, comment_of(tags))
    else:
        _run(kernel, ["delete", "allow"], standing.content)
    return True


def _check(kernel: Kernel, netns: str | None, opening: Opening) -> None:
    if not programs.in_boot_namespace(kernel, netns):
        raise Unsupported(
            "ufw's configuration is that of the machine's own namespace, so it was not asked to let packets of another one "
            "pass. These rules were loaded here by hand: open them by hand, or set foreign_firewall: report."
        )
    if opening.protocol not in _PROTOCOLS:
        raise Unsupported(
            f"ufw has no word for ports of {opening.protocol}. Write the rule into /etc/ufw/before.rules by hand, "
            "or set foreign_firewall: report."
        )


def _added(kernel: Kernel) -> dict[str, str]:
    """The comment of each route rule that allows something."""
    found = {}
    for line in programs.run(kernel, None, ["ufw", "show", "added"]).splitlines():
        if line.startswith(_ALLOW):
            # ufw writes the comment in single quotes and lets none into it.
            rule, _word, comment = line[len(_ALLOW) :].partition(" comment '")
            found[rule] = comment[:-1]
    return found


def _run(kernel: Kernel, verb: t.Sequence[str], rule: str, comment: str | None = None) -> None:
    words = ["ufw", "route", *verb, *rule.split()]
    programs.run(kernel, None, [*words, "comment", comment] if comment else words)


def _mentioned() -> bool:
    """Whether any rule of ufw's is ours: seen without starting a program."""
    for file in _FILES:
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                if any(_IN_FILES in line for line in lines):
                    return True
        except OSError:
            continue
    return False


def _is_ipv6(rule: str) -> bool:
    words = rule.split()
    return any(":" in value for word, value in zip(words, words[1:]) if word in ("from", "to"))
