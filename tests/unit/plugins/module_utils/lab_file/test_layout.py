# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a lab file to the lab: the red and blue lab, cables of all kinds, bridges inside of namespaces, what stands on what."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._objects.impairment import Impairment
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import Peer
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_options import (
    NEW_BRIDGE,
    BridgeOptions,
    MacvlanOptions,
    VlanOptions,
    VxlanOptions,
)
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import topology_drawings as lab
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_drawings import laid, link, node

# ---- red and blue


def test_the_red_and_blue_lab_has_its_links_where_they_belong() -> None:
    spec = laid(lab.RED_BLUE)
    found = {each.netns: [(part.kind, part.name, part.bridge) for part in each.links] for each in spec.nodes}
    assert found == {
        None: [("bridge", "v-net-0", None), ("veth", "veth-red-br", "v-net-0"), ("veth", "veth-blue-br", "v-net-0")],
        "red": [("veth", "veth-red", None)],
        "blue": [("veth", "veth-blue", None)],
    }


def test_both_ends_of_a_cable_know_each_other_and_say_where_the_file_has_them() -> None:
    spec = laid(lab.RED_BLUE)
    inner, outer = link(spec, "red/veth-red"), link(spec, "/veth-red-br")
    assert (inner.peer, outer.peer) == (Peer(None, "veth-red-br"), Peer("red", "veth-red"))
    assert inner.path == outer.path == ("namespaces", "red", "interfaces", "veth-red")
    assert (outer.addresses, outer.hairpin, inner.hairpin) == ((), False, None)


def test_default_routes_lead_through_the_interface_whose_network_has_the_gateway() -> None:
    routes = node(laid(lab.RED_BLUE), "red").routes
    assert [route.title for route in routes] == [
        "default via 192.168.15.5 dev veth-red",
        "default via fd15::5 dev veth-red",
    ]
    assert {route.netns for route in routes} == {"red"}


def test_on_the_host_translation_switches_forwarding_on_for_itself_and_gives_it_back() -> None:
    host = node(laid(lab.RED_BLUE), None)
    assert [str(each.spec) for each in host.masquerades] == ["192.168.15.0/24"]
    assert [str(spec) for spec in host.forwards[0].bare] == [
        "tcp 80 ipv4 to 192.168.15.2:80",
        "tcp 80 ipv6 to [fd15::2]:80",
    ]
    assert host.masquerades[0].forwarding and host.forwards[0].forwarding
    assert host.sysctls == ()


def test_in_a_namespace_forwarding_is_a_setting_of_its_own() -> None:
    router = node(
        laid("""
            namespaces:
              router:
                interfaces: {d0: {dummy: true, addresses: 10.0.0.1/24}}
                sysctls: {net.ipv4.conf.all.rp_filter: 2}
                masquerade: [{source: 10.0.0.0/8, out_interface: d0}, {source: "fd00::/8"}]
        """),
        "router",
    )
    assert router.sysctls == (
        ("net.ipv4.conf.all.rp_filter", "2"),
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv6.conf.all.forwarding", "1"),
    )
    assert [(each.netns, each.forwarding) for each in router.masquerades] == [("router", False)] * 2


def test_a_setting_that_is_there_already_is_not_set_twice() -> None:
    text = "namespaces: {r: {sysctls: {net/ipv4/ip_forward: 1}, masquerade: {source: 10.0.0.0/8}}}"
    assert node(laid(text), "r").sysctls == (("net/ipv4/ip_forward", "1"),)


def test_who_forwards_on_his_own_account_gets_no_setting() -> None:
    text = "namespaces: {r: {masquerade: {source: 10.0.0.0/8, forwarding: false}}}"
    assert node(laid(text), "r").sysctls == ()


def test_an_empty_lab_and_one_of_names_only_are_labs() -> None:
    assert laid("").namespaces == ()
    assert [each.netns for each in laid("namespaces: {red: , blue: {}}").namespaces] == ["red", "blue"]


