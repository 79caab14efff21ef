# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be written into a lab file, proved with packets: who reaches whom, and who answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from box import EXT4, EXT6, HOST4, HOST6, Box
from lab_scenes import EDITED, MIXED, RED_BLUE, Lab, build, bystanders, changed
from lab_traces import files, traces, whole
from packets import AT_ONCE, SHORT

BOTH = ["192.168.15.{}/24", "fd15::{}/64"]


def plain(text: str) -> str:
    """An address without its prefix length."""
    return text.split("/")[0]


# ---- the whole


@pytest.mark.smoke
def test_check_mode_foresees_a_lab_that_is_built_once_and_removed_without_a_trace(box: Box) -> None:
    bystanders(box)
    before = whole(box)
    result = box.checked("topology", definition=RED_BLUE)
    assert result.object == {
        "name": "red-blue",
        "namespaces": ["red", "blue"],
        "addresses": {
            "/v-net-0": ["192.168.15.5/24", "fd15::5/64"],
            "red/veth-red": ["192.168.15.1/24", "fd15::1/64"],
            "blue/veth-blue": ["192.168.15.2/24", "fd15::2/64"],
        },
        "names": {},
    }
    for target in ("192.168.15.2", "192.168.15.5", "fd15::2", "fd15::5"):
        assert box.ping("red", target).rtt < AT_ONCE
    gone = box.run("topology", definition=RED_BLUE, state="absent")
    assert gone.changed
    left = traces(before, whole(box))
    assert left == [], "\n".join(left)
    assert files("/run/patchbay.netns") == {}
    assert not box.run("topology", definition=RED_BLUE, state="absent").changed


@pytest.mark.parametrize("lab", [MIXED, EDITED], ids=["mixed", "edited"])
def test_a_bit_of_everything_is_what_the_file_says(box: Box, lab: Lab) -> None:
    bystanders(box)
    before = whole(box)
    build(box, lab)
    box.run("topology", name="mixed", state="absent")
    left = traces(before, whole(box))
    assert left == [], "\n".join(left)


def test_every_packet_of_a_new_lab_arrives_at_once(box: Box) -> None:
    """In both families, from the first one on: nothing waits for duplicate detection, carriers or a spanning tree."""
    lab = {
        "name": "ready",
        "bridges": {"br": {"addresses": ["10.5.0.254/24", "fd05::fe/64"]}},
        "namespaces": {"n{n}": {"count": 10, "interfaces": {"eth0": {"bridge": "br", "addresses": "auto"}}}},
    }
    addresses = box.run("topology", definition=lab).object["addresses"]
    for number in range(1, 10):
        for text in addresses[f"n{number + 1}/eth0"]:
            answer = box.ping(f"n{number}", plain(text))
            assert answer and answer.rtt < AT_ONCE, (number, text, answer)


# ---- bridges


def test_a_bridge_without_addresses_is_no_way_to_the_host(box: Box) -> None:
    lab = changed(RED_BLUE, lambda lab: lab["bridges"]["v-net-0"].pop("addresses"))
    for node in lab["namespaces"].values():
        del node["gateway"]
    build(box, lab)
    assert box.ping("red", "192.168.15.2")
    assert box.ping("red", "fd15::2")
    assert not box.ping("red", "192.168.15.5", timeout=SHORT)
    assert not box.link("v-net-0")["addr_info"]


def test_a_namespace_can_be_a_switch(box: Box) -> None:
    lab = {
        "name": "switched",
        "namespaces": {
            "sw": {"bridges": {"br0": {}}},
            "a": {"interfaces": {"eth0": {"bridge": "sw/br0", "addresses": ["10.1.0.1/24", "fd01::1/64"]}}},
            "b": {"interfaces": {"eth0": {"bridge": "sw/br0", "addresses": ["10.1.0.2/24", "fd01::2/64"]}}},
            "c": {"interfaces": {"eth0": {"cable": "sw/to-c", "addresses": ["10.1.0.3/24", "fd01::3/64"]}}},
        },
    }
    lab["namespaces"]["sw"]["interfaces"] = {"to-c": {"master": "br0"}}
    build(box, lab)
    for target in ("10.1.0.2", "10.1.0.3", "fd01::2", "fd01::3"):
        assert box.ping("a", target).source == target
    assert [link for link in box.ip("link show", json=True) if link["ifname"] not in ("lo", "sit0")] == []


