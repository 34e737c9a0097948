"""The page, from this machine alone, while runs go on: what they have written is there when the page asks for it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from m2jax.report.view import bundle
from m2jax.report.view.library import Shelf, refresh

HOST = "127.0.0.1"
FOR_ITSELF = (  # no other page may use what is sent
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def make_server(shelves: list[Shelf], port: int) -> ThreadingHTTPServer:
    """A server that is to `serve_forever`, on loopback. port 0: one that is free; ValueError where it is taken."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host, path = (self.headers.get("Host") or "").partition(":")[0], urlsplit(self.path).path
            if host not in ("127.0.0.1", "localhost"):  # a page elsewhere whose name was made to lead here
                return self._send(403, b"This server answers to 127.0.0.1 and localhost.\n", "text/plain")
            asking = self.headers.get("Sec-Fetch-Site", "none")
            if path.startswith("/data/") and asking not in ("same-origin", "none"):  # a page elsewhere, as its script
                return self._send(403, b"This server answers to its own page.\n", "text/plain")
            try:
                with lock:
                    body, kind = _answer(shelves, path)
            except KeyError:
                return self._send(404, b"Not found.\n", "text/plain")
            return self._send(200, body, kind)

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            for name, value in (("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            for name, value in FOR_ITSELF:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a line for each script would bury what the command says."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Nothing where the browser has gone away, as it does when a page is left."""

    try:
        return Server((HOST, port), Handler)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"port {port} cannot be used ({error}); give another --port, or 0 for one that is free"
        ) from error


def _answer(shelves: list[Shelf], path: str) -> tuple[bytes, str]:
    """What is at a path, and its type; KeyError where there is nothing."""
    if path == "/versions":
        for shelf in shelves:
            refresh(shelf)
        return json.dumps(bundle.versions(shelves)).encode(), "application/json"
    parts = PurePosixPath(path).parts[1:] or ("index.html",)
    if len(parts) == 2 and parts[0] == "data" and parts[1].endswith(".js"):
        return bundle.script(shelves, parts[1].removesuffix(".js"), live=True).encode("ascii"), "text/javascript"
    if len(parts) != 1:
        raise KeyError(path)
    return bundle.asset(parts[0]), KINDS[PurePosixPath(parts[0]).suffix]
