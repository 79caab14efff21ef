# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What scripts for address translation get wrong, one row at a time: with the modules, real packets and real processes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import packets
import pytest
from box import EXT, Box
from doors import Failed, Result
from packets import SHORT
from paths import ALIAS, BRIDGE, EXT2, OUTSIDE2, OWN2, Street, counted
from scenery import BLUE, FORWARDING, GATEWAY, LAB, OUTSIDE, OWN, RED, protocols, rules, versions

GREEN = {4: "192.168.15.3", 6: "fd00:15::3"}
modules = pytest.mark.parametrize("module", ["dnat_forward", "nat_masquerade"])


@pytest.fixture
def street(box: Box) -> Iterator[Street]:
    """Two networks outside, HOST, red and blue."""
    made = Street(box)
    yield made
    made.close()


def task(module: str, version: int) -> dict[str, Any]:
    """The options of a task that makes HOST translate."""
    if module == "nat_masquerade":
        return {"source": LAB[version]}
    return {"protocol": "tcp", "port": "80", "to_address": [BLUE[version]]}


def forward(box: Box, version: int, target: dict[int, str], protocol: str = "udp", **options: Any) -> Result:
    return box.run("dnat_forward", protocol=protocol, port="80", to_address=[target[version]], **options)


# ---- 10: addresses that are not routed


