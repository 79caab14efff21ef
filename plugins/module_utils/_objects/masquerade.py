# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The wish that a network goes out under the address of the interface it leaves by."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from .._engine.model import State
from .._errors import InvalidInput
from .._kernel import nft_rules
from . import checks, forwarding, nat, nat_layout, ports
from .checks import Network
from .nat_specs import Key, MasqueradeSpec, Spec
from .words import place

# Destinations that the outside has no business with: multicast, and link-local addresses, which are not routed.
_NEVER = {
    4: (ipaddress.ip_network("224.0.0.0/4"),),
    6: (ipaddress.ip_network("fe80::/10"), ipaddress.ip_network("ff00::/8")),
}


@dataclass(frozen=True)
class Masquerade:
    """One masquerade that is to be present or absent."""

    netns: str | None
    spec: MasqueradeSpec
    forwarding: bool
    reset: bool
    foreign_firewall: str
    present: bool

    @property
    def name(self) -> str:
        return f"masquerade of {self.spec}{place(self.netns)}"

    @property
    def keys(self) -> tuple[Key, ...]:
        return (self.spec.key,)

    @property
    def versions(self) -> tuple[int, ...]:
        return (self.spec.source.version,)

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Masquerade:
        """Validate the module's parameters. Raises InvalidInput."""
        source = checks.network(params.get("source") or "", "source") if params.get("source") else _no_source()
        _check_source(source)
        out_interface = params.get("out_interface")
        spec = MasqueradeSpec(
            source=source,
            out_interface=None if out_interface is None else checks.interface(out_interface, "out_interface"),
            exclude=_exclude(params.get("exclude"), source),
            random=bool(params.get("random")),
            to_ports=ports.parse(params["to_ports"], "to_ports") if params.get("to_ports") is not None else None,
        )
        return cls(
            netns=checks.namespace(params.get("netns")),
            spec=spec,
            forwarding=params.get("forwarding") is not False,
            reset=params.get("established") == "reset",
            foreign_firewall=params.get("foreign_firewall") or "report",
            present=params.get("state", "present") == "present",
        )

    @classmethod
    def wish(cls, params: t.Mapping[str, t.Any]) -> nat.Nat:
        """The wish for one masquerade. Raises InvalidInput."""
        return nat.Nat((cls.from_params(params),))

    def settings(self, state: State) -> list[str]:
        return []

    @property
    def bare(self) -> list[Spec]:
        return [self.spec] if self.present else []

    @property
    def force(self) -> bool:
        return False

    def specs(self, state: State) -> list[Spec]:
        return self.bare

    def demands(self, state: State) -> dict[str, str]:
        return {}

    def view(self, state: State, specs: list[Spec]) -> dict[str, t.Any]:
        if not specs:
            return {}
        spec = t.cast(MasqueradeSpec, specs[0])
        return {
            "netns": self.netns,
            "source": str(spec.source),
            "out_interface": spec.out_interface,
            "exclude": [str(network) for network in spec.exclude],
            "random": spec.random,
            "to_ports": str(spec.to_ports) if spec.to_ports else None,
            "forwarding": forwarding.is_on(state, self.netns, self.versions[0]),
            "rules": nat_layout.shown(specs),
        }

    def warnings(self, state: State) -> list[str]:
        return []


def _no_source() -> t.NoReturn:
    raise InvalidInput("source is missing: give the network to translate, such as 192.168.15.0/24 or fd00:15::/64.")


def _check_source(source: Network) -> None:
    for wrong, why in (
        (source.is_multicast, "multicast"),
        (source.is_loopback, "loopback"),
        (source.is_link_local, "link-local"),
    ):
        if wrong and source.prefixlen:
            raise InvalidInput(
                f"source: {source} is {why}, and such packets are never routed; "
                "give the network of the namespaces, such as 192.168.15.0/24."
            )


def _exclude(texts: t.Sequence[str] | None, source: Network) -> tuple[Network, ...]:
    """The destinations left alone: those given, else the source network itself and what is never routed."""
    if texts is None:
        own = [source] if source.prefixlen else []
        return nft_rules.sort_networks([*own, *_NEVER[source.version]])
    networks = [checks.network(text, "exclude") for text in texts]
    for network in networks:
        if network.version != source.version:
            raise InvalidInput(
                f"exclude: {network} is IPv{network.version} but source {source} is IPv{source.version}; make one masquerade for each."
            )
        if network.prefixlen == 0:
            raise InvalidInput(
                f"exclude: {network} is every destination, so nothing would be translated; use state: absent instead."
            )
    checks.unique(networks, "exclude")
    return nft_rules.sort_networks(networks)
