"""Writes replies of a model to the clinic's patients, for the grader to practise and be tested on (JSONL):

    python launch/replies.py --out=m2jax/data/replies.jsonl [--model=...] [--train=360] [--heldout=120]

Two thirds are asked with hints of what the rubric wants or forbids, which the file does not hold: of a small model left
alone, hardly a reply meets anything.
"""

from m2jax import distributed

distributed.start()

import json
from pathlib import Path

import numpy as np
from absl import app, flags

from m2jax.clinic.sample import sample_case
from m2jax.evaluate.serving import serve
from m2jax.rollout.single_turn import results_of
from m2jax.sampler.requests import Dialogue
from m2jax.text.chat import Message
from m2jax.verifier.ask import ask
from m2jax.verifier.rubric import Case

_OUT = flags.DEFINE_string("out", None, "File to write.", required=True)
_MODEL = flags.DEFINE_string("model", "smollm2-135m-instruct", "Who replies.")
_TRAIN = flags.DEFINE_integer("train", 360, "Replies to patients of the training split.")
_HELDOUT = flags.DEFINE_integer("heldout", 120, "Replies to patients of the held-out split.")
MAX_TOKENS, LONGEST, HINTS = 80, 512, 3


def main(argv: list[str]) -> None:
    numbers = {"train": _TRAIN.value, "heldout": _HELDOUT.value}
    cases = [sample_case(seed, split) for split, n in numbers.items() for seed in range(n)]
    engine, tokenizer = serve(_MODEL.value, {}, 0.8, MAX_TOKENS, LONGEST, slots=48)

    def reply(case: Case, number: int) -> Dialogue:
        return (yield from ask(tokenizer, "start", [Message("user", asked(case, number))]))

    texts = results_of(engine.run([reply(case, i) for i, case in enumerate(cases)], seed=0))
    rows = [
        {"split": case.split, "seed": int(case.id.rpartition("-")[2]), "reply": text}
        for case, text in zip(cases, texts, strict=True)
    ]
    Path(_OUT.value).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    print(f"{_OUT.value}: {len(rows)} replies")


def asked(case: Case, number: int) -> str:
    """The patient's message; for two of three, with some of the rubric as a wish."""
    message = case.messages[0]["content"]
    if number % 3 == 0:
        return message
    rng = np.random.default_rng([number])
    chosen = [case.rubric[i].text for i in rng.permutation(len(case.rubric))[:HINTS]]
    return "\n".join([message, "", "In your answer to me, in a few sentences:", *(f"- {text}" for text in chosen)])


if __name__ == "__main__":
    app.run(main)
