# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long labs of many sizes take, next to the shell script that everybody writes: ``make bench ARGS='10 100'``.

One lab is a bridge and N namespaces, each with a cable to it, an address, and a default route. Ours is built by the
engine in this process, one object after another, as the modules do; the script runs one ``ip`` per command. Both are
timed in turns, and the median of each counts. Start-up (Python, pyroute2, Ansible) is not in these numbers. Times say
little about other machines; ratios say more. Nothing is asserted.

Ours returns from a removal when names and addresses are free; `ip netns del` returns at once and leaves that to the
kernel's background, where these numbers do not see it.

More tables follow: what address translation costs to set (nat.py) and to pass through (connections.py), and what Ansible
adds (plays.py). One of them alone: ``make bench ARGS='--only nat'``.

Run it where nobody minds: tests/tools/isolated.sh gives it namespaces of its own.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import connections
import nat
import plays
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import execute
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.codec import codec
from ansible_collections.patchbay.netns.plugins.module_utils._objects.bridge import Bridge
from ansible_collections.patchbay.netns.plugins.module_utils._objects.ip_route import IpRoute
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import Netns
from ansible_collections.patchbay.netns.plugins.module_utils._objects.veth import Veth

GATEWAY = "10.64.255.254"
TABLES = ("labs", "nat", "connections", "plays")
LEAST = 5  # rounds of what takes milliseconds
QUIET_SECONDS = 30.0  # the longest wait for the kernel to free the last lab


def address(number: int) -> str:
    """The address of namespace ``number``, in 10.64.0.0/16."""
    return f"10.64.{number // 250}.{number % 250 + 1}"


# ---- ours


def wishes(size: int, state: str) -> Iterator[Any]:
    """The objects of a lab, as the modules would get them."""
    common = {"state": state, "force": False}
    yield Bridge.from_params({"name": "bench", "addresses": [f"{GATEWAY}/16"], **common})
    for number in range(size):
        netns = f"bench{number}"
        yield Netns.from_params({"name": netns, "loopback": True, **common})
        if state == "absent":
            continue  # the cable and the route go with it
        end = {"name": "eth0", "netns": netns, "addresses": [f"{address(number)}/16"]}
        yield Veth.from_params({**end, "peer": {"name": f"bench{number}", "bridge": "bench"}, **common})
        yield IpRoute.from_params({"netns": netns, "destination": "default", "gateway": GATEWAY, **common})


def ours(size: int, state: str) -> int:
    """Carry the lab out; returns how many objects changed."""
    return sum(execute(wish).changed for wish in wishes(size, state))


# ---- the script


def script(size: int) -> str:
    """The lab as tutorials write it: one process for each command."""
    lines = ["ip link add bench type bridge", f"ip addr add {GATEWAY}/16 brd + dev bench", "ip link set bench up"]
    for number in range(size):
        name = f"bench{number}"
        lines += [
            f"ip netns add {name}",
            f"ip -n {name} link set lo up",
            f"ip link add {name} type veth peer name eth0 netns {name}",
            f"ip link set {name} master bench",
            f"ip link set {name} up",
            f"ip -n {name} addr add {address(number)}/16 brd + dev eth0",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} route add default via {GATEWAY}",
        ]
    return "\n".join(lines)


def script_down(size: int) -> str:
    """What undoes it."""
    return "\n".join(["ip link del bench", *(f"ip netns del bench{number}" for number in range(size))])


def shell(text: str) -> None:
    """Run a script as a shell does; the first command that fails ends it."""
    subprocess.run(["/bin/sh", "-e"], input=text, text=True, check=True)


# ---- timing


def timed(action: Callable[[], object]) -> float:
    """Seconds on the clock."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def quiet() -> None:
    """Wait until the kernel has freed the last lab, which it does in the background."""
    cleaners = [
        path
        for path in Path("/proc").glob("[0-9]*/comm")
        if _reads(path).startswith("kworker") and "netns" in _reads(path)
    ]
    deadline = time.monotonic() + QUIET_SECONDS
    calm = 0
    while calm < 5 and time.monotonic() < deadline:
        busy = any(_state(path.parent) in "RD" for path in cleaners)
        calm = 0 if busy or _links() else calm + 1
        time.sleep(0.02)


def _reads(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _state(process: Path) -> str:
    return _reads(process / "stat").rpartition(")")[2].strip()[:1] or "S"


def _links() -> list[str]:
    names = _reads(Path("/proc/net/dev")).splitlines()[2:]
    return [name for name in (line.split(":")[0].strip() for line in names) if name.startswith("bench")]


def measure(size: int, rounds: int) -> list[tuple[str, float, float | None]]:
    """Name, our median and the script's, of each thing that is timed."""
    build, again, down, theirs, theirs_down = ([] for _each in range(5))
    for _round in range(rounds):
        build.append(timed(lambda: _must(ours(size, "present"), 1 + 3 * size)))
        again.append(timed(lambda: _must(ours(size, "present"), 0)))
        down.append(timed(lambda: _must(ours(size, "absent"), 1 + size)))
        quiet()
        theirs.append(timed(lambda: shell(script(size))))
        theirs_down.append(timed(lambda: shell(script_down(size))))
        quiet()
    middle = statistics.median
    return [
        ("build", middle(build), middle(theirs)),
        ("run again, nothing to do", middle(again), middle(theirs)),
        ("tear down", middle(down), middle(theirs_down)),
    ]


def _must(changed: int, expected: int) -> None:
    """A benchmark of something that did not happen is worth nothing."""
    if changed != expected:
        raise SystemExit(f"{changed} objects changed where {expected} were to: these times mean nothing.")


# ---- saying


def report(sizes: list[int], rounds: int) -> None:
    """Print the table."""
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, Linux {platform.release()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, pyroute2 {codec().version}, median of {rounds}"
    )
    print(
        "The ratio of building and tearing down is to the same in shell; that of running again is to building in shell."
    )
    print()
    print(f"{'namespaces':>10}  {'what':<26}{'ours':>10}{'per ns':>10}{'shell':>10}{'ours/shell':>12}")
    for size in sizes:
        for name, mine, theirs in measure(size, rounds):
            print(
                f"{size:>10}  {name:<26}{mine:>8.3f} s{mine / size * 1000:>7.1f} ms{theirs or 0:>8.3f} s"
                f"{mine / theirs if theirs else 0:>12.2f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "sizes", nargs="*", type=int, default=[10, 100], metavar="N", help="namespaces (default: 10 100)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed (default: 3)")
    parser.add_argument("--no-plays", dest="plays", action="store_false", help="leave Ansible out")
    parser.add_argument("--only", action="append", choices=TABLES, help="this table alone (may be given several times)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("Making namespaces needs root: run 'make bench'.")
    if _links():
        sys.exit("There are interfaces called bench... already. Run this in namespaces of its own: 'make bench'.")
    codec()  # the import is not what is measured
    wanted = options.only or [name for name in TABLES if name != "plays" or options.plays]
    if "labs" in wanted:
        report(options.sizes, options.rounds)
    if "nat" in wanted:
        nat.report(max(options.rounds, LEAST))
    if "connections" in wanted:
        connections.report(max(options.rounds, LEAST))
    if "plays" in wanted:
        plays.report(options.rounds)


if __name__ == "__main__":
    main()
