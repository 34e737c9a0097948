"""Checkpoints of a run: what is trained, the optimiser's state, and where the data stood; written in the background
by Orbax.

A checkpoint is complete or absent: Orbax writes to a temporary folder and renames it, so a killed process leaves the
last good one. Step k's checkpoint is the state after k steps of the loop.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from m2jax import sharding
from m2jax.models import lora, params
from m2jax.models.config import ModelConfig
from m2jax.models.params import Params
from m2jax.weights import names
from m2jax.weights.load import load, read_config


class Checkpoints:
    """The checkpoints of `workdir`, the newest `keep` of them."""

    def __init__(self, workdir: Path, keep: int = 2) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
        self._workdir = workdir
        self._manager = ocp.CheckpointManager(
            Path(workdir).absolute() / "checkpoints", options=options, item_names=("trained", "rest", "loop")
        )

    def latest(self) -> int | None:
        return self._manager.latest_step()

    def save(self, step: int, state: Any, loop: dict[str, Any]) -> None:
        """Copies a `train.step.TrainState` off the device and writes it in the background. `loop` is JSON."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                trained=ocp.args.StandardSave(state.trained),
                rest=ocp.args.StandardSave({"step": state.step, "opt_state": state.opt_state}),
                loop=ocp.args.JsonSave(loop),
            ),
        )

    def restore(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        """The state of `step` in the layout of `like`, whose arrays are freed first, and the loop's JSON."""
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        jax.tree.map(lambda x: x.delete(), like)
        found = self._manager.restore(
            step,
            args=ocp.args.Composite(
                trained=ocp.args.StandardRestore(target.trained),
                rest=ocp.args.StandardRestore({"step": target.step, "opt_state": target.opt_state}),
                loop=ocp.args.JsonRestore(),
            ),
        )
        state = like.replace(trained=found.trained, step=found.rest["step"], opt_state=found.rest["opt_state"])
        return state, found.loop

    def restore_trained(self, step: int | None, target: Any) -> tuple[Any, int]:
        """(What was trained alone, its step) of `step` or the newest, as `target` (abstract arrays with shardings)."""
        steps = self._manager.all_steps()
        if not steps or (step is not None and step not in steps):
            wanted = "any step" if step is None else f"step {step}"
            raise ValueError(f"{self._workdir} has no checkpoint of {wanted}; it has {sorted(steps) or 'none'}")
        step = max(steps) if step is None else step
        args = ocp.args.Composite(trained=ocp.args.StandardRestore(target))
        return self._manager.restore(step, args=args).trained, step

    def close(self) -> None:
        self._manager.close()


def steps_done(workdir: Path) -> int:
    """Those of the newest checkpoint in `workdir`, 0 where there is none; nothing is opened or made."""
    folder = Path(workdir).absolute() / "checkpoints"
    return max(ocp.utils.checkpoint_steps(folder), default=0) if folder.is_dir() else 0


def load_params(run_dir: Path, step: int | None = None) -> tuple[ModelConfig, Params, str]:
    """(model, float32 parameters, name of the model the run began from) of a run's checkpoint, the newest by default.

    An adapter is merged into the weights it was trained over. ValueError where the folder holds no run or no such step.
    """
    cfg, trained, config, _ = load_trained(run_dir, step)
    return cfg, merged(trained, config), config["model"]


def merged(trained: Any, config: dict[str, Any]) -> Params:
    """The parameters of what `load_trained` gave: an adapter merged into the weights it was trained over."""
    if not config["lora"]["rank"]:
        return trained
    path, stacked = names.resolve(config["model"]), config["layers"] == "scanned"
    return lora.merge(lora.attach(load(path, stacked=stacked, dtype="float32")[1], trained))


def load_trained(
    run_dir: Path, step: int | None = None, mesh: jax.sharding.Mesh | None = None
) -> tuple[ModelConfig, Any, dict[str, Any], int]:
    """(model, what was trained: parameters or an adapter, the run's config, the step) of a checkpoint, the newest by
    default; its arrays go straight to where `mesh` has them, without one to the first device.

    ValueError where the folder holds no run or no such step.
    """
    config_file = Path(run_dir) / "config.json"
    if not config_file.is_file():
        raise ValueError(f"{run_dir} holds no run: it has no config.json; give the --workdir of a training run")
    config = json.loads(config_file.read_text())
    stacked, path = config["layers"] == "scanned", names.resolve(config["model"])
    cfg = read_config(path)
    rank = config["lora"]["rank"]
    if rank:
        target = jax.eval_shape(lambda: lora.init(cfg, jax.random.key(0), rank, 1.0, stacked=stacked))
    else:
        target = params.abstract(cfg, stacked=stacked)
    if mesh is None:
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        where = jax.tree.map(lambda _: device, target)
    else:
        axes = (lora if rank else params).logical_axes(cfg, stacked=stacked)
        where = sharding.shardings(mesh, axes, target, sharding.Rules())
    target = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), target, where)
    checkpoints = Checkpoints(run_dir)
    try:
        trained, step = checkpoints.restore_trained(step, target)
        return cfg, trained, config, step
    finally:
        checkpoints.close()
