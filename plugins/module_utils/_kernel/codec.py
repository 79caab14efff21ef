# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""pyroute2's message classes, imported here alone and as late as possible: the tables of messages.py are taken from them."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import sys
import types
import typing as t

from .._errors import MissingLibrary

MINIMUM = (0, 7, 2)  # what Debian 12 ships; older ones don't import on Python 3.12 or lack classes
TRIED = "0.9.7"  # the newest that all tests have run with

_METADATA = re.compile(r"pyroute2-([0-9][^-]*)(?:-py[0-9.]+)?\.(?:dist|egg)-info")
_CURE = "The role patchbay.netns.host does this."


class Codec(t.NamedTuple):
    """The message classes in use, and the version they come from."""

    version: str
    link: t.Any
    address: t.Any
    route: t.Any
    neighbour: t.Any
    namespace_id: t.Any


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _package() -> str:
    """What to install, in this distribution's words (os-release(5))."""
    words: dict[str, str] = {}
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            words = dict(line.rstrip().replace('"', "").split("=", 1) for line in file if "=" in line)
    except OSError:
        pass
    family = {words.get("ID", ""), *words.get("ID_LIKE", "").split()}
    pip = f"{sys.executable} -m pip install 'pyroute2>={'.'.join(map(str, MINIMUM))}'"
    if words.get("VERSION_CODENAME") in ("bullseye", "buster", "jammy", "focal"):
        return f"its package here is too old, so run: {pip}"
    if family & {"debian", "ubuntu"}:
        return f"run: apt-get install python3-pyroute2 (or, for another interpreter than the system's: {pip})"
    if family & {"fedora", "rhel", "centos"}:
        return f"run: dnf install python3-pyroute2 (or, for another interpreter than the system's: {pip})"
    return f"run: {pip}"


def unreadable(what: str) -> MissingLibrary:
    """The error for a version of pyroute2 that can't serve: ``what`` completes 'pyroute2 VERSION ...'."""
    version = codec().version
    return MissingLibrary(
        f"the Python library pyroute2 {version} that {sys.executable} imports {what}. Another version is needed; "
        f"{TRIED} is known to do: {sys.executable} -m pip install 'pyroute2=={TRIED}'. {_CURE}"
    )


@contextlib.contextmanager
def _without_the_rest() -> t.Iterator[str]:
    """Let the block import modules of pyroute2 without its ``__init__``; yields where it is installed.

    That file imports everything that pyroute2 can do (asyncio, databases, servers), which takes longer than all
    the rest of a module's run. A bare package of the same name in its place, for a moment, leaves that out.
    """
    there = sys.modules.get("pyroute2")
    if there is not None:
        yield str(there.__file__)
        return
    spec = importlib.util.find_spec("pyroute2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'pyroute2'")
    bare = types.ModuleType("pyroute2")
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules["pyroute2"] = bare
    try:
        yield str(spec.origin)
    finally:
        if sys.modules.get("pyroute2") is bare:
            del sys.modules["pyroute2"]


def _version(place: str) -> str:
    """The version of the package whose ``__init__.py`` is at ``place``, from the metadata beside it.

    Debian 12's package does not know its own version, and the library that reads metadata is slow to import.
    """
    try:
        beside = os.listdir(os.path.dirname(os.path.dirname(place)))
    except OSError:
        beside = []
    found = [match[1] for match in map(_METADATA.fullmatch, beside) if match]
    return max(found, key=_numbers) if found else str(getattr(sys.modules.get("pyroute2"), "__version__", "unknown"))


@functools.cache
def codec() -> Codec:
    """Import pyroute2. Raises MissingLibrary with the package to install when it is absent or too old."""
    try:
        return _imported(_without_the_rest())
    except (ImportError, AttributeError):  # absent, or a version whose parts do need the whole
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "pyroute2" and module is not None:
                del sys.modules[name]
    try:
        return _imported(_with_the_rest())
    except ImportError as error:
        raise MissingLibrary(
            f"the Python library pyroute2 can't be imported by {sys.executable} ({error}): {_package()}. {_CURE}"
        ) from None


@contextlib.contextmanager
def _with_the_rest() -> t.Iterator[str]:
    import pyroute2

    yield str(pyroute2.__file__)


def _imported(package: contextlib.AbstractContextManager[str]) -> Codec:
    with package as place:
        version = _version(place)
        if _numbers(version) and _numbers(version) < MINIMUM:
            raise MissingLibrary(
                f"the Python library pyroute2 is too old for this collection: {'.'.join(map(str, MINIMUM))} is needed, "
                f"found {version} in {place}: {_package()}. {_CURE}"
            )
        return _classes(version)


def _classes(version: str) -> Codec:
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
    from pyroute2.netlink.rtnl.nsidmsg import nsidmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    return Codec(version, ifinfmsg, ifaddrmsg, rtmsg, ndmsg, nsidmsg)
