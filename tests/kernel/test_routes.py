# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Routes: the way packets really take, replaced without a gap, brought back after a flap, and never those of others."""

from __future__ import annotations

import select
import subprocess
from typing import Any

import pytest
import world
from box import EXT4, FAR4, FAR6, Box
from doors import Failed
from faults import shape, survives
from packets import SHORT

BOTH = pytest.mark.parametrize("version", [4, 6])
NET = {4: "192.168.15.", 6: "fd00:15::"}
FAR = {4: "10.99.0.1", 6: "fd99::1"}
FAR_NET = {4: "10.99.0.0/24", 6: "fd99::/64"}
DEFAULT = {4: "default", 6: "::/0"}


@pytest.fixture
def lab(box: Box) -> Box:
    """red on a cable to each of two routers, one .5 and two .6, which both own the far address."""
    for name in ("red", "one", "two"):
        box.run("netns", name=name)
    for number, name in ((5, "one"), (6, "two")):
        box.run(
            "veth",
            name=f"to-{name}",
            netns="red",
            addresses=[f"192.168.{number}.1/24", f"fd00:{number}::1/64"],
            peer={"name": "eth0", "netns": name, "addresses": [f"192.168.{number}.5/24", f"fd00:{number}::5/64"]},
        )
        box.ip(f"-n {name} addr add {FAR[4]}/32 dev lo")
        box.ip(f"-n {name} addr add {FAR[6]}/128 dev lo nodad")
    return box


def gateway(version: int, number: int) -> str:
    """The address of router one (5) or two (6)."""
    return f"192.168.{number}.5" if version == 4 else f"fd00:{number}::5"


def who(box: Box, version: int) -> str:
    """Which router owns the far address as red sees it, by the token of its server."""
    servers = {name: box.serve(name, 0) for name in ("one", "two")}
    ports = {name: server.port for name, server in servers.items()}
    for name, server in servers.items():
        if box.tcp("red", FAR[version], ports[name], timeout=SHORT).token == server.token:
            return name
    return "nobody"


def found(box: Box, version: int, destination: str, netns: str = "red") -> list[dict[str, Any]]:
    """The routes to a destination as ip(8) shows them."""
    name = "default" if destination in ("0.0.0.0/0", "::/0") else destination
    return [route for route in box.routes(netns, version) if route["dst"] == name]


# ---- the way packets take


@pytest.mark.smoke
@BOTH
def test_packets_take_the_route_and_none_without_it(lab: Box, version: int) -> None:
    assert who(lab, version) == "nobody"
    result = lab.checked("ip_route_ns", netns="red", destination=FAR_NET[version], gateway=gateway(version, 5))
    assert result.changed
    assert result.object["device"] == "to-one"
    assert who(lab, version) == "one"
    lab.checked("ip_route_ns", netns="red", destination=FAR_NET[version], state="absent")
    assert who(lab, version) == "nobody"


@pytest.mark.smoke
@BOTH
def test_default_route_and_its_other_spelling_are_one(lab: Box, version: int) -> None:
    lab.checked("ip_route_ns", netns="red", destination=DEFAULT[version], gateway=gateway(version, 5))
    everything = {4: "0.0.0.0/0", 6: "::/0"}[version]
    assert not lab.run("ip_route_ns", netns="red", destination=everything, gateway=gateway(version, 5)).changed
    assert not lab.run("ip_route_ns", netns="red", destination="default", gateway=gateway(version, 5)).changed
    assert who(lab, version) == "one"


@BOTH
def test_another_gateway_takes_over(lab: Box, version: int) -> None:
    lab.run("ip_route_ns", netns="red", destination=FAR_NET[version], gateway=gateway(version, 5))
    result = lab.checked("ip_route_ns", netns="red", destination=FAR_NET[version], gateway=gateway(version, 6))
    assert "changed in place" in result.diff["after_header"]
    assert who(lab, version) == "two"
    assert len(found(lab, version, FAR_NET[version])) == 1


def listens(box: Box, monitor: subprocess.Popen) -> bool:
    """Whether ip(8) reports a change that is made for it to see."""
    box.ip("-n red route replace blackhole 10.255.255.254")
    return bool(select.select([monitor.stdout], [], [], 0.1)[0])


