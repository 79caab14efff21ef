# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The entries of connection tracking, read and deleted over netlink (linux/netfilter/nfnetlink_conntrack.h).

A busy router has hundreds of thousands of them, so an entry is read in two parts: first who talks to whom, at a fixed
place in the message; then, of those that are wanted, the rest.
"""

from __future__ import annotations

import errno
import socket
import struct
import typing as t
from dataclasses import dataclass

from . import procsys
from .attributes import NESTED, attribute, nested
from .kernel import Kernel
from .netlink import ACK, CREATE, EXCL, REQUEST, NetlinkSocket, Raw, Refusal

_SUBSYSTEM = 1  # NFNL_SUBSYS_CTNETLINK
NEW, GET, DELETE = (_SUBSYSTEM << 8 | number for number in range(3))  # IPCTNL_MSG_CT_*
_ORIGINAL, _REPLY, _STATE, _TIMEOUT, _ID, _NAT_DST, _ZONE = 1, 2, 4, 7, 12, 13, 18  # CTA_*; _STATE is CTA_PROTOINFO
_IP, _PROTO, _TUPLE_ZONE = 1, 2, 3  # CTA_TUPLE_*
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3  # CTA_PROTO_*
_ADDRESSES = {4: (1, 2), 6: (3, 4)}  # CTA_IP_*: source, destination
_NAT_ADDRESSES, _NAT_PORTS = {4: (1, 2), 6: (4, 5)}, 3  # CTA_NAT_*: lowest and highest
_KIND = 0x3FFF  # NLA_TYPE_MASK

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_SIZES = {4: 4, 6: 16}
_PROTOCOLS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp"}
# Which attribute of CTA_PROTOINFO holds the state, and the states of a connection that both sides agreed on:
# ESTABLISHED to TIME_WAIT (nf_conntrack_tcp.h), ESTABLISHED to SHUTDOWN_ACK_SENT (nf_conntrack_sctp.h).
_ESTABLISHED = {"tcp": (1, range(3, 8)), "sctp": (3, range(4, 8))}
_STATEFUL = ("tcp", "dccp", "sctp")

_BODY = 4  # struct nfgenmsg
_ATTRIBUTE = struct.Struct("=HH")
_COUNT = "net.netfilter.nf_conntrack_count"
_TRIES = 20


class Ends(t.NamedTuple):
    """Who talks to whom. Addresses are numbers, as ``int`` makes them of ``ipaddress`` objects: there may be many."""

    source: int
    source_port: int
    destination: int
    destination_port: int


@dataclass(frozen=True)
class Flow:
    """One entry. Protocols without ports have zeros for them, those without a name here their number."""

    family: int
    """4 or 6."""
    protocol: str
    original: Ends
    """As the first packet came, before any translation."""
    reply: Ends
    """As the answers come: the original the other way round, where nothing was translated."""
    established: bool
    """Whether it is a connection that both sides agreed on; never so for UDP."""
    zone: int
    """0 unless somebody divides the tracking by rules; the first that is set of the entry's and its directions'."""
    id: bytes
    """The attribute CTA_ID: differs, as a rule, from that of a later entry with the same ends."""
    names: tuple[bytes, ...]
    """The attributes CTA_TUPLE_ORIG and CTA_ZONE, which say which entry is meant."""
    timeout: int = 0
    """Seconds until it ends by itself if nobody says anything."""


Wanted = t.Callable[[int, str, Ends], bool]


def _any(_family: int, _protocol: str, _ends: Ends) -> bool:
    return True


def flows(kernel: Kernel, netns: str | None, families: t.Iterable[int], wanted: Wanted = _any) -> list[Flow]:
    """The entries of a namespace. ``wanted`` is asked, with family, protocol and original ends, before one is read on.

    Nothing is tracked before a rule needs it, and there are kernels without tracking: then there are none.
    Raises KernelError.
    """
    found: dict[bytes, Flow] = {}
    if _count(kernel, netns) == "0":  # the kernel would go through its whole table to say so
        return []
    for family in families:
        for body in _dump(kernel, netns, family):
            flow = decode(family, body, wanted)
            if flow is not None:
                found[flow.id + flow.names[0]] = flow  # one that moved while the table was read is listed twice
    return list(found.values())


def _dump(kernel: Kernel, netns: str | None, family: int) -> list[bytes]:
    try:
        return t.cast("list[bytes]", kernel.netfilter(netns).ask(Raw(GET, 0, _generic(family)), dump=True))
    except Refusal as refusal:
        unknown = refusal.number in (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)
        if unknown and _count(kernel, netns) is None:
            return []
        raise refusal.explain("list the tracked connections (this needs the module nf_conntrack_netlink)") from None


def _count(kernel: Kernel, netns: str | None) -> str | None:
    """How many flows are tracked; None where the kernel tracks none at all."""
    with kernel.inside(netns):
        return procsys.read(_COUNT)


def _generic(family: int) -> bytes:
    """struct nfgenmsg."""
    return struct.pack("=BBH", _FAMILIES[family], 0, 0)


def forget(kernel: Kernel, netns: str | None, unwanted: t.Iterable[Flow]) -> int:
    """Delete these entries and no others; returns how many were still there. Raises KernelError."""
    sock = kernel.netfilter(netns)
    gone = 0
    for flow in unwanted:
        try:
            sock.send([_delete(flow)])
            gone += 1
        except Refusal as refusal:
            if refusal.number != errno.ENOENT:  # it ended by itself
                raise refusal.explain("forget a tracked connection") from None
    return gone


def redirect(kernel: Kernel, netns: str | None, flow: Flow, destination: int, port: int) -> None:
    """Put in the place of the entry one whose packets are sent to another destination. Raises KernelError.

    Merely deleted, the entry would leave its old target free to speak first: rules that hide the target's source give
    its packets the very address and port that the client talks to (RFC 4787, port preservation), and the client's
    packets are answers then, and go where they always went. An entry in that place keeps the port.
    """
    sock = kernel.netfilter(netns)
    now: Flow | None = flow
    for _attempt in range(_TRIES):
        try:
            sock.send([_delete(now or flow), _new(flow, destination, port)])
            return
        except Refusal as refusal:
            if refusal.index == 0 and refusal.number != errno.ENOENT:
                raise refusal.explain("forget a tracked connection") from None
            if refusal.index > 0 and refusal.number != errno.EEXIST:  # the table is full, say: forgotten it is
                return
        now = _now(sock, flow)
        if now is None or now.original == flow.original:  # it ended, or its client's next packet met the new rules
            return


def _now(sock: NetlinkSocket, flow: Flow) -> Flow | None:
    """The entry that packets of the flow's client belong to, as its own or as answers; None when there is none."""
    try:
        bodies = sock.ask(Raw(GET, 0, _generic(flow.family) + b"".join(flow.names)))
    except Refusal as refusal:
        if refusal.number == errno.ENOENT:
            return None
        raise refusal.explain("show a tracked connection") from None
    return decode(flow.family, bodies[0]) if bodies else None


