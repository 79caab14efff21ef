# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The wish for a whole lab. To take one away is to wish for an empty one."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, field, replace

from .._engine.model import State, Step
from .._errors import NotOurs, NotVerified
from .._kernel.kernel import Kernel
from .._lab_file.spec import LabSpec, Node
from .._objects import impairment
from .._objects.link_steps import CutCable
from .._objects.netns import Namespace
from . import plan_links, plan_nat, plan_nodes, plan_removals, record, scene
from .context import Context
from .glance import Glances
from .record import Record


@dataclass(frozen=True)
class Lab:
    """A lab that is to be as ``spec`` says. For one that is to be absent, ``claimed`` is what its file named."""

    spec: LabSpec
    record: Record | None = None
    purge: bool = True
    adopt: bool = False
    force: bool = False
    claimed: LabSpec | None = None
    glances: Glances | None = field(default=None, compare=False)
    """What the last run found in order; without it everything is looked at closely."""

    @property
    def name(self) -> str:
        return f"lab {self.spec.name}"

    @property
    def present(self) -> bool:
        return True

    @property
    def is_empty(self) -> bool:
        """Whether the lab is to have nothing: it is to be absent."""
        return self.spec == LabSpec(self.spec.name, Node(None))

    @functools.cached_property
    def translations(self) -> dict[str | None, t.Any]:
        """The wishes for address translation, by namespace."""
        return plan_nat.wishes(self.spec, self.record, purge=self.purge)

    def observe(self, kernel: Kernel) -> State:
        return scene.observe(
            kernel, self.spec, self.record, self.translations, claimed=self.claimed, glances=self.glances
        )

    def plan(self, state: State) -> list[Step]:
        ctx = self.context(state)
        named = plan_nodes.namespaces(ctx)
        links = plan_links.plan(ctx)
        changed, kept = self._plan_nodes(ctx, links)
        last = plan_removals.leftovers(ctx) if self.purge else []
        translated = plan_nat.plan(ctx, self.translations)
        leaving = self._leaving(ctx)
        removed = plan_nodes.removals(ctx, leaving)
        if self.claimed is not None:
            self._refuse_unmarked(ctx, self.claimed)
        ctx.judge()
        work = [*links.first, *named, *links.made, *changed, *translated, *last, *removed]
        return self._recorded(work, ctx.group, kept, leaving)

    def context(self, state: State) -> Context:
        """What the parts of the plan share."""
        return Context(self.spec, state, purge=self.purge, adopt=self.adopt, force=self.force, claimed=self.claimed)

    def _plan_nodes(self, ctx: Context, links: plan_links.LinkPlan) -> tuple[list[Step], dict[tuple[str, str], str]]:
        """What changes in each namespace, the host last: its bridges come up when all is plugged in."""
        steps: list[Step] = []
        kept: dict[tuple[str, str], str] = {}
        for node in (*self.spec.namespaces, self.spec.host):
            gone, put = plan_nodes.routes(ctx, node)
            settings, before = plan_nodes.settings(ctx, node)
            kept.update(before)
            changes = links.changed.get(node.netns, [])
            steps += [*gone, *settings, *changes, *put, *plan_nodes.name_servers(ctx, node)]
            steps += _impairments(ctx, node)
        return steps, kept

    def _leaving(self, ctx: Context) -> list[str]:
        """The namespaces that have the lab's mark and are not wanted; also files where a run died before one was made."""
        if not self.purge:
            return []
        known = ctx.record.namespaces if ctx.record else frozenset()
        others = [item for item in ctx.state.of(Namespace) if item.name not in ctx.nodes]
        return [item.name for item in others if ctx.is_mine(item.name) or (not item.live and item.name in known)]

    def _refuse_unmarked(self, ctx: Context, claimed: LabSpec) -> None:
        """What the file names and the lab does not own is left alone, which is said."""
        for node in claimed.namespaces:
            now = ctx.namespace(node.netns)
            if now is not None and now.live and not ctx.is_mine(node.netns):
                ctx.refuse(NotOurs.kept(f"namespace {now.name}"))
        for each in claimed.host.links:
            link = ctx.links.get((None, each.name))
            if link is not None and not ctx.owns(link):
                ctx.refuse(NotOurs.kept(link.title))

    def _recorded(
        self, work: list[Step], group: int, kept: dict[tuple[str, str], str], leaving: t.Collection[str]
    ) -> list[Step]:
        """The steps between two records: what may be there while they run, and what is there afterwards."""
        wanted = Record(
            self.spec.name,
            group,
            frozenset(node.netns for node in self.spec.namespaces if node.netns is not None),
            frozenset(route.key for route in self.spec.host.routes),
            plan_nat.keys(self.spec),
            kept,
            dict(self.spec.chosen),
        )
        now = self.record
        if now is not None and not self.purge:
            wanted = now.joined(wanted)
        final = wanted if wanted != Record(self.spec.name, group) else None
        during = wanted if now is None else now.joined(wanted)
        if not work:
            return record.change(now, final)
        if leaving and now is not None:
            during = replace(during, namespaces=during.namespaces | set(leaving))
        return [*record.change(now, during), *work, *record.change(during, final)]

    # ---- after the run

    def verify(self, kernel: Kernel) -> None:
        """Look again. Raises NotVerified when that shows anything else than what was asked for."""
        again = replace(self, record=record.read(kernel, self.spec.name), adopt=False, claimed=None, glances=None)
        # Cables to namespaces that have lost their names go when this has passed.
        seen = again.plan(again.observe(kernel))
        steps = [step for step in seen if not isinstance(step, (record.KeepRecord, CutCable))]
        if steps:
            commands = [line for step in steps for line in step.commands()]
            raise NotVerified(
                f"lab {self.spec.name} was built, but reading it back shows a difference; somebody else changes it, or the "
                f"kernel took something in another way. Everything was taken back. What was still to be done: {'; '.join(commands[:5])}",
                commands=commands,
            )

    def warnings(self, state: State) -> list[str]:
        """Sentences a user should read although the run succeeds."""
        return plan_nat.warnings(self.context(state), self.translations)


def _impairments(ctx: Context, node: Node) -> list[Step]:
    steps: list[Step] = []
    for each in node.links:
        fresh = (node.netns, each.name) in ctx.made  # what an earlier one had went with it
        now = None if fresh else ctx.state.get(("impaired", node.netns, each.name))
        try:
            steps += impairment.plan(now, node.netns, each.name, each.impairment) if now or each.impairment else []
        except NotOurs as error:
            ctx.refuse(error)
    return steps
