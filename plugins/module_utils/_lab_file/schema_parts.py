# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The smaller parts of the lab file's schema, and the words that all of it is made of."""

from __future__ import annotations

import typing as t

Schema = dict[str, t.Any]

# Numbers in templates are texts until {n} is replaced, and what Jinja leaves of a number may be a text.
_DIGITS = r"^\s*[0-9]+\s*$|\{n"


def text(description: str) -> Schema:
    """A text; a number in its place is one that YAML should have been kept from reading."""
    return {"type": "string", **({"description": description} if description else {})}


def flag(description: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description, "errorMessage": "true or false is meant here"}


def whole(description: str, low: int, high: int) -> Schema:
    """A whole number within limits."""
    return {
        "description": description,
        "anyOf": [{"type": "integer", "minimum": low, "maximum": high}, {"type": "string", "pattern": _DIGITS}],
        "errorMessage": f"a whole number from {low} to {high} is meant here",
    }


def choice(description: str, *values: str) -> Schema:
    """One of a few words."""
    return {
        "description": description,
        "enum": list(values),
        "errorMessage": f"one of {', '.join(values)} is meant here",
    }


def ref(name: str) -> Schema:
    """What is defined once, under $defs."""
    return {"$ref": f"#/$defs/{name}"}


def one_or_many(one: Schema, meant: str) -> Schema:
    """A list, or the only thing that would be in it."""
    return {"anyOf": [one, {"type": "array", "items": one}], "errorMessage": meant}


def mapping(
    description: str,
    properties: dict[str, Schema],
    required: t.Sequence[str] = (),
    *,
    title: str | None = None,
    empty: bool = False,
) -> Schema:
    """A mapping with these keys and no others; ``empty`` ones may be written as nothing at all."""
    return {
        **({"title": title} if title else {}),
        "type": ["object", "null"] if empty else "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
    }


def _texts(description: str, example: str) -> Schema:
    return {**one_or_many(text(""), f"{example}, or a list of such, is meant here"), "description": description}


def _ports(description: str) -> Schema:
    return {
        "type": ["integer", "string"],
        "description": description,
        "errorMessage": "a port such as 80, or a range such as 8000-8010, is meant here",
    }


NETWORKS = one_or_many(text(""), "a network such as 10.200.0.0/16, or a list of networks, is meant here")

_WEIGHT = whole("How much of the traffic it gets, compared with the others.", 1, 256)
_HOP: dict[str, Schema] = {
    "gateway": text("The neighbour that passes packets on."),
    "device": text("The interface that packets leave by. When omitted, the one whose network has the gateway."),
    "onlink": flag("Believe that the gateway can be reached through the device, whatever the addresses say."),
}

ROUTE = mapping(
    "One route (ip-route(8)).",
    {
        "destination": text("A network such as `10.1.0.0/16`, or `default`."),
        **_HOP,
        "source": text("The address, one of the namespace's own, that its packets get."),
        "metric": whole("Of routes to the same network the one with the smallest metric is used.", 0, 0xFFFFFFFF),
        "table": {
            "type": ["string", "integer"],
            "description": "The routing table: main, local, default or a number. When omitted, main.",
            "errorMessage": "main, local, default or a number is meant here",
        },
        "type": choice("What becomes of packets.", "unicast", "blackhole", "unreachable", "prohibit"),
        "mtu": whole("The largest packet on this way, in bytes.", 68, 65535),
        "nexthops": {
            "type": "array",
            "minItems": 1,
            "description": "Several ways at once (multipath).",
            "items": mapping("One of them.", {**_HOP, "weight": _WEIGHT}),
            "errorMessage": "a list of ways such as {gateway: 10.0.0.2} is meant here",
        },
    },
    ["destination"],
    title="a route",
)

_NAT: dict[str, Schema] = {
    "established": choice("What becomes of established connections whose way changes.", "keep", "reset"),
    "foreign_firewall": choice(
        "What to do where somebody else's firewall drops the packets.", "report", "allow", "fail"
    ),
    "forwarding": flag(
        "Whether packets are to be forwarded, which is switched on where it is off. When omitted, they are."
    ),
}

