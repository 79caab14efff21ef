# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random lab files that make sense, for hypothesis: everything in them can be built on this kernel.

Subnets are handed out by number, so that no two overlap. What is written into a lab need not fit: ``repaired`` of
lab_repair.py drops what leads nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from lab_files import split, unfolded
from lab_repair import repaired

NAMES = ("red", "blue", "sw1", "gw", "a-namespace-of-a-long-name", "r")
LAB_NAMES = ("red-blue", "l", "Lab_2.x")
MTUS = (1280, 1400, 1500, 9000)
SYSCTLS = {
    "net.ipv4.ip_forward": (0, 1),
    "net.ipv4.conf.all.rp_filter": (0, 2),
    "net.ipv4.ip_local_port_range": ("20000 30000", "32768 60999"),
}
NAMESERVERS = (["192.0.2.53"], ["192.0.2.53", "2001:db8::53"])

Lab = dict[str, Any]
Draw = Callable[[st.SearchStrategy], Any]


@st.composite
def labs(draw: Draw) -> Lab:
    """A lab with up to four namespaces, not counting those of a template."""
    lab: Lab = {"name": draw(st.sampled_from(LAB_NAMES)), "bridges": {}, "namespaces": {}}
    if draw(st.booleans()):
        lab["pool"] = draw(st.sampled_from([["10.200.0.0/24"], ["10.200.0.0/30", "fd00:200::/64"]]))
    for _each in range(draw(st.integers(0, 2))):
        add_bridge(draw, lab)
    for _each in range(draw(st.integers(1, 4))):
        add_namespace(draw, lab)
    for _each in range(draw(st.integers(0, 6))):
        draw(st.sampled_from([add_cable, add_plug, add_inner_bridge, add_upper, add_routing, add_settings, add_nat]))(
            draw, lab
        )
    if lab["bridges"] and draw(st.booleans()):
        add_template(draw, lab)
    return repaired(lab)


# ---- pieces that a lab grows by; each may find nothing to do


def _number(lab: Lab) -> int:
    """A number that no subnet of the lab was made with."""
    lab["_next"] = lab.get("_next", 0) + 1
    return int(lab["_next"])


def _node(lab: Lab, netns: str | None) -> dict[str, Any]:
    return lab if netns is None else lab["namespaces"][netns]


def _plain(lab: Lab) -> list[str]:
    return [name for name, node in lab["namespaces"].items() if "count" not in node]


def _free(lab: Lab, netns: str | None, start: str) -> str:
    node = _node(lab, netns)
    taken = {*node.get("interfaces", {}), *node.get("bridges", {})}
    return next(f"{start}{number}" for number in range(99) if f"{start}{number}" not in taken)


def add_bridge(draw: Draw, lab: Lab) -> None:
    """A bridge of the host: with addresses, with a pool only, or with neither."""
    lab.setdefault("bridges", {})[_free(lab, None, "v-net-")] = _bridge(draw, lab)


def _bridge(draw: Draw, lab: Lab) -> dict[str, Any]:
    number = _number(lab)
    both = [f"10.{number}.0.254/24", f"fd00:{number}::fe/64"]
    style = draw(st.sampled_from(["both", "four", "six", "pool", "bare"]))
    options: dict[str, Any] = {
        "both": {"addresses": both},
        "four": {"addresses": both[0]},
        "six": {"addresses": both[1:]},
        "pool": {"pool": [f"10.{number}.0.0/28", f"fd00:{number}::/64"]},
        "bare": {},
    }[style]
    if draw(st.integers(0, 3)) == 0:
        options |= draw(
            st.sampled_from(
                [
                    {"ageing_time": 10},
                    {"mtu": 1400},
                    {"multicast_snooping": False},
                    {"up": False},
                    {"stp": False, "forward_delay": 4},
                    {"mac": f"02:00:00:00:00:{number:02x}"},
                ]
            )
        )
    return options


def add_namespace(draw: Draw, lab: Lab) -> None:
    """A namespace, plugged into a bridge where there is one."""
    free = [name for name in NAMES if name not in lab["namespaces"]]
    if free:
        name = draw(st.sampled_from(free))
        lab["namespaces"][name] = {"interfaces": {}}
        _plug(draw, lab, name)


def add_plug(draw: Draw, lab: Lab) -> None:
    """A cable from a namespace to some bridge."""
    if _plain(lab):
        _plug(draw, lab, draw(st.sampled_from(_plain(lab))))


