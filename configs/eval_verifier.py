"""The verifier's own figures: python launch/eval.py --config=configs/eval_verifier.py[:cpu|:smoke] [--json]

Preset `cpu` (the default): SmolLM2-135M with the package's adapters on two cores. `smoke`: a minute.
"""

from ml_collections import ConfigDict

PRESETS = ("cpu", "smoke")


def get_config(preset: str = "") -> ConfigDict:
    """See the module."""
    preset = preset or "cpu"
    if preset not in PRESETS:
        raise ValueError(f"configs/eval_verifier.py has no preset {preset!r}; it has {', '.join(PRESETS)}")
    c = ConfigDict()
    c.preset = preset
    c.model = "smollm2-135m-instruct"
    c.parts = ("generator", "attacks", "grader", "physicians", "lures", "patient")
    c.temperature, c.max_tokens = 0.7, 64  # of what the patient says
    c.longest = 1536  # tokens of a prompt and what is made of it; a judge's question about a longer reply is cut
    c.rounds = 4  # messages of the doctor
    c.data = ConfigDict({"k_qa": ""})  # folder of K-QA (github.com/Itaymanes/K-QA); "" leaves its part out
    # consultations; replies; pairs (0: all); slices; replies of a class; messages of a class (0: all)
    c.n = ConfigDict({"patient": 200, "grader": 60, "physicians": 0, "generator": 100, "attacks": 30, "lures": 0})
    if preset == "smoke":
        c.n = ConfigDict({"patient": 4, "grader": 4, "physicians": 8, "generator": 10, "attacks": 2, "lures": 1})
    return c
