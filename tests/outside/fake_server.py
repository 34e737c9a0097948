"""A small OpenAI-compatible server on localhost, whose troubles a test chooses."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Trouble = dict[str, Any]  # status, headers, body (bytes), drop, cut, hold (an event that is waited for)
Behave = Callable[[int, dict], Trouble | str | dict]  # (number of the request, its body) -> a trouble, or what is said


class Server:
    """`url` for an endpoint; `asked`: the bodies received; `peak`: the most that were served at once."""

    def __init__(self, behave: Behave) -> None:
        self.behave, self.asked, self.headers = behave, [], []
        self.lock, self.serving, self.peak = threading.Lock(), 0, 0
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    number = len(server.asked)
                    server.asked.append(body)
                    server.headers.append(dict(self.headers))
                    server.serving += 1
                    server.peak = max(server.peak, server.serving)
                try:
                    assert self.path == "/v1/chat/completions"
                    self.answer(server.behave(number, body))
                finally:
                    with server.lock:
                        server.serving -= 1

            def answer(self, how: Trouble | str | dict) -> None:
                if isinstance(how, str):
                    how = {"body": said(how)}
                if hold := how.get("hold"):
                    hold.wait(30)
                if how.get("drop"):
                    self.close_connection = True
                    return
                body = how.get("body", b"{}")
                self.send_response(how.get("status", 200))
                for name, value in how.get("headers", {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # the client may have gone
                    self.wfile.write(body[: how.get("cut", len(body))])

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def said(text: str, top: list | None = None) -> bytes:
    """The body of an answer of 20 prompt and 3 answer tokens; top: [(token, {alternative: logp})]."""
    choice: dict = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    if top:
        choice["logprobs"] = {
            "content": [
                {
                    "token": t,
                    "logprob": 0.0,
                    "top_logprobs": [{"token": a, "logprob": p} for a, p in alternatives.items()],
                }
                for t, alternatives in top
            ]
        }
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": 3}}).encode()


@contextlib.contextmanager
def serving(behave: Behave) -> Iterator[Server]:
    """A server that runs while the block does."""
    server = Server(behave)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def last(body: dict) -> str:
    """What the last message says."""
    return body["messages"][-1]["content"]
