# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Streams and connections that are there while translation changes: what a task does to them, and what it leaves alone."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import packets
import pytest
from box import EXT, Box
from doors import Result
from packets import SHORT
from paths import Street, counted
from scenery import BLUE, LAB, OUTSIDE, OWN, RED, versions


@pytest.fixture
def street(box: Box) -> Iterator[Street]:
    """Two networks outside, HOST, red and blue."""
    made = Street(box)
    yield made
    made.close()


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
    """It is not begun anew: the rules are asked about its first datagram alone."""
    box = street.box
    box.serve("blue", 81, "udp")
    box.run("dnat_forward", protocol="udp", port="81", to_address=[BLUE[version]])
    forward(box, version, RED)
    with Stream(EXT, OWN[version], 81) as stream:
        assert stream.next()[0]
        forward(box, version, BLUE)
        assert stream.next()[0]
    assert sum(counted(box).elements.values()) == 1


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
    track(street.box, version)
    forward(street.box, version, RED, "tcp")
    with connection(EXT, OWN[version], "red", RED[version]) as (client, server):
        if change == "absent":
            forward(street.box, version, RED, "tcp", state="absent")
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
