"""A model served for a measurement: its weights as released, with adapters beside them, on one device."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from m2jax import sharding
from m2jax.models import params
from m2jax.sampler.engine import Engine
from m2jax.sampler.requests import Dialogue, Role
from m2jax.sampler.sampling import Sampling
from m2jax.sampler.scheduler import Sizes
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.weights import names
from m2jax.weights.load import load, read_config

PAGE = 32


@dataclasses.dataclass(frozen=True)
class Telling:
    """An engine that says how far it is, at most every `seconds`."""

    engine: Engine
    tell: Callable[[str], None]
    seconds: float = 20.0

    def run(self, dialogues: Sequence[Dialogue], seed: int = 0) -> list[Any]:
        """As `Engine.run`."""
        ended, said = 0, time.monotonic()

        def counted(dialogue: Dialogue) -> Dialogue:
            nonlocal ended, said
            result = yield from dialogue
            ended += 1
            if time.monotonic() - said >= self.seconds:
                said = time.monotonic()
                self.tell(f"  {ended} of {len(dialogues)}")
            return result

        return self.engine.run([counted(dialogue) for dialogue in dialogues], seed=seed)


def serve(
    model: str, adapters: Mapping[str, Any], temperature: float, max_tokens: int, longest: int, slots: int = 32
) -> tuple[Engine, Tokenizer]:
    """An engine with the role "start" and one per adapter (unrolled layers), and the tokenizer. longest: tokens of a
    prompt and what is made of it.
    """
    path = names.resolve(model)
    tokenizer, cfg = load_tokenizer(path), read_config(path)
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    sampling = Sampling(temperature, 0, 1.0, max_tokens, tuple(tokenizer.eos_ids))
    most = -(-longest // PAGE) * PAGE
    sizes = Sizes(slots, slots * most // PAGE + 1, PAGE, tuple(sorted({most // 2 // PAGE * PAGE, most})), (64, 256))
    roles = {"start": Role(sampling)} | {name: Role(sampling, adapter=name) for name in adapters}
    with jax.set_mesh(mesh):
        engine = Engine(cfg, mesh, sizes, roles)
        axes, abstract = params.logical_axes(cfg, stacked=False), params.abstract(cfg, stacked=False)
        layout = sharding.shardings(mesh, axes, abstract, sharding.Rules())
        engine.update("base", load(path, stacked=False, dtype=jnp.float32, shardings=layout)[1])
        for name, adapter in adapters.items():
            engine.update(name, adapter)
    return engine, tokenizer
