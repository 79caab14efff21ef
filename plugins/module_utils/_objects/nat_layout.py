# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What our nftables table looks like for a given set of forwards and masquerades, and which ones a given table holds.

Both directions are pure, and one is the other's inverse. Whatever is in the table beyond what ``layout`` says is not ours
and does not stay.
"""

from __future__ import annotations

import typing as t

from .._kernel.nft_changes import Content
from .._kernel.nft_rules import CHAINS, Drop, Masquerade, Member, Network, Ports, Rule
from .._kernel.nft_sets import Declaration, Element, pack
from . import nat_maps
from .nat_maps import EVERYWHERE, IP, LOOPBACK
from .nat_specs import ForwardSpec, Key, MasqueradeSpec, Spec

_Group = dict[Network, dict[bytes, list[Ports]]]
"""The ports of each target, by the network whose clients need them and the target's packed address."""
_HAIRPIN_KEY = ("saddr", "daddr", "dport")
_ADDRESS = {4: "ipv4_addr", 6: "ipv6_addr"}


def layout(specs: t.Iterable[Spec]) -> Content | None:
    """The whole table; None when there is nothing to translate."""
    everything = list(specs)
    forwards = [spec for spec in everything if isinstance(spec, ForwardSpec)]
    masquerades = [spec for spec in everything if isinstance(spec, MasqueradeSpec)]
    if not everything:
        return None
    shapes: dict[nat_maps.Shape, set[Element]] = {}
    for spec in forwards:
        for shape, element in nat_maps.elements(spec):
            shapes.setdefault(shape, set()).add(element)
    sets = {shape.name: shape.declaration for shape in shapes}
    elements = {shape.name: held for shape, held in shapes.items()}
    rules = [rule for shape in sorted(shapes) for rule in shape.rules()]
    for declaration, rule, held in _hairpins(forwards):
        sets[declaration.name] = declaration
        elements[declaration.name] = held
        rules.append(rule)
    rules += [rule for spec in sorted(masquerades, key=_order) for rule in _masquerade(spec)]
    rules += _guard() if any(spec.target.loopback for spec in forwards) else []
    by_chain = {name: tuple(rule for rule in rules if rule.chain == name) for name in CHAINS}
    return Content(
        {name: CHAINS[name] for name, found in by_chain.items() if found},
        {name: found for name, found in by_chain.items() if found},
        dict(sorted(sets.items())),
        {name: frozenset(elements[name]) for name in sorted(elements)},
    )


def specs(content: Content | None) -> dict[Key, Spec]:
    """The forwards and masquerades that the table holds, by their keys."""
    if content is None:
        return {}
    found: list[Spec] = [*_masquerades(content), *nat_maps.forwards(content.elements)]
    return {spec.key: spec for spec in found}


def shown(specs: t.Iterable[Spec]) -> list[str]:
    """What the table holds for these specs, in nft(8)'s own words, each behind the name of its chain, map or set."""
    out: list[str] = []
    for spec in specs:
        content = layout([spec]) or Content()
        if isinstance(spec, MasqueradeSpec):
            out += [f"{rule.chain}: {rule}" for rule in content.all_rules()]
        for name, what in content.sets.items():
            out += [f"{name}: {what.shown(element)}" for element in sorted(content.elements[name])]
    return out


# ---- masquerades


def _order(spec: MasqueradeSpec) -> tuple[t.Any, ...]:
    """The more a masquerade demands, the earlier it is asked."""
    network = spec.source
    return (
        network.version,
        -network.prefixlen,
        int(network.network_address),
        spec.out_interface is None,
        spec.out_interface,
    )


def _masquerade(spec: MasqueradeSpec) -> t.Iterator[Rule]:
    if spec.to_ports is not None:
        for protocol in ("tcp", "udp"):
            yield _masquerade_rule(spec, protocol, spec.to_ports)
    yield _masquerade_rule(spec, None, None)


def _masquerade_rule(spec: MasqueradeSpec, protocol: str | None, to_ports: Ports | None) -> Rule:
    return Rule(
        "postrouting",
        Masquerade(to_ports, spec.random),
        f"patchbay masquerade {spec}",
        family=spec.source.version,
        out_interface=spec.out_interface,
        source=spec.source,
        not_destinations=spec.exclude,
        protocol=protocol,
    )


