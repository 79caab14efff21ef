# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the collection's modules inside this process: the real door, options and engine, without Ansible's transport.

Where Ansible is not installed, a stand-in fills in defaults, so that the doors can be used with nothing but pyroute2.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from world import here

_PACKAGE = "ansible_collections.patchbay.netns.plugins"
_CONSTRAINTS = ("mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by")


@dataclass(frozen=True)
class Result:
    """What a module returned. ``object`` is its ``netns``, ``link``, ``route``, ``rule`` or ``lab``."""

    changed: bool
    diff: dict[str, Any]
    commands: list[str]
    object: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def predicted(self) -> tuple:
        """All that check mode must foresee."""
        return self.changed, self.diff, self.commands, self.object


class Failed(Exception):
    """The module failed: its message is the exception's text."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(answer["msg"])
        self.msg: str = answer["msg"]
        self.code: str = answer.get("code", "")
        self.details: dict[str, Any] = answer.get("details", {})
        self.raw = dict(answer)

    def __reduce__(self) -> tuple:  # so that it can come out of another process
        return Failed, (self.raw,)


class _Exit(BaseException):
    """Carries a module's answer past every handler in the module."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer


def run(module: str, params: Mapping[str, Any], *, check: bool = False) -> Result:
    """Run a module with the options that a task would give. Raises Failed.

    Whatever happens, the thread must be in the namespace it was in, and no descriptor may stay open.
    """
    door, common = _load(module)
    answers: list[str] = []

    class Module:
        """What the doors use of AnsibleModule."""

        def __init__(
            self, argument_spec: Mapping[str, Any], supports_check_mode: bool = False, **constraints: Any
        ) -> None:
            if check and not supports_check_mode:
                raise _Exit({"skipped": True})
            self.params = _validated(argument_spec, params, constraints)
            self.check_mode = check
            self._diff = True

        def warn(self, text: str) -> None:
            answers.append(text)

        def exit_json(self, **answer: Any) -> None:
            raise _Exit(answer)

        def fail_json(self, **answer: Any) -> None:
            raise _Exit({"failed": True, **answer})

    place_before, files_before = here(), _descriptors()
    try:
        answer = _answer(door, [place for place in (door, common) if hasattr(place, "AnsibleModule")], Module)
    finally:
        assert here() == place_before, f"{module} left the process in another namespace"
        _await_descriptors(files_before, module)
    if answer.get("failed"):
        raise Failed(answer)
    objects = [answer[name] for name in ("netns", "link", "route", "rule", "lab") if name in answer]
    return Result(
        answer.get("changed", False),
        answer.get("diff", {}),
        answer.get("commands", []),
        objects[0] if objects else {},
        [*answers, *answer.get("warnings", [])],
        answer,
    )


def _answer(door: types.ModuleType, places: list[types.ModuleType], stand_in: type) -> dict[str, Any]:
    with contextlib.ExitStack() as patches:
        for place in places:
            patches.enter_context(mock.patch.object(place, "AnsibleModule", stand_in))
        try:
            door.main()
        except _Exit as end:
            return end.answer
    raise AssertionError(f"{door.__name__} ended without an answer")


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _await_descriptors(most: int, module: str) -> None:
    """A test's own servers, on threads of this process, may hold a connection for a moment longer."""
    deadline = time.monotonic() + 1
    while _descriptors() > most:
        assert time.monotonic() < deadline, f"{module} left {_descriptors() - most} descriptors open"
        time.sleep(0.002)


def _load(module: str) -> tuple[types.ModuleType, types.ModuleType]:
    try:
        importlib.import_module("ansible.module_utils.basic")
    except ImportError:
        names = ("ansible", "ansible.module_utils", "ansible.module_utils.basic")
        sys.modules.update({name: types.ModuleType(name) for name in names})
        sys.modules[names[-1]].AnsibleModule = object  # type: ignore[attr-defined]
    return importlib.import_module(f"{_PACKAGE}.modules.{module}"), importlib.import_module(
        f"{_PACKAGE}.module_utils._door"
    )


def _validated(spec: Mapping[str, Any], params: Mapping[str, Any], constraints: Mapping[str, Any]) -> dict[str, Any]:
    try:
        from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
    except ImportError:
        return _filled(spec, params)
    result = ArgumentSpecValidator(
        spec, **{name: constraints[name] for name in _CONSTRAINTS if name in constraints}
    ).validate(params)
    if result.error_messages:
        raise _Exit({"failed": True, "msg": "; ".join(result.error_messages), "code": "ARGUMENTS"})
    return result.validated_parameters


def _filled(spec: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with defaults for what is missing, in dictionaries and lists too."""
    unknown = set(params) - set(spec)
    if unknown:
        raise _Exit(
            {"failed": True, "msg": f"Unsupported parameters: {', '.join(sorted(unknown))}", "code": "ARGUMENTS"}
        )
    filled: dict[str, Any] = {}
    for name, option in spec.items():
        value = params.get(name, option.get("default"))
        inner = option.get("options")
        if inner and isinstance(value, Mapping):
            value = _filled(inner, value)
        elif inner and isinstance(value, list):
            value = [_filled(inner, item) for item in value]
        filled[name] = value
    return filled
