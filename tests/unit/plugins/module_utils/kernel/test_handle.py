# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The handle on the kernel: what it holds open, what it forgets, and namespaces that lost their names for a while."""

from __future__ import annotations

import contextlib
import os
import typing as t

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import KernelError, NoNamespace, NotFound
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import kernel as module
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.kernel import Kernel
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.netlink import NETLINK_NETFILTER, NETLINK_ROUTE

HOME = "home"


class Socket:
    """Stands in for a netlink socket; knows in which namespace it was made."""

    def __init__(self, family: int, place: str) -> None:
        self.family = family
        self.place = place
        self.queue: object = None
        self.closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class Machine:
    """Namespaces by name, which descriptor stands for which, where the thread is, and a log of what was done."""

    def __init__(self) -> None:
        self.names = {"red", "blue", "green"}
        self.files: dict[int, str] = {}
        self.here = HOME
        self.sockets: list[Socket] = []
        self.log: list[str] = []
        self.links: dict[str, int] = {}
        self.of_drivers: list[tuple[int, str]] = []

    # ---- as namespaces.py

    def open_file(self, name: str | None) -> int:
        if name is not None and name not in self.names:
            raise NoNamespace(f"network namespace {name} does not exist.")
        fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self.files[fd] = name or self.here
        return fd

    @contextlib.contextmanager
    def inside(self, fd: int) -> t.Iterator[None]:
        os.fstat(fd)  # raises for one that was closed
        before, self.here = self.here, self.files[fd]
        try:
            yield
        finally:
            self.here = before

    def create(self, name: str, prepare: t.Callable[[], object], *, leftover: bool) -> None:
        before, self.here = self.here, name
        self.log += ["in the place of a leftover file"] if leftover else []
        try:
            prepare()
            if name in self.names:
                raise KernelError(f"could not create network namespace {name}: File exists.", errno=17)
            self.names.add(name)
        finally:
            self.here = before

    def attach(self, name: str, fd: int) -> None:
        os.fstat(fd)
        self.names.add(name)
        self.log.append(f"attach {name} to {self.files[fd]}")

    def remove(self, name: str) -> None:
        self.names.remove(name)
        self.log.append(f"remove {name}")

    def share_directory(self) -> None:
        self.log.append("share")

    def identity(self, fd: int) -> str:
        self.log.append(f"identity {self.files[fd]}")
        return f"cookie-{self.files[fd]}"

    # ---- as netlink.py and rtnl.py

    def socket(self, family: int) -> Socket:
        made = Socket(family, self.here)
        self.sockets.append(made)
        return made

    def change_link(self, sock: Socket, name: str, attributes: t.Any, _doing: str, *, up: bool | None = None) -> None:
        assert sock.queue is None  # the mark is there before the name is
        self.log.append(f"{name} in {sock.place}: {attributes[0][1]}, up {up}")

    def get_link(self, _sock: Socket, *, name: str) -> dict[str, int] | None:
        self.log.append(f"index of {name}?")
        return {"index": self.links[name]} if name in self.links else None

    def if_nameindex(self) -> list[tuple[int, str]]:
        self.log.append("interfaces?")
        return [(1, "lo"), *self.of_drivers]

    def open_now(self) -> list[str]:
        """The namespaces of which something is held open, those of sockets first."""
        return [each.place for each in self.sockets if not each.closed]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Machine]:
    made = Machine()
    for name in ("open_file", "inside", "create", "attach", "remove", "share_directory", "identity"):
        monkeypatch.setattr(module.namespaces, name, getattr(made, name))
    monkeypatch.setattr(module, "NetlinkSocket", made.socket)
    monkeypatch.setattr(module.rtnl, "change_link", made.change_link)
    monkeypatch.setattr(module.rtnl, "get_link", made.get_link)
    monkeypatch.setattr(module.rtnl, "dump_links", lambda _sock: [])
    monkeypatch.setattr(module.socket, "if_nameindex", made.if_nameindex)
    yield made
    for fd in made.files:
        with contextlib.suppress(OSError):
            os.close(fd)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


# ---- sockets


def test_a_socket_is_made_where_it_is_asked_for_and_once(machine: Machine) -> None:
    with Kernel() as kernel:
        assert kernel.rtnl("red") is kernel.rtnl("red")
        kernel.netfilter("red")
        kernel.rtnl(None)
    assert [(each.place, each.family) for each in machine.sockets] == [
        ("red", NETLINK_ROUTE),
        ("red", NETLINK_NETFILTER),
        (HOME, NETLINK_ROUTE),
    ]


