"""AdamW with a linear warm-up, and a fall where one is wanted, behind a global-norm clip; its moments kept in less
memory, or in the host's, where that is asked for.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

HOST = "pinned_host"  # JAX's name of the host memory that a device can copy from
B1, B2, EPS = 0.9, 0.999, 1e-8  # of Adam


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Defaults are verl's DAPO recipe for Qwen2.5-32B (the report publishes none). moments: the dtype in which both
    moments are kept from one update to the next, "float32" or "bfloat16". offload: they wait in the host's memory.
    fall_steps: the rate falls linearly from the end of the warm-up to a tenth at this update; 0: it stays.
    """

    lr: float = 1e-6
    warmup_steps: int = 10
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    moments: str = "float32"
    offload: bool = False
    fall_steps: int = 0


def read(config: ConfigDict, mesh: jax.sharding.Mesh, fall_steps: int = 0) -> Optimizer:
    """The settings of config.optimizer. ValueError where the mesh's devices cannot keep the moments so."""
    o = Optimizer(**config.optimizer, fall_steps=fall_steps)
    if o.moments not in ("float32", "bfloat16"):
        raise ValueError(f"config.optimizer.moments is {o.moments!r}; it must be 'float32' or 'bfloat16'")
    device = next(d for d in mesh.devices.flat if d.process_index == jax.process_index())
    kinds = sorted(memory.kind for memory in device.addressable_memories())
    if o.offload and HOST not in kinds:
        raise ValueError(
            f"config.optimizer.offload is set, but {device.device_kind} has no memory {HOST!r} in JAX (it has "
            f"{', '.join(kinds)}); leave it out, and try config.optimizer.moments='bfloat16'"
        )
    return o


def make(o: Optimizer) -> optax.GradientTransformation:
    """Gradient clip by global norm, then AdamW; the rate climbs linearly to `lr` over `warmup_steps` updates, then
    stays or falls. The state is the same tree however the moments are kept.
    """
    falling = max(o.fall_steps - o.warmup_steps, 1)

    def rate(count: jax.Array) -> jax.Array:
        climbed = ((count + 1) / max(o.warmup_steps, 1)).clip(max=1.0)
        fallen = ((count + 1 - o.warmup_steps) / falling).clip(0.0, 1.0) if o.fall_steps else 0.0
        return o.lr * climbed * (1 - 0.9 * fallen)

    adam = optax.scale_by_adam(B1, B2, EPS)
    adamw = optax.chain(
        adam if (o.moments, o.offload) == ("float32", False) else _kept(adam, jnp.dtype(o.moments), o.offload),
        optax.add_decayed_weights(o.weight_decay),
        optax.scale_by_learning_rate(rate),
    )
    return optax.chain(optax.clip_by_global_norm(o.clip_norm), adamw)


def _kept(adam: optax.GradientTransformation, dtype: jnp.dtype, offload: bool) -> optax.GradientTransformation:
    """`adam` with its moments kept in `dtype`, and in the host's memory where `offload`.

    One array after the other is fetched, updated and put back: all at once they would take the room they had.
    """

    def put(x: jax.Array) -> jax.Array:
        return jax.device_put(x, jax.memory.Space.Host) if offload else x

    def init(params: Any) -> optax.ScaleByAdamState:
        state = adam.init(params)
        mu, nu = jax.tree.map(lambda x: put(x.astype(dtype)), (state.mu, state.nu))
        return state._replace(mu=mu, nu=nu)

    def update(grads: Any, state: optax.ScaleByAdamState, params: Any = None) -> tuple[Any, optax.ScaleByAdamState]:
        flat, tree = jax.tree.flatten(grads)
        done, before = [], flat
        for i, (g, *moments) in enumerate(zip(flat, *map(tree.flatten_up_to, (state.mu, state.nu)), strict=True)):
            if offload:
                moments, _ = jax.lax.optimization_barrier((moments, before))
                moments = [jax.device_put(m, jax.memory.Space.Device) for m in moments]
            mu, nu = (m.astype(jnp.float32) for m in moments)
            before, new = adam.update(g, state._replace(mu=mu, nu=nu))
            keys = jax.random.split(jax.random.fold_in(jax.random.key(i), new.count))
            done.append((before, *(put(_round(m, key, dtype)) for m, key in zip((new.mu, new.nu), keys, strict=True))))
        updates, mu, nu = (tree.unflatten(x) for x in zip(*done, strict=True))
        return updates, state._replace(count=new.count, mu=mu, nu=nu)

    return optax.GradientTransformation(init, update)


def _round(x: jax.Array, key: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """`x`, float32, in `dtype`; in bfloat16 one of its two neighbours, the nearer the likelier: `x` is the mean.

    To the nearest, a second moment could not fall: a step of B2 = 0.999 takes a thousandth off it, and half the
    distance between two numbers is at least two thousandths.
    """
    if dtype == jnp.float32:
        return x
    low = jax.random.bits(key, x.shape, jnp.uint16, out_sharding=jax.typeof(x).sharding)
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32) + low
    return jax.lax.bitcast_convert_type((bits >> 16).astype(jnp.uint16), jnp.bfloat16)
