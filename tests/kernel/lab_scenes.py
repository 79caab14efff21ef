# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labs that several tests build, and what is on the host before them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from box import Box
from lab_compare import differences

Lab = dict[str, Any]

RED_BLUE: Lab = {
    "name": "red-blue",
    "bridges": {"v-net-0": {"addresses": ["192.168.15.5/24", "fd15::5/64"]}},
    "namespaces": {
        "red": {
            "interfaces": {"veth-red": {"bridge": "v-net-0", "addresses": ["192.168.15.1/24", "fd15::1/64"]}},
            "gateway": ["192.168.15.5", "fd15::5"],
        },
        "blue": {
            "interfaces": {"veth-blue": {"bridge": "v-net-0", "addresses": ["192.168.15.2/24", "fd15::2/64"]}},
            "gateway": ["192.168.15.5", "fd15::5"],
        },
    },
}
"""The lab of every course."""

MIXED: Lab = {
    "name": "mixed",
    "pool": ["10.200.0.0/24", "fd00:200::/64"],
    "bridges": {
        "v-net-0": {"addresses": ["192.168.15.5/24", "fd15::5/64"]},
        "v-net-1": {"pool": ["192.168.16.0/24"], "ageing_time": 20},
    },
    "interfaces": {"to-red": {"cable": "red/eth9", "addresses": ["10.0.0.1/30"]}},
    "masquerade": [{"source": "192.168.15.0/24"}],
    "forwards": [{"protocol": "tcp", "port": 8080, "to": "blue", "to_port": 80}],
    "namespaces": {
        "red": {
            "interfaces": {
                "veth-red": {"bridge": "v-net-0", "addresses": ["192.168.15.1/24", "fd15::1/64"]},
                "eth1": {"bridge": "sw/br0", "addresses": ["10.1.0.1/24"]},
                "eth9": {"addresses": ["10.0.0.2/30"], "mtu": 1400},
                "vx0": {"vxlan": {"id": 42, "local": "10.0.0.2", "remote": "10.0.0.9"}, "addresses": ["10.42.0.1/24"]},
            },
            "gateway": ["192.168.15.5", "fd15::5"],
            "routes": [{"destination": "10.77.0.0/16", "gateway": "10.1.0.9", "metric": 7}],
            "sysctls": {"net.ipv4.ip_local_port_range": "20000 30000"},
            "nameservers": ["192.0.2.53"],
        },
        "blue": {
            "interfaces": {
                "veth-blue": {"bridge": "v-net-0", "addresses": ["192.168.15.2/24", "fd15::2/64"], "hairpin": True},
                "eth2": {"cable": "sw/up", "addresses": "auto"},
                "mv0": {"macvlan": {"parent": "veth-blue", "mode": "bridge"}, "addresses": ["10.43.0.1/24"]},
            },
            "masquerade": [{"source": "10.43.0.0/24", "out_interface": "veth-blue"}],
        },
        "sw": {
            "bridges": {"br0": {"addresses": ["10.1.0.254/24"]}},
            "interfaces": {"up": {"addresses": "auto"}, "spare": {"cable": "/spare-end", "master": "br0"}},
        },
        "n{n}": {"count": 2, "interfaces": {"eth0": {"bridge": "v-net-1", "addresses": "auto"}}},
    },
}
"""A bit of everything that this kernel can do."""


def _edited() -> Lab:
    lab = copy.deepcopy(MIXED)
    red, blue, sw = (lab["namespaces"][name] for name in ("red", "blue", "sw"))
    lab["bridges"]["v-net-1"] |= {"ageing_time": 30, "addresses": ["192.168.16.254/24"]}
    lab["bridges"]["v-net-2"] = {"mtu": 1400}
    lab["interfaces"]["to-red"]["addresses"] = ["10.0.0.1/30", "fd10::1/64"]
    lab["masquerade"] = [{"source": "192.168.15.0/24"}, {"source": "fd15::/64"}]
    lab["forwards"] = [{"protocol": "udp", "port": 5353, "to": "red", "to_port": 53}]
    red["interfaces"]["veth-red"] |= {"mtu": 1300, "mac": "02:00:00:00:00:07"}
    red["interfaces"]["vx0"]["vxlan"]["id"] = 43
    red["interfaces"]["eth1"]["addresses"] = ["10.1.0.2/24"]
    red["gateway"] = ["192.168.15.2", "fd15::5"]
    red["routes"] = [{"destination": "10.78.0.0/16", "gateway": "10.1.0.9"}]
    red["sysctls"] = {"net.ipv4.ip_local_port_range": "20000 40000"}
    red["nameservers"] = ["192.0.2.54"]
    blue["interfaces"]["veth-blue"] = {"bridge": "v-net-1", "addresses": "auto"}
    blue["interfaces"]["mv0"]["addresses"] = ["10.43.0.2/24"]
    del blue["masquerade"]
    del sw["interfaces"]["spare"]
    sw["interfaces"]["new"] = {"cable": "green/eth0"}
    lab["namespaces"]["green"] = {"interfaces": {"eth0": {"addresses": ["10.9.0.1/24"]}}}
    lab["namespaces"]["n{n}"]["count"] = 1
    return lab


EDITED = _edited()
"""The mixed lab after an afternoon with an editor."""


def changed(lab: Mapping[str, Any], change: Callable[[Lab], Any]) -> Lab:
    """A copy of the lab, changed by the function."""
    lab = copy.deepcopy(dict(lab))
    change(lab)
    return lab


def build(box: Box, lab: Mapping[str, Any], **params: Any) -> Any:
    """Run the file; what runs then must be what the file says, by the tests' own reading of both, and stay."""
    result = box.run("topology", definition=lab, **params)
    found = differences(lab)
    assert found == [], "\n".join(found)
    again = box.run("topology", definition=lab, **params)
    assert (again.changed, again.commands) == (False, []), again.diff
    return result


def bystanders(box: Box) -> None:
    """What is on the host before there is a lab: somebody else's bridge, namespace, cable and table."""
    box.tool("ip", "-batch", "-", stdin="""
netns add stranger
link add docker0 type bridge
addr add 172.17.0.1/16 dev docker0
link add there type veth peer name eth0 netns stranger
link set there master docker0 up
link set docker0 up
route add 172.30.0.0/16 via 172.17.0.9
""")  # fmt: skip
    box.ip("-n stranger addr add 172.17.0.2/16 dev eth0")
    box.ip("-n stranger link set eth0 up")
    box.nft("table inet theirs {\nchain c { type filter hook forward priority 0; accept\n}\n}")
    box.until(lambda: box.link("docker0")["operstate"] == box.link("there")["operstate"] == "UP")
    box.until(lambda: box.link("there")["linkinfo"]["info_slave_data"]["state"] == "forwarding")
