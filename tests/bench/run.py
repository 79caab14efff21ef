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

More tables follow: what address translation costs to set (nat.py) and to pass through (connections.py), how long a whole
lab takes at once (topology.py), and what Ansible adds (plays.py). One of them alone: ``make bench ARGS='--only nat'``.

Run it where nobody minds: tests/tools/isolated.sh gives it namespaces of its own.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import comparisons
import connections
import nat
import plays
import topology
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import execute
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.codec import codec
from ansible_collections.patchbay.netns.plugins.module_utils._objects.bridge import Bridge
from ansible_collections.patchbay.netns.plugins.module_utils._objects.ip_route import IpRoute
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import Netns
from ansible_collections.patchbay.netns.plugins.module_utils._objects.veth import Veth
from lab import Lab
from waiting import released

TABLES = ("labs", "nat", "connections", "topology", "plays")
ROUNDS = 3
LEAST = 5  # rounds of what takes milliseconds, or is compared with a bound
SIZES = [10, 100]  # of labs that are built object by object
SIZE = 1000  # of the one that is built at once


# ---- ours


def wishes(size: int, state: str) -> Iterator[Any]:
    """The objects of a lab, as the modules would get them."""
    common = {"state": state, "force": False}
    lab = Lab(size)
    for bridge in lab.switches():
        yield Bridge.from_params({"name": bridge.name, "addresses": list(bridge.addresses), **common})
    for cable in lab.cables():
        yield Netns.from_params({"name": cable.netns, "loopback": True, **common})
        if state == "absent":
            continue  # the cable and the route go with it
        end = {"name": "eth0", "netns": cable.netns, "addresses": list(cable.addresses)}
        yield Veth.from_params({**end, "peer": {"name": cable.port, "bridge": cable.bridge}, **common})
        for gateway in cable.gateways:
            yield IpRoute.from_params({"netns": cable.netns, "destination": "default", "gateway": gateway, **common})


def ours(size: int, state: str) -> int:
    """Carry the lab out; returns how many objects changed."""
    return sum(execute(wish).changed for wish in wishes(size, state))


# ---- timing


def timed(action: Callable[[], object]) -> float:
    """Seconds on the clock."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(size: int, rounds: int) -> list[tuple[str, float, float | None]]:
    """Name, our median and the script's, of each thing that is timed."""
    lab = Lab(size)
    build, again, down, theirs, theirs_down = ([] for _each in range(5))
    for _round in range(rounds):
        build.append(timed(lambda: _must(ours(size, "present"), lab.bridges + 3 * size)))
        again.append(timed(lambda: _must(ours(size, "present"), 0)))
        down.append(timed(lambda: _must(ours(size, "absent"), lab.bridges + size)))
        released()
        theirs.append(timed(lambda: comparisons.shell(comparisons.script(lab))))
        theirs_down.append(timed(lambda: comparisons.shell(comparisons.script_down(lab))))
        released()
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
    print()
    print(f"labs that are built one object after another, median of {rounds}")
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


def machine() -> str:
    """What the figures depend on."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, Linux {platform.release()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, pyroute2 {codec().version}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "sizes", nargs="*", type=int, default=[], metavar="N", help="namespaces (default: 10 100, and 1000 at once)"
    )
    parser.add_argument("--rounds", type=int, help=f"how often each is timed (default: 3; of topology {LEAST})")
    parser.add_argument(
        "--slow", type=int, default=1, metavar="N", help="the same of shell and Mininet in topology (default: 1)"
    )
    parser.add_argument("--profile", action="store_true", help="say what topology spends its time on, and nothing else")
    parser.add_argument("--no-plays", dest="plays", action="store_false", help="leave Ansible out")
    parser.add_argument("--only", action="append", choices=TABLES, help="this table alone (may be given several times)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("Making namespaces needs root: run 'make bench'.")
    if comparisons.names():
        sys.exit("There are named namespaces here already. Run this in namespaces of its own: 'make bench'.")
    size = options.sizes[-1] if options.sizes else SIZE
    if options.profile:
        topology.profile(size)
        return
    print(machine())  # with it pyroute2 is imported, which is not what is measured
    wanted = options.only or [name for name in TABLES if name != "plays" or options.plays]
    rounds = options.rounds or ROUNDS
    if "labs" in wanted:
        report(options.sizes or SIZES, rounds)
    if "nat" in wanted:
        nat.report(max(rounds, LEAST))
    if "connections" in wanted:
        connections.report(max(rounds, LEAST))
    if "topology" in wanted:
        topology.report(size, options.rounds or LEAST, options.slow)
    if "plays" in wanted:
        plays.report(rounds)


if __name__ == "__main__":
    main()
