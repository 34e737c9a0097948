"""The one jitted training step: gradients accumulated over micro-batches, clipped, applied; the state is donated.

What is trained is either all parameters or a LoRA adapter over frozen ones; the step does not care: it is given
`assemble`, which makes the model's parameter tree from (trained, frozen).
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
from m2jax.train.grpo import Groups, Grpo, completion_logprobs, objective, zero_metrics


@flax.struct.dataclass
class TrainState:
    """step: int32, updates applied. trained: float32 tree (parameters, or an adapter). opt_state: the optimiser's."""

    step: jax.Array
    trained: Any
    opt_state: Any


def init_state(trained: Any, tx: optax.GradientTransformation) -> TrainState:
    """A fresh state; the optimiser's moments inherit the layout of what they follow."""
    return TrainState(jnp.int32(0), trained, jax.jit(tx.init)(trained))


def assemble(trained: Any, frozen: Params | None) -> Params:
    """The model's parameters: `trained` itself, or the frozen ones with the adapter `trained` attached."""
    return trained if frozen is None else lora.attach(frozen, trained)


def make_step(
    cfg: ModelConfig,
    grpo: Grpo,
    tx: optax.GradientTransformation,
    dtype: Any = jnp.float32,
    xla_flags: tuple[str, ...] = (),
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
    """`step(state, frozen, groups, n_groups) -> (state, metrics)`, jitted, `state` donated.

    groups: `Groups` with a leading axis of micro-batches, each of M rows; the rows that count come first.
    n_groups: int32, how many rows count; micro-batches beyond them are not computed. dtype: that of the forward and
    backward pass. xla_flags: name=value, for the TPU compiler; where JAX runs on anything else they are left out.
    metrics: float32 scalars loss, grad_norm, tokens, and means over the policy's tokens.
    """

    options = compiler_options(xla_flags) if jax.default_backend() == "tpu" else None

    @functools.partial(jax.jit, donate_argnums=0, compiler_options=options)
    def step(state: TrainState, frozen: Params | None, groups: Groups, n_groups: jax.Array) -> Any:
        compute = jax.tree.map(lambda w: w.astype(dtype), state.trained)

        def loss(trained: Any, rows: Groups) -> Any:
            return objective(cfg, grpo, assemble(trained, frozen), rows, n_groups)

        def add(i: jax.Array, total: Any) -> Any:
            rows = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), groups)
            (value, sums), grads = jax.value_and_grad(loss, has_aux=True)(compute, rows)
            return jax.tree.map(lambda t, new: t + new.astype(t.dtype), total, (value, sums, grads))

        rows_each = groups.tokens.shape[1]
        start = (jnp.float32(0), zero_metrics(), jax.tree.map(jnp.zeros_like, state.trained))
        value, sums, grads = jax.lax.fori_loop(0, (n_groups + rows_each - 1) // rows_each, add, start)
        updates, opt_state = tx.update(grads, state.opt_state, state.trained)
        metrics = {"loss": value, "grad_norm": optax.tree.norm(grads), **_means(sums)}
        return TrainState(state.step + 1, optax.apply_updates(state.trained, updates), opt_state), metrics

    return step


def compiler_options(xla_flags: tuple[str, ...]) -> dict[str, str]:
    """XLA flags as `jax.jit` takes them. ValueError names one that is not name=value."""
    for flag in xla_flags:
        if "=" not in flag:
            raise ValueError(f"config.xla_flags has {flag!r}; write name=value")
    return dict(flag.split("=", 1) for flag in xla_flags)


def make_logprobs(cfg: ModelConfig, grpo: Grpo, dtype: Any = jnp.float32) -> Callable[..., jax.Array]:
    """`logprobs(trained, frozen, groups) -> [micro-batches, M, R, C]`, jitted: the learner's log-probs, without
    gradients.
    """

    @jax.jit
    def logprobs(trained: Any, frozen: Params | None, groups: Groups) -> jax.Array:
        params = assemble(jax.tree.map(lambda w: w.astype(dtype), trained), frozen)

        def one(rows: Groups) -> jax.Array:
            return completion_logprobs(cfg, grpo, params, rows.tokens, rows.prompt_length, rows.mask.shape[-2:])[0]

        return jax.lax.map(one, groups)

    return logprobs


def _means(sums: dict[str, jax.Array]) -> dict[str, jax.Array]:
    tokens = sums["tokens"]
    return {k: v if k == "tokens" else v / jnp.maximum(tokens, 1) for k, v in sums.items()}
