# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What all six object modules say of themselves and of their common options."""

    DOCUMENTATION = r"""
options:
  netns:
    description:
      - The network namespace the object is in, by its name under C(/run/netns).
      - When omitted, it is the namespace that the module runs in, usually the host's own.
    type: str
  state:
    description:
      - V(present) creates the object, or brings the one that is there to the properties given.
      - V(absent) removes it.
    type: str
    choices: [present, absent]
    default: present
  force:
    description:
      - Also remove what this collection did not make, or remove it to make it anew.
      - Without it, such objects are named in the error and left alone. Changing one in place does not need it.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict what a run does, without changing anything.
    support: full
  diff_mode:
    description: Returns the object before and after; the header says whether it was changed in place or recreated.
    support: full
  idempotent:
    description: A second run with the same parameters changes nothing.
    support: full
  platform:
    description: The system the module runs on. It needs root there.
    support: full
    platforms: Linux
requirements:
  - pyroute2 >= 0.7.2 for the Python that runs the module (the role P(patchbay.netns.host#role) installs it)
author:
  - The patchbay.netns founders (@patchbay)
"""
