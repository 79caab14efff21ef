# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every rule and every element of the lab's table is needed: alter one, and a packet goes astray that did not before.

The table is that of the tutorials, plus two forwards without which it would not tell everything apart: port 8080 is not
for localhost, and port 8081 is for IPv6 only.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from box import EXT, FAR4, FAR6, Box
from mutants import Mutant, listing, mutants, parts
from packets import SHORT, Server, family, open_socket
from scenery import BLUE, BRIDGE_FILTER, GATEWAY, LAB, OUTSIDE, OWN, RED

# Addresses in the upper half of the lab's networks, and of others, which half a network does not have.
RED_UPPER = {4: "192.168.15.200", 6: "fd00:15:0:0:8000::1"}
BLUE_UPPER = {4: "192.168.15.202", 6: "fd00:15:0:0:8000::2"}
FAR = {4: FAR4, 6: FAR6}
FARTHER = "fd99::9"  # outside, in the half of all addresses in which the lab is too
GREEN = {4: "198.18.0.2", 6: "fd77::2"}  # behind HOST, but none of the lab's networks
LOW = "10.77.0.1"  # HOST's own, in the half of all addresses in which 127.0.0.0/8 is too
GROUPS = {4: ["239.15.15.15"], 6: ["ff05::15", "ff95::15"]}
HOST_LINK_LOCAL = ("fe80::5", "febf::5")
HOST_SITE_LOCAL = "fec0::5"
LINK_LOCAL_UPPER = "febf::2"
EAR, SECRET = 5000, 5353

PARTS = (
    "map forwards-tcp-ip",
    "map forwards-tcp-ip6",
    "map loopback-tcp-ip",
    "set masqueraded-tcp-ip",
    "set masqueraded-tcp-ip6",
    "chain guard",
    "chain prerouting",
    "chain output",
    "chain postrouting",
)

WISHES = (
    ("dnat_forward", {"protocol": "tcp", "port": 80, "to_address": [BLUE[4], BLUE[6]], "loopback": True}),
    ("dnat_forward", {"protocol": "tcp", "port": 8080, "to_port": 80, "to_address": BLUE[4]}),
    ("dnat_forward", {"protocol": "tcp", "port": 8081, "to_port": 80, "to_address": BLUE[6]}),
    ("nat_masquerade", {"source": LAB[4]}),
    ("nat_masquerade", {"source": LAB[6]}),
)


@dataclass
class Scene:
    """The lab with its rules, everybody who answers, and the probes."""

    box: Box
    servers: dict[str, Server] = field(default_factory=dict)
    ears: dict[int, socket.socket] = field(default_factory=dict)
    probes: dict[str, Callable[[], bool]] = field(default_factory=dict)

    def apply(self) -> bool:
        """Run the modules; whether anything was changed."""
        changes = [self.box.run(module, **params).changed for module, params in WISHES]
        return any(changes)

    def failing(self) -> str:
        """The name of the first probe that fails, or ''."""
        return next((name for name, probe in self.probes.items() if not probe()), "")


# ---- the scene


@pytest.fixture
def scene(lab: Box) -> Iterator[Scene]:
    made = Scene(lab)
    _people(lab)
    made.apply()
    _servers(made)
    with contextlib.ExitStack() as closing:
        for version, any_address in ((4, "0.0.0.0"), (6, "::")):
            ear = closing.enter_context(open_socket("blue", family(any_address), socket.SOCK_DGRAM))
            if version == 6:
                ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            ear.bind((any_address, EAR))
            ear.settimeout(SHORT)
            made.ears[version] = ear
        _join_groups(made)
        made.probes = _probes(made)
        yield made


def _people(box: Box) -> None:
    for version in (4, 6):
        # Bridged packets pass the rules, so that they see what red says to blue.
        box.sysctl(BRIDGE_FILTER[version], "1")
    box.ip("link set veth-blue-br type bridge_slave hairpin on")
    for name, addresses in (("red", RED_UPPER), ("blue", BLUE_UPPER)):
        box.ip(f"-n {name} addr add {addresses[4]}/24 dev veth-{name}")
        box.ip(f"-n {name} addr add {addresses[6]}/64 dev veth-{name} nodad preferred_lft 0")
    box.ip(f"-n blue addr add {LINK_LOCAL_UPPER}/64 dev veth-blue nodad")
    box.ip("-n red route add febf::/64 dev veth-red")
    box.ip(f"addr add {LOW}/32 dev lo")
    for address in (*HOST_LINK_LOCAL, HOST_SITE_LOCAL):
        box.ip(f"addr add {address}/64 dev v-net-0 nodad")
    box.ip(f"-n {EXT} addr add {FARTHER}/128 dev lo nodad")
    _green(box)
    _attacker(box)
    box.settle(None, EXT, "red", "blue", "green")


