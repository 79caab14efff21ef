# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A box: one closed test world in which namespaces play the machines.

HOST is the namespace that the test itself is in (netns None): it routes and translates. EXT is an outside machine behind
HOST's uplink. Everything else a test makes itself, with the collection's modules or with tools that do not use our code.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import json as json_codec
import os
import pickle
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import doors
import packets
import world
from packets import Answer, Server

EXT = "ext"
UPLINK = "uplink"
HOST4, EXT4, FAR4 = "203.0.113.1", "203.0.113.9", "8.8.8.8"
HOST6, EXT6, FAR6 = "2001:db8:113::1", "2001:db8:113::9", "2001:4860:4860::8888"

_OUTSIDE = f"""
netns add {EXT}
link add {UPLINK} type veth peer name {UPLINK} netns {EXT}
link set {UPLINK} up
addr add {HOST4}/24 dev {UPLINK}
addr add {HOST6}/64 dev {UPLINK} nodad
"""
_OUTSIDE_EXT = f"""
link set lo up
link set {UPLINK} up
addr add {EXT4}/24 dev {UPLINK}
addr add {EXT6}/64 dev {UPLINK} nodad
addr add {FAR4}/32 dev lo
addr add {FAR6}/128 dev lo nodad
"""
_OUTSIDE_ROUTES = f"""
route add default via {EXT4}
route add ::/0 via {EXT6}
"""
_STARTING_SYSCTLS = {
    # Fresh namespaces take some values from the machine: tests shall not depend on it.
    "net.ipv4.ip_forward": "0",
    "net.ipv6.conf.all.forwarding": "0",
    "net.bridge.bridge-nf-call-iptables": "0",
    "net.bridge.bridge-nf-call-ip6tables": "0",
    "net.bridge.bridge-nf-call-arptables": "0",
}
_PASSING = ("life_time", "_timer", "expires")
"""How names end of what moves in the tools' output although nobody changes it."""


