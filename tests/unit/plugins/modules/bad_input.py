# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input, as a table: what is wrong, and the whole sentence that says so.

Each case starts from parameters that are accepted and changes one thing, so that the change is what is refused.
"""

from __future__ import annotations

import enum
import ipaddress
import re
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import project
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.namespaces import Process
from ansible_collections.patchbay.netns.plugins.module_utils._objects.bridge import Port, Pristine
from ansible_collections.patchbay.netns.plugins.module_utils._objects.forward import Forward
from ansible_collections.patchbay.netns.plugins.module_utils._objects.ip_route import Device
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import BridgeOptions, Link, Peer
from ansible_collections.patchbay.netns.plugins.module_utils._objects.listeners import Listening
from ansible_collections.patchbay.netns.plugins.module_utils._objects.machine import Machine
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import Namespace, Occupants, Resolver
from ansible_collections.patchbay.netns.plugins.module_utils._objects.route import NextHop, Route
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Sysctl


class LeftOut(enum.Enum):
    """The change that leaves an option out."""

    LEFT_OUT = "-"

    def __repr__(self) -> str:
        return self.value


LEFT_OUT = LeftOut.LEFT_OUT

GOOD: dict[str, dict[str, t.Any]] = {
    "netns": {"name": "red", "sysctls": {"net.ipv4.ip_forward": 1}, "nameservers": ["9.9.9.9"]},
    "veth": {
        "name": "veth-red",
        "netns": "red",
        "addresses": ["192.168.15.1/24"],
        "peer": {"name": "veth-red-br", "bridge": "v-net-0"},
    },
    "bridge": {"name": "v-net-0", "addresses": ["192.168.15.5/24"], "ports": ["veth-red-br"]},
    "ip_route_ns": {"netns": "red", "destination": "default", "gateway": "192.168.15.5"},
    "nat_masquerade": {"source": "192.168.15.0/24"},
    "dnat_forward": {"protocol": "tcp", "port": "80", "to_address": "192.168.15.2"},
}
"""Parameters that every module accepts."""


@dataclass(frozen=True)
class Case:
    """A change to good parameters, the sentence that refuses it, and what is there, where that matters."""

    module: str
    change: dict[str, t.Any]
    message: str | re.Pattern[str]
    """A pattern where the words are Ansible's own and differ between its versions."""
    there: State | None = None

    def says(self, message: str) -> bool:
        """Whether this is the refusal that was expected."""
        return message == self.message if isinstance(self.message, str) else bool(self.message.search(message))

    @property
    def params(self) -> dict[str, t.Any]:
        merged = {**GOOD[self.module], **self.change}
        if isinstance(self.change.get("peer"), dict):
            merged["peer"] = {**GOOD["veth"]["peer"], **self.change["peer"]}
            merged["peer"] = {name: value for name, value in merged["peer"].items() if value is not LEFT_OUT}
        return {name: value for name, value in merged.items() if value is not LEFT_OUT}

    def __str__(self) -> str:
        said = ",".join(f"{name}={value!r}" for name, value in self.change.items())
        return f"{self.module} {said}"[:90]


LONG = "a-name-of-18-bytes"

