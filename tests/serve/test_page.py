"""docs/serving.md: what its curl and its examples of the openai package ask gets 200, and its tools run."""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path

import httpx2
import pytest

from m2jax.serve.models import Served
from tests.docs.pages import Command, blocks, page_of, run_here, shown
from tests.serve.site import Site, running
from tests.train import tiny_run

PAGE = page_of("serving")
ADDRESS, TOKEN = "http://127.0.0.1:8000", "a-token-of-some-length"
CURLS = [command for command in shown(PAGE) if command[0] == "curl"]


def asked(site: Site, command: Command) -> httpx2.Response:
    """The answer to a command of curl: what it does not know it refuses."""
    headers, body, words = {}, None, iter(command[1:])
    for word in words:
        if word == "-H":
            name, value = next(words).replace("$M2JAX_TOKEN", TOKEN).split(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        elif not word.startswith("-"):
            path = word.removeprefix(ADDRESS)
        else:
            assert word in ("-s", "-sN"), word
    return site.client.request("GET" if body is None else "POST", path, headers=headers, content=body)


@pytest.mark.parametrize("command", [c for c in CURLS if "Authorization" not in str(c)], ids=lambda c: c[2])
def test_what_curl_asks_is_answered(site: Site, command: Command):
    response = asked(site, command)
    assert response.status_code == 200, response.text
    body = json.loads(command[-1]) if "-d" in command else {}
    if body.get("stream"):
        assert response.text.endswith("data: [DONE]\n\n") and '"usage":{"prompt_tokens"' in response.text
    elif "max_tokens" in body:
        (choice,) = response.json()["choices"]
        assert response.json()["usage"]["completion_tokens"] <= body["max_tokens"]
        assert not body.get("echo") or (
            choice["text"] == body["prompt"] and choice["logprobs"]["token_logprobs"][1] < 0
        )
    elif "role" in body:
        assert response.json()["text"]


def test_what_curl_asks_with_a_token_is_answered(served: Served):
    (command,) = [command for command in CURLS if "Authorization" in str(command)]
    with running(served, token=TOKEN) as site:
        assert asked(site, command).json()["data"]
        assert asked(site, command[:3]).status_code == 401


def test_the_metrics_of_the_page_are_there(site: Site):
    (name,) = re.findall(r"/metrics \| grep (\w+)", PAGE.read_text())
    assert re.search(rf"^{name}", site.client.get("/metrics").text, re.MULTILINE)


def test_what_the_openai_package_is_told_to_ask_is_answered(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The examples run with a client that sends what they give and reads JSON."""
    answers = []

    def openai(base_url: str, api_key: str) -> types.SimpleNamespace:
        def create(**body):
            response = site.client.post(f"{base_url.removeprefix(ADDRESS)}/chat/completions", json=body)
            assert response.status_code == 200, response.text
            answers.append(response.json())
            return json.loads(response.text, object_hook=lambda found: types.SimpleNamespace(**found))

        completions = types.SimpleNamespace(create=create)
        return types.SimpleNamespace(chat=types.SimpleNamespace(completions=completions))

    monkeypatch.setitem(sys.modules, "openai", types.SimpleNamespace(OpenAI=openai))
    exec("\n".join(blocks(PAGE, "python")), {})
    said, triage = (answer["choices"][0]["message"]["content"] for answer in answers)
    assert capsys.readouterr().out == f"{said}\n" and json.loads(triage).keys() == {"urgent", "advice"}


def test_a_load_is_tried(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.delenv("M2JAX_TOKEN", raising=False)
    (command,) = [command for command in shown(PAGE) if "launch/load.py" in command]
    here = [word.replace(ADDRESS, str(site.client.base_url).rstrip("/")) for word in command]
    run_here(here, "--clients=2", "--seconds=2", "--hostile=1", "--max_tokens=4")
    assert json.loads(capsys.readouterr().out)["wrong"] == 0


def test_an_exam_becomes_the_tasks_that_lm_eval_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    row = {"question": "Which?", "options": {"A": "aspirin", "B": "rest"}, "answer_idx": "B"}
    Path("medqa.jsonl").write_text(json.dumps(row) + "\n")
    (command,) = [command for command in shown(PAGE) if "launch/lm_eval.py" in command]
    run_here(command, f"--model={tiny_run.write_model(tmp_path / 'tiny')}")
    out = next(Path(word.removeprefix("--out=")) for word in command if word.startswith("--out="))
    tasks = {re.search(r"^task: (\w+)", file.read_text())[1] for file in out.glob("*.yaml")}
    given = [" ".join(command) for command in shown(PAGE) if command[0] == "lm_eval"]
    assert {re.search(r"--tasks=(\w+)", text)[1] for text in given} == tasks
    assert all(f"--include_path={out} " in text for text in given)
    folders = {folder for text in given for folder in re.findall(r"tokenizer=([\w/]+)", text)}
    assert folders and all((Path(folder) / "tokenizer.json").exists() for folder in folders)
