"""Single-turn rollouts: R replies of the doctor to each case, graded, as the learner and the report take them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from m2jax.sampler.engine import Engine
from m2jax.sampler.journal import Journal
from m2jax.sampler.requests import Completion, Dialogue, Failed, Generate
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.grader import Judge, OutsideJudge, grade
from m2jax.verifier.reward import NORMALISATIONS, Verdict, length_bonus, reward_parts
from m2jax.verifier.rubric import Case


@dataclasses.dataclass(frozen=True)
class Reward:
    """How replies are paid. normalisation: "minmax" (arXiv 2602.06570) or "healthbench".
    length_threshold, length_scale: eq. 3 of arXiv 2509.02208; scale 0 pays nothing for brevity.
    """

    normalisation: str = "minmax"
    length_threshold: float = 0.6
    length_scale: float = 0.4

    def __post_init__(self) -> None:
        if self.normalisation not in NORMALISATIONS:
            raise ValueError(
                f"reward.normalisation {self.normalisation!r} is not known; one of {', '.join(NORMALISATIONS)}"
            )


@dataclasses.dataclass(frozen=True)
class Reply:
    """One reply to one case: prompt tokens, completion, its text, and a verdict per criterion."""

    prompt: list[int]
    completion: Completion
    text: str
    verdicts: list[Verdict]


@dataclasses.dataclass(frozen=True)
class Rollout:
    """One reply to one case, graded. `score` is the rubric's, `bonus` the length reward; the reward is their sum."""

    case: Case
    prompt: list[int]
    completion: Completion
    text: str
    verdicts: list[Verdict]
    score: float
    bonus: float
    dimensions: dict[str, float]

    @property
    def reward(self) -> float:
        return self.score + self.bonus


def prompt_tokens(tokenizer: Tokenizer, case: Case) -> list[int]:
    """The case as the doctor sees it: the model's own chat template, up to where its reply begins."""
    messages = [Message(m["role"], m["content"]) for m in case.messages]
    return render(tokenizer, messages).tokens.tolist()


def single_turn(case: Case, tokenizer: Tokenizer, role: str, judge: Judge | OutsideJudge | None) -> Dialogue:
    """The dialogue of one reply: asked for, read, graded. Returns a `Reply`."""
    prompt = prompt_tokens(tokenizer, case)
    completion = yield Generate(role, prompt)
    text = tokenizer.decode(completion.tokens)
    verdicts = yield from grade(case, text, judge)
    return Reply(prompt, completion, text, verdicts)


def roll_out(
    engine: Engine,
    tokenizer: Tokenizer,
    cases: Sequence[Case],
    n_samples: int,
    judge: Judge | OutsideJudge | None,
    reward: Reward,
    *,
    seed: int,
    first_key: int = 0,
    role: str = "doctor",
    journal: Journal | None = None,
) -> list[list[Rollout]]:
    """R graded replies of `role` to each case; sample j of case i has the key first_key + i * R + j."""
    dialogues = [single_turn(case, tokenizer, role, judge) for case in cases for _ in range(n_samples)]
    keys = range(first_key, first_key + len(dialogues))
    replies = results_of(engine.run(dialogues, seed=seed, keys=keys, journal=journal))
    groups = [replies[i : i + n_samples] for i in range(0, len(replies), n_samples)]
    return [pay(case, group, reward) for case, group in zip(cases, groups, strict=True)]


def results_of(ended: Sequence[Any]) -> list[Any]:
    """What dialogues returned; the first that failed is raised: a group without all of its replies cannot be paid."""
    for result in ended:
        if isinstance(result, Failed):
            raise result.error
    return list(ended)


def pay(case: Case, replies: Sequence[Reply], reward: Reward) -> list[Rollout]:
    """Scores the replies to one case and adds the group's length bonus."""
    scored = [reward_parts(case.rubric, r.verdicts, NORMALISATIONS[reward.normalisation]) for r in replies]
    scores = np.asarray([score for score, _ in scored])
    lengths = np.asarray([len(r.completion.tokens) for r in replies])
    bonus = length_bonus(scores, lengths, reward.length_threshold, reward.length_scale)
    return [
        Rollout(case, r.prompt, r.completion, r.text, r.verdicts, score, float(b), dimensions)
        for r, (score, dimensions), b in zip(replies, scored, bonus, strict=True)
    ]
