"""Whole consultations in miniature: rows, gradients, and a run that goes on to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import rl_stage3
from m2jax import run as training
from m2jax.metrics import read_jsonl, read_metrics
from m2jax.models import params
from m2jax.models.config import ModelConfig
from m2jax.patient.outcome import Outcome
from m2jax.patient.script import sample_script
from m2jax.patient.simulate import Consultation
from m2jax.rollout import sessions
from m2jax.rollout.sessions import Episode, Rules, Turn
from m2jax.rollout.single_turn import Reward, Rollout
from m2jax.sampler.requests import Completion
from m2jax.train import batches, grpo
from m2jax.verifier.rubric import Case, Criterion
from tests.train import tiny_run

CFG = ModelConfig("qwen2", vocab_size=64, d_model=32, d_mlp=48, n_layers=2, n_heads=4, n_kv_heads=2, d_head=8)
HELD = Consultation(sample_script(3, "train"), (), (), ())
CASE = Case("a", "cough", "train", ({"role": "user", "content": "I cough."},), (Criterion("Asks", 1, "inquiry"),))
VALUES = {
    "data.prompts_per_step": 2,
    "data.samples_per_prompt": 4,
    "data.max_prompt_tokens": 400,
    "sampling.max_tokens": 24,
    "sampling.temperature": 1.0,
    "consult.context_tokens": 2400,
    "consult.patient_tokens": 8,
    "consult.adapter": "",
    "eval.cases": 2,
}


def episode(seed: int, *scores: float, opening: int = 6) -> Episode:
    """An opening of so many tokens, and replies of three tokens with two of the patient between."""
    rng = np.random.default_rng(seed)
    tokens, turns = np.random.default_rng(0).integers(0, 64, opening).tolist(), []
    for i, score in enumerate(scores):
        tokens += rng.integers(0, 64, 2 if i else 0).tolist()
        own = rng.integers(0, 64, 3).astype(np.int32)
        logp = (-4 + 0.3 * rng.standard_normal(3)).astype(np.float32)
        turns.append(Turn(CASE, len(tokens), Completion(own, logp, logp, True), "", (), score, {}, "inquiry", ""))
        tokens += own.tolist()
    return Episode(tokens, tuple(turns), Outcome(0, 0, 0, 0, len(scores)), "limit", 0, HELD)


def gradient(groups: grpo.Groups):
    rows = jax.tree.map(lambda x: jnp.asarray(x[0]), groups)
    tree = jax.tree.map(lambda w: 3 * w, params.init(CFG, jax.random.key(0), stacked=False))
    value = lambda tree: grpo.objective(CFG, grpo.Grpo(l_max=8), tree, None, rows, jnp.int32(1))[0]  # noqa: E731
    return jax.jit(jax.value_and_grad(value))(tree)


def test_with_one_turn_it_is_the_update_of_single_replies():
    group = sessions.pay([episode(1, 0.9), episode(2, 0.2), episode(3, 0.4)], Rules(Reward(), 100, 0.0))
    replies = [
        Rollout(CASE, e.tokens[: t.start], t.completion, "", [], t.score, t.bonus, {}) for e in group for t in e.turns
    ]
    made = [
        batches.minibatches([samples], 1, 1, 3, *shape)[0][0]
        for samples, shape in (
            (batches.of_replies(replies), (16, 4)),
            (batches.of_episodes(group, 16), (16, 4)),
            (batches.of_episodes(group, 2), (2, 16)),  # of the opening a part is in each sample
        )
    ]
    jax.tree.map(np.testing.assert_array_equal, made[0], made[1])
    want, got = gradient(made[0]), gradient(made[2])
    assert abs(want[0]) > 1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), want, got)


def test_only_the_doctors_tokens_have_a_gradient(monkeypatch: pytest.MonkeyPatch):
    group = sessions.pay([episode(1, 0.9, 0.1, 0.5), episode(2, 0.2, 0.6)], Rules(Reward(length_scale=0), 100, 0.0))
    ((groups, _),) = batches.minibatches([batches.of_episodes(group, 4)], 1, 1, 2, 4, 16)
    rows = jax.tree.map(lambda x: jnp.asarray(x[0]), groups)

    def loss(logp: jax.Array) -> jax.Array:
        monkeypatch.setattr(grpo, "completion_logprobs", lambda *_: (logp, jnp.ones_like(logp)))
        return grpo.objective(CFG, grpo.Grpo(l_max=8, tis_cap=2.0), {}, None, rows, jnp.int32(1))[0]

    slopes = np.asarray(jax.grad(loss)(rows.old_logp))
    trained = np.zeros((1, 2, 16), bool)
    for r, one in enumerate(group):
        for turn in one.turns:
            trained[0, r, turn.start - 4 : turn.start - 1] = True
    np.testing.assert_array_equal(slopes != 0, trained & (np.asarray(rows.advantage) != 0))
    assert trained.sum() == 15 and (slopes != 0).sum() >= 12
    # on-policy the slope is -A / (R * l_max), of each token its turn's
    np.testing.assert_allclose(slopes, -np.asarray(rows.advantage) / 16, atol=1e-7)


def test_rows_are_as_wide_as_the_longest_needs():
    samples = lambda n: [[batches.of_episodes([episode(1, *[0.5] * n)], 4)[0]]]  # noqa: E731
    assert [batches.width(samples(n), 64) for n in (1, 3, 4, 12)] == [16, 16, 32, 64]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.write_model(tmp_path_factory.mktemp("model") / "model")


def config(model: Path, **values: object):
    c = rl_stage3.get_config("session-smoke")
    c.update_from_flattened_dict({"model": str(model), **VALUES, **values})
    return c


def test_a_run_learns_and_goes_on_to_the_bit(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with tiny_run.one_device(monkeypatch):
        training.run(config(model, steps=2), whole, "")
        training.run(config(model, steps=1), broken, "")
        training.run(config(model, steps=2), broken, "")
    rows = [read_metrics(folder) for folder in (whole, broken)]
    timeless = [
        [{k: v for k, v in row.items() if "second" not in k and "_s" not in k and k != "compiles"} for row in side]
        for side in rows
    ]
    assert timeless[0] == timeless[1] and len(timeless[0]) == 2
    for row in rows[0]:
        assert 1 <= row["consult/rounds"] <= 2 and 0 <= row["reward/outcome"] <= 1
        assert row["update/tokens"] > 2 * row["consult/rounds"] and row["update/grad_norm"] > 0
        # one policy in two numerics: each token was sampled after what the learner sees before it
        assert row["update/logp_gap_mean"] < 1e-4
    assert "Share of the key facts asked for" in (whole / "report.html").read_text()
    told = json.loads((whole / "summary.json").read_text())["consultations"]
    assert told == json.loads((broken / "summary.json").read_text())["consultations"]
    assert 1 <= told["messages"]["after"] <= 2 and 0 <= told["share"]["before"] <= 1
    held = read_jsonl(whole / "consultations_after.jsonl")
    assert len(held) == 2 and all(row["lines"][0]["who"] == "patient" and len(row["lines"]) > 1 for row in held)
    kept = [[file.read_text() for file in sorted((folder / "dialogues").iterdir())] for folder in (whole, broken)]
    assert kept[0] == kept[1] and len(kept[0]) == 2
    rows = [json.loads(line) for text in kept[0] for line in text.splitlines()]
    assert {row["kind"] for row in rows} == {"episode"} and all(row["lines"][-1]["units"]["gate"] for row in rows)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_cannot_be(model: Path, tmp_path: Path, share: float):
    with pytest.raises(SystemExit, match=f"config.consult.outcome is {share}"):
        training.run(config(model, **{"consult.outcome": share}), tmp_path / "run", "")


@pytest.mark.parametrize("preset", ["smoke", "cpu", "chip", "0.5b", "7b", "32b"])
def test_every_preset_has_its_sessions(preset: str):
    c, slices = rl_stage3.get_config(f"session-{preset}"), rl_stage3.get_config(preset)
    assert c.consult.session and not slices.consult.session and c.preset == f"session-{preset}"
    assert c.consult.context_tokens >= c.data.max_prompt_tokens + c.sampling.max_tokens
    assert c.data.samples_per_prompt % (c.grpo.row_samples or 1) == 0
