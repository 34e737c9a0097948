"""Writes replies of a model to the clinic's patients, for the grader to practise and be tested on (JSONL):

    python launch/replies.py --out=m2jax/data/replies.jsonl --run=runs/adapters/writer [--train=360] [--heldout=100]

Two thirds are asked with wishes of what the rubric wants or forbids, which the file does not hold.
"""

from m2jax import distributed

distributed.start()

from pathlib import Path

import numpy as np
from absl import app, flags, logging

from m2jax.checkpoint import load_trained
from m2jax.clinic.sample import sample_case
from m2jax.data.replies import request, wishes
from m2jax.evaluate.serving import serve
from m2jax.lines import write_jsonl
from m2jax.rollout.single_turn import results_of
from m2jax.sampler.requests import Dialogue
from m2jax.text.chat import Message
from m2jax.verifier.ask import ask
from m2jax.verifier.rubric import Case

_OUT = flags.DEFINE_string("out", None, "File to write.", required=True)
_RUN = flags.DEFINE_string("run", None, "Folder of a training run, whose adapter replies.", required=True)
_TRAIN = flags.DEFINE_integer("train", 360, "Replies to patients of the training split.")
_HELDOUT = flags.DEFINE_integer("heldout", 100, "Replies to patients of the held-out split.")
TEMPERATURE, MAX_TOKENS, LONGEST = 0.8, 96, 512


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    numbers = {"train": _TRAIN.value, "heldout": _HELDOUT.value}
    cases = [sample_case(seed, split) for split, n in numbers.items() for seed in range(n)]
    _, adapter, config, _ = load_trained(Path(_RUN.value))
    engine, tokenizer = serve(config["model"], {"writer": adapter}, TEMPERATURE, MAX_TOKENS, LONGEST, slots=48)

    def reply(case: Case, number: int) -> Dialogue:
        wished = wishes(case, np.random.default_rng([number])) if number % 3 else []
        return (yield from ask(tokenizer, "writer", [Message("user", request(case, wished))]))

    texts = results_of(engine.run([reply(case, i) for i, case in enumerate(cases)], seed=0))
    rows = [
        {"split": case.split, "seed": int(case.id.rpartition("-")[2]), "reply": text}
        for case, text in zip(cases, texts, strict=True)
    ]
    write_jsonl(Path(_OUT.value), rows)
    print(f"{_OUT.value}: {len(rows)} replies")


if __name__ == "__main__":
    app.run(main)
