# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Which packets each forward takes, and the refusal of a second one that would take the same."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .._errors import Conflict
from .nat_specs import ForwardSpec, Service, Spec
from .words import place

_CLAIMED = {
    "in": "packets. Remove that one with state: absent, or choose another port, address or in_interface.",
    "local": "connections of the machine itself. Set local: false for one of the two.",
    "loopback": "connections to localhost. Set loopback: false for one of the two.",
}


def claimed(spec: ForwardSpec) -> dict[str, Service]:
    """What a forward takes of the packets that come in, of the machine's own, and of those to localhost."""
    service, target = spec.service, spec.target
    out = {"in": service}
    if target.local:
        out["local"] = replace(service, in_interface=None) if service.in_interface else service
    if target.loopback:
        out["loopback"] = replace(service, in_interface=None, address=None)
    return out


class Claims:
    """Who takes what in one namespace. A port is found at once; ranges are looked through."""

    def __init__(self, netns: str | None, specs: t.Iterable[Spec] = ()) -> None:
        self._netns = netns
        self._ports: dict[tuple[str, int, str, int], list[tuple[Service, ForwardSpec]]] = {}
        self._ranges: dict[tuple[str, int, str], list[tuple[Service, ForwardSpec]]] = {}
        for spec in specs:
            self._enter(spec)

    def add(self, spec: Spec) -> None:
        """Enter a forward. Raises Conflict, which names the one that is there."""
        if isinstance(spec, ForwardSpec):
            for part, service in claimed(spec).items():
                for other, theirs in self._near(part, service):
                    if service.overlaps(other):
                        raise self._conflict(part, service, other, theirs)
        self._enter(spec)

    def _enter(self, spec: Spec) -> None:
        if not isinstance(spec, ForwardSpec):
            return
        for part, service in claimed(spec).items():
            where = (part, service.family, service.protocol)
            if len(service.ports) == 1:
                self._ports.setdefault((*where, service.ports.low), []).append((service, spec))
            else:
                self._ranges.setdefault(where, []).append((service, spec))

    def _near(self, part: str, service: Service) -> t.Iterator[tuple[Service, ForwardSpec]]:
        where = (part, service.family, service.protocol)
        for port in range(service.ports.low, service.ports.high + 1):
            yield from self._ports.get((*where, port), ())
        yield from self._ranges.get(where, ())

    def _conflict(self, part: str, service: Service, other: Service, theirs: ForwardSpec) -> Conflict:
        return Conflict(
            f"{service} is forwarded already{place(self._netns)}: the forward of {other} to {theirs.target.address} "
            f"takes in the same {_CLAIMED[part]}",
            other={"service": str(theirs.service), "to_address": str(theirs.target.address)},
        )
