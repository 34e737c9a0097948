"""The sampler's programs through the TPU compiler, ahead of time: no TPU is needed, only its compiler (libtpu).

The model is wide enough for the kernel's shapes (40 query heads, 8 kv heads of 128, as Qwen2.5-32B has) and small
everywhere else: what is looked for is whether Mosaic takes the kernel and whether XLA copies the cache.
"""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax import sharding
from m2jax.models import attention, params
from m2jax.models.config import ModelConfig
from m2jax.sampler import cache, programs
from m2jax.sampler.sampling import Knobs

pytest.importorskip("libtpu", reason="the TPU compiler is not installed: pip install 'm2jax[tpu]'")

CFG = ModelConfig("qwen2", vocab_size=512, d_model=256, d_mlp=512, n_layers=2, n_heads=40, n_kv_heads=8, d_head=128)
PAGE, N_PAGES, PAST, CHUNK, BURST = 32, 8192, 256, 64, 8  # pages of 2 GiB over all heads: nothing else is near
pytestmark = pytest.mark.aot
TARGETS = [("v5p:2x2x1", (1, 2, 2)), ("v6e:2x2", (1, 1, 4)), ("v6e:2x2", (2, 2, 1))]


@pytest.fixture(params=TARGETS, ids=str)
def mesh(request):
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}  # read when libtpu is loaded
    from jax.experimental import topologies

    topology, shape = request.param
    mesh = sharding.make_mesh(shape, list(topologies.get_topology_desc(topology, "tpu").devices))
    least = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)  # a program for no device cannot be read back
    with jax.set_mesh(mesh):
        yield mesh
    jax.config.update("jax_persistent_cache_min_compile_time_secs", least)


def abstract_params(mesh):
    shapes = params.abstract(CFG, jnp.bfloat16, stacked=True)
    where = sharding.shardings(mesh, params.logical_axes(CFG, stacked=True), shapes, sharding.Rules())
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, where)


def batch(mesh, *shape, dtype=jnp.int32):
    spec = sharding.batch_spec(len(shape)) if shape else jax.P()
    return jax.ShapeDtypeStruct(shape, dtype, sharding=jax.NamedSharding(mesh, spec))


def compile_all(mesh, pages):
    """The programs of a sampler over `pages`, compiled: 4 rows on each shard."""
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    B, tree = 4 * shards, abstract_params(mesh)
    rows = programs.Rows(batch(mesh, B, PAST // PAGE), batch(mesh, B), None)
    request, stop, floats = batch(mesh, B, 2, dtype=jnp.uint32), batch(mesh, B, 2), batch(mesh, B, dtype=jnp.float32)
    knobs = Knobs(floats, batch(mesh, B), floats)
    draws = programs.Draws(batch(mesh, B), request, batch(mesh, B), batch(mesh, B), stop, knobs, None)
    args = CFG, tree, pages, PAST
    suffixes = batch(mesh, B, 2 * 16), batch(mesh, B, 2), batch(mesh, B, 2)
    tokens = batch(mesh, B, CHUNK)
    if cache.is_ragged(pages):
        prefill = programs.prefill_in_pages.lower(CFG, tree, pages, rows, tokens, batch(mesh, B))
    else:
        prefill = programs.compute_new.lower(*args, rows, tokens)
    lowered = {
        "prefill": prefill,
        "decode": programs.decode.lower(*args, BURST, rows, draws, batch(mesh, dtype=jnp.uint32), batch(mesh)),
        "score": programs.score_choices.lower(*args, rows, 2, *suffixes),
        "copy": programs.copy_pages.lower(pages, batch(mesh, shards, 4), batch(mesh, shards, 4)),
    }
    return {name: program.compile() for name, program in lowered.items()}


def test_the_kernels_programs_compile_and_never_copy_the_cache(mesh):
    assert attention.ragged_serves(CFG.n_kv_heads, CFG.d_head, jnp.bfloat16)
    pages = cache.ragged(CFG, N_PAGES * mesh.size // mesh.shape["model"], PAGE, jnp.bfloat16)
    size = 2 * np.prod(pages["kv"].sharding.shard_shape(pages["kv"].shape))
    for name, program in compile_all(mesh, pages).items():
        assert ("tpu_custom_call" in program.as_text()) == (name in ("prefill", "decode")), name
        assert program.memory_analysis().temp_size_in_bytes < size / 4, name


def test_the_references_programs_compile(mesh):
    assert not attention.ragged_serves(CFG.n_kv_heads, 64, jnp.bfloat16)  # SmolLM2's heads
    pages = cache.dense(CFG, N_PAGES * mesh.size // mesh.shape["model"], PAGE, jnp.bfloat16, stacked=True)
    for program in compile_all(mesh, pages).values():
        assert "tpu_custom_call" not in program.as_text()
