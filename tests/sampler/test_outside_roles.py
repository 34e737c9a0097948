"""Dialogues with a role outside beside local ones: each gets its answers, in its order, and nothing is paid twice."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import pytest

from m2jax.outside.answers import Answers
from m2jax.outside.endpoint import Endpoint, EndpointDown, Said
from m2jax.sampler.engine import Engine
from m2jax.sampler.journal import Journal
from m2jax.sampler.requests import Chat, Failed, Generate, Score
from m2jax.sampler.scheduler import Ticket
from tests.conftest import DEVICES_FLAG, REPOSITORY
from tests.outside.fake_server import last, said, serving
from tests.sampler import ask_two, test_engine
from tests.sampler.test_engine import ROLES, SEED, make_engine, oracle, talk

WHO = {"step": 1}
SECONDS = 90  # for two processes to start and end


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def echo(_: int, body: dict) -> str:
    return f"heard {last(body)}"


def chat(text: str, role: str = "nurse") -> Chat:
    return Chat(role, [{"role": "user", "content": text}])


def make(url: str, answers: Path, **values: object) -> Engine:
    """The engine of `test_engine` with two roles outside."""
    roles = ROLES | {"nurse": Endpoint(url, "m", **values), "clerk": Endpoint(url, "n", **values)}
    return make_engine(roles=roles, answers=Answers(answers))


def run(engine: Engine, dialogues: list, seed: int = SEED, journal: Journal | None = None) -> list:
    with jax.set_mesh(engine.mesh):
        return engine.run([talk(d) for d in dialogues], seed=seed, journal=journal)


def a_mixture() -> list[list]:
    """Roles outside asked first, last, in between and together with local ones."""
    stem = [4, 5, 6, 7, 4]
    return [
        [chat("a"), Generate("doctor", stem), chat("b", "clerk")],
        [[chat("c"), Generate("patient", stem), chat("d", "clerk"), Score("judge", stem, [[4]], (3, 70))]],
        [Generate("other", stem), chat("e"), chat("f")],
        [Generate("doctor", [9, 9])],
    ]


def test_each_gets_its_answers(tmp_path: Path) -> None:
    with serving(echo) as server:
        engine = make(server.url, tmp_path / "a")
        results = run(engine, a_mixture())
        assert sorted(last(body) for body in server.asked) == list("abcdef")
        assert {body["model"] for body in server.asked} == {"m", "n"}
    for i, (dialogue, answers) in enumerate(zip(a_mixture(), results, strict=True)):
        number = 0
        for request, answer in zip(dialogue, answers, strict=True):
            many = isinstance(request, list)
            for one, its in zip(request if many else [request], answer if many else [answer], strict=True):
                if isinstance(one, Chat):
                    assert its == Said(f"heard {one.messages[0]['content']}")
                else:
                    test_engine.check(one, its, i, number)
                number += 1
    stats = engine.stats()
    assert (stats["outside_requests"], stats["outside_prompt_tokens"]) == (6, 120)
    assert "outside_requests" not in engine.stats()


def test_the_devices_work_while_an_endpoint_thinks(tmp_path: Path) -> None:
    """The server answers only once another dialogue's reply is complete."""
    written = threading.Event()

    def behave(n: int, body: dict) -> str:
        assert written.wait(60)
        return echo(n, body)

    def writes():
        completion = yield Generate("doctor", [4, 5, 6])
        written.set()
        return completion

    with serving(behave) as server:
        engine = make(server.url, tmp_path / "a")
        with jax.set_mesh(engine.mesh):
            answers, completion = engine.run([talk([chat("x")]), writes()], seed=SEED)
    assert answers == [Said("heard x")]
    assert completion.tokens.tolist() == oracle().generate(Generate("doctor", [4, 5, 6]), 1, 0)[0]


def test_neither_the_order_of_answers_nor_the_company_changes_a_dialogue(tmp_path: Path) -> None:
    """A drawn answer is named by seed, key and number: it is the same whenever it is asked for."""
    released = [threading.Event() for _ in range(6)]

    def backwards(n: int, body: dict) -> str:
        if n < 5:
            released[n + 1].wait(20)  # the first asked is answered last
        released[n].set()
        return f"{body['seed']}"

    dialogues = [[chat("q"), Generate("doctor", [4, 5])] for _ in range(6)]
    with serving(backwards) as server:
        first = run(make(server.url, tmp_path / "a", temperature=1.0), dialogues)
    assert len({answers[0].text for answers in first}) == 6
    with serving(lambda n, body: f"{body['seed']}") as server:
        engine = make(server.url, tmp_path / "b", temperature=1.0)
        with jax.set_mesh(engine.mesh):
            some = engine.run([talk(dialogues[i]) for i in (4, 1)], seed=SEED, keys=[4, 1])
        other = run(engine, dialogues, seed=SEED + 1)
    for i, answers in zip((4, 1), some, strict=True):
        assert answers[0] == first[i][0]
        assert answers[1].tokens.tolist() == first[i][1].tokens.tolist()
    assert {a[0].text for a in other}.isdisjoint({a[0].text for a in first})


