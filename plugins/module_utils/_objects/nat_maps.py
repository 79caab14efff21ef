# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The maps in which forwards live: which one a forward is in, as what elements, and which rules look into it.

A map answers in one look-up, however many forwards there are. What two forwards are told apart by (an address, an
interface, sources) is part of the map's key, so there is one map for each combination in use.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import typing as t

from .._kernel.nft_rules import DnatBy, Network, Ports, Rule
from .._kernel.nft_sets import Declaration, Element, pack, unpack, unpack_one
from . import ports
from .nat_specs import ForwardSpec, Service, Target

LOOPBACK = {4: ipaddress.ip_network("127.0.0.0/8"), 6: ipaddress.ip_network("::1/128")}
EVERYWHERE = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
IP = {4: "ip", 6: "ip6"}
_LINK_LOCAL = ipaddress.ip_network("fe80::/10")
_ADDRESS = {4: "ipv4_addr", 6: "ipv6_addr"}
_FAMILIES = {"ip": 4, "ip6": 6}
_NAME = re.compile(
    r"(forwards|incoming|outgoing|loopback)-(tcp|udp|sctp)-(ip6?)(-ranges)?(-by-interface)?(-by-source)?(-by-address)?"
)
_COMMENT = re.compile(
    r"patchbay forward (tcp|udp|sctp) ([0-9]{1,5})(?:-([0-9]{1,5}))?"
    r"(?: at ([0-9a-f:.]+))?(?: in (\S+))?(?: hairpin ([0-9a-f:./]+))?"
)
_WORDS = {
    "prerouting": "patchbay: what comes in",
    "output": "patchbay: what the machine itself sends",
    "loopback": "patchbay: what the machine sends to localhost",
}


class Shape(t.NamedTuple):
    """What the forwards in one map have in common.

    ``entry`` says who looks into it: forwards (what comes in, and the machine's own packets), incoming, outgoing (only the one or
    the other), or loopback (the machine's own packets to localhost). ``kind`` is empty where one port leads to one port for
    everybody; by-source where it does so for some; ranges where ports keep their numbers.
    """

    entry: str
    protocol: str
    family: int
    interface: bool = False
    address: bool = False
    kind: str = ""

    @property
    def name(self) -> str:
        parts = [self.entry, self.protocol, IP[self.family], *(["ranges"] if self.kind == "ranges" else [])]
        return "-".join([*parts, *(f"by-{what}" for what in self._told_by)])

    @property
    def _told_by(self) -> list[str]:
        """What its forwards are told apart by beside the port, in the order of the key."""
        there = {"interface": self.interface, "source": self.kind == "by-source", "address": self.address}
        return [what for what, is_there in there.items() if is_there]

    @property
    def key(self) -> tuple[str, ...]:
        """The fields of the key; a map of intervals always has the source, so that there are two at least."""
        wanted = {"iifname": self.interface, "saddr": bool(self.kind), "daddr": self.address, "dport": True}
        return tuple(field for field, there in wanted.items() if there)

    @property
    def declaration(self) -> Declaration:
        return _declaration(self)

    def rules(self) -> t.Iterator[Rule]:
        """The rules that look into the map."""
        local = {"local_destination": True}  # else other machines' services would be hijacked
        never = () if self.address or self.family == 4 else (_LINK_LOCAL,)  # such packets are never routed
        if self.entry in ("forwards", "incoming"):
            yield self._rule("prerouting", "prerouting", not_destinations=never, **local)
        if self.entry in ("forwards", "outgoing"):
            not_loopback = () if self.address else (LOOPBACK[self.family],)
            yield self._rule("output", "output", not_destinations=(*not_loopback, *never), **local)
        if self.entry == "loopback":
            yield self._rule("output", "loopback", destination=LOOPBACK[self.family])

    def _rule(self, chain: str, words: str, **conditions: t.Any) -> Rule:
        verdict = DnatBy(self.name, self.key, self.family, self.kind != "ranges")
        comment = ", by ".join([_WORDS[words], *([" and ".join(self._told_by)] if self._told_by else [])])
        return Rule(chain, verdict, comment, family=self.family, protocol=self.protocol, **conditions)


