"""Writes chats to learn from, by rejection sampling: of k replies to each case the best stays, if it is good.

    python launch/reject.py --config=configs/rl_stage2.py[:preset] --out=chats.jsonl [--k=8] [--least=0.6] [--cases=N]

Cases, model and judge are the config's (cases with rubrics, or with configs/rl_stage1.py tasks with rules). A reply is
good with a score of at least LEAST, whole, and without a fault (`data/tools/quality.py`). OUT is for
--config=configs/sft.py --config.data.path=OUT. The rest is

    OUT.sft.jsonl        tasks that need knowledge, as chats with their answers: to be told
    OUT.rl.jsonl         tasks that need reasoning, for configs/rl_stage1.py: to be found
    OUT.dropped.jsonl    tasks with an uncertain answer, on which less than --agree of the replies agree
    OUT.hard.jsonl       cases with rubrics, with their highest score

Stopped, the same command goes on (OUT.sampled.jsonl).
"""

from m2jax import distributed

distributed.start()

import sys
from pathlib import Path

sys.argv[1:] = distributed.join(sys.argv[1:])
sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that a config may build on another one

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from m2jax.lines import write_jsonl
from m2jax.outside.endpoint import EndpointDown
from m2jax.rollout.rejection import hard, sample
from m2jax.train import rl

DECIDES = ("model", "verifier", "seed", "sampling", "reward", "judge")  # what is sampled, and what it is worth
_CONFIG = config_flags.DEFINE_config_file("config", None, "The config of an RL stage.", lock_config=True)
_OUT = flags.DEFINE_string("out", None, "File to write.", required=True)
_K = flags.DEFINE_integer("k", 8, "Replies to each case.", lower_bound=1)
_LEAST = flags.DEFINE_float("least", 0.6, "Least score of a reply that stays.")
_AGREE = flags.DEFINE_float("agree", 0.75, "Share of replies that decide an uncertain answer.", 0, 1)
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
            cases = [*parts.train[: _CASES.value or None], *parts.heldout]
            who = {"k": _K.value, "least": _LEAST.value, "agree": _AGREE.value}
            found = sample(
                parts.engine, parts.tokenizer, cases, _K.value, _LEAST.value, _AGREE.value,
                out.with_name(out.name + ".sampled.jsonl"), judge=parts.judge, reward=parts.reward,
                who=who | {key: config.to_dict()[key] for key in DECIDES},
                at_once=config.data.prompts_per_step, seed=config.seed,
            )  # fmt: skip
    except (ValueError, OSError, EndpointDown) as error:
        sys.exit(f"error: {error}")
    if distributed.is_first():
        good = [row["chat"] for row in found if row["chat"]]
        rest = hard(cases, found)
        named = {out.with_name(f"{out.name}.{name}.jsonl"): rows for name, rows in rest.items()}
        for file in [file for file, rows in named.items() if not rows]:
            file.unlink(missing_ok=True)  # of a run before
            del named[file]
        for file, rows in ({out: good} | named).items():
            write_jsonl(file, rows)
        left = "".join(f", {len(rows)} in {file.name}" for file, rows in named.items())
        print(f"{out}: {len(good)} chats of {len(found)} cases{left}")


if __name__ == "__main__":
    app.run(main)