class Box:
    """What a test has in hand. Make it with the fixture ``box``; it cleans up after itself."""

    def __init__(self) -> None:
        self._closing = contextlib.ExitStack()
        self._outside = False
        world.renew()
        self._home = world.here()
        self.ip("link set lo up")
        for name, value in _STARTING_SYSCTLS.items():
            with contextlib.suppress(FileNotFoundError):
                self.sysctl(name, value)

    def close(self) -> None:
        """End servers and processes; the namespaces go with the next box."""
        self._closing.close()
        assert world.here() == self._home, "the test left its namespace"

    # ---- the code under test

    def run(self, module: str, *, check: bool = False, **params: Any) -> doors.Result:
        """Run one of the collection's modules in HOST. Raises doors.Failed."""
        return doors.run(module, params, check=check)

    def checked(self, module: str, **params: Any) -> doors.Result:
        """Run it in check mode, then in earnest, then again: the first must foresee the second, the third changes nothing."""
        expected = self.run(module, check=True, **params)
        result = self.run(module, **params)
        for part in ("changed", "commands", "object", "diff"):
            assert getattr(expected, part) == getattr(result, part), f"check mode foresaw another {part}"
        again = self.run(module, **params)
        assert not again.changed, again.diff
        assert again.commands == []
        assert again.object == result.object
        return result

    # ---- tools that do not use our code

    def tool(self, *command: str, netns: str | None = None, stdin: str = "") -> str:
        """Run a program in a namespace and return what it prints. Raises AssertionError with its complaint."""
        done = world.inside(netns, subprocess.run, command, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}"
        return done.stdout

    def ip(self, arguments: str, *, json: bool = False, netns: str | None = None) -> Any:
        """ip(8), such as ``box.ip("-n red addr show eth0", json=True)``."""
        return _output(self.tool("ip", *(["-j", "-d"] if json else []), *arguments.split(), netns=netns), json)

    def bridge(self, arguments: str, *, json: bool = False, netns: str | None = None) -> Any:
        """bridge(8)."""
        return _output(self.tool("bridge", *(["-j", "-d"] if json else []), *arguments.split(), netns=netns), json)

    def nft(self, script: str, *, netns: str | None = None) -> str:
        """nft(8), fed with a script such as ``list ruleset``."""
        return self.tool("nft", "-f", "-", netns=netns, stdin=script)

    def sysctl(self, name: str, value: str | None = None, *, netns: str | None = None) -> str:
        """Read a setting, or write it."""
        path = Path("/proc/sys", *name.split("."))
        if value is not None:
            world.inside(netns, path.write_text, value, encoding="ascii")
        return world.inside(netns, path.read_text, encoding="ascii").strip()

    def names(self) -> list[str]:
        """The files in /run/netns."""
        folder = Path("/run/netns")
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def link(self, name: str, netns: str | None = None) -> dict[str, Any]:
        """One interface as ip(8) shows it with its addresses; empty when it is not there."""
        found = [link for link in self.ip("addr show", json=True, netns=netns) if link["ifname"] == name]
        return found[0] if found else {}

    def addresses(self, name: str, netns: str | None = None) -> list[str]:
        """The global addresses of an interface, with prefix lengths."""
        info = self.link(name, netns).get("addr_info", [])
        return sorted(f"{entry['local']}/{entry['prefixlen']}" for entry in info if entry["scope"] == "global")

    def routes(self, netns: str | None = None, version: int = 4) -> list[dict[str, Any]]:
        """The routes of all tables but local."""
        found = self.ip(f"-{version} route show table all", json=True, netns=netns)
        return [
            route for route in found if route.get("table") != "local" and not route["dst"].startswith(("fe80", "ff00"))
        ]

    def snapshot(self, netns: str | None = None) -> dict[str, Any]:
        """All that the tools show of a namespace, less what moves by itself: equal means untouched."""
        shown = {
            what: _still(self.ip(what, json=True, netns=netns))
            for what in ("addr show", "-4 route show table all", "-6 route show table all", "rule show", "-6 rule show")
        }
        shown["nft"] = self.tool("nft", "-s", "list", "ruleset", netns=netns)
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.route_localnet"):
            shown[name] = self.sysctl(name, netns=netns)
        shown["netns"] = self.names()
        return shown

    # ---- machines

    def outside(self) -> str:
        """Make EXT: 203.0.113.9 and 8.8.8.8 and their IPv6 twins behind HOST's uplink. It knows no way back to the lab."""
        if not self._outside:
            self._outside = True
            self.tool("ip", "-batch", "-", stdin=_OUTSIDE)
            self.sysctl("net.ipv4.ip_forward", "0", netns=EXT)
            self.tool("ip", "-n", EXT, "-batch", "-", stdin=_OUTSIDE_EXT)
            self.tool("ip", "-batch", "-", stdin=_OUTSIDE_ROUTES)
            self.settle(None, EXT)
        return EXT

    def namespace(self, *names: str) -> None:
        """Make namespaces as somebody else would: with ip(8)."""
        for name in names:
            self.ip(f"netns add {name}")
            self.ip(f"-n {name} link set lo up")

    def wire(self, one: str, two: str) -> None:
        """Make two namespaces with a cable between them: 10.0.0.1 and .2, fd00::1 and ::2. By ip(8) too."""
        self.namespace(one, two)
        self.ip(f"link add cable netns {one} type veth peer name cable netns {two}")
        for netns in (one, two):
            self.ip(f"-n {netns} link set cable up")
        for number, netns in enumerate((one, two), start=1):
            self.ip(f"-n {netns} addr add 10.0.0.{number}/24 dev cable")
            self.ip(f"-n {netns} addr add fd00::{number}/64 dev cable nodad")
        self.settle(one, two)

    def red_and_blue(self, *, ipv6: bool = True) -> None:
        """The lab of the tutorials, made by the modules: red .1 and blue .2 on the bridge v-net-0 (.5)."""
        both = ["192.168.15.{}/24", "fd00:15::{}/64"][: 2 if ipv6 else 1]
        self.run("bridge", name="v-net-0", addresses=[text.format(5) for text in both])
        for name, number in (("red", 1), ("blue", 2)):
            self.run("netns", name=name)
            self.run(
                "veth",
                name=f"veth-{name}-br",
                bridge="v-net-0",
                peer={"name": f"veth-{name}", "netns": name, "addresses": [text.format(number) for text in both]},
            )
            self.run("ip_route_ns", netns=name, destination="default", gateway="192.168.15.5")
            if ipv6:
                self.run("ip_route_ns", netns=name, destination="::/0", gateway="fd00:15::5")

    def settle(self, *namespaces: str | None) -> None:
        """Wait until every IPv6 address that was added with ip(8) can be found by its neighbours.

        The kernel acknowledges an address a moment before it listens for questions about it, and a question that is lost
        is asked again a second later.
        """
        for netns in namespaces:
            for link in self.ip("-6 addr show", json=True, netns=netns):
                for entry in link.get("addr_info", []):
                    if link["ifname"] != "lo" and entry["scope"] == "global":
                        self.until(lambda where=netns, address=entry["local"]: joined(where, address))

    def process(self, netns: str | None, *command: str) -> subprocess.Popen:
        """Start a program that lives in a namespace (``sleep`` unless told). It is ended with the box."""
        running = world.inside(netns, subprocess.Popen, command or ("sleep", "1000"), stdin=subprocess.DEVNULL)
        self._closing.callback(_end, running)
        return running

    def parallel(self, jobs: Iterable[Callable[[], Any]]) -> list[Any]:
        """Run every function in a process of its own, all at once; returns their results, or the exceptions, in order."""
        children = [_fork(job) for job in jobs]
        return [_collect(*child) for child in children]

    # ---- packets

    def ping(self, netns: str | None, to: str, **options: Any) -> Answer:
        """See packets.ping. A probe that is meant to fail should say ``timeout=packets.SHORT``."""
        return packets.ping(netns, to, **options)

    def tcp(self, netns: str | None, to: str, port: int, **options: Any) -> Answer:
        """See packets.tcp."""
        return packets.tcp(netns, to, port, **options)

    def udp(self, netns: str | None, to: str, port: int, **options: Any) -> Answer:
        """See packets.udp."""
        return packets.udp(netns, to, port, **options)

    def serve(self, netns: str | None, port: int = 0, protocol: str = "tcp", address: str = "") -> Server:
        """A server for both IP versions that runs until the box closes; port 0 takes a free one. See packets.Server."""
        server = Server(netns, port, protocol, address)
        self._closing.callback(server.close)
        return server

    def neighbours(self, netns: str | None = None) -> dict[str, str]:
        """The MAC address that a namespace knows for each neighbour."""
        return {
            entry["dst"]: entry["lladdr"]
            for entry in self.ip("neigh show", json=True, netns=netns)
            if "lladdr" in entry
        }

    # ---- waiting

    def until(self, condition: Callable[[], Any], *, timeout: float = 5.0, what: str = "") -> Any:
        """Poll until the condition holds and return its value. Raises AssertionError at the deadline."""
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"not within {timeout} s: {what or condition}"
            time.sleep(0.005)


