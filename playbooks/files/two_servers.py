# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server that says which namespace it stands in and who called: ``two_servers.py NAME PORT``."""

from __future__ import annotations

import http.server
import socket
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every request with the server's name and the caller's address."""

    name = "nobody"

    def do_GET(self) -> None:
        caller = self.client_address[0].replace("::ffff:", "")
        body = f"{self.name} answers {caller}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingTCPServer):
    """Not http.server's own class, which asks DNS for the host's name before it starts."""

    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4 as well
        super().server_bind()


if __name__ == "__main__":
    Handler.name = sys.argv[1]
    with Server(("::", int(sys.argv[2])), Handler) as server:
        server.serve_forever()
