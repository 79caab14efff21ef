# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checksums behind address translation, as the receiver's cable has them, and the offloading of interfaces, which is left as it is.

Where a virtual cable carries what its own kernel sends, the checksum may be left for a network card to finish: the field
holds the sum of the pseudo header then, and the kernel says so of the packet. Translation has to mend either kind.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import ipaddress
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import packets
import pytest
import world
from box import EXT, UPLINK, Box
from paths import BRIDGE, Street
from scenery import BLUE, OUTSIDE, OWN, protocols, versions

_NUMBERS = {"tcp": 6, "udp": 17}
_FIELD = {6: 16, 17: 6}
"""Where the checksum is in the header."""
_SOL_PACKET, _AUXDATA = 263, 8  # linux/socket.h, linux/if_packet.h
_UNFINISHED = 8  # TP_STATUS_CSUMNOTREADY, linux/if_packet.h
_ETHTOOL = 0x8946  # SIOCETHTOOL, linux/sockios.h
_GET_FEATURES, _GET_TX_CHECKSUM, _SET_TX_CHECKSUM = 0x3A, 0x16, 0x17  # linux/ethtool.h
_BLOCKS = 4


@pytest.fixture
def street(box: Box) -> Iterator[Street]:
    """Two networks outside, HOST, red and blue."""
    made = Street(box)
    yield made
    made.close()


class Seen(NamedTuple):
    """A TCP or UDP packet on a cable."""

    source: str
    destination: str
    number: int
    body: bytes
    unfinished: bool
    """Whether the kernel says that a network card would finish the checksum."""

    @property
    def pseudo(self) -> bytes:
        """The pseudo header (RFC 9293, 3.1; RFC 8200, 8.1)."""
        ends = b"".join(ipaddress.ip_address(text).packed for text in (self.source, self.destination))
        return ends + struct.pack("!II", len(self.body), self.number)

    @property
    def is_right(self) -> bool:
        """Whether the checksum is, or is as it has to be for a card to finish it."""
        if not self.unfinished:
            return packets.checksum(self.pseudo + self.body) == 0
        at = _FIELD[self.number]
        return self.body[at : at + 2] == struct.pack("!H", packets.checksum(self.pseudo) ^ 0xFFFF)


