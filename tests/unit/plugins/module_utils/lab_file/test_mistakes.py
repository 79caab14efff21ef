# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mistakes in lab files: each is told at its place, in words that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.layout import layout
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import topology_drawings as lab

# A lab that all mistakes are made in: what the file of a mistake says at the top level replaces what this says.
BASE = """
    bridges: {br0: {addresses: [10.0.0.1/24, "fd00::1/64"]}}
    namespaces:
      red: {interfaces: {eth0: {bridge: br0, addresses: 10.0.0.2/24}}}
      blue: {interfaces: {eth0: {bridge: br0, addresses: auto}}}
"""

_TABLE = yaml.safe_load(Path(__file__).with_name("mistakes.yml").read_text(encoding="utf-8"))
SHAPES, VALUES, CROSSED = (
    [(row["file"], row["place"], row["words"]) for row in _TABLE[kind]] for kind in ("shapes", "values", "crossed")
)


@pytest.mark.parametrize(("text", "place", "words"), [*SHAPES, *VALUES, *CROSSED])
def test_a_mistake_is_told_where_it_is(text: str, place: str, words: str) -> None:
    found = lab.problems({**lab.read(BASE), **lab.read(text)})
    assert place in found, found
    assert any(words in message for message in found[place]), found
    assert all(message.endswith((".", "?", ".)")) for messages in found.values() for message in messages)


@pytest.mark.parametrize(("text", "place", "_words"), [*VALUES, *CROSSED])
def test_a_mistake_is_told_once_and_brings_no_others(text: str, place: str, _words: str) -> None:
    found = lab.problems({**lab.read(BASE), **lab.read(text)})
    assert {where: len(sentences) for where, sentences in found.items()} == {place: 1}


def test_without_its_mistakes_the_lab_is_fine() -> None:
    assert layout(lab.read(BASE)).name == "lab"


def test_all_mistakes_of_a_pass_are_told_at_once() -> None:
    text = """
        bridges: {br0: {adresses: 10.0.0.1/24, mtu: 1}}
        namespaces:
          red: {interfaces: {e: {bridge: br0, addresses: 10.0.0.2}, f: {mtu: [1]}}, gateway: nowhere}
          blue: {count: 2, sysctls: {kernel.x: 1}}
    """
    assert set(lab.refusal(text)) == {
        "bridges.br0.adresses", "bridges.br0.mtu", "namespaces.red.interfaces.e.addresses", "namespaces.red.interfaces.f.mtu",
        "namespaces.red.gateway", 'namespaces.blue.sysctls["kernel.x"]',
    }  # fmt: skip


def test_the_error_lists_place_and_sentence_a_line_each() -> None:
    with pytest.raises(InvalidInput) as caught:
        layout({"name": "x", "bridges": {"br0": {"mtu": 1}, "b.r": {"up": 2}}})
    assert str(caught.value).splitlines() == [
        "bridges.br0.mtu: 1 is impossible: give a whole number from 68 to 65535.",
        'bridges["b.r"].up: true or false is meant here, and 2 is a whole number.',
    ]
    assert caught.value.details["problems"][0] == {
        "path": ["bridges", "br0", "mtu"],
        "message": "1 is impossible: give a whole number from 68 to 65535.",
    }


@pytest.mark.parametrize(
    "nonsense", [None, [], "lab", 5, True, {}, {"name": None}, {"name": "x", "namespaces": {None: None}}]
)
def test_what_is_no_lab_at_all_is_refused_in_words(nonsense: object) -> None:
    assert all(sentence.endswith(".") for sentences in lab.problems(nonsense).values() for sentence in sentences)


def test_the_mistakes_of_one_template_are_one_problem() -> None:
    text = "namespaces: {'r{n}': {count: 100, gateway: 10.0.0.1}}"
    (sentence,) = lab.refusal(text)["namespaces.r{n}.gateway"]
    assert sentence.startswith("10.0.0.1 can't be reached: it is in no network that r1 is connected to.")
    assert sentence.endswith("(This is r1; 99 more of the template are like it.)")


def test_of_very_many_mistakes_the_first_are_told_and_all_are_in_the_details() -> None:
    with pytest.raises(InvalidInput) as caught:
        layout({"name": "x", "namespaces": {f"n{number}": {"gateway": "10.0.0.1"} for number in range(200)}})
    assert len(caught.value.details["problems"]) == 200
    assert str(caught.value).splitlines()[-1] == "There are 150 more problems."
