# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that is killed half way, by the machine or by somebody impatient, is finished by the next one."""

from __future__ import annotations

import itertools
import os
import signal
from typing import Any

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine import run
from box import Box

BOTH = ["10.9.0.1/24", "fd09::1/64"]
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "namespace": ("netns", {"name": "green", "sysctls": {"net.ipv4.ip_forward": 1}, "nameservers": ["192.0.2.53"]}),
    "bridge": ("bridge", {"name": "br0", "addresses": BOTH, "ageing_time": 10.0}),
    "cable": ("veth", {"name": "one", "netns": "red", "addresses": BOTH, "peer": {"name": "two", "bridge": "v-net-0"}}),
    "other cable": ("veth", {"name": "veth-red", "netns": "red", "addresses": BOTH, "peer": {"name": "two"}}),
    "masquerade": ("nat_masquerade", {"source": "192.168.15.0/24"}),
    "forward": ("dnat_forward", {"protocol": "tcp", "port": 80, "to_address": "192.168.15.2", "loopback": True}),
}


def killed_after(steps_done: int, box: Box, module: str, params: dict[str, Any]) -> bool:
    """Run the module in a process that dies after so many steps; False when it was through before."""

    def apply(kernel: Any, steps: Any, **_options: Any) -> None:
        for number, step in enumerate(steps):
            if number == steps_done:
                os.kill(os.getpid(), signal.SIGKILL)
            step.apply(kernel)

    def job() -> str:
        run.apply = apply
        box.run(module, **params)
        return "through"

    return box.parallel([job]) != ["through"]


@pytest.mark.parametrize("task", TASKS)
def test_pitfall_42_the_next_run_finishes_what_a_killed_one_began(box: Box, task: str) -> None:
    module, params = TASKS[task]
    box.red_and_blue()
    whole = box.run(module, check=True, **params).object
    for steps_done in itertools.count():
        if not killed_after(steps_done, box, module, params):
            break
        box.run(module, **params)
        again = box.run(module, **params)
        assert (again.changed, again.object) == (False, whole)
        box.run(module, **{**params, "state": "absent"})
        box.red_and_blue()
    assert steps_done > 0
    if "forward" in task or task == "masquerade":
        box.run(module, **{**params, "state": "absent"})
        assert box.sysctl("net.ipv4.ip_forward") == "0", "what was borrowed is given back"
