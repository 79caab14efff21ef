# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Openings in other people's firewalls: said in their own language, and made where their owners want it.

Three owners have a place for others' rules: Docker's chain DOCKER-USER, ufw's route rules, firewalld's policies. For
everybody else there are only words (advice.py). The entry to this package for the objects.
"""

from __future__ import annotations

import typing as t

from .._errors import Unsupported
from .._kernel.kernel import Kernel
from . import advice, docker, firewalld, ufw
from .model import Table
from .opening import Opening, Standing
from .owners import TITLES
from .walk import Finding

_PER_BACKEND = ("docker",)  # it has a chain per backend; the others have one configuration, which is said to be nft's


class _Language(t.Protocol):
    """What the file of each owner with a place for others' rules offers beside apply, remove and find."""

    def content(self, opening: Opening) -> str: ...

    def commands(self, opening: Opening) -> list[str]: ...

    def undo(self, opening: Opening) -> list[str]: ...

    def apply(self, kernel: Kernel, netns: str | None, opening: Opening) -> bool: ...

    def remove(self, kernel: Kernel, netns: str | None, standing: Standing) -> bool: ...


_LANGUAGES: dict[str, _Language] = {"docker": docker, "ufw": ufw, "firewalld": firewalld}


def can_open(finding: Finding, owner: str) -> bool:
    """Whether the owner has a place for our rules that is asked before this rule or policy."""
    if owner == "docker":
        return _precedes(finding, docker.CHAIN)
    return owner in _LANGUAGES


def _precedes(finding: Finding, name: str) -> bool:
    """Whether a base chain leads to the chain called ``name`` before it can come to the finding."""
    if finding.table.chain(name) is None or finding.chain.name == name:
        return finding.chain.name == name
    for chain in finding.table.chains:
        if chain.hook != "forward":
            continue
        for rule in chain.rules:
            if rule.verdict.chain == name:
                return True
            if rule is finding.rule:
                return False
    return False


def commands(opening: Opening) -> list[str]:
    """The exact shell commands of an owner that has a place for others' rules. Raises Unsupported for all others."""
    return _language(opening.owner).commands(opening)


def undo(opening: Opening) -> list[str]:
    """The shell commands that take it back. Raises Unsupported for owners without such a place."""
    return _language(opening.owner).undo(opening)


def find(kernel: Kernel, netns: str | None, tables: t.Sequence[Table]) -> list[Standing]:
    """Our openings in everybody's configuration. ``tables`` are those of the namespace. Raises ProgramFailed."""
    return [*docker.find(tables), *ufw.find(kernel, netns), *firewalld.find(kernel, netns)]


def stands(opening: Opening, found: t.Collection[Standing]) -> bool:
    """Whether an opening is already made, completely."""
    return standing(opening) in found


def standing(opening: Opening) -> Standing:
    """What ``find`` will say of the opening once it is made, and what ``remove`` takes. Raises Unsupported."""
    content = _language(opening.owner).content(opening)
    backend = opening.backend if opening.owner in _PER_BACKEND else "nft"
    return Standing(opening.owner, backend, opening.family, opening.tag, content)


def apply(kernel: Kernel, netns: str | None, opening: Opening) -> bool:
    """Make the opening with the owner's own tool. Gives whether something was missing.

    Raises ProgramFailed with the tool's complaint, Unsupported where there is no tool for it, and Conflict when others
    would be harmed. The caller holds the machine's lock.
    """
    return _language(opening.owner).apply(kernel, netns, opening)


def remove(kernel: Kernel, netns: str | None, standing: Standing) -> bool:
    """Take back an opening that was found. Gives whether it was there. Raises ProgramFailed."""
    return _language(standing.owner).remove(kernel, netns, standing)


def explain(finding: Finding, owner: str, opening: Opening) -> str:
    """What stops the packets, whose it is, and what would let them pass: a warning's or an error's text."""
    said = advice.what_stops(finding, owner, opening)
    if can_open(finding, owner):
        return f"{said} Let them pass with `{' && '.join(commands(opening))}`, or set foreign_firewall: allow."
    return f"{said} {advice.way_out(finding, owner, opening)}"


def _language(owner: str) -> _Language:
    try:
        return _LANGUAGES[owner]
    except KeyError:
        raise Unsupported(
            f"the firewall of {TITLES.get(owner, owner)} has no place for rules of others, so it is not changed. "
            "Set foreign_firewall: report to be told what to do by hand."
        ) from None
