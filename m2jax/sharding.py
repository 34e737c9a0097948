"""The mesh and the layouts: logical axis -> mesh axis in one dataclass, and the one einsum that states its output's
layout.

The mesh has four axes, all explicit (`jax.sharding.AxisType.Explicit`): `data` (replicas), `fsdp` (parameters and
batch split), `model` (heads, mlp and vocabulary split), `context` (parameters and the learner's rows split, these along
their tokens). A laptop has the mesh (1, 1, 1); a fourth size that is not given is 1.

Layouts flow with the arrays: a caller places parameters by `Rules` and the batch by `batch_spec`; inside the model
`einsum` reads the layouts of its operands from their types and states that of its result, so the forward never names
a mesh axis.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import string
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

P = PartitionSpec
AXES = ("data", "fsdp", "model", "context")
FEW_ROWS = 64  # what `times` takes for few


@dataclasses.dataclass(frozen=True)
class Rules:
    """Logical axis of a parameter -> mesh axis, or several (None: replicated). The defaults train with FSDP and tensor
    parallelism.
    """

    embed: str | tuple[str, ...] | None = ("fsdp", "context")
    vocab: str | None = "model"
    kv: str | None = "model"
    mlp: str | None = "model"
    layers: str | None = None

    def spec(self, axes: tuple[str | None, ...]) -> PartitionSpec:
        """The partition of one array from its logical axes."""
        return P(*(None if axis is None else getattr(self, axis) for axis in axes))


def full_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(data, fsdp, model) with a context of 1, or all four as they are. ValueError where there are more or fewer."""
    if len(shape) not in (3, 4):
        raise ValueError(f"mesh {tuple(shape)} must be the sizes of data, fsdp, model and, if wanted, context")
    return (*shape, 1)[:4]


