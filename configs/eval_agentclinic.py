"""AgentClinic: python launch/eval.py --config=configs/eval_agentclinic.py[:cpu|:chip|:smoke] --config.data=FILE.jsonl
--config.model=NAME [--config.roles.moderator.url=... --config.roles.moderator.model=gpt-4 ...] [--json]

FILE is agentclinic_medqa.jsonl or one like it. Roles without a url are played by `model`. See docs/evaluation.md.
"""

from ml_collections import ConfigDict

PRESETS = ("cpu", "chip", "smoke")


def get_config(preset: str = "") -> ConfigDict:
    """See the module."""
    preset = preset or "cpu"
    if preset not in PRESETS:
        raise ValueError(f"configs/eval_agentclinic.py has no preset {preset!r}; it has {', '.join(PRESETS)}")
    c = ConfigDict()
    c.preset = preset
    c.kind = "agentclinic"
    c.workdir = "runs/agentclinic"  # consultations; the same command goes on from them
    c.model = "smollm2-135m-instruct"  # a known name, a folder, a .gguf file or hf:org/name
    c.data = ""
    c.n = 0  # the first so many cases; 0: all
    c.rounds = 20  # messages of the doctor
    c.seed = 0
    c.temperature = 0.0
    c.max_tokens, c.longest, c.slots = 96, 4096, 8  # of a message; of a prompt with its reply; consultations at once
    # url: an OpenAI-compatible endpoint, with the model's name there and the variable that holds its key
    c.roles = ConfigDict(
        {role: {"url": "", "model": "", "key_env": ""} for role in ("doctor", "patient", "measurement", "moderator")}
    )
    if preset == "chip":
        c.max_tokens, c.longest, c.slots = 2048, 32_768, 64
    if preset == "smoke":
        c.n, c.rounds, c.max_tokens, c.longest, c.slots = 2, 2, 12, 2048, 2
    return c
