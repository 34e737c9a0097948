"""Exams: python launch/eval.py --config=configs/eval_exam.py[:cpu|:chip|:smoke] --config.task=medqa
--config.data=FILE --config.model=NAME_OR_FOLDER [--json]

FILE is a local file in the exam's own format (`m2jax/evaluate/exams.py` lists them). See docs/evaluation.md.
"""

from ml_collections import ConfigDict

PRESETS = ("cpu", "chip", "smoke")


def get_config(preset: str = "") -> ConfigDict:
    """See the module."""
    preset = preset or "cpu"
    if preset not in PRESETS:
        raise ValueError(f"configs/eval_exam.py has no preset {preset!r}; it has {', '.join(PRESETS)}")
    c = ConfigDict()
    c.preset = preset
    c.kind = "exam"
    c.workdir = "runs/exam"  # replies and letters; the same command goes on from them
    c.model = "smollm2-135m-instruct"  # a known name, a folder, a .gguf file or hf:org/name
    c.task = "medqa"
    c.data = ""
    c.by = ("likelihood", "generation")  # of multiple choice; others are by generation alone
    c.n = 0  # the first so many rows; 0: all
    c.max_tokens, c.longest, c.slots = 128, 2048, 8  # of a reply; of a prompt with its reply; at once
    if preset == "chip":
        c.max_tokens, c.longest, c.slots = 4096, 16_384, 64
    if preset == "smoke":
        c.n, c.max_tokens = 2, 8
    return c
