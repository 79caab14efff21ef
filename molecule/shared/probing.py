# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test's side of probe.py: packets from and to the namespaces of a machine, and proof of who answered."""

from __future__ import annotations

import contextlib
import json
import pathlib
import secrets
import shlex
from collections.abc import Iterator
from typing import Any

from testinfra.host import Host

HERE = pathlib.Path(__file__).parent
PLACE = "/root/probe.py"


class Probe:
    """Runs probe.py on one machine. ``prepare.yml`` has put it there."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def run(self, command: str, *arguments: object, netns: str = "") -> Any:
        """The JSON value that one command of probe.py prints, inside a namespace or on the machine itself."""
        words = ["python3", PLACE, *(["--netns", netns] if netns else []), command, *map(str, arguments)]
        return json.loads(self.host.check_output(shlex.join(words).replace("%", "%%")))

    def ping(self, to: str, *, netns: str = "", source: str = "", seconds: float = 1.0) -> str:
        """How one echo request ended: reached, timeout, no route, no neighbour."""
        options = ["--source", source] if source else []
        return str(self.run("ping", to, "--seconds", seconds, *options, netns=netns)["outcome"])

    def ask(self, to: str, port: int, *, netns: str = "", udp: bool = False, seconds: float = 1.0) -> dict[str, Any]:
        """What came of asking a server: ``outcome``, and if it was reached ``who`` answered and which ``caller`` it saw."""
        answer = self.run("ask-udp" if udp else "ask", to, port, "--seconds", seconds, netns=netns)
        assert isinstance(answer, dict)
        return answer

    @contextlib.contextmanager
    def server(self, port: int, *, netns: str = "", udp: bool = False) -> Iterator[str]:
        """A server in a namespace, for as long as the block runs. Yields the random token that it answers with."""
        token = secrets.token_hex(8)
        pid = self.run("serve-udp" if udp else "serve", port, token, netns=netns)["pid"]
        try:
            yield token
        finally:
            self.host.run("kill -KILL %s", str(pid))
