# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Being asked to end (signal(7)): noticed between steps, where a run can take back what it did."""

from __future__ import annotations

import contextlib
import signal
import threading
import types
import typing as t

from .._errors import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_received: list[int] = []


@contextlib.contextmanager
def deferred() -> t.Iterator[None]:
    """While the block runs, a request to end only raises where ``check`` is called.

    Signals can be caught in the main thread alone; in another one the block runs as it would without.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _received.clear()
    before = {number: signal.signal(number, _note) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        _received.clear()


def _note(number: int, _frame: types.FrameType | None) -> None:
    _received.append(number)


def check() -> None:
    """Raises Interrupted, once, when somebody asked this process to end."""
    if _received:
        name = signal.Signals(_received[0]).name
        _received.clear()
        raise Interrupted(f"stopped by {name}; everything that this run had done was taken back.", signal=name)
