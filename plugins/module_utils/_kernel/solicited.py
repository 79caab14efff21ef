# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""When a new IPv6 address can be found by its neighbours: once its solicited-node group is joined (RFC 4291, 2.7.1)."""

from __future__ import annotations

import ipaddress
import time

_GROUPS = "/proc/thread-self/net/igmp6"  # /proc/net would be the main thread's
_JOINED = 1.0  # seconds: the kernel joins in a work queue, a few milliseconds after it acknowledged the address
_PREFIX = "ff0200000000000000000001ff"


def wait(address: ipaddress.IPv6Address) -> None:
    """Wait, in the calling thread's namespace, until the group of an address of an interface that is up is joined.

    A neighbour that asks earlier gets no answer and asks again only after a second. When the kernel takes
    longer than that, nothing is lost but this head start.
    """
    group = _PREFIX + address.packed[-3:].hex()
    deadline = time.monotonic() + _JOINED
    while time.monotonic() < deadline:
        with open(_GROUPS, encoding="utf-8", errors="replace") as file:
            if group in file.read():
                return
        time.sleep(0.001)
