# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""foreign_firewall: allow, with Docker's rules in the way: openings that are made, completed, replaced and taken back."""

from __future__ import annotations

from typing import Any

import advice
import faults
import firewalls
import pytest
import world
from box import EXT, HOST4, HOST6, Box
from doors import Failed
from packets import SHORT
from scenery import BLUE, GATEWAY, LAB, OUTSIDE, OWN, RED, versions

OTHER = {4: "198.51.100.0/24", 6: "2001:db8:51::/64"}
SOURCES = {4: "203.0.113.0/24", 6: "2001:db8:113::/64"}
BACKENDS = {"nft": firewalls.docker_nft, "legacy": firewalls.docker_legacy}
backends = pytest.mark.parametrize("backend", list(BACKENDS))


def forward(box: Box, version: int = 4, *, check: bool = False, **params: Any) -> Any:
    """A forward of port 80 to blue that opens what stops it."""
    given = {"protocol": "tcp", "port": 80, "to_address": BLUE[version], "foreign_firewall": "allow", **params}
    return box.run("dnat_forward", check=check, **given)


def is_cut(box: Box, version: int, port: int = 80, netns: str | None = EXT) -> bool:
    return box.tcp(netns, OWN[version], port, timeout=SHORT).outcome == "timeout"


def users_rules(box: Box, tool: str = "iptables-nft") -> list[str]:
    """What is in DOCKER-USER."""
    return [line for line in box.tool(tool, "-S", "DOCKER-USER").splitlines() if line.startswith("-A")]


# ---- who gets through


@versions
@backends
def test_everybody_who_may_use_a_forward_gets_through(lab: Box, backend: str, version: int) -> None:
    server = lab.serve("blue", 80)
    BACKENDS[backend](lab)
    lab.run("dnat_forward", protocol="tcp", port=80, to_address=BLUE[version])
    assert is_cut(lab, version)
    assert forward(lab, version).warnings == []
    assert lab.tcp(EXT, OWN[version], 80).seen[0] == OUTSIDE[version]
    assert lab.tcp(None, OWN[version], 80).token == server.token
    assert lab.tcp("red", OWN[version], 80).seen[0] == GATEWAY[version]


@versions
def test_nobody_else_gets_through(lab: Box, version: int) -> None:
    lab.serve("blue", 81)
    lab.serve("red", 80)
    firewalls.docker_nft(lab)
    lab.ip(f"-n {EXT} route add {LAB[version]} via {OWN[version]}")
    forward(lab, version)
    assert lab.tcp(EXT, BLUE[version], 81, timeout=SHORT).outcome == "timeout"
    assert lab.tcp(EXT, RED[version], 80, timeout=SHORT).outcome == "timeout"
    assert lab.udp(EXT, BLUE[version], 80, timeout=SHORT).outcome == "timeout"
    assert lab.tcp("blue", OUTSIDE[version], 80, timeout=SHORT).outcome == "timeout"


@versions
@backends
def test_a_masquerade_lets_the_lab_out(lab: Box, backend: str, version: int) -> None:
    server = lab.serve(EXT, 80)
    BACKENDS[backend](lab)
    lab.run("nat_masquerade", source=LAB[version])
    assert lab.tcp("red", OUTSIDE[version], 80, timeout=SHORT).outcome == "timeout"
    result = lab.checked("nat_masquerade", source=LAB[version], foreign_firewall="allow")
    assert result.object["blocked_by"] == result.warnings == []
    answer = lab.tcp("red", OUTSIDE[version], 80)
    assert (answer.token, answer.seen[0]) == (server.token, OWN[version])


@versions
def test_a_masquerade_lets_nobody_in(lab: Box, version: int) -> None:
    lab.serve("red", 80)
    firewalls.docker_nft(lab)
    lab.ip(f"-n {EXT} route add {LAB[version]} via {OWN[version]}")
    lab.run("nat_masquerade", source=LAB[version], foreign_firewall="allow")
    assert lab.tcp(EXT, RED[version], 80, timeout=SHORT).outcome == "timeout"


def test_a_masquerade_of_more_than_one_network_is_not_tied_to_the_interface_of_another(lab: Box) -> None:
    """Its first address would leave by the uplink, which is not where its packets come from."""
    lab.serve(EXT, 80)
    firewalls.docker_nft(lab)
    lab.run("nat_masquerade", source="192.168.0.0/16", foreign_firewall="allow")
    assert lab.tcp("red", OUTSIDE[4], 80)


