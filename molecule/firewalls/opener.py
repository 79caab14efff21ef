# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's side of this scenario: opens, finds and closes ways through its firewall, and notes how the firewall is.

opener.py snapshot | find | dropped | apply OWNER BACKENDS [TAG...] | remove [TAG...]. Every command prints one JSON value.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import pathlib
import re
import shutil
import subprocess
import sys
import typing as t

sys.path.insert(0, "/root/house")
from ansible_collections.patchbay.netns.plugins.module_utils._errors import PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls import (
    legacy,
    nft_tables,
    openings,
    owners,
    walk,
)
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Packet
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports

IN = {"in_interface": "uplink", "out_interface": "br-lab", "protocol": "tcp", "ports": Ports(80, 80)}
OUT = {"in_interface": "br-lab", "out_interface": "uplink"}
PATHS: dict[str, dict[str, t.Any]] = {
    "forward tcp 8080 ipv4": {"family": 4, "destination": ipaddress.ip_network("10.20.0.3/32"), **IN},
    "forward tcp 8080 ipv6": {"family": 6, "destination": ipaddress.ip_network("fd00:20::3/128"), **IN},
    "masquerade 10.20.0.0/24 out uplink": {"family": 4, "source": ipaddress.ip_network("10.20.0.0/24"), **OUT},
    "masquerade fd00:20::/64 out uplink": {"family": 6, "source": ipaddress.ip_network("fd00:20::/64"), **OUT},
}
TWIN = "forward tcp 8888 ipv4"  # another forward to the same port of the same target
PATHS_AND_TWIN = {**PATHS, TWIN: PATHS["forward tcp 8080 ipv4"]}
TIMES = re.compile(r"^#.*\n|\[\d+:\d+\]", re.MULTILINE)


def apply(kernel: Kernel, owner: str, backends: str, *tags: str) -> t.Any:
    wanted = [
        openings.Opening(owner=owner, backend=backend, tag=tag, **PATHS_AND_TWIN[tag])
        for backend in backends.split(",")
        for tag in tags or PATHS
    ]
    changed = [openings.apply(kernel, None, opening) for opening in wanted]
    found = openings.find(kernel, None, tables(kernel))
    return {"changed": any(changed), "stand": all(openings.stands(opening, found) for opening in wanted)}


def remove(kernel: Kernel, *tags: str) -> t.Any:
    found = [one for one in openings.find(kernel, None, tables(kernel)) if not tags or one.tag in tags]
    removed = [openings.remove(kernel, None, one) for one in found]
    return {"changed": any(removed)}


def find(kernel: Kernel) -> t.Any:
    return [dataclasses.asdict(one) for one in openings.find(kernel, None, tables(kernel))]


def dropped(kernel: Kernel) -> t.Any:
    """What is said of what surely stops the first packet of one of the paths, or an answer."""
    seen = tables(kernel)
    said = []
    for tag, path in PATHS.items():
        there = Packet(
            family=path["family"],
            protocol="tcp",
            in_interface=path["in_interface"],
            out_interface=path["out_interface"],
            source=path.get("source"),
            destination=path.get("destination"),
            destination_port=80 if "destination" in path else 8000,
        )
        back = dataclasses.replace(
            there,
            in_interface=there.out_interface,
            out_interface=there.in_interface,
            source=there.destination,
            destination=there.source,
            source_port=there.destination_port,
            destination_port=None,
            state="established",
        )
        for packet in (there, back):
            finding = walk.walk(seen, "forward", packet).dropped_by
            if finding is not None:
                owner = owners.owner(seen, finding.table, finding.chain, finding.rule)
                opening = openings.Opening(owner=owner, backend=finding.table.backend, tag=tag, **path)
                said.append([owner, openings.can_open(finding, owner), openings.explain(finding, owner, opening)])
    return said


def tables(kernel: Kernel) -> list[openings.Table]:
    return [*nft_tables.read(kernel, None), *legacy.read(kernel, None)]


def snapshot(_kernel: Kernel) -> t.Any:
    """Everything that a firewall of this machine might have, as its own tools tell it."""
    commands = ["iptables-nft-save", "ip6tables-nft-save"]
    commands += [f"{name}-legacy-save" for name in ("iptables", "ip6tables") if legacy_tables()]
    if not subprocess.run(["firewall-cmd", "--state"], capture_output=True, check=False).returncode:
        commands += [
            "firewall-cmd --list-all-zones",
            "firewall-cmd --list-all-policies",
            "nft list table inet firewalld",
        ]
    said = {command: TIMES.sub("", output(command)) for command in commands if shutil.which(command.split()[0])}
    files = [path for folder in ("/etc/ufw", "/etc/firewalld") for path in sorted(pathlib.Path(folder).rglob("*"))]
    return {**said, **{str(path): path.read_text() for path in files if path.is_file()}}


def legacy_tables() -> bool:
    """Looking with iptables-legacy where nothing is would make what is looked for."""
    return bool(pathlib.Path("/proc/net/ip_tables_names").read_text())


def output(command: str) -> str:
    return subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout


def main() -> None:
    actions: dict[str, t.Callable[..., t.Any]] = {
        "apply": apply,
        "remove": remove,
        "find": find,
        "snapshot": snapshot,
        "dropped": dropped,
    }
    with Kernel() as kernel:
        try:
            result = actions[sys.argv[1]](kernel, *sys.argv[2:])
        except PatchbayError as error:
            raise SystemExit(f"{error.code}: {error}") from None
    print(json.dumps(result, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
