"""The consultation examination: python launch/eval.py --config=configs/eval_consultation.py[:cpu|:chip|:smoke]
--config.model=NAME [--config.data=FILE] [--json]

Without data the patients are the clinic's; FILE holds records of AgentClinic, MediQ, FHIR or your own. See
docs/evaluation.md.
"""

from ml_collections import ConfigDict

PRESETS = ("cpu", "chip", "smoke")


def get_config(preset: str = "") -> ConfigDict:
    """See the module."""
    preset = preset or "cpu"
    if preset not in PRESETS:
        raise ValueError(f"configs/eval_consultation.py has no preset {preset!r}; it has {', '.join(PRESETS)}")
    c = ConfigDict()
    c.preset = preset
    c.kind = "consultation"
    c.workdir = "runs/consultation"  # consultations with all verdicts; the same command goes on from them
    c.model = "smollm2-135m-instruct"  # a known name, a folder, a .gguf file or hf:org/name
    c.data = ""
    c.n = 40  # patients; 0: all of the file
    c.rounds = 8  # messages of the doctor
    c.seed = 0
    c.temperature = 0.0
    c.max_tokens, c.longest, c.slots = 96, 2048, 16  # of a message; of a prompt with its reply; consultations at once
    # url: an OpenAI-compatible endpoint. Without one the doctor is `model`, the patient answers from the record without
    # a model, and criteria that have no check are left out
    c.roles = ConfigDict({role: {"url": "", "model": "", "key_env": ""} for role in ("doctor", "patient", "judge")})
    if preset == "chip":
        c.n, c.max_tokens, c.longest, c.slots = 200, 2048, 32_768, 64
    if preset == "smoke":
        c.n, c.rounds, c.max_tokens, c.slots = 2, 2, 12, 2
    return c
