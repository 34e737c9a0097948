"""HealthBench with any model and any grader, for `launch/eval.py`: replies, then a verdict on each criterion.

The grader is an endpoint, asked as HealthBench's grader is (one criterion at a time, in words of our own), or a local
model or adapter, which says Yes or No (`verifier.grader`). The replies are in `replies.jsonl` of the results folder and
the verdicts in `verdicts.jsonl`, each written when it is there: an interrupted evaluation goes on with the rest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ml_collections import ConfigDict

from m2jax import adapters
from m2jax.evaluate import serving
from m2jax.evaluate.figures import Figure, figure
from m2jax.evaluate.healthbench import Example, Item, adjusted, by_group, clipped, load, load_meta, meta_figures, score
from m2jax.outside.endpoint import Endpoint, Said
from m2jax.rollout.kept import Row
from m2jax.rules.final import answered
from m2jax.sampler.engine import Engine
from m2jax.sampler.requests import Chat, Dialogue, Generate
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.verifier import reasons
from m2jax.verifier.grader import Judge, read_out
from m2jax.verifier.guards import for_judge
from m2jax.verifier.rubric import Case, Criterion
from m2jax.weights import names
from m2jax.weights.adapter import read_adapter
from m2jax.weights.load import read_config

TRIES = 3  # answers of an endpoint, before a criterion counts as not met
JUDGE = "judge"
FRAME = 64  # tokens that the judge's question has after the criterion, at most
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"explanation": {"type": "string"}, "criteria_met": {"type": "boolean"}},
        "required": ["explanation", "criteria_met"],
        "additionalProperties": False,
    }
)


@dataclasses.dataclass(frozen=True)
class OutsideGrader:
    """The endpoint under the role `JUDGE`, which is asked as HealthBench's grader is."""

    max_tokens: int = 2048


Grader = Judge | OutsideGrader
Tell = Callable[[str], None]


def graded(
    messages: Sequence[Mapping[str, str]], reply: str, items: Sequence[Item], grader: Grader
) -> Generator[list[Any], list[Any], list[Row]]:
    """Of each criterion {"met": ..., "probability" or "explanation": ...}; met is None where an endpoint gave no
    verdict in `TRIES` answers, or refused to.
    """
    if isinstance(grader, Judge):
        # the judge is asked in other words where the points are below zero; how far below is nothing to it
        criteria = tuple(Criterion(item.text, 1 if item.points > 0 else -1, "healthbench") for item in items)
        case = Case("healthbench", "healthbench", "heldout", tuple(messages), (*criteria, Criterion("-", 1, "-")))
        found = yield from read_out(case, for_judge(reply), criteria, grader)
        return [{"met": verdict.met, "probability": verdict.probability} for verdict in found]
    rows: list[Row] = [{"met": None, "explanation": ""} for _ in items]
    open_ = list(range(len(items)))
    for _ in range(TRIES):
        if not open_:
            break
        chats = [{"role": "user", "content": question(messages, reply, items[i])} for i in open_]
        said = yield from reasons.asked([Chat(JUDGE, [chat], grader.max_tokens, SCHEMA) for chat in chats])
        for i, answer in zip(open_, said, strict=True):
            rows[i] = verdict_of(answer) or rows[i]
        # what is refused once is refused again
        open_ = [i for i, a in zip(open_, said, strict=True) if rows[i]["met"] is None and a is not reasons.REFUSED]
    return rows


def question(messages: Sequence[Mapping[str, str]], reply: str, item: Item) -> str:
    """What an endpoint is asked of one criterion."""
    turns = [*messages, {"role": "assistant", "content": reply}]
    conversation = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
    template = resources.files("m2jax.evaluate").joinpath("prompts", "healthbench.txt").read_text("utf-8")
    head, _, rest = template.partition("{conversation}")
    middle, _, tail = rest.partition("{item}")
    return f"{head}{conversation}{middle}[{item.points:g}] {item.text}{tail}"


def verdict_of(said: Said) -> Row | None:
    """The verdict in an endpoint's answer, which may stand in a fenced block; None where there is none."""
    text = said.text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or not isinstance(raw.get("criteria_met"), bool):
        return None
    return {"met": raw["criteria_met"], "explanation": str(raw.get("explanation", ""))}


