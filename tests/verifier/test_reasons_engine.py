"""A local judge that reasons, served by the engine: noise as weights, and still every verdict is sound."""

from __future__ import annotations

from pathlib import Path

import jax

from m2jax import sharding
from m2jax.models import params
from m2jax.sampler.engine import Engine
from m2jax.sampler.grammar import Grammars
from m2jax.sampler.requests import Role
from m2jax.sampler.sampling import Sampling
from m2jax.sampler.scheduler import Sizes
from m2jax.text.tokenizer import load_tokenizer
from m2jax.verifier.grader import Judge, grade
from tests.train import tiny_run
from tests.verifier.test_grader import case, judged

SIZES = Sizes(slots=4, n_pages=4 * 48 + 1, page=32, pasts=(1536,), chunks=(128,), batch_tokens=512, burst=8)


def test_every_vote_ends_in_a_verdict_with_its_probability(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_run.write_model(tmp_path / "model"))
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    of = case("a", judged("Is kind"), judged("Is rude", -3))
    axes = params.logical_axes(tiny_run.CFG, stacked=False)
    with jax.set_mesh(mesh):
        weights = params.init(tiny_run.CFG, jax.random.key(0), stacked=False)
        weights = jax.tree.map(sharding.place, weights, sharding.shardings(mesh, axes, weights, sharding.Rules()))
        grammars = Grammars(tokenizer, tiny_run.CFG.vocab_size)
        roles = {"judge": Role(Sampling(stop=tuple(tokenizer.eos_ids)))}
        engine = Engine(tiny_run.CFG, mesh, SIZES, roles, grammars=grammars)
        engine.update("base", weights)
        judge = Judge(tokenizer, votes=2, reason_tokens=60, max_prefix=SIZES.pasts[-1])
        (verdicts,) = engine.run([grade(of, "Does it hurt?", judge)], seed=3)
        (other,) = engine.run([grade(of, "Does it hurt?", judge)], seed=4)
    assert [v.by for v in verdicts] == ["judge", "judge"]
    assert all(0 < v.probability < 1 and v.met == (v.probability > 0.5) for v in verdicts)
    assert [v.probability for v in other] != [v.probability for v in verdicts]  # other reasons, drawn anew
