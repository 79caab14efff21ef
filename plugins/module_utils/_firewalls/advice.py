# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What stops our packets and how its owner would let them pass: words only, nothing here changes anything."""

from __future__ import annotations

import shlex
import typing as t
from dataclasses import replace

from .._kernel.nft_rules import short
from .docker import program, rule_words
from .opening import PREFIX, Match, Opening, matches
from .owners import TITLES, UNKNOWN
from .walk import Finding

_CONNTRACK = -200  # NF_IP_PRI_CONNTRACK
_IPTABLES = ("filter", "nat", "mangle", "raw", "security")


_EFFECTS = {"reject": ("rejects", "may reject"), "queue": ("hands to a program", "may hand to a program")}


def what_stops(finding: Finding, owner: str, opening: Opening) -> str:
    """Table, chain, rule or policy, owner, and what is stopped: one sentence."""
    what = f"the rule `{finding.rule.text}`" if finding.rule else f"the policy {finding.chain.policy}"
    where = f"chain {finding.chain.name} in table {finding.table}"
    whose = "somebody's firewall" if owner == UNKNOWN else f"the firewall of {TITLES[owner]}"
    surely, perhaps = _EFFECTS.get(finding.kind, ("drops", "may drop"))
    effect = surely if finding.certain else perhaps
    return f"{what[0].upper()}{what[1:]} of {where}, {whose}, {effect} what this needs ({opening})."


def way_out(finding: Finding, owner: str, opening: Opening) -> str:
    """What a person can do where we must not: one sentence, with the commands if any."""
    device = opening.out_interface or opening.in_interface or "BRIDGE"
    if owner == "libvirt":
        return (
            f"It guards libvirt's own networks: give the one of {device} the element <forward mode='open'/> with "
            "`virsh net-edit NETWORK`, then restart the network, or attach the lab to a bridge of its own."
        )
    if owner in ("incus", "lxd"):
        tool = "incus" if owner == "incus" else "lxc"
        key = "ipv4.firewall" if opening.family == 4 else "ipv6.firewall"
        return (
            f"It guards the networks that {TITLES[owner]} manages: `{tool} network set {shlex.quote(device)} {key}=false` "
            "switches that off for one, or attach the lab to a bridge of its own."
        )
    if owner in ("kubernetes", "podman") or (owner == "docker" and finding.table.name == "docker-bridges"):
        return (
            f"{TITLES[owner]} writes these rules anew and has no place for others': attach the lab to a bridge of its own "
            f"and to addresses that {TITLES[owner]} does not use."
        )
    if finding.table.owned:
        return "The table belongs to a running program (flag owner), so only that program can let them pass: change its configuration."
    return f"Its owner would let them pass with `{' && '.join(by_hand(finding, opening))}`."


def by_hand(finding: Finding, opening: Opening) -> list[str]:
    """The commands that put the least accepts before everything else in the chain, in the language it was written in."""
    table, chain = finding.table, finding.chain.name
    comment = f"{PREFIX}{opening.tag}"
    if table.family in ("ip", "ip6") and table.name in _IPTABLES and (table.backend == "legacy" or chain.isupper()):
        start = [program(table.backend, opening.family), *(["-t", table.name] if table.name != "filter" else [])]
        return [shlex.join([*start, "-I", chain, *rule_words(match, comment)]) for match in _wanted(finding, opening)]
    start = ["nft", "insert", "rule", table.family, table.name, chain]
    return [
        " ".join([*map(shlex.quote, start), *_nft_words(match, opening), _quoted(comment)])
        for match in _wanted(finding, opening)
    ]


def _wanted(finding: Finding, opening: Opening) -> t.Sequence[Match]:
    """The accepts it takes. Before connection tracking a packet has no state, so one accept is for all packets of its kind."""
    early = any(base.hook in ("prerouting", "output") and base.priority < _CONNTRACK for base in finding.table.chains)
    return [replace(matches(opening)[0], states=())] if early else matches(opening)


def _nft_words(match: Match, opening: Opening) -> t.Iterator[str]:
    """A rule of nft(8) that accepts, without its comment."""
    ip = "ip" if opening.family == 4 else "ip6"
    if match.in_interface:
        yield f"iifname {shlex.quote(match.in_interface)}"
    if match.out_interface:
        yield f"oifname {shlex.quote(match.out_interface)}"
    if match.source:
        yield f"{ip} saddr {short(match.source)}"
    if match.destination:
        yield f"{ip} daddr {short(match.destination)}"
    if match.ports:
        yield f"{match.protocol} dport {match.ports}"
    elif match.protocol:
        yield f"meta l4proto {match.protocol}"
    if match.states:
        yield f"ct state {','.join(match.states)}"
    yield "accept comment"


def _quoted(comment: str) -> str:
    """For nft behind a shell: the double quotes must reach nft."""
    return shlex.quote(f'"{comment}"')