def _delete(flow: Flow) -> Raw:
    return Raw(DELETE, REQUEST | ACK, _generic(flow.family) + b"".join(flow.names) + flow.id)


def _new(flow: Flow, destination: int, port: int) -> Raw:
    """The entry lasts as long as the one it replaces would have."""
    size, numbers = _SIZES[flow.family], _ADDRESSES[flow.family]
    original = flow.original
    number = next(number for number, name in _PROTOCOLS.items() if name == flow.protocol)
    addresses = (original.destination, original.source)
    answer = nested(_IP, *(_pack(kind, value, size) for kind, value in zip(numbers, addresses))) + nested(
        _PROTO,
        _pack(_NUMBER, number, 1),
        _pack(_SOURCE_PORT, original.destination_port, 2),
        _pack(_DESTINATION_PORT, original.source_port, 2),
    )
    parts = [*flow.names, nested(_REPLY, answer), _pack(_TIMEOUT, flow.timeout, 4)]
    if (destination, port) != (original.destination, original.destination_port):
        where = (_pack(kind, destination, size) for kind in _NAT_ADDRESSES[flow.family])
        parts.append(nested(_NAT_DST, *where, nested(_NAT_PORTS, _pack(1, port, 2), _pack(2, port, 2))))
    return Raw(NEW, REQUEST | ACK | CREATE | EXCL, _generic(flow.family) + b"".join(parts))


def decode(family: int, body: bytes, wanted: Wanted = _any) -> Flow | None:
    """The entry in ``body``, which begins with a struct nfgenmsg; None when it is not wanted or can't be read."""
    quick = _quick(family, body, _BODY, _ORIGINAL)
    if quick is not None and not wanted(family, *quick):
        return None
    parts = _parts(body, _BODY, len(body))
    original = quick or _ends(family, body, parts.get(_ORIGINAL))
    if original is None or (quick is None and not wanted(family, *original)):
        return None
    protocol, ends = original
    start = parts[_REPLY][0] - _ATTRIBUTE.size if _REPLY in parts else len(body)
    reply = _quick(family, body, start, _REPLY) or _ends(family, body, parts.get(_REPLY))
    if reply is None or _ID not in parts:
        return None
    return Flow(
        family,
        protocol,
        ends,
        reply[1],
        established=_established(protocol, body, parts),
        zone=_zone(body, parts),
        id=_whole(body, parts[_ID]),
        names=tuple(_whole(body, parts[kind]) for kind in (_ORIGINAL, _ZONE) if kind in parts),
        timeout=_number(body, parts.get(_TIMEOUT)) or 0,
    )