SPOKEN = [
    Case(
        "netns",
        {"name": LEFT_OUT},
        re.compile(r"one of the following is required: name, netns"),
    ),
    Case(
        "netns",
        {"name": ""},
        "name: '' is no name for a network namespace: give one such as red.",
    ),
    Case(
        "netns",
        {"name": "a/b"},
        "name: the namespace name 'a/b' contains '/'; give the bare name of a file in /run/netns, such as red.",
    ),
    Case(
        "netns",
        {"name": "/run/netns/red"},
        "name: the namespace name '/run/netns/red' contains '/'; give the bare name of a file in /run/netns, such "
        "as red.",
    ),
    Case(
        "netns",
        {"name": ".."},
        "name: '..' is no name for a network namespace: give one such as red.",
    ),
    Case(
        "netns",
        {"name": "x" * 256},
        "name: the namespace name has 256 bytes, a file name takes at most 255. Choose a shorter name.",
    ),
    Case(
        "netns",
        {"name": "red "},
        "name: the namespace name 'red ' begins or ends with white space or holds control characters. Choose "
        "another name.",
    ),
    Case(
        "netns",
        {"state": "gone"},
        re.compile(r"value of state must be one of: present, absent, got: gone"),
    ),
    Case(
        "netns",
        {"loopback": "perhaps"},
        re.compile(r"'perhaps' is not a valid boolean"),
    ),
    Case(
        "netns",
        {"colour": "red"},
        re.compile(r"Unsupported parameters .*: colour\."),
    ),
    Case(
        "netns",
        {"sysctls": {"kernel.panic": 1}},
        "sysctls: kernel.panic is not a setting of a network namespace; only names under net. are, such as "
        "net.ipv4.ip_forward.",
    ),
    Case(
        "netns",
        {"sysctls": {"net.ipv4": 1}},
        "sysctls: net.ipv4 is not a setting of a network namespace; only names under net. are, such as "
        "net.ipv4.ip_forward.",
    ),
    Case(
        "netns",
        {"sysctls": {"net/../kernel/panic": 1}},
        "sysctls: net/../kernel/panic is not a setting of a network namespace; only names under net. are, such as "
        "net.ipv4.ip_forward.",
    ),
    Case(
        "netns",
        {"sysctls": {"net.ipv4.ip_forward": [1]}},
        "sysctls: net.ipv4.ip_forward needs one value, a number or a text, such as net.ipv4.ip_forward: 1.",
    ),
    Case(
        "netns",
        {"sysctls": {"net.ipv4.ip_forward": 1, "net/ipv4/ip_forward": 0}},
        "sysctls: net/ipv4/ip_forward is listed twice; name it once.",
    ),
    Case(
        "netns",
        {"nameservers": ["dns.example.com"]},
        "nameservers: 'dns.example.com' is no IP address; write one such as 192.168.15.5 or fd00:15::5.",
    ),
    Case(
        "netns",
        {"nameservers": ["9.9.9.9/32"]},
        "nameservers: '9.9.9.9/32' has a prefix length, but one address is meant: write 9.9.9.9.",
    ),
    Case(
        "netns",
        {"nameservers": ["9.9.9.9", "9.9.9.9"]},
        "nameservers: 9.9.9.9 is listed twice; name it once.",
    ),
    Case(
        "veth",
        {"addresses": ["192.168.15.1"]},
        "addresses: 192.168.15.1 has no prefix length, so the kernel would not know its network: did you mean "
        "192.168.15.1/24?",
    ),
    Case(
        "veth",
        {"addresses": ["fd00:15::1"]},
        "addresses: fd00:15::1 has no prefix length, so the kernel would not know its network: did you mean "
        "fd00:15::1/64?",
    ),
    Case(
        "veth",
        {"addresses": ["192.168.15.1/33"]},
        "addresses: '192.168.15.1/33' is no address with a prefix length; write one such as 192.168.15.1/24 or "
        "fd00:15::1/64.",
    ),
    Case(
        "veth",
        {"addresses": ["192.168.15.256/24"]},
        "addresses: '192.168.15.256/24' is no address with a prefix length; write one such as 192.168.15.1/24 or "
        "fd00:15::1/64.",
    ),
    Case(
        "veth",
        {"addresses": ["192.168.15.0/24"]},
        "addresses: 192.168.15.0/24 is the address of the network 192.168.15.0/24 itself; choose a host address in "
        "it, such as 192.168.15.1/24.",
    ),
    Case(
        "veth",
        {"addresses": ["192.168.15.255/24"]},
        "addresses: 192.168.15.255/24 is the broadcast address of the network 192.168.15.0/24 itself; choose a "
        "host address in it, such as 192.168.15.1/24.",
    ),
    Case(
        "veth",
        {"addresses": ["224.0.0.1/24"]},
        "addresses: 224.0.0.1/24 is multicast, which no interface can have as its address. Choose a host address.",
    ),
    Case(
        "veth",
        {"addresses": ["fe80::1%eth0/64"]},
        "addresses: 'fe80::1%eth0/64' holds '%': leave the zone out, an interface is named by an option of its own.",
    ),
    Case(
        "veth",
        {"addresses": ["192.168.15.1/24", "192.168.15.1/24"]},
        "addresses: 192.168.15.1/24 is listed twice; name it once.",
    ),
    Case(
        "veth",
        {"name": LONG},
        "name: the interface name 'a-name-of-18-bytes' has 18 bytes, the kernel takes at most 15. Choose a shorter "
        "name.",
    ),
    Case(
        "veth",
        {"name": "é" * 8},
        "name: the interface name 'éééééééé' has 16 bytes, the kernel takes at most 15. Choose a shorter name.",
    ),
    Case(
        "veth",
        {"name": "veth/red"},
        "name: 'veth/red' is no interface name: '/', ':', '%' and white space can't be in one, and it can't be '.' "
        "or '..'.",
    ),
    Case(
        "veth",
        {"name": "veth red"},
        "name: 'veth red' is no interface name: '/', ':', '%' and white space can't be in one, and it can't be '.' "
        "or '..'.",
    ),
    Case(
        "veth",
        {"name": "veth%d"},
        "name: 'veth%d' is no interface name: '/', ':', '%' and white space can't be in one, and it can't be '.' "
        "or '..'.",
    ),
    Case(
        "veth",
        {"name": ""},
        "name is missing: name the interface at this end of the cable.",
    ),
    Case(
        "veth",
        {"name": LEFT_OUT},
        re.compile(r"missing required arguments: name"),
    ),
    Case(
        "veth",
        {"netns": "a/b"},
        "netns: the namespace name 'a/b' contains '/'; give the bare name of a file in /run/netns, such as red.",
    ),
    Case(
        "veth",
        {"peer": LEFT_OUT},
        re.compile(r"state is present but all of the following are missing: peer"),
    ),
    Case(
        "veth",
        {"peer": {"name": LEFT_OUT}},
        re.compile(r"missing required arguments: name found in peer"),
    ),
    Case(
        "veth",
        {"peer": {"name": LONG}},
        "peer.name: the interface name 'a-name-of-18-bytes' has 18 bytes, the kernel takes at most 15. Choose a "
        "shorter name.",
    ),
    Case(
        "veth",
        {"peer": {"name": "veth-red", "netns": "red"}},
        "peer.name: both ends are called veth-red in namespace red; a cable needs two names, or two namespaces.",
    ),
    Case(
        "veth",
        {"peer": {"netns": "a/b"}},
        "peer.netns: the namespace name 'a/b' contains '/'; give the bare name of a file in /run/netns, such as red.",
    ),
    Case(
        "veth",
        {"peer": {"addresses": ["192.168.15.5"], "bridge": LEFT_OUT}},
        "peer.addresses: 192.168.15.5 has no prefix length, so the kernel would not know its network: did you mean "
        "192.168.15.5/24?",
    ),
    Case(
        "veth",
        {"peer": {"addresses": ["192.168.15.5/24"]}},
        "peer.addresses: veth-red-br is to be a port of bridge v-net-0, and a port's own addresses are not "
        "reached. Give the address to the bridge.",
    ),
    Case(
        "veth",
        {"peer": {"addresses": ["192.168.15.1/24"], "bridge": LEFT_OUT}},
        "peer.addresses: 192.168.15.1 is on both ends; give each end its own address.",
    ),
    Case(
        "veth",
        {"peer": {"bridge": "br/0"}},
        "peer.bridge: 'br/0' is no interface name: '/', ':', '%' and white space can't be in one, and it can't be "
        "'.' or '..'.",
    ),
    Case(
        "veth",
        {"peer": {"bridge": "", "hairpin": True}},
        "peer.hairpin: only a port of a bridge can reflect packets; name the bridge, or leave hairpin out.",
    ),
    Case(
        "veth",
        {"netns": LEFT_OUT, "addresses": [], "bridge": "v-net-0"},
        "peer.bridge: both ends are to be ports of v-net-0, which would be a loop. Put one end elsewhere.",
    ),
    Case(
        "veth",
        {"mac": "02:00:00:00:15"},
        "mac: '02:00:00:00:15' is no MAC address; write six pairs of hexadecimal digits, such as 02:00:00:00:15:01.",
    ),
    Case(
        "veth",
        {"mac": "01:00:00:00:15:01"},
        "mac: 01:00:00:00:15:01 is multicast; an interface needs a unicast address, such as 02:00:00:00:15:01.",
    ),
    Case(
        "veth",
        {"mac": "02:00:00:00:15:01", "peer": {"mac": "02:00:00:00:15:01"}},
        "peer.mac: both ends have the MAC address 02:00:00:00:15:01; give each its own, or leave both out.",
    ),
    Case(
        "veth",
        {"mtu": 67},
        "mtu: an MTU of 67 bytes is impossible; give 68 to 65535 (1500 is usual).",
    ),
    Case(
        "veth",
        {"mtu": 65536},
        "mtu: an MTU of 65536 bytes is impossible; give 68 to 65535 (1500 is usual).",
    ),
    Case(
        "veth",
        {"mtu": "big"},
        re.compile(r"mtu.*'big'.* cannot be converted to an int"),
    ),
    Case(
        "bridge",
        {"name": LONG},
        "name: the interface name 'a-name-of-18-bytes' has 18 bytes, the kernel takes at most 15. Choose a shorter "
        "name.",
    ),
    Case(
        "bridge",
        {"name": "a:b"},
        "name: 'a:b' is no interface name: '/', ':', '%' and white space can't be in one, and it can't be '.' or '..'.",
    ),
    Case(
        "bridge",
        {"name": ""},
        "name is empty: give the name of an interface, such as veth-red.",
    ),
    Case(
        "bridge",
        {"addresses": ["192.168.15.5"]},
        "addresses: 192.168.15.5 has no prefix length, so the kernel would not know its network: did you mean "
        "192.168.15.5/24?",
    ),
    Case(
        "bridge",
        {"ports": ["v-net-0"]},
        "ports: bridge v-net-0 can't be a port of itself. Remove it from the list.",
    ),
    Case(
        "bridge",
        {"ports": ["veth-red-br", "veth-red-br"]},
        "ports: veth-red-br is listed twice; name it once.",
    ),
    Case(
        "bridge",
        {"ports": [LONG]},
        "ports: the interface name 'a-name-of-18-bytes' has 18 bytes, the kernel takes at most 15. Choose a "
        "shorter name.",
    ),
    Case(
        "bridge",
        {"mac": "00:00:00:00:00:00"},
        "mac: 00:00:00:00:00:00 is all zeros; an interface needs a unicast address, such as 02:00:00:00:00:00.",
    ),
    Case(
        "bridge",
        {"forward_delay": -1},
        "forward_delay: -1 seconds is impossible; give 0 to 30 (2 to 30 with stp: true).",
    ),
    Case(
        "bridge",
        {"forward_delay": 31},
        "forward_delay: 31 seconds is impossible; give 0 to 30 (2 to 30 with stp: true).",
    ),
    Case(
        "bridge",
        {"forward_delay": 1, "stp": True},
        "forward_delay: 1 seconds is too short with stp: true; the spanning tree needs 2 to 30.",
    ),
    Case(
        "bridge",
        {"ageing_time": -1},
        "ageing_time: -1 seconds is impossible; give 0 (forget at once) to 42949672.",
    ),
    Case(
        "bridge",
        {"netns": ".."},
        "netns: '..' is no name for a network namespace: give one such as red, or leave the option out for the "
        "current one.",
    ),
    Case(
        "ip_route_ns",
        {"destination": "192.168.15.5/24"},
        "destination: 192.168.15.5/24 is a host address, not a network: did you mean the network 192.168.15.0/24 "
        "or the one address 192.168.15.5/32?",
    ),
    Case(
        "ip_route_ns",
        {"destination": "192.168.1.0"},
        "destination: 192.168.1.0 has no prefix length: did you mean the one address 192.168.1.0/32, or a network "
        "such as 192.168.1.0/24?",
    ),
    Case(
        "ip_route_ns",
        {"destination": "nowhere"},
        "destination: 'nowhere' is no network; write one such as 192.168.15.0/24 or fd00:15::/64.",
    ),
    Case(
        "ip_route_ns",
        {"destination": "224.0.0.0/4"},
        "destination: 224.0.0.0/4 is multicast, which this module does not route. Give a unicast network.",
    ),
    Case(
        "ip_route_ns",
        {"destination": LEFT_OUT},
        re.compile(r"missing required arguments: destination"),
    ),
    Case(
        "ip_route_ns",
        {"destination": "::/0"},
        "gateway: 192.168.15.5 is IPv4 but the destination ::/0 is IPv6; give both in one family, and a task for "
        "each family.",
    ),
    Case(
        "ip_route_ns",
        {"destination": "192.168.1.0/24", "gateway": "fd00:15::5"},
        "gateway: fd00:15::5 is IPv6 but the destination 192.168.1.0/24 is IPv4; give both in one family, and a "
        "task for each family.",
    ),
    Case(
        "ip_route_ns",
        {"source": "fd00:15::1", "destination": "0.0.0.0/0"},
        "source: fd00:15::1 is IPv6 but the destination 0.0.0.0/0 is IPv4; give both in one family, and a task for "
        "each family.",
    ),
    Case(
        "ip_route_ns",
        {"gateway": "192.168.15.5/24"},
        "gateway: '192.168.15.5/24' has a prefix length, but one address is meant: write 192.168.15.5.",
    ),
    Case(
        "ip_route_ns",
        {"gateway": "0.0.0.0"},
        "gateway: 0.0.0.0 can't be a gateway; give the address of a neighbour, such as 192.168.15.5.",
    ),
    Case(
        "ip_route_ns",
        {"gateway": "127.0.0.1"},
        "gateway: 127.0.0.1 can't be a gateway; give the address of a neighbour, such as 192.168.15.5.",
    ),
    Case(
        "ip_route_ns",
        {"gateway": "fe80::1%veth-red"},
        "gateway: 'fe80::1%veth-red' holds '%': leave the zone out, an interface is named by an option of its own.",
    ),
    Case(
        "ip_route_ns",
        {"gateway": LEFT_OUT},
        "the route to 0.0.0.0/0 leads nowhere: give gateway, device or nexthops, or a type such as blackhole.",
    ),
    Case(
        "ip_route_ns",
        {"device": LONG},
        "device: the interface name 'a-name-of-18-bytes' has 18 bytes, the kernel takes at most 15. Choose a "
        "shorter name.",
    ),
    Case(
        "ip_route_ns",
        {"metric": -1},
        "metric: -1 is impossible; give 0 to 4294967295, a smaller one is preferred.",
    ),
    Case(
        "ip_route_ns",
        {"table": "mine"},
        "table: 'mine' is no routing table; give main, local, default or a number from 1 to 4294967295.",
    ),
    Case(
        "ip_route_ns",
        {"table": "0"},
        "table: '0' is no routing table; give main, local, default or a number from 1 to 4294967295.",
    ),
    Case(
        "ip_route_ns",
        {"type": "broadcast"},
        re.compile(r"value of type must be one of: unicast, blackhole, unreachable, prohibit, got: broadcast"),
    ),
    Case(
        "ip_route_ns",
        {"type": "blackhole"},
        "type: a blackhole route leads nowhere, so it takes no gateway, device, nexthops or mtu. Remove them or "
        "the type.",
    ),
    Case(
        "ip_route_ns",
        {"onlink": True},
        "onlink: this needs both a gateway and the device behind which it is.",
    ),
    Case(
        "ip_route_ns",
        {"mtu": 20},
        "mtu: an MTU of 20 bytes is impossible; give 68 to 65535 (1500 is usual).",
    ),
    Case(
        "ip_route_ns",
        {"nexthops": [{"gateway": "192.168.15.6"}]},
        "nexthops: give gateway, device and onlink inside of each next hop, not beside the list.",
    ),
    Case(
        "ip_route_ns",
        {"gateway": LEFT_OUT, "nexthops": []},
        "nexthops: the list is empty; name at least one next hop, or use gateway.",
    ),
    Case(
        "ip_route_ns",
        {"gateway": LEFT_OUT, "nexthops": [{"weight": 2}]},
        "nexthops[1] names neither a gateway nor a device; give one of them.",
    ),
    Case(
        "ip_route_ns",
        {"gateway": LEFT_OUT, "nexthops": [{"gateway": "192.168.15.5", "weight": 0}]},
        "nexthops[1].weight: 0 is impossible; give 1 to 256.",
    ),
    Case(
        "ip_route_ns",
        {"gateway": LEFT_OUT, "nexthops": [{"gateway": "192.168.15.5"}, {"gateway": "192.168.15.5"}]},
        "nexthops: 192.168.15.5 is listed twice; name it once.",
    ),
    Case(
        "nat_masquerade",
        {"source": LEFT_OUT},
        re.compile(r"missing required arguments: source"),
    ),
    Case(
        "nat_masquerade",
        {"source": "192.168.15.0"},
        "source: 192.168.15.0 has no prefix length: did you mean the one address 192.168.15.0/32, or a network "
        "such as 192.168.15.0/24?",
    ),
    Case(
        "nat_masquerade",
        {"source": "192.168.15.5/24"},
        "source: 192.168.15.5/24 is a host address, not a network: did you mean the network 192.168.15.0/24 or the "
        "one address 192.168.15.5/32?",
    ),
    Case(
        "nat_masquerade",
        {"source": "192.168.15.0/33"},
        "source: '192.168.15.0/33' is no network; write one such as 192.168.15.0/24 or fd00:15::/64.",
    ),
    Case(
        "nat_masquerade",
        {"source": "127.0.0.0/8"},
        "source: 127.0.0.0/8 is loopback, and such packets are never routed; give the network of the namespaces, "
        "such as 192.168.15.0/24.",
    ),
    Case(
        "nat_masquerade",
        {"source": "ff00::/8"},
        "source: ff00::/8 is multicast, and such packets are never routed; give the network of the namespaces, "
        "such as 192.168.15.0/24.",
    ),
    Case(
        "nat_masquerade",
        {"out_interface": LONG},
        "out_interface: the interface name 'a-name-of-18-bytes' has 18 bytes, the kernel takes at most 15. Choose "
        "a shorter name.",
    ),
    Case(
        "nat_masquerade",
        {"exclude": ["fd00:15::/64"]},
        "exclude: fd00:15::/64 is IPv6 but source 192.168.15.0/24 is IPv4; make one masquerade for each.",
    ),
    Case(
        "nat_masquerade",
        {"exclude": ["0.0.0.0/0"]},
        "exclude: 0.0.0.0/0 is every destination, so nothing would be translated; use state: absent instead.",
    ),
    Case(
        "nat_masquerade",
        {"exclude": ["10.0.0.0/8", "10.0.0.0/8"]},
        "exclude: 10.0.0.0/8 is listed twice; name it once.",
    ),
    Case(
        "nat_masquerade",
        {"to_ports": "0-65535"},
        "to_ports: 0 is no port number; ports go from 1 to 65535.",
    ),
    Case(
        "nat_masquerade",
        {"to_ports": "2000-1000"},
        "to_ports: the range 2000-1000 is written backwards; did you mean 1000-2000?",
    ),
    Case(
        "nat_masquerade",
        {"to_ports": "high"},
        "to_ports: 'high' is no port; write a number such as 80 or a range such as 8000-8010.",
    ),
    Case(
        "nat_masquerade",
        {"netns": "a/b"},
        "netns: the namespace name 'a/b' contains '/'; give the bare name of a file in /run/netns, such as red.",
    ),
    Case(
        "dnat_forward",
        {"protocol": LEFT_OUT},
        re.compile(r"missing required arguments: protocol"),
    ),
    Case(
        "dnat_forward",
        {"protocol": "icmp"},
        re.compile(r"value of protocol must be one of: tcp, udp, sctp, got: icmp"),
    ),
    Case(
        "dnat_forward",
        {"port": LEFT_OUT},
        re.compile(r"missing required arguments: port"),
    ),
    Case(
        "dnat_forward",
        {"port": "0"},
        "port: 0 is no port number; ports go from 1 to 65535.",
    ),
    Case(
        "dnat_forward",
        {"port": "70000"},
        "port: 70000 is no port number; ports go from 1 to 65535.",
    ),
    Case(
        "dnat_forward",
        {"port": "http"},
        "port: 'http' is no port; write a number such as 80 or a range such as 8000-8010.",
    ),
    Case(
        "dnat_forward",
        {"port": "8010-8000"},
        "port: the range 8010-8000 is written backwards; did you mean 8000-8010?",
    ),
    Case(
        "dnat_forward",
        {"port": "80,443"},
        "port: '80,443' is no port; write a number such as 80 or a range such as 8000-8010.",
    ),
    Case(
        "dnat_forward",
        {"port": "8000-8010", "to_port": "80-85"},
        "to_port: the range shrinks from 11 ports (8000-8010) to 6 ports (80-85); both need the same number of "
        "ports, so write 80-90, or leave to_port out to keep the numbers.",
    ),
    Case(
        "dnat_forward",
        {"to_port": "8000-8010"},
        "to_port: the range grows from 1 port (80) to 11 ports (8000-8010); both need the same number of ports, so "
        "write 8000, or leave to_port out to keep the numbers.",
    ),
    Case(
        "dnat_forward",
        {"to_port": "0"},
        "to_port: 0 is no port number; ports go from 1 to 65535.",
    ),
    Case(
        "dnat_forward",
        {"port": "1-2000", "to_port": "10001-12000"},
        "to_port: a range that changes its numbers may have 1024 ports at most, 1-2000 has 2000; leave to_port out "
        "to keep the numbers, or split the range.",
    ),
    Case(
        "dnat_forward",
        {"to_address": LEFT_OUT},
        re.compile(r"state is present but all of the following are missing: to_address"),
    ),
    Case(
        "dnat_forward",
        {"to_address": "192.168.15.2/24"},
        "to_address: '192.168.15.2/24' has a prefix length, but one address is meant: write 192.168.15.2.",
    ),
    Case(
        "dnat_forward",
        {"to_address": "127.0.0.1"},
        "to_address: 127.0.0.1 is loopback, which each namespace has for itself; give the address of the target, "
        "such as 192.168.15.2.",
    ),
    Case(
        "dnat_forward",
        {"to_address": "fe80::1"},
        "to_address: fe80::1 is link-local, which needs an interface to mean anything; give the address of the "
        "target, such as 192.168.15.2.",
    ),
    Case(
        "dnat_forward",
        {"to_address": ["192.168.15.2", "192.168.15.3"]},
        "to_address: 192.168.15.2 and 192.168.15.3 are both IPv4; give one address of each IP version at most, and "
        "make another forward for the other.",
    ),
    Case(
        "dnat_forward",
        {"to_address": ["fd00:15::2", "192.168.15.2", "fd00:15::3"]},
        "to_address: fd00:15::2 and fd00:15::3 are both IPv6; give one address of each IP version at most, and "
        "make another forward for the other.",
    ),
    Case(
        "dnat_forward",
        {"address": ["203.0.113.1", "203.0.113.2"]},
        "address: 203.0.113.1 and 203.0.113.2 are both IPv4; give one address of each IP version at most, and make "
        "another forward for the other.",
    ),
    Case(
        "dnat_forward",
        {"address": "203.0.113.1", "to_address": "fd00:15::2"},
        "address 203.0.113.1 is IPv4 but to_address fd00:15::2 is IPv6; make one forward for each IP version, or "
        "name both everywhere.",
    ),
    Case(
        "dnat_forward",
        {"address": "2001:db8::1"},
        "address 2001:db8::1 is IPv6 but to_address 192.168.15.2 is IPv4; make one forward for each IP version, or "
        "name both everywhere.",
    ),
    Case(
        "dnat_forward",
        {"address": ["203.0.113.1", "2001:db8::1"]},
        "address 2001:db8::1 is IPv6 but to_address 192.168.15.2 is IPv4; make one forward for each IP version, or "
        "name both everywhere.",
    ),
    Case(
        "dnat_forward",
        {"address": "203.0.113.1", "to_address": ["192.168.15.2", "fd00:15::2"]},
        "address: nothing is said for IPv6, but to_address fd00:15::2 is IPv6; name both IP versions, or make one "
        "forward for each.",
    ),
    Case(
        "dnat_forward",
        {"sources": ["2001:db8::/32"], "to_address": ["192.168.15.2", "fd00:15::2"]},
        "sources: nothing is said for IPv4, but to_address 192.168.15.2 is IPv4; name both IP versions, or make one "
        "forward for each.",
    ),
    Case(
        "dnat_forward",
        {"state": "absent", "to_address": LEFT_OUT, "address": "203.0.113.1", "sources": ["fd00::/8"]},
        "sources fd00::/8 is IPv6 but address 203.0.113.1 is IPv4; make one forward for each IP version, or name "
        "both everywhere.",
    ),
    Case(
        "dnat_forward",
        {"established": "forget"},
        re.compile(r"value of established must be one of: keep, reset, got: forget"),
    ),
    Case(
        "nat_masquerade",
        {"established": "forget"},
        re.compile(r"value of established must be one of: keep, reset, got: forget"),
    ),
    Case(
        "dnat_forward",
        {"address": "0.0.0.0"},
        "address: 0.0.0.0 is no address of this machine; leave the option out to forward on every local address.",
    ),
    Case(
        "dnat_forward",
        {"address": "127.0.0.1"},
        "address: 127.0.0.1 is only reached by the machine itself; leave the option out and set loopback: true.",
    ),
    Case(
        "dnat_forward",
        {"address": "224.0.0.1"},
        "address: 224.0.0.1 is multicast, which can't be forwarded; give one address of this machine.",
    ),
    Case(
        "dnat_forward",
        {"address": "192.168.15.2"},
        "to_address 192.168.15.2 is the same as address: a forward leads to another address.",
    ),
    Case(
        "dnat_forward",
        {"in_interface": "lo"},
        "in_interface: nothing comes in through lo that could be forwarded; use local: true for the machine's own "
        "connections.",
    ),
    Case(
        "dnat_forward",
        {"sources": ["198.51.100.7"]},
        "sources: 198.51.100.7 has no prefix length: did you mean the one address 198.51.100.7/32, or a network "
        "such as 198.51.100.0/24?",
    ),
    Case(
        "dnat_forward",
        {"sources": ["198.51.100.7/24"]},
        "sources: 198.51.100.7/24 is a host address, not a network: did you mean the network 198.51.100.0/24 or "
        "the one address 198.51.100.7/32?",
    ),
    Case(
        "dnat_forward",
        {"sources": ["fd00::/8"]},
        "sources fd00::/8 is IPv6 but to_address 192.168.15.2 is IPv4; make one forward for each IP version, or name "
        "both everywhere.",
    ),
    Case(
        "dnat_forward",
        {"loopback": True, "to_address": "fd00:15::2"},
        "loopback: true is not possible for the IPv6 target fd00:15::2: the kernel never lets ::1 leave the "
        "machine, and has no setting for it. Forward to an IPv4 address, or connect to another address of the "
        "machine instead of localhost.",
    ),
]
"""What is refused for what it says, whatever is there: nothing is asked of the kernel."""

