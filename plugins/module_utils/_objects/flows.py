# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Flows that would go on the way they began after address translation changed, and the step that ends them.

The kernel asks the rules once per flow, at its first packet, and does to all later ones what was answered then. So when
rules change, each flow is translated here twice, by the old specs and by the new ones. One that both send the same way
is none of our business, whatever became of it. One whose way changes is stale, unless it goes the new way already.

Tracking does not record interfaces. Where a spec names one, a packet *may* have come in by an interface that a route
to its source leads out of, and *may* leave by one that a route to its destination does; of every routing table the most
specific route counts, for which table a packet meets can depend on more than addresses. What may match is taken to
match: in doubt a flow is forgotten, which costs UDP nothing (its next packet asks the rules again).
"""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, replace

from .._engine.model import Step
from .._kernel import conntrack
from .._kernel.conntrack import Ends, Flow
from .._kernel.kernel import Kernel
from .._kernel.nft_rules import Ports
from .nat_specs import ForwardSpec, MasqueradeSpec, Spec, Target
from .surroundings import Prefixes, Surroundings, by_key, covers, is_link_local, observe
from .words import prefix

_LOOPBACK = {4: (127, 24), 6: (1, 0)}  # 127.0.0.0/8 and ::1: what is left of an address less so many bits
_WITH_PORTS = ("tcp", "udp")  # whose masquerades can be held to ports


# ---- where specs send a flow


class Way(t.NamedTuple):
    """Where a flow goes, and under whose name."""

    destination: int
    port: int
    masqueraded: bool
    ports: Ports | None = None
    """What a masquerade holds its source port to."""


class Translation:
    """What a set of specs does to packets, by the surroundings."""

    def __init__(self, specs: t.Iterable[Spec], around: Surroundings) -> None:
        specs = list(specs)
        # Where several match, and only a race could have made them, the one that says more goes first.
        forwards = sorted(
            (spec for spec in specs if isinstance(spec, ForwardSpec)), key=lambda spec: not spec.service.in_interface
        )
        self._around = around
        self._forwards = by_key((_forward_key(spec), spec.service.ports, spec) for spec in forwards)
        self._loopback = by_key(
            ((spec.service.family, spec.service.protocol), spec.service.ports, spec)
            for spec in forwards
            if spec.target.loopback
        )
        self._masquerades: dict[int, Prefixes[list[MasqueradeSpec]]] = {4: Prefixes(4), 6: Prefixes(6)}
        for spec in sorted(
            (spec for spec in specs if isinstance(spec, MasqueradeSpec)), key=lambda spec: not spec.out_interface
        ):
            self._masquerades[spec.source.version].setdefault(spec.source, []).append(spec)

    def way(self, flow: Flow) -> Way:
        """Where a packet with the flow's original ends goes."""
        ends = flow.original
        forward = self._forward(flow.family, flow.protocol, ends)
        if forward is None:
            return self._left(flow, ends.destination, ends.destination_port)
        target, first = forward.target, forward.service.ports.low
        port = target.ports.low + ends.destination_port - first if target.ports else ends.destination_port
        destination = int(target.address)
        if _lets_in(target, flow.family, ends.source):
            return Way(destination, port, True)
        return self._left(flow, destination, port)

    def is_followed(self, flow: Flow, way: Way) -> bool:
        """Whether the flow, as its answers show, goes this way already."""
        original, reply = flow.original, flow.reply
        if (reply.source, reply.source_port) != (way.destination, way.port):
            return False
        if not way.masqueraded:
            return reply.destination == original.source
        if way.ports and not way.ports.low <= reply.destination_port <= way.ports.high:
            return False
        return self._around.masks(flow.family, way.destination, reply.destination)

    def is_sure(self, flow: Flow) -> bool:
        """Whether the way does not depend on the interface that the flow came in by, which nobody recorded."""
        candidates = self._candidates(flow.family, flow.protocol, flow.original)
        return not any(spec.service.in_interface for spec in candidates)

    def _forward(self, version: int, protocol: str, ends: Ends) -> ForwardSpec | None:
        if _is_loopback(version, ends.destination):
            found = self._loopback.get((version, protocol))
            return next(iter(found.of(ends.destination_port)), None) if found else None
        candidates = self._candidates(version, protocol, ends)
        return next((spec for spec in candidates if self._takes(spec, version, ends.source)), None)

    def _candidates(self, version: int, protocol: str, ends: Ends) -> t.Iterator[ForwardSpec]:
        """The forwards of the destination, those that name its address first."""
        if not self._around.is_local(version, ends.destination) or is_link_local(version, ends.destination):
            return
        for address in (ends.destination, None):
            found = self._forwards.get((version, protocol, address))
            if found is not None:
                yield from found.of(ends.destination_port)

    def _takes(self, spec: ForwardSpec, version: int, source: int) -> bool:
        target = spec.target
        if target.sources and not any(covers(network, source) for network in target.sources):
            return False
        if self._around.is_local(version, source):
            return target.local
        device = spec.service.in_interface
        return device is None or device in self._around.devices(version, source)

    def _left(self, flow: Flow, destination: int, port: int) -> Way:
        """The way of a flow whose source only a masquerade may change."""
        if not self._around.is_local(flow.family, destination):
            for specs in self._masquerades[flow.family].of(flow.original.source):
                for spec in specs:
                    if self._hides(spec, flow.family, destination):
                        return Way(destination, port, True, spec.to_ports if flow.protocol in _WITH_PORTS else None)
        return Way(destination, port, False)

    def _hides(self, spec: MasqueradeSpec, version: int, destination: int) -> bool:
        if spec.out_interface and spec.out_interface not in self._around.devices(version, destination):
            return False
        return not any(covers(network, destination) for network in spec.exclude)


