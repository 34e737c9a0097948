"""Times the workloads that everything else is made of:

    python launch/bench.py grpo|decode|judge|mixed|consult|judge-wide|serve [--json] [--repeats=3]

SmolLM2-135M in float32, weights as released, on whatever JAX finds (two threads of a CPU where the figures of
docs/log.md are from). Prints one line per measurement; --json prints JSON alone. `peak_gflops` is a 2048^3 float32
matmul, timed after each repeat, and `work` is seconds x peak_gflops, so that lines of different days and machines
compare.
"""

from m2jax import distributed

distributed.start()

import asyncio
import functools
import json
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from m2jax import sharding
from m2jax.sampler.engine import Engine
from m2jax.sampler.requests import Dialogue, Failed, Generate, Request, Role, Score
from m2jax.sampler.sampling import Sampling
from m2jax.sampler.scheduler import Sizes
from m2jax.serve import load, models, protocol
from m2jax.serve.guard import Limits
from m2jax.serve.process import Process, in_thread
from m2jax.train import grpo, optimizer, step
from m2jax.train.batches import put_groups
from m2jax.train.loop import count_compiles
from m2jax.weights import load as weights_files
from m2jax.weights import names

_JSON = flags.DEFINE_bool("json", False, "JSON lines only.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Measurements after the warm-up; medians are printed.", lower_bound=1)
PROMPT, NEW = 128, 128


def main(argv: list[str]) -> None:
    benches = {
        "grpo": bench_grpo,
        "decode": bench_decode,
        "judge": bench_judge,
        "mixed": bench_mixed,
        "consult": bench_consult,
        "judge-wide": bench_judge_wide,
        "serve": bench_serve,
    }
    if len(argv) != 2 or argv[1] not in benches:
        raise app.UsageError(f"name one benchmark: {', '.join(benches)}")
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    with jax.set_mesh(mesh):
        path = names.resolve("smollm2-135m-instruct")
        cfg = weights_files.read_config(path)
        weights = weights_files.load_over(path, mesh, stacked=False, dtype=jnp.float32)
        benches[argv[1]](cfg, weights, mesh)


def bench_grpo(cfg: Any, weights: Any, mesh: jax.sharding.Mesh) -> None:
    """8 prompts x 8 samples, 128 + 128 tokens each, one AdamW update over all 64."""
    N, R = 8, 8
    sizes = Sizes(slots=N * R, n_pages=N * R * 8 + 1, pasts=(0, PROMPT, PROMPT + NEW), chunks=(PROMPT,))
    engine = Engine(cfg, mesh, sizes, {"doctor": Role(Sampling(max_tokens=NEW), params="doctor")})
    tx = optimizer.make(optimizer.Optimizer(lr=1e-6))
    train_step = step.make_step(functools.partial(grpo.objective, cfg, grpo.Grpo(l_max=NEW)), tx)
    state = step.init_state(weights, tx)
    prompts = _tokens(cfg, N, PROMPT)
    seconds: dict[str, list[float]] = {"rollout": [], "update": [], "step": [], "peak": []}
    for i in range(1 + _REPEATS.value):
        engine.update("doctor", state.trained)
        began = time.perf_counter()
        keys = range(i * N * R, (i + 1) * N * R)
        flat = engine.run([_ask([Generate("doctor", p)]) for p in prompts for _ in range(R)], keys=keys)
        completions = [[answers[0] for answers in flat[g * R : (g + 1) * R]] for g in range(N)]
        rolled = time.perf_counter()
        rewards = np.asarray([[len(set(c.tokens.tolist())) / 50 for c in group] for group in completions])
        groups = _groups(prompts, completions, grpo.advantages(rewards))
        state, metrics = train_step(state, None, put_groups(mesh, groups), np.int32(N))
        jax.block_until_ready((state, metrics))
        done = time.perf_counter()
        if i:  # the first compiles
            for name, s in (("rollout", rolled - began), ("update", done - rolled), ("step", done - began)):
                seconds[name].append(s)
            seconds["peak"].append(_peak_gflops())
    median = {name: statistics.median(s) for name, s in seconds.items()}
    peak = median.pop("peak")
    _emit(
        "grpo",
        median["step"],
        peak,
        **{f"{name}_s": s for name, s in median.items()},
        rollout_tok_s=N * R * NEW / median["rollout"],
        update_tok_s=N * R * (PROMPT + NEW) / median["update"],
    )


