"""The data of the page: every dialogue in one form, text that stays text, runs that grow, folders that are damaged."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from m2jax.patient import shown, terminal
from m2jax.patient.script import Line, sample_script
from m2jax.patient.simulate import Units, patient_turn
from m2jax.report.view import bundle, library, server
from m2jax.report.view.bodies import body_of, words_of
from m2jax.rollout import dialogues
from tests.conftest import REPOSITORY
from tests.report import made_runs

EVIL = '</script><img src=x onerror="boom()">\u2028\x00'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_runs.made_run(tmp_path_factory.mktemp("runs") / "evil", 120, words=f" {EVIL}")


def parts(shelves: list[library.Shelf]) -> dict[str, Any]:
    """Everything that the page loads, read as its scripts would be."""
    found = {}
    for name in bundle.names(shelves):
        text = bundle.script(shelves, name, live=False)
        assert text.isascii() and "<" not in text and text.startswith(f'M2.got("{name}", ') and text.endswith(");\n")
        found[name] = json.loads(text[len(f'M2.got("{name}", ') : -3])
    return found


def test_every_dialogue_of_a_run_is_there_in_one_form(made: Path):
    shelves = library.open_shelves([made])
    found = parts(shelves)
    (run,) = found["runs"]["runs"]
    bodies = [body for name in bundle.names(shelves) if name.startswith("bodies-0-") for body in found[name]]
    index = [dict(zip(library.COLUMNS, row, strict=True)) for row in found["index-0-0"]]
    written = sum(file.read_bytes().count(b"\n") for file in (made / "dialogues").iterdir())
    held_out = sum(file.read_bytes().count(b"\n") for file in made.glob("eval_*.jsonl"))
    assert run["n"] == len(bodies) == len(index) == written + held_out > 80
    assert {row["when"] for row in index} == {"before", "training", "watch", "after"}
    assert {row["kind"] for row in index} == {"reply", "consultation", "episode", "watch"}
    for row, body, text in zip(index, bodies, found["words-0-0"], strict=True):
        assert {name: row[name] for name in ("id", "step", "score")} == {
            name: body[name] for name in ("id", "step", "score")
        }
        assert all(line["text"].lower() in text for line in body["lines"])
    held = [body for body in bodies if body["when"] == "after"]
    assert all(body["lines"][-1]["criteria"] and body["lines"][-1]["logp"] for body in held)
    assert any(c["probability"] is not None and c["check"] is None for b in held for c in b["lines"][-1]["criteria"])
    units = [line["units"] for body in bodies for line in body["lines"] if "units" in line]
    assert (
        any(u["rewrite"] for u in units)
        and any(u["stop"] for u in units)
        and all(u["claims"] for u in units if u["draft"])
    )
    assert run["done"] and run["summary"]["gain"]["mean"] and run["dimensions"]["after"] and run["missed"]


def test_text_of_a_run_comes_back_as_it_was(made: Path):
    found = parts(library.open_shelves([made]))
    said = [body["lines"][0]["text"] for name, part in found.items() if name.startswith("bodies") for body in part]
    assert all(text.endswith(EVIL) for text in said)
    assert found["runs"]["runs"][0]["model"].endswith(EVIL)


def test_files_without_a_server(made: Path, tmp_path: Path):
    shelves = library.open_shelves([made])
    first = bundle.write(shelves, tmp_path / "page")
    page = first.read_text("utf-8")
    for name in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert (first.parent / name).is_file(), name
    assert {file.stem for file in (first.parent / "data").iterdir()} == set(bundle.names(shelves))
    for file in first.parent.iterdir():
        if file.suffix in (".html", ".css", ".js"):
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|innerHTML|eval\(", file.read_text("utf-8")), file
    bundle.write(shelves, tmp_path / "page")  # again, in place of itself
    (tmp_path / "site" / "data").mkdir(parents=True)
    (tmp_path / "site" / "data" / "precious.csv").touch()
    for foreign in ("other.txt", "index.html"):  # a folder that has an index.html may still be another's
        (tmp_path / "site" / foreign).write_text("<title>mine</title>")
        with pytest.raises(ValueError, match="no page of launch/view.py"):
            bundle.write(shelves, tmp_path / "site")
        assert (tmp_path / "site" / "data" / "precious.csv").exists()


def test_a_page_whose_writing_was_broken_off_is_written_again(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    shelves = library.open_shelves([made])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(bundle, "script", broken)
        bundle.write(shelves, tmp_path)
    assert (bundle.write(shelves, tmp_path).parent / "data" / "runs.js").exists()


def test_a_run_grows_at_its_end_and_is_numbered_anew_where_a_step_is_done_again(tmp_path: Path):
    rows = [{"kind": "reply", "id": f"c{i}", "lines": [{"who": "patient", "text": f"hello {i}"}]} for i in range(2)]
    (tmp_path / "config.json").write_text('{"steps": 9}')
    dialogues.write(tmp_path, 0, rows)
    (shelf,) = shelves = library.open_shelves([tmp_path])
    first, generation = bundle.versions(shelves), shelf.generation
    assert not library.refresh(shelf) and bundle.versions(shelves) == first
    dialogues.write(tmp_path, 1, rows[:1])
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "reward/score": 0.5}\n{"step": 1, "rew')
    assert library.refresh(shelf) and bundle.versions(shelves) != first
    assert [entry.row[6] for entry in shelf.entries] == [0, 0, 1] and shelf.generation == generation
    assert bundle._part(shelves, "metrics-0", True) == {"reward/score": [[0.0], [0.5]]}
    dialogues.write(tmp_path, 1, rows)
    assert library.refresh(shelf) and shelf.generation == generation + 1 and len(shelf.entries) == 4
    time.sleep(0.002)
    assert library.open_shelves([tmp_path])[0].generation > generation + 1  # as of a server that is begun again
    (tmp_path / "dialogues" / "step-00000000.jsonl").unlink()
    assert library.refresh(shelf) and shelf.generation == generation + 2 and len(shelf.entries) == 2


def test_a_file_that_goes_away_while_it_is_read_is_told_of(tmp_path: Path):
    dialogues.write(tmp_path, 0, [{"id": "c", "lines": [{"who": "patient", "text": "hello"}]}])
    (shelf,) = library.open_shelves([tmp_path])
    (tmp_path / "dialogues" / "step-00000000.jsonl").unlink()
    (body,) = library.read_bodies(shelf.entries)
    assert body["id"] == "c" and "no longer" in body["lines"][0]["text"]


def test_a_supervised_run_has_figures_and_no_dialogues(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"stage": "sft", "steps": 2}')
    for side, loss in (("before", 2.0), ("after", 1.0)):
        rows = [{"id": f"c{i}", "topic": "cough", "loss": loss, "tokens": 10} for i in range(4)]
        (tmp_path / f"eval_{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (shelf,) = library.open_shelves([tmp_path])
    (run,) = parts([shelf])["runs"]["runs"]
    assert run["n"] == 0 and shelf.unread == [] and run["missed"] == []
    assert run["summary"]["after"]["loss"] == 1.0 and run["summary"]["before"]["perplexity"] == pytest.approx(
        7.389, 1e-3
    )


def test_a_run_that_goes_on_beyond_its_end_has_not_finished(tmp_path: Path):
    done = []
    for n in (0, 2, 3):
        (tmp_path / "metrics.jsonl").write_text("".join(f'{{"step": {i}}}\n' for i in range(n)))
        done.append(parts(library.open_shelves([tmp_path]))["runs"]["runs"][0]["done"])
        (tmp_path / "summary.json").write_text('{"steps": 2, "seconds": 1.0}')
    assert done == [False, True, False]


@pytest.mark.parametrize(
    "row", [None, 3, [], {}, {"lines": 3}, {"reply": None, "messages": [3]}, {"patient": 1, "lines": [[]]}]
)
def test_what_is_no_dialogue_is_left_out(row: object):
    found = body_of(row, "after")
    assert found is None or found["lines"] == [{"who": "doctor", "text": ""}]


def test_damaged_fields_do_no_harm(tmp_path: Path):
    line = {"who": "nurse", "text": 7, "criteria": [3, {"points": "x", "met": 1}]}
    line |= {"units": {"gate": 3, "claims": [2], "asked": 3}}
    row = {"id": ["a"], "score": "high", "tokens": 10**400, "about": 3}
    row |= {"sample": "x", "lines": [line | {"pieces": ["a"], "logp": []}]}
    (tmp_path / "dialogues").mkdir()
    (tmp_path / "dialogues" / "step-00000000.jsonl").write_text(f"{json.dumps(row)}\nrubbish\n{'[' * 9000}\n")
    (shelf,) = library.open_shelves([tmp_path])
    ((body,), (only,)) = list(library.read_bodies(shelf.entries)), shelf.unread
    assert body["lines"][0]["criteria"][0]["met"] is None and "pieces" not in body["lines"][0] and body["score"] is None
    assert "2 lines" in only and words_of(body) and parts([shelf])
    talk = tmp_path / "talk.json"
    talk.write_text(json.dumps({"dialogue": [{"who": "doctor", "text": "Hello"}], "marks": 5, "turns": {}}))
    assert library.open_shelves([talk])[0].entries


def test_a_talk_of_the_terminal_can_be_read(tmp_path: Path):
    script = sample_script(3, "heldout")
    talk = terminal.Talk("patient", script, 3, (Line("patient", "My head hurts."),))
    for message in ("Since when?", "Goodbye, and take care."):
        talk.marks.append(shown.marks_of(script.record, talk.dialogue, message))
        talk.dialogue += (Line("doctor", message),)
        turn = made_runs._played(
            patient_turn(script, talk.dialogue, Units(None)),
            script,
            talk.dialogue,
            3,
            made_runs.np.random.default_rng(0),
        )
        talk.turns.append(turn)
        if not turn.gate.stop:
            talk.dialogue += (Line("patient", turn.final),)
    talk.ended = "farewell"
    file = tmp_path / "talk.json"
    file.write_text(json.dumps(terminal.transcript(talk), indent=1))
    (shelf,) = library.open_shelves([file])
    (body,) = library.read_bodies(shelf.entries)
    assert [line["who"] for line in body["lines"]] == ["patient", "doctor", "patient", "doctor", "patient"]
    assert body["lines"][2]["units"]["draft"] and body["lines"][4]["units"]["stop"] and body["ended"] == "farewell"
    assert (
        len(body["lines"][1]["criteria"]) == len(talk.marks[0])
        and body["about"]["diagnosis"] == script.record.diagnosis
    )


def test_paths_that_cannot_be(tmp_path: Path):
    (tmp_path / "notes.json").write_text("{}")
    for path, said in (
        (tmp_path / "no", "does not exist"),
        (tmp_path, "holds no run"),
        (tmp_path / "notes.json", "no transcript"),
    ):
        with pytest.raises(ValueError, match=said):
            library.open_shelves([path])


def test_the_command(made: Path, tmp_path: Path):
    def run(*argv: object) -> subprocess.CompletedProcess[str]:
        argv = (sys.executable, "launch/view.py", *map(str, argv))
        return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False)

    told = re.findall("^python launch/view.py (.*)$", (REPOSITORY / "docs" / "report.md").read_text("utf-8"), re.M)
    assert len(told) == 3
    for i, line in enumerate(told):  # where the page would be served it is written
        flags = [flag for flag in line.split() if flag.startswith("--") and "--out" not in flag]
        done = run(*[made] * line.count("runs/"), *flags, f"--out={tmp_path / str(i)}")
        assert done.returncode == 0 and str(tmp_path / str(i) / "index.html") in done.stdout, done.stderr
    for argv, said in (((), "name at least one run"), ((tmp_path / "no",), "does not exist")):
        done = run(*argv)
        assert done.returncode and done.stderr.startswith("error: ") and said in done.stderr


def test_the_command_serves_until_it_is_interrupted(made: Path):
    argv = [sys.executable, "launch/view.py", str(made), "--port=0"]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        told = [process.stdout.readline() for _ in range(2)]
        port = int(re.search(r"http://127\.0\.0\.1:(\d+) ", told[1])[1])
        assert ask(port, "/data/runs.js")[0] == 200
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=100)
    assert process.returncode == 0 and rest == "\n"


# ---- The server


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    dialogues.write(tmp_path, 0, [{"id": "c", "lines": [{"who": "patient", "text": "hello"}]}])
    serving = server.make_server(library.open_shelves([tmp_path]), 0)
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield tmp_path, serving.server_port
    serving.shutdown()
    serving.server_close()
    thread.join()


def ask(port: int, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    connection.close()
    return answer.status, text


def test_a_live_run_is_followed(served: tuple[Path, int]):
    folder, port = served
    assert ask(port, "/")[1].startswith("<!doctype html>") and ask(port, "/app.js")[0] == 200
    assert '"live":true' in ask(port, "/data/runs.js")[1]
    before = ask(port, "/versions")
    assert ask(port, "/versions") == before
    dialogues.write(folder, 1, [{"id": "d", "lines": [{"who": "patient", "text": "and again"}]}])
    assert ask(port, "/versions") != before and "and again" in ask(port, "/data/bodies-0-0.js?1.2")[1]


def test_nothing_else_is_served(served: tuple[Path, int]):
    _, port = served
    for path in (
        "/data/../../x.js", "/../setup.py", "/data/bodies-1-0.js", "/data/bodies-0.js", "/data/runs-0.js",
        "/data/metrics--1.js", "/data/index-0--1.js", "/data/what-0-0.js", "/data/", "/etc/passwd",
        "/bundle.py", "/data/runs",
    ):  # fmt: skip
        assert ask(port, path)[0] == 404, path
    assert ask(port, "/", Host=f"elsewhere.example:{port}")[0] == 403  # a name that somebody made lead here
    assert ask(port, "/", Host="localhost")[0] == 200  # as of port 80


def test_a_page_elsewhere_gets_no_dialogues(served: tuple[Path, int]):
    _, port = served
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        assert ask(port, "/data/bodies-0-0.js", Sec_Fetch_Site=site)[0] == status
    assert ask(port, "/", Sec_Fetch_Site="cross-site")[0] == 200  # a link to the page may be followed


def test_a_port_that_is_taken(served: tuple[Path, int]):
    _, port = served
    with pytest.raises(ValueError, match=f"port {port} cannot be used"):
        server.make_server([], port)
