"""RL stage 3: consultations (paper section 5). In each step the policy consults with simulated patients of the clinic,
each consultation is cut at a place where the doctor is to speak, a rubric is written for that slice, and the next reply
is sampled, graded and reinforced.

    python launch/train.py --config=configs/rl_stage3.py[:preset] [--config.consult.rounds=6 ...] [--workdir=runs/mine]

Presets and values are those of `configs/rl_stage2.py`, with `consult` beside them. `data.path` is not read.
"""

from ml_collections import ConfigDict

from configs import rl_stage2


def get_config(preset: str = "") -> ConfigDict:
    """Stage 2's values of the preset, and what consultations need."""
    c = rl_stage2.get_config(preset)
    c.consult = ConfigDict()
    c.consult.rounds = 10  # messages of the doctor at most
    c.consult.patient_tokens = 192  # of a patient's reply, at most
    c.consult.context_tokens = 4096  # of the longest prompt of any role with its reply
    c.consult.adapter = ""  # that plays the patient over the start weights, of those that ship; empty: none
    c.consult.trim = False  # a reply that was cut off ends with its last sentence, in place of counting as a fault
    c.eval.cases = 100  # held-out patients
    c.data.max_prompt_tokens = 2048
    if c.preset in ("cpu", "smoke"):
        c.consult.rounds, c.consult.patient_tokens, c.consult.context_tokens = 4, 48, 1536
        c.consult.adapter, c.consult.trim = "affective", True  # so small a model seldom ends by itself
        c.eval.cases = 20
        c.data.max_prompt_tokens = 384
    if c.preset == "smoke":
        c.consult.rounds, c.consult.patient_tokens, c.eval.cases = 2, 12, 3
    if c.preset == "32b":
        c.consult.context_tokens = 32_768
    return c