def bench_decode(cfg: Any, weights: Any, mesh: jax.sharding.Mesh) -> None:
    """Batches of 1, 16 and 64 distinct prompts of 128 tokens, 128 new ones each."""
    for batch in (1, 16, 64):
        sizes = Sizes(slots=batch, n_pages=batch * 8 + 1, pasts=(0, 128, 192, 256), chunks=(PROMPT,))
        engine = _engine(cfg, weights, mesh, sizes, Sampling(max_tokens=NEW))
        tokens = iter(_tokens(cfg, batch * (1 + _REPEATS.value), PROMPT))  # never the same prompt: nothing is cached
        measured = _runs(engine, lambda t=tokens, n=batch: [_ask([Generate("role", next(t))]) for _ in range(n)])
        decode_s = _middle(measured, "decode_seconds")
        _emit(
            "decode",
            decode_s,
            _middle(measured, "peak"),
            batch=batch,
            decode_tok_s=batch * NEW / decode_s,
            prefill_tok_s=batch * (PROMPT - 1) / _middle(measured, "prefill_seconds"),
            compiles=measured[-1]["compiles"],
        )


def bench_judge(cfg: Any, weights: Any, mesh: jax.sharding.Mesh) -> None:
    """8 dialogues of 512 tokens x 8 criteria of 48: yes/no read-out of all 64."""
    _judge(cfg, weights, mesh, "judge", 8, 512, 8, 48)


def bench_judge_wide(cfg: Any, weights: Any, mesh: jax.sharding.Mesh) -> None:
    """16 dialogues of 1,536 tokens x 12 criteria of 40, and 2 of the dialogues again without sharing any prefix."""
    shared = _judge(cfg, weights, mesh, "judge-wide", 16, 1536, 12, 40) / (16 * 12)
    sizes = Sizes(slots=8, n_pages=8 * 49 + 1, pasts=(0, 512, 1024, 1568), chunks=(256, 512))
    engine = _engine(cfg, weights, mesh, sizes, Sampling())
    tokens = iter(_tokens(cfg, 24 * (1 + _REPEATS.value), 1576))  # a prefix of its own for every verdict
    measured = _runs(
        engine, lambda: [_ask([Score("role", next(tokens)[:1536], [[*range(100, 140)]], (12, 34))]) for _ in range(24)]
    )
    alone = _middle(measured, "seconds") / 24
    _emit("judge-unshared", alone * 24, _middle(measured, "peak"), seconds_a_verdict=alone, times_slower=alone / shared)


def bench_mixed(cfg: Any, weights: Any, mesh: jax.sharding.Mesh) -> None:
    """256 requests of 64 tokens, lengths geometric with mean 64 cut at 256, in 64 slots: continuously, and in lock-step
    batches of 64, all of whose rows are computed until the longest has ended.
    """
    sizes = Sizes(slots=64, n_pages=64 * 10 + 1, pasts=(0, 64, 128, 192, 320), chunks=(64,))
    engine = _engine(cfg, weights, mesh, sizes, Sampling(max_tokens=256))
    lengths = np.minimum(np.random.default_rng(1).geometric(1 / 64, 256), 256)
    tokens = iter(_tokens(cfg, 2 * 256 * (1 + _REPEATS.value), 64))

    def ask(lengths: np.ndarray) -> list[Dialogue]:
        return [_ask([Generate("role", next(tokens), int(n))]) for n in lengths]

    engine.warm_up()
    measured = _runs(engine, lambda: ask(lengths))
    seconds = []
    for _ in range(_REPEATS.value):
        began = time.perf_counter()
        for start in range(0, 256, 64):
            engine.run(ask(np.full(64, lengths[start : start + 64].max())))
        seconds.append(time.perf_counter() - began)
    continuous, lockstep = _middle(measured, "seconds"), statistics.median(seconds)
    _emit(
        "mixed",
        continuous,
        _middle(measured, "peak"),
        tok_s=lengths.sum() / continuous,
        lockstep_tok_s=lengths.sum() / lockstep,
        times_lockstep=lockstep / continuous,
        occupancy=_middle(measured, "decode_tokens") / _middle(measured, "slot_steps"),
        compiles=measured[-1]["compiles"],
    )


