# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Openings in the languages of their owners, and what is said where nothing may be changed. No program is run."""

from __future__ import annotations

import dataclasses
import ipaddress
import shlex
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Conflict, Unsupported
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls import (
    docker,
    firewalld,
    firewalld_runtime,
    openings,
    ufw,
)
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Chain, Rule, Table, Verdict
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.opening import Standing
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.openings import Opening
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.walk import Finding
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import programs
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports

FORWARD = Opening(
    owner="docker",
    backend="nft",
    family=4,
    tag="forward tcp 8080 ipv4",
    in_interface="uplink",
    out_interface="br0",
    source=ipaddress.ip_network("203.0.113.0/24"),
    destination=ipaddress.ip_network("10.20.0.3/32"),
    protocol="tcp",
    ports=Ports(80, 80),
)
MASQUERADE = Opening(
    owner="docker",
    backend="nft",
    family=6,
    tag="masquerade fd00:20::/64",
    in_interface="br0",
    source=ipaddress.ip_network("fd00:20::/64"),
)


def by(opening: Opening, owner: str, **changes: Any) -> Opening:
    return dataclasses.replace(opening, owner=owner, **changes)


# Docker


def test_docker_lets_in_what_is_asked_for_and_the_answers() -> None:
    mark = f"patchbay: forward tcp 8080 ipv4 [{FORWARD.digest} "
    assert openings.commands(FORWARD) == [
        "iptables-nft -I DOCKER-USER -i uplink -o br0 -s 203.0.113.0/24 -d 10.20.0.3 -p tcp --dport 80 "
        f"-m conntrack --ctstate NEW -m comment --comment '{mark}new]' -j ACCEPT",
        "iptables-nft -I DOCKER-USER -i uplink -o br0 -d 10.20.0.3 "
        f"-m conntrack --ctstate ESTABLISHED,RELATED -m comment --comment '{mark}there]' -j ACCEPT",
        "iptables-nft -I DOCKER-USER -i br0 -o uplink -s 10.20.0.3 "
        f"-m conntrack --ctstate ESTABLISHED,RELATED -m comment --comment '{mark}back]' -j ACCEPT",
    ]


def test_dockers_answers_to_a_masquerade_come_from_anywhere() -> None:
    assert [command.split(" -m ")[0] for command in openings.commands(MASQUERADE)] == [
        "ip6tables-nft -I DOCKER-USER -i br0 -s fd00:20::/64",
        "ip6tables-nft -I DOCKER-USER -i br0 -s fd00:20::/64",
        "ip6tables-nft -I DOCKER-USER -o br0 -d fd00:20::/64",
    ]


def test_each_kind_of_iptables_has_its_own_program() -> None:
    (program,) = {command.split()[0] for command in openings.commands(by(MASQUERADE, "docker", backend="legacy"))}
    assert program == "ip6tables-legacy"


def test_dockers_undo_names_the_same_rules() -> None:
    assert openings.undo(FORWARD) == [command.replace("-I", "-D", 1) for command in openings.commands(FORWARD)]


def test_a_range_of_ports_is_written_as_iptables_writes_it() -> None:
    assert "--dport 8000:8010 " in openings.commands(by(FORWARD, "docker", ports=Ports(8000, 8010)))[0]


def docker_table(*comments: str, backend: str = "nft", family: str = "ip") -> Table:
    rules = tuple(Rule((), Verdict("accept"), comment=comment) for comment in comments)
    return Table(backend, family, "filter", (Chain("DOCKER-USER", rules),))


def marks(opening: Opening) -> list[str]:
    return [shlex.split(command)[-3] for command in openings.commands(opening)]


def test_openings_are_found_by_their_marks() -> None:
    (found,) = docker.find([docker_table("no ssh", *marks(FORWARD), "patchbay: forged")])
    assert found == Standing("docker", "nft", 4, FORWARD.tag, FORWARD.digest, whole=True)
    assert openings.stands(FORWARD, [found])


@pytest.mark.parametrize("owner", ["docker", "ufw", "firewalld"])
@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_what_was_made_stands(owner: str, backend: str) -> None:
    opening = by(FORWARD, owner, backend=backend)
    assert openings.stands(opening, [openings.standing(opening)])
    assert not openings.stands(opening, [dataclasses.replace(openings.standing(opening), whole=False)])


