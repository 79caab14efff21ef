# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role bridge_lab refuses: mistakes that no single module can see, for each sees one object."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

TEMPLATE = Path(__file__).parents[3] / "roles/bridge_lab/templates/mistakes.json.j2"
RED = {"name": "red", "addresses": ["192.168.15.1/24"]}
BLUE = {"name": "blue", "addresses": ["192.168.15.2/24"]}
GOOD: dict[str, t.Any] = {
    "bridge_lab_bridge": "v-net-0",
    "bridge_lab_bridge_addresses": ["192.168.15.5/24"],
    "bridge_lab_namespaces": [RED, BLUE],
}


def mistakes(**change: t.Any) -> list[str]:
    """What the role says of its variables."""
    templar = Templar(loader=DataLoader(), variables={**GOOD, **change})
    found = templar.template(trust_as_template(TEMPLATE.read_text()))
    return t.cast("list[str]", found if isinstance(found, list) else DataLoader().load(found))


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
            "The address 192.168.15.1 of the namespace red has no prefix length: did you mean 192.168.15.1/24?",
        ),
        (
            {"bridge_lab_bridge_addresses": ["fd00:15::5"]},
            "The address fd00:15::5 of the bridge v-net-0 has no prefix length: did you mean fd00:15::5/64?",
        ),
        (
            {"bridge_lab_namespaces": [RED, {**BLUE, "bridge_link": "veth-red-br"}]},
            "The link veth-red-br of the namespace blue has the name of the link of the namespace red: set another bridge_link.",
        ),
        (
            {"bridge_lab_namespaces": [{"name": "a-long-name"}]},
            "The link name veth-a-long-name of the namespace a-long-name is longer than the 15 bytes that a link name may have: "
            "set a shorter link for it.",
        ),
        (
            {"bridge_lab_bridge": "a-bridge-of-19-bytes"},
            "The link name a-bridge-of-19-bytes of the bridge is longer than the 15 bytes that a link name may have: "
            "set a shorter bridge_lab_bridge.",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_both_sides(change: dict[str, t.Any], sentence: str) -> None:
    assert sentence in mistakes(**change)


@pytest.mark.xfail(reason="templates have no way to read an IPv6 address", strict=True)
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