def bench_consult(cfg: Any, weights: Any, mesh: jax.sharding.Mesh) -> None:
    """64 dialogues x 6 rounds (doctor 40 tokens, patient 30), system prompts of 200 tokens: the doctor's shared, each
    patient's its own.
    """
    # a dialogue ends with 420 tokens on the doctor's side, 620 on the patient's: 65 pages
    sizes = Sizes(slots=64, n_pages=64 * 70 + 1, page=16, pasts=(0, 256, 384, 512, 640), chunks=(48, 208))
    engine = _engine(cfg, weights, mesh, sizes, Sampling())
    tokens = iter(_tokens(cfg, 65 * (1 + _REPEATS.value), 200))

    def consult(doctor: list[int], patient: list[int]) -> Dialogue:
        for _ in range(6):
            said = yield Generate("role", doctor, 40)
            doctor, patient = [*doctor, *said.tokens.tolist()], [*patient, *said.tokens.tolist()]
            said = yield Generate("role", patient, 30)
            doctor, patient = [*doctor, *said.tokens.tolist()], [*patient, *said.tokens.tolist()]

    def ask() -> list[Dialogue]:
        system = next(tokens)
        return [consult(system, next(tokens)) for _ in range(64)]

    engine.warm_up()
    measured = _runs(engine, ask)
    seconds = _middle(measured, "seconds")
    _emit(
        "consult",
        seconds,
        _middle(measured, "peak"),
        seconds=seconds,
        computed_share=_middle(measured, "prefill_tokens") / _middle(measured, "prompt_tokens"),
        host_share=_middle(measured, "host_seconds") / seconds,
        decode_tok_s=_middle(measured, "decode_tokens") / _middle(measured, "decode_seconds"),
        prefill_s=_middle(measured, "prefill_seconds"),
        occupancy=_middle(measured, "decode_tokens") / _middle(measured, "slot_steps"),
        compiles=measured[-1]["compiles"],
    )


def bench_serve(cfg: Any, weights: Any, mesh: jax.sharding.Mesh) -> None:
    """Streams over loopback of 1, 16 and 64 clients, 128 + up to 128 tokens each, and the bare engine with the same 64
    requests. The clients' own work is in the time.
    """
    served = models.serve("smollm2-135m-instruct", slots=64, longest=PROMPT + NEW)
    engine, prompts = served.engine, _tokens(cfg, 64, PROMPT)
    bodies = [{"model": "doctor", "prompt": p, "max_tokens": NEW, "seed": i} for i, p in enumerate(prompts)]
    keys = [protocol.key_of(i, 0) for i in range(64)]

    def bare() -> tuple[list[float], int, float]:
        began = time.perf_counter()
        ended = engine.run([_ask([Generate("doctor", p, NEW)]) for p in prompts], keys=keys)
        return [], sum(len(answers[0].tokens) for answers in ended), time.perf_counter() - began

    async def asked(url: str, n: int) -> tuple[list[float], int, float]:
        async with load.client(url, n, "") as http:
            return await load.timed(http, bodies[:n])

    def over_http(n: int) -> tuple[list[float], int, float]:
        with in_thread(Process(served, "127.0.0.1", 0, Limits())) as url:
            return asyncio.run(asked(url, n))

    logging.set_verbosity(logging.WARNING)  # no line a request
    rates = {}
    for name, run in {"bare": bare, **{n: functools.partial(over_http, n) for n in (1, 16, 64)}}.items():
        run()  # compiles
        measured = []
        for _ in range(_REPEATS.value):
            engine.forget()
            measured.append(run())
        first = [seconds for firsts, _, _ in measured for seconds in firsts]
        seconds = statistics.median(s for _, _, s in measured)
        rates[name] = measured[0][1] / seconds
        fields = {"first_token_s": load.middle(first), "first_token_95_s": load.middle(first, 0.95)} if first else {}
        fields |= {"of_bare": rates[64] / rates["bare"]} if name == 64 else {}
        _emit("serve", seconds, _peak_gflops(), clients=name, tok_s=rates[name], **fields)


