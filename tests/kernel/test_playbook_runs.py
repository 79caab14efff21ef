# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A large lab built by ansible-playbook: how far it is can be seen meanwhile, and Ctrl-C leaves nothing of it behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from box import Box

ROOT = Path(__file__).parents[2]
SIZE = 2000
LAB = "name: crowd\n" + "\n".join(
    [
        "bridges:",
        *(f"  lan{number}: {{addresses: [10.{number}.0.1/16]}}" for number in range(4)),
        "namespaces:",
        *(
            f"  n{number}: {{interfaces: {{eth0: {{bridge: lan{number % 4}, addresses: auto}}}}, gateway: 10.{number % 4}.0.1}}"
            for number in range(SIZE)
        ),
    ]
)
PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - patchbay.netns.topology:
        src: crowd.yml
"""
# A way to this machine that Ansible does not know to be one.
ELSEWHERE = '''\
import subprocess
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: elsewhere
short_description: runs a shell
description: [runs a shell]
author: [nobody]
options: {}
"""

class Connection(ConnectionBase):
    transport = "elsewhere"
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = subprocess.run(cmd, shell=True, input=in_data or b"", capture_output=True)
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path, out_path):
        raise NotImplementedError

    def fetch_file(self, in_path, out_path):
        raise NotImplementedError

    def close(self):
        pass
'''


@contextlib.contextmanager
def playing(folder: Path, connection: str) -> Iterator[subprocess.Popen[str]]:
    """ansible-playbook at work on the lab, with its output at a pipe, in a process group of its own as in a terminal."""
    (folder / "files").mkdir()
    (folder / "files" / "crowd.yml").write_text(LAB)
    (folder / "play.yml").write_text(PLAY)
    (folder / "elsewhere.py").write_text(ELSEWHERE)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible/collections"),
        "ANSIBLE_CONNECTION_PLUGINS": str(folder),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "host,", "-c", connection, str(folder / "play.yml")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            # Ansible's workers are leaders of process groups of their own.
            workers = subprocess.run(["pgrep", "-P", str(process.pid)], stdout=subprocess.PIPE, text=True, check=False)
            for pid in [process.pid, *map(int, workers.stdout.split())]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.05)


def links(box: Box) -> list[str]:
    return [link["ifname"] for link in box.ip("link show", json=True)]


@pytest.mark.parametrize("connection", ["local", "elsewhere"])
def test_progress_is_shown_and_ctrl_c_takes_everything_back(box: Box, tmp_path: Path, connection: str) -> None:
    with playing(tmp_path, connection) as process:
        assert process.stdout
        shown = next((line for line in process.stdout if line.startswith("lab crowd on host: ")), "")
        assert shown, "it ended without a word of how far it was"
        assert process.poll() is None
        eventually(lambda: box.names() != [])
        os.killpg(process.pid, signal.SIGINT)
        rest, _nothing = process.communicate(timeout=120)
        assert "interrupted" in rest
        assert "changed:" not in rest

    eventually(lambda: box.names() == [] and links(box) == ["lo"])
    folder = Path("/run/patchbay.netns/labs")
    assert not folder.exists() or list(folder.iterdir()) == []
