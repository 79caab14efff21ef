# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others do to a machine afterwards: the packets still pass, or the same playbook puts back exactly what is gone."""

from __future__ import annotations

from expected import OPEN, closed, missing
from firewalled import Machine

RELOAD = {
    "ufw": "ufw reload",
    "firewalld": "firewall-cmd --reload && bash /root/firewalld-runtime.sh",
    "docker": "bash /root/docker.sh",
}
REBUILD = {
    **RELOAD,
    # It can't be reloaded once its table is gone.
    "firewalld": "systemctl restart firewalld && bash /root/firewalld-runtime.sh",
}
LOST = {
    "ufw": ["nft "],
    "firewalld": ["nft "],
    # What it has in iptables-legacy is still there.
    "docker": ["nft ", "iptables-nft -I DOCKER-USER ", "ip6tables-nft -I DOCKER-USER "],
}
"""How the commands begin that put back what was in nftables and is in nobody's configuration."""
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")


def test_the_firewall_may_be_reloaded(machine: Machine) -> None:
    machine.host.check_output(RELOAD[machine.owner])
    assert missing(machine.ways()) == {}


def test_a_flushed_ruleset_is_put_right(machine: Machine) -> None:
    machine.host.check_output(f"nft flush ruleset && {REBUILD[machine.owner]}")
    forwards = {name for name in OPEN if name.startswith("the forward")}
    assert closed(machine.ways(), forwards) == forwards
    run = machine.run()
    assert missing(machine.ways()) == {}
    of_rules = [command for command in run.commands if not command.startswith("conntrack ")]
    starts = LOST[machine.owner]
    assert [command for command in of_rules if not command.startswith(tuple(starts))] == []
    assert all(any(command.startswith(start) for command in of_rules) for start in starts)


def test_forwarding_outlives_a_configuration_that_ends_it(machine: Machine) -> None:
    file = "/etc/sysctl.d/50-no-router.conf"
    lines = "".join(f"echo {name} = 0; " for name in FORWARDING)
    machine.host.check_output(f"{{ {lines}}} > {file}")
    try:
        machine.host.check_output("systemctl restart systemd-sysctl")
        assert [machine.host.sysctl(name) for name in FORWARDING] == [1, 1]
    finally:
        machine.host.check_output(f"rm {file}")
