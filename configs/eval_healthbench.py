"""HealthBench: python launch/eval.py --config=configs/eval_healthbench.py[:cpu|:chip|:smoke] --config.data=FILE.jsonl
--config.model=NAME [--config.judge.url=... --config.judge.model=gpt-4.1-2025-04-14 --config.judge.key_env=KEY]

FILE is one of the official JSONL files (full, hard, consensus). `cpu` (the default): short replies of a small model;
`chip`: an accelerator. See docs/evaluation.md.
"""

from ml_collections import ConfigDict

PRESETS = ("cpu", "chip", "smoke")


def get_config(preset: str = "") -> ConfigDict:
    """See the module."""
    preset = preset or "cpu"
    if preset not in PRESETS:
        raise ValueError(f"configs/eval_healthbench.py has no preset {preset!r}; it has {', '.join(PRESETS)}")
    c = ConfigDict()
    c.preset = preset
    c.kind = "healthbench"
    c.workdir = "runs/healthbench"  # replies and verdicts, one file each; the same command goes on from them
    c.model = "smollm2-135m-instruct"  # a known name, a folder, a .gguf file or hf:org/name
    c.data = ""  # the examples
    c.meta = ""  # or the file of the meta-evaluation, to hold the grader against physicians
    c.n = 0  # the first so many rows; 0: all
    c.seed = 0
    c.temperature = 0.0
    c.max_tokens, c.longest, c.slots = 256, 4096, 8  # of a reply; of a prompt with its reply; replies at once
    # url: an OpenAI-compatible endpoint, with the model's name there and the variable that holds its key. Without one
    # model is a local model ("": the one that is measured), and adapter one of those that ship, or a file, over it
    c.judge = ConfigDict({"url": "", "model": "", "key_env": "", "adapter": ""})
    if preset == "chip":
        c.max_tokens, c.longest, c.slots = 2048, 16_384, 64
    if preset == "smoke":
        c.n, c.max_tokens, c.longest, c.slots = 2, 12, 2048, 4
    return c
