# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Openings in iptables' own words, in Docker's chain for its users: DOCKER-USER.

Docker makes the chain, sends every forwarded packet there first, and never changes what is in it. It knows no replies, so
each opening is three rules (see opening.matches); nothing of it outlives a reboot, and neither do our namespaces.
"""

from __future__ import annotations

import re
import shlex
import typing as t

from .._kernel import programs
from .._kernel.kernel import Kernel
from .._kernel.nft_rules import short
from .model import Table
from .opening import PREFIX, Match, Opening, Standing, matches

CHAIN = "DOCKER-USER"

_MARK = re.compile(re.escape(PREFIX) + r"(?P<tag>.*) \[(?P<digest>[0-9a-f]{8}) (?P<purpose>new|there|back|find)\]")
_FAMILIES = {"ip": 4, "ip6": 6}


def program(backend: str, family: int) -> str:
    """The variant of iptables or ip6tables that sees the rules of this backend."""
    return f"{'iptables' if family == 4 else 'ip6tables'}-{backend}"


def rule_words(match: Match, comment: str) -> list[str]:
    """A rule that accepts, as arguments of iptables behind the name of the chain."""
    words: list[str] = []
    words += ["-i", match.in_interface] if match.in_interface else []
    words += ["-o", match.out_interface] if match.out_interface else []
    words += ["-s", short(match.source)] if match.source else []
    words += ["-d", short(match.destination)] if match.destination else []
    words += ["-p", match.protocol] if match.protocol else []
    words += ["--dport", str(match.ports).replace("-", ":")] if match.ports else []
    words += ["-m", "conntrack", "--ctstate", ",".join(state.upper() for state in match.states)] if match.states else []
    return [*words, "-m", "comment", "--comment", comment, "-j", "ACCEPT"]


def commands(opening: Opening) -> list[str]:
    """The shell commands that make the opening."""
    return [shlex.join([program(opening.backend, opening.family), "-I", *rule]) for rule in _rules(opening).values()]


def undo(opening: Opening) -> list[str]:
    """The shell commands that take it back."""
    return [shlex.join([program(opening.backend, opening.family), "-D", *rule]) for rule in _rules(opening).values()]


def content(opening: Opening) -> str:
    """What ``Standing.content`` is of this opening."""
    return opening.digest


def find(tables: t.Sequence[Table]) -> list[Standing]:
    """Our openings in the chain, in every table that has it."""
    found: dict[tuple[str, int, str, str], set[str]] = {}
    for table in tables:
        chain = table.chain(CHAIN)
        if chain is None or table.family not in _FAMILIES:
            continue
        for rule in chain.rules:
            mark = _MARK.fullmatch(rule.comment)
            if mark:
                key = (table.backend, _FAMILIES[table.family], mark["tag"], mark["digest"])
                found.setdefault(key, set()).add(mark["purpose"])
    return [
        Standing("docker", backend, family, tag, digest, whole=purposes >= {"new", "there", "back"})
        for (backend, family, tag, digest), purposes in found.items()
    ]


def apply(kernel: Kernel, netns: str | None, opening: Opening) -> bool:
    """Insert the rules that are missing, before all others. Gives whether there were any. Raises ProgramFailed."""
    tool = _tool(kernel, opening.backend, opening.family)
    there = {comment for comment, _rule in _listed(kernel, netns, tool)}
    missing = {comment: rule for comment, rule in _rules(opening).items() if comment not in there}
    for rule in missing.values():
        programs.run(kernel, netns, [tool, "--wait", "-I", *rule])
    return bool(missing)


def remove(kernel: Kernel, netns: str | None, standing: Standing) -> bool:
    """Delete its rules. Gives whether there were any. Raises ProgramFailed."""
    tool = _tool(kernel, standing.backend, standing.family)
    found = False
    for comment, rule in _listed(kernel, netns, tool):
        mark = _MARK.fullmatch(comment)
        if mark and (mark["tag"], mark["digest"]) == (standing.tag, standing.content):
            programs.run(kernel, netns, [tool, "--wait", "-D", *rule])
            found = True
    return found


def _rules(opening: Opening) -> dict[str, list[str]]:
    """The chain and its rule by comment. Inserted in this order, the rule for new connections is the last to be asked."""
    found = {}
    for match in matches(opening):
        comment = f"{PREFIX}{opening.tag} [{opening.digest} {match.purpose}]"
        found[comment] = [CHAIN, *rule_words(match, comment)]
    return found


def _listed(kernel: Kernel, netns: str | None, tool: str) -> list[tuple[str, list[str]]]:
    """Comment and words of our rules in the chain, as iptables itself writes them for a later -A or -D."""
    found = []
    for line in programs.run(kernel, netns, [tool, "--wait", "-S", CHAIN]).splitlines():
        words = shlex.split(line)
        if words[:1] == ["-A"] and "--comment" in words:
            comment = words[words.index("--comment") + 1]
            if _MARK.fullmatch(comment):
                found.append((comment, words[1:]))
    return found


def _tool(kernel: Kernel, backend: str, family: int) -> str:
    """The program for the backend. Where the variants have no names of their own, the plain one says which it is."""
    named = program(backend, family)
    plain = named.partition("-")[0]
    if programs.find(named) is None and programs.find(plain) is not None:
        is_nft = "nf_tables" in programs.run(kernel, None, [plain, "--version"])
        if is_nft == (backend == "nft"):
            return plain
    return named
