# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hypothesis draws from for address translation: specs that may live together, tables, wishes and the worlds around them.

Ports, addresses and networks come from small pools in which they touch, overlap and lie inside each other.
"""

from __future__ import annotations

import contextlib
import ipaddress
import typing as t
from dataclasses import replace

from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Conflict, PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_changes import Content
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Chain, Drop, Opaque, Ports, Rule
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_sets import Declaration, Element, pack
from ansible_collections.patchbay.netns.plugins.module_utils._objects import nat_layout
from ansible_collections.patchbay.netns.plugins.module_utils._objects.forward import Forward
from ansible_collections.patchbay.netns.plugins.module_utils._objects.masquerade import Masquerade
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat import Nat
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_claims import Claims
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import (
    ForwardSpec,
    MasqueradeSpec,
    Service,
    Spec,
    Target,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Sysctl
from ansible_collections.patchbay.netns.plugins.module_utils._objects.way import Way
from hypothesis import strategies as st

net, ip = ipaddress.ip_network, ipaddress.ip_address

# ---- specs

PORTS = [Ports(80, 80), Ports(81, 81), Ports(443, 443), Ports(80, 90), Ports(85, 95), Ports(100, 103), Ports(1, 500)]
OWN = {4: ["203.0.113.1", "203.0.113.2"], 6: ["2001:db8::1", "2001:db8::2"]}
TARGETS = {4: ["10.20.0.2", "10.20.0.3"], 6: ["fd00:20::2", "fd00:20::3"]}
LABS = {
    4: ["10.20.0.0/16", "10.20.0.0/24", "10.20.0.0/30", "10.0.0.0/8"],
    6: ["fd00:20::/64", "fd00:20::/48", "fd00:20::/126"],
}
SOURCES = {
    4: ["10.0.0.0/8", "172.16.0.0/12", "192.0.2.7/32", "198.51.100.0/25", "198.51.100.128/25"],
    6: ["2001:db8:1::/48", "2001:db8:2::/48", "2001:db8::7/128"],
}
INTERFACES = ["eth0", "eth0.100", "wan-é"]


def some(texts: list[str], make: t.Callable[[str], t.Any]) -> st.SearchStrategy[t.Any]:
    return st.sampled_from(texts).map(make)


@st.composite
def services(draw: t.Any) -> Service:
    family = draw(st.sampled_from([4, 4, 6]))
    return Service(
        family,
        draw(st.sampled_from(["tcp", "tcp", "udp", "sctp"])),
        draw(st.sampled_from(PORTS)),
        draw(st.none() | some(OWN[family], ip)),
        draw(st.none() | st.sampled_from(INTERFACES)),
    )


@st.composite
def targets(draw: t.Any, service: Service) -> Target:
    """A target in the one form that a spec has: ports only where they change, sources sorted and apart."""
    family, count = service.family, len(service.ports)
    inside = None
    if count < 50:
        first = draw(st.sampled_from([None, 1, 80, 8080, 65536 - count]))
        inside = None if first in (None, service.ports.low) else Ports(first, first + count - 1)
    sources = sorted(draw(st.sets(some(SOURCES[family], net), max_size=3)), key=lambda each: int(each.network_address))
    return Target(
        draw(some(TARGETS[family], ip)),
        inside,
        tuple(sources),
        local=draw(st.booleans()),
        loopback=family == 4 and draw(st.booleans()),
        hairpin=draw(st.none() | some(LABS[family], net)),
    )


@st.composite
def forwards(draw: t.Any) -> ForwardSpec:
    service = draw(services())
    return ForwardSpec(service, draw(targets(service)))


@st.composite
def masquerades(draw: t.Any) -> MasqueradeSpec:
    family = draw(st.sampled_from([4, 6]))
    everything = {4: "0.0.0.0/0", 6: "::/0"}[family]
    excluded = draw(st.sets(some(SOURCES[family] + LABS[family], net), max_size=3))
    return MasqueradeSpec(
        draw(some([*LABS[family], everything], net)),
        draw(st.none() | st.sampled_from(INTERFACES)),
        tuple(sorted(excluded, key=lambda each: (int(each.network_address), each.prefixlen))),
        draw(st.booleans()),
        draw(st.none() | st.sampled_from([Ports(5000, 5000), Ports(1024, 65535)])),
    )


def compatible(specs: t.Iterable[Spec]) -> list[Spec]:
    """The specs without those that claim what an earlier one has."""
    claims, out, known = Claims(None), [], set()
    for spec in specs:
        try:
            claims.add(spec)
        except Conflict:
            continue
        if spec.key not in known:
            known.add(spec.key)
            out.append(spec)
    return out


@st.composite
def siblings(draw: t.Any) -> list[ForwardSpec]:
    """Forwards of the same ports to the same target, told apart by little."""
    one = draw(forwards())
    family = one.service.family
    return [
        ForwardSpec(
            replace(one.service, address=draw(some(OWN[family], ip)), in_interface=draw(st.sampled_from(INTERFACES)))
            if draw(st.booleans())
            else replace(one.service, in_interface=draw(st.sampled_from(INTERFACES))),
            replace(one.target, local=draw(st.booleans()), loopback=family == 4 and draw(st.booleans())),
        )
        for _each in range(4)
    ]


spec_sets = st.one_of(st.lists(st.one_of(forwards(), forwards(), masquerades()), max_size=8), siblings()).map(
    compatible
)
"""Specs that may be in one table."""

# ---- tables

STRANGERS = [
    Rule("prerouting", Drop(), "theirs", family=4, protocol="tcp", ports=Ports(22, 22)),
    Rule("prerouting", Opaque((("lookup", b""),)), "patchbay: what comes in"),
    Rule("postrouting", Drop()),
]
STRANGE_SETS = {
    "theirs": (Declaration("theirs", ("ipv4_addr",)), frozenset([Element(pack(ip("10.0.0.9")), pack(ip("10.0.0.9")))])),
    "forwards-tcp-ip": (Declaration("forwards-tcp-ip", ("inet_service",)), frozenset()),
    "masqueraded-tcp-ip": (Declaration("masqueraded-tcp-ip", ("ifname",), ("ipv4_addr",)), frozenset()),
}


def numbered(content: Content) -> Content:
    """The same with the handles that a kernel would have given."""
    handle = 0
    rules: dict[str, tuple[Rule, ...]] = {}
    for name, found in content.rules.items():
        rules[name] = tuple(replace(rule, handle=handle + at) for at, rule in enumerate(found, 1))
        handle += len(found)
    return replace(content, rules=rules)


def _disturbed(draw: t.Any, found: Content) -> tuple[dict[str, Chain], dict[str, list[Rule]]]:
    """Chains and rules that somebody has been at."""
    chains, rules = dict(found.chains), {name: list(those) for name, those in found.rules.items()}
    for name, chain in found.chains.items():
        doing = draw(st.sampled_from(["", "", "", "policy", "priority", "reverse", "double", "rename"]))
        if doing == "policy":
            chains[name] = chain._replace(policy="drop")
        elif doing == "priority":
            chains[name] = chain._replace(priority=-42)
        elif doing == "reverse":
            rules[name].reverse()
        elif doing == "double":
            rules[name] += rules[name][:1]
        elif doing == "rename":
            chains[f"{name}-2"] = chains.pop(name)._replace(name=f"{name}-2")
            rules[f"{name}-2"] = [replace(rule, chain=f"{name}-2") for rule in rules.pop(name)]
    for rule in draw(st.lists(st.sampled_from(STRANGERS), max_size=3)):
        if rule.chain in rules:
            rules[rule.chain].insert(draw(st.integers(0, len(rules[rule.chain]))), rule)
    return chains, rules


@st.composite
def contents(draw: t.Any, *, strange: bool = True) -> Content:
    """A table of ours that others have been at; with ``strange`` also in ways that can't be put back."""
    found = nat_layout.layout(draw(spec_sets)) or Content()
    chains, rules = _disturbed(draw, found)
    sets, elements = dict(found.sets), dict(found.elements)
    odd: frozenset[str] = frozenset()
    for name in draw(st.sets(st.sampled_from(sorted(STRANGE_SETS)), max_size=2)):
        sets[name], elements[name] = STRANGE_SETS[name]
        rules = {chain: [each for each in those if name not in str(each)] for chain, those in rules.items()}
    for name in found.sets:
        if draw(st.integers(0, 4)) == 0 and sets[name] is found.sets[name]:
            elements[name] = frozenset(sorted(elements[name])[1:])
        elif strange and draw(st.integers(0, 6)) == 0:
            sets.pop(name)
            elements.pop(name)
            odd |= {name}
    return numbered(
        Content(
            chains,
            {name: tuple(those) for name, those in rules.items() if those},
            sets,
            elements,
            odd,
            strange and draw(st.integers(0, 5)) == 0,
        )
    )