def all_bridges(lab: Lab) -> list[str]:
    """Every bridge of the lab as the option bridge has it."""
    inner = [f"{name}/{bridge}" for name in _plain(lab) for bridge in lab["namespaces"][name].get("bridges", {})]
    return [*lab.get("bridges", {}), *inner]


def bridge_of(lab: Lab, reference: str) -> dict[str, Any]:
    where, name = split(reference)
    return dict(unfolded(_node(lab, where)["bridges"])[name])


def _plug(draw: Draw, lab: Lab, netns: str) -> None:
    node = lab["namespaces"][netns]
    near = {options.get("bridge") for options in node["interfaces"].values()}
    free = [one for one in all_bridges(lab) if one not in near and split(one)[0] != netns]
    if not free:
        return
    reference = draw(st.sampled_from(free))
    name = draw(st.sampled_from([_free(lab, netns, "eth"), f"veth-{netns}"[:15], f"an-interface-of-{netns}"]))
    if name in node["interfaces"]:
        return
    options: dict[str, Any] = {"bridge": reference, "addresses": _address(draw, lab, reference)}
    for extra in draw(st.lists(st.sampled_from(["mtu", "mac", "hairpin", "down", "port"]), max_size=1)):
        options |= {
            "mtu": {"mtu": draw(st.sampled_from(MTUS))},
            "mac": {"mac": f"02:00:00:00:01:{_number(lab):02x}"},
            "hairpin": {"hairpin": True},
            "down": {"up": False},
            "port": {"port": f"port-{_number(lab)}"},
        }[extra]
    node["interfaces"][name] = options


def _address(draw: Draw, lab: Lab, reference: str) -> Any:
    networks = subnets(bridge_of(lab, reference))
    if not networks:
        return []
    if draw(st.booleans()):
        return "auto"
    host = _number(lab)
    return [f"{start}{host % 13 + 1 if length == '28' else host}/{length}" for start, length in networks]


def subnets(bridge: dict[str, Any]) -> list[tuple[str, str]]:
    """(everything but the last number, prefix length) of each network of a bridge."""
    own = bridge.get("addresses") or bridge.get("pool") or []
    out = []
    for text in [own] if isinstance(own, str) else own:
        address, _slash, length = text.partition("/")
        separator = "::" if ":" in address else "."
        out.append((address.rpartition(separator)[0] + separator, length))
    return out


def add_inner_bridge(draw: Draw, lab: Lab) -> None:
    """A bridge inside a namespace: a switch when it has no address, a router otherwise."""
    if _plain(lab):
        netns = draw(st.sampled_from(_plain(lab)))
        lab["namespaces"][netns].setdefault("bridges", {}).setdefault("br0", _bridge(draw, lab))


def add_cable(draw: Draw, lab: Lab) -> None:
    """A direct cable between two namespaces, or to the host; one end may be a port of its own side's bridge."""
    if not _plain(lab):
        return
    one = draw(st.sampled_from(_plain(lab)))
    other = draw(st.sampled_from([None, *[name for name in _plain(lab) if name != one]]))
    name, peer = _free(lab, one, "eth"), _free(lab, other, "eth") if other else f"to-{_number(lab)}"
    number = _number(lab)
    style = draw(st.sampled_from(["both", "four", "none", "auto", "port"]))
    ends: list[dict[str, Any]] = [{"cable": f"{other or ''}/{peer}"}, {}]
    for host, end in enumerate(ends, start=1):
        pair = [f"10.100.{number}.{host}/30", f"fd00:100:{number}::{host}/64"]
        if style in ("both", "four"):
            end["addresses"] = pair if style == "both" else pair[0]
        elif style == "auto" and "pool" in lab:
            end["addresses"] = "auto"
    if style == "port" and _node(lab, one).get("bridges"):
        ends[0]["master"] = draw(st.sampled_from(sorted(_node(lab, one)["bridges"])))
        ends[0].update(draw(st.sampled_from([{}, {"hairpin": True}])))
    if draw(st.booleans()):
        ends[1]["cable"] = f"{one}/{name}"
    if draw(st.integers(0, 3)) == 0:
        ends[0]["mtu"] = ends[1]["mtu"] = draw(st.sampled_from(MTUS))
    _node(lab, one)["interfaces"][name] = ends[0]
    if ends[1]:
        _node(lab, other).setdefault("interfaces", {})[peer] = ends[1]


