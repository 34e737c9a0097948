"""What a server serves: one checkpoint under its own name, and its roles `doctor`, `patient` and `judge`.

A role is the checkpoint with the adapter that the package ships for it, where that is of this model, or without one.
What a run trained takes the place of the role that it was trained for: of the doctor, unless its data were the judge's
or a patient's unit's.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from m2jax import adapters, checkpoint, sharding
from m2jax.sampler.engine import Engine
from m2jax.sampler.grammar import Grammars
from m2jax.sampler.requests import Role
from m2jax.sampler.sampling import Sampling
from m2jax.sampler.scheduler import Sizes
from m2jax.serve.spell import pieces_of
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.weights import names
from m2jax.weights.load import load_over, read_config

UNITS = ("factual", "gate")  # of the patient's turn, beside the one that drafts
SHIPPED = {"patient": "affective", "judge": "grader"}  # the adapter of a role
TRAINED = {"grader": "judge", "affective": "patient", "factual": "factual", "gate": "gate"}  # by `data.made` of a run
PAGE, CHUNKS = 32, (64, 128, 256)
TALK = 192  # tokens of a line


@dataclasses.dataclass(frozen=True)
class Served:
    """models: names, each a role of the engine, with what it is. longest: tokens of a prompt with its reply. pieces: of
    each token its bytes.
    """

    engine: Engine
    tokenizer: Tokenizer
    grammars: Grammars
    models: dict[str, str]
    longest: int
    pieces: list[bytes]

    @functools.cached_property
    def controls(self) -> frozenset[int]:
        """The ids of control tokens."""
        return frozenset(self.tokenizer.controls.values())

    @property
    def slots(self) -> int:
        return self.engine.sizes.slots * self.engine.mesh.shape["data"] * self.engine.mesh.shape["fsdp"]


def serve(
    model: str,
    run: Path | None = None,
    mesh: tuple[int, ...] = (1, 1, 1),
    slots: int = 16,
    longest: int = 2048,
    burst: int = 16,
) -> Served:
    """An engine with the weights of `model`, or of the run and the model it began from, on the first devices. slots:
    rows at once, on each shard. burst: tokens of a row between two looks at who waits.

    On a CPU in float32 with unrolled layers, elsewhere in bfloat16 with scanned ones.
    """
    device = jax.devices()[0]
    if jax.process_count() > 1:
        raise ValueError(f"{jax.process_count()} processes cannot serve together: start one, on its own")
    if math.prod(mesh) > len(jax.devices()):
        raise ValueError(
            f"mesh {mesh} (data, fsdp, model) is of {math.prod(mesh)} devices, and there are {len(jax.devices())}"
        )
    stacked, dtype = device.platform != "cpu", jnp.float32 if device.platform == "cpu" else jnp.bfloat16
    over = sharding.make_mesh(mesh, jax.devices()[: math.prod(mesh)])
    trained: Any = None
    if run is not None:
        cfg, trained, config, _ = checkpoint.load_trained(run, mesh=over)
        with jax.set_mesh(over):
            trained = _as_layers(cfg, trained, stacked)
        model = config["model"]
    path = names.resolve(model)
    tokenizer, cfg = load_tokenizer(path), read_config(path)
    roles, weights, models = _roles(cfg, tokenizer, model, run, trained, config if run else {}, stacked)
    grammars = Grammars(tokenizer, cfg.vocab_size)
    sizes = _sizes(slots, longest, burst)
    with jax.set_mesh(over):
        engine = Engine(cfg, over, sizes, roles, dtype, grammars)
        engine.update("base", load_over(path, over, stacked=stacked, dtype=dtype))
        for name, tree in weights.items():
            engine.update(name, tree)
    return Served(engine, tokenizer, grammars, models, sizes.pasts[-1], pieces_of(tokenizer, cfg.vocab_size))


def _roles(
    cfg: Any, tokenizer: Tokenizer, model: str, run: Path | None, trained: Any, config: dict[str, Any], stacked: bool
) -> tuple[dict[str, Role], dict[str, Any], dict[str, str]]:
    """The engine's roles, what is to be handed over beside the base, and the models with what each is."""
    sampling = Sampling(0.7, max_tokens=TALK, stop=tuple(tokenizer.eos_ids))  # of talks; others say how they sample
    own = Path(model).name.removesuffix(".gguf") or model
    roles, models, weights, ships = {}, {}, {}, adapters.of_model(model)
    for name in ("doctor", "patient", "judge"):
        adapter = SHIPPED.get(name)
        if adapter in ships:
            weights[adapter] = adapters.load_adapter(adapter, cfg, stacked=stacked)
            roles[name], models[name] = Role(sampling, adapter=adapter), f"{own} with the shipped adapter {adapter}"
        else:
            roles[name], models[name] = Role(sampling), own
    if run is not None:
        name = TRAINED.get(config["data"].get("made", ""), "doctor")
        weights["run"] = trained
        roles[name] = Role(sampling, adapter="run") if config["lora"]["rank"] else Role(sampling, params="run")
        models[name] = f"{own}: what {run} trained"
    for name in UNITS:
        if name not in roles and name in ships:
            weights[name] = adapters.load_adapter(name, cfg, stacked=stacked)
            roles[name] = Role(sampling, adapter=name)
    used = {role.adapter for role in roles.values()} | {role.params for role in roles.values()}
    if own in roles:
        raise ValueError(f"a model named {own!r} would hide the role of that name: rename its folder")
    return {own: Role(sampling), **roles}, {k: w for k, w in weights.items() if k in used}, {own: own, **models}


def _as_layers(cfg: Any, tree: Any, stacked: bool) -> Any:
    """Parameters, or an adapter, with their layers stacked, or as a tuple."""
    if isinstance(tree, dict) and "layers" in tree:
        return {**tree, "layers": _as_layers(cfg, tree["layers"], stacked)}
    if stacked != isinstance(tree, tuple):
        return tree
    if stacked:
        return jax.tree.map(lambda *x: jnp.stack(x), *tree)
    return tuple(jax.tree.map(lambda x, i=i: x[i], tree) for i in range(cfg.n_layers))


def _sizes(slots: int, longest: int, burst: int) -> Sizes:
    """Pages for all that the slots can hold: with half, rows give theirs back and are computed again (docs/log.md). New
    prompts and short talks have pasts of their own, since whatever a row holds, it pays for all of its past.
    """
    most = -(-longest // PAGE) * PAGE
    pasts = sorted({0, *(-(-most // n // PAGE) * PAGE for n in (4, 1))})
    return Sizes(slots, slots * most // PAGE + 1, PAGE, tuple(pasts), CHUNKS, burst=burst)