def make_mesh(shape: tuple[int, ...], devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh (data, fsdp, model[, context]) over all devices; over several slices of TPUs `shape` is that of one, see
    `arrange`. ValueError where the product is not the number of devices, of a slice.

    Over the CPUs of several processes, these must call it within 30 seconds of each other, see `_meet`.
    """
    devices = devices if devices is not None else jax.devices()
    parts = slices(devices)
    if math.prod(shape) * len(parts) != len(devices):
        there = f"{len(devices)}" if len(parts) == 1 else f"{len(devices)} in {len(parts)} slices"
        raise ValueError(
            f"mesh {tuple(shape)} (data, fsdp, model, context) wants {math.prod(shape)} devices; there are "
            f"{there}. Set config.mesh so that the product of its sizes is the number of devices, of one slice."
        )
    mesh = Mesh(arrange(shape, devices), AXES, axis_types=(AxisType.Explicit,) * len(AXES))
    if devices[0].platform == "cpu" and mesh.is_multi_process:
        _meet(mesh)
    return mesh


def slices(devices: Sequence[jax.Device]) -> list[list[jax.Device]]:
    """The devices of each slice of TPUs; of anything else all together."""
    number = [(getattr(d, "slice_index", 0) or 0) if d.platform == "tpu" else 0 for d in devices]
    return [[d for d, n in zip(devices, number, strict=True) if n == each] for each in sorted({*number})]


def arrange(shape: tuple[int, ...], devices: Sequence[jax.Device]) -> np.ndarray:
    """The devices of a mesh, [data, fsdp, model, context], by the links of a TPU. `shape` is that of one slice; `data`
    grows by the slices, outermost, so that only gradients cross.
    """
    each = [
        mesh_utils.create_device_mesh(full_shape(shape), part, allow_split_physical_axes=True)
        for part in slices(devices)
    ]
    return np.concatenate(each)


def rearrange(mesh: Mesh, shape: tuple[int, ...]) -> Mesh:
    """Another mesh over the same devices in the same order, so that arrays go between them without a detour."""
    if math.prod(shape) != mesh.size:
        raise ValueError(f"a mesh {tuple(shape)} does not hold the {mesh.size} devices of {dict(mesh.shape)}")
    return Mesh(mesh.devices.reshape(full_shape(shape)), AXES, axis_types=(AxisType.Explicit,) * len(AXES))


def shardings(mesh: Mesh, logical_axes: Any, abstract: Any, rules: Rules) -> Any:
    """The tree of `NamedSharding` for parameters. ValueError names an axis that its mesh axis does not divide."""

    def one(axes: tuple[str | None, ...], array: jax.ShapeDtypeStruct) -> NamedSharding:
        spec = rules.spec(axes)
        for axis, size, name in zip(axes, array.shape, spec, strict=True):
            parts = math.prod(mesh.shape[n] for n in _names(name))
            if size % parts:
                raise ValueError(
                    f"the {axis!r} axis of size {size} does not divide over mesh axis {name!r} of size {parts}; "
                    "choose another config.mesh"
                )
        return NamedSharding(mesh, spec)

    return jax.tree.map(one, logical_axes, abstract, is_leaf=lambda x: isinstance(x, tuple) and _is_axes(x))


def target() -> jax.sharding.AbstractDevice | None:
    """The kind of device of the mesh that is set, what kernels are chosen by; None outside a mesh."""
    return jax.sharding.get_abstract_mesh().abstract_device


def batch_spec(ndim: int) -> PartitionSpec:
    """The layout of a batch: its first axis over (data, fsdp), the rest replicated."""
    return P(("data", "fsdp"), *([None] * (ndim - 1)))


def row_spec(ndim: int) -> PartitionSpec:
    """The layout of a learner's rows [B, T, ...]: `batch_spec`, and T over context."""
    return P(("data", "fsdp"), "context", *([None] * (ndim - 2)))


def heads_spec(ndim: int) -> PartitionSpec:
    """The layout of a learner's queries, keys and values [B, T, K, ...] in attention: rows whole, heads split."""
    return P(("data", "fsdp"), None, ("model", "context"), *([None] * (ndim - 3)))


def put_batch(mesh: Mesh, batch: Any) -> Any:
    """Places a tree of host arrays, each with a leading batch axis, by `batch_spec`; scalars are replicated."""
    return jax.tree.map(lambda x: place(x, NamedSharding(mesh, batch_spec(x.ndim) if x.ndim else P())), batch)


def put_replicated(mesh: Mesh, tree: Any) -> Any:
    """Places a tree of host arrays whole on every device."""
    return jax.tree.map(lambda x: place(x, NamedSharding(mesh, P())), tree)


def place(x: Any, sharding: NamedSharding) -> jax.Array:
    """`jax.device_put` of an array that every process has whole; without the check across processes that it is the
    same, which would cost a round trip each time.
    """
    if jax.process_count() == 1:
        return jax.device_put(x, sharding)
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])


def place_rows(mesh: Mesh, rows: Sequence[Any], micro: int, build: Callable[[list[Any]], Any]) -> Any:
    """The arrays that `build` makes of a list of rows (a tree of [rows, ...] of numpy) as [micro-batches, `micro`, ...]
    on the mesh, a micro-batch's rows over (data, fsdp). A process builds only those that its own devices hold.
    """
    n = len(rows) // micro

    def layout(ndim: int) -> NamedSharding:
        return NamedSharding(mesh, P(None, ("data", "fsdp"), *[None] * (ndim - 2)))

    held = layout(2).addressable_devices_indices_map((n, micro)).values()
    columns = sorted({j for _, index in held for j in range(micro)[index]})
    mine = build([rows[i * micro + j] for i in range(n) for j in columns])

    def put(x: np.ndarray) -> jax.Array:
        x = x.reshape(n, len(columns), *x.shape[1:])

        def part(index: tuple[slice, ...]) -> np.ndarray:
            return x[:, [columns.index(j) for j in range(micro)[index[1]]]]

        return jax.make_array_from_callback((n, micro, *x.shape[2:]), layout(x.ndim), part)

    return jax.tree.map(put, mine)


def einsum(equation: str, x: jax.Array, w: jax.Array, dtype: Any = None) -> jax.Array:
    """`jnp.einsum` of two arrays whose result keeps each dimension's layout, `x` first.

    A mesh axis that both operands use (the batch over `fsdp` and a weight's columns over `fsdp`) stays with `x`: the
    weight is gathered, off all axes of that dimension, and its gradient reduce-scattered. A contraction over an axis
    sharded on both sides is an all-reduce. `dtype`: accumulate and return in it.
    """
    return einsum_to(_kept_layout(equation, x, w), equation, x, w, dtype)


