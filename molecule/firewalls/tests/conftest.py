# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of this scenario share."""

from __future__ import annotations

import pathlib
import sys

import pytest
from testinfra.host import Host

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from firewalled import Machine


@pytest.fixture(scope="module")
def machine(host: Host) -> Machine:
    """The machine with everything that can be done with it."""
    return Machine(host)
