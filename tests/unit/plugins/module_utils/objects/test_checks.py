# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading what users write."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.module_utils._objects import checks
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import given
from hypothesis import strategies as st

READERS = {
    "interface": checks.interface,
    "namespace": checks.namespace,
    "address": checks.address,
    "host_interface": checks.host_interface,
    "network": checks.network,
    "mac": checks.mac,
}


def refused(reader: t.Callable[..., object], value: t.Any) -> str:
    """The sentence with which a value is refused."""
    with pytest.raises(InvalidInput) as caught:
        reader(value, "here")
    return str(caught.value)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@given(text=some.wild)
def test_any_text_is_read_or_refused_in_a_sentence(reader: t.Callable[..., object], text: str) -> None:
    try:
        reader(text, "here")
    except InvalidInput as error:
        assert str(error).startswith("here")
        assert str(error)[-1] in ".?"


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@given(text=some.wild)
def test_what_is_read_is_read_again_alike(reader: t.Callable[..., object], text: str) -> None:
    try:
        once = reader(text, "here")
    except InvalidInput:
        return
    assert reader(str(once), "here") == once


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@given(text=some.anything)
def test_a_refusal_can_be_written_as_utf8(reader: t.Callable[..., object], text: str) -> None:
    try:
        reader(text, "here")
    except InvalidInput as error:
        str(error).encode()


# ---- names


@given(some.good_names)
def test_a_name_that_the_kernel_takes_is_kept_as_it_is(name: str) -> None:
    assert checks.interface(name, "here") == name


@given(some.long_names)
def test_row_25_a_name_over_15_bytes_is_refused_never_cut(name: str) -> None:
    assert f"{len(name.encode())} bytes" in refused(checks.interface, name)


@pytest.mark.parametrize("name", ["veth-red-bridge", "x" * 15, "é" * 7])
def test_row_25_a_name_of_15_bytes_is_taken(name: str) -> None:
    assert checks.interface(name, "here") == name


@pytest.mark.parametrize("name", ["veth-red-bridge1", "é" * 8, "漢字漢字漢字"])
def test_row_25_length_is_counted_in_bytes(name: str) -> None:
    assert "at most 15" in refused(checks.interface, name)


@pytest.mark.parametrize("name", [".", "..", "a/b", "a:b", "a b", "a\tb", "a\nb", "p1%d", "a\0b", "à"])
def test_a_name_that_the_kernel_refuses_is_refused(name: str) -> None:
    assert "is no interface name" in refused(checks.interface, name)


def test_an_empty_interface_name_asks_for_one() -> None:
    assert refused(checks.interface, "").startswith("here is empty: give the name")


@pytest.mark.parametrize("name", ["red", "my.lab", "ns with words", "é", "x" * 255])
def test_a_namespace_may_have_any_file_name(name: str) -> None:
    assert checks.namespace(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/run/netns/red", "a\0b", "x" * 256, "é" * 128, " red", "red\n"]
)
def test_a_namespace_name_that_is_no_file_name_is_refused(name: str) -> None:
    refused(checks.namespace, name)


def test_no_namespace_is_the_callers_own() -> None:
    assert checks.namespace(None) is None


# ---- addresses


@given(some.addresses)
def test_every_address_is_read_as_itself(address: t.Any) -> None:
    assert checks.address(str(address), "here") == address


@given(some.addresses6)
def test_one_ipv6_address_in_two_spellings_is_one(address: t.Any) -> None:
    assert checks.address(address.exploded.upper(), "here") == checks.address(str(address), "here")


@given(some.addresses, st.integers(0, 32))
def test_a_bare_address_with_a_prefix_is_refused_with_the_bare_one(address: t.Any, length: int) -> None:
    assert refused(checks.address, f"{address}/{length}").endswith(f"write {address}.")


@given(some.host_interfaces())
def test_every_host_address_with_its_prefix_is_read_as_itself(interface: t.Any) -> None:
    assert checks.host_interface(str(interface), "here") == interface


@given(some.addresses)
def test_row_27_an_address_without_prefix_is_refused_with_a_guess(address: t.Any) -> None:
    guess = 24 if address.version == 4 else 64
    assert refused(checks.host_interface, str(address)).endswith(f"did you mean {address}/{guess}?")


