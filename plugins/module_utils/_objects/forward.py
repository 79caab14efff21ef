# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The wish that a port of this machine leads to a service somewhere else."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, replace

from .._engine.model import State
from .._errors import NotFound
from . import forward_params, forwarding, nat, nat_layout, sysctl, way
from .nat_specs import ForwardSpec, Key, Service, Spec, Target
from .words import place


@dataclass(frozen=True)
class Forward:
    """One forward that is to be present or absent; for each IP version a service and, where it is to be present, a target."""

    netns: str | None
    services: tuple[Service, ...]
    targets: tuple[Target, ...]
    """One for each service, without ``hairpin``, which depends on the routes; none when the forward is to be absent."""
    hairpin: bool
    forwarding: bool
    reset: bool
    force: bool
    foreign_firewall: str

    @property
    def present(self) -> bool:
        return bool(self.targets)

    @property
    def name(self) -> str:
        return f"forward of {', '.join(map(str, self.services))}{place(self.netns)}"

    @functools.cached_property
    def keys(self) -> tuple[Key, ...]:
        return tuple(("forward", str(service)) for service in self.services)

    @functools.cached_property
    def versions(self) -> tuple[int, ...]:
        return tuple(service.family for service in self.services)

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Forward:
        """Validate the module's parameters. Raises InvalidInput."""
        given = forward_params.parse(params)
        return cls(
            netns=given.netns,
            services=given.services,
            targets=given.targets,
            hairpin=params.get("hairpin") is not False,
            forwarding=params.get("forwarding") is not False,
            reset=params.get("established") == "reset",
            force=bool(params.get("force")),
            foreign_firewall=params.get("foreign_firewall") or "report",
        )

    @classmethod
    def wish(cls, params: t.Mapping[str, t.Any]) -> nat.Nat:
        """The wish for one forward. Raises InvalidInput."""
        return nat.Nat((cls.from_params(params),))

    def settings(self, state: State) -> list[str]:
        return [name for target in self.targets if target.loopback for name in self._localnet(state, target)]

    def _localnet(self, state: State, target: Target) -> list[str]:
        """The setting that lets 127.0.0.0/8 leave towards the target."""
        device = self._way(state, target).device
        return [sysctl.of_device(4, device, "route_localnet")] if device else []

    def _way(self, state: State, target: Target) -> way.Way:
        found: way.Way | None = state.get(("way", self.netns, target.address))
        return found or way.Way(self.netns, target.address)

    @property
    def bare(self) -> list[Spec]:
        return [ForwardSpec(service, target) for service, target in zip(self.services, self.targets)]

    def specs(self, state: State) -> list[Spec]:
        """Completed with the network whose clients need the hairpin rule."""
        return [
            ForwardSpec(service, replace(target, hairpin=self._way(state, target).network if self.hairpin else None))
            for service, target in zip(self.services, self.targets)
        ]

    def demands(self, state: State) -> dict[str, str]:
        return {
            name: "1" for target in self.targets if target.loopback for name in self._needed_localnet(state, target)
        }

    def _needed_localnet(self, state: State, target: Target) -> list[str]:
        names = self._localnet(state, target)
        if not names:
            raise NotFound(
                f"loopback: true needs a route to to_address {target.address}{place(self.netns)}, and there is none. "
                "Create the bridge or the route to it first."
            )
        return names

    def view(self, state: State, specs: list[Spec]) -> dict[str, t.Any]:
        found = t.cast("list[ForwardSpec]", specs)
        if not found:
            return {}
        service, target = found[0].service, found[0].target
        return {
            "netns": self.netns,
            "family": [f"ipv{spec.service.family}" for spec in found],
            "protocol": service.protocol,
            "port": str(service.ports),
            "address": [str(spec.service.address) for spec in found if spec.service.address],
            "in_interface": service.in_interface,
            "to_address": [str(spec.target.address) for spec in found],
            "to_port": str(target.ports or service.ports),
            "sources": [str(source) for spec in found for source in spec.target.sources],
            "local": any(spec.target.local for spec in found),
            "hairpin": [str(spec.target.hairpin) for spec in found if spec.target.hairpin],
            "loopback": any(spec.target.loopback for spec in found),
            "forwarding": all(forwarding.is_on(state, self.netns, spec.service.family) for spec in found),
            "rules": nat_layout.shown(found),
        }

    def warnings(self, state: State) -> list[str]:
        out: list[str] = []
        for target in self.targets if self.hairpin else ():
            out += self._hairpin_warnings(self._way(state, target))
        if len(self.targets) > 1 and any(target.loopback for target in self.targets):
            out.append(
                "loopback: true works for 127.0.0.0/8 only: the kernel never lets ::1 leave the machine. "
                "A client that connects to the name localhost may try ::1 first."
            )
        return out

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
                f"({way.BRIDGE_FILTER[found.address.version]}=1, or the bridge's own nf_call_iptables), "
                f"and port {found.port} of bridge {found.device} sends no frame back to where it came from. "
                f"Set hairpin: true for {found.port}, with the veth module or at its interface in the lab file, if that is wanted."
            ]
        return []
