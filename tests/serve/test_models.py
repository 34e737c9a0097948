"""Which weights a server's models have: of the checkpoint, and of a run."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from m2jax import checkpoint, sharding
from m2jax.models import lora, params
from m2jax.serve import models
from m2jax.weights.load import load
from tests.train import tiny_run


@pytest.mark.parametrize(
    ("made", "rank", "layers", "plays"),
    [("", 4, "unrolled", "doctor"), ("grader", 4, "scanned", "judge"), ("affective", 0, "unrolled", "patient")],
)
def test_a_run_plays_the_role_it_was_trained_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str, rank: int, layers: str, plays: str
):
    folder = tiny_run.write_model(tmp_path / "tiny")
    stacked = layers == "scanned"
    if rank:
        trained = lora.init(tiny_run.CFG, jax.random.key(0), rank, 1.0, stacked=stacked)
    else:
        trained = jax.tree.map(lambda w: w + 1, load(folder, stacked=stacked, dtype="float32")[1])
    config = {"model": str(folder), "layers": layers, "lora": {"rank": rank}, "data": {"made": made}}
    axes = (lora if rank else params).logical_axes(tiny_run.CFG, stacked=stacked)

    def load_trained(run: Path, mesh: jax.sharding.Mesh):
        where = sharding.shardings(mesh, axes, trained, sharding.Rules())
        return tiny_run.CFG, jax.device_put(trained, where), config, 1

    monkeypatch.setattr(checkpoint, "load_trained", load_trained)
    served = models.serve("another", Path("runs/x"), mesh=(1, 2, 1), slots=1, longest=64)
    assert [*served.models] == ["tiny", "doctor", "patient", "judge"]
    assert served.models[plays] == "tiny: what runs/x trained"
    roles = served.engine.roles
    assert {name for name, role in roles.items() if "run" in (role.adapter, role.params)} == {plays}
    if rank:
        (mine,) = served.engine.lanes["base"]._adapters.values()
        first = jax.tree.map(lambda x: x[0], trained) if stacked else trained[0]
        for a, b in zip(jax.tree.leaves(mine[0]), jax.tree.leaves(first), strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        assert served.engine.lanes.keys() == {"base", "run"}
        mine = served.engine.lanes["run"]._params
        jax.tree.map(np.testing.assert_array_equal, mine, trained)
    axes = (lora if rank else params).logical_axes(tiny_run.CFG, stacked=False)
    where = sharding.shardings(served.engine.mesh, axes, mine, sharding.Rules())
    assert all(jax.tree.leaves(jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s, x.ndim), mine, where)))


def test_a_model_that_would_hide_a_role_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="rename its folder"):
        models.serve(str(tiny_run.write_model(tmp_path / "judge")), slots=1, longest=64)
