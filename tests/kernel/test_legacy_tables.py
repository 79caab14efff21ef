# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of iptables-legacy as this kernel keeps them: read without a trace, and in the words of the tool itself."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest
import world
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError, NoNamespace
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Chain, Verdict
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import xtables
from box import Box
from iptables import installed, read, write

pytestmark = installed


def listed(netns: str | None = None) -> dict[int, list[str]]:
    """The tables that the kernel lists for a namespace, without our code."""
    files = {4: Path("/proc/thread-self/net/ip_tables_names"), 6: Path("/proc/thread-self/net/ip6_tables_names")}
    return {
        version: sorted(world.inside(netns, path.read_text).split()) for version, path in files.items() if path.exists()
    }


def chain(name: str, table: str = "filter", family: str = "ip") -> Chain:
    found = next(found for found in read() if (found.family, found.name) == (family, table)).chain(name)
    assert found is not None
    return found


# ---- nothing happens to who is looked at


def test_a_namespace_without_tables_has_none_and_gets_none(box: Box) -> None:
    assert read() == []
    assert not any(listed().values())


def test_a_table_that_is_not_there_does_not_appear(box: Box) -> None:
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    assert [str(table) for table in read()] == ["ip filter (iptables-legacy)"]
    assert listed() == {4: ["filter"], 6: []}


def test_reading_changes_no_rule_and_no_counter(box: Box) -> None:
    box.tool("iptables-legacy", "-A", "OUTPUT", "-o", "lo", "-j", "ACCEPT")
    box.ping(None, "127.0.0.1")
    before = box.tool("iptables-legacy", "-v", "-x", "-n", "-L")
    read()
    assert box.tool("iptables-legacy", "-v", "-x", "-n", "-L") == before


def test_tables_of_another_namespace_are_read_there(box: Box) -> None:
    box.namespace("red")
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "DROP", netns="red")
    assert [table.name for table in read("red")] == ["filter"]
    assert read() == []
    assert listed() == {4: [], 6: []}


def test_a_namespace_that_is_not_there_is_named(box: Box) -> None:
    with pytest.raises(NoNamespace, match="nowhere"):
        read("nowhere")


def test_a_kernel_without_legacy_tables_has_none(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xtables, "_LISTS", {4: "/proc/net/no_such_file", 6: "/proc/net/no_such_file"})
    assert read() == []


def test_who_is_not_root_is_told_so(box: Box) -> None:
    def as_nobody() -> str:
        os.setgid(65534)
        os.setuid(65534)
        with pytest.raises(KernelError) as refusal:
            read()
        return str(refusal.value)

    (answer,) = box.parallel([as_nobody])
    assert "set become: true" in answer


