# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Reading what runs over a node's interfaces: routes, settings, name servers, masquerades and forwards."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .._errors import InvalidInput
from .._kernel import procsys
from .._objects import checks, sysctl
from .._objects.forward import Forward
from .._objects.ip_route import IpRoute
from .._objects.masquerade import Masquerade
from .._objects.route import Route
from .parts import each
from .problems import Problems
from .spec import Path
from .templates import raw

_STAND_IN = "device"  # the readers of options take names of 15 bytes, and what the file says may be longer
_ROUTE_NUMBERS = ("metric", "mtu")
_FORWARD_LISTS = ("address", "to_address", "sources")


Setting = tuple[str, str]


class RouteDraft(t.NamedTuple):
    """One route; its devices have the names of the file."""

    route: Route
    key: tuple[t.Any, ...]
    """What tells it from the other routes of a node."""
    path: Path
    gateways: tuple[int, ...]
    """Of each hop, the gateway as a number; -1 where there is none."""


class ForwardDraft(t.NamedTuple):
    """One forward; ``value`` is None while the addresses of the namespace that it leads to are not known."""

    value: Forward | None
    options: t.Mapping[str, t.Any]
    to: str | None
    path: Path


class Services:
    """Reads them; what is wrong becomes problems. Places are seen from ``path``, which is the node's."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._defaults: dict[tuple[str, Path], RouteDraft] = {}

    def routes(self, body: t.Mapping[str, t.Any], path: Path) -> tuple[RouteDraft, ...]:
        """The default routes, then the others."""
        found = [
            self._default(text, path, place[len(path) :])
            for text, place in each(body.get("gateway"), (*path, "gateway"))
        ]
        if "routes" in body:
            options = each(body["routes"], (*path, "routes"))
            found += [self._route(option, path, place[len(path) :]) for option, place in options]
        return tuple(draft for draft in found if draft)

    def _default(self, gateway: str, base: Path, path: Path) -> RouteDraft | None:
        """A default route; that of a thousand namespaces is read once."""
        known = self._defaults.get((gateway, path))
        if known is None:
            known = self._route({"destination": "default", "gateway": gateway}, base, path)
            if known is not None:
                self._defaults[gateway, path] = known
        return known

    def _route(self, options: t.Mapping[str, t.Any], base: Path, path: Path) -> RouteDraft | None:
        params = {**options, "state": "present", "force": False}
        try:
            for name in _ROUTE_NUMBERS:
                params[name] = _whole(options.get(name), name)
            if "table" in options:
                params["table"] = str(options["table"])
            hops = [params] if "nexthops" not in params else [dict(hop) for hop in params["nexthops"]]
            if "nexthops" in params:
                params["nexthops"] = hops
                for number, hop in enumerate(hops, 1):
                    hop["weight"] = _whole(hop.get("weight"), f"nexthops[{number}].weight")
            devices = [_stand_in(hop, "device") for hop in hops]
            route = IpRoute.from_params(params).wanted
        except InvalidInput as error:
            if "nexthops" not in options and path[0] == "gateway":
                self._problems.refused((*base, *path), error)
            else:
                self._problems.take((*base, *path), error)
            return None
        route = replace(route, hops=tuple(replace(hop, device=name) for hop, name in zip(route.hops, devices)))
        destination = route.destination
        key = (route.table, destination.version, int(destination.network_address), destination.prefixlen, route.metric)
        return RouteDraft(
            route, key, path, tuple(-1 if hop.gateway is None else int(hop.gateway) for hop in route.hops)
        )

    def sysctls(self, body: t.Mapping[str, t.Any], path: Path) -> tuple[Setting, ...]:
        """Settings and values."""
        found: dict[tuple[str, ...], Setting] = {}
        for name, value in (body.get("sysctls") or {}).items():
            place = (*path, "sysctls", raw(name))
            try:
                parts = tuple(procsys.parts(sysctl.valid_name(name, "sysctls")))
                if parts in found:
                    raise InvalidInput(f"sysctls: this is {found[parts][0]} once more. Name it once.")
            except InvalidInput as error:
                self._problems.refused(place, error)
                continue
            found[parts] = (name, str(int(value)) if isinstance(value, bool) else procsys.fold(value))
        return tuple(found.values())

    def nameservers(self, body: t.Mapping[str, t.Any], path: Path) -> tuple[str, ...] | None:
        """Addresses of name servers; None when nothing is said."""
        if "nameservers" not in body:
            return None
        found: list[str] = []
        for text, place in each(body["nameservers"], (*path, "nameservers")):
            try:
                server = str(checks.address(text, "nameservers", zone=True))
                if server in found:
                    raise InvalidInput(f"nameservers: {server} is listed twice; name it once.")
                found.append(server)
            except InvalidInput as error:
                self._problems.refused(place, error)
        return tuple(found)

    def masquerades(self, body: t.Mapping[str, t.Any], path: Path) -> tuple[tuple[Masquerade, Path], ...]:
        """Masquerades with their places; their devices have the names of the file."""
        found: list[tuple[Masquerade, Path]] = []
        for options, place in each(body.get("masquerade"), (*path, "masquerade")):
            params = {**options, "state": "present"}
            if "exclude" in options:
                params["exclude"] = _list(options["exclude"])
            device = _stand_in(params, "out_interface")
            try:
                made = Masquerade.from_params(params)
            except InvalidInput as error:
                self._problems.take(place, error)
                continue
            found.append((replace(made, spec=replace(made.spec, out_interface=device)), place[len(path) :]))
        return tuple(found)

    def forwards(self, body: t.Mapping[str, t.Any], path: Path) -> tuple[ForwardDraft, ...]:
        """Forwards."""
        found = (
            self._forward(options, place, place[len(path) :])
            for options, place in each(body.get("forwards"), (*path, "forwards"))
        )
        return tuple(draft for draft in found if draft)

    def _forward(self, options: t.Mapping[str, t.Any], place: Path, path: Path) -> ForwardDraft | None:
        if ("to" in options) == ("to_address" in options):
            words = (
                "to and to_address both say where it leads; give one of them"
                if "to" in options
                else "to is missing: name the namespace that it leads to, or give to_address"
            )
            self._problems.add(place, f"{words}.")
            return None
        params: dict[str, t.Any] = {**options, "state": "present"}
        params.update({name: _list(options[name]) for name in _FORWARD_LISTS if name in options})
        to = params.pop("to", None)
        if to is not None:
            return ForwardDraft(None, params, to, path)
        made = self.forward(params, place)
        return ForwardDraft(made, params, None, path) if made else None

    def forward(self, params: t.Mapping[str, t.Any], place: Path) -> Forward | None:
        """A forward whose target is known; None when it is refused."""
        changed = dict(params)
        device = _stand_in(changed, "in_interface")
        try:
            made = Forward.from_params(changed)
        except InvalidInput as error:
            self._problems.take(place, error)
            return None
        if device is None:
            return made
        return replace(made, services=tuple(replace(service, in_interface=device) for service in made.services))


def _stand_in(params: dict[str, t.Any], name: str) -> str | None:
    """Put a short name in the place of a device's; the device is returned."""
    device: str | None = params.get(name)
    if device is not None and device != "lo":
        params[name] = _STAND_IN
    return device


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else [value]


def _whole(value: t.Any, option: str) -> int | None:
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        raise InvalidInput(f"{option}: {value!r} is no whole number.") from None