@BOTH
def test_there_is_no_moment_without_the_route(lab: Box, version: int) -> None:
    """The kernel reports no removal, and a lookup never fails, while the gateway changes to and fro."""
    lab.run("ip_route_ns", netns="red", destination=FAR_NET[version], gateway=gateway(version, 5))
    monitor = world.inside("red", subprocess.Popen, ["ip", "-o", "monitor", "route"], stdout=subprocess.PIPE, text=True)
    try:
        lab.until(lambda: listens(lab, monitor))
        for number in (6, 5) * 10:
            lab.run("ip_route_ns", netns="red", destination=FAR_NET[version], gateway=gateway(version, number))
            assert lab.ping("red", FAR[version])
        lab.ip("-n red route add blackhole 10.255.255.255")
        lines = []
        for line in monitor.stdout:
            if "10.255.255.255" in line:
                break
            lines.append(line)
    finally:
        monitor.kill()
        monitor.wait()
        monitor.stdout.close()
    about = [line for line in lines if FAR_NET[version] in line]
    assert len(about) >= 20
    assert [line for line in about if line.startswith("Deleted")] == []


@BOTH
def test_other_metrics_and_tables_are_other_routes(lab: Box, version: int) -> None:
    base = {"netns": "red", "destination": FAR_NET[version]}
    lab.run("ip_route_ns", **base, gateway=gateway(version, 5), metric=50)
    lab.checked("ip_route_ns", **base, gateway=gateway(version, 6), metric=60)
    lab.checked("ip_route_ns", **base, gateway=gateway(version, 6), metric=50, table="1000")
    assert len(found(lab, version, FAR_NET[version])) == 3
    assert who(lab, version) == "one"
    lab.checked("ip_route_ns", **base, metric=50, state="absent")
    assert who(lab, version) == "two"
    assert {route.get("table", "main") for route in found(lab, version, FAR_NET[version])} == {"main", "1000"}


@BOTH
@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_routes_that_lead_nowhere(lab: Box, version: int, kind: str) -> None:
    lab.run("ip_route_ns", netns="red", destination=DEFAULT[version], gateway=gateway(version, 5))
    assert lab.ping("red", FAR[version])
    lab.checked("ip_route_ns", netns="red", destination=FAR_NET[version], type=kind)
    assert lab.ping("red", FAR[version], timeout=SHORT).outcome == "unreachable"
    lab.checked("ip_route_ns", netns="red", destination=FAR_NET[version], gateway=gateway(version, 6))
    assert who(lab, version) == "two"
    lab.checked("ip_route_ns", netns="red", destination=FAR_NET[version], type=kind)
    lab.checked("ip_route_ns", netns="red", destination=FAR_NET[version], type=kind, state="absent")
    assert lab.ping("red", FAR[version])


@BOTH
def test_source_is_what_the_other_side_sees(lab: Box, version: int) -> None:
    extra = f"{NET[version]}77"
    width = {4: 32, 6: 128}[version]
    lab.ip(f"-n red addr add {extra}/{width} dev lo")
    lab.run("ip_route_ns", netns="one", destination=f"{extra}/{width}", gateway=gateway(version, 5)[:-1] + "1")
    server = lab.serve("one")
    base = {"netns": "red", "destination": FAR_NET[version], "gateway": gateway(version, 5)}
    lab.checked("ip_route_ns", **base)
    assert lab.tcp("red", FAR[version], server.port).seen[0] == gateway(version, 5)[:-1] + "1"
    lab.checked("ip_route_ns", **base, source=extra)
    assert lab.tcp("red", FAR[version], server.port).seen[0] == extra
    assert not lab.run("ip_route_ns", **base).changed, "what is not named stays"


@BOTH
def test_mtu_of_a_route_holds(lab: Box, version: int) -> None:
    lab.checked("ip_route_ns", netns="red", destination=FAR_NET[version], gateway=gateway(version, 5), mtu=1400)
    assert lab.ip(f"-n red -{version} route get {FAR[version]}", json=True)[0]["metrics"][0]["mtu"] == 1400
    lab.checked("ip_route_ns", netns="red", destination=FAR_NET[version], gateway=gateway(version, 5), mtu=1300)


