# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change without notice.

"""The one nftables table of ours in a namespace: read whole, changed in one batch, all or nothing.

No other table is ever touched.
"""

from __future__ import annotations

import errno
import typing as t

from .._errors import KernelError, NotOurs, Unsupported
from . import attributes as nla
from . import nft_decode, nft_encode, nft_sets
from . import nft_messages as msg
from .kernel import Kernel
from .netlink import ACK, CREATE, NetlinkSocket, Raw, Refusal
from .nft_changes import FAMILY, TABLE, Change, Content, changes
from .nft_rules import CHAINS, Chain, Rule
from .nft_sets import Declaration, Element

_APPEND = 0x800  # NLM_F_APPEND
_DORMANT = 1  # NFT_TABLE_F_DORMANT
_LACKS = (errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)
_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}  # NF_INET_*, linux/netfilter.h
_HOOK_NAMES = {number: name for name, number in _HOOKS.items()}
_POLICIES = {0: "drop", 1: "accept"}  # NF_DROP, NF_ACCEPT

# Attributes: NFTA_TABLE_*, NFTA_CHAIN_*, NFTA_HOOK_* and NFTA_RULE_*
_TABLE_NAME, _TABLE_FLAGS = 1, 2
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 1, 3, 4, 5, 7
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS, _RULE_POSITION, _RULE_USERDATA = 1, 2, 3, 4, 6, 7

# The parts of nf_tables that a distribution may have left out, and the modules that bring them.
_FEATURES = {
    "masq": "masquerade (nft_masq)",
    "nat": "address translation (nft_nat)",
    "fib": "the test for local destinations (nft_fib_inet)",
    "ct": "connection tracking (nft_ct)",
    "lookup": "sets of addresses and ports (nft_set_hash and, for ranges, nft_set_pipapo, Linux 5.6)",
}


# ---- reading


def read(kernel: Kernel, netns: str | None) -> Content | None:
    """What the table holds, or None when there is none, nor nf_tables at all. Raises KernelError."""
    try:
        sock = _open(kernel, netns)
        (table,) = sock.ask(msg.message(msg.GETTABLE, nla.text(_TABLE_NAME, TABLE)))
        chains = [_chain(body) for body in sock.ask(msg.message(msg.GETCHAIN), dump=True) if _is_ours(body)]
        rules = sock.ask(msg.message(msg.GETRULE, nla.text(_RULE_TABLE, TABLE)), dump=True)
        sets = sock.ask(nft_sets.request(msg.GETSET, TABLE), dump=True)
        named = [body[4:] for body in sets if _is_ours(body) and nft_sets.is_named(body[4:])]
        declared = {nft_sets.name(body): nft_sets.declared(body) for body in named}
        elements = {name: _elements(sock, name) for name, what in declared.items() if what is not None}
    except Refusal as refusal:
        if refusal.number in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT):  # no table, or no nf_tables at all
            return None
        raise refusal.explain(f"list the nftables table {FAMILY} {TABLE}") from None
    flags = nla.as_number(nla.unpack(table[4:]).get(_TABLE_FLAGS)) or 0
    known = {name: found for name, found in elements.items() if found is not None}
    return Content(
        {chain.name: chain for chain in chains},
        _by_chain(_rule(body[4:]) for body in rules if _is_ours(body)),
        {name: what for name, what in declared.items() if what is not None and name in known},
        known,
        frozenset(set(declared) - set(known)),
        bool(flags & _DORMANT),
    )


def _open(kernel: Kernel, netns: str | None) -> NetlinkSocket:
    try:
        return kernel.netfilter(netns)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            raise Refusal(errno.EOPNOTSUPP, "", 0) from None
        raise KernelError(f"could not open a netfilter socket: {error.strerror}.", errno=error.errno or 0) from None


def _is_ours(body: bytes) -> bool:
    """Whether an answer about a chain, rule or set is about our table: each has the table's name first."""
    return body[0] == msg.INET and nla.as_text(nla.unpack(body[4:]).get(_CHAIN_TABLE)) == TABLE


