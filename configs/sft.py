"""Supervised fine-tuning on chats: your own (JSONL, see README), or made from the clinic by seed.

    python launch/train.py --config=configs/sft.py[:preset] [--config.data.path=chats.jsonl ...] [--workdir=runs/mine]

Presets: `smoke` (seconds, for tests), `cpu` (SmolLM2-135M with an adapter on two cores, about 19 minutes), `7b`
(Qwen2.5-7B, all parameters, on 16 v5p chips), `32b` (Qwen2.5-32B, rows of 32K tokens, on 64 v5p chips). Without one:
`cpu`.
"""

from ml_collections import ConfigDict

from configs.rl_stage2 import SPARSE_CORE


def get_config(preset: str = "") -> ConfigDict:
    """Defaults where the paper is silent (docs/paper.md), then the preset's values."""
    presets = {"smoke": smoke, "cpu": cpu, "7b": slice_7b, "32b": pod_32b}
    preset = preset or "cpu"
    if preset not in presets:
        raise ValueError(f"configs/sft.py has no preset {preset!r}; it has {', '.join(presets)}")
    config = base()
    presets[preset](config)
    config.preset = preset
    return config


def base() -> ConfigDict:
    c = ConfigDict()
    c.preset = ""
    c.stage = "sft"
    c.model = "smollm2-135m-instruct"  # a known name, a folder, a .gguf file or hf:org/name
    c.seed = 0
    c.epochs = 2.0
    c.steps = 0  # 0: as many as the epochs take
    c.mesh = (1, -1, 1)  # data, fsdp, model and, where rows are split, context; -1: the devices the others leave
    c.layers = "scanned"  # "unrolled" is faster on a CPU
    c.dtype = "bfloat16"  # of compute; trained weights are float32
    c.remat = "full"  # what of a layer is recomputed: "none", "full", or activations that are kept (decoder.KEPT)
    c.xla_flags = ()  # name=value, for the compilation of the update on TPUs

    c.data = ConfigDict()
    c.data.path = ""  # JSONL of chats; empty: made, as the next keys say
    c.data.made = "items:1,sums:1,consultations:3"  # of data.made.MADE, with their shares of the chats
    c.data.train = 4000
    c.data.heldout = 200
    c.data.row_tokens = 4096  # chats are packed into rows of so many; a longer chat is an error
    c.data.rows_per_step = 16
    c.data.micro_rows = 16  # rows whose gradients are computed at once

    c.optimizer = ConfigDict()
    c.optimizer.lr = 1e-5  # climbs, then falls to a tenth by the last step
    c.optimizer.warmup_steps = 20
    c.optimizer.weight_decay = 0.1
    c.optimizer.clip_norm = 1.0
    c.optimizer.moments = "float32"  # of what they are kept: "bfloat16" halves them
    c.optimizer.offload = False  # the moments wait in the host's memory between updates

    c.lora = ConfigDict()
    c.lora.rank = 0  # 0: all parameters are trained
    c.lora.alpha = 16.0

    c.checkpoint = ConfigDict()
    c.checkpoint.every = 50
    c.checkpoint.keep = 2
    return c


def smoke(c: ConfigDict) -> None:
    cpu(c)
    c.steps = 2
    c.data.train, c.data.heldout = 12, 4
    c.data.rows_per_step = 2


def cpu(c: ConfigDict) -> None:
    c.layers, c.dtype, c.remat = "unrolled", "float32", "none"
    c.epochs = 1.0
    c.data.train, c.data.heldout = 700, 60
    c.data.row_tokens, c.data.rows_per_step, c.data.micro_rows = 768, 4, 1
    c.lora.rank, c.lora.alpha = 8, 16.0
    c.optimizer.lr, c.optimizer.warmup_steps = 1e-3, 5  # of an adapter
    c.checkpoint.every = 10


def slice_7b(c: ConfigDict) -> None:
    c.model = "hf:Qwen/Qwen2.5-7B-Instruct"
    c.data.row_tokens, c.data.rows_per_step, c.data.micro_rows = 32_768, 16, 16


def pod_32b(c: ConfigDict) -> None:
    """64 rows of 32K, the paper's context: two million tokens a step. Four chips share a row, so that there is room to
    keep activations: 16 rows at once.
    """
    c.model = "hf:Qwen/Qwen2.5-32B"
    c.mesh = (1, -1, 1, 4)
    c.remat = "attended,qkv,middle,gate"
    c.xla_flags = SPARSE_CORE
    c.data.row_tokens, c.data.rows_per_step, c.data.micro_rows = 32_768, 64, 16
