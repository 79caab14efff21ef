# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everybody else's rules stay as they are to the last byte, whatever we do and however it ends.

Around us stand tables of every family, the iptables of both kinds, and twins of our own table, down to its comments.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import faults
import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_messages
from box import Box
from doors import Failed
from mutants import listing
from scenery import BLUE, LAB, RED

OURS = "inet patchbay"
NAMESPACE = "green"
"""Where somebody has a table of our very name, which is ours only if that namespace is meant."""

FORWARDS = (
    {"protocol": "tcp", "port": 80, "to_address": [BLUE[4], BLUE[6]], "loopback": True},
    {"protocol": "udp", "port": "8000-8003", "to_address": BLUE[4], "in_interface": "uplink"},
)
WISHES = (
    # The twins forward the same ports, which is refused unless it is meant.
    *(("dnat_forward", {**params, "force": True}) for params in FORWARDS),
    ("nat_masquerade", {"source": LAB[4]}),
    ("nat_masquerade", {"source": LAB[6], "to_ports": "1024-65535"}),
)
CHANGES = (
    {"to_address": [RED[4], RED[6]], "to_port": 8080, "loopback": False},
    {"to_address": RED[4], "sources": ["198.51.100.0/24"], "local": False},
    {"exclude": ["10.0.0.0/8"], "random": True},
    {"exclude": [], "to_ports": None},
)
MODULES = {"dnat_forward": WISHES[0], "nat_masquerade": WISHES[2]}

STRANGERS = """
table bridge patchbay {
    chain prerouting {
        type filter hook prerouting priority 0; policy accept;
        ether type arp counter accept comment "patchbay: what comes in"
    }
}
table arp patchbay {
    chain output { type filter hook output priority 0; arp operation request counter accept; }
}
table netdev patchbay {
    chain guard {
        type filter hook ingress device "uplink" priority 0; policy accept;
        ip daddr 127.0.0.0/8 counter drop comment "patchbay: localhost stays inside"
    }
}
table inet theirs {
    counter seen { packets 5 bytes 500 }
    quota most { over 10 mbytes }
    limit few { rate 10/second }
    set known { type ether_addr; flags timeout; }
    set masqueraded-tcp-ip {
        type ipv4_addr . ipv4_addr . inet_service; flags interval
        elements = { 192.168.15.0/24 . 192.168.15.2 . 80 }
    }
    map ways { type inet_service : verdict; elements = { 22 : accept, 23 : drop }; }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 192.168.15.0/24 counter masquerade comment "patchbay masquerade 192.168.15.0/24"
    }
    chain forward {
        type filter hook forward priority 10; policy accept;
        ct status dnat counter name "seen" accept
        limit name "few" quota name "most" tcp dport vmap @ways
    }
}
table inet asleep {
    flags dormant
    chain forward { type filter hook forward priority 0; policy drop; }
}
table inet patchbay-2 {
}
"""
IPTABLES = (
    "iptables -A FORWARD -i v-net-0 -m comment --comment patchbay -j ACCEPT",
    "iptables -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 192.168.15.2:80",
    "iptables -t nat -A POSTROUTING -s 192.168.15.0/24 -m comment --comment 'patchbay masquerade 192.168.15.0/24' -j MASQUERADE",
    "iptables -t raw -A PREROUTING ! -i lo -d 127.0.0.0/8 -j DROP",
    "ip6tables -P FORWARD DROP",
    "ip6tables -t nat -A POSTROUTING -s fd00:15::/64 -j MASQUERADE",
)
LINK_LAYER = ("ebtables-nft -A FORWARD -p ARP -j ACCEPT", "arptables-nft -A INPUT -j ACCEPT")
SAVING = (
    "iptables-nft-save",
    "ip6tables-nft-save",
    "ebtables-nft-save",
    "arptables-nft-save",
    "iptables-legacy-save",
    "ip6tables-legacy-save",
)


# ---- the crowd


@pytest.fixture
def crowd(lab: Box) -> Box:
    """The lab with everybody else's rules."""
    _twins(lab)
    lab.nft(STRANGERS)
    for kind in ("nft", "legacy"):
        for command in IPTABLES:
            _run(lab, command.replace("tables ", f"tables-{kind} ", 1))
    for command in LINK_LAYER:
        _run(lab, command)
    return lab


def _run(box: Box, command: str) -> None:
    """A command of a tool that not every machine has."""
    if shutil.which(command.split()[0]):
        box.tool("sh", "-c", command)


def _twins(box: Box) -> None:
    """Our own table under another name, in other families, and in another namespace."""
    box.namespace(NAMESPACE)
    apply(box)
    ours = box.tool("nft", "-s", "list", "table", *OURS.split())
    apply(box, state="absent")
    box.nft(ours.replace(OURS, "inet patchbay2", 1))
    for family, other in (("ip", "ip6"), ("ip6", "ip")):
        box.nft(_of_family(ours, other).replace(OURS, f"{family} patchbay", 1))
    box.nft(ours, netns=NAMESPACE)


