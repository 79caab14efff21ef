# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masquerades and forwards as ``nft -j`` shows them, compared with those of a lab file."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab_files import Machine, listed


def nat_differences(
    machine: Machine, rules: Sequence[Mapping[str, Any]], targets: Mapping[str | None, set[str]], *, whole: bool
) -> Iterator[str]:
    """How the machine's translation differs from what it is to be. ``targets`` are the addresses in each namespace.

    Unless this is to be the ``whole`` of it, there may be more.
    """
    should = {(str(ipaddress.ip_network(one["source"])), one.get("out_interface")) for one in machine.masquerades}
    has = masquerades(rules)
    if has != should and (whole or not should <= has):
        yield f"masquerades are {sorted(map(str, has))}, not {sorted(map(str, should))}"
    left = forwards(rules)
    for one in machine.forwards:
        allowed = set(listed(one.get("to_address"))) or targets[one["to"]]
        port = int(one["port"])
        found = {
            element
            for element in left
            if element[:2] == (one["protocol"], port)
            and element[2] in allowed
            and element[3] == int(one.get("to_port", port))
        }
        if not found or ("to_address" in one and len(found) != len(allowed)):
            yield f"the forward {dict(one)} is not in {sorted(left)}"
        left -= found
    if whole and left:
        yield f"further forwards: {sorted(left)}"
    if not machine.masquerades and not machine.forwards and rules and machine.netns is not None:
        tables = [entry["table"]["name"] for entry in rules if "table" in entry]
        if tables:
            yield f"tables without a reason: {tables}"


def masquerades(rules: Sequence[Mapping[str, Any]]) -> set[tuple[str, str | None]]:
    """The (source, outgoing interface) of every rule in our table that masquerades a network."""
    found = set()
    for entry in rules:
        rule = entry.get("rule", {})
        if rule.get("table") != "patchbay" or not any("masquerade" in part for part in rule["expr"]):
            continue
        matches = [part["match"] for part in rule["expr"] if "match" in part and part["match"]["op"] == "=="]
        source = [one["right"] for one in matches if one["left"].get("payload", {}).get("field") == "saddr"]
        leaving = [one["right"] for one in matches if one["left"].get("meta", {}).get("key") == "oifname"]
        if source and not isinstance(source[0], str):
            prefix = source[0]["prefix"]
            found.add((f"{prefix['addr']}/{prefix['len']}", leaving[0] if leaving else None))
    return found


def forwards(rules: Sequence[Mapping[str, Any]]) -> set[tuple[str, int, str, int]]:
    """The (protocol, port, target, target's port) of every single-port forward in our table."""
    found = set()
    for entry in rules:
        shown = entry.get("map", {})
        if shown.get("table") != "patchbay" or not shown["name"].startswith("forwards-"):
            continue
        for key, value in shown.get("elem", []):
            port = key["elem"]["val"] if isinstance(key, Mapping) and "elem" in key else key
            if isinstance(value, Mapping):
                address, there = value["concat"]
                found.add((shown["name"].split("-")[1], int(port), address, int(there)))
    return found
