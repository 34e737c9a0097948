"""Makes mid-training documents of documents, by a model (docs/data.md):

    python launch/corpus.py rephrase --file=documents.jsonl --out=rephrased.jsonl [--model=NAME]
    python launch/corpus.py notes --file=documents.jsonl --out=noted.jsonl [--model=NAME] [--notes=4]

The model is one of m2jax.weights, or an endpoint: --endpoint=http://localhost:8000/v1 --model=NAME. `rephrase` rewrites
passages of knowledge for logic and readability, `notes` writes thoughts between their sentences, which makes them
documents of reasoning; documents of other kinds stay as they are. OUT is for configs/midtrain.py, OUT.dropped.jsonl has
the id of what was left out, and why. Stopped, the same command goes on (OUT.asked.jsonl).
"""

from m2jax import distributed

distributed.start()

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging

from m2jax.data.documents import Document, load_documents, to_json
from m2jax.data.tools.notes import annotate
from m2jax.data.tools.rephrase import passages, rephrase
from m2jax.evaluate import serving
from m2jax.lines import write_jsonl
from m2jax.outside.endpoint import EndpointDown
from m2jax.sampler.requests import Dialogue

_FILE = flags.DEFINE_string("file", None, "Documents to read, JSONL or a TFDS folder.", required=True)
_OUT = flags.DEFINE_string("out", None, "JSONL file to write.", required=True)
_MODEL = flags.DEFINE_string("model", "smollm2-135m-instruct", "Model: see python -m m2jax.weights.")
_ENDPOINT = flags.DEFINE_string("endpoint", None, "Base URL of an OpenAI-compatible endpoint that serves --model.")
_KEY_ENV = flags.DEFINE_string("key_env", "", "Environment variable with the endpoint's key.")
_NOTES = flags.DEFINE_integer("notes", 4, "notes: of a document, at most.", lower_bound=1)
_TOKENS = flags.DEFINE_integer("max_tokens", 512, "Of an answer, at most.", lower_bound=1)
_LONGEST = flags.DEFINE_integer("longest", 2048, "Tokens of a prompt with its answer.", lower_bound=1)
_TEMPERATURE = flags.DEFINE_float("temperature", 0.7, "Of what the model writes.", 0, 2)
_SLOTS = flags.DEFINE_integer("slots", 16, "Answers at once.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed.")

TOOLS = {  # the documents to be made, and what makes one of them
    "rephrase": (passages, lambda document, *asked: rephrase(document, *asked)),
    "notes": (
        lambda documents: [d for d in documents if d.kind == "knowledge"],
        lambda document, *asked: annotate(document, _NOTES.value, *asked),
    ),
}


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    if len(argv) != 2 or argv[1] not in TOOLS:
        sys.exit(f"error: the command is {' '.join(argv[1:])!r}; it is one of {', '.join(TOOLS)}")
    prepare, make = TOOLS[argv[1]]
    out = Path(_OUT.value)
    try:
        documents = load_documents(_FILE.value)
        todo = prepare(documents)
        if not todo:
            raise ValueError(f"{_FILE.value} has no document of knowledge, which alone are worked on")
        found = ask(argv[1], out, todo, make)
    except (ValueError, OSError, EndpointDown) as error:
        sys.exit(f"error: {error}")
    made = [row["document"] for row in found if row["document"]]
    left = [to_json(document) for document in documents if document.kind != "knowledge"]
    dropped = [(d.id, row["reason"]) for d, row in zip(todo, found, strict=True) if not row["document"]]
    write_jsonl(out, [*made, *left])
    write_jsonl(Path(f"{out}.dropped.jsonl"), [{"id": name, "reason": reason} for name, reason in dropped])
    reasons = Counter(reason.partition(":")[0] for _, reason in dropped)
    notes = sum((Counter(row.get("dropped", {})) for row in found), Counter())
    for what, counts in (("documents", reasons), ("notes", notes)):
        for reason, n in counts.most_common():
            print(f"{n} {what} left out: {reason}")
    print(f"{out}: {len(made)} of {len(todo)} made, {len(left)} of other kinds as they were")


def ask(tool: str, out: Path, todo: list[Document], make: Callable[..., Dialogue]) -> list[dict]:
    """What the tool made of each document, as far as it was not known before."""
    flags_ = (_MODEL, _ENDPOINT, _NOTES, _TOKENS, _LONGEST, _TEMPERATURE, _SEED)
    who = {"tool": tool} | {flag.name: flag.value for flag in flags_}

    def jobs(tokenizer):
        return lambda i: make(todo[i], tokenizer, "start", _TOKENS.value)

    return serving.kept(Path(f"{out}.asked.jsonl"), who, todo, served, jobs, _SEED.value, print)


def served():
    """(engine with the role "start", its tokenizer, None where that is an endpoint)."""
    if _ENDPOINT.value is not None:
        url, key, at_once = _ENDPOINT.value, _KEY_ENV.value, _SLOTS.value
        return serving.serve_outside("start", url, _MODEL.value, key, _TEMPERATURE.value, _TOKENS.value, at_once)
    return serving.serve(_MODEL.value, {}, _TEMPERATURE.value, _TOKENS.value, _LONGEST.value, _SLOTS.value)


if __name__ == "__main__":
    app.run(main)
