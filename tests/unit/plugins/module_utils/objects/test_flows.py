# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which flows are stale when translation changes, decided without a kernel; and the step that ends them."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import conntrack
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.conntrack import Ends, Flow
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._objects import flows
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import (
    ForwardSpec,
    MasqueradeSpec,
    Service,
    Spec,
    Target,
)
from ansible_collections.patchbay.netns.plugins.module_utils._objects.surroundings import (
    PortMap,
    Prefixes,
    Surroundings,
)
from hypothesis import given
from hypothesis import strategies as st

HOST, EXT, FAR = "203.0.113.1", "203.0.113.9", "8.8.8.8"
RED, BLUE, GATEWAY = "192.168.15.1", "192.168.15.2", "192.168.15.5"
LAB = ipaddress.ip_network("192.168.15.0/24")
LAB6 = ipaddress.ip_network("fd00:15::/64")
TWIN = {
    HOST: "2001:db8:113::1",
    EXT: "2001:db8:113::9",
    FAR: "2001:4860:4860::8888",
    RED: "fd00:15::1",
    BLUE: "fd00:15::2",
    GATEWAY: "fd00:15::5",
    "127.0.0.1": "::1",
}
versions = pytest.mark.parametrize("version", [4, 6])


def network(text: str) -> t.Any:
    return ipaddress.ip_network(text)


def number(text: str) -> int:
    return int(ipaddress.ip_address(text))


def surroundings() -> Surroundings:
    """HOST: 203.0.113.1 on uplink, behind which is everything, and the bridge of the lab."""
    around = Surroundings()
    for local, device in (("127.0.0.0/8", "lo"), (f"{HOST}/32", "uplink"), (f"{GATEWAY}/32", "br")):
        around.add_local(network(local), device)
    for local, device in (("::1", "lo"), (TWIN[HOST], "uplink"), (TWIN[GATEWAY], "br"), ("fe80::1", "uplink")):
        around.add_local(network(local), device)
    for there, device in (("203.0.113.0/24", "uplink"), ("0.0.0.0/0", "uplink"), (str(LAB), "br")):
        around.add_route(network(there), [device])
    for there, device in (("2001:db8:113::/64", "uplink"), ("::/0", "uplink"), (str(LAB6), "br")):
        around.add_route(network(there), [device])
    return around


AROUND = surroundings()


def to(target: str, *, service: dict[str, t.Any] | None = None, **options: t.Any) -> ForwardSpec:
    address = ipaddress.ip_address(target)
    about: dict[str, t.Any] = {"protocol": "udp", "ports": Ports(80, 80), **(service or {})}
    return ForwardSpec(Service(address.version, **about), Target(address, **options))


def hide(source: str = str(LAB), **options: t.Any) -> MasqueradeSpec:
    return MasqueradeSpec(network(source), **{"exclude": (network(source),) if source == str(LAB) else (), **options})


def flow(source: str, destination: str, *, through: str = "", under: str = "", **options: t.Any) -> Flow:
    """From port 5000 to port 80 unless told; ``through`` is who answers, ``under`` whom he takes it to come from."""
    port = options.pop("port", 80)
    inside = options.pop("inside", port)
    outside = options.pop("outside", 5000)
    original = Ends(number(source), 5000, number(destination), port)
    reply = Ends(number(through or destination), inside, number(under or source), outside)
    version = ipaddress.ip_address(source).version
    values: dict[str, t.Any] = {"protocol": "udp", "established": False, "zone": 0, "id": b"", "names": (), **options}
    return Flow(version, original=original, reply=reply, **values)


def stale(found: Flow, old: t.Sequence[Spec], new: t.Sequence[Spec]) -> bool:
    return stale_around(AROUND, found, old, new)


def stale_around(around: Surroundings, found: Flow, old: t.Sequence[Spec], new: t.Sequence[Spec]) -> bool:
    before, after = (flows.Translation(specs, around) for specs in (old, new))
    return bool(list(flows.stale([found], before, after)))


