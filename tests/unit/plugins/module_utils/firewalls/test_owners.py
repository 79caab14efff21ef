# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose a table, a chain, a policy or a rule is."""

from __future__ import annotations

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Chain, Rule, Table, Verdict
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.owners import TITLES, owner

DROP = Rule((), Verdict("drop"), "drop")


def jump(name: str) -> Rule:
    return Rule((), Verdict("jump", name), f"jump {name}")


def forward(*chains: str, policy: str = "drop", last: tuple[Rule, ...] = ()) -> Chain:
    return Chain("FORWARD", (*map(jump, chains), *last), "forward", "filter", 0, policy)


def iptables(*chains: Chain, family: str = "ip", backend: str = "nft") -> Table:
    return Table(backend, family, "filter", chains)


def owner_of(table: Table, chain: Chain, rule: Rule | None = None, *others: Table) -> str:
    return owner([*others, table], table, chain, rule)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DOCKER", "docker"),
        ("DOCKER-USER", "docker"),
        ("DOCKER-ISOLATION-STAGE-1", "docker"),
        ("ufw-before-forward", "ufw"),
        ("ufw6-user-forward", "ufw"),
        ("LIBVIRT_FWI", "libvirt"),
        ("KUBE-FORWARD", "kubernetes"),
        ("cali-FORWARD", "kubernetes"),
        ("NETAVARK_FORWARD", "podman"),
        ("CNI-FORWARD", "podman"),
        ("FORWARD_direct", "firewalld"),
        ("FORWARD_IN_ZONES_SOURCE", "firewalld"),
        ("FORWARD_POLICIES_pre", "firewalld"),
        ("FWDI_public", "firewalld"),
        ("FWD_public_deny", "firewalld"),
        ("DOCKERS", "unknown"),
        ("MY-DOCKER", "unknown"),
        ("FORWARD_mine", "unknown"),
        ("block", "unknown"),
    ],
)
def test_chains_of_iptables_tell_by_their_names(name: str, expected: str) -> None:
    chain = Chain(name, (DROP,))
    assert owner_of(iptables(chain), chain, DROP) == expected


@pytest.mark.parametrize(
    ("family", "name", "expected"),
    [
        ("inet", "firewalld", "firewalld"),
        ("ip", "firewalld", "firewalld"),
        ("ip6", "docker-bridges", "docker"),
        ("ip", "libvirt_network", "libvirt"),
        ("inet", "incus", "incus"),
        ("inet", "lxd", "lxd"),
        ("ip", "kube-proxy", "kubernetes"),
        ("inet", "netavark", "podman"),
        ("inet", "firewalld2", "unknown"),
        ("inet", "filter", "unknown"),
    ],
)
def test_tables_of_nftables_tell_by_their_names(family: str, name: str, expected: str) -> None:
    chain = Chain("forward", (DROP,), "forward", "filter", 0, "drop")
    assert owner_of(Table("nft", family, name, (chain,)), chain, DROP) == expected


@pytest.mark.parametrize(
    ("guests", "expected"),
    [
        (("DOCKER-USER", "DOCKER-FORWARD"), "docker"),
        (("ufw-before-forward",), "ufw"),
        (("DOCKER-USER", "ufw-before-forward"), "ufw"),
        (("FORWARD_direct", "FORWARD_ZONES"), "firewalld"),
        (("LIBVIRT_FWX",), "unknown"),
        ((), "unknown"),
    ],
)
@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_the_policy_of_a_shared_chain_is_told_by_who_hangs_in_it(
    backend: str, guests: tuple[str, ...], expected: str
) -> None:
    chain = forward(*guests)
    assert owner_of(iptables(chain, backend=backend), chain) == expected


def test_ufw_without_ipv6_is_seen_beside_its_ipv4_chains() -> None:
    four, six = forward("ufw-before-forward"), forward()
    assert owner_of(iptables(six, family="ip6"), six, None, iptables(four)) == "ufw"
    assert owner_of(iptables(six, family="ip6"), six, None, iptables(four, backend="legacy")) == "unknown"


def test_a_drop_in_a_shared_chain_is_an_administrators() -> None:
    chain = forward("DOCKER-USER", "ufw-before-forward", last=(DROP,))
    assert owner_of(iptables(chain), chain, DROP) == "unknown"


def test_a_drop_that_ends_firewallds_base_chain_is_firewallds() -> None:
    chain = forward("FORWARD_direct", "FORWARD_ZONES", policy="accept", last=(DROP,))
    assert owner_of(iptables(chain), chain, DROP) == "firewalld"


def test_a_jump_in_a_shared_chain_belongs_to_where_it_leads() -> None:
    chain = forward("LIBVIRT_FWI", "DOCKER-USER")
    assert [owner_of(iptables(chain), chain, rule) for rule in chain.rules] == ["libvirt", "docker"]


def test_every_owner_has_a_title() -> None:
    assert set(TITLES) == {
        "docker",
        "ufw",
        "firewalld",
        "libvirt",
        "incus",
        "lxd",
        "kubernetes",
        "podman",
        "unknown",
    }
