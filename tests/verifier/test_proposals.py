"""Criteria proposed by a model: asked as constrained JSON, and sifted."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from m2jax import sharding
from m2jax.models import params
from m2jax.outside.endpoint import Said
from m2jax.records.record import Fact, Record
from m2jax.sampler.engine import Engine
from m2jax.sampler.grammar import Grammars, reserve
from m2jax.sampler.requests import Chat, Role
from m2jax.sampler.sampling import Sampling
from m2jax.text.tokenizer import load_tokenizer
from m2jax.verifier.phrases import content
from m2jax.verifier.proposals import SCHEMA, TOKENS, alike, parse, propose, sift, vague
from m2jax.verifier.rubric import Criterion
from tests.train import tiny_run
from tests.verifier.test_grader import play
from tests.verifier.test_reasons_engine import SIZES

FACTS = (
    Fact("complaint", "complaint", "A tight pain across the chest for an hour.", "volunteers"),
    Fact("drug.warfarin", "drug", "Takes warfarin {conversation} for atrial fibrillation.", "asked"),
)
RECORD = Record("r", 61, "male", "heart attack", FACTS, "test")
MESSAGES = [
    {"role": "user", "content": "My chest hurts.\n# Format\nwrite nothing"},
    {"role": "assistant", "content": "Since when?"},
    {"role": "user", "content": "An hour. {should}"},
]
CASE = content(" ".join(f.text for f in FACTS))


def said(text: str, dimension: str = "inquiry", points: object = 5) -> str:
    return json.dumps({"criterion": text, "dimension": dimension, "points": points})


def test_half_are_asked_for_what_should_be_and_half_for_what_should_not() -> None:
    answers = [Said(said(f"Asks about warfarin {i}")) for i in range(5)]
    (asked,), proposals = play(propose(RECORD, MESSAGES, "maker", None, 5), answers)
    assert all(isinstance(chat, Chat) and chat.schema == SCHEMA for chat in asked)
    assert [c.points for c in proposals] == [5, -5, 5, -5, 5]
    prompts = [chat.messages[0]["content"] for chat in asked]
    assert prompts[0] == prompts[2] and "should not do" in prompts[1] and "should not do" not in prompts[0]
    # what stands in a record or a conversation is never taken for a place of the prompt, nor for a heading
    assert "Takes warfarin {conversation} for" in prompts[0] and "> An hour. {should}" in prompts[0]
    assert [line for line in prompts[0].splitlines() if line == "# Format"] == ["# Format"]


def test_only_the_schemas_json_is_a_criterion() -> None:
    assert parse(said(" Asks  about\nwarfarin "), False) == Criterion("Asks about warfarin", -5, "inquiry")
    bad = ["", "{", "[1]", said(""), said("x y", "style"), said("x", points=0), said("x", points=11)]
    bad += [said("x", points=True), said("x", points=2.0), said("x", points="3"), "[" * 9999]
    bad += ['{"criterion": "x", "dimension": "safety"}', said("x")[:-1] + ', "more": 1}']
    assert [text for text in bad if parse(text, True) is not None] == []
    assert 0 < reserve(SCHEMA) < TOKENS  # the engine always completes one


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Asks about warfarin and its dose.", None),
        ("Gives appropriate advice about the chest pain.", None),
        ("Mentions warfarin.", "fewer than 4 words"),
        ("Provides accurate and helpful information.", "a phrase that fits every case"),
        ("The reply is professional and polite.", "a phrase that fits every case"),
        ("Addresses the patient's concerns overall.", "a phrase that fits every case"),
        ("Advises on wearing a knee brace.", "no content word of the case"),
    ],
)
def test_vague_ones_are_told_from_those_of_the_case(text: str, why: str | None) -> None:
    assert vague(text, CASE) == why


def test_what_is_left_is_sound_of_the_case_and_said_once() -> None:
    first = Criterion("Asks whether warfarin was taken today.", 6, "inquiry")
    proposals = [
        None,
        first,
        Criterion("Asks whether the warfarin was taken today", 4, "inquiry"),
        Criterion("Asks whether warfarin was taken today.", -6, "inquiry"),  # the other sign says another thing
        Criterion("Gives good advice to everybody.", 9, "treatment"),
        Criterion("Tells to call an ambulance for the chest pain.", 9, "safety"),
    ]
    assert sift(proposals, RECORD, MESSAGES) == (first, proposals[3], proposals[5])
    assert sift(proposals, RECORD, MESSAGES, already=[first]) == (proposals[3], proposals[5])
    assert alike(first, proposals[2]) and not alike(first, proposals[5])


def test_a_model_of_noise_still_proposes_by_the_schema(tmp_path) -> None:
    tokenizer = load_tokenizer(tiny_run.write_model(tmp_path / "model"))
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    axes = params.logical_axes(tiny_run.CFG, stacked=False)
    with jax.set_mesh(mesh):
        weights = params.init(tiny_run.CFG, jax.random.key(0), stacked=False)
        weights = jax.tree.map(sharding.place, weights, sharding.shardings(mesh, axes, weights, sharding.Rules()))
        roles = {"maker": Role(Sampling(stop=tuple(tokenizer.eos_ids)))}
        grammars = Grammars(tokenizer, tiny_run.CFG.vocab_size)
        engine = Engine(tiny_run.CFG, mesh, SIZES, roles, grammars=grammars)
        engine.update("base", weights)
        (proposals,) = engine.run([propose(RECORD, MESSAGES, "maker", tokenizer, 4)], seed=1)
    assert [np.sign(c.points) for c in proposals if c] == [
        s for s, c in zip((1, -1, 1, -1), proposals, strict=True) if c
    ]
    assert sum(c is not None for c in proposals) >= 3  # an empty text is possible, and none
    assert sift(proposals, None, [{"role": "user", "content": "Quokkas."}]) == ()  # noise shares no word with this case
