# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel takes every golden ruleset, gives back what it was given, and nft(8) prints it as we do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_text, nftables
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_changes import Content
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat import Nat
from ansible_collections.patchbay.netns.tests.tools import golden_options
from ansible_collections.patchbay.netns.tests.tools.golden_options import GROUPS, SAMPLES, Group
from box import Box

EACH = 59  # a prime, so that the sample meets every value of every option
groups = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)


def everything() -> Iterator[tuple[str, Content]]:
    for group in GROUPS:
        for protocol in group.protocols:
            for options in group.all_options():
                yield f"{group.name} {protocol} {options}", group.planned(options, protocol)


def sample() -> list[tuple[str, Content]]:
    return [
        *list(everything())[::EACH],
        *((words, golden_options.planned(Nat(tuple(parts())))) for words, parts in SAMPLES.items()),
    ]


def normal(text: str) -> str:
    """The text with the elements of each set in order, one to a line; nft has its own order and lines.

    Newer releases of nft(8) know the name dstnat in the chain output too.
    """
    text = re.sub(r"elements = \{ (.*?) \}\n", _ordered, text, flags=re.DOTALL)
    return text.replace("hook output priority dstnat;", "hook output priority -100;")


def _ordered(match: re.Match[str]) -> str:
    return "elements = {" + "\n".join(sorted(re.split(r",\s+", match[1]))) + "}\n"


def listed(box: Box) -> str:
    return box.tool("nft", "-s", "list", "table", "inet", "patchbay")


@groups
def test_the_kernel_accepts_each_ruleset(box: Box, group: Group) -> None:
    with Kernel() as kernel:
        for protocol in group.protocols:
            for options in group.all_options():
                try:
                    nftables.put(kernel, None, group.planned(options, protocol), commit=False)
                except Exception as error:
                    raise AssertionError(f"{group.name}, {protocol}: {options}: {error}") from error
        assert nftables.read(kernel, None) is None, "a check leaves nothing behind"


def test_the_check_is_a_real_one(box: Box) -> None:
    """A rule that looks into a map that is not there is refused without a commit too."""
    content = GROUPS[0].planned(next(GROUPS[0].all_options()), "tcp")
    broken = Content(content.chains, content.rules, {}, {})
    with Kernel() as kernel, pytest.raises(PatchbayError):
        nftables.put(kernel, None, broken, commit=False)


def test_the_sample_is_one(box: Box) -> None:
    """About fifty rulesets, and among them every group, and every value of every option."""
    found = [name for name, _content in sample()]
    assert 50 <= len(found) <= 60
    for group in GROUPS:
        mine = [name for name in found if name.startswith(f"{group.name} ")]
        assert mine or group.name.startswith("nat_masquerade"), group.name
    for axis in ("one", "several", "given", "network"):
        assert any(f"'{axis}'" in name for name in found)


def test_what_was_written_is_read_back(box: Box) -> None:
    with Kernel() as kernel:
        for name, content in sample():
            nftables.put(kernel, None, content)
            assert nftables.read(kernel, None) == content, name
            nftables.put(kernel, None, None)


def test_the_rendered_text_is_what_nft_prints(box: Box) -> None:
    with Kernel() as kernel:
        for name, content in sample():
            nftables.put(kernel, None, content)
            assert normal(nft_text.render(content)) == normal(listed(box)), name
            nftables.put(kernel, None, None)


def test_one_ruleset_after_the_other_becomes_the_same_as_from_nothing(box: Box) -> None:
    """Whatever was there before, a change leads to the wanted table, and nft lists no set or rule more."""
    with Kernel() as kernel:
        for name, content in sample():
            nftables.put(kernel, None, content)
            assert nftables.read(kernel, None) == content, name
            assert sorted(normal(listed(box)).splitlines()) == sorted(normal(nft_text.render(content)).splitlines()), (
                name
            )


def test_the_rendered_text_can_be_loaded_by_nft(box: Box) -> None:
    with Kernel() as kernel:
        for name, content in sample():
            box.nft(nft_text.render(content))
            assert nftables.read(kernel, None) == content, name
            nftables.put(kernel, None, None)


ODD = {
    "a table put to sleep": "add table inet patchbay { flags dormant; }\nadd chain inet patchbay theirs",
    "an empty table": "add table inet patchbay",
    "an empty table put to sleep": "add table inet patchbay { flags dormant; }",
    "a chain that drops": "add table inet patchbay\n"
    "add chain inet patchbay input { type filter hook input priority 0; policy drop; }",
    "a set without elements": "add table inet patchbay\nadd set inet patchbay allowed { type ipv4_addr; }",
    **{
        f"{kind} at {hook} {priority}": "add table inet patchbay\n"
        f"add chain inet patchbay some {{ type {kind} hook {hook} priority {priority}; }}"
        for kind, hook, priority in (
            ("nat", "prerouting", -110),
            ("nat", "prerouting", -89),
            ("nat", "postrouting", 101),
            ("filter", "postrouting", 111),
            ("filter", "prerouting", -295),
            ("filter", "forward", -150),
            ("filter", "forward", 50),
            ("filter", "forward", 10),
            ("filter", "forward", 11),
            ("filter", "output", -100),
            ("filter", "forward", 100),
        )
    },
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_tables_are_rendered_as_nft_prints_them(box: Box, odd: str) -> None:
    box.nft(ODD[odd])
    with Kernel() as kernel:
        content = nftables.read(kernel, None)
    assert content is not None
    assert normal(nft_text.render(content)) == normal(listed(box))