def _of_family(text: str, without: str) -> str:
    """The table without what is about the other IP version."""
    blocks = text.split("\n\n")
    of_sets = rf"-{without}(-\S+)? {{|type (\w+ \. )*ipv{'6' if without == 'ip6' else '4'}_addr"
    kept = [block for block in blocks if "chain " in block or not re.search(of_sets, block)]
    number = {"ip": "4", "ip6": "6"}[without]
    head = "" if kept[0].startswith("table") else f"table {OURS} {{\n"
    lines = (head + "\n\n".join(kept)).splitlines()
    fitting = [line for line in lines if not re.search(rf"\b{without} (daddr|saddr|to) |nfproto ipv{number}", line)]
    return re.sub(r"meta nfproto ipv[46] ", "", "\n".join(fitting))


def apply(box: Box, changes: tuple[dict[str, Any], ...] = ({}, {}, {}, {}), **more: Any) -> bool:
    """Run all wishes, changed or not; whether any of them changed anything."""
    results = [
        box.run(module, **{**params, **change, **more}).changed
        for (module, params), change in zip(WISHES, changes, strict=True)
    ]
    return any(results)


def others(box: Box) -> dict[str, str]:
    """All that is not ours, with handles, as every tool that knows of it shows it; without what counters counted."""
    shown = {"tables": box.nft("list tables").replace(f"table {OURS}\n", "")}
    for table in shown["tables"].splitlines():
        shown[table] = box.tool("nft", "-a", "-s", "list", *table.split())
    shown[f"{OURS} in {NAMESPACE}"] = box.tool("nft", "-a", "-s", "list", "ruleset", netns=NAMESPACE)
    for program in filter(shutil.which, SAVING):
        lines = box.tool(program).splitlines()
        shown[program] = "\n".join(re.sub(r" \[\d+:\d+\]", "", line) for line in lines if not line.startswith("#"))
    return shown


@contextlib.contextmanager
def unharmed(box: Box) -> Iterator[None]:
    before = others(box)
    yield
    after = others(box)
    for name in {**before, **after}:
        assert after.get(name) == before.get(name), name
    assert list(after) == list(before)


def ours(box: Box) -> list[str]:
    """The parts of our table, or nothing; in which order maps were made is not what they mean."""
    there = f"table {OURS}\n" in box.nft("list tables")
    return sorted(re.findall(r"\n\t\w+ \S+ \{.*?\n\t\}", listing(box), re.DOTALL)) if there else []


# ---- the crowd is a real one


def test_the_crowd_is_of_every_family_and_kind(crowd: Box) -> None:
    found = set(others(crowd)["tables"].splitlines())
    for family in ("ip", "ip6", "inet", "bridge", "arp", "netdev"):
        assert [table for table in found if table.startswith(f"table {family} ")], family
    assert {"table inet patchbay2", "table ip patchbay", "table ip6 patchbay"} <= found
    assert ours(crowd) == []
    if shutil.which("iptables-legacy"):
        assert "MASQUERADE" in others(crowd)["iptables-legacy-save"]


def test_the_twins_have_our_maps_chains_and_comments(crowd: Box) -> None:
    apply(crowd)
    mine = crowd.tool("nft", "-s", "list", "table", *OURS.split())
    assert crowd.tool("nft", "-s", "list", "table", "inet", "patchbay2").split("\n", 1)[1] == mine.split("\n", 1)[1]
    for family, other in (("ip", "ip6"), ("ip6", "ip")):
        twin = crowd.tool("nft", "-s", "list", "table", family, "patchbay")
        for comment in re.findall(r'comment "(.*?)"', _of_family(mine, other)):
            assert comment in twin


@pytest.mark.parametrize(
    "harm",
    [
        "flush chain inet patchbay2 postrouting",
        "delete element ip patchbay forwards-tcp-ip { 80 }",
        "delete table arp patchbay",
        "add rule netdev patchbay guard accept",
        "add table inet newcomer",
        "add table inet asleep",
        "delete chain bridge filter FORWARD"
        if not shutil.which("ebtables-nft")
        else "flush chain bridge filter FORWARD",
    ],
)
def test_harm_would_be_seen(crowd: Box, harm: str) -> None:
    with pytest.raises(AssertionError), unharmed(crowd):
        crowd.nft(harm)


def test_a_rule_that_was_taken_out_and_put_back_would_be_seen(crowd: Box) -> None:
    text = crowd.tool("nft", "-s", "list", "table", "inet", "patchbay2")
    with pytest.raises(AssertionError), unharmed(crowd):
        crowd.nft(f"delete table inet patchbay2\n{text}")


