# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""pyroute2's message classes: the codec of every netlink message, imported here alone and as late as possible."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import sys
import typing as t

from .._errors import MissingLibrary

MINIMUM = (0, 7, 2)  # what Debian 12 ships; older ones don't import on Python 3.12 or lack classes


class Codec(t.NamedTuple):
    """The message classes in use, and the version they come from."""

    version: str
    link: t.Any
    address: t.Any
    route: t.Any
    neighbour: t.Any
    namespace_id: t.Any
    nft: t.Any
    """The module ``pyroute2.netlink.nfnetlink.nftsocket``: nft_table_msg, nft_chain_msg, nft_rule_msg."""


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


def _version(package: t.Any) -> str:
    """The library's version; Debian 12's package does not know its own, but its metadata do."""
    version = str(getattr(package, "__version__", "unknown"))
    if not _numbers(version):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version("pyroute2")
    return version


@functools.cache
def codec() -> Codec:
    """Import pyroute2. Raises MissingLibrary with the package to install when it is absent or too old."""
    try:
        import pyroute2
        from pyroute2.netlink.nfnetlink import nftsocket
        from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
        from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
        from pyroute2.netlink.rtnl.ndmsg import ndmsg
        from pyroute2.netlink.rtnl.nsidmsg import nsidmsg
        from pyroute2.netlink.rtnl.rtmsg import rtmsg
    except ImportError as error:
        raise MissingLibrary(
            f"the Python library pyroute2 can't be imported by {sys.executable} ({error}): {_package()}. "
            "The role patchbay.netns.host does this."
        ) from None
    version = _version(pyroute2)
    if _numbers(version) and _numbers(version) < MINIMUM:
        raise MissingLibrary(
            f"the Python library pyroute2 is too old for this collection: {'.'.join(map(str, MINIMUM))} is needed, "
            f"found {version} in {pyroute2.__file__}: {_package()}. The role patchbay.netns.host does this."
        )
    return Codec(version, ifinfmsg, ifaddrmsg, rtmsg, ndmsg, nsidmsg, nftsocket)
