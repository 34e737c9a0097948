"""What the compiled update sends between chips: gradients summed where they are kept, and no activation gathered."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

from configs import rl_stage2
from m2jax.aot import cost, hlo, programs, topology
from m2jax.models.config import ModelConfig

WIDE = ModelConfig("qwen2", vocab_size=2048, d_model=1024, d_mlp=4096, n_layers=4, n_heads=8, n_kv_heads=4, d_head=128)
pytestmark = pytest.mark.aot


@pytest.fixture(scope="module")
def compiled():
    """(text of the update on 64 v5p chips with the flags of `:32b`, a row of 1,024 tokens on each; chip and torus)."""
    pytest.importorskip("libtpu", reason="the TPU compiler is not installed: make setup EXTRA=tpu")
    config = rl_stage2.get_config("32b")
    config.model = "wide"
    config.data.prompts_per_step, config.data.samples_per_prompt, config.grpo.minibatches = 64, 4, 1
    config.data.max_prompt_tokens = config.sampling.max_tokens = 512
    mesh, torus, chip = topology.make_mesh("v5p:4x4x4", tuple(config.mesh))
    with_cache = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)  # a program for no device cannot be read back
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(programs.KNOWN, "wide", WIDE)
            lowered = programs.plan(config, mesh).programs["update"]()
        text = lowered.compile(compiler_options=programs.options(config, "update")).as_text()
    finally:
        jax.config.update("jax_enable_compilation_cache", with_cache)
    return text, torus, chip


def test_gradients_of_matrices_come_out_reduce_scattered(compiled):
    """Four micro-batches: each sums the gradients of seven matrices a layer, of the table and of the head."""
    text, torus, chip = compiled
    found = cost.estimate(text, chip, torus, 4).collectives
    assert found["reduce-scatter"].count >= 4 * (7 * WIDE.n_layers + 1)
    assert found["all-reduce"].bytes < found["reduce-scatter"].bytes / 4


def test_no_chip_is_sent_the_activations_of_others(compiled):
    """Neither the embedding's rows nor any later activation is put together from all chips."""
    sizes = [
        math.prod(array.dims)
        for computation in hlo.parse(compiled[0]).computations.values()
        for it in computation.instructions.values()
        if it.op.removesuffix("-start") in cost.COLLECTIVES
        for array in it.arrays
    ]
    matrix = np.max([WIDE.d_model * WIDE.d_mlp, WIDE.d_model * WIDE.vocab_size])
    assert sizes and max(sizes) <= WIDE.n_layers * matrix < 64 * 1024 * WIDE.d_model
