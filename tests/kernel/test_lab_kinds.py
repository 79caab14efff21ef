# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab with a link of every kind, and impairments: built, changed, removed; where the kernel lacks one, refused whole."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import features
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.needs import NEEDS
from box import Box
from doors import Failed

INTERFACES: dict[str, dict[str, Any]] = {
    "vlan": {"v10": {"vlan": {"parent": "eth0", "id": 10}, "addresses": ["10.10.0.1/24", "fd10::1/64"]}},
    "macvlan": {"mv0": {"macvlan": {"parent": "eth0", "mode": "private"}, "addresses": ["10.20.0.1/24"]}},
    "vxlan": {
        "vx0": {
            "vxlan": {"id": 42, "local": "10.1.0.9", "remote": "10.1.0.2", "parent": "eth0", "ttl": 64, "learning": False}
        }
    },
    "dummy": {"d0": {"dummy": True, "addresses": ["10.9.9.9/32"]}},
    "netem": {"e9": {"cable": "/there", "impair": {"delay": "5ms", "loss": "0.5%", "rate": "10mbit"}}},
}  # fmt: skip


def lab(*kinds: str) -> dict[str, Any]:
    inside: dict[str, Any] = {"eth0": {"bridge": "v-net-0", "addresses": ["10.1.0.9/24"]}}
    for kind in kinds:
        inside.update(copy.deepcopy(INTERFACES[kind]))
    return {
        "name": "kinds",
        "bridges": {"v-net-0": {"addresses": ["10.1.0.1/24"]}},
        "namespaces": {"red": {"interfaces": inside}},
    }


def able(*kinds: str) -> bool:
    return all(finding.available for finding in features.find(kinds).values())


@pytest.mark.parametrize("kind", INTERFACES)
def test_a_lab_with_each_kind_is_built_and_goes_or_is_refused_whole(box: Box, kind: str) -> None:
    before = box.snapshot()
    if not able(kind):
        with pytest.raises(Failed) as error:
            box.run("topology", definition=lab(kind))
        assert error.value.code == "UNSUPPORTED"
        assert NEEDS[kind].split(",")[0] in error.value.msg
        assert box.snapshot() == before
        return
    box.checked("topology", definition=lab(kind))
    box.run("topology", name="kinds", state="absent")
    assert box.snapshot() == before


def test_a_lab_of_all_kinds_changes_in_every_way(box: Box) -> None:
    if not able(*INTERFACES):
        pytest.skip("this kernel lacks some kinds")
    whole = lab(*INTERFACES)
    # On the host, on a bridge that comes up with its ports.
    whole["interfaces"] = {"v5": {"vlan": {"parent": "v-net-0", "id": 5}, "addresses": ["10.5.0.1/24"]}}
    # On one that stands on another itself, and is named after it.
    inside = whole["namespaces"]["red"]["interfaces"]
    whole["namespaces"]["red"]["interfaces"] = {"v20": {"vlan": {"parent": "mv0", "id": 20}}, **inside}
    before = box.snapshot()
    box.checked("topology", definition=whole)
    other = copy.deepcopy(whole)
    inside = other["namespaces"]["red"]["interfaces"]
    inside["v10"]["vlan"]["id"] = 11
    inside["mv0"]["macvlan"]["mode"] = "bridge"
    inside["vx0"]["vxlan"]["ttl"] = 5
    inside["d0"]["mtu"] = 1400
    inside["e9"]["impair"] = {"delay": "7ms"}
    box.checked("topology", definition=other)
    (seen,) = box.ip("-n red link show v10", json=True)
    assert seen["linkinfo"]["info_data"]["id"] == 11
    assert "delay 7ms" in box.tool("tc", "-n", "red", "qdisc", "show", "dev", "e9")
    del inside["e9"]["impair"]
    del inside["d0"]
    box.checked("topology", definition=other)
    assert "netem" not in box.tool("tc", "-n", "red", "qdisc", "show", "dev", "e9")
    moved = copy.deepcopy(other)
    moved["namespaces"]["red"]["interfaces"]["eth0"]["bridge"] = "other"
    moved["bridges"] = {"other": {"addresses": ["10.1.0.1/24"]}}
    del moved["interfaces"]
    box.checked("topology", definition=moved)
    box.run("topology", name="kinds", state="absent")
    assert box.snapshot() == before


def test_an_impairment_of_somebody_else_is_spared(box: Box) -> None:
    plain = lab()
    box.checked("topology", definition=plain)
    box.tool("tc", "-n", "red", "qdisc", "add", "dev", "eth0", "root", "pfifo", "limit", "77")
    assert not box.run("topology", definition=plain).changed
    plain["namespaces"]["red"]["interfaces"]["eth0"]["impair"] = {"delay": "5ms"}
    with pytest.raises(Failed) as error:
        box.run("topology", definition=plain)
    assert error.value.code in ("NOT_OURS", "UNSUPPORTED")
    assert "pfifo" in box.tool("tc", "-n", "red", "qdisc", "show", "dev", "eth0")