def test_what_belongs_to_nobody_may_be_kept_under_x() -> None:
    spec = laid("""
        x-host: &host {interfaces: {eth0: {bridge: br0, addresses: auto}}}
        bridges: {br0: {addresses: 10.0.0.1/24}}
        namespaces: {red: *host, blue: *host}
    """)
    assert lab.addresses(spec, "blue/eth0") == ["10.0.0.3/24"]


def test_one_anchor_may_serve_things_of_different_kinds() -> None:
    spec = laid("""
        x-small: &small {mtu: 1400}
        bridges: {br0: *small}
        interfaces: {e0: *small}
        namespaces: {red: {interfaces: {e0: {cable: /e0}}}}
    """)
    assert [(each.kind, each.mtu) for each in spec.host.links] == [("bridge", 1400), ("veth", 1400)]


# ---- cables


def test_a_cable_is_named_at_one_end_or_at_both() -> None:
    one = laid(
        "namespaces: {red: {interfaces: {a: {cable: blue/b}}}, blue: {interfaces: {b: {addresses: 10.0.0.1/30}}}}"
    )
    both = laid(
        "namespaces: {red: {interfaces: {a: {cable: blue/b}}}, blue: {interfaces: {b: {cable: red/a, addresses: 10.0.0.1/30}}}}"
    )
    assert one.namespaces == both.namespaces
    assert link(one, "red/a").peer == Peer("blue", "b")
    assert lab.addresses(one, "blue/b") == ["10.0.0.1/30"]


def test_an_end_that_is_named_nowhere_else_is_made() -> None:
    spec = laid(
        "namespaces: {red: {interfaces: {a: {cable: blue/b, mtu: 9000}}}, blue: {interfaces: {c: {dummy: true}}}}"
    )
    made = link(spec, "blue/b")
    assert (made.peer, made.mtu, made.addresses) == (Peer("red", "a"), 9000, ())
    assert made.path == ("namespaces", "red", "interfaces", "a")
    assert [each.name for each in node(spec, "blue").links] == ["c", "b"]


def test_a_cable_to_the_host_begins_with_a_slash() -> None:
    spec = laid("""
        interfaces: {to-red: {cable: red/eth9, addresses: 10.0.0.1/30}}
        namespaces: {red: , blue: {interfaces: {eth0: {cable: /to-blue}}}}
    """)
    assert [(each.name, each.peer) for each in spec.host.links] == [
        ("to-red", Peer("red", "eth9")),
        ("to-blue", Peer("blue", "eth0")),
    ]
    assert link(spec, "red/eth9").peer == Peer(None, "to-red")


def test_both_ends_of_a_cable_may_be_in_one_namespace() -> None:
    spec = laid("namespaces: {red: {interfaces: {a: {cable: red/b}}}}")
    assert (link(spec, "red/a").peer, link(spec, "red/b").peer) == (Peer("red", "b"), Peer("red", "a"))


def test_bridges_of_namespaces_have_ports_of_their_own_and_from_elsewhere() -> None:
    spec = laid("""
        namespaces:
          sw1:
            bridges: {br0: {stp: true, mac: "02:00:00:00:00:01"}}
            interfaces: {up: {cable: sw2/down, master: br0, hairpin: true}}
          sw2:
            bridges: {br0: }
            interfaces: {down: {master: br0}}
          pc: {interfaces: {eth0: {bridge: sw1/br0, hairpin: true}}}
    """)
    assert [(each.name, each.bridge, each.hairpin) for each in node(spec, "sw1").links] == [
        ("br0", None, None),
        ("up", "br0", True),
        ("pc-eth0", "br0", True),
    ]
    assert [(each.name, each.bridge, each.hairpin) for each in node(spec, "sw2").links] == [
        ("br0", None, None),
        ("down", "br0", False),
    ]
    assert link(spec, "sw1/br0").options == BridgeOptions(True, 15.0, 300.0, False, True)
    assert link(spec, "sw1/br0").mac == "02:00:00:00:00:01"


