"""Where an RL step's rollouts come from: each draw of prompts or patients, rolled out and graded, and what of it there
is to learn.

    replies    to the next cases of a file, or to slices of consultations that the policy holds now
    episodes   whole consultations with the next patients (`rollout.sessions`)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from m2jax import distributed
from m2jax.data import cases as case_data
from m2jax.data.tasks import Task
from m2jax.lines import write_jsonl
from m2jax.outside.endpoint import EndpointDown
from m2jax.rollout import dialogues, dynamic, patients, sessions, slices
from m2jax.rollout.kept import fingerprint
from m2jax.rollout.metrics import rollout_metrics
from m2jax.rollout.single_turn import Rollout, pay, roll_out, sampled
from m2jax.sampler.journal import Journal
from m2jax.train import grpo
from m2jax.train.batches import Sample, episode_row, of_episodes, of_replies, width
from m2jax.train.parts import Parts
from m2jax.verifier.grader import check_judged
from m2jax.verifier.reward import Verdict
from m2jax.verifier.rubric import Case

Metrics = dict[str, Any]


class Drawn(NamedTuple):
    """A draw: its rollouts by group, those groups that can teach something as samples, what there is to tell, and the
    slices that the cases are, if they are any.
    """

    rollouts: list[list[Any]]
    kept: list[list[Sample]]
    told: Metrics
    held: list[slices.Sliced]


class Draws(NamedTuple):
    """take(draw): draws are numbered through. told(drawn): metrics of a step's draws. shown(drawn): those dialogues of
    one that are kept to be read. row(kept): the tokens that a row has for a prompt and for each sample. position,
    set_position: where the data stands.
    """

    take: Callable[[int], Drawn]
    told: Callable[[Sequence[Drawn]], Metrics]
    shown: Callable[[Drawn], list[dialogues.Row]]
    row: Callable[[Sequence[Sequence[Sample]]], tuple[int, int]]
    position: Callable[[], Any] = lambda: None
    set_position: Callable[[Any], None] = lambda _: None


class Source(NamedTuple):
    """Where cases come from: take(draw) -> (cases, what there is to tell of them, the slices that they are, if any)."""

    take: Callable[[int], tuple[list[Case] | list[Task], Metrics, list[slices.Sliced]]]
    position: Callable[[], Any] = lambda: None
    set_position: Callable[[Any], None] = lambda _: None


class Grading(NamedTuple):
    """How cases are replied to and paid. roll(cases, draw, keys): keys are those of `roll_out`. told, position,
    set_position: of what it keeps from draw to draw, if anything.
    """

    roll: Callable[[list[Case] | list[Task], int, dict[str, Any]], list[list[Rollout]]]
    told: Callable[[], Metrics] = dict
    position: Callable[[], Any] = lambda: None
    set_position: Callable[[Any], None] = lambda _: None


def of(parts: Parts, workdir: Path) -> Draws:
    """The draws that the config asks for. What a long rollout has generated is kept in `workdir`."""
    if not parts.units:
        return _replies(parts, workdir, _of_stream(parts))
    if parts.config.consult.session:
        return _episodes(parts, workdir)
    return _replies(parts, workdir, _of_consultations(parts, workdir))


def _replies(parts: Parts, workdir: Path, source: Source) -> Draws:
    config, R = parts.config, parts.config.data.samples_per_prompt
    grading = (_dynamic if parts.dynamic else _fixed)(parts, workdir)

    def take(draw: int) -> Drawn:
        cases, told, held = source.take(draw)
        journal = _journal(config, workdir, "rollout", draw, [[case.id, fingerprint(case)] for case in cases])
        keys = {"seed": config.seed, "first_key": draw * len(cases) * R, "journal": journal}
        found = grading.roll(cases, draw, keys)
        _check(journal, [[v for r in group for v in r.verdicts] for group in found])
        kept = [
            of_replies(g, parts.grpo.vanilla) for g in found if grpo.has_signal(np.asarray([[r.reward for r in g]]))[0]
        ]
        return Drawn(found, kept, told, held)

    def told(drawn: Sequence[Drawn]) -> Metrics:
        each = [d.told for d in drawn]
        return _mean(each) | rollout_metrics([group for d in drawn for group in d.rollouts]) | grading.told()

    def position() -> Any:
        own = grading.position()
        return source.position() if own is None else {"source": source.position(), "dynamic": own}

    def set_position(saved: Any) -> None:
        if parts.dynamic:
            grading.set_position(saved["dynamic"])
            saved = saved["source"]
        source.set_position(saved)

    def shown(drawn: Drawn) -> list[dialogues.Row]:
        return dialogues.of_replies(drawn.rollouts, parts.tokenizer, drawn.held)

    row = parts.prompt_size, parts.sampling.max_tokens
    return Draws(take, told, shown, lambda _: row, position, set_position)


def _fixed(parts: Parts, workdir: Path) -> Grading:
    """Cases with their own rubrics, or tasks with their rules."""
    asked, R = (parts.engine, parts.tokenizer), parts.config.data.samples_per_prompt
    paid = {"reward": parts.reward, "beside": parts.train}
    return Grading(lambda cases, draw, keys: roll_out(*asked, cases, R, parts.judge, **paid, **keys))


def _dynamic(parts: Parts, workdir: Path) -> Grading:
    """With dynamic criteria beside the rubrics' own: as they stood before these replies, which then move them."""
    config, settings, asked = parts.config, parts.dynamic, (parts.engine, parts.tokenizer)
    live: dict[str, dynamic.State] = {"now": {}}

    def roll(cases: list[Case], draw: int, keys: dict[str, Any]) -> list[list[Rollout]]:
        step, number = divmod(draw, 1 + config.data.refill)
        state = dynamic.proposed(live["now"], cases, parts.engine, settings, config.seed)
        shown = [dynamic.watched(case, state) for case in cases]
        groups = sampled(*asked, shown, config.data.samples_per_prompt, parts.judge, **keys)
        cases, groups, state = dynamic.settle(cases, groups, state, settings.rule)
        if settings.every and not number and (step + 1) % settings.every == 0:
            state = dynamic.mined(state, [group[0].text for group in groups], settings)
        live["now"] = state
        return pay(cases, groups, parts.reward, parts.train)

    def position() -> Any:
        if distributed.is_first():
            write_jsonl(workdir / "criteria.jsonl", dynamic.rows(live["now"]))
        return dynamic.to_json(live["now"])

    def set_position(saved: Any) -> None:
        live["now"] = dynamic.from_json(saved)

    return Grading(roll, lambda: dynamic.metrics(live["now"]), position, set_position)


