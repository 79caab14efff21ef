# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have in firewalld at runtime only outlives our openings."""

from __future__ import annotations

from typing import Any

import pytest
from testinfra.host import Host

ONLY_ON = "patchbay-firewalls-firewalld"


def test_zones_keep_what_was_bound_to_them_at_runtime(host: Host) -> None:
    # Whatever ran before: an opening and its reload shall not take it away.
    host.check_output("python3 /root/opener.py remove")
    host.check_output("bash /root/firewalld-runtime.sh")
    host.check_output("python3 /root/opener.py apply firewalld nft")
    assert host.check_output("firewall-cmd --zone=internal --list-interfaces") == "br-lab"
    assert host.check_output("firewall-cmd --zone=work --list-sources") == "10.66.0.0/24"


@pytest.mark.parametrize(
    ("others", "undo", "named"),
    [
        (
            "firewall-cmd --zone=public --add-service=http",
            "firewall-cmd --zone=public --remove-service=http",
            "public (services)",
        ),
        (
            "iptables -A OUTPUT -d 203.0.113.9 -j DROP",
            "nft delete table ip filter",
            "1 rules that other programs have in iptables",
        ),
    ],
)
def test_nothing_is_reloaded_away(host: Host, opener: Any, others: str, undo: str, named: str) -> None:
    opener.run("remove")
    try:
        host.check_output(others)
        before = opener.run("snapshot")
        said = opener.refusal()
        assert named in said
        assert "firewall-cmd --reload" in said
        assert opener.run("snapshot") == before
    finally:
        host.check_output(undo)
        opener.apply()


def test_a_policy_that_is_known_needs_no_reload(host: Host, opener: Any) -> None:
    try:
        host.check_output("firewall-cmd --zone=public --add-service=http")
        assert opener.apply("forward tcp 8888 ipv4")["changed"]
        assert opener.run("remove", "forward tcp 8888 ipv4")["changed"]
        assert "http" in host.check_output("firewall-cmd --zone=public --list-services").split()
    finally:
        host.check_output("firewall-cmd --zone=public --remove-service=http")


def test_openings_are_removed_while_the_daemon_is_stopped(host: Host, opener: Any) -> None:
    try:
        host.check_output("systemctl stop firewalld")
        assert opener.run("remove") == {"changed": True}
        assert not host.file("/etc/firewalld/policies").listdir()
    finally:
        host.check_output("systemctl start firewalld")
        host.check_output("bash /root/firewalld-runtime.sh")
        opener.apply()
