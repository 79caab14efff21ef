# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.
"""Every error a user can meet: one sentence that says what, where and what to do instead."""

from __future__ import annotations

import typing as t


class PatchbayError(Exception):
    """The base of all errors of this collection.

    ``code`` is a stable name for programs, the text is for people. ``details`` holds further fields
    that a caller may want to act on (a namespace, a list of processes, an errno).
    """

    code = "ERROR"

    def __init__(self, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.details = details


class InvalidInput(PatchbayError):
    """A parameter that can't mean anything: found before the kernel is asked."""

    code = "INVALID_INPUT"


class NotFound(PatchbayError):
    """Something the object depends on is not there (a namespace, a device, a bridge)."""

    code = "NOT_FOUND"


class NoNamespace(NotFound):
    """The network namespace that the object lives in is not there."""


class Conflict(PatchbayError):
    """What is there contradicts what is wanted, and changing it is not ours to decide."""

    code = "CONFLICT"


class NotOurs(PatchbayError):
    """The object exists but was not made by this collection, and ``force`` was not given."""

    code = "NOT_OURS"

    @classmethod
    def kept(cls, title: str) -> NotOurs:
        """The refusal to remove the object called ``title``."""
        return cls(
            f"{title} was not made by this collection, so it is not removed. "
            "Remove it with the tool that made it, or set force: true."
        )


class ForeignFirewall(Conflict):
    """Somebody else's firewall would drop the packets, and the task was to fail then."""

    code = "FOREIGN_FIREWALL"


class InUse(PatchbayError):
    """Processes still live in the namespace that is to be removed."""

    code = "IN_USE"


class Unsupported(PatchbayError):
    """The kernel or the installed library lacks what the object needs."""

    code = "UNSUPPORTED"


class Busy(PatchbayError):
    """Another run holds the lock, and did so for longer than the caller wants to wait."""

    code = "BUSY"


class Interrupted(PatchbayError):
    """Somebody asked the process to end; what it had done was taken back."""

    code = "INTERRUPTED"


class NotVerified(PatchbayError):
    """What was read back is not what was asked for; what was done was taken back."""

    code = "NOT_VERIFIED"


class MissingLibrary(PatchbayError):
    """pyroute2 is not installed for this interpreter, or is too old."""

    code = "MISSING_LIBRARY"


class KernelError(PatchbayError):
    """The kernel refused a request. ``errno`` and the kernel's own words are in the details."""

    code = "KERNEL"

    def __init__(self, message: str, *, errno: int, **details: t.Any) -> None:
        super().__init__(message, errno=errno, **details)
        self.errno = errno


def missing_interface(netns: str | None, name: str, there: t.Iterable[str]) -> NotFound:
    """The error for an interface that is not among those that are ``there``."""
    where = f" in namespace {netns}" if netns else ""
    return NotFound(
        f"interface {name} does not exist{where}. Present: {', '.join(sorted(there)[:12])}. "
        "Name one of these, or create it first.",
        device=name,
    )
