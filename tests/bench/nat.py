# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a thousand forwards and a hundred masquerades cost to set, next to ``nft -f`` with the very same rules."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import execute
from ansible_collections.patchbay.netns.plugins.module_utils._objects.forward import Forward
from ansible_collections.patchbay.netns.plugins.module_utils._objects.masquerade import Masquerade
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat import Nat

FORWARDS, MASQUERADES = 1000, 100
BRIDGE, NETWORK = "bench-nat", "10.65.0.0/16"


def wish(state: str = "present") -> Nat:
    """All of them as one wish, as a whole lab would ask for them."""
    common: dict[str, Any] = {"state": state, "forwarding": True}
    forwards = [
        Forward.from_params(
            {
                "protocol": "tcp",
                "port": str(10000 + number),
                "to_address": f"10.65.{number // 250}.{number % 250 + 1}",
                "to_port": "80",
                **common,
            }
        )
        for number in range(FORWARDS)
    ]
    masquerades = [Masquerade.from_params({"source": f"10.66.{number}.0/24", **common}) for number in range(MASQUERADES)]
    return Nat((*forwards, *masquerades))


def timed(action: Callable[[], object]) -> float:
    """Milliseconds on the clock."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def run(asked: Nat, *, changes: bool) -> None:
    """Carry it out; a benchmark of something that did not happen is worth nothing."""
    if execute(asked).changed != changes:
        raise SystemExit(f"changed was to be {changes}: these times mean nothing.")


def nft(*arguments: str) -> str:
    return subprocess.run(["nft", *arguments], check=True, capture_output=True, text=True).stdout


def measure(rounds: int) -> list[tuple[str, float, float]]:
    """Name, our milliseconds, nft's, of each thing that is timed."""
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", "10.65.255.254/16", "dev", BRIDGE], check=True)
    subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
    there, gone = wish(), wish("absent")
    add, again, remove, theirs, theirs_removed = ([] for _each in range(5))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.nft"
        for _round in range(rounds):
            add.append(timed(lambda: run(there, changes=True)))
            file.write_text(nft("list", "table", "inet", "patchbay"))
            again.append(timed(lambda: run(there, changes=False)))
            remove.append(timed(lambda: run(gone, changes=True)))
            theirs.append(timed(lambda: nft("-f", str(file))))
            theirs_removed.append(timed(lambda: nft("delete", "table", "inet", "patchbay")))
    subprocess.run(["ip", "link", "del", BRIDGE], check=True)
    middle = statistics.median
    return [
        ("add", middle(add), middle(theirs)),
        ("run again, nothing to do", middle(again), middle(add)),
        ("remove", middle(remove), middle(theirs_removed)),
    ]


def report(rounds: int) -> None:
    """Print the table."""
    print(f"{FORWARDS} forwards and {MASQUERADES} masquerades in one run")
    print(f"{'what':<38}{'ours':>10}{'next to':>12}{'ratio':>8}")
    for (name, mine, theirs), other in zip(measure(rounds), ("nft -f", "adding", "nft delete"), strict=True):
        print(f"{name:<38}{mine:>7.1f} ms{theirs:>9.1f} ms{mine / theirs:>8.2f}   {other}", flush=True)


if __name__ == "__main__":
    report(5)
