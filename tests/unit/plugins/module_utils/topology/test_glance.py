# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recognizing a namespace in which nothing changed since the last run: never where something did."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import labs
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.attributes import attribute
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.spec import Node
from ansible_collections.patchbay.netns.plugins.module_utils._topology.glance import Glances
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.topology_drawings import laid, node

TEXT = """
    namespaces:
      red:
        interfaces: {eth0: {cable: blue/eth0, addresses: [10.0.0.1/24, "fd00::1/64"], mtu: 1400}}
        gateway: 10.0.0.2
      blue:
      green:
"""
RED = node(laid(TEXT), "red")
_STATS, _STATS64, _MTU = 7, 23, 4  # linux/if_link.h


class Answer(t.NamedTuple):
    whole: bytes


def link(number: int, *, mtu: int = 1400, packets: int = 0, more: bytes = b"") -> Answer:
    """What the kernel says of a link, among it how much went through it."""
    counters = packets.to_bytes(4, "little") * 24
    return Answer(
        number.to_bytes(16, "little")
        + attribute(_MTU, mtu.to_bytes(4, "little"))
        + attribute(_STATS64, counters * 2)
        + attribute(_STATS, counters)
        + more
    )


LINKS = [link(1), link(2)]
ADDRESSES, ROUTES = [Answer(b"address 1"), Answer(b"address 2")], [Answer(b"route 1")]
SEEN = (LINKS, ADDRESSES, ROUTES)
NAMES = {1: "lo", 2: "eth0"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(labs, "FOLDER", str(tmp_path))
    (tmp_path / "lab.json").write_text("{}")  # the lab's record
    return tmp_path


def glances(**changes: t.Any) -> Glances:
    given = {"lab": "lab", "home": "home", "group": 7, "purge": True, **changes}
    return Glances(given["lab"], given["home"], given["group"], purge=given["purge"])


def look(seen: t.Any = SEEN, at: Node = RED, changed: t.Container[str] = (), **options: t.Any) -> t.Any:
    """One run: at a glance if it is recognized, else closely; what it does is ``changed``."""
    found = glances(**options)
    names = found.recognized(at, seen)
    if names is None:
        found.looked_at(at, NAMES)
    found.keep(changed)
    return names


def test_what_was_in_order_and_is_the_same_is_recognized_from_then_on() -> None:
    assert [look(), look(), look()] == [None, NAMES, NAMES]


def test_that_packets_are_counted_is_no_change() -> None:
    look()
    assert look(([link(1, packets=5), link(2, packets=70000)], ADDRESSES, ROUTES)) == NAMES


@pytest.mark.parametrize(
    "seen",
    [
        ([link(1), link(2, mtu=1500)], ADDRESSES, ROUTES),
        ([link(1)], ADDRESSES, ROUTES),
        ([link(1), link(2), link(3)], ADDRESSES, ROUTES),
        ([link(1), link(2, more=attribute(13, b"\x01"))], ADDRESSES, ROUTES),
        (LINKS, ADDRESSES[:1], ROUTES),
        (LINKS, [*ADDRESSES, Answer(b"address 3")], ROUTES),
        (LINKS, ADDRESSES, []),
        (LINKS, ADDRESSES, [Answer(b"route 2")]),
    ],
)
def test_whatever_the_kernel_says_differently_asks_for_a_closer_look(seen: t.Any) -> None:
    look()
    assert look(seen) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mtu: 1400", "mtu: 1401"),
        ("mtu: 1400", 'mtu: 1400, mac: "02:00:00:00:00:01"'),
        ("10.0.0.1/24", "10.0.0.1/25"),
        ("10.0.0.1/24", "10.0.0.3/24"),
        ("fd00::1", "fd00::2"),
        ("cable: blue/eth0", "cable: green/eth0"),
        ("gateway: 10.0.0.2", "routes: [{destination: default, gateway: 10.0.0.2, metric: 5}]"),
        ("gateway: 10.0.0.2", "gateway: 10.0.0.3"),
        ("gateway: 10.0.0.2", ""),
        ("gateway: 10.0.0.2", "gateway: 10.0.0.2\n        bridges: {br0: }"),
    ],
)
def test_whatever_the_file_says_differently_asks_for_a_closer_look(old: str, new: str) -> None:
    look()
    edited = node(laid(TEXT.replace(old, new, 1)), "red")
    assert edited != RED
    assert look(at=edited) is None


@pytest.mark.parametrize("other", [{"purge": False}, {"group": 8}, {"home": "elsewhere"}, {"lab": "other"}])
def test_another_run_may_see_it_with_other_eyes(other: dict[str, t.Any]) -> None:
    look()
    assert look(**other) is None


def test_of_what_a_run_changed_nothing_is_known() -> None:
    look(changed={"red"})
    assert look() is None
    look(changed={"red"})
    assert look() is None
    assert look() == NAMES


def test_the_host_and_what_is_impaired_are_always_looked_at_closely() -> None:
    impaired = node(laid(TEXT.replace("mtu: 1400", "impair: {delay: 1ms}")), "red")
    for at in (impaired, Node(None)):
        assert [look(at=at), look(at=at)] == [None, None]


def test_a_file_that_is_broken_or_gone_costs_a_closer_look(folder: Path) -> None:
    look()
    (folder / "lab.digests").write_text("{")
    assert look() is None
    assert look() == NAMES
    (folder / "lab.digests").unlink()
    assert look() is None


def test_when_nothing_is_known_any_more_the_file_goes(folder: Path) -> None:
    look()
    assert (folder / "lab.digests").exists()
    look(changed={"red"})
    assert not (folder / "lab.digests").exists()