def test_a_namespace_can_be_a_router(box: Box) -> None:
    lab = {
        "name": "routed",
        "namespaces": {
            "gw": {
                "bridges": {
                    "left": {"addresses": ["10.1.0.1/24", "fd01::1/64"]},
                    "right": {"addresses": ["10.2.0.1/24", "fd02::1/64"]},
                },
                "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1},
            },
            "a": {
                "interfaces": {"eth0": {"bridge": "gw/left", "addresses": "auto"}},
                "gateway": ["10.1.0.1", "fd01::1"],
            },
            "b": {
                "interfaces": {"eth0": {"bridge": "gw/right", "addresses": "auto"}},
                "gateway": ["10.2.0.1", "fd02::1"],
            },
        },
    }
    result = build(box, lab)
    server = box.serve("b", 8080)
    for text in result.object["addresses"]["b/eth0"]:
        answer = box.tcp("a", plain(text), 8080)
        assert answer.token == server.token
        assert answer.seen[0] in map(plain, result.object["addresses"]["a/eth0"])


def test_a_spanning_tree_breaks_a_loop_and_the_lab_talks(box: Box) -> None:
    lab = {
        "name": "loop",
        "namespaces": {
            "sw1": {
                "bridges": {"br0": {"stp": True, "forward_delay": 2}},
                "interfaces": {
                    "one": {"cable": "sw2/one", "master": "br0"},
                    "two": {"cable": "sw2/two", "master": "br0"},
                },
            },
            "sw2": {
                "bridges": {"br0": {"stp": True, "forward_delay": 2}},
                "interfaces": {"one": {"master": "br0"}, "two": {"master": "br0"}},
            },
            "a": {"interfaces": {"eth0": {"bridge": "sw1/br0", "addresses": "10.1.0.1/24"}}},
            "b": {"interfaces": {"eth0": {"bridge": "sw2/br0", "addresses": "10.1.0.2/24"}}},
        },
    }
    build(box, lab)
    box.until(lambda: box.ping("a", "10.1.0.2", timeout=0.2), timeout=15)
    ports = box.bridge("link show", json=True, netns="sw1") + box.bridge("link show", json=True, netns="sw2")
    assert "blocking" in [port["state"] for port in ports]


# ---- cables


def test_cables_between_namespaces_and_to_the_host(box: Box) -> None:
    lab = {
        "name": "cables",
        "interfaces": {"to-red": {"cable": "red/eth9", "addresses": ["10.0.0.1/30", "fd00::1/64"]}},
        "namespaces": {
            "red": {
                "interfaces": {
                    "eth9": {"addresses": ["10.0.0.2/30", "fd00::2/64"]},
                    "eth2": {"cable": "blue/eth2", "addresses": "10.0.1.1/30"},
                    "eth3": {"cable": "/red-host"},
                }
            },
            "blue": {"interfaces": {"eth2": {"cable": "red/eth2", "addresses": "10.0.1.2/30"}}},
        },
    }
    build(box, lab)
    assert box.ping(None, "10.0.0.2")
    assert box.ping(None, "fd00::2").rtt < AT_ONCE
    assert box.ping("red", "10.0.1.2")
    assert not box.ping("blue", "10.0.0.1", timeout=SHORT)
    assert box.link("red-host")["operstate"] == "UP"


