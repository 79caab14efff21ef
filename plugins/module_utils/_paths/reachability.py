# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Who reaches whom, found by trying: probes as users write them, sent all at once, and what came of them."""

from __future__ import annotations

import concurrent.futures
import typing as t
from dataclasses import dataclass

from .._errors import InvalidInput, NotFound
from .._kernel import namespaces, probe
from .._kernel.probe import REACHED, REFUSED, TIMEOUT, UNREACHABLE, Reply
from .._objects import checks

HERE = "this host"
"""How people read 'the namespace the module runs in'."""

_AT_ONCE = 48  # threads: each waits for one answer
_LONGEST = 60.0  # seconds
_NAMED = 8  # surprises that are spelled out in one message


@dataclass(frozen=True)
class Listener:
    """Where an answer with a token shall come from."""

    netns: str | None
    address: str
    port: int

    @property
    def who(self) -> str:
        return self.netns or HERE


@dataclass(frozen=True)
class Probe:
    """One question: does ``netns`` reach ``to``? ``title`` names its options in errors."""

    title: str
    netns: str | None
    to: str
    protocol: str
    port: int | None
    source: str | None
    listener: Listener | None
    expect: str
    timeout: float

    @property
    def service(self) -> str:
        return f"{self.protocol}/{self.port}" if self.port else self.protocol

    @property
    def words(self) -> str:
        return f"{self.netns or HERE} to {self.to} ({self.service})"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], title: str) -> Probe:
        """Validate one entry of O(probes). Raises InvalidInput."""
        to = _target(params["to"], f"{title}.to")
        protocol = params["protocol"]
        port = _port(params["port"], f"{title}.port")
        if protocol == "icmp" and port is not None:
            raise InvalidInput(f"{title}.port: icmp has no ports; leave it out, or set protocol: tcp or udp.")
        if protocol != "icmp" and port is None:
            raise InvalidInput(f"{title}.port is missing: say which {protocol} port of {to} to try, such as port: 80.")
        source = params["source"]
        if source is not None:
            source = str(checks.address(source, f"{title}.source"))
            _same_family(source, to, f"{title}.source")
        timeout = params["timeout"]
        if not 0 < timeout <= _LONGEST:
            raise InvalidInput(
                f"{title}.timeout: {timeout:g} seconds is no sensible time to wait; give more than 0 and at most {_LONGEST:g}."
            )
        return cls(
            title,
            checks.namespace(params["from"] or None, f"{title}.from"),
            to,
            protocol,
            port,
            source,
            _listener(params, title, to, port),
            params["expect"],
            timeout,
        )


def _target(text: str, option: str) -> str:
    plain, _percent, zone = text.partition("%")
    address = checks.address(plain, option)
    if address.is_multicast or address.is_unspecified:
        kind = "a multicast" if address.is_multicast else "the unspecified"
        raise InvalidInput(
            f"{option}: {text} is {kind} address, which many or none may answer; give the address of one interface."
        )
    link_local = address.version == 6 and address.is_link_local
    if link_local and not zone:
        raise InvalidInput(
            f"{option}: {text} is link-local, so it needs the interface to leave by: "
            f"write {plain}%veth-red with your interface's name."
        )
    if zone and not link_local:
        raise InvalidInput(f"{option}: {text} is not link-local, so it takes no interface: write {plain}.")
    return f"{address}%{checks.interface(zone, option)}" if zone else str(address)


def _port(port: int | None, option: str) -> int | None:
    if port is not None and not 1 <= port <= 65535:
        raise InvalidInput(f"{option}: {port} is no port; give a number from 1 to 65535.")
    return port


def _same_family(address: str, to: str, option: str) -> None:
    if (":" in address) != (":" in to):
        mine, other = ("IPv6", "IPv4") if ":" in address else ("IPv4", "IPv6")
        raise InvalidInput(
            f"{option}: {address} is {mine}, but to: {to} is {other}; one probe is of one family, so write two."
        )


def _listener(params: t.Mapping[str, t.Any], title: str, to: str, port: int | None) -> Listener | None:
    """The listener of one entry. It is there as soon as ``listener`` is, be it empty for the module's own namespace."""
    if params["listener"] is None:
        for name in ("listener_port", "listener_address"):
            if params[name] is not None:
                raise InvalidInput(
                    f"{title}.{name} says nothing without listener: name the namespace that shall listen, or leave it out."
                )
        return None
    if port is None:
        raise InvalidInput(
            f"{title}.listener: icmp is answered by the kernel, not by a listener; leave it out, or set protocol: tcp or udp and a port."
        )
    address = params["listener_address"]
    if address is not None:
        address = str(checks.address(address, f"{title}.listener_address"))
        _same_family(address, to, f"{title}.listener_address")
    return Listener(
        checks.namespace(params["listener"] or None, f"{title}.listener"),
        address or ("::" if ":" in to else "0.0.0.0"),  # nosec: it answers for seconds, with nothing but a random number
        _port(params["listener_port"], f"{title}.listener_port") or port,
    )


