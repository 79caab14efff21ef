# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""One run of a whole lab: from the parameters of a task to what is said of it."""

from __future__ import annotations

import contextlib
import typing as t

from .._engine.model import State, Step
from .._engine.run import Watch, carry_out, uncollected, unwatched
from .._errors import InvalidInput
from .._kernel import labs
from .._kernel.interruption import deferred
from .._kernel.kernel import Kernel
from .._kernel.rundir import locked
from .._lab_file.layout import layout
from .._lab_file.spec import LabSpec, Node
from . import record, tree
from .glance import Glances
from .lab import Lab
from .record import KeepRecord

MOST_COMMANDS = 2000
"""Steps for which commands are told unasked: those of a large lab are more than anybody reads."""


def run(params: t.Mapping[str, t.Any], *, check: bool, diff: bool, watch: Watch | None = None) -> dict[str, t.Any]:
    """Bring a lab to what the task's parameters say; returns the module's result. Raises PatchbayError.

    In check mode nothing is changed and nothing is waited for. Otherwise runs wait for each other, and ``watch`` is told
    how far this one is.
    """
    name = _name(params)
    lock = contextlib.nullcontext() if check else locked(f"lab {name}", params["lock_timeout"])
    with deferred(), lock, uncollected(), Kernel() as kernel:
        wish = _wish(params, name, kernel)
        # Without the lock, the file with the progress may be another run's.
        with contextlib.nullcontext(unwatched) if check else contextlib.closing(labs.Progress(name)) as progress:

            def told(phase: str, done: int, total: int) -> None:
                progress(phase, done, total)
                (watch or unwatched)(phase, done, total)

            def confirm() -> None:
                if params["verify"]:
                    told("verification", 0, 1)
                    wish.verify(kernel)

            observed, steps = carry_out(wish, kernel, check=check, watch=told, confirm=confirm)
        if not check:
            _remember(wish, steps, kernel)
        return _result(wish, observed, steps, whole=check or diff)


def _name(params: t.Mapping[str, t.Any]) -> str:
    """The lab's name, before anything else is known to be right."""
    definition = params.get("definition")
    named = definition.get("name") if isinstance(definition, dict) else None
    name = named if named is not None else params.get("name")
    if definition is None and params["state"] == "present":
        raise InvalidInput("definition is missing: give the lab's file with src, or its content with definition.")
    if name is None and definition is None:
        raise InvalidInput("name is missing: say which lab is to be absent, by its name or by its file (src).")
    if params.get("name") is not None and named is not None and params["name"] != named:
        raise InvalidInput(
            f"name: {params['name']} is not the lab of the definition, which is called {named}. Leave name out."
        )
    if definition is None:
        layout({"name": name})  # refuses what can't be a name
    return str(name)


def _wish(params: t.Mapping[str, t.Any], name: str, kernel: Kernel) -> Lab:
    definition = params.get("definition")
    if params["state"] == "present":
        before = record.read(kernel, name)
        spec = layout(t.cast("dict[str, t.Any]", definition), before.chosen if before else {})
        purge = params["purge"]
        glances = Glances(name, kernel.identity(None), before.group, purge=purge) if before else None
        return Lab(spec, before, purge=purge, adopt=params["adopt"], force=params["force"], glances=glances)
    claimed = None if definition is None else layout(definition)
    before = record.read(kernel, name)
    return Lab(LabSpec(name, Node(None)), before, force=params["force"], claimed=claimed)


def _result(wish: Lab, observed: State, steps: t.Sequence[Step], *, whole: bool) -> dict[str, t.Any]:
    work = [step for step in steps if not isinstance(step, KeepRecord)]
    told = whole or len(work) <= MOST_COMMANDS
    result: dict[str, t.Any] = {
        "changed": bool(work),
        "commands": [line for step in work for line in step.commands()] if told else [],
        "commands_left_out": 0 if told else len(work),
        "lab": _shown(wish.spec),
        "warnings": wish.warnings(observed),
    }
    if whole:
        before, after = tree.difference(wish.name, work)
        words = _manner(wish, work)
        result["diff"] = {
            "before": before,
            "after": after,
            "before_header": "before",
            "after_header": f"after ({words})",
        }
    return result


def _remember(wish: Lab, steps: t.Sequence[Step], kernel: Kernel) -> None:
    """Put on file what the next run may recognize; of a lab that is gone, nothing."""
    if wish.glances is not None:
        wish.glances.keep({item.key[1] for step in steps for item in (*step.before, *step.after) if len(item.key) > 1})
    elif wish.is_empty:
        labs.write_digests(wish.spec.name, kernel.identity(None), {})


def _manner(wish: Lab, work: t.Sequence[Step]) -> str:
    """What became of the lab, in the words of the diff."""
    if not work:
        return "unchanged"
    if wish.is_empty:
        return "removed"
    return "created" if wish.record is None else "changed in place"


def _shown(spec: LabSpec) -> dict[str, t.Any]:
    """The lab as users see it: what they could not read from its file."""
    return {
        "name": spec.name,
        "namespaces": [node.netns for node in spec.namespaces],
        "addresses": {
            f"{each.netns or ''}/{each.name}": [str(interface) for interface in each.addresses]
            for node in spec.nodes
            for each in node.links
            if each.addresses
        },
        "names": dict(spec.names),
    }
