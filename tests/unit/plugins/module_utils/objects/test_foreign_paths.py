# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which packets a forward or a masquerade lives by, on each hook, and the least that has to be let through for them."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Chain, Rule, Table, Verdict
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._objects.foreign_paths import (
    Around,
    Firewalls,
    Path,
    asked_ports,
    own_addresses,
    paths,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import (
    ForwardSpec,
    MasqueradeSpec,
    Service,
    Target,
)

net = ipaddress.ip_network
LAB, BLUE = net("192.168.15.0/24"), ipaddress.ip_address("192.168.15.2")
DEVICES = {
    net("192.168.15.0/24"): "br0",
    net("203.0.113.0/24"): "up0",
    net("10.8.0.0/16"): "vpn0",
    net("0.0.0.0/0"): "up0",
}
OWN = [net("127.0.0.0/8"), net("192.168.15.5"), net("203.0.113.1")]


def device(address: t.Any) -> str | None:
    if address.version == 6:
        return None
    return max((found for found in DEVICES.items() if address in found[0]), key=lambda found: found[0].prefixlen)[1]


def around(*filtered: str) -> Around:
    return Around({4: tuple(OWN), 6: ()}, device, {4: frozenset(filtered), 6: frozenset()})


def forward(*sources: str, hairpin: bool = True, low: int = 80, high: int = 0, **service: t.Any) -> ForwardSpec:
    target = Target(BLUE, sources=tuple(map(net, sources)), hairpin=LAB if hairpin else None)
    return ForwardSpec(Service(4, "tcp", Ports(low, high or low), **service), target)


def of(spec: t.Any, hook: str = "forward", state: str = "new", **surrounding: t.Any) -> list[Path]:
    found = paths(spec, "tag", surrounding.get("around", around()))
    return [path for path in found if path.hook == hook and path.packet.state == state]


def test_clients_of_a_forward_come_from_outside_and_from_the_targets_own_network() -> None:
    assert [(path.packet.in_interface, path.packet.out_interface) for path in of(forward())] == [
        ("up0", "br0"),
        ("br0", "br0"),
    ]


def test_without_a_hairpin_nobody_comes_from_the_targets_own_network() -> None:
    assert [path.packet.in_interface for path in of(forward(hairpin=False))] == ["up0"]


def test_a_forward_at_one_interface_has_no_clients_elsewhere() -> None:
    assert [path.packet.in_interface for path in of(forward(in_interface="vpn0"))] == ["vpn0"]
    assert {path.packet.in_interface for path in of(forward(in_interface="br0"))} == {"br0"}


def test_neighbours_that_are_no_sources_are_no_clients() -> None:
    assert [path.packet.in_interface for path in of(forward("198.51.100.0/24"))] == ["up0"]


@pytest.mark.parametrize(
    ("source", "interfaces"),
    [
        ("10.8.1.0/24", ["vpn0"]),
        ("192.168.15.0/28", ["br0"]),
        ("192.168.15.0/24", ["br0"]),
        ("192.168.0.0/16", ["up0", "br0"]),
    ],
)
def test_sources_come_from_where_the_routes_lead(source: str, interfaces: list[str]) -> None:
    assert [path.packet.in_interface for path in of(forward(source))] == interfaces


@pytest.mark.parametrize(("source", "client"), [("192.168.15.0/28", "192.168.15.0/28"), ("192.168.0.0/16", str(LAB))])
def test_neighbours_are_those_of_the_sources_that_are_neighbours(source: str, client: str) -> None:
    assert [path.packet.source for path in of(forward(source)) if path.packet.in_interface == "br0"] == [net(client)]


def test_each_source_has_an_opening_of_its_own() -> None:
    found = {path.opening.tag: path.opening.source for path in of(forward("10.8.0.0/16", "198.51.100.0/24"))}
    assert found == {"tag from 10.8.0.0/16": net("10.8.0.0/16"), "tag from 198.51.100.0/24": net("198.51.100.0/24")}


def test_one_opening_serves_all_that_is_routed() -> None:
    found = [path for path in paths(forward(), "tag", around()) if path.hook == "forward"]
    assert {path.packet.state for path in found} == {"new", "established"}
    (opening,) = {path.opening for path in found}
    assert (opening.in_interface, opening.out_interface) == (None, "br0")
    assert (opening.destination, opening.ports) == (net("192.168.15.2"), Ports(80, 80))


def test_both_ends_of_a_range_are_looked_at() -> None:
    spec = forward(low=80, high=90, hairpin=False)
    assert [path.packet.destination_port for path in of(spec)] == [80, 90]
    assert [path.packet.destination_port for path in of(spec, "prerouting")] == [80, 90]


def test_before_translation_the_packet_is_for_the_machine_and_behind_it_for_the_target() -> None:
    target = Target(BLUE, Ports(8080, 8080))
    (path,) = of(ForwardSpec(Service(4, "tcp", Ports(80, 80)), target), "prerouting")
    assert (path.packet.destination, path.packet.destination_port) == (net("203.0.113.1"), 80)
    assert (path.opening.destination, path.opening.ports) == (net("203.0.113.1"), Ports(80, 80))
    assert path.behind is not None
    assert path.opening_behind is not None
    assert (path.behind.destination, path.behind.destination_port) == (net("192.168.15.2"), 8080)
    assert (path.opening_behind.destination, path.opening_behind.ports) == (net("192.168.15.2"), Ports(8080, 8080))


@pytest.mark.parametrize("spec", [forward(), MasqueradeSpec(LAB, "up0")], ids=["forward", "masquerade"])
def test_no_interface_is_named_where_iptables_knows_none(spec: t.Any) -> None:
    for hook in ("prerouting", "postrouting"):
        for path in (path for path in paths(spec, "tag", around()) if path.hook == hook):
            assert (path.opening.in_interface, path.opening.out_interface) == (None, None)


def test_own_addresses_are_those_asked_from_outside_first() -> None:
    assert own_addresses(forward(), around()) == [net("203.0.113.1"), net("192.168.15.5")]
    assert own_addresses(forward(in_interface="br0"), around())[0] == net("192.168.15.5")
    assert own_addresses(forward(address=ipaddress.ip_address("192.168.15.5")), around()) == [net("192.168.15.5")]


def test_of_very_many_ports_the_named_ones_and_the_ends_are_looked_at() -> None:
    assert asked_ports(forward(low=80, high=82), [9]) == [80, 81, 82]
    assert asked_ports(forward(low=1, high=65535), [0, 443, 70000]) == [1, 443, 65535]


# ---- masquerades


def test_a_masquerade_lives_by_what_leaves_and_what_comes_back() -> None:
    found = [path for path in paths(MasqueradeSpec(LAB), "tag", around()) if path.hook == "forward"]
    ways = [(path.packet.in_interface, path.packet.out_interface, path.packet.state) for path in found]
    assert ways == [("br0", "up0", "new"), ("up0", "br0", "established"), ("br0", "up0", "established")]
    (opening,) = {path.opening for path in found}
    assert (opening.in_interface, opening.out_interface, opening.source) == ("br0", None, LAB)


def test_a_wider_network_is_not_tied_to_one_interface() -> None:
    (path,) = of(MasqueradeSpec(net("192.168.0.0/16")))
    assert path.packet.in_interface == "br0", "where our own addresses in it are"
    assert path.opening.in_interface is None


def test_everything_is_not_tied_to_an_interface_or_a_source() -> None:
    (path,) = of(MasqueradeSpec(net("0.0.0.0/0"), "up0"))
    assert (path.packet.in_interface, path.opening.source, path.opening.out_interface) == (None, None, "up0")


@pytest.mark.parametrize("network", ["192.168.15.2/32", "192.168.15.2/31"])
def test_the_smallest_networks_have_an_interface_too(network: str) -> None:
    assert of(MasqueradeSpec(net(network)))[0].opening.in_interface == "br0"


def test_neighbours_matter_where_their_bridge_asks_the_rules() -> None:
    assert not [path for path in paths(MasqueradeSpec(LAB), "tag", around("br1")) if path.bridged]
    found = [path for path in paths(MasqueradeSpec(LAB), "tag", around("br0")) if path.bridged]
    assert {(path.packet.in_interface, path.packet.out_interface) for path in found} == {("br0", "br0")}
    assert {path.packet.state for path in found} == {"new", "established"}
    assert {path.opening.tag for path in found} == {"tag bridged"}


# ---- tables


def chain(name: str, hook: str | None = None, *rules: Rule) -> Chain:
    return Chain(name, rules, hook, "filter" if hook else "")


def firewalls(*tables: Table) -> Firewalls:
    return Firewalls(None, tables, around())


def test_each_base_chain_of_a_hook_can_be_asked_alone() -> None:
    table = Table("nft", "inet", "x", (chain("a", "forward"), chain("b"), chain("c", "forward"), chain("d", "input")))
    found = firewalls(table).forward
    assert [[each.name for each in one.chains] for one in found] == [["a", "b"], ["c", "b"]]
    assert firewalls(table).prerouting == []


def test_our_rules_in_dockers_chain_can_be_thought_away() -> None:
    accept = Verdict("accept")
    mine, yours = (Rule((), accept, comment=f"patchbay: {tag} [01234567 new]") for tag in ("mine", "yours"))
    theirs = Rule((), accept, comment="patchbay pie")
    table = Table("nft", "ip", "filter", (chain("DOCKER-USER", None, mine, theirs, yours), chain("FORWARD", "forward")))
    left = firewalls(table).without(lambda found: found.tag == "mine").tables[0].chain("DOCKER-USER")
    assert left is not None
    assert left.rules == (theirs, yours)
