# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run changes, as people read it in diff mode."""

from __future__ import annotations

import ipaddress
import textwrap
from dataclasses import replace

from ansible_collections.patchbay.netns.plugins.module_utils._objects.address import Address, PutAddress
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link import Link
from ansible_collections.patchbay.netns.plugins.module_utils._objects.link_steps import MakeLink
from ansible_collections.patchbay.netns.plugins.module_utils._topology import tree
from ansible_collections.patchbay.netns.plugins.module_utils._topology.lab import Lab
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_worlds import World, absent, lab, work

FILE = """
name: red-blue
bridges: {v-net-0: {mac: "02:00:00:00:00:01", addresses: 192.168.15.5/24}}
namespaces:
  red:
    interfaces:
      veth-red:
        bridge: v-net-0
        mac: "02:00:00:00:00:02"
        addresses: [192.168.15.1/24]
        impair: {delay: 10ms, loss: 1%}
    gateway: 192.168.15.5
    sysctls: {net.ipv4.ip_forward: 1}
    nameservers: [192.0.2.53, 192.0.2.54]
    masquerade: {source: 192.168.15.0/24}
    forwards: [{protocol: tcp, port: 80, to_address: 192.168.15.9}]
  blue:
"""


OPTIONS = "stp False, forward_delay 15.0, ageing_time 300.0, vlan_filtering False, multicast_snooping True"
"""Of a bridge of which the file says nothing else."""


def difference(world: World, wish: Lab) -> tuple[str, str]:
    """The texts before and after."""
    before, after = tree.difference(wish.name, work(world.plan(wish)))
    mac = world.get("link", None, "veth-red-br")
    return before, after.replace(mac.mac if mac else "?", "MAC")


def text(lines: str) -> str:
    return textwrap.dedent(lines).lstrip("\n")


def built() -> World:
    world = World()
    world.build(lab(FILE))
    return world


def test_a_lab_from_nothing_is_shown_namespace_by_namespace_and_interface_by_interface() -> None:
    before, after = tree.difference("lab red-blue", work(World().plan(lab(FILE))))
    port = built().get("link", None, "veth-red-br")
    assert before == ""
    assert after.replace(port.mac, "MAC") == text(f"""
        lab red-blue
          namespace red
            lo
              up
            veth-red
              veth, mtu 1500, 02:00:00:00:00:02, up, cable to veth-red-br on the host
              192.168.15.1/24
              impaired: delay 10ms, loss 1%, limit 1000
            net.ipv6.conf.default.accept_ra = 0
            net.ipv4.ip_forward = 1
            route default via 192.168.15.5 dev veth-red
            name servers 192.0.2.53, 192.0.2.54
            masquerade 192.168.15.0/24
            forward tcp 80 ipv4 to 192.168.15.9:80
          namespace blue
            lo
              up
            net.ipv6.conf.default.accept_ra = 0
          host
            v-net-0
              bridge, mtu 1500, 02:00:00:00:00:01, up, {OPTIONS}
              192.168.15.5/24
            veth-red-br
              veth, mtu 1500, MAC, up, cable to veth-red in red, port of v-net-0
        """)


def test_an_edit_shows_what_it_names_and_nothing_else() -> None:
    edited = FILE.replace("loss: 1%", "loss: 2%").replace("gateway: 192.168.15.5", "gateway: 192.168.15.6")
    edited = edited.replace("addresses: [192.168.15.1/24]", "addresses: [192.168.15.1/24, 192.168.16.1/24]")
    before, after = difference(built(), lab(edited))
    assert before == text("""
        lab red-blue
          namespace red
            veth-red
              impaired: delay 10ms, loss 1%, limit 1000
            route default via 192.168.15.5 dev veth-red
        """)
    assert after == text("""
        lab red-blue
          namespace red
            veth-red
              192.168.16.1/24
              impaired: delay 10ms, loss 2%, limit 1000
            route default via 192.168.15.6 dev veth-red
        """)


def test_a_property_of_an_interface_is_one_line_before_and_one_after() -> None:
    before, after = difference(built(), lab(FILE.replace("addresses: [192", "hairpin: true\n        addresses: [192")))
    assert [len(each.splitlines()) for each in (before, after)] == [4, 4]
    assert before.splitlines()[-1].endswith(", port of v-net-0")
    assert (
        after.splitlines()[-1]
        == "      veth, mtu 1500, MAC, up, cable to veth-red in red, port of v-net-0 with hairpin"
    )


def test_a_lab_that_goes_has_nothing_after() -> None:
    before, after = difference(built(), absent("red-blue"))
    assert after == ""
    port = built().get("link", None, "veth-red-br")
    assert before.replace(port.mac, "MAC") == text(f"""
        lab red-blue
          host
            veth-red-br
              veth, mtu 1500, MAC, up, port of v-net-0
            v-net-0
              bridge, mtu 1500, 02:00:00:00:00:01, up, {OPTIONS}
              192.168.15.5/24
          namespace red
            name servers 192.0.2.53, 192.0.2.54
          namespace blue
        """)


def test_an_interface_that_is_made_anew_as_it_was_is_no_difference() -> None:
    here, there = Address("red", "d0", ipaddress.ip_interface("10.0.0.1/24")), Link("red", "d0", "dummy", "", 1500)
    again = [
        MakeLink((there,), (), (PutAddress((), (here,)),)),
        MakeLink((), (there,)),
        PutAddress((), (here,)),
    ]
    assert tree.difference("x", again) == ("", "")
    before, after = tree.difference("x", again[:2])
    assert (before, after) == ("x\n  namespace red\n    d0\n      10.0.0.1/24\n", "")


def test_what_is_adopted_was_not_the_labs() -> None:
    world = built()
    world = World(replace(world.get("link", None, "v-net-0"), group=0))
    before, after = difference(world, lab(FILE.partition("namespaces:")[0], adopt=True))
    assert ", not the lab's, " in before
    assert "not the lab's" not in after


def test_nothing_to_do_is_no_difference() -> None:
    assert difference(built(), lab(FILE)) == ("", "")