def test_only_docker_has_a_place_per_backend() -> None:
    found = {
        owner: openings.standing(by(FORWARD, owner, backend="legacy")).backend
        for owner in ("docker", "ufw", "firewalld")
    }
    assert found == {"docker": "legacy", "ufw": "nft", "firewalld": "nft"}


def test_an_opening_that_lacks_a_rule_does_not_stand() -> None:
    found = docker.find([docker_table(*marks(FORWARD)[1:])])
    assert [one.whole for one in found] == [False]
    assert not openings.stands(FORWARD, found)


@pytest.mark.parametrize(
    "changes",
    [
        {"ports": Ports(81, 81)},
        {"tag": "forward tcp 8081 ipv4"},
        {"backend": "legacy"},
        {"destination": ipaddress.ip_network("10.20.0.4/32")},
    ],
)
def test_another_opening_does_not_stand_for_this_one(changes: dict[str, Any]) -> None:
    found = docker.find([docker_table(*marks(FORWARD))])
    assert not openings.stands(by(FORWARD, "docker", **changes), found)


# ufw


def test_ufw_takes_the_whole_way_in_one_rule() -> None:
    opening = by(FORWARD, "ufw", ports=Ports(8000, 8010))
    rule = "in on uplink out on br0 from 203.0.113.0/24 to 10.20.0.3 port 8000:8010 proto tcp"
    assert openings.commands(opening) == [f"ufw route prepend allow {rule} comment 'patchbay: forward tcp 8080 ipv4'"]
    assert openings.undo(opening) == [f"ufw route delete allow {rule}"]


class Ufw:
    """As much of ufw as is asked for here: rules with comments."""

    def __init__(self, **rules: str) -> None:
        self.rules = rules

    def __call__(self, _kernel: Kernel, _netns: str | None, words: Sequence[str]) -> str:
        line = " ".join(words)
        if line == "ufw show added":
            shown = [
                f"ufw route allow {rule}" + (f" comment '{text}'" if text else "") for rule, text in self.rules.items()
            ]
            return "\n".join(["Added user rules (see 'ufw status' for running firewall):", "ufw allow 22/tcp", *shown])
        if line.startswith("ufw route delete allow "):
            del self.rules[line.removeprefix("ufw route delete allow ")]
        else:
            rule, _word, comment = line.partition(" allow ")[2].partition(" comment ")
            self.rules[rule] = comment
        return ""


RULE = "in on br0 from fd00:20::/64"
OPENING = by(MASQUERADE, "ufw")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr(programs, "in_boot_namespace", lambda _kernel, netns: netns is None)
    monkeypatch.setattr(ufw, "_mentioned", lambda: True)
    return Kernel()


def pretend(monkeypatch: pytest.MonkeyPatch, **rules: str) -> Ufw:
    fake = Ufw(**rules)
    monkeypatch.setattr(programs, "run", fake)
    return fake