def _episodes(parts: Parts, workdir: Path) -> Draws:
    """The draw says which patients come, so nothing is to be kept of where the data stands."""
    config, n = parts.config, parts.config.data.prompts_per_step
    P, C = episode_row(config)
    rules = sessions.Rules(
        parts.reward,
        config.data.max_prompt_tokens,
        config.consult.outcome,
        config.consult.trim,
        config.reward.unchecked == "skip",
        config.consult.interrupted,
    )

    def take(draw: int) -> Drawn:
        journal = _journal(config, workdir, "rollout", draw, [])
        found = sessions.sessions(
            parts.engine, parts.units, parts.judge, range(draw * n, draw * n + n), config.data.samples_per_prompt,
            rules, seed=config.seed, journal=journal,
        )  # fmt: skip
        _check(journal, [[v for e in group for turn in e.turns for v in turn.verdicts] for group in found])
        kept = [of_episodes(group, P) for group in found if sessions.has_signal(group)]
        return Drawn(found, kept, {}, [])

    def told(drawn: Sequence[Drawn]) -> Metrics:
        return sessions.metrics([group for d in drawn for group in d.rollouts])

    def shown(drawn: Drawn) -> list[dialogues.Row]:
        return dialogues.of_episodes(drawn.rollouts, parts.tokenizer)

    return Draws(take, told, shown, lambda kept: (P, width(kept, C)))


def _of_stream(parts: Parts) -> Source:
    """The next ones of the shuffled training cases."""
    stream = case_data.CaseStream(parts.train, parts.config.data.prompts_per_step, parts.config.seed)
    return Source(lambda draw: (next(stream), {}, []), stream.get_state, stream.set_state)


def _of_consultations(parts: Parts, workdir: Path) -> Source:
    """Slices of consultations that the policy holds now. The draw says which patients come."""
    config, n = parts.config, parts.config.data.prompts_per_step
    come = patients.of_records(parts.records) if parts.records else patients.of_clinic
    own = [[record.id, fingerprint(record)] for record in parts.records]

    def take(draw: int) -> tuple[list[Case], Metrics, list[slices.Sliced]]:
        began = time.perf_counter()
        found = slices.slices(
            parts.engine, parts.tokenizer, parts.units, range(draw * n, draw * n + n), config.data.max_prompt_tokens,
            seed=config.seed, come=come, trim=config.consult.trim, interrupted=config.consult.interrupted,
            journal=_journal(config, workdir, "consultations", draw, own),
        )  # fmt: skip
        cases = [s.case for s in found]
        if config.reward.unchecked == "skip":
            cases = case_data.checked_only(cases)
        return cases, slices.told_of(found) | {"consult/seconds": time.perf_counter() - began}, found

    return Source(take)


def _journal(config: ConfigDict, workdir: Path, name: str, draw: int, cases: list[Any]) -> Journal | None:
    """The journal of a run of the engine, where such are kept: a file for each of a step's draws."""
    if not config.checkpoint.rollout_seconds:
        return None
    step, number = divmod(draw, 1 + config.data.refill)
    who = {"step": step, "seed": config.seed, "cases": cases}
    file = workdir / (f"{name}-{number}.jsonl" if number else f"{name}.jsonl")
    return Journal(file, who, config.checkpoint.rollout_seconds, writes=jax.process_index() == 0)


def _check(journal: Journal | None, by_case: Sequence[Sequence[Verdict]]) -> None:
    """As `check_judged`; then what the judge said is not kept."""
    try:
        check_judged(by_case)
    except EndpointDown:
        if journal:
            journal.remove()
        raise


def _mean(each: Sequence[Metrics]) -> Metrics:
    return {key: float(np.mean([told[key] for told in each])) for key in each[0]}
