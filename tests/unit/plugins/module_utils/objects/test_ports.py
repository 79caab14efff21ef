# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports and ranges: what users write, and which port becomes which."""

from __future__ import annotations

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.nft_rules import Ports
from ansible_collections.patchbay.netns.plugins.module_utils._objects import ports
from hypothesis import given
from hypothesis import strategies as st

ranges = st.builds(lambda one, two: Ports(min(one, two), max(one, two)), st.integers(1, 65535), st.integers(1, 65535))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", Ports(80, 80)),
        ("8000-8010", Ports(8000, 8010)),
        (" 80 ", Ports(80, 80)),
        ("80 - 90", Ports(80, 90)),
        ("80:90", Ports(80, 90)),
    ],
)
def test_what_is_a_port(text: str, expected: Ports) -> None:
    assert ports.parse(text, "port") == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", "0 is no port number; ports go from 1 to 65535"),
        ("70000", "70000 is no port number"),
        ("80-70000", "70000 is no port number"),
        ("90-80", "did you mean 80-90?"),
        ("-80", "is no port"),
        ("http", "is no port; write a number such as 80"),
        ("80,81", "is no port"),
        ("", "is no port"),
        ("80-", "is no port"),
        ("٨٠", "is no port"),
        ("8.0", "is no port"),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ports.parse(text, "to_port")
    assert str(caught.value).startswith("to_port: ")
    assert said in str(caught.value)


@given(text=st.text())
def test_any_text_is_a_port_or_is_refused(text: str) -> None:
    try:
        found = ports.parse(text, "port")
    except InvalidInput as error:
        assert str(error).startswith("port: ")
    else:
        assert 1 <= found.low <= found.high <= 65535
        assert ports.parse(str(found), "port") == found


@given(outside=ranges, start=st.integers(1, 65535))
def test_every_port_goes_to_its_own(outside: Ports, start: int) -> None:
    outside = Ports(outside.low, min(outside.high, outside.low + 50))
    inside = Ports(start, start + len(outside) - 1)
    ports.check_widths(outside, inside)
    reached = {
        number: (to or number)
        for match, to in ports.pairs(outside, inside)
        for number in range(match.low, match.high + 1)
    }
    assert reached == {outside.low + step: inside.low + step for step in range(len(outside))}


def test_a_range_that_keeps_its_numbers_is_one_rule() -> None:
    everything = Ports(1, 65535)
    assert ports.pairs(everything, None) == ports.pairs(everything, everything) == [(everything, None)]
    ports.check_widths(everything, everything)


@pytest.mark.parametrize(
    ("outside", "inside", "said"),
    [
        (
            Ports(8000, 8010),
            Ports(80, 80),
            "shrinks from 11 ports (8000-8010) to 1 port (80); both need the same number of ports, so write 80-90",
        ),
        (Ports(8000, 8010), Ports(80, 85), "shrinks"),
        (
            Ports(80, 80),
            Ports(8000, 8010),
            "grows from 1 port (80) to 11 ports (8000-8010); both need the same number of ports, so write 8000,",
        ),
        (Ports(1, 1025), Ports(2, 1026), "1024 ports at most"),
    ],
)
def test_ranges_that_do_not_fit(outside: Ports, inside: Ports, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ports.check_widths(outside, inside)
    assert said in str(caught.value)


@given(one=ranges, two=ranges)
def test_overlap_is_mutual_and_means_a_common_port(one: Ports, two: Ports) -> None:
    assert one.overlaps(two) == two.overlaps(one) == bool(range(max(one.low, two.low), min(one.high, two.high) + 1))
