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
    c.kind = "verifier"
    c.model = "smollm2-135m-instruct"
    c.parts = ("generator", "attacks", "grader", "physicians", "lures", "patient", "disclosure")
    c.temperature, c.max_tokens = 0.7, 64  # of what the patient says
    c.longest = 1536  # tokens of a prompt and what is made of it; a judge's question about a longer reply is cut
    c.rounds = 4  # messages of the doctor
    # K-QA's folder (github.com/Itaymanes/K-QA), files of MediQ and AgentClinic; "" leaves it out
    c.data = ConfigDict({"k_qa": "", "mediq": "", "agentclinic": ""})
    c.n = ConfigDict()
    c.n.patient = 200  # consultations
    c.n.ablation = 24  # of these, with the forms of one prompt and of two units
    c.n.disclosure = 20  # records of a file; 0: all
    c.n.grader = 60  # replies
    c.n.physicians = 0  # pairs; 0: all
    c.n.generator = 100  # slices
    c.n.attacks = 30  # replies of a class
    c.n.lures = 0  # messages of a class; 0: all
    if preset == "smoke":
        c.n.update(
            {"patient": 4, "disclosure": 2, "grader": 4, "physicians": 8, "generator": 10, "attacks": 2, "lures": 1}
        )
    return c
