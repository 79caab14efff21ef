# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tasks of ours cost in a play, in tasks of ansible.builtin.ping: Ansible itself takes most of the time of either."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PING: dict[str, Any] = {"ansible.builtin.ping": {}}
FORWARD = {"protocol": "tcp", "port": "8099", "to_address": "192.0.2.2"}
IDLE: dict[str, dict[str, Any]] = {
    "a module with nothing to do": {"patchbay.netns.netns": {"name": "bench"}},
    "the same, the largest module": {"patchbay.netns.dnat_forward": FORWARD},
}
TASKS = 12  # of one kind in a play


def play(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A playbook for this machine."""
    return [{"name": "Bench", "hosts": "localhost", "gather_facts": False, "tasks": tasks}]


def run(playbook: Path) -> tuple[float, str]:
    """Seconds that a playbook takes, and what it said."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook)]
    command += ["--extra-vars", json.dumps({"ansible_python_interpreter": sys.executable})]
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{playbook} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - start, done.stdout


def results(output: str) -> int:
    """How many times a module or action ran: each gives a line, each item of a loop gives one."""
    return sum(line.startswith(("ok: [", "changed: [")) for line in output.splitlines())


def measure(rounds: int) -> list[tuple[str, float, float]]:
    """Name, seconds with our tasks, seconds with as many of ansible.builtin.ping."""
    with tempfile.TemporaryDirectory() as folder:

        def seconds(tasks: list[dict[str, Any]]) -> float:
            file = Path(folder) / "play.yml"
            file.write_text(json.dumps(play(tasks)))
            return run(file)[0]

        seconds(list(IDLE.values()))  # from here on there is nothing to do
        empty, pings, build, same, down = ([] for _each in range(5))
        idle: dict[str, list[float]] = {name: [] for name in IDLE}
        for _round in range(rounds):
            empty.append(seconds([]))
            for name, task in IDLE.items():
                idle[name].append(seconds([task] * TASKS))
            pings.append(seconds([PING] * TASKS))
            took, output = run(ROOT / "playbooks/site.yml")
            build.append(took)
            same.append(seconds([PING] * results(output)))
            down.append(run(ROOT / "playbooks/teardown.yml")[0])
        start = statistics.median(empty)
        return [
            *(
                (name, (statistics.median(took) - start) / TASKS, (statistics.median(pings) - start) / TASKS)
                for name, took in idle.items()
            ),
            (f"site.yml ({results(output)} results)", statistics.median(build), statistics.median(same)),
        ]


def report(rounds: int) -> None:
    """Print the table."""
    print()
    print(f"{'what':<38}{'ours':>10}{'ping':>12}{'ours/ping':>12}")
    for name, mine, theirs in measure(rounds):
        print(f"{name:<38}{mine:>8.3f} s{theirs:>10.3f} s{mine / theirs:>12.2f}", flush=True)
