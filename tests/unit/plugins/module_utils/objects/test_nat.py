# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wishes for a masquerade and for a forward: what is refused, and what a plan leads to."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State, Step
from ansible_collections.patchbay.netns.plugins.module_utils._engine.run import project
from ansible_collections.patchbay.netns.plugins.module_utils._errors import (
    Conflict,
    InvalidInput,
    NotFound,
    PatchbayError,
)
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_rules
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Opaque, Ports, Rule
from ansible_collections.patchbay.netns.plugins.module_utils._objects import forward_rules, forwarding, nat
from ansible_collections.patchbay.netns.plugins.module_utils._objects.forward import Forward
from ansible_collections.patchbay.netns.plugins.module_utils._objects.forward_rules import Service, Target
from ansible_collections.patchbay.netns.plugins.module_utils._objects.masquerade import Masquerade
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Hold, Sysctl
from ansible_collections.patchbay.netns.plugins.module_utils._objects.way import Way
from hypothesis import assume, given
from hypothesis import strategies as st

LAB = ipaddress.ip_network("192.168.15.0/24")
BLUE = ipaddress.ip_address("192.168.15.2")


def masquerade(**params: t.Any) -> Masquerade:
    return Masquerade.from_params({"source": "192.168.15.0/24", **params})


def forward(**params: t.Any) -> Forward:
    return Forward.from_params({"protocol": "tcp", "port": "80", "to_address": "192.168.15.2", **params})


REFUSED: list[tuple[t.Callable[..., t.Any], dict[str, t.Any], str]] = [
    (masquerade, {"source": "192.168.15.0"}, "did you mean"),
    (masquerade, {"source": "192.168.15.5/24"}, "did you mean the network 192.168.15.0/24"),
    (masquerade, {"source": "lab"}, "source"),
    (masquerade, {"source": None}, "source is missing"),
    (masquerade, {"source": "224.0.0.0/4"}, "multicast"),
    (masquerade, {"source": "127.0.0.0/8"}, "loopback"),
    (masquerade, {"source": "fe80::/10"}, "link-local"),
    (masquerade, {"out_interface": "a-name-of-16-bytes"}, "at most 15"),
    (masquerade, {"out_interface": "eth 0"}, "out_interface"),
    (masquerade, {"out_interface": "a/b"}, "out_interface"),
    (masquerade, {"out_interface": ""}, "out_interface"),
    (masquerade, {"exclude": ["10.0.0.1/8"]}, "exclude: 10.0.0.1/8 is a host address"),
    (masquerade, {"exclude": ["fd00::/8"]}, "exclude: fd00::/8 is IPv6 but source 192.168.15.0/24 is IPv4"),
    (masquerade, {"exclude": ["0.0.0.0/0"]}, "nothing would be translated"),
    (masquerade, {"exclude": ["10.0.0.0/8", "10.0.0.0/8"]}, "listed twice"),
    (masquerade, {"to_ports": "0-10"}, "to_ports: 0 is no port number"),
    (masquerade, {"to_ports": "70000"}, "to_ports: 70000 is no port number"),
    (masquerade, {"to_ports": "90-80"}, "did you mean 80-90"),
    (masquerade, {"netns": "a/b"}, "netns"),
    (forward, {"protocol": None}, "protocol is missing"),
    (forward, {"protocol": "icmp"}, "choose tcp, udp or sctp"),
    (forward, {"port": None}, "port is missing"),
    (forward, {"port": "0"}, "port: 0 is no port number"),
    (forward, {"port": "70000"}, "port: 70000"),
    (forward, {"port": "90-80"}, "did you mean 80-90"),
    (forward, {"to_port": "0"}, "to_port: 0"),
    (forward, {"port": "80-90", "to_port": "80"}, "shrinks"),
    (forward, {"port": "80", "to_port": "80-90"}, "grows"),
    (forward, {"port": "1-2000", "to_port": "2-2001"}, "1024 ports at most"),
    (forward, {"to_address": None}, "to_address is missing"),
    (forward, {"to_address": "192.168.15.2/24"}, "write 192.168.15.2"),
    (forward, {"to_address": "blue"}, "to_address"),
    (forward, {"to_address": "0.0.0.0"}, "unspecified"),
    (forward, {"to_address": "127.0.0.1"}, "loopback"),
    (forward, {"to_address": "224.0.0.1"}, "multicast"),
    (forward, {"to_address": "::"}, "unspecified"),
    (forward, {"to_address": "fe80::1"}, "link-local"),
    (forward, {"address": "0.0.0.0"}, "leave the option out to forward on every local address"),
    (forward, {"address": "127.0.0.1"}, "set localhost: true"),
    (forward, {"address": "224.0.0.1"}, "multicast"),
    (forward, {"address": "203.0.113.1/24"}, "write 203.0.113.1"),
    (forward, {"address": "192.168.15.2"}, "leads to another address"),
    (forward, {"address": "2001:db8::1"}, "address 2001:db8::1 is IPv6 but to_address 192.168.15.2 is IPv4"),
    (forward, {"sources": ["2001:db8::/32"]}, "sources 2001:db8::/32 is IPv6 but to_address 192.168.15.2 is IPv4"),
    (forward, {"sources": ["192.168.15.5/24"]}, "did you mean the network 192.168.15.0/24"),
    (forward, {"sources": ["10.0.0.0/8", "10.0.0.0/8"]}, "listed twice"),
    (forward, {"in_interface": "lo"}, "local: true"),
    (forward, {"in_interface": "a-name-of-16-bytes"}, "at most 15"),
    (forward, {"to_address": "fd00::2", "localhost": True}, "never lets ::1 leave"),
    (forward, {"netns": ".."}, "netns"),
]