@functools.cache
def _declaration(shape: Shape) -> Declaration:
    types = {
        "iifname": "ifname",
        "saddr": _ADDRESS[shape.family],
        "daddr": _ADDRESS[shape.family],
        "dport": "inet_service",
    }
    data = (_ADDRESS[shape.family],) if shape.kind == "ranges" else (_ADDRESS[shape.family], "inet_service")
    return Declaration(shape.name, tuple(types[field] for field in shape.key), data, bool(shape.kind), counter=True)


@functools.cache
def shape_of(name: str) -> Shape | None:
    """The shape of the map with this name; None when it is not one of ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    entry, protocol, ip, ranges, interface, source, address = match.groups()
    if ranges and source:
        return None
    kind = "ranges" if ranges else "by-source" if source else ""
    return Shape(entry, protocol, _FAMILIES[ip], bool(interface), bool(address), kind)


# ---- from a forward to elements


def elements(spec: ForwardSpec) -> t.Iterator[tuple[Shape, Element]]:
    """The elements that a forward consists of, each with the map it belongs to."""
    service, target = spec.service, spec.target
    comment, whose = _comment(spec), f"patchbay forward {_tag(service)}"
    pairs = ports.pairs(service.ports, target.ports)
    kind = "ranges" if pairs[0][1] is None else "by-source" if target.sources else ""
    special = service.in_interface is not None, service.address is not None
    entries = _entries(service.protocol, service.family, *special, kind, target.local)
    for outside, inside in pairs:
        data = pack(target.address) if inside is None else pack(target.address, inside)
        for source in (target.sources or (EVERYWHERE[service.family],)) if kind else (None,):
            for each in entries:
                said = whose if each.entry == "outgoing" else comment
                yield each, Element(*_key(each, service, source, outside), data, said)
        if target.loopback:
            each = Shape("loopback", service.protocol, service.family, kind="ranges" if inside is None else "")
            yield each, Element(*_key(each, service, EVERYWHERE[service.family], outside), data, whose)


@functools.lru_cache(maxsize=256)
def _entries(protocol: str, family: int, interface: bool, address: bool, kind: str, local: bool) -> tuple[Shape, ...]:
    """The maps that a forward is in, apart from that of localhost."""
    shape = Shape("incoming", protocol, family, interface, address, kind)
    if not local:
        return (shape,)
    if interface:
        return shape, shape._replace(entry="outgoing", interface=False)
    return (shape._replace(entry="forwards"),)


def _key(shape: Shape, service: Service, source: Network | None, outside: Ports) -> tuple[bytes, bytes]:
    """The lower and the upper end of the key."""
    front = (service.in_interface,) if shape.interface else ()
    middle = (service.address,) if shape.address else ()
    if source is None or not shape.kind:
        key = pack(*front, *middle, outside.low)
        return key, key
    return (
        pack(*front, source.network_address, *middle, outside.low),
        pack(*front, source.broadcast_address, *middle, outside.high),
    )


def _comment(spec: ForwardSpec) -> str:
    hairpin = f" hairpin {_words(spec.target.hairpin)}" if spec.target.hairpin else ""
    return f"patchbay forward {spec.service.protocol} {spec.service.ports}{hairpin}"


def _tag(service: Service) -> str:
    """The whole service: what belongs to one forward, although its key does not say so, is found again by that."""
    address = f" at {service.address}" if service.address else ""
    device = f" in {service.in_interface}" if service.in_interface else ""
    return f"{service.protocol} {service.ports}{address}{device}"


_words = functools.lru_cache(maxsize=1024)(str)  # many targets share a network


# ---- and back


class _Found:
    """What the elements of one forward say."""

    __slots__ = ("hairpin", "local", "loopback", "sources", "target")

    def __init__(self, shape: Shape, target: tuple[t.Any, int | None], hairpin: str | None) -> None:
        self.target = target
        self.hairpin = hairpin
        self.sources: set[Network] = set()
        self.local = shape.entry == "forwards"
        self.loopback = False


_Read = tuple[Ports, t.Any, t.Any, t.Any, tuple[t.Any, t.Union[int, None]], t.Union[str, None]]


def forwards(maps: t.Mapping[str, t.Iterable[Element]]) -> list[ForwardSpec]:
    """The forwards that the elements of all maps make up; elements that contradict themselves or the others are left out."""
    found: dict[Service, _Found] = {}
    later: list[tuple[Shape, _Read, str]] = []
    for name in sorted(maps):
        shape = shape_of(name)
        if shape is None:
            continue
        for element in sorted(maps[name]):
            read = _read(shape, element)
            if read is None:
                continue
            if shape.entry in ("outgoing", "loopback"):
                later.append((shape, read, element.comment))
                continue
            _collect(found, shape, read)
    _attach(found, later)
    return [_spec(service, what) for service, what in found.items()]


def _read(shape: Shape, element: Element) -> _Read | None:
    """The whole range of ports, interface, address and source of an element, where it leads to, and its hairpin network."""
    match = _COMMENT.fullmatch(element.comment)
    if match is None or match[1] != shape.protocol:
        return None
    whole = Ports(int(match[2]), int(match[3] or match[2]))
    fields_of, kinds, data_kinds = _fields(shape)
    try:
        if shape.kind or element.key != element.end:
            fields = dict(zip(fields_of, unpack(kinds, element.key, element.end)))
            low, high = fields["dport"].low, fields["dport"].high
            own = fields["daddr"].network_address if shape.address else None
        else:
            fields = dict(zip(fields_of, unpack_one(kinds, element.key)))
            low = high = fields["dport"]
            own = fields.get("daddr")
        address, *inside = unpack_one(data_kinds, element.data)
    except ValueError:
        return None
    if not whole.low <= low <= high <= whole.high:
        return None
    first = None
    if inside:
        first = inside[0] - (low - whole.low)
        if not 1 <= first <= 65536 - len(whole):
            return None
    elif (low, high) != (whole.low, whole.high) or len(whole) == 1:
        return None
    return whole, fields.get("iifname"), own, fields.get("saddr"), (address, first), match[6]


@functools.lru_cache(maxsize=256)
def _fields(shape: Shape) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The names of the fields of the key, their types, and those of the data."""
    return shape.key, shape.declaration.key, shape.declaration.data


