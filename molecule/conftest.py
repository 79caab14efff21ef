# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of every scenario share: the containers as testinfra hosts."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import pytest
import testinfra
import yaml
from testinfra.host import Host

sys.path.insert(0, str(pathlib.Path(__file__).parent / "shared"))
import machines
from probing import Probe


def _platforms(group: str) -> list[dict[str, Any]]:
    scenario = yaml.safe_load(pathlib.Path(os.environ["MOLECULE_FILE"]).read_text())
    return [platform for platform in scenario["platforms"] if group in platform["groups"]]


def pytest_configure(config: pytest.Config) -> None:
    """Every test runs once per machine. Straight through podman: testinfra's Ansible connection is 20 times slower."""
    config.option.hosts = ",".join(f"podman://{platform['name']}" for platform in _platforms("machines"))
    config.option.connection = None
    config.option.ansible_inventory = None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test file that names one machine in ONLY_ON runs there alone."""
    elsewhere = [
        item
        for item in items
        if (only := getattr(item.module, "ONLY_ON", None)) and f"[podman://{only}" not in item.name
    ]
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if item not in elsewhere]


@pytest.fixture
def probe(host: Host) -> Probe:
    """Packets sent and received on the machine by a script that does not use our code."""
    return Probe(host)


@pytest.fixture
def outside() -> Host:
    """The scenario's machine that the roles do not touch: a client or a neighbour."""
    (platform,) = _platforms("outside")
    return testinfra.get_host(f"podman://{platform['name']}")


@pytest.fixture
def suite(host: Host) -> str:
    """Which Debian release the test runs on: bullseye, bookworm or trixie."""
    images = {platform["name"]: platform["image"] for platform in _platforms("machines")}
    return str(images[host.backend.get_pytest_id().removeprefix("podman://")])


@pytest.fixture
def reboot(host: Host) -> Callable[[], None]:
    """Call it to restart the machine: namespaces, rules and /run are gone, files stay, enabled units start."""
    name = host.backend.get_pytest_id().removeprefix("podman://")

    def restart() -> None:
        machines.podman("restart", "--time=20", name)
        machines.wait_for_boot(name)

    return restart