MASQUERADE = mapping(
    "What comes from a network leaves under the address of the interface that it leaves by.",
    {
        "source": text("The network, such as `192.168.15.0/24`."),
        "out_interface": text("Only what leaves by this interface. When omitted, by any."),
        "exclude": _texts(
            "Destinations whose packets keep their source. When omitted, the source itself and multicast.", "a network"
        ),
        "random": flag("Choose source ports at random rather than keep them where possible."),
        "to_ports": _ports("The range that source ports become part of, such as `1024-65535`."),
        **_NAT,
    },
    ["source"],
    title="a masquerade",
)

FORWARD = mapping(
    "One port that leads elsewhere.",
    {
        "protocol": choice("The protocol of the port.", "tcp", "udp", "sctp"),
        "port": _ports("The port, or a range of ports."),
        "address": _texts(
            "Only what is sent to this address, one of each IP version at most. When omitted, to any.", "an address"
        ),
        "in_interface": text("Only what comes in by this interface. When omitted, by any."),
        "to": text("The namespace that it leads to; its address is chosen."),
        "to_address": _texts(
            "The address that it leads to, in place of `to`; one of each IP version at most.", "an address"
        ),
        "to_port": _ports("The port there, or a range as large as `port`. When omitted, the same."),
        "sources": _texts("Only what comes from these networks. When omitted, from everywhere.", "a network"),
        "local": flag("Whether connections of the machine itself are forwarded too. When omitted, they are."),
        "hairpin": flag("Whether clients in the target's own network can use it too. When omitted, they can."),
        "loopback": flag("Whether connections to 127.0.0.0/8 are forwarded too."),
        "force": flag("Forward although a process of this machine serves the port."),
        **_NAT,
    },
    ["protocol", "port"],
    title="a forward",
)

_SHARE = {"type": ["string", "number"], "errorMessage": "a share such as 1% is meant here"}
_TIME = {"type": ["string", "number"], "errorMessage": "a time such as 10ms is meant here"}

IMPAIRMENT = mapping(
    "What happens to packets that leave here (tc-netem(8)).",
    {
        "delay": {**_TIME, "description": "How long each packet waits, such as `10ms`."},
        "jitter": {**_TIME, "description": "By how much the delay differs, such as `2ms`."},
        "correlation": {
            **_SHARE,
            "description": "How much a packet's delay depends on the one before it, such as `25%`.",
        },
        "loss": {**_SHARE, "description": "How many are lost, such as `1%`."},
        "duplicate": {**_SHARE, "description": "How many arrive twice."},
        "corrupt": {**_SHARE, "description": "How many arrive with a wrong bit."},
        "reorder": {**_SHARE, "description": "How many overtake the others; needs a delay."},
        "rate": {
            "type": ["string", "number"],
            "description": "How much may pass in a second, such as `10mbit`.",
            "errorMessage": "a rate such as 10mbit is meant here",
        },
        "limit": whole("How many packets may wait. When omitted, 1000.", 1, 0xFFFFFFFF),
    },
    title="impair",
)

INTERFACE_KINDS: dict[str, Schema] = {
    "vlan": mapping(
        "A VLAN on another interface of the namespace.",
        {
            "parent": text("The interface, or bridge, of the same namespace that it stands on."),
            "id": whole("The VLAN's number.", 1, 4094),
            "protocol": choice("Its tag. When omitted, 802.1Q.", "802.1Q", "802.1ad"),
        },
        ["parent", "id"],
    ),
    "macvlan": mapping(
        "A further MAC address on another interface of the namespace.",
        {
            "parent": text("The interface, or bridge, of the same namespace that it stands on."),
            "mode": choice(
                "How the macvlans of one parent reach each other. When omitted, bridge.",
                "private",
                "vepa",
                "bridge",
                "passthru",
            ),
        },
        ["parent"],
    ),
    "vxlan": mapping(
        "An Ethernet in UDP packets (RFC 7348).",
        {
            "id": whole("The number of the network, its VNI.", 0, 16777215),
            "local": text("The address that packets leave from."),
            "remote": text("The address, or multicast group, that packets go to."),
            "port": whole("The UDP port. When omitted, 4789.", 1, 65535),
            "parent": text("The interface of the same namespace that packets leave by; needed for a multicast group."),
            "ttl": whole("Their time to live. When omitted, what the kernel chooses.", 0, 255),
            "learning": flag("Whether it learns from packets who is where. When omitted, it does."),
        },
        ["id"],
    ),
    "dummy": {
        "type": "boolean",
        "enum": [True],
        "description": "An interface that leads nowhere: a place for addresses.",
        "errorMessage": "true is meant here, or nothing",
    },
}