def twin(found: Flow) -> Flow:
    """The same flow in IPv6."""
    back = {number(four): number(six) for four, six in TWIN.items()}
    original, reply = (
        Ends(back[ends.source], ends.source_port, back[ends.destination], ends.destination_port)
        for ends in (found.original, found.reply)
    )
    return replace(found, family=6, original=original, reply=reply)


TO_RED, TO_BLUE = to(RED), to(BLUE)
THROUGH_RED = flow(EXT, HOST, through=RED)
EXT_ONLY, FAR_ONLY = (network(f"{EXT}/32"),), (network(f"{FAR}/32"),)
UPLINK, BRIDGE = {"in_interface": "uplink"}, {"in_interface": "br"}

FORWARDS: dict[str, tuple[Flow, list[Spec], list[Spec], bool]] = {
    "target moved": (THROUGH_RED, [TO_RED], [TO_BLUE], True),
    "moved, and the flow goes there": (flow(EXT, HOST, through=BLUE), [TO_RED], [TO_BLUE], False),
    "moved, and the flow goes to a third, older one": (flow(EXT, HOST, through=GATEWAY), [TO_RED], [TO_BLUE], True),
    "removed": (THROUGH_RED, [TO_RED], [], True),
    "removed, and the flow never met it": (flow(EXT, HOST), [TO_RED], [], False),
    "added": (flow(EXT, HOST), [], [TO_RED], True),
    "unchanged, whatever the flow does": (flow(EXT, HOST), [TO_RED], [TO_RED], False),
    "another port": (flow(EXT, HOST, port=81), [], [TO_RED], False),
    "another protocol": (flow(EXT, HOST, protocol="tcp"), [], [TO_RED], False),
    "another family": (twin(flow(EXT, HOST)), [], [TO_RED], False),
    "another zone": (flow(EXT, HOST, zone=7), [], [TO_RED], False),
    "another machine's port": (flow(RED, EXT), [], [TO_BLUE], False),
    "at the address named": (flow(EXT, HOST), [], [to(RED, service={"address": ipaddress.ip_address(HOST)})], True),
    "at another address": (flow(EXT, HOST), [], [to(RED, service={"address": ipaddress.ip_address(GATEWAY)})], False),
    "the named address goes before any": (
        THROUGH_RED,
        [TO_RED],
        [TO_RED, to(BLUE, service={"address": ipaddress.ip_address(HOST)})],
        True,
    ),
    "let in still": (THROUGH_RED, [TO_RED], [to(RED, sources=EXT_ONLY)], False),
    "let in no more": (THROUGH_RED, [TO_RED], [to(RED, sources=FAR_ONLY)], True),
    "let in now": (flow(EXT, HOST), [to(RED, sources=FAR_ONLY)], [to(RED, sources=(*FAR_ONLY, *EXT_ONLY))], True),
    "in by its interface": (flow(EXT, HOST), [], [to(RED, service=UPLINK)], True),
    "the named interface goes before any": (THROUGH_RED, [TO_RED], [TO_RED, to(BLUE, service=UPLINK)], True),
    "in by another interface": (flow(EXT, HOST), [], [to(RED, service=BRIDGE)], False),
    "in by an interface of the lab": (flow(BLUE, HOST), [], [to(RED, service=BRIDGE)], True),
    "the machine's own": (flow(HOST, HOST), [], [TO_RED], True),
    "the machine's own, by whatever interface": (flow(HOST, HOST), [], [to(RED, service=BRIDGE)], True),
    "the machine's own, not local": (flow(HOST, HOST), [], [to(RED, local=False)], False),
    "the machine's own, not among sources": (flow(HOST, HOST), [], [to(RED, sources=EXT_ONLY)], False),
    "the machine's own to loopback": (flow("127.0.0.1", "127.0.0.1"), [], [TO_RED], False),
    "local goes": (flow(HOST, HOST, through=RED), [TO_RED], [to(RED, local=False)], True),
    "hairpin comes": (flow(BLUE, HOST, through=RED), [TO_RED], [to(RED, hairpin=LAB)], True),
    "hairpin goes": (flow(BLUE, HOST, through=RED, under=GATEWAY), [to(RED, hairpin=LAB)], [TO_RED], True),
    "hairpin is there": (flow(BLUE, HOST, through=RED, under=GATEWAY), [to(BLUE)], [to(RED, hairpin=LAB)], False),
    "hairpin is not for others": (THROUGH_RED, [TO_RED], [to(RED, hairpin=LAB)], False),
    "same number, said": (THROUGH_RED, [TO_RED], [to(RED, ports=Ports(80, 80))], False),
    "other number": (THROUGH_RED, [TO_RED], [to(RED, ports=Ports(8080, 8080))], True),
    "shifted, and there already": (
        flow(EXT, HOST, through=RED, port=85, inside=1005),
        [],
        [to(RED, service={"ports": Ports(80, 90)}, ports=Ports(1000, 1010))],
        False,
    ),
    "shifted otherwise": (
        flow(EXT, HOST, through=RED, port=85, inside=1000),
        [],
        [to(RED, service={"ports": Ports(80, 90)}, ports=Ports(1000, 1010))],
        True,
    ),
}
MASQUERADED = flow(RED, FAR, under=HOST)
MASQUERADES: dict[str, tuple[Flow, list[Spec], list[Spec], bool]] = {
    "added": (flow(RED, FAR), [], [hide()], True),
    "added, and somebody else does it": (MASQUERADED, [], [hide()], False),
    "added, and the flow has the address of another interface": (flow(RED, FAR, under=GATEWAY), [], [hide()], True),
    "removed": (MASQUERADED, [hide()], [], True),
    "removed, and the flow never met it": (flow(RED, FAR), [hide()], [], False),
    "another source": (flow(EXT, FAR), [], [hide()], False),
    "excluded": (flow(RED, BLUE), [], [hide()], False),
    "excluded now": (MASQUERADED, [hide()], [hide(exclude=FAR_ONLY)], True),
    "to the machine itself": (flow(RED, HOST), [], [hide()], False),
    "out of its interface": (flow(RED, FAR), [], [hide(out_interface="uplink")], True),
    "out of another interface": (flow(RED, FAR), [], [hide(out_interface="br")], False),
    "another one still does it": (MASQUERADED, [hide(), hide(out_interface="uplink")], [hide()], False),
    "a wider one still does it": (MASQUERADED, [hide(), hide("192.168.0.0/16")], [hide("192.168.0.0/16")], False),
    "ping": (flow(RED, FAR, protocol="1"), [], [hide()], True),
    "random": (MASQUERADED, [hide()], [hide(random=True)], False),
    "held to ports": (MASQUERADED, [hide()], [hide(to_ports=Ports(6000, 6999))], True),
    "held to ports that it has": (MASQUERADED, [hide()], [hide(to_ports=Ports(5000, 5999))], False),
    "held to ports, which a ping has none of": (
        replace(MASQUERADED, protocol="1"),
        [hide()],
        [hide(to_ports=Ports(6000, 6999))],
        False,
    ),
    "held to ports no more": (MASQUERADED, [hide(to_ports=Ports(5000, 5999))], [hide()], False),
    "the most specific one holds": (
        MASQUERADED,
        [hide()],
        [hide(to_ports=Ports(5000, 5999)), hide("0.0.0.0/0", to_ports=Ports(6000, 6999))],
        False,
    ),
    "the one with an interface holds": (
        MASQUERADED,
        [hide()],
        [hide(to_ports=Ports(6000, 6999)), hide(out_interface="uplink", to_ports=Ports(5000, 5999))],
        False,
    ),
    "would give the address that it has": (flow(HOST, FAR), [], [hide("0.0.0.0/0")], False),
    "of everything, for a forward's flow": (THROUGH_RED, [TO_RED], [TO_RED, hide("0.0.0.0/0")], True),
    "of everything, removed for a forward's flow": (
        flow(EXT, HOST, through=RED, under=GATEWAY),
        [TO_RED, hide("0.0.0.0/0")],
        [TO_RED],
        True,
    ),
    "the destination counts that the forward gave": (flow(RED, HOST, through=FAR), [to(FAR)], [to(FAR), hide()], True),
}


