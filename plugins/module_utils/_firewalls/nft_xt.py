# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The matches and targets of iptables inside of nftables rules, as iptables-nft and its like write them."""

from __future__ import annotations

from .._kernel.rulesets import Attributes, number, text
from .model import Condition, Verdict
from .xt_matches import xt_comment, xt_conditions, xt_match_text
from .xt_targets import xt_target_text, xt_verdict

_NAME, _REVISION, _INFO = 1, 2, 3  # NFTA_MATCH_* and NFTA_TARGET_*, linux/netfilter/nf_tables_compat.h
_FAMILIES = {"ip": 2, "ip6": 10}


def conditions(attributes: Attributes, family: str) -> tuple[list[Condition], str, str]:
    """What a match asks for, the comment that it is, and its words."""
    what = _parts(attributes, family)
    comment = xt_comment(what[0], what[2])
    return xt_conditions(*what), comment, "" if comment else xt_match_text(*what)


def verdict(attributes: Attributes, family: str) -> tuple[Verdict, str]:
    """What a target does, and its words."""
    what = _parts(attributes, family)
    return xt_verdict(*what), xt_target_text(*what)


def _parts(attributes: Attributes, family: str) -> tuple[str, int, bytes, int]:
    return (
        text(attributes.get(_NAME)),
        number(attributes.get(_REVISION)),
        attributes.get(_INFO, b""),
        _FAMILIES.get(family, 2),
    )
