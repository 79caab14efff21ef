# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wish for forwards and masquerades: what a plan leads to, in which order, and what is said of it."""

from __future__ import annotations

import ipaddress
import shlex
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Conflict, NotFound, PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Opaque, Rule
from ansible_collections.patchbay.netns.plugins.module_utils._objects import forwarding, nat_layout
from ansible_collections.patchbay.netns.plugins.module_utils._objects.flows import ForgetFlows
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat import Nat, NatTable, PutNat, holder
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Hold, KeepHold, SetSysctl, Sysctl
from ansible_collections.patchbay.netns.plugins.module_utils._objects.way import Way
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import nat_strategies as some
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.nat_strategies import (
    LOCALNET,
    ON,
    forward,
    masquerade,
    together,
    world,
)
from hypothesis import assume, given
from hypothesis import strategies as st

LAB = ipaddress.ip_network("192.168.15.0/24")
BLUE = ipaddress.ip_address("192.168.15.2")


def planned(wish: Nat, state: State) -> list[Step]:
    """The plan; refusals are legitimate and have tests of their own."""
    try:
        return wish.plan(state)
    except PatchbayError:
        assume(False)
        raise


def done(state: State, *wishes: Nat) -> State:
    for wish in wishes:
        state = project(state, wish.plan(state))
    return state


def table(state: State) -> t.Any:
    found: NatTable | None = state.get(("nat-table", None))
    return found.content if found else None


def value(state: State, name: str) -> str:
    return t.cast(Sysctl, state.get(("sysctl", None, name))).value


def commands(wish: Nat, state: State) -> list[str]:
    return [command for step in wish.plan(state) for command in step.commands()]


def absent(wish: Nat) -> Nat:
    """The same wish turned around."""
    gone = [
        replace(part, present=False) if hasattr(part, "spec") else replace(part, targets=())  # type: ignore[type-var]
        for part in wish.parts
    ]
    return Nat(tuple(gone))


# ---- where a plan leads


@given(state=some.worlds, crowd=st.lists(some.wishes, max_size=4), wish=some.wishes)
def test_after_a_plan_nothing_is_left_to_do_whatever_else_is_there(state: State, crowd: list[Nat], wish: Nat) -> None:
    for other in crowd:
        state = project(state, planned(other, state))
    reached = project(state, planned(wish, state))
    assert wish.plan(reached) == []
    assert bool(wish.view(reached)) == wish.present


@given(state=some.worlds, crowd=st.lists(some.wishes, max_size=4), wish=some.wishes)
def test_who_was_there_before_has_nothing_left_to_do_either(state: State, crowd: list[Nat], wish: Nat) -> None:
    """Else two tasks of one play would undo each other's work in every run."""
    mine = {key for part in wish.parts for key in part.keys}
    for other in crowd:
        state = project(state, planned(other, state))
    reached = project(state, planned(wish, state))
    for other in crowd:
        keys = {key for part in other.parts for key in part.keys}
        if keys.isdisjoint(mine) and not other.plan(state):
            assert other.plan(reached) == []


@given(state=some.worlds, crowd=st.lists(some.wishes, max_size=4), wish=some.wishes)
def test_taking_back_all_steps_leads_to_the_start(state: State, crowd: list[Nat], wish: Nat) -> None:
    for other in crowd:
        state = project(state, planned(other, state))
    steps = planned(wish, state)
    backward = [step for forth in reversed(steps) for step in forth.undo()]
    assert project(project(state, steps), backward) == state


@given(state=some.worlds, crowd=st.lists(some.wishes, max_size=5))
def test_row_11_when_all_are_absent_everything_is_as_it_was(state: State, crowd: list[Nat]) -> None:
    reached = state
    for wish in crowd:
        reached = project(reached, planned(wish, reached))
    for wish in crowd:
        reached = project(reached, absent(wish).plan(reached))
    assert reached == state