def test_at_the_end_nothing_stays_open(machine: Machine) -> None:
    with Kernel() as kernel:
        kernel.rtnl("red")
        kernel.file("blue")
        kernel.file(None)
        kernel.shelve("green")
    assert machine.open_now() == []
    assert not any(is_open(fd) for fd in machine.files)


def test_a_namespace_that_is_not_there_is_not_made(machine: Machine) -> None:
    with Kernel() as kernel, pytest.raises(NoNamespace):
        kernel.rtnl("yellow")


def test_sockets_get_the_queue_while_somebody_gathers_also_those_that_are_made_then(machine: Machine) -> None:
    with Kernel() as kernel:
        early = t.cast(t.Any, kernel.rtnl("red"))
        with kernel.gathering() as queue:
            late = t.cast(t.Any, kernel.rtnl("blue"))
            assert (early.queue, late.queue) == (queue, queue)
        assert (early.queue, late.queue) == (None, None)


# ---- as many as fit


@pytest.fixture
def small(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which this process may hold four things open at once."""
    monkeypatch.setattr(module.descriptors, "available", lambda: module._RESERVED + 4)
    return machine


def test_what_was_opened_first_makes_room_for_what_comes(small: Machine) -> None:
    with Kernel() as kernel:
        for name in ("red", "blue", "green"):
            kernel.rtnl(name)
            assert len(small.open_now()) <= 3
        assert small.open_now() == ["blue", "green"]
        assert t.cast(t.Any, kernel.rtnl("red")).place == "red"
        assert "blue" not in small.open_now()


def test_the_host_is_never_closed(small: Machine) -> None:
    with Kernel() as kernel:
        kernel.rtnl(None)
        for name in ("red", "blue", "green", "red"):
            kernel.rtnl(name)
        assert small.open_now()[0] == HOME


def test_what_waits_is_sent_before_its_socket_is_closed(small: Machine) -> None:
    with Kernel() as kernel, kernel.gathering() as queue:
        flushed: list[list[str]] = []
        queue.flush = lambda: flushed.append(small.open_now())  # type: ignore[method-assign]
        for name in ("red", "blue", "green"):
            kernel.rtnl(name)
        assert flushed
        assert "red" in flushed[0]


def test_of_what_has_no_name_any_more_as_much_is_kept_as_fits(small: Machine) -> None:
    small.names |= {"n1", "n2", "n3", "n4", "n5"}
    with Kernel() as kernel:
        for name in ("n1", "n2", "n3", "n4", "n5"):
            kernel.shelve(name)
        kept = [name for name in ("n1", "n2", "n3", "n4", "n5") if kernel.shelved(name) is not None]
        assert kept == kept[-len(kept) :]
        assert "n5" in kept
        assert "n1" not in kept
        assert kernel.unshelve("n1") is False


# ---- new namespaces, and the numbers of their interfaces


def test_a_new_namespace_is_marked_before_it_has_a_name(machine: Machine) -> None:
    with Kernel() as kernel:
        kernel.create("yellow", alias="patchbay.netns:lab", up=True)
        kernel.create("white", alias="patchbay.netns", up=False)
    assert machine.log == [
        "share",
        "lo in yellow: patchbay.netns:lab, up True",
        "interfaces?",
        "lo in white: patchbay.netns, up None",
    ]


def test_a_new_namespace_has_its_settings_before_it_has_a_name(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, str, str, bool]] = []
    monkeypatch.setattr(
        module.procsys,
        "write",
        lambda name, value: written.append((machine.here, name, value, "yellow" in machine.names)),
    )
    with Kernel() as kernel:
        kernel.create("yellow", alias="x", up=True, settings={"net.ipv6.conf.default.accept_ra": "0"})
    assert written == [("yellow", "net.ipv6.conf.default.accept_ra", "0", False)]


def test_a_namespace_that_could_not_be_made_leaves_nothing_open(machine: Machine) -> None:
    with Kernel() as kernel:
        with pytest.raises(KernelError, match="could not create network namespace red"):
            kernel.create("red", alias="patchbay.netns", up=True)
        assert machine.open_now() == []


def test_in_a_new_namespace_interfaces_are_numbered_by_us_and_need_not_be_asked_for(machine: Machine) -> None:
    with Kernel() as kernel:
        kernel.create("yellow", alias="x", up=True)
        assert [kernel.choose_index("yellow", name) for name in ("eth0", "eth1")] == [2, 3]
        assert [kernel.index("yellow", name) for name in ("eth0", "eth1")] == [2, 3]
        assert kernel.choose_index("yellow", "eth0") == 4
    assert "index of eth0?" not in machine.log


def test_what_drivers_put_into_every_new_namespace_has_the_first_numbers(machine: Machine) -> None:
    machine.of_drivers = [(2, "sit0"), (3, "ip6tnl0")]
    with Kernel() as kernel:
        for name in ("yellow", "white"):
            kernel.create(name, alias="x", up=True)
            assert kernel.choose_index(name, "eth0") == 4
    assert machine.log.count("interfaces?") == 1


def test_elsewhere_the_kernel_chooses_the_numbers(machine: Machine) -> None:
    machine.links = {"eth0": 17}
    with Kernel() as kernel:
        assert kernel.choose_index("red", "eth0") == 0
        assert kernel.choose_index(None, "eth0") == 0
        assert [kernel.index("red", "eth0"), kernel.index("red", "eth0")] == [17, 17]
    assert machine.log.count("index of eth0?") == 1


def test_a_new_namespace_that_is_made_again_starts_anew(machine: Machine) -> None:
    with Kernel() as kernel:
        kernel.create("yellow", alias="x", up=True)
        kernel.choose_index("yellow", "eth0")
        kernel.shelve("yellow")
        assert kernel.choose_index("yellow", "eth0") == 0
        kernel.discard("yellow")
        kernel.create("yellow", alias="x", up=True)
        assert kernel.choose_index("yellow", "eth1") == 2


def test_an_interface_that_went_is_asked_for_again(machine: Machine) -> None:
    machine.links = {"eth0": 17}
    with Kernel() as kernel:
        kernel.learn_indexes("red", {"eth0": 5, "eth1": 6})
        assert (kernel.index("red", "eth0"), kernel.index("red", "eth1")) == (5, 6)
        kernel.forget_index("red", "eth0")
        assert kernel.index("red", "eth0") == 17
        kernel.forget_index("red", "eth1")
        with pytest.raises(NotFound, match="interface eth1 does not exist in namespace red"):
            kernel.index("red", "eth1")


def test_the_identity_is_asked_for_once_until_the_namespace_is_forgotten(machine: Machine) -> None:
    with Kernel() as kernel:
        assert [kernel.identity("red"), kernel.identity("red")] == ["cookie-red"] * 2
        kernel.forget("red")
        kernel.identity("red")
    assert machine.log == ["identity red"] * 2


# ---- taking a name away, and giving it back


def test_a_shelved_namespace_has_no_name_and_comes_back_as_the_same_one(machine: Machine) -> None:
    with Kernel() as kernel:
        sock = t.cast(t.Any, kernel.rtnl("red"))
        kernel.shelve("red")
        assert sock.closed
        assert "red" not in machine.names
        fd = kernel.shelved("red")
        assert fd is not None
        assert machine.files[fd] == "red"
        assert kernel.unshelve("red")
        assert not is_open(fd)
        assert kernel.unshelve("red") is False
    assert machine.log == ["remove red", "attach red to red"]


def test_the_descriptor_of_a_shelved_namespace_is_opened_inside_of_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by its name: what was opened through a mount is not to be used when the mount is gone."""
    asked: list[tuple[str | None, str]] = []
    open_file = machine.open_file

    def noted(name: str | None) -> int:
        asked.append((name, machine.here))
        return open_file(name)

    monkeypatch.setattr(module.namespaces, "open_file", noted)
    with Kernel() as kernel:
        kernel.shelve("red")
    assert asked == [("red", HOME), (None, "red")]


def test_what_is_discarded_is_closed_and_can_not_come_back(machine: Machine) -> None:
    with Kernel() as kernel:
        kernel.shelve("red")
        fd = t.cast(int, kernel.shelved("red"))
        kernel.discard("red")
        kernel.discard("red")
        assert not is_open(fd)
        assert kernel.unshelve("red") is False
        assert kernel.shelved("red") is None
