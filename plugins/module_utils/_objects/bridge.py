# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The wish for a bridge, its addresses and its ports."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, fields, replace
from shlex import quote

from .._engine.model import Item, Key, State, Step
from .._errors import Conflict, InvalidInput, KernelError, NotFound, NotOurs, Unsupported
from .._kernel import namespaces, rtnl
from .._kernel.kernel import Kernel
from . import address, checks, link, machine, route, sysctl, words
from .checks import Interface
from .link import Link
from .link_options import BridgeOptions
from .link_steps import MakeLink, changed
from .words import place

_STP_DELAYS = (2.0, 30.0)  # seconds, 802.1D; the kernel enforces them while STP runs
_LONGEST = 42_949_672.0  # seconds: 32 bits of hundredths


_FEATURES = {"vlan_filtering": "CONFIG_BRIDGE_VLAN_FILTERING", "multicast_snooping": "CONFIG_BRIDGE_IGMP_SNOOPING"}
"""Options that a kernel may lack, and what it is built with to have them."""


@dataclass(frozen=True)
class Port:
    """An interface and the bridge it is in, None for none."""

    netns: str | None
    name: str
    bridge: str | None

    @property
    def key(self) -> Key:
        return ("port", self.netns, self.name)


class PlugPort(Step):
    """Puts an interface into a bridge, or takes it out."""

    def apply(self, kernel: Kernel) -> None:
        port: Port = self.after[0]
        master = kernel.index(port.netns, port.bridge) if port.bridge else 0
        title = (
            f"put {port.name} into {port.bridge}" if port.bridge else f"take {port.name} out of {self.before[0].bridge}"
        )
        rtnl.change_link(kernel.rtnl(port.netns), port.name, [["IFLA_MASTER", master]], f"{title}{place(port.netns)}")

    def commands(self) -> list[str]:
        port: Port = self.after[0]
        return [
            f"{words.ip(port.netns)} link set dev {quote(port.name)} "
            + (f"master {quote(port.bridge)}" if port.bridge else "nomaster")
        ]


@dataclass(frozen=True)
class Pristine:
    """The bridge as this kernel makes it; ``options`` of features that it lacks are None."""

    options: BridgeOptions

    @property
    def key(self) -> Key:
        return ("pristine bridge",)


