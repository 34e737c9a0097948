"""The verifier's evaluation: the grader against checks and physicians, the generator against the clinic's rubrics, and
attacks on both sides.

    python launch/eval.py --config=configs/eval_verifier.py[:cpu|:smoke] [--json] [--out=FILE] \
        [--config.data.k_qa=FOLDER] [--config.parts="('attacks',)"]

Held-out conditions only; greedy. `cpu`: SmolLM2-135M with the package's adapters on two cores. `smoke`: a few of each.
"""

from ml_collections import ConfigDict

PRESETS = ("cpu", "smoke")


def get_config(preset: str = "") -> ConfigDict:
    preset = preset or "cpu"
    if preset not in PRESETS:
        raise ValueError(f"configs/eval_verifier.py has no preset {preset!r}; it has {', '.join(PRESETS)}")
    c = ConfigDict()
    c.preset = preset
    c.suite = "verifier"  # a module of m2jax.evaluate with PARTS and serve_roles
    c.parts = ("generator", "attacks", "lures", "checks", "physicians")
    c.model = "smollm2-135m-instruct"  # a known name, a folder, a .gguf file or hf:org/name
    c.max_tokens = 96  # of a patient's draft
    c.longest = 1024  # tokens of a prompt and its answer; a longer reply is cut for the judge
    c.slots = 16

    c.data = ConfigDict()  # folders of data from outside; a part whose folder is not given is left out
    c.data.k_qa = ""

    c.n = ConfigDict()  # how many of each; 0: all
    c.n.checks = 60  # replies
    c.n.physicians = 0  # pairs
    c.n.generator = 100  # cases
    c.n.attacks = 30  # replies of each class
    c.n.lures = 0  # messages of each class
    if preset == "smoke":
        c.n.checks, c.n.physicians, c.n.generator, c.n.attacks, c.n.lures = 2, 6, 4, 2, 1
    return c
