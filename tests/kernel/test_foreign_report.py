# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""foreign_firewall: report and fail: who is named as the one that drops, who is not, and whether the advice is good."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import advice
import firewalls
import foreign_rules
import pytest
from box import EXT, Box
from doors import Failed
from packets import SHORT
from scenery import BLUE, LAB, OUTSIDE, OWN, versions

FORWARD = {"protocol": "tcp", "port": 80, "to_address": BLUE[4]}
BACKENDS = {"nft": firewalls.docker_nft, "legacy": firewalls.docker_legacy}
backends = pytest.mark.parametrize("backend", list(BACKENDS))


def told(box: Box, module: str = "dnat_forward", **params: Any) -> list[str]:
    """What is said of other people's firewalls."""
    return advice.told(box, module, **(params or FORWARD))


def passes(box: Box, version: int = 4, port: int = 80) -> bool:
    answer = box.tcp(EXT, OWN[version], port, timeout=SHORT)
    assert answer.outcome in ("reached", "timeout", "unreachable", "refused")
    return bool(answer)


def admin(box: Box, rules: str, *, policy: str = "accept", hook: str = "forward", priority: str = "filter") -> None:
    """A chain of an administrator's."""
    box.nft(
        f"table inet mine {{\nchain guard {{\ntype filter hook {hook} priority {priority}; policy {policy};\n{rules}\n}}\n}}\n"
    )


@pytest.fixture
def served(lab: Box) -> Box:
    """The lab, with a server in blue."""
    lab.serve("blue", 80)
    return lab


# ---- Docker


@versions
@backends
def test_the_policy_of_docker_is_named_once_and_what_is_printed_lets_the_forward_pass(
    served: Box, backend: str, version: int
) -> None:
    BACKENDS[backend](served)
    params = {**FORWARD, "to_address": BLUE[version]}
    (said,) = told(served, **params)
    family = "ip" if version == 4 else "ip6"
    legacy = " (iptables-legacy)" if backend == "legacy" else ""
    assert said.startswith(
        f"The policy drop of chain FORWARD in table {family} filter{legacy}, the firewall of Docker, drops"
    )
    assert said.endswith("or set foreign_firewall: allow.")
    assert not passes(served, version)
    advice.follow(served, said)
    assert passes(served, version)
    assert told(served, **params) == []


@versions
def test_what_is_printed_lets_all_sources_pass(served: Box, version: int) -> None:
    firewalls.docker_nft(served)
    sources = [["198.51.100.0/24", "203.0.113.0/24"], ["2001:db8:51::/64", "2001:db8:113::/64"]][version == 6]
    (said,) = told(served, **{**FORWARD, "to_address": BLUE[version], "sources": sources})
    advice.follow(served, said)
    assert passes(served, version)


@backends
@versions
def test_what_is_printed_lets_a_masquerade_pass(lab: Box, backend: str, version: int) -> None:
    lab.serve(EXT, 80)
    BACKENDS[backend](lab)
    (said,) = told(lab, "nat_masquerade", source=LAB[version])
    assert not lab.tcp("red", OUTSIDE[version], 80, timeout=SHORT)
    advice.follow(lab, said)
    assert lab.tcp("red", OUTSIDE[version], 80)
    assert told(lab, "nat_masquerade", source=LAB[version]) == []


def test_every_table_that_drops_is_named(served: Box) -> None:
    """To satisfy only the first of them would not help."""
    firewalls.docker_nft(served)
    firewalls.docker_legacy(served)
    admin(served, "", policy="drop")
    said = told(served)
    assert {re.search(r"in table (.*?),", text)[1] for text in said} == {
        "ip filter",
        "ip filter (iptables-legacy)",
        "inet mine",
    }
    for text in said:
        assert not passes(served)
        advice.follow(served, text)
    assert passes(served)


