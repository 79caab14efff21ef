# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One route: the wish, what a gateway must be, the words and the kernel's message."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import manner, project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput, NotFound, NotOurs
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.codec import codec
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.messages import Message, table
from ansible_collections.patchbay.netns.plugins.module_utils._objects import route as routes
from ansible_collections.patchbay.netns.plugins.module_utils._objects.ip_route import Device, IpRoute
from ansible_collections.patchbay.netns.plugins.module_utils._objects.route import PROTOCOL, NextHop, PutRoute, Route
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import given
from hypothesis import strategies as st


def connected(text: str, device: str) -> Route:
    return Route("red", ipaddress.ip_network(text), (NextHop(device=device),), protocol=2)


def via(gateway: str, device: str | None = "veth-red", **properties: t.Any) -> Route:
    hop = NextHop(ipaddress.ip_address(gateway), device)
    return Route("red", ipaddress.ip_network("10.9.0.0/16"), (hop,), **properties)


DEVICES = [Device("red", "veth-red", True), Device("red", "lo", True), Device("red", "veth-off", False)]
NETWORKS = [connected("192.168.15.0/24", "veth-red"), connected("fd00:15::/64", "veth-red")]
STATE = State([*DEVICES, *NETWORKS])


def wish(**params: t.Any) -> IpRoute:
    return IpRoute.from_params(
        {"netns": "red", "destination": "10.9.0.0/16", "state": "present", "force": False, **params}
    )


def commands(steps: list[Step]) -> list[str]:
    return [line for step in steps for line in step.commands()]


# ---- parameters


@pytest.mark.parametrize("text", ["default", "0.0.0.0/0"])
def test_default_is_everything(text: str) -> None:
    assert str(wish(destination=text, gateway="192.168.15.5").wanted.destination) == "0.0.0.0/0"


@pytest.mark.parametrize("hint", [{"gateway": "fd00:15::5"}, {"device": "veth-red", "source": "fd00:15::1"}])
def test_default_is_ipv6_where_an_address_says_so(hint: dict[str, str]) -> None:
    assert str(wish(destination="default", **hint).wanted.destination) == "::/0"


@pytest.mark.parametrize(("destination", "metric"), [("10.9.0.0/16", 0), ("fd00:9::/48", 1024)])
@pytest.mark.parametrize("given_metric", [None, 0])
def test_the_metric_is_the_kernels_own_unless_given(destination: str, metric: int, given_metric: int | None) -> None:
    assert wish(destination=destination, device="veth-red", metric=given_metric).wanted.metric == metric


@pytest.mark.parametrize(
    ("text", "number"), [("main", 254), ("local", 255), ("default", 253), ("100", 100), ("4294967295", 2**32 - 1)]
)
def test_a_table_is_a_name_or_a_number(text: str, number: int) -> None:
    assert wish(device="veth-red", table=text).wanted.table == number


@pytest.mark.parametrize("text", ["0", "4294967296", "9" * 5000, "²", "٣", "-1", "+1", " 1", "Main"])
def test_any_other_table_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no routing table"):
        wish(device="veth-red", table=text)


@given(some.wild)
def test_any_table_is_read_or_refused(text: str) -> None:
    try:
        number = wish(device="veth-red", table=text).wanted.table
    except InvalidInput:
        return
    assert 1 <= number <= 2**32 - 1


@given(st.integers())
def test_any_metric_is_read_or_refused(metric: int) -> None:
    try:
        found = wish(device="veth-red", metric=metric).wanted.metric
    except InvalidInput:
        return
    assert found == metric


@given(st.dictionaries(st.sampled_from(["destination", "gateway", "device", "source", "table"]), some.wild))
def test_any_text_in_any_option_is_read_or_refused(params: dict[str, str]) -> None:
    try:
        wish(**params)
    except InvalidInput as error:
        assert str(error)[-1] in ".?"


# ---- on-link gateways


def test_a_gateway_is_reached_through_the_network_that_holds_it() -> None:
    assert commands(wish(gateway="192.168.15.5").plan(STATE)) == [
        "ip -n red route add 10.9.0.0/16 via 192.168.15.5 dev veth-red proto 112"
    ]


def test_of_two_networks_that_hold_a_gateway_the_narrower_one_rules() -> None:
    state = State([*STATE, Device("red", "narrow", True), connected("192.168.15.0/29", "narrow")])
    assert "dev narrow" in commands(wish(gateway="192.168.15.5").plan(state))[0]


def test_a_gateway_outside_of_every_network_is_refused_with_the_networks() -> None:
    with pytest.raises(
        InvalidInput, match=r"192\.168\.16\.5 is not on-link in namespace red.*are 192\.168\.15\.0/24 \(veth-red\)"
    ):
        wish(gateway="192.168.16.5").plan(STATE)


