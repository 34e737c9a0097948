"""The grader's adapter: the judge's own Yes-or-No questions about replies to the clinic's patients, with what the
checks say as truth.

    python launch/train.py --config=configs/grader_sft.py[:smoke|:cpu] --workdir=runs/adapters/grader

Preset `cpu` (the default): SmolLM2-135M on two cores, about 20 minutes; `smoke`: seconds. `make adapters` trains it and
writes what the package ships (docs/log.md has the figures).
"""

from ml_collections import ConfigDict

from configs import sft


def get_config(preset: str = "") -> ConfigDict:
    """`sft`'s preset of the name, with the grader's data."""
    c = sft.get_config(preset or "cpu")
    c.data.made = "grader"
    if c.preset == "cpu":
        c.data.train, c.data.heldout = 320, 30  # replies; a reply gives about 5 questions
        c.data.row_tokens, c.data.rows_per_step, c.data.micro_rows = 768, 4, 1
        c.optimizer.lr, c.optimizer.warmup_steps, c.optimizer.weight_decay = 2e-3, 5, 0.0
    return c