@contextlib.contextmanager
def watched(netns: str, device: str) -> Iterator[list[Seen]]:
    """Everything of TCP and UDP that comes in through the interface, once the block has ended."""
    found: list[Seen] = []
    with world.inside(netns, socket.socket, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as sock:
        sock.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        sock.bind((device, 3))
        yield found
        deadline = time.monotonic() + 0.05  # what arrived is in the queue by now
        while select.select([sock], [], [], max(0.0, deadline - time.monotonic()))[0]:
            data, extra, _flags, where = sock.recvmsg(65535, 256)
            (status,) = (struct.unpack_from("=I", value)[0] for _level, kind, value in extra if kind == _AUXDATA)
            seen = understood(data, bool(status & _UNFINISHED))
            if seen is not None and where[2] != socket.PACKET_OUTGOING:
                found.append(seen)


def understood(data: bytes, unfinished: bool) -> Seen | None:
    """None when it is neither TCP nor UDP."""
    version = data[0] >> 4
    number, ends, head = (data[9], data[12:20], (data[0] & 15) * 4) if version == 4 else (data[6], data[8:40], 40)
    length = int.from_bytes(data[2:4], "big") if version == 4 else 40 + int.from_bytes(data[4:6], "big")
    if version not in (4, 6) or number not in _FIELD:
        return None
    half = len(ends) // 2
    source, destination = (str(ipaddress.ip_address(part)) for part in (ends[:half], ends[half:]))
    return Seen(source, destination, number, data[head:length], unfinished)


def ethtool(netns: str | None, device: str, request: bytes) -> bytes:
    """Ask the kernel as ethtool(8) does, which needs not be installed."""
    buffer = array.array("B", request)
    with packets.open_socket(netns, socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _ETHTOOL, struct.pack("16sP", device.encode(), buffer.buffer_info()[0]))
    return buffer.tobytes()


def features(box: Box) -> dict[tuple[str | None, str], bytes]:
    """What every interface offloads."""
    request = struct.pack("=II", _GET_FEATURES, _BLOCKS) + bytes(16 * _BLOCKS)
    return {
        (netns, link["ifname"]): ethtool(netns, link["ifname"], request)
        for netns in (None, *box.names())
        for link in box.ip("link show", json=True, netns=netns)
    }


def checksums_in_software(netns: str, device: str) -> None:
    """The sender finishes its checksums itself."""
    ethtool(netns, device, struct.pack("=II", _SET_TX_CHECKSUM, 0))
    assert ethtool(netns, device, struct.pack("=II", _GET_TX_CHECKSUM, 0))[4:] == bytes(4)


@versions
@protocols
@pytest.mark.parametrize("offload", ["as it is", "off"])
def test_row_45_checksums_are_right_behind_a_forward(street: Street, version: int, protocol: str, offload: str) -> None:
    """On blue's cable and, for the answers, on the client's. Without offloading it is the whole sum that translation mends."""
    box = street.box
    if offload == "off":
        checksums_in_software(EXT, UPLINK)
        checksums_in_software("blue", "veth-blue")
    server = box.serve("blue", 8080, protocol)
    box.run("dnat_forward", protocol=protocol, port="80", to_port="8080", to_address=[BLUE[version]])
    with watched("blue", "veth-blue") as asked, watched(EXT, UPLINK) as answered:
        answer = getattr(box, protocol)(EXT, OWN[version], 80)
        assert answer.token == server.token
    asked = [seen for seen in asked if seen.number == _NUMBERS[protocol]]
    answered = [seen for seen in answered if seen.number == _NUMBERS[protocol]]
    assert {(seen.source, seen.destination) for seen in asked} == {(OUTSIDE[version], BLUE[version])}
    assert {(seen.source, seen.destination) for seen in answered} == {(OWN[version], OUTSIDE[version])}
    if offload == "off":
        assert not [seen for seen in (*asked, *answered) if seen.unfinished]
    assert not [seen for seen in (*asked, *answered) if not seen.is_right]


@versions
def test_row_45_checksums_are_right_behind_a_masquerade_of_the_hairpin(street: Street, version: int) -> None:
    """Both addresses of a packet are new."""
    box = street.box
    checksums_in_software("red", "veth-red")
    server = box.serve("blue", 80)
    box.run("dnat_forward", protocol="tcp", port="80", to_address=[BLUE[version]])
    with watched("blue", "veth-blue") as asked:
        assert box.tcp("red", OWN[version], 80).token == server.token
    found = [seen for seen in asked if seen.number == _NUMBERS["tcp"]]
    assert found
    assert not [seen for seen in found if seen.unfinished or not seen.is_right]


@versions
def test_row_45_no_interface_offloads_more_or_less_than_before(street: Street, version: int) -> None:
    box = street.box
    before = features(box)
    assert (None, BRIDGE) in before
    options: dict[str, Any] = {"protocol": "udp", "port": "80", "to_address": [BLUE[version]]}
    for state in ("present", "absent"):
        box.run("dnat_forward", **options, state=state)
        box.run("nat_masquerade", source="192.168.15.0/24" if version == 4 else "fd00:15::/64", state=state)
        assert features(box) == before


def test_a_wrong_checksum_is_seen_as_one(street: Street) -> None:
    """The measure itself."""
    street.box.serve("blue", 80, "udp")
    with watched("blue", "veth-blue") as found:
        assert street.box.udp(None, BLUE[4], 80)
    (seen,) = [seen for seen in found if seen.number == _NUMBERS["udp"]]
    assert seen.is_right
    assert not seen._replace(source="10.0.0.1").is_right
    assert not seen._replace(unfinished=not seen.unfinished).is_right


def test_a_changed_feature_is_seen(street: Street) -> None:
    before = features(street.box)
    checksums_in_software("blue", "veth-blue")
    after = features(street.box)
    assert {place for place in before if before[place] != after[place]} == {("blue", "veth-blue")}
