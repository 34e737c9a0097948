"""Who is let in, what is refused and by which field; whoever leaves frees what he held, whatever the reason."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import threading

import httpx2
import pytest

from m2jax.sampler.requests import Dialogue, Generate
from m2jax.serve import app, load, process, speak
from m2jax.serve.guard import Limits, check_bind
from m2jax.serve.models import Served
from m2jax.serve.worker import Worker
from tests.serve.site import CHAT, TEXT, Site, running, wait_for


class Held:
    """The engine's rounds wait while it is held."""

    def __init__(self, served: Served, patch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        step = served.engine.step

        def held() -> dict:
            assert self.go.wait(120)
            return step()

        patch.setattr(served.engine, "step", held)


def asked(site: Site, **body) -> tuple[threading.Thread, list]:
    """A request in a thread of its own, and its answer when it has come."""
    answers: list = []
    before = site.process.server.accepted
    thread = threading.Thread(target=lambda: answers.append(site.ask("completions", **TEXT, **body)))
    thread.start()
    assert wait_for(lambda: site.process.server.accepted > before)
    return thread, answers


def cut_off(site: Site) -> tuple[threading.Thread, list]:
    """A request in a thread of its own, and how its connection ended."""
    ends: list = []

    def ask() -> None:
        try:
            site.ask("completions", **TEXT)
        except (httpx2.TransportError, json.JSONDecodeError) as error:  # the latter of an answer without a body
            ends.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert wait_for(lambda: site.process.server.accepted)
    return thread, ends


IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://example.org"}}]}
NO_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "x"}}}
BAD = [
    ("chat/completions", {"messages": []}, "messages", 400),
    ("chat/completions", {"messages": [{"role": "nurse", "content": "x"}]}, "messages[0].role", 400),
    ("chat/completions", {"messages": [{"role": "user", "content": None}]}, "messages[0].content", 400),
    ("chat/completions", {"messages": [IMAGE]}, "messages[0].content[0].type", 400),
    ("chat/completions", {"messages": [{"role": "user", "content": "x " * 4000}]}, "messages", 400),
    ("chat/completions", {"model": "gpt-4"}, "model", 404),
    ("chat/completions", {"temperature": 3}, "temperature", 400),
    ("chat/completions", {"temperature": float("nan")}, "temperature", 400),
    ("chat/completions", {"top_p": 0}, "top_p", 400),
    ("chat/completions", {"max_tokens": 0}, "max_tokens", 400),
    ("chat/completions", {"max_tokens": "x", "max_completion_tokens": 8}, "max_tokens", 400),
    ("chat/completions", {"best_of": 1}, "best_of", 400),
    ("chat/completions", {"messages": [{"role": "user", "y" * 200: 1}]}, "messages[0]." + "y" * 80, 400),
    ("chat/completions", {"max_completion_tokens": 10**30}, "max_completion_tokens", 400),
    ("chat/completions", {"n": 99}, "n", 400),
    ("chat/completions", {"seed": "x"}, "seed", 400),
    ("chat/completions", {"temperature": 10**400}, "temperature", 400),
    ("chat/completions", {"stop": ["a"] * 17}, "stop", 400),
    ("chat/completions", {"stop": "a" * 257}, "stop", 400),
    ("chat/completions", {"stop": "\ufffd"}, "stop", 400),
    ("chat/completions", {"stream": 1}, "stream", 400),
    ("chat/completions", {"stream": 1.0}, "stream", 400),
    ("chat/completions", {"stream_options": {"include_usage": True}}, "stream_options", 400),
    ("chat/completions", {"top_logprobs": 2}, "top_logprobs", 400),
    ("chat/completions", {"tools": [{"type": "function"}]}, "tools", 400),
    ("chat/completions", {"colour": "red"}, "colour", 400),
    ("chat/completions", {"response_format": {"type": "xml"}}, "response_format.type", 400),
    ("chat/completions", {"response_format": NO_SCHEMA}, "response_format", 400),
    ("completions", {"prompt": ""}, "prompt", 400),
    ("completions", {"prompt": [1, 432]}, "prompt", 400),
    ("completions", {"prompt": [["a"]]}, "prompt", 400),
    ("completions", {"prompt": ["a"] * 33}, "prompt", 400),
    ("completions", {"prompt": ["a"] * 20, "n": 2}, "n", 400),
    ("completions", {"prompt": [5] * 3000}, "prompt", 400),
    ("completions", {"logprobs": 6}, "logprobs", 400),
    ("completions", {"echo": "yes"}, "echo", 400),
    ("completions", {"messages": []}, "messages", 400),
]  # fmt: skip


