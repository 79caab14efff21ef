# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The lab file as a JSON Schema (draft 2020-12): what editors complete and explain, and what is checked first.

It is about the file as it is written, with ``{n}`` in templates. What addresses and names mean is checked later.
``errorMessage`` is the keyword by which editors, and ``validate``, know the words for a value of the wrong kind.
"""

from __future__ import annotations

from .schema_parts import (
    FORWARD,
    IMPAIRMENT,
    INTERFACE_KINDS,
    MASQUERADE,
    NETWORKS,
    ROUTE,
    Schema,
    flag,
    mapping,
    one_or_many,
    ref,
    text,
    whole,
)

ADDRESSES: Schema = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string", "errorMessage": "an address is a text"}},
    ],
    "errorMessage": "a list of addresses such as [192.168.15.1/24], or one of them, is meant here",
}

_END = {
    "addresses": {
        **ADDRESSES,
        "description": "Its addresses, each with its prefix length: a list, or one of them. `auto` takes the next free "
        "address of each network of the bridge, or for a cable without a bridge a pair from the lab's pool.",
    },
    "mac": text("Its MAC address. When omitted, one that is the same each time the lab is built on this host."),
    "mtu": whole(
        "Its largest packet in bytes. When omitted, 1500; for a vlan or macvlan what its parent has; 1450 for a vxlan.",
        68,
        65535,
    ),
    "up": flag("Whether it is up. When omitted, it is."),
    "allow_overlap": flag(
        "Take its networks even if the host, or another interface of the namespace, has a route to them already."
    ),
}

INTERFACE = mapping(
    "One interface. It has one of `bridge`, `cable`, `vlan`, `macvlan`, `vxlan` and `dummy`; with none of them it is the end "
    "of a cable that is named at the other end.",
    {
        "bridge": text(
            "A cable to a port of this bridge: `v-net-0` of the host, or `sw1/br0`, the bridge br0 inside the namespace sw1."
        ),
        "cable": text("A cable to this interface: `blue/eth2` in the namespace blue, or `/to-red` on the host."),
        **INTERFACE_KINDS,
        **_END,
        "master": text("The bridge of its own namespace that this end is a port of."),
        "hairpin": flag(
            "Whether the bridge may send a packet back out of the port it came from. With `bridge` this is about the port at "
            "the other end, with `master` about this end."
        ),
        "port": text(
            "With `bridge`: the name of the other end. When omitted, it is made of the names of this end and its namespace."
        ),
        "impair": IMPAIRMENT,
    },
    title="an interface",
    empty=True,
)

_TEMPLATE = {
    "count": whole(
        "Makes it a template: so many are made, and `{n}` is their number in its name and in all texts inside.",
        0,
        65536,
    ),
    "start": whole("The first number of a template. When omitted, 1.", 0, 1_000_000_000),
}

BRIDGE = mapping(
    "One bridge. Without addresses it connects its ports, and who it belongs to has no part in it.",
    {
        "addresses": {
            **ADDRESSES,
            "description": "Addresses of the host, or the namespace, in the bridge's network, each with its prefix length.",
        },
        "mac": _END["mac"],
        "mtu": whole("Its largest packet in bytes. When omitted, 1500.", 68, 65535),
        "up": _END["up"],
        "allow_overlap": _END["allow_overlap"],
        "pool": {
            **NETWORKS,
            "description": "The networks from which `addresses: auto` is served when the bridge has no address of its own.",
        },
        "stp": flag("Whether it speaks the spanning tree protocol, which finds loops. When omitted, it does not."),
        "forward_delay": {
            "type": "number",
            "minimum": 0,
            "maximum": 30,
            "description": "Seconds that a port listens and learns before it forwards, while the spanning tree runs. When omitted, 15.",
        },
        "ageing_time": {
            "type": "number",
            "minimum": 0,
            "maximum": 42949672,
            "description": "Seconds after which the bridge forgets where a silent neighbour is. When omitted, 300.",
        },
        "vlan_filtering": flag("Whether it looks at VLAN tags. When omitted, it does not."),
        "multicast_snooping": flag("Whether it sends multicast only where somebody listens. When omitted, it does."),
        **_TEMPLATE,
    },
    title="a bridge",
    empty=True,
)


def _named(description: str, target: str, example: str) -> Schema:
    """A mapping from names to what is called so."""
    return {
        "type": ["object", "null"],
        "description": description,
        "propertyNames": {"minLength": 1, "errorMessage": f"a name is empty: give one such as {example}"},
        "additionalProperties": ref(target),
        "errorMessage": f"names with what belongs to each are meant here, such as {example}: {{...}}",
    }


_NODE = {
    "bridges": _named("Bridges by name. A key with `count` is a template.", "bridge", "br0"),
    "interfaces": _named("Interfaces by name.", "interface", "eth0"),
    "gateway": {
        **one_or_many(
            text(""),
            "the address of a neighbour such as 192.168.15.5, or a list with one of each IP version, is meant here",
        ),
        "description": "Where packets go that are for no network nearby: the default route, one of each IP version.",
    },
    "routes": {
        **one_or_many(
            ref("route"), "a list of routes such as {destination: 10.1.0.0/16, gateway: 10.0.0.2} is meant here"
        ),
        "description": "Further routes, with the options of the module `ip_route_ns`.",
    },
    "sysctls": {
        "type": ["object", "null"],
        "description": "Settings of the kernel under `net.`, such as `net.ipv4.ip_forward: 1`.",
        "additionalProperties": {
            "type": ["string", "number", "boolean"],
            "errorMessage": "one value is meant here, a number or a text",
        },
        "errorMessage": "settings with their values are meant here, such as net.ipv4.ip_forward: 1",
    },
    "masquerade": {
        **one_or_many(ref("masquerade"), "a masquerade such as {source: 10.0.0.0/8}, or a list of them, is meant here"),
        "description": "Networks whose packets leave under the address of the interface they leave by, with the options of "
        "the module `nat_masquerade`. A namespace with one forwards packets.",
    },
    "forwards": {
        **one_or_many(ref("forward"), "a list of forwards such as {protocol: tcp, port: 80, to: blue} is meant here"),
        "description": "Ports that lead to an address elsewhere, with the options of the module `dnat_forward`. A namespace "
        "with one forwards packets.",
    },
}

NAMESPACE = mapping(
    "One network namespace. A key with `count` is a template.",
    {
        **_NODE,
        "nameservers": {
            **one_or_many(
                text(""), "the address of a name server such as 192.0.2.53, or a list of them, is meant here"
            ),
            "description": "The name servers that programs inside use (`/etc/netns/NAME/resolv.conf`).",
        },
        **_TEMPLATE,
    },
    title="a namespace",
    empty=True,
)

SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **mapping(
        "A lab: namespaces, bridges and cables, and what runs over them. The top level is the host itself.",
        {
            "name": {
                **text("The lab's name. All that belongs to it is marked with it, and found again by it."),
                "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
                "errorMessage": "a lab's name has letters, digits, '.', '_' and '-', begins with a letter or digit, "
                "and has at most 63 characters, such as red-blue",
            },
            "pool": {
                **NETWORKS,
                "description": "Networks from which cables without a bridge get their addresses where they are `auto`: "
                "a /31 each of an IPv4 network, a /127 each of an IPv6 network.",
            },
            **_NODE,
            "namespaces": _named("Network namespaces by name. A key with `count` is a template.", "namespace", "red"),
        },
        required=["name"],
        title="the top level",
    ),
    "patternProperties": {"^x-": {"description": "Yours: a place for what YAML anchors point to."}},
    "$defs": {
        "namespace": NAMESPACE,
        "bridge": BRIDGE,
        "interface": INTERFACE,
        "route": ROUTE,
        "masquerade": MASQUERADE,
        "forward": FORWARD,
    },
}