def _judge(
    cfg: Any, weights: Any, mesh: jax.sharding.Mesh, name: str, n: int, prefix: int, criteria: int, suffix: int
) -> float:
    pasts = tuple(prefix * i // 4 for i in range(5))
    sizes = Sizes(slots=8, n_pages=16 * prefix // 32 + 1, pasts=pasts, chunks=(suffix, prefix // 4), batch_tokens=2048)
    engine = _engine(cfg, weights, mesh, sizes, Sampling())
    prefixes = iter(_tokens(cfg, n * (1 + _REPEATS.value), prefix))
    suffixes = [t[:suffix] for t in _tokens(cfg, n * criteria, suffix + 1)]

    def ask() -> list[Dialogue]:
        rows = [suffixes[i * criteria : (i + 1) * criteria] for i in range(n)]
        return [_ask([Score("role", next(prefixes), row, (12, 34))]) for row in rows]

    measured = _runs(engine, ask)
    seconds = _middle(measured, "seconds")
    parts = {key: _middle(measured, key) for key in ("prefill_seconds", "score_seconds", "host_seconds")}
    _emit(name, seconds, _middle(measured, "peak"), seconds=seconds, **parts, compiles=measured[-1]["compiles"])
    return seconds


def _engine(cfg: Any, weights: Any, mesh: jax.sharding.Mesh, sizes: Sizes, how: Sampling) -> Engine:
    engine = Engine(cfg, mesh, sizes, {"role": Role(how)})
    engine.update("base", weights)
    return engine


def _ask(requests: list[Request]) -> Dialogue:
    answers = []
    for request in requests:
        answers.append((yield request))
    return answers


def _runs(engine: Engine, dialogues: Callable[[], list[Dialogue]]) -> list[dict[str, float]]:
    """The engine's figures of each run after the first, which compiles; `compiles` counts since then, `peak` is the
    matmul rate after it.
    """
    measured = []
    engine.run(dialogues())
    engine.stats()
    _peak_gflops()
    with count_compiles() as compiles:
        for _ in range(_REPEATS.value):
            ended = engine.run(dialogues())
            measured.append(engine.stats() | {"compiles": compiles(), "peak": _peak_gflops()})
            failed = [result for result in ended if isinstance(result, Failed)]
            if failed:
                raise failed[0].error
    return measured


def _middle(measured: list[dict[str, float]], name: str) -> float:
    return statistics.median(m[name] for m in measured)


def _tokens(cfg: Any, n: int, size: int) -> list[list[int]]:
    """Prompts of which no two begin alike: they share no page, nor a part of one."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(100, cfg.vocab_size, (n, size))
    tokens[:, 0] = rng.permutation(np.arange(100, cfg.vocab_size))[:n]
    return tokens.tolist()


def _groups(prompts: list[list[int]], completions: Any, advantage: np.ndarray) -> grpo.Groups:
    """One group per micro-batch."""
    tokens = np.stack(
        [np.concatenate([p, *(c.tokens for c in g)]) for p, g in zip(prompts, completions, strict=True)]
    ).astype(np.int32)
    old = np.stack([[c.logp_full for c in group] for group in completions])
    lengths, advantage = np.full(len(prompts), PROMPT, np.int32), np.broadcast_to(advantage[..., None], old.shape)
    groups = grpo.Groups(tokens, lengths, np.ones_like(old), advantage, old, old)
    return jax.tree.map(lambda x: x[:, None], groups)


@jax.jit
def _product(a: jax.Array) -> jax.Array:
    return a @ a


def _peak_gflops() -> float:
    a, seconds = jnp.ones((2048, 2048), jnp.float32), []
    for _ in range(5):
        began = time.perf_counter()
        _product(a).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2 * 2048**3 / statistics.median(seconds) / 1e9


def _emit(bench: str, measured: float, peak: float, **fields: Any) -> None:
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
