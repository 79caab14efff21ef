# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module in this process, through its real door: argument spec, validation, answer. Its engine is replaced."""

from __future__ import annotations

import contextlib
import importlib
import json
import typing as t
from dataclasses import dataclass, field
from types import ModuleType

import pytest
from ansible.module_utils import _internal
from ansible.module_utils.testing import patch_module_args
from ansible_collections.patchbay.netns.plugins.module_utils import _door
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import kernel, netlink

MODULES = ["netns", "veth", "bridge", "ip_route_ns", "nat_masquerade", "dnat_forward"]


def load(name: str) -> ModuleType:
    """The Python module behind a module of ours."""
    return importlib.import_module(f"ansible_collections.patchbay.netns.plugins.modules.{name}")


@dataclass
class Engine:
    """Stands in for ``execute``: notes the wishes that get this far, and answers as it was told to."""

    answer: t.Callable[[t.Any], t.Any]
    wishes: list[t.Any] = field(default_factory=list)
    checks: list[bool] = field(default_factory=list)

    def __call__(self, wish: t.Any, *, check: bool = False) -> t.Any:
        self.wishes.append(wish)
        self.checks.append(check)
        return self.answer(wish)


class Door:
    """The way into a module."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        for place in (kernel.Kernel, netlink.NetlinkSocket):
            monkeypatch.setattr(place, "__init__", _forbidden)

    def open(
        self, module: str, params: dict[str, t.Any], engine: t.Callable[..., t.Any], **internal: t.Any
    ) -> dict[str, t.Any]:
        """What the module answers, as Ansible reads it. Nothing it does can reach the kernel."""
        self._monkeypatch.setattr(_door, "execute", engine)
        # Tests of the controller's plugins in the same process make Ansible believe that this is a controller.
        self._monkeypatch.setattr(_internal, "is_controller", False)
        with patch_module_args({**params, **internal}), contextlib.suppress(SystemExit):
            load(module).main()
        out, err = self._capsys.readouterr()
        assert err == ""
        return t.cast("dict[str, t.Any]", json.loads(out))


def _forbidden(*_arguments: object, **_options: object) -> None:
    raise AssertionError("the kernel was asked")


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Door:
    return Door(monkeypatch, capsys)
