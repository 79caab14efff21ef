# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lab files: the data in them, the places of its pieces, and what is said of a file that is none."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.patchbay.netns.plugins.module_utils._errors import InvalidInput
from ansible_collections.patchbay.netns.plugins.plugin_utils import _positions
from hypothesis import given
from hypothesis import strategies as st

LAB = """\
name: red-blue
bridges:
  v-net-0: {addresses: [192.168.15.5/24], mtu: 1500}
namespaces:
  red:
    interfaces:
      veth-red: {bridge: v-net-0, addresses: auto}
    gateway:
      - 192.168.15.5
      - fd15::5
  blue: &end
    gateway: 192.168.15.5
  green:
    <<: *end
    sysctls:
"""


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both parsers that a controller may have."""
    if request.param == "python":
        monkeypatch.setattr(_positions, "_PARSER", yaml.SafeLoader)
    return str(request.param)


def read(text: str | bytes) -> _positions.LabFile:
    return _positions.read(text if isinstance(text, bytes) else text.encode(), "lab.yml")


def refused(text: str | bytes) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read(text)
    return str(caught.value).split("\n")


# ---- data


@pytest.mark.usefixtures("parser")
def test_the_data_is_what_yaml_says() -> None:
    assert read(LAB).definition == yaml.safe_load(LAB)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("1", 1),
        ("-1", -1),
        ("1_000", 1000),
        ("0x10", 16),
        ("010", 8),
        ("0", 0),
        ("1.5", 1.5),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("12:34:56:12:34:56", "12:34:56:12:34:56"),
        ("10:30.5", "10:30.5"),
        ("2026-11-28", "2026-11-28"),
        (".inf", ".inf"),
        ("=", "="),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("'{{ 40 + 2 }}'", "{{ 40 + 2 }}"),
    ],
)
@pytest.mark.usefixtures("parser")
def test_a_value_is_what_is_meant(said: str, meant: t.Any) -> None:
    value = read(f"key: {said}\n").definition["key"]
    assert (value, type(value)) == (meant, type(meant))


def test_keys_are_texts() -> None:
    assert read("no: 1\n1: 2\n2026-11-28: 3\n").definition == {"no": 1, "1": 2, "2026-11-28": 3}


def test_what_is_merged_gives_way() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 5}\n"
    assert read(text).definition["c"] == {"x": 5, "y": 2, "z": 4}


def test_a_byte_order_mark_is_no_part_of_it() -> None:
    assert read(b"\xef\xbb\xbfname: red\n").definition == {"name": "red"}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdefg{}0123", min_size=1), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(definition=st.dictionaries(st.text("abcdefg-{}", min_size=1), VALUES, min_size=1))
def test_what_is_written_as_yaml_is_read_as_it_was(definition: dict[str, t.Any]) -> None:
    assert read(yaml.safe_dump(definition, allow_unicode=True)).definition == definition


# ---- places


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ([], "1:1"),
        (["name"], "1:7"),
        (["pool"], "1:1"),
        (["bridges"], "2:1"),
        (["bridges", "v-net-0", "mtu"], "3:48"),
        (["bridges", "v-net-0", "addresses", 0], "3:25"),
        (["bridges", "v-net-0", "addresses", 7], "3:13"),
        (["namespaces", "red"], "5:3"),
        (["namespaces", "red", "gateway"], "8:5"),
        (["namespaces", "red", "gateway", 1], "10:9"),
        (["namespaces", "blue", "gateway", 0], "12:14"),
        (["namespaces", "green", "gateway"], "12:14"),
        (["namespaces", "green", "sysctls"], "15:5"),
        (["namespaces", "nobody", "gateway", 0], "4:1"),
    ],
)
@pytest.mark.usefixtures("parser")
def test_a_path_is_found(path: list[str | int], place: str) -> None:
    assert read(LAB).position(path) == f"lab.yml:{place}"


def test_a_key_can_be_what_is_meant() -> None:
    assert read(LAB).position(["bridges", "v-net-0", "mtu"], key=True) == "lab.yml:3:43"


def test_columns_count_characters() -> None:
    assert read("ä: [ö, ü]\n").position(["ä", 1]) == "lab.yml:1:8"


# ---- files that are no lab


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", ["1:1"]),
        ("# only a comment\n", ["1:1"]),
        ("- red\n", ["1:1"]),
        ("red\n", ["1:1"]),
        ("name: a\nname: b\n", ["2:1"]),
        ("a: {b: 1, b: 2}\nc:\n  d: 1\n  'd': 2\n", ["1:11", "4:3"]),
        ("a: 1\n b: 2\n", ["2:3"]),
        ("a: *b\n", ["1:4"]),
        ("a: &a [*a]\n", ["1:4"]),
        ("a: 1\n---\nb: 1\n", ["2:1"]),
        ("a: !vault secret\nb: !!python/object/apply:os.system [ls]\nc: !!set {}\n", ["1:4", "2:4", "3:4"]),
        ("{n}: {count: 2}\n", ["1:1"]),
        ("a: {{n}: 1}\n", ["1:5"]),
        ("a: {<<: 1}\n", ["1:9"]),
        (b"a: 1\nb: \xff\n", ["2:4"]),
        ("a: 1\nb: \x01\n", ["2:4"]),
    ],
)
@pytest.mark.usefixtures("parser")
def test_a_mistake_is_told_with_its_place(text: str | bytes, places: list[str]) -> None:
    assert [line.split(": ")[0] for line in refused(text)] == [f"lab.yml:{place}" for place in places]


@pytest.mark.parametrize("text", ["a:\n\tb: 1\n", "a:\n  b: 1\n\tc: 1\n", "a: {\n\tb: 1\n\t- c\n"])
@pytest.mark.usefixtures("parser")
def test_a_tab_is_called_a_tab(text: str) -> None:
    assert "a tab here" in refused(text)[0]


def test_a_key_that_is_there_twice_is_told_with_both_places() -> None:
    assert refused("a: 1\nb: 2\na: 3\n") == ["lab.yml:3:1: the key a is here twice, first in line 1; name it once."]


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "a: " + "[" * 200 + "]" * 200])
@pytest.mark.usefixtures("parser")
def test_a_file_that_is_nested_without_end_is_refused(text: str) -> None:
    assert len(refused(text)) == 1


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert "unfolds to more" in refused("\n".join(rows))[0]
