"""RL stage 2: rubric rewards (paper section 5), on the bundled patient questions or your own.

    python launch/train.py --config=configs/rl_stage2.py[:preset] [--config.grpo.lr=2e-6 ...] [--workdir=runs/mine]

Presets: `smoke` (a minute or two, for tests), `cpu` (the demo: SmolLM2-135M on two cores, about 15 minutes), `chip`
(one GPU or TPU chip), `0.5b` (Qwen2.5-0.5B on one chip of 16 GB), `7b` (Qwen2.5-7B with an adapter on eight v5e or v6e
chips), `32b` (Qwen2.5-32B on 64 v5p chips, the paper's scale). Without one: `chip` where JAX finds an accelerator, else
`cpu`. `launch/compile.py` tells beforehand whether a preset fits a TPU.
"""

from ml_collections import ConfigDict


def get_config(preset: str = "") -> ConfigDict:
    """The paper's objective with the defaults of docs/paper.md where the paper is silent, then the preset's values."""
    presets = {"smoke": smoke, "cpu": cpu, "chip": chip, "0.5b": chip_small, "7b": slice_7b, "32b": pod_32b}
    if not preset:
        import jax

        preset = "cpu" if jax.default_backend() == "cpu" else "chip"
    if preset not in presets:
        raise ValueError(f"configs/rl_stage2.py has no preset {preset!r}; it has {', '.join(presets)}")
    config = base()
    presets[preset](config)
    config.preset = preset
    return config