def _collect(found: dict[Service, _Found], shape: Shape, read: _Read) -> None:
    whole, interface, address, source, target, hairpin = read
    service = Service(shape.family, shape.protocol, whole, address, interface)
    what = found.setdefault(service, _Found(shape, target, hairpin))
    if what.target == target:
        what.local = what.local or shape.entry == "forwards"
        if source is not None and source.prefixlen:
            what.sources.add(source)


def _attach(found: dict[Service, _Found], later: list[tuple[Shape, _Read, str]]) -> None:
    """Say of each forward whether it takes the machine's own packets, as the maps tell that only these look into.

    Their comments name the forward that they belong to, for it may be told by more than is in their keys.
    """
    by_tag = {(service.family, f"patchbay forward {_tag(service)}"): service for service in found} if later else {}
    for shape, read, comment in later:
        service = by_tag.get((shape.family, comment))
        if service is None or found[service].target != read[4]:
            continue
        if shape.entry == "loopback":
            found[service].loopback = True
        elif service.in_interface is not None and service.address == read[2]:
            found[service].local = True


def _spec(service: Service, what: _Found) -> ForwardSpec:
    address, first = what.target
    inside = None if first is None else Ports(first, first + len(service.ports) - 1)
    sources = tuple(sorted(what.sources, key=lambda net: (int(net.network_address), net.prefixlen)))
    target = Target(
        address,
        None if inside == service.ports else inside,
        sources,
        local=what.local,
        loopback=what.loopback,
        hairpin=None if what.hairpin is None else _network(what.hairpin),
    )
    return ForwardSpec(service, target)


@functools.cache
def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None