def _chain(body: bytes) -> Chain:
    found = nla.unpack(body[4:])
    name = nla.as_text(found.get(_CHAIN_NAME))
    if _CHAIN_HOOK not in found:
        return Chain(name)
    hook = nla.unpack(found[_CHAIN_HOOK])
    number, priority = nla.as_number(hook.get(_HOOK_NUMBER)), nla.as_signed(hook.get(_HOOK_PRIORITY))
    policy = nla.as_number(found.get(_CHAIN_POLICY))
    return Chain(
        name,
        nla.as_text(found.get(_CHAIN_TYPE)),
        _HOOK_NAMES.get(-1 if number is None else number, str(number)),
        priority or 0,
        _POLICIES.get(1 if policy is None else policy, str(policy)),
    )


def _elements(sock: NetlinkSocket, name: str) -> frozenset[Element] | None:
    """What is in the set; None when there is something that has no words here."""
    answers = sock.ask(nft_sets.request(msg.GETSETELEM, TABLE, name), dump=True)
    found = [element for body in answers for element in nft_sets.elements(body[4:])]
    return frozenset(found) if None not in found else None  # type: ignore[arg-type]


def _by_chain(rules: t.Iterable[Rule]) -> dict[str, tuple[Rule, ...]]:
    out: dict[str, list[Rule]] = {}
    for rule in rules:
        out.setdefault(rule.chain, []).append(rule)
    return {name: tuple(found) for name, found in out.items()}


def _rule(body: bytes) -> Rule:
    found = nla.unpack(body)
    raw = tuple(msg.cut(found.get(_RULE_EXPRESSIONS, b"")))
    return nft_decode.decode(
        nla.as_text(found.get(_RULE_CHAIN)),
        [msg.decode(name, data) for name, data in raw],
        raw,
        comment=msg.comment(found.get(_RULE_USERDATA, b"")),
        handle=int.from_bytes(found.get(_RULE_HANDLE, b""), "big"),
    )


# ---- changing


def put(kernel: Kernel, netns: str | None, wanted: Content | None, *, commit: bool = True) -> None:
    """Make ``wanted`` all that the table holds; None removes it. Without ``commit`` the kernel only checks it.

    The table is read anew, so that the handles are those of this moment. Raises Unsupported when the kernel lacks a
    feature, NotOurs when the table belongs to a running program, and KernelError.
    """
    planned = changes(read(kernel, netns), wanted)
    send(kernel, netns, planned, commit=commit)


def send(kernel: Kernel, netns: str | None, planned: t.Sequence[Change], *, commit: bool = True) -> None:
    """Carry out changes in one batch, or let the kernel check them. Raises as ``put``."""
    messages = [(message, change) for number, change in enumerate(planned, 1) for message in _messages(change, number)]
    if not messages:
        return
    try:
        _transmit(_open(kernel, netns), [message for message, _change in messages], commit=commit)
    except Refusal as refusal:
        change = messages[min(max(refusal.index - 1, 0), len(messages) - 1)][1]  # the first message is the begin mark
        raise _explained(kernel, netns, change, refusal) from None


def _transmit(sock: NetlinkSocket, messages: list[Raw], *, commit: bool) -> None:
    messages[-1].flags |= ACK
    end = [msg.batch_mark(msg.BATCH_END)] if commit else []
    sock.send_batch([msg.batch_mark(msg.BATCH_BEGIN), *messages, *end], acknowledged=1)


def _explained(kernel: Kernel, netns: str | None, change: Change, refusal: Refusal) -> Exception:
    words = f"nft {change.command()[0]}"
    if refusal.number == errno.EPERM and change.kind != "rule" and _is_owned(kernel, netns):
        return NotOurs(
            f"the nftables table {FAMILY} {TABLE} belongs to a running program (flags owner), so it can't be changed; "
            "end that program, or have it use another name."
        )
    unknown = change.kind == "set" and refusal.number == errno.EINVAL
    if refusal.number in _LACKS or unknown:
        return _lacking(kernel, netns, change, words)
    return refusal.explain(f"run '{words}'")


def _is_owned(kernel: Kernel, netns: str | None) -> bool:
    (table,) = kernel.netfilter(netns).ask(msg.message(msg.GETTABLE, nla.text(_TABLE_NAME, TABLE)))
    return bool((nla.as_number(nla.unpack(table[4:]).get(_TABLE_FLAGS)) or 0) & 2)  # NFT_TABLE_F_OWNER