@given(some.networks())
def test_a_network_address_is_no_host_address(network: t.Any) -> None:
    text = str(network)
    if network.version == 6 or network.prefixlen >= 31:
        return
    refused(checks.host_interface, text)
    refused(checks.host_interface, f"{network.broadcast_address}/{network.prefixlen}")


@pytest.mark.parametrize("text", ["10.0.0.0/31", "10.0.0.1/31", "10.0.0.1/32", "fd00::/64", "fd00::1/128"])
def test_networks_without_broadcast_have_hosts_at_both_ends(text: str) -> None:
    assert str(checks.host_interface(text, "here")) == text


@pytest.mark.parametrize("text", ["0.0.0.0/8", "::/64", "224.0.0.1/24", "ff02::1/64"])
def test_an_interface_takes_neither_multicast_nor_nothing(text: str) -> None:
    assert "no interface can have" in refused(checks.host_interface, text)


@pytest.mark.parametrize("reader", [checks.address, checks.host_interface, checks.network])
@pytest.mark.parametrize("text", ["fe80::1%eth0", "fe80::1%1", "fe80::1%eth0/64", "fe80::%eth0/64"])
def test_a_zone_is_refused_because_the_device_has_an_option(reader: t.Callable[..., object], text: str) -> None:
    refused(reader, text)


def test_a_zone_is_kept_where_it_is_allowed() -> None:
    assert str(checks.address("fe80::1%veth-red", "here", zone=True)) == "fe80::1%veth-red"


@pytest.mark.parametrize("zone", ["", "a b", "a\nnameserver 10.0.0.1", "x" * 16])
def test_a_zone_is_the_name_of_an_interface(zone: str) -> None:
    with pytest.raises(InvalidInput):
        checks.address(f"fe80::1%{zone}", "here", zone=True)


def test_a_netmask_is_a_prefix_length() -> None:
    assert str(checks.host_interface("192.168.15.1/255.255.255.0", "here")) == "192.168.15.1/24"


@given(some.networks())
def test_every_network_is_read_as_itself(network: t.Any) -> None:
    assert checks.network(str(network), "here") == network


@given(some.host_interfaces())
def test_a_host_address_as_a_network_is_refused_with_both_meanings(interface: t.Any) -> None:
    if interface.ip == interface.network.network_address:
        return
    message = refused(checks.network, str(interface))
    assert f"the network {interface.network} or the one address {interface.ip}/{interface.max_prefixlen}?" in message


@given(some.addresses)
def test_a_network_without_prefix_is_refused_with_two_guesses(address: t.Any) -> None:
    message = refused(checks.network, str(address))
    near = ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False)
    assert f"{address}/{address.max_prefixlen}, or a network such as {near}?" in message


# ---- numbers


@given(some.macs)
def test_a_mac_is_one_in_any_spelling(mac: str) -> None:
    assert checks.mac(mac.upper().replace(":", "-"), "here") == mac


@pytest.mark.parametrize("mac", ["01:00:00:00:00:01", "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_a_mac_of_many_or_of_none_is_refused(mac: str) -> None:
    assert "unicast" in refused(checks.mac, mac)


@pytest.mark.parametrize("mac", ["", "02:00:00:00:15", "02:00:00:00:15:0g", "020000001501", "02:00:00:00:15:01:02"])
def test_a_text_that_is_no_mac_is_refused(mac: str) -> None:
    assert "is no MAC address" in refused(checks.mac, mac)


def test_the_proposed_mac_is_one() -> None:
    proposed = refused(checks.mac, "01:02:03:04:05:06").rsplit(" ", maxsplit=1)[1].rstrip(".")
    assert checks.mac(proposed, "here") == proposed


@pytest.mark.parametrize("mtu", [68, 1500, 65535, None])
def test_a_possible_mtu_is_kept(mtu: int | None) -> None:
    assert checks.mtu(mtu, "here") == mtu


@pytest.mark.parametrize("mtu", [-1, 0, 67, 65536, 2**40])
def test_an_impossible_mtu_is_refused_with_the_range(mtu: int) -> None:
    assert "68 to 65535" in refused(checks.mtu, mtu)


@given(st.lists(st.integers(), unique=True))
def test_different_things_are_unique(things: list[int]) -> None:
    checks.unique(things, "here")


@given(st.lists(st.integers(), min_size=1, unique=True))
def test_a_thing_named_twice_is_named_in_the_refusal(things: list[int]) -> None:
    assert f"{things[0]} is listed twice" in refused(checks.unique, [*things, things[0]])