def test_a_refused_or_misdirected_request_ends_its_dialogue_alone(tmp_path: Path) -> None:
    def behave(n: int, body: dict) -> dict | str:
        return {"status": 400, "body": b"too long"} if last(body) == "long" else echo(n, body)

    def copes():
        try:
            yield [chat("fine"), chat("long")]
        except ValueError as error:
            text = str(error)
        return text, (yield chat("after"))

    with serving(behave) as server:
        engine = make(server.url, tmp_path / "a")
        wrong = [Generate("nurse", [4])], [chat("x", "doctor")], [Chat("nurse", [])], [chat("x", "porter")]
        with jax.set_mesh(engine.mesh):
            results = engine.run([talk([chat("long")]), copes(), *map(talk, wrong)], seed=SEED)
    assert isinstance(results[0], Failed) and "too long" in str(results[0].error)
    assert "too long" in results[1][0] and results[1][1] == Said("heard after")
    said = [str(result.error) for result in results[2:]]
    assert "takes Chat, not Generate" in said[0] and "takes Generate and Score, not Chat" in said[1]
    assert "no chat" in said[2] and "roles: doctor, patient, judge, other, nurse, clerk" in said[3]


@pytest.mark.parametrize("kept_in", ["journal", "cache"])
def test_what_was_answered_when_an_endpoint_died_is_not_asked_again(kept_in: str, tmp_path: Path) -> None:
    """Either brings it back alone; the results are those of a run without trouble."""
    dialogues = [[chat(f"a{i}"), Generate("doctor", [4, 5 + i]), chat(f"b{i}")] for i in range(4)]
    with serving(echo) as server:
        whole = run(make(server.url, tmp_path / "whole"), dialogues)
    alive = threading.Event()

    def dies(n: int, body: dict) -> dict | str:
        if not last(body).startswith("b") or alive.is_set():
            return echo(n, body)
        while sum(last(asked).startswith("a") for asked in server.asked) < len(dialogues):
            time.sleep(0.01)
        time.sleep(0.5)  # the answers to those are on their way
        return {"status": 401, "body": b"no credit"}

    path = tmp_path / "rollout.jsonl"
    with serving(dies) as server:
        with pytest.raises(EndpointDown, match="no credit"):
            run(make(server.url, tmp_path / "kept"), dialogues, journal=Journal(path, WHO, 3600.0))
        first = len(server.asked)
        alive.set()
        journal = Journal(path, WHO, 3600.0) if kept_in == "journal" else None
        again = make(server.url, tmp_path / ("fresh" if journal else "kept"))
        results = run(again, dialogues, journal=journal)
        asked = [last(body) for body in server.asked[first:]]
    assert sorted(asked) == ["b0", "b1", "b2", "b3"]
    for got, want in zip(results, whole, strict=True):
        assert (got[0], got[2]) == (want[0], want[2])
        assert got[1].tokens.tolist() == want[1].tokens.tolist()


def test_what_the_devices_finish_in_the_round_in_which_an_endpoint_dies_is_kept(tmp_path: Path) -> None:
    request, path = Generate("doctor", [4, 5, 6]), tmp_path / "rollout.jsonl"
    with serving(echo) as server:
        engine = make(server.url, tmp_path / "a")

        def round_(*, wait: bool) -> list:
            if any(lane.scheduler.in_flight() for lane in engine.lanes.values()):
                return []
            raise EndpointDown("no credit")

        engine.outside.round = round_
        with pytest.raises(EndpointDown):
            run(engine, [[chat("x")], [request]], journal=Journal(path, WHO, 3600.0))
    kept = Journal(path, WHO, 3600.0).known(Ticket(1, 0, 0, 1))
    assert kept.tokens == oracle().generate(request, 1, 0)[0]


def test_the_journal_keeps_what_was_said_to_the_bit(tmp_path: Path) -> None:
    told = Said("é \n", (("a", (("a", -0.1), ("b", -2.345678901234567))),))
    with serving(lambda n, body: {"body": said_with(told)}) as server:
        path = tmp_path / "j"
        (whole,) = run(make(server.url, tmp_path / "a"), [[chat("x")]], journal=Journal(path, WHO, 0.0))
        journal = Journal(path, WHO, 0.0)
        (again,) = run(make(server.url, tmp_path / "b"), [[chat("x")]], journal=journal)
        assert len(server.asked) == 1
    assert whole == again == [told]


def said_with(told: Said) -> bytes:
    return said(told.text, [(token, dict(alternatives)) for token, alternatives in told.top])


@pytest.mark.skipif(os.environ["JAX_PLATFORMS"] != "cpu", reason="two processes cannot share a device")
@pytest.mark.parametrize("how", ["answers", "dies"])
def test_of_two_processes_one_asks_and_both_hear(how: str, tmp_path: Path) -> None:
    def behave(n: int, body: dict) -> dict | str:
        dead = how == "dies" and last(body).startswith("b")
        return {"status": 403, "body": b"no credit"} if dead else f"{last(body)} {n}"

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"XLA_FLAGS": f"{DEVICES_FLAG}=1", "PYTHONPATH": str(REPOSITORY)}
    with serving(behave) as server:
        command = [sys.executable, ask_two.__file__, port, server.url, str(tmp_path)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
        both = [subprocess.Popen([*command, str(i)], **pipes) for i in range(2)]
        try:
            told = [process.communicate(timeout=SECONDS) for process in both]
        finally:
            for process in both:
                process.kill()
                process.wait()
        asked = [last(body) for body in server.asked]
    heard = [json.loads(out.splitlines()[-1]) for out, _ in told]
    assert heard[0] == heard[1], told
    if how == "dies":
        assert "no credit" in heard[0]["down"]
    else:
        assert sorted(asked) == sorted(f"{x}{i}" for i in range(ask_two.N) for x in "ab")  # once, by one of them
        assert [x.split()[0] for d in heard[0] for x in d] == [f"{x}{i}" for i in range(ask_two.N) for x in "ab"]
    assert not (tmp_path / "answers1.sqlite").exists()
