# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Running other people's programs inside a namespace: their firewalls are changed only through them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import typing as t

from .._errors import PatchbayError
from . import namespaces
from .kernel import Kernel

_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_TIMEOUT = 60  # seconds; a firewall's lock may be held for a while


class ProgramFailed(PatchbayError):
    """Another program is missing or refused. ``command`` and its complaint are in the details."""

    code = "PROGRAM_FAILED"


def find(name: str) -> str | None:
    """The file of a program, or None. Also where the caller's PATH leaves out the administrator's programs."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_PATH]))


def run(kernel: Kernel, netns: str | None, command: t.Sequence[str]) -> str:
    """Run a program in the namespace and return what it printed, in English. Raises ProgramFailed and NotFound."""
    shown = _shown(netns, command)
    file = find(command[0])
    if file is None:
        raise ProgramFailed(
            f"{command[0]} is not installed here, so this was not done: {shown}. "
            "Run it by hand where the program is, or install the program.",
            command=shown,
        )
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "", "PATH": os.pathsep.join(_PATH)}
    try:
        with kernel.inside(netns):
            done = subprocess.run(
                [file, *command[1:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=environment,
                timeout=_TIMEOUT,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise ProgramFailed(
            f"{shown} did not end in {_TIMEOUT} seconds. Run it by hand to see why.", command=shown
        ) from None
    except OSError as error:
        raise ProgramFailed(f"{shown} could not be started: {error.strerror}.", command=shown) from None
    if done.returncode:
        complaint = " ".join((done.stderr.strip() or done.stdout.strip() or "it does not say why").split())
        raise ProgramFailed(f"{shown} failed: {complaint}", command=shown, complaint=complaint, status=done.returncode)
    return done.stdout


def in_boot_namespace(kernel: Kernel, netns: str | None) -> bool:
    """Whether the namespace is the one that the machine's daemons live in: that of process 1.

    Programs that talk to a daemon (firewall-cmd), or load what is configured for the boot (ufw), mean that one wherever
    they are started.
    """
    return namespaces.is_boots(kernel.file(netns))


def _shown(netns: str | None, command: t.Sequence[str]) -> str:
    return (f"ip netns exec {shlex.quote(netns)} " if netns else "") + " ".join(shlex.quote(word) for word in command)