@pytest.mark.parametrize(("client", "device", "there"), [(EXT, "uplink", "uplink"), ("red", BRIDGE, "veth-red")])
def test_row_10_what_is_sent_to_a_link_local_address_stays_with_the_host(
    street: Street, client: str, device: str, there: str
) -> None:
    """The client's own address is link-local too then, and no router sends that on: it would wait for an answer in vain."""
    box = street.box
    box.ip(f"addr add fe80::1/64 dev {device} nodad")
    box.ip(f"-n {client} addr add fe80::9/64 dev {there} nodad")
    own, blue = box.serve(None, 80, address="::"), box.serve("blue", 80)
    forward(box, 6, BLUE, "tcp", force=True)
    assert box.tcp(client, OWN[6], 80).token == blue.token
    number = box.link(there, client)["ifindex"]
    with packets.open_socket(client, socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.settimeout(SHORT)
        sock.bind(("fe80::9", 0, 0, number))
        sock.connect(("fe80::1", 80, 0, number))
        assert json.loads(sock.recv(2048))["token"] == own.token


# ---- 12: a machine that forwards does so for everybody


def announced(result: Result, version: int) -> list[str]:
    said = f"{FORWARDING[version]} is switched on here: from now on packets are routed between all interfaces"
    return [text for text in result.warnings if text.startswith(said)]


@pytest.fixture
def between(street: Street) -> Any:
    """A server in the second network outside; asks it from the first one, whose way there is through HOST."""
    box, servers = street.box, street.box.serve(EXT2, 80)
    for netns, gateways, networks in (
        (EXT, OWN, {4: "198.51.100.0/24", 6: "2001:db8:51::/64"}),
        (EXT2, OWN2, {4: "203.0.113.0/24", 6: "2001:db8:113::/64"}),
    ):
        for version in (4, 6):
            box.ip(f"-n {netns} route add {networks[version]} via {gateways[version]}")

    def passes(version: int, timeout: float = SHORT) -> bool:
        return box.tcp(EXT, OUTSIDE2[version], 80, timeout=timeout).token == servers.token

    return passes


@versions
@modules
def test_row_12_that_we_make_it_a_router_is_announced(street: Street, between: Any, version: int, module: str) -> None:
    box = street.box
    assert not between(version)
    assert announced(box.run(module, **task(module, version), check=True), version)
    assert not between(version)
    assert len(announced(box.run(module, **task(module, version)), version)) == 1
    assert between(version, packets.TIMEOUT), "the warning is true"
    box.run(module, **task(module, version), state="absent")
    assert not between(version)


@versions
@modules
def test_row_12_a_router_is_nothing_to_announce(street: Street, version: int, module: str) -> None:
    street.box.sysctl(FORWARDING[version], "1")
    result = street.box.run(module, **task(module, version))
    assert result.changed
    assert announced(result, version) == []


@versions
@modules
def test_row_12_a_second_run_announces_nothing(street: Street, version: int, module: str) -> None:
    street.box.run(module, **task(module, version))
    assert announced(street.box.run(module, **task(module, version)), version) == []


@versions
@modules
def test_row_12_forwarding_that_is_to_stay_off_does(street: Street, between: Any, version: int, module: str) -> None:
    """What is translated goes nowhere then, and neither does anything else."""
    box = street.box
    server = box.serve("blue", 80)
    result = box.run(module, **task(module, version), forwarding=False)
    assert result.changed
    assert announced(result, version) == []
    assert box.sysctl(FORWARDING[version]) == "0"
    assert not between(version)
    assert not box.tcp(EXT, OWN[version], 80, timeout=SHORT)
    assert server.peers == []


# ---- 16: somebody empties all tables


@versions
@pytest.mark.parametrize(
    "wiped", ["flush ruleset", "delete table inet patchbay", "flush table inet patchbay"], ids=lambda text: text[:12]
)
def test_row_16_the_next_run_puts_back_what_was_flushed(street: Street, version: int, wiped: str) -> None:
    box = street.box
    blue, theirs = box.serve("blue", 80), box.serve(EXT, 80)
    tasks = [(module, task(module, version)) for module in ("dnat_forward", "nat_masquerade")]
    for module, options in tasks:
        box.run(module, **options)
    before = rules(box)
    box.nft(wiped)
    assert box.tcp(EXT, OWN[version], 80).outcome == "refused"
    assert not box.tcp("red", OUTSIDE[version], 80, timeout=SHORT), "EXT does not know the lab"
    assert True in [box.run(module, **options).changed for module, options in tasks]
    assert sorted(rules(box).split()) == sorted(before.split())
    assert box.tcp(EXT, OWN[version], 80).token == blue.token
    answer = box.tcp("red", OUTSIDE[version], 80)
    assert (answer.token, answer.seen[0]) == (theirs.token, OWN[version])
    assert True not in [box.run(module, **options).changed for module, options in tasks]


# ---- 19: an owner of the port dies without a word


def kill(box: Box, netns: str, *servers: packets.Server) -> None:
    """The processes in the namespace end, and it and its cable with them."""
    for server in servers:
        server.close()
    box.ip(f"netns del {netns}")
    box.until(lambda: not box.link(f"veth-{netns}-br"), what="the kernel has taken the namespace apart")


def add_green(box: Box) -> None:
    """Another machine on the bridge."""
    box.namespace("green")
    box.ip(f"link add veth-green-br master {BRIDGE} type veth peer name eth0 netns green")
    box.ip("link set veth-green-br up")
    box.ip("-n green link set eth0 up")
    for version, length in ((4, 24), (6, 64)):
        quiet = " nodad" if version == 6 else ""
        box.ip(f"-n green addr add {GREEN[version]}/{length} dev eth0{quiet}")
        box.ip(f"-n green route add default via {GATEWAY[version]}")
    box.settle("green")
    for address in GREEN.values():
        assert box.ping(None, address)


@versions
@protocols
def test_row_19_the_new_owner_of_a_port_is_reached_not_the_dead_one(
    street: Street, version: int, protocol: str
) -> None:
    """At once, and by the client that talked to the dead one a moment ago, from the same port."""
    box = street.box
    dead = box.serve("red", 80, protocol)
    forward(box, version, RED, protocol)
    probe = getattr(box, protocol)
    assert probe(EXT, OWN[version], 80, source=OUTSIDE[version], source_port=5000).token == dead.token
    kill(box, "red", dead)
    assert not probe(EXT, OWN[version], 80, timeout=SHORT)
    add_green(box)
    alive = box.serve("green", 80, protocol)
    assert forward(box, version, GREEN, protocol).changed
    port = 5000 if protocol == "udp" else 5001  # TCP's own client waits before it uses a port again
    answer = probe(EXT, OWN[version], 80, source=OUTSIDE[version], source_port=port)
    assert answer.token == alive.token
    assert answer.rtt < packets.AT_ONCE
    assert len(counted(box).elements) == 1, "nothing of the dead one is left"


@versions
def test_row_19_a_dead_owner_that_comes_back_is_reached(lab: Box, version: int) -> None:
    dead = lab.serve("red", 80)
    forward(lab, version, RED, "tcp")
    assert lab.tcp(EXT, OWN[version], 80).token == dead.token
    kill(lab, "red", dead)
    lab.red_and_blue()
    alive = lab.serve("red", 80)
    assert not forward(lab, version, RED, "tcp").changed
    assert lab.tcp(EXT, OWN[version], 80).token == alive.token


# ---- 46: somebody serves the port already

_SERVICE = """
import json, os, socket, sys
kind, family = sys.argv[1:]
sock = socket.socket(getattr(socket, family), socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
sock.bind(("", 80))
if kind == "tcp":
    sock.listen()
answer = json.dumps({"token": str(os.getpid()), "peer": []}).encode()
while True:
    if kind == "tcp":
        client = sock.accept()[0]
        client.sendall(answer)
        client.close()
    else:
        sock.sendto(answer, sock.recvfrom(100)[1])
"""


def service(box: Box, version: int, protocol: str) -> subprocess.Popen:
    """A program of HOST's that serves port 80, as its process id."""
    family = {4: "AF_INET", 6: "AF_INET6"}[version]
    running = box.process(None, sys.executable, "-c", _SERVICE, protocol, family)
    file = Path("/proc/thread-self/net", protocol + ("" if version == 4 else "6"))
    box.until(lambda: ":0050 " in file.read_text(encoding="ascii"), what="it serves port 80")
    return running


@versions
@protocols
def test_row_46_a_port_that_a_process_serves_is_refused_and_the_process_named(
    street: Street, version: int, protocol: str
) -> None:
    box = street.box
    running = service(box, version, protocol)
    for check in (True, False):
        with pytest.raises(Failed, match=rf"\(pid {running.pid}\) listens on {protocol} .*:80.*force: true") as caught:
            forward(box, version, BLUE, protocol, check=check)
        assert caught.value.code == "CONFLICT"
    assert rules(box) == ""
    assert box.sysctl(FORWARDING[version]) == "0"
    assert getattr(box, protocol)(EXT, OWN[version], 80).token == str(running.pid)


@versions
@protocols
def test_row_46_the_port_is_taken_by_force_with_a_warning(street: Street, version: int, protocol: str) -> None:
    box = street.box
    running, blue = service(box, version, protocol), box.serve("blue", 80, protocol)
    probe = getattr(box, protocol)
    result = forward(box, version, BLUE, protocol, force=True)
    assert result.changed
    assert [text for text in result.warnings if f"(pid {running.pid})" in text and "is not reached" in text]
    assert probe(EXT, OWN[version], 80).token == blue.token
    forward(box, version, BLUE, protocol, state="absent")
    assert probe(EXT, OWN[version], 80).token == str(running.pid), "it was there all the time"


@versions
@protocols
def test_row_46_a_process_that_comes_after_the_forward_is_worth_a_warning_only(
    street: Street, version: int, protocol: str
) -> None:
    box = street.box
    blue = box.serve("blue", 80, protocol)
    assert not [text for text in forward(box, version, BLUE, protocol).warnings if "pid" in text]
    running = service(box, version, protocol)
    result = forward(box, version, BLUE, protocol)
    assert not result.changed
    assert [text for text in result.warnings if f"(pid {running.pid})" in text]
    assert getattr(box, protocol)(EXT, OWN[version], 80).token == blue.token


@versions
def test_row_46_a_process_at_another_address_is_in_nobodys_way(street: Street, version: int) -> None:
    box = street.box
    own, blue = box.serve(None, 80, address=ALIAS[version]), box.serve("blue", 80)
    forward(box, version, BLUE, "tcp", address=[OWN[version]])
    assert box.tcp(EXT, ALIAS[version], 80).token == own.token
    assert box.tcp(EXT, OWN[version], 80).token == blue.token