def base() -> ConfigDict:
    c = ConfigDict()
    c.preset = ""
    c.model = "smollm2-135m-instruct"  # a known name, a folder, a .gguf file or hf:org/name
    c.verifier = ""  # model that judges and plays the patient, of the shape of config.model; empty: that as it begins
    c.seed = 0
    c.steps = 100
    c.asynchronous = False  # the next rollout goes on during the update, one step off-policy; needs grpo.tis_cap
    c.mesh = (1, -1, 1)  # data, fsdp, model; -1: the devices the others leave
    c.layers = "scanned"  # "unrolled" decodes faster on a CPU
    c.dtype = "bfloat16"  # of compute; trained weights are float32

    c.data = ConfigDict()
    c.data.path = ""  # JSONL of cases (README); empty: the bundled questions
    c.data.clinic = 0  # so many training cases of the clinic by seed beside them: messages of patients, with rubrics
    c.data.prompts_per_step = 16
    c.data.samples_per_prompt = 16  # G
    c.data.max_prompt_tokens = 1024
    c.data.refill = 0  # draws of as many prompts again, at most, while groups whose rewards differ are too few

    c.sampling = ConfigDict()
    c.sampling.temperature = 1.0
    c.sampling.top_k = 0
    c.sampling.top_p = 1.0
    c.sampling.max_tokens = 256
    c.sampling.slots = 256  # rows that generate at once
    c.sampling.cache_tokens = 0  # that the cache of one set of weights holds; 0: as many as all slots need at most
    c.sampling.mesh = ()  # (data, fsdp, model) of the same devices for the sampler; (): as for the learner

    c.grpo = ConfigDict()
    c.grpo.eps_low = 0.2
    c.grpo.eps_high = 0.28
    c.grpo.l_max = 0  # the constant divisor, in tokens; 0: sampling.max_tokens
    c.grpo.tis_cap = 0.0  # truncated importance weight between sampler and learner; 0: none
    c.grpo.vanilla = False  # GRPO as in arXiv 2402.03300, to compare with: see train/grpo.py
    c.grpo.minibatches = 1  # updates per step
    c.grpo.row_samples = 0  # samples that share a row with one copy of their prompt; 0: all of a group
    c.grpo.micro_groups = 1  # rows whose gradients are computed at once
    c.grpo.remat = "none"  # or "full", or activations that are kept: see decoder.KEPT

    c.optimizer = ConfigDict()
    c.optimizer.lr = 1e-6
    c.optimizer.warmup_steps = 10
    c.optimizer.weight_decay = 0.1
    c.optimizer.clip_norm = 1.0
    c.optimizer.moments = "float32"  # of what they are kept: "bfloat16" halves them
    c.optimizer.offload = False  # the moments wait in the host's memory between updates
    c.grpo.lr = c.optimizer.get_ref("lr")  # one value under two names

    c.xla_flags = ()  # name=value, for the compilation of the update on TPUs

    c.lora = ConfigDict()
    c.lora.rank = 0  # 0: all parameters are trained
    c.lora.alpha = 16.0

    c.reward = ConfigDict()
    c.reward.normalisation = "minmax"  # or "healthbench"
    c.reward.unchecked = "judge"  # criteria without a check: "judge" (below), or "skip"
    c.reward.length_threshold = 0.6
    c.reward.length_scale = 0.4  # the paper's 4, for replies a hundredth as long
    c.reward.contrast = 0.5  # what a reply may earn from other patients before it loses what is above; 0: no matter
    c.reward.overlong = 0  # the last tokens before sampling.max_tokens, in which a reply loses up to 1; 0: none

    c.judge = ConfigDict()
    c.judge.url = ""  # of an OpenAI-compatible endpoint, as http://localhost:8000/v1; empty: config.verifier judges
    c.judge.model = ""
    c.judge.key_env = ""  # the environment variable that holds its key; empty: it needs none
    c.judge.adapter = ""  # that judges over the verifier's weights, of those that ship (`grader`); empty: none
    c.judge.votes = (
        0  # k: the mean of so many verdicts, each after a reason; 0: one, of a served judge without a reason
    )

    c.dynamic = ConfigDict()  # criteria that come and go beside the rubrics' own (rollout/dynamic.py)
    c.dynamic.every = 0  # steps between minings of the policy's own replies; 0: never
    c.dynamic.share = 0.5  # of replies to different patients that must have something in common
    c.dynamic.most = 8  # criteria of that kind at once, watched or paid
    c.dynamic.proposals = 0  # criteria that the verifier, or the judge's endpoint, proposes for each case; 0: none
    c.dynamic.admit = 0.3  # share of violations from which on a criterion is paid
    c.dynamic.retire = 0.05  # and from which on it is no more

    c.watch = ConfigDict()  # does the policy please the judge more than it does better? (rollout/watch.py)
    c.watch.every = 0  # steps; 0: never. It needs a judge and held-out criteria with checks
    c.watch.cases = 16
    c.watch.tolerance = 0.05  # of the judge's leniency, as a share of the score

    c.eval = ConfigDict()
    c.eval.cases = 0  # held-out cases; 0: all
    c.eval.samples_per_prompt = 2

    c.checkpoint = ConfigDict()
    c.checkpoint.every = 1
    c.checkpoint.keep = 2
    c.checkpoint.rollout_seconds = 300.0  # how often replies still being written are kept; 0: never
    return c


def smoke(c: ConfigDict) -> None:
    cpu(c)
    c.steps = 3
    c.data.prompts_per_step = 2
    c.data.samples_per_prompt = 2
    c.sampling.max_tokens = 12
    c.eval.cases = 4
    c.eval.samples_per_prompt = 1
    c.reward.unchecked, c.reward.length_threshold = "judge", 0.6


def cpu(c: ConfigDict) -> None:
    c.layers, c.dtype = "unrolled", "float32"
    c.steps = 10
    c.data.prompts_per_step = 16
    c.data.samples_per_prompt = 8
    c.data.max_prompt_tokens = 192
    c.sampling.max_tokens = 64
    c.sampling.temperature = 0.8  # at 1.0 so small a model wanders off within a sentence
    c.lora.rank = 16  # a third less to compute than all parameters, and checkpoints of 60 MB
    c.lora.alpha = 32.0
    c.optimizer.lr = 1e-3  # of an adapter
    c.optimizer.warmup_steps = 2
    c.reward.unchecked = "skip"  # one criterion in 25, for which a judge would take half of a step
    c.reward.length_threshold = 0.25  # the held-out median of P80 before training; 0.6 is never reached
    c.reward.length_scale = 0.2  # at 0.4 brevity outweighs the rest: replies of 13 tokens, all alike


