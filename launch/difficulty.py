"""Leaves out of RL stage 1's training tasks those that are too easy or too hard for its model:

    python launch/difficulty.py --config=configs/rl_stage1.py[:preset] --out=tasks.jsonl [--k=8 --low=0.1 --high=0.9]

k replies are sampled to each task; it stays if its pass rate is within [low, high]. OUT holds these tasks and those
held out: train on them with --config.data.path=OUT. OUT.rates.jsonl has every rate; stopped, the same command goes on.
"""

from m2jax import distributed

distributed.start()

import sys
from pathlib import Path

sys.argv[1:] = distributed.join(sys.argv[1:])
sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that a config may build on another one

import jax
import numpy as np
from absl import app, flags, logging
from ml_collections import config_flags

from m2jax.data.tasks import Task, write_tasks
from m2jax.rollout.difficulty import pass_rates
from m2jax.train import rl

_CONFIG = config_flags.DEFINE_config_file("config", None, "The run's config.", lock_config=True)
_OUT = flags.DEFINE_string("out", None, "File to write.", required=True)
_K = flags.DEFINE_integer("k", 8, "Replies to each task.", lower_bound=1)
_LOW = flags.DEFINE_float("low", 0.1, "Least pass rate.", 0, 1)
_HIGH = flags.DEFINE_float("high", 0.9, "Highest pass rate.", 0, 1)
flags.mark_flag_as_required("config")


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    config, out = _CONFIG.value, Path(_OUT.value)
    try:
        mesh = rl.make_mesh(config)
        with jax.set_mesh(mesh):
            parts, _ = rl.start(config, mesh)
            if not parts.train or not isinstance(parts.train[0], Task):
                raise ValueError("--config has no tasks that rules reward; give configs/rl_stage1.py")
            rates = pass_rates(
                parts.engine, parts.tokenizer, parts.train, _K.value, out.with_name(out.name + ".rates.jsonl"),
                who={"model": config.model, "seed": config.seed, "k": _K.value, "sampling": config.sampling.to_dict()},
                at_once=config.data.prompts_per_step, seed=config.seed,
            )  # fmt: skip
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    kept = [task for task in parts.train if _LOW.value <= rates[task.id] <= _HIGH.value]
    if not kept:
        there_are = f"{min(rates.values()):.2f} to {max(rates.values()):.2f}"
        raise SystemExit(
            f"error: all pass rates, {there_are}, are outside of --low={_LOW.value} to --high={_HIGH.value}"
        )
    if distributed.is_first():
        write_tasks(out, [*kept, *parts.heldout])
        for topic in sorted({task.topic for task in parts.train}):
            of_it = [rates[task.id] for task in parts.train if task.topic == topic]
            stay = sum(task.topic == topic for task in kept)
            print(f"{topic or 'no topic'}: pass rate {np.mean(of_it):.3f}, {stay} of {len(of_it)} stay")
        print(f"{out}: {len(kept)} of {len(rates)} training tasks, {len(parts.heldout)} held out")


if __name__ == "__main__":
    app.run(main)
