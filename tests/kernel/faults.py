# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults on purpose: a run that fails at any of its steps."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any
from unittest import mock

from box import Box
from doors import Failed

_WANDERING = {"ifindex", "link_index", "link_netnsid"}
"""What an interface gets anew when it is made again."""


def shape(box: Box, *namespaces: str | None) -> dict[str | None, Any]:
    """Snapshots without numbers that count how often something was made; equal means: of the same shape."""
    return {netns: _plain(box.snapshot(netns)) for netns in namespaces or (None, *box.names())}


def _plain(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {name: _plain(value) for name, value in shown.items() if name not in _WANDERING}
    if isinstance(shown, list):
        # IPv6 link-local addresses and their routes come a moment after a link is up.
        return sorted((_plain(value) for value in shown if not _automatic(value)), key=repr)
    return shown


def _automatic(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return (value.get("scope") == "link" and value.get("family") == "inet6") or value.get("dst", "").startswith(
        ("fe80", "ff00")
    )


@contextlib.contextmanager
def at_step(number: int) -> Iterator[None]:
    """The run fails instead of carrying out its step of this number, counted from 0."""
    from ansible_collections.patchbay.netns.plugins.module_utils._engine import run
    from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError

    carry_out = run.apply

    def apply(kernel: Any, steps: Any, **options: Any) -> None:
        steps = list(steps)

        def fail(_step: Any, _kernel: Any) -> None:
            raise KernelError("the fault that the test made.", errno=5)

        broken = copy.copy(steps[number])
        object.__setattr__(broken, "__class__", type("Broken", (type(broken),), {"apply": fail}))
        carry_out(kernel, [*steps[:number], broken, *steps[number + 1 :]], **options)

    with mock.patch.object(run, "apply", apply):
        yield


def steps_of(box: Box, module: str, **params: Any) -> int:
    """How many steps the run would take."""
    from ansible_collections.patchbay.netns.plugins.module_utils._engine import run

    counted = []
    rehearse = run.project

    def project(state: Any, steps: Any) -> Any:
        counted.append(len(steps))
        return rehearse(state, steps)

    with mock.patch.object(run, "project", project):
        box.run(module, check=True, **params)
    return counted[0]


def survives(box: Box, module: str, **params: Any) -> None:
    """Let the run fail at each of its steps in turn: each time nothing must have changed. Then let it succeed."""
    before = shape(box)
    count = steps_of(box, module, **params)
    assert count > 0
    for number in range(count):
        with at_step(number):
            try:
                box.run(module, **params)
            except Failed as failure:
                assert failure.msg == "the fault that the test made.", f"step {number}: {failure.msg}"
            else:
                raise AssertionError(f"step {number} did not fail")
        after = shape(box)
        assert after == before, f"the fault at step {number} of {count} left traces"
    assert box.run(module, **params).changed
