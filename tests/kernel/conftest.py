# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every test here runs in a closed world of its own: see box.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import world
from box import Box
from scenery import FORWARDING
from tracking import install


@pytest.fixture(scope="session")
def closed_world() -> None:
    """Mount and network namespaces of this process's own."""
    if os.geteuid() != 0:
        pytest.exit("tests/kernel needs root to make namespaces: run 'make kernel'", returncode=4)
    world.enter()


@pytest.fixture
def box(closed_world: None) -> Iterator[Box]:
    """A fresh HOST with nothing in it."""
    fresh = Box()
    try:
        yield fresh
    finally:
        fresh.close()


@pytest.fixture
def lab(box: Box) -> Box:
    """EXT, HOST, red and blue; EXT knows no way into the lab but through HOST's own address."""
    box.outside()
    box.red_and_blue()
    return box


@pytest.fixture
def routed(lab: Box) -> Box:
    """The lab, HOST routes, and connections are tracked."""
    for name in FORWARDING.values():
        lab.sysctl(name, "1")
    lab.nft(
        "table inet tracking {\nchain prerouting { type filter hook prerouting priority 0; ct state new accept\n}\n}"
    )
    install(lab)
    return lab