def _green(box: Box) -> None:
    box.namespace("green")
    box.ip("link add to-green type veth peer name eth0 netns green")
    for version, length in ((4, 24), (6, 64)):
        gateway = GREEN[version].replace("2", "1") if version == 6 else "198.18.0.1"
        nodad = "nodad" if version == 6 else ""
        box.ip(f"addr add {gateway}/{length} dev to-green {nodad}")
        box.ip(f"-n green addr add {GREEN[version]}/{length} dev eth0 {nodad}")
        box.ip("link set to-green up")
        box.ip("-n green link set eth0 up")
        box.ip(f"-n green -{version} route add default via {gateway}")
        box.ip(f"-n {EXT} -{version} route add {GREEN[version]} via {OWN[version]}")


def _attacker(box: Box) -> None:
    """Red knows how to send to 127.0.0.0/8 of HOST, and how to say that it is 127.0.0.9."""
    for name in ("all", "veth-red"):
        box.sysctl(f"net.ipv4.conf.{name}.route_localnet", "1", netns="red")
    box.ip("-n red route flush table local 127.0.0.0/8")
    for address in ("127.0.0.9", "127.200.0.9"):
        box.ip(f"-n red addr add {address}/32 dev veth-red")
    for address in ("127.0.0.2", "127.200.0.2"):
        box.ip(f"-n red route replace {address}/32 via {GATEWAY[4]} dev veth-red")


def _servers(scene: Scene) -> None:
    box = scene.box
    scene.servers = {
        "blue": box.serve("blue", 80),
        "blue 8080": box.serve("blue", 8080),
        "red": box.serve("red", 80),
        "ext": box.serve(EXT, 80),
        "ext 8080": box.serve(EXT, 8080),
        "host ::1": box.serve(None, 80, address="::1"),
        "host 127.0.0.1": box.serve(None, 8080, address="127.0.0.1"),
        "host 127.200.0.1": box.serve(None, 8080, address="127.200.0.1"),
        "secret": box.serve(None, SECRET, "udp"),
    }


def _join_groups(scene: Scene) -> None:
    (group,) = GROUPS[4]
    membership = socket.inet_aton(group) + socket.inet_aton(BLUE[4])
    scene.ears[4].setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    index = scene.box.link("veth-blue", "blue")["ifindex"]
    for group in GROUPS[6]:
        membership = socket.inet_pton(socket.AF_INET6, group) + index.to_bytes(4, "little")
        scene.ears[6].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)


# ---- probes


def _probes(scene: Scene) -> dict[str, Callable[[], bool]]:
    """Each probe by its name; all are true while the rules are what they are to be."""
    named: dict[str, Callable[[], bool]] = {}
    for version in (4, 6):
        named.update({f"{name}, IPv{version}": probe for name, probe in _of_version(scene, version)})
    named.update(_localhost(scene))
    named["IPv4 is counted once"] = partial(_counted, scene, OWN[4], 80, {("forwards-tcp-ip", 80): 1})
    named["IPv6 is counted once"] = partial(_counted, scene, OWN[6], 80, {("forwards-tcp-ip6", 80): 1})
    for name, netns, device in (("red", "red", "veth-red"), ("host", None, "v-net-0")):
        scope = scene.box.link(device, netns)["ifindex"]
        for address in HOST_LINK_LOCAL:
            to = f"{address}%{scope}"
            named[f"what {name} sends to {address} is not counted"] = partial(_counted, scene, to, 80, {}, netns)
    named["what is for IPv6 only counts no IPv4"] = partial(_counted, scene, OWN[4], 8081, {})
    return named