@pytest.mark.parametrize(
    ("make", "params", "said"), REFUSED, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_bad_input_is_refused_in_one_sentence(
    make: t.Callable[..., t.Any], params: dict[str, t.Any], said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(**params)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("192.168.15.0/24", ["192.168.15.0/24", "224.0.0.0/4"]),
        ("fd00:15::/64", ["fd00:15::/64", "fe80::/10", "ff00::/8"]),
        ("0.0.0.0/0", ["224.0.0.0/4"]),
    ],
)
def test_what_is_excluded_by_default(source: str, expected: list[str]) -> None:
    assert [str(network) for network in masquerade(source=source).exclude] == expected
    assert masquerade(source=source, exclude=[]).exclude == ()


# ---- worlds

texts = st.text(alphabet="ab0.:[]\"'~ é/\\", max_size=120)
sources = st.sampled_from(["192.168.15.0/24", "10.0.0.0/8", "0.0.0.0/0", "fd00:15::/64", "::/0"])
interfaces = st.none() | st.sampled_from(["eth0", "eth0.100", "strange[name]", "quote\"'"])
masquerades = st.builds(
    masquerade,
    source=sources,
    out_interface=interfaces,
    exclude=st.none() | st.just([]),
    random=st.booleans(),
    to_ports=st.none() | st.sampled_from(["1024-65535", "5000"]),
    forwarding=st.booleans(),
    state=st.sampled_from(["present", "absent"]),
)
v4 = st.fixed_dictionaries(
    {"to_address": st.sampled_from(["192.168.15.2", "192.168.15.1"])},
    optional={"address": st.just("203.0.113.1"), "sources": st.just(["10.0.0.0/8"]), "localhost": st.booleans()},
)
v6 = st.fixed_dictionaries({"to_address": st.just("fd00:15::2")}, optional={"sources": st.just(["2001:db8::/32"])})


@st.composite
def forwards(draw: t.Any) -> Forward:
    port, to_port = draw(
        st.sampled_from([("80", None), ("80", "8080"), ("80-82", None), ("81-83", "91-93"), ("90", "80")])
    )
    params = draw(v4 | v6)
    for name in ("local", "hairpin", "forwarding"):
        params[name] = draw(st.booleans())
    params["state"] = draw(st.sampled_from(["present", "present", "absent"]))
    return forward(
        protocol=draw(st.sampled_from(["tcp", "udp"])),
        port=port,
        to_port=to_port,
        in_interface=draw(interfaces),
        **params,
    )


def world(*, v4_on: str = "0", v6_on: str = "0", network: bool = True) -> State:
    lab6 = ipaddress.ip_network("fd00:15::/64")
    ways = [
        Way(None, BLUE, "br0", LAB if network else None),
        Way(None, ipaddress.ip_address("192.168.15.1"), "br0", LAB if network else None),
        Way(None, ipaddress.ip_address("fd00:15::2"), "br0", lab6 if network else None),
    ]
    return State(
        [
            *ways,
            Sysctl(None, "net.ipv4.ip_forward", v4_on),
            Sysctl(None, "net.ipv6.conf.all.forwarding", v6_on),
            Sysctl(None, "net.ipv4.conf.br0.route_localnet", "0"),
        ]
    )


worlds = st.builds(world, v4_on=st.sampled_from(["0", "1"]), v6_on=st.sampled_from(["0", "1"]), network=st.booleans())
wishes = st.one_of(masquerades, forwards())


def planned(wish: t.Any, state: State) -> list[Step]:
    try:
        return wish.plan(state)
    except PatchbayError:
        assume(False)
        raise


@given(state=worlds, crowd=st.lists(wishes, max_size=5), wish=wishes)
def test_after_a_plan_nothing_is_left_to_do_whatever_else_is_there(
    state: State, crowd: list[t.Any], wish: t.Any
) -> None:
    for other in crowd:
        state = project(state, planned(other, state))
    steps = planned(wish, state)
    reached = project(state, steps)
    assert wish.plan(reached) == []
    assert bool(wish.view(reached)) == wish.present
    back = reached
    for step in reversed(steps):
        for backward in step.undo():
            back = backward.project(back)
    assert back == state


