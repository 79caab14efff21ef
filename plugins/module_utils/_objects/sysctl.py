# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Kernel settings under /proc/sys, and the record of those that were switched on for an object of ours.

A *hold* remembers, under /run, what a setting was before somebody needed another value and who still
needs it. The last holder that leaves gives the old value back. Until then the value is also in a file of
sysctl.d, so that it outlives a reload of the machine's configuration.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace
from shlex import quote

from .._engine.model import Item, Key, State, Step
from .._errors import InvalidInput
from .._kernel import dropin, holds, namespaces, procsys
from .._kernel.kernel import Kernel
from .checks import Interface
from .words import place, prefix


@dataclass(frozen=True)
class Sysctl:
    """One setting of one namespace; ``value`` as /proc/sys shows it, white space folded."""

    netns: str | None
    name: str
    value: str

    @property
    def key(self) -> Key:
        return ("sysctl", self.netns, self.name)


@dataclass(frozen=True)
class Hold:
    """The record that ``name`` was ``previous`` before ``holders`` needed ``value``."""

    netns: str | None
    name: str
    previous: str
    holders: frozenset[str]
    value: str | None = None
    """None in the record of an older version, which did not say."""

    @property
    def key(self) -> Key:
        return ("hold", self.netns, self.name)


@dataclass(frozen=True)
class Rivals:
    """The lines of the machine's configuration that win over our file when it is read again."""

    netns: str | None
    name: str
    lines: tuple[dropin.Assignment, ...]

    @property
    def key(self) -> Key:
        return ("rivals", self.netns, self.name)


class SetSysctl(Step):
    """Writes one setting; reads before, so that a read-only /proc with the right value is fine."""

    phase = "settings"

    def apply(self, kernel: Kernel) -> None:
        (wanted,) = self.after
        with kernel.inside(wanted.netns):
            procsys.write(wanted.name, wanted.value)

    def undo(self) -> list[Step]:
        return super().undo() if self.before else []  # the setting of something new goes with it

    def commands(self) -> list[str]:
        (wanted,) = self.after
        return [f"{prefix(wanted.netns)}sysctl -w {quote(wanted.name)}={quote(wanted.value)}"]


class KeepHold(Step):
    """Writes or removes the record of a hold; it has no command, for nothing in the kernel changes."""

    def apply(self, kernel: Kernel) -> None:
        subject = (self.after or self.before)[0]
        records = holds.read(kernel.identity(subject.netns))
        records.pop(subject.name, None)
        for hold in self.after:
            records[hold.name] = holds.Record(hold.previous, sorted(hold.holders), hold.value)
        # The record last: a run that dies in between is one that the next run repeats.
        if namespaces.is_boots(kernel.file(subject.netns)):
            dropin.write({name: record.value for name, record in records.items() if record.value is not None})
        holds.write(kernel.identity(subject.netns), records)

    def commands(self) -> list[str]:
        return []


def valid_name(name: str, option: str) -> str:
    """A setting of a network namespace: ``net.`` and no way out of /proc/sys/net. Raises InvalidInput."""
    parts = procsys.parts(name)
    odd = any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in name)  # no file is called so
    if odd or len(parts) < 3 or parts[0] != "net" or any(part in ("", ".", "..") for part in parts):
        raise InvalidInput(
            f"{option}: {ascii(name)[1:-1] if odd else name} is not a setting of a network namespace; "
            "only names under net. are, such as net.ipv4.ip_forward."
        )
    return name


def observe(kernel: Kernel, netns: str | None, name: str) -> list[Item]:
    """The setting and, where there is one, its hold. A setting that the kernel lacks gives no item."""
    with kernel.inside(netns):
        value = procsys.read(name)
    items: list[Item] = [] if value is None else [Sysctl(netns, name, value)]
    record = holds.read(kernel.identity(netns)).get(name)
    if record is not None:
        items.append(Hold(netns, name, record.previous, frozenset(record.holders), record.value))
    return items


def observe_rivals(kernel: Kernel, netns: str | None, names: t.Iterable[str]) -> list[Item]:
    """For each of the settings, the lines that win over ours when the machine's configuration is read again."""
    if not namespaces.is_boots(kernel.file(netns)):
        return []
    found = ((name, dropin.rivals(name)) for name in names)
    return [Rivals(netns, name, lines) for name, lines in found if lines]


