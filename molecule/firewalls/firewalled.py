# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with somebody's firewall: the playbooks that a user runs for it, what they say, and what passes afterwards."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import testinfra
import yaml
from testinfra.host import Host

HERE = pathlib.Path(__file__).resolve().parent
WARNING = "[WARNING]: "
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """What one run of a playbook did and said."""

    results: list[dict[str, Any]]
    warnings: list[str]

    @property
    def commands(self) -> list[str]:
        return [command for result in self.results for command in result["commands"]]

    @property
    def printed(self) -> list[str]:
        """What the warnings tell a person to type."""
        return [text.partition("Let them pass with `")[2].partition("`, or set")[0] for text in self.warnings]


class Machine:
    """Whose firewall it has, and what can be done with it. ``prepare.yml`` has put the scripts there."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.name = host.backend.get_pytest_id().removeprefix("podman://")
        self.owner = self.name.rpartition("-")[2]

    def run(self, playbook: str = "translate.yml", **values: str) -> Run:
        """Run a playbook of the scenario for this machine alone. ``values`` are variables of vars/lab.yml, without their lab_."""
        extra = json.dumps({f"lab_{name}": value for name, value in values.items()})
        done = subprocess.run(
            ["ansible-playbook", "-i", self._inventory(), "--limit", self.name, "-e", extra, HERE / playbook],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        warnings = [line.removeprefix(WARNING) for line in done.stderr.splitlines() if line.startswith(WARNING)]
        return Run(self.noted("said"), warnings)

    def module(self, name: str, **options: Any) -> dict[str, Any]:
        """Run one module for this machine; its result, also where it failed."""
        words = [
            "ansible",
            "-i",
            self._inventory(),
            self.name,
            "-m",
            f"patchbay.netns.{name}",
            "-a",
            json.dumps(options),
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert " => " in done.stdout, done.stdout + done.stderr
        return dict(json.loads(done.stdout.partition(" => ")[2]))

    def noted(self, name: str) -> Any:
        """What the last run, or ``prepare.yml``, has kept."""
        return json.loads(self.host.file(f"/root/{name}.json").content_string)

    def ways(self) -> dict[str, dict[str, str]]:
        """What passes now."""
        return dict(json.loads(self.host.check_output("python3 /root/ways.py")))

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """How everybody's firewall and our own things are now."""
        return dict(json.loads(self.host.check_output("python3 /root/snapshot.py")))

    @staticmethod
    def _inventory() -> pathlib.Path:
        return pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory")


def everywhere(work: Callable[[Machine], T]) -> dict[str, T]:
    """Do the same on all machines of the scenario at once; the results by owner."""
    platforms = yaml.safe_load(pathlib.Path(os.environ["MOLECULE_FILE"]).read_text())["platforms"]
    machines = [Machine(testinfra.get_host(f"podman://{platform['name']}")) for platform in platforms]
    with ThreadPoolExecutor() as pool:
        return dict(zip([machine.owner for machine in machines], pool.map(work, machines), strict=True))
