"""A model as a doctor, by rules alone: python launch/eval.py --config=configs/eval_doctor.py[:cpu|:smoke]
--config.model=NAME_OR_FOLDER [--json]

Preset `cpu` (the default): a few minutes for SmolLM2-135M on two cores. `smoke`: seconds.
"""

from ml_collections import ConfigDict

PRESETS = ("cpu", "smoke")


def get_config(preset: str = "") -> ConfigDict:
    """See the module."""
    preset = preset or "cpu"
    if preset not in PRESETS:
        raise ValueError(f"configs/eval_doctor.py has no preset {preset!r}; it has {', '.join(PRESETS)}")
    c = ConfigDict()
    c.preset = preset
    c.kind = "doctor"
    c.model = "smollm2-135m-instruct"
    c.max_tokens = 96  # of a reply: what SFT teaches to end a consultation with has 83 on average
    c.longest = 1024  # tokens of a prompt and what is made of it
    c.slots = 16
    c.rounds = 6  # messages of a consultation
    c.n = ConfigDict(
        {"questions": 200, "sums": 100, "replies": 60, "consultations": 40, "texts": 60}
    )  # 0 leaves a part out
    if preset == "smoke":
        c.max_tokens, c.rounds = 8, 2
        c.n.update({"questions": 3, "sums": 3, "replies": 3, "consultations": 2, "texts": 2})
    return c