def overruled(state: State, netns: str | None, wanted: t.Mapping[str, str]) -> list[str]:
    """A warning for each wanted setting that a reload of the machine's configuration would change under us."""
    out = []
    for name, value in wanted.items():
        rivals: Rivals | None = state.get(("rivals", netns, name))
        other = next((line for line in rivals.lines if line.value != procsys.fold(value)), None) if rivals else None
        if other is not None:
            out.append(
                f"{name} is needed as {value}, but {other.place} says {other.value} and has the last word: the next "
                "sysctl --system, sysctl -p or start of systemd-sysctl.service sets that. Change or remove the line."
            )
    return out


def change(state: State, netns: str | None, name: str, value: str) -> list[Step]:
    """The steps to ``value``. Raises InvalidInput when the kernel has no such setting."""
    now: Sysctl | None = state.get(("sysctl", netns, name))
    if now is None:
        raise InvalidInput(
            f"the kernel has no setting {name}{place(netns)}; check its name, and that its protocol or module is there."
        )
    value = procsys.fold(value)
    return [] if now.value == value else [SetSysctl((now,), (Sysctl(netns, name, value),))]


def of_device(version: int, device: str, name: str) -> str:
    """The name of a device's setting; a dot in the device's name is written as a slash (sysctl(8))."""
    return f"net.ipv{version}.conf.{device.replace('.', '/')}.{name}"


def without_duplicate_detection(netns: str | None, device: str, addresses: t.Iterable[Interface]) -> list[Step]:
    """Lets a new device with IPv6 use its own link-local address at once: until then it can't ask for its neighbours."""
    if all(interface.version == 4 for interface in addresses):
        return []
    return [SetSysctl((), (Sysctl(netns, of_device(6, device, "accept_dad"), "0"),))]


def hold(
    state: State,
    netns: str | None,
    name: str,
    value: str,
    holders: str | t.Iterable[str],
    *,
    leaving: frozenset[str] = frozenset(),
    disturbed: bool = False,
) -> list[Step]:
    """The steps by which ``holders``, one or several, get ``value`` and are recorded, unless it was there without us.

    Those who are ``leaving`` at the same time are no longer on record. A ``disturbed`` setting is recorded even so, for
    giving back another one will overwrite it.
    """
    held: Hold | None = state.get(("hold", netns, name))
    joining = _names(holders)
    steps = change(state, netns, name, value)
    if not joining or (held is None and not steps and not disturbed):
        return []
    now: Sysctl = state.get(("sysctl", netns, name))
    previous = now.value if held is None else held.previous
    fresh = Hold(
        netns, name, previous, joining | (held.holders - leaving if held else frozenset()), procsys.fold(value)
    )
    record: list[Step] = [] if fresh == held else [KeepHold((held,) if held else (), (fresh,))]
    return record + steps  # the record first: a run that dies in between gives back rather than forgets


def release(
    state: State, netns: str | None, name: str, holders: str | t.Iterable[str], *, disturbed: bool = False
) -> list[Step]:
    """The steps by which ``holders``, one or several, let go; those who hold nothing don't matter.

    The last one gives the previous value back, a ``disturbed`` one in any case.
    """
    held: Hold | None = state.get(("hold", netns, name))
    leaving = _names(holders)
    if held is None or not held.holders & leaving:
        return []
    if held.holders - leaving:
        return [KeepHold((held,), (replace(held, holders=held.holders - leaving),))]
    steps: list[Step] = []
    if state.get(("sysctl", netns, name)) is not None:
        back = SetSysctl((), (Sysctl(netns, name, held.previous),))
        steps = [back] if disturbed else change(state, netns, name, held.previous)
    return [*steps, KeepHold((held,), ())]


def _names(holders: str | t.Iterable[str]) -> frozenset[str]:
    return frozenset([holders] if isinstance(holders, str) else holders)


def shown(state: State, netns: str | None, names: t.Iterable[str]) -> dict[str, str]:
    """The named settings as a mapping, those that are not there left out."""
    found = ((name, state.get(("sysctl", netns, name))) for name in names)
    return {name: item.value for name, item in found if item is not None}