def test_automatic_addresses_of_cables_are_pairs_of_the_pool(box: Box) -> None:
    lab = {
        "name": "pairs",
        "pool": ["10.200.0.0/29", "fd00:200::/64"],
        "namespaces": {
            "a": {
                "interfaces": {
                    "e1": {"cable": "b/e1", "addresses": "auto"},
                    "e2": {"cable": "c/e1", "addresses": "auto"},
                }
            },
            "b": {"interfaces": {"e1": {"addresses": "auto"}, "e2": {"cable": "c/e2", "addresses": "auto"}}},
            "c": {"interfaces": {"e1": {"addresses": "auto"}, "e2": {"addresses": "auto"}}},
        },
    }
    addresses = build(box, lab).object["addresses"]
    for one, other in (("a/e1", "b/e1"), ("a/e2", "c/e1"), ("b/e2", "c/e2")):
        for text in addresses[other]:
            assert text.endswith(("/31", "/127"))
            assert box.ping(one.partition("/")[0], plain(text))


def test_automatic_addresses_stay_when_others_come_and_go(box: Box) -> None:
    def of(names: str) -> Lab:
        return {
            "name": "stay",
            "bridges": {"br": {"addresses": ["10.5.0.1/24", "fd05::1/64"]}},
            "namespaces": {name: {"interfaces": {"eth0": {"bridge": "br", "addresses": "auto"}}} for name in names},
        }

    first = build(box, of("abc")).object["addresses"]
    fewer = build(box, of("ac")).object["addresses"]
    assert {key: fewer[key] for key in ("a/eth0", "c/eth0")} == {key: first[key] for key in ("a/eth0", "c/eth0")}
    more = build(box, of("xacy")).object["addresses"]
    assert {key: more[key] for key in ("a/eth0", "c/eth0")} == {key: first[key] for key in ("a/eth0", "c/eth0")}
    assert len({text for texts in more.values() for text in texts}) == 10
    box.run("topology", name="stay", state="absent")
    assert build(box, of("abc")).object["addresses"] == first, "the same file gives the same addresses"


# ---- templates and names


@pytest.mark.parametrize(
    ("key", "start", "names"),
    [
        ("n{n}", None, ["n1", "n2", "n3"]),
        ("n{n:03}", 9, ["n009", "n010", "n011"]),
        ("node", 0, ["node0", "node1", "node2"]),
    ],
)
def test_templates_of_namespaces(box: Box, key: str, start: int | None, names: list[str]) -> None:
    node: dict[str, Any] = {
        "count": 3,
        "interfaces": {
            "eth{n}": {"bridge": "br", "addresses": "auto"},
            "side": {"cable": "hub/to-{n}", "addresses": "10.9.{n}.1/24"},
        },
        "sysctls": {"net.ipv4.ip_forward": 1},
    }
    if start is not None:
        node["start"] = start
    lab = {"name": "many", "bridges": {"br": {"addresses": "10.5.0.1/24"}}, "namespaces": {key: node, "hub": {}}}
    addresses = build(box, lab).object["addresses"]
    assert box.names() == sorted([*names, "hub"])
    for number, name in enumerate(names, start=1 if start is None else start):
        assert box.ping(None, plain(addresses[f"{name}/eth{number}"][0]))
        assert box.addresses("side", name) == [f"10.9.{number}.1/24"]
        assert box.link(f"to-{number}", "hub")


def test_templates_of_bridges(box: Box) -> None:
    lab = {
        "name": "bridges",
        "bridges": {"br{n}": {"count": 3, "addresses": "10.5.{n}.1/24"}},
        "namespaces": {"n{n}": {"count": 3, "interfaces": {"eth0": {"bridge": "br{n}", "addresses": "auto"}}}},
    }
    build(box, lab)
    for number in (1, 2, 3):
        assert box.ping(f"n{number}", f"10.5.{number}.1")


