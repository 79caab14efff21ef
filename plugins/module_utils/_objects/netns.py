# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Network namespaces: their name, loopback, settings, and the name servers programs inside them use."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass
from shlex import quote

from .._engine.model import Item, Key, State, Step
from .._errors import InUse, InvalidInput, NotOurs
from .._kernel import loopback, namespaces, procsys, resolver, rtnl
from .._kernel.kernel import Kernel
from .._kernel.netlink import NETLINK_ROUTE, NetlinkSocket
from . import checks, sysctl, words

MARK = "patchbay.netns"
"""The alias of lo in every namespace that we made: it is there before the name is, and goes with the namespace."""


def mark(lab: str | None = None) -> str:
    """The alias in a namespace of our own, or of a lab's."""
    return MARK if lab is None else f"{MARK}:{lab}"


def owner(alias: str | None) -> tuple[bool, str | None]:
    """Whether an alias is a mark of ours, and of which lab."""
    if alias == MARK:
        return True, None
    ours, _colon, lab = (alias or "").partition(f"{MARK}:")
    return (True, lab) if lab and not ours else (False, None)


QUIET = {"net.ipv6.conf.default.accept_ra": "0"}
"""New namespaces take no address or route from router advertisements, unless asked to."""


AT_ONCE = {"net.ipv6.conf.default.accept_dad": "0"}
"""For namespaces whose interfaces are to use IPv6 at once, their link-local addresses too."""


@dataclass(frozen=True)
class Namespace:
    """A name under /run/netns. ``live`` is False for a leftover file that is no namespace."""

    name: str
    live: bool = True
    ours: bool = True
    lab: str | None = None
    """The lab that it belongs to."""

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


@dataclass(frozen=True)
class NameNamespace(Step):
    """Creates a namespace, removes one, or turns a leftover file into one.

    What is removed loses its name first and lives on until the run is sure of itself, so that it can come back as it was.
    With ``unplug`` the cables that end in it are gone, and their names free, when the run ends.
    """

    phase = "namespaces"
    unplug: bool = True

    def apply(self, kernel: Kernel) -> None:
        name = (self.after or self.before)[0].name
        if self.after and self.after[0].live:
            if not kernel.unshelve(name):
                lo = next((item for item in self.after if isinstance(item, Loopback)), None)
                settings = {item.name: item.value for item in self.after if isinstance(item, sysctl.Sysctl)}
                alias, leftover = mark(self.after[0].lab), bool(self.before)
                kernel.create(name, alias=alias, up=bool(lo and lo.up), settings=settings, leftover=leftover)
            return
        if self.before[0].live:
            kernel.shelve(name)
        else:
            namespaces.remove(name)
        if self.after:
            namespaces.touch_stale(name)

    @classmethod
    def finish(cls, kernel: Kernel, steps: t.Sequence[Step]) -> None:
        for step in steps:
            if not step.after:
                name = step.before[0].name
                if t.cast(NameNamespace, step).unplug:
                    _unplug(kernel, name)
                kernel.discard(name)

    def commands(self) -> list[str]:
        name = quote((self.after or self.before)[0].name)
        stale = bool(self.before) and not self.before[0].live
        if not self.after:
            return [f"ip netns del {name}"]
        repair = [f"ip netns del {name}"] if stale else []
        up = " up" if any(isinstance(item, Loopback) and item.up for item in self.after) else ""
        alias = mark(self.after[0].lab)
        settings = [
            f"{words.prefix(self.after[0].name)}sysctl -w {quote(item.name)}={quote(item.value)}"
            for item in self.after
            if isinstance(item, sysctl.Sysctl)
        ]
        return [*repair, f"ip netns add {name}", f"ip -n {name} link set lo{up} alias {quote(alias)}", *settings]


class MarkNamespace(Step):
    """Makes a namespace one of ours, or of a lab's."""

    def apply(self, kernel: Kernel) -> None:
        (wanted,) = self.after
        alias = mark(wanted.lab) if wanted.ours else ""
        rtnl.change_link(kernel.rtnl(wanted.name), "lo", [["IFLA_IFALIAS", alias]], "mark a namespace")

    def commands(self) -> list[str]:
        (wanted,) = self.after
        alias = mark(wanted.lab) if wanted.ours else ""
        return [f"{words.ip(wanted.name)} link set lo alias {quote(alias)}"]