# ---- what is there

RED, OUT = "red", None
ONE = Link(RED, "veth-red", "veth", "02:00:00:00:15:01", 1500, up=True, peer=Peer(OUT, "veth-red-br"))
OTHER = Link(OUT, "veth-red-br", "veth", "02:00:00:00:15:02", 1500, up=True, peer=Peer(RED, "veth-red"))
OPTIONS = BridgeOptions(False, 15.0, 300.0, False, True)
BRIDGE = Link(OUT, "v-net-0", "bridge", "02:00:00:00:15:05", 1500, up=True, options=OPTIONS)
PORT = Port(OUT, "veth-red-br", None)
LAB = [Machine("test"), BRIDGE, PORT, Pristine(OPTIONS)]
FORWARDS = Sysctl(OUT, "net.ipv4.ip_forward", "1")


def _route(netns: str | None, text: str, device: str) -> Route:
    return Route(netns, ipaddress.ip_network(text), (NextHop(device=device),), protocol=2)


WAYS = [Device(RED, "veth-red", True), Device(RED, "lo", True), _route(RED, "192.168.15.0/24", "veth-red")]
LIVE = [Namespace("red"), Sysctl("red", "net.ipv4.ip_forward", "1")]


def _forwarded() -> State:
    """Where port 80 leads to blue already."""
    wish = Forward.wish({**GOOD["dnat_forward"], "hairpin": False})
    return project(State([FORWARDS]), wish.plan(State([FORWARDS])))


