# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a thousand forwards and a hundred masquerades cost to set, next to ``nft -f`` with the very same rules.

Ours reads the table, the routes, the listeners and the settings first, forgets flows afterwards, and reads everything
again for the result; it runs in this process, and its imports are paid. nft is a program that is started each time. The
kernel's share is the time from sending the batch to its acknowledgement, which both have to wait for.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import execute
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nftables
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.netlink import NetlinkSocket
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_changes import Content, changes
from ansible_collections.patchbay.netns.plugins.module_utils._objects.forward import Forward
from ansible_collections.patchbay.netns.plugins.module_utils._objects.masquerade import Masquerade
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat import Nat

FORWARDS, MASQUERADES = 1000, 100
BRIDGE = "bench-nat"


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
    masquerades = [
        Masquerade.from_params({"source": f"10.66.{number}.0/24", **common}) for number in range(MASQUERADES)
    ]
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


def content() -> Content:
    """What is in the table."""
    with Kernel() as kernel:
        found = nftables.read(kernel, None)
    if found is None:
        raise SystemExit("there is no table: these times mean nothing.")
    return found


def share(now: Content | None, wanted: Content | None) -> float:
    """Milliseconds of the kernel alone: its table goes from ``now`` to ``wanted``."""
    took: list[float] = []

    class Timed(NetlinkSocket):
        def send_batch(self, messages: Any, *, acknowledged: int) -> None:
            took.append(timed(lambda: super(Timed, self).send_batch(messages, acknowledged=acknowledged)))

    class TimedKernel(Kernel):
        def netfilter(self, netns: str | None) -> NetlinkSocket:
            found = super().netfilter(netns)
            found.__class__ = Timed
            return found

    with TimedKernel() as kernel:
        nftables.send(kernel, None, changes(now, wanted))
    return took[0]


@contextlib.contextmanager
def bridge() -> Iterator[None]:
    """The network that the forwards lead to."""
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", "10.65.255.254/16", "dev", BRIDGE], check=True)
    subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
    yield
    subprocess.run(["ip", "link", "del", BRIDGE], check=True)


@dataclass
class Times:
    """Milliseconds, one for each round."""

    add: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    remove: list[float] = field(default_factory=list)
    nft: list[float] = field(default_factory=list)
    nft_delete: list[float] = field(default_factory=list)
    kernel: list[float] = field(default_factory=list)
    kernel_delete: list[float] = field(default_factory=list)


def measure(rounds: int) -> Times:
    """Each thing once in a round, so that a busy machine slows all of them."""
    there, gone, found = wish(), wish("absent"), Times()
    with bridge(), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.nft"
        for _round in range(rounds):
            found.add.append(timed(lambda: run(there, changes=True)))
            file.write_text(nft("list", "table", "inet", "patchbay"))
            table = content()
            found.again.append(timed(lambda: run(there, changes=False)))
            found.remove.append(timed(lambda: run(gone, changes=True)))
            found.nft.append(timed(lambda: nft("-f", str(file))))
            if content() != table:
                raise SystemExit("nft made another table: these times mean nothing.")
            found.nft_delete.append(timed(lambda: nft("delete", "table", "inet", "patchbay")))
            found.kernel.append(share(None, table))
            found.kernel_delete.append(share(table, None))
    return found


def report(rounds: int) -> None:
    """Print the table."""
    found, middle = measure(rounds), statistics.median
    print()
    print(f"{FORWARDS} forwards and {MASQUERADES} masquerades in one run, median of {rounds} (and the least)")
    print(f"{'what':<26}{'ours':>22}{'next to':>36}{'ratio':>8}{'bound':>7}")
    for name, mine, other, theirs, bound in (
        ("add", found.add, "nft -f", found.nft, "2.0"),
        ("  of it the kernel alone", found.kernel, "nft -f", found.nft, ""),
        ("run again, nothing to do", found.again, "adding", found.add, "0.5"),
        ("remove", found.remove, "nft delete", found.nft_delete, ""),
        ("  of it the kernel alone", found.kernel_delete, "nft delete", found.nft_delete, ""),
    ):
        ratio = middle(mine) / middle(theirs)
        print(f"{name:<26}{_both(mine):>22}{other:>14}{_both(theirs):>22}{ratio:>8.2f}{bound:>7}", flush=True)


def _both(times: list[float]) -> str:
    return f"{statistics.median(times):.1f} ms ({min(times):.1f})"


if __name__ == "__main__":
    report(7)
