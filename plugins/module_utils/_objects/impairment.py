# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""Delay, loss and a limited rate for what leaves an interface (tc-netem(8))."""

from __future__ import annotations

import decimal
import errno
import re
import typing as t
from dataclasses import dataclass, fields
from shlex import quote

from .._engine.model import Key, State, Step
from .._errors import InvalidInput, NotOurs, PatchbayError
from .._kernel import qdisc, rtnl
from .._kernel.kernel import Kernel
from .._kernel.needs import lacking
from .._kernel.netlink import NetlinkSocket, Refusal
from .._kernel.qdisc import Netem
from .words import place

_LONGEST = 274  # seconds: what tc takes, 32 bits of 64 nanoseconds
_FASTEST = 1_000_000_000_000  # bit/s
_MOST = 0xFFFFFFFF  # packets: 32 bits
_TIME_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds, longest first
_RATE_UNITS = {"tbit": 10**12, "gbit": 10**9, "mbit": 10**6, "kbit": 10**3, "bit": 1}  # bit/s, largest first
_DIGITS = 6  # of a percentage: the kernel keeps 32 bits of it
_TEXT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z%/]*)", re.ASCII)
_TIMES = ("delay", "jitter")
_PERCENT = 0xFFFFFFFF / 100  # what the kernel counts shares in
_EXAMPLES = {"time": "10ms", "share": "1%", "rate": "10mbit"}


@dataclass(frozen=True)
class Impairment:
    """What happens to packets that leave an interface.

    ``delay`` and ``jitter`` in seconds, ``rate`` in bit/s (0: unlimited), ``limit`` in packets, the others in percent;
    ``correlation`` is how much each delay depends on the one before.
    """

    delay: float = 0.0
    jitter: float = 0.0
    correlation: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    rate: int = 0
    limit: int = 1000

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], option: str = "impair") -> Impairment:
        """Read what users write, such as ``{delay: 10ms, loss: 1%}``; ``option`` names it in messages. Raises InvalidInput."""
        names = [field.name for field in fields(cls)]
        given = {name: value for name, value in params.items() if value is not None}
        strange = [name for name in given if name not in names]
        if strange or not given:
            problem = f"{strange[0]!r} is nothing that can be set" if strange else "nothing is set"
            raise InvalidInput(f"{option}: {problem}. Give one or more of {', '.join(names)}.")
        made = cls(**{name: read(name, value, f"{option}.{name}") for name, value in given.items()})
        for name, needed in (("jitter", "delay"), ("correlation", "jitter"), ("reorder", "delay")):
            if getattr(made, name) and not getattr(made, needed):
                raise InvalidInput(f"{option}.{name}: it only has a meaning beside {needed}. Give {needed} too.")
        return made


def read(name: str, value: t.Any, option: str) -> t.Any:
    """One field of an impairment from what a user wrote; ``option`` names it in messages. Raises InvalidInput."""
    if name == "limit":
        return _limit(value, option)
    if name == "rate":
        bits = _quantity(value, option, "rate", _RATE_UNITS)
        if not 8 <= bits <= _FASTEST:
            raise InvalidInput(f"{option}: a rate of {value} is impossible; give 8bit to 1tbit, per second.")
        return int(bits // 8 * 8)  # the kernel counts bytes
    if name in _TIMES:
        microseconds = _quantity(value, option, "time", _TIME_UNITS)
        if microseconds > _LONGEST * 10**6 or 0 < microseconds < 1:
            raise InvalidInput(f"{option}: {value} is impossible; give 1us to {_LONGEST}s.")
        return round(microseconds) / 1e6
    percent = _quantity(value, option, "share", {"%": 1})
    if percent > 100 or 0 < percent < decimal.Decimal(10) ** -_DIGITS:
        raise InvalidInput(
            f"{option}: {value} is impossible; give 0% to 100%, and at most {_DIGITS} digits after the point."
        )
    return float(round(percent, _DIGITS))


def _quantity(value: t.Any, option: str, what: str, units: t.Mapping[str, int]) -> decimal.Decimal:
    """A number with its unit, in the smallest one. Raises InvalidInput."""
    example = _EXAMPLES[what]
    match = None if isinstance(value, bool) else _TEXT.fullmatch(str(value).strip())
    if match is None:
        raise InvalidInput(f"{option}: {value!r} is no {what}; write one such as {example}.")
    number, unit = match[1], match[2].lower()
    if unit in units:
        return decimal.Decimal(number) * units[unit]
    meant = f"{number}{re.sub('^[0-9.]+', '', example)}"
    if not unit:
        raise InvalidInput(f"{option}: {value} has no unit; did you mean {meant}?")
    raise InvalidInput(
        f"{option}: {match[2]!r} is no unit of a {what}; did you mean {meant}? There are {', '.join(units)}."
    )


def _limit(value: t.Any, option: str) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,10}", text, re.ASCII) or not 1 <= int(text) <= _MOST:
        raise InvalidInput(f"{option}: {value!r} is no number of packets; write one such as 1000.")
    return int(text)


def shown(impairment: Impairment) -> dict[str, t.Any]:
    """The impairment as users write it, without what is not set."""
    out: dict[str, t.Any] = {}
    for field in fields(Impairment):
        value = getattr(impairment, field.name)
        if value or field.name == "limit":
            out[field.name] = _written(field.name, value)
    return out


