# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Targets of iptables, from structs made by hand as the kernel's headers describe them."""

from __future__ import annotations

import ipaddress
import struct
from socket import htons

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls import xt_targets
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.model import Verdict
from ansible_collections.patchbay.netns.plugins.module_utils._firewalls.xt_targets import xt_target_text, xt_verdict
from hypothesis import given
from hypothesis import strategies as st


def nat(flags: int, low: str = "0.0.0.0", high: str = "", *ports: int) -> bytes:
    """struct nf_nat_range2."""
    ends = [ipaddress.ip_address(end).packed.ljust(16, b"\0") for end in (low, high or low)]
    return struct.pack("=I", flags) + b"".join(ends) + struct.pack("!3H", *(ports or (0, 0, 0)))


@pytest.mark.parametrize(
    ("name", "revision", "data", "verdict"),
    [
        ("", 0, struct.pack("=i", -1), Verdict("drop")),
        ("", 0, struct.pack("=i", -2), Verdict("accept")),
        ("", 0, struct.pack("=i", -4), Verdict("queue")),
        ("", 0, struct.pack("=i", -5), Verdict("return")),
        ("standard", 0, struct.pack("=i", 152), Verdict("jump", detail="152")),
        ("REJECT", 0, struct.pack("=I", 8), Verdict("reject", detail="icmp-admin-prohibited")),
        ("DNAT", 2, nat(3, "10.0.0.1", "", 80, 80, 0), Verdict("dnat", detail="10.0.0.1:80")),
        ("SNAT", 2, nat(1, "10.0.0.1", "10.0.0.9"), Verdict("snat", detail="10.0.0.1-10.0.0.9")),
        ("MASQUERADE", 0, struct.pack("=2I8x4x", 1, 0), Verdict("masquerade")),
        (
            "REDIRECT",
            0,
            struct.pack("=2I8x2H", 1, 2, htons(80), htons(80)),
            Verdict("redirect", detail="80"),
        ),
        ("NFQUEUE", 3, struct.pack("=3H", 3, 1, 1), Verdict("queue", detail="NFQUEUE --queue-num 3 --queue-bypass")),
        ("LOG", 0, struct.pack("=2B30s", 4, 0, b"hi"), Verdict("continue", detail="LOG --log-prefix hi")),
        ("MARK", 2, struct.pack("=2I", 1, 2), Verdict("continue", detail="MARK --set-xmark 0x1/0x2")),
        ("CHECKSUM", 0, b"\1", Verdict("continue", detail="CHECKSUM --checksum-fill")),
        ("TCPMSS", 0, b"\xff\xff", Verdict("continue", detail="TCPMSS --clamp-mss-to-pmtu")),
        ("ERROR", 0, b"ERROR".ljust(30, b"\0"), Verdict("drop", detail="ERROR")),
        ("TARPIT", 0, b"", Verdict("queue", detail="TARPIT")),
    ],
)
def test_verdicts(name: str, revision: int, data: bytes, verdict: Verdict) -> None:
    assert xt_verdict(name, revision, data, 4) == verdict


def test_a_translation_to_ipv6_has_brackets_only_with_a_port() -> None:
    with_port, without = nat(3, "fd00::1", "", 80, 80, 0), nat(1, "fd00::1")
    assert xt_verdict("DNAT", 2, with_port, 6).detail == "[fd00::1]:80"
    assert xt_verdict("DNAT", 2, without, 6).detail == "fd00::1"


def test_a_proxy_takes_the_packet() -> None:
    data = struct.pack("=2I16sH", 1, 1, b"", htons(80))
    assert xt_verdict("TPROXY", 1, data, 4) == Verdict("accept", detail="TPROXY --on-port 80 --tproxy-mark 0x1/0x1")


TARGETS = sorted({*xt_targets._READERS, *xt_targets._GO_ON, "", "standard", "ERROR", "unheard-of"})


@given(st.sampled_from(TARGETS), st.integers(0, 255), st.binary(max_size=320), st.sampled_from([4, 6, 1, 2, 7, 10, 0]))
def test_no_target_raises(name: str, revision: int, data: bytes, family: int) -> None:
    assert isinstance(xt_verdict(name, revision, data, family), Verdict)
    assert isinstance(xt_target_text(name, revision, data, family), str)