def run(config: ConfigDict, tell: Tell) -> Iterator[Figure]:
    """The figures of config.model on the examples of config.data, or of the grader alone on those of config.meta."""
    if bool(config.data) == bool(config.meta):
        raise ValueError("give either config.data, HealthBench's examples, or config.meta, its meta-evaluation")
    _adapter_file(config.judge)
    folder = Path(config.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    who = {key: value for key, value in config.to_dict().items() if key not in ("workdir", "slots")}
    if config.meta:
        rows = load_meta(names.data_file(config.meta))[: config.n or None]
        met = _verdicts(config, who, [(row.messages, row.reply, [row.item]) for row in rows], tell)
        yield from meta_figures(rows, [bool(row[0]["met"]) for row in met])
        return
    examples = [
        e
        for e in load(names.data_file(config.data))[: config.n or None]
        if score(e.items, [False] * len(e.items)) is not None
    ]
    tell(f"{len(examples)} examples, {sum(len(e.items) for e in examples)} criteria")
    own = {key: who[key] for key in ("model", "data", "max_tokens", "temperature", "longest", "seed", "n")}
    replies = _replies(config, own, examples, tell)
    answers = [answered(r["reply"]) for r in replies]
    jobs = [(e.messages, answer, e.items) for e, answer in zip(examples, answers, strict=True)]
    met = _verdicts(config, who, jobs, tell)
    groups = by_group(examples, [[bool(v["met"]) for v in verdicts] for verdicts in met])
    failed = sum(v["met"] is None for verdicts in met for v in verdicts)
    note = f"{failed} criteria without a verdict count as not met" if failed else ""
    for name in ("overall", *sorted(groups.keys() - {"overall"})):
        yield clipped(f"HealthBench {name}", groups[name], note if name == "overall" else "")
    reply_to = dict(zip((e.id for e in examples), answers, strict=True))
    each = {name: adjusted(value, reply_to[name]) for name, value in groups["overall"].items()}
    yield clipped("HealthBench overall, adjusted for length", each)
    tokens = [float(r["tokens"]) for r in replies]
    yield figure("tokens of a reply", tokens, ids=[e.id for e in examples])


def _replies(config: ConfigDict, who: Row, examples: Sequence[Example], tell: Tell) -> list[Row]:
    def jobs(tokenizer: Tokenizer) -> Callable[[int], Dialogue]:
        def reply(i: int) -> Dialogue:
            example = examples[i]
            prompt = render(tokenizer, [Message(m["role"], m["content"]) for m in example.messages]).tokens.tolist()
            if len(prompt) + config.max_tokens > config.longest:
                raise ValueError(
                    f"example {example.id} has a prompt of {len(prompt)} tokens, its reply up to {config.max_tokens}; "
                    f"config.longest is {config.longest}: raise it"
                )
            done = yield Generate("start", prompt)
            text = tokenizer.decode(done.tokens).strip()
            return {"reply": text, "tokens": len(done.tokens), "stopped": bool(done.stopped)}

        return reply

    file = Path(config.workdir) / "replies.jsonl"
    served = lambda: _served(config, config.model)  # noqa: E731
    return serving.kept(file, who, examples, served, jobs, config.seed, tell)


def _verdicts(
    config: ConfigDict, who: Row, asked: Sequence[tuple[Sequence[Mapping[str, str]], str, Sequence[Item]]], tell: Tell
) -> list[list[Row]]:
    judge = config.judge
    endpoint = serving.endpoints({JUDGE: judge}, 0.0)
    model = config.model if judge.url else judge.model or config.model

    reads = load_tokenizer(names.resolve(model))
    suffix = FRAME + max(len(reads.encode(item.text)) for _, _, items in asked for item in items)

    def jobs(tokenizer: Tokenizer) -> Callable[[int], Dialogue]:
        room = config.longest - suffix
        grader = OutsideGrader() if judge.url else Judge(tokenizer, judge.adapter or "start", max_prefix=room)

        def grade(i: int) -> Dialogue:
            return {"verdicts": (yield from graded(*asked[i], grader))}

        return grade

    file = Path(config.workdir) / "verdicts.jsonl"
    served = lambda: _served(config, model, "" if endpoint else judge.adapter, endpoint, suffix)  # noqa: E731
    rows = serving.kept(file, who, asked, served, jobs, config.seed, tell)
    return [row["verdicts"] for row in rows]


def _served(
    config: ConfigDict,
    model: str,
    adapter: str = "",
    outside: Mapping[str, Endpoint] = MappingProxyType({}),
    suffix: int = 0,
) -> tuple[Engine, Tokenizer]:
    cfg = read_config(names.resolve(model))
    loaded = {adapter: read_adapter(cfg, _adapter_file(config.judge), stacked=False)} if adapter else {}
    return serving.serve(
        model, loaded, config.temperature, config.max_tokens, config.longest, config.slots, outside, suffix
    )


def _adapter_file(judge: ConfigDict) -> Path | None:
    """The file of judge.adapter: one that ships, by its name, or one of your own; None where there is none."""
    name = judge.adapter
    if not name or name in adapters.shipped():
        return adapters.path(name) if name else None
    file = Path(name)
    if file.suffix != ".safetensors" or not file.is_file():
        raise ValueError(
            f"config.judge.adapter is {name!r}; give one of {', '.join(adapters.shipped())}, a file "
            "(adapter_model.safetensors, as launch/export.py --form=peft writes it), or none"
        )
    beside = file.with_name("adapter_config.json")
    said = json.loads(beside.read_text("utf-8")) if beside.is_file() else {}
    if said.get("lora_alpha") != said.get("r"):
        raise ValueError(
            f"{beside} has lora_alpha {said.get('lora_alpha')} and r {said.get('r')}, which have to be the same, with "
            "the scale in the arrays; fold the adapter into its model, and give that as config.judge.model"
        )
    return file
