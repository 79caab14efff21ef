# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labs that are large for the process that builds them, or for the kernel."""

from __future__ import annotations

import resource
from typing import Any

import pytest
from box import Box
from doors import Failed
from lab_compare import differences
from lab_scenes import Lab, bystanders
from lab_traces import files, traces, whole

MOST_PORTS = 1023
"""BR_MAX_PORTS - 1, net/bridge/br_private.h"""


def crowd(count: int) -> Lab:
    """So many namespaces, half of them on each of two bridges."""
    half = count // 2
    return {
        "name": "crowd",
        "bridges": {"br-a": {"addresses": "10.60.0.1/16"}, "br-b": {"pool": ["10.61.0.0/16"]}},
        "namespaces": {
            "a{n}": {
                "count": half,
                "interfaces": {"eth0": {"bridge": "br-a", "addresses": "auto"}},
                "gateway": "10.60.0.1",
            },
            "b{n:04}": {"count": count - half, "interfaces": {"eth0": {"bridge": "br-b", "addresses": "auto"}}},
        },
    }


def test_600_namespaces_with_1024_descriptors(box: Box) -> None:
    """Built, looked at, edited, and removed by processes that may have 1024 descriptors, and not one more."""
    bystanders(box)
    before = whole(box)

    def limited(**params: Any) -> tuple[bool, list[str]]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
        result = box.run("topology", **params)
        return result.changed, result.commands

    def run(**params: Any) -> Any:
        (answer,) = box.parallel([lambda: limited(**params)])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    lab = crowd(600)
    assert run(definition=lab)[0]
    assert len(box.names()) == 601
    assert run(definition=lab) == (False, [])
    for one, other in (("a1", "a300"), ("b0001", "b0300")):
        assert box.ping(one, box.addresses("eth0", other)[0].split("/")[0])
    lab["namespaces"]["a{n}"]["count"] = 2
    lab["namespaces"]["b{n:04}"]["count"] = 3
    assert run(definition=lab)[0]
    assert differences(lab) == []
    assert run(name="crowd", state="absent")[0]
    left = traces(before, whole(box))
    assert left == [], "\n".join(left)
    assert files("/run/patchbay.netns") == {}


def test_a_failure_at_the_end_of_a_large_lab_takes_all_of_it_back(box: Box) -> None:
    """With few descriptors: many namespaces must be opened once more for that."""
    before = whole(box)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        lab = crowd(300)
        lab["namespaces"]["b{n:04}"]["sysctls"] = {"net.ipv4.no_such_setting": 1}
        box.run("topology", definition=lab)

    (answer,) = box.parallel([limited])
    assert "no_such_setting" in str(answer), answer
    left = traces(before, whole(box))
    assert left == [], "\n".join(left)


def ports(count: int) -> Lab:
    """A bridge with so many ports, all of them to one namespace."""
    return {
        "name": "ports",
        "bridges": {"br": {"addresses": "10.62.0.1/16"}},
        "namespaces": {
            "many": {"interfaces": {f"e{number}": {"bridge": "br", "port": f"p{number}"} for number in range(count)}},
        },
    }


def test_a_bridge_has_as_many_ports_as_the_kernel_allows(box: Box) -> None:
    box.run("topology", definition=ports(MOST_PORTS))
    assert len([link for link in box.ip("link show", json=True) if link.get("master") == "br"]) == MOST_PORTS
    assert not box.run("topology", definition=ports(MOST_PORTS)).changed
    box.run("topology", name="ports", state="absent")
    assert box.names() == []


@pytest.mark.parametrize("check", [True, False])
def test_a_bridge_with_more_is_refused_before_anything_is_made(box: Box, check: bool) -> None:
    with pytest.raises(Failed, match=r"1024 ports .* 1023 at most") as failure:
        box.run("topology", definition=ports(MOST_PORTS + 1), check=check)
    assert failure.value.code == "INVALID_INPUT"
    assert "more bridges" in failure.value.msg
    assert box.names() == []
    assert not box.link("br")


def test_ports_of_others_count_too(box: Box) -> None:
    box.ip("link add name br type bridge")
    box.ip("link add theirs master br type veth peer name other")
    with pytest.raises(Failed, match=r"1024 .* 1023") as failure:
        box.run("topology", definition=ports(MOST_PORTS), adopt=True)
    assert failure.value.code in ("CONFLICT", "INVALID_INPUT")
    assert box.names() == []
