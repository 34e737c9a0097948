"""An exam as tasks of lm_eval (EleutherAI's harness), which measures a model over the server, as launch/eval.py does:

    python launch/lm_eval.py --task=medqa --data=medqa.jsonl --model=smollm2-135m-instruct --n=200 --out=runs/lm_eval

OUT gets the questions, two task files and the model's tokenizer. m2jax_MEDQA_letters is by likelihood (for lm_eval's
local-completions), m2jax_MEDQA_replies by generation (local-chat-completions), graded by m2jax's own rules: run lm_eval
with PYTHONPATH at this repository. docs/serving.md has the commands.
"""

import json
import sys
from pathlib import Path

from absl import app, flags

from m2jax.evaluate import exams
from m2jax.rules.choice import Choice
from m2jax.text.tokenizer import load_tokenizer
from m2jax.weights import names

_TASK = flags.DEFINE_string("task", "medqa", "Format of the file: see docs/evaluation.md.")
_DATA = flags.DEFINE_string("data", None, "The file, or hf:ORG/NAME/PATH of the hub.", required=True)
_MODEL = flags.DEFINE_string("model", "smollm2-135m-instruct", "Model, whose tokenizer lm_eval needs.")
_N = flags.DEFINE_integer("n", 0, "The first so many rows; 0: all.", 0)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_MAX_TOKENS = flags.DEFINE_integer("max_tokens", 128, "Of a reply.", 1)

LETTERS = """\
task: m2jax_{task}_letters
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{letters}}}}"
doc_to_target: "{{{{right}}}}"
target_delimiter: ""
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
REPLIES = """\
task: m2jax_{task}_replies
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{right}}}}"
process_results: !function grade.process_results
generation_kwargs:
  until: []
  max_gen_toks: {max_tokens}
  temperature: 0
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
GRADE = '''\
"""Grades a reply by m2jax's rules."""

import json

from m2jax.rules.rule import parse_rule, reward


def process_results(doc, results):
    return {"acc": float(reward(parse_rule(json.loads(doc["rule"])), results[0].strip()))}
'''


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is no flag")
    try:
        write()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def write() -> None:
    out = Path(_OUT.value).absolute()
    tasks = exams.load(_TASK.value, names.data_file(_DATA.value))[: _N.value or None]
    if not all(isinstance(task.rule, Choice) for task in tasks):
        raise ValueError(
            f"--task={_TASK.value} is no multiple choice; give one of medqa, medmcqa, pubmedqa, mmlu, cmexam"
        )
    out.mkdir(parents=True, exist_ok=True)
    load_tokenizer(names.resolve(_MODEL.value)).save(out / "tokenizer")
    rows = out / "rows.jsonl"
    rows.write_text("".join(json.dumps(_row(task)) + "\n" for task in tasks), "utf-8")
    values = {"task": _TASK.value, "rows": json.dumps(str(rows), ensure_ascii=False), "max_tokens": _MAX_TOKENS.value}
    (out / "letters.yaml").write_text(LETTERS.format(**values), "utf-8")
    (out / "replies.yaml").write_text(REPLIES.format(**values), "utf-8")
    (out / "grade.py").write_text(GRADE, "utf-8")
    print(f"{out}: {len(tasks)} questions of {_TASK.value}")


def _row(task: exams.Task) -> dict[str, object]:
    letters = list(task.rule.options)
    rule = {"kind": "choice", "options": dict(task.rule.options), "answer": task.rule.answer}
    right = letters.index(task.rule.answer)
    return {"question": task.messages[0]["content"], "letters": letters, "right": right, "rule": json.dumps(rule)}


if __name__ == "__main__":
    app.run(main)
