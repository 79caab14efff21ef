# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test's side of opener.py."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from testinfra.host import Host


class Opener:
    """Runs opener.py on one machine. ``prepare.yml`` has put it there, ``converge.yml`` has opened everything."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.owner = host.backend.get_pytest_id().rpartition("-")[2]
        self._backends = "nft,legacy" if self.owner == "docker" else "nft"

    def apply(self, *tags: str) -> Any:
        return json.loads(self.host.check_output(self._command("apply", self.owner, self._backends, *tags)))

    def refusal(self, *tags: str) -> str:
        """How the attempt to open failed."""
        done = self.host.run(self._command("apply", self.owner, self._backends, *tags))
        assert done.rc == 1, done.stdout
        return str(done.stderr)

    def run(self, *words: str) -> Any:
        return json.loads(self.host.check_output(self._command(*words)))

    @staticmethod
    def _command(*words: str) -> str:
        return shlex.join(["python3", "/root/opener.py", *words]).replace("%", "%%")


@pytest.fixture
def opener(host: Host) -> Opener:
    return Opener(host)
