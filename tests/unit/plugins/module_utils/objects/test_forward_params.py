# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the parameters of a forward and of a masquerade mean, and what is refused."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._objects import forward_params
from ansible_collections.patchbay.netns.plugins.module_utils._objects.masquerade import Masquerade
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import ForwardSpec
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import nat_strategies as some
from hypothesis import given

LAN = "192.168.15.2"
BOTH = ["192.168.15.2", "fd00:15::2"]


def forward(**params: t.Any) -> forward_params.Given:
    return forward_params.parse({"protocol": "tcp", "port": "80", "to_address": [LAN], **params})


def masquerade(**params: t.Any) -> Masquerade:
    return Masquerade.from_params({"source": "192.168.15.0/24", **params})


REFUSED: list[tuple[t.Callable[..., t.Any], dict[str, t.Any], str]] = [
    (masquerade, {"source": "192.168.15.0"}, "did you mean"),
    (masquerade, {"source": "192.168.15.5/24"}, "did you mean the network 192.168.15.0/24"),
    (masquerade, {"source": "lab"}, "source"),
    (masquerade, {"source": None}, "source is missing"),
    (masquerade, {"source": "224.0.0.0/4"}, "multicast"),
    (masquerade, {"source": "127.0.0.0/8"}, "loopback"),
    (masquerade, {"source": "fe80::/10"}, "link-local"),
    (masquerade, {"out_interface": "a-name-of-16-bytes"}, "at most 15"),
    (masquerade, {"out_interface": "eth 0"}, "out_interface"),
    (masquerade, {"out_interface": "a/b"}, "out_interface"),
    (masquerade, {"out_interface": ""}, "out_interface"),
    (masquerade, {"exclude": ["10.0.0.1/8"]}, "exclude: 10.0.0.1/8 is a host address"),
    (masquerade, {"exclude": ["fd00::/8"]}, "exclude: fd00::/8 is IPv6 but source 192.168.15.0/24 is IPv4"),
    (masquerade, {"exclude": ["0.0.0.0/0"]}, "nothing would be translated"),
    (masquerade, {"exclude": ["10.0.0.0/8", "10.0.0.0/8"]}, "listed twice"),
    (masquerade, {"to_ports": "0-10"}, "to_ports: 0 is no port number"),
    (masquerade, {"to_ports": "70000"}, "to_ports: 70000 is no port number"),
    (masquerade, {"to_ports": "90-80"}, "did you mean 80-90"),
    (masquerade, {"netns": "a/b"}, "netns"),
    (forward, {"protocol": None}, "protocol is missing"),
    (forward, {"protocol": "icmp"}, "choose tcp, udp or sctp"),
    (forward, {"port": None}, "port is missing"),
    (forward, {"port": ""}, "port is missing"),
    (forward, {"port": "0"}, "port: 0 is no port number"),
    (forward, {"port": "70000"}, "port: 70000"),
    (forward, {"port": "90-80"}, "did you mean 80-90"),
    (forward, {"to_port": "0"}, "to_port: 0"),
    (forward, {"port": "80-90", "to_port": "80"}, "shrinks"),
    (forward, {"port": "80", "to_port": "80-90"}, "grows"),
    (forward, {"port": "1-2000", "to_port": "2-2001"}, "1024 ports at most"),
    (forward, {"to_address": None}, "to_address is missing"),
    (forward, {"to_address": []}, "to_address is missing"),
    (forward, {"to_address": ["192.168.15.2/24"]}, "write 192.168.15.2"),
    (forward, {"to_address": ["blue"]}, "to_address"),
    (forward, {"to_address": ["0.0.0.0"]}, "unspecified"),
    (forward, {"to_address": ["127.0.0.1"]}, "loopback"),
    (forward, {"to_address": ["224.0.0.1"]}, "multicast"),
    (forward, {"to_address": ["::"]}, "unspecified"),
    (forward, {"to_address": ["fe80::1"]}, "link-local"),
    (forward, {"to_address": [LAN, "192.168.15.3"]}, "192.168.15.2 and 192.168.15.3 are both IPv4"),
    (forward, {"to_address": ["fd00::2", LAN, "fd00::3"]}, "fd00::2 and fd00::3 are both IPv6"),
    (forward, {"address": ["0.0.0.0"]}, "leave the option out to forward on every local address"),
    (forward, {"address": ["127.0.0.1"]}, "only reached by the machine itself"),
    (forward, {"address": ["224.0.0.1"]}, "multicast"),
    (forward, {"address": ["203.0.113.1/24"]}, "write 203.0.113.1"),
    (forward, {"address": [LAN]}, "leads to another address"),
    (forward, {"address": ["203.0.113.1", "203.0.113.2"]}, "address: 203.0.113.1 and 203.0.113.2 are both IPv4"),
    (forward, {"address": ["2001:db8::1"]}, "address 2001:db8::1 is IPv6 but to_address 192.168.15.2 is IPv4"),
    (forward, {"address": ["203.0.113.1", "2001:db8::1"]}, "address 2001:db8::1 is IPv6 but to_address"),
    (forward, {"to_address": BOTH, "address": ["203.0.113.1"]}, "address: nothing is said for IPv6"),
    (forward, {"to_address": BOTH, "address": ["2001:db8::1"]}, "address: nothing is said for IPv4"),
    (forward, {"to_address": BOTH, "sources": ["10.0.0.0/8"]}, "sources: nothing is said for IPv6"),
    (forward, {"sources": ["2001:db8::/32"]}, "sources 2001:db8::/32 is IPv6 but to_address 192.168.15.2 is IPv4"),
    (forward, {"sources": ["10.0.0.0/8", "2001:db8::/32"]}, "sources 2001:db8::/32 is IPv6 but to_address"),
    (forward, {"sources": ["192.168.15.5/24"]}, "did you mean the network 192.168.15.0/24"),
    (forward, {"sources": ["10.0.0.0/8", "10.0.0.0/8"]}, "listed twice"),
    (forward, {"in_interface": "lo"}, "local: true"),
    (forward, {"in_interface": "a-name-of-16-bytes"}, "at most 15"),
    (forward, {"to_address": ["fd00::2"], "loopback": True}, "never lets ::1 leave"),
    (forward, {"netns": ".."}, "netns"),
]


