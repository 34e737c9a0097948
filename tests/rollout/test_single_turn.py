"""Replies graded by hand: scores, the length bonus of each group, order."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from m2jax.rollout.metrics import rollout_metrics
from m2jax.rollout.single_turn import Reply, Reward, Rollout, pay, prompt_tokens, roll_out, single_turn
from m2jax.sampler.requests import Completion, Failed, Generate
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.verifier.checks import parse_check
from m2jax.verifier.reward import grade_checks
from m2jax.verifier.rubric import Case, Criterion
from tests.text.fixtures import tiny_tokenizers as tiny

RUBRIC = (
    Criterion("Advises a doctor", 5, "safety", parse_check({"words": ["doctor"]})),
    Criterion("Advises antibiotics", -3, "care", parse_check({"words": ["antibiotic*"]})),
)


def case(name: str) -> Case:
    return Case(name, "cough", "train", ({"role": "user", "content": "I cough."},), RUBRIC)


def completion(n: int, logp: float = -1.0, stopped: bool = True) -> Completion:
    logps = np.full(n, logp, np.float32)
    return Completion(np.arange(n, dtype=np.int32) + 10, logps, logps, stopped)


CASES = [case("a"), case("b")]
PROMPTS = [[1, 2], [3]]
TEXTS = [["See a doctor.", "Go to a doctor."], ["Take antibiotics, see a doctor.", "Rest."]]
COMPLETIONS = [[completion(4), completion(16, -3.0)], [completion(4, -2.0, stopped=False), completion(9, -2.0)]]


def graded(reward: Reward, cases: list[Case] = CASES) -> list[list[Rollout]]:
    replies = [
        [Reply(p, c, t, grade_checks(of.rubric, t)) for c, t in zip(cs, ts, strict=True)]
        for of, p, cs, ts in zip(cases, PROMPTS, COMPLETIONS, TEXTS, strict=True)
    ]
    return pay(cases, replies, reward)


def test_the_worked_example():
    """Points 5 and -3, so min-max scores (5 a - 3 b + 3) / 8; threshold 0.6, scale 0.4.

    Group a: both reach 8/8. Its 20% quantile, 1, is above the threshold, both are at it: 0.4/√4 = 0.2, 0.4/√16 = 0.1.
    Group b: 5/8 (doctor, but antibiotics) and 3/8 (neither). Quantile 0.425: no bonus.
    """
    a, b = graded(Reward())
    assert [r.score for r in a + b] == pytest.approx([1.0, 1.0, 5 / 8, 3 / 8])
    assert [r.bonus for r in a + b] == pytest.approx([0.2, 0.1, 0, 0])
    assert [r.reward for r in a + b] == pytest.approx([1.2, 1.1, 5 / 8, 3 / 8])
    assert b[0].dimensions == {"safety": 1.0, "care": 0.0} and b[1].dimensions == {"safety": 0.0, "care": 1.0}


def test_groups_and_their_order_are_kept():
    groups = graded(Reward())
    assert [[r.text for r in g] for g in groups] == TEXTS
    for i, r in np.ndindex(2, 2):
        rollout = groups[i][r]
        assert (rollout.case, rollout.prompt) == (CASES[i], PROMPTS[i])
        assert rollout.completion is COMPLETIONS[i][r]
        assert [v.met for v in rollout.verdicts] == [w in rollout.text for w in ("doctor", "antibiotics")]


def test_the_settings_of_the_reward():
    healthbench = graded(Reward("healthbench", length_scale=0))
    assert [[r.reward for r in g] for g in healthbench] == [[1.0, 1.0], pytest.approx([2 / 5, 0.0])]
    eager = graded(Reward(length_threshold=0.4))
    assert [r.bonus for r in eager[1]] == pytest.approx([0.4 / 2, 0])  # 5/8 is above the quantile 0.425, 3/8 is not
    with pytest.raises(ValueError, match="reward.normalisation 'mean' is not known; one of minmax, healthbench"):
        Reward("mean")


def test_metrics_of_a_step():
    """Deviations in a group: of 1.2 and 1.1, 0.05; of 0.625 and 0.375, 0.125. Entropy: mean of 1, 3, 2, 2 nats."""
    got = rollout_metrics(graded(Reward()))
    want = {
        "reward/score": 0.75,
        "reward/contrast": 0.0,
        "reward/length_bonus": 0.075,
        "reward/total": 0.825,
        "reward/std_in_group": 0.0875,
        "rollout/length": (4 + 16 + 4 + 9) / 4,
        "rollout/stopped": 0.75,
        "rollout/entropy": 2.0,
        "reward/dimension/care": 0.75,
        "reward/dimension/safety": 0.75,
    }
    assert got == pytest.approx(want)


def test_a_dimension_is_averaged_over_the_replies_that_have_it():
    other = Case("c", "cough", "train", CASES[0].messages, RUBRIC[:1])
    got = rollout_metrics(graded(Reward(), [CASES[0], other]))
    assert (got["reward/dimension/care"], got["reward/dimension/safety"]) == (1.0, 0.75)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(tiny.write_folder(tmp_path_factory.mktemp("bpe"), tiny.train_bpe()))


class FakeEngine:
    """Answers every dialogue's only request with "fever" and its key, and keeps what it was asked."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer, self.asked = tokenizer, []

    def run(self, dialogues, *, seed, keys, journal=None):
        self.seed = seed
        return [self.answer(d, key) for d, key in zip(dialogues, keys, strict=True)]

    def answer(self, dialogue, key):
        self.asked.append(next(dialogue))
        tokens = np.asarray([*self.tokenizer.encode(f"fever {key}"), self.tokenizer.eos_ids[0]], np.int32)
        try:
            dialogue.send(Completion(tokens, np.zeros(len(tokens)), np.zeros(len(tokens)), True))
        except StopIteration as end:
            return end.value


