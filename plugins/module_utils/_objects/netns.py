# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Network namespaces: their name, loopback, settings, and the name servers programs inside them use."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from shlex import quote

from .._engine.model import Item, Key, State, Step
from .._errors import InUse, InvalidInput, NotOurs
from .._kernel import loopback, namespaces, procsys, resolver, rtnl
from .._kernel.kernel import Kernel
from . import checks, sysctl, words
from .link import GROUP

MARK = "patchbay.netns"
"""The alias of lo in every namespace that we made: it is there before the name is, and goes with the namespace."""

QUIET = {"net.ipv6.conf.default.accept_ra": "0"}
"""New namespaces take no address or route from router advertisements, unless asked to."""


@dataclass(frozen=True)
class Namespace:
    """A name under /run/netns. ``live`` is False for a leftover file that is no namespace."""

    name: str
    live: bool = True
    ours: bool = True

    @property
    def key(self) -> Key:
        return ("netns", self.name)


@dataclass(frozen=True)
class Loopback:
    """Whether lo of a namespace is up."""

    netns: str
    up: bool

    @property
    def key(self) -> Key:
        return ("loopback", self.netns)


@dataclass(frozen=True)
class Resolver:
    """The resolv.conf that ``ip netns exec`` puts in place of the machine's (ip-netns(8))."""

    netns: str
    text: str

    @property
    def key(self) -> Key:
        return ("resolver", self.netns)

    @property
    def ours(self) -> bool:
        return self.text.startswith(resolver.MARK)

    @property
    def nameservers(self) -> list[str]:
        lines = (line.split() for line in self.text.splitlines())
        return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


@dataclass(frozen=True)
class Occupants:
    """The processes inside a namespace."""

    netns: str
    processes: tuple[namespaces.Process, ...]

    @property
    def key(self) -> Key:
        return ("occupants", self.netns)


class NameNamespace(Step):
    """Creates a namespace, removes one, or turns a leftover file into one."""

    def apply(self, kernel: Kernel) -> None:
        name = (self.after or self.before)[0].name
        if self.after and self.after[0].live:
            namespaces.create(name, lambda: loopback.change(alias=MARK))
            return
        if self.before[0].live:
            _unplug(kernel, name)
        kernel.forget(name)
        namespaces.remove(name)
        if self.after:
            namespaces.touch_stale(name)

    def commands(self) -> list[str]:
        name = quote((self.after or self.before)[0].name)
        stale = bool(self.before) and not self.before[0].live
        if not self.after:
            return [f"ip netns del {name}"]
        repair = [f"ip netns del {name}"] if stale else []
        return [*repair, f"ip netns add {name}", f"ip -n {name} link set lo alias {MARK}"]


class SetLoopback(Step):
    """Puts lo up or down."""

    def apply(self, kernel: Kernel) -> None:
        (wanted,) = self.after
        with kernel.inside(wanted.netns):
            loopback.change(up=wanted.up)

    def commands(self) -> list[str]:
        (wanted,) = self.after
        return [f"{words.ip(wanted.netns)} link set lo {'up' if wanted.up else 'down'}"]


class WriteResolver(Step):
    """Writes or removes /etc/netns/NAME/resolv.conf."""

    def apply(self, kernel: Kernel) -> None:
        if self.after:
            resolver.write(self.after[0].netns, self.after[0].text)
        else:
            resolver.remove(self.before[0].netns)

    def commands(self) -> list[str]:
        netns = (self.after or self.before)[0].netns
        folder, _slash, file = resolver.path(netns).rpartition("/")
        if not self.after:
            return [f"rm {quote(folder)}/{file}"]
        lines = " ".join(quote(f"nameserver {server}") for server in self.after[0].nameservers)
        return [f"mkdir -p {quote(folder)}", f"printf '%s\\n' {lines} > {quote(folder)}/{file}"]


class EndProcesses(Step):
    """Ends the processes inside: asks first (SIGTERM), then insists (SIGKILL). Can't be undone."""

    def apply(self, kernel: Kernel) -> None:
        namespaces.end_processes(kernel.file(self.before[0].netns))

    def undo(self) -> list[Step]:
        return []

    def commands(self) -> list[str]:
        return [f"ip netns pids {quote(self.before[0].netns)} | xargs kill"]


