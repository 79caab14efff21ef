# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages as our tables pack and read them, against pyroute2's own objects: the same bytes, the same values.

answers.json holds what a kernel (Linux 6) said of links, addresses, routes and neighbours, without netlink headers.
"""

from __future__ import annotations

import copy
import ipaddress
import json
import re
import socket
import struct
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.patchbay.netns.plugins.module_utils._errors import MissingLibrary
from ansible_collections.patchbay.netns.plugins.module_utils._kernel import messages, rtnl
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.codec import codec
from ansible_collections.patchbay.netns.plugins.module_utils._kernel.messages import Answer, Message, table
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils import strategies as some
from ansible_collections.patchbay.netns.tests.unit.plugins.module_utils.netlink_requests import REQUESTS, info
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pyroute2")

ANSWERS: dict[str, str] = json.loads(Path(__file__).with_name("answers.json").read_text(encoding="utf-8"))


def source_of(kind: str) -> t.Any:
    return getattr(codec(), kind)


def oracle(kind: str, fields: t.Mapping[str, t.Any], attributes: list[t.Any]) -> bytes:
    """The message as pyroute2 packs it, without the netlink header."""
    message = source_of(kind)()
    message["attrs"] = copy.deepcopy(attributes)  # it changes what it gets
    message.update(fields)
    message.encode()
    return bytes(message.data)[16:]


def decoded(kind: str, content: bytes) -> t.Any:
    """The message as pyroute2 reads it."""
    message = source_of(kind)(struct.pack("=I12x", 16 + len(content)) + content)
    message.decode()
    return message


def plain(value: t.Any) -> t.Any:
    """A value of either side as dicts and lists, without what only one of them has."""
    if isinstance(value, Answer):
        fields = {name: value[name] for name in value._table.fields}
        return {**fields, "attrs": [[name, plain(each)] for name, each in value["attrs"] if name != "UNKNOWN"]}
    if isinstance(value, dict) and hasattr(value, "decode"):
        own = {name for name, _form in value.fields}  # what else is there was added by pyroute2
        fields = {name: each for name, each in value.items() if name in own}
        attributes = [[each[0], plain(each[1])] for each in value.get("attrs") or () if each[0] != "UNKNOWN"]
        return {**{name: each for name, each in fields.items() if not name.startswith("_")}, "attrs": attributes}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def ours(kind: str, fields: t.Mapping[str, t.Any], attributes: list[t.Any]) -> bytes:
    return Message(table(source_of(kind)), 16, 0, fields, attributes).body


# ---- packing


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_has_the_bytes_that_pyroute2_gives_it(request_: str) -> None:
    kind, fields, attributes = REQUESTS[request_]
    assert ours(kind, fields, attributes) == oracle(kind, fields, attributes)


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_was_packed_is_read(request_: str) -> None:
    kind, fields, attributes = REQUESTS[request_]
    content = ours(kind, fields, attributes)
    assert plain(Answer(table(source_of(kind)), content)) == plain(decoded(kind, content))


def test_packing_leaves_what_was_asked_for_unchanged() -> None:
    kind, fields, attributes = REQUESTS["veth"]
    before = repr((fields, attributes))
    assert ours(kind, fields, attributes) == ours(kind, fields, attributes)
    assert repr((fields, attributes)) == before


@given(some.good_names, st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1), st.binary(min_size=6, max_size=6))
def test_any_name_number_and_mac(name: str, number: int, index: int, mac: bytes) -> None:
    attributes = [["IFLA_IFNAME", name], ["IFLA_GROUP", number], ["IFLA_ADDRESS", mac.hex(":")], ["IFLA_MTU", number]]
    content = ours("link", {"index": index, "flags": number}, attributes)
    assert content == oracle("link", {"index": index, "flags": number}, attributes)
    answer = Answer(table(codec().link), content)
    assert (answer["index"], answer["flags"]) == (index, number)
    assert [list(pair) for pair in answer["attrs"]] == attributes


@given(some.addresses, some.addresses)
def test_an_address_may_be_a_text_an_object_or_bytes(one: t.Any, other: t.Any) -> None:
    forms = [
        [["RTA_DST", form(one)], ["RTA_GATEWAY", form(other)]]
        for form in (str, lambda each: each, lambda each: each.packed)
    ]
    assert len({ours("route", {"family": 2}, attributes) for attributes in forms}) == 1
    answer = Answer(table(codec().route), ours("route", {}, forms[0]))
    assert (answer.get_attr("RTA_DST"), answer.content("RTA_GATEWAY")) == (str_of(one), other.packed)


def str_of(address: t.Any) -> str:
    """The text as inet_ntop(3) writes it, which shows IPv4 inside of IPv6."""
    return socket.inet_ntop(socket.AF_INET if address.version == 4 else socket.AF_INET6, address.packed)


@given(some.host_interfaces(), some.maybe(some.addresses4))
def test_any_interface_address(interface: t.Any, broadcast: t.Any) -> None:
    message = rtnl._address_message(20, 0, 7, interface, broadcast)
    answer = message.answer(message.body)
    assert ipaddress.ip_interface(f"{answer.get_attr('IFA_LOCAL')}/{answer['prefixlen']}") == interface
    assert answer.get_attr("IFA_BROADCAST") == (str(broadcast) if broadcast else None)


@pytest.mark.parametrize("mac", ["2:0:5e:1:2:3", "02:00:5E:01:02:03"])
def test_a_mac_in_another_form(mac: str) -> None:
    assert ours("link", {}, [["IFLA_ADDRESS", mac]]) == oracle("link", {}, [["IFLA_ADDRESS", mac]])


@pytest.mark.parametrize(
    "mac", ["", "02", "02:00:00:00:00", "02:00:00:00:00:00:01", "02:00:00:00:00:0g", "aa-bb-cc-dd-ee-ff"]
)
def test_what_is_no_mac_is_an_error(mac: str) -> None:
    with pytest.raises(ValueError):
        ours("link", {}, [["IFLA_ADDRESS", mac]])


def test_an_attribute_may_be_a_number_with_bytes() -> None:
    assert ours("link", {}, [[3, b"red\0"]]) == ours("link", {}, [["IFLA_IFNAME", "red"]])


def test_the_inside_of_an_attribute_may_be_bytes() -> None:
    inside = ours("link", {}, [info("dummy")])[16 + 4 :]
    assert ours("link", {}, [["IFLA_LINKINFO", inside]]) == ours("link", {}, [info("dummy")])


def test_an_attribute_that_the_library_does_not_know_is_not_left_out_in_silence() -> None:
    with pytest.raises(MissingLibrary, match=r"pyroute2 .* has no attribute IFLA_FROM_TOMORROW.*pip install"):
        ours("link", {}, [["IFLA_FROM_TOMORROW", 1]])


def test_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError, match="colour"):
        ours("link", {"colour": 1}, [])


@pytest.mark.parametrize(
    "shape",
    [
        {"fields": (("family", "B"),), "nla_map": {"decode": None}},
        {"fields": (("family", int),), "nla_map": ()},
        {"fields": (("family", "=B"), ("port", ">H")), "nla_map": ()},
        {"fields": (("name", "s"),), "nla_map": ()},
        {"fields": (), "nla_map": (("A", "gone"),)},
        {"nla_map": ()},
    ],
    ids=["attributes that are made by functions", "types", "byte orders", "no length", "no class", "no fields"],
)
def test_a_class_in_an_unknown_shape_is_named_with_what_to_do(shape: dict[str, t.Any]) -> None:
    source = type("ifinfmsg", (), shape)
    with pytest.raises(
        MissingLibrary, match=r"describes ifinfmsg in an unknown way.*pip install 'pyroute2==.*patchbay\.netns\.host"
    ):
        table(source)


# ---- reading


@pytest.mark.parametrize("name", [name for name in ANSWERS if not name.startswith("qdisc")])
def test_a_recorded_answer_has_the_values_that_pyroute2_reads(name: str) -> None:
    kind, content = name.split()[0], bytes.fromhex(ANSWERS[name])
    expected, answer = decoded(kind, content), Answer(table(source_of(kind)), content)
    assert plain(answer) == plain(expected)
    for each in {each[0] for each in expected["attrs"]} - {"UNKNOWN"}:
        assert plain(answer.get_attr(each)) == plain(expected.get_attr(each)), each
        assert answer.content(each) is not None


def answer_of(name: str) -> Answer:
    return Answer(table(source_of(name.split()[0])), bytes.fromhex(ANSWERS[name]))


def test_a_bridge_is_read() -> None:
    answer = answer_of("link br0")
    data = answer.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    assert answer.get_attr("IFLA_OPERSTATE") in ("UP", "DOWN") and answer["flags"] & rtnl.IFF_UP
    assert (data.get_attr("IFLA_BR_STP_STATE"), data.get_attr("IFLA_BR_FORWARD_DELAY")) == (1, 400)
    assert set(data.get_attr("IFLA_BR_BRIDGE_ID")) == {"prio", "addr"}
    assert dict(data["attrs"])["IFLA_BR_AGEING_TIME"] == data.get_attr("IFLA_BR_AGEING_TIME")


def test_a_port_is_read() -> None:
    answer = answer_of("link veth-red-br")
    linkinfo = answer.get_attr("IFLA_LINKINFO")
    assert linkinfo.get_attr("IFLA_INFO_KIND") == "veth" and linkinfo.get_attr("IFLA_INFO_DATA") is None
    assert linkinfo.get_attr("IFLA_INFO_SLAVE_DATA").get_attr("IFLA_BRPORT_MODE") in (0, 1)
    assert (answer.get_attr("IFLA_GROUP"), answer.get_attr("IFLA_ADDRESS")) == (7, "02:00:00:00:00:01")
    assert answer.get_attr("IFLA_LINK_NETNSID") == 0


def test_a_text_is_read() -> None:
    assert answer_of("link v1").get_attr("IFLA_IFALIAS") == "an alias: é"


def test_hops_are_read() -> None:
    hops = answer_of("route 10.1.0.0/16").get_attr("RTA_MULTIPATH")
    assert [(hop["hops"], hop["flags"] & 4, hop.get_attr("RTA_GATEWAY")) for hop in hops] == [
        (2, 0, "10.0.0.2"),
        (0, 4, "10.0.0.3"),
    ]


def test_a_gateway_of_the_other_version_is_read() -> None:
    assert answer_of("route 10.2.0.0/16").get_attr("RTA_VIA") == {"family": 10, "addr": "fd00::2"}


def test_metrics_are_read() -> None:
    assert answer_of("route 10.3.0.0/16").get_attr("RTA_METRICS").get_attr("RTAX_MTU") == 1400


def test_what_is_not_there_is_none() -> None:
    answer = answer_of("link lo")
    assert answer.get_attr("IFLA_MASTER") is None and answer.get_attr("IFLA_MASTER", 7) == 7
    assert answer.get_attr("IFLA_FROM_TOMORROW") is None and answer.content("IFLA_FROM_TOMORROW") is None


def test_without_statistics_all_else_is_the_same() -> None:
    names = []
    for name in ("link v2 with statistics", "link vx0"):
        inside = answer_of(name).get_attr("IFLA_AF_SPEC").get_attr("AF_INET6")
        names.append({each for each, _value in inside["attrs"]})
    assert names[0] - names[1] == {"IFLA_INET6_STATS", "IFLA_INET6_ICMP6STATS"}


@given(st.sampled_from(sorted(ANSWERS)), st.data())
def test_an_answer_that_is_cut_off_is_no_crash(name: str, data: t.Any) -> None:
    content = bytes.fromhex(ANSWERS[name])
    kind = messages.qdisc() if name.startswith("qdisc") else table(source_of(name.split()[0]))
    answer = Answer(kind, content[: data.draw(st.integers(0, len(content)))])
    for field in kind.fields:
        assert isinstance(answer[field], int)
    for each in kind.names.values():
        if each not in ("IFLA_AF_SPEC", "IFLA_PROTINFO"):
            answer.get_attr(each)


# ---- queueing disciplines


def test_a_queueing_discipline_is_packed_and_read() -> None:
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

    values = {"delay": 156250, "limit": 1000, "loss": 7, "gap": 0, "duplicate": 0, "jitter": 3}
    netem = struct.pack("=IIIIII", *values.values())
    fields = {"index": 7, "handle": 0x10000, "parent": 0xFFFFFFFF}
    message = Message(messages.qdisc(), 36, 0, fields, [["TCA_KIND", "netem"], ["TCA_OPTIONS", netem]])
    request = tcmsg()
    request.update(fields)
    request["attrs"] = [["TCA_KIND", "netem"], ["TCA_OPTIONS", {**values, "attrs": []}]]
    request.encode()
    assert message.body == bytes(request.data)[16:]
    assert message.answer(message.body).get_attr("TCA_OPTIONS") == netem


def test_a_recorded_queueing_discipline_is_read() -> None:
    answer = Answer(messages.qdisc(), bytes.fromhex(ANSWERS["qdisc pfifo"]))
    assert answer["parent"] == 0xFFFFFFFF
    assert (answer.get_attr("TCA_KIND"), answer.get_attr("TCA_OPTIONS")) == ("pfifo", struct.pack("=I", 20))


def test_every_attribute_that_we_ask_for_is_in_the_tables() -> None:
    """Names in the code, such as get_attr("IFLA_MASTER"), that no table has would be None for ever."""
    plugins = Path(messages.__file__).parents[1]
    text = "".join(file.read_text(encoding="utf-8") for file in plugins.rglob("*.py"))
    asked = set(re.findall(r"get_attr\([\"']([A-Z][A-Z0-9_]+)[\"']", text))
    assert "IFLA_IFNAME" in asked
    assert (
        asked - names_in(*(source_of(kind) for kind in ("link", "address", "route", "neighbour", "namespace_id")))
        == set()
    )


def names_in(*sources: t.Any) -> set[str]:
    """The names of all attributes of these classes and of those inside."""
    found: set[str] = {"TCA_KIND", "TCA_OPTIONS"}
    seen: set[t.Any] = set()
    waiting = list(sources)
    while waiting:
        source = waiting.pop()
        if source in seen or isinstance(source, types.FunctionType):
            continue
        seen.add(source)
        found |= set(messages._rows(source.nla_map))
        waiting += [getattr(source, row[1].lstrip("*").split("(")[0], source) for row in map(names_of, source.nla_map)]
        waiting += getattr(source, "data_map", {}).values()
        waiting += [source.bridge_slave_data] if hasattr(source, "bridge_slave_data") else []
    return found


def names_of(row: t.Any) -> t.Any:
    return row[1:] if isinstance(row[0], int) else row