@dataclass(frozen=True)
class Result:
    """What came of one probe. ``token`` is the one that the listener gave out; '' when there was none of ours."""

    probe: Probe
    reply: Reply
    token: str = ""

    @property
    def proven(self) -> bool:
        """Whether the listener that was asked for is known to have answered."""
        return bool(self.token) and self.reply.token == self.token

    @property
    def expected(self) -> bool:
        outcome, expect = self.reply.outcome, self.probe.expect
        if expect == UNREACHABLE:
            return outcome in (UNREACHABLE, TIMEOUT)  # both mean that nobody answered
        if expect == REACHED:
            return outcome == REACHED and (self.proven or not self.token)
        return expect in ("any", outcome)

    @property
    def answered_by(self) -> str:
        if self.probe.listener and self.proven:
            return self.probe.listener.who
        return self.reply.source

    def view(self) -> dict[str, t.Any]:
        """The result as users see it."""
        return {
            "from": self.probe.netns,
            "to": self.probe.to,
            "protocol": self.probe.protocol,
            "port": self.probe.port,
            "outcome": self.reply.outcome,
            "answered_by": self.answered_by,
            "seen_as": self.reply.seen_as if self.proven else "",
            "rtt_ms": None if self.reply.rtt is None else round(self.reply.rtt * 1000, 3),
            "expected": self.expected,
        }

    def surprise(self) -> str:
        """What is not as expected, as part of a sentence."""
        outcome = self.reply.outcome
        if outcome == REACHED and self.probe.expect == REACHED and self.probe.listener:
            return f"{self.probe.words} was answered by {self.reply.source}, but not by the listener in {self.probe.listener.who}"
        did = {
            REACHED: "was reached",
            REFUSED: "was refused",
            UNREACHABLE: "was unreachable",
            TIMEOUT: "got no answer",
        }[outcome]
        by = f" by {self.answered_by}" if outcome != REACHED and self.reply.source else ""
        return f"{self.probe.words} {did}{by}, expected {self.probe.expect}"


def parse(entries: t.Sequence[t.Mapping[str, t.Any]]) -> list[Probe]:
    """Validate the option ``probes``. Raises InvalidInput for the first entry that can't be sent."""
    if not entries:
        raise InvalidInput("probes is empty: list at least one, such as {from: red, to: 192.168.15.2}.")
    return [Probe.from_params(entry, f"probes[{index}]") for index, entry in enumerate(entries)]


def run(probes: t.Sequence[Probe]) -> list[Result]:
    """Start the listeners, send all probes at once, and return what came of them, in order.

    Raises NotFound before anything is sent, InvalidInput for addresses that are not there, KernelError.
    """
    for one in probes:
        _require(one.netns, f"{one.title}.from")
        if one.listener:
            _require(one.listener.netns, f"{one.title}.listener")
    with probe.Listeners() as listeners, concurrent.futures.ThreadPoolExecutor(min(_AT_ONCE, len(probes))) as pool:
        tokens = [
            listeners.start(
                netns=one.listener.netns,
                protocol=one.protocol,
                address=one.listener.address,
                port=one.listener.port,
                option=f"{one.title}.listener_address",
            )
            if one.listener
            else ""
            for one in probes
        ]
        listeners.run()
        return list(pool.map(_sent, probes, tokens))


def _require(netns: str | None, option: str) -> None:
    if netns is not None and not namespaces.exists(netns):
        raise NotFound(f"{option}: {namespaces.missing(netns)}", netns=netns)


def _sent(one: Probe, token: str) -> Result:
    reply = probe.send(
        netns=one.netns,
        to=one.to,
        protocol=one.protocol,
        port=one.port,
        source=one.source,
        timeout=one.timeout,
        converse=bool(token),
        option=f"{one.title}.source",
    )
    return Result(one, reply, token)


def surprises(results: t.Sequence[Result]) -> str:
    """One sentence about every result that was not expected; '' when all were."""
    found = [result.surprise() for result in results if not result.expected]
    if not found:
        return ""
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{len(found)} of {len(results)} probes did not go as expected: {'; '.join(found[:_NAMED])}{more}."


def table(results: t.Sequence[Result]) -> list[str]:
    """The results as lines of aligned text, the first of them the heading."""
    rows = [("from", "to", "protocol/port", "outcome", "answered by", "rtt")]
    for result in results:
        rtt = "-" if result.reply.rtt is None else f"{result.reply.rtt * 1000:.2f} ms"
        rows.append(
            (
                result.probe.netns or HERE,
                result.probe.to,
                result.probe.service,
                _judgement(result),
                result.answered_by or "-",
                rtt,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _judgement(result: Result) -> str:
    outcome, expect = result.reply.outcome, result.probe.expect
    if not result.expected:
        wrong_one = outcome == expect == REACHED
        return f"{outcome}, but by another" if wrong_one else f"{outcome}, NOT {expect}"
    return outcome if expect in (REACHED, "any") else f"{outcome}, as expected"
