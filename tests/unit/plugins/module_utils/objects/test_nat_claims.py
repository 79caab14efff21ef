# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which forwards may live together, and how quickly that is found out."""

from __future__ import annotations

import ipaddress
import itertools
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Conflict
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_claims import Claims, claimed
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import (
    ForwardSpec,
    MasqueradeSpec,
    Service,
    Target,
)
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import nat_strategies as some
from hypothesis import given

ip = ipaddress.ip_address


def spec(
    low: int = 80,
    high: int | None = None,
    *,
    address: str | None = None,
    in_interface: str | None = None,
    protocol: str = "tcp",
    **target: t.Any,
) -> ForwardSpec:
    service = Service(4, protocol, Ports(low, high or low), ip(address) if address else None, in_interface)
    return ForwardSpec(service, Target(ip("10.20.0.2"), **target))


def collide(one: ForwardSpec, two: ForwardSpec) -> bool:
    claims = Claims(None)
    claims.add(one)
    try:
        claims.add(two)
    except Conflict:
        return True
    return False


@given(one=some.services(), two=some.services())
def test_overlap_is_mutual(one: Service, two: Service) -> None:
    assert one.overlaps(two) == two.overlaps(one)


@given(one=some.services())
def test_every_service_overlaps_itself(one: Service) -> None:
    assert one.overlaps(one)


@given(one=some.forwards(), two=some.forwards())
def test_a_conflict_does_not_depend_on_who_came_first(one: ForwardSpec, two: ForwardSpec) -> None:
    assert len({collide(*order) for order in itertools.permutations((one, two))}) == 1


@given(one=some.forwards(), two=some.forwards())
def test_a_conflict_is_an_overlap_of_something_claimed(one: ForwardSpec, two: ForwardSpec) -> None:
    mine, theirs = claimed(one), claimed(two)
    assert collide(one, two) == any(mine[part].overlaps(theirs[part]) for part in set(mine) & set(theirs))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (spec(), spec()),
        (spec(), spec(70, 90)),
        (spec(70, 90), spec(90, 100)),
        (spec(), spec(address="203.0.113.1", local=False)),
        (spec(), spec(in_interface="eth0", local=False)),
        (spec(address="203.0.113.1"), spec(in_interface="eth0")),
        (spec(in_interface="eth0"), spec(in_interface="eth1")),
        (spec(address="203.0.113.1", loopback=True), spec(address="203.0.113.2", loopback=True)),
        (spec(sources=(ipaddress.ip_network("10.0.0.0/8"),)), spec(sources=(ipaddress.ip_network("11.0.0.0/8"),))),
    ],
)
def test_row_19_what_takes_the_same_packets_is_refused(one: ForwardSpec, two: ForwardSpec) -> None:
    assert collide(one, two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (spec(), spec(81)),
        (spec(), spec(protocol="udp")),
        (spec(70, 79), spec(80, 90)),
        (spec(address="203.0.113.1"), spec(address="203.0.113.2")),
        (spec(in_interface="eth0"), spec(in_interface="eth1", local=False)),
        (spec(address="203.0.113.1", loopback=True), spec(address="203.0.113.2")),
    ],
)
def test_what_takes_other_packets_may_be_there(one: ForwardSpec, two: ForwardSpec) -> None:
    assert not collide(one, two)


@pytest.mark.parametrize(
    ("there", "wanted", "said"),
    [
        (
            spec(),
            spec(70, 90),
            "tcp 70-90 ipv4 is forwarded already in namespace red: the forward of tcp 80 ipv4 to 10.20.0.2 takes in the same packets. "
            "Remove that one with state: absent, or choose another port, address or in_interface.",
        ),
        (
            spec(in_interface="eth0"),
            spec(in_interface="eth1"),
            "tcp 80 ipv4 is forwarded already in namespace red: the forward of tcp 80 ipv4 to 10.20.0.2 takes in the same "
            "connections of the machine itself. Set local: false for one of the two.",
        ),
        (
            spec(address="203.0.113.1", loopback=True),
            spec(address="203.0.113.2", loopback=True),
            "tcp 80 ipv4 is forwarded already in namespace red: the forward of tcp 80 ipv4 to 10.20.0.2 takes in the same "
            "connections to localhost. Set loopback: false for one of the two.",
        ),
    ],
)
def test_a_conflict_names_the_other_and_the_way_out(there: ForwardSpec, wanted: ForwardSpec, said: str) -> None:
    claims = Claims("red", [there])
    with pytest.raises(Conflict) as caught:
        claims.add(wanted)
    assert str(caught.value) == said
    assert caught.value.details["other"] == {"service": str(there.service), "to_address": "10.20.0.2"}


def test_what_is_there_already_is_not_judged() -> None:
    """Two that a race let in must not keep anybody from removing one of them."""
    Claims(None, [spec(), spec(70, 90)])


def test_masquerades_claim_nothing() -> None:
    claims = Claims(None)
    for _twice in range(2):
        claims.add(MasqueradeSpec(ipaddress.ip_network("10.20.0.0/16")))


# ---- how much is looked at


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with every comparison of two services."""
    seen: list[str] = []
    overlaps = Service.overlaps

    def counting(self: Service, other: Service) -> bool:
        seen.append(str(other))
        return overlaps(self, other)

    monkeypatch.setattr(Service, "overlaps", counting)
    return seen


def test_a_port_among_a_thousand_is_found_without_a_look_at_the_others(compared: list[str]) -> None:
    claims = Claims(None, [spec(port) for port in range(1000, 2000)])
    claims.add(spec(2000))
    assert compared == []
    with pytest.raises(Conflict):
        claims.add(spec(1500))
    assert compared == ["tcp 1500 ipv4"]


def test_a_thousand_ports_are_entered_without_one_comparison(compared: list[str]) -> None:
    claims = Claims(None)
    for port in range(1000, 2000):
        claims.add(spec(port))
    assert compared == []


def test_a_range_is_compared_with_what_is_in_it_only(compared: list[str]) -> None:
    claims = Claims(None, [spec(port, address="203.0.113.1") for port in range(1000, 2000)])
    claims.add(spec(1990, 2010, address="203.0.113.2"))
    assert set(compared) == {f"tcp {port} ipv4 at 203.0.113.1" for port in range(1990, 2000)}
