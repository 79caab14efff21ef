# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Firewalls of others that HOST may have, put there by tools that do not use our code, and opened as their owners would."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from box import Box
from scenery import BRIDGE_FILTER

BRIDGE = "v-net-0"
PIPE = "/run/owner.fifo"


@dataclass(frozen=True)
class Foreign:
    """A firewall that is in the way of forwarded packets, or bridged ones; it came before us and shall stay as it is."""

    open: Callable[[], object] = field(default=lambda: None)
    """Let what was forwarded by address translation pass, by hand, where the owner says that others may."""
    dropped: Callable[[], int] = field(default=lambda: 0)
    """How many packets it has dropped so far, by its own counters."""
    drops: bool = True
    """Whether it drops forwarded packets until it is opened."""
    bridged: bool = False
    """Whether packets between two ports of the bridge pass the rules too."""


def none(_box: Box) -> Foreign:
    """Nobody else is here."""
    return Foreign(drops=False)


# ---- Docker

_DOCKER = """*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:DOCKER -
:DOCKER-BRIDGE -
:DOCKER-CT -
:DOCKER-FORWARD -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:DOCKER -
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d {loopback} -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s {containers} ! -o docker0 -j MASQUERADE
COMMIT
"""
"""What Docker leaves in a machine with its default network and no container: a policy that drops what it does not know."""
_OF_VERSION = {
    "iptables": {"loopback": "127.0.0.0/8", "containers": "172.17.0.0/16"},
    "ip6tables": {"loopback": "::1/128", "containers": "fd17::/64"},
}


def docker_nft(box: Box) -> Foreign:
    """Docker's rules, in the tables of iptables-nft."""
    return _docker(box, "nft")


def docker_legacy(box: Box) -> Foreign:
    """Docker's rules, in the tables that came before nftables."""
    return _docker(box, "legacy")


def _docker(box: Box, kind: str) -> Foreign:
    tools = [f"{name}-{kind}" for name in _OF_VERSION]
    for tool, words in zip(tools, _OF_VERSION.values(), strict=True):
        if not shutil.which(f"{tool}-restore"):
            pytest.skip(f"{tool} is not installed")
        box.tool(f"{tool}-restore", stdin=_DOCKER.format(**words))

    def open_it() -> None:
        for tool in tools:
            box.tool(tool, "-I", "DOCKER-USER", "-m", "conntrack", "--ctstate", "DNAT", "-j", "ACCEPT")

    def dropped() -> int:
        heads = [box.tool(tool, "-nvxL", "FORWARD").splitlines()[0] for tool in tools]
        return sum(int(number) for head in heads for number in re.findall(r"policy DROP (\d+) packets", head))

    return Foreign(open_it, dropped)


# ---- nftables


def administrator(box: Box) -> Foreign:
    """One table for both IP versions that lets nothing through, written by hand, with a place for exceptions."""
    box.nft(
        "table inet filter {\n"
        "chain exceptions {\n}\n"
        "chain forward {\n"
        "type filter hook forward priority filter; policy drop;\n"
        "ct state established,related accept\n"
        "jump exceptions\n"
        "counter\n"
        "}\n}\n"
    )
    return Foreign(
        lambda: box.nft("add rule inet filter exceptions ct status dnat accept"),
        lambda: _counted(box.tool("nft", "list", "chain", "inet", "filter", "forward")),
    )


def owned(box: Box) -> Foreign:
    """A table that belongs to a running program, as firewalld can have it: nobody else may change it."""
    say = _interactive(box)
    table, chain = "inet firewalld", "filter_FORWARD"
    say(
        f"add table {table} {{ flags owner ; }}",
        f"add chain {table} allowed",
        f"add chain {table} {chain} {{ type filter hook forward priority filter + 10 ; policy drop ; }}",
        f"add rule {table} {chain} ct state established,related accept",
        f"add rule {table} {chain} jump allowed",
        f"add rule {table} {chain} counter",
    )
    shown = functools.partial(box.tool, "nft", "list", "ruleset")
    box.until(lambda: "counter packets" in shown(), what="the owner's table is complete")
    with pytest.raises(AssertionError, match="not permitted"):
        box.nft(f"add rule {table} allowed accept")

    def open_it() -> None:
        say(f"add rule {table} allowed ct status dnat accept")
        box.until(lambda: "ct status dnat accept" in shown(), what="the owner's exception")

    return Foreign(open_it, lambda: _counted(box.tool("nft", "list", "chain", *table.split(), chain)))


def _interactive(box: Box) -> Callable[..., None]:
    """Start an nft(8) that runs until the box closes, and owns what it makes so; gives what to say commands to it with."""
    Path(PIPE).unlink(missing_ok=True)
    os.mkfifo(PIPE)
    # Opened for both directions, so that it does not end when who wrote closes the pipe.
    box.process(None, "sh", "-c", f"exec nft -i <>{PIPE} >/dev/null")

    def say(*commands: str) -> None:
        Path(PIPE).write_text("".join(f"{line}\n" for line in commands), encoding="ascii")

    return say


def _counted(rules: str) -> int:
    return sum(int(number) for number in re.findall(r"counter packets (\d+)", rules))


# ---- bridged packets pass the rules


def bridge_filter(box: Box) -> Foreign:
    """All bridges hand their packets to the rules: br_netfilter as it comes, and as this kernel does in fresh namespaces."""
    for name in BRIDGE_FILTER.values():
        box.sysctl(name, "1")
    return Foreign(drops=False, bridged=True)


def this_bridge_filter(box: Box) -> Foreign:
    """The lab's bridge alone does."""
    box.ip(f"link set {BRIDGE} type bridge nf_call_iptables 1 nf_call_ip6tables 1")
    return Foreign(drops=False, bridged=True)


def bridge_filter_and_docker(box: Box) -> Foreign:
    """The usual machine with Docker: it loads br_netfilter."""
    bridge_filter(box)
    return replace(docker_nft(box), bridged=True)


CONDITIONS: dict[str, Callable[[Box], Foreign]] = {
    "none": none,
    "docker-nft": docker_nft,
    "docker-legacy": docker_legacy,
    "administrator": administrator,
    "owned": owned,
    "br_netfilter": bridge_filter,
    "nf_call_iptables": this_bridge_filter,
    "br_netfilter+docker": bridge_filter_and_docker,
}


def foreign_rules(box: Box) -> str:
    """The rules of everybody but us, with all backends, less what their counters counted."""
    lines = box.tool("nft", "-s", "list", "ruleset").splitlines()
    # What iptables made has a warning before it.
    tables = "\n".join(line for line in lines if not line.startswith("#")).split("\ntable ")
    shown = [text for text in tables if text and not text.removeprefix("table ").startswith("inet patchbay ")]
    tools = [f"{name}-legacy" for name in _OF_VERSION if shutil.which(f"{name}-legacy")]
    for tool, file in zip(tools, ("ip_tables_names", "ip6_tables_names"), strict=False):
        # Only what is there: to ask the tool for a table makes it.
        for table in sorted(Path("/proc/thread-self/net", file).read_text().split()):
            shown.append(box.tool(tool, "-t", table, "-S"))
    return "\n".join(shown)
