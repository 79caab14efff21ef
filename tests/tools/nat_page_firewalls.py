# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For docs/nat.md: what is said of other people's firewalls, and done, worked out from small models of them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence

from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._errors import Conflict
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls import openings
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import (
    Chain,
    Condition,
    Rule,
    Table,
    Verdict,
)
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.xt_predicates import Interface
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.xt_predicates import State as Tracked
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._objects import foreign, listeners, nat
from ansible_collections.patchbay.netns.plugins.module_utils._objects.foreign import Blocked
from ansible_collections.patchbay.netns.plugins.module_utils._objects.foreign_paths import Around, Firewalls
from ansible_collections.patchbay.netns.plugins.module_utils._objects.listeners import Listening
from ansible_collections.patchbay.netns.plugins.module_utils._objects.nat_specs import (
    ForwardSpec,
    MasqueradeSpec,
    Service,
    Spec,
    Target,
)

_BRIDGES = {"192.168.15.0/24": "v-net-0", "192.168.122.0/24": "virbr0", "10.136.1.0/24": "incusbr0"}
_KNOWN: tuple[Condition, ...] = (Tracked(frozenset({"ESTABLISHED", "RELATED"})),)
_TRANSLATED: tuple[Condition, ...] = (Tracked(frozenset({"DNAT"})),)
_COMMANDS = re.compile(r"(?<=pass with `)[^`]+(?=`)")
_OWN = ("127.0.0.0/8", "203.0.113.10/32", "192.168.15.5/32")


def _to(address: str) -> ForwardSpec:
    return ForwardSpec(Service(4, "tcp", Ports(80, 80)), Target(ipaddress.ip_address(address)))


BLUE = _to("192.168.15.2")
OUT = MasqueradeSpec(ipaddress.ip_network("192.168.15.0/24"))


# ---- the models


def _accept(conditions: Sequence[Condition], text: str) -> Rule:
    return Rule(tuple(conditions), Verdict("accept"), text)


def _jump(name: str, *, goto: bool = False) -> Rule:
    word = "goto" if goto else "jump"
    return Rule((), Verdict(word, name), f"{word} {name}")


def _out_by(name: str) -> tuple[Condition, ...]:
    return (Interface("out_interface", name),)


def _base(name: str, *rules: Rule, policy: str = "accept", priority: int = 0) -> Chain:
    return Chain(name, rules, "forward", "filter", priority, policy)


DOCKER = Table(
    "nft",
    "ip",
    "filter",
    (
        _base("FORWARD", _jump("DOCKER-USER"), _jump("DOCKER-FORWARD"), policy="drop"),
        Chain("DOCKER-USER"),
        Chain("DOCKER-FORWARD", (_accept((Interface("in_interface", "docker0"),), "-i docker0 -j ACCEPT"),)),
    ),
)
UFW = Table(
    "nft",
    "ip",
    "filter",
    (
        _base("FORWARD", _jump("ufw-before-forward"), policy="drop"),
        Chain("ufw-before-forward", (_accept(_KNOWN, "ct state established,related accept"),)),
    ),
)
FIREWALLD = Table(
    "nft",
    "inet",
    "firewalld",
    (
        _base(
            "filter_FORWARD",
            _accept(_KNOWN, "ct state { established, related } accept"),
            _accept(_TRANSLATED, "ct status dnat accept"),
            _jump("filter_FORWARD_ZONES"),
            priority=10,
        ),
        Chain("filter_FORWARD_ZONES", (_jump("filter_FWD_public", goto=True),)),
        Chain("filter_FWD_public", (Rule((), Verdict("reject"), "reject with icmpx admin-prohibited"),)),
    ),
)
ADMINISTRATOR = Table(
    "nft",
    "inet",
    "filter",
    (_base("forward", _accept(_KNOWN, "ct state established,related accept"), policy="drop"),),
)
OWNED = Table("nft", "inet", "guarded", ADMINISTRATOR.chains, owned=True)
LIBVIRT = Table(
    "nft",
    "ip",
    "libvirt_network",
    (
        _base("forward", _jump("guest_input")),
        Chain(
            "guest_input",
            (
                _accept((*_out_by("virbr0"), *_KNOWN), 'oif "virbr0" ct state established,related accept'),
                Rule(_out_by("virbr0"), Verdict("reject"), 'oif "virbr0" counter reject'),
            ),
        ),
    ),
)
INCUS = Table(
    "nft",
    "inet",
    "incus",
    (
        _base(
            "fwd.incusbr0",
            Rule(_out_by("incusbr0"), Verdict("reject"), 'ip version 4 oifname "incusbr0" reject'),
        ),
    ),
)
RIVAL = Table(
    "nft",
    "ip",
    "nat",
    (
        Chain("PREROUTING", (_jump("DOCKER"),), "prerouting", "nat", -100),
        Chain("DOCKER", (Rule((), Verdict("dnat", detail="172.17.0.2:80"), "tcp dport 80 dnat to 172.17.0.2:80"),)),
    ),
)
_EXAMPLES: dict[str, tuple[Table, Spec]] = {
    "docker": (DOCKER, BLUE),
    "ufw": (UFW, BLUE),
    "firewalld": (FIREWALLD, OUT),
    "administrator": (ADMINISTRATOR, BLUE),
    "owner": (OWNED, BLUE),
    "libvirt": (LIBVIRT, _to("192.168.122.10")),
    "incus": (INCUS, _to("10.136.1.10")),
}


