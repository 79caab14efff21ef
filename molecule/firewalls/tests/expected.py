# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes beside each of these firewalls, without and with an opening, and how they are told apart in what is said."""

from __future__ import annotations

from typing import Any

HOST = {4: "192.168.1.2", 6: "2001:db8:1::2"}
OUTSIDE = {4: "192.168.1.50", 6: "2001:db8:1::50"}
BRIDGE = {4: "192.168.15.5", 6: "fd00:15::5"}
RED = {4: "192.168.15.1", 6: "fd00:15::1"}
SUBNET = {4: "192.168.15.0/24", 6: "fd00:15::/64"}
BLUE = {4: "192.168.15.2", 6: "fd00:15::2"}


def both(way: str, who: str, callers: dict[int, str]) -> dict[str, dict[str, str]]:
    """The way over IPv4 and over IPv6: who answers it, and whom that one sees."""
    return {
        f"{way}, IPv{version}": {"outcome": "reached", "who": who, "caller": caller}
        for version, caller in callers.items()
    }


OPENED = {
    **both("the forward from outside", "blue", OUTSIDE),
    **both("the forward from red", "blue", BRIDGE),
    **both("the forward from blue", "blue", BRIDGE),
    **both("the masquerade", "outside", HOST),
    **both("red to blue", "blue", RED),
}
"""What these firewalls would stop."""
EVER = {
    **both("the forward from the machine", "blue", HOST),
    **both("the machine to blue's other port", "blue's other", BRIDGE),
    **both("the machine to red", "red", BRIDGE),
}
"""What is not routed, and so is nothing to them."""
NEVER = [
    f"{way}, IPv{version}"
    for way in ("outside to blue's other port", "outside to red", "outside to another port of the machine")
    for version in (4, 6)
]

STOPPED = {
    "ufw": set(OPENED),
    # It lets pass whatever is translated, and bridged packets within a zone.
    "firewalld": {"the masquerade, IPv4", "the masquerade, IPv6"},
    "docker": set(OPENED),
}
"""What each of them stops indeed."""


def is_closed(ways: dict[str, dict[str, str]], names: Any) -> bool:
    return all(ways[name]["outcome"] != "reached" for name in names)


def is_open(ways: dict[str, dict[str, str]]) -> bool:
    """Whether everything passes that is to."""
    return all(ways[name] == expected for name, expected in {**OPENED, **EVER}.items() if name not in NOT_YET)


NOT_YET = {"red to blue, IPv6"}


CULPRITS = {
    "ufw": [
        (version, f"The policy drop of chain FORWARD in table {table}, the firewall of ufw, ")
        for version, table in ((4, "ip filter"), (6, "ip6 filter"))
    ],
    "firewalld": [
        (version, "The rule `reject` of chain filter_FWD_internal in table inet firewalld, the firewall of firewalld, ")
        for version in (4, 6)
    ],
    "docker": [
        (version, f"The policy drop of chain FORWARD in table {table}, the firewall of Docker, ")
        for version, table in (
            (4, "ip filter"),
            (4, "ip filter (iptables-legacy)"),
            (6, "ip6 filter"),
            (6, "ip6 filter (iptables-legacy)"),
        )
    ],
}
"""Who stops the masquerade's packets, by IP version."""
LANGUAGE = {
    "ufw": "`ufw route prepend allow in on v-net-0 out on uplink from {}",
    "firewalld": '--add-rich-rule=rule family="ipv{version}" source address="{}" accept',
    "docker": "tables-{backend} -I DOCKER-USER -i v-net-0 -o uplink -s {}",
}