FORMS: dict[str, dict[str, Any]] = {
    "any": {},
    "range": {"port": "80-82"},
    "shifted": {"port": "80-82", "to_port": "180-182"},
    "interface": {"in_interface": "uplink"},
    "address": {"address": [HOST4, HOST6]},
    "sources": {"sources": [OTHER[4], SOURCES[4], OTHER[6], SOURCES[6]]},
}


@backends
@pytest.mark.parametrize("form", list(FORMS))
def test_both_versions_are_opened_in_one_task(lab: Box, backend: str, form: str) -> None:
    params = {"protocol": "tcp", "port": 80, "to_address": list(BLUE.values()), **FORMS[form]}
    ports = range(80, 83) if params["port"] != 80 else [80]
    servers = [lab.serve("blue", port + (100 if "to_port" in params else 0)) for port in ports]
    BACKENDS[backend](lab)
    result = lab.checked("dnat_forward", **params, foreign_firewall="allow")
    assert result.object["blocked_by"] == []
    for version in OWN:
        assert [lab.tcp(EXT, OWN[version], port).token for port in ports] == [server.token for server in servers]


def test_all_backends_are_opened_in_one_run(lab: Box) -> None:
    """Docker was told to use the other variant of iptables once, and left its old rules."""
    server = lab.serve("blue", 80)
    firewalls.docker_nft(lab)
    firewalls.docker_legacy(lab)
    lab.checked("dnat_forward", protocol="tcp", port=80, to_address=BLUE[4], foreign_firewall="allow")
    assert lab.tcp(EXT, HOST4, 80).token == server.token


def test_sources_that_are_inside_get_through(lab: Box) -> None:
    lab.serve("blue", 80)
    firewalls.docker_nft(lab)
    forward(lab, sources=["192.168.15.0/28"])
    assert lab.tcp("red", HOST4, 80)
    assert lab.tcp(EXT, HOST4, 80, timeout=SHORT).outcome == "refused"


def test_nothing_is_opened_for_neighbours_who_are_not_among_the_sources(lab: Box) -> None:
    firewalls.docker_nft(lab)
    forward(lab, sources=[SOURCES[4]])
    assert [line for line in users_rules(lab) if LAB[4] in line] == []


@backends
def test_a_rule_that_is_asked_before_dockers_chain_for_others_is_left_alone(lab: Box, backend: str) -> None:
    lab.serve("blue", 80)
    BACKENDS[backend](lab)
    tool = f"iptables-{backend}"
    lab.tool(tool, "-I", "FORWARD", "-i", "uplink", "-j", "DROP")
    before = lab.tool(tool, "-S", "FORWARD")
    params = {"protocol": "tcp", "port": 80, "to_address": BLUE[4], "foreign_firewall": "allow"}
    lab.checked("dnat_forward", **params)
    assert lab.tool(tool, "-S", "FORWARD") == before
    assert is_cut(lab, 4)
    (said,) = advice.told(lab, "dnat_forward", **params)
    assert said.startswith("The rule `")
    assert "somebody's firewall" in said
    advice.follow(lab, said)
    assert lab.tcp(EXT, HOST4, 80)


# ---- once, and no more than once


@versions
@backends
def test_check_mode_foresees_the_opening_and_the_next_run_finds_it(lab: Box, backend: str, version: int) -> None:
    BACKENDS[backend](lab)
    result = lab.checked("dnat_forward", protocol="tcp", port=80, to_address=BLUE[version], foreign_firewall="allow")
    tool = f"{'iptables' if version == 4 else 'ip6tables'}-{backend}"
    assert len([line for line in result.commands if line.startswith(f"{tool} -I DOCKER-USER")]) == 3


def test_two_forwards_to_one_target_have_an_opening_each(lab: Box) -> None:
    lab.serve("blue", 80)
    firewalls.docker_nft(lab)
    forward(lab)
    forward(lab, port=8080, to_port=80)
    assert len(users_rules(lab)) == 6
    forward(lab, state="absent")
    assert lab.tcp(EXT, HOST4, 8080)
    forward(lab, port=8080, state="absent")
    assert users_rules(lab) == []


