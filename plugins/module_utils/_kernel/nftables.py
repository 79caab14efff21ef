# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The one nftables table of ours in a namespace: read whole, changed in one batch, all or nothing.

The table and its chains exist only as long as there are rules in them. No other table is ever touched.
"""

from __future__ import annotations

import errno
import typing as t
from dataclasses import dataclass

from .._errors import KernelError, Unsupported
from . import nft_decode, nft_encode
from . import nft_messages as msg
from .kernel import Kernel
from .netlink import ACK, CREATE, NetlinkSocket, Refusal
from .nft_rules import CHAINS, Chain, Rule

TABLE = "patchbay"
FAMILY = "inet"
_APPEND = 0x800  # NLM_F_APPEND
_USERDATA_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT, libnftnl
_LACKS = (errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)

# The parts of nf_tables that a distribution may have left out, and the modules that bring them.
_FEATURES = {
    "masq": "masquerade (nft_masq)",
    "nat": "address translation (nft_nat)",
    "fib": "the test for local destinations (nft_fib_inet)",
    "ct": "connection tracking (nft_ct)",
}


@dataclass(frozen=True)
class Table:
    """What the table holds: the names of its chains, ours or not, its rules in order, and whether there is more (sets).

    ``strange`` are chains that have the name of one of ours and another type, hook or priority.
    """

    chains: tuple[str, ...]
    rules: tuple[Rule, ...]
    more: bool = False
    strange: tuple[str, ...] = ()


def read(kernel: Kernel, netns: str | None) -> Table | None:
    """The table, or None when there is none, nor nf_tables at all. Raises KernelError."""
    try:
        sock = _open(kernel, netns)
        (table,) = sock.ask(msg.table(msg.GETTABLE, TABLE))
        found_chains = [found for found in sock.ask(msg.chain(msg.GETCHAIN, []), dump=True) if _is_ours(found)]
        chains = tuple(_text(found, "NFTA_CHAIN_NAME") for found in found_chains)
        strange = tuple(_text(found, "NFTA_CHAIN_NAME") for found in found_chains if _is_strange(found))
        more = int(table.get_attr("NFTA_TABLE_USE") or 0) > len(chains)
        request = msg.rule(msg.GETRULE, [("table", TABLE)])
        rules = [_decoded(found) for found in sock.ask(request, dump=True) if found.get_attr("table") == TABLE]
    except Refusal as refusal:
        if refusal.number in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT):  # no table, or no nf_tables at all
            return None
        raise refusal.explain(f"list the nftables table {FAMILY} {TABLE}") from None
    order = list(CHAINS)
    rules.sort(key=lambda rule: order.index(rule.chain) if rule.chain in order else len(order))
    return Table(chains, tuple(rules), more, strange)


def _open(kernel: Kernel, netns: str | None) -> NetlinkSocket:
    try:
        return kernel.netfilter(netns)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            raise Refusal(errno.EOPNOTSUPP, "", 0) from None
        raise KernelError(f"could not open a netfilter socket: {error.strerror}.", errno=error.errno or 0) from None


def _is_ours(chain: t.Any) -> bool:
    return chain["nfgen_family"] == msg.INET and _text(chain, "NFTA_CHAIN_TABLE") == TABLE


def _is_strange(message: t.Any) -> bool:
    ours = CHAINS.get(_text(message, "NFTA_CHAIN_NAME"))
    hook = message.get_attr("NFTA_CHAIN_HOOK")
    shape = (hook.get_attr("NFTA_HOOK_HOOKNUM"), hook.get_attr("NFTA_HOOK_PRIORITY")) if hook else None
    return ours is not None and (_text(message, "NFTA_CHAIN_TYPE"), shape) != (
        ours.type,
        (_HOOKS[ours.hook], ours.priority),
    )


def _text(message: t.Any, attribute: str) -> str:
    return str(message.get_attr(attribute))


def _decoded(message: t.Any) -> Rule:
    raw = tuple(msg.cut(bytes(message.get_attr("expressions") or b"")))
    handle = int(message.get_attr("handle"))
    comment = _comment(bytes(message.get_attr("userdata") or b""))
    expressions = [msg.decode(name, data) for name, data in raw]
    return nft_decode.decode(str(message.get_attr("chain")), expressions, raw, comment=comment, handle=handle)


def _comment(userdata: bytes) -> str:
    """The comment among the type-length-value triples that nft keeps with a rule."""
    offset = 0
    while offset + 2 <= len(userdata):
        kind, length = userdata[offset], userdata[offset + 1]
        if kind == _USERDATA_COMMENT:
            return userdata[offset + 2 : offset + 2 + length].rstrip(b"\0").decode(errors="replace")
        offset += 2 + length
    return ""


def _userdata(comment: str) -> bytes:
    text = comment.encode() + b"\0"
    return bytes([_USERDATA_COMMENT, len(text)]) + text


class Batch:
    """Changes of the table, sent together. Deletions come first, so that a rule can be put anew."""

    def __init__(self, table: Table | None) -> None:
        self._table = table
        self._removed: list[Rule] = []
        self._added: list[Rule] = []

    def remove(self, rules: t.Iterable[Rule]) -> None:
        """Delete rules by their handles."""
        self._removed.extend(rules)

    def add(self, rules: t.Iterable[Rule]) -> None:
        """Append rules to their chains, in order."""
        self._added.extend(rules)

    def messages(self) -> list[tuple[t.Any, str, Rule | None]]:
        """Each message, what it does in words, and the rule it is about."""
        if not self._removed and not self._added:
            return []
        table = self._table or Table((), ())
        gone = {rule.handle for rule in self._removed}
        left = {rule.chain for rule in table.rules if rule.handle not in gone} | {rule.chain for rule in self._added}
        emptied = {rule.chain for rule in self._removed} - left
        out: list[tuple[t.Any, str, Rule | None]] = [
            (_delete_rule(rule), f"delete the rule {rule}", None) for rule in self._removed
        ]
        if self._removed and set(table.chains) <= emptied and not table.more:
            return [(msg.table(msg.DELTABLE, TABLE), f"delete the table {FAMILY} {TABLE}", None)]
        if self._table is None:
            out.append((msg.table(msg.NEWTABLE, TABLE, flags=CREATE), f"add the table {FAMILY} {TABLE}", None))
        needed = {rule.chain for rule in self._added}
        out += [
            (_add_chain(chain), f"add the {chain.type} chain {chain.name}", None)
            for name, chain in CHAINS.items()
            if name in needed and name not in table.chains
        ]
        out += [(_add_rule(rule), f"add the rule '{rule}'", rule) for rule in self._added]
        out += [(_delete_chain(name), f"delete the chain {name}", None) for name in sorted(emptied)]
        return out

    def send(self, kernel: Kernel, netns: str | None, *, commit: bool = True) -> None:
        """Carry it out or, without ``commit``, let the kernel check it and throw it away.

        Raises Unsupported when the kernel lacks a feature, and KernelError.
        """
        messages = self.messages()
        if not messages:
            return
        try:
            sock = _open(kernel, netns)
            _transmit(sock, [message for message, _words, _rule in messages], commit=commit)
        except Refusal as refusal:
            at = min(max(refusal.index - 1, 0), len(messages) - 1)  # the first message is the begin mark
            _message, words, rule = messages[at]
            if refusal.number in _LACKS:
                raise _lacking(kernel, netns, rule, words) from None
            raise refusal.explain(words) from None


def _transmit(sock: NetlinkSocket, messages: list[t.Any], *, commit: bool) -> None:
    messages[-1]["header"]["flags"] |= ACK
    end = [msg.batch_mark(msg.BATCH_END)] if commit else []
    sock.send_batch([msg.batch_mark(msg.BATCH_BEGIN), *messages, *end], acknowledged=1)


def _lacking(kernel: Kernel, netns: str | None, rule: Rule | None, words: str) -> Unsupported:
    """The error that names the missing part, found by trying the rule expression by expression."""
    part = None if rule is None else _missing_part(kernel, netns, rule)
    what = _FEATURES.get(
        part or "",
        f"the nftables expression {part}" if part else f"what it takes to {words} (nf_tables, nft_chain_nat)",
    )
    return Unsupported(
        f"this kernel lacks {what}: load or enable that kernel module on the machine itself, for a namespace or a container can't.",
        feature=part or "nf_tables",
    )


def _missing_part(kernel: Kernel, netns: str | None, rule: Rule) -> str | None:
    expressions = nft_encode.encode(rule)
    sock = kernel.netfilter(netns)
    for count in range(1, len(expressions) + 1):
        some = _rule_message(rule.chain, expressions[:count], "")
        table = msg.table(msg.NEWTABLE, TABLE, flags=CREATE)
        try:
            _transmit(sock, [table, _add_chain(CHAINS[rule.chain]), some], commit=False)
        except Refusal:
            return expressions[count - 1].name
    return None


def _delete_rule(rule: Rule) -> t.Any:
    return msg.rule(msg.DELRULE, [("table", TABLE), ("chain", rule.chain), ("handle", rule.handle)])


def _add_rule(rule: Rule) -> t.Any:
    return _rule_message(rule.chain, nft_encode.encode(rule), rule.comment)


def _rule_message(chain: str, expressions: list[msg.Expression], comment: str) -> t.Any:
    attributes: list[tuple[str, t.Any]] = [("table", TABLE), ("chain", chain), ("expressions", msg.join(expressions))]
    if comment:
        attributes.append(("userdata", _userdata(comment)))
    return msg.rule(msg.NEWRULE, attributes, flags=CREATE | _APPEND)


def _add_chain(chain: Chain) -> t.Any:
    hook = {"attrs": [("NFTA_HOOK_HOOKNUM", _HOOKS[chain.hook]), ("NFTA_HOOK_PRIORITY", chain.priority)]}
    attributes = [
        ("NFTA_CHAIN_TABLE", TABLE),
        ("NFTA_CHAIN_NAME", chain.name),
        ("NFTA_CHAIN_HOOK", hook),
        ("NFTA_CHAIN_TYPE", chain.type),
    ]
    return msg.chain(msg.NEWCHAIN, attributes, flags=CREATE)


def _delete_chain(name: str) -> t.Any:
    return msg.chain(msg.DELCHAIN, [("NFTA_CHAIN_TABLE", TABLE), ("NFTA_CHAIN_NAME", name)])


_HOOKS = {"prerouting": 0, "output": 3, "postrouting": 4}  # NF_INET_*, linux/netfilter.h