@pytest.mark.parametrize(
    ("make", "params", "said"), REFUSED, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_bad_input_is_refused_in_one_sentence(
    make: t.Callable[..., t.Any], params: dict[str, t.Any], said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(**params)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- forwards


def families(given: forward_params.Given) -> list[int]:
    return [service.family for service in given.services]


def test_one_address_may_be_given_without_a_list() -> None:
    assert forward(to_address=LAN, address="203.0.113.1") == forward(to_address=[LAN], address=["203.0.113.1"])


def test_row_10_both_ip_versions_are_one_forward() -> None:
    found = forward(
        to_address=BOTH[::-1], address=["2001:db8::1", "203.0.113.1"], sources=["2001:db8::/32", "10.0.0.0/8"]
    )
    assert [str(service.address) for service in found.services] == ["203.0.113.1", "2001:db8::1"]
    assert [str(target.address) for target in found.targets] == BOTH
    assert [list(map(str, target.sources)) for target in found.targets] == [["10.0.0.0/8"], ["2001:db8::/32"]]


def test_a_list_of_one_version_is_a_forward_of_that_version() -> None:
    assert families(forward()) == [4]
    assert families(forward(to_address=["fd00:15::2"])) == [6]


def test_loopback_is_for_the_ipv4_target() -> None:
    assert [target.loopback for target in forward(to_address=BOTH, loopback=True).targets] == [True, False]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [4, 6]),
        ({"to_address": [LAN]}, [4]),
        ({"to_address": BOTH}, [4, 6]),
        ({"address": ["2001:db8::1"]}, [6]),
        ({"sources": ["10.0.0.0/8"]}, [4]),
    ],
)
def test_absence_is_of_the_versions_that_are_named_or_of_both(params: dict[str, t.Any], expected: list[int]) -> None:
    gone = forward(**{"to_address": None, **params}, state="absent")
    assert (families(gone), gone.targets) == (expected, ())


@pytest.mark.parametrize(
    ("given_sources", "kept"),
    [
        (["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24"], ["10.0.0.0/8"]),
        (["10.1.0.0/16", "10.0.0.0/8", "172.16.0.0/12"], ["10.0.0.0/8", "172.16.0.0/12"]),
        (["10.0.0.0/9", "10.128.0.0/9"], ["10.0.0.0/9", "10.128.0.0/9"]),
        (["198.51.100.0/24", "10.0.0.0/8"], ["10.0.0.0/8", "198.51.100.0/24"]),
        (["0.0.0.0/0"], []),
        (["0.0.0.0/0", "10.0.0.0/8"], []),
    ],
)
def test_sources_are_sorted_and_none_lies_in_another(given_sources: list[str], kept: list[str]) -> None:
    """Everybody is no limit at all: the table could not tell the two."""
    (target,) = forward(sources=given_sources).targets
    assert list(map(str, target.sources)) == kept


@pytest.mark.parametrize(
    ("port", "to_port", "expected"),
    [
        ("80", None, None),
        ("80", "80", None),
        ("80", "8080", Ports(8080, 8080)),
        ("80-90", "80-90", None),
        ("80-90", "180-190", Ports(180, 190)),
    ],
)
def test_ports_that_stay_the_same_are_not_named(port: str, to_port: str | None, expected: Ports | None) -> None:
    (target,) = forward(port=port, to_port=to_port).targets
    assert target.ports == expected


@given(wish=some.forward_wishes())
def test_there_is_a_target_for_each_service_of_what_is_present(wish: t.Any) -> None:
    (part,) = wish.parts
    assert len(part.targets) in (0, len(part.services))
    assert all(isinstance(spec, ForwardSpec) for spec in part.bare)
    families = [service.family for service in part.services]
    assert [target.address.version for target in part.targets] in ([], families)


# ---- masquerades


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("192.168.15.0/24", ["192.168.15.0/24", "224.0.0.0/4"]),
        ("fd00:15::/64", ["fd00:15::/64", "fe80::/10", "ff00::/8"]),
        ("0.0.0.0/0", ["224.0.0.0/4"]),
        ("::/0", ["fe80::/10", "ff00::/8"]),
    ],
)
def test_row_9_what_is_excluded_by_default(source: str, expected: list[str]) -> None:
    assert [str(network) for network in masquerade(source=source).spec.exclude] == expected


def test_nothing_is_excluded_where_that_is_asked_for() -> None:
    assert masquerade(exclude=[]).spec.exclude == ()
