"""Layouts: what `einsum`, `times` and the reshapes keep, what they compute, and which errors name the axis."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax import sharding
from m2jax.sharding import P

BATCH = ("data", "fsdp")


@pytest.fixture(scope="module")
def cube() -> jax.sharding.Mesh:
    return sharding.make_mesh((2, 2, 2))


@pytest.fixture
def mesh(cube: jax.sharding.Mesh) -> Iterator[jax.sharding.Mesh]:
    with jax.set_mesh(cube):
        yield cube


def numbers(*shape: int) -> np.ndarray:
    """Small integers, whose sums are exact in float32 in any order."""
    return np.random.default_rng(0).integers(-4, 5, shape).astype(np.float32)


def placed(mesh: jax.sharding.Mesh, x: np.ndarray, *spec: str | tuple[str, ...] | None) -> jax.Array:
    return jax.device_put(x, jax.NamedSharding(mesh, P(*spec)))


@pytest.mark.parametrize(
    ("equation", "x_spec", "w_spec", "want"),
    [
        # the batch and the weight's rows both use fsdp: it stays with the batch
        ("bd,df->bf", (BATCH, None), ("fsdp", "model"), (BATCH, "model")),
        # the batch and the result's columns both want fsdp: the batch, which comes first, has it
        ("bd,df->bf", (BATCH, "model"), ("model", "fsdp"), (BATCH, None)),
        ("bd,df->bf", (None, "model"), ("model", "fsdp"), (None, "fsdp")),
        ("bd,fd->bf", (BATCH, None), ("model", "fsdp"), (BATCH, "model")),
        # a weight is gathered off both axes of its columns where the batch has one of them
        ("bd,df->bf", (BATCH, None), (None, ("fsdp", "context")), (BATCH, None)),
        ("bd,df->bf", (None, None), (None, None), (None, None)),
    ],
)
def test_einsum_keeps_layouts_and_values(mesh, equation, x_spec, w_spec, want):
    x, w = numbers(8, 4), numbers(4, 4)
    out = sharding.einsum(equation, placed(mesh, x, *x_spec), placed(mesh, w, *w_spec))
    assert sharding.spec_of(out) == P(*want)
    np.testing.assert_array_equal(out, np.einsum(equation, x, w))


@pytest.mark.parametrize("rows", [8, sharding.FEW_ROWS, 2 * sharding.FEW_ROWS])
@pytest.mark.parametrize(
    ("equation", "w_spec"),
    [
        ("btd,fd->btf", ("model", "fsdp")),  # output-first
        ("btf,df->btd", ("fsdp", "model")),
        ("btd,dkh->btkh", ("fsdp", "model", None)),  # input-first
        ("btkh,khd->btd", ("model", None, "fsdp")),
    ],
)
def test_few_rows_are_turned_and_nothing_else_changes(mesh, equation, w_spec, rows):
    sizes = {"b": rows, "t": 1, "d": 12, "f": 8, "k": 2, "h": 6}
    x_dims, w_dims = equation.split("->")[0].split(",")
    x, w = (numbers(*(sizes[d] for d in dims)) for dims in (x_dims, w_dims))
    split = {"k": "model", "f": "model"}
    args = placed(mesh, x, BATCH, *(split.get(d) for d in x_dims[1:])), placed(mesh, w, *w_spec)
    found = jax.jit(sharding.times, static_argnums=0)(equation, *args)
    assert found.sharding.spec == jax.jit(sharding.einsum, static_argnums=0)(equation, *args).sharding.spec
    np.testing.assert_array_equal(found, np.einsum(equation, x, w))
    lowered = jax.jit(sharding.times, static_argnums=0).lower(equation, *args).as_text()
    assert ("optimization_barrier" in lowered) is (rows <= sharding.FEW_ROWS)


@pytest.mark.parametrize(
    ("equation", "x_shape", "w_shape"),
    [
        ("btd,dkgh->btkgh", (2, 40, 6), (6, 2, 3, 4)),
        ("btkgh,kghd->btd", (2, 40, 2, 3, 4), (2, 3, 4, 6)),
        ("btd,fd->btf", (2, 40, 6), (5, 6)),
        ("btr,rkgh->btkgh", (2, 40, 3), (3, 2, 3, 4)),
    ],
)
def test_many_rows_on_one_device_are_one_matrix_and_nothing_else_changes(equation, x_shape, w_shape):
    one = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    with jax.set_mesh(one):
        x = sharding.reshard(jnp.asarray(numbers(*x_shape)), sharding.row_spec(len(x_shape)))
        w = placed(one, numbers(*w_shape), *[None] * len(w_shape))
        got, back = jax.vjp(lambda *args: sharding.times(equation, *args), x, w)
        want, want_back = jax.vjp(lambda *args: sharding.einsum(equation, *args), x, w)
        assert got.sharding == want.sharding
        for mine, wanted in zip((got, *back(want)), (want, *want_back(want)), strict=True):
            np.testing.assert_array_equal(mine, wanted)


@pytest.mark.parametrize("equation", ["btd,dkgh->btkgh", "bkgts,bskh->btkgh", "ij,ij->i"])
def test_einsum_without_a_mesh_is_einsum(equation):
    left, right = equation.split("->")[0].split(",")
    sizes = dict(zip("btdkghsij", (2, 3, 4, 2, 3, 2, 5, 3, 2), strict=True))
    x, w = (numbers(*(sizes[d] for d in dims)) for dims in (left, right))
    np.testing.assert_array_equal(sharding.einsum(equation, x, w), np.einsum(equation, x, w))
    out = sharding.einsum(equation, x.astype(jnp.bfloat16), w.astype(jnp.bfloat16), dtype=jnp.float32)
    assert out.dtype == jnp.float32


def test_a_contraction_over_a_split_axis_is_summed_across_devices(mesh):
    def text(x_spec, w_spec):
        x, w = placed(mesh, numbers(8, 4), *x_spec), placed(mesh, numbers(4, 4), *w_spec)
        return jax.jit(sharding.einsum, static_argnums=0).lower("bd,df->bf", x, w).compile().as_text()

    split = text((BATCH, "model"), ("model", None))
    whole = text((BATCH, None), (None, "model"))
    assert "all-reduce" in split or "reduce-scatter" in split
    assert "all-reduce" not in whole and "reduce-scatter" not in whole


def test_the_gradient_of_a_gathered_weight_has_the_weights_layout(mesh):
    x, w = placed(mesh, numbers(8, 4), BATCH, None), placed(mesh, numbers(4, 4), "fsdp", "model")
    grad = jax.grad(lambda w: sharding.einsum("bd,df->bf", x, w).sum())(w)
    assert sharding.spec_of(grad) == P("fsdp", "model")
    np.testing.assert_array_equal(grad, np.tile(numbers(8, 4).sum(0)[:, None], (1, 4)))


@pytest.mark.parametrize(
    ("spec", "axis", "sizes", "shape", "want"),
    [
        ((BATCH, None, "model"), 1, (3, 2), (4, 3, 2, 2), (BATCH, None, None, "model")),
        ((None, None, "model"), 2, (2, 1), (4, 6, 2, 1), (None, None, "model", None)),
        ((BATCH, None, None), 0, (-1, 1), (4, 1, 6, 2), (BATCH, None, None, None)),
        ((None, "model", None), 1, (2, -1), (4, 2, 3, 2), (None, "model", None, None)),
        ((BATCH, None, None), 1, (1, -1), (4, 1, 6, 2), (BATCH, None, None, None)),
    ],
)
def test_split_and_merge_undo_each_other(mesh, spec, axis, sizes, shape, want):
    x = numbers(4, 6, 2)
    split = sharding.split_axis(placed(mesh, x, *spec), axis, sizes)
    assert sharding.spec_of(split) == P(*want)
    np.testing.assert_array_equal(split, x.reshape(shape))
    merged = sharding.merge_axes(split, axis)
    assert sharding.spec_of(merged) == P(*spec)
    np.testing.assert_array_equal(merged, x)


def test_reshapes_work_without_a_mesh():
    x = jnp.asarray(numbers(4, 6, 2))
    assert sharding.spec_of(x) == P(None, None, None)
    assert sharding.split_axis(x, 1, (-1, 2)).shape == (4, 3, 2, 2)
    np.testing.assert_array_equal(sharding.merge_axes(x, 1), numbers(4, 12))
    assert sharding.reshard(x, P("model", None, None)) is x


def test_take_rows_is_laid_out_like_its_index(mesh):
    table, index = numbers(8, 4), np.arange(12).reshape(4, 3) % 8
    rows = sharding.take_rows(placed(mesh, table, "model", "fsdp"), placed(mesh, index, BATCH, None))
    assert sharding.spec_of(rows) == P(BATCH, None, None)
    np.testing.assert_array_equal(rows, table[index])


def test_rules_lay_out_parameters(mesh):
    axes = {"embed": ("vocab", "embed"), "layers": ({"norm": (None,), "out": ("kv", None, "embed")},)}
    shapes = {"embed": (8, 4), "layers": ({"norm": (4,), "out": (2, 3, 4)},)}
    abstract = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s, jnp.float32), shapes, is_leaf=lambda x: type(x) is tuple and type(x[0]) is int
    )
    got = sharding.shardings(mesh, axes, abstract, sharding.Rules())
    assert got["embed"].spec == P("model", ("fsdp", "context"))
    assert got["layers"][0]["norm"].spec == P(None)
    assert got["layers"][0]["out"].spec == P("model", None, ("fsdp", "context"))
    replicated = sharding.shardings(mesh, axes, abstract, sharding.Rules(None, None, None, None))
    assert all(set(s.spec) == {None} for s in jax.tree.leaves(replicated))


def test_an_axis_that_does_not_divide_is_named(mesh):
    odd = jax.ShapeDtypeStruct((4, 3), jnp.float32)
    with pytest.raises(ValueError, match="'kv' axis of size 3 .* 'model' of size 2; choose another config.mesh"):
        sharding.shardings(mesh, {"q": ("embed", "kv")}, {"q": odd}, sharding.Rules())


def test_a_mesh_of_another_size_than_the_devices_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 1, 1\).* wants 3 devices; there are 8.*config.mesh"):
        sharding.make_mesh((3, 1, 1), jax.devices()[:8])
    made = sharding.make_mesh((1, 2, 1), jax.devices()[:2])
    assert dict(made.shape) == {"data": 1, "fsdp": 2, "model": 1, "context": 1}


def chips(kind: str, side: int, slices: int) -> list[SimpleNamespace]:
    """Stand-ins for those of square slices, the slices mixed."""
    places = [(x, y, 0) for y in range(side) for x in range(side)]
    return [
        SimpleNamespace(
            id=i, platform="tpu", device_kind=kind, coords=at, core_on_chip=0, slice_index=n, process_index=n
        )
        for i, (at, n) in enumerate((at, n) for at in places for n in range(slices))
    ]


def test_the_data_axis_goes_across_slices():
    made = sharding.arrange((2, 8, 1), chips("TPU v5", 4, 2))
    assert made.shape == (4, 8, 1, 1) and len({chip.id for chip in made.flat}) == 32
    assert [{chip.slice_index for chip in row.flat} for row in made] == [{0}, {0}, {1}, {1}]
    with pytest.raises(ValueError, match=r"\(1, 32, 1\).* wants 32 devices; there are 32 in 2 slices.* of one slice"):
        sharding.make_mesh((1, 32, 1), chips("TPU v5", 4, 2))


def test_an_axis_of_the_torus_may_be_split():
    made = sharding.arrange((1, 64, 1, 4), chips("TPU v6 lite", 16, 1))
    assert made.shape == (1, 64, 1, 4) and len({chip.id for chip in made.flat}) == 256


def test_devices_without_links_stay_in_their_order():
    assert sharding.arrange((2, 2, 2), jax.devices()[:8]).ravel().tolist() == jax.devices()[:8]


def test_batches_are_split_by_rows_and_scalars_are_whole(cube):
    rows, step = sharding.put_batch(cube, (numbers(8, 3), np.int32(5)))
    assert rows.sharding.shard_shape(rows.shape) == (2, 3) and step.sharding.is_fully_replicated
    assert sharding.put_replicated(cube, numbers(8, 3)).sharding.is_fully_replicated