def test_names_that_are_too_long_become_short_ones_that_differ(box: Box) -> None:
    long = ["an-interface-with-a-long-name", "an-interface-with-another-name", "schnittstelle-für-grüne"]
    lab = {
        "name": "long",
        "bridges": {"a-bridge-with-a-long-name": {"addresses": "10.5.0.1/24"}},
        "namespaces": {
            f"a-namespace-of-a-long-name-{number}": {
                "interfaces": {name: {"bridge": "a-bridge-with-a-long-name", "addresses": "auto"}}
            }
            for number, name in enumerate(long)
        },
    }
    result = build(box, lab)
    assert set(long) <= {key.split("/")[-1] for key in result.object["names"]}
    for key, short in result.object["names"].items():
        name = key.rsplit("/", 1)[-1]
        assert len(short.encode()) <= 15
        assert re.fullmatch(r".*-[0-9a-f]{6}", short)
        assert name.startswith(short[:-7])
    for number in range(3):
        assert box.ping(f"a-namespace-of-a-long-name-{number}", "10.5.0.1")
    assert build(box, lab).object["names"] == result.object["names"]


# ---- interfaces


def test_mtu_mac_port_hairpin_and_down(box: Box) -> None:
    def options(lab: Lab) -> None:
        lab["namespaces"]["red"]["interfaces"]["veth-red"].update(
            mtu=1400, mac="02:00:00:00:00:01", port="red-port", hairpin=True
        )
        lab["namespaces"]["blue"]["interfaces"]["eth5"] = {"cable": "red/eth5", "up": False}

    build(box, changed(RED_BLUE, options))
    assert box.link("red-port")["mtu"] == 1400
    assert box.ping("red", "192.168.15.2", size=1372, dont_fragment=True)
    with pytest.raises(OSError, match="too long"):
        box.ping("red", "192.168.15.2", size=1373, dont_fragment=True)
    assert box.neighbours("blue")["192.168.15.1"] == "02:00:00:00:00:01"
    assert box.bridge("link show dev red-port", json=True)[0]["hairpin"] is True
    assert box.link("eth5", "red")["operstate"] != "UP"


def test_macvlans_of_one_parent_see_each_other(box: Box) -> None:
    def add(lab: Lab) -> None:
        for name, number in (("red", 1), ("blue", 2)):
            lab["namespaces"][name]["interfaces"]["mv0"] = {
                "macvlan": {"parent": f"veth-{name}", "mode": "bridge"},
                "addresses": [f"10.43.0.{number}/24", f"fd43::{number}/64"],
            }

    build(box, changed(RED_BLUE, add))
    assert box.ping("red", "10.43.0.2")
    assert box.ping("red", "fd43::2").rtt < AT_ONCE
    assert box.ping("red", "192.168.15.2"), "the parent goes on"


def test_what_stands_on_an_interface_follows_it_to_another_name(box: Box) -> None:
    """The macvlan is made anew on the new cable, while the old cable is still there."""

    def of(parent: str) -> Lab:
        upper = {"macvlan": {"parent": parent, "mode": "bridge"}, "addresses": "10.43.0.1/24"}
        interfaces = {parent: {"bridge": "br", "addresses": "10.5.0.1/24"}, "mv0": upper}
        return {
            "name": "renamed",
            "bridges": {"br": {"addresses": "10.5.0.254/24"}},
            "namespaces": {"red": {"interfaces": interfaces}},
        }

    build(box, of("eth0"))
    build(box, of("eth1"))
    assert box.link("mv0", "red")["link"] == "eth1"
    assert box.ping("red", "10.5.0.254")


@pytest.mark.parametrize("version", [4, 6])
def test_a_vxlan_between_two_namespaces(box: Box, version: int) -> None:
    ends = ["10.0.0.1", "10.0.0.2"] if version == 4 else ["fd00::1", "fd00::2"]
    lab: Lab = {"name": "tunnel", "namespaces": {}}
    for name, here, there, number in (("a", *ends, 1), ("b", *reversed(ends), 2)):
        lab["namespaces"][name] = {
            "interfaces": {
                "eth0": {"addresses": f"{here}/{30 if version == 4 else 64}"},
                "vx0": {
                    "vxlan": {"id": 42, "local": here, "remote": there, "port": 4789, "ttl": 64, "parent": "eth0"},
                    "addresses": [f"10.42.0.{number}/24", f"fd42::{number}/64"],
                },
            }
        }
    lab["namespaces"]["a"]["interfaces"]["eth0"]["cable"] = "b/eth0"
    build(box, lab)
    assert box.ping("a", "10.42.0.2")
    assert box.ping("a", "fd42::2")
    most = (1500 - (50 if version == 4 else 70)) - 28
    assert box.ping("a", "10.42.0.2", size=most, dont_fragment=True)
    with pytest.raises(OSError, match="too long"):
        box.ping("a", "10.42.0.2", size=most + 1, dont_fragment=True)


