# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What scripts for address translation get wrong, one row at a time: with the modules, real packets and real processes."""

from __future__ import annotations

import contextlib
import json
import secrets
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


def masquerade(box: Box, version: int, **options: Any) -> Result:
    return box.run("nat_masquerade", source=LAB[version], **options)


def track(box: Box, version: int) -> None:
    """From now on HOST forwards and tracks connections, for something that has nothing to do with the test."""
    box.run("dnat_forward", protocol="tcp", port="9999", to_address=[BLUE[version]])


def know_the_lab(box: Box) -> None:
    """EXT knows the way into the lab, so that what is not translated is answered too."""
    for version in (4, 6):
        box.ip(f"-n {EXT} route add {LAB[version]} via {OWN[version]}")


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
    assert any([box.run(module, **options).changed for module, options in tasks])
    assert sorted(rules(box).split()) == sorted(before.split())
    assert box.tcp(EXT, OWN[version], 80).token == blue.token
    answer = box.tcp("red", OUTSIDE[version], 80)
    assert (answer.token, answer.seen[0]) == (theirs.token, OWN[version])
    assert not any([box.run(module, **options).changed for module, options in tasks])


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


# ---- 20: a stream of datagrams from one port


class Stream:
    """A client that sends from one port to one address, again and again."""

    def __init__(self, netns: str, to: str, port: int = 80) -> None:
        self._socket = packets.open_socket(netns, packets.family(to), socket.SOCK_DGRAM)
        self._socket.settimeout(packets.AT_ONCE)
        self._socket.connect((to, port))

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def next(self) -> tuple[str, str]:
        """Send one more datagram, and give who answers it at once and as whom it saw us; both empty when nobody does."""
        try:
            self._socket.send(secrets.token_bytes(16))
            said = json.loads(self._socket.recv(2048))
        except (TimeoutError, ConnectionRefusedError):
            return "", ""
        return said["token"], said["peer"][0]


@versions
def test_row_20_the_next_datagram_of_a_stream_goes_to_the_new_target(street: Street, version: int) -> None:
    red, blue = (street.box.serve(name, 80, "udp") for name in ("red", "blue"))
    forward(street.box, version, RED)
    with Stream(EXT, OWN[version]) as stream:
        assert stream.next() == (red.token, OUTSIDE[version])
        forward(street.box, version, BLUE)
        assert stream.next() == (blue.token, OUTSIDE[version])
        forward(street.box, version, RED)
        assert stream.next() == (red.token, OUTSIDE[version])


@versions
def test_row_20_a_stream_that_nobody_answered_is_answered_as_soon_as_there_is_a_forward(
    street: Street, version: int
) -> None:
    track(street.box, version)
    blue = street.box.serve("blue", 80, "udp")
    with Stream(EXT, OWN[version]) as stream:
        assert stream.next() == ("", "")
        forward(street.box, version, BLUE)
        assert stream.next() == (blue.token, OUTSIDE[version])
        forward(street.box, version, BLUE, state="absent")
        assert stream.next() == ("", "")


@versions
def test_row_20_the_machines_own_stream_goes_to_the_new_target(street: Street, version: int) -> None:
    red, blue = (street.box.serve(name, 80, "udp") for name in ("red", "blue"))
    forward(street.box, version, RED)
    with Stream(None, OWN[version]) as stream:
        assert stream.next()[0] == red.token
        forward(street.box, version, BLUE)
        assert stream.next()[0] == blue.token


@versions
def test_row_20_a_stream_of_another_port_goes_on(street: Street, version: int) -> None:
    """Not even its entry is another one: what it counted so far is still there."""
    box = street.box
    box.serve("blue", 81, "udp")
    box.run("dnat_forward", protocol="udp", port="81", to_address=[BLUE[version]])
    forward(box, version, RED)
    with Stream(EXT, OWN[version], 81) as stream:
        assert stream.next()[0]
        forward(box, version, BLUE)
        assert stream.next()[0]
    assert [key for key, number in counted(box).elements.items() if number] != []
    assert sum(counted(box).elements.values()) == 1, "the rules were asked once"