def _written(name: str, value: t.Any) -> t.Any:
    if name == "limit":
        return value
    if name == "rate" or name in _TIMES:
        units = _RATE_UNITS if name == "rate" else _TIME_UNITS
        count = value if name == "rate" else round(value * 1e6)
        unit = next(unit for unit, size in units.items() if count % size == 0)
        return f"{count // units[unit]}{unit}"
    return f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".") + "%"


# ---- reading


@dataclass(frozen=True)
class Impaired:
    """The qdisc that somebody put at the root of an interface; ``impairment`` is None for those that are not ours."""

    netns: str | None
    device: str
    impairment: Impairment | None
    ours: bool = True
    kind: str = "netem"

    @property
    def key(self) -> Key:
        return ("impaired", self.netns, self.device)

    @property
    def title(self) -> str:
        return f"{self.device}{place(self.netns)}"


def observe(kernel: Kernel, netns: str | None, names: t.Mapping[int, str] | None = None) -> list[Impaired]:
    """Every interface of the namespace with a qdisc that somebody put there. ``names`` by index save asking for them."""
    sock = kernel.rtnl(netns)
    roots = qdisc.dump(sock)
    if roots and names is None:
        names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in rtnl.dump_links(sock)}
    found = []
    for root in roots:
        ours = root.handle == qdisc.HANDLE and root.netem is not None
        if names and root.device in names:
            impairment = _decode(root.netem) if ours and root.netem else None
            found.append(Impaired(netns, names[root.device], impairment, ours, root.kind))
    return found


def _encode(impairment: Impairment) -> Netem:
    shares = ("correlation", "loss", "duplicate", "corrupt", "reorder")
    return Netem(
        latency=round(impairment.delay * 1e6) * 1000,
        jitter=round(impairment.jitter * 1e6) * 1000,
        rate=impairment.rate // 8,
        limit=impairment.limit,
        **{name: round(getattr(impairment, name) * _PERCENT) for name in shares},
    )


def _decode(netem: Netem) -> Impairment:
    shares = ("correlation", "loss", "duplicate", "corrupt", "reorder")
    return Impairment(
        delay=round(netem.latency / 1000) / 1e6,
        jitter=round(netem.jitter / 1000) / 1e6,
        rate=netem.rate * 8,
        limit=netem.limit,
        **{name: round(getattr(netem, name) / _PERCENT, _DIGITS) for name in shares},
    )


# ---- planning and changing


def plan(now: Impaired | None, netns: str | None, device: str, wanted: Impairment | None) -> list[Step]:
    """The step to what is wanted, if any; others' qdiscs stay. Pure. Raises NotOurs where one is in the way."""
    if now is not None and not now.ours:
        if wanted is None:
            return []
        raise _refusal(now.title, now.kind)
    after = () if wanted is None else (Impaired(netns, device, wanted),)
    before = () if now is None else (now,)
    return [] if before == after else [Impair(before, after)]


def restoring(state: State, netns: str | None, device: str) -> tuple[Step, ...]:
    """The step that puts our impairment back after the interface was removed."""
    now: Impaired | None = state.get(("impaired", netns, device))
    return (Impair((), (now,)),) if now is not None and now.ours else ()


def _refusal(title: str, kind: str) -> NotOurs:
    return NotOurs(
        f"impair: {title} has a queueing discipline already, {kind}, that was not made by this collection. "
        "Remove it with tc qdisc del, or leave impair out.",
    )


class Impair(Step):
    """Impairs what leaves an interface, changes how, or ends it. It never touches a qdisc that is not ours."""

    phase = "impairments"

    def apply(self, kernel: Kernel) -> None:
        item: Impaired = (self.after or self.before)[0]
        kernel.flush()  # what is refused here has words of its own, so it is not gathered
        try:
            self._send(kernel.rtnl(item.netns), kernel.index(item.netns, item.device))
        except Refusal as refusal:
            if self.after or refusal.number not in (errno.ENOENT, errno.EINVAL, errno.ENODEV):  # gone already
                raise self._explained(refusal, item) from None

    def _send(self, sock: NetlinkSocket, index: int) -> None:
        if not self.after:
            qdisc.delete(sock, index)
        elif not self.before:
            qdisc.create(sock, index, _encode(self.after[0].impairment))
        else:
            qdisc.change(sock, index, _encode(self.after[0].impairment))

    @staticmethod
    def _explained(refusal: Refusal, item: Impaired) -> PatchbayError:
        error = refusal.explain(f"impair {item.title}")
        if refusal.number == errno.EEXIST:
            return _refusal(item.title, "made meanwhile")
        if refusal.number == errno.ENOENT and "kind" in refusal.text:  # "Specified qdisc kind is unknown"
            return lacking("netem", error)
        return error

    def commands(self) -> list[str]:
        item: Impaired = (self.after or self.before)[0]
        verb = "del" if not self.after else "change" if self.before else "add"
        tc = f"tc -n {quote(item.netns)}" if item.netns else "tc"
        handle = f"root handle {qdisc.HANDLE >> 16:x}:"
        settings = f" {_words(item.impairment)}" if self.after and item.impairment else ""
        return [f"{tc} qdisc {verb} dev {quote(item.device)} {handle} netem{settings}"]


def _words(impairment: Impairment) -> str:
    """The impairment in the words of tc."""
    texts = {name: str(value) for name, value in shown(impairment).items()}
    if "delay" in texts:
        texts["delay"] = " ".join(filter(None, [texts["delay"], texts.pop("jitter", ""), texts.pop("correlation", "")]))
    return " ".join(f"{name} {text}" for name, text in texts.items())
