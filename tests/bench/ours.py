# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The topology module: as a process of its own without Ansible (inside.py), and as a whole ``ansible-playbook`` run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import plays
import yaml
from lab import NAME

_DEFAULTS: dict[str, Any] = {
    "src": None,
    "definition": None,
    "name": None,
    "state": "present",
    "purge": True,
    "adopt": False,
    "verify": False,
    "force": False,
    "lock_timeout": 300,
}


@dataclass(frozen=True)
class Answer:
    """Measures of one run: seconds, imports aside, and bytes of memory."""

    start: float
    """On the clock of ``time.perf_counter``."""
    seconds: float
    changed: bool
    commands: int
    peak: int
    imports: int
    """The peak before it ran, with everything imported."""
    loaded: list[str]


@dataclass
class Module:
    """The module. Every run is a new process, as Ansible has it, which imports first what earlier ones needed."""

    _imports: list[str] = field(default_factory=list)

    def present(self, definition: dict[str, Any], *, changes: bool, profile: bool = False) -> Answer:
        """Make the lab. Ends the program unless something changed, or did not, as it was to."""
        return self._run({"definition": definition}, changes=changes, profile=profile)

    def absent(self, *, profile: bool = False) -> Answer:
        """Remove the lab, which has to be there."""
        return self._run({"name": NAME, "state": "absent"}, changes=True, profile=profile)

    def _run(self, params: dict[str, Any], *, changes: bool, profile: bool) -> Answer:
        job = {"params": {**_DEFAULTS, **params}, "preload": self._imports, "profile": profile}
        program = [sys.executable, str(Path(__file__).with_name("inside.py"))]
        done = subprocess.run(program, input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit("The topology module failed, as is said above: nothing can be measured.")
        answer = Answer(**json.loads(done.stdout))
        if answer.changed != changes:
            raise SystemExit(f"changed was to be {changes}: these times mean nothing.")
        self._imports += answer.loaded
        return answer


def playbook(definition: dict[str, Any], *, changes: bool) -> float:
    """Seconds of a whole run of a playbook with one task, which reads the lab from a file."""
    with tempfile.TemporaryDirectory() as folder:
        lab, play = Path(folder) / "lab.yml", Path(folder) / "play.yml"
        lab.write_text(yaml.safe_dump(definition, sort_keys=False))
        play.write_text(json.dumps(plays.play([{"patchbay.netns.topology": {"src": str(lab)}}])))
        seconds, output = plays.run(play)
    if f"changed={int(changes)} " not in output:
        raise SystemExit(f"changed was to be {int(changes)}, but Ansible said:\n{output[-2000:]}")
    return seconds
