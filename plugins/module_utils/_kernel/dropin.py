# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The settings that objects of ours need, kept when the machine reads its sysctl.d again, and who would win over them.

Two programs read these folders: systemd-sysctl (sysctl.d(5)) and ``sysctl --system`` (sysctl(8)). Both sort the files of
all folders by name, byte by byte, a file hides those of the same name in later folders, and the last word counts.
``sysctl --system`` reads /etc/sysctl.conf after all of them, and ``sysctl -p`` reads nothing else.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import typing as t

from . import procsys

DIRECTORY = "/run/sysctl.d"
NAME = "zz-patchbay.netns.conf"

_BEFORE, _AFTER = ("/etc/sysctl.d",), ("/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
_LAST = "/etc/sysctl.conf"
_HEADER = """\
# Made by the Ansible collection patchbay.netns, so that what its objects need stays when sysctl.d is read again.
# Do not edit: every change of these objects writes it anew. It goes with the last object that needs a setting
# (state: absent), and with a reboot.
"""
_SAME = ("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding")
"""One setting with two names: systemd-sysctl keeps the place of a line that an earlier file has too, so the other
name, in a file between, would be written later. With both names in ours the last word is ours."""
_DEVICES = "net/ipv4/conf/all/forwarding"
"""A pattern that takes this in takes in every device. IPv4 asks each of them whether to forward, IPv6 does not."""
_FORWARDING = (*_SAME, "net.ipv6.conf.all.forwarding")
_NOT_LITERAL = frozenset("*?[]\\=\n")
"""What a line of such a file can't say of a device: it would be a pattern, or the end of the name."""


class Assignment(t.NamedTuple):
    """One line of a file: the path below /proc/sys, or a pattern of paths, and its value."""

    path: str
    value: str
    place: str
    """File and line, for messages."""

    @property
    def is_pattern(self) -> bool:
        return any(c in "*?[" for c in self.path)


def text(values: t.Mapping[str, str]) -> str:
    """The file that holds these values. A minus before a name: that the device is gone is no error."""
    lines: dict[str, str] = {}
    # Forwarding last: where it is switched on, the kernel drops routes that accept_ra is to keep.
    for name in sorted(values, key=lambda name: (name in _FORWARDING, name)):
        if not _NOT_LITERAL.intersection(name):
            for each in _SAME if name in _SAME else (name,):
                lines[each] = f"-{each} = {values[name]}\n"
    return _HEADER + "".join(lines.values()) if lines else ""


def write(values: t.Mapping[str, str]) -> None:
    """Make these values all that the file holds, whole or not at all; none removes it.

    Where it can't be written, nothing is lost but this protection: no error.
    """
    path, content = f"{DIRECTORY}/{NAME}", text(values)
    with contextlib.suppress(OSError):
        if content:
            _replace(path, content)
        else:
            os.unlink(path)
            os.rmdir(DIRECTORY)  # unless others have files there


def _replace(path: str, content: str) -> None:
    os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
    with open(f"{path}.new", "w", encoding="utf-8", errors="surrogateescape") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)
    os.replace(f"{path}.new", path)


def rivals(name: str) -> tuple[Assignment, ...]:
    """What the setting becomes in spite of our file when the machine reads its configuration again, per way to read it.

    A pattern never wins over a name that is written out, as ours are, wherever it stands. But it counts where only
    /etc/sysctl.conf is read, and one for all devices switches forwarding off for each of them.
    """
    files = _files()
    ours = f"{DIRECTORY}/{NAME}"
    before = [line for file in sorted(files) if file < NAME for line in _read(files[file])]
    after = [line for file in sorted(files) if file > NAME for line in _read(files[file])]
    if files.get(NAME, ours) != ours:  # hidden by one in /etc: then it has no say
        after = before + after
    last = _read(_LAST)
    paths = {"/".join(procsys.parts(each)) for each in (_SAME if name in _SAME else (name,))}
    found = [
        _last_word([line for line in after if not line.is_pattern], paths),  # systemd-sysctl
        _last_word([line for line in (*after, *last) if not line.is_pattern], paths),  # sysctl --system
        _last_word(last, paths),  # sysctl -p
    ]
    if name in _SAME:
        found.append(_last_word([line for line in (*before, *after, *last) if line.is_pattern], {_DEVICES}))
    return tuple(dict.fromkeys(line for line in found if line is not None))


def _last_word(lines: t.Iterable[Assignment], paths: t.Collection[str]) -> Assignment | None:
    """The last line on one of the paths; one that is written out comes before any pattern."""
    named, matched = None, None
    for line in lines:
        if not line.is_pattern:
            named = line if line.path in paths else named
        elif any(_matches(path, line.path) for path in paths):
            matched = line
    return named or matched


def _matches(path: str, pattern: str) -> bool:
    """As glob(7): a wildcard does not reach beyond a slash."""
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _files() -> dict[str, str]:
    """The files in all folders, by name: the first folder that has one counts."""
    found: dict[str, str] = {}
    for folder in (*_BEFORE, DIRECTORY, *_AFTER):
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                if name.endswith(".conf"):
                    found.setdefault(name, f"{folder}/{name}")
    return found


def _read(path: str) -> list[Assignment]:
    """The assignments in a file; comments, exclusions and what is no assignment left out, and so is a missing file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except OSError:
        return []
    found = []
    for number, line in enumerate(lines, 1):
        name, equals, value = line.strip().partition("=")
        name = name.strip().lstrip("-")
        if equals and name and name[0] not in "#;":
            found.append(Assignment("/".join(procsys.parts(name)), procsys.fold(value), f"{path}, line {number}"))
    return found