def test_a_port_at_both_ends_says_hairpin_of_its_own_end() -> None:
    spec = laid("""
        bridges: {br0: }
        namespaces: {sw: {bridges: {in: }, interfaces: {up: {bridge: br0, master: in, hairpin: true}}}}
    """)
    assert (link(spec, "sw/up").bridge, link(spec, "sw/up").hairpin) == ("in", True)
    assert (link(spec, "/sw-up").bridge, link(spec, "/sw-up").hairpin) == ("br0", False)


def test_everything_that_can_be_said_of_an_end_arrives() -> None:
    spec = laid("""
        bridges: {br0: {up: false, mtu: 9000, ageing_time: 10, allow_overlap: true}}
        namespaces:
          red:
            interfaces:
              eth0:
                bridge: br0
                port: plug
                addresses: 10.0.0.1/24
                mac: 02-00-00-00-00-AA
                mtu: 1400
                up: false
                allow_overlap: true
                impair: {delay: 10ms, loss: 1%, rate: 10mbit}
    """)
    found = link(spec, "red/eth0")
    assert (found.mac, found.mtu, found.up, found.overlap) == ("02:00:00:00:00:aa", 1400, False, True)
    assert found.impairment == Impairment(delay=0.01, loss=1.0, rate=10_000_000)
    port = link(spec, "/plug")
    assert (port.mtu, port.up, port.impairment, port.overlap, port.mac) == (1400, True, None, False, None)
    bridge = link(spec, "/br0")
    assert (bridge.up, bridge.mtu, bridge.overlap, bridge.options) == (
        False,
        9000,
        True,
        BridgeOptions(False, 15.0, 10.0, False, True),
    )
    assert laid("bridges: {br0: }").host.links[0].options == NEW_BRIDGE


@pytest.mark.parametrize("mtu", ["1400", "'1400'", "1400.0"])
def test_a_whole_number_may_be_written_as_text_or_with_a_point(mtu: str) -> None:
    found = laid(f"bridges: {{br0: {{mtu: {mtu}}}}}").host.links[0].mtu
    assert (found, type(found)) == (1400, int)


def test_links_are_in_the_order_of_the_file_bridges_first_and_ports_from_elsewhere_last() -> None:
    spec = laid("""
        namespaces:
          a: {interfaces: {x: {bridge: sw/br1}}}
          sw:
            interfaces: {e2: {bridge: sw/br0}, e1: {dummy: true}}
            bridges: {br1: , br0: }
          b: {interfaces: {x: {cable: sw/extra}}}
    """)
    assert [each.name for each in node(spec, "sw").links] == ["br1", "br0", "e2", "e1", "extra", "a-x", "sw-e2"]
    assert [each.netns for each in spec.namespaces] == ["a", "sw", "b"]


@pytest.mark.parametrize(
    ("sw2", "end"),
    [
        ("br0: {stp: true}", "master: br0"),
        ("br0: {vlan_filtering: true}", "master: br0"),
        ("br0: ", "master: br0, up: false"),
    ],
)
def test_bridges_may_form_a_loop_where_somebody_sees_to_it(sw2: str, end: str) -> None:
    spec = laid(f"""
        bridges: {{br0: }}
        namespaces:
          sw1: {{bridges: {{br0: }}, interfaces: {{up: {{bridge: br0, master: br0}}, a: {{cable: sw2/a, master: br0}}}}}}
          sw2: {{bridges: {{{sw2}}}, interfaces: {{up: {{bridge: br0, {end}}}, a: {{master: br0}}}}}}
    """)
    assert link(spec, "sw2/up").bridge == "br0"


# ---- what stands on what


