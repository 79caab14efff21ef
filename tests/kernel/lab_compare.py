# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is what runs what the file says? Compares the tests' own reading of a lab file with the tests' own reading of the kernel."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lab_files import Key, Machine, Meaning, Wanted, listed, meaning, split
from lab_nat import nat_differences
from lab_reader import Interface, Place, Route, read

MARK = 0x7062
_OWN_ROUTES = {"112"}
_KERNEL = ("kernel", "ra")
_FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
_BRIDGE_WORDS = {
    "stp": "stp_state",
    "forward_delay": "forward_delay",
    "ageing_time": "ageing_time",
    "vlan_filtering": "vlan_filtering",
    "multicast_snooping": "mcast_snooping",
}


def differences(lab: Mapping[str, Any], *, alone: bool = True) -> list[str]:
    """Every way in which the running lab is not the one of the file, in words; none when it is.

    Only when it is alone on the host, all masquerades, forwards and routes of ours there are its own.
    """
    wanted = meaning(lab)
    return compare(wanted, running(wanted), alone=alone)


def running(wanted: Meaning) -> dict[str | None, Place]:
    """What runs where this lab should, with the settings that it is about."""
    names = {name for machine in wanted.machines.values() for name in machine.settings} | set(_FORWARDING.values())
    return read(wanted.namespaces, sorted(names))


def compare(wanted: Meaning, places: Mapping[str | None, Place], *, alone: bool = True) -> list[str]:
    """See ``differences``."""
    found = {one.key: located(wanted, places, one.key) for one in wanted.interfaces()}
    out: list[str] = []
    for one in wanted.interfaces():
        there = found[one.key]
        title = f"{one.netns or 'host'}/{one.name}"
        if there is None:
            out.append(f"{title} is not there: {sorted(places[one.netns].interfaces)}")
        else:
            out += [f"{title}: {text}" for text in _interface(wanted, found, one, there)]
    for netns, machine in wanted.machines.items():
        out += [f"{netns or 'host'}: {text}" for text in _machine(machine, places[netns], found, alone=alone)]
    return [*out, *_pairs(wanted, found), *_twice(wanted, found), *_strangers(wanted, places, found)]


def located(wanted: Meaning, places: Mapping[str | None, Place], key: Key) -> Interface | None:
    """The running interface that is what the file calls so, by its name or by what became of a long one."""
    there = places[key[0]].interfaces
    if len(key[1].encode()) <= 15:
        return there.get(key[1])
    start = key[1].encode()[:8].decode(errors="ignore")
    short = [name for name in there if re.fullmatch(re.escape(start) + "-[0-9a-f]{6}", name)]
    if len(short) > 1:  # two long names begin alike: only the other end of the cable can tell
        one = wanted.get(key)
        short = [name for name in short if one and _leads(wanted, places, there[name], one)]
    return there[short[0]] if len(short) == 1 else None


def _leads(wanted: Meaning, places: Mapping[str | None, Place], there: Interface, one: Wanted) -> bool:
    if there.peer is None or one.peer is None or there.peer[0] != one.peer[0]:
        return False
    return len(one.peer[1].encode()) > 15 or there.peer[1] == one.peer[1]


# ---- one interface


def _interface(wanted: Meaning, found: Mapping[Key, Interface | None], one: Wanted, there: Interface) -> Iterator[str]:
    def name(key: Key | None) -> Any:
        other = found.get(key) if key else None
        return (other.netns, other.name) if other else key

    facts: dict[str, tuple[Any, Any]] = {
        "kind": (one.kind, there.kind),
        "up": (one.up, there.up),
        "hairpin": (one.hairpin, bool(there.hairpin)),
        "master": (name((one.netns, one.master))[1] if one.master else None, there.master),
        "parent": (name((one.netns, one.parent))[1] if one.parent else None, there.parent),
        "peer": (name(one.peer), there.peer),
        "group": (MARK, there.group >> 16),
    }
    if one.mtu is not None:
        facts["mtu"] = (one.mtu, there.mtu)
    if one.mac is not None:
        facts["mac"] = (one.mac.lower(), there.mac)
    if not one.networks:
        facts["addresses"] = ({_normal(text) for text in one.addresses}, set(there.addresses))
    for what, (should, has) in facts.items():
        if should != has:
            yield f"{what} is {has!r}, not {should!r}"
    yield from _options(one, there)
    if one.networks:
        yield from _automatic(one, there)
    if there.unusable:
        yield f"addresses are not usable: {sorted(there.unusable)}"


