"""Single-turn rollouts: R replies of the doctor to each case, graded, as the learner and the report take them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from m2jax import distributed
from m2jax.clinic.others import is_condition, others
from m2jax.data.tasks import Task
from m2jax.rules.final import answered
from m2jax.rules.rule import kind_of, rewards
from m2jax.sampler.engine import Engine
from m2jax.sampler.journal import Journal
from m2jax.sampler.requests import Completion, Dialogue, Failed, Generate
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.contrast import OTHERS, checked, common, drawn, less, taken
from m2jax.verifier.grader import Judge, OutsideJudge, grade
from m2jax.verifier.reward import NORMALISATIONS, Verdict, length_bonus, overlong_penalty, reward_parts
from m2jax.verifier.rubric import Case, Rubric


@dataclasses.dataclass(frozen=True)
class Reward:
    """How replies are paid. normalisation: "minmax" (arXiv 2602.06570) or "healthbench".
    length_threshold, length_scale: eq. 3 of arXiv 2509.02208; scale 0 pays nothing for brevity.
    overlong: the last tokens before `longest` in which a reply loses up to 1 (`overlong_penalty`); 0: none.
    contrast: what the same reply may earn from other patients before it loses what is above (`verifier.contrast`);
    0: nothing is lost.
    """

    normalisation: str = "minmax"
    length_threshold: float = 0.6
    length_scale: float = 0.4
    overlong: int = 0
    longest: int = 0
    contrast: float = 0.5

    def __post_init__(self) -> None:
        if self.normalisation not in NORMALISATIONS:
            raise ValueError(
                f"reward.normalisation {self.normalisation!r} is not known; one of {', '.join(NORMALISATIONS)}"
            )
        if not 0 <= self.contrast <= 1:
            raise ValueError(f"reward.contrast is {self.contrast}; give a share from 0 (none) to 1")
        overlong_penalty([], self.longest, self.overlong)


@dataclasses.dataclass(frozen=True)
class Reply:
    """One reply to one case: prompt tokens, completion, its whole text, a verdict per criterion (a task has none)."""

    prompt: list[int]
    completion: Completion
    text: str
    verdicts: list[Verdict]


@dataclasses.dataclass(frozen=True)
class Rollout:
    """One reply to one case, graded. `score` is the rubric's or the rule's, `bonus` what its length earns or costs; the
    reward is their sum. shared: what the same reply earns from other patients; lost: what is taken off for that.
    """

    case: Case | Task
    prompt: list[int]
    completion: Completion
    text: str
    verdicts: list[Verdict]
    score: float
    bonus: float
    dimensions: dict[str, float]
    shared: float = 0.0
    lost: float = 0.0

    @property
    def reward(self) -> float:
        return self.score + self.bonus


def prompt_tokens(tokenizer: Tokenizer, case: Case | Task) -> list[int]:
    """The case as the doctor sees it: the model's own chat template, up to where its reply begins."""
    messages = [Message(m["role"], m["content"]) for m in case.messages]
    return render(tokenizer, messages).tokens.tolist()


def single_turn(case: Case | Task, tokenizer: Tokenizer, role: str, judge: Judge | OutsideJudge | None) -> Dialogue:
    """The dialogue of one reply: asked for, read, and where there is a rubric graded, without its thought. Returns a
    `Reply`.
    """
    prompt = prompt_tokens(tokenizer, case)
    completion = yield Generate(role, prompt)
    text = tokenizer.decode(completion.tokens)
    verdicts = [] if isinstance(case, Task) else (yield from grade(case, answered(text), judge))
    return Reply(prompt, completion, text, verdicts)


def roll_out(
    engine: Engine,
    tokenizer: Tokenizer,
    cases: Sequence[Case | Task],
    n_samples: int,
    judge: Judge | OutsideJudge | None,
    reward: Reward,
    *,
    seed: int,
    first_key: int = 0,
    role: str = "doctor",
    journal: Journal | None = None,
    beside: Sequence[Case | Task] = (),
) -> list[list[Rollout]]:
    """R graded and paid replies of `role` to each case (`sampled`). beside: as in `pay`."""
    groups = sampled(
        engine, tokenizer, cases, n_samples, judge, seed=seed, first_key=first_key, role=role, journal=journal
    )
    return pay(cases, groups, reward, beside)


