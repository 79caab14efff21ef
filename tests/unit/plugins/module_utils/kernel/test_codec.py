# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host without pyroute2, or with one that is too old, is told."""

from __future__ import annotations

import io
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import MissingLibrary
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import codec

PIP = f"{sys.executable} -m pip install 'pyroute2>=0.7.2'"
HOSTS = {
    "Debian 13": (
        'ID=debian\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
        "apt-get install python3-pyroute2",
    ),
    "Debian 11": ("ID=debian\nVERSION_CODENAME=bullseye\n", "its package here is too old"),
    "Ubuntu 22.04": ("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=jammy\n", "its package here is too old"),
    "Linux Mint": ('ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_CODENAME=xia\n', "apt-get install python3-pyroute2"),
    "Fedora": ("ID=fedora\n", "dnf install python3-pyroute2"),
    "Rocky": ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install python3-pyroute2"),
    "Arch": ("ID=arch\n", f"run: {PIP}"),
    "odd": ("nonsense\n\n", f"run: {PIP}"),
}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str | None], None]:
    def become(text: str | None) -> None:
        def read(path: str, **_options: object) -> io.StringIO:
            assert path == "/etc/os-release"
            if text is None:
                raise FileNotFoundError(path)
            return io.StringIO(text)

        monkeypatch.setattr(codec, "open", read, raising=False)

    return become


@pytest.mark.parametrize(("text", "words"), HOSTS.values(), ids=HOSTS)
def test_the_package_is_named_in_the_distributions_words(host: t.Any, text: str, words: str) -> None:
    host(text)
    assert words in codec._package()


def test_a_host_that_does_not_say_what_it_is_gets_pip(host: t.Any) -> None:
    host(None)
    assert codec._package() == f"run: {PIP}"


@pytest.mark.parametrize("text", [text for text, _words in HOSTS.values()], ids=HOSTS)
def test_every_host_is_told_how_to_serve_this_interpreter(host: t.Any, text: str) -> None:
    host(text)
    assert PIP in codec._package()


def test_a_missing_library_is_one_sentence_with_the_role_that_cures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    with pytest.raises(
        MissingLibrary, match=f"pyroute2 can't be imported by {sys.executable}.*The role patchbay.netns.host does this"
    ):
        codec.codec.__wrapped__()


SOURCES = {
    "__init__.py": "raise RuntimeError('the whole package was imported')",
    "netlink/__init__.py": "nla = object()",
    "netlink/nfnetlink/__init__.py": "nfgen_msg = object()",
    "netlink/rtnl/__init__.py": "",
    **{
        f"netlink/rtnl/{kind}.py": f"{kind} = object()"
        for kind in ("ifaddrmsg", "ifinfmsg", "ndmsg", "nsidmsg", "rtmsg")
    },
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> t.Iterator[t.Callable[..., Path]]:
    """Installs an imitation of pyroute2, as far as we import it, in a folder of its own that comes first."""
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "pyroute2"}
    for name in ours:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)

    def install(metadata: str, **changed: str) -> Path:
        for name, source in {**SOURCES, **changed}.items():
            file = tmp_path / "pyroute2" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        (tmp_path / metadata).mkdir()
        return tmp_path / "pyroute2" / "__init__.py"

    yield install
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]:
        del sys.modules[name]


@pytest.mark.parametrize("version", ["0.5.14", "0.6.4", "0.7.1", "0.7"])
def test_a_library_that_is_too_old_is_named_with_its_place(installed: t.Any, version: str) -> None:
    place = installed(f"pyroute2-{version}.dist-info")
    with pytest.raises(MissingLibrary, match=rf"too old.*0\.7\.2 is needed, found {version} in {place}"):
        codec.codec.__wrapped__()


@pytest.mark.parametrize("version", ["0.7.2", "0.7.10", "0.8.1", "0.9.7", "1.0", "0.9.1.post1", "0.10.0rc1"])
def test_a_library_that_is_new_enough_is_taken_without_the_rest_of_it(installed: t.Any, version: str) -> None:
    installed(f"pyroute2-{version}.dist-info")
    assert codec.codec.__wrapped__().version == version
    assert "pyroute2" not in sys.modules, "the next one who imports it gets the whole"


@pytest.mark.parametrize(
    "metadata", ["pyroute2-0.7.2.egg-info", "pyroute2-0.7.2-py3.11.egg-info", "pyroute2-0.7.2.dist-info"]
)
def test_the_version_is_read_beside_the_package(installed: t.Any, metadata: str) -> None:
    installed(metadata)
    assert codec.codec.__wrapped__().version == "0.7.2"


def test_a_version_whose_parts_need_the_whole_is_imported_whole(installed: t.Any) -> None:
    needs = {"__init__.py": "ready = True", "netlink/__init__.py": "import pyroute2\npyroute2.ready\nnla = object()"}
    installed("pyroute2-2.0.dist-info", **needs)
    assert codec.codec.__wrapped__().version == "2.0"


def test_the_library_that_is_here_has_all_that_we_need() -> None:
    assert all(codec.codec())