@BOTH
def test_through_a_device_alone(lab: Box, version: int) -> None:
    if version == 6:  # neighbours are asked for, and answer only for addresses of that very interface
        lab.ip(f"-n two addr add {FAR[6]}/128 dev eth0 nodad")
    lab.checked("ip_route_ns", netns="red", destination=FAR_NET[version], device="to-two")
    assert lab.ping("red", FAR[version])


@BOTH
def test_onlink_gateway(lab: Box, version: int) -> None:
    there = {4: "172.16.0.9", 6: "fd77::9"}[version]
    lab.ip(f"-n two addr add {there} dev eth0" + (" nodad" if version == 6 else ""))
    route = {"netns": "red", "destination": FAR_NET[version], "gateway": there, "device": "to-two"}
    with pytest.raises(Failed, match=rf"gateway {there} is not on-link in .*red.*onlink: true"):
        lab.run("ip_route_ns", **route)
    lab.checked("ip_route_ns", **route, onlink=True)
    assert who(lab, version) == "two"


def test_ipv6_gateway_that_is_link_local(lab: Box) -> None:
    entry = next(entry for entry in lab.link("eth0", "two")["addr_info"] if entry["scope"] == "link")
    route = {"netns": "red", "destination": FAR_NET[6], "gateway": entry["local"]}
    lab.checked("ip_route_ns", **route, device="to-two")
    lab.until(lambda: who(lab, 6) == "two")
    with pytest.raises(Failed):
        lab.run("ip_route_ns", **{**route, "destination": "fd98::/64"})


@BOTH
def test_many_next_hops(lab: Box, version: int) -> None:
    hops = [{"gateway": gateway(version, 5), "weight": 2}, {"gateway": gateway(version, 6)}]
    base = {"netns": "red", "destination": FAR_NET[version]}
    result = lab.checked("ip_route_ns", **base, nexthops=hops)
    assert len(result.object["nexthops"]) == 2
    assert not lab.run("ip_route_ns", **base, nexthops=hops[::-1]).changed, "their order means nothing"
    assert lab.checked("ip_route_ns", **base, nexthops=[{**hops[0], "weight": 3}, hops[1]]).changed
    assert who(lab, version) in ("one", "two", "nobody")  # either, by the hash of the flow
    lab.checked("ip_route_ns", **base, gateway=gateway(version, 6))
    assert who(lab, version) == "two"
    lab.checked("ip_route_ns", **base, nexthops=hops)
    lab.checked("ip_route_ns", **base, state="absent")
    assert found(lab, version, FAR_NET[version]) == []


def test_commands_do_the_same_as_the_module(lab: Box) -> None:
    for version in (4, 6):
        for options in (
            {"gateway": gateway(version, 5)},
            {"gateway": gateway(version, 6), "metric": 77, "mtu": 1400},
            {"type": "blackhole", "table": "1000"},
            {
                "nexthops": [{"gateway": gateway(version, 5), "weight": 2}, {"gateway": gateway(version, 6)}],
                "metric": 99,
            },
        ):
            for state in ("present", "absent"):
                task = {"netns": "red", "destination": FAR_NET[version], **options, "state": state}
                commands = lab.run("ip_route_ns", check=True, **task).commands
                assert commands
                for command in commands:
                    lab.tool("sh", "-ec", command)
                assert not lab.run("ip_route_ns", **task).changed, commands


# ---- after a flap


@BOTH
def test_a_route_lost_with_its_link_is_put_back(lab: Box, version: int) -> None:
    task = {"netns": "red", "destination": DEFAULT[version], "gateway": gateway(version, 5)}
    lab.run("ip_route_ns", **task)
    lab.ip("-n red link set to-one down")
    assert found(lab, version, DEFAULT[version]) == []
    for check in (True, False):
        with pytest.raises(Failed) as failure:
            lab.run("ip_route_ns", check=check, **task)
        assert "on-link" in failure.value.msg or "is down" in failure.value.msg
    lab.ip("-n red link set to-one up")
    if version == 6:  # the kernel took the address as well
        lab.ip("-n red addr add fd00:5::1/64 dev to-one nodad")
    assert lab.checked("ip_route_ns", **task).changed
    lab.until(lambda: lab.ping("red", FAR[version], timeout=SHORT))


