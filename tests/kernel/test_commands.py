# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The printed commands do the same: a shell that runs what check mode prints leaves nothing for the module to do."""

from __future__ import annotations

from typing import Any

import pytest
from box import Box

BOTH = {"addresses": ["192.168.15.1/24", "fd00:15::1/64"]}

LESSONS: dict[str, tuple[str, dict[str, Any]]] = {
    "a namespace": ("netns", {"name": "green", "sysctls": {"net.ipv4.ip_forward": "1"}, "nameservers": ["192.0.2.53"]}),
    "a cable into a bridge": (
        "veth",
        {
            "name": "eth9",
            "netns": "red",
            "addresses": ["10.9.0.1/20", "fd09::1/64"],
            "mtu": 1400,
            "peer": {"name": "eth9-br", "bridge": "v-net-0", "hairpin": True},
        },
    ),
    "a cable of the host": (
        "veth",
        {"name": "here", **BOTH, "allow_overlap": True, "peer": {"name": "there", "netns": "red"}},
    ),
    "a cable between namespaces": ("veth", {"name": "one", "netns": "red", "peer": {"name": "two", "netns": "blue"}}),
    "another cable in the place of one": ("veth", {"name": "veth-red", "netns": "red", "peer": {"name": "other"}}),
    "a bridge": (
        "bridge",
        {"name": "br0", "addresses": ["10.9.0.1/20"], "ageing_time": 10.0, "stp": True, "forward_delay": 4.0},
    ),
    "a bridge that changes": (
        "bridge",
        {"name": "v-net-0", "addresses": ["10.9.0.1/20"], "purge_addresses": True, "purge_ports": True, "mtu": 1300},
    ),
    "a route": (
        "ip_route_ns",
        {"netns": "red", "destination": "10.0.0.0/8", "gateway": "192.168.15.5", "metric": 7, "mtu": 1300},
    ),
    "another gateway": ("ip_route_ns", {"netns": "red", "destination": "default", "gateway": "192.168.15.2"}),
    "a route of two ways": (
        "ip_route_ns",
        {
            "destination": "10.0.0.0/8",
            "nexthops": [{"gateway": "192.168.15.1"}, {"gateway": "192.168.15.2", "weight": 3}],
        },
    ),
    "an IPv6 route": (
        "ip_route_ns",
        {"netns": "red", "destination": "fd01::/64", "gateway": "fd00:15::5", "table": "100"},
    ),
    "a dead end": ("ip_route_ns", {"netns": "red", "destination": "10.66.0.0/16", "type": "prohibit"}),
    "an IPv6 dead end": ("ip_route_ns", {"netns": "red", "destination": "fd66::/32", "type": "blackhole"}),
    "a masquerade": ("nat_masquerade", {"source": "192.168.15.0/24", "to_ports": "1024-65535", "random": True}),
    "an IPv6 masquerade": ("nat_masquerade", {"source": "fd00:15::/64", "out_interface": "uplink"}),
    "a forward": ("dnat_forward", {"protocol": "tcp", "port": "80", "to_address": "192.168.15.2", "loopback": True}),
    "a shifted range": (
        "dnat_forward",
        {
            "protocol": "udp",
            "port": "9000-9002",
            "to_address": "fd00:15::2",
            "to_port": "53-55",
            "sources": ["2001:db8:113::/64"],
        },
    ),
    "no namespace": ("netns", {"name": "blue", "state": "absent"}),
    "no cable": ("veth", {"name": "veth-red", "netns": "red", "state": "absent"}),
    "no bridge": ("bridge", {"name": "v-net-0", "state": "absent"}),
    "no route": ("ip_route_ns", {"netns": "red", "destination": "default", "state": "absent"}),
}


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_shell_that_runs_the_printed_commands_leaves_nothing_to_do(box: Box, lesson: str) -> None:
    box.red_and_blue()
    module, params = LESSONS[lesson]
    foreseen = box.run(module, check=True, **params)
    assert foreseen.changed
    for command in foreseen.commands:
        box.tool("sh", "-ec", command)
    done = box.run(module, **params)
    assert done.commands == []
    assert not done.changed
