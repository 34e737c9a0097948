"""Talk to the simulated patient, or to a doctor that a model plays:

    python launch/chat.py --role=patient [--seed=7 | --record=FILE] [--show-units] [--transcript=FILE.json]
    python launch/chat.py --role=doctor [--model=NAME | --run=runs/x] [--seed=7]

The model is one of m2jax.weights, what a run trained, or an endpoint: --endpoint=http://localhost:8000/v1 --model=NAME.
/quit, Ctrl-D or Ctrl-C ends the talk.
"""

from m2jax import distributed

distributed.start()

import contextlib
import json
import secrets
import signal
import sys
from pathlib import Path

from absl import app, flags, logging

from m2jax.outside.endpoint import EndpointDown

_ROLE = flags.DEFINE_enum("role", None, ["patient", "doctor"], "Whom the model plays.", required=True)
_MODEL = flags.DEFINE_string("model", "smollm2-135m-instruct", "Model: see python -m m2jax.weights.")
_RUN = flags.DEFINE_string("run", None, "Folder of a training run, whose newest checkpoint is taken as the model.")
_ENDPOINT = flags.DEFINE_string("endpoint", None, "Base URL of an OpenAI-compatible endpoint that serves --model.")
_KEY_ENV = flags.DEFINE_string("key_env", "", "Environment variable with the endpoint's key.")
_SEED = flags.DEFINE_integer("seed", None, "Patient of the clinic; with --record the number of the record, from 0.", 0)
_RECORD = flags.DEFINE_string("record", None, "File of records (see python -m m2jax.records), de-identified.")
_SHOW_UNITS = flags.DEFINE_boolean("show-units", False, "Show what the patient's units decide, and the rubric's marks.")
_TRANSCRIPT = flags.DEFINE_string("transcript", None, "File to write the talk to, as JSON.")

TEMPERATURE, MAX_TOKENS, LONGEST, ROUNDS = 0.7, 192, 2048, 20
UNITS = ("affective", "factual", "gate")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is no flag")
    logging.set_verbosity(logging.WARNING)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits that it is ignored
    sys.stdin.reconfigure(errors="replace")
    sys.stdout.reconfigure(errors="replace")
    try:
        talk()
    except (ValueError, OSError, EndpointDown) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped")


def talk() -> None:
    from m2jax.patient import shown, terminal
    from m2jax.patient.simulate import units_of
    from m2jax.verifier.ask import ask

    out = Path(_TRANSCRIPT.value) if _TRANSCRIPT.value else None
    if out and (out.exists() or not out.parent.is_dir()):
        raise ValueError(f"{out} cannot be a transcript: it exists, or its folder does not; name a new file")
    now = terminal.Talk(_ROLE.value, *script())
    engine, tokenizer, someone, cards = serve()
    say, show = lambda text: print(text, flush=True), _SHOW_UNITS.value
    say("(/quit ends the talk.)\n")
    try:
        if now.role == "patient":
            units = units_of(tokenizer, cards, someone, ROUNDS)
            terminal.talk_to_patient(now, engine, shown.opening(now.script.record, now.seed), units, input, say, show)
        else:
            terminal.talk_to_doctor(now, engine, lambda chat: ask(tokenizer, someone, chat), input, say, show)
    finally:
        if out:
            out.write_text(json.dumps(terminal.transcript(now), ensure_ascii=False, indent=1) + "\n", "utf-8")
            say(f"{out}: the transcript")


def script():
    """The patient with her seed; None where a person talks to a doctor about what she likes."""
    from m2jax.patient.persona import sample_persona
    from m2jax.patient.script import Script, sample_script
    from m2jax.records.load import load

    if _RECORD.value is not None:
        records, _ = load(_RECORD.value)
        number = _SEED.value or 0
        if number >= len(records):
            raise ValueError(f"{_RECORD.value} has {len(records)} records; --seed={number} counts them from 0")
        return Script(records[number], sample_persona(number, records[number])), number
    if _SEED.value is None and _ROLE.value == "doctor":
        return None, 0
    seed = secrets.randbelow(1_000_000) if _SEED.value is None else _SEED.value
    print(f"(The patient of --seed={seed}.)")
    return sample_script(seed, "heldout"), seed


def serve():
    """(engine, tokenizer or None, the role that plays whatever no adapter does, and the cards of the adapters)."""
    from m2jax import adapters, checkpoint
    from m2jax.evaluate import serving
    from m2jax.weights import names
    from m2jax.weights.load import read_config

    if _ENDPOINT.value is not None:
        who = "outside", _ENDPOINT.value, _MODEL.value, _KEY_ENV.value
        return *serving.serve_outside(*who, TEMPERATURE, MAX_TOKENS, slots=2), "outside", {}
    trained = checkpoint.load_params(Path(_RUN.value)) if _RUN.value is not None else None
    model = trained[2] if trained else _MODEL.value
    print(f"(Loading {_RUN.value or model}; what is said first takes longer, since it is compiled.)", flush=True)
    cfg = read_config(names.resolve(model))
    cards = adapters.of_model(model) if _ROLE.value == "patient" and trained is None else {}
    cards = {name: cards[name] for name in UNITS if name in cards}
    loaded = {name: adapters.load_adapter(name, cfg, stacked=False) for name in cards}
    engine, tokenizer = serving.serve(model, loaded, TEMPERATURE, MAX_TOKENS, LONGEST, slots=2)
    if trained:
        engine.update("base", trained[1])
    return engine, tokenizer, "start", cards


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        app.run(main)