def chip(c: ConfigDict) -> None:
    c.optimizer.lr = 5e-6
    c.grpo.micro_groups = 2
    c.grpo.remat = "full"


def chip_small(c: ConfigDict) -> None:
    chip(c)
    c.model = "hf:Qwen/Qwen2.5-0.5B-Instruct"
    c.lora.rank, c.lora.alpha, c.optimizer.lr = 32, 64.0, 1e-4
    c.sampling.slots = 64
    c.grpo.micro_groups, c.grpo.row_samples = 1, 8


def slice_7b(c: ConfigDict) -> None:
    chip(c)
    c.model = "hf:Qwen/Qwen2.5-7B-Instruct"
    c.lora.rank, c.lora.alpha, c.optimizer.lr = 32, 64.0, 1e-4
    c.sampling.mesh = (2, 1, 4)  # a copy of the weights over four chips each
    c.sampling.slots, c.sampling.cache_tokens = 64, 64 * 2048
    c.sampling.max_tokens = 1024
    c.grpo.micro_groups, c.grpo.row_samples = 32, 1


SPARSE_CORE = (  # v5p: its SparseCores move weights and gradients while the TensorCore computes (docs/aot.md)
    # every gather of weights, sum of gradients and reduce-scatter is started on a SparseCore
    "xla_tpu_enable_sparse_core_collective_offload_all_gather=true",
    "xla_tpu_enable_sparse_core_collective_offload_reduce_scatter=true",
    "xla_tpu_enable_sparse_core_collective_offload_all_reduce=true",
    # also those along two or three axes of the torus, and the gradients are reduce-scattered, not summed whole
    "xla_tpu_enable_sparse_core_collective_offload_2d_all_gather=true",
    "xla_tpu_enable_sparse_core_collective_offload_3d_all_gather=true",
    "xla_tpu_enable_sparse_core_collective_offload_nd_reduce_scatter=true",
    # the TensorCore's way of hiding them, fusion with a matmul, would take them back
    "xla_tpu_enable_async_collective_fusion_fuse_all_gather=false",
    "xla_tpu_enable_async_collective_fusion_fuse_reduce_scatter=false",
    "xla_tpu_enable_async_collective_fusion_fuse_all_reduce=false",
    # both sides agree on the tiles of an array, so that nothing is copied into another layout
    "xla_tpu_use_tc_device_shape_on_sc=true",
    # a collective stays a program of its own there, and one SparseCore program serves both halves of the chip
    "xla_sc_enable_instruction_fusion=false",
    "xla_sc_disable_megacore_partitioning=true",
)


def pod_32b(c: ConfigDict) -> None:
    """512 prompts x 16 samples, prompts of 2K and replies of 16K: the sizes of the paper's defaults (docs/paper.md)."""
    c.model = "hf:Qwen/Qwen2.5-32B"
    c.data.prompts_per_step, c.data.samples_per_prompt = 512, 16
    c.data.clinic = 2000  # the bundled questions are 69
    c.watch.every, c.watch.cases = 10, 64
    c.data.max_prompt_tokens, c.sampling.max_tokens = 2048, 16_384
    c.mesh = (1, -1, 1)
    c.sampling.mesh = (16, 1, 4)  # a copy of the weights over four chips each
    c.sampling.slots, c.sampling.cache_tokens = 1024, 16 * 128 * 1024  # for the policy, and as much for the judge
    c.grpo.row_samples, c.grpo.micro_groups, c.grpo.remat = 1, 64, "attended"
    c.grpo.minibatches = 8
    c.xla_flags = SPARSE_CORE
