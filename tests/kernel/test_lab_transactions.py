# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All or nothing: a run that fails, wherever it is, leaves everything as it found it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._topology.lab import Lab as Lab_
from box import Box
from doors import Failed
from lab_compare import differences
from lab_faults import Operations, watching
from lab_scenes import EDITED, MIXED, RED_BLUE, Lab, bystanders, changed
from lab_traces import traces, whole

RUNS: dict[str, tuple[Lab | None, dict[str, Any]]] = {
    "from nothing": (None, {"definition": MIXED}),
    "an edit": (MIXED, {"definition": EDITED}),
    "the edit back": (EDITED, {"definition": MIXED}),
    "absent": (MIXED, {"name": "mixed", "state": "absent"}),
}
SHARES = 4
"""Each run is tried by several tests, for they can be spread over processes."""


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("run", RUNS)
def test_a_failure_at_any_operation_leaves_everything_as_it_was(box: Box, run: str, share: int) -> None:
    first, params = RUNS[run]
    bystanders(box)
    if first is not None:
        box.run("topology", definition=first)
    before = whole(box)
    for at in itertools.count(share, SHARES):
        with watching(Operations(at)) as operations:
            try:
                box.run("topology", **params)
            except Failed as failure:
                assert operations.happened, failure.msg
                assert "Taking back what was done before did not succeed" not in failure.msg, (
                    f"operation {at}: {failure.msg}"
                )
            else:
                assert not operations.happened, f"nobody noticed the fault at operation {at}"
                break
        left = traces(before, whole(box))
        assert left == [], f"the fault at operation {at} left traces:\n" + "\n".join(left)
    assert at > 20


FAR = {"destination": "10.66.0.0/16", "gateway": "192.168.15.5"}


def interfere(box: Box, command: str) -> Callable[..., None]:
    """What replaces a run's look back: somebody is quicker, and then it looks."""
    look = Lab_.verify

    def verify(self: Lab_, kernel: Any) -> None:
        box.tool("sh", "-ec", command)
        look(self, kernel)

    return verify


@pytest.mark.parametrize(
    "command",
    [
        "ip -n red addr del 192.168.15.1/24 dev veth-red",
        "ip -n red addr add 10.5.5.5/24 dev veth-red",
        "ip -n red link set veth-red down",
        "ip link del veth-blue-br",
        "ip -n blue route del default",
        "ip link set veth-red-br nomaster",
        "ip netns del blue",
        "nft flush chain inet patchbay postrouting",
        "ip netns exec red sysctl -w net.ipv4.ip_forward=1",
    ],
)
def test_verify_finds_what_somebody_changed_meanwhile_and_takes_all_back(box: Box, command: str) -> None:
    lab = changed(RED_BLUE, lambda lab: lab.update(masquerade=[{"source": "192.168.15.0/24"}]))
    lab["namespaces"]["red"]["sysctls"] = {"net.ipv4.ip_forward": 0}
    bystanders(box)
    before = whole(box)
    with mock.patch.object(Lab_, "verify", interfere(box, command)), pytest.raises(Failed) as failure:
        box.run("topology", definition=lab, verify=True)
    assert failure.value.code == "NOT_VERIFIED"
    left = traces(before, whole(box))
    assert left == [], "\n".join(left)
    box.run("topology", definition=lab, verify=True)
    assert differences(lab) == []
    before = whole(box)
    lab["namespaces"]["red"]["routes"] = [FAR]
    with mock.patch.object(Lab_, "verify", interfere(box, command)), pytest.raises(Failed) as failure:
        box.run("topology", definition=lab, verify=True)
    assert failure.value.code == "NOT_VERIFIED"
    assert not any(route["dst"] == "10.66.0.0/16" for route in box.routes("red")), "what the run did is taken back"


def test_verify_says_nothing_of_a_lab_that_is_as_it_should_be(box: Box) -> None:
    for lab in (MIXED, EDITED, MIXED):
        box.run("topology", definition=lab, verify=True)
        assert differences(lab) == []