@pytest.mark.parametrize(("found", "old", "new", "expected"), FORWARDS.values(), ids=list(FORWARDS))
def test_forwards(found: Flow, old: list[Spec], new: list[Spec], expected: bool) -> None:
    assert stale(found, old, new) is expected


@pytest.mark.parametrize(("found", "old", "new", "expected"), MASQUERADES.values(), ids=list(MASQUERADES))
def test_masquerades(found: Flow, old: list[Spec], new: list[Spec], expected: bool) -> None:
    assert stale(found, old, new) is expected


@pytest.mark.parametrize(
    ("found", "old", "new", "expected"),
    [
        (THROUGH_RED, [to(TWIN[RED])], [to(TWIN[BLUE])], True),
        (flow(EXT, HOST), [], [to(TWIN[RED])], True),
        (flow("127.0.0.1", "127.0.0.1"), [], [to(TWIN[RED])], False),
        (flow(RED, FAR), [], [hide(str(LAB6))], True),
        (MASQUERADED, [], [hide(str(LAB6))], False),
        (MASQUERADED, [hide(str(LAB6))], [], True),
    ],
)
def test_ipv6(found: Flow, old: list[Spec], new: list[Spec], expected: bool) -> None:
    assert stale(twin(found), old, new) is expected


def test_loopback_is_forwarded_whatever_else_the_forward_says() -> None:
    mine = flow("127.0.0.1", "127.0.0.1")
    wanted = to(
        RED, service={**BRIDGE, "address": ipaddress.ip_address(HOST)}, loopback=True, sources=EXT_ONLY, local=False
    )
    assert stale(mine, [], [wanted])
    assert not stale(replace(mine, reply=Ends(number(RED), 80, number(GATEWAY), 1024)), [], [wanted])


