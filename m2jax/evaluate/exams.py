"""Exams, for `launch/eval.py`: multiple choice, mathematics and instructions, of public files in their own formats.

    medqa, medmcqa, pubmedqa, mmlu, cmexam     multiple choice: by likelihood and by generation
    gsm8k                                      mathematics: the final number (math-verify)
    ifeval                                     instructions: strict and loose, by prompt and by instruction
    tasks                                      your own (`data.tasks`): any rule

By likelihood, the answer is the option whose letter is the likeliest next token after the question in the model's chat
template; by generation, the reply has to commit to it (`rules.choice`). Both are greedy and without examples. Replies
are in `replies.jsonl` of the results folder and the letters' log-probabilities in `letters.jsonl`; a stopped exam goes
on with the rest.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from m2jax.data.tasks import Task, load_tasks, parse_task
from m2jax.evaluate import serving
from m2jax.evaluate.figures import Figure, figure, share
from m2jax.evaluate.stats import pooled_ci
from m2jax.rollout.kept import Row
from m2jax.rollout.single_turn import prompt_tokens
from m2jax.rules.choice import Choice
from m2jax.rules.final import answered
from m2jax.rules.instructions.check import loose, strict
from m2jax.rules.rule import Instructions, rewards
from m2jax.sampler.requests import Dialogue, Generate, Score
from m2jax.text.tokenizer import Tokenizer
from m2jax.weights import names

LETTERS = "ABCDEFGHIJ"
ASK = "Answer with the letter of the right option."
PUBMED = ("yes", "no", "maybe")
COLUMNS = {  # of what is published as CSV
    "cmexam": ("Question", "Options", "Answer"),
    "mmlu": ("question", "A", "B", "C", "D", "answer"),
}

# ---- Formats: a row of the file -> (question, rule); None where no single option is right


def _choice(question: str, options: Mapping[str, str], answer: str) -> tuple[str, Row]:
    said = "\n".join([question.strip(), "", *(f"{letter}. {text}" for letter, text in options.items()), "", ASK])
    return said, {"kind": "choice", "options": dict(options), "answer": answer}


def _medqa(row: Any) -> tuple[str, Row]:
    right = row.get("answer_idx") or next(key for key, text in row["options"].items() if text == row["answer"])
    return _choice(row["question"], row["options"], right)


def _medmcqa(row: Any) -> tuple[str, Row]:
    options = {letter: str(row[f"op{letter.lower()}"]) for letter in "ABCD"}
    return _choice(row["question"], options, LETTERS[_whole(row["cop"])])


def _from_zero(rows: Sequence[Any]) -> list[Any]:
    """MedMCQA's rows with `cop` counted from 0, as on the hub; in the authors' own files it counts from 1."""
    found = {row["cop"] for row in rows}
    if not found & {0, 4} or {0, 4} <= found:
        raise ValueError(
            f"cop is {sorted(found)}, which does not tell whether options count from 0 or from 1; give a file with "
            "more rows of one kind"
        )
    return rows if 0 in found else [row | {"cop": row["cop"] - 1} for row in rows]


def _pubmedqa(row: Any) -> tuple[str, Row]:
    contexts = row["CONTEXTS"] if "CONTEXTS" in row else row["context"]["contexts"]
    question = "\n\n".join([*contexts, row["QUESTION"] if "QUESTION" in row else row["question"]])
    right = LETTERS[PUBMED.index(row["final_decision"])]
    return _choice(question, dict(zip(LETTERS, PUBMED, strict=False)), right)


def _mmlu(row: Any) -> tuple[str, Row]:
    answer, choices = row["answer"], row["choices"] if "choices" in row else [row[letter] for letter in "ABCD"]
    right = answer.strip() if isinstance(answer, str) else LETTERS[_whole(answer)]
    return _choice(row["question"], dict(zip(LETTERS, choices, strict=False)), right)


def _cmexam(row: Any) -> tuple[str, Row] | None:
    options = row["Options"]
    if isinstance(options, str):
        options = [
            {"key": line[:1], "value": line[1:].lstrip(" .、．")} for line in options.splitlines() if line.strip()
        ]
    if len(row["Answer"].strip()) != 1:  # several options are right
        return None
    return _choice(row["Question"], {o["key"]: o["value"] for o in options}, row["Answer"].strip())


def _gsm8k(row: Any) -> tuple[str, Row]:
    _, mark, answer = row["answer"].rpartition("####")
    if not mark:
        raise ValueError(f"answer {row['answer'][-80:]!r} has no '####' before the number")
    return row["question"], {"kind": "math", "answer": answer.strip().replace(",", "")}


def _ifeval(row: Any) -> tuple[str, Row]:
    kwargs = [{key: value for key, value in one.items() if value is not None} for one in row["kwargs"]]
    rule = {"kind": "instructions", "instruction_ids": row["instruction_id_list"], "kwargs": kwargs, "pays": "all"}
    return row["prompt"], rule | {"prompt": row["prompt"], "contradictory": True}


FORMATS: dict[str, Callable[[Any], tuple[str, Row] | None]] = {
    "medqa": _medqa,
    "medmcqa": _medmcqa,
    "pubmedqa": _pubmedqa,
    "mmlu": _mmlu,
    "cmexam": _cmexam,
    "gsm8k": _gsm8k,
    "ifeval": _ifeval,
}


def _whole(index: Any) -> int:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(LETTERS):
        raise ValueError(f"the right option is {index!r}; give its number, from 0")
    return index


def load(name: str, path: str | Path) -> list[Task]:
    """The tasks of a file: JSONL, a JSON list, an object of rows by id (as PubMedQA's), or CSV (`COLUMNS`). ValueError
    names the row that is none of the format, of CSV by its first line; rows without a single right option are left out.
    """
    if name == "tasks":
        return load_tasks(path)
    if name not in FORMATS:
        raise ValueError(f"config.task is {name!r}; it is one of {', '.join([*FORMATS, 'tasks'])}")
    is_csv = Path(path).suffix.lower() == ".csv"
    tasks, rows = [], _csv(name, Path(path)) if is_csv else _rows(Path(path))
    if name == "medmcqa" and all(isinstance(row, dict) and isinstance(row.get("cop"), int) for _, row in rows):
        rows = list(zip((key for key, _ in rows), _from_zero([row for _, row in rows]), strict=True))
    for key, row in rows:
        try:
            made = FORMATS[name](row)
            if made:
                tasks.append(parse_task({"id": f"{name}-{key}", "question": made[0], "rule": made[1]}))
        except (KeyError, TypeError, AttributeError, StopIteration, IndexError, ValueError) as error:
            what = error if isinstance(error, ValueError) else repr(error)
            raise ValueError(f"{path}: {'line' if is_csv else 'row'} {key} is no row of {name}: {what}") from error
    if not tasks:
        raise ValueError(f"{path} has no row to ask; give a file in the format of {name}")
    return tasks


def _rows(path: Path) -> list[tuple[str, Any]]:
    text = path.read_text("utf-8")
    try:
        whole = json.loads(text)
    except ValueError:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
        try:
            return [(str(number), json.loads(line)) for number, line in lines]
        except ValueError as error:
            raise ValueError(f"{path} is neither JSON nor JSONL: {error}") from error
    if isinstance(whole, list):
        return [(str(number), row) for number, row in enumerate(whole, start=1)]
    many = all(isinstance(row, dict) for row in whole.values()) if isinstance(whole, dict) else False
    return list(whole.items()) if many else [("1", whole)]


def _csv(name: str, path: Path) -> list[tuple[str, Any]]:
    """Rows by the line on which they begin: CMExam's by its header, MMLU's with or without one."""
    if name not in COLUMNS:
        raise ValueError(f"{path} is CSV, in which only {' and '.join(COLUMNS)} are published; give {name} as JSONL")
    cells = _cells(path)
    known = {column.lower(): column for column in COLUMNS[name]}
    header = [known.get(cell.strip().lower(), cell) for cell in cells[0][1]] if cells else []
    if {*known.values()} <= {*header}:
        cells = cells[1:]
    elif name == "mmlu":
        header = [*known.values()]
    elif cells:
        raise ValueError(f"{path}: line {cells[0][0]} is {header}; a header names {', '.join(known.values())}")
    for line, row in cells:
        if len(row) != len(header):
            raise ValueError(f"{path}: line {line} has {len(row)} cells, not the {len(header)} of {', '.join(header)}")
    return [(str(line), dict(zip(header, row, strict=True))) for line, row in cells]


def _cells(path: Path) -> list[tuple[int, list[str]]]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}: line {line} is no UTF-8 ({error.reason}); save the file as UTF-8") from error
    reader, line, found = csv.reader(io.StringIO(text, newline=""), strict=True), 1, []
    try:
        for row in reader:
            if row:
                found.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}: line {line} begins a row that is no CSV: {error}") from error
    return found


# ---- An exam


def run(config: ConfigDict, tell: Callable[[str], None]) -> Iterator[Figure]:
    """The figures of config.model on the tasks of config.data."""
    if unknown := [how for how in config.by if how not in ("likelihood", "generation")]:
        raise ValueError(f"config.by names {unknown}; it is of likelihood and generation")
    tasks = load(config.task, names.data_file(config.data))[: config.n or None]
    folder = Path(config.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    who = {key: value for key, value in config.to_dict().items() if key not in ("workdir", "slots", "by")}
    served: list[Any] = []  # one model for both ways

    def once() -> Any:
        if not served:
            served.append(serving.serve(config.model, {}, 0.0, config.max_tokens, config.longest, slots=config.slots))
        return served[0]

    def kept(name: str, asked: list[Task], jobs: Callable[[Tokenizer], Callable[[int], Dialogue]]) -> list[Row]:
        return serving.kept(folder / f"{name}.jsonl", who, asked, once, jobs, 0, tell)

    asked = [task for task in tasks if isinstance(task.rule, Choice)]
    if "likelihood" in config.by and asked:
        rows = kept("letters", asked, lambda tokenizer: lambda i: _letters(asked[i], tokenizer, config))
        right = [
            float(max(row["logps"], key=row["logps"].get) == task.rule.answer)
            for task, row in zip(asked, rows, strict=True)
        ]
        chance = np.mean([1 / len(task.rule.options) for task in asked])
        yield share(f"{config.task} by likelihood", right, note=f"chance {chance:.3f}", ids=[task.id for task in asked])
    if "generation" in config.by:
        rows = kept("replies", tasks, lambda tokenizer: lambda i: _reply(tasks[i], tokenizer, config))
        yield from by_generation(config.task, tasks, [row["reply"] for row in rows])
        yield figure("tokens of a reply", [float(row["tokens"]) for row in rows], ids=[task.id for task in tasks])


def by_generation(name: str, tasks: Sequence[Task], replies: Sequence[str]) -> list[Figure]:
    """What replies are worth: their rules' rewards; of instructions the four figures of IFEval (arXiv 2311.07911)."""
    ids = [task.id for task in tasks]
    following = [(task.rule, answered(reply)) for task, reply in zip(tasks, replies, strict=True)]
    if not all(isinstance(rule, Instructions) for rule, _ in following):
        given = rewards([(task.rule, reply) for task, reply in zip(tasks, replies, strict=True)])
        return [share(f"{name} by generation", [float(r) for r in given], ids=ids)]
    figures = []
    for how, check in (("strict", strict), ("loose", loose)):
        found = [check(rule.instruction_ids, rule.kwargs, reply) for rule, reply in following]
        figures.append(share(f"{name} prompts, {how}", [float(all(f)) for f in found], ids=ids))
        counts = np.array([(sum(f), len(f)) for f in found])
        value, low, high = pooled_ci(counts, lambda sums: sums[..., 0] / sums[..., 1])
        said = f"{counts[:, 1].sum()} instructions"
        figures.append(Figure(f"{name} instructions, {how}", value, low, high, len(found), note=said))
    return figures


def _prompt(task: Task, tokenizer: Tokenizer, config: ConfigDict) -> list[int]:
    prompt = prompt_tokens(tokenizer, task)
    if len(prompt) + config.max_tokens > config.longest:
        raise ValueError(
            f"{task.id} has a prompt of {len(prompt)} tokens, its reply up to {config.max_tokens}; config.longest is "
            f"{config.longest}: raise it"
        )
    return prompt


def _reply(task: Task, tokenizer: Tokenizer, config: ConfigDict) -> Dialogue:
    done = yield Generate("start", _prompt(task, tokenizer, config))
    return {"reply": tokenizer.decode(done.tokens).strip(), "tokens": len(done.tokens), "stopped": bool(done.stopped)}


def _letters(task: Task, tokenizer: Tokenizer, config: ConfigDict) -> Dialogue:
    letters = list(task.rule.options)
    tokens = [tokenizer.encode(letter)[0] for letter in letters]
    (logps,) = yield Score("start", _prompt(task, tokenizer, config), [[]], tokens)
    return {"logps": {letter: float(logp) for letter, logp in zip(letters, logps, strict=True)}}