@pytest.mark.skipif(not shutil.which("iptables-legacy"), reason="iptables-legacy is not installed")
def test_harm_to_legacy_rules_would_be_seen(crowd: Box) -> None:
    with pytest.raises(AssertionError), unharmed(crowd):
        crowd.tool("iptables-legacy", "-t", "nat", "-F", "POSTROUTING")


# ---- nothing happens to it


def test_row_18_a_whole_life_leaves_the_others_alone(crowd: Box) -> None:
    with unharmed(crowd):
        assert apply(crowd)
    acts: dict[str, Callable[[], bool]] = {
        "again": lambda: not apply(crowd),
        "changed": lambda: apply(crowd, CHANGES),
        "changed, again": lambda: not apply(crowd, CHANGES),
        "changed back": lambda: apply(crowd),
        "absent": lambda: apply(crowd, state="absent"),
        "absent, again": lambda: not apply(crowd, state="absent"),
    }
    for name, act in acts.items():
        with unharmed(crowd):
            assert act(), name
    assert ours(crowd) == []


@pytest.mark.parametrize("module", MODULES)
def test_each_module_alone_leaves_the_others_alone(crowd: Box, module: str) -> None:
    _module, params = MODULES[module]
    for more in ({}, {}, CHANGES[[wish[0] for wish in WISHES].index(module)], {"state": "absent"}):
        with unharmed(crowd):
            crowd.checked(module, **{**params, **more})


@pytest.mark.parametrize("module", MODULES)
def test_in_a_namespace_only_that_namespaces_table_is_ours(crowd: Box, module: str) -> None:
    """The table of our name that HOST has is a stranger's then."""
    _module, params = MODULES[module]
    apply(crowd)
    mine = crowd.tool("nft", "-a", "-s", "list", "table", *OURS.split())
    before = others(crowd)
    crowd.ip(f"-n {NAMESPACE} link add v-net-0 type bridge")
    crowd.ip(f"-n {NAMESPACE} addr add 192.168.15.9/24 dev v-net-0")
    crowd.ip(f"-n {NAMESPACE} addr add fd00:15::9/64 dev v-net-0 nodad")
    crowd.ip(f"-n {NAMESPACE} link set v-net-0 up")
    crowd.run(module, netns=NAMESPACE, **params)
    crowd.run(module, netns=NAMESPACE, state="absent", **params)
    assert crowd.tool("nft", "-a", "-s", "list", "table", *OURS.split()) == mine
    changed = {name for name, text in others(crowd).items() if before.get(name) != text}
    assert changed <= {f"{OURS} in {NAMESPACE}"}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("act", ["made", "changed", "removed"])
def test_a_run_that_fails_half_way_leaves_the_others_alone(crowd: Box, module: str, act: str) -> None:
    _module, params = MODULES[module]
    change = CHANGES[[wish[0] for wish in WISHES].index(module)]
    wanted = {"made": params, "changed": {**params, **change}, "removed": {**params, "state": "absent"}}[act]
    if act != "made":
        apply(crowd)
    steps = faults.steps_of(crowd, module, **wanted)
    assert steps
    mine = ours(crowd)
    for number in range(steps):
        with unharmed(crowd), faults.at_step(number), pytest.raises(Failed, match="the fault that the test made"):
            crowd.run(module, **wanted)
        assert ours(crowd) == mine


@pytest.mark.parametrize("module", MODULES)
def test_a_batch_that_the_kernel_refuses_leaves_the_others_alone(
    crowd: Box, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of many messages is one that no kernel takes: nothing of those before it stays."""
    _module, params = MODULES[module]
    join = nft_messages.join
    monkeypatch.setattr(
        nft_messages,
        "join",
        lambda those: join(each._replace(name="lacking") if each.name == "masq" else each for each in those),
    )
    for check in (True, False):
        with unharmed(crowd), pytest.raises(Failed):
            crowd.run(module, check=check, **params)
        assert ours(crowd) == []


def test_what_is_put_right_in_our_own_table_is_put_right_there_only(crowd: Box) -> None:
    apply(crowd)
    right = crowd.tool("nft", "-s", "list", "table", *OURS.split())
    for stranger in (
        "add rule inet patchbay postrouting jump theirs",
        'insert rule inet patchbay prerouting accept comment "patchbay: what comes in"',
        "flush set inet patchbay masqueraded-tcp-ip",
        "add map inet patchbay ways { type inet_service : verdict; }",
    ):
        crowd.nft(f"add chain inet patchbay theirs\n{stranger}")
        with unharmed(crowd):
            assert apply(crowd)
        assert crowd.tool("nft", "-s", "list", "table", *OURS.split()) == right


def test_row_16_our_table_deleted_by_somebody_comes_back_beside_its_twins(crowd: Box) -> None:
    apply(crowd)
    mine = crowd.tool("nft", "-s", "list", "table", *OURS.split())
    crowd.nft("delete table inet patchbay")
    with unharmed(crowd):
        assert apply(crowd)
    assert crowd.tool("nft", "-s", "list", "table", *OURS.split()) == mine
