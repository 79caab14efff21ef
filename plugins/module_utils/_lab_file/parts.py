# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Reading interfaces and bridges of a lab file, one at a time: what is said of each, without looking at the others."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .._errors import InvalidInput
from .._objects import checks
from .._objects.bridge import Bridge
from .._objects.impairment import Impairment
from .._objects.link_options import NEW_BRIDGE, MacvlanOptions, Options, VlanOptions, VxlanOptions
from . import names
from .problems import Problems
from .spec import LinkSpec, Path
from .values import Held, Reader, Subnet

CABLES = ("bridge", "cable")
KINDS = (*CABLES, "vlan", "macvlan", "vxlan", "dummy")
MTU = 1500
_OWN_BRIDGE = (
    "stp",
    "forward_delay",
    "ageing_time",
    "vlan_filtering",
    "multicast_snooping",
    "mac",
    "up",
    "allow_overlap",
)


class InterfaceDraft(t.NamedTuple):
    """What the file says of one interface; it may be said of many, so neither its name nor its namespace is in it."""

    said: str | None
    """The key that says what it is; None for the end of a cable that is named at the other end."""
    spec: LinkSpec
    """All that is known already."""
    target: tuple[str | None, str] | None = None
    """Of a cable: the namespace and the name of the bridge or interface at the other end."""
    held: tuple[Held, ...] = ()
    auto: bool = False
    mtu: int | None = None
    master: str | None = None
    hairpin: bool | None = None
    port: str | None = None


class BridgeDraft(t.NamedTuple):
    """What the file says of one bridge."""

    spec: LinkSpec
    held: tuple[Held, ...] = ()
    pool: tuple[Subnet, ...] = ()

    def has(self, option: str) -> bool:
        """Whether something is switched on."""
        return getattr(self.spec.options, option) is True


