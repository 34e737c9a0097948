"""Writes replies of models to the clinic's patients, for the grader to practise and be tested on (JSONL):

    python launch/replies.py --out=m2jax/data/replies.jsonl --run=runs/adapters/writer [--train=540] [--heldout=120]
        [--policy=smollm2-135m-instruct --policy=runs/demo/model]

The run's adapter and each policy, a model's name or folder, reply in turn. Two thirds of what the adapter is asked has
wishes of what the rubric wants or forbids, which the file does not hold; policies reply as they are.
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
from m2jax.text.chat import Message
from m2jax.verifier.ask import ask

_OUT = flags.DEFINE_string("out", None, "File to write.", required=True)
_RUN = flags.DEFINE_string("run", None, "Folder of a training run, whose adapter replies.", required=True)
_POLICY = flags.DEFINE_multi_string("policy", [], "A model that replies as it is, by name or folder.")
_TRAIN = flags.DEFINE_integer("train", 540, "Replies to patients of the training split.")
_HELDOUT = flags.DEFINE_integer("heldout", 120, "Replies to patients of the held-out split.")
TEMPERATURE, MAX_TOKENS, LONGEST = 0.8, 96, 512


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    numbers = {"train": _TRAIN.value, "heldout": _HELDOUT.value}
    cases = [sample_case(seed, split) for split, n in numbers.items() for seed in range(n)]
    _, adapter, config, _ = load_trained(Path(_RUN.value))
    authors = [(config["model"], {"writer": adapter}), *((model, {}) for model in _POLICY.value)]
    names, texts = [_RUN.value, *_POLICY.value], [""] * len(cases)
    for place, (model, adapters) in enumerate(authors):
        engine, tokenizer = serve(model, adapters, TEMPERATURE, MAX_TOKENS, LONGEST, slots=48)
        role, jobs = "writer" if adapters else "start", []
        for i in range(place, len(cases), len(authors)):
            wanted = adapters and i // len(authors) % 3
            wished = wishes(cases[i], np.random.default_rng([i])) if wanted else []
            jobs.append(ask(tokenizer, role, [Message("user", request(cases[i], wished))]))
        texts[place :: len(authors)] = results_of(engine.run(jobs, seed=0))
        del engine  # before the next one's weights
    rows = [
        {"split": case.split, "seed": int(case.id.rpartition("-")[2]), "reply": text, "by": names[i % len(names)]}
        for i, (case, text) in enumerate(zip(cases, texts, strict=True))
    ]
    write_jsonl(Path(_OUT.value), rows)
    print(f"{_OUT.value}: {len(rows)} replies")


if __name__ == "__main__":
    app.run(main)
