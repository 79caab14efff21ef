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
from .problems import Problems, guess, lacks, where
from .services import ForwardDraft, Services, Setting
from .spec import Path
from .templates import raw
from .values import Held, variant
from .wiring import Wiring


class Translation:
    """Finishes masquerades and forwards."""

    def __init__(self, wiring: Wiring, problems: Problems) -> None:
        self._wiring = wiring
        self._problems = problems
        self._services = Services(problems)

    def of(
        self, site: Site, own: t.Sequence[Part]
    ) -> tuple[tuple[Masquerade, ...], tuple[Forward, ...], tuple[Setting, ...]]:
        """The masquerades and forwards of a node, and its settings. ``own`` are its interfaces and bridges with addresses."""
        masquerades, forwards = self._masquerades(site), self._forwards(site, own)
        settings = site.draft.sysctls
        if site.netns is not None:  # the host borrows its settings, and gives them back
            settings = self._settings(site, [*masquerades, *forwards])
            masquerades = [variant(made, forwarding=False) for made in masquerades]
            forwards = [variant(made, forwarding=False) for made in forwards]
        return tuple(masquerades), tuple(forwards), settings

    def _masquerades(self, site: Site) -> list[Masquerade]:
        out: list[Masquerade] = []
        seen: dict[t.Any, Path] = {}
        for draft, suffix in site.draft.masquerades:
            path = site.path + suffix
            spec = draft.spec
            if spec.out_interface is not None:
                spec = replace(spec, out_interface=self._device(site, spec.out_interface, (*path, "out_interface")))
            other = seen.setdefault(spec.key, path)
            if other is not path:
                self._problems.add(path, f"{spec} is masqueraded at {where(other)} already. Remove one of the two.")
            out.append(variant(draft, netns=site.netns, spec=spec))
        return out

    def _forwards(self, site: Site, own: t.Sequence[Part]) -> list[Forward]:
        out: list[Forward] = []
        claims = Claims(site.netns)
        places: dict[str, Path] = {}
        for draft in site.draft.forwards:
            path = site.path + draft.path
            made = draft.value or self._to(site, draft, path, own)
            if made is None:
                continue
            services = made.services
            if services[0].in_interface is not None:
                device = self._device(site, services[0].in_interface, (*path, "in_interface"))
                services = tuple(replace(service, in_interface=device) for service in services)
            made = replace(made, netns=site.netns, services=services)
            self._claim(claims, made, path, places)
            out.append(made)
        return out

    def _claim(self, claims: Claims, made: Forward, path: Path, places: dict[str, Path]) -> None:
        for service, spec in zip(made.services, made.bare):
            try:
                claims.add(spec)
            except Conflict as error:
                other = error.details["other"]
                place = where(places[other["service"]])
                self._problems.add(
                    path,
                    f"the forward to {other['to_address']} at {place} has packets of {service} already. "
                    "Choose another port, address or in_interface for one of the two.",
                )
            places.setdefault(str(service), path)

    def _device(self, site: Site, name: str, path: Path) -> str:
        found = self._wiring.find(site, name)
        if found is None and site.netns is not None:
            known = [part.name for part in site.labels.values()]
            self._problems.add(path, lacks(site.title, "interface", name, known))
        elif found is not None and found.bridge is not None:
            self._problems.add(
                path,
                f"{title(found)} is a port of a bridge, and packets come and go by the bridge. Say {path[-1]}: {found.bridge.name}.",
            )
        return name if found is None else found.short

    # ---- targets

    def _to(self, site: Site, draft: ForwardDraft, path: Path, own: t.Sequence[Part]) -> Forward | None:
        """A forward to a namespace: its addresses nearest to the node that forwards. None when there is none."""
        name = str(draft.to)
        target = self._wiring.sites.get(name)
        if target is None or target is site:
            known = [other for other in self._wiring.sites if other is not None and other != site.netns]
            wrong = f"{name} is this namespace itself" if target else f"there is no namespace {name} in this file"
            hint = guess(name, known) or " Name another one, or give to_address."
            self._problems.add((*path, "to"), f"{wrong}.{hint}")
            return None
        addresses = self._targets(site, draft, target, own)
        if not addresses:
            families = " or ".join(f"IPv{version}" for version in self._versions(draft))
            self._problems.add(
                (*path, "to"),
                f"{name} has no {families} address that {site.title} can reach. Give it one in a network of {site.title}, "
                "give it a route there, or give to_address.",
            )
            return None
        return self._services.forward({**draft.options, "to_address": addresses}, path)

    def _targets(self, site: Site, draft: ForwardDraft, target: Site, own: t.Sequence[Part]) -> list[str]:
        """At most one address of each IP version: those in networks next to the node, if there are any, else routed ones."""
        parts: list[Part] = [*target.interfaces, *target.bridges]
        versions = self._versions(draft)
        theirs = [
            held
            for part in parts
            if part.draft.spec.up
            for held in part.held
            if held.subnet.version in versions and not held.interface.is_link_local
        ]
        networks = {held.subnet for part in own for held in part.held}
        near = [held for held in theirs if any(subnet.has(held) for subnet in networks)]
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

    def _settings(self, site: Site, made: t.Sequence[Masquerade | Forward]) -> tuple[Setting, ...]:
        """The settings of a namespace with those that it needs to forward packets."""
        settings = site.draft.sysctls
        given = {tuple(procsys.parts(name)): (name, value) for name, value in settings}
        for version in sorted({version for each in made if each.forwarding for version in each.versions}):
            name = FORWARDING[version]
            found = given.get(tuple(procsys.parts(name)))
            if found is None:
                settings = (*settings, (name, "1"))
            elif found[1] == "0":
                self._problems.add(
                    (*site.path, "sysctls", raw(found[0])),
                    f"the masquerades and forwards of {site.title} need 1, not 0. Remove this, or set forwarding: false for them.",
                )
        return settings