# ---- what is known about interfaces


def test_of_several_ways_back_each_may_be_the_one_it_came_by() -> None:
    around = surroundings()
    around.add_route(network("0.0.0.0/0"), ["vpn"], table=100)
    for device, expected in (("uplink", True), ("vpn", True), ("br", False)):
        assert stale_around(around, flow(FAR, HOST), [], [to(RED, service={"in_interface": device})]) is expected


def test_the_most_specific_route_with_the_lowest_metric_counts() -> None:
    around = surroundings()
    around.add_route(network("8.8.0.0/16"), ["one", "two"], metric=10)
    around.add_route(network("8.8.0.0/16"), ["three"], metric=20)
    assert around.devices(4, number(FAR)) == {"one", "two"}
    assert around.devices(4, number(EXT)) == {"uplink"}
    assert around.devices(6, number(FAR)) == {"uplink"}


def test_without_an_address_on_the_interface_any_own_address_may_be_given() -> None:
    around = surroundings()
    around.add_route(network("8.8.0.0/16"), ["bare"])
    assert around.masks(4, number(FAR), number(HOST))
    assert not around.masks(4, number(FAR), number(RED))
    assert not AROUND.masks(4, number(FAR), number(GATEWAY))


def test_a_link_local_address_is_given_to_nobody() -> None:
    around = surroundings()
    around.add_local(network("fe80::5"), "bare")
    around.add_route(network("2001:4860::/32"), ["bare"])
    assert around.masks(6, number(TWIN[FAR]), number(TWIN[HOST]))


def test_only_ways_that_no_interface_decides_are_sure() -> None:
    """A flow is led there only if it can't be wrong; else the rules are asked again."""
    assert flows.Translation([TO_RED], AROUND).is_sure(THROUGH_RED)
    assert flows.Translation([], AROUND).is_sure(THROUGH_RED)
    assert not flows.Translation([to(RED, service=UPLINK)], AROUND).is_sure(THROUGH_RED)


@pytest.mark.parametrize(
    ("found", "new", "expected"),
    [
        (THROUGH_RED, [TO_BLUE], True),
        (THROUGH_RED, [], True),
        (flow(EXT, HOST), [TO_BLUE], True),
        (replace(THROUGH_RED, protocol="tcp", established=True), [], True),
        (replace(THROUGH_RED, protocol="tcp"), [], False),
        (replace(THROUGH_RED, protocol="sctp", established=True), [], False),
        (flow(BLUE, HOST, through=RED, under=GATEWAY), [], False),
        (flow(BLUE, HOST), [to(RED, hairpin=LAB)], False),
        (MASQUERADED, [], False),
        (flow(RED, FAR), [hide()], False),
    ],
)
def test_who_may_go_on_talking_to_the_client(found: Flow, new: list[Spec], expected: bool) -> None:
    assert flows.could_come_back(found, flows.Translation(new, AROUND).way(found)) is expected