def test_ufw_gets_a_rule_once(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    fake = pretend(monkeypatch)
    assert openings.apply(kernel, None, OPENING)
    assert fake.rules == {RULE: "patchbay: masquerade fd00:20::/64"}
    assert not openings.apply(kernel, None, OPENING)
    (found,) = ufw.find(kernel, None)
    assert openings.stands(OPENING, [found])
    assert openings.remove(kernel, None, found)
    assert fake.rules == {}
    assert not openings.remove(kernel, None, found)


def test_ufws_rule_stays_until_its_last_object_leaves(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    fake = pretend(monkeypatch)
    other = by(OPENING, "ufw", tag="masquerade fd00:20::/64 out uplink")
    assert openings.apply(kernel, None, OPENING)
    assert openings.apply(kernel, None, other)
    found = {one.tag: one for one in ufw.find(kernel, None)}
    assert set(found) == {OPENING.tag, other.tag}
    assert openings.remove(kernel, None, found[OPENING.tag])
    assert fake.rules == {RULE: "patchbay: masquerade fd00:20::/64 out uplink"}


@pytest.mark.parametrize("comment", ["", "mine"])
def test_an_equal_rule_of_the_administrators_is_not_taken_over(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel, comment: str
) -> None:
    fake = pretend(monkeypatch, **{RULE: comment})
    assert not openings.apply(kernel, None, OPENING)
    assert fake.rules == {RULE: comment}
    assert ufw.find(kernel, None) == []


def test_ufw_has_no_word_for_sctp(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    pretend(monkeypatch)
    with pytest.raises(Unsupported, match="ufw has no word for ports of sctp"):
        openings.apply(kernel, None, by(FORWARD, "ufw", protocol="sctp"))


@pytest.mark.parametrize("owner", ["ufw", "firewalld"])
def test_row_49_a_namespace_never_leads_to_the_machines_firewall(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel, owner: str
) -> None:
    asked: list[Sequence[str]] = []
    monkeypatch.setattr(programs, "run", lambda _kernel, _netns, words: asked.append(words))
    monkeypatch.setattr(firewalld, "_noted", lambda: [firewalld.Note("rule", "tag")])
    with pytest.raises(Unsupported, match="namespace"):
        openings.apply(kernel, "red", by(MASQUERADE, owner))
    assert openings.find(kernel, "red", []) == []
    assert asked == []


# firewalld


def test_firewalld_takes_a_rich_rule_in_our_policy() -> None:
    opening = by(FORWARD, "firewalld", ports=Ports(8000, 8010))
    rule = (
        'rule family="ipv4" source address="203.0.113.0/24" destination address="10.20.0.3" '
        'port port="8000-8010" protocol="tcp" accept'
    )
    assert openings.commands(opening)[-2:] == [
        f"firewall-cmd --permanent --policy=patchbay '--add-rich-rule={rule}'",
        "firewall-cmd --reload",
    ]
    assert openings.undo(opening) == [
        f"firewall-cmd --permanent --policy=patchbay '--remove-rich-rule={rule}'",
        f"firewall-cmd --policy=patchbay '--remove-rich-rule={rule}'",
    ]


def test_notes_survive_writing_and_reading() -> None:
    notes = [firewalld.Note(firewalld.content(one), one.tag) for one in (FORWARD, MASQUERADE)]
    assert firewalld.Note.read("\n".join(map(str, notes))) == notes
    assert firewalld.Note.read("") == firewalld.Note.read("somebody's words") == []


LISTING = """\
internal (active)
  target: default
  interfaces: br0 br1
  services: ssh http
  rich rules: \n\
\trule family="ipv4" source address="10.0.0.0/8" accept

public (default)
  target: default
  interfaces: \n\
  services: ssh
  rich rules: \n"""


def test_a_listing_is_read_whatever_follows_a_name() -> None:
    assert firewalld_runtime.read(LISTING) == {
        "internal": {
            "target": ["default"],
            "interfaces": ["br0", "br1"],
            "services": ["http", "ssh"],
            "rich rules": ['rule family="ipv4" source address="10.0.0.0/8" accept'],
        },
        "public": {"target": ["default"], "interfaces": [], "services": ["ssh"], "rich rules": []},
    }


def test_differences_are_named() -> None:
    permanent = firewalld_runtime.read(LISTING.replace(" http", "").replace("br0 br1", ""))
    runtime = firewalld_runtime.read(LISTING)
    assert firewalld_runtime.different(runtime, runtime) == []
    assert firewalld_runtime.different(runtime, permanent) == ["internal (interfaces, services)"]
    assert firewalld_runtime.different(runtime, permanent, besides=("interfaces",)) == ["internal (services)"]
    assert firewalld_runtime.different({}, {"new": {"target": ["default"]}}) == ["new (target)"]


def test_row_16_nothing_of_others_is_reloaded_away(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    asked: list[str] = []

    def run(_kernel: Kernel, _netns: str | None, words: Sequence[str]) -> str:
        asked.append(" ".join(words))
        return "-A DOCKER -j DROP\n" if words[0] == "iptables-save" else ""

    monkeypatch.setattr(programs, "run", run)
    monkeypatch.setattr(programs, "find", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(firewalld, "_noted", lambda: None)
    with pytest.raises(Conflict, match="1 rules that other programs have in iptables"):
        openings.apply(kernel, None, by(MASQUERADE, "firewalld"))
    assert [line for line in asked if "--add" in line or "--new" in line or "--reload" in line] == []


# What is said


DROP = Rule((), Verdict("drop"), 'iifname "uplink" drop')


def finding(family: str, table: str, chain: str, rule: Rule | None = None, **more: Any) -> Finding:
    backend, owned = more.pop("backend", "nft"), more.pop("owned", False)
    base = Chain(chain, (rule,) if rule else (), "forward", "filter", 0, "drop")
    kind, certain = more.pop("kind", "drop" if rule else "policy"), more.pop("certain", True)
    return Finding(Table(backend, family, table, (base,), owned), base, rule, kind, certain)


def test_a_policy_is_named_with_its_chain_table_and_owner() -> None:
    text = openings.explain(finding("ip", "filter", "FORWARD"), "ufw", by(FORWARD, "ufw"))
    assert text.startswith(
        "The policy drop of chain FORWARD in table ip filter, the firewall of ufw, drops what this needs "
        "(IPv4 tcp from 203.0.113.0/24 to 10.20.0.3 port 80 in by uplink out by br0)."
    )
    assert f"`{openings.commands(by(FORWARD, 'ufw'))[0]}`" in text
    assert text.endswith("or set foreign_firewall: allow.")


def test_a_rule_is_quoted_and_doubt_is_admitted() -> None:
    text = openings.explain(finding("inet", "filter", "forward", DROP, certain=False), "unknown", FORWARD)
    assert text.startswith(
        'The rule `iifname "uplink" drop` of chain forward in table inet filter, somebody\'s firewall, may drop '
    )


@pytest.mark.parametrize(
    ("kind", "certain", "said"),
    [
        ("reject", True, " rejects what this needs"),
        ("reject", False, " may reject what this needs"),
        ("queue", False, " may hand to a program what this needs"),
    ],
)
def test_what_is_done_to_the_packets_is_said(kind: str, certain: bool, said: str) -> None:
    found = finding("inet", "filter", "forward", DROP, kind=kind, certain=certain)
    assert said in openings.explain(found, "unknown", FORWARD)


def test_row_13_somebodys_own_table_is_only_talked_about() -> None:
    text = openings.explain(finding("inet", "filter", "forward"), "unknown", FORWARD)
    assert (
        "`nft insert rule inet filter forward iifname uplink oifname br0 ip saddr 203.0.113.0/24 ip daddr 10.20.0.3 "
        "tcp dport 80 ct state new accept comment '\"patchbay: forward tcp 8080 ipv4\"' && nft insert rule" in text
    )
    assert "allow" not in text


def test_somebodys_iptables_are_talked_about_in_their_own_words() -> None:
    text = openings.explain(finding("ip6", "filter", "FORWARD", backend="legacy"), "unknown", MASQUERADE)
    assert "`ip6tables-legacy -I FORWARD -i br0 -s fd00:20::/64 -m conntrack --ctstate NEW " in text


def test_row_14_a_table_of_a_running_program_gets_no_command() -> None:
    text = openings.explain(finding("inet", "mine", "forward", owned=True), "unknown", FORWARD)
    assert "flag owner" in text
    assert "nft insert" not in text


def test_row_14_firewallds_own_table_is_opened_through_firewalld() -> None:
    found = finding("inet", "firewalld", "filter_FORWARD", owned=True)
    assert openings.can_open(found, "firewalld")
    assert "firewall-cmd --permanent" in openings.explain(found, "firewalld", by(FORWARD, "firewalld"))


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("libvirt", "<forward mode='open'/>"),
        ("incus", "incus network set br0 ipv4.firewall=false"),
        ("lxd", "lxc network set br0 ipv4.firewall=false"),
        ("kubernetes", "Kubernetes writes these rules anew"),
        ("podman", "Podman writes these rules anew"),
    ],
)
def test_owners_without_a_place_for_others_get_their_own_way_out(owner: str, said: str) -> None:
    found = finding("ip", "filter", "SOMETHING")
    assert not openings.can_open(found, owner)
    assert said in openings.explain(found, owner, FORWARD)
    with pytest.raises(Unsupported, match="no place for rules of others"):
        openings.commands(by(FORWARD, owner))


USER = Chain("DOCKER-USER")
TO_USER = Rule((), Verdict("jump", "DOCKER-USER"))


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ((TO_USER, DROP), True),
        ((DROP, TO_USER), False),
        ((DROP,), False),
    ],
)
def test_dockers_place_helps_only_if_it_is_asked_first(rules: tuple[Rule, ...], place: bool) -> None:
    base = Chain("FORWARD", rules, "forward", "filter", 0, "drop")
    assert (
        openings.can_open(Finding(Table("nft", "ip", "filter", (base, USER)), base, DROP, "drop", True), "docker")
        is place
    )


def test_docker_without_its_chain_for_users_is_only_talked_about() -> None:
    found = finding("ip", "docker-bridges", "filter-FORWARD")
    assert not openings.can_open(found, "docker")
    assert "Docker writes these rules anew" in openings.explain(found, "docker", FORWARD)
