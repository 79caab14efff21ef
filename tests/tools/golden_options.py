# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The combinations of options that the golden rulesets are made of, and what is planned for each, without a kernel."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import nft_text
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_changes import Content
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import CHAINS
from ansible_collections.patchbay.netns.plugins.module_utils._objects.forward import Forward
from ansible_collections.patchbay.netns.plugins.module_utils._objects.masquerade import Masquerade
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat import Nat, PutNat
from ansible_collections.patchbay.netns.plugins.module_utils._objects.sysctl import Sysctl
from ansible_collections.patchbay.netns.plugins.module_utils._objects.way import Way

Options = tuple[str, ...]
Params = dict[str, Any]

PROTOCOLS = ("tcp", "udp", "sctp")
_FAMILIES = {"ipv4": (4,), "ipv6": (6,), "both": (4, 6)}
_BLUE = {4: "192.168.15.2", 6: "fd00:15::2"}
_RED = {4: "192.168.15.1", 6: "fd00:15::1"}
_LAB = {4: "192.168.15.0/24", 6: "fd00:15::/64"}
_OWN = {4: "203.0.113.1", 6: "2001:db8:113::1"}
_SOURCES = {4: ("198.51.100.0/24", "203.0.113.9/32"), 6: ("2001:db8:51::/48", "2001:db8:113::9/128")}
_SETTINGS = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.v-net-0.route_localnet")
_FORMS = {
    "single": {"port": "80"},
    "moved": {"port": "80", "to_port": "8080"},
    "range": {"port": "8000-8003"},
    "shifted": {"port": "8000-8002", "to_port": "9000-9002"},
}
_WORDS = {
    "single": "port 80, which keeps its number",
    "moved": "port 80, which becomes 8080",
    "range": "ports 8000-8003, which keep their numbers",
    "shifted": "ports 8000-8002, which become 9000-9002",
}


@dataclass(frozen=True)
class Group:
    """All combinations of the options in ``axes``; ``planned`` says what the table is to be for one of them."""

    name: str
    heading: tuple[str, ...]
    axes: Mapping[str, tuple[str, ...]]
    parts: Callable[..., list[Any]]
    """The wishes for the values of the axes, in their order, and ``protocol`` where the group has any."""
    protocols: tuple[str | None, ...] = (None,)

    def all_options(self) -> Iterator[Options]:
        """Every combination, in order."""
        return itertools.product(*self.axes.values())

    def planned(self, options: Options, protocol: str | None = None) -> Content:
        """What the table is to hold, as the plan for an empty machine says it."""
        wish = Nat(tuple(self.parts(*options, **({"protocol": protocol} if protocol else {}))))
        return planned(wish)

    def pieces(self, options: Options) -> dict[str, str]:
        """The same as text, piece by piece."""
        return nft_text.pieces(self.planned(options, self.protocols[0]))


def planned(wish: Nat) -> Content:
    """What the plan makes of a machine that has nothing but the lab's network."""
    ways = [
        Way(None, ipaddress.ip_address(target[version]), "v-net-0", ipaddress.ip_network(_LAB[version]))
        for target in (_BLUE, _RED)
        for version in (4, 6)
    ]
    settings = [Sysctl(None, name, "0") for name in _SETTINGS]
    (step,) = (step for step in wish.plan(State([*ways, *settings])) if isinstance(step, PutNat))
    return step.after[0].content


def place(piece: str) -> tuple[int, int, str]:
    """Where a piece with this name stands in a table: sets and maps by their names, then chains in the order of packets."""
    kind, name = piece.split()
    return (1, list(CHAINS).index(name), name) if kind == "chain" else (0, 0, name)


# ---- dnat_forward


def forward(versions: Sequence[int], **params: Any) -> Forward:
    """The wish for one forward to blue."""
    return Forward.from_params({"to_address": [_BLUE[version] for version in versions], "protocol": "tcp", **params})


def _forwards(family: str, form: str) -> Group:
    versions = _FAMILIES[family]

    def parts(
        address: str, interface: str, sources: str, local: str, hairpin: str, loopback: str, protocol: str
    ) -> list[Any]:
        count = {"none": 0, "one": 1, "several": 2}[sources]
        params = {
            **_FORMS[form],
            "protocol": protocol,
            "address": [_OWN[version] for version in versions] if address == "given" else None,
            "in_interface": "uplink" if interface == "given" else None,
            "sources": [network for version in versions for network in _SOURCES[version][:count]],
            "local": local == "yes",
            "hairpin": hairpin == "network",
            "loopback": loopback == "yes",
        }
        return [forward(versions, **params)]

    axes = {
        "address": ("none", "given"),
        "interface": ("none", "given"),
        "sources": ("none", "one", "several"),
        "local": ("yes", "no"),
        "hairpin": ("network", "none"),
        "loopback": ("no", "yes") if 4 in versions else ("no",),  # ::1 never leaves the machine
    }
    heading = (
        f"dnat_forward, {'IPv4 and IPv6 together' if len(versions) > 1 else f'IPv{versions[0]}'}, {_WORDS[form]}.",
        "A ruleset is all pieces whose options fit, in this order; an option that is not named may be any.",
        "With udp or sctp it is the same but for that word in place of tcp.",
    )
    return Group(f"dnat_forward-{family}-{form}", heading, axes, parts, PROTOCOLS)


