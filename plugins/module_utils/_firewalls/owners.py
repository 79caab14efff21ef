# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Whose firewall is this? Told by the names of tables and chains, which each of these programs gives in its own way."""

from __future__ import annotations

import re
import typing as t

from .model import Chain, Rule, Table

UNKNOWN = "unknown"
"""Somebody: an administrator, or a program without words here."""

TITLES = {
    "docker": "Docker",
    "ufw": "ufw",
    "firewalld": "firewalld",
    "libvirt": "libvirt",
    "incus": "Incus",
    "lxd": "LXD",
    "kubernetes": "Kubernetes",
    "podman": "Podman",
    UNKNOWN: "somebody",
}
"""How people call them."""

_TABLES = {
    "firewalld": "firewalld",
    "docker-bridges": "docker",
    "libvirt_network": "libvirt",
    "incus": "incus",
    "lxd": "lxd",
    "kube-proxy": "kubernetes",
    "netavark": "podman",
}

# firewalld's chains under FirewallBackend=iptables: those that its base chains lead to, and those of zones and policies.
_FIREWALLD = (
    r"(INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING)_(direct|(IN_|OUT_)?ZONES(_SOURCE)?|POLICIES_(pre|post))",
    r"(IN|OUT|FWD|FWDI|FWDO|PRE|POST)_.+",
)
_CHAINS = (
    ("docker", r"DOCKER(-.+)?"),
    ("ufw", r"ufw6?-.+"),
    ("libvirt", r"LIBVIRT_.+"),
    ("kubernetes", r"KUBE-.+"),
    ("kubernetes", r"cali-.+"),
    ("podman", r"NETAVARK.*"),
    ("podman", r"CNI-.+"),
    *(("firewalld", pattern) for pattern in _FIREWALLD),
)

_SETS_POLICIES = ("ufw", "docker", "firewalld")
"""Who puts a policy or a last word into the chains that everybody shares, the likeliest first."""


def owner(tables: t.Sequence[Table], table: Table, chain: Chain, rule: Rule | None = None) -> str:
    """Who is responsible for this rule of the chain, or with None for its policy: a key of ``TITLES``.

    The chains INPUT, FORWARD and OUTPUT of iptables belong to nobody and are used by all. Their policy is

    - ufw's when its chains hang there, even beside Docker's: ufw sets it from its own configuration at each start and
      reload, while Docker only tightens one that is not there yet. One accept heals it for both, wherever in the chain it
      stands, for it ends the evaluation of the whole chain;
    - Docker's when it has chains there and ufw has none: the daemon sets it when it switches on forwarding;
    - ufw's too in the table of the other IP version, for a policy of drop beside ufw's chains of this one.

    A rule in a shared chain is its program's if it leads to one of the program's chains. Any other is an
    administrator's, except firewalld's own: it ends its chains with rules that refuse.
    """
    named = _TABLES.get(table.name) or _by_chain(chain.name)
    if named:
        return named
    if rule is not None:
        if rule.verdict.chain:
            return _by_chain(rule.verdict.chain) or UNKNOWN
        return "firewalld" if "firewalld" in _guests(chain) else UNKNOWN
    guests = _guests(chain)
    if chain.policy == "drop" and not guests:
        guests = {name for twin in _twins(tables, table, chain) for name in _guests(twin)} & {"ufw"}
    return next((name for name in _SETS_POLICIES if name in guests), UNKNOWN)


def _by_chain(name: str) -> str | None:
    return next((found for found, pattern in _CHAINS if re.fullmatch(pattern, name)), None)


def _guests(chain: Chain) -> set[str]:
    """Whose chains the rules of this one lead to."""
    names = (_by_chain(rule.verdict.chain) for rule in chain.rules if rule.verdict.chain)
    return {name for name in names if name}


def _twins(tables: t.Sequence[Table], table: Table, chain: Chain) -> t.Iterator[Chain]:
    """The chain of the same name in the table of the other IP version."""
    for other in tables:
        if (other.backend, other.name) == (table.backend, table.name) and other.family != table.family:
            twin = other.chain(chain.name)
            if twin is not None:
                yield twin
