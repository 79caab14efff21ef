# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role bridge_lab refuses: mistakes that no single module can see, for each sees one object."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.filter.lab_mistakes import lab_mistakes

RED = {"name": "red", "addresses": ["192.168.15.1/24"]}
BLUE = {"name": "blue", "addresses": ["192.168.15.2/24"]}
GOOD: dict[str, t.Any] = {
    "bridge_lab_bridge": "v-net-0",
    "bridge_lab_bridge_addresses": ["192.168.15.5/24"],
    "bridge_lab_namespaces": [RED, BLUE],
}


def mistakes(**change: t.Any) -> list[str]:
    """What the filter says of the role's variables."""
    lab = {**GOOD, **change}
    return lab_mistakes(lab["bridge_lab_namespaces"], lab["bridge_lab_bridge"], lab["bridge_lab_bridge_addresses"])


def test_a_sound_lab_has_no_mistakes() -> None:
    assert mistakes() == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"bridge_lab_namespaces": [RED, {"name": "blue", "addresses": ["192.168.15.1/24"]}]},
            "The address 192.168.15.1 of the namespace blue belongs to the namespace red already: give one of them another.",
        ),
        (
            {"bridge_lab_namespaces": [RED, {"name": "blue", "addresses": ["192.168.15.5/24"]}]},
            "The address 192.168.15.5 of the namespace blue belongs to the bridge v-net-0 already: give one of them another.",
        ),
        (
            {
                "bridge_lab_namespaces": [
                    {"name": "red", "addresses": ["fd00::A/64"]},
                    {"name": "blue", "addresses": ["fd00::a/64"]},
                ]
            },
            "The address fd00::a of the namespace blue belongs to the namespace red already: give one of them another.",
        ),
        (
            {"bridge_lab_namespaces": [RED, RED]},
            "The namespace red is listed twice: list it once, with all its addresses.",
        ),
        (
            {"bridge_lab_namespaces": [{"name": "red", "addresses": ["192.168.15.1"]}]},
            "addresses of the namespace red: 192.168.15.1 has no prefix length, so the kernel would not know its network: "
            "did you mean 192.168.15.1/24?",
        ),
        (
            {"bridge_lab_bridge_addresses": ["fd00:15::5"]},
            "addresses of the bridge v-net-0: fd00:15::5 has no prefix length, so the kernel would not know its network: "
            "did you mean fd00:15::5/64?",
        ),
        (
            {"bridge_lab_namespaces": [RED, {**BLUE, "bridge_link": "veth-red-br"}]},
            "The link veth-red-br of the namespace blue has the name of the link of the namespace red: set another bridge_link.",
        ),
        (
            {"bridge_lab_namespaces": [{"name": "a-long-name"}]},
            "link of the namespace a-long-name: the interface name 'veth-a-long-name' has 16 bytes, the kernel takes at most 15. "
            "Choose a shorter name.",
        ),
        (
            {"bridge_lab_bridge": "a-bridge-of-19-bytes"},
            "bridge_lab_bridge: the interface name 'a-bridge-of-19-bytes' has 20 bytes, the kernel takes at most 15. "
            "Choose a shorter name.",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_both_sides(change: dict[str, t.Any], sentence: str) -> None:
    assert sentence in mistakes(**change)


def test_one_address_in_two_spellings_is_one() -> None:
    twice = [{"name": "red", "addresses": ["fd00::1/64"]}, {"name": "blue", "addresses": ["fd00:0:0::1/64"]}]
    assert len(mistakes(bridge_lab_namespaces=twice)) == 1


def test_all_mistakes_are_told_at_once() -> None:
    wrong = [{"name": "red", "addresses": ["192.168.15.1", "192.168.15.5/24"]}]
    assert len(mistakes(bridge_lab_namespaces=wrong)) == 2


def test_three_hundred_namespaces_are_no_mistake() -> None:
    many = [
        {"name": f"n{number}", "addresses": [f"10.0.{number // 200}.{number % 200 + 1}/16"]} for number in range(300)
    ]
    assert mistakes(bridge_lab_namespaces=many) == []
