# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about a machine's network that a run might change, as ``ip``, ``bridge`` and ``nft`` tell it, in one JSON value.

Where these are not installed it is what the kernel's own files tell, which is less.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import probe

FOLDERS = (
    "/etc/netns",
    "/etc/systemd/system",
    "/etc/sysctl.d",
    "/run/netns",
    "/run/patchbay.netns",
    "/run/sysctl.d",
    "/run/systemd/system",
)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def plain(value: t.Any) -> t.Any:
    """Without what changes by itself."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if not key.endswith("timer")}
    return [plain(item) for item in value if item != {}] if isinstance(value, list) else value


def ask(*command: str, inside: tuple[str, ...]) -> t.Any:
    return plain(json.loads(output(*inside, *command) or "[]"))


def stack(netns: str = "") -> dict[str, t.Any]:
    """One network stack: that of the machine, or that of a namespace."""
    inside = ("nsenter", f"--net=/run/netns/{netns}") if netns else ()
    return by_tools(inside) if shutil.which("ip") else by_files(inside)


def by_files(inside: tuple[str, ...]) -> dict[str, t.Any]:
    """What needs no tool. The columns of ipv6_route that count are left out."""
    names = ("route", "fib_trie", "ipv6_route")
    four, trie, six = (output(*inside, "cat", f"/proc/net/{name}").splitlines() for name in names)
    return {
        "links": json.loads(output(*inside, "python3", probe.__file__, "links")),
        "routes": sorted(four) + sorted(line.strip() for line in trie if "|--" in line),
        "routes6": sorted(row[:6] + row[8:] for row in map(str.split, six)),
    }


def by_tools(inside: tuple[str, ...]) -> dict[str, t.Any]:
    """What the tools show."""
    tables = [line.split(maxsplit=1)[1] for line in output(*inside, "nft", "list", "tables").splitlines()]
    return {
        "links": {link["ifname"]: link for link in ask("ip", "-json", "-details", "address", inside=inside)},
        "ports": ask("bridge", "-json", "-details", "link", inside=inside),
        "routes": ask("ip", "-json", "-4", "route", "show", "table", "all", inside=inside),
        "routes6": ask("ip", "-json", "-6", "route", "show", "table", "all", inside=inside),
        "rules": ask("ip", "-json", "-4", "rule", inside=inside) + ask("ip", "-json", "-6", "rule", inside=inside),
        "tables": {table: output(*inside, "nft", "--handle", "list", "table", *table.split()) for table in tables},
    }


def snapshot() -> dict[str, t.Any]:
    names = probe.namespaces()
    return {
        "namespaces": names,
        "host": stack(),
        "stacks": {name: stack(name) for name in names},
        "sysctls": probe.all_sysctls(),
        "files": sorted(str(path) for folder in FOLDERS for path in pathlib.Path(folder).rglob("*")),
    }


if __name__ == "__main__":
    json.dump(snapshot(), sys.stdout, indent=1, sort_keys=True)