class SetLoopback(Step):
    """Puts lo up or down."""

    phase = "interfaces"

    def apply(self, kernel: Kernel) -> None:
        (wanted,) = self.after
        rtnl.change_link(kernel.rtnl(wanted.netns), "lo", [], "change lo", up=wanted.up)

    def commands(self) -> list[str]:
        (wanted,) = self.after
        return [f"{words.ip(wanted.netns)} link set lo {'up' if wanted.up else 'down'}"]


class WriteResolver(Step):
    """Writes or removes /etc/netns/NAME/resolv.conf."""

    phase = "settings"

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
        ours, lab = owner(alias)
        items += [Namespace(self.netns, ours=ours, lab=lab), Loopback(self.netns, up)]
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
        found: Resolver | None = state.get(("resolver", self.netns))
        return steps + plan_resolver(found, self.netns, self.nameservers, force=self.force)

    def _plan_absent(self, state: State) -> list[Step]:
        steps: list[Step] = []
        now: Namespace | None = state.get(("netns", self.netns))
        found: Resolver | None = state.get(("resolver", self.netns))
        if now is not None and now.live:
            if not now.ours and not self.force:
                raise NotOurs.kept(self.name)
            inside = state.get(("occupants", self.netns))
            if inside and inside.processes:
                steps += evict(inside, force=self.force)
            lost = tuple(SetLoopback((), (item,)) for item in state.of(Loopback))
            steps.append(NameNamespace((now,), (), lost))
        elif now is not None:
            steps.append(NameNamespace((now,), ()))
        if found is not None and found.ours:
            steps.append(WriteResolver((found,), ()))
        return steps

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


def plan_resolver(now: Resolver | None, netns: str, wanted: tuple[str, ...] | None, *, force: bool) -> list[Step]:
    """The step to the wanted name servers; None leaves them as they are. Raises NotOurs."""
    if wanted is None or (now is not None and tuple(now.nameservers) == wanted) or (now is None and not wanted):
        return []
    if now is not None and not now.ours and not force:
        raise NotOurs(
            f"{resolver.path(netns)} was not written by this collection, so it is left alone. "
            "Remove nameservers from the task, or set force: true to replace the file."
        )
    after = (Resolver(netns, resolver.text(wanted)),) if wanted else ()
    return [WriteResolver((now,) if now else (), after)]


def evict(inside: Occupants, *, force: bool) -> list[Step]:
    """The step that ends the processes in a namespace that is to go. Raises InUse unless ``force`` is given."""
    if force:
        return [EndProcesses((inside,), ())]
    listed = ", ".join(f"{process.pid} ({process.command})" for process in inside.processes[:8])
    more = f" and {len(inside.processes) - 8} more" if len(inside.processes) > 8 else ""
    raise InUse(
        f"namespace {inside.netns} is in use by process {listed}{more}; it would live on without a name. "
        "End them first, or set force: true to have them ended.",
        processes=[process._asdict() for process in inside.processes],
    )


def _setting(name: str, value: t.Any) -> str:
    if isinstance(value, bool):
        return str(int(value))  # YAML reads yes and true as a boolean; the kernel reads 1
    if value is None or isinstance(value, (dict, list)):
        raise InvalidInput(f"sysctls: {name} needs one value, a number or a text, such as {name}: 1.")
    return procsys.fold(value)


def _unplug(kernel: Kernel, netns: str) -> None:
    """Remove the cables that end in a namespace that lost its name, so that their names are free when this returns."""
    fd = kernel.shelved(netns)
    if fd is None:
        return
    with namespaces.inside(fd), contextlib.closing(NetlinkSocket(NETLINK_ROUTE)) as sock:
        ends = [
            m
            for m in rtnl.dump_links(sock)
            if m.get_attr("IFLA_LINKINFO") and m.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "veth"
        ]
        for message in ends:
            attributes = [["IFLA_GROUP", rtnl.DOOMED]]
            rtnl.change_link(sock, message.get_attr("IFLA_IFNAME"), attributes, "mark an interface for removal")
        if ends:
            rtnl.delete_group(sock, rtnl.DOOMED)