@given(state=worlds, crowd=st.lists(wishes, max_size=6))
def test_when_all_are_absent_everything_is_as_it_was(state: State, crowd: list[t.Any]) -> None:
    before = state
    for wish in crowd:
        state = project(state, planned(wish, state))
    for wish in crowd:
        gone = type(wish)(
            **{**wish.__dict__, "present": False, **({"target": None} if isinstance(wish, Forward) else {})}
        )
        state = project(state, gone.plan(state))
    assert state == before


@given(crowd=st.lists(wishes, max_size=6))
def test_settings_open_after_the_rules_that_guard_them(crowd: list[t.Any]) -> None:
    state = world()
    for wish in crowd:
        for step in planned(wish, state):
            state = step.project(state)
            opened = state.get(("sysctl", None, "net.ipv4.conf.br0.route_localnet")).value == "1"
            guarded = any(rule.chain == "guard" for found in state.of(nat.NatObject) for rule in found.rules)
            assert guarded or not opened


@given(kind=st.sampled_from(["masquerade", "forward"]), text=texts, part=st.sampled_from(["all", "in", "localhost"]))
def test_comments_are_short_enough_and_found_again(kind: str, text: str, part: str) -> None:
    name = nat.identity(text)
    comment = nat.comment(kind, name, part)
    assert len(comment.encode()) <= 120
    assert '"' not in comment
    rule = Rule("postrouting", nft_rules.Drop(), comment)
    assert nat.owner(rule) == (kind, name)
    assert nat.part(rule) == part
    assert nat.identity(text + "x") != name


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "mine",
        "patchbay",
        "patchbay masquerade 10.0.0.0/8 all",
        "a patchbay masquerade [x] all",
        "patchbay veth [x] all",
    ],
)
def test_rules_of_others_are_not_ours(comment: str) -> None:
    assert nat.owner(Rule("postrouting", nft_rules.Drop(), comment)) is None


def test_a_rule_of_another_shape_is_replaced_and_shown_as_such() -> None:
    wish = masquerade()
    state = project(world(), wish.plan(world()))
    (found,) = state.of(nat.NatObject)
    strange = Rule("postrouting", Opaque((("lookup", b""),)), found.rules[0].comment, handle=9)
    altered = state.changed([found], [nat.NatObject(None, found.kind, found.identity, (strange,))])
    assert wish.view(altered)["rules"] == ["postrouting: # a rule of another shape: lookup"]
    (step,) = wish.plan(altered)
    assert step.commands()[0] == "nft delete rule inet patchbay postrouting handle 9"
    assert project(altered, [step]) == state


def test_commands_of_a_namespace_run_there() -> None:
    wish = masquerade(netns="red")
    state = State([Sysctl("red", "net.ipv4.ip_forward", "0")])
    commands = [command for step in wish.plan(state) for command in step.commands()]
    assert commands[0] == "ip netns exec red nft add table inet patchbay"
    assert all(command.startswith("ip netns exec red ") for command in commands)


def test_a_strange_chain_of_our_name_is_a_conflict() -> None:
    table = nat.NatTable(
        None, frozenset(["postrouting"]), frozenset(["postrouting"]), strange=frozenset(["postrouting"])
    )
    with pytest.raises(Conflict, match="somebody else made it"):
        masquerade().plan(State([*world(), table]))
    assert forward(hairpin=False, local=False).plan(State([*world(), table]))


def test_warnings_name_what_is_switched_on_and_only_then() -> None:
    assert "net.ipv4.ip_forward is switched on" in masquerade().warnings(world(), world())[0]
    assert masquerade().warnings(world(v4_on="1")) == []
    assert masquerade(forwarding=False).warnings(world(), world()) == []
    assert masquerade(state="absent").warnings(world(), world()) == []
    assert forward(hairpin=False).warnings(world(v4_on="1")) == []
    assert "no connected network" in forward().warnings(world(v4_on="1", network=False))[0]


def test_a_deaf_bridge_port_is_named() -> None:
    state = world(v4_on="1").changed((), [Way(None, BLUE, "br0", LAB, "veth-blue-br")])
    (warning,) = forward().warnings(state)
    assert "Set hairpin: true on veth-blue-br" in warning
    assert "net.bridge.bridge-nf-call-iptables=1" in warning


def test_localhost_needs_a_way() -> None:
    state = world().changed((), [Way(None, BLUE)])
    with pytest.raises(NotFound, match="needs a route to to_address 192"):
        forward(localhost=True).plan(state)


# ---- router advertisements

RA = "net.ipv6.conf.eth0.accept_ra"


