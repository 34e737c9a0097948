"""The one jitted training step: gradients accumulated over micro-batches, clipped, applied; the state is donated.

What is trained is either all parameters or a LoRA adapter over frozen ones; the step does not care: `assemble` makes
the model's parameter tree from (trained, frozen). `frozen` is the start model where an adapter or the objective needs
it, one tree for both. Nor does the step know what is minimised: an `Objective` tells (`grpo.objective`,
`sft.objective`, `midtrain.objective`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from m2jax.models import lora
from m2jax.models.config import ModelConfig
from m2jax.models.params import Params
from m2jax.train.grpo import Groups, Grpo, completion_logprobs

# (params, frozen, rows of a micro-batch, how many rows of the whole batch count) -> (loss: these rows' share of the
# batch's, so that micro-batches add up; float32 totals to report, of which "tokens" divides the others)
Objective = Callable[[Params, Params | None, Any, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]

# the backward kernels of splash attention take up to 19 MiB of it; unless told, the compiler gives a kernel 16
VECTOR_MEMORY = "xla_tpu_scoped_vmem_limit_kib=24576"


@flax.struct.dataclass
class TrainState:
    """step: int32, updates applied. trained: float32 tree (parameters, or an adapter). opt_state: the optimiser's."""

    step: jax.Array
    trained: Any
    opt_state: Any


def init_state(trained: Any, tx: optax.GradientTransformation) -> TrainState:
    """A fresh state; the optimiser's moments inherit the layout of what they follow."""
    step, opt_state = jax.jit(lambda trained: (jnp.int32(0), tx.init(trained)))(trained)
    return TrainState(step, trained, opt_state)


def assemble(trained: Any, frozen: Params | None) -> Params:
    """The model's parameters: `trained` itself, or the frozen ones with the adapter `trained` attached."""
    return lora.attach(frozen, trained) if lora.is_adapter(trained) else trained


def make_step(
    objective: Objective,
    tx: optax.GradientTransformation,
    dtype: Any = jnp.float32,
    xla_flags: tuple[str, ...] = (),
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
    """`step(state, frozen, batch, n_rows) -> (state, metrics)`, jitted, `state` donated.

    batch: a tree of arrays with a leading axis of micro-batches, then one of M rows; the rows that count come first.
    n_rows: int32, how many rows count, at least 1; micro-batches beyond them are not computed. dtype: that of the
    forward and backward pass. xla_flags: name=value, for the TPU compiler; where JAX runs on anything else they are
    left out.
    metrics: float32 scalars loss, grad_norm, tokens, and the objective's other totals, each divided by tokens.
    """

    options = compiler_options(xla_flags) if jax.default_backend() == "tpu" else None

    @functools.partial(jax.jit, donate_argnums=0, compiler_options=options)
    def step(state: TrainState, frozen: Params | None, batch: Any, n_rows: jax.Array) -> Any:
        compute = jax.tree.map(lambda w: w.astype(dtype), state.trained)

        def loss(trained: Any, rows: Any) -> Any:
            return objective(assemble(trained, frozen), frozen, rows, n_rows)

        def part(i: jax.Array | int) -> Any:
            return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), batch)

        def gradients(i: jax.Array | int) -> Any:
            (value, sums), grads = jax.value_and_grad(loss, has_aux=True)(compute, part(i))
            return value, sums, jax.tree.map(lambda g, w: g.astype(w.dtype), grads, state.trained)

        def add(i: jax.Array, total: Any) -> Any:
            return jax.tree.map(jnp.add, total, gradients(i))

        n_micro, rows_each = jax.tree.leaves(batch)[0].shape[:2]
        if n_micro == 1:  # nothing to add up: a total would take the room of the weights through the backward pass
            value, sums, grads = gradients(0)
        else:
            none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(lambda: loss(compute, part(0))))
            start = (*none, jax.tree.map(jnp.zeros_like, state.trained))
            value, sums, grads = jax.lax.fori_loop(0, (n_rows + rows_each - 1) // rows_each, add, start)
        updates, opt_state = tx.update(grads, state.opt_state, state.trained)
        metrics = {"loss": value, "grad_norm": optax.tree.norm(grads), **_means(sums)}
        return TrainState(state.step + 1, optax.apply_updates(state.trained, updates), opt_state), metrics

    return step


def compiler_options(xla_flags: tuple[str, ...]) -> dict[str, str]:
    """`VECTOR_MEMORY` and XLA flags, as `jax.jit` takes them for a TPU. ValueError names one that is not name=value."""
    for flag in xla_flags:
        if "=" not in flag:
            raise ValueError(f"config.xla_flags has {flag!r}; write name=value")
    return dict(flag.split("=", 1) for flag in (VECTOR_MEMORY, *xla_flags))


def make_logprobs(cfg: ModelConfig, grpo: Grpo, dtype: Any = jnp.float32) -> Callable[..., jax.Array]:
    """`logprobs(trained, frozen, groups, n_rows) -> [micro-batches, M, R, C]`, jitted: the learner's log-probs, without
    gradients. n_rows: as in `make_step`; what micro-batches beyond them would have is 0.
    """

    @jax.jit
    def logprobs(trained: Any, frozen: Params | None, groups: Groups, n_rows: jax.Array) -> jax.Array:
        params = assemble(jax.tree.map(lambda w: w.astype(dtype), trained), frozen)
        rows_each, *shape_RC = groups.mask.shape[1:]

        def put(i: jax.Array, out: jax.Array) -> jax.Array:
            tokens, length = (jax.lax.dynamic_index_in_dim(x, i, keepdims=False) for x in rows)
            logp, _ = completion_logprobs(cfg, grpo, params, tokens, length, tuple(shape_RC))
            return jax.lax.dynamic_update_index_in_dim(out, logp, i, 0)

        rows = groups.tokens, groups.prompt_length
        return jax.lax.fori_loop(0, (n_rows + rows_each - 1) // rows_each, put, jnp.zeros_like(groups.mask))

    return logprobs


def _means(sums: dict[str, jax.Array]) -> dict[str, jax.Array]:
    tokens = sums["tokens"]
    return {k: v if k == "tokens" else v / jnp.maximum(tokens, 1) for k, v in sums.items()}