@dataclass(frozen=True)
class Netns:
    """The wish for one namespace; None stands for 'as it is'."""

    netns: str
    present: bool = True
    force: bool = False
    loopback: bool = True
    sysctls: tuple[tuple[str, str], ...] = ()
    nameservers: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return f"namespace {self.netns}"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Netns:
        """Validate the module's parameters. Raises InvalidInput."""
        name = checks.namespace(params["name"] if params.get("name") is not None else params.get("netns"), "name")
        if name is None:
            raise InvalidInput("name is missing: say which namespace, such as name: red.")
        checks.unique(("/".join(procsys.parts(each)) for each in params.get("sysctls") or {}), "sysctls")
        settings = {sysctl.valid_name(k, "sysctls"): _setting(k, v) for k, v in (params.get("sysctls") or {}).items()}
        servers = params.get("nameservers")
        if servers is not None:
            servers = tuple(str(checks.address(server, "nameservers", zone=True)) for server in servers)
            checks.unique(servers, "nameservers")
        return cls(
            name,
            present=params["state"] == "present",
            force=params["force"],
            loopback=params["loopback"],
            sysctls=tuple(settings.items()),
            nameservers=servers,
        )

    def observe(self, kernel: Kernel) -> State:
        items: list[Item] = []
        text = resolver.read(self.netns)
        if text is not None:
            items.append(Resolver(self.netns, text))
        stale = namespaces.exists(self.netns) and namespaces.is_stale(self.netns)
        if not namespaces.exists(self.netns) or stale:
            items += [Namespace(self.netns, live=False, ours=False)] if stale else []
            return State([*items, *(self._fresh_settings() if self.present else ())])
        with kernel.inside(self.netns):
            up, alias = loopback.read()
        items += [Namespace(self.netns, ours=alias == MARK), Loopback(self.netns, up)]
        if not self.present:
            items.append(Occupants(self.netns, tuple(namespaces.processes(kernel.file(self.netns)))))
        for name, _value in self.sysctls:
            items += sysctl.observe(kernel, self.netns, name)
        return State(items)

    def _fresh_settings(self) -> list[Item]:
        """The settings as a new namespace has them, found by making one for a moment."""
        wanted = {**QUIET, **dict(self.sysctls)}
        with namespaces.inside_new():
            values = {name: procsys.read(name) for name in wanted}
        return [sysctl.Sysctl(self.netns, name, value) for name, value in values.items() if value is not None]

    def plan(self, state: State) -> list[Step]:
        return self._plan_present(state) if self.present else self._plan_absent(state)

    def _plan_present(self, state: State) -> list[Step]:
        steps: list[Step] = []
        now: Namespace | None = state.get(("netns", self.netns))
        settings = dict(self.sysctls)
        if now is None or not now.live:
            made = (Namespace(self.netns), Loopback(self.netns, up=False))
            steps.append(NameNamespace((now,) if now else (), made))
            quiet = {name: value for name, value in QUIET.items() if state.get(("sysctl", self.netns, name))}
            settings = {**quiet, **settings}
        for name, value in settings.items():
            steps += sysctl.change(state, self.netns, name, value)
        lo = state.get(("loopback", self.netns)) or Loopback(self.netns, up=False)
        if lo.up != self.loopback:
            steps.append(SetLoopback((lo,), (Loopback(self.netns, self.loopback),)))
        return steps + self._plan_resolver(state, self.nameservers)

    def _plan_resolver(self, state: State, wanted: tuple[str, ...] | None) -> list[Step]:
        now: Resolver | None = state.get(("resolver", self.netns))
        if wanted is None or (now is not None and tuple(now.nameservers) == wanted) or (now is None and not wanted):
            return []
        if now is not None and not now.ours and not self.force:
            raise NotOurs(
                f"{resolver.path(self.netns)} was not written by this collection, so it is left alone. "
                "Remove nameservers from the task, or set force: true to replace the file."
            )
        after = (Resolver(self.netns, resolver.text(wanted)),) if wanted else ()
        return [WriteResolver((now,) if now else (), after)]

    def _plan_absent(self, state: State) -> list[Step]:
        steps: list[Step] = []
        now: Namespace | None = state.get(("netns", self.netns))
        found: Resolver | None = state.get(("resolver", self.netns))
        if now is not None and now.live:
            if not now.ours and not self.force:
                raise NotOurs.kept(self.name)
            inside = state.get(("occupants", self.netns))
            if inside and inside.processes:
                steps += self._plan_eviction(inside)
            lost = tuple(SetLoopback((), (item,)) for item in state.of(Loopback))
            steps.append(NameNamespace((now,), (), lost))
        elif now is not None:
            steps.append(NameNamespace((now,), ()))
        if found is not None and found.ours:
            steps.append(WriteResolver((found,), ()))
        return steps

    def _plan_eviction(self, inside: Occupants) -> list[Step]:
        if self.force:
            return [EndProcesses((inside,), ())]
        listed = ", ".join(f"{process.pid} ({process.command})" for process in inside.processes[:8])
        more = f" and {len(inside.processes) - 8} more" if len(inside.processes) > 8 else ""
        raise InUse(
            f"namespace {self.netns} is in use by process {listed}{more}; it would live on without a name. "
            "End them first, or set force: true to have them ended.",
            processes=[process._asdict() for process in inside.processes],
        )

    def view(self, state: State) -> dict[str, t.Any]:
        now: Namespace | None = state.get(("netns", self.netns))
        if now is None:
            return {}
        if not now.live:
            return {"name": self.netns, "stale": True}
        lo: Loopback | None = state.get(("loopback", self.netns))
        found: Resolver | None = state.get(("resolver", self.netns))
        return {
            "name": self.netns,
            "loopback": bool(lo and lo.up),
            "sysctls": sysctl.shown(state, self.netns, dict(self.sysctls)),
            "nameservers": found.nameservers if found else [],
            "ours": now.ours,
        }

    def warnings(self, before: State, after: State) -> list[str]:
        return []


def _setting(name: str, value: t.Any) -> str:
    if isinstance(value, bool):
        return str(int(value))  # YAML reads yes and true as a boolean; the kernel reads 1
    if value is None or isinstance(value, (dict, list)):
        raise InvalidInput(f"sysctls: {name} needs one value, a number or a text, such as {name}: 1.")
    return procsys.fold(value)


def _unplug(kernel: Kernel, netns: str) -> None:
    """Remove the cables that end in a namespace before it goes, so that their names are free when this returns."""
    sock = kernel.rtnl(netns)
    ends = [
        m
        for m in rtnl.dump_links(sock)
        if m.get_attr("IFLA_LINKINFO") and m.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "veth"
    ]
    for message in ends:
        if message.get_attr("IFLA_GROUP") != GROUP:
            rtnl.change_link(
                sock, message.get_attr("IFLA_IFNAME"), [["IFLA_GROUP", GROUP]], "mark an interface for removal"
            )
    if ends:
        rtnl.delete_group(sock, GROUP)