# ---- wishes and worlds

ON = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
LOCALNET = "net.ipv4.conf.br0.route_localnet"


def masquerade(**params: t.Any) -> Nat:
    return Masquerade.wish({"source": "192.168.15.0/24", **params})


def forward(**params: t.Any) -> Nat:
    return Forward.wish({"protocol": "tcp", "port": "80", "to_address": ["192.168.15.2"], **params})


def together(*wishes: Nat) -> Nat:
    """One wish for the parts of all."""
    return Nat(tuple(part for wish in wishes for part in wish.parts))


def world(*, v4_on: str = "0", v6_on: str = "0", network: bool = True, localnet: str = "0") -> State:
    """Where the targets lie, and the settings as they are."""
    labs = {4: net("192.168.15.0/24"), 6: net("fd00:15::/64")}
    targets = [ip(text) for text in ("192.168.15.2", "192.168.15.1", "fd00:15::2")]
    return State(
        [
            *(Way(None, each, "br0", labs[each.version] if network else None) for each in targets),
            Sysctl(None, ON[4], v4_on),
            Sysctl(None, ON[6], v6_on),
            Sysctl(None, LOCALNET, localnet),
        ]
    )


worlds = st.builds(
    world,
    v4_on=st.sampled_from("01"),
    v6_on=st.sampled_from("01"),
    network=st.booleans(),
    localnet=st.sampled_from("01"),
)
interfaces = st.none() | st.sampled_from(["eth0", "eth0.100", "strange[name]"])
states = st.sampled_from(["present", "present", "absent"])
masquerade_wishes = st.builds(
    masquerade,
    source=st.sampled_from(["192.168.15.0/24", "10.0.0.0/8", "0.0.0.0/0", "fd00:15::/64", "::/0"]),
    out_interface=interfaces,
    exclude=st.none() | st.just([]),
    random=st.booleans(),
    to_ports=st.none() | st.sampled_from(["1024-65535", "5000"]),
    forwarding=st.booleans(),
    established=st.sampled_from(["keep", "reset"]),
    state=states,
)
_v4 = st.fixed_dictionaries(
    {"to_address": st.sampled_from([["192.168.15.2"], ["192.168.15.1"]])},
    optional={
        "address": st.sampled_from([["203.0.113.1"], ["203.0.113.2"]]),
        "sources": st.sampled_from([["10.0.0.0/8"], ["10.0.0.0/8", "10.1.0.0/16", "172.16.0.0/12"], ["0.0.0.0/0"]]),
        "loopback": st.booleans(),
    },
)
_v6 = st.fixed_dictionaries({"to_address": st.just(["fd00:15::2"])}, optional={"sources": st.just(["2001:db8::/32"])})
_both = st.fixed_dictionaries(
    {"to_address": st.just(["192.168.15.2", "fd00:15::2"])}, optional={"loopback": st.booleans()}
)