@BOTH
def test_a_route_whose_other_end_went_down_is_as_it_was(lab: Box, version: int) -> None:
    task = {"netns": "red", "destination": DEFAULT[version], "gateway": gateway(version, 5)}
    lab.run("ip_route_ns", **task)
    lab.ip("-n one link set eth0 down")
    assert not lab.ping("red", FAR[version], timeout=SHORT)
    assert not lab.run("ip_route_ns", **task).changed


# ---- what can't be


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"destination": "192.168.15.5/24"},
            "is a host address, not a network: did you mean the network 192.168.15.0/24",
        ),
        ({"destination": "10.9.0.0"}, "has no prefix length"),
        ({"destination": "fd99::1/64"}, "is a host address, not a network"),
        ({"destination": "example"}, "is no network"),
        ({"destination": "224.0.0.0/4"}, "multicast"),
        ({"gateway": "10.1.2.3"}, r"gateway 10\.1\.2\.3 is not on-link in .*red.*192\.168\.5\.0/24"),
        ({"gateway": "fd00:5::5"}, "IPv6 but the destination 10.99.0.0/24 is IPv4"),
        ({"gateway": "192.168.5.5/24"}, "has a prefix length"),
        ({"gateway": "0.0.0.0"}, "can't be a gateway"),
        ({"gateway": "127.0.0.1"}, "can't be a gateway"),
        ({"source": "fd00:5::1"}, "IPv6 but the destination"),
        ({"device": "gone"}, "interface gone does not exist in .*red"),
        ({"netns": "gone"}, "network namespace gone does not exist"),
        ({"gateway": None}, "leads nowhere"),
        ({"type": "blackhole"}, "leads nowhere, so it takes no gateway"),
        ({"metric": -1}, "metric: -1"),
        ({"table": "0"}, "no routing table"),
        ({"table": "mine"}, "no routing table"),
        ({"mtu": 20}, "MTU of 20"),
        ({"nexthops": []}, "nexthops"),
        ({"gateway": None, "nexthops": [{}]}, r"nexthops\[1\] names neither"),
        ({"gateway": None, "nexthops": [{"gateway": "192.168.5.5", "weight": 0}]}, "weight: 0"),
        ({"gateway": None, "onlink": True}, "onlink"),
    ],
    ids=str,
)
def test_what_can_not_be_is_refused_in_one_sentence_before_anything_changes(
    lab: Box, options: dict, words: str, check: bool
) -> None:
    before = lab.snapshot("red")
    with pytest.raises(Failed, match=words) as failure:
        lab.run(
            "ip_route_ns",
            check=check,
            **{"netns": "red", "destination": FAR_NET[4], "gateway": "192.168.5.5", **options},
        )
    assert "\n" not in failure.value.msg
    assert lab.snapshot("red") == before


@BOTH
def test_a_source_that_is_nobodys_is_the_kernels_to_refuse(lab: Box, version: int) -> None:
    before = lab.snapshot("red")
    with pytest.raises(Failed, match="route") as failure:
        lab.run(
            "ip_route_ns",
            netns="red",
            destination=FAR_NET[version],
            gateway=gateway(version, 5),
            source=f"{NET[version]}200",
        )
    assert "\n" not in failure.value.msg
    assert lab.snapshot("red") == before


# ---- those of others


def test_routes_of_the_host_are_left_alone(box: Box) -> None:
    box.outside()
    box.ip(f"route add 10.0.0.0/8 via {EXT4}")
    before = box.snapshot()
    box.run("bridge", name="v-net-0", addresses=["192.168.15.5/24"])
    box.run("netns", name="red")
    box.run(
        "veth", name="port", bridge="v-net-0", peer={"name": "eth0", "netns": "red", "addresses": ["192.168.15.1/24"]}
    )
    box.run("ip_route_ns", destination="192.168.1.0/24", gateway="192.168.15.1")
    box.run("ip_route_ns", destination="192.168.1.0/24", state="absent")
    box.run("bridge", name="v-net-0", state="absent")
    box.run("netns", name="red", state="absent")
    assert box.snapshot() == before
    assert box.ping(None, FAR4) and box.ping(None, FAR6)