@backends
@pytest.mark.parametrize("version", [4, 6])
def test_fail_changes_nothing(lab: Box, backend: str, version: int) -> None:
    BACKENDS[backend](lab)
    before, rules = lab.snapshot(), firewalls.foreign_rules(lab)
    for check in (True, False):
        with pytest.raises(Failed, match="policy drop of chain FORWARD") as failure:
            lab.run("dnat_forward", check=check, **{**FORWARD, "to_address": BLUE[version]}, foreign_firewall="fail")
        assert failure.value.code == "FOREIGN_FIREWALL"
        assert [found["owner"] for found in failure.value.details["blocked"]] == ["docker"]
        with pytest.raises(Failed, match="policy drop of chain FORWARD"):
            lab.run("nat_masquerade", check=check, source=LAB[version], foreign_firewall="fail")
    assert (lab.snapshot(), firewalls.foreign_rules(lab)) == (before, rules)


def test_fail_does_not_fail_where_nobody_drops(served: Box) -> None:
    firewalls.docker_nft(served)
    served.tool("iptables-nft", "-P", "FORWARD", "ACCEPT")
    result = served.checked("dnat_forward", **FORWARD, foreign_firewall="fail")
    assert result.object["blocked_by"] == []
    assert passes(served)


# ---- an administrator


POLICIES = {
    "policy": ("ct state established,related accept", "drop", "The policy drop of chain guard in table inet mine"),
    "drop": ('ct state established accept\niifname "uplink" drop', "accept", 'The rule `iifname "uplink" drop`'),
    "reject": ("ct state established accept\nreject", "accept", "The rule `reject"),
    "answers": ('oifname "uplink" drop', "accept", 'The rule `oifname "uplink" drop`'),
    "established": ("ct state established drop", "accept", "The rule `ct state established drop`"),
    "jump": ("jump more\n}\nchain more {\ndrop", "accept", "The rule `drop` of chain more"),
}


@versions
@pytest.mark.parametrize("form", list(POLICIES))
def test_row_13_an_administrators_rule_is_named_and_what_is_printed_lets_the_forward_pass(
    served: Box, form: str, version: int
) -> None:
    rules, policy, start = POLICIES[form]
    admin(served, rules, policy=policy)
    params = {**FORWARD, "to_address": BLUE[version]}
    (said,) = told(served, **params)
    assert said.startswith(start)
    assert not passes(served, version)
    advice.follow(served, said)
    assert passes(served, version)
    assert told(served, **params) == []


def test_row_13_an_administrators_table_is_never_edited(served: Box) -> None:
    firewalls.administrator(served)
    before = firewalls.foreign_rules(served)
    result = served.checked("dnat_forward", **FORWARD, foreign_firewall="allow")
    assert [found["owner"] for found in result.object["blocked_by"]] == ["unknown"]
    assert "foreign_firewall: allow" not in result.warnings[-1]
    served.checked("dnat_forward", protocol="tcp", port=80, state="absent")
    assert firewalls.foreign_rules(served) == before


def test_row_14_a_table_of_a_running_program_has_the_code_owner(served: Box) -> None:
    firewall = firewalls.owned(served)
    before = firewalls.foreign_rules(served)
    result = served.checked("dnat_forward", **FORWARD, foreign_firewall="allow")
    assert [found["code"] for found in result.object["blocked_by"]] == ["OWNER"]
    assert not passes(served)
    assert firewalls.foreign_rules(served) == before
    firewall.open()
    assert told(served) == []
    assert passes(served)


def test_row_14_the_advice_is_to_change_the_programs_configuration(served: Box) -> None:
    firewalls.owned(served)
    (said,) = told(served)
    assert "belongs to a running program" in said
    assert advice.commands(said) == []


@pytest.mark.parametrize("firewall", ["docker-nft", "docker-legacy", "administrator", "owned"])
def test_row_52_no_warning_means_that_it_passes(served: Box, firewall: str) -> None:
    foreign = firewalls.CONDITIONS[firewall](served)
    assert told(served)
    assert not passes(served)
    foreign.open()
    assert told(served) == []
    assert passes(served)


# ---- no false alarms

