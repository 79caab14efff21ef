# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What tells this machine from others, as the seed of MAC addresses."""

from __future__ import annotations

from dataclasses import dataclass

from .._engine.model import Key, State
from .._kernel.kernel import Kernel


@dataclass(frozen=True)
class Machine:
    """The machine's own id (machine-id(5)) and the namespace that the run started from."""

    seed: str

    @property
    def key(self) -> Key:
        return ("machine",)


def observe(kernel: Kernel) -> Machine:
    """Read it; a machine without an id is told apart by its namespace alone."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            own = file.read().strip()
    except OSError:
        own = ""
    return Machine(f"{own} {kernel.identity(None)}")


def seed(state: State) -> str:
    """The seed in an observed state."""
    found: Machine | None = state.get(("machine",))
    return found.seed if found else ""
