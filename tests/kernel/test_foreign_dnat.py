# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports that somebody else's rules forward already: who would win is found before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest
from box import EXT, EXT4, HOST4, HOST6, Box
from doors import Failed
from scenery import BLUE, FORWARDING, LAB, OWN, RED, versions

DOCKER = """*nat
:PREROUTING ACCEPT
:DOCKER -
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER {address} ! -i docker0 -p tcp -m tcp --dport {port} -j DNAT --to-destination {target}:80
COMMIT
"""


def docker(box: Box, version: int = 4, *, backend: str = "nft", port: str = "80", address: str = "") -> None:
    """A published port, to red."""
    tool = "iptables" if version == 4 else "ip6tables"
    target = RED[4] if version == 4 else f"[{RED[6]}]"
    rules = DOCKER.format(port=port, target=target, address=f"-d {address}" if address else "")
    box.tool(f"{tool}-{backend}-restore", stdin=rules)


def nat(box: Box, rule: str, *, priority: str = "dstnat", family: str = "ip") -> None:
    """A chain of an administrator's that translates destinations."""
    box.nft(f"table {family} theirs {{\nchain pre {{\ntype nat hook prerouting priority {priority};\n{rule}\n}}\n}}\n")


def task(version: int = 4, **params: Any) -> dict[str, Any]:
    return {"protocol": "tcp", "port": 80, "to_address": BLUE[version], **params}


def refused(box: Box, **params: Any) -> Failed:
    """The module refuses, and nothing has changed; so it does in check mode."""
    before = box.snapshot()
    with pytest.raises(Failed):
        box.run("dnat_forward", check=True, **params)
    with pytest.raises(Failed) as failure:
        box.run("dnat_forward", **params)
    assert box.snapshot() == before
    return failure.value


@versions
@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_a_port_that_docker_publishes_is_a_conflict_that_names_the_rule(lab: Box, backend: str, version: int) -> None:
    docker(lab, version, backend=backend)
    failure = refused(lab, **task(version))
    assert failure.code == "CONFLICT"
    assert f"tcp 80 ipv{version} is forwarded already by Docker" in failure.msg
    assert "of chain DOCKER in table ip" in failure.msg
    assert "force: true" in failure.msg
    assert failure.details["owner"] == "docker"
    assert RED[version] in failure.details["rule"]


RIVALS = {
    "dnat": f"tcp dport 80 dnat to {RED[4]}",
    "redirect": "tcp dport 80 redirect to :8080",
    "set": f"tcp dport {{ 22, 80 }} dnat to {RED[4]}",
    "range": f"tcp dport 1-1000 dnat to {RED[4]}",
    "one address": f"ip daddr {HOST4} tcp dport 80 dnat to {RED[4]}",
    "map": f"dnat to tcp dport map {{ 80 : {RED[4]} }}",
    "this interface": f'iifname "uplink" tcp dport 80 dnat to {RED[4]}',
}


@pytest.mark.parametrize("rule", list(RIVALS.values()), ids=list(RIVALS))
def test_a_rule_that_is_asked_first_is_a_conflict(lab: Box, rule: str) -> None:
    nat(lab, rule)
    assert "table ip theirs" in refused(lab, **task()).msg


OTHERS = {
    "port": f"tcp dport 81 dnat to {RED[4]}",
    "protocol": f"udp dport 80 dnat to {RED[4]}",
    "interface": f'iifname "eth9" tcp dport 80 dnat to {RED[4]}',
    "foreign address": f"ip daddr 198.51.100.7 tcp dport 80 dnat to {RED[4]}",
    "no translation": "tcp dport 80 accept",
    "excepted": f"ip daddr {HOST4} return\nip daddr 198.51.100.7 dnat to {RED[4]}",
    "perhaps": f"tcp dport 80 meta mark 7 dnat to {RED[4]}",
}


@pytest.mark.parametrize("rule", list(OTHERS.values()), ids=list(OTHERS))
def test_a_rule_about_other_packets_is_no_conflict(lab: Box, rule: str) -> None:
    server = lab.serve("blue", 80)
    nat(lab, rule)
    lab.checked("dnat_forward", **task(address=[HOST4]))
    assert lab.tcp(EXT, HOST4, 80).token == server.token


