# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was switched on stays on when the machine reads its sysctl.d again, and a read-only /proc/sys is no obstacle.

The programs that read it are the machine's own, let loose on folders that only this process sees.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._engine.model import State
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import dropin, namespaces
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._objects import sysctl
from box import Box
from doors import Failed
from scenery import FORWARDING, LAB, rules, versions

IP_FORWARD = "net.ipv4.ip_forward"
DROPIN = Path(dropin.DIRECTORY, dropin.NAME)
CONF = Path("/etc/sysctl.conf")
FOLDERS = ("/etc/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
SYSTEMD = Path("/lib/systemd/systemd-sysctl")
WAYS = {"sysctl": ["sysctl", "--system"], "systemd": [str(SYSTEMD)], "sysctl.conf": ["sysctl", "-p"]}

reloads = pytest.mark.parametrize("how", ["sysctl", "systemd"])


class Machine:
    """HOST as the namespace that the machine's configuration is about."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def says(self, path: str | Path, *lines: str) -> None:
        """Write a file of the configuration."""
        path = Path(path)
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def reload(self, how: str) -> str:
        """Read the configuration again."""
        if how == "systemd" and not SYSTEMD.exists():
            pytest.skip("systemd is not here")
        if how.startswith("sysctl") and not shutil.which("sysctl"):
            pytest.skip("procps is not here")
        return self.box.tool(*WAYS[how])


@pytest.fixture
def machine(box: Box, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr(namespaces, "_BOOT", "/proc/thread-self/ns/net")
    with contextlib.ExitStack() as mounted:
        for folder in {Path(name).resolve() for name in FOLDERS if Path(name).is_dir()}:
            box.tool("mount", "-t", "tmpfs", "sysctl", str(folder))
            mounted.callback(box.tool, "umount", str(folder))
        if CONF.exists():
            Path("/run/sysctl.conf").touch()
            box.tool("mount", "--bind", "/run/sysctl.conf", str(CONF))
            mounted.callback(box.tool, "umount", str(CONF))
        yield Machine(box)


def masquerade(box: Box, version: int = 4, **params: Any) -> Any:
    return box.run("nat_masquerade", source=LAB[version], **params)


# ---- what is on stays on


@reloads
@versions
def test_row_34_forwarding_survives_a_reload(machine: Machine, how: str, version: int) -> None:
    machine.says("/etc/sysctl.d/50-hardening.conf", f"{FORWARDING[version]} = 0")
    masquerade(machine.box, version)
    machine.reload(how)
    assert machine.box.sysctl(FORWARDING[version]) == "1"


@reloads
def test_row_34_it_survives_a_file_that_comes_late(machine: Machine, how: str) -> None:
    machine.says("/etc/sysctl.d/99-zz-last.conf", f"{IP_FORWARD} = 0")
    machine.says("/usr/lib/sysctl.d/z.conf", f"{IP_FORWARD} = 0")
    masquerade(machine.box)
    machine.reload(how)
    assert machine.box.sysctl(IP_FORWARD) == "1"


@reloads
def test_row_34_it_survives_a_file_that_gives_the_setting_its_other_name(machine: Machine, how: str) -> None:
    machine.says("/etc/sysctl.d/10-early.conf", f"{IP_FORWARD} = 1")
    machine.says("/etc/sysctl.d/50-hardening.conf", "net.ipv4.conf.all.forwarding = 0")
    masquerade(machine.box)
    machine.reload(how)
    assert machine.box.sysctl(IP_FORWARD) == "1"


def test_row_34_the_file_alone_sets_everything_again(machine: Machine) -> None:
    masquerade(machine.box)
    machine.box.sysctl(IP_FORWARD, "0")
    machine.box.tool("sysctl", "-p", str(DROPIN))
    assert machine.box.sysctl(IP_FORWARD) == "1"


@reloads
def test_what_localhost_needs_of_a_device_survives_too(machine: Machine, how: str) -> None:
    name = "net.ipv4.conf.br/7.route_localnet"
    machine.says("/etc/sysctl.d/50-hardening.conf", f"{name} = 0")
    machine.box.run("bridge", name="br.7", addresses=["192.168.15.5/24"])
    machine.box.run("dnat_forward", protocol="tcp", port=80, to_address="192.168.15.2", localhost=True)
    machine.reload(how)
    assert Path("/proc/sys/net/ipv4/conf/br.7/route_localnet").read_text(encoding="ascii") == "1\n"


@reloads
def test_a_device_that_is_gone_is_no_error(machine: Machine, how: str) -> None:
    machine.box.run("bridge", name="br0", addresses=["192.168.15.5/24"])
    machine.box.run("dnat_forward", protocol="tcp", port=80, to_address="192.168.15.2", localhost=True)
    machine.box.run("bridge", name="br0", state="absent")
    machine.reload(how)  # raises where the program complains by its status
    assert "br0.route_localnet" in DROPIN.read_text(encoding="utf-8")


@reloads
def test_without_an_object_the_configuration_decides(machine: Machine, how: str) -> None:
    machine.says("/etc/sysctl.d/50-hardening.conf", f"{IP_FORWARD} = 0")
    machine.box.sysctl(IP_FORWARD, "1")
    machine.reload(how)
    assert machine.box.sysctl(IP_FORWARD) == "0"


# ---- the file comes and goes with the objects


def test_the_file_has_nothing_but_what_is_held(machine: Machine) -> None:
    masquerade(machine.box)
    lines = DROPIN.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "-net.ipv4.ip_forward = 1",
        "-net.ipv4.conf.all.forwarding = 1",
    ]


def test_the_last_object_takes_the_file_along(machine: Machine) -> None:
    masquerade(machine.box)
    masquerade(machine.box, state="absent")
    assert not DROPIN.parent.exists()


def test_while_one_object_needs_it_the_file_stays(machine: Machine) -> None:
    masquerade(machine.box)
    before = DROPIN.read_text(encoding="utf-8")
    masquerade(machine.box, out_interface="uplink")
    masquerade(machine.box, state="absent")
    assert DROPIN.read_text(encoding="utf-8") == before


def test_files_of_others_in_the_folder_stay(machine: Machine) -> None:
    other = DROPIN.with_name("50-other.conf")
    machine.says(other, "net.ipv4.ip_default_ttl = 64")
    masquerade(machine.box)
    masquerade(machine.box, state="absent")
    assert list(DROPIN.parent.iterdir()) == [other]


def test_check_mode_writes_no_file(machine: Machine) -> None:
    machine.box.run("nat_masquerade", check=True, source=LAB[4])
    assert not DROPIN.exists()


def test_a_value_that_was_there_without_us_is_not_in_the_file(machine: Machine) -> None:
    machine.box.sysctl(IP_FORWARD, "1")
    masquerade(machine.box)
    assert not DROPIN.exists()


def test_a_named_namespace_is_none_of_its_business(machine: Machine) -> None:
    machine.box.run("netns", name="red")
    machine.box.run("nat_masquerade", netns="red", source=LAB[4])
    assert machine.box.sysctl(IP_FORWARD, netns="red") == "1"
    assert not DROPIN.exists()


def test_a_namespace_that_is_not_the_machines_own_is_none_of_its_business(box: Box) -> None:
    masquerade(box)
    assert not DROPIN.exists()


def test_a_folder_that_can_not_be_written_is_no_error(machine: Machine) -> None:
    DROPIN.parent.mkdir()
    machine.box.tool("mount", "-t", "tmpfs", "-o", "ro", "sysctl", str(DROPIN.parent))
    assert masquerade(machine.box).changed
    assert not masquerade(machine.box).changed
    assert masquerade(machine.box, state="absent").changed


# ---- who wins over us is told

CASES: dict[str, dict[str, list[str]]] = {
    "nobody": {},
    "an earlier file": {"/etc/sysctl.d/50.conf": [f"{IP_FORWARD}=0"]},
    "a later file": {"/etc/sysctl.d/zzz.conf": [f"{IP_FORWARD}=0"]},
    "a later file in another folder": {"/usr/lib/sysctl.d/zzz.conf": [f"{IP_FORWARD}=0"]},
    "a later file that agrees": {"/etc/sysctl.d/zzz.conf": [f"{IP_FORWARD} = 1"]},
    "a later file, hidden": {"/etc/sysctl.d/zzz.conf": [], "/usr/lib/sysctl.d/zzz.conf": [f"{IP_FORWARD}=0"]},
    "a later file, not hidden": {"/usr/lib/sysctl.d/zzz.conf": [], "/etc/sysctl.d/zzz.conf": [f"{IP_FORWARD}=0"]},
    "a later comment": {"/etc/sysctl.d/zzz.conf": [f"# {IP_FORWARD}=0", f"; {IP_FORWARD}=0"]},
    "a later file of another kind": {"/etc/sysctl.d/zzz.config": [f"{IP_FORWARD}=0"]},
    "the other name": {"/etc/sysctl.d/zzz.conf": ["net.ipv4.conf.all.forwarding=0"]},
    "slashes": {"/etc/sysctl.d/zzz.conf": ["net/ipv4/ip_forward=0"]},
    "errors ignored": {"/etc/sysctl.d/zzz.conf": [f"-{IP_FORWARD}=0"]},
    "a change of mind": {"/etc/sysctl.d/zzz.conf": [f"{IP_FORWARD}=0", f"{IP_FORWARD}=1"]},
    "our name in etc": {f"/etc/sysctl.d/{dropin.NAME}": [], "/etc/sysctl.d/50.conf": [f"{IP_FORWARD}=0"]},
    "sysctl.conf": {str(CONF): [f"{IP_FORWARD}=0"]},
    "sysctl.conf that agrees": {str(CONF): [f"{IP_FORWARD}=1"]},
    "sysctl.conf against a later file": {str(CONF): [f"{IP_FORWARD}=1"], "/etc/sysctl.d/zzz.conf": [f"{IP_FORWARD}=0"]},
    "sysctl.conf with a pattern": {str(CONF): ["net.ipv4.conf.*.forwarding=0"]},
    "an earlier pattern for devices": {"/etc/sysctl.d/50.conf": ["net.ipv4.conf.*.forwarding=0"]},
    "a later pattern for devices": {"/etc/sysctl.d/zzz.conf": ["net.ipv4.conf.*.forwarding=0"]},
    "a pattern for the setting itself": {"/etc/sysctl.d/zzz.conf": ["net.ipv4.ip_forw*=0"]},
}  # fmt: skip


def told(name: str = IP_FORWARD) -> list[str]:
    """The warnings for somebody who needs the setting as 1."""
    with Kernel() as kernel:
        state = State(sysctl.observe_rivals(kernel, None, [name]))
    return sysctl.overruled(state, None, {name: "1"})


@pytest.mark.parametrize("case", CASES)
def test_row_34_who_wins_over_us_is_told_exactly_when_somebody_does(machine: Machine, case: str) -> None:
    if str(CONF) in CASES[case] and not CONF.exists():
        pytest.skip(f"{CONF} is not here")
    machine.box.ip("link add dev0 type bridge")
    masquerade(machine.box)
    for path, lines in CASES[case].items():
        machine.says(path, *lines)
    switched_off = []
    for how in WAYS:
        machine.box.sysctl(IP_FORWARD, "0")
        machine.box.sysctl(IP_FORWARD, "1")
        machine.reload(how)
        now = {machine.box.sysctl(name) for name in (IP_FORWARD, "net.ipv4.conf.dev0.forwarding")}
        switched_off += [how] if "0" in now else []
    assert bool(told()) == bool(switched_off), (told(), switched_off)


@pytest.mark.parametrize(("file", "lost"), [("50-early", False), ("zzz-late", True)])
def test_row_34_it_is_told_for_ipv6_too(machine: Machine, file: str, lost: bool) -> None:
    machine.says(f"/etc/sysctl.d/{file}.conf", f"{FORWARDING[6]} = 0")
    masquerade(machine.box, 6)
    machine.reload("sysctl")
    assert (machine.box.sysctl(FORWARDING[6]) == "0", bool(told(FORWARDING[6]))) == (lost, lost)


def test_row_34_the_warning_names_file_and_line(machine: Machine) -> None:
    machine.says("/etc/sysctl.d/zzz.conf", "# ours", f"{IP_FORWARD} = 0")
    (warning,) = told()
    assert warning.startswith(
        f"{IP_FORWARD} is needed as 1, but /etc/sysctl.d/zzz.conf, line 2 says 0 and has the last"
    )


def test_the_configuration_of_the_machine_does_not_concern_another_namespace(machine: Machine) -> None:
    machine.says("/etc/sysctl.d/zzz.conf", f"{IP_FORWARD} = 0")
    machine.box.namespace("red")
    with Kernel() as kernel:
        assert sysctl.observe_rivals(kernel, "red", [IP_FORWARD]) == []


# ---- a read-only /proc/sys


@pytest.fixture
def read_only(machine: Machine) -> Iterator[Any]:
    """Makes /proc/sys read-only, as in a container without privileges."""
    with contextlib.ExitStack() as mounted:

        def seal() -> None:
            machine.box.tool("mount", "--bind", "/proc/sys", "/proc/sys")
            mounted.callback(machine.box.tool, "umount", "/proc/sys")
            machine.box.tool("mount", "-o", "remount,ro,bind", "/proc/sys")

        yield seal


@versions
def test_row_35_the_right_value_needs_no_writing(machine: Machine, read_only: Any, version: int) -> None:
    machine.box.sysctl(FORWARDING[version], "1")
    read_only()
    assert masquerade(machine.box, version).changed
    assert "masquerade" in rules(machine.box)


@versions
def test_row_35_another_value_is_a_clear_error(machine: Machine, read_only: Any, version: int) -> None:
    read_only()
    with pytest.raises(Failed) as failed:
        masquerade(machine.box, version)
    assert failed.value.msg.startswith(
        f"could not set {FORWARDING[version]} to '1': Read-only file system. /proc/sys is"
    )


def test_row_35_a_failure_leaves_nothing_behind(machine: Machine, read_only: Any) -> None:
    before = machine.box.snapshot()
    read_only()
    with pytest.raises(Failed):
        masquerade(machine.box)
    assert machine.box.snapshot() == before
    assert not DROPIN.exists()
    assert not Path("/run/patchbay.netns/holds").exists()


def test_row_35_what_is_on_without_us_can_be_left_again(machine: Machine, read_only: Any) -> None:
    machine.box.sysctl(IP_FORWARD, "1")
    read_only()
    masquerade(machine.box)
    assert masquerade(machine.box, state="absent").changed
