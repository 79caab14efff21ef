# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The wish that a port of this machine leads to a service somewhere else."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._engine.model import Item, State, Step
from .._errors import Conflict, NotFound
from .._kernel.kernel import Kernel
from . import forward_params, forward_rules, forwarding, nat, sysctl, way
from .forward_rules import KIND, Service, Target
from .words import place


@dataclass(frozen=True)
class Forward:
    """The wish for one forward. ``services`` has one entry per IP version; more than one only when it is to be absent."""

    netns: str | None
    services: tuple[Service, ...]
    target: Target | None
    """Without ``hairpin``, which depends on the routes; None when the forward is to be absent."""
    hairpin: bool
    forwarding: bool
    present: bool

    @property
    def name(self) -> str:
        return f"forward of {self.services[0]}{place(self.netns)}"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Forward:
        """Validate the module's parameters. Raises InvalidInput."""
        given = forward_params.parse(params)
        return cls(
            netns=given.netns,
            services=given.services,
            target=given.target,
            hairpin=params.get("hairpin") is not False,
            forwarding=params.get("forwarding") is not False,
            present=given.target is not None,
        )

    def observe(self, kernel: Kernel) -> State:
        items: list[Item] = nat.observe(kernel, self.netns)
        more: list[str] = []
        if self.target is not None:
            ways = way.observe(kernel, self.netns, self.target.address)
            items += ways
            more = self._localnet(State(ways), self.target) if self.target.localhost else []
        for service in self.services:
            items += forwarding.observe(kernel, self.netns, [service.family], _holder(service), more)
        return State(items)

    def _localnet(self, state: State, target: Target) -> list[str]:
        """The setting that lets 127.0.0.0/8 leave towards the target."""
        device = self._way(state, target).device
        return [sysctl.of_device(4, device, "route_localnet")] if device else []

    def _way(self, state: State, target: Target) -> way.Way:
        found: way.Way | None = state.get(("way", self.netns, target.address))
        return found or way.Way(self.netns, target.address)

    def plan(self, state: State) -> list[Step]:
        out: list[Step] = []
        for service in self.services:
            steps = self._plan(state, service)
            for step in steps:
                state = step.project(state)
            out += steps
        return out

    def _plan(self, state: State, service: Service) -> list[Step]:
        holder = _holder(service)
        rules = forward_rules.build(service, self._completed(state, self.target)) if self.target else ()
        wanted = self._settings(state, service)
        self._refuse_overlap(state, nat.NatObject(self.netns, KIND, service.identity, tuple(rules)))
        return [  # what opens the machine comes after the rules that guard it, and goes before them
            *forwarding.release(state, self.netns, wanted, holder),
            *nat.put(state, self.netns, KIND, service.identity, rules),
            *forwarding.hold(state, self.netns, wanted, holder),
        ]

    def _completed(self, state: State, target: Target) -> Target:
        """The target with the network whose clients need the hairpin rule."""
        return replace(target, hairpin=self._way(state, target).network if self.hairpin else None)

    def _settings(self, state: State, service: Service) -> dict[str, str]:
        if self.target is None:
            return {}
        wanted = forwarding.needed(state, self.netns, service.family, _holder(service)) if self.forwarding else {}
        if self.target.localhost:
            names = self._localnet(state, self.target)
            if not names:
                raise NotFound(
                    f"localhost: true needs a route to to_address {self.target.address}{place(self.netns)}, and there is none. "
                    "Create the bridge or the route to it first."
                )
            wanted.update(dict.fromkeys(names, "1"))
        return wanted

    def _refuse_overlap(self, state: State, wanted: nat.NatObject) -> None:
        ours = forward_rules.claims(wanted)
        for other in state.of(nat.NatObject):
            if other.kind != KIND or other.key == wanted.key:
                continue
            for part, theirs in forward_rules.claims(other).items():
                if part in ours and ours[part].overlaps(theirs):
                    raise Conflict(
                        f"{ours[part]} is forwarded already{place(self.netns)}: the forward of {theirs} to "
                        f"{forward_rules.shown(other).get('to_address')} takes in the same {_CLAIMED[part]}",
                        other=forward_rules.shown(other),
                    )

    def view(self, state: State) -> dict[str, t.Any]:
        for service in self.services:
            now: nat.NatObject | None = state.get(("nat", self.netns, KIND, service.identity))
            if now is not None:
                return {
                    "netns": self.netns,
                    **forward_rules.shown(now),
                    "forwarding": forwarding.is_on(state, self.netns, service.family),
                    "rules": [f"{rule.chain}: {rule}" for rule in now.rules],
                }
        return {}

    def warnings(self, state: State) -> list[str]:
        if self.target is None:
            return []
        out = forwarding.warning(state, self.netns, self.services[0].family) if self.forwarding else []
        return [*out, *self._hairpin_warnings(self._way(state, self.target))] if self.hairpin else out

    def _hairpin_warnings(self, found: way.Way) -> list[str]:
        if found.network is None:
            return [
                f"to_address {found.address} is in no connected network{place(self.netns)}, so there is no hairpin rule: "
                "clients in the target's own network can't use this forward. "
                "Create the target's network first and run this again, or set hairpin: false."
            ]
        if found.port is not None:
            return [
                f"the target {found.address} can't reach itself through this forward: bridged packets pass the rules here "
                f"({way.BRIDGE_FILTER[found.address.version]}=1), "
                f"and port {found.port} of bridge {found.device} sends no frame back to where it came from. "
                f"Set hairpin: true on {found.port} with the veth module if that is wanted."
            ]
        return []


_CLAIMED = {
    "in": "packets. Remove that one with state: absent, or choose another port, address or in_interface.",
    "local": "connections of the machine itself. Set local: false for one of the two.",
    "localhost": "connections to localhost. Set localhost: false for one of the two.",
}


def _holder(service: Service) -> str:
    return f"{KIND} {service.identity}"
