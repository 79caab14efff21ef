# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What the parts of a lab's plan share: what is wanted, what is there, and whose it is."""

from __future__ import annotations

import typing as t

from .._engine.model import Key, State
from .._errors import Conflict, NotOurs, PatchbayError
from .._kernel.rtnl import DOOMED
from .._lab_file.spec import LabSpec, LinkSpec, Node
from .._objects import link, machine, netns
from .._objects.address import Address
from .._objects.link import Link
from .._objects.route import Route
from .._objects.words import place as where
from .facts import Others, Settled
from .record import Record

End = tuple[t.Optional[str], str]
"""A namespace and the name of an interface in it."""


class Context:
    """What is wanted (``lab``), what is there (``state``), and how far the run may go.

    ``purge`` removes what has the lab's mark and is not wanted, ``adopt`` gives it to what is wanted and has none, and
    ``force`` removes what stands in the way whoever made it. Refusals are collected: see ``refuse``.
    """

    def __init__(
        self, lab: LabSpec, state: State, *, purge: bool, adopt: bool, force: bool, claimed: LabSpec | None = None
    ) -> None:
        self.lab = lab
        self.state = state
        self.purge = purge
        self.adopt = adopt
        self.force = force
        others: Others | None = state.get(("others",))
        self.others: t.Mapping[int, str] = others.labs if others else {}
        self.seed = machine.seed(state)
        taken = claimed.nodes if claimed is not None and force else ()
        self.taken: set[End] = {(each.netns, each.name) for node in taken for each in node.links}
        """The links that the file of a lab that is to be absent names: by force they go whoever made them."""
        self.taken_names = {node.netns for node in taken}
        self.nodes: dict[str | None, Node] = {node.netns: node for node in lab.nodes}
        self.wanted: dict[End, LinkSpec] = {(each.netns, each.name): each for node in lab.nodes for each in node.links}
        self.links: dict[End, Link] = {(each.netns, each.name): each for each in state.of(Link)}
        self.record: Record | None = state.get(("lab",))
        self.group = self.record.group if self.record else link.lab_group(lab.name, self.others)
        self.settled = {item.netns for item in state.of(Settled)}
        """The namespaces in which nothing is to be done."""
        self.addresses: dict[End, list[Address]] = {}
        for item in state.of(Address):
            self.addresses.setdefault((item.netns, item.device), []).append(item)
        self.routes: dict[str | None, list[Route]] = {}
        for route in state.of(Route):
            self.routes.setdefault(route.netns, []).append(route)
        self.made: set[End] = set()
        """The links that this run makes; what was there under their names goes."""
        self.removed: set[End] = set()
        """The links that this run removes: both ends of cables."""
        self.unrouted: set[End] = set()
        """The links that stay but lose their IPv4 routes for a moment."""
        self.rerouted: set[Key] = set()
        """The routes that this run removes or replaces."""
        self.problems: list[PatchbayError] = []

    # ---- namespaces

    def namespace(self, name: str | None) -> netns.Namespace | None:
        """The namespace as it was seen."""
        found: netns.Namespace | None = self.state.get(("netns", name))
        return found

    def is_there(self, name: str | None) -> bool:
        """Whether the node exists already: the host always does."""
        now = self.namespace(name)
        return name is None or (now is not None and now.live)

    def is_mine(self, name: str | None) -> bool:
        """Whether a namespace has the lab's mark, or is taken by force."""
        now = self.namespace(name)
        if now is None or not now.live:
            return False
        return now.lab == self.lab.name or (now.lab is None and name in self.taken_names)

    # ---- whose a link is

    def owns(self, now: Link) -> bool:
        """Whether a link has the lab's mark, is a rest of what a run that was killed wanted to remove, or is taken by force."""
        if now.group in (self.group, DOOMED):
            return True
        return (now.netns, now.name) in self.taken and not self._other(now)

    def claim(self, now: Link) -> bool:
        """Whether the lab may change a link that is wanted; a refusal is noted when not."""
        if self.owns(now) or (self.adopt and not self._other(now)):
            return True
        self.refuse(self._foreign(now, "Choose another name, or set adopt: true to make it the lab's."))
        return False

    def may_replace(self, now: Link) -> bool:
        """Whether the lab may remove a link that stands in the way; a refusal is noted when not."""
        if self.owns(now) or (self.force and not self._other(now)):
            return True
        self.refuse(self._foreign(now, "It is not what the lab wants there: choose another name, or remove it."))
        return False

    def _other(self, now: Link) -> str | None:
        """The other lab that a link belongs to."""
        if now.group == self.group or now.group >> 16 != link.GROUP:
            return None
        return self.others.get(now.group, "that has no record")

    def _foreign(self, now: Link, cure: str) -> PatchbayError:
        other = self._other(now)
        if other:
            return Conflict(f"{now.title} belongs to another lab, {other}. Choose another name.", device=now.name)
        maker = "was made by another task of this collection" if now.ours else "was not made by this collection"
        return NotOurs(f"{now.title} exists already and {maker}. {cure}", device=now.name)

    # ---- refusing

    def refuse(self, error: PatchbayError) -> None:
        """Note why the run can't go on; all that stands against it is said at once."""
        self.problems.append(error)

    def judge(self) -> None:
        """Raises the first refusal, with the words of all of them."""
        if not self.problems:
            return
        first = self.problems[0]
        texts = list(dict.fromkeys(str(each) for each in self.problems))
        more = f" And {len(texts) - 8} more." if len(texts) > 8 else ""
        raise type(first)(" ".join(texts[:8]) + more, **first.details)

    def place(self, name: str | None) -> str:
        """Where, for messages."""
        return where(name) or " on the host"