def _normal(text: str) -> str:
    return str(ipaddress.ip_interface(text))


def _options(one: Wanted, there: Interface) -> Iterator[str]:
    for option, should in one.options.items():
        if one.kind == "bridge":
            has = there.options.get(_BRIDGE_WORDS[option])
            same = has == (round(should * 100) if option in ("forward_delay", "ageing_time") else int(should))
        else:
            has = there.options.get(option, there.options.get(f"{option}6"))
            same = str(has) == str(should)
        if not same:
            yield f"{option} is {has!r}, not {should!r}"


def _automatic(one: Wanted, there: Interface) -> Iterator[str]:
    """An address of each network; on a cable without a bridge, of a pair that is in the network."""
    left = {ipaddress.ip_interface(text) for text in there.addresses}
    for network in map(ipaddress.ip_network, one.networks):
        pair = network.max_prefixlen - 1
        fits = {
            address
            for address in left
            if address.version == network.version
            and address.ip in network
            and address.network.prefixlen == (pair if one.pool else network.prefixlen)
            and (one.pool or network.prefixlen >= pair or address.ip != network.network_address)
            and (
                one.pool or network.version == 6 or network.prefixlen >= pair or address.ip != network.broadcast_address
            )
        }
        if len(fits) != 1:
            yield f"has {len(fits)} addresses of {network}: {sorted(there.addresses)}"
        left -= fits
    if left:
        yield f"has further addresses: {sorted(map(str, left))}"


# ---- what is between interfaces


def _pairs(wanted: Meaning, found: Mapping[Key, Interface | None]) -> Iterator[str]:
    for one in wanted.interfaces():
        here, there = found[one.key], found.get(one.peer) if one.peer else None
        other = wanted.get(one.peer) if one.peer else None
        if here is None or there is None or other is None or not (one.pool and other.pool):
            continue
        networks = [
            sorted(str(ipaddress.ip_interface(text).network) for text in end.addresses) for end in (here, there)
        ]
        if networks[0] != networks[1]:
            yield f"{one.key} and {other.key} are in different pairs: {networks}"


def _twice(wanted: Meaning, found: Mapping[Key, Interface | None]) -> Iterator[str]:
    """An address that was chosen must be nobody else's in the lab; nor may two interfaces share a MAC address."""
    taken: dict[Any, list[Key]] = {}
    macs: dict[str, list[Key]] = {}
    for key, there in found.items():
        for text in there.addresses if there else ():
            taken.setdefault(ipaddress.ip_interface(text).ip, []).append(key)
        if there and there.kind != "macvlan":
            macs.setdefault(there.mac, []).append(key)
    for address, keys in taken.items():
        if len(keys) > 1 and any(one and one.networks for one in map(wanted.get, keys)):
            yield f"{address} was given to {keys}"
    for mac, keys in macs.items():
        if len(keys) > 1 and not all(one and one.mac for one in map(wanted.get, keys)):
            yield f"{keys} share the MAC address {mac}"