def test_another_target_replaces_the_opening(lab: Box) -> None:
    server = lab.serve("red", 80)
    lab.serve("blue", 80)
    firewalls.docker_nft(lab)
    lab.ip(f"-n {EXT} route add {LAB[4]} via {HOST4}")
    forward(lab)
    lab.checked("dnat_forward", protocol="tcp", port=80, to_address=RED[4], foreign_firewall="allow")
    assert lab.tcp(EXT, HOST4, 80).token == server.token
    assert lab.tcp(EXT, BLUE[4], 80, timeout=SHORT).outcome == "timeout"
    assert len(users_rules(lab)) == 3


@pytest.mark.parametrize("purpose", ["new", "there", "back"])
def test_an_opening_of_which_a_part_was_removed_is_completed(lab: Box, purpose: str) -> None:
    lab.serve("blue", 80)
    firewalls.docker_nft(lab)
    forward(lab)
    whole = sorted(users_rules(lab))
    part = next(line for line in whole if f" {purpose}]" in line)
    position = users_rules(lab).index(part) + 1
    lab.tool("iptables-nft", "-D", "DOCKER-USER", str(position))
    assert is_cut(lab, 4)
    lab.checked("dnat_forward", protocol="tcp", port=80, to_address=BLUE[4], foreign_firewall="allow")
    assert sorted(users_rules(lab)) == whole
    assert lab.tcp(EXT, HOST4, 80)


# ---- taken back


@backends
def test_absent_leaves_the_owners_rules_as_they_were(lab: Box, backend: str) -> None:
    BACKENDS[backend](lab)
    for tool in (f"iptables-{backend}", f"ip6tables-{backend}"):
        lab.tool(tool, "-A", "DOCKER-USER", "-p", "tcp", "--dport", "9", "-j", "RETURN")
    before = firewalls.foreign_rules(lab)
    forward(lab, to_address=list(BLUE.values()))
    lab.run("nat_masquerade", source=LAB[4], foreign_firewall="allow")
    assert firewalls.foreign_rules(lab) != before
    lab.checked("dnat_forward", protocol="tcp", port=80, state="absent")
    lab.checked("nat_masquerade", source=LAB[4], state="absent")
    assert firewalls.foreign_rules(lab) == before


@versions
def test_report_takes_back_what_was_allowed(lab: Box, version: int) -> None:
    firewalls.docker_nft(lab)
    before = firewalls.foreign_rules(lab)
    forward(lab, version)
    result = lab.checked("dnat_forward", protocol="tcp", port=80, to_address=BLUE[version])
    assert [found["code"] for found in result.object["blocked_by"]] == ["FOREIGN_DROP"]
    assert firewalls.foreign_rules(lab) == before
    assert is_cut(lab, version)


def test_fail_takes_nothing_back_for_then_it_would_not_pass(lab: Box) -> None:
    firewalls.docker_nft(lab)
    forward(lab)
    before = lab.snapshot()
    for check in (True, False):
        with pytest.raises(Failed) as failure:
            forward(lab, check=check, foreign_firewall="fail")
        assert failure.value.code == "FOREIGN_FIREWALL"
    assert lab.snapshot() == before


def test_a_twin_of_an_opening_that_somebody_else_made_stays(lab: Box) -> None:
    firewalls.docker_nft(lab)
    forward(lab)
    new = next(line for line in users_rules(lab) if " new]" in line)
    twin = new.replace("patchbay: forward tcp 80 ipv4", "mine").split('"')
    words = [*twin[0].split(), twin[1], *twin[2].split()]
    lab.tool("iptables-nft", *words)
    forward(lab, state="absent")
    assert len(users_rules(lab)) == 1


# ---- after the owner wrote its rules anew


def restart_docker(box: Box, *, recreated: bool) -> None:
    """The chains are flushed and filled again as the daemon does when it starts; its users' chain stays as it was."""
    kept = [] if recreated else users_rules(box)
    for chain in ("FORWARD", "DOCKER-FORWARD", "DOCKER", "DOCKER-USER"):
        box.tool("iptables-nft", "-F", chain)
    box.tool("iptables-nft", "-P", "FORWARD", "DROP")
    box.tool("iptables-nft", "-A", "FORWARD", "-j", "DOCKER-USER")
    box.tool("iptables-nft", "-A", "FORWARD", "-j", "DOCKER-FORWARD")
    box.tool("iptables-nft-restore", "--noflush", stdin="\n".join(["*filter", *kept, "COMMIT", ""]))


def test_a_restart_that_keeps_the_users_chain_needs_nothing(lab: Box) -> None:
    lab.serve("blue", 80)
    firewalls.docker_nft(lab)
    forward(lab)
    restart_docker(lab, recreated=False)
    assert not forward(lab).changed
    assert lab.tcp(EXT, HOST4, 80)


