# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the module topology: files, places of mistakes, which process does the work, progress."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import sys
import types
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar
from ansible_collections.patchbay.netns.plugins.action import topology
from ansible_collections.patchbay.netns.plugins.module_utils._errors import MissingLibrary, NotOurs
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import interruption
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.interruption import deferred
from ansible_collections.patchbay.netns.plugins.plugin_utils import _in_process, _progress

LAB = """\
name: red-blue
bridges:
  v-net-0: {addresses: [192.168.15.5/24]}
namespaces:
  red:
    interfaces:
      veth-red: {bridge: v-net-0, addresses: [192.168.15.1/24]}
    gateway: 192.168.15.5
"""
RESULT = {"changed": True, "commands": [], "lab": {"name": "red-blue"}, "warnings": ["Careful."]}
USER = pwd.getpwuid(os.geteuid()).pw_name
INVOCATION = {
    "adopt": False,
    "definition": None,
    "force": False,
    "lock_timeout": 300,
    "name": None,
    "purge": True,
    "src": None,
    "state": "present",
    "verify": False,
}


@dataclass
class Calls:
    """What was asked of the module in this process and of the one on the host, and what they answer."""

    here: list[dict[str, t.Any]] = field(default_factory=list)
    there: list[dict[str, t.Any]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    answer: t.Any = None

    def answered(self) -> dict[str, t.Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict(self.answer or RESULT)


class Action(topology.ActionModule):
    """The action, without a host behind it."""

    calls: Calls

    def _execute_module(self, **options: t.Any) -> dict[str, t.Any]:
        self.calls.there.append(options)
        return self.calls.answered()

    def _remove_tmp_path(self, *_arguments: t.Any, **_options: t.Any) -> None:
        pass


class World:
    """Makes actions, as Ansible does for a task."""

    def __init__(self, folder: Path, calls: Calls) -> None:
        self.folder, self.calls = folder, calls
        self.loader = DataLoader()
        self.loader.set_basedir(str(folder))
        self.task = types.SimpleNamespace(
            action="patchbay.netns.topology",
            args={},
            async_val=0,
            check_mode=False,
            delegate_to=None,
            diff=False,
            environment=[],
            get_search_path=lambda: [str(folder)],
            no_log=False,
            _uuid="1",
        )
        self.play_context = PlayContext()
        self.connection = self.connected("local")
        self.variables: dict[str, t.Any] = {"inventory_hostname": "host"}

    def connected(self, name: str) -> t.Any:
        """A connection, known by a name that is found without Ansible's importer: that would serve every test after these."""
        connection = connection_loader.get(name, self.play_context)
        connection.ansible_name = name
        return connection

    def remote(self) -> World:
        """What is no connection to this machine."""
        self.task.environment = [{"LANG": "C"}]
        return self

    def run(self, **arguments: t.Any) -> dict[str, t.Any]:
        self.task.args = arguments
        action = Action(
            self.task, self.connection, self.play_context, self.loader, Templar(self.loader, variables=self.variables)
        )
        action.calls = self.calls
        return action.run(task_vars=self.variables)

    def file(self, text: str, name: str = "lab.yml") -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()

    def here(params: dict[str, t.Any], **options: t.Any) -> dict[str, t.Any]:
        calls.here.append({"params": params, **options})
        return calls.answered()

    monkeypatch.setattr(topology, "run_lab", here)
    monkeypatch.setattr(topology.ActionModule, "_show", lambda _self, line: calls.shown.append(line))
    return calls


@pytest.fixture
def world(tmp_path: Path, calls: Calls) -> World:
    return World(tmp_path, calls)


# ---- the lab file


@pytest.mark.parametrize("name", ["lab.yml", "files/lab.yml"])
def test_the_file_is_sent_as_a_definition(world: World, calls: Calls, name: str) -> None:
    world.file(LAB, name)
    world.remote().run(src="lab.yml", verify=True)
    (call,) = calls.there
    assert call["module_name"] == "patchbay.netns.topology"
    assert call["module_args"].keys() == {"definition", "verify"}
    assert call["module_args"]["definition"]["namespaces"]["red"]["gateway"] == "192.168.15.5"


def test_the_result_names_the_file_and_leaves_its_contents_out(world: World, calls: Calls) -> None:
    world.file(LAB)
    assert world.run(src="lab.yml")["invocation"]["module_args"] == {**INVOCATION, "src": "lab.yml"}
    assert calls.here[0]["params"]["definition"]["name"] == "red-blue"


def test_what_is_in_the_file_is_no_template(world: World, calls: Calls) -> None:
    world.file("name: red\nsysctls: {net.ipv4.ip_forward: '{{ 40 + 2 }}'}\n")
    world.run(src="lab.yml")
    assert calls.here[0]["params"]["definition"]["sysctls"] == {"net.ipv4.ip_forward": "{{ 40 + 2 }}"}


def test_an_encrypted_file_is_decrypted(world: World, calls: Calls) -> None:
    secrets = [("default", VaultSecret(b"secret"))]
    world.file(VaultLib(secrets).encrypt(LAB).decode())
    world.loader.set_vault_secrets(secrets)
    world.run(src="lab.yml")
    assert calls.here[0]["params"]["definition"]["name"] == "red-blue"
    assert not world.loader._tempfiles


def test_an_encrypted_file_without_a_password_says_so(world: World, calls: Calls) -> None:
    world.file(VaultLib([("default", VaultSecret(b"secret"))]).encrypt(LAB).decode())
    answer = world.run(src="lab.yml")
    assert answer["failed"]
    assert "vault" in answer["msg"]
    assert (calls.here, calls.there) == ([], [])


def test_a_file_that_is_not_there_is_told_with_the_places(world: World) -> None:
    answer = world.run(src="lab.yml")
    places = f"{world.folder}/files/lab.yml, {world.folder}/lab.yml"
    assert (answer["code"], answer["msg"]) == (
        "NOT_FOUND",
        f"src: there is no lab file lab.yml. Looked for it here: {places}.",
    )


def test_a_folder_is_no_file(world: World) -> None:
    (world.folder / "labs").mkdir()
    assert world.run(src="labs")["msg"] == f"src: {world.folder}/labs is no file; name the lab file itself."


def test_a_file_that_is_no_yaml_is_not_sent(world: World, calls: Calls) -> None:
    place = world.file("name: red\nname: blue\n")
    answer = world.run(src="lab.yml")
    assert (answer["failed"], answer["code"]) == (True, "INVALID_INPUT")
    assert answer["msg"].startswith(f"{place}:2:1: the key name is here twice")
    assert (calls.here, calls.there) == ([], [])


# ---- mistakes, and where they are


def test_mistakes_are_told_with_their_places_before_anything_is_sent(world: World, calls: Calls) -> None:
    place = world.file(LAB.replace("gateway: 192.168.15.5", "gatewy: x").replace("192.168.15.1/24", "192.168.15.1"))
    answer = world.remote().run(src="lab.yml")
    assert (answer["failed"], answer["code"]) == (True, "INVALID_INPUT")
    assert sorted(line.split(" ")[0] for line in answer["msg"].split("\n")) == [f"{place}:7:47:", f"{place}:8:5:"]
    assert sorted(problem["place"] for problem in answer["details"]["problems"]) == [f"{place}:7:47", f"{place}:8:5"]
    assert calls.there == []


def test_mistakes_that_only_the_host_finds_have_places_too(world: World, calls: Calls) -> None:
    place = world.file(LAB)
    problems = [{"path": ["bridges", "v-net-0"], "message": "in use."}]
    calls.answer = {"failed": True, "msg": "bridges.v-net-0: in use.", "code": "X", "details": {"problems": problems}}
    answer = world.remote().run(src="lab.yml")
    assert answer["msg"] == f"{place}:3:3: in use."


def test_mistakes_of_a_definition_in_the_task_are_told_with_their_paths(world: World, calls: Calls) -> None:
    answer = world.remote().run(definition={"name": "red", "namespaces": {"red": {"gatewy": "x"}}})
    assert answer["msg"].startswith("namespaces.red.gatewy: there is no key 'gatewy' here.")
    assert calls.there == []


def test_a_lab_can_be_removed_by_its_name_alone(world: World, calls: Calls) -> None:
    world.remote().run(name="red-blue", state="absent")
    assert calls.there[0]["module_args"] == {"name": "red-blue", "state": "absent"}


def test_a_namespace_for_the_whole_lab_is_refused_with_the_way_out(world: World, calls: Calls) -> None:
    answer = world.run(name="red-blue", state="absent", netns="red")
    assert answer["code"] == "INVALID_INPUT"
    assert "module_defaults" in answer["msg"]
    assert (calls.here, calls.there) == ([], [])


# ---- in which process


def test_the_work_is_done_here_where_here_is_the_host(world: World, calls: Calls) -> None:
    world.task.check_mode = world.task.diff = True
    answer = world.run(definition={"name": "red-blue"}, adopt="yes")
    (call,) = calls.here
    assert (call["check"], call["diff"], calls.there) == (True, True, [])
    params = {**INVOCATION, "definition": {"name": "red-blue"}, "adopt": True}
    assert call["params"] == params
    assert answer == {**RESULT, "invocation": {"module_args": params}}


def test_an_error_here_is_what_the_module_would_answer(world: World, calls: Calls) -> None:
    calls.answer = NotOurs("Not ours.", device=("red", 1))
    answer = world.run(definition={"name": "red-blue"})
    del answer["invocation"]
    assert answer == {"failed": True, "msg": "Not ours.", "code": "NOT_OURS", "details": {"device": ["red", 1]}}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_obeyed_once_the_work_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    events: list[str] = []

    def work(*_arguments: t.Any, **_options: t.Any) -> dict[str, t.Any]:
        with deferred():
            signal.raise_signal(number)
            events.append("taken back")
            interruption.check()
        return RESULT

    monkeypatch.setattr(topology, "run_lab", work)
    before = signal.signal(number, lambda *_arguments: events.append("obeyed"))
    try:
        answer = world.run(definition={"name": "red-blue"})
    finally:
        signal.signal(number, before)
    assert events == ["taken back", "obeyed"]
    assert answer["code"] == "INTERRUPTED"


@pytest.mark.parametrize(
    "arguments",
    [{}, {"colour": "red", "name": "a"}, {"definition": {}, "lock_timeout": "soon"}, {"src": "a", "definition": {}}],
)
def test_parameters_that_are_not_accepted_are_left_to_the_module(
    world: World, calls: Calls, arguments: dict[str, t.Any]
) -> None:
    with contextlib.suppress(Exception):
        world.run(**arguments)
    assert calls.here == []


def become(world: World, name: str, **options: t.Any) -> None:
    plugin = become_loader.get(name)
    plugin.set_options(direct=options)
    world.connection.set_become_plugin(plugin)


def is_here(world: World, calls: Calls) -> bool:
    world.run(definition={"name": "red-blue"})
    return bool(calls.here)


@pytest.mark.parametrize("name", ["sudo", "su"])
def test_to_become_who_one_is_changes_nothing(world: World, calls: Calls, name: str) -> None:
    become(world, name, become_user=USER)
    assert is_here(world, calls)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sudo", {"become_user": "nobody"}),
        ("sudo", {"become_user": "no such user"}),
        ("sudo", {"become_user": USER, "become_flags": "-g staff"}),
        ("sudo", {"become_user": USER, "become_exe": "/usr/local/bin/sudo"}),
        ("runas", {"become_user": USER}),
    ],
)
def test_to_become_somebody_else_takes_a_process(
    world: World, calls: Calls, name: str, options: dict[str, t.Any]
) -> None:
    become(world, name, **options)
    assert not is_here(world, calls)


