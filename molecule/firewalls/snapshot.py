# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a firewall of this machine might have, as its own tools and files tell it, and what else we change.

Prints one JSON value: ``theirs``, and ``ours``.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess

TIMES = re.compile(r"^#.*\n|\[\d+:\d+\]", re.MULTILINE)
SETTINGS = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
DROP_IN = pathlib.Path("/run/sysctl.d/zz-patchbay.netns.conf")


def theirs() -> dict[str, str]:
    commands = ["iptables-nft-save", "ip6tables-nft-save"]
    # Looking with iptables-legacy where nothing is would make what is looked for.
    if pathlib.Path("/proc/net/ip_tables_names").read_text():
        commands += ["iptables-legacy-save", "ip6tables-legacy-save"]
    if not subprocess.run(["systemctl", "is-active", "--quiet", "firewalld"], check=False).returncode:
        commands += [
            "firewall-cmd --list-all-zones",
            "firewall-cmd --list-all-policies",
            "nft list table inet firewalld",
        ]
    said = {command: TIMES.sub("", output(command)) for command in commands if shutil.which(command.split()[0])}
    files = [path for folder in ("/etc/ufw", "/etc/firewalld") for path in sorted(pathlib.Path(folder).rglob("*"))]
    return {**said, **{str(path): path.read_text() for path in files if path.is_file()}}


def ours() -> dict[str, object]:
    return {
        "tables": [line for line in output("nft list tables").splitlines() if "patchbay" in line],
        "settings": {name: pathlib.Path("/proc/sys", name).read_text().strip() for name in SETTINGS},
        "drop-in": DROP_IN.read_text() if DROP_IN.exists() else "",
    }


def output(command: str) -> str:
    return subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    print(json.dumps({"theirs": theirs(), "ours": ours()}, indent=1))
