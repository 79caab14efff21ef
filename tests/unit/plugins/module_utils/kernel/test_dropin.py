# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our file in sysctl.d, and which lines of other files win over it."""

from __future__ import annotations

import os
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import dropin, namespaces
from hypothesis import given
from hypothesis import strategies as st

FORWARD = "net.ipv4.ip_forward"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose configuration is below this folder."""
    for name in ("DIRECTORY", "_LAST"):
        monkeypatch.setattr(dropin, name, f"{tmp_path}{getattr(dropin, name)}")
    for name in ("_BEFORE", "_AFTER"):
        monkeypatch.setattr(dropin, name, tuple(f"{tmp_path}{folder}" for folder in getattr(dropin, name)))
    return tmp_path


def says(root: Path, path: str, content: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def ours(root: Path) -> Path:
    return root / "run/sysctl.d" / dropin.NAME


def lines(values: dict[str, str]) -> list[str]:
    return [line for line in dropin.text(values).splitlines() if not line.startswith("#")]


# ---- what it says


def test_no_error_is_made_of_a_device_that_is_gone() -> None:
    assert lines({"net.ipv4.conf.br0.route_localnet": "1"}) == ["-net.ipv4.conf.br0.route_localnet = 1"]


def test_a_setting_with_two_names_is_there_by_both() -> None:
    assert lines({FORWARD: "1"}) == ["-net.ipv4.ip_forward = 1", "-net.ipv4.conf.all.forwarding = 1"]


def test_forwarding_comes_after_what_protects_routes() -> None:
    found = lines({"net.ipv6.conf.all.forwarding": "1", "net.ipv6.conf.eth0.accept_ra": "2", FORWARD: "1"})
    assert found[0] == "-net.ipv6.conf.eth0.accept_ra = 2"


def test_the_order_of_the_records_does_not_matter() -> None:
    values = {"net.ipv4.conf.b.forwarding": "1", FORWARD: "1", "net.ipv4.conf.a.forwarding": "1"}
    assert dropin.text(values) == dropin.text(dict(reversed(values.items())))


@pytest.mark.parametrize("device", ["a*", "a?", "[a]", "a=b", "a\\b"])
def test_a_device_that_would_be_a_pattern_is_left_out(device: str) -> None:
    assert lines({f"net.ipv4.conf.{device}.forwarding": "1", "net.ipv4.conf.a.forwarding": "1"}) == [
        "-net.ipv4.conf.a.forwarding = 1"
    ]


def test_nothing_held_is_no_file() -> None:
    assert dropin.text({}) == ""


def test_a_reader_learns_who_made_it_and_how_it_goes() -> None:
    text = dropin.text({FORWARD: "1"})
    assert "patchbay.netns" in text.splitlines()[0]
    assert "state: absent" in text


@pytest.mark.parametrize("other", ["99-sysctl.conf", "99-zz.conf", "local.conf", "z.conf", "zz-a.conf"])
def test_row_34_its_name_comes_after_any_usual_one(other: str) -> None:
    assert other.encode() < dropin.NAME.encode()


# ---- writing


def test_the_file_is_written_with_its_folder(root: Path) -> None:
    dropin.write({FORWARD: "1"})
    assert ours(root).read_text() == dropin.text({FORWARD: "1"})


def test_everybody_may_read_it(root: Path) -> None:
    umask = os.umask(0o077)
    try:
        dropin.write({FORWARD: "1"})
    finally:
        os.umask(umask)
    assert stat.S_IMODE(ours(root).stat().st_mode) == 0o644


def test_nothing_else_is_left_in_the_folder(root: Path) -> None:
    dropin.write({FORWARD: "1"})
    assert list(ours(root).parent.iterdir()) == [ours(root)]


def test_a_half_written_file_is_never_seen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropin.write({FORWARD: "1"})
    before = ours(root).read_text()

    def fail(*_paths: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "replace", fail)
    dropin.write({FORWARD: "2"})
    assert ours(root).read_text() == before


def test_without_values_file_and_folder_go(root: Path) -> None:
    dropin.write({FORWARD: "1"})
    dropin.write({})
    assert not ours(root).parent.exists()


def test_files_of_others_keep_the_folder(root: Path) -> None:
    says(root, "run/sysctl.d/50.conf", "")
    dropin.write({FORWARD: "1"})
    dropin.write({})
    assert [path.name for path in ours(root).parent.iterdir()] == ["50.conf"]


def test_removing_what_is_not_there_is_fine(root: Path) -> None:
    dropin.write({})


def test_a_folder_that_can_not_be_made_is_no_error(root: Path) -> None:
    (root / "run").write_text("no folder")
    dropin.write({FORWARD: "1"})


# ---- whose it is


def test_the_namespace_of_process_1_is_concerned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net").touch()
    monkeypatch.setattr(namespaces, "_BOOT", str(tmp_path / "net"))
    with (tmp_path / "net").open() as namespace:
        assert namespaces.is_boots(namespace.fileno())


def test_another_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("net", "other"):
        (tmp_path / name).touch()
    monkeypatch.setattr(namespaces, "_BOOT", str(tmp_path / "net"))
    with (tmp_path / "other").open() as namespace:
        assert not namespaces.is_boots(namespace.fileno())


def test_where_process_1_can_not_be_seen_none_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "_BOOT", str(tmp_path / "missing"))
    with (tmp_path / "net").open("w") as namespace:
        assert not namespaces.is_boots(namespace.fileno())


# ---- who wins over it


def found(root: Path, name: str = FORWARD) -> list[tuple[str, str]]:
    return [(line.place.replace(f"{root}/", ""), line.value) for line in dropin.rivals(name)]


def test_without_any_file_nobody_does(root: Path) -> None:
    assert found(root) == []


def test_our_own_lines_are_no_rivals(root: Path) -> None:
    dropin.write({FORWARD: "1"})
    assert found(root) == []


def test_files_before_ours_do_not(root: Path) -> None:
    says(root, "etc/sysctl.d/99-sysctl.conf", f"{FORWARD}=0\n")
    assert found(root) == []


def test_a_file_after_ours_does(root: Path) -> None:
    says(root, "usr/lib/sysctl.d/zzz.conf", f"\n{FORWARD} =  0 \n")
    assert found(root) == [("usr/lib/sysctl.d/zzz.conf, line 2", "0")]


def test_of_several_lines_the_last_counts(root: Path) -> None:
    says(root, "etc/sysctl.d/zzz.conf", f"{FORWARD}=0\n{FORWARD}=1\n")
    says(root, "etc/sysctl.d/zzy.conf", f"{FORWARD}=0\n")
    assert found(root) == [("etc/sysctl.d/zzz.conf, line 2", "1")]


@pytest.mark.parametrize("lower", ["run", "usr/local/lib", "usr/lib", "lib"])
def test_a_file_in_etc_hides_its_namesakes(root: Path, lower: str) -> None:
    says(root, f"{lower}/sysctl.d/zzz.conf", f"{FORWARD}=0\n")
    says(root, "etc/sysctl.d/zzz.conf", "")
    assert found(root) == []


def test_a_link_to_nothing_hides_its_namesakes_too(root: Path) -> None:
    says(root, "usr/lib/sysctl.d/zzz.conf", f"{FORWARD}=0\n")
    says(root, "etc/sysctl.d/other.conf", "")
    (root / "etc/sysctl.d/zzz.conf").symlink_to(os.devnull)
    assert found(root) == []


def test_where_ours_is_hidden_every_file_counts(root: Path) -> None:
    says(root, f"etc/sysctl.d/{dropin.NAME}", "")
    says(root, "etc/sysctl.d/50.conf", f"{FORWARD}=0\n")
    assert found(root) == [("etc/sysctl.d/50.conf, line 1", "0")]


def test_row_34_etc_sysctl_conf_comes_last_whatever_its_name(root: Path) -> None:
    says(root, "etc/sysctl.conf", f"{FORWARD}=0\n")
    assert found(root) == [("etc/sysctl.conf, line 1", "0")]


def test_each_way_to_read_has_its_own_winner(root: Path) -> None:
    says(root, "etc/sysctl.conf", f"{FORWARD}=1\n")
    says(root, "etc/sysctl.d/zzz.conf", f"{FORWARD}=0\n")
    assert found(root) == [("etc/sysctl.d/zzz.conf, line 1", "0"), ("etc/sysctl.conf, line 1", "1")]


@pytest.mark.parametrize("line", ["-net.ipv4.ip_forward=0", "net/ipv4/ip_forward=0", "  net.ipv4.ip_forward = 0",
                                  "net.ipv4.conf.all.forwarding=0"])  # fmt: skip
def test_the_setting_has_many_spellings(root: Path, line: str) -> None:
    says(root, "etc/sysctl.d/zzz.conf", line)
    assert len(found(root)) == 1


@pytest.mark.parametrize("line", ["#net.ipv4.ip_forward=0", "; net.ipv4.ip_forward=0", "net.ipv4.ip_forward",
                                  "-net.ipv4.ip_forward", "=0", "", "net.ipv4.ip_forward2=0"])  # fmt: skip
def test_what_assigns_nothing_to_it_does_not_count(root: Path, line: str) -> None:
    says(root, "etc/sysctl.d/zzz.conf", line)
    assert found(root) == []


def test_a_device_with_a_dot_has_two_spellings(root: Path) -> None:
    says(root, "etc/sysctl.d/zzz.conf", "net/ipv4/conf/eth0.5/route_localnet=0")
    assert len(found(root, "net.ipv4.conf.eth0/5.route_localnet")) == 1


def test_a_pattern_in_a_folder_does_not_win_over_our_name(root: Path) -> None:
    says(root, "etc/sysctl.d/zzz.conf", "net.ipv4.conf.*.route_localnet=0\nnet.ipv4.ip_f*=0")
    assert found(root, "net.ipv4.conf.br0.route_localnet") + found(root) == []


def test_a_pattern_wins_where_nothing_else_is_read(root: Path) -> None:
    says(root, "etc/sysctl.conf", "net.ipv4.conf.*.route_localnet=0")
    assert len(found(root, "net.ipv4.conf.br0.route_localnet")) == 1


def test_a_name_that_is_written_out_wins_over_a_pattern(root: Path) -> None:
    says(root, "etc/sysctl.conf", "net.ipv4.conf.br0.route_localnet=1\nnet.ipv4.conf.*.route_localnet=0\n")
    assert found(root, "net.ipv4.conf.br0.route_localnet") == [("etc/sysctl.conf, line 1", "1")]


def test_a_pattern_stays_between_its_slashes(root: Path) -> None:
    says(root, "etc/sysctl.conf", "net.*=0\nnet.ipv4.*.forwarding=0\n")
    assert found(root) == []


@pytest.mark.parametrize("file", ["etc/sysctl.d/10.conf", "etc/sysctl.d/zzz.conf"])
def test_a_pattern_for_all_devices_wins_from_anywhere(root: Path, file: str) -> None:
    says(root, file, "net.ipv4.conf.*.forwarding=0")
    assert found(root) == [(f"{file}, line 1", "0")]


def test_ipv6_does_not_ask_its_devices(root: Path) -> None:
    says(root, "etc/sysctl.d/10.conf", "net.ipv6.conf.*.forwarding=0")
    assert found(root, "net.ipv6.conf.all.forwarding") == []


@given(st.binary(max_size=200))
def test_whatever_is_in_a_file_it_is_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "x.conf"
    file.write_bytes(content)
    for line in dropin._read(str(file)):
        assert line.path


names = st.from_regex(r"net\.ipv4\.conf\.[a-z0-9/]{1,8}\.forwarding", fullmatch=True)
numbers = st.from_regex("[0-9]{1,3}", fullmatch=True)


@given(st.dictionaries(names.filter(lambda name: ".all." not in name), numbers))
def test_what_is_written_is_read_the_same(tmp_path_factory: pytest.TempPathFactory, values: dict[str, t.Any]) -> None:
    file = tmp_path_factory.mktemp("own") / "x.conf"
    file.write_text(dropin.text(values))
    read = {line.path: line.value for line in dropin._read(str(file))}
    assert read == {"/".join(dropin.procsys.parts(name)): value for name, value in values.items()}
