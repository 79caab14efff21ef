# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Netlink requests of many steps, sent together: the kernel is asked a few times instead of thousands of times.

They are carried out in the order in which they were added. Whoever needs the effect of what is waiting has it sent first:
by asking a question, by entering a namespace, or by ``flush``.
"""

from __future__ import annotations

import errno
import time
import typing as t

from .._errors import KernelError
from . import netlink

if t.TYPE_CHECKING:
    from .netlink import NetlinkSocket

_NAME_FREED = 2.0  # seconds: a name is taken until the kernel has freed the namespace that held it
_POLL = 0.002  # seconds
_NO_STEP = 0
LIMIT = 128
"""Requests in one send: their answers must fit in a socket's buffer."""


class Request(t.NamedTuple):
    """One message, the words for its refusal ('the kernel refused to ...'), and the errors that are as good as success.

    A ``patient`` one is asked again for a while when what it wants to make is there: a namespace that is gone for everybody
    else holds the names of its cables until the kernel has freed it.
    """

    sock: NetlinkSocket
    message: t.Any
    doing: netlink.Words
    tolerated: t.Collection[int] = ()
    patient: bool = False


class Queue:
    """What waits to be sent, and which steps had an effect. ``problems``, where given, takes refusals instead of raising."""

    def __init__(self, problems: list[str] | None = None) -> None:
        self._waiting: list[tuple[Request, int]] = []
        self._condemned: dict[NetlinkSocket, list[tuple[Request, Request, int]]] = {}
        self._step = 0
        self._asked: set[int] = set()
        self._carried: set[int] = set()
        self._problems = problems

    def begin(self, step: object) -> None:
        """What is added from here on belongs to the step."""
        self._step = id(step)

    def took_effect(self, step: object, returned: bool) -> bool:
        """Whether anything of the step was carried out; ``returned`` is the answer for one that never added a request."""
        return id(step) in self._carried if id(step) in self._asked else returned

    def add(self, request: Request) -> None:
        """Let a request wait. May send what waits before it. Raises KernelError, of any request that was sent."""
        if self._condemned and request.message.flags & netlink.CREATE:
            self.flush()  # what is to be made may have the name of what goes
        self._asked.add(self._step)
        self._waiting.append((request, self._step))
        if len(self._waiting) >= LIMIT:
            self._send()

    def condemn(self, mark: Request, sentence: Request, pardon: Request) -> None:
        """Mark a link, and carry out the sentence on all marked ones at the next flush: they share one grace period.

        Until then nothing of the step took effect: ``pardon`` takes the mark away.
        """
        self._asked.add(self._step)
        self._waiting.append((mark, _NO_STEP))
        self._condemned.setdefault(mark.sock, []).append((sentence, pardon, self._step))

    def flush(self) -> None:
        """Send everything that waits. Raises KernelError, of the first request that was refused."""
        self._send()
        for sock, condemned in list(self._condemned.items()):
            self._exchange(sock, [(condemned[0][0], _NO_STEP)])
            self._carried |= {step for _sentence, _pardon, step in condemned}
            del self._condemned[sock]

    def pardon(self) -> None:
        """Give up: what waits is never sent, and links that are marked already are no longer."""
        self._waiting = []
        condemned, self._condemned = self._condemned, {}
        for sock, each in condemned.items():
            sock.exchange([pardon.message for _sentence, pardon, _step in each])

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        start = 0
        while start < len(waiting):
            sock, end = waiting[start][0].sock, start + 1
            while end < len(waiting) and end - start < LIMIT and waiting[end][0].sock is sock:
                end += 1
            self._exchange(sock, waiting[start:end])
            start = end

    def _exchange(self, sock: NetlinkSocket, group: list[tuple[Request, int]]) -> None:
        refusals = sock.exchange([request.message for request, _step in group])
        deadline = time.monotonic() + _NAME_FREED
        while time.monotonic() < deadline and any(
            refusal.number == errno.EEXIST and group[index][0].patient for index, refusal in refusals.items()
        ):
            time.sleep(_POLL)
            again = sorted(refusals)  # what failed behind it may have failed because of it
            found = sock.exchange([group[index][0].message for index in again])
            refusals = {again[number]: refusal for number, refusal in found.items()}
        first: KernelError | None = None
        for index, (request, step) in enumerate(group):
            refusal = refusals.get(index)
            if refusal is None or refusal.number in request.tolerated:
                self._carried.add(step)
            elif self._problems is not None:
                self._problems.append(str(refusal.explain(request.doing)))
            else:
                first = first or refusal.explain(request.doing)
        if first is not None:
            raise first
