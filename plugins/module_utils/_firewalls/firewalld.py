# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Openings as rich rules in one firewalld policy of ours, from every zone to every zone.

firewalld learns a new policy only from a reload, and a reload throws away what everybody else has at runtime only,
rules of iptables included. Rich rules of a policy that is known come and go without one. So there is a
single policy, reloaded for once, and only when nothing is lost (see firewalld_runtime.py); each rule is added at runtime and
permanently. Rich rules carry no comments: the policy's description says which object each is for.

Zones know no single interfaces, so a rule is as narrow as its addresses, protocol and ports. Replies pass by themselves.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import typing as t
import xml.etree.ElementTree as ET

from .._errors import Conflict, Unsupported
from .._kernel import programs
from .._kernel.kernel import Kernel
from .._kernel.nft_rules import short
from . import firewalld_runtime
from .opening import Opening, Standing

POLICY = "patchbay"

_FILE = f"/etc/firewalld/policies/{POLICY}.xml"
_TITLE = "patchbay.netns"
_SEPARATOR = " # "
_CREATE = (
    (f"--new-policy={POLICY}",),
    (f"--policy={POLICY}", "--add-ingress-zone=ANY"),
    (f"--policy={POLICY}", "--add-egress-zone=ANY"),
    (f"--policy={POLICY}", f"--set-short={_TITLE}"),
)


class Note(t.NamedTuple):
    """A line of the policy's description: a rule, and an object that it is for."""

    rule: str
    tag: str

    @classmethod
    def read(cls, text: str) -> list[Note]:
        """The lines of a description; others are skipped."""
        parts = (line.strip().partition(_SEPARATOR) for line in text.splitlines())
        return [cls(rule, tag) for rule, separator, tag in parts if separator]

    def __str__(self) -> str:
        return f"{self.rule}{_SEPARATOR}{self.tag}"


def content(opening: Opening) -> str:
    """The rich rule, as firewalld lists it (firewalld.richlanguage(5))."""
    words = [f'rule family="ipv{opening.family}"']
    words += [f'source address="{short(opening.source)}"'] if opening.source else []
    words += [f'destination address="{short(opening.destination)}"'] if opening.destination else []
    if opening.ports:
        words.append(f'port port="{opening.ports}" protocol="{opening.protocol}"')
    elif opening.protocol:
        words.append(f'protocol value="{opening.protocol}"')
    return " ".join([*words, "accept"])


def commands(opening: Opening) -> list[str]:
    """The shell commands that make the opening on a machine that does not know the policy yet."""
    make, *fill = (shlex.join(["firewall-cmd", "--permanent", *words]) for words in _CREATE)
    create = [f"{make} || true", *fill]  # it may be there: another opening's commands made it
    return [
        *create,
        _command("--permanent", f"--policy={POLICY}", f"--add-rich-rule={content(opening)}"),
        "firewall-cmd --reload",
    ]


def undo(opening: Opening) -> list[str]:
    """The shell commands that take it back; the policy stays."""
    words = (f"--policy={POLICY}", f"--remove-rich-rule={content(opening)}")
    return [_command("--permanent", *words), _command(*words)]


def _command(*words: str) -> str:
    return shlex.join(["firewall-cmd", *words])


def find(kernel: Kernel, netns: str | None) -> list[Standing]:
    """Our openings. None in a namespace that firewalld does not work in. Raises ProgramFailed."""
    notes = _noted()
    if not notes or not programs.in_boot_namespace(kernel, netns):
        return []
    tool = _Tool(kernel)
    effective = set(tool.rules()) if tool.running else {note.rule for note in notes}
    return [
        Standing("firewalld", "nft", 6 if 'family="ipv6"' in rule else 4, tag, rule, whole=rule in effective)
        for rule, tag in notes
    ]


