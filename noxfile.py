"""The supported combinations of Python, pyroute2 and ansible-core: what hosts and controllers out there have.

``make matrix`` runs them all. One of them: ``.venv-dev/bin/nox --session 'target(3.9-pyroute2-0.7.2)'``.
"""

from __future__ import annotations

import os
import pathlib

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False

# pyenv's interpreters stand in folders of their own. Its shims are on PATH, but answer for some versions only.
PYENV = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
SEARCHED = [folder for folder in os.environ["PATH"].split(os.pathsep) if pathlib.Path(folder) != PYENV / "shims"]
os.environ["PATH"] = os.pathsep.join([*SEARCHED, *map(str, sorted(PYENV.glob("versions/*/bin")))])

# Managed hosts: the oldest and newest Python and pyroute2 that we support, and those of the distributions between.
TARGETS = [
    ("3.9", "0.7.2"),
    ("3.9", "0.9.7"),
    ("3.10", "0.7.7"),
    ("3.11", "0.7.2"),
    ("3.12", "0.8.1"),
    ("3.13", "0.9.7"),
]
CONTROLLERS = [("3.11", "2.19.14"), ("3.12", "2.20.10"), ("3.13", "2.21.5")]

TEST_TOOLS = ["pytest>=8,<10", "pytest-xdist>=3.6,<4", "hypothesis>=6.100,<7", "jsonschema>=4.20,<5", "PyYAML>=6,<7"]
# The same code in nine places: `make unit` looks for what is rare.
UNIT = {"HYPOTHESIS_PROFILE": "brief"}

ENVIRONMENT = {
    "ANSIBLE_COLLECTIONS_PATH": str(pathlib.Path(".ansible/collections").resolve()),
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
}


def in_private_namespaces(session: nox.Session, *command: str) -> None:
    """Run a command that touches the kernel where the machine does not see it."""
    session.run("tests/tools/isolated.sh", *command, external=True, env=ENVIRONMENT)


@nox.session
@nox.parametrize("python,pyroute2", [nox.param(*pair, id="-pyroute2-".join(pair)) for pair in TARGETS])
def target(session: nox.Session, pyroute2: str) -> None:
    """What runs on managed hosts, without Ansible: the oldest Pythons cannot install it."""
    session.install("--quiet", *TEST_TOOLS, f"pyroute2=={pyroute2}")
    session.run("pytest", "-q", "-n", "auto", "tests/unit/plugins/module_utils", env=UNIT)
    in_private_namespaces(session, "pytest", "-q", "-m", "smoke", "tests/kernel")


@nox.session
@nox.parametrize("python,core", [nox.param(*pair, id="-core-".join(pair)) for pair in CONTROLLERS])
def controller(session: nox.Session, core: str) -> None:
    """What runs beside Ansible: all unit tests, our documentation and playbooks, and a small play for real."""
    session.install("--quiet", *TEST_TOOLS, f"ansible-core=={core}", "pyroute2==0.9.7")
    session.run("pytest", "-q", "-n", "auto", "tests/unit", env=UNIT)
    session.run("ansible-doc", "--list", "patchbay.netns", env=ENVIRONMENT, silent=True)
    playbooks = [str(path) for path in sorted(pathlib.Path("playbooks").glob("*.yml"))]
    session.run("ansible-playbook", "--syntax-check", *playbooks, env=ENVIRONMENT, silent=True)
    in_private_namespaces(session, "ansible-playbook", "tests/tools/smoke.yml")