def test_vlans_and_the_like_stand_on_their_parents_with_all_their_options() -> None:
    spec = laid("""
        namespaces:
          red:
            interfaces:
              eth0: {cable: blue/eth0, mtu: 9000, addresses: 10.0.0.1/24}
              v10: {vlan: {parent: eth0, id: "10", protocol: 802.1ad}}
              mv0: {macvlan: {parent: v10, mode: vepa}}
              vx0: {vxlan: {id: 42, local: 10.0.0.1, remote: 10.0.0.2, port: 8472, parent: eth0, ttl: 64, learning: false}}
              vx1: {vxlan: {id: 43}}
              d0: {dummy: true, addresses: [10.9.9.9/32]}
          blue:
    """)
    found = {name: link(spec, f"red/{name}") for name in ("v10", "mv0", "vx0", "vx1", "d0")}
    assert {name: each.kind for name, each in found.items()} == {
        "v10": "vlan",
        "mv0": "macvlan",
        "vx0": "vxlan",
        "vx1": "vxlan",
        "d0": "dummy",
    }
    assert found["v10"].options == VlanOptions(10, "802.1ad")
    assert found["mv0"].options == MacvlanOptions("vepa")
    one, two = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")
    assert found["vx0"].options == VxlanOptions(42, one, two, 8472, 64, False)
    assert found["vx1"].options == VxlanOptions(43)
    assert {name: each.parent for name, each in found.items()} == {
        "v10": "eth0",
        "mv0": "v10",
        "vx0": "eth0",
        "vx1": None,
        "d0": None,
    }


@pytest.mark.parametrize(
    ("below", "above", "mtu"),
    [
        ("mtu: 9000", "vlan: {parent: eth0, id: 1}", 9000),
        ("mtu: 9000", "vlan: {parent: eth0, id: 1}, mtu: 8000", 8000),
        ("mtu: 1400", "macvlan: {parent: eth0}", 1400),
        ("mtu: 9000", "vxlan: {parent: eth0, id: 1}", 1450),
        ("mtu: 1400", "vxlan: {parent: eth0, id: 1}", 1350),
        ("mtu: 1500", "vxlan: {parent: eth0, id: 1, remote: 'fd00::1'}", 1430),
        ("mtu: 1400", "vxlan: {id: 1}", 1450),
        ("mtu: 9000", "vxlan: {parent: eth0, id: 1}, mtu: 8950", 8950),
        ("mtu: 1400", "dummy: true", 1500),
    ],
)
def test_an_mtu_that_is_not_given_is_the_largest_that_is_usual_and_fits(below: str, above: str, mtu: int) -> None:
    spec = laid(f"namespaces: {{red: {{interfaces: {{up0: {{{above}}}, eth0: {{cable: red/eth1, {below}}}}}}}}}")
    assert link(spec, "red/up0").mtu == mtu


def test_a_stack_is_settled_from_below_whatever_the_order_of_the_file() -> None:
    spec = laid("""
        namespaces:
          red:
            interfaces:
              top: {macvlan: {parent: middle}}
              middle: {vlan: {parent: br0, id: 5}}
            bridges: {br0: {mtu: 4000}}
    """)
    assert (link(spec, "red/top").mtu, link(spec, "red/middle").parent) == (4000, "br0")


def test_a_vlan_may_be_led_back_into_the_bridge_that_its_parent_is_a_port_of() -> None:
    spec = laid("""
        bridges: {br0: {addresses: 10.0.0.1/24}}
        interfaces:
          d0: {dummy: true, master: br0}
          v5: {vlan: {parent: d0, id: 5}, master: br0}
          v6: {vlan: {parent: v5, id: 6}, master: br0}
    """)
    assert [each.bridge for each in spec.host.links] == [None, "br0", "br0", "br0"]


def test_a_vlan_is_one_segment_whoever_has_it_and_another_than_the_untagged_one() -> None:
    text = """
        bridges: {br0: }
        namespaces:
          red:
            bridges: {in: }
            interfaces:
              up: {bridge: br0, master: in}
              v5: {vlan: {parent: in, id: 5}, addresses: 10.0.0.1/24}
          blue:
            interfaces:
              eth0: {bridge: br0, addresses: ADDRESS}
              v5: {vlan: {parent: eth0, id: NUMBER}, addresses: 10.0.0.1/24}
    """
    laid(text.replace("ADDRESS", "10.0.1.1/24").replace("NUMBER", "6"))
    found = lab.refusal(text.replace("ADDRESS", "10.0.1.1/24").replace("NUMBER", "5"))
    assert "10.0.0.1 is the address of v5 of red too" in found["namespaces.blue.interfaces.v5.addresses"][0]