def _of_version(scene: Scene, version: int) -> Iterator[tuple[str, Callable[[], bool]]]:
    reaches = partial(_reaches, scene)
    own, outside, gateway, red, blue = (where[version] for where in (OWN, OUTSIDE, GATEWAY, RED, BLUE))
    yield "outside reaches blue and is seen", reaches(EXT, own, 80, "blue", outside)
    far = FAR4 if version == 4 else FARTHER
    yield "far outside reaches blue and is seen", reaches(EXT, own, 80, "blue", far, source=far)
    yield "host reaches blue at its own address", reaches(None, own, 80, "blue")
    for name, source in (("red", red), ("red's upper address", RED_UPPER[version])):
        yield f"{name} reaches blue through the host", reaches("red", own, 80, "blue", gateway, source=source)
        yield f"{name} goes out under the host's name", reaches("red", outside, 8080, "ext 8080", own, source=source)
    yield "blue reaches itself through the host", reaches("blue", own, 80, "blue", gateway)
    yield "red goes far out under the host's name", reaches("red", far, 8080, "ext 8080", own, source=red)
    yield "green goes out under its own name", reaches("green", outside, 8080, "ext 8080", GREEN[version])
    yield "red sees port 80 of outside", reaches("red", outside, 80, "ext", source=red)
    yield "host sees port 80 of outside", reaches(None, outside, 80, "ext")
    yield "host sees port 80 of far outside", reaches(None, FAR[version], 80, "ext")
    yield "blue sees port 80 of red", reaches("blue", red, 80, "red", blue, source=blue)
    yield "blue sees who comes to its own port 80", reaches("red", blue, 80, "blue", red, source=red)
    for target in (blue, BLUE_UPPER[version], *GROUPS[version]):
        yield f"red is seen by whom it sends to at {target}", partial(_keeps_its_source, scene, target)
    if version == 6:
        yield "outside reaches blue at port 8081", reaches(EXT, own, 8081, "blue", outside)
        yield "host reaches blue at port 8081", reaches(None, own, 8081, "blue")
        for name, netns in (("red", "red"), ("host", None)):
            yield f"{name} reaches blue at {HOST_SITE_LOCAL}", reaches(netns, HOST_SITE_LOCAL, 80, "blue")
        for target in (_link_local(scene.box), LINK_LOCAL_UPPER):
            yield f"red is seen by whom it sends to at {target}", partial(_keeps_its_source, scene, target)
    else:
        yield "outside reaches blue at port 8080", reaches(EXT, own, 8080, "blue", outside)
        yield "host reaches blue at port 8080", reaches(None, own, 8080, "blue")
        yield "host reaches blue at another address of its own", reaches(None, LOW, 80, "blue")


def _localhost(scene: Scene) -> dict[str, Callable[[], bool]]:
    reaches = partial(_reaches, scene)
    return {
        "host reaches blue at 127.0.0.1": reaches(None, "127.0.0.1", 80, "blue", GATEWAY[4]),
        "host reaches blue at 127.200.0.1": reaches(None, "127.200.0.1", 80, "blue", GATEWAY[4], source="127.200.0.1"),
        "host reaches itself at ::1": reaches(None, "::1", 80, "host ::1"),
        "host reaches itself at 127.0.0.1": reaches(None, "127.0.0.1", 8080, "host 127.0.0.1", "127.0.0.1"),
        "host reaches itself at 127.200.0.1": reaches(None, "127.200.0.1", 8080, "host 127.200.0.1"),
        "red does not get to the host's localhost": partial(_unseen, scene, RED[4], ("127.0.0.2", "127.200.0.2")),
        "red does not pass for the host's 127.0.0.9": partial(_unseen, scene, "127.0.0.9", (GATEWAY[4],)),
        "red does not pass for the host's 127.200.0.9": partial(_unseen, scene, "127.200.0.9", (GATEWAY[4],)),
    }


def _reaches(
    scene: Scene, netns: str | None, to: str, port: int, server: str, seen: str = "", *, source: str = ""
) -> Callable[[], bool]:
    """A TCP connection that gets to the server, which sees it come from ``seen``."""

    def probe() -> bool:
        answer = scene.box.tcp(netns, to, port, source=source, timeout=SHORT)
        return answer.token == scene.servers[server].token and (not seen or answer.seen[0] == seen)

    return probe


def _keeps_its_source(scene: Scene, to: str) -> bool:
    """A datagram from red to blue, whose source blue sees."""
    kind = family(to)
    version = 6 if kind == socket.AF_INET6 else 4
    index = scene.box.link("veth-red", "red")["ifindex"]
    with open_socket("red", kind, socket.SOCK_DGRAM) as mouth:
        mouth.bind((RED[version], 0))
        if version == 4:
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(RED[4]))
        scope = index if to.startswith("f") and not to.startswith("fd") else 0
        mouth.sendto(b"hello", (to, EAR) if version == 4 else (to, EAR, 0, scope))
        try:
            return scene.ears[version].recvfrom(100)[1][:2] == mouth.getsockname()[:2]
        except TimeoutError:
            return False


