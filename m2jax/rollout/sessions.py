"""Whole consultations as episodes: what the paper leaves as future work (arXiv 2509.02208, section 5), with credit by
turn after SPAR (arXiv 2602.06570).

The policy consults G times with each patient. Each of its messages is a turn, graded by the rubric of the slice before
it, and all turns are trained in one row of tokens; the patient's and the template's are masked.

    reward of a turn     (1 - w) * its rubric score + w * the outcome + what its length earns among the stage's turns
    outcome              the mean of: the share of key facts that were asked for, diagnosis named, safety net given
    contrast             of both is taken off what the same words would earn from other patients, above a share
    advantage of a turn  its reward - the mean over the turns of its stage in the G consultations
    stage                "inquiry" until the rubric asks for a diagnosis and a plan, then "diagnosis"

Where SPAR differs: its steps earn the episode's return, discounted by their worst violation, against a mean without
discounts; ours add, so that a turn can earn something in a consultation that came to nothing, and the mean is of what
was earned. SPAR has four stages; our patients have no tests to order, and other causes belong to the diagnosis here.
Its gate between stages by quality has no counterpart. As everywhere here, nothing is divided by a deviation.

A turn with a fault (`slices.fault_of`) ends its consultation. It earns 0, the least there is, of rubric and outcome;
the turns before it keep what they earn, and the outcome is what was reached by then: nobody has answered that turn.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np

from m2jax.clinic.others import others
from m2jax.clinic.sample import condition_of
from m2jax.data.cases import checked_only
from m2jax.patient.interruption import Interruption, draw
from m2jax.patient.outcome import Outcome, outcome
from m2jax.patient.rubric import stage_of
from m2jax.patient.script import Script, said_by
from m2jax.patient.simulate import Consultation, Units, consult
from m2jax.rollout import slices
from m2jax.rollout.patients import of_clinic
from m2jax.rollout.single_turn import Reward, results_of
from m2jax.rules.final import answered
from m2jax.sampler import requests
from m2jax.sampler.engine import Engine
from m2jax.sampler.journal import Journal
from m2jax.sampler.requests import Completion
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.contrast import common, less, taken
from m2jax.verifier.grader import Judge, OutsideJudge, grade
from m2jax.verifier.reward import NORMALISATIONS, Verdict, length_bonus, overlong_penalty, reward_parts
from m2jax.verifier.rubric import Case

CHANGES = (
    "the model's chat template changes earlier messages as a conversation goes on, so a consultation is not one row of "
    "tokens; train such a model on slices: config.consult.session=False"
)


@dataclasses.dataclass(frozen=True)
class Turn:
    """A message of the doctor. start: where its tokens begin in the episode's. score: the rubric's, in [0, 1], 0 where
    there is a fault (`slices.FAULTS`; "": none). shared, lost: as a `Rollout` has them. reward, advantage: 0 until
    `pay` has seen the group.
    """

    case: Case
    start: int
    completion: Completion
    text: str
    verdicts: tuple[Verdict, ...]
    score: float
    dimensions: dict[str, float]
    stage: str
    fault: str
    shared: float = 0.0
    lost: float = 0.0
    bonus: float = 0.0
    reward: float = 0.0
    advantage: float = 0.0


@dataclasses.dataclass(frozen=True)
class Episode:
    """A consultation in tokens, up to the end of the doctor's last message. ended: one of `slices.ENDS`. asked: how
    many facts were asked for. held: all that was said and decided. lost: what is taken off the worth of the outcome,
    since the same messages would have earned as much from others.
    """

    tokens: list[int]
    turns: tuple[Turn, ...]
    outcome: Outcome
    ended: str
    asked: int
    held: Consultation
    lost: float = 0.0


@dataclasses.dataclass(frozen=True)
class Rules:
    """How consultations are held and paid. longest: tokens of a prompt of the doctor. share: w, the outcome's part of
    a reward, from 0 to 1. trim: a reply that was cut off is no fault (it stands as it was sampled). checked: criteria
    without a check are left out. interrupted: the share of patients with an interruption.
    """

    reward: Reward
    longest: int
    share: float
    trim: bool = False
    checked: bool = False
    interrupted: float = 0.0


def check_template(tokenizer: Tokenizer) -> None:
    """ValueError where the next prompt does not begin with the last one and the reply to it."""
    reply = tokenizer.encode("When did it begin?")
    chat = [Message("user", "I cough."), Message("assistant", reply), Message("user", "Today.")]
    before, after = (render(tokenizer, part).tokens.tolist() for part in (chat[:1], chat))
    if after[: len(before) + len(reply)] != before + reply:
        raise ValueError(CHANGES)


def sessions(
    engine: Engine,
    units: Units,
    judge: Judge | OutsideJudge | None,
    numbers: Sequence[int],
    n_samples: int,
    rules: Rules,
    *,
    seed: int,
    journal: Journal | None = None,
) -> list[list[Episode]]:
    """R paid consultations of the role "doctor" with each of the numbered patients of the clinic's training conditions.
    Number, sample and seed determine a consultation; sample j of number i has the key i * R + j.
    """
    dialogues = []
    for number in numbers:
        (script, said), asks = of_clinic(number, seed), draw(rules.interrupted, seed, number)
        dialogues += [episode(script, said, units, judge, rules, asks) for _ in range(n_samples)]
    keys = [number * n_samples + j for number in numbers for j in range(n_samples)]
    ended = results_of(engine.run(dialogues, seed=seed, keys=keys, journal=journal))
    return [pay(ended[i : i + n_samples], rules) for i in range(0, len(ended), n_samples)]


def episode(
    script: Script,
    said: str,
    units: Units,
    judge: Judge | OutsideJudge | None,
    rules: Rules,
    asks: Interruption | None = None,
) -> requests.Dialogue:
    """The dialogue of one consultation that opens with what is `said`; returns an `Episode` that is not yet paid."""

    def fault(messages: tuple[str, ...], completion: Completion) -> str:
        return slices.fault_of(messages, completion.stopped or rules.trim)

    held = yield from consult(script, said, "doctor", units, asks, longest=rules.longest, refuse=fault)
    last = held.rounds[-1]
    tokens = [*last.prompt, *last.completion.tokens.tolist()]
    if len(last.prompt) > rules.longest:
        raise ValueError(
            f"the opening of {script.record.id} is a prompt of {len(last.prompt)} tokens; "
            f"config.data.max_prompt_tokens is {rules.longest}"
        )
    turns, above = [], rules.reward.contrast
    for i, round in enumerate(held.rounds):
        case = slices.case_of(script, held.dialogue[: 2 * i + 1], asks)
        case = checked_only([case])[0] if rules.checked else case
        found = fault(tuple(line.text for line in held.shown[: 2 * i + 2]), round.completion)
        verdicts = [] if found else (yield from grade(case, answered(round.text), judge))
        normalise = NORMALISATIONS[rules.reward.normalisation]
        score, dimensions = (0.0, {}) if found else reward_parts(case.rubric, verdicts, normalise)
        against = others(case.id, case.topic, case.split) if above and not found else ()
        shared = common(answered(round.text), [other.rubric for other in against])
        lost = taken(shared, above)
        start, own = len(round.prompt), round.completion.tokens.tolist()
        if tokens[:start] != round.prompt or tokens[start : start + len(own)] != own:
            raise ValueError(CHANGES)
        stage = stage_of(script.record, case.rubric)
        graded = tuple(verdicts), less(score, lost), dimensions, stage, found, shared, lost
        turns.append(Turn(case, start, round.completion, round.text, *graded))
    heard = said_by("doctor", held.dialogue)
    heard = heard[:-1] if turns[-1].fault else heard
    reached = outcome(script.record, heard)
    asked = set().union(*(round.turn.asked for round in held.rounds))
    ended, lost = last.turn.gate.reason or "room", outcome_lost(script, heard, above)
    return Episode(tokens, tuple(turns), reached, ended, len(asked), held, lost)


def worth(reached: Outcome) -> float:
    """What a consultation came to, in [0, 1]."""
    return (reached.share + reached.diagnosis + reached.safety_net) / 3


def outcome_lost(script: Script, said: tuple[str, ...], above: float) -> float:
    """What is taken off the worth of what was reached, where the same messages would reach as much with others."""
    condition = condition_of(script.record)
    against = others(script.record.id, condition.id, condition.split) if above else ()
    reached = [worth(outcome(other.record, said)) for other in against]
    return taken(float(np.mean(reached)), above) if reached else 0.0


def paid_worth(episode: Episode) -> float:
    """What the outcome of a consultation is paid."""
    return less(worth(episode.outcome), episode.lost)


def pay(group: Sequence[Episode], rules: Rules) -> list[Episode]:
    """The consultations with one patient, their turns with rewards and advantages. A stage with one turn, or where all
    earned the same, has advantages of 0.
    """
    turns = [(e, t) for e, one in enumerate(group) for t in range(len(one.turns))]
    paid = {at: group[at[0]].turns[at[1]] for at in turns}
    for stage in sorted({turn.stage for turn in paid.values()}):
        own = [at for at, turn in paid.items() if turn.stage == stage]
        scores = np.asarray([paid[at].score for at in own])
        lengths = np.asarray([len(paid[at].completion.tokens) for at in own])
        reward = rules.reward
        bonus = length_bonus(scores, lengths, reward.length_threshold, reward.length_scale)
        bonus += overlong_penalty(lengths, reward.longest, reward.overlong)
        reached = np.asarray([0.0 if paid[at].fault else paid_worth(group[at[0]]) for at in own])
        rewards = (1 - rules.share) * scores + rules.share * reached + bonus
        advantages = rewards - rewards.mean() if np.ptp(rewards) > 1e-6 else np.zeros(len(own))
        for at, b, r, a in zip(own, bonus, rewards, advantages, strict=True):
            paid[at] = dataclasses.replace(paid[at], bonus=float(b), reward=float(r), advantage=float(a))
    return [
        dataclasses.replace(one, turns=tuple(paid[e, t] for t in range(len(one.turns)))) for e, one in enumerate(group)
    ]


def has_signal(group: Sequence[Episode]) -> bool:
    """Whether any turn of the consultations with a patient differs from its stage's mean."""
    return any(turn.advantage for episode in group for turn in episode.turns)


