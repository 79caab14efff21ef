# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody changed by hand in a lab is put right by the next run, which touches nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from box import Box
from doors import Failed
from lab_compare import differences, running
from lab_files import meaning
from lab_scenes import MIXED, bystanders, changed
from lab_traces import steady, traces, whole

DRIFTS = {
    "an address removed": "ip -n red addr del 192.168.15.1/24 dev veth-red",
    "an IPv6 address removed": "ip -n red addr del fd15::1/64 dev veth-red",
    "an address added": "ip -n red addr add 10.5.5.5/24 dev veth-red",
    "an IPv6 address added": "ip -n red addr add fd55::5/64 dev veth-red nodad",
    "another prefix length": "ip -n blue addr del 10.43.0.1/24 dev mv0; ip -n blue addr add 10.43.0.1/16 dev mv0",
    "an address of the bridge removed": "ip addr del 192.168.15.5/24 dev v-net-0",
    "an address added to a bridge": "ip -n sw addr add 10.8.8.8/24 dev br0",
    "an automatic address replaced": "ip -n n1 addr flush dev eth0; ip -n n1 addr add 192.168.16.77/24 dev eth0",
    "a link down": "ip -n red link set veth-red down",
    "a port down": "ip link set veth-blue-br down",
    "a bridge down": "ip link set v-net-0 down",
    "down and up again": "ip -n red link set veth-red down; ip -n red link set veth-red up",
    "the loopback down": "ip -n red link set lo down",
    "a route gone": "ip -n red route del 10.77.0.0/16",
    "a default route gone": "ip -n red -6 route del default",
    "another gateway": "ip -n red route replace default via 192.168.15.2 proto 112",
    "another metric": "ip -n red route del 10.77.0.0/16; ip -n red route add 10.77.0.0/16 via 10.1.0.9 metric 8 proto 112",
    "a route of ours added": "ip -n red route add 10.123.0.0/16 via 10.1.0.9 proto 112",
    "a smaller MTU": "ip -n red link set veth-red mtu 1280",
    "a smaller MTU of a port": "ip link set veth-red-br mtu 1280",
    "a larger MTU of a bridge": "ip link set v-net-0 mtu 2000",
    "an MTU set in the file": "ip -n red link set eth9 mtu 1500",
    "a sysctl": "ip netns exec red sysctl -qw net.ipv4.ip_local_port_range='32768 60999'",
    "forwarding inside off": "ip netns exec blue sysctl -qw net.ipv4.ip_forward=0",
    "forwarding of the host off": "sysctl -qw net.ipv4.ip_forward=0",
    "a port out of the bridge": "ip link set veth-red-br nomaster",
    "a port in another bridge": "ip link set veth-red-br master v-net-1",
    "a port of a bridge inside out": "ip -n sw link set spare nomaster",
    "hairpin off": "bridge link set dev veth-blue-br hairpin off",
    "hairpin on": "bridge link set dev veth-red-br hairpin on",
    "an ageing time": "ip link set v-net-1 type bridge ageing_time 500",
    "a mode of a macvlan": "ip -n blue link set mv0 type macvlan mode private",
    "a namespace removed": "ip netns del n1",
    "several namespaces removed": "ip netns del red; ip netns del sw",
    "a cable removed": "ip link del veth-red-br",
    "a cable between namespaces removed": "ip -n blue link del eth2",
    "a bridge removed": "ip link del v-net-0",
    "a bridge inside removed": "ip -n sw link del br0",
    "a macvlan removed": "ip -n blue link del mv0",
    "a vxlan removed": "ip -n red link del vx0",
    "a vxlan with another number": (
        "group=$(ip -n red link show vx0 | sed -n 's/.* group \\([0-9]*\\) .*/\\1/p'); ip -n red link del vx0; "
        "ip -n red link add vx0 group $group type vxlan id 9 dstport 4789"
    ),
    "an interface renamed": "ip -n red link set veth-red down; ip -n red link set veth-red name other",
    "our table flushed": "nft flush table inet patchbay",
    "our table removed": "nft delete table inet patchbay",
    "the whole ruleset flushed": "nft flush ruleset",
    "our table inside removed": "ip netns exec blue nft delete table inet patchbay",
    "a rule added to our table": "nft add rule inet patchbay postrouting ip saddr 10.9.9.0/24 masquerade",
    "name servers removed": "rm /etc/netns/red/resolv.conf",
    "other name servers": "sed -i s/192.0.2.53/192.0.2.99/ /etc/netns/red/resolv.conf",
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_what_somebody_changed_by_hand_is_put_right(box: Box, drift: str) -> None:
    bystanders(box)
    box.run("topology", definition=MIXED)
    assert not box.run("topology", definition=MIXED).changed, "what is known to be right is looked at less closely"
    good, there = whole(box), running(meaning(MIXED))
    box.tool("sh", "-ec", DRIFTS[drift])
    drifted = steady(box)
    foreseen = box.run("topology", definition=MIXED, check=True)
    assert whole(box) == drifted, "check mode touches nothing"
    assert foreseen.changed
    result = box.run("topology", definition=MIXED)
    assert (result.changed, result.commands) == (foreseen.changed, foreseen.commands)
    assert differences(MIXED) == []
    again = box.run("topology", definition=MIXED)
    assert (again.changed, again.commands) == (False, [])
    if drift != "the whole ruleset flushed":  # somebody else's table was in it
        left = [text for text in traces(good, whole(box)) if "/files/" not in text]
        assert left == [], "\n".join(left)
    if "removed" not in drift and "number" not in drift and "renamed" not in drift:
        then = running(meaning(MIXED))
        for netns, place in there.items():
            for name, one in place.interfaces.items():
                assert then[netns].interfaces[name].index == one.index, f"{netns}/{name} was made anew"
    box.run("topology", name="mixed", state="absent")
    assert box.names() == ["stranger"]


def test_without_its_record_a_lab_takes_its_translation_back_only_when_told_so(box: Box) -> None:
    """Rules carry no mark of a lab; who has them is on record, and that is gone."""
    box.run("topology", definition=MIXED)
    good = whole(box)
    box.tool("sh", "-ec", "rm -r /run/patchbay.netns")
    with pytest.raises(Failed, match=r"masquerade of 192\.168\.15\.0/24 .* adopt: true") as failure:
        box.run("topology", definition=MIXED)
    assert failure.value.code == "CONFLICT"
    box.run("topology", definition=MIXED, adopt=True)
    assert whole(box)["running"] == good["running"]
    assert not box.run("topology", definition=MIXED).changed


def test_without_purge_what_the_file_does_not_name_any_more_stays(box: Box) -> None:
    box.run("topology", definition=MIXED)
    smaller = changed(
        MIXED, lambda lab: [lab["namespaces"].pop("n{n}"), lab["bridges"].pop("v-net-1"), lab.pop("masquerade")]
    )
    smaller["namespaces"]["red"]["interfaces"].pop("vx0")
    smaller["namespaces"]["red"].pop("routes")
    kept = box.run("topology", definition=smaller, purge=False)
    assert not kept.changed, kept.commands
    assert differences(MIXED) == []
    assert box.run("topology", definition=smaller).changed
    assert differences(smaller) == []


def test_what_others_put_into_a_lab_survives_and_goes_with_its_namespace(box: Box) -> None:
    """Interfaces, routes, tables and files without our marks."""
    box.run("topology", definition=MIXED)
    box.ip("-n red link add theirs type bridge")
    box.ip("-n red addr add 10.88.0.1/24 dev theirs")
    box.ip("-n red link set theirs up")
    box.ip("link add cable-host type veth peer name cable netns red")
    box.ip("-n red link set cable up")
    box.ip("-n red route add 10.99.0.0/16 via 192.168.15.5")
    box.ip("link add their-port type bridge")
    box.nft("table inet theirs {\nchain c { type filter hook input priority 0; accept\n}\n}", netns="red")
    Path("/etc/netns/red/hosts").write_text("127.0.0.1 red\n")
    again = box.run("topology", definition=MIXED)
    assert not again.changed, again.commands
    box.ip("-n red link set veth-red mtu 1300")
    box.run("topology", definition=MIXED)
    assert {"theirs", "cable"} <= {link["ifname"] for link in box.ip("link", json=True, netns="red")}
    assert any(route["dst"] == "10.99.0.0/16" for route in box.routes("red"))
    assert "table inet theirs" in box.nft("list ruleset", netns="red")
    box.run("topology", name="mixed", state="absent")
    assert box.names() == []
    assert Path("/etc/netns/red/hosts").read_text() == "127.0.0.1 red\n"
    assert box.link("their-port")