def test_a_rule_for_another_address_of_the_machine_is_no_conflict(lab: Box) -> None:
    nat(lab, f"ip daddr 192.168.15.5 tcp dport 80 dnat to {RED[4]}")
    lab.checked("dnat_forward", **task(address=[HOST4]))


def test_a_rule_for_one_of_the_addresses_is_a_conflict_with_a_forward_of_all(lab: Box) -> None:
    nat(lab, f"ip daddr 192.168.15.5 tcp dport 80 dnat to {RED[4]}")
    refused(lab, **task())


def test_a_rule_that_is_asked_later_is_no_conflict(lab: Box) -> None:
    server = lab.serve("blue", 80)
    nat(lab, RIVALS["dnat"], priority="-90")
    lab.checked("dnat_forward", **task())
    assert lab.tcp(EXT, HOST4, 80).token == server.token


@pytest.mark.parametrize("port", ["8000-8010", "8005-8005", "1-65535"])
def test_one_port_of_a_range_is_enough_for_a_conflict(lab: Box, port: str) -> None:
    nat(lab, f"tcp dport 8005 dnat to {RED[4]}")
    refused(lab, **task(port=port))


def test_a_port_beside_the_range_is_no_conflict(lab: Box) -> None:
    nat(lab, f"tcp dport 8011 dnat to {RED[4]}")
    lab.checked("dnat_forward", **task(port="8000-8010"))


def test_sources_that_somebody_else_has_are_a_conflict(lab: Box) -> None:
    nat(lab, f"ip saddr 203.0.113.0/24 tcp dport 80 dnat to {RED[4]}")
    lab.checked("dnat_forward", **task(port=81))
    lab.checked("dnat_forward", **task(sources=["198.51.100.0/24"]))
    lab.checked("dnat_forward", **task(state="absent"))
    refused(lab, **task(sources=["203.0.113.0/28"]))


@versions
def test_a_rival_of_one_ip_version_does_not_concern_the_other(lab: Box, version: int) -> None:
    docker(lab, version)
    lab.checked("dnat_forward", **task(10 - version))
    refused(lab, **task(to_address=list(BLUE.values()), address=[HOST4, HOST6]))


def test_force_adds_a_forward_that_waits_for_the_end_of_the_other(lab: Box) -> None:
    """Who is asked first of two chains of the same priority is not defined: theirs is made to be first."""
    mine, theirs = lab.serve("blue", 80), lab.serve("red", 80)
    nat(lab, RIVALS["dnat"], priority="dstnat - 1")
    lab.checked("dnat_forward", **task(force=True))
    assert lab.tcp(EXT, HOST4, 80).token == theirs.token
    lab.nft("delete table ip theirs")
    assert lab.tcp(EXT, HOST4, 80).token == mine.token


def test_a_forward_that_was_there_first_is_not_refused(lab: Box) -> None:
    lab.run("dnat_forward", **task())
    docker(lab)
    assert not lab.run("dnat_forward", **task()).changed
    refused(lab, **task(to_address=RED[4]))


def test_a_forward_can_be_removed_beside_a_rival(lab: Box) -> None:
    lab.run("dnat_forward", **task())
    docker(lab)
    assert lab.checked("dnat_forward", **task(state="absent")).changed


def test_a_masquerade_has_no_rivals(lab: Box) -> None:
    docker(lab)
    nat(lab, RIVALS["dnat"])
    lab.checked("nat_masquerade", source=LAB[4])


def test_a_rival_in_another_namespace_is_none(lab: Box) -> None:
    lab.namespace("router")
    lab.tool("iptables-nft-restore", netns="router", stdin=DOCKER.format(port=80, target=RED[4], address=""))
    server = lab.serve("blue", 80)
    lab.checked("dnat_forward", **task())
    assert lab.tcp(EXT, OWN[4], 80).token == server.token


def test_the_conflict_is_about_who_really_wins(lab: Box) -> None:
    """What is refused here would not have worked."""
    theirs = lab.serve("red", 80)
    lab.sysctl(FORWARDING[4], "1")
    nat(lab, RIVALS["dnat"], priority="dstnat - 1")
    refused(lab, **task())
    assert lab.tcp(EXT, HOST4, 80).token == theirs.token
    assert lab.tcp(EXT, HOST4, 80).seen[0] == EXT4
