# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What a reload of firewalld would undo, and a reload that undoes nothing."""

from __future__ import annotations

import re
import typing as t

from .._kernel import programs
from .._kernel.kernel import Kernel

_NOT_RUNNING = 252  # firewall-cmd(1), "EXIT CODES"
Listing = dict[str, dict[str, list[str]]]

_BINDINGS = {"interfaces": "--change-interface", "sources": "--change-source"}
"""What is put back after a reload: it has no end that was agreed on, as a service has with --timeout."""


def policies(kernel: Kernel) -> list[str] | None:
    """The policies that the daemon knows; None when it does not run. Raises ProgramFailed when firewall-cmd is not there."""
    try:
        return _ask(kernel, "--get-policies").split()
    except programs.ProgramFailed as error:
        if error.details.get("status") != _NOT_RUNNING:
            raise
        return None


def losses(kernel: Kernel, ours: str) -> list[str]:
    """What others would lose, or suddenly get, by a reload; for people. ``ours`` is the policy that is our own affair.

    Raises ProgramFailed.
    """
    return [*_differences(kernel, ours), *_direct(kernel), *_address_sets(kernel), *_iptables(kernel)]


def reload(kernel: Kernel) -> None:
    """Reload firewalld and put back which zone interfaces and sources were bound to. Raises ProgramFailed."""
    before = read(_ask(kernel, "--list-all-zones"))
    _ask(kernel, "--reload")
    after = read(_ask(kernel, "--list-all-zones"))
    for zone, settings in before.items():
        for key, option in _BINDINGS.items():
            for value in settings.get(key, []):
                if value not in after.get(zone, {}).get(key, []):
                    _ask(kernel, f"--zone={zone}", f"{option}={value}")


def read(text: str) -> Listing:
    """The settings of zones or policies, from --list-all-zones or --list-all-policies."""
    found: Listing = {}
    name = key = ""
    for line in text.splitlines():
        if line[:1] not in ("", " ", "\t"):
            name = line.partition(" (")[0]  # "(active)" follows, and "(default)" in firewalld 2
            found[name] = {}
        elif re.match(r"  \S", line):
            key, _colon, value = line.strip().partition(":")
            found[name][key] = sorted(value.split())
        elif line.strip():
            found[name][key].append(line.strip())
    return found


def different(runtime: Listing, permanent: Listing, *, besides: t.Container[str] = ()) -> list[str]:
    """Which settings of which zone or policy differ: 'public (services, ports)'."""
    found = []
    for name in sorted({*runtime, *permanent}):
        one, other = runtime.get(name, {}), permanent.get(name, {})
        keys = [key for key in {**one, **other} if key not in besides and one.get(key) != other.get(key)]
        if keys:
            found.append(f"{name} ({', '.join(keys)})")
    return found


def _ask(kernel: Kernel, *words: str) -> str:
    return programs.run(kernel, None, ["firewall-cmd", *words])


def _both(kernel: Kernel, *words: str) -> tuple[str, str]:
    """The answers about the runtime and about the files."""
    return _ask(kernel, *words), _ask(kernel, "--permanent", *words)


def _differences(kernel: Kernel, ours: str) -> t.Iterator[str]:
    kinds: tuple[tuple[str, str, t.Container[str]], ...] = (
        ("zone", "--list-all-zones", _BINDINGS),
        ("policy", "--list-all-policies", ()),
    )
    for kind, option, besides in kinds:
        runtime, permanent = (read(text) for text in _both(kernel, option))
        if kind == "policy":
            runtime.pop(ours, None)
            permanent.pop(ours, None)
        for text in different(runtime, permanent, besides=besides):
            yield f"what {kind} {text} has at runtime only or in its file only"


def _direct(kernel: Kernel) -> t.Iterator[str]:
    for what in ("chains", "rules", "passthroughs"):
        runtime, permanent = _both(kernel, "--direct", f"--get-all-{what}")
        if sorted(runtime.split("\n")) != sorted(permanent.split("\n")):
            yield f"direct {what} that are at runtime only or in the file only"


def _address_sets(kernel: Kernel) -> t.Iterator[str]:
    for name in _ask(kernel, "--get-ipsets").split():
        try:
            runtime, permanent = _both(kernel, f"--ipset={name}", "--get-entries")
        except programs.ProgramFailed:  # it is only in one of them, or keeps its entries in the kernel
            yield f"the ipset {name}, which may have entries at runtime only"
            continue
        if sorted(runtime.split()) != sorted(permanent.split()):
            yield f"entries of the ipset {name} that are at runtime only or in its file only"


def _iptables(kernel: Kernel) -> t.Iterator[str]:
    """firewalld empties all tables of iptables when it reloads, whoever filled them (seen with 1.3.3 and its nftables backend)."""
    for tool in ("iptables-save", "ip6tables-save"):
        if programs.find(tool) is None:
            continue
        lines = programs.run(kernel, None, [tool]).splitlines()
        count = sum(line.startswith("-A ") for line in lines)
        if count or any(re.match(r":\S+ (-|DROP) ", line) for line in lines):
            yield f"{count} rules that other programs have in {tool.partition('-')[0]}"