def test_a_gateway_in_a_namespace_without_networks_is_refused() -> None:
    with pytest.raises(InvalidInput, match="No network is connected"):
        wish(gateway="192.168.15.5").plan(State(DEVICES))


def test_a_gateway_behind_another_device_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is not on-link"):
        wish(gateway="192.168.15.5", device="lo").plan(STATE)


def test_a_network_behind_a_gateway_holds_no_gateway() -> None:
    with pytest.raises(InvalidInput, match="is not on-link"):
        wish(destination="10.10.0.0/16", gateway="10.9.0.1").plan(State([*STATE, via("192.168.15.5")]))


def test_onlink_takes_the_users_word_for_it() -> None:
    assert (
        "via 10.1.1.1 dev veth-red onlink"
        in commands(wish(gateway="10.1.1.1", device="veth-red", onlink=True).plan(STATE))[0]
    )


def test_a_link_local_gateway_needs_only_its_device() -> None:
    assert wish(destination="::/0", gateway="fe80::1", device="veth-red").plan(STATE)


def test_a_device_that_is_missing_is_named_with_those_that_are_there() -> None:
    with pytest.raises(
        NotFound,
        match=r"interface veth does not exist in namespace red\. Present: lo, veth-off, veth-red\. Name one of these",
    ):
        wish(device="veth").plan(STATE)


def test_row_28_a_route_through_a_device_that_is_down_is_refused() -> None:
    with pytest.raises(NotFound, match="veth-off is down"):
        wish(device="veth-off").plan(STATE)


# ---- comparing


def test_a_route_that_is_there_needs_nothing() -> None:
    assert wish(gateway="192.168.15.5").plan(State([*STATE, via("192.168.15.5")])) == []


def test_another_gateway_replaces_the_route_in_one_step() -> None:
    assert commands(wish(gateway="192.168.15.6").plan(State([*STATE, via("192.168.15.5")]))) == [
        "ip -n red route replace 10.9.0.0/16 via 192.168.15.6 dev veth-red proto 112"
    ]


def test_a_replaced_route_is_changed_in_place() -> None:
    state = State([*STATE, via("192.168.15.5")])
    asked = wish(gateway="192.168.15.6")
    steps = asked.plan(state)
    assert manner(steps, asked.view(state), asked.view(project(state, steps))) == "changed in place"


@pytest.mark.parametrize("difference", [{"metric": 7}, {"table": "100"}, {"destination": "10.9.0.0/17"}])
def test_another_metric_table_or_destination_is_another_route(difference: dict[str, t.Any]) -> None:
    (step,) = wish(gateway="192.168.15.5", **difference).plan(State([*STATE, via("192.168.15.5")]))
    assert step.before == ()


def test_what_was_left_out_stays_when_the_gateway_changes() -> None:
    there = via("192.168.15.5", mtu=1400, source=ipaddress.ip_address("192.168.15.1"))
    (step,) = wish(gateway="192.168.15.6").plan(State([*STATE, there]))
    assert (step.after[0].mtu, step.after[0].source) == (there.mtu, there.source)


def test_next_hops_in_another_order_are_the_same() -> None:
    hops = [{"gateway": f"192.168.15.{n}", "weight": n} for n in (5, 6)]
    there = wish(nexthops=hops).plan(STATE)
    assert wish(nexthops=hops[::-1]).plan(project(STATE, there)) == []


@pytest.mark.parametrize("change", [{"weight": 9}, {"gateway": "192.168.15.7"}])
def test_another_next_hop_replaces_the_route(change: dict[str, t.Any]) -> None:
    hops = [{"gateway": f"192.168.15.{n}", "weight": n} for n in (5, 6)]
    there = project(STATE, wish(nexthops=hops).plan(STATE))
    assert len(wish(nexthops=[hops[0], {**hops[1], **change}]).plan(there)) == 1


def test_a_reject_route_is_replaced_by_a_way() -> None:
    there = Route("red", ipaddress.ip_network("10.9.0.0/16"), type="blackhole")
    assert "route replace 10.9.0.0/16 via" in commands(wish(gateway="192.168.15.5").plan(State([*STATE, there])))[0]


# ---- absent


def test_a_route_is_removed_without_naming_its_gateway() -> None:
    assert commands(wish(state="absent").plan(State([*STATE, via("192.168.15.5")]))) == [
        "ip -n red route del 10.9.0.0/16 via 192.168.15.5 dev veth-red"
    ]


@pytest.mark.parametrize(
    "other", [{"gateway": "192.168.15.6"}, {"mtu": 1400}, {"type": "blackhole"}, {"source": "10.0.0.1"}]
)
def test_a_route_with_another_property_than_given_is_not_the_one(other: dict[str, t.Any]) -> None:
    assert wish(state="absent", **other).plan(State([*STATE, via("192.168.15.5")])) == []


