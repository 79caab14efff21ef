# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every command of the README, run as a stranger would: in a fresh clone, in a folder whose name holds a space.

The whole run happens in network and mount namespaces of its own (tests/tools/isolated.sh), so the machine stays as it is.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ISOLATED = CHECKOUT / "tests/tools/isolated.sh"
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


def commands() -> list[str]:
    """The lines of the README's console blocks, in order."""
    return [line for block in blocks("console") for line in block.splitlines()]


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with bash in a folder; its output is in the assertion that fails."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )


def isolated(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The same, where it can't change the machine."""
    return subprocess.run(
        [ISOLATED, "bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a stranger has: a clone of the last commit, ready to run (the network is needed for that alone)."""
    folder = tmp_path_factory.mktemp("a stranger") / "patchbay netns"
    done = shell(f"git clone -q '{CHECKOUT}' '{folder}' && make -C '{folder}' .venv", CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def path(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shell words that put the clone's ansible first and keep installed collections in a folder of the test."""
    home = tmp_path_factory.mktemp("home")
    return (
        f"export HOME='{home}' PATH='{clone}/.venv/bin':$PATH ANSIBLE_PYTHON_INTERPRETER='{clone}/.venv/bin/python'\n"
    )


def test_the_readme_shows_the_two_commands_in_its_first_screen() -> None:
    first = README.splitlines()[:40]
    assert "make lab" in first
    assert "make clean-lab" in first


def test_make_lab_and_clean_lab_do_what_the_readme_says(clone: Path) -> None:
    both = [command for command in commands() if command.startswith("make ")]
    assert both == ["make lab", "make clean-lab"]
    snapshot = "ip -j addr; ip -j route; ip netns; cat /proc/sys/net/ipv4/ip_forward"
    done = isolated(
        f"({snapshot}) > before; {both[0]}; ip netns; {both[1]}; ({snapshot}) > after; diff before after", clone
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "192.168.15.2" in done.stdout
    assert re.search(r"^red", done.stdout, flags=re.M), "the lab was there in between"
    assert "reached" in done.stdout


def test_the_installed_collection_does_what_the_readme_says(clone: Path, path: str, tmp_path: Path) -> None:
    install, play, _lab = (block for block in blocks("console") if not block.startswith("make "))
    done = isolated(f"{path}{install} cd '{tmp_path}'\n{play}", clone)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert done.stdout.count("failed=0") == 2


def test_a_lab_is_built_from_its_file_and_removed_again(clone: Path, path: str, tmp_path: Path) -> None:
    install, _play, lab = (block.strip() for block in blocks("console") if not block.startswith("make "))
    (tmp_path / "my-lab.yml").write_text(blocks("yaml")[0], encoding="utf-8")
    mine = f"{lab}; ip netns exec n1 ping -c1 192.168.15.3; {lab}; {lab} -e lab_state=absent; ip netns"
    (example,) = re.findall(r"`(-e lab_file=labs/\S+)`", README)
    theirs = lab.replace("-e lab_file=my-lab.yml", example)
    done = isolated(
        f"{path}{install}\ncd '{tmp_path}'\n{mine}; echo gone; {theirs}; {theirs} -e lab_state=absent", clone
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.findall(r"changed=(\d+)", done.stdout) == ["1", "0", "1", "1", "1"]
    assert not re.search(r"^n1\b.*^gone", done.stdout, flags=re.M | re.S)


def test_site_and_teardown_run_from_their_own_folder(clone: Path, path: str) -> None:
    done = isolated(path + "ansible-playbook site.yml; ansible-playbook teardown.yml", clone / "playbooks")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert done.stdout.count("failed=0") == 2


def test_the_example_playbook_runs_twice_and_changes_nothing_the_second_time(clone: Path, path: str) -> None:
    _lab, example = blocks("yaml")
    (clone / "example.yml").write_text(example, encoding="utf-8")
    done = isolated(path + "ansible-playbook example.yml; ansible-playbook example.yml", clone)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.findall(r"changed=(\d+)", done.stdout) == ["6", "0"]


def test_the_example_has_each_of_the_six_modules() -> None:
    group = (CHECKOUT / "meta/runtime.yml").read_text(encoding="utf-8").partition("action_groups:")[2]
    modules = set(re.findall(r"^\s+- (?:patchbay\.netns\.)?(\w+)$", group, flags=re.M)) - {"topology"}
    assert len(modules) == 6, "topology has an example of its own"
    assert [name for name in modules if f"patchbay.netns.{name}:" not in blocks("yaml")[1]] == []


def test_every_code_block_is_run_or_is_a_picture() -> None:
    languages = re.findall(r"^```(\w+)\n", README, flags=re.M)
    assert sorted(set(languages)) == ["console", "text", "yaml"]


def test_every_make_target_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`make ([a-z-]+)`", README)) | {
        command.split()[1] for command in commands() if command.startswith("make ")
    }
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.M))
    assert "test" in named
    assert named <= targets | set(re.search(r"^SUITES := (.*)$", makefile, flags=re.M)[1].split())
