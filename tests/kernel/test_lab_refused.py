# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labs that can't be, or may not be: refused with a sentence, before anything is touched."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from box import Box
from doors import Failed
from lab_scenes import RED_BLUE, Lab, bystanders, changed
from lab_traces import steady, traces, whole


def refused(box: Box, lab: Any, *words: str, code: str, **params: Any) -> Failed:
    """The run fails in check mode and in earnest, with these words, and has touched nothing."""
    before = steady(box)
    for check in (True, False):
        with pytest.raises(Failed) as failure:
            box.run("topology", definition=lab, check=check, **params)
        assert failure.value.code == code, failure.value.msg
        for word in words:
            assert re.search(word, failure.value.msg), f"{word!r} is not in: {failure.value.msg}"
        left = traces(before, whole(box))
        assert left == [], "\n".join(left)
    return failure.value


def red(change: Callable[[Lab], Any]) -> Lab:
    return changed(RED_BLUE, lambda lab: change(lab["namespaces"]["red"]))


# ---- what is on the host already


def test_pitfall_47_a_subnet_that_the_host_has_a_route_to(box: Box) -> None:
    box.outside()
    box.ip("route add 192.168.0.0/16 via 203.0.113.9")
    refused(box, RED_BLUE, "192.168.15.", r"192\.168\.0\.0/16", "allow_overlap", code="CONFLICT")
    allowed = changed(RED_BLUE, lambda lab: lab["bridges"]["v-net-0"].update(allow_overlap=True))
    assert box.run("topology", definition=allowed).changed


def test_a_subnet_that_another_lab_has(box: Box) -> None:
    box.run("topology", definition=RED_BLUE)
    other = {"name": "other", "bridges": {"v-net-9": {"addresses": "192.168.15.99/25"}}}
    refused(box, other, "192.168.15.", code="CONFLICT")


def test_names_that_somebody_else_uses(box: Box) -> None:
    bystanders(box)
    box.ip("netns add red")
    box.ip("link add v-net-0 type bridge")
    refused(box, RED_BLUE, "red", "v-net-0", "adopt: true", code="NOT_OURS")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda lab: lab.update(bridges={}, namespaces={"red": {}}), "red"),
        (lambda lab: lab.update(bridges={"v-net-0": {}}, namespaces={}), "v-net-0"),
        (
            lambda lab: lab.update(bridges={}, namespaces={"x": {"interfaces": {"e": {"cable": "/veth-red-br"}}}}),
            "veth-red-br",
        ),
    ],
    ids=["namespace", "bridge", "end of a cable"],
)
@pytest.mark.parametrize("options", [{}, {"adopt": True}, {"force": True}], ids=["plain", "adopt", "force"])
def test_names_of_another_lab(box: Box, change: Callable, word: str, options: dict[str, Any]) -> None:
    box.run("topology", definition=RED_BLUE)
    other = changed(RED_BLUE, lambda lab: [change(lab), lab.update(name="other")])
    refused(box, other, word, "red-blue", code="CONFLICT", **options)


def test_pitfall_46_a_port_that_a_process_of_the_host_serves(box: Box) -> None:
    server = box.serve(None, 8080)
    lab = changed(RED_BLUE, lambda lab: lab.update(forwards=[{"protocol": "tcp", "port": 8080, "to": "blue"}]))
    refused(box, lab, "8080", "listens", code="CONFLICT")
    server.close()
    assert box.run("topology", definition=lab).changed


def test_a_forward_that_a_task_or_another_lab_has(box: Box) -> None:
    box.run("dnat_forward", protocol="tcp", port=8080, to_address="192.0.2.1")
    lab = changed(RED_BLUE, lambda lab: lab.update(forwards=[{"protocol": "tcp", "port": 8080, "to": "blue"}]))
    refused(box, lab, "8080", code="CONFLICT")


def test_a_resolv_conf_that_somebody_else_wrote(box: Box) -> None:
    file = Path("/etc/netns/red/resolv.conf")
    file.parent.mkdir()
    file.write_text("nameserver 192.0.2.1\n")
    lab = red(lambda node: node.update(nameservers=["192.0.2.53"]))
    with pytest.raises(Failed, match="was not written by this collection"):
        box.run("topology", definition=lab)
    assert file.read_text() == "nameserver 192.0.2.1\n"
    assert box.names() == []


