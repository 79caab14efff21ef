# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Recognizing a namespace in which nothing has changed since the last run, without understanding what it holds.

What the kernel says of its links, addresses and routes, and what the lab wants there, give a digest. The digest that the
last run found with nothing to do is on file: where it is the same, there is nothing to do again. A digest that differs, for
whatever reason, costs a closer look, no more.
"""

from __future__ import annotations

import hashlib
import marshal
import typing as t

from .._kernel import attributes, labs
from .._lab_file.spec import LinkSpec, Node
from .._objects.route import Route

_FORMAT = 1
"""To be raised whenever the same answers of the kernel may need other steps than before."""
_LINK_BODY = 16  # struct ifinfomsg
_RESTLESS = frozenset({7, 23, 26})
"""IFLA_STATS and IFLA_STATS64 count packets, IFLA_AF_SPEC holds times that IPv6 draws anew (linux/if_link.h)."""

Names = t.Mapping[int, str]


class Glances:
    """The digests of one lab's namespaces: those on file, and those that this run finds."""

    def __init__(self, lab: str, home: str, group: int, *, purge: bool) -> None:
        self.lab = lab
        self._home = home
        self._seed = f"{_FORMAT} {home} {group} {purge}".encode()
        self._known: dict[str, tuple[str, Names]] = {}
        for netns, (digest, names) in labs.read_digests(lab, home).items():
            self._known[netns] = (digest, {int(index): name for index, name in names.items()})
        self._found: dict[str, tuple[str, Names]] = {}

    def recognized(self, node: Node, answers: t.Sequence[t.Sequence[t.Any]]) -> Names | None:
        """The names of the interfaces by their numbers, where nothing has changed; None asks for a closer look.

        ``answers`` are those about links, addresses and routes. They tell nothing of impairments.
        """
        if node.netns is None or any(each.impairment for each in node.links):
            return None
        links, *others = answers
        digest = hashlib.blake2b(self._seed + marshal.dumps(_wanted(node)), digest_size=16)
        for answer in links:
            digest.update(_still(answer.whole))
        for answer in others:
            digest.update(b"".join([each.whole for each in answer]))
        text = digest.hexdigest()
        known, names = self._known.get(node.netns, ("", {}))
        self._found[node.netns] = (text, names if text == known else {})
        return names if text == known else None

    def looked_at(self, node: Node, names: Names) -> None:
        """After a closer look: the interfaces that are there."""
        if node.netns is not None and node.netns in self._found:
            self._found[node.netns] = (self._found[node.netns][0], names)

    def keep(self, changed: t.Container[str | None]) -> None:
        """Put on file what was found; of namespaces that the run changed, nothing is known."""
        kept = {netns: each for netns, each in self._found.items() if netns not in changed}
        if kept != self._known:
            labs.write_digests(self.lab, self._home, kept)


def _still(message: bytes) -> bytes:
    """What the kernel says of a link, without what moves by itself."""
    out, start = [], 0
    for first, last in _restless(len(message), message):
        out.append(message[start:first])
        start = last
    return b"".join([*out, message[start:]])


_places: dict[int, list[tuple[int, int, bytes]]] = {}
"""By the length of a message: where in it that is. Messages of one length are most often made alike."""


def _restless(size: int, message: bytes) -> list[tuple[int, int]]:
    known = _places.get(size)
    if known is None or any(message[first : first + 4] != header for first, _last, header in known):
        known = _places[size] = [
            (first, last, message[first : first + 4])
            for kind, first, last in attributes.places(message, _LINK_BODY)
            if kind in _RESTLESS
        ]
    return [(first, last) for first, last, _header in known]


def _wanted(node: Node) -> tuple[t.Any, ...]:
    """All that a lab wants of a namespace's links, addresses and routes, in values that marshal knows."""
    return (node.netns, [_link(each) for each in node.links], [_route(each) for each in node.routes])


def _link(spec: LinkSpec) -> tuple[t.Any, ...]:
    peer = spec.peer
    return (
        spec.name,
        spec.kind,
        [(int(each), each.network.prefixlen, each.version) for each in spec.addresses],
        (spec.mac, spec.mtu, spec.up, spec.bridge, spec.hairpin, spec.parent),
        (peer.netns, peer.name) if peer is not None else None,
        repr(spec.options) if spec.options is not None else None,
        repr(spec.impairment) if spec.impairment is not None else None,
    )


def _route(route: Route) -> tuple[t.Any, ...]:
    network = route.destination
    return (
        (int(network.network_address), network.prefixlen, network.version),
        (route.metric, route.table, route.type, route.mtu, str(route.source)),
        [
            (int(hop.gateway) if hop.gateway is not None else None, hop.device, hop.weight, hop.onlink)
            for hop in route.hops
        ],
    )
