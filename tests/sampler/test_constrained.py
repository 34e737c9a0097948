"""Rows under a grammar beside free ones: verdicts always parse, and the free rows do not notice."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from m2jax import sharding
from m2jax.models import params
from m2jax.models.config import ModelConfig
from m2jax.sampler.engine import Engine
from m2jax.sampler.grammar import Grammars
from m2jax.sampler.lane import Lane
from m2jax.sampler.requests import Failed, Generate, Role
from m2jax.sampler.sampling import Sampling
from m2jax.sampler.scheduler import Sizes
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from tests.sampler.verdict import VERDICT, parse_verdict
from tests.text.fixtures import tiny_tokenizers as tiny

SIZES = Sizes(slots=4, n_pages=33, page=8, pasts=(64,), chunks=(16,), batch_tokens=64, burst=4)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder: Path = tmp_path_factory.mktemp("bpe")
    return load_tokenizer(tiny.write_folder(folder, tiny.train_bpe()))


@pytest.fixture(scope="module")
def engine(tokenizer: Tokenizer) -> Engine:
    vocab = -(-tokenizer.vocab_size // 64) * 64
    cfg = ModelConfig("llama", vocab, d_model=32, d_mlp=48, n_layers=1, n_heads=4, n_kv_heads=2, d_head=8)
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    with jax.set_mesh(mesh):
        tree = jax.tree.map(lambda w: 3 * w, params.init(cfg, jax.random.key(0), stacked=False))
        axes = params.logical_axes(cfg, stacked=False)
        roles = {"judge": Role(Sampling(max_tokens=40)), "doctor": Role(Sampling(max_tokens=20))}
        made = Engine(cfg, mesh, SIZES, roles, grammars=Grammars(tokenizer, vocab))
        made.update("base", jax.device_put(tree, sharding.shardings(mesh, axes, tree, sharding.Rules())))
    return made


def one(request: Generate):
    return (yield request)


def run(engine: Engine, requests: list[Generate], keys: list[int]):
    with jax.set_mesh(engine.mesh):
        return engine.run([one(request) for request in requests], keys=keys)


def test_verdicts_parse_and_free_rows_are_what_they_are_alone(engine: Engine, tokenizer: Tokenizer):
    schema = json.dumps(VERDICT)
    verdicts = [Generate("judge", [5, 6, 7 + i % 3], 26 + i, schema) for i in range(12)]
    free = [Generate("doctor", [5, 6, 7 + i]) for i in range(4)]
    mixed = [r for i in range(4) for r in (*verdicts[3 * i : 3 * i + 3], free[i])]
    results = run(engine, mixed, list(range(16)))
    assert not any(isinstance(r, Failed) for r in results)
    said = [parse_verdict(tokenizer.decode(r.tokens)) for i, r in enumerate(results) if i % 4 < 3]
    assert all(isinstance(reason, str) and isinstance(met, bool) for reason, met in said)
    assert {met for _, met in said} == {True, False}  # the verdict stays the model's
    alone = run(engine, free, [3, 7, 11, 15])
    assert [results[i].tokens.tolist() for i in (3, 7, 11, 15)] == [r.tokens.tolist() for r in alone]


def test_free_rows_go_in_bursts_beside_those_under_a_grammar(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """And every row is, to the bit, what it is among its own."""
    bursts: list[tuple[set[bool], bool, int]] = []
    burst = Lane._burst

    def watched(lane, places, B, past, budget, constrained, wide):
        made = burst(lane, places, B, past, budget, constrained, wide)
        bursts.append(({row.constraint is not None for row in budget}, constrained, int(made.made_B.max())))
        return made

    schema = json.dumps(VERDICT)
    verdicts = [Generate("judge", [8, 6, 5, i], 30, schema) for i in range(2)]
    free = [Generate("doctor", [9, 6, 5, i]) for i in range(2)]
    engine.forget()
    apart = [*run(engine, verdicts, [0, 1]), *run(engine, free, [2, 3])]
    engine.forget()
    monkeypatch.setattr(Lane, "_burst", watched)
    together = run(engine, [*verdicts, *free], [0, 1, 2, 3])
    for a, b in zip(together, apart, strict=True):
        for name in ("tokens", "logp_full", "logp_sampling"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert all(kinds == {constrained} for kinds, constrained, _ in bursts)
    assert {made for _, constrained, made in bursts if constrained} == {1}
    assert max(made for _, constrained, made in bursts if not constrained) == SIZES.burst
    ahead = [sum(made for _, kind, made in bursts[:8] if kind is constrained) for constrained in (True, False)]
    assert ahead[0] >= ahead[1] - SIZES.burst > 0  # nobody is left behind


def test_a_schema_that_cannot_be_kept_ends_its_dialogue(engine: Engine):
    bad = [Generate("judge", [5], 10, json.dumps(VERDICT)), Generate("judge", [5], 40, "{"), Generate("doctor", [5], 2)]
    short, broken, fine = run(engine, bad, [0, 1, 2])
    assert "max_tokens 10" in str(short.error) and isinstance(broken.error, ValueError)
    assert len(fine.tokens) == 2


def test_a_grammar_that_gives_up_ends_its_dialogue_alone(engine: Engine):
    """It compiles, but there are too many ways to go on."""
    ways = [{"type": "object", "properties": {f"k{i}": {}}, "required": [f"k{i}"]} for i in range(3000)]
    verdict, free = Generate("judge", [5, 6], 40, json.dumps(VERDICT)), Generate("doctor", [5])
    wide = Generate("judge", [5, 6], 40, json.dumps({"anyOf": ways}))
    broken, *others = run(engine, [wide, verdict, free], [0, 1, 2])
    assert isinstance(broken.error, ValueError) and "too complex" in str(broken.error)
    assert len(str(broken.error)) < 300
    alone = run(engine, [verdict, free], [1, 2])
    assert [r.tokens.tolist() for r in others] == [r.tokens.tolist() for r in alone]
    assert all(pages.available == pages.n_pages - 1 for pages in engine.lanes["base"].scheduler.pages)
