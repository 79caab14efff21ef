# Copyright: (c) 2026, The patchbay.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way into the lab, out of it and around in it, all tried at once: who answered, and whom it saw. Prints one JSON value."""

from __future__ import annotations

import json
import secrets
import threading
import typing as t

import probe

SECONDS = 2.0
HOST = {4: "192.168.1.2", 6: "2001:db8:1::2"}
FAR = {4: "8.8.8.8", 6: "2001:4860:4860::8888"}
RED = {4: "192.168.15.1", 6: "fd00:15::1"}
BLUE = {4: "192.168.15.2", 6: "fd00:15::2"}

SERVERS = {"blue": ("blue", 80), "blue's other": ("blue", 81), "red": ("red", 80), "outside": ("outside", 8000)}
WAYS = {
    "the forward from outside": ("outside", HOST, 8080),
    "the forward from the machine": ("", HOST, 8080),
    "the forward from red": ("red", HOST, 8080),
    "the forward from blue": ("blue", HOST, 8080),
    "the masquerade": ("red", FAR, 8000),
    "red to blue": ("red", BLUE, 80),
    "the machine to blue's other port": ("", BLUE, 81),
    "the machine to red": ("", RED, 80),
    "outside to blue's other port": ("outside", BLUE, 81),
    "outside to red": ("outside", RED, 80),
    "outside to another port of the machine": ("outside", HOST, 8081),
}


def serve(netns: str, port: int, token: str) -> None:
    probe.enter(netns)  # of this thread only
    handler = type("Quiet", (probe.Web,), {"token": token, "log_message": lambda *_words: None})
    server = probe.DualTCP(("::", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def ask(netns: str, to: str, port: int) -> dict[str, t.Any]:
    probe.enter(netns)
    return probe.ask(to, port, None, SECONDS)


def everything_at_once(calls: t.Sequence[tuple[t.Any, ...]]) -> list[t.Any]:
    """The results of calls ``(function, argument...)``, each made in a thread of its own."""
    found: dict[int, t.Any] = {}

    def note(number: int, function: t.Callable[..., t.Any], *arguments: t.Any) -> None:
        found[number] = function(*arguments)

    threads = [threading.Thread(target=note, args=(number, *call)) for number, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(calls))]


def main() -> None:
    tokens = {secrets.token_hex(8): name for name in SERVERS}
    everything_at_once([(serve, *SERVERS[name], token) for token, name in tokens.items()])
    names = [(name, version) for name in WAYS for version in HOST]
    asked = [(WAYS[name], version) for name, version in names]
    answers = everything_at_once([(ask, netns, to[version], port) for (netns, to, port), version in asked])
    for answer in answers:
        if "who" in answer:
            answer["who"] = tokens[answer["who"]]
    found = {f"{name}, IPv{version}": answer for (name, version), answer in zip(names, answers, strict=True)}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