@dataclass(frozen=True)
class Bridge:
    """The wish for one bridge; None stands for 'as it is'."""

    netns: str | None
    device: str
    present: bool = True
    force: bool = False
    addresses: tuple[Interface, ...] = ()
    purge_addresses: bool = False
    ports: tuple[str, ...] = ()
    purge_ports: bool = False
    mac: str | None = None
    mtu: int | None = None
    up: bool = True
    overlap: bool = False
    options: BridgeOptions = field(default_factory=BridgeOptions)

    @property
    def name(self) -> str:
        return f"bridge {self.device}{place(self.netns)}"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Bridge:
        """Validate the module's parameters. Raises InvalidInput."""
        device = checks.interface(params["name"], "name")
        addresses = tuple(checks.host_interface(text, "addresses") for text in params.get("addresses") or ())
        checks.unique(addresses, "addresses")
        ports = tuple(checks.interface(name, "ports") for name in params.get("ports") or ())
        checks.unique(ports, "ports")
        if device in ports:
            raise InvalidInput(f"ports: bridge {device} can't be a port of itself. Remove it from the list.")
        return cls(
            netns=checks.namespace(params.get("netns")),
            device=device,
            present=params["state"] == "present",
            force=params["force"],
            addresses=addresses,
            purge_addresses=bool(params.get("purge_addresses")),
            ports=ports,
            purge_ports=bool(params.get("purge_ports")),
            mac=checks.mac(params.get("mac"), "mac"),
            mtu=checks.mtu(params.get("mtu"), "mtu"),
            up=params.get("up") is not False,
            overlap=bool(params.get("allow_overlap")),
            options=_options(params),
        )

    # ---- observing

    def observe(self, kernel: Kernel) -> State:
        items: list[Item] = [machine.observe(kernel)]
        now = link.observe(kernel, self.netns, self.device)
        if now is not None:
            items += [now, *address.observe(kernel, self.netns, self.device)]
        if self.present and (now is None or self._settles(now)):
            items.append(Pristine(_pristine(self.options)))
        for version in address.lacking(items, self.netns, self.device, self.addresses):
            items += route.observe(kernel, self.netns, version)
        if now is not None or self.ports:
            items += self._observe_ports(kernel)
        return State(items)

    def _settles(self, now: Link) -> bool:
        """Whether options are to change; then it is worth asking whether this kernel can."""
        return now.options is not None and replace(now.options, **_given(self.options)) != now.options

    def _observe_ports(self, kernel: Kernel) -> list[Item]:
        messages = rtnl.dump_links(kernel.rtnl(self.netns))
        names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in messages}
        ports = [Port(self.netns, m.get_attr("IFLA_IFNAME"), names.get(m.get_attr("IFLA_MASTER"))) for m in messages]
        return [port for port in ports if port.name in self.ports or port.bridge == self.device]

    # ---- planning

    def plan(self, state: State) -> list[Step]:
        now: Link | None = state.get(("link", self.netns, self.device))
        if now is not None and now.kind != "bridge":
            raise Conflict(
                f"{self.device}{place(self.netns)} is a {now.kind} interface, not a bridge. Choose another name for the bridge."
            )
        if not self.present:
            return self._plan_removal(state, now)
        steps: list[Step] = []
        pristine: Pristine | None = state.get(("pristine bridge",))
        able = pristine.options if pristine else BridgeOptions()
        if now is None:
            mac = self.mac or link.choose_mac(machine.seed(state), self.netns, self.device)
            now = Link(self.netns, self.device, "bridge", mac, 1500, options=able)
            steps.append(MakeLink((), (now,)))
            steps += sysctl.without_duplicate_detection(self.netns, self.device, self.addresses)
        here = _of(now)
        if now.options is not None and here.ageing_time is None:  # not to be seen at present
            here = replace(here, ageing_time=self.options.ageing_time)
            now = replace(now, options=here)
        options = _delayed(_merged(here, self.options, able), self.options)
        wanted = link.with_defaults(now, mac=self.mac, mtu=self.mtu, options=options)
        wanted = replace(wanted, up=self.up)
        changes = changed(now, wanted, address.dropped(state, now, wanted))
        addresses = address.plan(
            state, wanted, changes, self.addresses, purge=self.purge_addresses, overlap=self.overlap
        )
        return [*steps, *changes, *self._plan_ports(state), *addresses]

    def _plan_ports(self, state: State) -> list[Step]:
        steps: list[Step] = []
        for port in state.of(Port):
            if self.purge_ports and port.bridge == self.device and port.name not in self.ports:
                steps.append(PlugPort((port,), (replace(port, bridge=None),)))
        for name in self.ports:
            now: Port | None = state.get(("port", self.netns, name))
            if now is None:
                raise NotFound(
                    f"ports: interface {name} does not exist{place(self.netns)}. Create it first, for example with the veth module.",
                    device=name,
                )
            if now.bridge != self.device:
                steps.append(PlugPort((now,), (replace(now, bridge=self.device),)))
        return steps

    def _plan_removal(self, state: State, now: Link | None) -> list[Step]:
        if now is None:
            return []
        if not now.ours and not self.force:
            raise NotOurs.kept(now.title)
        ports = [port for port in state.of(Port) if port.bridge == self.device]
        lost: list[Step] = [*address.restoring(state, self.netns, self.device)]
        lost += [PlugPort((replace(port, bridge=None),), (port,)) for port in ports]
        return [MakeLink((now,), (), tuple(lost))]

    # ---- showing

    def view(self, state: State) -> dict[str, t.Any]:
        now: Link | None = state.get(("link", self.netns, self.device))
        if now is None:
            return {}
        view = link.shown(now, address.shown(state, self.netns, self.device, self.addresses))
        view["ports"] = sorted(port.name for port in state.of(Port) if port.bridge == self.device)
        return view

    def warnings(self, before: State, after: State) -> list[str]:
        return []