def _masquerades(content: Content) -> t.Iterator[MasqueradeSpec]:
    """What the rules say; with limited ports it is in the one for tcp."""
    found: dict[Key, MasqueradeSpec] = {}
    for rule in content.rules.get("postrouting", ()):
        if (
            not isinstance(rule.verdict, Masquerade)
            or not rule.comment.startswith("patchbay masquerade ")
            or not rule.family
        ):
            continue
        spec = MasqueradeSpec(
            rule.source or EVERYWHERE[rule.family],
            rule.out_interface,
            rule.not_destinations,
            rule.verdict.random,
            rule.verdict.ports,
        )
        if rule.comment == f"patchbay masquerade {spec}":
            first = found.setdefault(spec.key, spec)
            if spec.to_ports and not first.to_ports:  # somebody has changed the order
                found[spec.key] = spec
    yield from found.values()


# ---- what comes back


def _hairpins(forwards: t.Iterable[ForwardSpec]) -> t.Iterator[tuple[Declaration, Rule, set[Element]]]:
    """Sources change where the answer would not come back this way: a client in the target's own network, or at localhost."""
    wanted: dict[tuple[str, int], _Group] = {}
    for spec in forwards:
        service, target = spec.service, spec.target
        networks = [target.hairpin] if target.hairpin else []
        networks += [LOOPBACK[service.family]] if target.loopback else []
        for network in networks:
            group = wanted.setdefault((service.protocol, service.family), {})
            targets = group.setdefault(network, {})
            targets.setdefault(target.address.packed, []).append(target.ports or service.ports)
    for (protocol, family), group in sorted(wanted.items()):
        address = _ADDRESS[family]
        declaration = Declaration(
            f"masqueraded-{protocol}-{IP[family]}", (address, address, "inet_service"), (), interval=True
        )
        rule = Rule(
            "postrouting",
            Masquerade(),
            "patchbay: whose answers would not come back",
            family=family,
            protocol=protocol,
            translated=True,
            member=Member(declaration.name, _HAIRPIN_KEY),
        )
        yield declaration, rule, set(_disjoint(group))


def _disjoint(group: _Group) -> t.Iterator[Element]:
    """Elements that do not overlap, for the kernel takes no others: ports united, and less what a larger network has."""
    larger: list[Network] = []
    for network in sorted(group, key=lambda each: each.prefixlen):
        around = [group[other] for other in larger if network.subnet_of(other)]  # type: ignore[arg-type]
        larger.append(network)
        low, high = network.network_address.packed, network.broadcast_address.packed
        for target, found in group[network].items():
            left = _united(found)
            for others in around:
                left = _without(left, others.get(target, ()))
            for ports in left:
                yield Element(low + target + pack(ports.low), high + target + pack(ports.high))


def _united(ranges: list[Ports]) -> list[Ports]:
    if len(ranges) == 1:
        return ranges
    out: list[Ports] = []
    for ports in sorted(ranges):
        if out and ports.low <= out[-1].high + 1:
            out[-1] = Ports(out[-1].low, max(out[-1].high, ports.high))
        else:
            out.append(ports)
    return out


def _without(ranges: t.Iterable[Ports], taken: t.Iterable[Ports]) -> list[Ports]:
    left = list(ranges)
    for hole in taken:
        pieces = [
            piece
            for ports in left
            for piece in (
                Ports(ports.low, min(ports.high, hole.low - 1)),
                Ports(max(ports.low, hole.high + 1), ports.high),
            )
        ]
        left = sorted({piece for piece in pieces if piece.low <= piece.high})
    return left


def _guard() -> list[Rule]:
    """route_localnet lets neighbours in at 127.0.0.0/8 (CVE-2020-8558); these rules do not."""
    words = "patchbay: localhost stays inside"
    return [
        Rule("guard", Drop(), words, not_in_interface="lo", destination=LOOPBACK[4]),
        Rule("guard", Drop(), words, not_in_interface="lo", source=LOOPBACK[4]),
    ]
