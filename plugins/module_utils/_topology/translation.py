# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Masquerades and forwards of a node, once addresses are known: devices, targets, and the settings that they need."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .._errors import Conflict
from .._kernel import procsys
from .._objects.forward import Forward
from .._objects.forwarding import FORWARDING
from .._objects.masquerade import Masquerade
from .._objects.nat_claims import Claims
from .nodes import Part, Site, title
from .problems import Problems, guess, some, where
from .services import ForwardDraft, Services
from .spec import Path
from .values import Held, variant
from .wiring import Wiring


class Translation:
    """Finishes masquerades and forwards."""

    def __init__(self, wiring: Wiring, problems: Problems) -> None:
        self._wiring = wiring
        self._problems = problems
        self._services = Services(problems)

    def masquerades(self, site: Site) -> tuple[Masquerade, ...]:
        """The masquerades of a node."""
        out: list[Masquerade] = []
        seen: dict[t.Any, Path] = {}
        for made, suffix in site.draft.masquerades:
            path = site.path + suffix
            device = made.spec.out_interface
            if device is not None:
                device = self._device(site, device, (*path, "out_interface"))
                made = variant(made, spec=replace(made.spec, out_interface=device))
            if seen.setdefault(made.keys, path) is not path:
                self._problems.add(
                    path, f"{made.spec} is masqueraded at {where(seen[made.keys])} already. Remove one of the two."
                )
            out.append(self._of(site, made))
        return tuple(out)

    def forwards(self, site: Site, own: t.Sequence[Part]) -> tuple[Forward, ...]:
        """The forwards of a node."""
        out: list[Forward] = []
        claims = Claims(site.netns)
        places: dict[str, Path] = {}
        for draft in site.draft.forwards:
            path = site.path + draft.path
            made = draft.value
            if made is None:
                made = self._to(site, draft, path, own)
            if made is None:
                continue
            device = made.services[0].in_interface
            if device is not None:
                device = self._device(site, device, (*path, "in_interface"))
                made = variant(made, services=tuple(replace(service, in_interface=device) for service in made.services))
            self._claim(claims, made, path, places)
            out.append(self._of(site, made))
        return tuple(out)

    def _claim(self, claims: Claims, made: Forward, path: Path, places: dict[str, Path]) -> None:
        for spec in made.bare:
            try:
                claims.add(spec)
            except Conflict as error:
                other = error.details["other"]
                self._problems.add(
                    path,
                    f"{spec.service} is taken already, by the forward to {other['to_address']} at {where(places[other['service']])}. "
                    "Choose another port, address or in_interface for one of the two.",
                )
            places.setdefault(str(t.cast(t.Any, spec).service), path)

    @staticmethod
    def _of(site: Site, made: t.Any) -> t.Any:
        """As part of its node: a namespace has forwarding among its own settings."""
        return made if site.netns is None else variant(made, netns=site.netns, forwarding=False)

    def _device(self, site: Site, name: str, path: Path) -> str:
        found = self._wiring.find(site, name)
        if found is None and site.netns is not None:
            known = [part.name for part in site.labels.values()]
            self._problems.add(
                path,
                f"{site.title} has no interface {name}.{guess(name, known) or ' It has ' + some(known, 'none') + '.'}",
            )
        elif found is not None and found.bridge is not None:
            self._problems.add(
                path,
                f"{title(found)} is a port of a bridge, and packets come and go by the bridge. Say {path[-1]}: {found.bridge.name}.",
            )
        return name if found is None else found.short

    # ---- targets

    def _to(self, site: Site, draft: ForwardDraft, path: Path, own: t.Sequence[Part]) -> Forward | None:
        """A forward to a namespace: its address nearest to the node that forwards."""
        target = self._wiring.sites.get(draft.to) if draft.to else None
        if target is None or target is site:
            known = [name for name in self._wiring.sites if name is not None and name != site.netns]
            wrong = (
                f"{draft.to} is this namespace itself"
                if target is site
                else f"there is no namespace {draft.to} in this file"
            )
            self._problems.add(
                (*path, "to"), f"{wrong}.{guess(str(draft.to), known) or ' Name another one, or give to_address.'}"
            )
            return None
        addresses = self._targets(site, draft, target, own)
        if not addresses:
            families = " or ".join(f"IPv{version}" for version in self._versions(draft))
            self._problems.add(
                (*path, "to"),
                f"{target.title} has no {families} address that {site.title} can reach. Give it one in a network of {site.title}, "
                "give it a route there, or give to_address.",
            )
            return None
        return self._services.forward({**draft.options, "to_address": addresses}, path)

    def _targets(self, site: Site, draft: ForwardDraft, target: Site, own: t.Sequence[Part]) -> list[str]:
        """At most one address of each IP version: those in networks next to the node, if there are any, else routed ones."""
        theirs = [
            held
            for part in (*target.interfaces, *target.bridges)
            if part.draft.spec.up
            for held in part.held
            if held.subnet.version in self._versions(draft) and not held.interface.is_link_local
        ]
        networks = [held.subnet for part in own for held in part.held]
        near = [
            held
            for held in theirs
            if any(held.number in subnet and held.subnet.version == subnet.version for subnet in networks)
        ]
        far = [] if near else [held for held in theirs if self._routed(site, held)]
        first: dict[int, str] = {}
        for held in near or far:
            first.setdefault(held.subnet.version, str(held.interface.ip))
        return [first[version] for version in sorted(first)]

    @staticmethod
    def _versions(draft: ForwardDraft) -> list[int]:
        """The IP versions that the other options leave."""
        named = [str(text) for name in ("address", "sources") for text in draft.options.get(name, ())]
        return sorted({6 if ":" in text else 4 for text in named}) or [4, 6]

    @staticmethod
    def _routed(site: Site, held: Held) -> bool:
        """Whether the node has a route there; of the host only the host knows."""
        return site.netns is None or any(
            draft.route.destination.version == held.subnet.version and held.interface.ip in draft.route.destination
            for draft in site.draft.routes
            if draft.route.hops
        )

    # ---- settings

    def settings(self, site: Site, made: t.Sequence[Masquerade | Forward]) -> tuple[tuple[str, str], ...]:
        """The settings of a namespace that forwards; the host's are borrowed, and so are none of them."""
        settings = site.draft.sysctls
        if site.netns is None:
            return settings
        drafts = [*(value for value, _path in site.draft.masquerades), *(draft.value for draft in site.draft.forwards)]
        unwanted = [draft is not None and not draft.forwarding for draft in drafts]
        versions = sorted(
            {version for each, refused in zip(made, unwanted) if not refused for version in each.versions}
        )
        given = {tuple(procsys.parts(name)): value for name, value in settings}
        for version in versions:
            name = FORWARDING[version]
            value = given.get(tuple(procsys.parts(name)))
            if value is None:
                settings = (*settings, (name, "1"))
            elif value == "0":
                self._problems.add(
                    (*site.path, "sysctls"),
                    f"{name} is 0, but the masquerades and forwards of {site.title} need 1. Remove the line, or set forwarding: false there.",
                )
        return settings