def _options(params: t.Mapping[str, t.Any]) -> BridgeOptions:
    options = BridgeOptions(**{each.name: params.get(each.name) for each in fields(BridgeOptions)})
    delay, ageing = options.forward_delay, options.ageing_time
    shortest, longest = _STP_DELAYS
    if delay is not None and not 0 <= delay <= longest:
        raise InvalidInput(
            f"forward_delay: {delay:g} seconds is impossible; give 0 to {longest:g} (2 to {longest:g} with stp: true)."
        )
    if delay is not None and options.stp and delay < shortest:
        raise InvalidInput(
            f"forward_delay: {delay:g} seconds is too short with stp: true; the spanning tree needs {shortest:g} to {longest:g}."
        )
    if ageing is not None and not 0 <= ageing <= _LONGEST:
        raise InvalidInput(f"ageing_time: {ageing:g} seconds is impossible; give 0 (forget at once) to {_LONGEST:.0f}.")
    # The kernel counts hundredths of a second.
    times: dict[str, t.Any] = {
        name: round(value, 2)
        for name, value in (("forward_delay", delay), ("ageing_time", ageing))
        if value is not None
    }
    return replace(options, **times)


def _of(now: Link) -> BridgeOptions:
    """What a link has of a bridge's own."""
    return now.options if isinstance(now.options, BridgeOptions) else BridgeOptions()


def _given(options: BridgeOptions) -> dict[str, t.Any]:
    """The options that were named."""
    return {name: value for name, value in vars(options).items() if value is not None}


def _merged(now: BridgeOptions, wanted: BridgeOptions, able: BridgeOptions) -> BridgeOptions:
    """The bridge's options with the wanted ones. Raises Unsupported for one that is None in ``able``."""
    merged = replace(now, **_given(wanted))
    for name, config in _FEATURES.items():
        if getattr(merged, name) != getattr(now, name) and getattr(able, name) is None:
            raise Unsupported(
                f"{name}: this kernel's bridge can't do that (it was built without {config}). "
                "Remove the option, or use another kernel."
            )
    return merged


def _delayed(merged: BridgeOptions, wanted: BridgeOptions) -> BridgeOptions:
    """The options with the delay that the kernel sees to while the spanning tree runs (br_stp_start in net/bridge)."""
    shortest, delay = _STP_DELAYS[0], merged.forward_delay
    if not merged.stp or delay is None or delay >= shortest:
        return merged
    if wanted.forward_delay is not None:
        raise InvalidInput(
            f"forward_delay: {delay:g} seconds is too short while the bridge's spanning tree runs. "
            f"Set stp: false, or give {shortest:g} to {_STP_DELAYS[1]:g}."
        )
    return replace(merged, forward_delay=shortest)


def _pristine(wanted: BridgeOptions) -> BridgeOptions:
    """The options of a new bridge, read from one that is made for a moment in a namespace of its own.

    A feature that is shown but can't be changed to what is wanted comes back as None. Raises Unsupported.
    """
    with namespaces.inside_new(), Kernel() as kernel:
        probe = Link(None, "probe", "bridge", "02:00:00:00:00:01", 1500)
        MakeLink((), (probe,)).apply(kernel)
        made = link.observe(kernel, None, probe.name) or probe
        options = _of(made)
        for name in _FEATURES.keys() & _given(wanted).keys():
            try:
                for step in changed(made, replace(made, options=replace(options, **{name: getattr(wanted, name)}))):
                    step.apply(kernel)
            except KernelError:
                options = replace(options, **{name: None})
        return options
