"""The engine over the kernel's pages gives what it gives over the reference's: see `test_engine`."""

import jax
import jax.numpy as jnp
import pytest

from m2jax.models import attention
from m2jax.sampler import cache
from tests.models import ragged_kernel
from tests.sampler.test_engine import CFG, a_mixture, check_all, make_engine, run


@pytest.fixture
def on_a_tpu(monkeypatch):
    monkeypatch.setattr(attention, "ragged_serves", lambda *_: True)
    monkeypatch.setattr(attention, "ragged_paged_attention", ragged_kernel.oracle)


@pytest.mark.parametrize(
    ("shape", "layers", "dialogues"),
    [((2, 2, 2), "scanned", a_mixture()), ((1, 1, 1), "unrolled", a_mixture()[2:4])],
    ids=["mesh and scan", "unrolled"],
)
def test_the_kernels_pages_give_the_same_tokens(on_a_tpu, shape, layers, dialogues):
    made = make_engine(shape, layers)
    check_all(dialogues, run(made, dialogues))
    assert any(cache.is_ragged(lane._cache) for lane in made.lanes.values())


def test_a_copied_page_is_the_same_in_every_layer():
    kv = jax.random.normal(jax.random.key(0), (CFG.n_layers, 5, 4, 2 * CFG.n_kv_heads, CFG.d_head))
    copied = cache.copy({"kv": kv}, jnp.array([[3, 0]]), jnp.array([[1, 0]]))["kv"]
    assert (copied == kv[:, jnp.array([0, 3, 2, 3, 4])]).all()
