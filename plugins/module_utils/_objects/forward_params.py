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
from .forward_rules import Service, Target


class Given(t.NamedTuple):
    """What was asked for; ``target`` is None for a forward that is to be absent."""

    netns: str | None
    services: tuple[Service, ...]
    target: Target | None


def parse(params: t.Mapping[str, t.Any]) -> Given:
    """Validate all parameters. Raises InvalidInput."""
    present = params.get("state", "present") == "present"
    netns = checks.namespace(params.get("netns"))
    protocol = _protocol(params.get("protocol"))
    outside = _ports(params.get("port"))
    device = _in_interface(params.get("in_interface"))
    address = _address(params.get("address"))
    to_address = _to_address(params.get("to_address"), needed=present)
    sources = _sources(params.get("sources"))
    _check_families(address, to_address, sources)
    inside = ports.parse(params["to_port"], "to_port") if params.get("to_port") is not None else None
    ports.check_widths(outside, inside)
    if to_address is not None and to_address == address:
        raise InvalidInput(f"to_address {to_address} is the same as address: a forward leads to another address.")
    if params.get("localhost") and to_address is not None and to_address.version == 6:
        raise InvalidInput(
            f"localhost: true is not possible for the IPv6 target {to_address}: the kernel never lets ::1 leave the machine, "
            "and has no setting for it. "
            "Forward to an IPv4 address, or connect to another address of the machine instead of localhost."
        )
    services = tuple(
        Service(family, protocol, outside, address, device) for family in _families(address, to_address, sources)
    )
    if not present or to_address is None:
        return Given(netns, services, None)
    target = Target(
        to_address,
        None if inside == outside else inside,
        sources,
        local=params.get("local") is not False,
        localhost=bool(params.get("localhost")),
    )
    return Given(netns, services, target)


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


def _address(text: str | None) -> Address | None:
    if text is None:
        return None
    address = checks.address(text, "address")
    if address.is_unspecified:
        raise InvalidInput(
            f"address: {address} is no address of this machine; leave the option out to forward on every local address."
        )
    if address.is_loopback:
        raise InvalidInput(
            f"address: {address} is only reached by the machine itself; leave the option out and set localhost: true."
        )
    if address.is_multicast:
        raise InvalidInput(
            f"address: {address} is multicast, which can't be forwarded; give one address of this machine."
        )
    return address


def _to_address(text: str | None, *, needed: bool) -> Address | None:
    if text is None:
        if needed:
            raise InvalidInput("to_address is missing: give the address to forward to, such as 192.168.15.2.")
        return None
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
    return nft_rules.sort_networks(networks)


def _check_families(address: Address | None, to_address: Address | None, sources: t.Sequence[Network]) -> None:
    """All addresses of one forward are of one IP version."""
    named: list[tuple[str, Address | Network]] = [("sources", network) for network in sources]
    named += [("address", address)] if address is not None else []
    named += [("to_address", to_address)] if to_address is not None else []
    for option, value in named:
        if value.version != named[-1][1].version:
            last, other = named[-1]
            raise InvalidInput(
                f"{option} {value} is IPv{value.version} but {last} {other} is IPv{other.version}; make one forward for each IP version."
            )


def _families(address: Address | None, to_address: Address | None, sources: t.Sequence[Network]) -> list[int]:
    """The IP version that the addresses tell, or both."""
    for value in (to_address, address, *sources):
        if value is not None:
            return [value.version]
    return [4, 6]