def _forward_key(spec: ForwardSpec) -> tuple[int, str, int | None]:
    service = spec.service
    return service.family, service.protocol, None if service.address is None else int(service.address)


def _is_loopback(version: int, address: int) -> bool:
    value, shift = _LOOPBACK[version]
    return address >> shift == value


def _lets_in(target: Target, version: int, source: int) -> bool:
    """Whether the forward itself translates the source too, so that answers come back."""
    if target.hairpin is not None and covers(target.hairpin, source):
        return True
    return target.loopback and _is_loopback(version, source)


def stale(found: t.Iterable[Flow], before: Translation, after: Translation) -> t.Iterator[tuple[Flow, Way]]:
    """The flows that stay on a way that ``after`` would not send them, because of the change; and where it would."""
    for flow in found:
        if not flow.zone:  # else somebody divides the tracking: these are his
            way = after.way(flow)
            if way != before.way(flow) and not after.is_followed(flow, way):
                yield flow, way


def could_come_back(flow: Flow, way: Way) -> bool:
    """Whether who has it now may speak first when it is forgotten, under the name that its client knows.

    The machine itself does that as soon as it has something to say, another target under a masquerade of its network.
    Where the client's source is translated too, there is nobody to answer: it is this machine's address.
    """
    speaks = flow.protocol == "udp" or (flow.protocol == "tcp" and flow.established)
    return speaks and not way.masqueraded and flow.reply.destination == flow.original.source


# ---- the step


def _changed(old: t.Iterable[Spec], new: t.Iterable[Spec]) -> list[Spec]:
    """The specs that are in one of the two alone. How a masquerade picks ports at random is no way."""
    one, two = (dict.fromkeys(map(_plain, specs)) for specs in (old, new))
    return [spec for spec in [*one, *two] if (spec in one) != (spec in two)]


def _plain(spec: Spec) -> Spec:
    return replace(spec, random=False) if isinstance(spec, MasqueradeSpec) else spec