# ---- what the file itself gets wrong


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lab: lab.update(name="a/b"), ["name"]),
        (lambda lab: lab.pop("name"), ["name"]),
        (lambda lab: lab.update(nmaespaces={}), ["nmaespaces", "namespaces"]),
        (
            lambda lab: lab["namespaces"]["red"].update(gateway="10.0.0.1"),
            [r"namespaces\.red\.gateway", r"10\.0\.0\.1"],
        ),
        (
            lambda lab: lab["namespaces"]["red"]["interfaces"]["veth-red"].update(bridge="v-net-9"),
            ["veth-red", "v-net-9"],
        ),
        (
            lambda lab: lab["namespaces"]["red"]["interfaces"]["veth-red"].update(addresses="192.168.15.1"),
            ["192.168.15.1/"],
        ),
        (
            lambda lab: lab["namespaces"]["red"]["interfaces"]["veth-red"].update(addresses="192.168.15.2/24"),
            ["blue", "red"],
        ),
        (lambda lab: lab["namespaces"]["red"]["interfaces"]["veth-red"].update(cable="blue/eth1"), ["bridge", "cable"]),
        (lambda lab: lab["namespaces"]["red"]["interfaces"].update(eth1={"cable": "green/eth1"}), ["green"]),
        (
            lambda lab: lab["namespaces"]["red"]["interfaces"].update({"veth-red": {"bridge": "v-net-0", "mtu": 20}}),
            ["mtu"],
        ),
        (
            lambda lab: (
                lab["bridges"].update(veth_red_br={})
                or lab["namespaces"]["red"]["interfaces"]["veth-red"].update(port="v-net-0")
            ),
            ["v-net-0"],
        ),
        (lambda lab: lab["namespaces"]["red"].update(sysctls={"kernel.hostname": "x"}), [r"kernel\.hostname"]),
        (lambda lab: lab.update(forwards=[{"protocol": "tcp", "port": 80, "to": "green"}]), ["green"]),
        (lambda lab: lab["namespaces"]["red"].update(routes=[{"destination": "10.0.0.0/8"}]), ["routes"]),
    ],
)
def test_mistakes_of_a_file_are_told_with_their_place(box: Box, change: Callable, words: list[str]) -> None:
    failure = refused(box, changed(RED_BLUE, change), *words, code="INVALID_INPUT")
    assert failure.details["problems"]


def test_all_mistakes_of_a_file_are_told_at_once(box: Box) -> None:
    lab = red(
        lambda node: node.update(
            routes=[{"destination": "10/8"}], sysctls={"kernel.hostname": "x"}, nameservers=["nobody"]
        )
    )
    failure = refused(box, lab, "routes", "kernel.hostname", "nobody", code="INVALID_INPUT")
    assert len(failure.details["problems"]) == 3


def test_an_automatic_address_where_none_is_left(box: Box) -> None:
    lab = {
        "name": "full",
        "bridges": {"br": {"addresses": "10.0.0.1/29"}},
        "namespaces": {"n{n}": {"count": 6, "interfaces": {"eth0": {"bridge": "br", "addresses": "auto"}}}},
    }
    refused(box, lab, r"10\.0\.0\.", code="INVALID_INPUT")
    lab["namespaces"]["n{n}"]["count"] = 5
    assert box.run("topology", definition=lab).changed


# ---- what this kernel can't do


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"d0": {"dummy": True}}, "dummy"),
        ({"v10": {"vlan": {"parent": "veth-red", "id": 10}}}, "vlan|8021q"),
        ({"veth-red": {"bridge": "v-net-0", "impair": {"delay": "10ms"}}}, "netem|delay"),
    ],
    ids=["dummy", "vlan", "netem"],
)
def test_what_the_kernel_lacks_is_named(box: Box, options: dict[str, Any], word: str) -> None:
    able = box.run("kernel_info").raw.get("kernel", {})
    if has(box, word):
        pytest.skip(f"this kernel has it: {able}")
    lab = red(lambda node: [node["interfaces"].update(options), node.pop("gateway")])
    refused(box, lab, word, code="UNSUPPORTED")


def has(box: Box, word: str) -> bool:
    """Whether this kernel can do it, asked with ip(8) and tc(8)."""
    for attempt in {
        "dummy": ["ip link add probe type dummy && ip link del probe"],
        "vlan|8021q": ["ip link add probe link lo type vlan id 7 && ip link del probe"],
        "netem|delay": ["tc qdisc add dev lo root netem delay 1ms && tc qdisc del dev lo root"],
    }[word]:
        try:
            box.tool("sh", "-ec", attempt)
        except AssertionError:
            return False
    return True


def test_a_lab_without_a_file_is_no_lab(box: Box) -> None:
    with pytest.raises(Failed):
        box.run("topology")
    with pytest.raises(Failed):
        box.run("topology", name="red-blue")
    with pytest.raises(Failed):
        box.run("topology", state="absent")
    assert not box.run("topology", name="red-blue", state="absent").changed
