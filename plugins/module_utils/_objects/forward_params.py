# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Reading the parameters of a forward; each refusal is one sentence with the way out."""

from __future__ import annotations

import typing as t

from .._errors import InvalidInput
from .._kernel import nft_rules
from .._kernel.nft_encode import PROTOCOLS
from . import checks, ports
from .checks import Address, Network
from .nat_specs import Service, Target


class Given(t.NamedTuple):
    """What was asked for, for each IP version; ``targets`` is empty for a forward that is to be absent."""

    netns: str | None
    services: tuple[Service, ...]
    targets: tuple[Target, ...]


def parse(params: t.Mapping[str, t.Any]) -> Given:
    """Validate all parameters. Raises InvalidInput."""
    present = params.get("state", "present") == "present"
    netns = checks.namespace(params.get("netns"))
    protocol = _protocol(params.get("protocol"))
    outside = _ports(params.get("port"))
    device = _in_interface(params.get("in_interface"))
    addresses = _by_version("address", map(_address, _texts(params.get("address"))))
    targets = _by_version("to_address", map(_to_address, _texts(params.get("to_address"))))
    sources = _sources(params.get("sources"))
    if present and not targets:
        raise InvalidInput("to_address is missing: give the address to forward to, such as 192.168.15.2.")
    families = _families(addresses, targets, sources)
    inside = ports.parse(params["to_port"], "to_port") if params.get("to_port") is not None else None
    ports.check_widths(outside, inside)
    for version, address in targets.items():
        if address == addresses.get(version):
            raise InvalidInput(f"to_address {address} is the same as address: a forward leads to another address.")
    loopback = bool(params.get("loopback"))
    if loopback and list(targets) == [6]:
        raise InvalidInput(
            f"loopback: true is not possible for the IPv6 target {targets[6]}: the kernel never lets ::1 leave the machine, "
            "and has no setting for it. "
            "Forward to an IPv4 address, or connect to another address of the machine instead of localhost."
        )
    services = tuple(Service(family, protocol, outside, addresses.get(family), device) for family in families)
    if not present:
        return Given(netns, services, ())
    return Given(
        netns,
        services,
        tuple(
            Target(
                targets[family],
                None if inside == outside else inside,
                # Everybody is no limit at all.
                tuple(network for network in sources if network.version == family and network.prefixlen),
                local=params.get("local") is not False,
                loopback=loopback and family == 4,
            )
            for family in families
        ),
    )


def _texts(value: str | t.Sequence[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _by_version(option: str, addresses: t.Iterable[Address]) -> dict[int, Address]:
    """At most one address of each IP version."""
    out: dict[int, Address] = {}
    for address in addresses:
        if address.version in out:
            raise InvalidInput(
                f"{option}: {out[address.version]} and {address} are both IPv{address.version}; "
                "give one address of each IP version at most, and make another forward for the other."
            )
        out[address.version] = address
    return dict(sorted(out.items()))


def _protocol(text: str | None) -> str:
    if not text:
        raise InvalidInput("protocol is missing: say tcp, udp or sctp, for a port number means nothing without it.")
    if text not in PROTOCOLS:
        raise InvalidInput(f"protocol: {text!r} can't be forwarded by port; choose tcp, udp or sctp.")
    return text


def _ports(text: str | None) -> nft_rules.Ports:
    if text is None or not str(text):
        raise InvalidInput("port is missing: give the port to forward, such as 80, or a range such as 8000-8010.")
    return ports.parse(text, "port")


def _in_interface(text: str | None) -> str | None:
    if text is None:
        return None
    if text == "lo":
        raise InvalidInput(
            "in_interface: nothing comes in through lo that could be forwarded; use local: true for the machine's own connections."
        )
    return checks.interface(text, "in_interface")


def _address(text: str) -> Address:
    address = checks.address(text, "address")
    if address.is_unspecified:
        raise InvalidInput(
            f"address: {address} is no address of this machine; leave the option out to forward on every local address."
        )
    if address.is_loopback:
        raise InvalidInput(
            f"address: {address} is only reached by the machine itself; leave the option out and set loopback: true."
        )
    if address.is_multicast:
        raise InvalidInput(
            f"address: {address} is multicast, which can't be forwarded; give one address of this machine."
        )
    return address


def _to_address(text: str) -> Address:
    address = checks.address(text, "to_address")
    wrong = {
        "unspecified": address.is_unspecified,
        "multicast": address.is_multicast,
        "loopback, which each namespace has for itself": address.is_loopback,
        "link-local, which needs an interface to mean anything": address.is_link_local and address.version == 6,
    }
    for why, applies in wrong.items():
        if applies:
            raise InvalidInput(f"to_address: {address} is {why}; give the address of the target, such as 192.168.15.2.")
    return address


def _sources(texts: t.Sequence[str] | None) -> tuple[Network, ...]:
    networks = [checks.network(text, "sources") for text in texts or ()]
    checks.unique(networks, "sources")
    return nft_rules.sort_networks(network for network in networks if not _inside_another(network, networks))


def _inside_another(network: Network, networks: t.Sequence[Network]) -> bool:
    """Whether a larger one of them says it already."""
    larger = (other for other in networks if other.version == network.version and other != network)
    return any(network.subnet_of(other) for other in larger)  # type: ignore[arg-type]


def _families(
    addresses: t.Mapping[int, Address], targets: t.Mapping[int, Address], sources: t.Sequence[Network]
) -> list[int]:
    """The IP versions of the forward: those of its targets, or what else tells them; both when nothing does.

    What is named for one of two versions only is refused: left out for the other, it would open more than was meant.
    """
    of_sources: dict[int, Network] = {network.version: network for network in sources}
    everything: dict[str, t.Mapping[int, t.Any]] = {"to_address": targets, "address": addresses, "sources": of_sources}
    named = {option: values for option, values in everything.items() if values}
    if not named:
        return [4, 6]
    first, versions = next((option, sorted(values)) for option, values in named.items())
    for option, values in named.items():
        if sorted(values) == versions:
            continue
        for version in (4, 6):
            if version in values and version not in versions:
                other = next(iter(named[first].values()))
                raise InvalidInput(
                    f"{option} {values[version]} is IPv{version} but {first} {other} is IPv{other.version}; "
                    "make one forward for each IP version, or name both everywhere."
                )
        for version in versions:
            if version not in values:
                raise InvalidInput(
                    f"{option}: nothing is said for IPv{version}, but {first} {named[first][version]} is IPv{version}; "
                    "name both IP versions, or make one forward for each."
                )
    return versions
