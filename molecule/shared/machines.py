# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create or destroy the containers of the scenario that molecule is running: machines.py create|destroy.

The scenario's platforms come from the file that molecule names in MOLECULE_FILE. A platform has a ``name``, an ``image``
(a Debian suite) and ``groups``; with ``addresses`` (IPv4 and IPv6, with prefix length) it also gets an interface on a
network that the scenario's containers share and that leads nowhere else.
"""

from __future__ import annotations

import ipaddress
import os
import pathlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml

IMAGES = pathlib.Path(__file__).resolve().parents[2] / "tests" / "images"
BOOT_SECONDS = 60

Platform = dict[str, Any]


def podman(*args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run podman; its complaint is the error's text."""
    done = subprocess.run([IMAGES / "podman.sh", *args], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"podman {' '.join(args)}: {done.stderr.strip()}")
    return done


def wait_for_boot(name: str) -> None:
    """Wait until systemd inside of the container has started everything."""
    deadline = time.monotonic() + BOOT_SECONDS
    # Until systemd listens there, systemctl fails at once instead of waiting.
    while podman("exec", name, "test", "-S", "/run/systemd/private", check=False).returncode:
        if time.monotonic() > deadline:
            raise SystemExit(
                f"{name} did not boot in {BOOT_SECONDS} seconds: {podman('logs', name, check=False).stdout}"
            )
        time.sleep(0.1)
    state = podman("exec", name, "systemctl", "is-system-running", "--wait", check=False).stdout.strip()
    if state != "running":
        failed = podman("exec", name, "systemctl", "--failed", "--no-legend", check=False).stdout
        raise SystemExit(f"{name} is {state}: {failed}")


def network_arguments(platform: Platform, network: str) -> list[str]:
    """Say to podman where the container is plugged in."""
    interfaces = [ipaddress.ip_interface(address) for address in platform.get("addresses", [])]
    if not interfaces:
        return ["--network=none"]
    options = ",".join(f"{'ip6' if i.version == 6 else 'ip'}={i.ip}" for i in interfaces)
    return [f"--network={network}:{options}"]


def start(platform: Platform, network: str) -> None:
    """Start one container and wait until it is up."""
    name = platform["name"]
    podman(
        "run",
        "--detach",
        f"--name={name}",
        f"--hostname={name.replace('_', '-')}",
        "--privileged",
        "--systemd=always",
        # A new network namespace takes the machine's value, and container networking sets that to 1: a role that
        # forgets to turn forwarding on would pass.
        "--sysctl=net.ipv4.ip_forward=0",
        *network_arguments(platform, network),
        f"patchbay-{platform['image']}",
    )
    wait_for_boot(name)


def create(platforms: list[Platform], network: str) -> None:
    """Build what is missing, then start all containers side by side."""
    subprocess.run([IMAGES / "build.sh", *sorted({p["image"] for p in platforms})], check=True)
    subnets = {ipaddress.ip_interface(address).network for p in platforms for address in p.get("addresses", [])}
    if subnets:
        podman(
            "network", "create", "--internal", "--ipv6", "--disable-dns", *(f"--subnet={s}" for s in subnets), network
        )
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda platform: start(platform, network), platforms))


def destroy(platforms: list[Platform], network: str) -> None:
    """Remove the containers and the network, in whatever state they are."""
    podman("rm", "--force", "--ignore", "--time=0", "--volumes", *(p["name"] for p in platforms))
    if podman("network", "exists", network, check=False).returncode == 0:
        podman("network", "rm", "--force", network)


def main() -> None:
    """Do what the command line says for the scenario that molecule is running."""
    platforms = yaml.safe_load(pathlib.Path(os.environ["MOLECULE_FILE"]).read_text())["platforms"]
    network = f"patchbay-{os.environ['MOLECULE_SCENARIO_NAME']}"
    {"create": create, "destroy": destroy}[sys.argv[1]](platforms, network)


if __name__ == "__main__":
    main()