def _link_local(box: Box) -> str:
    return next(
        entry["local"]
        for entry in box.link("veth-blue", "blue")["addr_info"]
        if entry["scope"] == "link" and entry["local"] != LINK_LOCAL_UPPER
    )


def _unseen(scene: Scene, source: str, targets: tuple[str, ...]) -> bool:
    """What red sends so does not get to HOST's server; a good datagram behind it does, so the wait is no guess."""
    server = scene.servers["secret"]
    with open_socket("red", socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.bind((source, 0))
        bad = mouth.getsockname()
        for target in targets:
            mouth.sendto(b"hello", (target, SECRET))
        good = scene.box.udp("red", GATEWAY[4], SECRET, source=RED[4], timeout=SHORT)
    return bool(good) and tuple(bad) not in [tuple(peer) for peer in server.peers]


def _counted(scene: Scene, to: str, port: int, wanted: dict[tuple[str, int], int], netns: str | None = EXT) -> bool:
    """A connection is counted by the element that it is about, and by no other."""
    before = _counters(scene.box)
    scene.box.tcp(netns, to, port, timeout=SHORT)
    after = _counters(scene.box)
    grown = {name: after[name] - count for name, count in before.items() if after.get(name) != count}
    return grown == wanted


def _counters(box: Box) -> dict[tuple[str, int], int]:
    listed = json.loads(box.tool("nft", "-j", "list", "maps"))["nftables"]
    return {
        (entry["map"]["name"], key["elem"]["val"]): key["elem"]["counter"]["packets"]
        for entry in listed
        if "map" in entry
        for key, _value in entry["map"].get("elem", [])
    }


# ---- tests


def test_all_probes_pass_while_the_table_is_intact(scene: Scene) -> None:
    assert [name for name, probe in scene.probes.items() if not probe()] == []


def test_each_probe_needs_the_table(scene: Scene) -> None:
    """Those that fail without any rules are forwarded or masqueraded; the others show what the rules must not touch."""
    scene.box.nft("flush ruleset")
    without = {name for name, probe in scene.probes.items() if not probe()}
    assert {name for name in scene.probes if re.search("reaches blue|under the host|counted once", name)} <= without


def test_every_part_of_the_table_has_its_mutants(scene: Scene) -> None:
    assert set(parts(scene.box)) == set(PARTS)
    assert all(list(mutants(scene.box, part)) for part in PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_row_2_to_10_no_mutant_survives_and_the_next_run_puts_it_right(scene: Scene, part: str) -> None:
    right = listing(scene.box)
    count = len(list(mutants(scene.box, part)))
    survivors, refused = [], []
    for number in range(count):
        mutant = list(mutants(scene.box, part))[number]  # with the handles of this moment
        if not _made(scene.box, mutant):
            refused.append(mutant)
            continue
        assert listing(scene.box) != right, mutant
        if not scene.failing():
            survivors.append(mutant)
        _put_right(scene, mutant, right)
    assert scene.failing() == ""
    assert [str(mutant) for mutant in survivors] == []
    # nft itself refuses what can never match: IPv6 whose destination becomes an IPv4 address.
    assert [str(mutant) for mutant in refused if "for 'meta nfproto ipv" not in mutant.words] == []


def _made(box: Box, mutant: Mutant) -> bool:
    try:
        box.nft(mutant.script)
    except AssertionError:  # nft sees that it makes no sense
        return False
    return True


def _put_right(scene: Scene, mutant: Mutant, right: str) -> None:
    assert scene.apply(), f"{mutant}: nothing was changed"
    assert listing(scene.box) == right, mutant
    assert not scene.apply(), f"{mutant}: changed once more"


def test_a_table_put_to_sleep_is_a_mutant_too(scene: Scene) -> None:
    right = listing(scene.box)
    scene.box.nft("add table inet patchbay { flags dormant; }")
    assert scene.failing()
    assert scene.apply()
    assert listing(scene.box) == right
    assert scene.failing() == ""


@pytest.mark.parametrize("part", PARTS)
def test_a_comment_that_was_changed_comes_back(scene: Scene, part: str) -> None:
    """No packet cares, but people read them, and we do."""
    right = listing(scene.box)
    kind, name = part.split()
    for found in re.findall(r"(.*) # handle (\d+)", parts(scene.box)[part]) if kind == "chain" else []:
        rule, handle = found[0].strip(), found[1]
        scene.box.nft(f'replace rule inet patchbay {name} handle {handle} {rule[:-1]}, changed"')
        _put_right(scene, Mutant(part, f"other comment for '{rule}'", ""), right)
