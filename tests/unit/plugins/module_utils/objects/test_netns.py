# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wish for a namespace."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InUse, InvalidInput, NotOurs
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import resolver
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.namespaces import Process
from ansible_collections.patchbay.netns.plugins.module_utils._objects.netns import (
    Loopback,
    Namespace,
    Netns,
    Occupants,
    Resolver,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Sysctl
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from hypothesis import given

RA = "net.ipv6.conf.default.accept_ra"
FORWARD = "net.ipv4.ip_forward"
FRESH = State([Sysctl("red", RA, "1")])
LIVE = State([Namespace("red"), Loopback("red", True), Occupants("red", ())])


def wish(**params: t.Any) -> Netns:
    return Netns.from_params({"name": "red", "state": "present", "force": False, "loopback": True, **params})


def commands(steps: list[Step]) -> list[str]:
    return [line for step in steps for line in step.commands()]


# ---- parameters


def test_the_option_netns_names_the_namespace_too() -> None:
    assert wish(name=None, netns="blue").netns == "blue"


def test_name_rules_over_netns() -> None:
    assert wish(name="red", netns="blue").netns == "red"


def test_a_yaml_boolean_is_the_kernels_number() -> None:
    assert wish(sysctls={FORWARD: True}).sysctls == ((FORWARD, "1"),)


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_a_setting_needs_one_value(value: t.Any) -> None:
    with pytest.raises(InvalidInput, match="needs one value"):
        wish(sysctls={FORWARD: value})


def test_one_setting_in_two_spellings_is_refused() -> None:
    with pytest.raises(InvalidInput, match="listed twice"):
        wish(sysctls={FORWARD: 1, "net/ipv4/ip_forward": 0})


def test_a_name_server_is_kept_in_its_short_form() -> None:
    assert wish(nameservers=["FD00:0::53"]).nameservers == ("fd00::53",)


def test_a_name_server_may_have_a_zone() -> None:
    assert wish(nameservers=["fe80::1%veth-red"]).nameservers == ("fe80::1%veth-red",)


# ---- present


def test_a_new_namespace_is_made_marked_quiet_and_with_its_loopback_up() -> None:
    assert commands(wish().plan(FRESH)) == [
        "ip netns add red",
        "ip -n red link set lo alias patchbay.netns",
        "ip netns exec red sysctl -w net.ipv6.conf.default.accept_ra=0",
        "ip -n red link set lo up",
    ]


def test_row_33_router_advertisements_are_taken_when_asked_for() -> None:
    assert not any(RA in line for line in commands(wish(sysctls={RA: 1}).plan(FRESH)))


def test_row_33_a_namespace_that_is_there_keeps_its_setting() -> None:
    assert wish().plan(LIVE) == []


def test_a_kernel_without_ipv6_has_nothing_to_quieten() -> None:
    assert not any("sysctl" in line for line in commands(wish().plan(State())))


def test_row_26_a_loopback_that_is_down_is_put_up() -> None:
    state = State([Namespace("red"), Loopback("red", False)])
    assert commands(wish().plan(state)) == ["ip -n red link set lo up"]


def test_a_loopback_is_put_down_when_asked() -> None:
    assert commands(wish(loopback=False).plan(LIVE)) == ["ip -n red link set lo down"]


def test_row_38_a_leftover_file_is_replaced_by_a_namespace() -> None:
    state = State([Namespace("red", live=False, ours=False)])
    assert commands(wish().plan(state))[:2] == ["ip netns del red", "ip netns add red"]


def test_row_38_a_leftover_file_does_not_look_like_a_namespace() -> None:
    assert wish().view(State([Namespace("red", live=False, ours=False)])) == {"name": "red", "stale": True}


def test_row_38_a_leftover_file_is_removed() -> None:
    state = State([Namespace("red", live=False, ours=False)])
    assert commands(wish(state="absent").plan(state)) == ["ip netns del red"]


def test_a_foreign_namespace_is_brought_to_what_is_asked() -> None:
    state = State([Namespace("red", ours=False), Loopback("red", False)])
    assert len(wish().plan(state)) == 1


# ---- absent


def test_a_foreign_namespace_is_not_removed() -> None:
    with pytest.raises(NotOurs, match=r"^namespace red was not made by this collection"):
        wish(state="absent").plan(State([Namespace("red", ours=False)]))


def test_a_foreign_namespace_is_removed_by_force() -> None:
    assert wish(state="absent", force=True).plan(State([Namespace("red", ours=False)]))


def test_a_namespace_that_is_not_there_needs_no_removal() -> None:
    assert wish(state="absent").plan(State()) == []


def occupied(count: int) -> State:
    return State([Namespace("red"), Occupants("red", tuple(Process(pid, "sleep") for pid in range(100, 100 + count)))])


def test_row_37_processes_inside_are_named() -> None:
    with pytest.raises(InUse, match=r"100 \(sleep\), 101 \(sleep\)"):
        wish(state="absent").plan(occupied(2))


def test_row_37_of_many_processes_the_first_are_named_and_the_rest_counted() -> None:
    with pytest.raises(InUse, match=r"107 \(sleep\) and 3 more;"):
        wish(state="absent").plan(occupied(11))


def test_row_37_all_processes_are_in_the_details() -> None:
    with pytest.raises(InUse) as caught:
        wish(state="absent").plan(occupied(11))
    assert len(caught.value.details["processes"]) == 11


def test_row_37_processes_are_ended_by_force_before_the_name_goes() -> None:
    assert commands(wish(state="absent", force=True).plan(occupied(1))) == [
        "ip netns pids red | xargs kill",
        "ip netns del red",
    ]


def test_row_37_the_dead_are_not_brought_back() -> None:
    assert wish(state="absent", force=True).plan(occupied(1))[0].undo() == []


# ---- name servers


def written(*servers: str) -> Resolver:
    return Resolver("red", resolver.text(servers))


def test_name_servers_are_written_to_the_namespaces_file() -> None:
    assert commands(wish(nameservers=["9.9.9.9", "fd00::53"]).plan(LIVE)) == [
        "mkdir -p /etc/netns/red",
        "printf '%s\\n' 'nameserver 9.9.9.9' 'nameserver fd00::53' > /etc/netns/red/resolv.conf",
    ]


def test_name_servers_in_another_order_are_others() -> None:
    state = State([*LIVE, written("9.9.9.9", "1.1.1.1")])
    assert wish(nameservers=["1.1.1.1", "9.9.9.9"]).plan(state)


def test_name_servers_that_are_not_named_stay() -> None:
    assert wish().plan(State([*LIVE, written("9.9.9.9")])) == []


def test_an_empty_list_removes_the_file() -> None:
    state = State([*LIVE, written("9.9.9.9")])
    assert commands(wish(nameservers=[]).plan(state)) == ["rm /etc/netns/red/resolv.conf"]


def test_a_file_of_another_hand_is_left_alone() -> None:
    with pytest.raises(NotOurs, match="was not written by this collection, so it is left alone"):
        wish(nameservers=["9.9.9.9"]).plan(State([*LIVE, Resolver("red", "nameserver 1.1.1.1\n")]))


def test_a_file_of_another_hand_outlives_the_namespace() -> None:
    state = State([*LIVE, Resolver("red", "nameserver 1.1.1.1\n")])
    assert commands(wish(state="absent").plan(state)) == ["ip netns del red"]


def test_our_file_goes_with_the_namespace() -> None:
    state = State([*LIVE, written("9.9.9.9")])
    assert commands(wish(state="absent").plan(state)) == ["ip netns del red", "rm /etc/netns/red/resolv.conf"]


def test_only_lines_that_name_a_server_are_read() -> None:
    text = "# nameserver 1.1.1.1\nsearch example.com\nnameserver\n  nameserver 9.9.9.9 # here\n"
    assert Resolver("red", text).nameservers == ["9.9.9.9"]


# ---- showing


def test_only_the_settings_that_were_asked_for_are_shown() -> None:
    state = State([*LIVE, Sysctl("red", FORWARD, "1"), Sysctl("red", RA, "0")])
    assert wish(sysctls={FORWARD: 1}).view(state)["sysctls"] == {FORWARD: "1"}


@given(some.netns_cases())
def test_what_was_asked_for_is_shown_afterwards(case: tuple[Netns, State]) -> None:
    asked, state = case
    view = asked.view(project(state, asked.plan(state)))
    assert view["loopback"] == asked.loopback
    assert view["sysctls"] == dict(asked.sysctls)
    assert asked.nameservers is None or tuple(view["nameservers"]) == asked.nameservers


@given(some.netns_cases(state="absent"))
def test_absence_leaves_only_what_is_foreign(case: tuple[Netns, State]) -> None:
    asked, state = case
    reached = project(state, asked.plan(state))
    assert {type(item) for item in reached} <= {Sysctl, Resolver, Occupants}
    assert not any(item.ours for item in reached.of(Resolver))