@given(state=some.worlds, crowd=st.lists(some.wishes, max_size=4), wish=some.wishes)
def test_every_step_turns_what_is_there(state: State, crowd: list[Nat], wish: Nat) -> None:
    for other in crowd:
        state = project(state, planned(other, state))
    for step in planned(together(*crowd, wish), state) if apart([*crowd, wish]) else planned(wish, state):
        assert all(state.get(item.key) == item for item in step.before)
        state = step.project(state)


# ---- many parts at once


def apart(wishes: t.Iterable[Nat]) -> bool:
    """Whether no two are about the same object."""
    keys = [key for wish in wishes for part in wish.parts for key in part.keys]
    return len(keys) == len(set(keys))


@given(
    state=some.worlds,
    crowd=st.lists(some.wishes, max_size=3),
    more=st.lists(some.wishes, min_size=1, max_size=3),
    leaving=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_many_parts_lead_where_they_lead_one_by_one(
    state: State, crowd: list[Nat], more: list[Nat], leaving: list[bool]
) -> None:
    for other in crowd:
        state = project(state, planned(other, state))
    wishes = [absent(other) for at, other in enumerate(crowd) if leaving[at]] + more
    assume(apart(wishes))
    reached, count = state, 0
    for wish in wishes:
        steps = planned(wish, reached)
        reached, count = project(reached, steps), count + len(steps)
    steps = together(*wishes).plan(state)
    assert project(state, steps) == reached
    assert len(steps) <= count


def test_a_hundred_forwards_are_one_change_of_the_table() -> None:
    wish = together(*(forward(port=str(port)) for port in range(8000, 8100)))
    steps = wish.plan(world())
    assert [type(step) for step in steps] == [PutNat, ForgetFlows, KeepHold, SetSysctl]
    assert len(nat_layout.specs(table(project(world(), steps)))) == 100


def test_who_comes_takes_over_from_who_goes() -> None:
    """The one who leaves is the last holder, and the one who joins is new: the setting must not be given back in between."""
    one, two = masquerade(), masquerade(source="10.0.0.0/8")
    state = done(world(), one)
    steps = together(absent(one), two).plan(state)
    reached = project(state, steps)
    assert not [step for step in steps if isinstance(step, SetSysctl)]
    assert value(reached, ON[4]) == "1"
    assert reached.get(("hold", None, ON[4])).holders == frozenset([holder(two.parts[0].keys[0])])


def test_several_are_shown_in_a_line_each() -> None:
    wish = together(masquerade(), forward())
    assert list(wish.view(done(world(), wish))) == ["masquerade 192.168.15.0/24", "forward tcp 80 ipv4"]


def test_two_parts_that_take_the_same_packets_are_refused() -> None:
    with pytest.raises(Conflict, match="takes in the same packets"):
        together(forward(port="80"), forward(port="70-90")).plan(world())


# ---- settings and their order


@given(crowd=st.lists(some.wishes, max_size=6))
def test_row_5_loopback_opens_after_the_rules_that_guard_it(crowd: list[Nat]) -> None:
    state = world()
    for wish in [*crowd, *map(absent, crowd)]:
        for step in planned(wish, state):
            state = step.project(state)
            found = table(state)
            assert value(state, LOCALNET) == "0" or (found and found.rules.get("guard"))


def test_row_5_the_ipv4_half_of_a_forward_does_not_leave_loopback_open_behind() -> None:
    both = forward(to_address=["192.168.15.2", "fd00:15::2"], loopback=True)
    state = done(done(world(), both), absent(forward()))
    assert [str(key[1]) for key in nat_layout.specs(table(state))] == ["tcp 80 ipv6"]
    assert value(state, LOCALNET) == "0"


@given(crowd=st.lists(some.wishes, min_size=1, max_size=4))
def test_flows_are_looked_through_after_the_rules_changed(crowd: list[Nat]) -> None:
    state = world()
    for wish in crowd:
        steps = [type(step) for step in planned(wish, state)]
        if ForgetFlows in steps:
            assert steps[steps.index(ForgetFlows) - 1] is PutNat
        state = done(state, wish)


def test_row_11_the_last_holder_gives_the_setting_back() -> None:
    one, two = masquerade(), forward()
    state = done(world(), one, two)
    assert value(state, ON[4]) == "1"
    state = done(state, absent(one))
    assert value(state, ON[4]) == "1"
    assert value(done(state, absent(two)), ON[4]) == "0"


def test_row_11_a_setting_that_was_on_stays_on() -> None:
    assert value(done(world(v4_on="1"), masquerade(), absent(masquerade())), ON[4]) == "1"


def test_row_10_both_versions_are_switched_on_and_given_back() -> None:
    wish = forward(to_address=["192.168.15.2", "fd00:15::2"])
    state = done(world(), wish)
    assert (value(state, ON[4]), value(state, ON[6])) == ("1", "1")
    assert done(state, absent(wish)) == world()


def test_a_part_may_leave_forwarding_alone() -> None:
    state = done(world(), masquerade(forwarding=False))
    assert value(state, ON[4]) == "0"
    assert masquerade().view(state)["forwarding"] is False


def test_row_4_loopback_opens_the_way_to_the_target_only() -> None:
    state = done(world(), forward(loopback=True))
    assert value(state, LOCALNET) == "1"
    assert value(done(state, forward(loopback=False)), LOCALNET) == "0"


def test_loopback_needs_a_way() -> None:
    state = world().changed((), [Way(None, BLUE)])
    with pytest.raises(
        NotFound, match=r"^loopback: true needs a route to to_address 192\.168\.15\.2, and there is none"
    ):
        forward(loopback=True).plan(state)


def test_one_of_two_ip_versions_may_leave() -> None:
    both = forward(to_address=["192.168.15.2", "fd00:15::2"])
    state = done(world(), both, forward(to_address=["fd00:15::2"], state="absent"))
    assert both.view(state)["family"] == ["ipv4"]
    assert value(state, ON[6]) == "0"


# ---- what others did to the table


def test_row_17_strangers_and_doubles_go() -> None:
    wish = masquerade()
    state = done(world(), wish)
    content = table(state)
    rules = content.rules["postrouting"]
    strange = Rule("postrouting", Opaque((("lookup", b""),)), rules[0].comment, handle=9)
    worse = replace(content, rules={"postrouting": (strange, *rules, *rules)})
    altered = state.changed((), [NatTable(None, worse)])
    assert done(altered, wish) == state
    assert "nft delete rule inet patchbay postrouting handle 9" in commands(wish, altered)


def test_a_chain_that_somebody_remade_is_ours_again() -> None:
    wish = masquerade()
    state = done(world(), wish)
    content = table(state)
    chains = {"postrouting": content.chains["postrouting"]._replace(priority=-42, policy="drop")}
    assert done(state.changed((), [NatTable(None, replace(content, chains=chains))]), wish) == state


def test_row_16_a_flushed_table_is_written_again() -> None:
    wish = forward()
    state = done(world(), wish)
    flushed = state.changed([state.get(("nat-table", None))], ())
    assert done(flushed, wish) == state


def test_what_is_there_twice_over_does_not_keep_anybody_from_leaving() -> None:
    one, two = forward(address=["203.0.113.1"], loopback=True), forward(address=["203.0.113.2"])
    state = done(world(), one, two)
    assert one.plan(state) == []
    assert two.plan(state) == []


# ---- commands


def test_commands_of_a_namespace_run_there() -> None:
    wish = masquerade(netns="red")
    found = commands(wish, State([Sysctl("red", ON[4], "0")]))
    assert found[0] == "ip netns exec red nft add table inet patchbay"
    assert all(command.startswith("ip netns exec red ") for command in found)


@given(state=some.worlds, crowd=st.lists(some.wishes, max_size=3), wish=some.wishes)
def test_each_command_of_nft_is_one_word_of_a_shell_or_plain(state: State, crowd: list[Nat], wish: Nat) -> None:
    for other in crowd:
        state = project(state, planned(other, state))
    for step in planned(wish, state):
        for line in step.commands() if isinstance(step, PutNat) else []:
            words = shlex.split(line)
            assert words[0] == "nft"
            assert "inet patchbay" in " ".join(words)
            assert len(words) == 2 or not set(line) & set("{}[]\"'$;&|<>*?()!#~`\\")


# ---- warnings


def warnings(wish: Nat, state: State) -> list[str]:
    return wish.warnings(state, done(state, wish))


def test_row_12_that_the_machine_becomes_a_router_is_said_and_only_then() -> None:
    (said,) = warnings(masquerade(), world())
    assert said.startswith("net.ipv4.ip_forward is switched on here: from now on packets are routed between all")
    assert warnings(masquerade(), world(v4_on="1")) == []
    assert warnings(masquerade(forwarding=False), world()) == []
    assert warnings(masquerade(state="absent"), world()) == []


def test_many_parts_say_it_once() -> None:
    assert len(warnings(together(masquerade(), forward(), forward(port="81")), world())) == 1


def test_both_versions_are_said() -> None:
    said = warnings(forward(to_address=["192.168.15.2", "fd00:15::2"]), world())
    assert [line.split()[0] for line in said] == list(ON.values())


def test_a_target_in_no_connected_network_is_named() -> None:
    (said,) = warnings(forward(), world(v4_on="1", network=False))
    assert "to_address 192.168.15.2 is in no connected network" in said
    assert warnings(forward(hairpin=False), world(v4_on="1", network=False)) == []


def test_row_8_a_deaf_bridge_port_is_named() -> None:
    state = world(v4_on="1").changed((), [Way(None, BLUE, "br0", LAB, "veth-blue-br")])
    (said,) = warnings(forward(), state)
    assert "Set hairpin: true for veth-blue-br, with the veth module or at its interface in the lab file" in said
    assert "net.bridge.bridge-nf-call-iptables=1" in said


def test_row_10_loopback_of_both_versions_works_for_one() -> None:
    said = warnings(forward(to_address=["192.168.15.2", "fd00:15::2"], loopback=True), world(v4_on="1", v6_on="1"))
    assert [line.partition(":")[0] for line in said] == ["loopback"]


# ---- router advertisements

RA = "net.ipv6.conf.eth0.accept_ra"
SIX = masquerade(source="fd00:15::/64")


def advertised(number: str, *holds: Hold) -> State:
    return State([*world(), forwarding.Advertised(None, "eth0"), Sysctl(None, RA, number), *holds])


def test_router_advertisements_are_heard_before_forwarding_begins() -> None:
    assert commands(SIX, advertised("1"))[-2:] == [f"sysctl -w {RA}=2", f"sysctl -w {ON[6]}=1"]


def test_router_advertisements_are_given_back_after_forwarding_ended() -> None:
    state = done(advertised("1"), SIX)
    assert commands(absent(SIX), state)[:2] == [f"sysctl -w {ON[6]}=0", f"sysctl -w {RA}=1"]


@pytest.mark.parametrize("number", ["0", "2"])
def test_devices_that_need_no_help_are_left_alone(number: str) -> None:
    """0: somebody else reads the advertisements (NetworkManager, systemd-networkd); 2: set by the administrator."""
    assert not [command for command in commands(SIX, advertised(number)) if "accept_ra" in command]


def test_a_device_that_is_gone_is_let_go() -> None:
    held = Hold(None, RA, "1", frozenset([holder(SIX.parts[0].keys[0])]))
    reached = done(State([*world(v6_on="1"), held]), SIX)
    assert reached.get(held.key) is None
