# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What each kind of link has of its own: as values, as netlink attributes and as words of ip-link(8)."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, fields
from shlex import quote

from .._kernel import rtnl
from .checks import Address

_TICKS = 100  # USER_HZ: bridge times are in hundredths of a second

VLAN_PROTOCOLS = {"802.1Q": 0x8100, "802.1ad": 0x88A8}
"""The tags of a VLAN and their EtherTypes (linux/if_ether.h)."""

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
"""How macvlans of one parent reach each other (enum macvlan_mode, linux/if_link.h)."""


@dataclass(frozen=True)
class BridgeOptions:
    """Properties of a bridge; times in seconds. In a wish, None stands for 'as it is'."""

    stp: bool | None = None
    forward_delay: float | None = None
    ageing_time: float | None = None
    vlan_filtering: bool | None = None
    multicast_snooping: bool | None = None


NEW_BRIDGE = BridgeOptions(False, 15.0, 300.0, False, True)
"""What a bridge has when it is made (br_dev_setup in net/bridge/br_device.c)."""


@dataclass(frozen=True)
class VlanOptions:
    """A VLAN on its parent; ``protocol`` is one of ``VLAN_PROTOCOLS``."""

    id: int
    protocol: str = "802.1Q"


@dataclass(frozen=True)
class MacvlanOptions:
    """A further MAC address on its parent; ``mode`` is one of ``MACVLAN_MODES``."""

    mode: str = "bridge"


@dataclass(frozen=True)
class VxlanOptions:
    """An Ethernet in UDP. ``ttl`` 0 is the kernel's choice: the route's own, and 1 for a multicast group."""

    id: int
    local: Address | None = None
    remote: Address | None = None
    port: int = 4789
    ttl: int = 0
    learning: bool = True


Options = t.Union[BridgeOptions, VlanOptions, MacvlanOptions, VxlanOptions]


# ---- bridges

_BRIDGE = {
    "stp": ("IFLA_BR_STP_STATE", "stp_state"),
    "forward_delay": ("IFLA_BR_FORWARD_DELAY", "forward_delay"),
    "ageing_time": ("IFLA_BR_AGEING_TIME", "ageing_time"),
    "vlan_filtering": ("IFLA_BR_VLAN_FILTERING", "vlan_filtering"),
    "multicast_snooping": ("IFLA_BR_MCAST_SNOOPING", "mcast_snooping"),
}
_BRIDGE_WORDS = dict(_BRIDGE.values())


def bridge_changes(before: Options | None, after: Options | None) -> rtnl.Attributes:
    """The netlink attributes of a bridge's options that differ, in the kernel's units."""
    attributes: rtnl.Attributes = []
    for field in fields(BridgeOptions):
        wanted = getattr(after, field.name, None)
        if wanted is not None and wanted != getattr(before, field.name, None):
            seconds = field.name in ("forward_delay", "ageing_time")
            attributes.append([_BRIDGE[field.name][0], round(wanted * _TICKS) if seconds else int(wanted)])
    return attributes


def bridge_words(changed: rtnl.Attributes) -> str:
    """The attributes as ``ip link ... type bridge`` calls them."""
    return " ".join(f"{_BRIDGE_WORDS[name]} {value}" for name, value in changed)


def _decode_bridge(data: t.Any) -> BridgeOptions:
    def flag(name: str) -> bool | None:
        value = data.get_attr(name)
        return None if value is None else bool(value)

    # While the spanning tree changes, addresses age faster, and the kernel shows that instead of what was set.
    moving = flag("IFLA_BR_TOPOLOGY_CHANGE")
    return BridgeOptions(
        stp=flag("IFLA_BR_STP_STATE"),
        forward_delay=data.get_attr("IFLA_BR_FORWARD_DELAY") / _TICKS,
        ageing_time=None if moving else data.get_attr("IFLA_BR_AGEING_TIME") / _TICKS,
        vlan_filtering=flag("IFLA_BR_VLAN_FILTERING"),
        multicast_snooping=flag("IFLA_BR_MCAST_SNOOPING"),
    )


# ---- every kind


def decode(kind: str, data: t.Any) -> Options | None:
    """The options in a link's IFLA_INFO_DATA; None for kinds without any."""
    decoder = _DECODERS.get(kind)
    return decoder(data) if decoder is not None and data is not None else None


