"""An RL stage (paper section 5): rollouts, rewards by rubrics or by rules, groups, GRPO updates.

Cases come from a file; where there is `config.consult` they are slices of the policy's own consultations, or these are
trained on whole; where there is `config.tasks` they are tasks that rules reward. `start` reads a config (see
`configs/rl_stage2.py`) and makes the parts; `stage` joins them for `loop.run`.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from m2jax import adapters, distributed, sharding
from m2jax.data import cases as case_data
from m2jax.data import practice
from m2jax.data import tasks as task_data
from m2jax.data.tasks import Task
from m2jax.patient.simulate import Units
from m2jax.rollout import dialogues, dynamic, patients, sessions, slices
from m2jax.rollout.metrics import engine_metrics
from m2jax.rollout.single_turn import Reward, prompt_tokens
from m2jax.rollout.watch import watch
from m2jax.sampler.engine import Engine
from m2jax.sampler.grammar import Grammars
from m2jax.sampler.requests import Role
from m2jax.sampler.sampling import Sampling
from m2jax.sampler.scheduler import Sizes
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.train import draws, grpo, optimizer, policy, values
from m2jax.train.batches import minibatches, put_groups, recut
from m2jax.train.loop import Metrics, Stage
from m2jax.train.overlap import overlapped
from m2jax.train.parts import Parts
from m2jax.train.step import TrainState, init_state, make_logprobs, make_step
from m2jax.verifier import proposals
from m2jax.verifier.calibration import Calibration, of_card
from m2jax.verifier.grader import Judge, OutsideJudge, judge_tokens
from m2jax.verifier.judge_prompt import READ, REASON
from m2jax.verifier.rubric import Case, Criterion
from m2jax.weights import names
from m2jax.weights.load import read_config

PIECE = 512  # tokens of a reply that the sampler computes or scores at once


def make_mesh(config: ConfigDict) -> jax.sharding.Mesh:
    """The mesh of config.mesh = (data, fsdp, model[, context]); a -1 takes the devices the others leave. Over
    several slices of TPUs it is that of one (`sharding.arrange`).
    """
    shape = list(config.mesh)
    if shape.count(-1) == 1:
        rest = -int(np.prod(shape))
        shape[shape.index(-1)] = max(len(sharding.slices(jax.devices())[0]) // rest, 1)
    return sharding.make_mesh(tuple(shape))


def start(config: ConfigDict, mesh: jax.sharding.Mesh) -> tuple[Parts, TrainState]:
    """Makes the parts of a run and its first state, on the mesh that is set. ValueError names a value that cannot
    be, before anything is loaded.
    """
    policy.check_layers(config)
    if config.reward.unchecked not in ("judge", "skip"):
        raise ValueError(f"config.reward.unchecked is {config.reward.unchecked!r}; it must be 'judge' or 'skip'")
    outside = values.endpoints(config)
    values.check_judge(config)
    values.check_data(config)
    if consult := config.get("consult"):
        values.check_consult(config)
    path = names.resolve(config.model)
    cfg, tokenizer = read_config(path), load_tokenizer(path)
    s, g = config.sampling, config.grpo
    sampling = Sampling(s.temperature, s.top_k, s.top_p, s.max_tokens, tuple(tokenizer.eos_ids))
    settings = grpo.Grpo(
        l_max=g.l_max or s.max_tokens * (consult.rounds if consult and consult.session else 1),
        eps_low=g.eps_low,
        eps_high=g.eps_high,
        temperature=s.temperature or 1.0,
        tis_cap=g.tis_cap or None,
        remat=g.remat,
        vanilla=g.vanilla,
    )
    values.check_verifier(config, cfg)
    tx = optimizer.make(optimizer.read(config, mesh))
    paid = config.reward
    reward = Reward(
        paid.normalisation, paid.length_threshold, paid.length_scale, paid.overlong, s.max_tokens, paid.contrast
    )
    skip, records = config.reward.unchecked == "skip", []
    if consult:
        if consult.session:
            sessions.check_template(tokenizer)
        limit, train = config.data.max_prompt_tokens, []
        records, others = patients.read(config.data.path) if config.data.path else ([], [])
        slices.check_openings([*records, *others], tokenizer, limit)
        heldout = slices.heldout_slices(config.eval.cases, consult.rounds, tokenizer, limit, others)
        heldout = case_data.checked_only(heldout) if skip else heldout
    elif config.get("tasks"):
        train, heldout = _tasks(config)
    else:
        train, heldout = case_data.load(
            config.data.path, clinic=config.data.clinic, first=_first_seed(config), skip_unchecked=skip
        )
        heldout = heldout[: config.eval.cases or None]
    values.check_batches(config, mesh)
    values.check_dynamic(config)
    values.check_watch(config, heldout)
    if not consult:
        case_data.check_enough(train, config.data.prompts_per_step)
    policy.check_context(cfg, mesh, s.max_tokens, "config.sampling.max_tokens")
    serving = sharding.rearrange(mesh, tuple(config.sampling.mesh)) if config.sampling.mesh else mesh
    shards = serving.shape["data"] * serving.shape["fsdp"]
    prompt_size, sizes = engine_sizes(config, tokenizer, [*train, *heldout], sampling.max_tokens, shards)

    dtype = jnp.dtype(config.dtype)
    weights = policy.read_weights(config, path, mesh)
    doctor = Role(sampling, adapter="doctor") if config.lora.rank else Role(sampling, params="doctor")
    roles, units = {"doctor": doctor, "start": Role(sampling)} | outside, None
    verifier = "verifier" if config.verifier else "base"
    if config.verifier:
        roles["verifier"] = Role(sampling, params=verifier)
    if consult:
        speaks = dataclasses.replace(sampling, max_tokens=consult.patient_tokens)
        roles = {"patient": Role(speaks, params=verifier, adapter=consult.adapter or None)} | roles
        tokens, elsewhere = consult.patient_tokens, "patient" in outside
        units = Units(tokenizer, "patient", "patient", None, consult.rounds, tokens, elsewhere)
    if config.judge.adapter:
        roles["judge"] = Role(sampling, params=verifier, adapter=config.judge.adapter)
    criteria = values.dynamic_settings(config, tokenizer)
    written = bool(criteria and criteria.proposals) or config.judge.votes
    grammars = Grammars(tokenizer, cfg.vocab_size) if written and "judge" not in outside else None
    engine = Engine(cfg, serving, sizes, roles, dtype, grammars)
    served = jax.tree.map(lambda w: w.astype(dtype), weights)
    if config.lora.rank:
        trained, frozen = policy.new_adapter(config, cfg, mesh), served
    else:
        # what is trained is donated to each update: the start weights need arrays of their own
        served = jax.tree.map(jnp.copy, served) if dtype == jnp.float32 else served
        trained, frozen = weights, served if settings.vanilla else None
    engine.update("base", served)
    engine.update("doctor", trained)
    if config.verifier:
        engine.update("verifier", policy.read_weights(config, names.resolve(config.verifier), mesh))
    for name in {config.judge.adapter, consult.adapter if consult else ""} - {""}:
        shipped = adapters.load_adapter(name, cfg, stacked=config.layers == "scanned")
        engine.update(name, policy.place_adapter(shipped, config, cfg, mesh))
    judge, votes = None, config.judge.votes
    if "judge" in outside:
        judge = OutsideJudge(votes=max(1, votes))
    elif not skip:
        role = "judge" if config.judge.adapter else values.verifier_role(config)
        # an adapter's calibration is that of the token it was trained to say
        fitted = of_card(adapters.card(config.judge.adapter)) if config.judge.adapter and not votes else Calibration()
        judge = Judge(tokenizer, role, sizes.pasts[-1], votes, calibration=fitted)
    parts = Parts(
        config, cfg, mesh, tokenizer, train, heldout, engine, judge, prompt_size, sampling, settings, reward, tx,
        frozen, units, criteria, records,
    )  # fmt: skip
    return parts, init_state(trained, tx)


def _tasks(config: ConfigDict) -> tuple[list[Task], list[Task]]:
    """Those of a file, of which at most config.eval.cases are held out (0: all), or as many of the clinic's."""
    made, train, heldout = config.tasks.made, config.tasks.train, config.eval.cases
    if config.data.path:
        found, kept = task_data.load(config.data.path)
        return found, kept[: heldout or None]
    if train < 1 or heldout < 1:
        raise ValueError(f"config.tasks.train is {train} and config.eval.cases {heldout}; make at least one of each")
    return practice.make(made, train, "train", _first_seed(config)), practice.make(made, heldout, "heldout")