# ---- laws

_ports = st.builds(lambda low, more: Ports(low, low + more), st.integers(79, 83), st.integers(0, 2))
_sources = st.lists(st.sampled_from([*EXT_ONLY, *FAR_ONLY, LAB]), max_size=2, unique=True).map(tuple)
_forwards = st.builds(
    ForwardSpec,
    st.builds(
        Service,
        st.just(4),
        st.just("udp"),
        _ports,
        st.sampled_from([None, ipaddress.ip_address(HOST)]),
        st.sampled_from([None, "uplink", "br"]),
    ),
    st.builds(
        Target,
        st.sampled_from([ipaddress.ip_address(RED), ipaddress.ip_address(BLUE)]),
        st.none(),
        _sources,
        st.booleans(),
        st.booleans(),
        st.sampled_from([None, LAB]),
    ),
)
_masquerades = st.builds(
    MasqueradeSpec,
    st.sampled_from([LAB, network("0.0.0.0/0"), network(f"{RED}/32")]),
    st.sampled_from([None, "uplink", "br"]),
    st.sampled_from([(), (LAB,), FAR_ONLY]),
)
_specs = st.lists(st.one_of(_forwards, _masquerades), max_size=4)
_addresses = st.sampled_from([HOST, EXT, FAR, RED, BLUE, GATEWAY, "127.0.0.1"])
_flows = st.builds(
    lambda one, two, three, four, port: flow(one, two, through=three, under=four, port=port),
    _addresses,
    _addresses,
    _addresses,
    _addresses,
    st.integers(78, 86),
)


@given(_flows, _specs)
def test_without_a_change_nothing_is_stale(found: Flow, specs: list[Spec]) -> None:
    assert not stale(found, specs, specs)
    assert flows.forget(None, specs, list(reversed(specs))) == []


@given(_flows, _specs, _specs)
def test_a_flow_that_was_led_the_new_way_is_stale_no_more(found: Flow, one: list[Spec], two: list[Spec]) -> None:
    if stale(found, one, two):
        way = flows.Translation(two, AROUND).way(found)
        device = next(iter(AROUND.devices(4, way.destination)))
        mask = number({"uplink": HOST, "br": GATEWAY}[device]) if way.masqueraded else found.original.source
        led = replace(found, reply=Ends(way.destination, way.port, mask, found.original.source_port))
        assert not stale(led, one, two)
        assert led.reply != found.reply


@given(_flows, _specs, _specs)
def test_every_stale_flow_is_read_from_the_kernel(found: Flow, old: list[Spec], new: list[Spec]) -> None:
    """The quick look at protocol, port and source leaves none out."""
    if stale(found, old, new):
        wanted = flows._concerned(flows._changed(old, new))
        assert wanted(found.family, found.protocol, found.original)


@given(st.lists(st.tuples(_ports, st.integers())), st.integers(70, 90))
def test_a_port_finds_every_range_that_has_it(items: list[tuple[Ports, int]], port: int) -> None:
    assert PortMap(items).of(port) == [value for ports, value in items if ports.low <= port <= ports.high]


_networks = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda pair: ipaddress.ip_network(pair, False))


@given(st.dictionaries(_networks, st.integers()), st.integers(0, 2**32 - 1))
def test_an_address_finds_its_networks_the_most_specific_first(known: dict[t.Any, int], address: int) -> None:
    prefixes: Prefixes[int] = Prefixes(4)
    for one, value in known.items():
        prefixes.setdefault(one, value)
    fitting = [one for one in known if ipaddress.ip_address(address) in one]
    assert list(prefixes.of(address)) == [known[one] for one in sorted(fitting, key=lambda one: -one.prefixlen)]


# ---- the step


def test_no_change_is_no_step() -> None:
    assert flows.forget(None, [TO_RED, hide()], [hide(random=True), TO_RED]) == []


