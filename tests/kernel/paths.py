# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways through a forward: who connects, by which form of it, with which protocol; and who must not get through.

A ``Case`` is one line of the table. A ``Street`` is the world it is tried in: two networks outside, HOST, and red and blue
on HOST's bridge, all made with ip(8).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sctp
from box import EXT, UPLINK, Box, joined
from packets import SHORT, TIMEOUT, Answer
from scenery import BLUE, GATEWAY, OUTSIDE, OWN, RED

EXT2, UPLINK2 = "ext2", "uplink2"
BRIDGE = "v-net-0"
OWN2 = {4: "198.51.100.1", 6: "2001:db8:51::1"}
OUTSIDE2 = {4: "198.51.100.9", 6: "2001:db8:51::9"}
ALIAS = {4: "203.0.113.2", 6: "2001:db8:113::2"}
ALIAS2 = {4: "198.51.100.2", 6: "2001:db8:51::2"}
LOCALHOST = {4: "127.0.0.1", 6: "::1"}
NOBODY = {4: "192.0.2.0/24", 6: "2001:db8:ffff::/48"}
"""Networks that no client here is in."""
_LENGTH = {4: 24, 6: 64}
_ALL = {4: 32, 6: 128}


@dataclass(frozen=True)
class Who:
    """A client: where it is, what it asks for, and as whom the target sees it."""

    netns: str | None
    own: dict[int, str]
    """Its own addresses."""
    asks: dict[int, str]
    """The addresses of HOST that it connects to."""
    instead: dict[int, str]
    """Others of HOST's addresses that it can connect to."""
    interface: str
    """What it comes in through, or for HOST itself any."""
    seen: dict[int, str]
    stranger: str
    """Who comes in through another interface."""
    excluded: str
    """Who has another address."""
    hidden: bool = False
    """Whether its address is translated, for it would not get an answer otherwise."""
    forwarded: bool = True
    """Whether its packets are what a machine forwards; its own are not."""


CLIENTS = {
    "outside": Who(EXT, OUTSIDE, OWN, ALIAS, UPLINK, OUTSIDE, "second", "second"),
    "second": Who(EXT2, OUTSIDE2, OWN2, ALIAS2, UPLINK2, OUTSIDE2, "outside", "outside"),
    "host": Who(None, OWN, OWN, GATEWAY, UPLINK, OWN, "second", "outside", forwarded=False),
    "localhost": Who(
        None, LOCALHOST, LOCALHOST, LOCALHOST, UPLINK, GATEWAY, "second", "outside", hidden=True, forwarded=False
    ),
    "red": Who("red", RED, OWN, GATEWAY, BRIDGE, GATEWAY, "outside", "blue", hidden=True),
    "blue": Who("blue", BLUE, OWN, GATEWAY, BRIDGE, GATEWAY, "outside", "red", hidden=True),
}


@dataclass(frozen=True)
class Form:
    """A form of a forward. ``options`` says what a task says beside protocol, port and target, for a client and IP versions."""

    port: str
    to_port: str = ""
    asked: int = 0
    """The port that the client asks for; the one there is unless told."""
    served: int = 0
    """The port that blue serves, likewise."""
    not_asked: tuple[int, ...] = ()
    """Ports nearby that lead nowhere."""
    options: Callable[[Who, tuple[int, ...]], dict[str, Any]] = lambda _who, _versions: {}
    twin: str = ""
    """Who or what must not match: stranger, excluded or instead (see Who)."""

    @property
    def ports(self) -> tuple[int, int]:
        """What the client asks for and what blue serves."""
        return self.asked or int(self.port), self.served or self.asked or int(self.port)


def _address(who: Who, versions: tuple[int, ...]) -> dict[str, Any]:
    return {"address": [who.asks[version] for version in versions]}


def _interface(who: Who, _versions: tuple[int, ...]) -> dict[str, Any]:
    return {"in_interface": who.interface}


def _sources(who: Who, versions: tuple[int, ...]) -> dict[str, Any]:
    return {
        "sources": [NOBODY[version] for version in versions]
        + [f"{who.own[version]}/{_ALL[version]}" for version in versions]
    }


