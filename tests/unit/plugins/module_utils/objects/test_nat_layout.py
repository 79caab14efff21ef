# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From specs to the table and back, and what of the packets the table means."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_changes import Content
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import (
    CHAINS,
    DnatBy,
    Drop,
    Masquerade,
    Ports,
    Rule,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects import nat_layout
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import (
    ForwardSpec,
    MasqueradeSpec,
    Service,
    Spec,
    Target,
)
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import nat_strategies as some
from hypothesis import given
from hypothesis import strategies as st

net, ip = ipaddress.ip_network, ipaddress.ip_address


def spec(
    low: int = 80,
    high: int | None = None,
    *,
    family: int = 4,
    address: str | None = None,
    in_interface: str | None = None,
    to: str = "10.20.0.2",
    **target: t.Any,
) -> ForwardSpec:
    service = Service(family, "tcp", Ports(low, high or low), ip(address) if address else None, in_interface)
    return ForwardSpec(service, Target(ip(to), **target))


def laid_out(*specs: Spec) -> Content:
    found = nat_layout.layout(specs)
    assert found is not None
    return found


# ---- there and back


@given(specs=some.spec_sets)
def test_what_is_laid_out_is_read_back(specs: list[Spec]) -> None:
    assert nat_layout.specs(nat_layout.layout(specs)) == {spec.key: spec for spec in specs}


@given(specs=some.spec_sets)
def test_each_spec_is_read_back_alone(specs: list[Spec]) -> None:
    assert [nat_layout.specs(laid_out(spec)) for spec in specs] == [{spec.key: spec} for spec in specs]


@given(specs=some.spec_sets, data=st.data())
def test_the_table_does_not_depend_on_the_order_of_the_specs(specs: list[Spec], data: t.Any) -> None:
    shuffled = data.draw(st.permutations(specs))
    one, other = nat_layout.layout(specs), nat_layout.layout(shuffled)
    assert one == other
    if one is not None and other is not None:
        assert [list(each.sets) for each in (one, other)] == [list(one.sets)] * 2
        assert list(one.all_rules()) == list(other.all_rules())


@pytest.mark.parametrize(
    "specs",
    [
        (spec(in_interface="eth0"), spec(in_interface="eth1", local=False)),
        (spec(address="203.0.113.1", loopback=True), spec(address="203.0.113.2")),
        (spec(in_interface="eth0", loopback=True), spec(in_interface="eth1", local=False)),
        (
            spec(address="203.0.113.1", in_interface="eth0"),
            spec(address="203.0.113.1", in_interface="eth1", local=False),
        ),
    ],
)
def test_two_forwards_to_one_target_keep_what_is_each_ones_own(specs: tuple[ForwardSpec, ...]) -> None:
    assert nat_layout.specs(laid_out(*specs)) == {each.key: each for each in specs}


def test_nothing_to_translate_is_no_table() -> None:
    assert nat_layout.layout([]) is None
    assert nat_layout.specs(None) == {}


@given(specs=some.spec_sets)
def test_chains_and_sets_are_there_for_something(specs: list[Spec]) -> None:
    content = nat_layout.layout(specs) or Content()
    used = {rule.verdict.name for rule in content.all_rules() if isinstance(rule.verdict, DnatBy)}
    used |= {rule.member.name for rule in content.all_rules() if rule.member}
    assert used == set(content.sets) == set(content.elements)
    assert all(content.elements.values())
    assert set(content.chains) == {rule.chain for rule in content.all_rules()}


@given(specs=some.spec_sets)
def test_base_chains_are_the_known_ones(specs: list[Spec]) -> None:
    content = nat_layout.layout(specs) or Content()
    assert dict(content.chains) == {name: CHAINS[name] for name in content.chains}


@given(specs=some.spec_sets)
def test_row_17_no_rule_is_there_twice(specs: list[Spec]) -> None:
    rules = list((nat_layout.layout(specs) or Content()).all_rules())
    assert len(set(rules)) == len(rules)


@given(specs=some.spec_sets)
def test_every_rule_says_whose_it_is_in_few_bytes(specs: list[Spec]) -> None:
    for rule in (nat_layout.layout(specs) or Content()).all_rules():
        assert rule.comment.startswith("patchbay")
        assert len(rule.comment.encode()) <= 127  # NFTNL_UDATA_COMMENT_MAXLEN is 128 with the zero byte


def test_the_number_of_rules_does_not_grow_with_the_number_of_forwards() -> None:
    few = laid_out(spec(80, hairpin=net("10.20.0.0/24")))
    many = laid_out(*(spec(port, hairpin=net("10.20.0.0/24")) for port in range(1000, 2000)))
    assert list(many.all_rules()) == list(few.all_rules())
    assert set(many.sets) == set(few.sets)


# ---- what is translated, and what is not


@given(specs=some.spec_sets)
def test_row_1_a_translation_tests_the_protocol_and_the_port(specs: list[Spec]) -> None:
    for rule in (nat_layout.layout(specs) or Content()).all_rules():
        if rule.chain in ("prerouting", "output"):
            assert isinstance(rule.verdict, DnatBy)
            assert rule.protocol
            assert "dport" in rule.verdict.key


@given(specs=some.spec_sets)
def test_row_2_only_what_is_sent_to_the_machine_itself_is_translated(specs: list[Spec]) -> None:
    for rule in (nat_layout.layout(specs) or Content()).all_rules():
        if rule.chain in ("prerouting", "output"):
            assert isinstance(rule.verdict, DnatBy)
            loopback = rule.destination == net("127.0.0.0/8")
            assert rule.local_destination or "daddr" in rule.verdict.key or loopback


@given(specs=some.spec_sets)
def test_row_3_what_comes_in_and_what_the_machine_sends_have_a_rule_each(specs: list[Spec]) -> None:
    content = nat_layout.layout(specs) or Content()
    found = [each for each in specs if isinstance(each, ForwardSpec)]
    assert bool(content.rules.get("prerouting")) == bool(found)
    assert bool(content.rules.get("output")) == any(each.target.local or each.target.loopback for each in found)


@given(specs=some.spec_sets)
def test_row_4_loopback_is_taken_only_where_that_was_asked_for(specs: list[Spec]) -> None:
    content = nat_layout.layout(specs) or Content()
    asked = any(each.target.loopback for each in specs if isinstance(each, ForwardSpec))
    taken = [
        rule
        for rule in content.rules.get("output", ())
        if isinstance(rule.verdict, DnatBy)
        and "daddr" not in rule.verdict.key
        and not {net("127.0.0.0/8"), net("::1/128")} & set(rule.not_destinations)
    ]
    assert bool(taken) == asked


@given(specs=some.spec_sets)
def test_row_5_the_guard_is_there_exactly_when_loopback_is_forwarded(specs: list[Spec]) -> None:
    content = nat_layout.layout(specs) or Content()
    asked = any(each.target.loopback for each in specs if isinstance(each, ForwardSpec))
    assert ("guard" in content.chains) == asked
    guards = [
        (rule.verdict, rule.not_in_interface, rule.source, rule.destination) for rule in content.rules.get("guard", ())
    ]
    loopback = net("127.0.0.0/8")
    assert guards == ([(Drop(), "lo", None, loopback), (Drop(), "lo", loopback, None)] if asked else [])


def test_row_5_the_guard_comes_before_any_translation() -> None:
    assert CHAINS["guard"].hook == "prerouting"
    assert CHAINS["guard"].priority < CHAINS["prerouting"].priority


@given(specs=some.spec_sets)
def test_row_6_sources_change_only_for_who_was_translated(specs: list[Spec]) -> None:
    for rule in (nat_layout.layout(specs) or Content()).rules.get("postrouting", ()):
        assert isinstance(rule.verdict, Masquerade)
        assert rule.translated == (rule.member is not None)


@given(specs=some.spec_sets)
def test_row_10_every_rule_is_for_one_ip_version(specs: list[Spec]) -> None:
    assert all(rule.family in (4, 6) for rule in (nat_layout.layout(specs) or Content()).all_rules())


# ---- masquerades


def masquerade(source: str, **more: t.Any) -> MasqueradeSpec:
    return MasqueradeSpec(net(source), **more)


def test_the_more_a_masquerade_demands_the_earlier_it_is_asked() -> None:
    demanding = [
        masquerade("10.20.0.0/24", out_interface="eth0"),
        masquerade("10.20.0.0/24"),
        masquerade("10.0.0.0/8", out_interface="eth0"),
        masquerade("10.0.0.0/8"),
        masquerade("0.0.0.0/0", out_interface="eth0"),
        masquerade("0.0.0.0/0"),
    ]
    rules = laid_out(*reversed(demanding)).rules["postrouting"]
    assert [rule.comment for rule in rules] == [f"patchbay masquerade {each}" for each in demanding]


def test_who_would_get_no_answer_is_asked_about_before_masquerades() -> None:
    content = laid_out(masquerade("10.20.0.0/24"), spec(hairpin=net("10.20.0.0/24")))
    assert [rule.member is not None for rule in content.rules["postrouting"]] == [True, False]


def test_limited_ports_are_for_the_protocols_that_have_some() -> None:
    rules = laid_out(masquerade("10.20.0.0/24", to_ports=Ports(1024, 2000), random=True)).rules["postrouting"]
    assert [(rule.protocol, str(rule.verdict)) for rule in rules] == [
        ("tcp", "masquerade to :1024-2000 random"),
        ("udp", "masquerade to :1024-2000 random"),
        (None, "masquerade random"),
    ]


def test_rules_in_another_order_mean_the_same_masquerade() -> None:
    wanted = masquerade("10.20.0.0/24", to_ports=Ports(1024, 2000))
    content = laid_out(wanted)
    turned = replace(content, rules={"postrouting": content.rules["postrouting"][::-1]})
    assert nat_layout.specs(turned) == {wanted.key: wanted}


@pytest.mark.parametrize(
    "change",
    [
        {"comment": ""},
        {"comment": "mine"},
        {"comment": "patchbay masquerade 10.0.0.0/8"},
        {"comment": "patchbay masquerade 10.20.0.0/24 out eth0"},
        {"verdict": Drop()},
        {"family": None, "source": None, "not_destinations": ()},
    ],
)
def test_a_rule_that_is_not_what_its_comment_says_is_no_masquerade(change: dict[str, t.Any]) -> None:
    (rule,) = laid_out(masquerade("10.20.0.0/24")).rules["postrouting"]
    other = Content(dict(CHAINS), {"postrouting": (replace(rule, **change),)})
    assert nat_layout.specs(other) == {}


@given(content=some.contents())
def test_a_table_that_others_have_been_at_can_be_read(content: Content) -> None:
    found = nat_layout.specs(content)
    assert all(key == each.key for key, each in found.items())


@given(specs=some.spec_sets)
def test_strangers_are_no_specs(specs: list[Spec]) -> None:
    content = nat_layout.layout(specs) or Content()
    rules = {name: (*some.STRANGERS, *found) for name, found in content.rules.items()}
    assert nat_layout.specs(replace(content, rules=rules)) == {each.key: each for each in specs}


# ---- what is shown


@given(specs=some.spec_sets)
def test_what_is_shown_is_in_the_table(specs: list[Spec]) -> None:
    for each in specs:
        content = laid_out(each)
        places = {*content.sets, *content.chains}
        assert all(line.partition(": ")[0] in places for line in nat_layout.shown([each]))


def test_a_forward_is_shown_by_its_elements() -> None:
    assert nat_layout.shown([spec(to="10.20.0.2", hairpin=net("10.20.0.0/24"), ports=Ports(8080, 8080))]) == [
        'forwards-tcp-ip: 80 comment "patchbay forward tcp 80 hairpin 10.20.0.0/24" : 10.20.0.2 . 8080',
        "masqueraded-tcp-ip: 10.20.0.0/24 . 10.20.0.2 . 8080",
    ]


def test_a_masquerade_is_shown_by_its_rules() -> None:
    assert nat_layout.shown([masquerade("10.20.0.0/24", out_interface="eth0")]) == [
        'postrouting: oifname "eth0" ip saddr 10.20.0.0/24 counter masquerade'
    ]


def test_rules_are_values() -> None:
    """The layout is computed twice in each run: its rules must be equal, not the same objects."""
    one, two = laid_out(spec()), laid_out(spec())
    assert [hash(rule) for rule in one.all_rules()] == [hash(rule) for rule in two.all_rules()]
    assert isinstance(next(iter(one.all_rules())), Rule)