@pytest.mark.parametrize(("path", "wrong", "param", "status"), BAD, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_named(site: Site, path: str, wrong: dict, param: str, status: int):
    body = (CHAT if path.startswith("chat") else TEXT) | wrong
    headers = {"Content-Type": "application/json"}
    response = site.client.post(f"/v1/{path}", content=json.dumps(body), headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, param), error
    assert (
        error["type"] == "invalid_request_error"
        and error["message"]
        and set(error) == {"message", "type", "param", "code"}
    )


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'"text"', "application/json", 400),
        (b"{}", "text/plain", 415),
        (b" " * (2 << 20), "application/json", 413),
    ],
    ids=["cut", "nested", "bytes", "text", "type", "large"],
)
def test_a_body_that_is_no_request(site: Site, content: bytes, kind: str, status: int):
    response = site.client.post("/v1/completions", content=content, headers={"Content-Type": kind})
    assert response.status_code == status and response.json()["error"]["type"] == "invalid_request_error"


def test_a_path_or_method_that_there_is_not(site: Site):
    assert site.client.get("/v1/nothing").json()["error"]["message"]
    wrong = site.client.get("/v1/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    figures = load.parse_metrics(site.client.get("/metrics").text)
    assert figures['m2jax_requests_total{path="",status="404"}'] >= 1
    assert figures['m2jax_requests_total{path="",status="405"}'] >= 1


def test_an_error_that_nobody_expects_is_counted(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(app, "read", None)
    status, body = site.ask("completions", **TEXT)
    assert status == 500 and body["error"]["type"] == "server_error"
    figures = load.parse_metrics(site.client.get("/metrics").text)
    assert figures['m2jax_requests_total{path="/v1/completions",status="500"}'] >= 1


def test_without_the_token_nobody_is_served(served: Served):
    with running(served, token="s" * 20) as site:
        for headers in ({}, {"Authorization": "Bearer " + "t" * 20}, {"Authorization": "s" * 20}):
            response = site.client.post("/v1/completions", json=TEXT, headers=headers)
            assert response.status_code == 401 and response.json()["error"]["code"] == "invalid_api_key"
            assert site.client.get("/metrics", headers=headers).status_code == 401
        assert site.client.get("/health").json() == {"status": "ok"}
        headers = {"Authorization": "Bearer " + "s" * 20}
        assert site.client.get("/v1/models", headers=headers).json()["data"][1]["id"] == "doctor"


def test_a_server_without_a_token_is_for_this_machine(site: Site):
    for host in ("evil.example", "evil.example:80", "[", "127.0.0.1.evil.example"):
        refused = site.client.get("/v1/models", headers={"Host": host})
        assert refused.status_code == 403 and host.partition(":")[0] in refused.json()["error"]["message"]
    assert site.client.get("/v1/models", headers={"Host": "[::1]:8000"}).status_code == 200
    check_bind("127.0.0.1", None)
    check_bind("0.0.0.0", "s" * 20)
    for host, token in (("0.0.0.0", None), ("::", None), ("example.org", None), ("127.0.0.1", "short")):
        with pytest.raises(ValueError, match="token"):
            check_bind(host, token)


def test_a_server_answers_as_the_address_that_it_was_given(served: Served):
    with running(served, host="127.0.0.2") as site:
        assert "127.0.0.2" in str(site.client.base_url) and site.client.get("/v1/models").status_code == 200


def test_beyond_the_queue_a_request_is_told_to_come_again(served: Served, monkeypatch: pytest.MonkeyPatch):
    held = Held(served, monkeypatch)
    with running(served, Limits(queue=2)) as site:
        thread, answers = asked(site, n=5, max_tokens=4)
        full = asked(site, max_tokens=4)[0]
        bodiless = site.client.post("/v1/completions", content=b"x", headers={"Content-Type": "application/json"})
        assert bodiless.status_code == 429  # before it is read
        response = site.client.post("/v1/completions", json=TEXT | {"n": 2})
        assert response.status_code == 429 and int(response.headers["Retry-After"]) > 0
        assert response.json()["error"]["code"] == "rate_limit_exceeded"
        held.go.set()
        thread.join(120)
        full.join(120)
        assert answers[0][0] == 200 and len(answers[0][1]["choices"]) == 5
        assert site.ask("completions", **TEXT, n=6, max_tokens=2)[0] == 200 and site.idle()


def spied(served: Served, patch: pytest.MonkeyPatch) -> list[int]:
    """The dialogues that the engine is told to cancel."""
    numbers: list[int] = []
    cancel = served.engine.cancel
    patch.setattr(served.engine, "cancel", lambda number: (numbers.append(number), cancel(number)))
    return numbers


def test_a_client_that_leaves_frees_its_slots_and_pages(served: Served, site: Site, monkeypatch: pytest.MonkeyPatch):
    cancelled = spied(served, monkeypatch)
    with site.client.stream(
        "POST", "/v1/completions", json=TEXT | {"stream": True, "max_tokens": 200, "n": 4}
    ) as reply:
        next(reply.iter_lines())
    assert site.idle() and cancelled
    cancelled.clear()
    held = Held(served, monkeypatch)
    with pytest.raises(httpx2.ReadTimeout):
        # with this seed none of the six ends by itself in the round that is held
        site.client.post("/v1/completions", json=TEXT | {"max_tokens": 200, "n": 6, "seed": 3}, timeout=0.5)
    assert wait_for(lambda: not site.process.server.accepted)
    held.go.set()
    assert site.idle() and len(cancelled) == 6


def test_what_a_stop_string_has_ended_is_made_no_longer(served: Served, site: Site, monkeypatch: pytest.MonkeyPatch):
    cancelled = spied(served, monkeypatch)
    _, free = site.ask("completions", **TEXT, seed=3, max_tokens=40)
    assert free["usage"]["completion_tokens"] > 16 and not cancelled
    text = free["choices"][0]["text"]
    stop = re.search("[a-z]{2}", text)[0]
    _, answer = site.ask("completions", **TEXT, seed=3, max_tokens=1000, stop=stop)
    assert answer["choices"][0]["finish_reason"] == "stop" and answer["choices"][0]["text"] == text.partition(stop)[0]
    assert wait_for(lambda: len(cancelled) == 1) and site.idle()


def test_a_client_that_does_not_read_holds_nothing_for_ever(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(app, "GRACE", 0.2)
    worker = Worker(served.engine, 0)
    server = app.Server(served, worker, Limits(seconds=1), "127.0.0.1")
    body = json.dumps(TEXT | {"stream": True}).encode()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "asgi": {"spec_version": "2.3"}, "method": "POST", "path": "/v1/completions"}
    scope |= {"query_string": b"", "headers": headers}
    said: list[dict] = []

    async def ask() -> None:
        parts = iter([{"type": "http.request", "body": body, "more_body": False}])
        never = asyncio.Event()

        async def receive() -> dict:
            return next(parts, None) or await never.wait()

        async def send(message: dict) -> None:
            said.append(message)
            if message["type"] == "http.response.body":
                await never.wait()

        await app.make_app(server)(scope, receive, send)

    worker.start()
    asyncio.run(asyncio.wait_for(ask(), 120))
    assert said[0]["type"] == "http.response.start" and not server.accepted
    worker.stop()


def test_headers_that_do_not_come_end_the_connection(served: Served, monkeypatch: pytest.MonkeyPatch):
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    held = Held(served, monkeypatch)
    with running(served, Limits(patience=0.3)) as site:
        thread, answers = asked(site, max_tokens=2)
        for before in (b"", whole):
            with socket.create_connection((site.client.base_url.host, site.client.base_url.port), 60) as half:
                half.sendall(before + whole[:20])
                assert b"".join(iter(lambda s=half: s.recv(4096), b"")).startswith(b"HTTP/1.1 200" if before else b"")
        held.go.set()
        thread.join(120)
        assert answers[0][0] == 200  # one that took longer than that


def test_an_answer_that_takes_too_long_is_ended(served: Served, monkeypatch: pytest.MonkeyPatch):
    held = Held(served, monkeypatch)
    with running(served, Limits(seconds=0.3)) as site:
        status, body = site.ask("completions", **TEXT)
        assert (status, body["error"]["code"]) == (504, "timeout")
        with site.client.stream("POST", "/v1/completions", json=TEXT | {"stream": True}) as reply:
            assert "timeout" in [*reply.iter_lines()][0]
        held.go.set()
        assert site.idle()


def test_a_server_that_is_told_to_stop_ends_what_it_has_begun(served: Served, monkeypatch: pytest.MonkeyPatch):
    held = Held(served, monkeypatch)
    with running(served) as site:
        thread, answers = asked(site, max_tokens=8)
        site.process.handle_exit(signal.SIGTERM, None)
        status, body = site.ask("completions", **TEXT)
        assert (status, body["error"]["code"]) == (503, "unavailable")
        assert site.client.get("/health").status_code == 503
        held.go.set()
        thread.join(120)
        assert answers[0][0] == 200
        assert wait_for(lambda: site.process.should_exit)


def test_a_drain_has_an_end(served: Served, monkeypatch: pytest.MonkeyPatch):
    held = Held(served, monkeypatch)
    with running(served, Limits(drain=0.1)) as site:
        thread, ends = cut_off(site)
        site.process.handle_exit(signal.SIGTERM, None)
        assert wait_for(lambda: site.process.should_exit)
        thread.join(120)
        assert not thread.is_alive() and len(ends) == 1
        held.go.set()


def test_a_second_signal_ends_the_process(served: Served, monkeypatch: pytest.MonkeyPatch):
    made, done = process.Process(served, "127.0.0.1", 0, Limits()), []
    monkeypatch.setattr(process.signal, "signal", lambda *to: done.append(to))
    monkeypatch.setattr(process.signal, "raise_signal", done.append)
    made.handle_exit(signal.SIGTERM, None)
    assert made.server.draining and not done
    made.handle_exit(signal.SIGINT, None)
    assert done == [(signal.SIGINT, signal.SIG_DFL), signal.SIGINT]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_engine_fails_everybody_is_told_and_the_server_ends(served: Served, monkeypatch: pytest.MonkeyPatch):
    def broken() -> dict:
        raise MemoryError("no more of it")

    with running(served) as site:
        monkeypatch.setattr(served.engine, "step", broken)
        status, body = site.ask("completions", **TEXT)
        assert (status, body["error"]["code"]) == (503, "engine_failed")
        assert wait_for(lambda: site.process.should_exit) and isinstance(site.process.server.worker.error, MemoryError)
    monkeypatch.undo()
    for number in list(served.engine._running):  # the engine goes on for the other tests
        served.engine.cancel(number)


def test_a_request_that_fails_alone_is_logged_and_the_engine_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(request: Generate) -> Dialogue:
        yield request
        raise KeyError("nothing of the engine's")

    monkeypatch.setattr(speak, "one", broken)
    status, body = site.ask("completions", **TEXT, max_tokens=2)
    assert (status, body["error"]["code"]) == (500, "failed") and "nothing of the engine's" in caplog.text
    monkeypatch.undo()
    assert site.ask("completions", **TEXT, max_tokens=2)[0] == 200 and site.client.get("/health").is_success


def test_a_slow_reader_finds_the_latest_alone():
    async def read() -> list:
        worker = Worker(None, 0)
        batch = speak.Batch(worker, 60)
        for i in range(2):
            batch.submit(i, None, 0, True)
        jobs = [worker._inbox.get()[1] for _ in range(2)]
        for length in range(100):
            jobs[0].tell(length, False)
            jobs[1].tell(length, length == 99)
        return [await batch.next(), await batch.next()]

    assert asyncio.run(read()) == [(0, 99, False), (1, 99, True)]


def test_hostile_clients_change_nothing_for_honest_ones(served: Served):
    bodies = [TEXT | {"seed": i, "max_tokens": 12, "prompt": f"Take {i} mg"} for i in range(4)]

    async def tried(url: str) -> tuple[load.Seen, bool]:
        seen = await load.load(url, bodies, clients=6, seconds=3, hostile=5)
        async with load.client(url, 1, "") as http:
            return seen, await load.idle(http)

    with running(served, Limits(queue=4)) as site:
        seen, idle = asyncio.run(tried(str(site.client.base_url)))
    assert seen.answers > 6 and not seen.wrong and idle, seen
    assert {name.partition(" ")[0] for name in seen.statuses} == set(load.TROUBLES), seen.statuses
    assert not any(" 5" in name for name in seen.statuses), seen.statuses
    with pytest.raises(ValueError, match="not of this machine"):
        load.check_url("http://example.org:8000")
