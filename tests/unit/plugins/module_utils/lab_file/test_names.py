# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names: what is too long is shortened, always to the same, and everything that refers to it still does."""

from __future__ import annotations

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file import names
from ansible_collections.patchbay.netns.plugins.module_utils._objects import checks
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_drawings import laid, link, node
from hypothesis import given
from hypothesis import strategies as st


@given(some.good_names.filter(lambda name: name not in ("lo", "all", "default")))
def test_a_name_that_fits_stays(name: str) -> None:
    assert names.interface("lab", "red", name) == name


@given(some.long_names, st.sampled_from([None, "red", "blue"]))
def test_a_name_that_is_too_long_becomes_one_that_fits(name: str, netns: str | None) -> None:
    short = names.interface("lab", netns, name)
    assert checks.interface(short, "here") == short
    assert name.startswith(short[:-7])
    assert len(short[:-7].encode()) > 8 - 4  # no character is cut
    assert short == names.interface("lab", netns, name)


@given(some.wild)
def test_any_name_becomes_one_that_the_kernel_takes_or_is_refused(name: str) -> None:
    try:
        short = names.interface("lab", None, name)
    except InvalidInput as error:
        str(error).encode()
        return
    assert checks.interface(short, "here") == short


def test_labs_namespaces_and_names_are_told_apart() -> None:
    long = "a-name-that-is-too-long"
    found = [
        names.interface(*where)
        for where in (("a", None, long), ("b", None, long), ("a", "red", long), ("a", None, f"{long}-2"))
    ]
    assert len(set(found)) == 4
    assert found[0] == "a-name-t-" + found[0][-6:]


def test_it_is_the_same_on_every_machine() -> None:
    assert names.interface("lab", "red", "a-name-that-is-too-long") == "a-name-t-6fb9dd"


@pytest.mark.parametrize(
    ("netns", "name", "port"),
    [
        ("red", "veth-red", "veth-red-br"),
        ("red", "eth0", "red-eth0"),
        (None, "eth0", "eth0-br"),
        ("n1", "eth0", "n1-eth0"),
    ],
)
def test_the_end_at_a_bridge_is_called_after_both(netns: str | None, name: str, port: str) -> None:
    assert names.port(netns, name) == port


def test_everything_that_refers_to_a_long_name_refers_to_the_short_one() -> None:
    spec = laid("""
        namespaces:
          red:
            bridges: {a-bridge-with-a-long-name: {addresses: 10.0.0.1/24}}
            interfaces:
              a-port-with-a-long-name: {cable: blue/the-other-end-of-the-cable, master: a-bridge-with-a-long-name}
              vlan-on-the-bridge: {vlan: {parent: a-bridge-with-a-long-name, id: 5}}
              uplink-to-somewhere: {cable: blue/uplink-from-somewhere, addresses: 10.1.0.1/30}
            gateway: 10.1.0.2
            routes: [{destination: 10.7.0.0/16, device: a-bridge-with-a-long-name}]
            sysctls: {net.ipv4.conf.uplink-to-somewhere.rp_filter: 2}
            masquerade: {source: 10.0.0.0/24, out_interface: uplink-to-somewhere}
            forwards: [{protocol: tcp, port: 80, in_interface: uplink-to-somewhere, to: blue}]
          blue:
            interfaces:
              the-other-end-of-the-cable: {addresses: 10.0.0.2/24}
              uplink-from-somewhere: {addresses: 10.1.0.2/30}
              eth0: {bridge: red/a-bridge-with-a-long-name, port: a-chosen-port-with-a-long-name}
    """)
    short = dict(spec.names)
    red = node(spec, "red")
    bridge, uplink = short["red/a-bridge-with-a-long-name"], short["red/uplink-to-somewhere"]
    assert link(spec, f"red/{short['red/a-port-with-a-long-name']}").bridge == bridge
    assert link(spec, f"red/{short['red/vlan-on-the-bridge']}").parent == bridge
    assert link(spec, f"red/{short['red/a-chosen-port-with-a-long-name']}").bridge == bridge
    assert [route.device for route in red.routes] == [uplink, bridge]
    assert red.sysctls[0] == (f"net.ipv4.conf.{uplink}.rp_filter", "2")
    assert red.masquerades[0].spec.out_interface == red.forwards[0].services[0].in_interface == uplink
    peer = link(spec, f"blue/{short['blue/the-other-end-of-the-cable']}").peer
    assert peer is not None
    assert peer.name == short["red/a-port-with-a-long-name"]


def test_what_was_shortened_is_on_record_by_the_name_that_the_file_has() -> None:
    spec = laid("""
        bridges: {br0: }
        namespaces: {a-namespace: {interfaces: {eth0: {bridge: br0}, an-interface-with-a-name: {dummy: true}}}}
    """)
    found = dict(spec.names)
    assert set(found) == {"a-namespace/an-interface-with-a-name", "/a-namespace-eth0"}
    assert link(spec, f"/{found['/a-namespace-eth0']}").bridge == "br0"


def test_a_dot_in_a_name_that_is_shortened_is_a_slash_in_its_settings_too() -> None:
    text = """
        namespaces:
          red: {interfaces: {uplink.5-to-somewhere: {dummy: true}}, sysctls: {net.ipv4.conf.uplink/5-to-somewhere.rp_filter: 1}}
    """
    spec = laid(text)
    short = dict(spec.names)["red/uplink.5-to-somewhere"]
    assert short.startswith("uplink.5-")
    assert node(spec, "red").sysctls == ((f"net.ipv4.conf.{short.replace('.', '/')}.rp_filter", "1"),)


def test_a_dot_in_the_name_of_a_device_is_a_slash_in_its_settings() -> None:
    text = "namespaces: {red: {interfaces: {v.10: {dummy: true}}, sysctls: {net.ipv4.conf.v/10.rp_filter: 1}}}"
    assert node(laid(text), "red").sysctls == (("net.ipv4.conf.v/10.rp_filter", "1"),)
