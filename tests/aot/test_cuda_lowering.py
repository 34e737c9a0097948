"""The programs of a run lowered for NVIDIA GPUs where there is none: cuDNN's attention where it is expected, and
nothing of a TPU.
"""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.export
import pytest
from jax._src.cudnn import fused_attention_stablehlo

from configs import rl_stage2
from m2jax import sharding
from m2jax.aot import programs
from m2jax.models.config import ModelConfig
from m2jax.sampler import programs as sampler
from m2jax.train import step
from tests.conftest import REPOSITORY

GPU = jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", 132, platform="gpu")
TINY = ModelConfig("qwen2", vocab_size=512, d_model=64, d_mlp=128, n_layers=2, n_heads=4, n_kv_heads=2, d_head=64)
KERNELS = ("__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward")  # of a causal mask alone; no other may be exported


@pytest.fixture
def text(monkeypatch):
    """Of a program of the `chip` preset with a tiny model on two H100s, by its name and config.dtype."""

    def exporting(jitted):
        """In place of `jitted`: what asks it to lower gets its export."""
        kernels = [jax.export.DisabledSafetyCheck.custom_call(name) for name in KERNELS]
        export = jax.export.export(jitted, platforms=["cuda"], disabled_checks=kernels)
        return SimpleNamespace(lower=lambda *args: export(*args))

    make_step = step.make_step
    monkeypatch.setattr(step, "make_step", lambda *args: exporting(make_step(*args)))
    for name in ("compute_new", "decode", "score_choices"):
        monkeypatch.setattr(sampler, name, exporting(getattr(sampler, name)))
    monkeypatch.setattr(sharding, "target", lambda: GPU)  # the devices themselves are CPUs
    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)  # it asks the machine
    monkeypatch.setitem(programs.KNOWN, "tiny", TINY)

    def lowered(name: str, dtype: str) -> str:
        config = rl_stage2.get_config("chip")
        config.model, config.dtype = "tiny", dtype
        config.data.max_prompt_tokens = config.sampling.max_tokens = 64
        config.data.prompts_per_step, config.data.samples_per_prompt, config.sampling.slots = 2, 4, 8
        plan = programs.plan(config, sharding.make_mesh((1, 2, 1), jax.devices()[:2]))
        exported = plan.programs[name]()
        assert exported.platforms == ("cuda",) and exported.nr_devices == 2
        return exported.mlir_module()

    return lowered


def test_the_update_attends_by_cudnn_forward_and_backward(text):
    module = text("update", "bfloat16")
    assert all(f"custom_call @{name}(" in module for name in KERNELS)
    assert "tpu_custom_call" not in module


def test_float32_takes_einsums(text):
    assert "custom_call @__cudnn" not in text("update", "float32")


@pytest.mark.parametrize("name", ["prefill", "decode", "score"])
def test_the_samplers_programs_lower_without_kernels(text, name):
    module = text(name, "bfloat16")
    assert "__cudnn" not in module and "tpu_custom_call" not in module and "dot_general" in module


def test_no_tpu_kernel_is_imported():
    code = (
        "import sys, m2jax.run; from m2jax.models import attention; "
        "print([m for m in sys.modules if m.startswith('libtpu') or 'pallas.tpu' in m or 'pallas.ops.tpu' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
