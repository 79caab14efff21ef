# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that a lab may touch, as data: two snapshots of it are equal, or differ in places that can be named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import world
from box import Box

_SHOWN = ("addr show", "-4 route show table all", "-6 route show table all")
_RULES = ("rule show", "-6 rule show")
_WANDERING = {"ifindex", "link_index", "link_netnsid", "operstate", "qdisc"}
"""What an interface gets anew when it is made again, and what the kernel finds out a moment later."""
_MOVING = ("life_time", "_timer")
"""How names end of what moves although nobody changes it."""


def whole(box: Box) -> dict[str, Any]:
    """All that a lab may touch: what runs everywhere, settings, our records and /etc/netns.

    What a run remembers of what it saw, so that the next one need not look so closely, is not among the records.
    """
    places = (None, *box.names())
    return {
        "running": {netns: _running(box, netns) for netns in places},
        "settings": {netns: settings(netns) for netns in places},
        "files": files("/run/patchbay.netns", without=(".digests",)) | files("/etc/netns"),
        "namespaces": box.names(),
    }


def steady(box: Box) -> dict[str, Any]:
    """The same, when it does not move any more: the kernel takes notice of carriers a moment later."""
    before: dict[str, Any] = {}
    while before != (now := whole(box)):
        before = now
    return now


def _running(box: Box, netns: str | None) -> dict[str, Any]:
    shown = {what: _calm(box.ip(what, json=True, netns=netns)) for what in (*_SHOWN, *(() if netns else _RULES))}
    shown["nft"] = box.tool("nft", "-s", "list", "ruleset", netns=netns)
    return shown


def _calm(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {
            name: _calm(value) for name, value in shown.items() if name not in _WANDERING and not name.endswith(_MOVING)
        }
    if isinstance(shown, list):
        return sorted((_calm(value) for value in shown if not _automatic(value)), key=repr)
    return shown


def _automatic(value: Any) -> bool:
    """What comes and goes by itself: link-local addresses, anycast addresses of routers, and that there is no carrier."""
    if not isinstance(value, dict):
        return bool(value == "NO-CARRIER")
    link_local = value.get("scope") == "link" and value.get("family") == "inet6"
    return link_local or value.get("type") == "anycast" or value.get("dst", "").startswith(("fe80", "ff00"))


def traces(before: Any, after: Any, path: str = "") -> list[str]:
    """Every place in which two snapshots differ, in words."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            text
            for key in dict.fromkeys([*before, *after])
            for text in traces(before.get(key, "nothing"), after.get(key, "nothing"), f"{path}/{key}")
        ]
    if isinstance(before, list) and isinstance(after, list):
        if all(isinstance(one, dict) and "ifname" in one for one in (*before, *after)):
            return traces(*({one["ifname"]: one for one in shown} for shown in (before, after)), path)
        gone = [f"{path}: gone is {one}" for one in before if one not in after]
        return gone + [f"{path}: new is {one}" for one in after if one not in before]
    return [] if before == after else [f"{path}: {before!r} became {after!r}"]


def files(folder: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every file below the folder, and its content, of JSON what it says. Empty folders and locks are nothing."""
    return {
        str(path): json.loads(path.read_text("utf-8")) if path.suffix == ".json" else path.read_text("utf-8")
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and "lock" not in path.name and path.suffix not in without
    }


_GENERAL = (
    "ipv4/ip_forward",
    "ipv4/ip_local_port_range",
    "ipv4/icmp_echo_ignore_all",
    "bridge/bridge-nf-call-iptables",
    "bridge/bridge-nf-call-ip6tables",
)
_OF_INTERFACES = (
    "ipv4/conf/*/forwarding",
    "ipv4/conf/*/rp_filter",
    "ipv4/conf/*/route_localnet",
    "ipv4/conf/*/arp_notify",
    "ipv6/conf/*/forwarding",
    "ipv6/conf/*/addr_gen_mode",
    "ipv6/conf/*/accept_ra",
    "ipv6/conf/*/accept_dad",
    "ipv6/conf/*/disable_ipv6",
    "ipv6/conf/*/mtu",
)


def settings(netns: str | None) -> dict[str, str]:
    """The settings of the network that anybody might change for a lab, of each interface, too."""

    def read() -> dict[str, str]:
        top = Path("/proc/sys/net")
        found = [top / name for name in _GENERAL if (top / name).exists()]
        found += [path for pattern in _OF_INTERFACES for path in top.glob(pattern)]
        return {str(path): path.read_text("ascii").strip() for path in found}

    return world.inside(netns, read)