@pytest.mark.parametrize(
    "interpreter", [sys.executable, os.path.realpath(sys.executable), "auto", "auto_silent", "{{ mine }}"]
)
def test_this_interpreter_is_one(world: World, calls: Calls, interpreter: str) -> None:
    from ansible.template import trust_as_template

    world.variables |= {"ansible_python_interpreter": trust_as_template(interpreter), "mine": sys.executable}
    assert is_here(world, calls)


def test_another_interpreter_takes_a_process(world: World, calls: Calls) -> None:
    world.variables["ansible_python_interpreter"] = "/opt/python/bin/python"
    assert not is_here(world, calls)


def test_the_interpreter_of_the_host_that_it_is_delegated_to_counts(world: World, calls: Calls) -> None:
    world.task.delegate_to = "other"
    world.variables["ansible_delegated_vars"] = {"other": {"ansible_python_interpreter": "/opt/python/bin/python"}}
    assert not is_here(world, calls)


def test_an_environment_takes_a_process(world: World, calls: Calls) -> None:
    world.task.environment = [{}, {"LANG": "C"}]
    assert not is_here(world, calls)


def test_a_missing_library_takes_a_process(world: World, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingLibrary("pyroute2")

    monkeypatch.setattr(_in_process, "codec", missing)
    assert not is_here(world, calls)


def test_async_is_left_to_the_host(world: World, calls: Calls) -> None:
    world.task.async_val = 60
    assert not is_here(world, calls)
    assert calls.there[0]["wrap_async"]


def test_another_connection_takes_a_process(world: World, calls: Calls) -> None:
    world.connection = world.connected("ssh")
    assert not is_here(world, calls)


# ---- progress


def test_progress_is_shown_here(world: World, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "FIRST", 0)

    def work(_params: dict[str, t.Any], *, watch: t.Callable[..., None], **_options: t.Any) -> dict[str, t.Any]:
        watch("namespaces", 340, 1000)
        return RESULT

    monkeypatch.setattr(topology, "run_lab", work)
    world.run(definition={"name": "red-blue"})
    assert calls.shown == ["lab red-blue on host: namespaces 340/1000"]


def looks(world: World, monkeypatch: pytest.MonkeyPatch, **arguments: t.Any) -> list[str]:
    """The labs whose progress is looked for while the module is at work elsewhere."""
    looked = []

    @contextlib.contextmanager
    def watched(look: t.Callable[[], str], _lines: t.Any) -> t.Iterator[None]:
        looked.append(look())
        yield

    monkeypatch.setattr(_progress, "watched", watched)
    monkeypatch.setattr(_progress, "command", lambda lab: f"echo {lab}" if lab else None)
    world.remote().run(**arguments)
    return looked


@pytest.mark.parametrize("arguments", [{"definition": {"name": "red-blue"}}, {"name": "red-blue", "state": "absent"}])
def test_progress_is_looked_for_elsewhere(
    world: World, arguments: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looks(world, monkeypatch, **arguments) == ["red-blue\n"]


@pytest.mark.parametrize("keyword", ["async_val", "check_mode", "no_log"])
def test_progress_is_not_looked_for(world: World, keyword: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setattr(world.task, keyword, True)
    assert looks(world, monkeypatch, definition={"name": "red-blue"}) == []


def test_without_a_second_connection_the_work_is_done_all_the_same(
    world: World, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: t.Any, **_options: t.Any) -> None:
        raise OSError

    monkeypatch.setattr(topology.connection_loader, "get", refused)
    assert looks(world, monkeypatch, definition={"name": "red-blue"}) == []
    assert len(calls.there) == 1


def test_the_second_connection_has_the_options_of_the_first(world: World) -> None:
    world.connection = world.connected("ssh")
    world.connection.set_options(direct={"host": "example.org", "port": 2222, "private_key_file": "/key"})
    world.task.args = {}
    action = Action(world.task, world.connection, world.play_context, world.loader, Templar(world.loader))
    second = action._second_connection()
    assert second is not world.connection
    assert [second.get_option(name) for name in ("host", "port", "private_key_file")] == ["example.org", 2222, "/key"]
    assert second.become is None