SILENT = {
    "another port": "tcp dport 81 drop",
    "the port before translation": "tcp dport 8080 drop",
    "another protocol": "udp dport 80 drop",
    "another interface": 'iifname "eth9" drop',
    "the way back alone": 'iifname "uplink" oifname "uplink" drop',
    "a rate": "limit rate over 1000/second drop",
    "somebody in a set": "ip saddr { 198.51.100.1, 198.51.100.9 } drop",
    "an accept for us": f"ip daddr {BLUE[4]} tcp dport 80 accept\nip saddr {BLUE[4]} accept\ndrop",
    "what was forwarded": "ct status dnat accept\ndrop",
    "another version": "meta nfproto ipv6 drop",
    "invalid packets": "ct state invalid drop",
    "a mark": "meta mark 7 drop",
    "too many": "ct count over 500 drop",
}


@pytest.mark.parametrize("rules", list(SILENT.values()), ids=list(SILENT))
def test_a_rule_about_other_traffic_gives_no_warning(served: Box, rules: str) -> None:
    admin(served, rules)
    assert told(served, protocol="tcp", port=8080, to_address=BLUE[4], to_port=80) == []
    assert passes(served, port=8080)


def test_an_accept_for_one_port_of_a_range_is_not_enough(lab: Box) -> None:
    lab.serve("blue", 82)
    admin(lab, "ct state established accept\ntcp dport 80 accept", policy="drop")
    (said,) = told(lab, protocol="tcp", port="80-82", to_address=BLUE[4])
    assert not passes(lab, port=82)
    advice.follow(lab, said)
    assert passes(lab, port=82)


# ---- other hooks

HOOKS = {
    "prerouting mangle": ("prerouting", "mangle", "tcp dport 8080 drop"),
    "prerouting by interface": ("prerouting", "mangle", 'iifname "uplink" tcp dport 1-9000 drop'),
    "prerouting behind us": ("prerouting", "filter", f"ip daddr {BLUE[4]} tcp dport 80 drop"),
    "answers in prerouting": ("prerouting", "mangle", 'iifname "v-net-0" drop'),
    "postrouting": ("postrouting", "filter", 'oifname "v-net-0" drop'),
    "early forward": ("forward", "-200", 'oifname "v-net-0" drop'),
    "late forward": ("forward", "500", 'oifname "v-net-0" drop'),
}


@pytest.mark.parametrize("where", list(HOOKS))
def test_a_drop_on_any_hook_is_named_and_what_is_printed_lets_the_forward_pass(served: Box, where: str) -> None:
    hook, priority, rules = HOOKS[where]
    admin(served, rules, hook=hook, priority=priority)
    params = {"protocol": "tcp", "port": 8080, "to_address": BLUE[4], "to_port": 80}
    said = told(served, **params)
    assert len(said) == 1
    assert not passes(served, port=8080)
    advice.follow(served, said[0])
    assert passes(served, port=8080)
    assert told(served, **params) == []


def test_a_drop_before_connection_tracking_is_named(served: Box) -> None:
    """Moved to port 8080, which nobody drops, it passes."""
    served.tool("iptables-nft", "-t", "raw", "-A", "PREROUTING", "-p", "tcp", "--dport", "80", "-j", "DROP")
    (said,) = told(served)
    assert "chain PREROUTING in table ip raw" in said
    assert not passes(served)
    assert told(served, protocol="tcp", port=8080, to_address=BLUE[4], to_port=80) == []
    assert passes(served, port=8080)


def test_what_is_printed_about_a_drop_before_connection_tracking_lets_the_forward_pass(served: Box) -> None:
    admin(served, "tcp dport 80 drop", hook="prerouting", priority="raw")
    advice.follow(served, told(served)[0])
    assert passes(served)


@pytest.mark.parametrize("priority", ["dstnat + 10", "filter"])
def test_behind_our_translation_the_old_port_is_nobodys(served: Box, priority: str) -> None:
    admin(served, "tcp dport 8080 drop", hook="prerouting", priority=priority)
    assert told(served, protocol="tcp", port=8080, to_address=BLUE[4], to_port=80) == []
    assert passes(served, port=8080)


