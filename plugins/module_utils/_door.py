# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""What all modules' doors share: common options, one run of the engine, errors turned into answers."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ._engine.model import Wish
from ._engine.run import Outcome, execute
from ._errors import PatchbayError

COMMON_OPTIONS: dict[str, t.Any] = {
    "netns": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "force": {"type": "bool", "default": False},
}
"""Documented by the fragment ``patchbay.netns.common``."""


def run_module(
    *,
    options: t.Mapping[str, t.Any],
    make: t.Callable[[t.Mapping[str, t.Any]], Wish],
    result: str,
    **constraints: t.Any,
) -> None:
    """Run one module: ``make`` turns its parameters into a wish, ``result`` is the name of the returned object.

    ``constraints`` are AnsibleModule's own, such as ``required_if``. Exits the process.
    """
    module = AnsibleModule(argument_spec={**COMMON_OPTIONS, **options}, supports_check_mode=True, **constraints)
    try:
        outcome = execute(make(module.params), check=module.check_mode)
    except PatchbayError as error:
        module.fail_json(msg=str(error), code=error.code, details=error.details)
    for warning in outcome.warnings:
        module.warn(warning)
    module.exit_json(changed=outcome.changed, commands=outcome.commands, diff=diff(outcome), **{result: outcome.after})


def diff(outcome: Outcome) -> dict[str, t.Any]:
    """The diff as Ansible shows it; its header says whether the object was changed in place or recreated."""
    return {
        "before": outcome.before,
        "after": outcome.after,
        "before_header": "before",
        "after_header": f"after ({outcome.manner})",
    }
