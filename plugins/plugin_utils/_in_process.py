# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Running a module of ours inside Ansible's worker process, where that comes to the same as running it as a module.

Making a module's archive, starting an interpreter and reading the archive takes longer than a thousand namespaces do.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import sys
import threading
import typing as t
from collections.abc import Callable, Iterator, Mapping

from ansible import constants
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.patchbay.netns.plugins.module_utils._errors import MissingLibrary, PatchbayError
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.codec import codec

_LOCAL = "ansible.plugins.connection.local"
_BECOME = ("sudo", "su")
_DISCOVERED = ("", "auto", "auto_silent", "auto_legacy", "auto_legacy_silent")


def possible(action: t.Any, variables: Mapping[str, t.Any]) -> bool:
    """Whether a module of this action would run on this machine, as this user, with nothing between it and the kernel.

    ``variables`` are those of the host that the task is run on, or delegated to.
    """
    return (
        type(action._connection).__module__ == _LOCAL
        and not action._task.async_val
        and not any(action._task.environment or ())
        and _stays_who_it_is(action._connection.become, action._play_context)
        and _is_this_interpreter(action._templar, variables)
        and _has_library()
    )


def run(
    module: t.Any, arguments: Mapping[str, t.Any], work: Callable[[dict[str, t.Any]], dict[str, t.Any]]
) -> dict[str, t.Any] | None:
    """What the module would answer: its parameters are validated, and ``work`` turns them into a result.

    None when the parameters are not accepted: the module itself says best why. ``module`` is the Python module, with its OPTIONS
    and CONSTRAINTS.
    """
    validated = ArgumentSpecValidator(module.OPTIONS, **module.CONSTRAINTS).validate(arguments)
    if validated.error_messages:
        return None
    params = validated.validated_parameters
    try:
        with _requests_to_end_obeyed_afterwards():
            result = work(params)
    except PatchbayError as error:
        result = failure(error)
    return {**plain(result), "invocation": {"module_args": params}}


def plain(data: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The data as it is on the other side of a module: lists, mappings with texts as keys, and none of Ansible's own classes."""
    return t.cast("dict[str, t.Any]", json.loads(json.dumps(data, default=str)))


@contextlib.contextmanager
def _requests_to_end_obeyed_afterwards() -> Iterator[None]:
    """Pass on, after the block, what asked this process to end meanwhile.

    The engine takes such signals for itself, to take back what it did. A worker of Ansible that stayed alive then would wait for
    ever for somebody to take its result.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        with contextlib.suppress(BlockingIOError):
            for number in os.read(reader, 4096):
                if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.raise_signal(number)
        os.close(reader)
        os.close(writer)


def failure(error: PatchbayError) -> dict[str, t.Any]:
    """The error as a module's answer."""
    return {"failed": True, "msg": str(error), "code": error.code, "details": error.details}


def _stays_who_it_is(become: t.Any, play_context: t.Any) -> bool:
    """Whether nobody else is to be become: not at all, or the user that this process runs as already."""
    if become is None:
        return True
    if become.name not in _BECOME:
        return False
    if any(become.get_option_and_origin(option)[1] != "default" for option in ("become_exe", "become_flags")):
        return False
    try:
        user = pwd.getpwnam(become.get_option("become_user", playcontext=play_context) or "root")
    except KeyError:
        return False
    return user.pw_uid == os.geteuid()


def _is_this_interpreter(templar: t.Any, variables: Mapping[str, t.Any]) -> bool:
    """Whether modules may run in this interpreter: it is the one that was named, or none was."""
    named = templar.template(constants.config.get_config_value("INTERPRETER_PYTHON", variables=variables))
    return named in (None, *_DISCOVERED) or os.path.realpath(str(named)) == os.path.realpath(sys.executable)


def _has_library() -> bool:
    try:
        codec()
    except MissingLibrary:
        return False
    return True