FORWARDED = _forwarded()

ACCEPTED = {
    "netns": State(LIVE),
    "veth": State(LAB),
    "bridge": State(LAB),
    "ip_route_ns": State(WAYS),
    "nat_masquerade": State([FORWARDS]),
    "dnat_forward": State([FORWARDS]),
}
"""A state for every module in which its good parameters are accepted."""


def _but(items: list[t.Any], *others: t.Any) -> State:
    """The items, with others in the place of those that have their keys."""
    return State([*items, *others])


def _without(items: list[t.Any], *gone: t.Any) -> State:
    return State([item for item in items if item not in gone])


THERE = [
    Case(
        "netns",
        {"state": "absent"},
        "namespace red is in use by process 4711 (sleep), 4712 (python3); it would live on without a name. End "
        "them first, or set force: true to have them ended.",
        _but(LIVE, Occupants("red", (Process(4711, "sleep"), Process(4712, "python3")))),
    ),
    Case(
        "netns",
        {"state": "absent"},
        "namespace red was not made by this collection, so it is not removed. Remove it with the tool that made "
        "it, or set force: true.",
        _but(LIVE, Namespace("red", ours=False)),
    ),
    Case(
        "netns",
        {},
        "/etc/netns/red/resolv.conf was not written by this collection, so it is left alone. Remove nameservers "
        "from the task, or set force: true to replace the file.",
        _but(LIVE, Resolver("red", "nameserver 1.1.1.1\n")),
    ),
    Case(
        "netns",
        {"sysctls": {"net.ipv4.ip_forwad": 1}},
        "the kernel has no setting net.ipv4.ip_forwad in namespace red; check its name, and that its protocol or "
        "module is there.",
        State(LIVE),
    ),
    Case(
        "veth",
        {},
        "bridge v-net-0 does not exist. Create it first with the bridge module.",
        _without(LAB, BRIDGE),
    ),
    Case(
        "veth",
        {},
        "v-net-0 is a veth interface, not a bridge, so veth-red-br can't be its port. Name a bridge.",
        _but(LAB, replace(BRIDGE, kind="veth", options=None)),
    ),
    Case(
        "veth",
        {"peer": {"bridge": "v-net-01"}},
        "bridge v-net-01 does not exist. Create it first with the bridge module.",
        State(LAB),
    ),
    Case(
        "veth",
        {},
        "veth-red in namespace red is a bridge interface, not a veth. Choose another name for the cable.",
        _but(LAB, replace(ONE, kind="bridge", peer=None, options=OPTIONS)),
    ),
    Case(
        "veth",
        {},
        "veth-red-br is a physical interface, not a veth. Choose another name for the cable.",
        _but(LAB, replace(OTHER, kind="physical", peer=None)),
    ),
    Case(
        "veth",
        {"state": "absent"},
        "veth-red in namespace red is a physical interface, not a veth. Choose another name for the cable.",
        _but(LAB, replace(ONE, kind="physical", peer=None)),
    ),
    Case(
        "veth",
        {},
        "veth veth-red in namespace red and veth veth-red-br are not two ends of one cable: the peer of veth-red "
        "is veth-blue in namespace blue, the peer of veth-red-br is an interface in a namespace without a name "
        "(index 7). Rename one of them, or set force: true to replace both cables.",
        _but(LAB, replace(ONE, peer=Peer("blue", "veth-blue")), replace(OTHER, peer=Peer("?", "index 7"))),
    ),
    Case(
        "veth",
        {},
        "veth veth-red in namespace red exists with another peer, veth-blue in namespace blue, and was not made by "
        "this collection. Choose another name, or set force: true to replace it.",
        _but(LAB, replace(ONE, group=0, peer=Peer("blue", "veth-blue"))),
    ),
    Case(
        "veth",
        {"state": "absent"},
        "veth veth-red in namespace red was not made by this collection, so it is not removed. Remove it with the "
        "tool that made it, or set force: true.",
        _but(LAB, replace(ONE, group=0), OTHER),
    ),
    Case(
        "veth",
        {},
        "192.168.15.1/24 on veth-red overlaps the route 192.168.0.0/16 dev eth0 that is already there in namespace "
        "red; traffic of one of the two would be lost. Choose another subnet, or set allow_overlap: true.",
        _but(LAB, _route(RED, "192.168.0.0/16", "eth0")),
    ),
    Case(
        "veth",
        {"hairpin": True},
        "hairpin: veth-red in namespace red is not a port of a bridge, and only a port can reflect packets. Name "
        "its bridge.",
        State(LAB),
    ),
    Case(
        "bridge",
        {},
        "v-net-0 is a veth interface, not a bridge. Choose another name for the bridge.",
        _but(LAB, replace(BRIDGE, kind="veth", options=None)),
    ),
    Case(
        "bridge",
        {"state": "absent"},
        "v-net-0 is a physical interface, not a bridge. Choose another name for the bridge.",
        _but(LAB, replace(BRIDGE, kind="physical", options=None)),
    ),
    Case(
        "bridge",
        {"state": "absent"},
        "bridge v-net-0 was not made by this collection, so it is not removed. Remove it with the tool that made "
        "it, or set force: true.",
        _but(LAB, replace(BRIDGE, group=0)),
    ),
    Case(
        "bridge",
        {},
        "ports: interface veth-red-br does not exist. Create it first, for example with the veth module.",
        _without(LAB, PORT),
    ),
    Case(
        "bridge",
        {},
        "192.168.15.5/24 on v-net-0 overlaps the route 192.168.15.0/25 dev eth0 that is already there; traffic of "
        "one of the two would be lost. Choose another subnet, or set allow_overlap: true.",
        _but(LAB, _route(OUT, "192.168.15.0/25", "eth0")),
    ),
    Case(
        "bridge",
        {"vlan_filtering": True},
        "vlan_filtering: this kernel's bridge can't do that (it was built without CONFIG_BRIDGE_VLAN_FILTERING). "
        "Remove the option, or use another kernel.",
        _but(LAB, Pristine(replace(OPTIONS, vlan_filtering=None))),
    ),
    Case(
        "bridge",
        {"forward_delay": 0},
        "forward_delay: 0 seconds is too short while the bridge's spanning tree runs. Set stp: false, or give 2 to 30.",
        _but(LAB, replace(BRIDGE, options=replace(OPTIONS, stp=True))),
    ),
    Case(
        "ip_route_ns",
        {"gateway": "192.168.16.5"},
        "gateway 192.168.16.5 is not on-link in namespace red, so the kernel could not reach it. The connected "
        "networks are 192.168.15.0/24 (veth-red). Choose a gateway in one of them, or set onlink: true with a "
        "device.",
        State(WAYS),
    ),
    Case(
        "ip_route_ns",
        {},
        "gateway 192.168.15.5 is not on-link in namespace red, so the kernel could not reach it. No network is "
        "connected: no interface has an address and is up. Choose a gateway in one of them, or set onlink: true "
        "with a device.",
        State(WAYS[:2]),
    ),
    Case(
        "ip_route_ns",
        {"device": "lo"},
        "gateway 192.168.15.5 is not on-link in namespace red, so the kernel could not reach it. The connected "
        "networks are 192.168.15.0/24 (veth-red). Choose a gateway in one of them, or set onlink: true with a "
        "device.",
        State(WAYS),
    ),
    Case(
        "ip_route_ns",
        {"device": "veth-rde"},
        "interface veth-rde does not exist in namespace red. Present: lo, veth-red. Name one of these, or create "
        "it first.",
        State(WAYS),
    ),
    Case(
        "ip_route_ns",
        {"device": "veth-red"},
        "interface veth-red is down in namespace red, and a route through it can't be kept. Bring it up first.",
        _but(WAYS, Device(RED, "veth-red", False)),
    ),
    Case(
        "ip_route_ns",
        {"state": "absent", "gateway": LEFT_OUT},
        "the route default dev veth-red in namespace red was not made by this collection, so it is not removed. "
        "Remove it with the tool that made it, or set force: true.",
        _but(WAYS, _route(RED, "0.0.0.0/0", "veth-red")),
    ),
    Case(
        "nat_masquerade",
        {"source": "fd00:15::/64"},
        "the kernel has no setting net.ipv6.conf.all.forwarding; check its name, and that its protocol or module is there.",
        State([FORWARDS]),
    ),
    Case(
        "dnat_forward",
        {"loopback": True},
        "loopback: true needs a route to to_address 192.168.15.2, and there is none. Create the bridge or the "
        "route to it first.",
        State([FORWARDS]),
    ),
    Case(
        "dnat_forward",
        {"port": "80-90"},
        "tcp 80-90 ipv4 is forwarded already: the forward of tcp 80 ipv4 to 192.168.15.2 takes in the same "
        "packets. Remove that one with state: absent, or choose another port, address or in_interface.",
        FORWARDED,
    ),
    Case(
        "dnat_forward",
        {"address": "203.0.113.1"},
        "tcp 80 ipv4 at 203.0.113.1 is forwarded already: the forward of tcp 80 ipv4 to 192.168.15.2 takes in the "
        "same packets. Remove that one with state: absent, or choose another port, address or in_interface.",
        FORWARDED,
    ),
    Case(
        "dnat_forward",
        {},
        "nginx (pid 812) listens on tcp 0.0.0.0:80, and would not be reached any more. Stop it, choose another port "
        "or address, or set force: true to forward the port all the same.",
        _but([FORWARDS], Listening(OUT, 4, "tcp", 80, ipaddress.ip_address("0.0.0.0"), None, ("nginx (pid 812)",))),
    ),
]
"""What is refused for what is there."""
