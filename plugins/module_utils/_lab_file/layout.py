# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""From what the lab file says to the lab as it is to be: no kernel is asked, and the same file gives the same lab."""

from __future__ import annotations

import typing as t

from .._errors import InvalidInput
from . import names
from .addressing import Addresses
from .finish import Finish
from .nodes import NodeDraft, Site
from .parts import BridgeDraft, InterfaceDraft, Parts
from .pools import Kept
from .problems import Problems
from .schema import SCHEMA
from .services import Services
from .spec import LabSpec, Path
from .stack import Stack
from .templates import Entry, raw, unfold
from .validate import Mistake, compile_schema
from .values import Reader
from .wiring import Wiring

_T = t.TypeVar("_T")
_check = compile_schema(SCHEMA)
_NOTHING: dict[str, t.Any] = {}


def layout(definition: t.Mapping[str, t.Any], kept: Kept | None = None) -> LabSpec:
    """The lab that a file describes.

    ``kept`` has addresses that earlier runs chose, by ``namespace/interface``: they stay while they are to be had.
    Raises InvalidInput with everything that is wrong; ``details["problems"]`` has the places.
    """
    reading = Reading(definition)
    lab, sites = reading.everything()
    reading.problems.refuse()
    problems = Problems()
    wiring = Wiring(lab, problems)
    for site in sites:
        wiring.place(site)
    wiring.plug()
    problems.refuse()
    Stack(wiring, problems).settle()
    addresses = Addresses(wiring, reading.reader, problems)
    addresses.settle(reading.pool, kept or {})
    finish = Finish(wiring, problems)
    nodes = [finish.node(site) for site in sites]
    problems.refuse()
    return LabSpec(lab, nodes[0], tuple(nodes[1:]), tuple(wiring.names), tuple(addresses.chosen))


class Reading:
    """Reads the parts of a lab file, each once: what stands in many namespaces of a template is one object."""

    def __init__(self, definition: t.Mapping[str, t.Any]) -> None:
        self.problems = Problems()
        self.reader = Reader()
        self._definition = definition
        self._parts = Parts(self.problems, self.reader)
        self._services = Services(self.problems)
        self._odd: set[Path] = set()
        """The places of values of the wrong kind, and all places around them."""
        self._drafts: dict[tuple[str, int], tuple[t.Any, t.Any]] = {}
        self.pool: tuple[t.Any, ...] = ()

    def everything(self) -> tuple[str, list[Site]]:
        """The lab's name and its nodes, the host first. What is wrong is in ``problems``."""
        shapes = self._check()
        sites = self._sites(self._definition) if isinstance(self._definition, dict) else []
        shapes.settle(self.problems)
        self.problems = shapes
        return self._definition["name"] if sites and not shapes else "", sites

    def _sites(self, definition: t.Mapping[str, t.Any]) -> list[Site]:
        if ("pool",) not in self._odd:
            self.pool = self._parts.pool(definition.get("pool"), ("pool",))
        host = Site(None, self._node(definition, ()), ())
        namespaces = definition.get("namespaces")
        if not isinstance(namespaces, dict):
            return [host]
        return [host, *(self._namespace(entry) for entry in unfold(namespaces, ("namespaces",), self.problems))]

    def _check(self) -> Problems:
        """What the schema says of the file."""
        found: list[Mistake] = []
        shapes = Problems()
        if not _check(self._definition, (), found):
            for mistake in found:
                shapes.add(mistake.path, mistake.message)
                if mistake.shape:
                    self._odd.update(mistake.path[:length] for length in range(len(mistake.path) + 1))
        return shapes

    def _namespace(self, entry: Entry) -> Site:
        self.problems.who = entry.name
        try:
            names.checked_namespace(entry.name)
        except InvalidInput as error:
            self.problems.refused(entry.path, error)
        return Site(str(entry.name), self._node(entry.body, entry.path), entry.path)

    def _node(self, body: t.Mapping[str, t.Any], path: Path) -> NodeDraft:
        return self._once("node", self._read, body, path)

    def _read(self, body: t.Mapping[str, t.Any], path: Path) -> NodeDraft:
        if self._odd:
            body = {name: part for name, part in body.items() if self._sound(name, part, (*path, name))}
        services = self._services
        return NodeDraft(
            tuple(self._interfaces(body, path)),
            tuple(self._bridges(body, path)) if "bridges" in body else (),
            services.routes(body, path),
            services.sysctls(body, path) if "sysctls" in body else (),
            services.nameservers(body, path),
            services.masquerades(body, path) if "masquerade" in body else (),
            services.forwards(body, path) if "forwards" in body else (),
        )

    def _sound(self, name: str, part: t.Any, path: Path) -> bool:
        """Whether something can be read that has, or does not have, a value of the wrong kind inside."""
        return path not in self._odd or (name in ("interfaces", "bridges") and isinstance(part, dict))

    def _interfaces(self, body: t.Mapping[str, t.Any], path: Path) -> t.Iterator[tuple[str, InterfaceDraft, Path]]:
        for name, options in (body.get("interfaces") or {}).items():
            suffix = ("interfaces", raw(name))
            if not self._odd or (isinstance(name, str) and (*path, *suffix) not in self._odd):
                yield str(name), self._once("interface", self._parts.interface, options, (*path, *suffix)), suffix

    def _bridges(self, body: t.Mapping[str, t.Any], path: Path) -> t.Iterator[tuple[str, BridgeDraft, Path]]:
        sound = {
            name: options
            for name, options in (body["bridges"] or {}).items()
            if not self._odd or (isinstance(name, str) and (*path, "bridges", raw(name)) not in self._odd)
        }
        for entry in unfold(sound, (*path, "bridges"), self.problems):
            yield (
                str(entry.name),
                self._once("bridge", self._parts.bridge, entry.body, entry.path),
                entry.path[len(path) :],
            )

    def _once(self, kind: str, read: t.Callable[[t.Any, Path], _T], options: t.Any, path: Path) -> _T:
        """Read something, unless it was read for another namespace of the same template, or stands at an anchor of YAML."""
        options = _NOTHING if options is None else options
        known = self._drafts.get((kind, id(options)))
        if known is None:
            # The options are kept with what they mean: no other object may get their identity.
            known = self._drafts[kind, id(options)] = (options, read(options, path))
        return t.cast(_T, known[1])