class Parts:
    """Reads interfaces and bridges; what is wrong with them becomes problems."""

    def __init__(self, problems: Problems, reader: Reader) -> None:
        self._problems = problems
        self._reader = reader
        self._impairments: dict[t.Any, Impairment] = {}

    def interface(self, body: t.Mapping[str, t.Any], path: Path) -> InterfaceDraft:
        """One interface."""
        problems = self._problems
        said = self._said(body, path)
        auto = body.get("addresses") == "auto"
        if auto and said not in (*CABLES, None):
            problems.add((*path, "addresses"), f"auto is for cables; a {said} needs addresses of your choice.")
        held = () if auto else self._addresses(body.get("addresses"), (*path, "addresses"))
        mtu = self._number(body, "mtu", path, 68, 65535)
        options, parent = self._options(said, body, path)
        spec = LinkSpec(
            netns=None,
            name="",
            kind="veth" if said is None or said in CABLES else said,
            mac=self._mac(body, path),
            mtu=mtu or MTU,
            up=body.get("up") is not False,
            parent=parent,
            options=options,
            impairment=self._impairment(body, path),
            overlap=bool(body.get("allow_overlap")),
        )
        found = InterfaceDraft(
            said, spec, self._target(said, body, path), held, auto, mtu,
            body.get("master"), body.get("hairpin"), body.get("port"),
        )  # fmt: skip
        self._check(found, body, path)
        return found

    def _said(self, body: t.Mapping[str, t.Any], path: Path) -> str | None:
        said = [kind for kind in KINDS if kind in body]
        for other in said[1:]:
            self._problems.add(
                (*path, other),
                f"an interface is one thing, and this one is a {said[0]} already. Remove {other} or {said[0]}.",
            )
        return said[0] if said else None

    def _check(self, found: InterfaceDraft, body: t.Mapping[str, t.Any], path: Path) -> None:
        """What can't be said together."""
        problems = self._problems
        if found.master is not None and (found.held or found.auto):
            problems.add(
                (*path, "addresses"),
                f"this end is a port of {found.master}, and a port's own addresses are not reached. Give them to the bridge.",
            )
        if found.hairpin is not None and found.said != "bridge" and found.master is None:
            problems.add(
                (*path, "hairpin"),
                "only ports of bridges can reflect packets: say bridge or master too, or leave it out.",
            )
        if found.port is not None and found.said != "bridge":
            problems.add(
                (*path, "port"), "this names the other end of a cable to a bridge: say bridge too, or leave it out."
            )
        if found.master is not None and found.said == "macvlan":
            problems.add((*path, "master"), "a macvlan can't be a port of a bridge. Use a cable, or a vlan.")

    def _target(self, said: str | None, body: t.Mapping[str, t.Any], path: Path) -> tuple[str | None, str] | None:
        if said not in CABLES:
            return None
        try:
            if said == "cable" and "/" not in body[said]:
                raise InvalidInput(
                    f"{body[said]!r} is no end of a cable: write NAMESPACE/INTERFACE, or /INTERFACE for one of the host."
                )
            return names.reference(body[said])
        except InvalidInput as error:
            self._problems.refused((*path, said), error)
            return None

    def _options(self, said: str | None, body: t.Mapping[str, t.Any], path: Path) -> tuple[Options | None, str | None]:
        """What a vlan, macvlan or vxlan has of its own, and what it stands on."""
        if said not in ("vlan", "macvlan", "vxlan"):
            return None, None
        own, path = body[said], (*path, said)
        parent = own.get("parent")
        if said == "macvlan":
            return MacvlanOptions(own.get("mode", "bridge")), parent
        if said == "vlan":
            return VlanOptions(self._number(own, "id", path, 1, 4094) or 1, own.get("protocol", "802.1Q")), parent
        return self._vxlan(own, path), parent

    def _vxlan(self, own: t.Mapping[str, t.Any], path: Path) -> VxlanOptions:
        ends: dict[str, t.Any] = {}
        for name in ("local", "remote"):
            try:
                ends[name] = checks.address(own[name], name) if name in own else None
            except InvalidInput as error:
                self._problems.refused((*path, name), error)
                ends[name] = None
        local, remote = ends["local"], ends["remote"]
        if local and remote and local.version != remote.version:
            self._problems.add(
                (*path, "local"), f"{local} and {remote} are of different IP versions. Give two of one version."
            )
        if local and local.is_multicast:
            self._problems.add(
                (*path, "local"),
                f"{local} is multicast, which nothing is sent from. Give an address of this namespace.",
            )
        if remote and remote.is_multicast and not own.get("parent"):
            self._problems.add((*path, "remote"), f"{remote} is multicast, so the vxlan needs a parent to send it by.")
        return VxlanOptions(
            self._number(own, "id", path, 0, 16777215) or 0,
            local,
            remote,
            self._number(own, "port", path, 1, 65535) or 4789,
            self._number(own, "ttl", path, 0, 255) or 0,
            own.get("learning") is not False,
        )

    def bridge(self, body: t.Mapping[str, t.Any], path: Path) -> BridgeDraft:
        """One bridge."""
        addresses = body.get("addresses")
        if addresses == "auto":
            self._problems.add(
                (*path, "addresses"),
                "a bridge's own addresses are where auto comes from: give it addresses of your choice.",
            )
            addresses = None
        mtu = self._number(body, "mtu", path, 68, 65535)
        params = {
            "name": "bridge",
            "state": "present",
            "force": False,
            **{name: body.get(name) for name in _OWN_BRIDGE},
        }
        try:
            wish = Bridge.from_params(params)
        except InvalidInput as error:
            self._problems.take(path, error)
            wish = Bridge(None, "bridge")
        given = {name: value for name, value in vars(wish.options).items() if value is not None}
        held = self._addresses(addresses, (*path, "addresses"))
        spec = LinkSpec(
            netns=None,
            name="",
            kind="bridge",
            mac=wish.mac,
            mtu=mtu or MTU,
            up=wish.up,
            options=replace(NEW_BRIDGE, **given),
            overlap=wish.overlap,
        )
        return BridgeDraft(spec, held, self.pool(body.get("pool"), (*path, "pool")))

    def pool(self, value: t.Any, path: Path) -> tuple[Subnet, ...]:
        """Networks to choose addresses from."""
        found: list[Subnet] = []
        for text, place in each(value, path):
            try:
                network = checks.network(text, "pool")
                if network.is_multicast or network.is_loopback:
                    raise InvalidInput(
                        f"pool: no interface can have an address in {network}. Give a private network such as 10.200.0.0/16."
                    )
                other = next(
                    (
                        subnet
                        for subnet in found
                        if subnet.version == network.version and network.overlaps(subnet.network)
                    ),
                    None,
                )
                if other is not None:
                    raise InvalidInput(f"pool: {network} overlaps {other} in the same pool. Remove one of them.")
                found.append(self._reader.network(network))
            except InvalidInput as error:
                self._problems.refused(place, error)
        return tuple(found)

    # ---- single values

    def _addresses(self, value: t.Any, path: Path) -> tuple[Held, ...]:
        found: list[Held] = []
        if isinstance(value, str):  # the usual case, and there may be thousands
            try:
                return (self._reader.held(value),)
            except InvalidInput as error:
                self._problems.refused(path, error)
                return ()
        for text, place in each(value, path):
            try:
                held = self._reader.held(text)
                if held in found:
                    raise InvalidInput(f"addresses: {text} is listed twice; name it once.")
                found.append(held)
            except InvalidInput as error:
                self._problems.refused(place, error)
        return tuple(found)

    def _number(self, body: t.Mapping[str, t.Any], key: str, path: Path, low: int, high: int) -> int | None:
        value = body.get(key)
        if value is None:
            return None
        try:
            number = int(value)
        except ValueError:
            number = -1
        if not low <= number <= high:
            self._problems.add((*path, key), f"{value} is impossible: give a whole number from {low} to {high}.")
            return None
        return number

    def _mac(self, body: t.Mapping[str, t.Any], path: Path) -> str | None:
        if "mac" not in body:
            return None
        try:
            return checks.mac(body["mac"], "mac")
        except InvalidInput as error:
            self._problems.refused((*path, "mac"), error)
            return None

    def _impairment(self, body: t.Mapping[str, t.Any], path: Path) -> Impairment | None:
        if "impair" not in body:
            return None
        options = tuple(body["impair"].items())
        known = self._impairments.get(options)
        if known is None:
            try:
                known = self._impairments[options] = Impairment.from_params(body["impair"])
            except InvalidInput as error:
                self._problems.take(path, error)
        return known


def each(value: t.Any, path: Path) -> list[tuple[t.Any, Path]]:
    """The members of a list with their places; what stands alone is a list of one."""
    if value is None:
        return []
    if isinstance(value, list):
        return [(item, (*path, number)) for number, item in enumerate(value)]
    return [(value, path)]
