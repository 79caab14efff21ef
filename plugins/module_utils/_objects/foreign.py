# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Other people's firewalls on the paths of our forwards and masquerades: found, said, and opened where their owners want it.

An accept in a table of ours would not help: it ends only the chain that it is in, while a drop is final (nft(8), "Overall
evaluation of the ruleset").
"""

from __future__ import annotations

import contextlib
import functools
import re
import typing as t
from dataclasses import dataclass, replace

from .._engine.model import Item, Key, State, Step
from .._errors import Conflict, ForeignFirewall, PatchbayError
from .._firewalls import advice, legacy, nft_tables, openings, owners
from .._firewalls.model import Packet, Table
from .._firewalls.opening import Opening, Standing
from .._firewalls.walk import Finding, walk
from .._kernel import programs
from .._kernel.kernel import Kernel
from .._kernel.nft_changes import FAMILY, TABLE
from . import surroundings
from .foreign_paths import TO_ELSEWHERE, Around, Firewalls, Path, asked_ports, asking, own_addresses, paths
from .nat_specs import ForwardSpec, Spec
from .way import BRIDGE_FILTER, filtered_bridges
from .words import place, prefix

REPORT, ALLOW, FAIL = "report", "allow", "fail"
_OURS = frozenset([(FAMILY, TABLE)])
_OUR_PRIORITY = -100  # dstnat; the order of chains of the same priority is not defined


_TRANSLATION = {"prerouting": -100, "postrouting": 100}
"""Chains of a higher priority see translated packets (NF_IP_PRI_NAT_DST and NF_IP_PRI_NAT_SRC, linux/netfilter_ipv4.h)."""
_OF_THE_MACHINE = ("ufw", "firewalld")
"""Whose tools mean the machine's own namespace wherever they are run."""


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
    """Packets that are needed, and who drops them."""

    netns: str | None
    path: Path
    """The first of them."""
    finding: Finding
    owner: str
    openings: tuple[Opening, ...]
    """What would let all of them pass."""
    at_home: bool

    @property
    def openable(self) -> bool:
        """Whether the owner has a place for our rules, and a tool that means this namespace and knows the protocol."""
        if self.owner in _OF_THE_MACHINE and not self.at_home:
            return False
        if self.owner == "ufw" and any(opening.protocol == "sctp" for opening in self.openings):
            return False
        return self.path.hook == "forward" and openings.can_open(self.finding, self.owner)

    @property
    def code(self) -> str:
        """A stable name for programs."""
        if self.path.bridged:
            return "BR_NETFILTER"
        return "OWNER" if self.finding.table.owned else "FOREIGN_DROP"

    def __str__(self) -> str:
        # With a mark of ours, the next run would take back what a person did.
        by_hand = [replace(opening, tag=f"by hand for {opening.tag}") for opening in self.openings]
        first = by_hand[0]
        if self.openable:
            text, language = openings.explain(self.finding, self.owner, first), openings.commands
        else:
            said = advice.what_stops(self.finding, self.owner, first)
            text = f"{said} {advice.way_out(self.finding, self.owner, first)}"
            language = functools.partial(advice.by_hand, self.finding)
        commands = [prefix(self.netns) + command for opening in by_hand for command in language(opening)]
        text = text.replace(" && ".join(language(first)), " && ".join(commands))
        if self.path.bridged:
            setting = BRIDGE_FILTER[self.path.packet.family]
            text += (
                f" These are packets between neighbours on bridge {self.path.packet.in_interface}, which meet this firewall only "
                f"because of {setting}=1 or the bridge's own nf_call_iptables; "
                f"`{prefix(self.netns)}sysctl -w {setting}=0` ends that for all bridges."
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
        around = _around(kernel, netns, sorted(set(versions)))
        items.append(Firewalls(netns, tables, around, programs.in_boot_namespace(kernel, netns)))
    return items


def _around(kernel: Kernel, netns: str | None, versions: t.Sequence[int]) -> Around:
    found = surroundings.observe(kernel, netns, versions)

    def device(address: t.Any) -> str | None:
        return min(found.devices(address.version, int(address)), default=None)

    return Around(
        {version: tuple(found.local_networks(version)) for version in (4, 6)},
        device,
        {version: filtered_bridges(kernel, netns, version) for version in (4, 6)},
    )


# ---- judging


def blocked(state: State, netns: str | None, spec: Spec, tag: str) -> list[Blocked]:
    """Who surely drops what the spec lives by; each of them once."""
    firewalls: Firewalls | None = state.get(("firewalls", netns))
    if firewalls is None:
        return []
    opened = frozenset(each.opening for each in state.of(Opened) if each.opening)  # check mode: open by now
    question = (spec, tag, opened)  # asked for the plan, for the result and for the warnings
    if question not in firewalls.answers:
        firewalls.answers[question] = _blocked(firewalls, netns, spec, tag, opened)
    return firewalls.answers[question]


def _blocked(
    firewalls: Firewalls, netns: str | None, spec: Spec, tag: str, opened: t.Container[Opening]
) -> list[Blocked]:
    out: dict[tuple[t.Any, ...], Blocked] = {}
    for path in paths(spec, tag, firewalls.around):
        for finding, opening in _stops(firewalls, path):
            owner = owners.owner(firewalls.tables, finding.table, finding.chain, finding.rule)
            wanted = replace(opening, owner=owner, backend=finding.table.backend)
            if wanted in opened:
                continue
            rule = finding.rule and (finding.rule.handle, finding.rule.text)
            cause = (finding.table.backend, str(finding.table), finding.chain.name, rule, path.bridged)
            known = out.setdefault(cause, Blocked(netns, path, finding, owner, (), firewalls.at_home))
            if wanted not in known.openings:
                out[cause] = replace(known, openings=(*known.openings, wanted))
    return list(out.values())


def _stops(firewalls: Firewalls, path: Path) -> t.Iterator[tuple[Finding, Opening]]:
    """Every chain that would surely drop the packet if those before did not, and what it would have to let through."""
    left: list[Table] = getattr(firewalls, path.hook)
    while left:
        finding = walk(left, path.hook, path.packet, translated=path.behind).dropped_by
        if finding is None:
            return
        base = finding.table.chains[0]
        is_behind = base.type != "nat" and base.priority > _TRANSLATION.get(path.hook, base.priority)
        yield finding, (path.opening_behind if is_behind else None) or path.opening
        left = [table for table in left if table is not finding.table]


def refuse_rivals(state: State, netns: str | None, spec: Spec, now: Spec | None) -> None:
    """Raises Conflict when somebody else's rule translates the packets of a new forward before ours is asked."""
    firewalls: Firewalls | None = state.get(("firewalls", netns))
    if firewalls is None or not isinstance(spec, ForwardSpec) or spec == now or not firewalls.translates:
        return
    rival = next((found for found in _rivals(firewalls, spec) if found.certain), None)
    if rival is None:
        return
    owner = owners.owner(firewalls.tables, rival.table, rival.chain, rival.rule)
    raise Conflict(
        f"{spec.service} is forwarded already{place(netns)} by {owners.TITLES[owner]}: {rival}, which is asked before ours. "
        "Remove it with the tool that made it, choose another port, or set force: true to add a forward that waits for its end.",
        owner=owner,
        rule=rival.rule.text if rival.rule else "",
    )


def _rivals(firewalls: Firewalls, spec: ForwardSpec) -> t.Iterator[Finding]:
    """The rules that would have the packets to some address and port of the forward."""
    packet = asking(spec, firewalls.around)
    perhaps = _translations(firewalls, packet)
    if not perhaps:
        return
    hints = [int(number) for found in perhaps if found.rule for number in re.findall(r"[0-9]+", found.rule.text)]
    for source in spec.target.sources or (None,):
        for address in own_addresses(spec, firewalls.around):
            for port in asked_ports(spec, hints):
                asked = replace(packet, source=source, destination=address, destination_port=port)
                yield from _translations(firewalls, asked)


def _translations(firewalls: Firewalls, packet: Packet) -> list[Finding]:
    found = walk(firewalls.prerouting, "prerouting", packet).translations
    return [each for each in found if each.kind in TO_ELSEWHERE and each.table.chains[0].priority <= _OUR_PRIORITY]


# ---- planning


class OpenFirewall(Step):
    """Makes an opening with the owner's own tool, or completes it."""

    def apply(self, kernel: Kernel) -> None:
        opened: Opened = self.after[0]
        try:
            openings.apply(kernel, opened.netns, t.cast(Opening, opened.opening))
        except BaseException:
            with contextlib.suppress(PatchbayError):  # the first error says more; half an opening is of no use
                openings.remove(kernel, opened.netns, opened.standing)
            raise

    def undo(self) -> list[Step]:
        return [CloseFirewall(before=self.after, after=())]

    def commands(self) -> list[str]:
        opened: Opened = self.after[0]
        return [prefix(opened.netns) + line for line in openings.commands(t.cast(Opening, opened.opening))]


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
            return [prefix(opened.netns) + line for line in openings.undo(opened.opening)]
        found = opened.standing
        return [f"# remove what {owners.TITLES[found.owner]} has for '{found.tag}': {found.content}"]

    def project(self, state: State) -> State:
        """What was let through by it meets the firewall again."""
        opened: Opened = self.before[0]
        firewalls: Firewalls | None = state.get(("firewalls", opened.netns))
        left = super().project(state)
        if firewalls is None:
            return left
        its = replace(opened.standing, whole=True)
        return left.changed((), (firewalls.without(lambda one: replace(one, whole=True) == its),))


def plan(state: State, netns: str | None, tag: str, now: Spec | None, wanted: Spec | None, manner: str) -> list[Step]:
    """The openings to make and to take back for one spec. Raises ForeignFirewall when it is to ``fail`` and is blocked."""
    mine = {each.key: each for each in state.of(Opened) if _is_mine(each.standing.tag, tag)}
    if manner == FAIL and wanted:
        stopped = blocked(_closed(state, netns, mine.values()), netns, wanted, tag)
        if stopped:
            raise ForeignFirewall(str(stopped[0]), blocked=[each.shown() for each in stopped])
    asked = _asked(state, netns, tag, wanted) if manner == ALLOW and wanted else {}
    known = _candidates(state, netns, tag, now) if mine and now else {}
    steps: list[Step] = []
    for key, opened in asked.items():
        there = mine.get(key)
        if there is None or not there.standing.whole:
            steps.append(OpenFirewall((there,) if there else (), (opened,)))
    for key, opened in mine.items():
        if key not in asked:
            steps.append(CloseFirewall((known.get(key, opened),), ()))
    return steps


def _is_mine(found: str, tag: str) -> bool:
    return found == tag or found.startswith(f"{tag} from ") or found == f"{tag} bridged"


def _closed(state: State, netns: str | None, ours: t.Iterable[Opened]) -> State:
    """The state as it would be without these openings of ours, as far as they are in Docker's chain."""
    firewalls: Firewalls | None = state.get(("firewalls", netns))
    gone = frozenset(replace(each.standing, whole=False) for each in ours)
    if firewalls is None or not gone:
        return state
    if gone not in firewalls.answers:  # of many forwards each one asks
        firewalls.answers[gone] = firewalls.without(lambda one: replace(one, whole=False) in gone)
    return state.changed((), (firewalls.answers[gone],))


def _asked(state: State, netns: str | None, tag: str, wanted: Spec) -> dict[Key, Opened]:
    """The openings that there are to be: those that are needed were there none of ours, and those that stand."""
    ours = state.of(Opened)
    needed = [
        opening
        for each in blocked(_closed(state, netns, ours), netns, wanted, tag)
        if each.openable
        for opening in each.openings
    ]
    fresh = {opened.key: opened for opened in (_opened(netns, opening) for opening in needed)}
    # Whoever can't be asked what would be dropped without us keeps what is there, and shares what another of us has.
    there = {_effect(each.standing) for each in ours if _is_mine(each.standing.tag, tag)}
    there |= {_effect(each.standing) for each in ours if each.standing.owner in _OF_THE_MACHINE}
    for key, opened in _candidates(state, netns, tag, wanted).items():
        if _effect(opened.standing) in there:
            fresh.setdefault(key, opened)
    return fresh


def _effect(standing: Standing) -> tuple[str, str, int, str]:
    return (standing.owner, standing.backend, standing.family, standing.content)


def _opened(netns: str | None, opening: Opening) -> Opened:
    return Opened(netns, openings.standing(opening), opening)


def _candidates(state: State, netns: str | None, tag: str, spec: Spec) -> dict[Key, Opened]:
    """The openings that the spec could have, at the owners where any of us has one."""
    firewalls: Firewalls | None = state.get(("firewalls", netns))
    if firewalls is None:
        return {}
    places = sorted({(each.standing.owner, each.standing.backend) for each in state.of(Opened)})
    asked = dict.fromkeys(path.opening for path in paths(spec, tag, firewalls.around) if path.hook == "forward")
    found = [_opened(netns, replace(one, owner=owner, backend=backend)) for one in asked for owner, backend in places]
    return {opened.key: opened for opened in found}


def warnings(state: State, netns: str | None, spec: Spec, tag: str) -> list[str]:
    """What to say of those who drop what the spec lives by."""
    return [str(each) for each in blocked(state, netns, spec, tag)]


def shown(state: State, netns: str | None, spec: Spec, tag: str) -> list[dict[str, t.Any]]:
    """The same for results."""
    return [each.shown() for each in blocked(state, netns, spec, tag)]
