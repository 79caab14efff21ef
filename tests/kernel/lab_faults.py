# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trouble in the middle of a lab's run: at any of its operations something fails, or the process dies.

An operation is whatever a run does that can be noticed from outside: each request to the kernel that changes something,
also those that are sent together, and the beginning of each step, for those steps that write files or mount.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

from ansible_collections.patchbay.netns.plugins.module_utils._engine import run
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.netlink import NetlinkSocket, Refusal
from box import Box

MADE = "the fault that the test made"
_NO_REQUEST = 0x7FFF  # no type of rtnetlink message: the kernel refuses it with EOPNOTSUPP


class Operations:
    """Counts a run's operations, and lets something happen at one of them; see ``watching``."""

    def __init__(self, at: int | None = None, trouble: str = "") -> None:
        self.count = 0
        self._at = at
        self._trouble = trouble
        self.happened = False

    def here(self) -> bool:
        """Whether it is now. Counts."""
        now = self.count == self._at and not self.happened
        self.count += 1
        self.happened = self.happened or now
        return now

    def step(self) -> None:
        """A step begins."""
        if self.here():
            if self._trouble == "death":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KernelError(f"{MADE}.", errno=5)

    def requests(self, send: Callable[[Sequence[Any]], Any], messages: Sequence[Any]) -> None:
        """Requests are about to be sent together: one of them may be one that no kernel knows, or the last one ever."""
        for index, message in enumerate(messages):
            if self.here():
                if self._trouble == "death":
                    if index:
                        send(messages[:index])
                    os.kill(os.getpid(), signal.SIGKILL)
                message.kind = _NO_REQUEST

    def batch(self) -> None:
        """A batch is about to be sent that the kernel takes whole or not at all."""
        if self.here():
            if self._trouble == "death":
                os.kill(os.getpid(), signal.SIGKILL)
            raise Refusal(5, MADE, 0)


@contextlib.contextmanager
def watching(operations: Operations) -> Iterator[Operations]:
    """While the block runs, what runs do between looking and looking back is counted, and troubled."""
    exchange, send, batch, apply = NetlinkSocket.exchange, NetlinkSocket.send, NetlinkSocket.send_batch, run.apply
    active = [False]

    def exchange_(self: NetlinkSocket, messages: Sequence[Any]) -> Any:
        if active[0]:
            operations.requests(lambda some: exchange(self, some), messages)
        return exchange(self, messages)

    def send_(self: NetlinkSocket, messages: Sequence[Any]) -> Any:
        if active[0]:
            operations.requests(lambda some: send(self, some), messages)
        return send(self, messages)

    def batch_(self: NetlinkSocket, messages: Sequence[Any], **options: Any) -> Any:
        if active[0]:
            operations.batch()
        return batch(self, messages, **options)

    def apply_(kernel: Any, steps: Sequence[Any], **options: Any) -> None:
        with contextlib.ExitStack() as stack:
            for kind in {type(step) for step in steps}:
                stack.enter_context(mock.patch.object(kind, "apply", _counted(kind.apply, operations)))
            active[0] = True
            try:
                apply(kernel, steps, **options)
            finally:
                active[0] = False

    with (
        mock.patch.object(NetlinkSocket, "exchange", exchange_),
        mock.patch.object(NetlinkSocket, "send", send_),
        mock.patch.object(NetlinkSocket, "send_batch", batch_),
        mock.patch.object(run, "apply", apply_),
    ):
        yield operations


def _counted(apply: Callable, operations: Operations) -> Callable:
    def counted(self: Any, kernel: Any) -> None:
        operations.step()
        apply(self, kernel)

    return counted


def killed(box: Box, at: int, **params: Any) -> bool:
    """Run the topology module in a process that dies at an operation; False when it was through before."""

    def job() -> str:
        with watching(Operations(at, "death")):
            box.run("topology", **params)
        return "through"

    (answer,) = box.parallel([job])
    assert answer == "through" or isinstance(answer, ChildProcessError), answer
    return answer != "through"
