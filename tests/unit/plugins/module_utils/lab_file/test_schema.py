# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema of lab files: our small validator says what the real one says, and editors have a word for every key."""

from __future__ import annotations

import copy
import json
import re
import typing as t
from pathlib import Path

import jsonschema
import pytest
import yaml
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.schema import SCHEMA
from ansible_collections.patchbay.netns.plugins.module_utils._lab_file.validate import Mistake, compile_schema
from ansible_collections.patchbay.netns.tests.tools import lab_schema
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import topology_drawings as lab
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.lab_file.test_mistakes import (
    CROSSED,
    SHAPES,
    VALUES,
)
from hypothesis import assume, given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[5]
ours = compile_schema(SCHEMA)
theirs = jsonschema.Draft202012Validator(SCHEMA)


def valid(value: t.Any) -> bool:
    """What ours says, which is the same whether somebody listens or not."""
    mistakes: list[Mistake] = []
    verdict = ours(value, (), mistakes)
    assert verdict == ours(value, (), None) == (not mistakes)
    return verdict


def parts(schema: t.Any, path: str = "") -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """Every property of the schema, by its place."""
    if isinstance(schema, dict):
        for name, part in schema.get("properties", {}).items():
            yield f"{path}.{name}", part
        for name, part in schema.items():
            yield from parts(part, f"{path}.{name}")
    elif isinstance(schema, list):
        for part in schema:
            yield from parts(part, path)


# ---- the schema itself


def test_it_is_a_schema_of_the_draft_it_names() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


def test_editors_have_a_sentence_for_every_key() -> None:
    found = dict(parts(SCHEMA))
    assert len(found) > 80
    assert [place for place, part in found.items() if not re.search(r"\w+.*\.$", part.get("description", ""))] == []


def test_the_file_for_editors_is_the_one_that_labs_are_checked_with() -> None:
    assert lab_schema.FILE.read_text(encoding="utf-8") == lab_schema.rendered(), "run `make docs`"
    assert json.loads(lab_schema.rendered()) == {**SCHEMA, "title": "A lab of patchbay.netns"}


def test_make_docs_writes_the_file() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^docs: .*\n(\t.*\n)*\t@.*tests/tools/lab_schema\.py$", makefile, re.MULTILINE)


def test_a_keyword_that_the_validator_does_not_know_is_noticed() -> None:
    with pytest.raises(ValueError, match="the schema keyword uniqueItems is not known here"):
        compile_schema({"type": "array", "uniqueItems": True})


# ---- ours and theirs


@pytest.mark.parametrize("text", [lab.RED_BLUE, *(text for text, _place, _words in [*SHAPES, *VALUES, *CROSSED])])
def test_ours_and_theirs_agree_on_every_file_of_these_tests(text: str) -> None:
    definition = lab.read(text)
    for home in definition.get("namespaces") or {}:
        assert isinstance(home, str) or not valid(definition)  # JSON has no such keys
        if not isinstance(home, str):
            return
    assert valid(definition) == theirs.is_valid(definition)


@pytest.mark.parametrize(
    "value", [True, False, None, 68, 68.0, 68.5, 67, 65535, 65536, "68", " 68 ", "6x", "{n}", "", [], {}, "x", -1]
)
@pytest.mark.parametrize(
    "file",
    [
        "bridges: {br0: {mtu: VALUE}}", "bridges: {br0: {forward_delay: VALUE}}", "bridges: {br0: {stp: VALUE}}",
        "bridges: {br0: {addresses: VALUE}}", "interfaces: {d0: {dummy: VALUE}}", "sysctls: {net.x: VALUE}", "gateway: VALUE",
        "forwards: {protocol: tcp, port: VALUE}", "namespaces: {red: VALUE}", "interfaces: {e: {impair: {loss: VALUE}}}",
        "routes: {destination: default, type: VALUE}", "routes: {destination: default, nexthops: VALUE}", "x-own: VALUE",
    ],
)  # fmt: skip
def test_ours_and_theirs_agree_on_every_kind_of_value(file: str, value: t.Any) -> None:
    definition = lab.read(file.replace("VALUE", json.dumps(value)))
    assert valid(definition) == theirs.is_valid(definition)


