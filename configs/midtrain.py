"""Mid-training on medical, general and mathematical text, 2 : 2 : 1: your own (JSONL, see README), or made by seed.

    python launch/train.py --config=configs/midtrain.py[:preset] [--config.data.path=documents.jsonl ...]
        [--workdir=runs/mine]

Presets: `smoke` (seconds, for tests), `cpu` (SmolLM2-135M with an adapter on two cores), `32b` (Qwen2.5-32B, all
parameters, on 64 v5p chips). Without one: `cpu`.
"""

from ml_collections import ConfigDict

from configs import sft


def get_config(preset: str = "") -> ConfigDict:
    """Defaults where the paper is silent (docs/paper.md), then the preset's values."""
    presets = {"smoke": smoke, "cpu": cpu, "32b": sft.pod_32b}
    preset = preset or "cpu"
    if preset not in presets:
        raise ValueError(f"configs/midtrain.py has no preset {preset!r}; it has {', '.join(presets)}")
    config = base()
    presets[preset](config)
    config.preset = preset
    return config


def base() -> ConfigDict:
    c = sft.base()
    c.stage = "midtrain"
    c.epochs = 1.0  # of the medical part; the others go round as often as the mixture wants
    del c.data.made
    c.data.mixture = (2, 2, 1)  # rows of medical, general and mathematical text
    c.data.train = 1000  # documents of knowledge and of reasoning each, where they are made; the others to match
    c.data.heldout = 50

    c.weights = ConfigDict()  # of each kind's loss
    c.weights.knowledge = 1.0  # cross-entropy
    c.weights.reasoning = 1.0  # cross-entropy of the notes
    c.weights.general = 1.0  # KL to the start model
    c.weights.mathematics = 1.0
    return c


def smoke(c: ConfigDict) -> None:
    cpu(c)
    c.steps = 2
    c.data.train, c.data.heldout = 4, 1
    c.data.row_tokens, c.data.rows_per_step = 256, 3


def cpu(c: ConfigDict) -> None:
    sft.cpu(c)
    c.data.train, c.data.heldout = 20, 4
    c.data.rows_per_step, c.data.micro_rows = 5, 1