def test_a_table_that_changes_between_the_questions_is_asked_for_again(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    asked = xtables._asked
    changes = iter(["-A", "-A", "-D"])

    def interrupted(sock: Any, family: int, option: int, *rest: Any) -> bytes:
        if option == xtables._GET_ENTRIES and (change := next(changes, "")):
            box.tool("iptables-legacy", change, "INPUT", "-j", "ACCEPT")
        return asked(sock, family, option, *rest)

    monkeypatch.setattr(xtables, "_asked", interrupted)
    assert [rule.text for rule in chain("INPUT").rules] == ["-A INPUT -j ACCEPT"] * 2


def test_a_table_that_never_rests_is_an_error_that_says_so(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    monkeypatch.setattr(xtables, "_attempted", lambda *_args: None)
    with pytest.raises(KernelError, match=r"table filter .* changed all the time"):
        read()


# ---- tables and chains

HOOKS = {
    "raw": {"PREROUTING": -300, "OUTPUT": -300},
    "mangle": dict.fromkeys(["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"], -150),
    "nat": {"PREROUTING": -100, "INPUT": 100, "OUTPUT": -100, "POSTROUTING": 100},
    "filter": dict.fromkeys(["INPUT", "FORWARD", "OUTPUT"], 0),
    "security": dict.fromkeys(["INPUT", "FORWARD", "OUTPUT"], 50),
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("table", HOOKS)
def test_base_chains_have_the_hooks_and_priorities_of_the_kernel(box: Box, table: str, version: int) -> None:
    write(box, ["-t", table, "-S"], version)
    (found,) = read()
    assert (found.backend, found.family, found.name) == ("legacy", "ip" if version == 4 else "ip6", table)
    assert {one.name: one.priority for one in found.chains} == HOOKS[table]
    assert all(one.hook == one.name.lower() and one.policy == "accept" for one in found.chains)
    for one in found.chains:
        odd = {("nat", one.name): "nat", ("mangle", "OUTPUT"): "route"}
        assert one.type == odd.get((table, one.name), "filter")


def test_a_policy_is_read_and_is_no_rule(box: Box) -> None:
    box.tool("iptables-legacy", "-P", "FORWARD", "DROP")
    (table,) = read()
    assert {one.name: (one.policy, one.rules) for one in table.chains} == {
        "INPUT": ("accept", ()),
        "FORWARD": ("drop", ()),
        "OUTPUT": ("accept", ()),
    }


def test_chains_of_users_end_where_the_next_one_begins(box: Box) -> None:
    for name in ("empty", "one", "two", "last"):
        box.tool("iptables-legacy", "-N", name)
    box.tool("iptables-legacy", "-A", "one", "-j", "DROP")
    box.tool("iptables-legacy", "-A", "two", "-s", "10.0.0.1", "-j", "RETURN")
    box.tool("iptables-legacy", "-A", "two", "-j", "RETURN")
    (table,) = read()
    users = {one.name: [rule.text for rule in one.rules] for one in table.chains if one.hook is None}
    assert users == {
        "empty": [],
        "one": ["-A one -j DROP"],
        "two": ["-A two -s 10.0.0.1/32 -j RETURN", "-A two -j RETURN"],
        "last": [],
    }


def test_jumps_and_gotos_name_their_chain(box: Box) -> None:
    for name in ("first", "second"):
        box.tool("iptables-legacy", "-N", name)
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "second")
    box.tool("iptables-legacy", "-A", "INPUT", "-g", "first")
    box.tool("ip6tables-legacy", "-N", "third")
    box.tool("ip6tables-legacy", "-A", "INPUT", "-p", "tcp", "-g", "third")
    assert [rule.verdict for rule in chain("INPUT").rules] == [Verdict("jump", "second"), Verdict("goto", "first")]
    assert [rule.verdict for rule in chain("INPUT", family="ip6").rules] == [Verdict("goto", "third")]


def test_a_rule_without_target_goes_on(box: Box) -> None:
    box.tool("iptables-legacy", "-A", "INPUT", "-p", "tcp")
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    assert [rule.verdict.kind for rule in chain("INPUT").rules] == ["continue", "accept"]


def test_rules_have_their_place_and_comment(box: Box) -> None:
    box.tool("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    box.tool("iptables-legacy", "-A", "INPUT", "-m", "comment", "--comment", "for grün", "-j", "ACCEPT")
    rules = chain("INPUT").rules
    assert [(rule.handle, rule.comment) for rule in rules] == [(1, ""), (2, "for grün")]
    assert rules[1].conditions == ()


def test_a_long_ruleset_is_read_whole(box: Box) -> None:
    lines = [f"-A INPUT -s 10.{number // 256}.{number % 256}.1/32 -j ACCEPT" for number in range(3000)]
    box.tool("iptables-legacy-restore", stdin="\n".join(["*filter", *lines, "COMMIT", ""]))
    assert [rule.text for rule in chain("INPUT").rules] == lines


# ---- what is no table


def test_a_block_that_is_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="entry at 0"):
        list(xtables.entries(struct.pack("@84xIHHI2Q", 0, 112, 0, 0, 0, 0) + bytes(40), 4))
