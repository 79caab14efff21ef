# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other programs that build the lab of lab.py: in C, by shell script, by ``ip -batch``, and with Mininet."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from lab import Lab

NAMES = Path("/run/netns")
_MNT_DETACH = 2
_SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's Mininet is not in a virtual environment
_libc = ctypes.CDLL(None, use_errno=True)


# ---- in C


class Floor:
    """floor.c, compiled; within a block, for its file is removed afterwards."""

    def __enter__(self) -> Floor:
        self._folder = tempfile.TemporaryDirectory()
        self._program = str(Path(self._folder.name) / "floor")
        source = Path(__file__).with_name("floor.c")
        subprocess.run(["cc", "-O2", "-Wall", "-o", self._program, str(source)], check=True)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._folder.cleanup()

    def run(self, direction: str, lab: Lab) -> float:
        """Build it (``up``) or tear it ``down``; seconds without the start of the program, as it measured itself."""
        command = [self._program, direction, str(lab.size), str(lab.bridges), lab.families]
        return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


# ---- by shell script


def script(lab: Lab) -> str:
    """The lab as tutorials write it: one process for each command."""
    lines = []
    for bridge in lab.switches():
        lines.append(f"ip link add {bridge.name} type bridge")
        lines += [f"ip addr add {address} {_extra(address)} dev {bridge.name}" for address in bridge.addresses]
        lines.append(f"ip link set {bridge.name} up")
    for cable in lab.cables():
        name = cable.netns
        lines += [
            f"ip netns add {name}",
            f"ip -n {name} link set lo up",
            f"ip link add {cable.port} type veth peer name eth0 netns {name}",
            f"ip link set {cable.port} master {cable.bridge}",
            f"ip link set {cable.port} up",
            *(f"ip -n {name} addr add {address} {_extra(address)} dev eth0" for address in cable.addresses),
            f"ip -n {name} link set eth0 up",
            *(f"ip -n {name} route add default via {gateway}" for gateway in cable.gateways),
        ]
    return "\n".join(lines)


def script_down(lab: Lab) -> str:
    """What undoes it."""
    bridges = [f"ip link del {bridge.name}" for bridge in lab.switches()]
    return "\n".join([*bridges, *(f"ip netns del {cable.netns}" for cable in lab.cables())])


def _extra(address: str) -> str:
    return "nodad" if ":" in address else "brd +"


def shell(text: str) -> None:
    """Run a script as a shell does; the first command that fails ends it."""
    subprocess.run(["/bin/sh", "-e"], input=text, text=True, check=True)


# ---- by `ip -batch`


def batch(lab: Lab) -> None:
    """One process for all that is on the host, with the far ends made where they belong, and one for each namespace."""
    lines = [f"link add {bridge.name} type bridge" for bridge in lab.switches()]
    for cable in lab.cables():
        lines += [
            f"netns add {cable.netns}",
            f"link add {cable.port} type veth peer name eth0 netns {cable.netns}",
            f"link set {cable.port} master {cable.bridge} up",
        ]
    for bridge in lab.switches():
        lines += [f"addr add {address} {_extra(address)} dev {bridge.name}" for address in bridge.addresses]
        lines.append(f"link set {bridge.name} up")
    _ip_batch(lines)
    for cable in lab.cables():
        addresses = [f"addr add {address} {_extra(address)} dev eth0" for address in cable.addresses]
        routes = [f"route add default via {gateway}" for gateway in cable.gateways]
        _ip_batch(["link set lo up", *addresses, "link set eth0 up", *routes], "-n", cable.netns)


def _ip_batch(lines: list[str], *options: str) -> None:
    subprocess.run(["ip", *options, "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


# ---- with Mininet

_MININET = """
import json, sys
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge

setLogLevel("error")
Mininet.inited = True  # it would raise limits of the whole machine
lab = json.load(open(sys.argv[1]))
net = Mininet(controller=None, switch=LinuxBridge)
switches = {name: net.addSwitch("s%d" % number) for number, name in enumerate(sorted(lab["bridges"]), 1)}
for name, bridge, address, gateway in lab["cables"]:
    net.addLink(net.addHost(name, ip=address, defaultRoute="via " + gateway), switches[bridge])
net.start()
for name, address in lab["bridges"].items():
    switches[name].cmd("ip addr add %s brd + dev %s" % (address, switches[name].name))
print("built", flush=True)
sys.stdin.readline()
net.stop()
"""


def mininet_missing() -> str:
    """What has to be installed before Mininet can be measured; empty when nothing has."""
    found = {"mininet": shutil.which("mnexec"), "bridge-utils": shutil.which("brctl")}
    return " ".join(package for package, program in found.items() if program is None)


def mininet(lab: Lab) -> float:
    """Seconds to build the lab with Mininet, its start included. It ends with the lab; IPv4 only."""
    facts: dict[str, Any] = {
        "bridges": {bridge.name: bridge.addresses[0] for bridge in lab.switches()},
        "cables": [(each.netns, each.bridge, each.addresses[0], each.gateways[0]) for each in lab.cables()],
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(facts, file)
        file.flush()
        command = [_SYSTEM_PYTHON, "-c", _MININET, file.name]
        start = time.perf_counter()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin and process.stdout
            said = process.stdout.readline().strip()
            took = time.perf_counter() - start
            process.stdin.write("\n")
            process.stdin.close()
    if said != "built" or process.returncode:
        raise SystemExit(f"Mininet said {said!r} and ended with {process.returncode}: its time means nothing.")
    return took


# ---- away with it


def names() -> list[str]:
    """The named namespaces that there are."""
    return [file.name for file in NAMES.iterdir()] if NAMES.is_dir() else []


def sweep(lab: Lab) -> None:
    """Remove what any of these programs made, quickly: the names first, and all cables go with their namespaces."""
    for name in names():
        file = NAMES / name
        if _libc.umount2(os.fsencode(file), _MNT_DETACH):
            raise OSError(ctypes.get_errno(), f"can't unmount {file}")
        file.unlink()
    for bridge in lab.switches():
        if _has(bridge.name):
            subprocess.run(["ip", "link", "del", bridge.name], check=True)


def _has(name: str) -> bool:
    return subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode == 0