def _everything(who: Who, versions: tuple[int, ...]) -> dict[str, Any]:
    return {**_address(who, versions), **_interface(who, versions), **_sources(who, versions)}


FORMS = {
    "single": Form("80", not_asked=(79, 81)),
    "other": Form("8080", "80", served=80, not_asked=(80, 8081)),
    "range": Form("8000-8010", asked=8010, not_asked=(7999, 8011)),
    "shifted": Form("9000-9010", "8000-8010", asked=9003, served=8003, not_asked=(8003, 9011)),
    "address": Form("80", options=_address, twin="instead"),
    "interface": Form("80", options=_interface, twin="stranger"),
    "sources": Form("80", options=_sources, twin="excluded"),
    "range of one address": Form("8000-8010", asked=8000, not_asked=(8011,), options=_address, twin="instead"),
    "range of an interface": Form("8000-8010", asked=8005, options=_interface, twin="stranger"),
    "range for sources": Form("8000-8010", asked=8005, not_asked=(7999,), options=_sources, twin="excluded"),
    "everything": Form("8080", "80", served=80, not_asked=(80,), options=_everything, twin="instead"),
}
PROTOCOLS = ("tcp", "udp", "sctp")
VERSIONS = ((4,), (6,), (4, 6))


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    who: str
    form: str
    protocol: str
    versions: tuple[int, ...]
    firewall: str = "none"

    def __str__(self) -> str:
        family = "both" if len(self.versions) > 1 else f"ipv{self.versions[0]}"
        told = [] if self.firewall == "none" else [self.firewall, self.who]
        return "-".join([*told, family, self.protocol, self.form.replace(" ", "_")])

    @property
    def client(self) -> Who:
        return CLIENTS[self.who]

    @property
    def task(self) -> dict[str, Any]:
        """The options of the task that forwards."""
        form = FORMS[self.form]
        options = {"to_port": form.to_port} if form.to_port else {}
        options.update(form.options(self.client, self.versions) if self.who != "localhost" else {"loopback": True})
        targets = [BLUE[version] for version in self.versions]
        return {"protocol": self.protocol, "port": form.port, "to_address": targets, **options}


def cases(who: str, forms: Iterable[str]) -> list[Case]:
    """Every form with every choice of IP versions; protocols take turns, so that each meets every form and every version."""
    return [
        Case(who, form, PROTOCOLS[(row + column + list(CLIENTS).index(who)) % 3], versions)
        for row, form in enumerate(forms)
        for column, versions in enumerate(VERSIONS)
    ]


def under(firewall: str, lines: str) -> list[Case]:
    """Cases from lines such as ``outside 4 tcp single``; ``46`` stands for both IP versions in one task."""
    found = []
    for line in lines.strip().splitlines():
        who, versions, protocol, form = line.split(maxsplit=3)
        found.append(Case(who, form, protocol, tuple(map(int, versions)), firewall))
    return found


class Probe(NamedTuple):
    """One attempt: who asks which address for which port."""

    who: str
    to: str
    port: int

    def __str__(self) -> str:
        return f"{self.who} asks {self.to} for {self.port}"


def twins(case: Case, version: int) -> list[Probe]:
    """What looks much the same and must not get through."""
    form, client = FORMS[case.form], case.client
    asked = form.ports[0]
    found = [Probe(case.who, client.asks[version], port) for port in form.not_asked]
    if form.twin == "instead":
        found.append(Probe(case.who, client.instead[version], asked))
    elif form.twin:
        other = client.stranger if form.twin == "stranger" else client.excluded
        found.append(Probe(other, CLIENTS[other].asks[version], asked))
    return found


# ---- the world

_HOST = f"""
netns add {EXT}
netns add {EXT2}
netns add red
netns add blue
link add {BRIDGE} type bridge
link set {BRIDGE} up
link add {UPLINK} type veth peer name {UPLINK} netns {EXT}
link add {UPLINK2} type veth peer name {UPLINK} netns {EXT2}
link add veth-red-br master {BRIDGE} type veth peer name veth-red netns red
link add veth-blue-br master {BRIDGE} type veth peer name veth-blue netns blue
""" + "".join(f"link set {name} up\n" for name in (UPLINK, UPLINK2, "veth-red-br", "veth-blue-br"))
_HERE = [(UPLINK, OWN), (UPLINK, ALIAS), (UPLINK2, OWN2), (UPLINK2, ALIAS2), (BRIDGE, GATEWAY)]
_THERE = {EXT: (UPLINK, OUTSIDE), EXT2: (UPLINK, OUTSIDE2), "red": ("veth-red", RED), "blue": ("veth-blue", BLUE)}


