# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times of programs can be compared when they have built the same: what ``ip`` says of the lab, and whether it answers.

Left out is what differs between any two labs (MAC addresses, numbers, what IPv6 chose itself) and by what ours knows its
own: the group of a link, the alias of lo, the protocol of a route.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from lab import Lab

_LINK = ("ifname", "mtu", "master", "link_type")
_CHOSEN = ("inet6_addr_gen_mode",)  # people leave this to the kernel; what leaves IPv6 out has less to do
_ADDRESS = ("family", "local", "prefixlen", "broadcast", "scope", "nodad")
_ROUTE = ("dst", "gateway", "dev", "scope", "prefsrc")


def read(lab: Lab, *, strict: bool) -> dict[str, Any]:
    """Everything about the lab that has to be the same whoever built it; ``strict``: also what people don't care for."""
    spaces = [None, *(cable.netns for cable in lab.cables())]
    return {space or "host": {"links": _links(space, strict=strict), "routes": _routes(space)} for space in spaces}


def must_answer(lab: Lab) -> None:
    """Ping every other namespace and the gateway from the first one; ends the program when one does not answer."""
    cables = list(lab.cables())
    others = [address.partition("/")[0] for cable in cables[1:] for address in cable.addresses]
    for address in (*others, *cables[0].gateways):
        command = ["ip", "netns", "exec", cables[0].netns, "ping", "-c", "3", "-i", "0.2", "-W", "2", address]
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            raise SystemExit(f"{address} does not answer: times of this lab mean nothing.")


def _ip(space: str | None, *command: str) -> list[dict[str, Any]]:
    where = ["-n", space] if space else []
    done = subprocess.run(["ip", *where, "-json", "-details", *command], check=True, stdout=subprocess.PIPE)
    found: list[dict[str, Any]] = json.loads(done.stdout or b"[]")
    return found


def _links(space: str | None, *, strict: bool) -> list[dict[str, Any]]:
    found = []
    for link in _ip(space, "address", "show"):
        addresses = [_only(each, _ADDRESS) for each in link["addr_info"]]
        kind = link.get("linkinfo", {}).get("info_kind")
        up = "UP" in link["flags"]
        chosen = [each for each in addresses if each.get("scope") != "link"]
        facts = _only(link, _LINK + _CHOSEN if strict else _LINK)
        found.append({**facts, "kind": kind, "up": up, "addresses": chosen})
    return sorted(found, key=lambda each: str(each["ifname"]))


def _routes(space: str | None) -> list[dict[str, Any]]:
    found = [*_ip(space, "-4", "route", "show"), *_ip(space, "-6", "route", "show")]
    return sorted((_only(each, _ROUTE) for each in found if not each["dst"].startswith("fe80:")), key=str)


def _only(facts: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: facts[key] for key in keys if key in facts}
