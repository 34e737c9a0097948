"""A run whose judge is an adapter, a model of its own, or one that votes."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import pytest

from configs import rl_stage2
from m2jax import adapters, sharding
from m2jax.models import lora
from m2jax.rollout.single_turn import results_of
from m2jax.train import rl
from m2jax.verifier.grader import Judge, grade
from m2jax.weights.adapter import write_adapter
from m2jax.weights.load import read_config
from tests.train import tiny_run


def test_the_adapter_judges_and_the_start_weights_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = tiny_run.write_all(tmp_path)
    cfg = read_config(files[0])
    made = lora.init(cfg, jax.random.key(0), 4, 8.0, stacked=False)
    made = jax.tree.map(lambda x: x if x.any() else jax.random.normal(jax.random.key(1), x.shape), made)
    write_adapter(cfg, made, tmp_path / "grader.safetensors")
    (tmp_path / "grader.json").write_text(json.dumps({"model": str(files[0])}))
    monkeypatch.setattr(adapters, "path", lambda name: tmp_path / f"{name}.safetensors")

    def judged(adapter: str, role: str) -> list[float]:
        mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
        with jax.set_mesh(mesh):
            parts, _ = rl.start(tiny_run.config(*files, **{"judge.adapter": adapter}), mesh)
            assert parts.judge.role == ("judge" if adapter else "start")
            judge = Judge(parts.tokenizer, role, parts.judge.max_prefix)
            asked = [grade(case, "Do you smoke?", judge) for case in parts.heldout]
            return [v.probability for given in results_of(parts.engine.run(asked)) for v in given if v.by == "judge"]

    without, beside = judged("", "start"), judged("grader", "start")
    assert beside == pytest.approx(without, abs=1e-6)
    assert max(abs(a - b) for a, b in zip(judged("grader", "judge"), without, strict=True)) > 1e-3


def test_a_model_of_its_own_judges_and_stays_as_it_is(tmp_path: Path):
    model, cases = tiny_run.write_all(tmp_path)
    other = tiny_run.write_model(tmp_path / "other", seed=1)

    def judged(model: Path, **values: object) -> list[float]:
        mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
        with jax.set_mesh(mesh):
            parts, _ = rl.start(tiny_run.config(model, cases, **values), mesh)
            assert parts.judge.role == ("verifier" if values else "start")
            asked = [grade(case, "Do you smoke?", parts.judge) for case in parts.heldout]
            return [v.probability for given in results_of(parts.engine.run(asked)) for v in given if v.by == "judge"]

    of_other = judged(other)
    assert judged(model) != pytest.approx(of_other, abs=1e-3)
    assert judged(model, verifier=str(other)) == pytest.approx(of_other, abs=1e-6)
    with pytest.raises(ValueError, match="whose shape is not that of config.model"):
        judged(model, verifier="smollm2-135m-instruct")
    with pytest.raises(ValueError, match="nothing is left for it to judge or to play"):
        judged(model, verifier=str(other), **{"reward.unchecked": "skip"})


def test_a_judge_that_votes_gives_a_reason_with_each_vote(tmp_path: Path):
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    with jax.set_mesh(mesh):
        parts, _ = rl.start(tiny_run.config(*tiny_run.write_all(tmp_path), **{"judge.votes": 3}), mesh)
        asked = [grade(case, "Do you smoke? " * 20, parts.judge) for case in parts.heldout]
        given = [v for verdicts in results_of(parts.engine.run(asked)) for v in verdicts if v.by == "judge"]
    told = parts.engine.stats()
    assert len(given) == len(parts.heldout) and all(0 < v.probability < 1 for v in given)
    assert told["verdicts"] == 3 * len(given) and told["decode_tokens"] > 3 * len(given) * 10


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"judge.adapter": "nurse"}, "judge.adapter is 'nurse'"),
        ({"judge.adapter": "affective", "model": "other"}, "the role's model is 'other'"),
        ({"judge.adapter": "affective", "reward.unchecked": "skip"}, "asks none"),
        ({"judge.adapter": "affective", "judge.url": "http://h/v1", "judge.model": "m"}, "judge.url another"),
        ({"judge.votes": -1}, "judge.votes is -1"),
        ({"judge.votes": 1, "reward.unchecked": "skip"}, "give 0, or more where it is 'judge'"),
        ({"judge.votes": 3, "sampling.temperature": 0.0}, "all votes are the same"),
    ],
    ids=str,
)
def test_an_adapter_that_cannot_judge_is_refused_before_anything_is_loaded(values: dict, says: str):
    config = rl_stage2.get_config("smoke")
    config.update_from_flattened_dict({"judge.adapter": ""} | values)
    with pytest.raises(ValueError, match=says):
        rl.start(config, None)