def apply(kernel: Kernel, netns: str | None, opening: Opening) -> bool:
    """Add the rule. Gives whether it was missing. Raises ProgramFailed, Unsupported, and Conflict when a reload would do harm."""
    if not programs.in_boot_namespace(kernel, netns):
        raise Unsupported(
            "firewalld guards the machine's own namespace, so it was not asked to let packets of another one pass. "
            "These rules were loaded here by hand: open them by hand, or set foreign_firewall: report."
        )
    tool, note, notes = _Tool(kernel), Note(content(opening), opening.tag), _noted() or []
    if note in notes and note.rule in tool.rules():
        return False
    if not tool.known:
        _check_reload(kernel, opening)
    if _noted() is None:
        for words in _CREATE:
            tool.permanently(*words)
    if note not in notes:
        tool.describe([*notes, note])
    tool.permanently(f"--policy={POLICY}", f"--add-rich-rule={note.rule}")
    if tool.known:
        tool.now(f"--policy={POLICY}", f"--add-rich-rule={note.rule}")
    else:
        firewalld_runtime.reload(kernel)
    return True


def remove(kernel: Kernel, netns: str | None, standing: Standing) -> bool:
    """Remove the rule when no other object needs it, and the policy with the last one. Raises ProgramFailed."""
    notes, note = _noted() or [], Note(standing.content, standing.tag)
    if note not in notes or not programs.in_boot_namespace(kernel, netns):
        return False
    tool = _Tool(kernel)
    left = [other for other in notes if other != note]
    if tool.known and note.rule not in {other.rule for other in left}:
        tool.now(f"--policy={POLICY}", f"--remove-rich-rule={note.rule}")
    if not left:
        _forget_policy(kernel, tool)
        return True
    if note.rule not in {other.rule for other in left}:
        tool.permanently(f"--policy={POLICY}", f"--remove-rich-rule={note.rule}")
    tool.describe(left)
    return True


def _forget_policy(kernel: Kernel, tool: _Tool) -> None:
    """Delete the policy. At runtime it stays, empty, where a reload would do harm."""
    if not tool.running:
        os.unlink(_FILE)  # firewall-offline-cmd would rewrite other files too
    else:
        harmless = tool.known and not firewalld_runtime.losses(kernel, POLICY)
        tool.permanently(f"--delete-policy={POLICY}")
        if harmless:
            firewalld_runtime.reload(kernel)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{_FILE}.old")  # firewalld keeps a copy of what it changes


def _check_reload(kernel: Kernel, opening: Opening) -> None:
    losses = firewalld_runtime.losses(kernel, POLICY)
    if losses:
        raise Conflict(
            f"firewalld has to be reloaded once to learn the policy {POLICY}, and that would undo {'; '.join(losses)}. "
            "Nothing was changed. Make these permanent in their own programs, or choose the moment yourself: "
            f"{' && '.join(commands(opening))}"
        )


def _noted() -> list[Note] | None:
    """What the permanent policy's description says; None when there is no such policy."""
    try:
        return Note.read(ET.parse(_FILE).getroot().findtext("description", ""))
    except FileNotFoundError:
        return None
    except ET.ParseError as error:
        raise Conflict(
            f"{_FILE} can't be read: {error}. Mend it, or delete it and run `firewall-cmd --reload`."
        ) from None


class _Tool:
    """firewall-cmd; its twin for the files when the daemon does not run.

    ``known`` says whether the policy is in force.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        policies = firewalld_runtime.policies(kernel)
        self.running = policies is not None
        self.known = POLICY in (policies or ())

    def now(self, *words: str) -> str:
        """At runtime."""
        return programs.run(self._kernel, None, ["firewall-cmd", *words])

    def permanently(self, *words: str) -> str:
        """In the files."""
        tool = ["firewall-cmd", "--permanent"] if self.running else ["firewall-offline-cmd"]
        return programs.run(self._kernel, None, [*tool, *words])

    def describe(self, notes: t.Iterable[Note]) -> None:
        """Write the description."""
        text = "\n".join(map(str, notes))
        self.permanently(f"--policy={POLICY}", f"--set-description={text}")

    def rules(self) -> list[str]:
        """The rich rules that are in force."""
        return self.now(f"--policy={POLICY}", "--list-rich-rules").splitlines() if self.known else []
