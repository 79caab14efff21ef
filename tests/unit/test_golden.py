# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every combination of the options of the NAT modules makes the table that its golden file says, without a kernel."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_text
from ansible_collections.patchbay.netns.plugins.module_utils._objects import nat_layout, nat_maps
from ansible_collections.patchbay.netns.tests.tools import golden, golden_options
from ansible_collections.patchbay.netns.tests.tools.golden_options import Group

groups = pytest.mark.parametrize("group", golden_options.GROUPS, ids=lambda group: group.name)
protocols = [
    pytest.param(group, protocol, id=f"{group.name}-{protocol or 'any'}")
    for group in golden_options.GROUPS
    for protocol in group.protocols
]


@groups
def test_the_golden_file_is_what_is_planned(group: Group) -> None:
    wrong = golden.difference(f"{group.name}.nft", golden.written(group))
    assert not wrong, wrong


def test_the_golden_samples_are_what_is_planned() -> None:
    wrong = golden.difference("samples.nft", golden_options.samples())
    assert not wrong, wrong


@pytest.mark.parametrize(("group", "protocol"), protocols)
def test_the_pieces_of_the_golden_file_make_up_each_ruleset(group: Group, protocol: str | None) -> None:
    pieces = golden.read(group, (golden.FOLDER / f"{group.name}.nft").read_text(encoding="utf-8"))
    for options in group.all_options():
        said = golden.ruleset(pieces, options).replace("tcp", protocol or "tcp")
        assert said == nft_text.render(group.planned(options, protocol)), f"{group.name}, {protocol}: {options}"


@pytest.mark.parametrize(("group", "protocol"), protocols)
def test_each_ruleset_says_again_what_was_asked_for(group: Group, protocol: str | None) -> None:
    for options in group.all_options():
        content = group.planned(options, protocol)
        assert nat_layout.layout(nat_layout.specs(content).values()) == content, f"{group.name}, {protocol}: {options}"


def test_there_are_no_other_golden_files() -> None:
    wanted = {"samples.nft", *(f"{group.name}.nft" for group in golden_options.GROUPS)}
    assert {path.name for path in golden.FOLDER.iterdir()} == wanted


def test_more_than_a_thousand_rulesets_are_compared() -> None:
    assert sum(len(group.protocols) * len(list(group.all_options())) for group in golden_options.GROUPS) == 2952


def test_a_changed_rule_is_seen_and_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    group = golden_options.GROUPS[0]
    monkeypatch.setitem(nat_maps._WORDS, "prerouting", "patchbay: other words")
    found = golden.difference(f"{group.name}.nft", golden.written(group))
    assert (
        '+\t\tmeta nfproto ipv4 fib daddr type local dnat ip to tcp dport map @forwards-tcp-ip comment "patchbay: other words"'
        in found
    )
    assert "make golden" in found


def test_the_text_does_not_depend_on_the_order_of_hashes() -> None:
    script = (
        "from ansible_collections.patchbay.netns.tests.tools import golden\n"
        "import hashlib; print(hashlib.sha256(repr(list(golden.contents())).encode()).hexdigest())"
    )
    said = {
        subprocess.check_output(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed},
            text=True,
        ).strip()
        for seed in ("1", "2", "3")
    }
    assert said == {hashlib.sha256(repr(list(golden.contents())).encode()).hexdigest()}
