# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The targets of iptables rules: from the kernel's structs (linux/netfilter/xt_*.h, nf_nat.h) to verdicts and words.

Nothing here raises.
"""

from __future__ import annotations

import struct
import typing as t

from . import xt_words
from .model import Verdict
from .xt_words import UNREADABLE, Data, ip, quoted, span, text

_STANDARD = {-1: "drop", -2: "accept", -4: "queue", -5: "return"}
"""Verdict numbers below zero are -NF_DROP - 1 and so on (linux/netfilter/x_tables.h)."""

_RECORDING = ("LOG", "NFLOG", "ULOG", "AUDIT", "TRACE", "TEE", "RATEEST", "IDLETIMER", "LED", "SET")
_MARKING = ("MARK", "CONNMARK", "SECMARK", "CONNSECMARK", "HMARK", "CLASSIFY", "CT", "NOTRACK")
_REWRITING = ("CHECKSUM", "TCPMSS", "TCPOPTSTRIP", "DSCP", "TOS", "TTL", "HL", "ECN", "SNPT", "DNPT")
_GO_ON = frozenset((*_RECORDING, *_MARKING, *_REWRITING))
"""Targets after which the next rule follows."""
_NOTRACK_BY_NAME = struct.pack("=H", 3)  # XT_CT_NOTRACK | XT_CT_NOTRACK_ALIAS
_TRANSLATIONS = {"MASQUERADE": "masquerade", "SNAT": "snat", "DNAT": "dnat", "REDIRECT": "redirect", "NETMAP": "dnat"}


def xt_verdict(name: str, revision: int, data: bytes, family: int) -> Verdict:
    """What the target does. A jump says the byte offset it leads to in ``detail``; the chain is the reader's to find.

    A target that there are no words for is ``queue``: what becomes of the packet is up to somebody else.
    NETMAP is ``dnat``, which is ``snat`` in POSTROUTING.
    """
    if name in ("", "standard"):
        return _standard(data)
    options = _options(name, revision, data, family)
    if name in _GO_ON:
        return Verdict("continue", detail=_described(name, options))
    if name in _TRANSLATIONS:
        return Verdict(_TRANSLATIONS[name], detail=_target(options or ""))
    if name == "REJECT":
        return Verdict("reject", detail=(options or "").replace("--reject-with ", ""))
    if name == "TPROXY":  # net/netfilter/xt_TPROXY.c: accepted if somebody listens there, else dropped
        return Verdict("accept", detail=_described(name, options))
    if name == "ERROR":
        return Verdict("drop", detail="ERROR")
    return Verdict("queue", detail=_described(name, options))


def xt_target_text(name: str, revision: int, data: bytes, family: int) -> str:
    """The target as ``iptables -S`` lists it, such as ``-j DNAT --to-destination 192.0.2.1:80``."""
    if name in ("", "standard"):
        verdict = _standard(data)
        return f"-j {verdict.kind.upper()}" if verdict.kind != "jump" else ""
    if name == "CT" and data[:2] == _NOTRACK_BY_NAME:
        return "-j NOTRACK"
    return f"-j {_described(name, _options(name, revision, data, family))}"


def _described(name: str, options: str | None) -> str:
    return f"{name} {options}" if options else name


def _target(options: str) -> str:
    """Where to, of the options of a translation: the word after the first option if it is --to-something."""
    words = options.split()
    return words[1] if len(words) > 1 and words[0].startswith("--to") else ""


def _standard(data: bytes) -> Verdict:
    if len(data) < 4:
        return Verdict("queue", detail="a verdict that can't be read")
    (number,) = struct.unpack_from("=i", data)
    if number >= 0:
        return Verdict("jump", detail=str(number))
    if number not in _STANDARD:
        return Verdict("queue", detail=f"verdict {number}")
    return Verdict(_STANDARD[number])


def _options(name: str, revision: int, data: bytes, family: int) -> str | None:
    reader = _READERS.get(name)
    try:
        return reader(Data(name, revision, data, xt_words.version(family))) if reader else None
    except UNREADABLE:
        return None


# ---- translations

_MAP_IPS, _PORTS, _RANDOM, _PERSISTENT, _RANDOM_FULLY, _OFFSET = (1 << bit for bit in range(6))  # nf_nat.h


class _Range(t.NamedTuple):
    """What struct nf_nat_range2 says, and its forerunners."""

    flags: int
    low: xt_words.Address
    high: xt_words.Address
    low_port: int
    high_port: int
    base_port: int = 0


def _range(data: Data) -> _Range:
    if data.family == 4 and data.revision == 0:  # struct nf_nat_ipv4_multi_range_compat
        (flags,) = data.unpack("=I", 4)
        ports = data.unpack("!2H", 16)
        return _Range(flags, ip(data.bytes(8, 4), 4), ip(data.bytes(12, 4), 4), *ports)
    (flags,) = data.unpack("=I")
    ports = data.unpack("!3H" if data.revision > 1 else "!2H", 36)
    return _Range(flags, ip(data.bytes(4, 16), data.family), ip(data.bytes(20, 16), data.family), *ports)


def _behaviour(found: _Range) -> list[str]:
    names = ((_RANDOM, "--random"), (_RANDOM_FULLY, "--random-fully"), (_PERSISTENT, "--persistent"))
    return [name for bit, name in names if found.flags & bit]


def _translation(data: Data) -> str:
    """--to-destination or --to-source with addresses and ports."""
    found = _range(data)
    words = ""
    if found.flags & _MAP_IPS:
        words = str(found.low) if found.low == found.high else f"{found.low}-{found.high}"
        if found.flags & _PORTS and data.family == 6:
            words = f"[{words}]"
    if found.flags & _PORTS:
        words += f":{span(found.low_port, found.high_port, dash='-')}"
        words += f"/{found.base_port}" if found.flags & _OFFSET else ""
    option = "--to-destination" if data.name == "DNAT" else "--to-source"
    return " ".join([option, words, *_behaviour(found)])


def _own_address(data: Data) -> str:
    """MASQUERADE and REDIRECT: at most ports."""
    found = _range(data)
    ports = [f"--to-ports {span(found.low_port, found.high_port, dash='-')}"] if found.flags & _PORTS else []
    return " ".join([*ports, *_behaviour(found)])


def _netmap(data: Data) -> str:
    """A network for a network: the addresses between the two ends are its hosts."""
    found = _range(data)
    mask = ~(int(found.low) ^ int(found.high)) & ((1 << found.low.max_prefixlen) - 1)
    return f"--to {xt_words.network(found.low, type(found.low)(mask))}"


# ---- the others

_ICMP = ("net-unreachable", "host-unreachable", "proto-unreachable", "port-unreachable", "", "net-prohibited")
_ICMP6 = ("no-route", "adm-prohibited", "not-neighbour", "addr-unreachable", "port-unreachable", "", "")
_REJECTS = {
    4: (*(f"icmp-{word}" for word in (*_ICMP, "host-prohibited")), "tcp-reset", "icmp-admin-prohibited"),
    6: (*(f"icmp6-{word}" for word in _ICMP6[:-1]), "tcp-reset", "icmp6-policy-fail", "icmp6-reject-route"),
}
"""enum ipt_reject_with and ip6t_reject_with, in the words of iptables."""


def _reject(data: Data) -> str:
    """struct ipt_reject_info, ip6t_reject_info."""
    return f"--reject-with {_REJECTS[data.family][data.unpack('=I')[0]]}"


def _log(data: Data) -> str:
    """struct xt_log_info."""
    level, flags = data.unpack("=2B")
    prefix = text(data.bytes(2, 30))
    words = [f"--log-prefix {quoted(prefix)}"] if prefix else []
    words += [f"--log-level {level}"] if level != 4 else []
    for bit, word in (
        (1, "--log-tcp-sequence"),
        (2, "--log-tcp-options"),
        (4, "--log-ip-options"),
        (8, "--log-uid"),
        (32, "--log-macdecode"),
    ):
        words += [word] if flags & bit else []
    return " ".join(words)


def _nflog(data: Data) -> str:
    """struct xt_nflog_info."""
    length, group, threshold, flags = data.unpack("=I3H")
    prefix = text(data.bytes(12, 64))
    words = [f"--nflog-prefix {quoted(prefix)}"] if prefix else []
    words += [f"--nflog-group {group}"] if group else []
    words += [f"--nflog-{'size' if flags & 1 else 'range'} {length}"] if length else []
    words += [f"--nflog-threshold {threshold}"] if threshold != 1 else []
    return " ".join(words)


def _nfqueue(data: Data) -> str:
    """struct xt_NFQ_info to xt_NFQ_info_v3."""
    (first,) = data.unpack("=H")
    count = data.unpack("=H", 2)[0] if data.revision else 1
    flags = data.unpack("=H", 4)[0] if data.revision > 1 else 0
    words = [f"--queue-balance {first}:{first + count - 1}" if count > 1 else f"--queue-num {first}"]
    words += ["--queue-bypass"] if flags & 1 else []
    words += ["--queue-cpu-fanout"] if flags & 2 else []
    return " ".join(words)


def _mark(data: Data) -> str:
    """struct xt_mark_tginfo2; revision 0 and 1 are older than Linux 2.6.25."""
    if data.revision < 2:
        raise ValueError(data.revision)
    mark, mask = data.unpack("=2I")
    return f"--set-xmark {mark:#x}/{mask:#x}"


def _connmark(data: Data) -> str:
    """struct xt_connmark_tginfo1 and 2."""
    mark, mask, packet_mask = data.unpack("=3I")
    mode = data.unpack("=B", 12 if data.revision == 1 else 14)[0]
    if mode == 0:
        return f"--set-xmark {mark:#x}/{mask:#x}"
    return f"--{('save', 'restore')[mode - 1]}-mark --nfmask {packet_mask:#x} --ctmask {mask:#x}"


def _checksum(data: Data) -> str:
    """struct xt_CHECKSUM_info."""
    return "--checksum-fill" if data.unpack("=B")[0] & 1 else ""


def _tcpmss(data: Data) -> str:
    """struct xt_tcpmss_info."""
    (size,) = data.unpack("=H")
    return "--clamp-mss-to-pmtu" if size == 0xFFFF else f"--set-mss {size}"


def _tproxy(data: Data) -> str:
    """struct xt_tproxy_target_info and its revision 1."""
    mask, value = data.unpack("=2I")
    address = ip(data.bytes(8, 16 if data.revision else 4), data.family)
    (port,) = data.unpack("!H", 24 if data.revision else 12)
    words = f"--on-port {port}" + (f" --on-ip {address}" if int(address) else "")
    return f"{words} --tproxy-mark {value:#x}/{mask:#x}"


def _ct(data: Data) -> str:
    """struct xt_ct_target_info and its revision 1."""
    flags, zone = data.unpack("=2H")
    if flags & 1:
        return "--notrack"
    helper = text(data.bytes(12, 16))
    timeout = text(data.bytes(28, 32)) if data.revision else ""
    words = [f"--helper {helper}"] if helper else []
    words += [f"--timeout {timeout}"] if timeout else []
    words += [f"--zone {zone}"] if zone else []
    return " ".join(words)


_AUDIT = ("accept", "drop", "reject")


def _audit(data: Data) -> str:
    """struct xt_audit_info (linux/netfilter/xt_AUDIT.h)."""
    return f"--type {_AUDIT[data.unpack('=B')[0]]}"


def _dscp(data: Data) -> str:
    """struct xt_DSCP_info."""
    return f"--set-dscp {data.unpack('=B')[0]:#04x}"


def _tos(data: Data) -> str:
    """struct xt_tos_target_info."""
    value, mask = data.unpack("=2B")
    return f"--set-tos {value:#04x}/{mask:#04x}"


def _hops(data: Data) -> str:
    """struct ipt_TTL_info and ip6t_HL_info."""
    mode, value = data.unpack("=2B")
    return f"--{data.name.lower()}-{('set', 'inc', 'dec')[mode]} {value}"


def _classify(data: Data) -> str:
    """struct xt_classify_target_info."""
    (priority,) = data.unpack("=I")
    return f"--set-class {priority >> 16:04x}:{priority & 0xFFFF:04x}"


def _tee(data: Data) -> str:
    """struct xt_tee_tginfo."""
    device = text(data.bytes(16, 16))
    return f"--gateway {ip(data.bytes(0, 16), data.family)}" + (f" --oif {device}" if device else "")


_READERS: dict[str, t.Callable[[Data], str]] = {
    "DNAT": _translation,
    "SNAT": _translation,
    "MASQUERADE": _own_address,
    "REDIRECT": _own_address,
    "NETMAP": _netmap,
    "REJECT": _reject,
    "LOG": _log,
    "NFLOG": _nflog,
    "NFQUEUE": _nfqueue,
    "MARK": _mark,
    "CONNMARK": _connmark,
    "CHECKSUM": _checksum,
    "TCPMSS": _tcpmss,
    "TPROXY": _tproxy,
    "CT": _ct,
    "AUDIT": _audit,
    "DSCP": _dscp,
    "TOS": _tos,
    "TTL": _hops,
    "HL": _hops,
    "CLASSIFY": _classify,
    "TEE": _tee,
}