# ---- routes, settings, name servers


def test_routes_through_a_namespace_and_of_other_kinds(box: Box) -> None:
    def add(lab: Lab) -> None:
        lab["namespaces"]["red"]["routes"] = [
            {"destination": "10.70.0.0/24", "gateway": "192.168.15.2", "metric": 5, "source": "192.168.15.1"},
            {"destination": "10.71.0.0/24", "type": "prohibit"},
            {"destination": "fd70::/64", "gateway": "fd15::2"},
            {
                "destination": "10.72.0.0/24",
                "nexthops": [{"gateway": "192.168.15.2"}, {"gateway": "192.168.15.5", "weight": 2}],
            },
            {"destination": "default", "gateway": "192.168.15.2", "table": "100"},
        ]
        lab["namespaces"]["blue"]["bridges"] = {"inner": {"addresses": ["10.70.0.1/24", "fd70::1/64"]}}
        lab["routes"] = [{"destination": "10.70.0.0/24", "gateway": "192.168.15.2"}]

    lab = changed(RED_BLUE, add)
    result = box.run("topology", definition=lab)
    assert result.changed
    assert not box.run("topology", definition=lab).changed
    for netns, target in (("red", "10.70.0.1"), ("red", "fd70::1"), (None, "10.70.0.1")):
        assert box.ping(netns, target).source == target
    assert box.ping("red", "10.71.0.1").outcome == "unreachable"
    routes = {(route["dst"], route.get("table")): route for route in box.routes("red")}
    assert routes["10.70.0.0/24", "main"]["prefsrc"] == "192.168.15.1"
    assert [hop["weight"] for hop in routes["10.72.0.0/24", "main"]["nexthops"]] == [1, 2]
    assert routes["default", "100"]["gateway"] == "192.168.15.2"
    box.run("topology", definition=RED_BLUE)
    assert box.ping("red", "10.70.0.1", timeout=SHORT).outcome != "reached"
    assert [route for route in box.routes("red") if route["protocol"] != "kernel"] == [
        route for route in box.routes("red") if route["dst"] == "default" and route["gateway"] == "192.168.15.5"
    ]


def test_settings_of_namespaces_and_of_the_host_are_given_back(box: Box) -> None:
    lab = changed(RED_BLUE, lambda lab: lab.update(sysctls={"net.ipv4.conf.all.rp_filter": 2}))
    lab["namespaces"]["red"]["sysctls"] = {"net.ipv4.ip_forward": True, "net.ipv4.ip_local_port_range": "20000 30000"}
    before = box.sysctl("net.ipv4.conf.all.rp_filter")
    box.sysctl("net.ipv4.conf.all.rp_filter", "1")
    build(box, lab)
    assert box.sysctl("net.ipv4.conf.all.rp_filter") == "2"
    assert box.sysctl("net.ipv4.ip_forward", netns="red") == "1"
    assert box.sysctl("net.ipv4.ip_forward", netns="blue") == "0"
    box.run("topology", name="red-blue", state="absent")
    assert box.sysctl("net.ipv4.conf.all.rp_filter") == "1"
    box.sysctl("net.ipv4.conf.all.rp_filter", before)


def test_name_servers_are_those_of_programs_inside(box: Box) -> None:
    lab = changed(RED_BLUE, lambda lab: lab["namespaces"]["red"].update(nameservers=["192.0.2.53", "2001:db8::53"]))
    build(box, lab)
    shown = box.tool("ip", "netns", "exec", "red", "cat", "/etc/resolv.conf")
    assert shown.splitlines()[-2:] == ["nameserver 192.0.2.53", "nameserver 2001:db8::53"]
    assert not Path("/etc/netns/blue").exists()
    box.run("topology", name="red-blue", state="absent")
    assert not Path("/etc/netns/red").exists()