def test_a_change_is_one_step_that_changes_no_item() -> None:
    (step,) = flows.forget("red", [TO_RED], [TO_BLUE], reset_established=True)
    assert isinstance(step, flows.ForgetFlows)
    assert (step.netns, step.old, step.new, step.reset_established) == ("red", (TO_RED,), (TO_BLUE,), True)
    assert step.undo() == []
    assert step.project(State()) == State()


@pytest.mark.parametrize(
    ("reset", "protocol", "ended"), [(False, "tcp", False), (True, "tcp", True), (False, "udp", True)]
)
def test_established_connections_stay_unless_told(
    monkeypatch: pytest.MonkeyPatch, reset: bool, protocol: str, ended: bool
) -> None:
    found = replace(THROUGH_RED, protocol=protocol, established=protocol == "tcp")
    led: list[t.Any] = []
    monkeypatch.setattr(conntrack, "flows", lambda *_args: [found])
    monkeypatch.setattr(conntrack, "redirect", lambda *args: led.append(args[2:]))
    monkeypatch.setattr(flows, "observe", lambda *_args: AROUND)
    old, new = ([to(target, service={"protocol": protocol})] for target in (RED, BLUE))
    (step,) = flows.forget(None, old, new, reset_established=reset)
    step.apply(t.cast(t.Any, None))
    assert led == ([(found, number(BLUE), 80)] if ended else [])


def test_what_may_depend_on_an_interface_is_forgotten_and_not_led(monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[t.Any] = []
    monkeypatch.setattr(conntrack, "flows", lambda *_args: [THROUGH_RED])
    monkeypatch.setattr(conntrack, "forget", lambda *args: gone.extend(args[2]))
    monkeypatch.setattr(flows, "observe", lambda *_args: AROUND)
    (step,) = flows.forget(None, [TO_RED], [to(BLUE, service=UPLINK)])
    step.apply(t.cast(t.Any, None))
    assert gone == [THROUGH_RED]


TCP = {"protocol": "tcp"}


@pytest.mark.parametrize(
    ("netns", "old", "new", "reset", "expected"),
    [
        (None, [TO_RED], [TO_BLUE], False, ["conntrack -D -f ipv4 -p udp --orig-port-dst 80 || true"]),
        (
            "red",
            [to(TWIN[RED])],
            [],
            False,
            ["ip netns exec red conntrack -D -f ipv6 -p udp --orig-port-dst 80 || true"],
        ),
        (
            None,
            [],
            [to(RED, service=TCP)],
            False,
            [],
        ),
        (None, [], [to(RED, service=TCP)], True, ["conntrack -D -f ipv4 -p tcp --orig-port-dst 80 || true"]),
        (
            None,
            [to(RED, service={"address": ipaddress.ip_address(HOST), "ports": Ports(80, 82)})],
            [],
            False,
            [f"for port in $(seq 80 82); do conntrack -D -f ipv4 -p udp -d {HOST} --orig-port-dst $port || true; done"],
        ),
        (
            None,
            [hide(), TO_RED],
            [TO_RED],
            True,
            [f"conntrack -D -f ipv4 -p {protocol} -s {LAB} || true" for protocol in ("udp", "tcp")],
        ),
    ],
)
def test_the_commands_name_what_changed(
    netns: str | None, old: list[Spec], new: list[Spec], reset: bool, expected: list[str]
) -> None:
    (step,) = flows.forget(netns, old, new, reset_established=reset)
    assert step.commands() == expected


def test_of_thousands_of_specs_only_those_of_the_port_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    old = [to(RED, service={"ports": Ports(port, port)}) for port in range(1, 4000)]
    found = [flow(EXT, HOST, through=RED, port=1 + index) for index in range(200)]
    takes, looks = flows.Translation._takes, []
    monkeypatch.setattr(flows.Translation, "_takes", lambda *args: looks.append(1) or takes(*args))
    assert list(flows.stale(found, *(flows.Translation(specs, AROUND) for specs in (old, old[1:])))), (
        "of the removed one"
    )
    assert len(looks) <= 2 * len(found)
