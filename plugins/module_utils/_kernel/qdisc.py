# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The queueing discipline that packets leave an interface through: netem, packed by hand (tc-netem(8)).

Field numbers are those of linux/pkt_sched.h and linux/rtnetlink.h; pyroute2's classes for them are slow to import.
"""

from __future__ import annotations

import struct
import typing as t

from . import attributes, netlink
from .netlink import NetlinkSocket, Raw, Refusal

HANDLE = 0x7062_0000
"""The handle of every qdisc that we make, ``7062:`` to tc: it tells ours from others'."""

_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_ROOT = 0xFFFFFFFF  # TC_H_ROOT
_BODY = struct.Struct("=BxxxiIII")  # struct tcmsg: family, index, handle, parent, info
_KIND, _OPTIONS = 1, 2  # TCA_*
_CORR, _REORDER, _CORRUPT, _RATE, _RATE64, _LATENCY64, _JITTER64 = 1, 3, 4, 6, 8, 10, 11  # TCA_NETEM_*
_MAIN = struct.Struct("=6I")  # struct tc_netem_qopt: latency, limit, loss, gap, duplicate, jitter
_THREE, _TWO = struct.Struct("=3I"), struct.Struct("=2I")  # struct tc_netem_corr, _reorder and _corrupt
_SHAPE = struct.Struct("=IiIi")  # struct tc_netem_rate
_WIDE, _SIGNED = struct.Struct("=Q"), struct.Struct("=q")
_ALL = 0xFFFFFFFF  # what stands for 100 %, and for a rate that needs 64 bits
_TICK = 64  # nanoseconds: PSCHED_TICKS2NS in net/pkt_sched.h; not to be changed since Linux 2.6.31


class Netem(t.NamedTuple):
    """The settings of a netem in the kernel's own units: nanoseconds, bytes a second, parts of 2^32 - 1, packets."""

    latency: int = 0
    jitter: int = 0
    correlation: int = 0
    loss: int = 0
    duplicate: int = 0
    corrupt: int = 0
    reorder: int = 0
    rate: int = 0
    limit: int = 1000


class Root(t.NamedTuple):
    """The qdisc at the root of an interface; ``netem`` is None for other kinds."""

    device: int
    """The interface's index."""
    kind: str
    handle: int
    netem: Netem | None


def pack(netem: Netem) -> bytes:
    """The content of TCA_OPTIONS. Everything is in it, also what is 0: a change keeps what it does not name."""
    gap = int(netem.reorder > 0)
    ticks, jitter_ticks = (min(value // _TICK, _ALL) for value in (netem.latency, netem.jitter))
    main = _MAIN.pack(ticks, netem.limit, netem.loss, gap, netem.duplicate, jitter_ticks)
    wide = attributes.attribute(_RATE64, _WIDE.pack(netem.rate)) if netem.rate > _ALL else b""
    return b"".join(
        [
            main,
            attributes.attribute(_CORR, _THREE.pack(netem.correlation, 0, 0)),
            attributes.attribute(_REORDER, _TWO.pack(netem.reorder, 0)),
            attributes.attribute(_CORRUPT, _TWO.pack(netem.corrupt, 0)),
            wide,
            attributes.attribute(_RATE, _SHAPE.pack(min(netem.rate, _ALL), 0, 0, 0)),
            attributes.attribute(_LATENCY64, _SIGNED.pack(netem.latency)),
            attributes.attribute(_JITTER64, _SIGNED.pack(netem.jitter)),
        ]
    )


def unpack(options: bytes) -> Netem | None:
    """The settings in a netem's TCA_OPTIONS; None when they are cut off."""
    if len(options) < _MAIN.size:
        return None
    ticks, limit, loss, _gap, duplicate, jitter_ticks = _MAIN.unpack_from(options)
    found = attributes.unpack(options[_MAIN.size :])

    def value(kind: int, form: struct.Struct, otherwise: int = 0) -> int:
        content = found.get(kind, b"")
        return int(form.unpack_from(content)[0]) if len(content) >= form.size else otherwise

    return Netem(
        latency=value(_LATENCY64, _SIGNED, ticks * _TICK),
        jitter=value(_JITTER64, _SIGNED, jitter_ticks * _TICK),
        correlation=value(_CORR, _THREE),
        loss=loss,
        duplicate=duplicate,
        corrupt=value(_CORRUPT, _TWO),
        reorder=value(_REORDER, _TWO),
        rate=value(_RATE64, _WIDE, value(_RATE, _SHAPE)),
        limit=limit,
    )


def dump(sock: NetlinkSocket) -> list[Root]:
    """The qdiscs at the roots of all interfaces that somebody put there; what the kernel chose has no handle. Raises KernelError."""
    try:
        answers = sock.ask(Raw(_GETQDISC, 0, _body(0, 0, 0)), dump=True)
    except Refusal as refusal:
        raise refusal.explain("list queueing disciplines") from None
    return [root for root in map(_root, answers) if root is not None]


def _root(answer: bytes) -> Root | None:
    _family, index, handle, parent, _info = _BODY.unpack_from(answer)
    if parent != _ROOT or handle == 0:
        return None
    found = attributes.unpack(answer[_BODY.size :])
    kind = attributes.as_text(found.get(_KIND))
    return Root(index, kind, handle, unpack(found.get(_OPTIONS, b"")) if kind == "netem" else None)


def create(sock: NetlinkSocket, index: int, netem: Netem) -> None:
    """Put a netem of ours at the root of an interface. Raises Refusal, with EEXIST when somebody's is there."""
    sock.send([_message(_NEWQDISC, netlink.CREATE | netlink.EXCL, index, pack(netem))])


def change(sock: NetlinkSocket, index: int, netem: Netem) -> None:
    """Change the netem of ours. Raises Refusal, with EEXIST or ENOENT when another one or none is there by now."""
    sock.send([_message(_NEWQDISC, 0, index, pack(netem))])


def delete(sock: NetlinkSocket, index: int) -> None:
    """Remove the netem of ours. Raises Refusal, with EINVAL or ENOENT when another one or none is there by now."""
    sock.send([_message(_DELQDISC, 0, index)])


def _body(index: int, handle: int, parent: int) -> bytes:
    return _BODY.pack(0, index, handle, parent, 0)


def _message(kind: int, flags: int, index: int, options: bytes | None = None) -> Raw:
    parts = [_body(index, HANDLE, _ROOT), attributes.text(_KIND, "netem")]
    if options is not None:
        parts.append(attributes.attribute(_OPTIONS, options))
    return Raw(kind, netlink.REQUEST | netlink.ACK | flags, b"".join(parts))
