"""Loading and exporting never hold the model twice: the peak memory of a process of its own (Linux)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from m2jax.models import params as parameters
from m2jax.models.config import ModelConfig

CFG = ModelConfig(
    "llama",
    vocab_size=8000,
    d_model=512,
    d_mlp=1536,
    n_layers=14,
    n_heads=8,
    n_kv_heads=4,
    d_head=64,
    tied=True,
)
MODEL_BYTES = 4 * parameters.count(CFG)
PROGRAM = """
import re, sys
from pathlib import Path
import jax, jax.numpy as jnp
from m2jax.models import params
from m2jax.models.config import ModelConfig, to_hf
from m2jax.weights.export import export
from m2jax.weights.load import load
from tests.weights.test_load_memory import CFG

work, folder, stacked = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "stacked"
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
jax.block_until_ready(jnp.ones((8, 8)) @ jnp.ones((8, 8)))
before = peak()
if work == "export":
    tree = jax.tree.map(lambda a: jnp.ones(a.shape, a.dtype), params.abstract(CFG, stacked=stacked))
    export(CFG, tree, folder)
else:
    jax.block_until_ready(load(folder, stacked=stacked, dtype=jnp.float32)[1])
print(peak() - before)
"""


@pytest.mark.parametrize("layers", ["unrolled", "stacked"])
def test_the_model_stands_in_memory_once(tmp_path: Path, layers: str) -> None:
    abstract = parameters.abstract(CFG, stacked=layers == "stacked")
    largest = max(4 * array.size for array in jax.tree.leaves(abstract))
    for work in ("export", "load"):
        command = [sys.executable, "-c", PROGRAM, work, str(tmp_path / "model"), layers]
        # the allocator's settings that `make` exports keep freed memory, which would count as used
        environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        used = int(done.stdout)
        assert 0.9 * MODEL_BYTES < used < 1.35 * MODEL_BYTES + largest, (work, used / MODEL_BYTES)
