# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change of a running lab touches what it is about: between all others not one packet is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from box import Box
from lab_compare import differences
from lab_flood import Flood
from lab_scenes import Lab, changed

LAB: Lab = {
    "name": "busy",
    "bridges": {
        "v-net-0": {"addresses": ["192.168.15.254/24", "fd15::fe/64"]},
        "v-net-1": {"addresses": "10.7.0.254/24"},
    },
    "namespaces": {
        "red": {
            "interfaces": {
                "veth-red": {"bridge": "v-net-0", "addresses": ["192.168.15.1/24", "fd15::1/64"]},
                "eth1": {"cable": "blue/eth1", "addresses": "10.0.0.1/30"},
            },
            "gateway": "192.168.15.254",
        },
        "blue": {
            "interfaces": {
                "veth-blue": {"bridge": "v-net-0", "addresses": ["192.168.15.2/24", "fd15::2/64"]},
                "eth1": {"addresses": "10.0.0.2/30"},
            }
        },
        "green": {
            "interfaces": {"veth-green": {"bridge": "v-net-0", "addresses": ["192.168.15.3/24", "fd15::3/64"]}},
            "gateway": "192.168.15.254",
        },
    },
}


def green(**options: Any) -> Callable[[Lab], None]:
    """A change of green's cable."""

    def change(lab: Lab) -> None:
        lab["namespaces"]["green"]["interfaces"]["veth-green"].update(options)

    return change


def rename(lab: Lab) -> None:
    interfaces = lab["namespaces"]["green"]["interfaces"]
    interfaces["another"] = interfaces.pop("veth-green")


def cut_off(**options: Any) -> Callable[[Lab], None]:
    """A change of green's cable after which its gateway can't be reached."""

    def change(lab: Lab) -> None:
        green(**options)(lab)
        del lab["namespaces"]["green"]["gateway"]

    return change


EDITS: dict[str, Callable[[Lab], Any]] = {
    "an address more": green(addresses=["192.168.15.3/24", "192.168.15.4/24", "fd15::3/64"]),
    "another address": green(addresses=["192.168.15.44/24", "fd15::44/64"]),
    "a smaller MTU": green(mtu=1400),
    "a larger MTU": green(mtu=9000),
    "another MAC address": green(mac="02:00:00:00:00:33"),
    "down": cut_off(up=False),
    "hairpin": green(hairpin=True),
    "another bridge": cut_off(bridge="v-net-1", addresses="10.7.0.3/24"),
    "another name of the port": green(port="port-of-green"),
    "another name": rename,
    "a route": lambda lab: lab["namespaces"]["green"].update(
        routes=[{"destination": "10.9.0.0/16", "gateway": "192.168.15.254"}]
    ),
    "no gateway": lambda lab: lab["namespaces"]["green"].pop("gateway"),
    "a sysctl": lambda lab: lab["namespaces"]["green"].update(sysctls={"net.ipv4.ip_forward": 1}),
    "no namespace": lambda lab: lab["namespaces"].pop("green"),
    "a namespace more": lambda lab: lab["namespaces"].update(
        grey={"interfaces": {"eth0": {"bridge": "v-net-0", "addresses": "auto"}}}
    ),
    "twenty namespaces more": lambda lab: lab["namespaces"].update(
        {"n{n}": {"count": 20, "interfaces": {"eth0": {"bridge": "v-net-0", "addresses": "auto"}}}}
    ),
    "a cable more, to one that talks": lambda lab: lab["namespaces"]["green"]["interfaces"].update(
        eth7={"cable": "red/eth7", "addresses": "10.7.7.1/30"}
    ),
    "a bridge more": lambda lab: lab["bridges"].update({"v-net-2": {"addresses": "10.8.0.1/24"}}),
    "no other bridge": lambda lab: lab["bridges"].pop("v-net-1"),
    "an address more on the bridge": lambda lab: lab["bridges"]["v-net-0"].update(
        addresses=["192.168.15.254/24", "192.168.15.253/24", "fd15::fe/64"]
    ),
    "another ageing time of the bridge": lambda lab: lab["bridges"]["v-net-0"].update(ageing_time=30),
    "a masquerade": lambda lab: lab.update(masquerade=[{"source": "10.7.0.0/24"}]),
    "a forward": lambda lab: lab.update(forwards=[{"protocol": "tcp", "port": 80, "to": "green"}]),
    "a masquerade inside": lambda lab: lab["namespaces"]["green"].update(masquerade=[{"source": "10.9.0.0/24"}]),
}


@pytest.mark.parametrize("share", range(2))
def test_no_packet_between_others_is_lost_while_a_lab_is_edited(box: Box, share: int) -> None:
    """Each edit is made and taken back, while red and blue talk over the bridge and over a cable."""
    assert len(EDITS) >= 20
    box.run("topology", definition=LAB)
    floods = [Flood("red", "blue", address) for address in ("192.168.15.2", "fd15::2", "10.0.0.2")]
    try:
        for name in list(EDITS)[share::2]:
            edited = changed(LAB, EDITS[name])
            assert box.run("topology", definition=edited).changed, name
            found = differences(edited)
            assert found == [], f"{name}: {found}"
            # A MAC address that the file no longer names may stay.
            assert box.run("topology", definition=LAB).changed or name == "another MAC address", name
    finally:
        reports = [flood.stop() for flood in floods]
    assert differences(LAB) == []
    for report in reports:
        assert report.pings > 200
        assert report.numbers > 10000
        assert (report.lost, report.missing, report.resent) == (0, 0, 0), report


def test_the_flood_notices_a_cable_that_was_out_for_a_moment(box: Box) -> None:
    box.run("topology", definition=LAB)
    flood = Flood("red", "blue", "10.0.0.2")
    box.ip("-n blue link set eth1 down")
    box.until(lambda: box.ping("red", "10.0.0.2", timeout=0.05).outcome == "timeout")
    box.ip("-n blue link set eth1 up")
    report = flood.stop()
    assert report.lost > 0
