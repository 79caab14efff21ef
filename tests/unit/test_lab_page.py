# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/lab.md has every key of the lab file and no others, and its examples are labs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.layout import layout
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.schema import SCHEMA

FILE = Path(__file__).parents[2] / "docs" / "lab.md"
PAGE = FILE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
DEFINED = SCHEMA["$defs"]


def section(title: str) -> str:
    """The part of the page under a heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def words(text: str) -> set[str]:
    """All words in the inline code of a text."""
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", text))))


def inner(schema: dict[str, Any]) -> set[str]:
    """The keys of mappings that stand in a schema itself."""
    return {key for part in schema["properties"].values() for key in part.get("properties", ())}


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("The top level", set(SCHEMA["properties"])),
        ("Namespaces", set(DEFINED["namespace"]["properties"])),
        ("Interfaces", set(DEFINED["interface"]["properties"]) | inner(DEFINED["interface"])),
        ("Bridges", set(DEFINED["bridge"]["properties"])),
        (
            "Routes, settings, translation",
            {key for kind in ("route", "masquerade", "forward") for key in DEFINED[kind]["properties"]} | {"weight"},
        ),
    ],
)
def test_every_key_is_explained_where_it_belongs(title: str, keys: set[str]) -> None:
    assert keys - words(section(title)) == set()


def test_no_key_is_explained_that_does_not_exist() -> None:
    known = {key for part in (SCHEMA, *DEFINED.values()) for key in {*part["properties"], *inner(part)}} | {"weight"}
    explained = {
        key
        for row in re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE)
        for code in re.findall(r"`([^`]+)`", row)
        for key in [code.partition(":")[0]]
    }
    assert len(explained) > 30
    assert explained - known == set()


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_a_lab_and_its_comments_are_true(text: str) -> None:
    spec = layout({"name": "example", **yaml.safe_load(text)})
    found = {str(interface) for node in spec.nodes for link in node.links for interface in link.addresses}
    names = {node.netns for node in spec.namespaces}
    for comment in re.findall(r"# (.+)$", text, re.MULTILINE):
        for word in re.split(r" and | to ", comment):
            assert word in found | names, comment


def test_names_are_shortened_as_the_page_says() -> None:
    long, short = re.findall(r"`(a-name-[\w-]+)`", section("Names"))
    spec = layout({"name": "lab", "namespaces": {"red": {"interfaces": {long: {"dummy": True}}}}})
    assert dict(spec.names) == {f"red/{long}": short}


def test_every_link_leads_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert len(links) > 12
    broken = [
        link
        for link in links
        if (link[1:] not in anchors if link.startswith("#") else not (FILE.parent / link.split("#")[0]).exists())
    ]
    assert broken == []
