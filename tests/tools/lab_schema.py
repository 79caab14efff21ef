# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/lab.schema.json, for editors: the schema that lab files are checked with, as JSON. ``make docs`` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.schema import SCHEMA

FILE = Path(__file__).parents[2] / "docs" / "lab.schema.json"


def rendered() -> str:
    """The text of the file."""
    return json.dumps({**SCHEMA, "title": "A lab of patchbay.netns"}, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file."""
    FILE.write_text(rendered(), encoding="utf-8")


if __name__ == "__main__":
    main()