def metrics(groups: Sequence[Sequence[Episode]]) -> dict[str, float]:
    """What a step's metrics say of its consultations and their turns."""
    episodes = [episode for group in groups for episode in group]
    turns = [turn for episode in episodes for turn in episode.turns]
    mean = lambda xs: float(np.mean(list(xs)))  # noqa: E731
    spread = [
        np.std([t.reward for e in group for t in e.turns if t.stage == stage])
        for group in groups
        for stage in sorted({t.stage for e in group for t in e.turns})
    ]
    faults, ended = Counter(t.fault for t in turns), Counter(e.ended for e in episodes)
    judged = [v for t in turns for v in t.verdicts if v.by != "check"]
    dimensions = sorted({name for t in turns for name in t.dimensions})
    return {
        "reward/score": mean(t.score for t in turns),
        "reward/length_bonus": mean(t.bonus for t in turns),
        "reward/contrast": mean(t.lost for t in turns),
        "reward/outcome": mean(paid_worth(e) for e in episodes),
        "reward/outcome_contrast": mean(e.lost for e in episodes),
        "reward/total": mean(t.reward for t in turns),
        "reward/std_in_group": mean(spread),
        **({"reward/judge_failed": mean(v.by == "failed" for v in judged)} if judged else {}),
        **{f"reward/dimension/{n}": mean(t.dimensions[n] for t in turns if n in t.dimensions) for n in dimensions},
        "rollout/length": mean(len(t.completion.tokens) for t in turns),
        "rollout/stopped": mean(t.completion.stopped for t in turns),
        "rollout/entropy": mean(-t.completion.logp_full.mean() for t in turns),
        "consult/rounds": len(turns) / len(episodes),
        "consult/tokens": mean(len(e.tokens) for e in episodes),
        "consult/asked_per_round": sum(e.asked for e in episodes) / len(turns),
        "consult/interrupted": mean(e.held.interrupted for e in episodes),
        "consult/key_facts": mean(e.outcome.share for e in episodes),
        "consult/diagnosis": mean(e.outcome.diagnosis for e in episodes),
        "consult/safety_net": mean(e.outcome.safety_net for e in episodes),
        "consult/trained_turns": mean(bool(t.advantage) for t in turns),
        **{f"consult/fault/{name.replace(' ', '_')}": faults[name] / len(episodes) for name in slices.FAULTS},
        **{f"consult/ended/{name}": ended[name] / len(episodes) for name in slices.ENDS},
    }