def times(equation: str, x: jax.Array, w: jax.Array, dtype: Any = None) -> jax.Array:
    """`einsum` of activations with weights: x [rows ..., inputs ...], w inputs first or outputs first.

    On a CPU the operands are turned first (docs/log.md). A few rows, as a decode step has them, are multiplied up to
    twice as fast where they stand as columns, and the product too where the weights are output-first. More rows are
    made one matrix on a single device: the gradient of the weights is a sum over all of them, and XLA's CPU takes a sum
    over one axis to its matrix product, one over two axes to a plain loop. The barriers keep it from turning back.
    """
    (x_dims, w_dims), out = equation.split("->")[0].split(","), equation.split("->")[1]
    rows, inputs = ("".join(d for d in x_dims if (d in out) is wanted) for wanted in (True, False))
    n_rows = math.prod(size for dim, size in zip(x_dims, x.shape, strict=True) if dim in rows)
    device = target()
    if device is None or device.platform != "cpu" or n_rows == 1:
        return einsum(equation, x, w, dtype)
    if n_rows > FEW_ROWS:
        single = jax.sharding.get_abstract_mesh().size == 1
        return _as_matrices(equation, x, w, dtype) if single else einsum(equation, x, w, dtype)
    columns = jax.lax.optimization_barrier(_turn(x, x_dims, inputs + rows))
    if w_dims.startswith(inputs):
        return einsum(f"{inputs + rows},{w_dims}->{out}", columns, w, dtype)
    turned = "".join(d for d in w_dims if d in out) + rows
    product = einsum(f"{inputs + rows},{w_dims}->{turned}", columns, w, dtype)
    return _turn(jax.lax.optimization_barrier(product), turned, out)


def einsum_to(spec: PartitionSpec, equation: str, x: jax.Array, w: jax.Array, dtype: Any = None) -> jax.Array:
    """`jnp.einsum` with the result laid out by `spec`.

    Letters are renamed in the order of `w`: jnp.einsum contracts in alphabetical order, and any other order than
    that in memory makes XLA's CPU transpose a copy of the weights at every use.
    """
    left, right = equation.split("->")[0].split(",")
    letters = "".join(dict.fromkeys(right + left))
    equation = equation.translate(str.maketrans(letters, string.ascii_letters[: len(letters)]))
    out_sharding = None if jax.sharding.get_abstract_mesh().empty else spec
    return jnp.einsum(equation, x, w, preferred_element_type=dtype, out_sharding=out_sharding)


def spec_of(x: jax.Array) -> PartitionSpec:
    """The partition an array has by its type; all None outside a mesh."""
    if jax.sharding.get_abstract_mesh().empty:
        return P(*([None] * x.ndim))
    return jax.typeof(x).sharding.spec


def reshard(x: jax.Array, spec: PartitionSpec) -> jax.Array:
    """`jax.reshard`, or nothing outside a mesh."""
    return x if jax.sharding.get_abstract_mesh().empty else jax.reshard(x, spec)


def split_axis(x: jax.Array, axis: int, sizes: tuple[int, int]) -> jax.Array:
    """Reshapes one axis into two, of which the first takes over its layout; a size of -1 follows from the other."""
    spec, known = spec_of(x), max(sizes)
    sizes = tuple(x.shape[axis] // known if size == -1 else size for size in sizes)
    layout = P(*spec[: axis + 1], None, *spec[axis + 1 :])
    return reshape(x, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]), layout)


def merge_axes(x: jax.Array, axis: int) -> jax.Array:
    """Reshapes `axis` and the one after it, of which only the first may be sharded, into one."""
    spec = spec_of(x)
    size = x.shape[axis] * x.shape[axis + 1]
    return reshape(x, (*x.shape[:axis], size, *x.shape[axis + 2 :]), P(*spec[: axis + 1], *spec[axis + 2 :]))


def reshape(x: jax.Array, shape: tuple[int, ...], spec: PartitionSpec) -> jax.Array:
    """`jnp.reshape` with the result laid out by `spec`."""
    return jnp.reshape(x, shape, out_sharding=None if jax.sharding.get_abstract_mesh().empty else spec)


