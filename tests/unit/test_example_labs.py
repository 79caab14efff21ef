# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every lab file that the project shows is a good one, and every example has its line and its picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.layout import layout

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = {path.stem: path for path in sorted((CHECKOUT / "playbooks/labs").glob("*.yml"))}
EDITED = CHECKOUT / "molecule/lab/labs/edited.yml"


def text(path: str | Path) -> str:
    """A file of the checkout."""
    return (CHECKOUT / path).read_text(encoding="utf-8")


def shown() -> dict[str, str]:
    """Every lab file that is shown somewhere, by the place."""
    pages = {
        page: re.findall(r"^```yaml\n(.*?)^```", text(page), re.M | re.S)
        for page in ("README.md", "roles/lab/README.md")
    }
    on_pages = {f"{page} {n}": block for page, blocks in pages.items() for n, block in enumerate(blocks)}
    labs = {place: block for place, block in on_pages.items() if re.search(r"^name: ", block, re.M)}
    return labs | {str(path.relative_to(CHECKOUT)): text(path) for path in (*FILES.values(), EDITED)}


def test_labs_are_found() -> None:
    assert len(shown()) == len(FILES) + 3


@pytest.mark.parametrize("place", shown())
def test_what_is_shown_is_a_lab(place: str) -> None:
    layout(yaml.safe_load(shown()[place]))


def test_each_is_named_after_its_file() -> None:
    assert {name: yaml.safe_load(text(path))["name"] for name, path in FILES.items()} == {
        name: name for name in ("internet", "leaf-spine", "red-blue", "two-hundred", "two-sites")
    }


@pytest.mark.parametrize("page", ["docs/labs/README.md", "README.md"])
def test_each_has_a_line_where_people_look(page: str) -> None:
    assert [name for name in FILES if not re.search(rf"^\|.*\b{name}\b.*\|$", text(page), re.M)] == []


def test_each_has_a_picture() -> None:
    sections = re.split(r"^## ", text("docs/labs/README.md"), flags=re.M)
    assert sorted(section.partition("\n")[0] for section in sections if "```text" in section) == sorted(FILES)


@pytest.mark.parametrize("path", [*FILES.values(), EDITED], ids=lambda path: path.stem)
def test_each_tells_the_editor_its_schema(path: Path) -> None:
    (schema,) = re.findall(r"^# yaml-language-server: \$schema=(.+)$", text(path), re.M)
    assert (path.parent / schema).resolve() == CHECKOUT / "docs/lab.schema.json"