def advertised(value: str, *holds: Hold) -> State:
    return State([*world(), forwarding.Advertised(None, "eth0"), Sysctl(None, RA, value), *holds])


def test_router_advertisements_are_heard_before_forwarding_begins() -> None:
    wish = masquerade(source="fd00:15::/64")
    commands = [command for step in wish.plan(advertised("1")) for command in step.commands()]
    assert commands[-2:] == [f"sysctl -w {RA}=2", "sysctl -w net.ipv6.conf.all.forwarding=1"]
    state = project(advertised("1"), wish.plan(advertised("1")))
    gone = masquerade(source="fd00:15::/64", state="absent")
    commands = [command for step in gone.plan(state) for command in step.commands()]
    assert commands[:2] == ["sysctl -w net.ipv6.conf.all.forwarding=0", f"sysctl -w {RA}=1"]


@pytest.mark.parametrize("value", ["0", "2"])
def test_devices_that_need_no_help_are_left_alone(value: str) -> None:
    """0: somebody else reads the advertisements (NetworkManager, systemd-networkd); 2: set by the administrator."""
    steps = masquerade(source="fd00:15::/64").plan(advertised(value))
    assert not [command for step in steps for command in step.commands() if "accept_ra" in command]


def test_a_device_that_is_gone_is_let_go() -> None:
    wish = masquerade(source="fd00:15::/64")
    held = Hold(None, RA, "1", frozenset([wish._holder]))
    state = State([*world(v6_on="1"), held])
    assert all(item.key != held.key for item in project(state, wish.plan(state)))


# ---- forwards

services = st.builds(
    Service,
    family=st.just(4),
    protocol=st.sampled_from(["tcp", "udp"]),
    ports=st.sampled_from([Ports(80, 80), Ports(80, 90), Ports(85, 95), Ports(91, 91)]),
    address=st.none() | st.sampled_from([ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")]),
    in_interface=st.none() | st.sampled_from(["eth0", "eth1"]),
)


@given(one=services, two=services)
def test_overlap_is_mutual(one: Service, two: Service) -> None:
    assert one.overlaps(two) == two.overlaps(one)
    assert one.overlaps(one)


@given(
    service=services,
    sources=st.lists(
        st.sampled_from([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("172.16.0.0/12")]), unique=True
    ),
    shift=st.sampled_from([None, 0, 1000]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_what_is_built_is_shown(
    service: Service, sources: list[t.Any], shift: int | None, flags: tuple[bool, bool, bool]
) -> None:
    inside = None if shift is None else Ports(service.ports.low + shift, service.ports.high + shift)
    local, localhost, hairpin = flags
    target = Target(BLUE, inside, tuple(sources), local, localhost, LAB if hairpin else None)
    found = nat.NatObject(None, "forward", service.identity, forward_rules.build(service, target))
    shown = forward_rules.shown(found)
    assert shown["port"] == str(service.ports)
    assert shown["to_port"] == str(inside or service.ports)
    assert shown["sources"] == [str(source) for source in sources]
    assert (shown["local"], shown["localhost"], shown["hairpin"]) == (local, localhost, str(LAB) if hairpin else None)
    assert (shown["address"], shown["in_interface"]) == (
        str(service.address) if service.address else None,
        service.in_interface,
    )
    claims = forward_rules.claims(found)
    assert claims["in"] == service
    assert ("local" in claims, "localhost" in claims) == (local, localhost)


@given(service=services, other=services)
def test_only_what_is_meant_is_translated(service: Service, other: Service) -> None:
    """Every translation tests the protocol, the port and a destination; pitfalls 1 and 2."""
    for rule in forward_rules.build(service, Target(BLUE, None, (), True, True, LAB)):
        if rule.chain in ("prerouting", "output"):
            assert rule.protocol
            assert rule.ports
            assert rule.local_destination or rule.destination
        if rule.chain == "output":
            loopback = forward_rules.LOOPBACK[4]
            assert loopback in rule.not_destinations or rule.destination is not None
        if rule.chain == "postrouting":
            assert rule.translated


def test_absent_without_addresses_means_both_versions() -> None:
    gone = forward(to_address=None, state="absent")
    assert [service.family for service in gone.services] == [4, 6]
    assert [service.family for service in forward(state="absent").services] == [4]
    assert [service.family for service in forward(to_address=None, address="fd00::1", state="absent").services] == [6]


def test_an_overlap_names_the_other() -> None:
    wish = forward()
    state = project(world(), wish.plan(world()))
    with pytest.raises(Conflict, match=r"the forward of tcp 80 ipv4 to 192\.168\.15\.2 takes in the same packets"):
        forward(port="70-90").plan(state)
    assert forward(port="70-90", protocol="udp").plan(state)
    assert forward(port="70-90", to_address="fd00:15::2").plan(state)
