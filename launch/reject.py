"""Writes chats to learn from, by rejection sampling: of k replies to each case the best stays, if it is good.

    python launch/reject.py --config=configs/rl_stage2.py[:preset] --out=chats.jsonl [--k=8] [--least=0.6] [--cases=N]

Cases, model and judge are the config's (cases with rubrics, or with configs/rl_stage1.py tasks with rules). A reply is
good with a score of at least LEAST, whole, and without a fault (`data/tools/quality.py`). OUT is for
--config=configs/sft.py --config.data.path=OUT; cases without a good reply are in OUT.hard.jsonl, with their highest
score. Stopped, the same command goes on (OUT.sampled.jsonl).
"""

from m2jax import distributed

distributed.start()

import json
import sys
from pathlib import Path

sys.argv[1:] = distributed.join(sys.argv[1:])
sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that a config may build on another one

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from m2jax.rollout.rejection import sample
from m2jax.train import rl

_CONFIG = config_flags.DEFINE_config_file("config", None, "The config of an RL stage.", lock_config=True)
_OUT = flags.DEFINE_string("out", None, "File to write.", required=True)
_K = flags.DEFINE_integer("k", 8, "Replies to each case.", lower_bound=1)
_LEAST = flags.DEFINE_float("least", 0.6, "Least score of a reply that stays.")
_CASES = flags.DEFINE_integer("cases", 0, "How many of the training cases (0: all).", lower_bound=0)
flags.mark_flag_as_required("config")


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    config, out = _CONFIG.value, Path(_OUT.value)
    try:
        mesh = rl.make_mesh(config)
        with jax.set_mesh(mesh):
            parts, _ = rl.start(config, mesh)
            if not parts.train:
                raise ValueError(
                    "--config has no cases of its own, as configs/rl_stage3.py; give stage 1's or stage 2's"
                )
            found = sample(
                parts.engine, parts.tokenizer, [*parts.train[: _CASES.value or None], *parts.heldout], _K.value,
                _LEAST.value, out.with_name(out.name + ".sampled.jsonl"), judge=parts.judge, reward=parts.reward,
                who={"k": _K.value, "least": _LEAST.value} | {
                    key: config.to_dict()[key] for key in ("model", "seed", "sampling", "reward", "judge")
                },
                at_once=config.data.prompts_per_step, seed=config.seed,
            )  # fmt: skip
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    if distributed.is_first():
        good = [row["chat"] for row in found if row["chat"]]
        hard = [{"id": row["id"], "highest": row["highest"]} for row in found if not row["chat"]]
        for file, rows in ((out, good), (out.with_name(out.name + ".hard.jsonl"), hard)):
            file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        print(f"{out}: {len(good)} chats of {len(found)} cases")


if __name__ == "__main__":
    app.run(main)
