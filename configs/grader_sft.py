"""The grader's adapter: the judge's own Yes-or-No questions about replies to the clinic's patients, with what the
checks say as truth; and the writer's, whose replies it then reads (`launch/replies.py --run=`).

    python launch/train.py --config=configs/grader_sft.py[:grader|:writer|:smoke] --workdir=runs/adapters/grader

SmolLM2-135M on two cores. `make adapters` trains both and writes what the package ships (docs/log.md has the figures).
"""

from ml_collections import ConfigDict

from configs import sft

PRESETS = ("grader", "writer", "smoke")


def get_config(preset: str = "") -> ConfigDict:
    """`sft`'s values for two cores, with the grader's data or the writer's."""
    preset = preset or "grader"
    if preset not in PRESETS:
        raise ValueError(f"configs/grader_sft.py has no preset {preset!r}; it has {', '.join(PRESETS)}")
    c = sft.get_config("smoke" if preset == "smoke" else "cpu")
    c.preset = preset
    c.data.made = "writer" if preset == "writer" else "grader"
    if preset != "smoke":
        # replies; of the grader's, each gives about 12 questions
        c.data.train, c.data.heldout = (800, 30) if preset == "writer" else (864, 24)
        c.data.row_tokens, c.data.rows_per_step = (768, 4) if preset == "writer" else (1280, 3)
        c.optimizer.lr, c.optimizer.warmup_steps, c.optimizer.weight_decay = 2e-3, 5, 0.0
    return c