def test_a_restart_that_empties_the_users_chain_is_mended_by_the_next_run(lab: Box) -> None:
    lab.serve("blue", 80)
    firewalls.docker_nft(lab)
    forward(lab)
    whole = sorted(users_rules(lab))
    restart_docker(lab, recreated=True)
    assert is_cut(lab, 4)
    result = lab.checked("dnat_forward", protocol="tcp", port=80, to_address=BLUE[4], foreign_firewall="allow")
    assert all(" DOCKER-USER " in line for line in result.commands), "nothing else was missing"
    assert sorted(users_rules(lab)) == whole
    assert lab.tcp(EXT, HOST4, 80)


def test_row_16_a_flush_of_everything_is_mended_by_the_next_run(lab: Box) -> None:
    server = lab.serve("blue", 80)
    firewalls.docker_nft(lab)
    forward(lab)
    lab.nft("flush ruleset")
    firewalls.docker_nft(lab)
    lab.checked("dnat_forward", protocol="tcp", port=80, to_address=BLUE[4], foreign_firewall="allow")
    assert lab.tcp(EXT, HOST4, 80).token == server.token


def test_without_docker_nothing_is_left_to_open(lab: Box) -> None:
    firewalls.docker_nft(lab)
    forward(lab)
    lab.nft("delete table ip filter; delete table ip6 filter")
    assert not forward(lab).changed


# ---- faults


@pytest.mark.parametrize("manner", ["allow", "report"])
def test_a_fault_in_the_middle_takes_everything_back(lab: Box, manner: str) -> None:
    """To open two versions, or to change both openings for none."""
    firewalls.docker_nft(lab)
    params = {"protocol": "tcp", "port": 80, "to_address": list(BLUE.values())}
    if manner == "report":
        lab.run("dnat_forward", **params, foreign_firewall="allow")
    faults.survives(lab, "dnat_forward", **params, foreign_firewall=manner)


def test_a_tool_that_fails_half_way_leaves_no_half_of_an_opening(lab: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.patchbay.netns.plugins.module_utils._kernel import programs

    firewalls.docker_nft(lab)
    before = lab.snapshot()
    run, inserts = programs.run, []

    def second_fails(kernel: Any, netns: str | None, command: Any) -> str:
        inserts.extend([command] if "-I" in command else [])
        if len(inserts) == 2:
            inserts.append(command)
            raise programs.ProgramFailed("the fault that the test made.")
        return run(kernel, netns, command)

    monkeypatch.setattr(programs, "run", second_fails)
    with pytest.raises(Failed, match="the fault"):
        forward(lab)
    assert lab.snapshot() == before


# ---- another namespace


def router(box: Box) -> None:
    """A namespace that routes between EXT's network and a network of its own, with Docker's rules in it."""
    box.outside()
    box.wire("router", "inner")
    box.ip(f"link add far netns router type veth peer name far netns {EXT}")
    box.ip("-n router link set far up")
    box.ip(f"-n {EXT} link set far up")
    box.ip("-n router addr add 172.31.0.1/24 dev far")
    box.ip(f"-n {EXT} addr add 172.31.0.2/24 dev far")
    box.ip("-n router route add default via 172.31.0.2")
    box.ip("-n inner route add default via 10.0.0.1")
    world.inside("router", firewalls.docker_nft, box)


def test_a_named_namespace_is_opened_itself_and_no_other(box: Box) -> None:
    router(box)
    server = box.serve("inner", 80)
    firewalls.docker_nft(box)
    here = firewalls.foreign_rules(box)
    params = {"netns": "router", "protocol": "tcp", "port": 80, "to_address": "10.0.0.2"}
    told = box.run("dnat_forward", **params).warnings[-1]
    assert "`ip netns exec router iptables-nft -I DOCKER-USER" in told
    assert box.tcp(EXT, "172.31.0.1", 80, timeout=SHORT).outcome == "timeout"
    result = box.checked("dnat_forward", **params, foreign_firewall="allow")
    assert all(line.startswith("ip netns exec router iptables-nft ") for line in result.commands)
    assert box.tcp(EXT, "172.31.0.1", 80).token == server.token
    assert firewalls.foreign_rules(box) == here
    box.checked("dnat_forward", **params, state="absent")
    assert "patchbay" not in box.tool("iptables-nft-save", netns="router")
