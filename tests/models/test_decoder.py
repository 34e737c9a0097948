"""The forward against transformers (golden files by `make_golden.py`), and scanned against unrolled layers."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax.models import attention, config, decoder, params
from m2jax.weights.load import load

GOLDEN = Path(__file__).parent / "golden"
TINY = ("llama_tied", "llama3_rope_untied", "qwen2_untied", "qwen3_tied")


def golden_model(name, *, stacked):
    data = np.load(GOLDEN / f"{name}.npz")
    cfg = config.from_hf(json.loads(str(data["config"])))
    return cfg, from_stored(cfg, data, stacked=stacked), data


def from_stored(cfg, data, *, stacked):
    def one(row, layer):
        stored = np.asarray(data[f"weight/{row.hf.format(layer)}"])
        merged, ours = row.hf_layout.split(" -> ")
        sizes = dict(zip(ours.split(), row.shape, strict=True))
        flat = merged.replace("(", "").replace(")", "").split()
        return stored.reshape([sizes[d] for d in flat]).transpose([flat.index(d) for d in ours.split()])

    tree = params.build(cfg, one, stacked=False)
    tree = jax.tree.map(jnp.asarray, tree)
    return params.stack_layers(tree) if stacked else tree


def logits_of(cfg, tree, tokens):
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    attend = attention.packed(jnp.ones(tokens.shape, jnp.int32))
    hidden, _ = decoder.forward(cfg, tree, tokens, positions, attend)
    return hidden @ decoder.unembed(tree).T


@pytest.mark.parametrize("stacked", [False, True], ids=["unrolled", "scanned"])
@pytest.mark.parametrize("name", TINY)
def test_logits_equal_transformers(name, stacked):
    cfg, tree, data = golden_model(name, stacked=stacked)
    logits = jax.jit(logits_of, static_argnums=0)(cfg, tree, jnp.asarray(data["tokens"]))
    np.testing.assert_allclose(logits, data["logits"], atol=1e-4)


@pytest.mark.parametrize("name", TINY)
def test_config_round_trip(name):
    cfg = golden_model(name, stacked=False)[0]
    assert config.from_hf(config.to_hf(cfg)) == cfg


@pytest.mark.parametrize("name", TINY)
def test_table_counts_what_the_tree_holds(name):
    cfg, tree, _ = golden_model(name, stacked=True)
    assert params.count(cfg) == sum(x.size for x in jax.tree.leaves(tree))
    shapes = jax.tree.map(lambda x: x.shape, params.abstract(cfg, stacked=True))
    assert shapes == jax.tree.map(lambda x: x.shape, tree)
    assert shapes == jax.tree.map(lambda x: x.shape, params.init(cfg, jax.random.key(0), stacked=True))


def test_unsupported_model_is_named():
    with pytest.raises(ValueError, match="GemmaForCausalLM"):
        config.from_hf({"architectures": ["GemmaForCausalLM"]})


@pytest.mark.parametrize("i", range(3))
def test_smollm2_logits_equal_transformers(smollm2, i):
    cfg, tree = smollm2
    data = np.load(GOLDEN / "smollm2.npz")
    tokens = np.zeros((1, 96), np.int32)  # one shape for the three texts; padding is behind what is compared
    n = len(data[f"tokens_{i}"])
    tokens[0, :n] = data[f"tokens_{i}"]

    def compare(options, at_first, others):
        logits = jax.jit(logits_of, static_argnums=0, compiler_options=options)(cfg, tree, tokens)[0, :n]
        lse = jax.nn.logsumexp(logits, axis=-1)
        for got, want in ((logits[:, data["columns"]], data[f"logits_{i}"]), (lse, data[f"lse_{i}"])):
            np.testing.assert_allclose(got[0], want[0], atol=at_first)
            np.testing.assert_allclose(got[1:], want[1:], atol=others)

    # The first position is the attention sink, whose activations are the largest: how a matmul adds up shows there
    # first. XLA's own dots keep it within 1e-4; those of YNNPACK, which XLA's CPU prefers, do not (docs/log.md).
    compare({}, 2e-4, 1e-4)
    if jax.default_backend() == "cpu":
        compare({"xla_cpu_experimental_ynn_fusion_type": ""}, 1e-4, 2e-4)


@pytest.fixture(scope="module")
def smollm2(smollm2_path):
    return load(smollm2_path, stacked=False, dtype=jnp.float32)
