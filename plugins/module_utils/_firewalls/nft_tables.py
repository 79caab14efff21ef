# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Everybody's nftables tables as values."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._kernel import rulesets
from .._kernel.kernel import Kernel
from .model import Chain, Packet, Rule, Table, Verdict
from .nft_conditions import Context, decode


def read(
    kernel: Kernel,
    netns: str | None,
    *,
    skip: frozenset[tuple[str, str]] = frozenset(),
    hooks: t.Collection[str] = rulesets.HOOKS,
) -> list[Table]:
    """The tables that have chains on these hooks, less those to ``skip``: pairs of family and name. Raises KernelError."""
    return [table(dump) for dump in rulesets.read(kernel, netns, skip=skip, hooks=hooks)]


def table(dump: rulesets.TableDump) -> Table:
    """The meaning of a table."""
    context = Context(dump.family, dump.sets, dump.interfaces)
    rules: dict[str, list[Rule]] = {}
    for rule in dump.rules:
        rules.setdefault(rule.chain, []).extend(decode(rule, context))
    chains = tuple(_chain(chain, tuple(rules.get(chain.name, ()))) for chain in dump.chains)
    return Table("nft", dump.family, dump.name, chains, dump.owned)


def _chain(dump: rulesets.ChainDump, rules: tuple[Rule, ...]) -> Chain:
    if dump.devices:  # others pass it by: a rule in front says so
        rules = (Rule((Elsewhere(dump.devices),), Verdict("accept")), *rules)
    return Chain(dump.name, rules, dump.hook, dump.type, dump.priority, dump.policy)


@dataclass(frozen=True)
class Elsewhere:
    """The packet comes by another device than the chain is bound to."""

    devices: tuple[str, ...]

    def holds(self, packet: Packet) -> bool | None:
        arriving = packet.in_port or packet.in_interface
        return None if arriving is None else arriving not in self.devices