def test_a_route_of_others_is_named_and_left_unless_forced(box: Box) -> None:
    box.outside()
    before = box.snapshot()
    for check in (True, False):
        with pytest.raises(
            Failed, match=rf"the route default via {EXT4} dev uplink was not made by this collection"
        ) as failure:
            box.run("ip_route_ns", check=check, destination="default", state="absent")
        assert failure.value.code == "NOT_OURS"
    assert box.snapshot() == before
    assert box.run("ip_route_ns", destination="default", gateway=EXT4).changed is False
    assert box.checked("ip_route_ns", destination="default", state="absent", force=True).changed
    assert not box.ping(None, FAR4, timeout=SHORT)


def test_absent_with_another_gateway_means_another_route(lab: Box) -> None:
    lab.run("ip_route_ns", netns="red", destination=FAR_NET[4], gateway=gateway(4, 5))
    assert not lab.checked(
        "ip_route_ns", netns="red", destination=FAR_NET[4], gateway=gateway(4, 6), state="absent"
    ).changed
    assert who(lab, 4) == "one"


def test_a_shorter_prefix_is_another_route(lab: Box) -> None:
    lab.run("ip_route_ns", netns="red", destination="10.99.0.0/16", gateway=gateway(4, 6))
    lab.checked("ip_route_ns", netns="red", destination="10.99.0.0/24", gateway=gateway(4, 5))
    assert who(lab, 4) == "one"
    lab.checked("ip_route_ns", netns="red", destination="10.99.0.0/24", state="absent")
    assert who(lab, 4) == "two"


def test_one_way_route_without_translation_gives_requests_but_no_answers(box: Box) -> None:
    """The tutorial's lesson: the outside host gets the ping, and has no way to answer."""
    box.outside()
    box.red_and_blue()
    box.run("ip_route_ns", netns="red", destination="203.0.113.0/24", gateway="192.168.15.5")
    box.sysctl("net.ipv4.ip_forward", "1")
    assert box.ping("red", "203.0.113.1")
    assert not box.ping("red", EXT4, timeout=SHORT)
    box.run("ip_route_ns", netns="ext", destination="192.168.15.0/24", gateway="203.0.113.1")
    assert box.ping("red", EXT4)


# ---- failing half way, and at once


@BOTH
@pytest.mark.parametrize("start", [None, 6], ids=["nothing", "another gateway"])
def test_a_run_that_fails_leaves_what_was_there(lab: Box, version: int, start: int | None) -> None:
    if start:
        lab.run("ip_route_ns", netns="red", destination=FAR_NET[version], gateway=gateway(version, start), mtu=1400)
    survives(lab, "ip_route_ns", netns="red", destination=FAR_NET[version], gateway=gateway(version, 5))


@BOTH
def test_many_runs_at_once_end_like_one(lab: Box, version: int) -> None:
    task = {"netns": "red", "destination": FAR_NET[version], "gateway": gateway(version, 5)}
    lab.run("ip_route_ns", **task)
    alone = shape(lab, "red")
    lab.run("ip_route_ns", **task, state="absent")
    changed = lab.parallel([lambda: lab.run("ip_route_ns", **task).changed] * 8)
    assert sorted(changed) == [False] * 7 + [True]
    assert shape(lab, "red") == alone


def test_a_long_list_is_read_whole(lab: Box) -> None:
    """More routes than fit in one answer of the kernel."""
    lines = "".join(f"route add 10.{n // 250}.{n % 250}.0/24 via 192.168.5.5\n" for n in range(2000))
    lab.tool("ip", "-n", "red", "-batch", "-", stdin=lines)
    assert not lab.run("ip_route_ns", netns="red", destination="10.7.249.0/24", gateway="192.168.5.5").changed
    assert lab.checked("ip_route_ns", netns="red", destination="10.8.0.0/24", gateway="192.168.5.5").changed