def test_a_vlan_inside_of_a_vlan_is_one_segment_too_whichever_is_seen_first() -> None:
    found = lab.refusal("""
        bridges: {br0: }
        namespaces:
          red:
            bridges: {in: }
            interfaces:
              v5: {vlan: {parent: in, id: 5}, addresses: 10.0.0.1/24}
              eth0: {bridge: br0}
              v7: {vlan: {parent: eth0, id: 7}, master: in}
          blue:
            interfaces:
              eth0: {bridge: br0}
              v7: {vlan: {parent: eth0, id: 7}}
              v5: {vlan: {parent: v7, id: 5}, addresses: 10.0.0.1/24}
    """)
    assert set(found) == {"namespaces.blue.interfaces.v5.addresses"}


def test_on_the_host_something_may_stand_on_an_interface_that_the_file_does_not_have() -> None:
    found = link(laid("interfaces: {mv0: {macvlan: {parent: eth7}}}"), "/mv0")
    assert (found.parent, found.mtu) == ("eth7", 1500)


# ---- routes, settings, name servers


def test_routes_take_what_the_route_module_takes() -> None:
    text = """
        namespaces:
          red:
            interfaces:
              a: {cable: red/b, addresses: [10.0.0.1/24, "fd00::1/64"]}
              c: {dummy: true, addresses: 10.0.1.1/24}
            gateway: 10.0.0.254
            routes:
              - {destination: 10.1.0.0/16, gateway: 10.0.0.2, metric: 7, table: 100, mtu: 1400, source: 10.0.1.1}
              - {destination: 10.2.0.0/16, device: c}
              - {destination: 10.3.0.0/16, type: blackhole}
              - {destination: 10.4.0.0/16, gateway: 172.16.0.1, device: a, onlink: true}
              - {destination: "fd01::/64", gateway: "fe80::1", device: a}
              - {destination: 10.5.0.0/16, nexthops: [{gateway: 10.0.0.3, weight: "2"}, {gateway: 10.0.1.3}]}
    """
    assert [route.title for route in node(laid(text), "red").routes] == [
        "default via 10.0.0.254 dev a",
        "10.1.0.0/16 via 10.0.0.2 dev a src 10.0.1.1 metric 7 table 100 mtu 1400",
        "10.2.0.0/16 dev c",
        "blackhole 10.3.0.0/16",
        "10.4.0.0/16 via 172.16.0.1 dev a onlink",
        "fd01::/64 via fe80::1 dev a",
        "10.5.0.0/16 nexthop via 10.0.0.3 dev a weight 2 nexthop via 10.0.1.3 dev c weight 1",
    ]


def test_of_several_networks_with_the_gateway_the_narrowest_leads_there() -> None:
    text = """
        namespaces:
          red:
            interfaces:
              wide: {dummy: true, addresses: 10.0.0.1/8}
              narrow: {dummy: true, addresses: 10.1.0.1/16}
            gateway: 10.1.0.9
    """
    assert node(laid(text), "red").routes[0].device == "narrow"


def test_a_device_that_is_named_is_the_way_even_beside_a_narrower_network() -> None:
    text = """
        namespaces:
          red:
            interfaces:
              wide: {dummy: true, addresses: 10.0.0.1/8}
              narrow: {dummy: true, addresses: 10.1.0.1/16}
            routes: {destination: default, gateway: 10.1.0.9, device: wide}
    """
    assert node(laid(text), "red").routes[0].device == "wide"