# ---- nat_masquerade


def masquerade(source: str, **params: Any) -> Masquerade:
    """The wish for one masquerade."""
    return Masquerade.from_params({"source": source, **params})


def _masquerades(family: str) -> Group:
    (version,) = _FAMILIES[family]
    lists = {"default": None, "empty": [], "list": ["10.0.0.0/8", "192.0.2.1/32"]}
    if version == 6:
        lists["list"] = ["fd00::/8", "2001:db8::1/128"]

    def parts(out_interface: str, exclude: str, random: str, to_ports: str) -> list[Any]:
        ports = {"none": None, "one": "5000", "range": "1024-65535"}[to_ports]
        device = "uplink" if out_interface == "given" else None
        params = {"out_interface": device, "exclude": lists[exclude], "random": random == "yes", "to_ports": ports}
        return [masquerade(_LAB[version], **params)]

    axes = {
        "out_interface": ("none", "given"),
        "exclude": ("default", "empty", "list"),
        "random": ("no", "yes"),
        "to_ports": ("none", "one", "range"),
    }
    heading = (
        f"nat_masquerade, IPv{version}.",
        "A ruleset is the piece whose options fit; an option that is not named may be any.",
    )
    return Group(f"nat_masquerade-{family}", heading, axes, parts)


GROUPS = (
    *(_forwards(family, form) for family in _FAMILIES for form in _FORMS),
    *(_masquerades(family) for family in ("ipv4", "ipv6")),
)


# ---- several together


def _lab() -> list[Any]:
    return [
        forward((4, 6), port="80", loopback=True),
        *(masquerade(_LAB[version]) for version in (4, 6)),
    ]


def _together() -> list[Any]:
    """Forwards that share maps, masquerades that overlap, hairpin networks inside each other."""
    return [
        forward((4, 6), port="80", loopback=True),
        forward((4,), port="443", to_port="8443", loopback=True, local=False),
        forward((4,), port="22", to_address=_RED[4], in_interface="uplink", sources=["198.51.100.0/24"]),
        forward((4, 6), protocol="udp", port="8000-8010", sources=["198.51.100.0/24", "2001:db8::/32"]),
        forward((4,), protocol="udp", port="53", address=_OWN[4]),
        forward((4,), protocol="udp", port="53", address="203.0.113.2", to_address=_RED[4]),
        forward((6,), protocol="sctp", port="5000-5001", to_port="6000-6001", hairpin=False),
        masquerade("10.0.0.0/8"),
        masquerade("10.1.0.0/16", out_interface="uplink"),
        masquerade("10.1.0.0/16", random=True),
        masquerade("0.0.0.0/0", out_interface="uplink", to_ports="1024-65535"),
        masquerade("fd00:15::/64"),
        masquerade("::/0", exclude=[]),
    ]


def _near_neighbours() -> list[Any]:
    """Ports side by side, whose hairpin elements become one, and one port at many maps."""
    return [
        *(forward((4,), port=str(port)) for port in (80, 81, 82, 90)),
        forward((4,), port="80", protocol="udp", in_interface="uplink"),
        forward((4,), port="80", protocol="udp", in_interface="other", local=False, to_address=_RED[4]),
        forward((4,), port="80", protocol="sctp", address=_OWN[4]),
        forward((4,), port="80-81", protocol="sctp", address="203.0.113.2", to_address=_RED[4], sources=["10.0.0.0/8"]),
    ]


SAMPLES: dict[str, Callable[[], list[Any]]] = {
    "The lab of the tutorials: port 80 leads to blue, localhost too; both networks are masqueraded": _lab,
    "Many together": _together,
    "Neighbouring ports, and one port in many ways": _near_neighbours,
}


def samples() -> str:
    """The text of the golden file with whole tables."""
    texts = (f"# {words}\n{nft_text.render(planned(Nat(tuple(parts()))))}" for words, parts in SAMPLES.items())
    return "# Whole tables for several forwards and masquerades together.\n\n" + "\n".join(texts)
