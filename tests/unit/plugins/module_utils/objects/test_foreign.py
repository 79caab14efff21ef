# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is found to drop, and which openings a plan makes, completes, replaces and takes back. No program is run."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t
from unittest import mock

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Conflict, ForeignFirewall, PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls import openings
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import (
    Chain,
    Rule,
    Table,
    Unknown,
    Verdict,
)
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.opening import Standing
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._objects import foreign
from ansible_collections.patchbay.netns.plugins.module_utils._objects.foreign import (
    CloseFirewall,
    Firewalls,
    Opened,
    OpenFirewall,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.foreign_paths import Around
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import (
    ForwardSpec,
    MasqueradeSpec,
    Service,
    Spec,
    Target,
)

net = ipaddress.ip_network
LAB = net("192.168.15.0/24")
TAG = "forward tcp 80 ipv4"
DOCKER = Table(
    "nft",
    "ip",
    "filter",
    (
        Chain("FORWARD", (Rule((), Verdict("jump", "DOCKER-USER")),), "forward", "filter", 0, "drop"),
        Chain("DOCKER-USER"),
    ),
)
UFW = Table(
    "nft",
    "ip",
    "filter",
    (
        Chain("FORWARD", (Rule((), Verdict("jump", "ufw-before-forward")),), "forward", "filter", 0, "drop"),
        Chain("ufw-before-forward"),
    ),
)
ADMIN = Table("nft", "inet", "mine", (Chain("guard", (), "forward", "filter", 0, "drop"),))
MANNERS = (foreign.REPORT, foreign.ALLOW, foreign.FAIL)


def around(*filtered: str) -> Around:
    def device(address: t.Any) -> str:
        return "br0" if address in LAB else "up0"

    return Around({4: (net("203.0.113.1"),), 6: ()}, device, {4: frozenset(filtered), 6: frozenset()})


def state(*tables: Table, at_home: bool = True, opened: t.Iterable[Opened] = (), filtered: str = "") -> State:
    return State([Firewalls(None, tables, around(filtered), at_home), *opened])


def forward(*sources: str, to: str = "192.168.15.2", protocol: str = "tcp", port: int = 80) -> ForwardSpec:
    target = Target(ipaddress.ip_address(to), Ports(80, 80), sources=tuple(map(net, sources)))
    return ForwardSpec(Service(4, protocol, Ports(port, port)), target)


def plan(
    seen: State, manner: str, wanted: Spec | None = None, now: Spec | None = None, tag: str = TAG
) -> list[tuple[str, str]]:
    return [
        (type(step).__name__, (*step.after, *step.before)[0].standing.tag)
        for step in foreign.plan(seen, None, tag, now, wanted, manner)
    ]


def found(seen: State, steps: t.Iterable[Step], *tables: Table) -> State:
    """What would be read afterwards: nobody remembers how an opening was asked for."""
    opened = [dataclasses.replace(each, opening=None) for each in project(seen, steps).of(Opened)]
    return state(*tables, opened=opened)


def allowed(wanted: Spec, *tables: Table) -> State:
    """The state after an opening was made in a chain of which the tables are not shown."""
    seen = state(*tables)
    return found(seen, foreign.plan(seen, None, TAG, None, wanted, foreign.ALLOW), *tables)


# ---- judging


@pytest.mark.parametrize("manner", MANNERS)
def test_where_there_is_no_other_firewall_nothing_is_done_or_said(manner: str) -> None:
    assert foreign.plan(State(), None, TAG, None, forward(), manner) == []
    assert foreign.warnings(State(), None, forward(), TAG) == []
    foreign.refuse_rivals(State(), None, forward(), None)


def test_every_table_that_drops_is_found_once() -> None:
    legacy = dataclasses.replace(DOCKER, backend="legacy")
    shown = foreign.shown(state(DOCKER, legacy, ADMIN), None, forward("10.0.0.0/8", "11.0.0.0/8"), TAG)
    assert [(each["owner"], each["table"]) for each in shown] == [
        ("docker", "ip filter"),
        ("docker", "ip filter (iptables-legacy)"),
        ("unknown", "inet mine"),
    ]


def test_a_result_tells_what_a_program_wants_to_know() -> None:
    rule = Rule((), Verdict("drop"), "counter drop")
    table = Table("nft", "inet", "mine", (Chain("guard", (rule,), "forward", "filter"),), owned=True)
    (shown,) = foreign.shown(state(table), None, forward(), TAG)
    assert shown == {
        "code": "OWNER",
        "owner": "unknown",
        "table": "inet mine",
        "chain": "guard",
        "rule": "counter drop",
        "policy": None,
        "hook": "forward",
    }


def test_what_may_happen_is_not_reported() -> None:
    rule = Rule((Unknown("limit"),), Verdict("drop"), "limit drop")
    table = Table("nft", "inet", "mine", (Chain("guard", (rule,), "forward", "filter"),))
    assert foreign.warnings(state(table), None, forward(), TAG) == []


def test_one_warning_has_the_commands_for_all_sources() -> None:
    (said,) = foreign.warnings(state(DOCKER), None, forward("10.0.0.0/8", "11.0.0.0/8"), TAG)
    assert said.count("iptables-nft -I DOCKER-USER ") == 6
    assert said.endswith("`, or set foreign_firewall: allow.")


def test_what_a_person_does_by_hand_is_not_marked_as_ours() -> None:
    (said,) = foreign.warnings(state(DOCKER), None, forward(), TAG)
    assert f"'patchbay: by hand for {TAG} [" in said
    assert not plan(state(DOCKER, opened=[opened_by_hand()]), foreign.REPORT, forward())


def opened_by_hand() -> Opened:
    return Opened(None, Standing("docker", "nft", 4, f"by hand for {TAG}", "01234567"))


def test_in_a_named_namespace_the_commands_say_so() -> None:
    seen = State([Firewalls("red", (DOCKER,), around(), at_home=False)])
    (said,) = foreign.warnings(seen, "red", forward(), TAG)
    assert said.count("iptables-nft") == said.count("ip netns exec red iptables-nft") == 3
    steps = foreign.plan(seen, "red", TAG, None, forward(), foreign.ALLOW)
    for line in (line for step in [*steps, *steps[0].undo()] for line in step.commands()):
        assert line.startswith("ip netns exec red iptables-nft -")


def test_neighbours_on_a_bridge_have_a_code_of_their_own() -> None:
    seen = state(ADMIN, filtered="br0")
    shown = foreign.shown(seen, None, MasqueradeSpec(LAB), "masquerade")
    assert [each["code"] for each in shown] == ["FOREIGN_DROP", "BR_NETFILTER"]
    assert "sysctl -w net.bridge.bridge-nf-call-iptables=0" in foreign.warnings(seen, None, MasqueradeSpec(LAB), "m")[1]


def test_check_mode_foresees_that_nothing_drops_any_more() -> None:
    seen = state(DOCKER)
    steps = foreign.plan(seen, None, TAG, None, forward(), foreign.ALLOW)
    assert foreign.shown(project(seen, steps), None, forward(), TAG) == []


@pytest.mark.parametrize(("priority", "port"), [(-150, 8080), (0, 80)])
def test_before_translation_the_commands_are_about_the_port_that_is_asked(priority: int, port: int) -> None:
    table = Table("nft", "inet", "mine", (Chain("guard", (), "prerouting", "filter", priority, "drop"),))
    (said,) = foreign.warnings(state(table), None, forward(port=8080), TAG)
    assert f"tcp dport {port} " in said


# ---- the three manners


def test_fail_fails_with_what_was_found() -> None:
    with pytest.raises(ForeignFirewall, match="policy drop of chain FORWARD") as failure:
        plan(state(DOCKER), foreign.FAIL, forward())
    assert [each["owner"] for each in failure.value.details["blocked"]] == ["docker"]


def test_fail_does_not_concern_what_is_to_go() -> None:
    assert plan(state(DOCKER), foreign.FAIL, None, forward()) == []


def test_report_opens_nothing() -> None:
    assert plan(state(DOCKER), foreign.REPORT, forward()) == []


@pytest.mark.parametrize("table", [DOCKER, UFW], ids=["docker", "ufw"])
def test_allow_opens_once(table: Table) -> None:
    assert plan(state(table), foreign.ALLOW, forward()) == [("OpenFirewall", TAG)]
    assert plan(allowed(forward(), table), foreign.ALLOW, forward(), forward()) == []


@pytest.mark.parametrize("table", [DOCKER, UFW], ids=["docker", "ufw"])
def test_each_source_is_opened(table: Table) -> None:
    spec = forward("10.0.0.0/8", "11.0.0.0/8")
    tags = [f"{TAG} from 10.0.0.0/8", f"{TAG} from 11.0.0.0/8"]
    assert plan(state(table), foreign.ALLOW, spec) == [("OpenFirewall", tag) for tag in tags]
    assert plan(allowed(spec, table), foreign.REPORT, spec, spec) == [("CloseFirewall", tag) for tag in tags]


@pytest.mark.parametrize("manner", MANNERS)
def test_allow_never_touches_an_administrators_table(manner: str) -> None:
    if manner != foreign.FAIL:
        assert plan(state(ADMIN), manner, forward()) == []


def test_the_machines_tools_are_not_used_in_another_namespace() -> None:
    seen = state(UFW, at_home=False)
    assert plan(seen, foreign.ALLOW, forward()) == []
    (said,) = foreign.warnings(seen, None, forward(), TAG)
    assert "the firewall of ufw" in said
    assert "`iptables-nft -I FORWARD " in said
    assert "`ufw " not in said


def test_where_routing_is_not_done_yet_there_is_no_place_for_us() -> None:
    chains = (dataclasses.replace(UFW.chains[0], hook="prerouting", priority=-150), *UFW.chains[1:])
    table = dataclasses.replace(UFW, name="mangle", chains=chains)
    assert plan(state(table), foreign.ALLOW, forward()) == []
    assert "foreign_firewall: allow" not in foreign.warnings(state(table), None, forward(), TAG)[0]


def test_ufw_is_not_asked_for_a_protocol_that_it_does_not_know() -> None:
    spec = forward(protocol="sctp")
    assert plan(state(UFW), foreign.ALLOW, spec) == []
    assert "ufw route" not in foreign.warnings(state(UFW), None, spec, TAG)[0]


@pytest.mark.parametrize("manner", [foreign.ALLOW, foreign.REPORT])
def test_what_is_absent_needs_no_opening(manner: str) -> None:
    assert plan(allowed(forward(), DOCKER), manner, None, forward()) == [("CloseFirewall", TAG)]


def test_another_target_has_another_opening_and_the_old_one_goes_last() -> None:
    seen, new = allowed(forward(), DOCKER), forward(to="192.168.15.3")
    steps = foreign.plan(seen, None, TAG, forward(), new, foreign.ALLOW)
    assert [type(step) for step in steps] == [OpenFirewall, CloseFirewall]
    assert "192.168.15.3" in " ".join(steps[0].commands())
    assert "192.168.15.2" in " ".join(steps[1].commands())


def test_half_an_opening_is_completed_and_not_taken_away() -> None:
    (whole,) = allowed(forward(), DOCKER).of(Opened)
    half = dataclasses.replace(whole, standing=dataclasses.replace(whole.standing, whole=False))
    steps = foreign.plan(state(DOCKER, opened=[half]), None, TAG, forward(), forward(), foreign.ALLOW)
    assert [(type(step), step.before) for step in steps] == [(OpenFirewall, (half,))]


def test_an_opening_stays_where_the_firewall_lets_everything_pass_for_a_while() -> None:
    seen = allowed(forward(), DOCKER)
    resting = dataclasses.replace(
        DOCKER, chains=tuple(dataclasses.replace(each, policy="accept") for each in DOCKER.chains)
    )
    assert plan(state(resting, opened=seen.of(Opened)), foreign.ALLOW, forward(), forward()) == []


@pytest.mark.parametrize("table", [DOCKER, UFW], ids=["docker", "ufw"])
def test_the_opening_of_another_forward_is_not_enough(table: Table) -> None:
    """It goes with the other one."""
    seen = allowed(forward(), table)
    if table is UFW:  # whose own rules can't be told from ours in the kernel: the packet passes
        table = dataclasses.replace(UFW, chains=())
    seen = state(table, opened=seen.of(Opened))
    other = "forward tcp 8080 ipv4"
    assert plan(seen, foreign.ALLOW, forward(port=8080), tag=other) == [("OpenFirewall", other)]


@pytest.mark.parametrize(
    ("tag", "mine"),
    [
        (TAG, True),
        (f"{TAG} from 10.0.0.0/8", True),
        (f"{TAG} bridged", True),
        (f"{TAG} in eth0", False),
        (f"{TAG} at 203.0.113.1", False),
        (f"{TAG} at 203.0.113.1 from 10.0.0.0/8", False),
        (f"by hand for {TAG}", False),
        ("forward tcp 8 ipv4", False),
    ],
)
def test_openings_of_others_with_similar_names_are_not_taken_back(tag: str, mine: bool) -> None:
    there = Opened(None, Standing("docker", "nft", 4, tag, "01234567"))
    assert bool(plan(state(DOCKER, opened=[there]), foreign.REPORT, forward())) is mine


def passing() -> State:
    """Docker's rules with an opening in them, as they are read."""
    seen = allowed(forward(), DOCKER)
    mark = f"patchbay: {TAG} [{seen.of(Opened)[0].standing.content}"
    accepts = tuple(Rule((), Verdict("accept"), comment=f"{mark} {word}]") for word in ("new", "there", "back"))
    table = dataclasses.replace(DOCKER, chains=(DOCKER.chains[0], Chain("DOCKER-USER", accepts)))
    return state(table, opened=seen.of(Opened))


def test_check_mode_foresees_what_drops_when_the_opening_is_gone() -> None:
    seen = passing()
    assert foreign.shown(seen, None, forward(), TAG) == []
    steps = foreign.plan(seen, None, TAG, forward(), forward(), foreign.REPORT)
    assert [each["owner"] for each in foreign.shown(project(seen, steps), None, forward(), TAG)] == ["docker"]


def test_fail_fails_where_only_our_own_opening_lets_it_pass() -> None:
    with pytest.raises(ForeignFirewall):
        plan(passing(), foreign.FAIL, forward(), forward())


def test_who_passes_by_the_opening_of_another_needs_one_of_its_own() -> None:
    other = "forward tcp 8080 ipv4"
    assert plan(passing(), foreign.ALLOW, forward(port=8080), tag=other) == [("OpenFirewall", other)]


# ---- steps


def test_an_opening_that_fails_half_way_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    (step,) = foreign.plan(state(DOCKER), None, TAG, None, forward(), foreign.ALLOW)
    removed: list[Standing] = []
    monkeypatch.setattr(openings, "apply", mock.Mock(side_effect=PatchbayError("no")))
    monkeypatch.setattr(openings, "remove", lambda _kernel, _netns, standing: removed.append(standing))
    with pytest.raises(PatchbayError, match="no"):
        step.apply(mock.Mock(spec=Kernel))
    assert removed == [step.after[0].standing]


def test_what_nobody_remembers_asking_for_is_described() -> None:
    there = Opened(None, Standing("docker", "nft", 4, TAG, "01234567"))
    (step,) = foreign.plan(state(DOCKER, opened=[there]), None, TAG, None, None, foreign.REPORT)
    assert step.commands() == [f"# remove what Docker has for '{TAG}': 01234567"]
    assert step.undo() == []


# ---- rivals


def rival(priority: int = -100, *conditions: t.Any, kind: str = "dnat") -> Table:
    rule = Rule(conditions, Verdict(kind), "dnat to 10.0.0.9")
    return Table("nft", "ip", "theirs", (Chain("pre", (rule,), "prerouting", "nat", priority),))


@pytest.mark.parametrize("kind", ["dnat", "redirect"])
def test_who_translates_first_is_a_conflict(kind: str) -> None:
    with pytest.raises(Conflict, match="forwarded already by somebody: the rule 'dnat to") as failure:
        foreign.refuse_rivals(state(rival(kind=kind)), None, forward(), None)
    assert failure.value.details == {"owner": "unknown", "rule": "dnat to 10.0.0.9"}


@pytest.mark.parametrize(
    "table",
    [rival(-90), rival(-100, Unknown("mark")), rival(-100, kind="accept"), dataclasses.replace(rival(), family="ip6")],
    ids=["later", "perhaps", "accept", "another version"],
)
def test_others_are_no_conflict(table: Table) -> None:
    foreign.refuse_rivals(state(table), None, forward(), None)


def test_a_forward_that_is_there_already_is_not_refused() -> None:
    foreign.refuse_rivals(state(rival()), None, forward(), forward())


def test_a_masquerade_is_not_refused() -> None:
    foreign.refuse_rivals(state(rival()), None, MasqueradeSpec(LAB), None)
