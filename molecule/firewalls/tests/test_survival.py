# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others do to a machine afterwards: the packets still pass, or the same playbook puts back exactly what is gone."""

from __future__ import annotations

import pytest
from expected import closed, missing
from firewalled import Machine

RELOAD = {
    "ufw": "ufw reload",
    "firewalld": "firewall-cmd --reload; bash /root/firewalld-runtime.sh",
    "docker": "bash /root/docker.sh",
}
OUR_TABLE, ITS_FLOWS = "nft ", "conntrack "
ITS_CHAIN = ("iptables-nft -I DOCKER-USER ", "ip6tables-nft -I DOCKER-USER ")


def test_the_firewall_may_be_reloaded(machine: Machine) -> None:
    machine.host.check_output(RELOAD[machine.owner])
    assert missing(machine.ways()) == {}


def test_a_flushed_ruleset_is_put_right(machine: Machine) -> None:
    machine.host.check_output(f"nft flush ruleset; {RELOAD[machine.owner]}")
    assert "the forward from outside, IPv4" in closed(machine.ways(), ["the forward from outside, IPv4"])
    run = machine.run()
    assert missing(machine.ways()) == {}
    # Only nft's half of what Docker has was gone, and all of it is back.
    gone = ITS_CHAIN if machine.owner == "docker" else ()
    assert {command for command in run.commands if not command.startswith((OUR_TABLE, ITS_FLOWS, *gone))} == set()
    assert all(any(command.startswith(start) for command in run.commands) for start in (OUR_TABLE, *gone))


def test_forwarding_outlives_a_configuration_that_ends_it(machine: Machine) -> None:
    names = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
    file = "/etc/sysctl.d/50-no-router.conf"
    try:
        for name in names:
            machine.host.check_output(f"echo {name} = 0 >> {file}")
        machine.host.check_output("systemctl restart systemd-sysctl")
        assert [machine.host.sysctl(name) for name in names] == [1, 1]
        assert machine.host.file("/run/sysctl.d/zz-patchbay.netns.conf").exists
    finally:
        machine.host.check_output(f"rm {file}")
