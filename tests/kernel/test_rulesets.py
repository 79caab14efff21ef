# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other people's firewalls, as they are read from this kernel: what is foreseen of a packet, against what happens to it."""

from __future__ import annotations

import os

import grammar
import packets
import pytest
from box import Box
from crossing import UNSEEN, Crossing, Sent
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

EXAMPLES = 400 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 60


@pytest.fixture
def crossing(box: Box) -> Crossing:
    return Crossing(box)


def tried(function):
    """Try many firewalls in one world: each is taken away before the next."""
    return settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to make an example small takes too long in a real world
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )(function)


def agrees(crossing: Crossing, sent: Sent) -> None:
    """What is foreseen for certain is what happens."""
    foreseen = crossing.foreseen(sent)
    event(f"foreseen: {foreseen}")
    if foreseen is not None:
        arrived = bool(crossing.arrives(sent, timeout=packets.TIMEOUT if foreseen else UNSEEN))
        assert arrived == foreseen, f"{sent}\nforeseen {crossing.fates(sent)}\n{crossing.box.nft('list ruleset')}"


@tried
@given(firewall=grammar.firewalls(), sent=grammar.sents())
def test_what_is_foreseen_of_a_packet_happens_to_it(crossing, firewall, sent):
    crossing.clear()
    crossing.prepare(sent)
    crossing.load(firewall)
    agrees(crossing, sent)


@tried
@given(data=st.data(), sent=grammar.sents())
def test_what_is_foreseen_of_a_packet_in_rules_of_iptables_happens_to_it(crossing, data, sent):
    crossing.clear()
    crossing.prepare(sent)
    program = "iptables-nft-restore" if sent.family == 4 else "ip6tables-nft-restore"
    crossing.box.tool(program, stdin=data.draw(grammar.iptables(sent.family)))
    agrees(crossing, sent)
