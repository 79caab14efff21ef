# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hypothesis draws from for nftables: any rule that there are words for, and any bytes that look like attributes."""

from __future__ import annotations

import ipaddress
import struct
import typing as t

from ansible_collections.patchbay.netns.plugins.module_utils._kernel.attributes import attribute
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import (
    CHAINS,
    FIELDS,
    Dnat,
    DnatBy,
    Drop,
    Masquerade,
    Member,
    Ports,
    Rule,
)
from hypothesis import strategies as st

names = st.text(alphabet="abc019.-_é", min_size=1, max_size=15).filter(lambda text: len(text.encode()) <= 15)
ports = st.builds(lambda one, two: Ports(min(one, two), max(one, two)), st.integers(1, 65535), st.integers(1, 65535))
keys = st.sets(st.sampled_from(list(FIELDS)), min_size=1).map(
    lambda some: tuple(each for each in FIELDS if each in some)
)


@st.composite
def networks(draw: t.Any, version: int) -> t.Any:
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    bits = 32 if version == 4 else 128
    number, length = draw(st.integers(0, 2**bits - 1)), draw(st.integers(1, bits))
    return ipaddress.ip_network((kind(number), length), strict=False)


@st.composite
def rules(draw: t.Any) -> Rule:
    """Any rule that there are words for; whether a map tells ports is in its name."""
    version = draw(st.sampled_from([4, 6]))
    some = networks(version)
    protocol = draw(st.none() | st.sampled_from(["tcp", "udp", "sctp"]))
    looked_up = keys if protocol else keys.map(lambda key: tuple(each for each in key if each != "dport") or ("saddr",))
    target = st.builds(Dnat, some.map(lambda network: network.network_address), st.none() | st.integers(1, 65535))
    by_map = st.builds(lambda key, told: DnatBy(f"m-{told}", key, version, told), looked_up, st.booleans())
    masquerade = st.builds(Masquerade, st.none() | ports, st.booleans())
    verdict = draw(st.one_of(st.just(Drop()), masquerade, target, by_map))
    member = None if isinstance(verdict, DnatBy) else draw(st.none() | st.builds(Member, st.just("s"), looked_up))
    return Rule(
        draw(st.sampled_from(list(CHAINS))),
        verdict,
        family=version,
        in_interface=draw(st.none() | names),
        out_interface=draw(st.none() | names),
        not_in_interface=draw(st.none() | names),
        source=draw(st.none() | some),
        destination=draw(st.none() | some),
        not_destinations=tuple(draw(st.lists(some, max_size=3))),
        local_destination=draw(st.booleans()),
        protocol=protocol,
        ports=draw(st.none() | ports) if protocol else None,
        translated=draw(st.booleans()),
        member=member,
    )


_kinds = st.integers(0, 20) | st.sampled_from([0x8001, 0x8002, 0x800A, 0xFFFF])
_leaves = st.integers(0, 300).map(lambda number: struct.pack(">I", number)) | st.binary(max_size=20).filter(
    lambda data: len(data) != 4
)
attributes = st.recursive(
    _leaves,
    lambda inner: st.lists(st.tuples(_kinds, inner), max_size=4).map(
        lambda found: b"".join(attribute(kind, data) for kind, data in found)
    ),
    max_leaves=12,
)
"""Bytes that are mostly attributes within attributes, with numbers such as occur."""