@pytest.mark.parametrize(("text", "_place", "_words"), SHAPES)
def test_what_is_wrong_in_shape_is_seen_by_editors(text: str, _place: str, _words: str) -> None:
    if "{br0: {stp: true, forward_delay: 1}}" not in text and '"": {}' not in text:
        assert not valid(lab.read(text))


@pytest.mark.parametrize("file", sorted((ROOT / "playbooks" / "labs").glob("*.yml")), ids=lambda file: file.stem)
def test_the_example_labs_are_fine(file: Path) -> None:
    definition = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert valid(definition)
    assert theirs.is_valid(definition)


@given(lab.labs())
def test_labs_at_random_are_fine(definition: dict[str, t.Any]) -> None:
    assert valid(definition)
    assert theirs.is_valid(definition)


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 70000), st.sampled_from([1.0, 1.5, 68.0, 1e300]),
    st.sampled_from(["", "auto", "{n}", "80", " 7 ", "tcp", "802.1Q", "bridge", "x", "10.0.0.1/24", "0", "name\n"]),
)  # fmt: skip
_keys = st.sampled_from(
    sorted({place.rpartition(".")[2] for place, _part in parts(SCHEMA)} | {"br0", "eth0", "red", "x-own", ""})
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=4)),
    max_leaves=12,
)


@given(_values)
def test_ours_and_theirs_agree_on_nonsense(value: t.Any) -> None:
    assert valid(value) == theirs.is_valid(value)
    whole = {"name": "lab", "namespaces": {"red": value}, "forwards": value}
    assert valid(whole) == theirs.is_valid(whole)


_FULL = yaml.safe_load("""
name: full
pool: [10.0.0.0/8]
bridges: {br0: {addresses: 10.0.0.1/24, mtu: 1500, stp: true, forward_delay: 2.5, count: 3, start: 0}}
interfaces: {a: {cable: red/a, addresses: [10.0.0.1/24], mac: x, up: false, hairpin: true, impair: {delay: 1ms, limit: 5}}}
namespaces:
  red:
    interfaces:
      v: {vlan: {parent: a, id: "{n}", protocol: 802.1ad}}
      x: {vxlan: {id: 1, ttl: 3}}
      m: {macvlan: {parent: a, mode: vepa}}
      d: {dummy: true}
      n:
    gateway: [10.0.0.1]
    routes: {destination: default, nexthops: [{gateway: 10.0.0.1, weight: 2}]}
    sysctls: {net.ipv4.ip_forward: 1}
    nameservers: 192.0.2.1
    masquerade: {source: 10.0.0.0/8, exclude: [10.1.0.0/16], established: reset}
    forwards: [{protocol: tcp, port: 80-90, to: blue, sources: 10.0.0.0/8, foreign_firewall: allow}]
    count: 2
""")


def places(value: t.Any) -> t.Iterator[tuple[t.Any, t.Any]]:
    """Every container of a document with every key in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield value, key
        yield from places(part)


def test_the_full_file_is_fine() -> None:
    assert valid(_FULL)


@given(st.data())
def test_ours_and_theirs_agree_on_a_file_with_something_changed(data: st.DataObject) -> None:
    definition = copy.deepcopy(_FULL)
    for _each in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(list(places(definition))))
        if isinstance(container, dict) and data.draw(st.booleans()):
            part = container.pop(key)
            container[data.draw(_keys)] = part
        else:
            container[key] = data.draw(_values)
    assume(isinstance(definition, dict))
    assert valid(definition) == theirs.is_valid(definition)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"name": "x", "bridges": {"br0": {"addresses": [["10.0.0.1/24"]]}}}, "an address is a text"),
        ({"name": "x", "bridges": {"br0": {"addresses": {"n": None}}}}, "write '{n}'"),
        ({"name": "x", "routes": [{"destination": "default", "nexthops": []}]}, "and it is empty"),
        ({"name": "x", "gateway": 10.5}, "YAML reads 10.5 as a number"),
        ({"name": "x", "gateway": "x" * 99, "gatewy": 1}, "Did you mean gateway?"),
    ],
)
def test_the_words_fit_what_was_written(value: t.Any, words: str) -> None:
    mistakes: list[Mistake] = []
    ours(value, (), mistakes)
    assert any(words in mistake.message for mistake in mistakes), mistakes