def test_single_and_link_local_addresses_may_be_on_several_interfaces() -> None:
    spec = laid("""
        namespaces:
          red:
            interfaces:
              a: {dummy: true, addresses: [10.9.9.9/32, fe80::1/64]}
              b: {dummy: true, addresses: [10.9.9.9/32, fe80::1/64]}
    """)
    assert lab.addresses(spec, "red/a") == lab.addresses(spec, "red/b") == ["10.9.9.9/32", "fe80::1/64"]


def test_a_bridge_takes_1023_ports() -> None:
    text = "bridges: {br0: }\nnamespaces: {'r{n}': {count: 1023, interfaces: {e: {bridge: br0}}}}"
    assert len(laid(text).host.links) == 1024


def test_a_gateway_of_the_host_may_be_where_only_the_host_knows() -> None:
    text = """
        bridges: {br0: {addresses: 10.0.0.1/24}}
        routes: [{destination: 10.1.0.0/16, gateway: 10.0.0.2}, {destination: 10.2.0.0/16, gateway: 192.0.2.1}]
    """
    assert [route.device for route in laid(text).host.routes] == ["br0", None]


def test_settings_and_name_servers_arrive_as_text() -> None:
    text = """
        namespaces:
          red:
            sysctls: {net.ipv4.ip_forward: true, net.ipv4.tcp_rmem: "4096  8192   16384", net.core.somaxconn: 12}
            nameservers: 192.0.2.53
          blue: {nameservers: []}
          grey:
    """
    spec = laid(text)
    assert node(spec, "red").sysctls == (
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.tcp_rmem", "4096 8192 16384"),
        ("net.core.somaxconn", "12"),
    )
    assert [each.nameservers for each in spec.namespaces] == [("192.0.2.53",), (), None]


# ---- forwards


def test_a_forward_to_a_namespace_takes_its_address_next_door() -> None:
    text = """
        bridges: {br0: {addresses: [10.0.0.1/24, "fd00::1/64"]}}
        forwards: [{protocol: tcp, port: 80, to: blue}, {protocol: udp, port: 53, to: blue, sources: ["fd00::/8"]}]
        namespaces:
          blue:
            interfaces:
              inside: {dummy: true, addresses: [10.9.0.1/24, "fd09::1/64"]}
              eth0: {bridge: br0, addresses: auto}
    """
    found = laid(text).host.forwards
    assert [[str(spec) for spec in each.bare] for each in found] == [
        ["tcp 80 ipv4 to 10.0.0.2:80", "tcp 80 ipv6 to [fd00::2]:80"],
        ["udp 53 ipv6 to [fd00::2]:53"],
    ]


def test_a_forward_from_a_namespace_goes_by_its_routes_where_nothing_is_next_door() -> None:
    text = """
        namespaces:
          edge:
            interfaces: {eth0: {cable: router/eth0, addresses: 10.0.0.1/24}}
            gateway: 10.0.0.2
            forwards: {protocol: tcp, port: 8080, in_interface: eth0, to: blue, to_port: 80}
          router: {interfaces: {eth0: {addresses: 10.0.0.2/24}, eth1: {cable: blue/eth0, addresses: 10.1.0.1/24}}}
          blue: {interfaces: {eth0: {addresses: [10.1.0.2/24, "fd00::1/64"]}}}
    """
    (forward,) = node(laid(text), "edge").forwards
    assert [str(spec) for spec in forward.bare] == ["tcp 8080 ipv4 in eth0 to 10.1.0.2:80"]
    assert (forward.netns, forward.forwarding) == ("edge", False)


def test_one_port_may_be_forwarded_for_two_addresses() -> None:
    text = """
        forwards:
          - {protocol: tcp, port: 80, address: 192.0.2.1, to_address: 10.0.0.1}
          - {protocol: tcp, port: 80, address: 192.0.2.2, to_address: 10.0.0.2}
          - {protocol: udp, port: 80, to_address: 10.0.0.2}
    """
    assert len(laid(text).host.forwards) == 3