def sampled(
    engine: Engine,
    tokenizer: Tokenizer,
    cases: Sequence[Case | Task],
    n_samples: int,
    judge: Judge | OutsideJudge | None,
    *,
    seed: int,
    first_key: int = 0,
    role: str = "doctor",
    journal: Journal | None = None,
) -> list[list[Reply]]:
    """R graded replies of `role` to each case; sample j of case i has the key first_key + i * R + j."""
    dialogues = [single_turn(case, tokenizer, role, judge) for case in cases for _ in range(n_samples)]
    keys = range(first_key, first_key + len(dialogues))
    replies = results_of(engine.run(dialogues, seed=seed, keys=keys, journal=journal))
    return [replies[i : i + n_samples] for i in range(0, len(replies), n_samples)]


def results_of(ended: Sequence[Any]) -> list[Any]:
    """What dialogues returned; the first that failed is raised: a group without all of its replies cannot be paid."""
    for result in ended:
        if isinstance(result, Failed):
            raise result.error
    return list(ended)


def pay(
    cases: Sequence[Case | Task],
    groups: Sequence[Sequence[Reply]],
    reward: Reward,
    beside: Sequence[Case | Task] = (),
) -> list[list[Rollout]]:
    """Scores the replies to each case, takes off what contrast takes, and adds to each what its length earns in its
    group. By rules all replies are scored at once, by the first process alone. beside: the set that cases of no clinic
    come from, for contrast.
    """
    pairs = [
        (case.rule, r.text) for case, group in zip(cases, groups, strict=True) if isinstance(case, Task) for r in group
    ]
    by_rule = iter(distributed.from_first(rewards(pairs) if distributed.is_first() else None) if pairs else ())
    pools = _pools(beside) if reward.contrast else {}
    paid = []
    for case, group in zip(cases, groups, strict=True):
        if isinstance(case, Task):
            scored = [(s, {kind_of(case.rule): s}, 0.0, 0.0) for _, s in zip(group, by_rule, strict=False)]
        else:
            against = rubrics_beside(case, pools) if reward.contrast else ()
            scored = [_scored(case, r, reward, against) for r in group]
        lengths = np.asarray([len(r.completion.tokens) for r in group])
        bonus = length_bonus([score for score, *_ in scored], lengths, reward.length_threshold, reward.length_scale)
        bonus += overlong_penalty(lengths, reward.longest, reward.overlong)
        paid.append(
            [
                Rollout(case, r.prompt, r.completion, r.text, r.verdicts, float(score), float(b), *more)
                for r, (score, *more), b in zip(group, scored, bonus, strict=True)
            ]
        )
    return paid


def rubrics_beside(case: Case, pools: Mapping[str, Sequence[tuple[str, Rubric]]]) -> tuple[Rubric, ...]:
    """What replies to the case are set against, fixed by its id: rubrics of other topics of its set, or, where it is a
    patient of the clinic or its set has too few, of other patients of the clinic. pools: by split, (topic, rubric).
    """
    own = () if is_condition(case.topic) else drawn(case.id, case.topic, pools.get(case.split, ()))
    return own if len(own) == OTHERS else tuple(other.rubric for other in others(case.id, case.topic, case.split))


def _pools(beside: Sequence[Case | Task]) -> dict[str, list[tuple[str, Rubric]]]:
    pools: dict[str, list[tuple[str, Rubric]]] = {}
    for case in beside:
        if isinstance(case, Case) and not is_condition(case.topic) and (rubric := checked(case.rubric)):
            pools.setdefault(case.split, []).append((case.topic, rubric))
    return pools


def _scored(
    case: Case, reply: Reply, reward: Reward, against: Sequence[Rubric]
) -> tuple[float, dict[str, float], float, float]:
    """(score, its parts by dimension, what others would give for the reply, what is taken off for that)."""
    score, dimensions = reward_parts(case.rubric, reply.verdicts, NORMALISATIONS[reward.normalisation])
    shared = common(answered(reply.text), against)
    lost = taken(shared, reward.contrast)
    return less(score, lost), dimensions, shared, lost
