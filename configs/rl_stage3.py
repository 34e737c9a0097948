"""RL stage 3: consultations (paper section 5). In each step the policy consults with simulated patients of the clinic,
each consultation is cut at a place where the doctor is to speak, a rubric is written for that slice, and the next reply
is sampled, graded and reinforced.

    python launch/train.py --config=configs/rl_stage3.py[:preset] [--config.consult.rounds=6 ...] [--workdir=runs/mine]

Presets and values are those of `configs/rl_stage2.py`, with `consult` beside them. `data.path` names records of your
own (docs/data.md) whose patients come in place of the clinic's.

`session`, or `session-` before a preset (`:session-32b`), trains on whole consultations in place of slices: several
with each patient, every message of the doctor with the credit of its turn (`m2jax/rollout/sessions.py`). Then
`data.prompts_per_step` are patients, `data.samples_per_prompt` consultations with each, and `data.max_prompt_tokens`
what a consultation may come to before the doctor's last message.
"""

from ml_collections import ConfigDict

from configs import rl_stage2


def get_config(preset: str = "") -> ConfigDict:
    """Stage 2's values of the preset, and what consultations need."""
    whole, _, of_session = preset.partition("-")
    session = whole == "session"
    c = rl_stage2.get_config(of_session if session else preset)
    c.consult = ConfigDict()
    c.consult.session = session  # trained on whole, not on slices
    c.consult.outcome = 0.5  # the share that a whole consultation's outcome has in a turn's reward, beside its rubric
    c.consult.rounds = 10  # messages of the doctor at most
    c.consult.interrupted = 0.0  # share of patients who interrupt with a question (arXiv 2602.06570: 0.25)
    c.consult.patient_tokens = 192  # of a patient's reply, at most
    c.consult.context_tokens = 4096  # of the longest prompt of any role with its reply
    c.consult.adapter = ""  # that plays the patient over the verifier's weights, of those that ship; empty: none
    c.consult.trim = False  # a reply that was cut off ends with its last sentence, in place of counting as a fault
    c.patient = ConfigDict()
    c.patient.url = ""  # of an OpenAI-compatible endpoint that plays the patient; empty: config.verifier does
    c.patient.model = ""
    c.patient.key_env = ""  # the environment variable that holds its key; empty: it needs none
    c.reward.length_scale = 0.0  # eq. 3 is stage 2's; a slice's score has a floor, and brevity would pay for silence
    c.eval.cases = 100  # held-out patients
    c.data.max_prompt_tokens, c.data.clinic = 2048, 0
    if c.preset in ("cpu", "smoke"):
        c.consult.rounds, c.consult.patient_tokens, c.consult.context_tokens = 4, 48, 1536
        c.consult.adapter, c.consult.trim = "affective", True  # so small a model seldom ends by itself
        c.eval.cases = 20
        c.steps = 6
        c.data.max_prompt_tokens = 384
    if c.preset == "cpu":  # as stage 1: many patients, few replies to each, small steps
        c.data.prompts_per_step, c.data.samples_per_prompt = 12, 8
        c.sampling.max_tokens, c.sampling.slots = 32, 48  # with a cache of 2.3 GB for each, policy and verifier
        c.consult.context_tokens = 1024
        c.optimizer.lr = 1e-4
        c.reward.unchecked = "skip"  # manners: an untrained judge so small is noise, as large as what a question earns
        c.eval.samples_per_prompt = 1
    if c.preset == "smoke":
        c.steps = 3
        c.consult.rounds, c.consult.patient_tokens, c.eval.cases = 2, 12, 3
    if c.preset == "32b":
        c.consult.context_tokens = 32_768
    if session:
        _whole(c)
    return c


def _whole(c: ConfigDict) -> None:
    """A row holds consultations of thousands of tokens in place of replies: fewer of them, and fewer to a row."""
    c.data.samples_per_prompt = 8
    c.data.max_prompt_tokens = 3072
    c.grpo.row_samples = c.grpo.row_samples and 1
    if c.preset in ("cpu", "smoke"):
        c.steps = 3
        c.data.prompts_per_step, c.data.max_prompt_tokens, c.grpo.row_samples = 2, 512, 2
    elif c.preset == "chip":
        c.grpo.row_samples, c.grpo.micro_groups = 2, 1
    elif c.preset == "32b":  # 32K tokens in all, as in the paper's SFT
        c.data.max_prompt_tokens, c.sampling.max_tokens = 28_672, 4096
        c.data.samples_per_prompt = 16
    if c.preset == "smoke":
        c.data.samples_per_prompt = 2
    c.preset = f"session-{c.preset}"