def test_the_doctor_is_asked_in_the_chat_template_and_read_without_its_stop_token(tokenizer: Tokenizer):
    engine = FakeEngine(tokenizer)
    groups = roll_out(engine, tokenizer, CASES, 2, None, Reward(), seed=7, first_key=40)
    prompts = [prompt_tokens(tokenizer, c) for c in CASES]
    assert engine.asked == [Generate("doctor", p) for p in prompts for _ in range(2)] and engine.seed == 7
    assert [[r.text for r in g] for g in groups] == [["fever 40", "fever 41"], ["fever 42", "fever 43"]]
    assert groups[1][0].completion.tokens[-1] == tokenizer.eos_ids[0]
    shown = tokenizer.decode(prompts[0], skip_controls=False)
    assert shown == "<|im_start|>user\nI cough.<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("<think>See a doctor.</think>\nHello.", [False, False]),
        ("<think>See a doctor.", [False, False]),
        ("<think>No antibiotics? Take antibiotics." + " Perhaps." * 700 + "</think>\nSee a doctor.", [True, False]),
    ],
)
def test_a_thought_is_kept_and_not_graded(text: str, met: list[bool], tokenizer: Tokenizer):
    dialogue = single_turn(CASES[0], tokenizer, "doctor", None)
    next(dialogue)
    tokens = np.asarray([*tokenizer.encode(text), tokenizer.eos_ids[0]], np.int32)
    with pytest.raises(StopIteration) as end:
        dialogue.send(Completion(tokens, np.zeros(len(tokens)), np.zeros(len(tokens)), True))
    reply = end.value.value
    assert [v.met for v in reply.verdicts] == met and reply.text == text and reply.completion.tokens is tokens


def test_a_dialogue_that_fails_is_raised(tokenizer: Tokenizer):
    class Broken(FakeEngine):
        def answer(self, dialogue, key):
            return Failed(KeyError("lost"), "") if key == 1 else super().answer(dialogue, key)

    with pytest.raises(KeyError, match="lost"):
        roll_out(Broken(tokenizer), tokenizer, CASES, 2, None, Reward(), seed=0)


def test_what_anybody_could_be_told_is_set_against_other_topics_of_the_set():
    """Others ask for a doctor too: the same reply earns 5/8 + 3/8 = 1 from each, so that of 1.0 half is taken off."""
    of_set = [Case(f"o{i}", f"topic {i}", "train", CASES[0].messages, RUBRIC) for i in range(5)]
    groups = [[Reply([1], completion(4), text, grade_checks(RUBRIC, text)) for text in TEXTS[1]]]
    plain = Reward(length_scale=0)
    (paid,) = pay(CASES[:1], groups, plain, of_set)
    assert [(r.shared, r.lost, r.score) for r in paid] == [(5 / 8, 1 / 8, 0.5), (3 / 8, 0.0, 3 / 8)]
    assert rollout_metrics([paid])["reward/contrast"] == 1 / 16
    (same,) = pay(CASES[:1], groups, dataclasses.replace(plain, contrast=0.0), of_set)
    assert [(r.shared, r.lost, r.score) for r in same] == [(0.0, 0.0, 5 / 8), (0.0, 0.0, 3 / 8)]


def test_where_the_set_has_too_few_topics_replies_are_set_against_the_clinic():
    others_of_set = [Case(f"o{i}", "cough", "train", CASES[0].messages, RUBRIC) for i in range(9)]
    reply = Reply([1], completion(4), "Rest.", grade_checks(RUBRIC, "Rest."))
    ((rest, _),) = pay(CASES[:1], [[reply, reply]], Reward(), others_of_set)
    assert 0 < rest.shared < 0.5 and rest.lost == 0


def test_a_share_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="reward.contrast is 1.5; give a share from 0"):
        Reward(contrast=1.5)
