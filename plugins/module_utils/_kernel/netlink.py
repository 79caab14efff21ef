# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""A netlink socket of our own: messages sent together, answers collected together (netlink(7))."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import typing as t

from .._errors import KernelError

if t.TYPE_CHECKING:
    from .queue import Queue

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12  # linux/netlink.h
REQUEST, ACK, DUMP, REPLACE, EXCL, CREATE = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400

_ERROR, _DONE = 2, 3  # message types
_DUMP_INTR, _ACK_TLVS = 0x10, 0x200  # flags of answers
_SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK, _STRICT_CHECK = 10, 11, 12
_SNDBUFFORCE, _RCVBUFFORCE = 32, 33  # asm-generic/socket.h
_HEADER = struct.Struct("=IHHII")
_BUFFER = 1 << 16
"""Bytes of the longest datagram: the kernel makes dumps of at most 32 KiB (netlink_dump in net/netlink/af_netlink.c)."""
_QUEUE = 8 << 20  # bytes
_DUMP_TRIES = 20
_TOGETHER = 64  # questions in one send


Words = t.Union[str, t.Callable[[], str]]
"""A text, or how to get it: for those that are made a thousand times and read once."""


class Refusal(Exception):
    """An error answer: errno, the kernel's own text (may be empty), and which message of the batch it is about."""

    def __init__(self, number: int, text: str, index: int) -> None:
        super().__init__(number, text)
        self.number = number
        self.text = text
        self.index = index

    def explain(self, doing: Words) -> KernelError:
        """The error for a person: ``doing`` completes 'the kernel refused to ...'."""
        doing = doing if isinstance(doing, str) else doing()
        name = errno.errorcode.get(self.number, str(self.number))
        words = self.text or os.strerror(self.number)
        hint = " This needs root: set become: true." if self.number == errno.EPERM else ""
        return KernelError(
            f"the kernel refused to {doing}: {words} ({name}).{hint}", errno=self.number, kernel=self.text
        )


class Raw:
    """A message that was packed by hand: its type, its flags, and all that follows the header."""

    def __init__(self, kind: int, flags: int, body: bytes) -> None:
        self.kind = kind
        self.flags = flags
        self.body = body

    def answer(self, content: bytes) -> t.Any:
        """What ``ask`` returns for one answer, of which these are the bytes behind its header."""
        return content


