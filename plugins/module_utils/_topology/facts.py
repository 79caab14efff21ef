# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What is seen of a lab beside the items that every object has."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._engine.model import Key, State


@dataclass(frozen=True)
class Translation:
    """All that the wish for address translation in one namespace wants to know, as a state of its own."""

    netns: str | None
    state: State

    @property
    def key(self) -> Key:
        return ("translation", self.netns)


@dataclass(frozen=True)
class Fresh:
    """The settings as a new namespace has them; those that it lacks are left out."""

    values: t.Mapping[str, str]

    @property
    def key(self) -> Key:
        return ("fresh",)


@dataclass(frozen=True)
class Others:
    """The names of the other labs that have a record, by their link groups."""

    labs: t.Mapping[int, str]

    @property
    def key(self) -> Key:
        return ("others",)


@dataclass(frozen=True)
class Settled:
    """A namespace in which all links, addresses and routes are as they are to be; they are not items of their own."""

    netns: str

    @property
    def key(self) -> Key:
        return ("settled", self.netns)


@dataclass(frozen=True)
class Lacking:
    """Something that the lab needs and this kernel has not: its name, and the words for it."""

    feature: str
    reason: str

    @property
    def key(self) -> Key:
        return ("lacking", self.feature)


@dataclass(frozen=True)
class Filtered:
    """The IP versions whose bridged packets pass the firewall of a namespace."""

    netns: str | None
    versions: frozenset[int]

    @property
    def key(self) -> Key:
        return ("filtered", self.netns)
