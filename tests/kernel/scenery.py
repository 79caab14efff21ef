# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab of the kernel tests: its addresses, and what tests of it share."""

from __future__ import annotations

from typing import Any

import pytest
from box import EXT4, EXT6, HOST4, HOST6, Box

LAB = {4: "192.168.15.0/24", 6: "fd00:15::/64"}
RED = {4: "192.168.15.1", 6: "fd00:15::1"}
BLUE = {4: "192.168.15.2", 6: "fd00:15::2"}
GATEWAY = {4: "192.168.15.5", 6: "fd00:15::5"}
OUTSIDE = {4: EXT4, 6: EXT6}
OWN = {4: HOST4, 6: HOST6}
FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
BRIDGE_FILTER = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}
LOCALNET = "net.ipv4.conf.v-net-0.route_localnet"

versions = pytest.mark.parametrize("version", [4, 6])
protocols = pytest.mark.parametrize("protocol", ["tcp", "udp"])
filters = pytest.mark.parametrize("filtered", [False, True], ids=["routed", "br_netfilter"])


def rules(box: Box) -> str:
    """All rules in HOST, less what their counters counted."""
    return box.tool("nft", "-s", "list", "ruleset")


def forward(box: Box, version: int = 4, *, port: Any = 80, **params: Any) -> Any:
    """Forward a port of HOST to blue, tested in check mode and for idempotence."""
    return box.checked("dnat_forward", **{"protocol": "tcp", "port": port, "to_address": BLUE[version], **params})


def filter_bridges(box: Box, version: int) -> None:
    """Let bridged packets pass the rules, as this kernel does in fresh namespaces."""
    box.sysctl(BRIDGE_FILTER[version], "1")
