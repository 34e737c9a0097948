"""Single-turn rollouts: R replies of the doctor to each case, graded, as the learner and the report take them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from m2jax.sampler.engine import Completion, Engine
from m2jax.sampler.sampling import Sampling
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.grader import Judge, grade
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


def generate(
    engine: Engine,
    tokenizer: Tokenizer,
    cases: Sequence[Case],
    n_samples: int,
    how: Sampling,
    *,
    seed: int,
    first_request: int = 0,
    role: str = "doctor",
) -> tuple[list[list[int]], list[list[Completion]], list[list[str]]]:
    """(prompts, completions, texts): R replies of `role` to each case."""
    prompts = [prompt_tokens(tokenizer, case) for case in cases]
    completions = engine.generate(role, prompts, n_samples, how, seed, first_request)
    texts = [[tokenizer.decode(c.tokens) for c in group] for group in completions]
    return prompts, completions, texts


def grade_rollouts(
    cases: Sequence[Case],
    prompts: Sequence[list[int]],
    completions: Sequence[Sequence[Completion]],
    texts: Sequence[Sequence[str]],
    judge: Judge | None,
    reward: Reward,
) -> list[list[Rollout]]:
    """Grades every reply and adds the length bonus of its group."""
    flat_cases = [case for case, group in zip(cases, texts, strict=True) for _ in group]
    verdicts = iter(grade(flat_cases, [text for group in texts for text in group], judge))
    groups = []
    for case, prompt, group, replies in zip(cases, prompts, completions, texts, strict=True):
        graded = [next(verdicts) for _ in replies]
        scored = [reward_parts(case.rubric, v, NORMALISATIONS[reward.normalisation]) for v in graded]
        scores = np.asarray([score for score, _ in scored])
        lengths = np.asarray([len(c.tokens) for c in group])
        bonus = length_bonus(scores, lengths, reward.length_threshold, reward.length_scale)
        groups.append(
            [
                Rollout(case, prompt, c, text, v, score, float(b), dimensions)
                for c, text, v, (score, dimensions), b in zip(group, replies, graded, scored, bonus, strict=True)
            ]
        )
    return groups