def _additions(device: str, addresses: dict[int, str]) -> str:
    words = {4: "", 6: " nodad"}
    if addresses in (ALIAS, ALIAS2):
        words[6] += (
            " preferred_lft 0"  # of two equal addresses the kernel prefers the later one as its source otherwise
        )
    return "".join(
        f"addr add {text}/{_LENGTH[version]} dev {device}{words[version]}\n" for version, text in addresses.items()
    )


class Street:
    """The world of a case, with what is asked of it."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._closing = contextlib.ExitStack()
        box.tool("ip", "-batch", "-", stdin=_HOST + "".join(itertools.starmap(_additions, _HERE)))
        for netns, (device, addresses) in _THERE.items():
            lines = f"link set lo up\nlink set {device} up\n" + _additions(device, addresses)
            if netns in ("red", "blue"):
                lines += "".join(f"route add default via {gateway}\n" for gateway in GATEWAY.values())
            box.tool("ip", "-n", netns, "-batch", "-", stdin=lines)
        self._settle()

    def _settle(self) -> None:
        """Wait until neighbours find each other at once."""
        everybody = [(None, addresses) for _device, addresses in _HERE]
        everybody += [(netns, addresses) for netns, (_device, addresses) in _THERE.items()]
        for netns, addresses in everybody:
            self.box.until(functools.partial(joined, netns, addresses[6]), what=f"{addresses[6]} hears its neighbours")
        for netns, (_device, addresses) in _THERE.items():
            for address in addresses.values():
                assert self.box.ping(None, address), f"{netns} is not connected"

    def serve(self, netns: str, port: int, protocol: str) -> Any:
        """A server, whatever the protocol."""
        if protocol != "sctp":
            return self.box.serve(netns, port, protocol)
        server = sctp.SctpServer(netns, port)
        self._closing.callback(server.close)
        return server

    def close(self) -> None:
        """End what the box does not know of."""
        self._closing.close()

    def ask(self, probe: Probe, protocol: str, *, timeout: float = TIMEOUT) -> Answer:
        """Make an attempt; one that is meant to fail need not wait."""
        function = sctp.probe if protocol == "sctp" else getattr(self.box, protocol)
        return function(CLIENTS[probe.who].netns, probe.to, probe.port, timeout=timeout)

    def refuses(self, probe: Probe, protocol: str) -> bool:
        """Whether the attempt fails."""
        return not self.ask(probe, protocol, timeout=SHORT)


# ---- what nft itself says was counted


@dataclass(frozen=True)
class Counted:
    """The counters in our table, by nft(8)."""

    elements: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Map, key and target of every element."""
    masquerades: int = 0
    """Packets whose source was translated, for they would not get an answer otherwise."""

    def since(self, before: Counted) -> Counted:
        """What was counted in between."""
        return Counted(self.elements - before.elements, self.masquerades - before.masquerades)


def counted(box: Box) -> Counted:
    """Read them; without our table there is nothing to read."""
    try:
        listed = json.loads(box.tool("nft", "-j", "list", "table", "inet", "patchbay"))["nftables"]
    except AssertionError as refusal:
        assert "No such file" in str(refusal)
        return Counted()
    elements: Counter[tuple[str, str, str]] = Counter()
    masquerades = 0
    for entry in listed:
        for key, target in entry.get("map", {}).get("elem", ()):
            place = (entry["map"]["name"], json.dumps(key["elem"]["val"]), json.dumps(target))
            elements[place] = key["elem"]["counter"]["packets"]
        statements = {name: said for part in entry.get("rule", {}).get("expr", ()) for name, said in part.items()}
        if "masquerade" in statements:
            masquerades += statements["counter"]["packets"]
    return Counted(elements, masquerades)