@st.composite
def forward_wishes(draw: t.Any, states: st.SearchStrategy[str] = states) -> Nat:
    port, to_port = draw(
        st.sampled_from([("80", None), ("80", "8080"), ("80-82", None), ("81-83", "91-93"), ("90", "80")])
    )
    params = draw(_v4 | _v6 | _both)
    for name in ("local", "hairpin", "forwarding"):
        params[name] = draw(st.booleans())
    return forward(
        protocol=draw(st.sampled_from(["tcp", "udp"])),
        port=port,
        to_port=to_port,
        in_interface=draw(interfaces),
        established=draw(st.sampled_from(["keep", "reset"])),
        state=draw(states),
        **params,
    )


wishes = st.one_of(masquerade_wishes, forward_wishes())


# ---- cases for test_plans


@st.composite
def masquerade_cases(draw: t.Any, *, state: str = "present") -> tuple[t.Any, State]:
    """A wish for a masquerade, and what is there, perhaps with another one."""
    source = draw(st.sampled_from(["192.168.15.0/24", "fd00:15::/64", "0.0.0.0/0"]))
    wish = masquerade(source=source, to_ports=draw(st.none() | st.just("1024-65535")), state=state)
    return wish, _translated(draw, masquerade_wishes)


@st.composite
def forward_cases(draw: t.Any, *, state: str = "present") -> tuple[t.Any, State]:
    """A wish for a forward, and what is there, perhaps with others."""
    return draw(forward_wishes(st.just(state))), _translated(draw, wishes)


def _translated(draw: t.Any, others: st.SearchStrategy[t.Any]) -> State:
    state = draw(worlds)
    for other in draw(st.lists(others, max_size=3)):
        with contextlib.suppress(PatchbayError):
            state = project(state, other.plan(state))
    return state
