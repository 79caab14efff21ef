# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the module of the same name: reads the lab file, says where in it a mistake is, shows progress."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Iterator, Mapping

from ansible.errors import AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput, NotFound, PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.layout import layout
from ansible_collections.patchbay.netns.plugins.module_utils._topology.run import run as run_lab
from ansible_collections.patchbay.netns.plugins.modules import topology
from ansible_collections.patchbay.netns.plugins.plugin_utils import _in_process, _positions, _progress

MODULE = "patchbay.netns.topology"


class ActionModule(ActionBase):
    """Runs the module here, if here is where it would run, or on the host."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The module's result; with a lab file, a mistake in it is told by its place there."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = _in_process.plain(self._task.args)
        lab: _positions.LabFile | None = None
        try:
            _refuse_namespace(arguments)
            lab = self._lab_file(arguments)
            outcome = self._carry_out(arguments, variables)
        except PatchbayError as error:
            outcome = _in_process.failure(error)
        if lab is not None:
            _tell_places(outcome, lab)
            _say_what_was_asked(outcome, self._task.args["src"])
        result.update(outcome)
        return result

    def _lab_file(self, arguments: dict[str, t.Any]) -> _positions.LabFile | None:
        """Read ``src``, if there is one, and put what it says into the arguments in its place."""
        source = arguments.get("src")
        if not source or arguments.get("definition") is not None:
            return None
        place = self._found(str(source))
        try:
            readable = self._loader.get_real_file(place)  # decrypted, if need be
        except AnsibleError as error:
            raise InvalidInput(f"src: {error}") from None
        try:
            with open(readable, "rb") as file:
                lab = _positions.read(file.read(), place)
        except OSError as error:
            raise NotFound(f"src: {place} can't be read: {error.strerror}.") from None
        finally:
            self._loader.cleanup_tmp_file(readable)
        del arguments["src"]
        arguments["definition"] = lab.definition
        return lab

    def _found(self, source: str) -> str:
        try:
            place = to_text(self._find_needle("files", source))
        except AnsibleFileNotFound as error:
            looked = ", ".join(dict.fromkeys(error.paths or [source]))
            raise NotFound(f"src: there is no lab file {source}. Looked for it here: {looked}.") from None
        if not self._loader.is_file(place):
            raise NotFound(f"src: {place} is no file; name the lab file itself.")
        return place

    def _carry_out(self, arguments: dict[str, t.Any], variables: Mapping[str, t.Any]) -> dict[str, t.Any]:
        place = variables
        if self._task.delegate_to:
            place = variables.get("ansible_delegated_vars", {}).get(self._task.delegate_to, variables)
        lines = _progress.Lines(self._show, self._title(arguments, variables))
        if _in_process.possible(self, place):
            outcome = _in_process.run(topology, arguments, lambda params: self._here(params, lines))
            if outcome is not None:
                return outcome
        return self._there(arguments, variables, lines)

    def _here(self, params: dict[str, t.Any], lines: _progress.Lines) -> dict[str, t.Any]:
        return run_lab(params, check=self._task.check_mode, diff=self._task.diff, watch=lines)

    def _there(
        self, arguments: dict[str, t.Any], variables: Mapping[str, t.Any], lines: _progress.Lines
    ) -> dict[str, t.Any]:
        definition = arguments.get("definition")
        if isinstance(definition, dict):
            layout(definition)  # so that a mistake is told before the host is asked for anything
        wrap_async = self._task.async_val and not self._connection.has_native_async
        with self._looking(arguments, lines):
            outcome = self._execute_module(
                module_name=MODULE, module_args=arguments, task_vars=variables, wrap_async=wrap_async
            )
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return t.cast("dict[str, t.Any]", outcome)

    @contextlib.contextmanager
    def _looking(self, arguments: Mapping[str, t.Any], lines: _progress.Lines) -> Iterator[None]:
        """While the block runs, read on the host how far it is. Without a way to do so, it runs all the same."""
        command = _progress.command(_name(arguments))
        second = None
        if command and not (self._task.async_val or self._task.check_mode or self._task.no_log):
            with contextlib.suppress(Exception):
                second = self._second_connection()
        if second is None:
            yield
            return
        with _progress.watched(lambda: to_text(second.exec_command(command, in_data=None, sudoable=False)[1]), lines):
            yield

    def _second_connection(self) -> t.Any:
        """Another connection to the same place, as the same user, without becoming another one. Left to end with this process."""
        first = self._connection
        if first.force_persistence:
            return None
        second = connection_loader.get(
            first.ansible_name, self._play_context, new_stdin=None, task_uuid=self._task._uuid
        )
        second.set_options(direct=first.get_options())
        return second

    def _show(self, line: str) -> None:
        # Standard error comes at once, also through a pipe, and does not disturb who reads the output as JSON.
        if not self._task.no_log:
            self._display.display(line, stderr=True)

    def _title(self, arguments: Mapping[str, t.Any], variables: Mapping[str, t.Any]) -> str:
        host = self._task.delegate_to or variables.get("inventory_hostname") or "localhost"
        return f"lab {_name(arguments)} on {host}"


def _name(arguments: Mapping[str, t.Any]) -> str:
    """The name of the lab, as far as it can be known here."""
    definition = arguments.get("definition")
    named = definition.get("name") if isinstance(definition, Mapping) else None
    return str(named or arguments.get("name") or "")


def _refuse_namespace(arguments: Mapping[str, t.Any]) -> None:
    if arguments.get("netns") is not None:
        raise InvalidInput(
            "netns: a lab says itself what is in which namespace, so this task takes no netns. If module_defaults of the group "
            "patchbay.netns.all set it, write netns: '{{ omit }}' in this task."
        )


def _tell_places(outcome: dict[str, t.Any], lab: _positions.LabFile) -> None:
    """Say where in the file the problems are, in the message and in the details."""
    problems = (outcome.get("details") or {}).get("problems") if outcome.get("failed") else None
    if problems:
        places = [lab.position(problem["path"], key=_is_about_key(problem)) for problem in problems]
        lines = [f"{place}: {problem['message']}" for place, problem in zip(places, problems, strict=True)]
        outcome["msg"] = "\n".join(lines)
        outcome["details"]["problems"] = [
            {**problem, "place": place} for place, problem in zip(places, problems, strict=True)
        ]


def _say_what_was_asked(outcome: dict[str, t.Any], source: t.Any) -> None:
    """The result names the file, as the task did; its contents would only make it long."""
    asked = (outcome.get("invocation") or {}).get("module_args")
    if asked:
        outcome["invocation"] = {"module_args": {**asked, "src": str(source), "definition": None}}


def _is_about_key(problem: Mapping[str, t.Any]) -> bool:
    """Whether it is the key that is wrong, and not what is behind it."""
    return str(problem["message"]).startswith("there is no key ")