def take_rows(table_VD: jax.Array, index: jax.Array) -> jax.Array:
    """Rows of a table, [*index.shape, D], laid out like `index`.

    The table is first gathered off every axis but the vocabulary's: XLA would otherwise rematerialise it whole.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return table_VD[index]
    table_VD = jax.reshard(table_VD, P(spec_of(table_VD)[0], None))
    return table_VD.at[index].get(out_sharding=P(*spec_of(index), None))


def take_positions(x_BTD: jax.Array, at_BK: jax.Array) -> jax.Array:
    """`x` at some positions of each row: [B, K, D], laid out like `at_BK`. Rows that are split are gathered first."""

    def local(x: jax.Array, at: jax.Array) -> jax.Array:
        return jnp.take_along_axis(x, at[..., None], axis=1)

    if jax.sharding.get_abstract_mesh().empty:
        return local(x_BTD, at_BK)
    batch, _, model_dim = spec_of(x_BTD)
    whole, at = P(batch, None, model_dim), spec_of(at_BK)
    picked = jax.shard_map(local, in_specs=(whole, at), out_specs=P(*at, model_dim))
    return picked(jax.reshard(x_BTD, whole), at_BK)


def _meet(mesh: Mesh) -> None:
    """Sums a number over every choice of mesh axes, while all processes are here.

    On CPUs, Gloo connects a group of devices at its first collective and gives up when one is 30 seconds late; but a
    process that has to compile what another finds in its cache comes later than that. Once connected, they wait for
    half an hour (a reduce-scatter excepted: 30 seconds, always).
    """
    groups = [axes for n in range(1, len(AXES) + 1) for axes in itertools.combinations(AXES, n)]
    sums = jax.shard_map(
        lambda x: [jax.lax.psum(x, axes) for axes in groups],
        mesh=mesh,
        in_specs=P(AXES),
        out_specs=[P(tuple(name for name in AXES if name not in axes) or None) for axes in groups],
    )
    ones = place(np.ones(mesh.size, np.float32), NamedSharding(mesh, P(AXES)))
    jax.block_until_ready(jax.jit(sums)(ones))


def _kept_layout(equation: str, x: jax.Array, w: jax.Array) -> PartitionSpec:
    """What `einsum` says of its result's layout."""
    inputs, out = equation.split("->")
    left, right = inputs.split(",")
    layout: dict[str, Any] = {}
    taken: set[str] = set()
    for dims, array in ((left, x), (right, w)):
        for dim, names in zip(dims, spec_of(array), strict=True):
            if dim not in out or dim in layout:
                continue
            layout[dim] = None if taken & {*_names(names)} else names
            taken.update(_names(layout[dim]))
    return P(*(layout[dim] for dim in out))


def _as_matrices(equation: str, x: jax.Array, w: jax.Array, dtype: Any) -> jax.Array:
    """`times` on one device, of [rows, inputs] with [inputs, outputs] or [outputs, inputs]."""
    (x_dims, w_dims), out = equation.split("->")[0].split(","), equation.split("->")[1]
    size = dict(zip(x_dims + w_dims, x.shape + w.shape, strict=True))
    n_inputs = math.prod(size[d] for d in x_dims if d not in out)
    flat = P(None, None)
    matrix = reshape(x, (-1, n_inputs), flat)
    if w_dims[0] in out:
        product = einsum_to(flat, "ni,oi->no", matrix, reshape(w, (-1, n_inputs), flat), dtype)
    else:
        product = einsum_to(flat, "ni,io->no", matrix, reshape(w, (n_inputs, -1), flat), dtype)
    return reshape(product, tuple(size[d] for d in out), _kept_layout(equation, x, w))


def _names(axes: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The mesh axes of one dimension of a partition."""
    return () if axes is None else axes if isinstance(axes, tuple) else (axes,)


def _turn(x: jax.Array, dims: str, to: str) -> jax.Array:
    return x.transpose([dims.index(d) for d in to])


def _is_axes(x: tuple[Any, ...]) -> bool:
    return all(axis is None or isinstance(axis, str) for axis in x)