def _concerned(changed: t.Iterable[Spec]) -> conntrack.Wanted:
    """Tells the flows apart that some changed spec could mean, without much ado: it is asked about every flow."""
    ports = by_key(
        ((spec.service.family, spec.service.protocol), spec.service.ports, spec)
        for spec in changed
        if isinstance(spec, ForwardSpec)
    )
    sources: dict[int, Prefixes[Spec]] = {4: Prefixes(4), 6: Prefixes(6)}
    for spec in changed:
        if isinstance(spec, MasqueradeSpec):
            sources[spec.source.version].setdefault(spec.source, spec)

    def wanted(version: int, protocol: str, ends: Ends) -> bool:
        found = ports.get((version, protocol))
        if found is not None and found.of(ends.destination_port):
            return True
        return next(sources[version].of(ends.source), None) is not None

    return wanted


def _version(spec: Spec) -> int:
    return spec.service.family if isinstance(spec, ForwardSpec) else spec.source.version


@dataclass(frozen=True)
class ForgetFlows(Step):
    """Ends the flows that a change from ``old`` to ``new``, which are all specs of the namespace, left on the old way.

    Connections that both sides agreed on stay unless ``reset_established``. It goes after the rules have changed, or
    the flows would come back the way they were. What was forgotten can't be brought back and needs not be: a flow that
    goes on is tracked again. See conntrack.redirect for the flows that are replaced rather than forgotten.
    """

    before: tuple[t.Any, ...] = ()
    after: tuple[t.Any, ...] = ()
    lost: tuple[Step, ...] = ()
    netns: str | None = None
    old: tuple[Spec, ...] = ()
    new: tuple[Spec, ...] = ()
    reset_established: bool = False

    @functools.cached_property
    def concerned(self) -> list[Spec]:
        """The specs whose flows may be on the old way."""
        return _changed(self.old, self.new)

    def apply(self, kernel: Kernel) -> None:
        versions = sorted({_version(spec) for spec in self.concerned})
        found = conntrack.flows(kernel, self.netns, versions, _concerned(self.concerned))
        found = [flow for flow in found if self.reset_established or not flow.established]
        if not found:
            return
        around = observe(kernel, self.netns, versions)
        before, after = Translation(self.old, around), Translation(self.new, around)
        for flow, way in stale(found, before, after):
            if could_come_back(flow, way) and after.is_sure(flow):
                conntrack.redirect(kernel, self.netns, flow, way.destination, way.port)
            else:
                conntrack.forget(kernel, self.netns, [flow])

    def undo(self) -> list[Step]:
        return []

    def commands(self) -> list[str]:
        return list(
            dict.fromkeys(
                line
                for spec in self.concerned
                for line in _commands(spec, f"{prefix(self.netns)}conntrack -D", self.reset_established)
            )
        )


def forget(
    netns: str | None, old: t.Iterable[Spec], new: t.Iterable[Spec], reset_established: bool = False
) -> list[Step]:
    """The step that goes after the change of the rules from ``old`` to ``new``; none when no flow's way changes."""
    step = ForgetFlows(netns=netns, old=tuple(old), new=tuple(new), reset_established=reset_established)
    return [step] if step.concerned else []


def _commands(spec: Spec, command: str, reset: bool) -> t.Iterator[str]:
    """conntrack(8) for the flows of a spec, which is content to find none.

    It can't tell stale ones apart, so it forgets a few more than ``apply``; connections that are not established yet, it
    leaves to their time-outs.
    """
    command += f" -f ipv{_version(spec)}"
    if isinstance(spec, MasqueradeSpec):
        for protocol in ("udp", "tcp") if reset else ("udp",):
            yield f"{command} -p {protocol} -s {spec.source} || true"
        return
    service = spec.service
    if service.protocol != "udp" and not reset:
        return
    command += f" -p {service.protocol}" + (f" -d {service.address}" if service.address else "")
    if len(service.ports) == 1:
        yield f"{command} --orig-port-dst {service.ports} || true"
    else:
        numbers = f"$(seq {service.ports.low} {service.ports.high})"
        yield f"for port in {numbers}; do {command} --orig-port-dst $port || true; done"
