"""`attention.ragged` is `extend` and `decode` over pages: by JAX's kernel, interpreted, and by its oracle."""

import contextlib
import functools
from collections.abc import Callable
from types import SimpleNamespace
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax import sharding
from m2jax.models import attention
from m2jax.sampler import cache
from tests.models import ragged_kernel

L, PAGES, S, K, G, H = 2, 13, 4, 2, 4, 128
B, N = 3, 4  # rows, and pages in each row's table: 16 tokens


def how(kernel: str) -> contextlib.AbstractContextManager:
    if kernel == "oracle":
        return mock.patch.object(attention, "ragged_paged_attention", ragged_kernel.oracle)
    return ragged_kernel.interpreted(queries_per_block=4)


def case(seed: int, T: int) -> SimpleNamespace:
    """Random pages, and rows with a random number of tokens in them and of new ones; the last row only fills up."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    start = np.append(rng.integers(0, N * S - T + 1, B - 1), 0)
    count = np.append(rng.integers(1, T + 1, B - 1), 0)
    start[0] = N * S - count[0]  # up to the end of its table: its padding lies beyond
    table = 1 + rng.permutation(PAGES - 1)[: B * N].reshape(B, N)
    table[-1] = 0
    arrays = {name: jnp.asarray(x, jnp.int32) for name, x in (("table", table), ("start", start), ("count", count))}
    kv = normal(L, PAGES, S, 2 * K, H)
    return SimpleNamespace(
        q=normal(B, T, K, G, H), k=normal(B, T, K, H), v=normal(B, T, K, H), kv=kv, layer=jnp.int32(1), **arrays
    )


def past_of(c: SimpleNamespace) -> dict[str, jax.Array]:
    return cache.read(attention.Pages(c.kv, c.layer), c.table)


@functools.cache
def compiled(kernel: str) -> Callable:
    @jax.jit
    def run(q, k, v, kv, layer, table, start, count):
        return attention.ragged(table, start, count)(q, k, v, attention.Pages(kv, layer))

    return run


def run_ragged(c: SimpleNamespace, kernel: str) -> tuple[np.ndarray, attention.Pages]:
    with how(kernel):
        out, pages = compiled(kernel)(**vars(c))
    return np.asarray(out), pages


@pytest.mark.parametrize("kernel", ["interpreted", "oracle"])
def test_a_chunk_sees_what_extend_lets_it_see(kernel):
    for seed in range(3):
        c = case(seed, T=6)
        expected, _ = attention.extend(c.start)(c.q, c.k, c.v, past_of(c))
        out, _ = run_ragged(c, kernel)
        for b in range(B):
            np.testing.assert_allclose(out[b, : c.count[b]], expected[b, : c.count[b]], atol=1e-5)


@pytest.mark.parametrize("kernel", ["interpreted", "oracle"])
def test_one_token_is_a_step_of_decode(kernel):
    for seed in range(3):
        c, past = case(seed, T=1), past_of(case(seed, T=1))
        layer = {
            "k": jnp.pad(past["k"], ((0, 0), (0, 0), (0, 0), (0, 1))),
            "v": jnp.pad(past["v"], ((0, 0), (0, 0), (0, 1), (0, 0))),
        }
        expected, _ = attention.decode(c.start, past["k"].shape[-1], jnp.int32(0))(c.q, c.k, c.v, layer)
        out, _ = run_ragged(c, kernel)
        np.testing.assert_allclose(out[:-1], expected[:-1], atol=1e-5)


@pytest.mark.parametrize("T", [1, 6])
def test_only_the_new_tokens_places_and_page_0_change(T):
    c = case(3, T)
    _, pages = run_ragged(c, "oracle")
    expected = np.array(c.kv)
    for b in range(B):
        for t in range(int(c.count[b])):
            page, place = divmod(int(c.start[b]) + t, S)
            expected[1, c.table[b, page], place, 0::2] = c.k[b, t]
            expected[1, c.table[b, page], place, 1::2] = c.v[b, t]
    np.testing.assert_array_equal(pages.kv[1, 1:], expected[1, 1:])
    np.testing.assert_array_equal(pages.kv[0], c.kv[0])
    assert pages.layer == 2


def test_every_shard_of_a_mesh_has_its_own_pages_and_heads():
    c = case(5, 6)
    alone, _ = run_ragged(c, "oracle")
    twice = {name: jnp.concatenate([getattr(c, name)] * 2) for name in ("q", "k", "v", "table", "start", "count")}
    with jax.set_mesh(sharding.make_mesh((1, 2, 2), jax.devices()[:4])):
        put = lambda x, *rest: jax.reshard(x, jax.P(("data", "fsdp"), *rest))  # noqa: E731
        heads = {name: put(twice[name], None, "model") for name in ("q", "k", "v")}
        rows = {name: put(twice[name]) for name in ("table", "start", "count")}
        kv = jax.reshard(jnp.concatenate([c.kv] * 2, axis=1), attention.KV_SPEC)
        out, _ = run_ragged(SimpleNamespace(**heads, **rows, kv=kv, layer=c.layer), "oracle")
    for b in range(2 * B):
        n = c.count[b % B]
        np.testing.assert_allclose(out[b, :n], alone[b % B, :n], atol=1e-6)


@pytest.mark.parametrize(
    ("platform", "n_kv_heads", "d_head", "dtype", "serves"),
    [
        ("tpu", 8, 128, jnp.bfloat16, True),  # Qwen2.5-32B: 4 kv heads on each of 2
        ("tpu", 2, 128, jnp.bfloat16, True),
        ("tpu", 8, 128, jnp.float32, True),
        ("tpu", 8, 64, jnp.bfloat16, False),  # half the lanes
        ("tpu", 8, 256, jnp.bfloat16, False),
        ("tpu", 6, 128, jnp.bfloat16, False),  # 3 on each: no tile of registers
        ("cpu", 8, 128, jnp.bfloat16, False),
    ],
)
def test_the_kernel_serves_where_heads_fill_registers(monkeypatch, platform, n_kv_heads, d_head, dtype, serves):
    devices = np.array([SimpleNamespace(platform=platform)])
    mesh = SimpleNamespace(empty=False, devices=devices, shape={"data": 1, "fsdp": 1, "model": 2})
    monkeypatch.setattr(jax.sharding, "get_mesh", lambda: mesh)
    assert attention.ragged_serves(n_kv_heads, d_head, dtype) is serves
