# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module kernel_info says what other tools find too, and leaves no trace."""

from __future__ import annotations

import os

import pytest
from box import Box
from doors import Failed

_NAT = """
table inet try {{
 chain pre {{
  type nat hook prerouting priority -100
  tcp dport 80 dnat {family} to {target}
 }}
 chain post {{
  type nat hook postrouting priority 100
  {family} saddr {target} masquerade
 }}
}}
"""
_INTERVALS = """
add table inet try
add map inet try wide { type ipv4_addr . inet_service : ipv4_addr; flags interval; counter; }
add element inet try wide { 192.0.2.0/24 . 80-90 : 192.0.2.1 }
"""


def works(box: Box, *command: str, stdin: str = "") -> bool:
    """Whether another tool can do it."""
    try:
        box.tool(*command, stdin=stdin)
    except AssertionError:
        return False
    return True


@pytest.mark.smoke
def test_findings_agree_with_other_tools(box: Box) -> None:
    features = box.run("kernel_info").raw["features"]
    found = {name: finding["available"] for name, finding in features.items()}
    others = {
        "netns": works(box, "ip", "netns", "add", "try"),
        "ipv6": works(box, "ip", "addr", "add", "fd00::1/128", "dev", "lo"),
        "veth": works(box, "ip", "link", "add", "cable", "type", "veth"),
        "bridge": works(box, "ip", "link", "add", "switch", "type", "bridge"),
        "vlan_filtering": works(box, "ip", "link", "set", "switch", "type", "bridge", "vlan_filtering", "1"),
        "vlan": works(box, "ip", "link", "add", "vlan5", "link", "switch", "type", "vlan", "id", "5"),
        "vxlan": works(box, "ip", "link", "add", "vx5", "type", "vxlan", "id", "5", "dstport", "4789"),
        "macvlan": works(box, "ip", "link", "add", "mac5", "link", "cable", "type", "macvlan"),
        "vrf": works(box, "ip", "link", "add", "vrf5", "type", "vrf", "table", "5"),
        "dummy": works(box, "ip", "link", "add", "dummy5", "type", "dummy"),
        "netem": works(box, "tc", "qdisc", "add", "dev", "lo", "root", "netem"),
        "nat_ipv4": works(box, "nft", "-f", "-", stdin=_NAT.format(family="ip", target="192.0.2.1")),
        "intervals": works(box, "nft", "-f", "-", stdin=_INTERVALS),
        "nat_ipv6": works(box, "nft", "-f", "-", stdin=_NAT.format(family="ip6", target="2001:db8::1")),
    }
    assert {name: found[name] for name in others} == others
    assert set(found) - set(others) == {"fib", "ct", "sctp"}


def test_what_is_missing_is_named_with_its_kernel_option_and_what_is_there_needs_no_words(box: Box) -> None:
    for name, finding in box.run("kernel_info").raw["features"].items():
        if finding["available"]:
            assert finding["reason"] == ""
        else:
            assert finding["reason"].startswith("needs CONFIG_"), name
            assert "\n" not in finding["reason"]


def test_nothing_is_left_behind_and_check_mode_is_the_same(box: Box) -> None:
    before = box.snapshot()
    result = box.run("kernel_info")
    assert not result.changed
    assert box.run("kernel_info", check=True).raw == result.raw
    assert box.snapshot() == before


@pytest.mark.parametrize("value", ["0", "1"])
def test_bridge_netfilter_is_that_of_the_namespace_it_runs_in(box: Box, value: str) -> None:
    try:
        box.sysctl("net.bridge.bridge-nf-call-iptables", value)
    except FileNotFoundError:
        assert box.run("kernel_info").raw["bridge_netfilter"] is False
    else:
        assert box.run("kernel_info").raw["bridge_netfilter"] is (value == "1")


def test_version_of_pyroute2(box: Box) -> None:
    import pyroute2

    assert box.run("kernel_info").raw["pyroute2"] == pyroute2.__version__


def test_without_root_it_says_so(box: Box) -> None:
    def as_nobody() -> str:
        os.setresuid(65534, 65534, 65534)
        with pytest.raises(Failed) as failure:
            box.run("kernel_info")
        return failure.value.msg

    assert box.parallel([as_nobody])[0].endswith("This needs root: set become: true.")
