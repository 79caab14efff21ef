# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reach the test containers through ``podman exec``, with pipelining: one process per task."""

from __future__ import annotations

DOCUMENTATION = r"""
name: podman_exec
short_description: Run tasks in local podman containers
description:
  - For this project's tests only. It knows as much of podman as they need.
author:
  - The patchbay.netns contributors
options:
  remote_addr:
    description: Name of the container.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
  remote_user:
    description: User inside of the container.
    type: str
    default: root
"""

import pathlib
import shlex
import subprocess
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase


class Connection(ConnectionBase):
    """A running container on this machine."""

    transport = "podman_exec"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def close(self) -> None:
        """Nothing is kept open between commands."""
        self._connected = False

    def _podman_exec(self, cmd: str, in_data: bytes | None) -> tuple[int, bytes, bytes]:
        container = self.get_option("remote_addr")
        done = subprocess.run(
            [
                "podman",
                "exec",
                "--interactive",
                "--user",
                self.get_option("remote_user"),
                container,
                "/bin/sh",
                "-c",
                cmd,
            ],
            input=in_data or b"",
            capture_output=True,
            check=False,
        )
        # 125 is podman's own failure, such as a container that is not there.
        if done.returncode == 125:
            raise AnsibleConnectionFailure(f"podman cannot reach {container}: {done.stderr.decode(errors='replace')}")
        return done.returncode, done.stdout, done.stderr

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command; gives its exit status and what it wrote."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return self._podman_exec(cmd, in_data)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file into the container."""
        super().put_file(in_path, out_path)
        self._copied(f"cat >{shlex.quote(out_path)}", pathlib.Path(in_path).read_bytes())

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file out of the container."""
        super().fetch_file(in_path, out_path)
        pathlib.Path(out_path).write_bytes(self._copied(f"cat {shlex.quote(in_path)}", None))

    def _copied(self, cmd: str, in_data: bytes | None) -> bytes:
        status, out, err = self._podman_exec(cmd, in_data)
        if status:
            raise AnsibleConnectionFailure(f"{cmd} failed in the container: {err.decode(errors='replace')}")
        return out

    def reset(self, *_args: Any) -> None:
        """Nothing to reset."""