def _strangers(
    wanted: Meaning, places: Mapping[str | None, Place], found: Mapping[Key, Interface | None]
) -> Iterator[str]:
    """Interfaces that nobody asked for: any in a namespace, on the host those with the lab's marks."""
    known = {(there.netns, there.name) for there in found.values() if there}
    groups = {there.group for there in found.values() if there}
    if len(groups) > 1:
        yield f"the lab's interfaces are in several groups: {sorted(groups)}"
    for netns, place in places.items():
        for name, there in place.interfaces.items():
            if name == "lo" and netns is not None:
                if there.alias != f"patchbay.netns:{wanted.name}" or not there.up:
                    yield f"lo in {netns}: alias {there.alias!r}, up {there.up}"
            elif (netns, name) not in known and name != "lo" and (netns is not None or there.group in groups):
                yield f"{netns or 'host'}/{name} is not in the file"


# ---- the rest of a machine


def _machine(machine: Machine, place: Place, found: Mapping[Key, Interface | None], *, alone: bool) -> Iterator[str]:
    here = {one.name: found[one.key] for one in machine.interfaces.values()}
    whole = alone or machine.netns is not None
    yield from _routes(machine, place, here, whole=whole)
    forwarded = {ipaddress.ip_network(one["source"]).version for one in machine.masquerades}
    for settings in (machine.settings, {_FORWARDING[version]: "1" for version in forwarded}):
        for name, value in settings.items():
            if place.settings[name] != value:
                yield f"{name} is {place.settings[name]}, not {value}"
    if machine.netns is not None and (place.nameservers or ()) != machine.nameservers:
        yield f"name servers are {place.nameservers}, not {machine.nameservers}"
    targets = {
        netns: {
            text.split("/")[0]
            for (where, _name), there in found.items()
            if there and where == netns
            for text in there.addresses
        }
        for netns in {key[0] for key in found}
    }
    yield from nat_differences(machine, place.rules, targets, whole=whole)


def _routes(machine: Machine, place: Place, here: Mapping[str, Interface | None], *, whole: bool) -> Iterator[str]:
    should = [_route(route, here) for route in machine.routes]
    has = [
        _plain(route)
        for route in place.routes
        if route.protocol not in _KERNEL and (machine.netns is not None or route.protocol in _OWN_ROUTES)
    ]
    for route in should:
        if route not in has:
            yield f"no route {route}; there are {has}"
    for route in has:
        if whole and route not in should:
            yield f"the route {route} is not in the file"
    connected = {(route.destination, route.device) for route in place.routes if route.protocol == "kernel"}
    for there in here.values():
        for address in map(ipaddress.ip_interface, there.addresses if there and there.running else ()):
            single = address.network.prefixlen == address.max_prefixlen
            if not single and (str(address.network), there.name) not in connected:
                yield f"{there.name} has no route to its own network {address.network}"


def _plain(route: Route) -> tuple:
    return route.destination, route.gateway, route.device, route.table, route.metric, route.kind, route.hops


def _route(route: Mapping[str, Any], here: Mapping[str, Interface | None]) -> tuple:
    destination = route["destination"]
    if destination == "default":
        destination = "0.0.0.0/0"
    network = ipaddress.ip_network(destination)
    gateway, device = route.get("gateway"), route.get("device")
    kind = route.get("type", "unicast")
    if device is not None:
        device = here[device].name if here.get(device) else device
    elif gateway is not None:
        device = _towards(gateway, here)
    elif network.version == 6 and kind != "unicast":
        device = "lo"
    hops = tuple(
        sorted(
            (hop["gateway"], _towards(hop["gateway"], here), hop.get("weight", 1)) for hop in route.get("nexthops", ())
        )
    )
    metric = route.get("metric", 1024 if network.version == 6 else 0)
    return str(network), gateway, device, str(route.get("table", "main")), metric, kind, hops


def _towards(gateway: str, here: Mapping[str, Interface | None]) -> str | None:
    for there in here.values():
        if there and any(
            ipaddress.ip_address(gateway) in ipaddress.ip_interface(text).network for text in there.addresses
        ):
            return there.name
    return None


__all__ = ["compare", "differences", "listed", "located", "meaning", "running", "split"]
