"""Answers: what the engine gives, in the protocol's forms, whole or as a stream."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest

from m2jax.sampler.requests import Generate
from m2jax.serve.models import Served
from m2jax.serve.protocol import key_of
from m2jax.serve.speak import one
from m2jax.text.chat import Message, render
from m2jax.train.loop import count_compiles
from tests.serve.site import CHAT, TEXT, Site, running


def by_engine(served: Served, prompt: list[int], seed: int, choice: int, temperature: float = 1, **how: float) -> str:
    sampling = dataclasses.replace(served.engine.roles["doctor"].sampling, temperature=temperature, **how)
    with jax.set_mesh(served.engine.mesh):
        (done,) = served.engine.run(
            [one(Generate("doctor", prompt, 20, sampling=sampling))], keys=[key_of(seed, choice)]
        )
    return served.tokenizer.decode(done.tokens)


def test_the_server_gives_what_the_engine_gives_for_the_same_seed(served: Served):
    with running(served) as site:
        _, chat = site.ask("chat/completions", **CHAT, seed=5, n=3, max_tokens=20, temperature=0.8, top_p=0.9)
        _, again = site.ask("chat/completions", **CHAT, seed=5, max_tokens=20, temperature=0.8, top_p=0.9)
        _, text = site.ask(
            "completions", **TEXT | {"prompt": [TEXT["prompt"], "Do you smoke?"]}, seed=-1, max_tokens=20
        )
    prompt = render(served.tokenizer, [Message(**m) for m in CHAT["messages"]]).tokens.tolist()
    said = [choice["message"]["content"] for choice in chat["choices"]]
    assert said == [by_engine(served, prompt, 5, i, temperature=0.8, top_p=0.9) for i in range(3)]
    assert len(set(said)) == 3 and again["choices"][0]["message"]["content"] == said[0]
    prompts = [served.tokenizer.encode(p) for p in (TEXT["prompt"], "Do you smoke?")]
    assert [c["text"] for c in text["choices"]] == [by_engine(served, p, -1, i) for i, p in enumerate(prompts)]
    assert text["usage"]["prompt_tokens"] == sum(map(len, prompts))


@pytest.mark.parametrize("extra", [{}, {"logprobs": 3, "echo": True}, {"n": 2, "stop": ["e", "\n"]}], ids=str)
def test_a_stream_says_what_the_whole_answer_says(site: Site, extra: dict):
    body = TEXT | {"seed": 11, "max_tokens": 24, "prompt": [TEXT["prompt"], "Take 500 mg"]} | extra
    status, whole = site.ask("completions", **body)
    assert status == 200, whole
    *chunks, last = site.stream("completions", **body, stream_options={"include_usage": True})
    assert last["usage"] == whole["usage"] and last["choices"] == [] and all(c["usage"] is None for c in chunks)
    for choice in whole["choices"]:
        parts = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == choice["index"]]
        assert (len(parts) > 1 or "stop" in extra) and "".join(p["text"] for p in parts) == choice["text"]
        assert [p["finish_reason"] for p in parts if p["finish_reason"]] == [choice["finish_reason"]]
        if choice["logprobs"]:
            for name, values in choice["logprobs"].items():
                assert [value for p in parts for value in p["logprobs"][name]] == values


def test_a_streamed_chat_begins_with_its_role_and_keeps_its_log_probabilities(site: Site):
    body = CHAT | {"seed": 2, "max_tokens": 16, "logprobs": True, "top_logprobs": 2}
    _, whole = site.ask("chat/completions", **body)
    chunks = [c["choices"][0] for c in site.stream("chat/completions", **body)]
    assert chunks[0]["delta"] == {"role": "assistant", "content": ""}
    choice = whole["choices"][0]
    assert "".join(c["delta"].get("content", "") for c in chunks) == choice["message"]["content"]
    entries = [entry for c in chunks if c["logprobs"] for entry in c["logprobs"]["content"]]
    assert entries == choice["logprobs"]["content"]
    spelt = b"".join(bytes(entry["bytes"]) for entry in entries)
    assert spelt.decode("utf-8", "replace") == choice["message"]["content"]
    assert all(len(e["top_logprobs"]) == 2 and e["logprob"] <= e["top_logprobs"][0]["logprob"] for e in entries)


def test_echoed_log_probabilities_are_those_of_the_model(served: Served, site: Site):
    """Chunks or not: a prompt longer than a chunk, and the same tokens one by one as the greedy choice."""
    prompt = (served.tokenizer.encode(TEXT["prompt"] + ", ") * 40)[:200]
    body = {"model": "doctor", "prompt": prompt, "echo": True, "logprobs": 2, "max_tokens": 4, "temperature": 0}
    _, answer = site.ask("completions", **body)
    told = answer["choices"][0]["logprobs"]
    assert told["token_logprobs"][0] is None and len(told["tokens"]) == 204
    for at in (1, 57, 130):
        (next_,) = site.ask("completions", **body | {"prompt": prompt[:at], "echo": False, "max_tokens": 1})[1][
            "choices"
        ]
        best = max(told["top_logprobs"][at], key=told["top_logprobs"][at].get)
        assert next_["logprobs"]["tokens"] == [best]
        np.testing.assert_allclose(next_["logprobs"]["token_logprobs"][0], told["top_logprobs"][at][best], atol=1e-4)
    _, only = site.ask("completions", **body | {"max_tokens": 0})
    assert only["choices"][0]["logprobs"]["token_logprobs"] == told["token_logprobs"][:200]
    assert only["usage"]["completion_tokens"] == 0 and only["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("how", [{"temperature": 2e-38}, {"top_p": 1e-50}], ids=str)
def test_what_is_too_small_to_sample_with_is_greedy(site: Site, how: dict):
    greedy, small = (site.ask("completions", **TEXT, **x, max_tokens=8) for x in ({"temperature": 0}, how))
    assert small[1]["choices"] == greedy[1]["choices"]


def test_json_follows_its_schema(site: Site):
    schema = {
        "type": "object",
        "properties": {"met": {"type": "boolean"}, "why": {"type": "string", "maxLength": 8}},
        "required": ["met", "why"],
        "additionalProperties": False,
    }
    how = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema, "strict": True}}
    status, answer = site.ask("chat/completions", **CHAT, response_format=how, max_tokens=60, seed=1)
    assert status == 200, answer
    made = json.loads(answer["choices"][0]["message"]["content"])
    assert (
        set(made) == {"met", "why"}
        and isinstance(made["met"], bool)
        and answer["choices"][0]["finish_reason"] == "stop"
    )


def test_a_schema_that_is_too_complex_to_follow_ends_its_request_alone(site: Site):
    ways = [{"type": "object", "properties": {f"k{i}": {}}, "required": [f"k{i}"]} for i in range(3000)]
    how = {"type": "json_schema", "json_schema": {"name": "wide", "schema": {"anyOf": ways}}}
    status, body = site.ask("chat/completions", **CHAT, response_format=how, max_tokens=60)
    assert status == 400 and "too complex" in body["error"]["message"]
    assert site.ask("chat/completions", **CHAT, max_tokens=2)[0] == 200


def test_other_values_of_a_request_compile_nothing(site: Site):
    body = CHAT | {"max_tokens": 8}
    site.ask("chat/completions", **body)
    with count_compiles() as compiles:
        for i in range(4):
            status, _ = site.ask("chat/completions", **body, seed=i, temperature=i / 2, top_p=1 - i / 10)
            assert status == 200
        assert compiles() == 0