def joined(netns: str | None, address: str) -> bool:
    """Whether the namespace listens for the neighbour solicitations of its address (RFC 4291, 2.7.1)."""
    group = f"ff0200000000000000000001ff{ipaddress.ip_address(address).packed[-3:].hex()}"
    return group in world.inside(netns, Path("/proc/thread-self/net/igmp6").read_text)


def _output(text: str, json: bool) -> Any:
    return (json_codec.loads(text) if text.strip() else []) if json else text


def _still(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {name: _still(value) for name, value in shown.items() if not name.endswith(_PASSING)}
    return [_still(value) for value in shown] if isinstance(shown, list) else shown


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def _fork(job: Callable[[], Any]) -> tuple[int, int]:
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        return child, read
    status = 1
    try:
        os.close(read)
        try:
            result = job()
        except BaseException as error:
            result = error
        with os.fdopen(write, "wb") as out:
            try:
                out.write(pickle.dumps(result))
            except Exception:  # an answer or exception that can't be pickled still has a text
                out.write(pickle.dumps(RuntimeError(repr(result))))
        status = 0
    finally:
        os._exit(status)


def _collect(child: int, read: int) -> Any:
    with os.fdopen(read, "rb") as answer:
        data = answer.read()
    _pid, status = os.waitpid(child, 0)
    return pickle.loads(data) if data else ChildProcessError(errno.ECHILD, f"the process ended with status {status}")
