# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of the topology module without Ansible, in a process of its own: a job as JSON comes in, its measures go out.

The job says the module's parameters, and which Python modules to import before the clock starts; the answer says which
ones were still imported while it ran, so that the next job can name them.
"""

from __future__ import annotations

import cProfile
import importlib
import json
import pstats
import sys
import time
from pathlib import Path
from typing import Any

_OURS = "ansible_collections.patchbay.netns.plugins.module_utils"
_LEFT_OUT = ("__", "pyroute2")  # no modules that can be named, and what is imported in a way of our own


def peak() -> int:
    """The most memory that this program has used, in bytes. A parent's share is not in it, other than in ru_maxrss."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def profiled(run: Any) -> Any:
    """Run it with a profile on standard error: the 25 functions that took longest themselves, and with all they call.

    Only its own time counts, on a busy machine too: waiting does not show.
    """
    profile = cProfile.Profile(time.process_time)
    found = profile.runcall(run)
    for order in ("tottime", "cumulative"):
        pstats.Stats(profile, stream=sys.stderr).strip_dirs().sort_stats(order).print_stats(25)
    return found


def main() -> None:
    job = json.load(sys.stdin)
    topology = importlib.import_module(f"{_OURS}._topology.run")
    importlib.import_module(f"{_OURS}._kernel.codec").codec()
    for name in job.get("preload", ()):
        importlib.import_module(name)
    before, imports = set(sys.modules), peak()

    def run() -> dict[str, Any]:
        found: dict[str, Any] = topology.run(job["params"], check=False, diff=False)
        return found

    start = time.perf_counter()
    result = profiled(run) if job.get("profile") else run()
    seconds = time.perf_counter() - start
    json.dumps(result, default=str)  # so does the module, in the same memory
    answer = {
        "start": start,
        "seconds": seconds,
        "changed": result["changed"],
        "commands": len(result["commands"]),
        "peak": peak(),
        "imports": imports,
        "loaded": sorted(name for name in set(sys.modules) - before if not name.startswith(_LEFT_OUT)),
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
