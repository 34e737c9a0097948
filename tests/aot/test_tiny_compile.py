"""The smallest proof that the TPU compiler takes our update: a tiny model, four v5p chips. Others: `make test-aot`."""

from __future__ import annotations

import jax
import pytest

from configs import rl_stage2
from m2jax.aot import programs, topology
from m2jax.models.config import ModelConfig

TINY = ModelConfig("qwen2", vocab_size=512, d_model=128, d_mlp=256, n_layers=2, n_heads=4, n_kv_heads=2, d_head=128)


def test_the_update_compiles_with_its_kernel(monkeypatch):
    pytest.importorskip("libtpu", reason="the TPU compiler is not installed: make setup EXTRA=tpu")
    monkeypatch.setitem(programs.KNOWN, "tiny", TINY)
    config = rl_stage2.get_config("chip")
    config.model, config.grpo.micro_groups, config.data.prompts_per_step, config.sampling.slots = "tiny", 4, 4, 8
    config.data.samples_per_prompt = 4
    config.data.max_prompt_tokens = config.sampling.max_tokens = 128
    mesh, _, chip = topology.make_mesh("v5p:2x2x1", (1, -1, 1))
    lowered = programs.plan(config, mesh).programs["update"]()
    with_cache = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)  # a program for no device cannot be read back
    try:
        compiled = lowered.compile()
    finally:
        jax.config.update("jax_enable_compilation_cache", with_cache)
    text = compiled.as_text()
    assert "tpu_custom_call" in text and "__cudnn" not in text
    assert "all-gather" in text or "all-reduce" in text  # the weights lie over four chips
    assert 0 < compiled.memory_analysis().peak_memory_in_bytes < chip.hbm * 2**30
