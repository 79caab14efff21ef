# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The wish that a network goes out under the address of the interface it leaves by."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from .._engine.model import State, Step
from .._errors import InvalidInput
from .._kernel import nft_rules
from .._kernel.kernel import Kernel
from .._kernel.nft_rules import Ports, Rule
from . import checks, forwarding, nat, ports
from .checks import Network
from .words import place

KIND = "masquerade"

# Destinations that the outside has no business with: multicast, and link-local addresses, which are not routed.
_NEVER = {
    4: (ipaddress.ip_network("224.0.0.0/4"),),
    6: (ipaddress.ip_network("fe80::/10"), ipaddress.ip_network("ff00::/8")),
}


@dataclass(frozen=True)
class Masquerade:
    """The wish for one masquerade: packets from ``source`` to anywhere but ``exclude``."""

    netns: str | None
    source: Network
    out_interface: str | None
    exclude: tuple[Network, ...]
    random: bool
    to_ports: Ports | None
    forwarding: bool
    present: bool

    @property
    def name(self) -> str:
        out = f" out of {self.out_interface}" if self.out_interface else ""
        return f"masquerade of {self.source}{out}{place(self.netns)}"

    @property
    def _identity(self) -> str:
        return nat.identity(f"{self.source} out {self.out_interface}" if self.out_interface else str(self.source))

    @property
    def _holder(self) -> str:
        return f"{KIND} {self._identity}"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Masquerade:
        """Validate the module's parameters. Raises InvalidInput."""
        source = checks.network(params.get("source") or "", "source") if params.get("source") else _no_source()
        _check_source(source)
        out_interface = params.get("out_interface")
        return cls(
            netns=checks.namespace(params.get("netns")),
            source=source,
            out_interface=None if out_interface is None else checks.interface(out_interface, "out_interface"),
            exclude=_exclude(params.get("exclude"), source),
            random=bool(params.get("random")),
            to_ports=ports.parse(params["to_ports"], "to_ports") if params.get("to_ports") is not None else None,
            forwarding=params.get("forwarding") is not False,
            present=params.get("state", "present") == "present",
        )

    def observe(self, kernel: Kernel) -> State:
        settings = forwarding.observe(kernel, self.netns, [self.source.version], self._holder)
        return State([*nat.observe(kernel, self.netns), *settings])

    def plan(self, state: State) -> list[Step]:
        version = self.source.version
        wanted = forwarding.needed(state, self.netns, version, self._holder) if self.present and self.forwarding else {}
        return [
            *forwarding.release(state, self.netns, wanted, self._holder),
            *nat.put(state, self.netns, KIND, self._identity, self._rules() if self.present else ()),
            *forwarding.hold(state, self.netns, wanted, self._holder),
        ]

    def _rules(self) -> t.Iterator[Rule]:
        if self.to_ports is not None:
            for protocol in ("tcp", "udp"):
                yield self._rule(protocol, protocol, self.to_ports)
        yield self._rule("all", None, None)

    def _rule(self, part: str, protocol: str | None, to_ports: Ports | None) -> Rule:
        return Rule(
            "postrouting",
            nft_rules.Masquerade(to_ports, self.random),
            nat.comment(KIND, self._identity, part),
            family=self.source.version,
            out_interface=self.out_interface,
            source=self.source,
            not_destinations=self.exclude,
            protocol=protocol,
        )

    def view(self, state: State) -> dict[str, t.Any]:
        now: nat.NatObject | None = state.get(("nat", self.netns, KIND, self._identity))
        if now is None:
            return {}
        shown: dict[str, t.Any] = {"netns": self.netns, "source": str(self.source), "out_interface": self.out_interface}
        for rule in now.readable[:1]:
            verdict = rule.verdict
            everything = f"{'::' if rule.family == 6 else '0.0.0.0'}/0"
            shown["source"] = str(rule.source or everything)
            shown["out_interface"] = rule.out_interface
            shown["exclude"] = [str(network) for network in rule.not_destinations]
            shown["random"] = isinstance(verdict, nft_rules.Masquerade) and verdict.random
            limit = verdict.ports if isinstance(verdict, nft_rules.Masquerade) else None
            shown["to_ports"] = str(limit) if limit else None
        shown["forwarding"] = forwarding.is_on(state, self.netns, self.source.version)
        shown["rules"] = [f"{rule.chain}: {rule}" for rule in now.rules]
        return shown

    def warnings(self, state: State) -> list[str]:
        wanted = self.present and self.forwarding
        return forwarding.warning(state, self.netns, self.source.version) if wanted else []


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