def _first_seed(config: ConfigDict) -> int:
    """Of the clinic's tasks and patients: none that SFT was told of, whose seeds begin at 0."""
    return (config.seed + 1) * practice.SEEDS


def stage(parts: Parts, workdir: Path) -> Stage:
    """The RL stage: each step rolls out, grades, and updates the policy once per mini-batch. Groups without spread are
    dropped, and up to config.data.refill more draws of prompts fill their places (DAPO's dynamic sampling). What a long
    rollout has generated is kept in `workdir`/rollout.jsonl, consultations in consultations.jsonl; some of each step's
    dialogues stay, to be read (`rollout.dialogues`).
    """
    config, engine = parts.config, parts.engine
    source = draws.of(parts, workdir)
    objective = functools.partial(grpo.objective, parts.cfg, parts.grpo)
    train_step = make_step(objective, parts.tx, jnp.dtype(config.dtype), tuple(config.xla_flags))
    logprobs = make_logprobs(parts.cfg, parts.grpo, jnp.dtype(config.dtype))
    n, R = config.data.prompts_per_step, config.data.samples_per_prompt
    keep = dialogues.write if distributed.is_first() else lambda *_: None

    def make_batch(step: int, state: TrainState) -> tuple[Any, Metrics]:
        most = 1 + config.data.refill
        engine.forget()  # a step after a restart is the same to the bit
        engine.update("doctor", state.trained)
        drawn, watched = [], {}
        if config.watch.every and step % config.watch.every == 0:
            cases, tolerance = parts.heldout[: config.watch.cases], config.watch.tolerance
            watched, seen = watch(engine, parts.tokenizer, cases, parts.judge, config.seed, tolerance)
            keep(workdir, step, seen, "watch")
            engine.forget()
        began = time.perf_counter()
        for draw in range(step * most, (step + 1) * most):
            drawn.append(source.take(draw))
            kept = [group for d in drawn for group in d.kept]
            if len(kept) >= n:
                break
        metrics = source.told(drawn) | engine_metrics(engine.stats()) | watched
        keep(workdir, step, source.shown(drawn[0]))
        metrics["rollout/seconds"] = time.perf_counter() - began
        metrics |= {"groups/dropped": sum(len(d.rollouts) for d in drawn) - len(kept), "groups/draws": len(drawn)}
        kept = kept[:n]
        size = -(-n // config.grpo.minibatches)
        return minibatches(
            kept, size, config.grpo.micro_groups, config.grpo.row_samples or R, *source.row(kept)
        ), metrics

    def update(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        placed = [(put_groups(parts.mesh, recut(groups, config.grpo.micro_groups)), n) for groups, n in batch]
        told: Metrics = {}
        if parts.grpo.tis_cap and placed:
            placed = [(g.replace(old_logp=logprobs(state.trained, parts.frozen, g, n)), n) for g, n in placed]
            told = grpo.sampler_gap([groups for groups, _ in placed])
        each = []
        for groups, n in placed:
            state, metrics = train_step(state, parts.frozen, groups, n)
            each.append(metrics)
        means = {key: sum(m[key] for m in each) / (key == "tokens" or len(each)) for key in each[0]} if each else {}
        return state, means | told

    made = Stage(make_batch, update, source.position, source.set_position)
    return overlapped(made, config.steps, workdir) if config.asynchronous else made


def engine_sizes(
    config: ConfigDict, tokenizer: Tokenizer, cases: Sequence[Case | Task], max_tokens: int, shards: int
) -> tuple[int, Sizes]:
    """The longest prompt in tokens, and capacities for every request that can come up, rounded up to whole pages, on
    each of the shards of the sampler's batch.
    """
    prompts = [prompt_tokens(tokenizer, case) for case in cases]
    longest = max(range(len(cases)), key=lambda i: len(prompts[i]))
    limit = config.data.max_prompt_tokens
    if len(prompts[longest]) > limit:
        raise ValueError(
            f"case {cases[longest].id} has a prompt of {len(prompts[longest])} tokens; "
            f"config.data.max_prompt_tokens is {limit}"
        )
    most = limit if config.get("consult") else len(prompts[longest])
    own = most + max_tokens
    judged, suffix, asked = own, min(max_tokens, PIECE) + 1, 0
    for case in cases:
        for criterion in case.rubric:
            if (criterion.check is None or config.watch.every) and not config.judge.url:
                start, end = judge_tokens(tokenizer, case, "", criterion, REASON if config.judge.votes else READ)
                reason = len(end) + 2 * Judge.reason_tokens if config.judge.votes else 0
                # a reply becomes quoted lines: some tokens more than its own
                judged, asked = max(judged, len(start) + 2 * max_tokens + reason), max(asked, len(end) + 1)
    if config.dynamic.proposals and not config.judge.url:
        room, longer = proposals_room(tokenizer, cases, max_tokens)
        judged, asked = max(judged, room), max(asked, longer)
    ceil = lambda n, unit: -(-n // unit) * unit  # noqa: E731
    page = 32
    if consult := config.get("consult"):  # prompts of the patient, and questions about slices that are yet to come
        judged = max(judged, consult.context_tokens)
    pasts = tuple(sorted({ceil(own, page), ceil(judged, page)}))
    slots = ceil(min(config.sampling.slots, config.data.prompts_per_step * config.data.samples_per_prompt), shards)
    slots //= shards
    tokens = ceil(config.sampling.cache_tokens, shards) // shards or slots * pasts[-1]
    if tokens < pasts[-1]:
        raise ValueError(
            f"config.sampling.cache_tokens {config.sampling.cache_tokens} leaves {tokens} to each of {shards} shards; "
            f"one request may need {pasts[-1]}: give at least {shards * pasts[-1]}, or 0"
        )
    # few shapes, since each is compiled: a reply with what a judge's question puts around it, and something longer; and
    # where replies are long, the question alone
    chunk, suffix = min(ceil(max_tokens + page, page), PIECE), max(suffix, asked)
    longer = max(min(4 * chunk, pasts[-1], Sizes.batch_tokens), ceil(suffix, 16))
    question = {ceil(asked, 16)} if 0 < 4 * ceil(asked, 16) <= chunk else set()
    return ceil(most, 16), Sizes(slots, -(-tokens // page) + 1, page, pasts, tuple(sorted({chunk, longer} | question)))


def proposals_room(tokenizer: Tokenizer, cases: Sequence[Case], max_tokens: int) -> tuple[int, int]:
    """The tokens that asking for proposals, or judging by one, may need: with a prompt, and after it."""
    any_ = {sign: Criterion("Is kind.", 1 if sign else -1, "clarity") for sign in (True, False)}
    most, suffix = 0, 0
    for case in cases:
        for sign, criterion in any_.items():
            asked = [Message("user", proposals.proposal_prompt(None, case.messages, sign))]
            start, end = judge_tokens(tokenizer, case, "", criterion)
            most = max(most, len(render(tokenizer, asked).tokens) + proposals.TOKENS, len(start) + 2 * max_tokens)
            suffix = max(suffix, len(end) + dynamic.PROPOSED_TOKENS)
    return most, suffix