@versions
def test_row_20_a_stream_is_masqueraded_from_the_next_datagram_on(street: Street, version: int) -> None:
    box = street.box
    know_the_lab(box)
    track(box, version)
    theirs = box.serve(EXT, 80, "udp")
    with Stream("red", OUTSIDE[version]) as stream:
        assert stream.next() == (theirs.token, RED[version])
        masquerade(box, version)
        assert stream.next() == (theirs.token, OWN[version])
        masquerade(box, version, state="absent")
        assert stream.next() == (theirs.token, RED[version])


# ---- 21: connections that both sides agreed on


@contextlib.contextmanager
def connection(
    client: str, to: str, server: str, address: str, port: int = 80
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection, both ends of it."""
    kind = packets.family(to)
    with contextlib.ExitStack() as closing:
        listener = closing.enter_context(packets.open_socket(server, kind, socket.SOCK_STREAM))
        listener.bind((address, port))
        listener.listen(1)
        one = closing.enter_context(packets.open_socket(client, kind, socket.SOCK_STREAM))
        for end in (listener, one):
            end.settimeout(packets.TIMEOUT)
        one.connect((to, port))
        other = closing.enter_context(listener.accept()[0])
        other.settimeout(packets.TIMEOUT)
        yield one, other


def speaks(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether what one end says arrives at the other."""
    word = secrets.token_bytes(8)
    sender.sendall(word)
    return receiver.recv(100) == word


def is_cut(client: socket.socket, server: socket.socket) -> bool:
    """Whether the client is refused when it speaks next, and the server hears nothing of it."""
    client.sendall(b"still there?")
    server.settimeout(SHORT)
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        return not server.recv(100)
    try:
        return client.recv(100) == b""
    except ConnectionResetError:
        return True


@versions
@pytest.mark.parametrize("change", ["another target", "absent"])
def test_row_21_a_connection_stays_with_its_target(street: Street, version: int, change: str) -> None:
    forward(street.box, version, RED, "tcp")
    with connection(EXT, OWN[version], "red", RED[version]) as (client, server):
        if change == "absent":
            forward(street.box, version, RED, "tcp", state="absent", forwarding=False)
            track(street.box, version)  # which switches forwarding on again, for it was ours
        else:
            forward(street.box, version, BLUE, "tcp")
        assert speaks(client, server)
        assert speaks(server, client)


@versions
@pytest.mark.parametrize("change", ["another target", "absent"])
def test_row_21_a_connection_is_cut_on_demand(street: Street, version: int, change: str) -> None:
    track(street.box, version)
    forward(street.box, version, RED, "tcp")
    with connection(EXT, OWN[version], "red", RED[version]) as (client, server):
        assert speaks(client, server)
        if change == "absent":
            forward(street.box, version, RED, "tcp", state="absent", established="reset")
        else:
            forward(street.box, version, BLUE, "tcp", established="reset")
        assert is_cut(client, server)


@versions
@pytest.mark.parametrize("change", ["present", "absent"])
def test_row_21_a_connection_goes_on_when_its_network_is_masqueraded_or_no_longer(
    street: Street, version: int, change: str
) -> None:
    turn(street.box, version, change)
    with connection("red", OUTSIDE[version], EXT, OUTSIDE[version]) as (client, server):
        masquerade(street.box, version, state=change)
        assert speaks(client, server)
        assert speaks(server, client)
        assert server.getpeername()[0] == (RED if change == "present" else OWN)[version]


@versions
@pytest.mark.parametrize("change", ["present", "absent"])
def test_row_21_a_connection_is_cut_on_demand_when_its_network_is_masqueraded_or_no_longer(
    street: Street, version: int, change: str
) -> None:
    turn(street.box, version, change)
    with connection("red", OUTSIDE[version], EXT, OUTSIDE[version]) as (client, server):
        assert speaks(client, server)
        masquerade(street.box, version, state=change, established="reset")
        assert is_cut(client, server)


def turn(box: Box, version: int, change: str) -> None:
    """All is as it is before the masquerade is to be there, or to go."""
    know_the_lab(box)
    track(box, version)
    if change == "absent":
        masquerade(box, version)


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