# ---- attributes

Span = tuple[int, int]


def _parts(body: bytes, start: int, end: int) -> dict[int, Span]:
    """Where the content of each attribute begins and ends, by kind."""
    found = {}
    while start + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(body, start)
        if length < _ATTRIBUTE.size or start + length > end:
            break
        found[kind & _KIND] = (start + _ATTRIBUTE.size, start + length)
        start += (length + 3) & ~3
    return found


def _pack(kind: int, value: int, size: int) -> bytes:
    """A number in network order."""
    return attribute(kind, value.to_bytes(size, "big"))


def _whole(body: bytes, span: Span) -> bytes:
    """The attribute with its header, padded."""
    data = body[span[0] - _ATTRIBUTE.size : span[1]]
    return data + b"\0" * (-len(data) & 3)


def _within(body: bytes, span: Span | None, kind: int) -> Span | None:
    """Where an attribute inside an attribute is."""
    return _parts(body, *span).get(kind) if span else None


def _number(body: bytes, span: Span | None) -> int | None:
    return int.from_bytes(body[span[0] : span[1]], "big") if span else None


def _ends(family: int, body: bytes, span: Span | None) -> tuple[str, Ends] | None:
    """Protocol and ends of a tuple in whatever order its attributes come."""
    addresses = _within(body, span, _IP)
    ports = _within(body, span, _PROTO)
    if addresses is None or ports is None:
        return None
    source, destination = (_number(body, _within(body, addresses, kind)) for kind in _ADDRESSES[family])
    number = _number(body, _within(body, ports, _NUMBER))
    if source is None or destination is None or number is None:
        return None
    out, back = (_number(body, _within(body, ports, kind)) or 0 for kind in (_SOURCE_PORT, _DESTINATION_PORT))
    return _PROTOCOLS.get(number, str(number)), Ends(source, out, destination, back)


def _established(protocol: str, body: bytes, parts: t.Mapping[int, Span]) -> bool:
    """Flows that a flowtable carries, all of them established, come without their state (nf_conntrack_netlink.c)."""
    if protocol not in _ESTABLISHED:
        return protocol in _STATEFUL
    kind, states = _ESTABLISHED[protocol]
    state = _number(body, _within(body, _within(body, parts.get(_STATE), kind), 1))
    return state is None or state in states


def _zone(body: bytes, parts: t.Mapping[int, Span]) -> int:
    of_directions = (_within(body, parts.get(kind), _TUPLE_ZONE) for kind in (_ORIGINAL, _REPLY))
    return next((number for span in (parts.get(_ZONE), *of_directions) if (number := _number(body, span))), 0)


# ---- the same at a fixed place, where the kernel has always put it


def _shape(family: int, tuple_kind: int) -> tuple[bytes, ...]:
    """The headers of the attributes of a tuple with ports and without a zone, in the kernel's order."""
    size = _SIZES[family]
    source, destination = _ADDRESSES[family]
    addresses = 4 + 2 * (4 + size)
    header = _ATTRIBUTE.pack
    return (
        header(4 + addresses + 28, tuple_kind | NESTED),
        header(addresses, _IP | NESTED),
        header(4 + size, source),
        header(4 + size, destination),
        header(28, _PROTO | NESTED),
        header(5, _NUMBER),
        header(6, _SOURCE_PORT),
        header(6, _DESTINATION_PORT),
    )


_FIXED = {family: struct.Struct(f">4s4s4s{size}s4s{size}s4s4sB3x4sH2x4sH2x") for family, size in _SIZES.items()}
_SHAPES = {(family, kind): _shape(family, kind) for family in _FAMILIES for kind in (_ORIGINAL, _REPLY)}


def _quick(family: int, body: bytes, start: int, kind: int) -> tuple[str, Ends] | None:
    """Protocol and ends of the tuple at ``start``; None when it has another shape."""
    form = _FIXED[family]
    if start + form.size > len(body):
        return None
    whole, ip, h1, source, h2, destination, proto, h3, number, h4, out, h5, back = form.unpack_from(body, start)
    if (whole, ip, h1, h2, proto, h3, h4, h5) != _SHAPES[family, kind]:
        return None
    ends = Ends(int.from_bytes(source, "big"), out, int.from_bytes(destination, "big"), back)
    return _PROTOCOLS.get(number) or str(number), ends
