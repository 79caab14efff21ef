# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What a kernel needs for each feature: options it is built with and, where they may be modules, the modules."""

from __future__ import annotations

from .._errors import Unsupported

NEEDS = {
    "ipv6": "CONFIG_IPV6, and neither ipv6.disable nor ipv6.disable_ipv6 on the kernel's command line",
    "veth": "CONFIG_VETH, module veth",
    "bridge": "CONFIG_BRIDGE, module bridge",
    "vlan_filtering": "CONFIG_BRIDGE_VLAN_FILTERING",
    "vlan": "CONFIG_VLAN_8021Q, module 8021q",
    "vxlan": "CONFIG_VXLAN, module vxlan",
    "macvlan": "CONFIG_MACVLAN, module macvlan",
    "vrf": "CONFIG_NET_VRF, module vrf",
    "dummy": "CONFIG_DUMMY, module dummy",
    "netem": "CONFIG_NET_SCH_NETEM, module sch_netem",
    "nat_ipv4": "CONFIG_NF_TABLES_INET, CONFIG_NF_TABLES_IPV4, CONFIG_NFT_NAT and CONFIG_NFT_MASQ, "
    "modules nf_tables, nft_chain_nat, nft_nat and nft_masq",
    "nat_ipv6": "CONFIG_NF_TABLES_INET, CONFIG_NF_TABLES_IPV6, CONFIG_NFT_NAT and CONFIG_NFT_MASQ, "
    "modules nf_tables, nft_chain_nat, nft_nat and nft_masq",
    "fib": "CONFIG_NFT_FIB_INET, modules nft_fib_inet, nft_fib_ipv4 and nft_fib_ipv6",
    "ct": "CONFIG_NFT_CT, module nft_ct",
    "intervals": "Linux 5.6 and CONFIG_NF_TABLES",
    "sctp": "CONFIG_NF_CT_PROTO_SCTP",
}


def lacking(feature: str, refusal: object) -> Unsupported:
    """The error for a feature that the kernel does not have; ``refusal`` is how it said so."""
    return Unsupported(f"this kernel has no {feature}: it needs {NEEDS[feature]}. {refusal}", feature=feature)