class NetlinkSocket:
    """One socket of one family in the namespace in which it was made; it stays there."""

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.bind((0, 0))
        self._sequence = 1
        self.queue: Queue | None = None
        """Where requests wait for others, while somebody gathers them."""
        for option in (_RCVBUFFORCE, _SNDBUFFORCE) if family == NETLINK_NETFILTER else ():
            # A table is one message, however large. Other requests are sent so many together that they fit.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, option, _QUEUE)
        for option in (_CAP_ACK, _EXT_ACK, _STRICT_CHECK):
            with contextlib.suppress(OSError):  # older kernels: less text, same meaning
                self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def close(self) -> None:
        self._socket.close()

    def _encode(self, messages: t.Sequence[Raw]) -> list[bytes]:
        pack, size, first = _HEADER.pack, _HEADER.size, self._sequence
        self._sequence += len(messages)
        return [
            pack(size + len(message.body), message.kind, message.flags, sequence, 0) + message.body
            for sequence, message in enumerate(messages, first)
        ]

    def send(self, messages: t.Sequence[t.Any]) -> None:
        """Send requests that each carry REQUEST | ACK and wait for every acknowledgement. Raises Refusal (the first).

        All messages are carried out or tried, one after another; a refusal does not stop those behind it.
        """
        first = self._sequence
        self._socket.send(b"".join(self._encode(messages)))
        waiting = set(range(first, self._sequence))
        refusals = []
        for sequence, refusal in self._acknowledgements(first):
            waiting.discard(sequence)
            refusals += [refusal] if refusal else []
            if not waiting:
                break
        if refusals:
            raise refusals[0]

    def exchange(self, messages: t.Sequence[t.Any]) -> dict[int, Refusal]:
        """Send requests together; returns the refusals by the place of the message. All others were carried out.

        The kernel answers every refusal, but only the last message asks for an acknowledgement.
        """
        for message in messages[:-1]:
            message.flags &= ~ACK
        messages[-1].flags |= ACK
        first = self._sequence
        self._socket.send(b"".join(self._encode(messages)))
        refusals: dict[int, Refusal] = {}
        for sequence, refusal in self._acknowledgements(first):
            if refusal is not None:
                refusals[sequence - first] = refusal
            if sequence == self._sequence - 1:
                break
        return refusals

    def send_batch(self, messages: t.Sequence[t.Any], *, acknowledged: int) -> None:
        """Send one nfnetlink batch: all or nothing. ``acknowledged`` messages of it ask for an ACK. Raises Refusal.

        A batch without its end mark is checked by the kernel and thrown away.
        """
        first = self._sequence
        self._socket.send(b"".join(self._encode(messages)))
        for seen, (_sequence, refusal) in enumerate(self._acknowledgements(first), 1):
            if refusal is not None or seen >= acknowledged:
                break
        self._drain()
        if refusal is not None:
            raise refusal

    def _acknowledgements(self, first: int) -> t.Iterator[tuple[int, Refusal | None]]:
        """Yields, without end, the sequence number and the refusal, if any, of each message sent from ``first`` on."""
        while True:
            for kind, flags, sequence, data, start, end in self._receive():
                if kind == _ERROR and first <= sequence < self._sequence:
                    yield sequence, _refusal(flags, data, start, end, sequence - first)

    def ask(self, message: Raw, *, dump: bool = False) -> list[t.Any]:
        """Send one request; what its answers are, the request says. Raises Refusal.

        A dump that the kernel flags as interrupted by a change is read again.
        """
        if self.queue is not None:
            self.queue.flush()
        message.flags = REQUEST | (DUMP if dump else ACK)
        for _attempt in range(_DUMP_TRIES):
            answers, interrupted = self._ask_once(message)
            if not interrupted:
                return answers
        raise Refusal(errno.EINTR, "the list changed each time it was read", 0)

    def ask_each(self, messages: t.Sequence[Raw]) -> list[t.Any]:
        """Send questions that have one answer each; returns the answers in order. Raises Refusal (the first)."""
        if self.queue is not None:
            self.queue.flush()
        out: list[t.Any] = []
        for start in range(0, len(messages), _TOGETHER):
            group = messages[start : start + _TOGETHER]
            first = self._sequence
            self._socket.send(b"".join(self._encode(group)))
            found: dict[int, t.Any] = {}
            while len(found) < len(group):
                for kind, flags, sequence, data, begin, end in self._receive():
                    index = sequence - first
                    if kind == _ERROR and 0 <= index < len(group):
                        refusal = _refusal(flags, data, begin, end, index)
                        if refusal is not None:
                            raise refusal
                    elif 0 <= index < len(group):
                        found[index] = group[index].answer(data[begin + _HEADER.size : end])
            out += [found[index] for index in range(len(group))]
        return out

    def _ask_once(self, message: Raw) -> tuple[list[t.Any], bool]:
        self._socket.send(self._encode([message])[0])
        wanted = self._sequence - 1
        answers: list[t.Any] = []
        interrupted = 0
        answer, unpack = message.answer, _HEADER.unpack_from
        while True:
            # As ``_receive``, written out: looking at a large lab is mostly this loop.
            data, start = self._socket.recv(_BUFFER), 0
            while start < len(data):
                length, kind, flags, sequence, _port = unpack(data, start)
                end = start + length
                if sequence == wanted:
                    interrupted |= flags & _DUMP_INTR
                    if kind in (_DONE, _ERROR):
                        refusal = _refusal(flags, data, start, end, 0)
                        if refusal is not None:
                            raise refusal
                        return answers, bool(interrupted)
                    answers.append(answer(data[start + 16 : end]))
                start = (end + 3) & ~3

    def _receive(self) -> t.Iterator[tuple[int, int, int, bytes, int, int]]:
        """Yields (type, flags, sequence, buffer, start, end) for each message of the next datagram."""
        data = self._socket.recv(_BUFFER)
        start = 0
        while start + _HEADER.size <= len(data):
            length, kind, flags, sequence, _port = _HEADER.unpack_from(data, start)
            yield kind, flags, sequence, data, start, start + length
            start += (length + 3) & ~3

    def _drain(self) -> None:
        """Throw away answers that belong to a batch already judged."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(_BUFFER, socket.MSG_DONTWAIT)


def _refusal(flags: int, data: bytes, start: int, end: int, index: int) -> Refusal | None:
    """What an error answer, or the end of a dump, refuses; None when it is an acknowledgement."""
    number = -struct.unpack_from("=i", data, start + 16)[0] if end - start >= 20 else 0
    return Refusal(number, _extended_text(flags, data, start, end), index) if number > 0 else None


def _extended_text(flags: int, data: bytes, start: int, end: int) -> str:
    """NLMSGERR_ATTR_MSG of an error answer, or '' (linux/netlink.h)."""
    if not flags & _ACK_TLVS:
        return ""
    offset = start + 16 + 4 + 16  # header, errno, header of the request (NETLINK_CAP_ACK cuts the rest)
    while offset + 4 <= end:
        length, kind = struct.unpack_from("=HH", data, offset)
        if kind == 1:
            return data[offset + 4 : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += max(4, (length + 3) & ~3)
    return ""