def add_upper(draw: Draw, lab: Lab) -> None:
    """A macvlan or a vxlan on an interface of a namespace."""
    below = [
        (netns, name)
        for netns in _plain(lab)
        for name, options in lab["namespaces"][netns]["interfaces"].items()
        if not {"macvlan", "vxlan", "master"} & set(options) and options.get("up", True)
    ]
    if not below:
        return
    netns, parent = draw(st.sampled_from(below))
    number = _number(lab)
    options: dict[str, Any] = {"addresses": [f"10.150.{number}.1/24", f"fd00:150:{number}::1/64"]}
    if draw(st.booleans()):
        options["macvlan"] = {"parent": parent, "mode": draw(st.sampled_from(["bridge", "private", "vepa"]))}
    else:
        options["vxlan"] = draw(
            st.sampled_from(
                [
                    {"id": number, "remote": "10.99.0.2", "local": "10.99.0.1"},
                    {"id": number, "remote": "10.99.0.2", "port": 4790, "ttl": 7},
                    {"id": number, "remote": "fd00:99::2", "learning": False},
                ]
            )
        )
    lab["namespaces"][netns]["interfaces"][_free(lab, netns, "up")] = options


def add_routing(draw: Draw, lab: Lab) -> None:
    """A gateway, or a route of one of several kinds, through a bridge that the namespace is plugged into."""
    ways = [
        (netns, options["bridge"])
        for netns in _plain(lab)
        for options in lab["namespaces"][netns]["interfaces"].values()
        if options.get("bridge")
    ]
    if not ways:
        return
    netns, reference = draw(st.sampled_from(ways))
    gateways = [
        f"{start}{'fe' if ':' in start else '14' if length == '28' else '254'}"
        for start, length in subnets(bridge_of(lab, reference))
    ]
    if not gateways:
        return
    node = lab["namespaces"][netns]
    if draw(st.booleans()):
        node["gateway"] = gateways if len(gateways) > 1 or draw(st.booleans()) else gateways[0]
        return
    gateway, number = draw(st.sampled_from(gateways)), _number(lab)
    destination = f"fd01:{number}::/64" if ":" in gateway else f"10.{number}.128.0/20"
    node.setdefault("routes", []).append(
        draw(
            st.sampled_from(
                [
                    {"destination": destination, "gateway": gateway},
                    {"destination": destination, "gateway": gateway, "metric": 77},
                    {"destination": destination, "gateway": gateway, "table": "100"},
                    {"destination": destination, "type": "blackhole"},
                ]
            )
        )
    )


def add_settings(draw: Draw, lab: Lab) -> None:
    """A sysctl or name servers."""
    if not _plain(lab):
        return
    node = lab["namespaces"][draw(st.sampled_from(_plain(lab)))]
    if draw(st.booleans()):
        node["nameservers"] = draw(st.sampled_from(NAMESERVERS))
    else:
        name = draw(st.sampled_from(sorted(SYSCTLS)))
        node.setdefault("sysctls", {})[name] = draw(st.sampled_from(SYSCTLS[name]))


def add_nat(draw: Draw, lab: Lab) -> None:
    """A masquerade or a forward, on the host or in a namespace."""
    number = _number(lab)
    node = _node(lab, draw(st.sampled_from([None, *_plain(lab)])))
    if draw(st.booleans()):
        source = draw(st.sampled_from([f"10.{number}.0.0/24", f"fd00:{number}::/64", "10.0.0.0/8"]))
        known = node.setdefault("masquerade", [])
        if source not in [one["source"] for one in known]:
            known.append({"source": source})
        return
    near = [name for name in _plain(lab) if lab["namespaces"][name] is not node]
    to = {"to": draw(st.sampled_from(near))} if near and draw(st.booleans()) else {"to_address": f"10.{number}.0.9"}
    node.setdefault("forwards", []).append(
        {"protocol": draw(st.sampled_from(["tcp", "udp"])), "port": 8000 + number, **to}
    )
    if draw(st.booleans()):
        node["forwards"][-1]["to_port"] = 80


def add_template(draw: Draw, lab: Lab) -> None:
    """Several namespaces at once, on a bridge of the host."""
    bridges = [name for name in lab.get("bridges", {}) if subnets(bridge_of(lab, name))]
    if bridges and not any("count" in node for node in lab["namespaces"].values()):
        key = draw(st.sampled_from(["n{n}", "node-{n:02}", "n"]))
        lab["namespaces"][key] = {
            "count": draw(st.integers(1, 3)),
            **draw(st.sampled_from([{}, {"start": 9}])),
            "interfaces": {"eth0": {"bridge": draw(st.sampled_from(bridges)), "addresses": "auto"}},
        }
