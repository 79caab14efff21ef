# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Other people's firewalls on the paths of our forwards and masquerades: found, said, and opened where their owners want it.

An accept in a table of ours would not help: it ends only the chain that it is in, while a drop is final (nft(8), "Overall
evaluation of the ruleset").
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._engine.model import Item, Key, State, Step
from .._errors import Conflict, ForeignFirewall
from .._firewalls import legacy, nft_tables, openings, owners
from .._firewalls.model import Table
from .._firewalls.opening import Opening, Standing
from .._firewalls.walk import Finding, walk
from .._kernel import procsys, rtnl
from .._kernel.kernel import Kernel
from .._kernel.nft_changes import FAMILY, TABLE
from . import surroundings
from .foreign_paths import Around, Path, paths
from .nat_specs import ForwardSpec, Spec
from .way import BRIDGE_FILTER
from .words import place

REPORT, ALLOW, FAIL = "report", "allow", "fail"
_OURS = frozenset([(FAMILY, TABLE)])
_OUR_PRIORITY = -100  # dstnat; the order of chains of the same priority is not defined


@dataclass(frozen=True)
class Firewalls:
    """Everybody else's tables in the namespace, and what has to be known to follow a packet through them."""

    netns: str | None
    tables: tuple[Table, ...]
    around: Around

    @property
    def key(self) -> Key:
        return ("firewalls", self.netns)


@dataclass(frozen=True)
class Opened:
    """An opening of ours in somebody's firewall."""

    netns: str | None
    standing: Standing
    opening: Opening | None = None
    """The same as it was asked for; None where it was found and nobody asked."""

    @property
    def key(self) -> Key:
        found = self.standing
        return ("opened", self.netns, found.owner, found.backend, found.family, found.tag, found.content)


@dataclass(frozen=True)
class Blocked:
    """A packet that is needed, and who drops it."""

    path: Path
    finding: Finding
    owner: str

    @property
    def opening(self) -> Opening:
        return replace(self.path.opening, owner=self.owner, backend=self.finding.table.backend)

    @property
    def code(self) -> str:
        """A stable name for programs."""
        if self.path.bridged:
            return "BR_NETFILTER"
        return "OWNER" if self.finding.table.owned else "FOREIGN_DROP"

    def __str__(self) -> str:
        text = openings.explain(self.finding, self.owner, self.opening)
        if self.path.bridged:
            setting = BRIDGE_FILTER[self.path.packet.family]
            text += (
                f" These are packets between neighbours on bridge {self.path.packet.in_interface}, which meet this firewall only "
                f"because of {setting}=1 or the bridge's own nf_call_iptables; `sysctl -w {setting}=0` ends that for all bridges."
            )
        return text

    def shown(self) -> dict[str, t.Any]:
        """For results."""
        finding = self.finding
        return {
            "code": self.code,
            "owner": self.owner,
            "table": str(finding.table),
            "chain": finding.chain.name,
            "rule": finding.rule.text if finding.rule else None,
            "policy": None if finding.rule else finding.chain.policy,
            "hook": self.path.hook,
        }


# ---- observing


def observe(kernel: Kernel, netns: str | None, versions: t.Iterable[int]) -> list[Item]:
    """Other people's tables, none of which may be, and our openings in them."""
    tables = (*nft_tables.read(kernel, netns, skip=_OURS), *legacy.read(kernel, netns))
    items: list[Item] = [Opened(netns, found) for found in openings.find(kernel, netns, tables)]
    if tables:
        items.append(Firewalls(netns, tables, _around(kernel, netns, sorted(set(versions)))))
    return items


def _around(kernel: Kernel, netns: str | None, versions: t.Sequence[int]) -> Around:
    found = surroundings.observe(kernel, netns, versions)

    def device(address: t.Any) -> str | None:
        return min(found.devices(address.version, int(address)), default=None)

    return Around(
        {version: tuple(found.local_networks(version)) for version in (4, 6)},
        device,
        {version: _filtered(kernel, netns, version) for version in (4, 6)},
    )


def _filtered(kernel: Kernel, netns: str | None, version: int) -> frozenset[str]:
    """The bridges whose packets meet the rules for routed ones: all, or those that say so themselves."""
    with kernel.inside(netns):
        all_of_them = procsys.read(BRIDGE_FILTER[version]) == "1"
    name = "IFLA_BR_NF_CALL_IPTABLES" if version == 4 else "IFLA_BR_NF_CALL_IP6TABLES"
    bridges = rtnl.dump_bridges(kernel.rtnl(netns))
    return frozenset(each for each, options in bridges.items() if all_of_them or options.get(name))


# ---- judging


def blocked(state: State, netns: str | None, spec: Spec, tag: str) -> list[Blocked]:
    """Who surely drops what the spec lives by; each of them once."""
    firewalls: Firewalls | None = state.get(("firewalls", netns))
    if firewalls is None:
        return []
    out: dict[tuple[t.Any, ...], Blocked] = {}
    opened = state.of(Opened)
    for path in paths(spec, tag, firewalls.around):
        finding = walk(firewalls.tables, path.hook, path.packet).dropped_by
        if finding is None:
            continue
        owner = owners.owner(firewalls.tables, finding.table, finding.chain, finding.rule)
        found = Blocked(path, finding, owner)
        if any(each.opening == found.opening for each in opened):  # check mode: it would be open by now
            continue
        rule = finding.rule and (finding.rule.handle, finding.rule.text)
        out.setdefault((finding.table.backend, str(finding.table), finding.chain.name, rule, path.bridged), found)
    return list(out.values())


def refuse_rivals(state: State, netns: str | None, spec: Spec, now: Spec | None) -> None:
    """Raises Conflict when somebody else's rule translates the packets of a new forward before ours is asked."""
    firewalls: Firewalls | None = state.get(("firewalls", netns))
    if firewalls is None or not isinstance(spec, ForwardSpec) or spec == now:
        return
    for path in paths(spec, "", firewalls.around):
        for rival in walk(firewalls.tables, path.hook, path.packet).translations if path.hook == "prerouting" else ():
            if rival.kind not in ("dnat", "redirect") or rival.chain.priority > _OUR_PRIORITY or not rival.certain:
                continue
            owner = owners.owner(firewalls.tables, rival.table, rival.chain, rival.rule)
            raise Conflict(
                f"{spec.service} is forwarded already{place(netns)} by {owners.TITLES[owner]}: {rival}, which is asked before ours. "
                "Remove it with the tool that made it, choose another port, or set force: true to add a forward that waits for its end.",
                owner=owner,
                rule=rival.rule.text if rival.rule else "",
            )


# ---- planning


class OpenFirewall(Step):
    """Makes an opening with the owner's own tool."""

    def apply(self, kernel: Kernel) -> None:
        opened: Opened = self.after[0]
        openings.apply(kernel, opened.netns, t.cast(Opening, opened.opening))

    def undo(self) -> list[Step]:
        return [CloseFirewall(before=self.after, after=())]

    def commands(self) -> list[str]:
        return openings.commands(self.after[0].opening)


class CloseFirewall(Step):
    """Takes an opening back. It goes last, so that nothing behind it can fail."""

    def apply(self, kernel: Kernel) -> None:
        opened: Opened = self.before[0]
        openings.remove(kernel, opened.netns, opened.standing)

    def undo(self) -> list[Step]:
        opened: Opened = self.before[0]
        return [OpenFirewall(before=(), after=self.before)] if opened.opening else []

    def commands(self) -> list[str]:
        opened: Opened = self.before[0]
        if opened.opening is not None:
            return openings.undo(opened.opening)
        found = opened.standing
        return [f"# remove what {owners.TITLES[found.owner]} has for '{found.tag}': {found.content}"]


def plan(state: State, netns: str | None, tag: str, now: Spec | None, wanted: Spec | None, manner: str) -> list[Step]:
    """The openings to make and to take back for one spec. Raises ForeignFirewall when it is to ``fail`` and is blocked."""
    stopped = blocked(state, netns, wanted, tag) if wanted else []
    if stopped and manner == FAIL:
        raise ForeignFirewall(str(stopped[0]), blocked=[each.shown() for each in stopped])
    mine = [each for each in state.of(Opened) if _is_mine(each.standing.tag, tag)]
    if manner != ALLOW and not mine:
        return []
    candidates = _candidates(state, netns, tag, wanted if manner == ALLOW else None, mine)
    kept = [each for each in mine if any(openings.stands(one, [each.standing]) for one in candidates)]
    steps: list[Step] = []
    if manner == ALLOW:
        fresh = {each.opening.tag: each for each in stopped if openings.can_open(each.finding, each.owner)}
        for each in fresh.values():
            steps.append(OpenFirewall((), (Opened(netns, openings.standing(each.opening), each.opening),)))
    known = _candidates(state, netns, tag, now, mine)
    for opened in mine:
        if opened not in kept:
            asked = next((one for one in known if openings.stands(one, [opened.standing])), None)
            steps.append(CloseFirewall((replace(opened, opening=asked),), ()))
    return steps


def _is_mine(found: str, tag: str) -> bool:
    return found == tag or found.startswith((f"{tag} from ", f"{tag} hairpin", f"{tag} bridged"))


def _candidates(
    state: State, netns: str | None, tag: str, spec: Spec | None, mine: t.Sequence[Opened]
) -> list[Opening]:
    """The openings that the spec could have, at the owners where it has any."""
    firewalls: Firewalls | None = state.get(("firewalls", netns))
    if firewalls is None or spec is None:
        return []
    places = sorted({(each.standing.owner, each.standing.backend) for each in mine})
    asked = dict.fromkeys(path.opening for path in paths(spec, tag, firewalls.around))
    return [replace(one, owner=owner, backend=backend) for one in asked for owner, backend in places]


def warnings(state: State, netns: str | None, spec: Spec, tag: str) -> list[str]:
    """What to say of those who drop what the spec lives by."""
    return [str(each) for each in blocked(state, netns, spec, tag)]


def shown(state: State, netns: str | None, spec: Spec, tag: str) -> list[dict[str, t.Any]]:
    """The same for results."""
    return [each.shown() for each in blocked(state, netns, spec, tag)]
