# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses made cheaply are the addresses that Python's own way makes."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file import values
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.values import Reader, variant
from ansible_collections.patchbay.netns.plugins.module_utils._objects import checks
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import example, given
from hypothesis import strategies as st


def looks(interface: t.Any) -> tuple[t.Any, ...]:
    """All that anybody asks of an address."""
    names = (
        "ip",
        "network",
        "netmask",
        "hostmask",
        "version",
        "with_prefixlen",
        "is_link_local",
        "is_loopback",
        "packed",
        "compressed",
    )
    return (
        interface,
        str(interface),
        repr(interface),
        hash(interface),
        int(interface),
        *(getattr(interface, name) for name in names),
    )


def read(reader: Reader, text: str) -> t.Any:
    try:
        return reader.held(text).interface
    except InvalidInput as error:
        return str(error)


def proper(text: str) -> t.Any:
    try:
        return checks.host_interface(text, "address")
    except InvalidInput as error:
        return str(error)


_texts = st.one_of(
    some.wild,
    some.host_interfaces().map(str),
    st.builds(
        "{}.{}/{}".format,
        st.sampled_from(["10.0.0", "10.0.00", "010.0.0", " 10.0.0"]),
        st.integers(-1, 256),
        st.integers(-1, 33),
    ),
    st.builds("fd00::{:x}/{}".format, st.integers(0, 2**20), st.sampled_from([0, 64, 126, 127, 128, 129])),
    st.sampled_from(
        [
            "10.0.0.1/255.255.255.0",
            "10.0.0.1/024",
            "::ffff:10.0.0.1/96",
            "fe80::1%eth0/64",
            "10.0.0.1/٢٤",
            "10.0.0.\0/24",
        ]
    ),
)


@given(st.lists(_texts, min_size=1, max_size=8))
@example(["10.0.0.1/24", "10.0.0.0/24", "10.0.0.255/24", "10.0.0.2/24"])
@example(["fd00::1/64", "fd00::/64", "FD00::2/64", "fd00:0::3/64"])
@example(["10.0.0.1/32", "10.0.0.1/33", "10.0.0.1/64", "fd00::1/129"])
@example(["10.0.0.0/31", "10.0.0.1/31", "10.0.0.1/32", "fd00::/127"])
@example(["0.0.0.1/0", "0.0.0.0/0", "255.255.255.254/0", "127.0.0.1/0", "224.0.0.1/0"])
@example(["1::/0", "::/0", "ff02::1/0", "::1/0"])
def test_what_is_read_in_a_network_met_before_is_what_would_be_read_in_full(texts: list[str]) -> None:
    reader = Reader()
    for text in texts:
        found, wanted = read(reader, text), proper(text)
        assert found == wanted
        if not isinstance(wanted, str):
            assert looks(found) == looks(wanted)


@given(some.host_interfaces())
def test_a_held_address_knows_its_number_and_its_network(interface: t.Any) -> None:
    held = Reader().of(interface)
    assert (held.number, held.subnet.network, held.interface) == (int(interface), interface.network, interface)
    assert looks(held.subnet.interface(held.number)) == looks(interface)
    assert held.subnet.has(held)


@given(some.networks())
def test_the_addresses_to_choose_from_are_those_that_hosts_may_have(network: t.Any) -> None:
    subnet = Reader().network(network)
    assert (subnet.low, subnet.high) == (int(network.network_address), int(network.broadcast_address))
    assert subnet.network == network
    if network.num_addresses > 2:
        last = network.num_addresses - (2 if network.version == 4 else 1)
        assert (subnet.first, subnet.last) == (subnet.low + 1, subnet.low + last)
    else:
        assert (subnet.first, subnet.last) == (subnet.low, subnet.high)


def test_addresses_of_one_network_share_it() -> None:
    reader = Reader()
    one, two = reader.held("10.0.0.1/24"), reader.held("10.0.0.2/24")
    assert one.subnet is two.subnet
    assert one.interface.network is two.interface.network
    assert reader.held("10.0.0.3/25").subnet is not one.subnet


def test_addresses_of_both_versions_never_have_the_same_key() -> None:
    reader = Reader()
    assert reader.held("10.0.0.1/24").key != reader.held("::a00:1/64").key


def test_a_python_whose_addresses_are_made_otherwise_makes_them_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: t.Any, number: int) -> t.Any:
        raise AttributeError("_ip")

    monkeypatch.setattr(values, "_sibling", broken)
    values._is_cheap.cache_clear()
    try:
        reader = Reader()
        texts = ["10.0.0.1/24", "10.0.0.2/24", "fd00::1/64", "fd00::2/64"]
        assert [reader.held(text).interface for text in texts] == [ipaddress.ip_interface(text) for text in texts]
    finally:
        values._is_cheap.cache_clear()


@dataclass(frozen=True)
class Pair:
    """Any value."""

    one: int
    two: str = "two"


def test_a_variant_is_what_replace_makes_and_leaves_its_model_alone() -> None:
    model = Pair(1)
    made = variant(model, one=2)
    assert (made, model) == (replace(model, one=2), Pair(1))
    assert (type(made), hash(made)) == (Pair, hash(Pair(2)))
