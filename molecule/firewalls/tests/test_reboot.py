# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ufw's rules are in its files, so they are there before the lab is."""

from __future__ import annotations

from collections.abc import Callable

from expected import missing
from firewalled import Machine

ONLY_ON = "patchbay-firewalls-ufw"


def test_after_a_reboot_the_playbook_makes_the_rest(machine: Machine, reboot: Callable[[], None]) -> None:
    reboot()
    assert "# patchbay: masquerade 192.168.15.0/24 out uplink" in machine.host.check_output("ufw status")
    machine.host.check_output("python3 /root/probe.py make-outside && bash /root/surroundings.sh")
    run = machine.run("converge.yml")
    assert missing(machine.ways()) == {}
    assert [command for command in run.commands if "ufw" in command] == []