def _lacking(kernel: Kernel, netns: str | None, change: Change, words: str) -> Unsupported:
    """The error that names the missing part; that of a rule is found by trying it expression by expression."""
    part = {"set": "lookup", "elements": "lookup"}.get(change.kind)
    if change.kind == "rule":
        part = _missing_part(kernel, netns, change.subject)
    what = _FEATURES.get(
        part or "",
        f"the nftables expression {part}" if part else f"what it takes to run '{words}' (nf_tables, nft_chain_nat)",
    )
    return Unsupported(
        f"this kernel lacks {what}: load or enable that kernel module on the machine itself, for a namespace or a container can't.",
        feature=part or "nf_tables",
    )


def _missing_part(kernel: Kernel, netns: str | None, rule: Rule) -> str | None:
    expressions = [each for each in nft_encode.encode(rule) if each.name != "lookup"]
    sock = kernel.netfilter(netns)
    chain = CHAINS[rule.chain]
    start = [
        message
        for change in (Change("add", "table"), Change("add", "chain", chain))
        for message in _messages(change, 1)
    ]
    for count in range(1, len(expressions) + 1):
        try:
            _transmit(sock, [*start, _rule_message(rule.chain, expressions[:count])], commit=False)
        except Refusal:
            return expressions[count - 1].name
    return None


# ---- messages


def _messages(change: Change, number: int) -> t.Iterator[Raw]:
    adds = change.verb != "delete"
    if change.kind == "table":
        attributes = [nla.text(_TABLE_NAME, TABLE), *([nla.number(_TABLE_FLAGS, 0)] if adds else [])]
        yield msg.message(msg.NEWTABLE if adds else msg.DELTABLE, *attributes, flags=CREATE if adds else 0)
    elif change.kind == "chain":
        yield _add_chain(change.subject) if adds else _delete_chain(change.subject.name)
    elif change.kind == "rule":
        yield _add_rule(change) if adds else _delete_rule(change.subject)
    elif change.kind == "elements":
        what, elements = change.subject
        yield from nft_sets.filled(msg.NEWSETELEM if adds else msg.DELSETELEM, TABLE, what, elements)
    elif adds:
        yield nft_sets.added(TABLE, change.subject, number)
    else:
        name = change.subject.name if isinstance(change.subject, Declaration) else change.subject
        yield nft_sets.removed(TABLE, name)


def _add_chain(chain: Chain) -> Raw:
    attributes = [nla.text(_CHAIN_TABLE, TABLE), nla.text(_CHAIN_NAME, chain.name)]
    if chain.type:
        attributes += [
            nla.nested(
                _CHAIN_HOOK,
                nla.number(_HOOK_NUMBER, _HOOKS.get(chain.hook, 0)),
                nla.number(_HOOK_PRIORITY, chain.priority),
            ),
            nla.number(_CHAIN_POLICY, 0 if chain.policy == "drop" else 1),
            nla.text(_CHAIN_TYPE, chain.type),
        ]
    return msg.message(msg.NEWCHAIN, *attributes, flags=CREATE)


def _delete_chain(name: str) -> Raw:
    return msg.message(msg.DELCHAIN, nla.text(_CHAIN_TABLE, TABLE), nla.text(_CHAIN_NAME, name))


def _delete_rule(rule: Rule) -> Raw:
    handle = nla.attribute(_RULE_HANDLE, (rule.handle or 0).to_bytes(8, "big"))
    return msg.message(msg.DELRULE, nla.text(_RULE_TABLE, TABLE), nla.text(_RULE_CHAIN, rule.chain), handle)


def _add_rule(change: Change) -> Raw:
    rule: Rule = change.subject
    return _rule_message(rule.chain, nft_encode.encode(rule), rule.comment, change.before)


def _rule_message(
    chain: str, expressions: t.Iterable[msg.Expression], comment: str = "", before: int | None = None
) -> Raw:
    attributes = [
        nla.text(_RULE_TABLE, TABLE),
        nla.text(_RULE_CHAIN, chain),
        nla.nested(_RULE_EXPRESSIONS, msg.join(expressions)),
    ]
    if before is not None:
        attributes.append(nla.attribute(_RULE_POSITION, before.to_bytes(8, "big")))
    if comment:
        text = comment.encode() + b"\0"
        attributes.append(nla.attribute(_RULE_USERDATA, bytes([msg.USERDATA_COMMENT, len(text)]) + text))
    return msg.message(msg.NEWRULE, *attributes, flags=CREATE | (0 if before is not None else _APPEND))