def _decode_vlan(data: t.Any) -> VlanOptions:
    number = data.get_attr("IFLA_VLAN_PROTOCOL")
    known = {value: name for name, value in VLAN_PROTOCOLS.items()}
    return VlanOptions(data.get_attr("IFLA_VLAN_ID"), known.get(number, f"{number:#06x}"))


def _decode_macvlan(data: t.Any) -> MacvlanOptions:
    mode = data.get_attr("IFLA_MACVLAN_MODE")  # pyroute2 names most of them
    known = {value: name for name, value in MACVLAN_MODES.items()}
    return MacvlanOptions(known.get(mode, str(mode)))


def _decode_vxlan(data: t.Any) -> VxlanOptions:
    def address(*names: str) -> Address | None:
        texts = [data.get_attr(name) for name in names]
        return next((ipaddress.ip_address(text) for text in texts if text), None)

    return VxlanOptions(
        data.get_attr("IFLA_VXLAN_ID"),
        address("IFLA_VXLAN_LOCAL", "IFLA_VXLAN_LOCAL6"),
        address("IFLA_VXLAN_GROUP", "IFLA_VXLAN_GROUP6"),
        data.get_attr("IFLA_VXLAN_PORT"),
        data.get_attr("IFLA_VXLAN_TTL") or 0,
        bool(data.get_attr("IFLA_VXLAN_LEARNING")),
    )


_DECODERS: dict[str, t.Callable[[t.Any], Options]] = {
    "bridge": _decode_bridge,
    "vlan": _decode_vlan,
    "macvlan": _decode_macvlan,
    "vxlan": _decode_vxlan,
}


def attributes(options: Options | None) -> rtnl.Attributes:
    """What IFLA_INFO_DATA holds to make a link with these options."""
    if isinstance(options, BridgeOptions):
        return bridge_changes(NEW_BRIDGE, options)
    if isinstance(options, VlanOptions):
        return [["IFLA_VLAN_ID", options.id], ["IFLA_VLAN_PROTOCOL", VLAN_PROTOCOLS[options.protocol]]]
    if isinstance(options, MacvlanOptions):
        return [["IFLA_MACVLAN_MODE", MACVLAN_MODES[options.mode]]]
    return _vxlan_attributes(options) if isinstance(options, VxlanOptions) else []


def _vxlan_attributes(options: VxlanOptions) -> rtnl.Attributes:
    out: rtnl.Attributes = [
        ["IFLA_VXLAN_ID", options.id],
        ["IFLA_VXLAN_PORT", options.port],
        ["IFLA_VXLAN_TTL", options.ttl],
        ["IFLA_VXLAN_LEARNING", int(options.learning)],
    ]
    for name, address in (("LOCAL", options.local), ("GROUP", options.remote)):
        if address is not None:
            out.append([f"IFLA_VXLAN_{name}{'6' if address.version == 6 else ''}", str(address)])
    return out


def words(kind: str, options: Options | None, parent: str | None) -> str:
    """What follows ``type`` in ``ip link add``: the kind and its options."""
    if isinstance(options, BridgeOptions):
        parts = [bridge_words(bridge_changes(NEW_BRIDGE, options))]
    elif isinstance(options, VlanOptions):
        parts = [f"id {options.id}", f"protocol {options.protocol}" if options.protocol != "802.1Q" else ""]
    elif isinstance(options, MacvlanOptions):
        parts = [f"mode {options.mode}"]
    elif isinstance(options, VxlanOptions):
        parts = [
            f"id {options.id}",
            f"local {options.local}" if options.local else "",
            f"{'group' if options.remote.is_multicast else 'remote'} {options.remote}" if options.remote else "",
            f"dev {quote(parent)}" if parent else "",
            f"dstport {options.port}",
            f"ttl {options.ttl}" if options.ttl else "",
            "" if options.learning else "nolearning",
        ]
    else:
        parts = []
    return " ".join(filter(None, [kind, *parts]))


def shown(options: Options | None) -> dict[str, t.Any]:
    """The options as users see them: addresses as text."""
    values = {field.name: getattr(options, field.name) for field in fields(options)} if options else {}
    plain = (ipaddress.IPv4Address, ipaddress.IPv6Address)
    return {name: str(value) if isinstance(value, plain) else value for name, value in values.items()}