# ---- translation


def test_a_way_out_and_a_way_in_through_the_host(box: Box) -> None:
    box.outside()
    lab = changed(
        RED_BLUE,
        lambda lab: lab.update(
            masquerade=[{"source": "192.168.15.0/24"}, {"source": "fd15::/64"}],
            forwards=[{"protocol": "tcp", "port": 8080, "to": "blue", "to_port": 80}],
        ),
    )
    build(box, lab)
    for target, own in ((EXT4, HOST4), (EXT6, HOST6)):
        outside = box.serve("ext", 9000, address=target)
        assert box.tcp("red", target, 9000).seen[0] == own
        outside.close()
    inside = box.serve("blue", 80)
    for target in (HOST4, HOST6):
        assert box.tcp("ext", target, 8080).token == inside.token
        assert box.tcp("red", target, 8080).token == inside.token
    box.run("topology", name="red-blue", state="absent")
    assert box.sysctl("net.ipv4.ip_forward") == box.sysctl("net.ipv6.conf.all.forwarding") == "0"
    assert box.tool("nft", "list", "ruleset") == ""
    assert box.tcp("ext", HOST4, 8080).outcome == "refused"


def test_a_namespace_translates_for_those_behind_it(box: Box) -> None:
    """One mapping stands for a list of one."""
    lab = {
        "name": "nat",
        "bridges": {"wan": {"addresses": "10.80.0.1/24"}},
        "namespaces": {
            "gw": {
                "bridges": {"lan": {"addresses": "10.81.0.1/24"}},
                "interfaces": {"wan0": {"bridge": "wan", "addresses": "10.80.0.2/24"}},
                "masquerade": {"source": "10.81.0.0/24", "out_interface": "wan0"},
                "forwards": {"protocol": "tcp", "port": 80, "to": "client"},
            },
            "client": {"interfaces": {"eth0": {"bridge": "gw/lan", "addresses": "auto"}}, "gateway": "10.81.0.1"},
        },
    }
    build(box, lab)
    host, client = box.serve(None, 9000), box.serve("client", 80)
    answer = box.tcp("client", "10.80.0.1", 9000)
    assert (answer.token, answer.seen[0]) == (host.token, "10.80.0.2")
    assert box.tcp(None, "10.80.0.2", 80).token == client.token
    assert box.sysctl("net.ipv4.ip_forward") == "0", "the host is no router"
    del lab["namespaces"]["gw"]["masquerade"]
    build(box, lab)
    assert box.tcp("client", "10.80.0.1", 9000, timeout=SHORT).outcome == "timeout"


def test_a_tunnel_can_get_another_name(box: Box) -> None:
    """Two interfaces with one VXLAN id can't be there at once: the old one has to make place."""
    tunnel = {"vxlan": {"id": 42, "local": "10.0.0.1", "remote": "10.0.0.2"}, "addresses": "10.42.0.1/24"}

    def lab(name: str) -> dict[str, Any]:
        ends = {"eth0": {"cable": "blue/eth0", "addresses": "10.0.0.1/24"}, name: tunnel}
        routes = [{"destination": "10.43.0.0/16", "gateway": "10.42.0.2"}]
        return {"name": "tunnels", "namespaces": {"red": {"interfaces": ends, "routes": routes}, "blue": {}}}

    box.run("topology", definition=lab("vx0"))
    box.run("topology", definition=lab("vx1"), verify=True)
    assert box.addresses("vx1", "red") == ["10.42.0.1/24"]
    assert box.link("vx0", "red") == {}
    assert [each["dev"] for each in box.routes("red") if each["dst"] == "10.43.0.0/16"] == ["vx1"]
    assert not box.run("topology", definition=lab("vx1")).changed
