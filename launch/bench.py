"""Times the three workloads that everything else is made of: python launch/bench.py grpo|decode|judge [--json]

SmolLM2-135M in float32, weights as released, on whatever JAX finds (two threads of a CPU where the figures of
docs/log.md are from). Prints one line per measurement; --json prints JSON alone. `peak_gflops` is a 2048^3 float32
matmul in the same process, and `work` is seconds x peak_gflops, so that lines of different days and machines compare.
"""

from m2jax import distributed

distributed.start()

import json
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from m2jax import sharding
from m2jax.models import params
from m2jax.sampler import programs
from m2jax.sampler.engine import Engine, Shapes
from m2jax.sampler.sampling import Sampling
from m2jax.train import grpo, optimizer, rl, step
from m2jax.weights import names
from m2jax.weights.load import load, read_config

_JSON = flags.DEFINE_bool("json", False, "JSON lines only.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Measurements after the warm-up; medians are printed.", lower_bound=1)
PROMPT, NEW = 128, 128


def main(argv: list[str]) -> None:
    benches = {"grpo": bench_grpo, "decode": bench_decode, "judge": bench_judge}
    if len(argv) != 2 or argv[1] not in benches:
        raise app.UsageError(f"name one benchmark: {', '.join(benches)}")
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    with jax.set_mesh(mesh):
        path = names.resolve("smollm2-135m-instruct")
        cfg = read_config(path)
        axes, abstract = params.logical_axes(cfg, stacked=False), params.abstract(cfg, stacked=False)
        layout = sharding.shardings(mesh, axes, abstract, sharding.Rules())
        _, weights = load(path, stacked=False, dtype=jnp.float32, shardings=layout)
        benches[argv[1]](cfg, weights, mesh)


def bench_grpo(cfg: Any, weights: Any, mesh: jax.sharding.Mesh) -> None:
    """8 prompts x 8 samples, 128 + 128 tokens each, one AdamW update over all 64."""
    N, R = 8, 8
    engine = Engine(cfg, mesh, Shapes(rows=N, prompt=PROMPT))
    tx = optimizer.make(optimizer.Optimizer(lr=1e-6))
    train_step = step.make_step(cfg, grpo.Grpo(l_max=NEW), tx)
    state = step.init_state(weights, tx)
    prompts, how = _tokens(cfg, N, PROMPT), Sampling(max_tokens=NEW)
    seconds: dict[str, list[float]] = {"rollout": [], "update": [], "step": []}
    for i in range(1 + _REPEATS.value):
        engine.update("doctor", state.trained)
        began = time.perf_counter()
        completions = engine.generate("doctor", prompts, R, how, seed=0, first_request=i * N * R)
        rolled = time.perf_counter()
        rewards = np.asarray([[len(set(c.tokens.tolist())) / 50 for c in group] for group in completions])
        groups = _groups(prompts, completions, grpo.advantages(rewards))
        state, metrics = train_step(state, None, rl.put_groups(mesh, groups), np.int32(N))
        jax.block_until_ready((state, metrics))
        done = time.perf_counter()
        if i:  # the first compiles
            for name, s in (("rollout", rolled - began), ("update", done - rolled), ("step", done - began)):
                seconds[name].append(s)
    median = {name: statistics.median(s) for name, s in seconds.items()}
    _emit(
        "grpo",
        median["step"],
        **{f"{name}_s": s for name, s in median.items()},
        rollout_tok_s=N * R * NEW / median["rollout"],
        update_tok_s=N * R * (PROMPT + NEW) / median["update"],
    )


def bench_decode(cfg: Any, weights: Any, mesh: jax.sharding.Mesh) -> None:
    """Batches of 1, 16 and 64 distinct prompts of 128 tokens, 128 new ones each; decode does 127 forwards."""
    how = Sampling(max_tokens=NEW)
    for batch in (1, 16, 64):
        tokens = np.asarray(_tokens(cfg, batch, PROMPT), np.int32)
        host = tokens, np.full(batch, PROMPT, np.int32), np.arange(batch, dtype=np.uint32)[:, None]
        tokens, length, request = sharding.put_batch(mesh, host)
        seed = sharding.put_replicated(mesh, np.uint32(0))
        prefix = programs.prefill(cfg, weights, tokens, length)
        prefill_s = _median(lambda t=tokens, n=length: programs.prefill(cfg, weights, t, n))
        decode_s = _median(lambda p=prefix, s=seed, r=request: programs.decode(cfg, weights, p, how, s, r))
        _emit(
            "decode",
            decode_s,
            batch=batch,
            decode_tok_s=batch * (NEW - 1) / decode_s,
            prefill_tok_s=batch * PROMPT / prefill_s,
        )


def bench_judge(cfg: Any, weights: Any, mesh: jax.sharding.Mesh) -> None:
    """8 dialogues of 512 tokens x 8 criteria of 48: yes/no read-out of all 64."""
    engine = Engine(cfg, mesh, Shapes(rows=8, prompt=1, prefix=512, suffix=48, suffixes=8))
    engine.update("judge", weights)
    tokens = _tokens(cfg, 8 * 9, 512)
    suffixes = [[t[:48] for t in tokens[8 + 8 * i : 16 + 8 * i]] for i in range(8)]
    seconds = _median(lambda: engine.score("judge", tokens[:8], suffixes, (12, 34)))
    _emit("judge", seconds, seconds=seconds)


def _tokens(cfg: Any, n: int, size: int) -> list[list[int]]:
    return np.random.default_rng(0).integers(100, cfg.vocab_size, (n, size)).tolist()


def _groups(prompts: list[list[int]], completions: Any, advantage: np.ndarray) -> grpo.Groups:
    """One group per micro-batch."""
    tokens = np.stack(
        [np.concatenate([p, *(c.tokens for c in g)]) for p, g in zip(prompts, completions, strict=True)]
    ).astype(np.int32)
    old = np.stack([[c.logp_full for c in group] for group in completions])
    groups = grpo.Groups(tokens, np.full(len(prompts), PROMPT, np.int32), np.ones_like(old), advantage, old, old)
    return jax.tree.map(lambda x: x[:, None], groups)


def _median(run: Callable[[], Any]) -> float:
    jax.block_until_ready(run())
    seconds = []
    for _ in range(_REPEATS.value):
        began = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _peak_gflops() -> float:
    a = jnp.ones((2048, 2048), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    return 2 * 2048**3 / _median(lambda: product(a)) / 1e9


def _emit(bench: str, measured: float, **fields: Any) -> None:
    peak = _peak_gflops()
    line = {"bench": bench, **fields, "peak_gflops": peak, "work": measured * peak}
    line["peak_rss_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line |= {"device": jax.devices()[0].device_kind, "repeats": _REPEATS.value}
    line = {k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()}
    if _JSON.value:
        print(json.dumps(line), flush=True)
    else:
        print("  ".join(f"{k} {v}" for k, v in line.items()), flush=True)


if __name__ == "__main__":
    app.run(main)