def test_a_foreign_route_is_not_removed() -> None:
    with pytest.raises(
        NotOurs, match=r"^the route 10\.9\.0\.0/16 via 192\.168\.15\.5 dev veth-red in namespace red was not made"
    ):
        wish(state="absent").plan(State([*STATE, via("192.168.15.5", protocol=4)]))


# ---- words


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (Route(None, ipaddress.ip_network("0.0.0.0/0"), (NextHop(device="a"),)), "default dev a"),
        (Route(None, ipaddress.ip_network("::/0"), type="prohibit", metric=1024), "prohibit ::/0"),
        (Route(None, ipaddress.ip_network("10.0.0.0/8"), type="blackhole", metric=5), "blackhole 10.0.0.0/8 metric 5"),
        (Route(None, ipaddress.ip_network("10.0.0.0/8"), (NextHop(device="a"),), mtu=1400), "10.0.0.0/8 dev a mtu 1400"),
        (Route(None, ipaddress.ip_network("10.0.0.0/8"), (NextHop(device="a"),), table=253), "10.0.0.0/8 dev a table default"),
        (
            Route(None, ipaddress.ip_network("10.0.0.0/8"), (NextHop(device="a"), NextHop(device="b", weight=3))),
            "10.0.0.0/8 nexthop dev a weight 1 nexthop dev b weight 3",
        ),
    ],
)  # fmt: skip
def test_a_route_is_titled_in_the_words_of_ip_route(route: Route, words: str) -> None:
    assert route.title == words


def test_an_ipv6_route_says_so_in_its_command() -> None:
    default = Route("red", ipaddress.ip_network("::/0"), (NextHop(device="a"),), metric=1024)
    assert PutRoute((), (default,)).commands() == ["ip -n red -6 route add default dev a proto 112"]


# ---- the kernel's message

INDEXES = {"a": 1, "b": 2}


@st.composite
def kernel_routes(draw: t.Any) -> Route:
    network = draw(some.networks())
    kind = some.addresses4 if network.version == 4 else some.addresses6
    specific = kind.filter(lambda each: not each.is_unspecified)
    hop = st.builds(
        NextHop, some.maybe(specific), st.sampled_from(["a", "b"]), st.integers(1, 256), onlink=st.booleans()
    )
    hops = draw(st.lists(hop, max_size=3))
    hops = [replace(hops[0], weight=1)] if len(hops) == 1 else hops
    return Route(
        "red",
        network,
        tuple(hops),
        source=draw(some.maybe(specific)),
        metric=draw(st.integers(0, 2**32 - 1)),
        table=draw(st.sampled_from([254, 100, 1000])),
        type="unicast" if hops else "blackhole",
        mtu=draw(some.maybe(some.mtus)),
        protocol=draw(st.sampled_from([PROTOCOL, 3])),
    )


@given(kernel_routes())
def test_a_route_survives_the_way_through_a_message(route: Route) -> None:
    message = Message(table(codec().route), 24, 0, routes._fields(route), routes._attributes(route, INDEXES))
    answer = message.answer(message.body)
    names = {index: name for name, index in INDEXES.items()}
    assert routes._decode("red", route.destination.version, answer, names) == route


# ---- properties


@given(some.route_cases())
def test_what_was_asked_for_is_shown_afterwards(case: tuple[IpRoute, State]) -> None:
    asked, state = case
    try:
        view = asked.view(project(state, asked.plan(state)))
    except InvalidInput:
        return
    wanted = asked.wanted
    assert view["destination"] == str(wanted.destination)
    assert view["type"] == wanted.type
    assert wanted.mtu in (None, view["mtu"])
    assert wanted.source is None or view["source"] == str(wanted.source)
    if len(wanted.hops) == 1:
        assert wanted.hops[0].gateway is None or view["gateway"] == str(wanted.hops[0].gateway)
        assert wanted.hops[0].device in (None, view["device"])
    if len(wanted.hops) > 1:
        assert {hop["gateway"] for hop in view["nexthops"]} == {
            str(hop.gateway) if hop.gateway else None for hop in wanted.hops
        }


@given(some.route_cases())
def test_no_plan_leaves_a_moment_without_the_route(case: tuple[IpRoute, State]) -> None:
    asked, state = case
    try:
        steps = asked.plan(state)
    except InvalidInput:
        return
    assert len(steps) <= 1
    assert all(step.after for step in steps)


@given(some.route_cases(state="absent"))
def test_other_routes_outlive_a_removal(case: tuple[IpRoute, State]) -> None:
    asked, state = case
    reached = project(state, asked.plan(state))
    assert {item.key for item in state} - {item.key for item in reached} <= {asked.wanted.key}
