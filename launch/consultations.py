"""Writes consultations to learn from (configs/sft.py): the doctor's script with the simulated patient of three units:

    python launch/consultations.py --out=consultations.jsonl [--model=NAME] [--train=600] [--heldout=60]

The patient is played by the adapters that ship for the model, or by an endpoint: --endpoint=http://localhost:8000/v1
--model=NAME. What its units may not say, they do not (docs/verifier.md). A consultation that the patient ends before
its end is left out. Stopped, the same command goes on (OUT.asked.jsonl).
"""

from m2jax import distributed

distributed.start()

import sys
from pathlib import Path

from absl import app, flags, logging

from m2jax import adapters
from m2jax.data import chats
from m2jax.data.consultations import ROUNDS, consultation
from m2jax.evaluate import serving
from m2jax.lines import write_jsonl
from m2jax.outside.endpoint import EndpointDown
from m2jax.patient.script import Dialogue, Script
from m2jax.patient.simulate import Units, patient_turn, units_of
from m2jax.sampler import requests
from m2jax.weights import names
from m2jax.weights.load import read_config

_OUT = flags.DEFINE_string("out", None, "JSONL file to write.", required=True)
_MODEL = flags.DEFINE_string("model", "smollm2-135m-instruct", "Model: see python -m m2jax.weights.")
_ENDPOINT = flags.DEFINE_string("endpoint", None, "Base URL of an OpenAI-compatible endpoint that serves --model.")
_KEY_ENV = flags.DEFINE_string("key_env", "", "Environment variable with the endpoint's key.")
_TRAIN = flags.DEFINE_integer("train", 600, "Consultations to learn from.", lower_bound=0)
_HELDOUT = flags.DEFINE_integer("heldout", 60, "Consultations of held-out conditions.", lower_bound=0)
_FIRST = flags.DEFINE_integer("first", 0, "Seed of the first patient.", lower_bound=0)
_TOKENS = flags.DEFINE_integer("max_tokens", 64, "Of what the patient says, at most.", lower_bound=1)
_LONGEST = flags.DEFINE_integer("longest", 1536, "Tokens of a prompt with its answer.", lower_bound=1)
_TEMPERATURE = flags.DEFINE_float("temperature", 0.7, "Of what the patient says.", 0, 2)
_SLOTS = flags.DEFINE_integer("slots", 16, "Consultations at once.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of what the patient says.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        sys.exit(f"error: {argv[1]!r} is no flag; see --help")
    logging.set_verbosity(logging.WARNING)
    out = Path(_OUT.value)
    todo = [
        (split, _FIRST.value + i) for split, n in (("train", _TRAIN), ("heldout", _HELDOUT)) for i in range(n.value)
    ]
    who = {flag.name: flag.value for flag in (_MODEL, _ENDPOINT, _TOKENS, _LONGEST, _TEMPERATURE, _SEED)}
    try:
        found = serving.kept(Path(f"{out}.asked.jsonl"), who, todo, _served, _jobs(todo), _SEED.value, print)
    except (ValueError, OSError, EndpointDown) as error:
        sys.exit(f"error: {error}")
    made = [row["chat"] for row in found if row["chat"]]
    write_jsonl(out, made)
    print(f"{out}: {len(made)} of {len(todo)} consultations; {len(todo) - len(made)} were ended by the patient")


def _jobs(todo: list[tuple[str, int]]):
    def of_tokenizer(tokenizer):
        if tokenizer is None:
            units = Units(None, "patient", "patient", None, ROUNDS + 1, _TOKENS.value)
        else:
            units = units_of(tokenizer, adapters.of_model(_MODEL.value), "start", ROUNDS + 1, _TOKENS.value)

        def answers(script: Script, dialogue: Dialogue) -> requests.Dialogue:
            turn = yield from patient_turn(script, dialogue, units)
            return None if turn.gate.stop else turn.final

        def job(i: int) -> requests.Dialogue:
            chat = yield from consultation(*todo[i], answers)
            return {"chat": chat and chats.to_json(chat)}

        return job

    return of_tokenizer


def _served():
    """(engine with the patient's roles, its tokenizer, None where the patient is an endpoint)."""
    if _ENDPOINT.value is not None:
        url, key, at_once = _ENDPOINT.value, _KEY_ENV.value, _SLOTS.value
        return serving.serve_outside("patient", url, _MODEL.value, key, _TEMPERATURE.value, _TOKENS.value, at_once)
    cfg = read_config(names.resolve(_MODEL.value))
    loaded = {name: adapters.load_adapter(name, cfg, stacked=False) for name in adapters.of_model(_MODEL.value)}
    return serving.serve(_MODEL.value, loaded, _TEMPERATURE.value, _TOKENS.value, _LONGEST.value, _SLOTS.value)


if __name__ == "__main__":
    app.run(main)