# ---- what is said of them


def _around(*, filtered: bool = False) -> Around:
    networks = {ipaddress.ip_network(text): name for text, name in _BRIDGES.items()}

    def device(address: ipaddress.IPv4Address) -> str:
        return next((name for network, name in networks.items() if address in network), "eth0")

    bridges = frozenset({"v-net-0"} if filtered else ())
    return Around({4: tuple(map(ipaddress.ip_network, _OWN)), 6: ()}, device, {4: bridges, 6: frozenset()})


def _state(table: Table, *, filtered: bool = False) -> State:
    return State([Firewalls(None, (table,), _around(filtered=filtered))])


def blocked(name: str) -> list[Blocked]:
    """Who drops the example's packets."""
    table, spec = _EXAMPLES[name]
    return foreign.blocked(_state(table), None, spec, nat.holder(spec.key))


def _said(found: Blocked) -> str:
    """The warning; its commands, which the page has elsewhere, are three dots."""
    return _COMMANDS.sub("...", str(found))


def _warning(name: str) -> Callable[[], str]:
    return lambda: _quoted(map(_said, blocked(name)))


def _allow(name: str) -> Callable[[], str]:
    def text() -> str:
        (found,) = blocked(name)
        if not found.openable:
            raise ValueError(f"there is no place for rules of ours in the firewall of {found.owner}")
        return _shell(command for opening in found.openings for command in openings.commands(opening))

    return text


def _by_hand(name: str) -> Callable[[], str]:
    """The commands of a warning."""

    def text() -> str:
        (found,) = blocked(name)
        said = _COMMANDS.search(str(found))
        if said is None:
            raise ValueError(f"no command is said for the firewall of {found.owner}")
        return _shell(said[0].split(" && "))

    return text


def _shell(commands: Iterable[str]) -> str:
    return "\n".join(["```sh", *commands, "```"])


def _bridged() -> str:
    found = foreign.blocked(_state(DOCKER, filtered=True), None, OUT, nat.holder(OUT.key))
    return _quoted(_said(each) for each in found if each.path.bridged)


_NGINX = Listening(None, 4, "tcp", 80, ipaddress.ip_address("0.0.0.0"), None, ("nginx (pid 812)",))


def _refusal(refuse: Callable[[], None]) -> Callable[[], str]:
    def text() -> str:
        try:
            refuse()
        except Conflict as error:
            return _quoted([str(error)])
        raise ValueError("nothing was refused")

    return text


def _quoted(texts: Iterable[str]) -> str:
    return "\n>\n".join(f"> {_escaped(text)}" for text in texts)


def _escaped(text: str) -> str:
    """What Markdown would take for a tag of HTML, outside of code, is shown as it is."""
    parts = text.split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


BLOCKS: dict[str, Callable[[], str]] = {
    **{f"warning {name}": _warning(name) for name in _EXAMPLES},
    **{f"allow {name}": _allow(name) for name in ("docker", "ufw", "firewalld")},
    "by hand administrator": _by_hand("administrator"),
    "warning br_netfilter": _bridged,
    "refusal listener": _refusal(lambda: listeners.refuse([_NGINX], None, BLUE)),
    "warning listener": lambda: _quoted(listeners.warnings([_NGINX], BLUE)),
    "refusal dnat": _refusal(lambda: foreign.refuse_rivals(_state(RIVAL), None, BLUE, None)),
}
