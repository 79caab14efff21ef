# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/nat.md says what the code does today, leaves no option out, and names nothing that does not exist."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import CHAINS, Chain
from ansible_collections.patchbay.netns.plugins.module_utils._objects import nat_maps
from ansible_collections.patchbay.netns.tests.tools import nat_page, nat_page_packets

PAGE = nat_page.PAGE.read_text(encoding="utf-8")
BY_HAND = nat_page.by_hand(PAGE)
# Less the code between fences, which is nobody's inline code.
WORDS = re.sub(r"```.*?```", "", BY_HAND, flags=re.DOTALL)


def section(title: str) -> str:
    """The part of the page under a heading of the second level."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def inline(text: str) -> set[str]:
    return set(re.findall(r"(?<!`)`([^`\n]+)`", text))


# ---- what is generated


def test_the_page_is_what_the_code_says() -> None:
    wrong = nat_page.difference(PAGE)
    assert not wrong, wrong


def test_everything_that_is_generated_is_on_the_page_once() -> None:
    assert sorted(nat_page.marked(PAGE)) == sorted(nat_page.BLOCKS)


def test_a_changed_rule_is_seen_and_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nat_maps._WORDS, "prerouting", "patchbay: other words")
    found = nat_page.difference(PAGE)
    assert "+| * other words" in found
    assert "make docs" in found


def test_a_block_of_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="under the name 'nonsense'; there are: drawing, "):
        nat_page.filled("<!-- generated: nonsense -->\n<!-- end -->")


def test_a_chain_that_the_drawing_has_no_place_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHAINS, "watch", Chain("watch", "filter", "input", 0))
    with pytest.raises(ValueError, match=r"no place for chains at .'input'"):
        nat_page.BLOCKS["drawing"]()


def test_the_drawing_has_every_chain() -> None:
    drawing = nat_page.BLOCKS["drawing"]()
    assert [name for name in CHAINS if f"+- {name} -" not in drawing] == []


@pytest.mark.parametrize(
    ("title", "end"),
    [
        ("A client outside connects to port 80 of the host", ("198.51.100.7", "192.168.15.2:80")),
        ("The host connects to port 80 of localhost", ("192.168.15.5", "192.168.15.2:80")),
        ("Red, blue's neighbour, connects to port 80 of the host", ("192.168.15.5", "192.168.15.2:80")),
        ("Red connects to a server outside", ("203.0.113.10", "198.51.100.7:443")),
    ],
)
def test_a_journey_ends_where_the_packet_would(title: str, end: tuple[str, str]) -> None:
    journey = nat_page.BLOCKS["journeys"]().split(f"{title}\n")[1]
    (arrival, *_others) = re.findall(r"  arrival +(\S+) +(\S+)", journey)
    assert arrival == end


def test_nobody_outside_gets_to_localhost() -> None:
    journey = nat_page.BLOCKS["journeys"]().split("A neighbour of the host tries")[1]
    assert "arrival" not in journey
    assert set(nat_page_packets.JOURNEYS) == set(re.findall(r"^[A-Z].*$", nat_page.BLOCKS["journeys"](), re.MULTILINE))


# ---- what is written by hand


def test_every_option_has_a_heading_words_and_a_block() -> None:
    assert list(nat_page.missing(PAGE)) == []


def test_a_new_option_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nat_page.SPECS["nat_masquerade"], "novelty", {"type": "str"})
    assert list(nat_page.missing(PAGE)) == ["nat_masquerade novelty"]


def test_an_option_without_words_is_missed() -> None:
    page = re.sub(r"(#### `sources`\n\n).*?(<!--)", r"\1\2", PAGE, count=1, flags=re.DOTALL)
    assert list(nat_page.missing(page)) == ["dnat_forward sources"]


def test_every_option_with_a_heading_exists() -> None:
    options: dict[str, Any] = {option: None for spec in nat_page.SPECS.values() for option in spec}
    assert [found for found in re.findall(r"^#### `(.+)`$", PAGE, re.MULTILINE) if found not in options] == []


def test_every_option_that_is_given_a_value_exists() -> None:
    options = {option for spec in nat_page.SPECS.values() for option in spec}
    named = {match[1] for match in (re.match(r"(\w+): \S", code) for code in inline(WORDS)) if match}
    assert named
    assert named - options == set()


def test_every_map_that_is_named_could_be_ours() -> None:
    named = set(re.findall(r"\b(?:forwards|incoming|outgoing|loopback)-[\w-]+", WORDS))
    assert named
    assert [name for name in named if nat_maps.shape_of(name) is None] == []


def test_every_explained_word_is_in_the_table() -> None:
    part = section("The table, line by line")
    table = nat_page.BLOCKS["lab"]()
    words = [code for row in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for code in inline(row)]
    assert len(words) > 15
    assert [code for code in words if code not in table] == []


def test_every_link_leads_somewhere() -> None:
    titles = re.findall(r"^#+ (.+)$", BY_HAND, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    links = re.findall(r"\]\(([^)]+)\)", BY_HAND)
    assert links
    broken = [
        link
        for link in links
        if (
            link[1:] not in anchors
            if link.startswith("#")
            else not (nat_page.PAGE.parent / link.split("#")[0]).exists()
        )
    ]
    assert broken == []


def test_make_docs_writes_the_page() -> None:
    makefile = (nat_page.PAGE.parents[1] / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^\.PHONY:.* docs( |$)", makefile, re.MULTILINE), "there is a folder of this name, too"
    assert re.search(r"^docs: .*\n\t@.*tests/tools/nat_page\.py$", makefile, re.MULTILINE)
