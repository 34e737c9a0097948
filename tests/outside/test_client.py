"""A client gets its answers from a server in trouble, pays once for each, and says clearly when there is none."""

from __future__ import annotations

import dataclasses
import email.utils
import json
import threading
import time
from pathlib import Path

import pytest

from m2jax.outside.answers import Answers
from m2jax.outside.client import Client
from m2jax.outside.endpoint import Endpoint, EndpointDown, Said, payload
from tests.outside.fake_server import last, said, serving


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Noted(threading.Event):
    """Pauses that are noted and not waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return self.is_set()


class Asking:
    """A client of `url` whose pauses are noted; `ask` brings what came of several questions, in their order."""

    def __init__(self, url: str, folder: Path, **values: object) -> None:
        self.endpoint = Endpoint(url, "m", **values)
        self.client = Client(self.endpoint, Answers(folder / "answers.sqlite"))
        self.pauses = Noted()
        self.client._stop = self.pauses

    def ask(self, *texts: str, schema: str | None = None) -> list:
        for i, text in enumerate(texts):
            self.client.submit(i, body(self.endpoint, text, schema=schema))
        found: dict = {}
        while len(found) < len(texts):
            found |= dict(self.client.collect(5.0))
        self.client.close()
        return [found[i] for i in range(len(texts))]


def body(endpoint: Endpoint, text: str, seed: int = 0, schema: str | None = None) -> dict:
    return payload(endpoint, [{"role": "user", "content": text}], None, schema, seed)


def echo(_: int, asked: dict) -> str:
    return f"heard {last(asked)}"


def test_answers_come_with_their_tokens_and_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "s3cret")
    with serving(echo) as server:
        a = Asking(server.url, tmp_path, key_env="SOME_KEY", price=(3.0, 10.0))
        assert a.ask("one", "two", "three") == [Said(f"heard {t}") for t in ("one", "two", "three")]
    assert {h["Authorization"] for h in server.headers} == {"Bearer s3cret"}
    counts = a.client.counts
    assert (counts["requests"], counts["prompt_tokens"], counts["answer_tokens"], counts["retries"]) == (3, 60, 9, 0)
    assert counts["cost"] == pytest.approx((60 * 3 + 9 * 10) / 1e6)
    assert b"s3cret" not in (tmp_path / "answers.sqlite").read_bytes()


TROUBLES = {
    "500": {"status": 500, "body": b"oops"},
    "429": {"status": 429},
    "dropped": {"drop": True},
    "body cut": {"body": said("a long answer"), "cut": 30},
    "JSON cut": {"body": said("a long answer")[:40]},
    "no answer in it": {"body": b'{"choices": []}'},
    "nested": {"body": b"[" * 9999},
    "not an object": {"body": b"[1]"},
    "no UTF-8": {"body": b"\xff\xfe{"},
}


@pytest.mark.parametrize("name", TROUBLES)
def test_what_may_pass_is_asked_again(name: str, tmp_path: Path) -> None:
    with serving(lambda n, asked: TROUBLES[name] if n < 3 else echo(n, asked)) as server:
        a = Asking(server.url, tmp_path)
        assert a.ask("x") == [Said("heard x")]
    assert len(server.asked) == 4 and a.client.counts["retries"] == 3
    for i, pause in enumerate(a.pauses.pauses):
        assert 0.5 * 2**i <= pause <= 2**i  # a second, doubled, shortened at random


def test_a_server_that_does_not_answer_in_time_is_asked_again(tmp_path: Path) -> None:
    release = threading.Event()
    with serving(lambda n, asked: {"hold": release, "drop": True} if n == 0 else echo(n, asked)) as server:
        a = Asking(server.url, tmp_path, timeout=0.2)
        assert a.ask("x") == [Said("heard x")]
        release.set()
    assert len(server.asked) == 2


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(form: str, tmp_path: Path) -> None:
    value = "40" if form == "seconds" else email.utils.formatdate(time.time() + 40, usegmt=True)
    trouble = {"status": 429, "headers": {"Retry-After": value}}
    with serving(lambda n, asked: trouble if n == 0 else echo(n, asked)) as server:
        a = Asking(server.url, tmp_path)
        assert a.ask("x") == [Said("heard x")]
    (pause,) = a.pauses.pauses
    assert 30 < pause <= 40


def test_the_longest_pause_is_a_minute(tmp_path: Path) -> None:
    with serving(lambda n, asked: {"status": 503} if n < 12 else echo(n, asked)) as server:
        a = Asking(server.url, tmp_path)
        a.ask("x")
    assert max(a.pauses.pauses) <= 60 and len(a.pauses.pauses) == 12


def test_one_that_is_gone_for_good_is_down(tmp_path: Path) -> None:
    with serving(echo) as server:
        pass
    a = Asking(server.url, tmp_path, patience=5.0)
    (end,) = a.ask("x")
    assert isinstance(end, EndpointDown) and server.url in str(end) and "ConnectError" in str(end)
    assert 2 <= len(a.pauses.pauses) <= 4  # 1 + 2 + ... seconds, as far as 5 go


def test_a_pause_longer_than_patience_is_not_waited_for(tmp_path: Path) -> None:
    with serving(lambda *_: {"status": 429, "headers": {"Retry-After": "3600"}, "body": b"quota"}) as server:
        a = Asking(server.url, tmp_path)
        (end,) = a.ask("x")
    assert isinstance(end, EndpointDown) and "status 429: quota" in str(end) and not a.pauses.pauses


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_will_not_pass_is_not_asked_again(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "s3cret")
    with serving(lambda *_: {"status": status, "body": b"go away"}) as server:
        (end,) = Asking(server.url, tmp_path, key_env="SOME_KEY").ask("x")
    assert isinstance(end, EndpointDown) and f"status {status}: go away" in str(end) and "s3cret" not in str(end)
    assert len(server.asked) == 1


def test_a_refused_question_is_that_questions_alone(tmp_path: Path) -> None:
    def behave(n: int, asked: dict) -> dict | str:
        return {"status": 400, "body": b"too long"} if last(asked) == "long" else echo(n, asked)

    with serving(behave) as server:
        first, refused, third = Asking(server.url, tmp_path).ask("a", "long", "b")
    assert (first, third) == (Said("heard a"), Said("heard b"))
    assert type(refused) is ValueError and "too long" in str(refused)
    assert len(server.asked) == 3


def test_what_is_no_json_where_json_was_asked_for_is_not_kept(tmp_path: Path) -> None:
    schema = '{"type": "object"}'
    for _ in range(2):
        with serving(lambda n, asked: "Here you are: {}") as server:
            Asking(server.url, tmp_path).ask("a", schema=schema)
        assert len(server.asked) == 1
    with serving(lambda n, asked: "{}") as server:
        for _ in range(2):
            assert Asking(server.url, tmp_path).ask("a", schema=schema) == [Said("{}")]
    assert len(server.asked) == 1


def test_what_was_answered_is_not_paid_for_again(tmp_path: Path) -> None:
    with serving(lambda n, asked: {"body": said(f"{n}", [("a", {"a": -0.5, "b": -1.0})])}) as server:
        before = Asking(server.url, tmp_path).ask("a", "b")
        again = Asking(server.url, tmp_path)
        assert again.ask("b", "a") == [before[1], before[0]]
        assert before[0].top == (("a", (("a", -0.5), ("b", -1.0))),)
        assert (again.client.counts["cached"], again.client.counts["requests"], len(server.asked)) == (2, 0, 2)
        other = dataclasses.replace(again.endpoint, model="n")  # another question, then
        client = Client(other, Answers(tmp_path / "answers.sqlite"))
        client.submit(0, body(other, "a"))
        assert client.collect(5.0)[0][1].text == "2"
        client.close()


def test_an_answer_that_was_cut_off_or_filtered_is_not_kept(tmp_path: Path) -> None:
    def behave(n: int, asked: dict) -> dict | str:
        body = json.loads(said(f"answer {n}"))
        body["choices"][0]["finish_reason"] = "length" if n == 0 else "stop"
        return {"body": json.dumps(body).encode()}

    with serving(behave) as server:
        first, again, kept = (Asking(server.url, tmp_path).ask("a")[0] for _ in range(3))
    assert (first.whole, again.whole, kept.text) == (False, True, again.text) and len(server.asked) == 2


def test_equal_questions_are_asked_once_and_drawn_ones_each(tmp_path: Path) -> None:
    with serving(echo) as server:
        assert len(Asking(server.url, tmp_path).ask(*["same"] * 5)) == 5
        assert len(server.asked) == 1 and "seed" not in server.asked[0]
        warm = Endpoint(server.url, "m", temperature=0.7)
        client = Client(warm, Answers(tmp_path / "answers.sqlite"))
        for i in range(3):
            client.submit(i, body(warm, "same", seed=i))
        found: list = []
        while len(found) < 3:
            found += client.collect(5.0)
        client.close()
    assert sorted(asked.get("seed", -1) for asked in server.asked) == [-1, 0, 1, 2]


def test_at_most_so_many_at_once(tmp_path: Path) -> None:
    gate = threading.Barrier(3)

    def behave(n: int, asked: dict) -> str:
        gate.wait(20)  # opens for three at a time: fewer would wait in vain
        return echo(n, asked)

    with serving(behave) as server:
        Asking(server.url, tmp_path, concurrency=3).ask(*map(str, range(12)))
    assert server.peak == 3


def test_closing_ends_the_pauses_and_keeps_what_was_on_its_way(tmp_path: Path) -> None:
    release, pausing = threading.Event(), threading.Event()

    def behave(n: int, asked: dict) -> dict | str:
        if last(asked) == "broken":
            pausing.set()
            return {"status": 500}
        release.wait(20)
        return echo(n, asked)

    with serving(behave) as server:
        endpoint = Endpoint(server.url, "m", first_pause=500.0)
        client = Client(endpoint, Answers(tmp_path / "answers.sqlite"))
        client.submit(0, body(endpoint, "broken"))
        client.submit(1, body(endpoint, "slow"))
        assert pausing.wait(20)
        while len(server.asked) < 2:
            time.sleep(0.001)
        threading.Timer(0.05, release.set).start()
        client.close()
        assert client.collect(0.0) == []
        client.submit(2, body(endpoint, "slow"))
        assert client.collect(5.0) == [(2, Said("heard slow"))] and len(server.asked) == 2
        client.close()


def test_a_missing_key_is_named_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ValueError, match="NO_SUCH_KEY is not set"):
        Asking("http://localhost:1/v1", tmp_path, key_env="NO_SUCH_KEY")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"url": "localhost:8000"}, "no address"),
        ({"url": "http://me:pw@host/v1"}, "the bare address"),
        ({"model": " "}, "model is ' '"),
        ({"timeout": 0}, "timeout .* above 0"),
        ({"top_logprobs": 21}, "top_logprobs 21"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(values: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        Endpoint(**{"url": "http://h/v1", "model": "m", **values})
    assert "pw" not in str(error.value)


def test_a_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a shopping list, long enough to be no empty file" * 20)
    with pytest.raises(OSError, match="move it away"):
        Answers(tmp_path / "a")


def test_a_schema_and_what_is_no_chat() -> None:
    endpoint = Endpoint("http://h/v1", "m", top_logprobs=5)
    asked = payload(endpoint, [{"role": "user", "content": "x"}], 7, '{"type": "object"}', 0)
    assert asked["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert (asked["max_tokens"], asked["logprobs"], asked["top_logprobs"]) == (7, True, 5)
    for bad in ([], [{"role": "doctor", "content": "x"}], [{"role": "user", "content": ""}]):
        with pytest.raises(ValueError, match="no chat"):
            payload(endpoint, bad, None, None, 0)
    with pytest.raises(ValueError, match="is no JSON"):
        payload(endpoint, [{"role": "user", "content": "x"}], None, "{", 0)
