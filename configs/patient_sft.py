"""The patient's adapters: the Affective Unit, which drafts in persona, and the Factual Unit, which rewrites a draft and
compares claims with facts; and the Termination Gate, which tells whether the doctor has come to an end.

    python launch/train.py --config=configs/patient_sft.py[:affective|:factual|:gate|:smoke] --workdir=runs/mine

SmolLM2-135M on two cores: `factual` 12 minutes, `affective` 35, `gate` 50. `make adapters` trains them and writes what
the package ships (docs/log.md has the figures).
"""

from ml_collections import ConfigDict

from configs import sft

PRESETS = ("affective", "factual", "gate", "smoke")
SIZES = {"affective": (640, 60), "factual": (220, 20), "gate": (9000, 200)}  # training and held-out chats or situations


def get_config(preset: str = "") -> ConfigDict:
    """`sft`'s values for two cores, with the unit's data."""
    preset = preset or "affective"
    if preset not in PRESETS:
        raise ValueError(f"configs/patient_sft.py has no preset {preset!r}; it has {', '.join(PRESETS)}")
    c = sft.get_config("smoke" if preset == "smoke" else "cpu")
    c.preset = preset
    c.data.made = preset if preset in SIZES else "affective"
    if preset != "smoke":
        c.data.train, c.data.heldout = SIZES[preset]
        c.data.row_tokens, c.data.rows_per_step, c.data.micro_rows = 1024, 4, 1
        c.optimizer.lr, c.optimizer.warmup_steps, c.optimizer.weight_decay = 2e-3, 5, 0.0
    return c
