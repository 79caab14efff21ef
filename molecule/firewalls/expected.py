# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes beside each of these firewalls, without and with an opening, and what is said of them."""

from __future__ import annotations

from collections.abc import Collection

HOST = {4: "192.168.1.2", 6: "2001:db8:1::2"}
OUTSIDE = {4: "192.168.1.50", 6: "2001:db8:1::50"}
BRIDGE = {4: "192.168.15.5", 6: "fd00:15::5"}
RED = {4: "192.168.15.1", 6: "fd00:15::1"}
SUBNET = {4: "192.168.15.0/24", 6: "fd00:15::/64"}

Ways = dict[str, dict[str, str]]


def both(way: str, who: str, callers: dict[int, str]) -> Ways:
    """The way over IPv4 and over IPv6: who answers it, and whom that one sees."""
    return {
        f"{way}, IPv{version}": {"outcome": "reached", "who": who, "caller": caller}
        for version, caller in callers.items()
    }


OPEN: Ways = {
    **both("the forward from outside", "blue", OUTSIDE),
    **both("the forward from the machine", "blue", HOST),
    **both("the forward from red", "blue", BRIDGE),
    **both("the forward from blue", "blue", BRIDGE),
    **both("the masquerade", "outside", HOST),
    **both("red to blue", "blue", RED),
    **both("the machine to blue's other port", "blue's other", BRIDGE),
    **both("the machine to red", "red", BRIDGE),
}
"""What passes with an opening."""
SHUT = {f"{way}, IPv{version}" for way in ("outside to blue's other port", "outside to red") for version in (4, 6)}
"""What nobody asked for, and only the firewall stops."""

_ROUTED = {name for name in OPEN if "the machine" not in name}
STOPPED = {
    "ufw": _ROUTED,
    # It lets pass whatever is translated, and bridged packets within a zone.
    "firewalld": {"the masquerade, IPv4", "the masquerade, IPv6"},
    "docker": _ROUTED,
}
"""What each of them stops until there is an opening."""

_ZONE = "The rule `reject` of chain filter_FWD_internal in table inet firewalld, the firewall of firewalld, rejects"
CULPRITS = {
    "ufw": {
        4: ["The policy drop of chain FORWARD in table ip filter, the firewall of ufw, drops"],
        6: ["The policy drop of chain FORWARD in table ip6 filter, the firewall of ufw, drops"],
    },
    "firewalld": {4: [_ZONE], 6: [_ZONE]},
    "docker": {
        4: [
            "The policy drop of chain FORWARD in table ip filter, the firewall of Docker, drops",
            "The policy drop of chain FORWARD in table ip filter (iptables-legacy), the firewall of Docker, drops",
        ],
        6: [
            "The policy drop of chain FORWARD in table ip6 filter, the firewall of Docker, drops",
            "The policy drop of chain FORWARD in table ip6 filter (iptables-legacy), the firewall of Docker, drops",
        ],
    },
}
"""How a warning begins."""

LANGUAGE = {
    "ufw": "ufw route prepend allow in on v-net-0 out on uplink from {subnet} comment",
    "firewalld": '--add-rich-rule=rule family="ipv{version}" source address="{subnet}" accept',
    "docker": "-I DOCKER-USER -i v-net-0 -o uplink -s {subnet} -m conntrack --ctstate NEW",
}
"""What it tells a person to type for the masquerade."""


def closed(ways: Ways, names: Collection[str]) -> set[str]:
    """Which of the ways nobody answered on."""
    return {name for name in names if ways[name]["outcome"] != "reached"}


def missing(ways: Ways) -> Ways:
    """What does not pass as it should, but for what is known to be wrong (see test_opened.py)."""
    return {name: ways[name] for name, answer in OPEN.items() if ways[name] != answer and name != "red to blue, IPv6"}