def test_a_masquerade_is_told_of_a_drop_before_routing(lab: Box) -> None:
    lab.serve(EXT, 80)
    admin(lab, f"ip saddr {LAB[4]} drop", hook="prerouting", priority="mangle")
    (said,) = told(lab, "nat_masquerade", source=LAB[4])
    assert not lab.tcp("red", OUTSIDE[4], 80, timeout=SHORT)
    advice.follow(lab, said)
    assert lab.tcp("red", OUTSIDE[4], 80)


def test_of_several_chains_the_one_that_drops_is_named(served: Box) -> None:
    served.nft(
        "table inet mine {\n"
        "chain first { type filter hook forward priority -10; accept; }\n"
        "chain second { type filter hook forward priority 10; ct state new drop; }\n"
        "chain third { type filter hook forward priority 20; tcp dport 9 drop; }\n"
        "}\n"
    )
    (said,) = told(served)
    assert "of chain second in table inet mine" in said


# ---- whose programs mean the machine


@pytest.fixture
def no_programs() -> Iterator[None]:
    """Programs that mean the machine's own namespace wherever they are run must not be run from here."""
    from ansible_collections.patchbay.netns.plugins.module_utils._kernel import programs

    def refuse(_kernel: Any, _netns: Any, command: Any) -> str:
        raise AssertionError(f"this would have changed the machine: {command}")

    with mock.patch.object(programs, "run", refuse):
        yield


_UFW = """*filter
:INPUT ACCEPT
:FORWARD DROP
:ufw-before-forward -
:ufw-user-forward -
-A FORWARD -j ufw-before-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
COMMIT
"""


def ufw(box: Box) -> None:
    box.tool("iptables-nft-restore", stdin=_UFW)


def firewalld(box: Box) -> None:
    box.nft(foreign_rules.FIREWALLD.replace("in0", "uplink").replace("ct status dnat accept\n", ""))


OWNERS = {"ufw": ufw, "firewalld": firewalld}
owners = pytest.mark.parametrize("owner", list(OWNERS))


@owners
@pytest.mark.parametrize("manner", ["report", "allow"])
def test_row_49_in_another_namespace_than_the_machines_the_owners_tool_is_neither_run_nor_advised(
    served: Box, no_programs: None, owner: str, manner: str
) -> None:
    OWNERS[owner](served)
    before = firewalls.foreign_rules(served)
    result = served.checked("dnat_forward", **FORWARD, foreign_firewall=manner)
    assert [found["owner"] for found in result.object["blocked_by"]] == [owner]
    assert firewalls.foreign_rules(served) == before
    (said,) = told(served)
    assert f"the firewall of {owner}" in said
    assert "ufw route" not in said
    assert "firewall-cmd" not in said
    assert not passes(served)
    advice.follow(served, said)
    assert passes(served)


@owners
def test_in_the_machines_own_namespace_the_owners_tool_is_advised(
    served: Box, no_programs: None, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.patchbay.netns.plugins.module_utils._kernel import programs

    monkeypatch.setattr(programs, "in_boot_namespace", lambda *_: True)
    OWNERS[owner](served)
    served.run("dnat_forward", **FORWARD, check=True)
    said = served.run("dnat_forward", **FORWARD).warnings[-1]
    assert {"ufw": "`ufw route prepend allow ", "firewalld": "`firewall-cmd --permanent "}[owner] in said
    assert said.endswith("or set foreign_firewall: allow.")


# ---- speed


def test_a_thousand_rules_of_somebody_do_not_slow_a_run_much(served: Box) -> None:
    rules = "\n".join(
        f"ip saddr 198.51.{number // 250}.{number % 250} tcp dport {number + 1} drop" for number in range(1000)
    )
    firewalls.none(served)
    served.run("dnat_forward", **FORWARD)
    start = time.monotonic()
    assert not served.run("dnat_forward", **FORWARD).changed
    alone = time.monotonic() - start
    admin(served, rules)
    start = time.monotonic()
    assert told(served) == []
    took = time.monotonic() - start
    print(f"1,000 foreign rules: {took:.2f} s instead of {alone:.2f} s")
    assert took < 5
