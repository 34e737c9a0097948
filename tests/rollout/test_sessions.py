"""Whole consultations as episodes: what each turn earns, and which tokens are whose."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from m2jax.clinic.condition import conditions
from m2jax.clinic.sample import condition_of
from m2jax.patient.interruption import Interruption, takes_up
from m2jax.patient.outcome import Outcome
from m2jax.patient.rubric import rubric_after, stage_of
from m2jax.patient.script import Line, sample_script
from m2jax.patient.simulate import Consultation, Units
from m2jax.rollout import dialogues, sessions
from m2jax.rollout.sessions import Episode, Rules, Turn
from m2jax.rollout.single_turn import Reward
from m2jax.sampler.requests import Completion, Generate
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.train import batches
from m2jax.verifier.rubric import Case, Criterion
from tests.text.fixtures import tiny_tokenizers as tiny

SCRIPT = sample_script(3, "train")
OPENING = "I have had a headache for two days."
PLAIN = Reward(length_scale=0)
HELD = Consultation(SCRIPT, (), (), ())
CASE = Case("a", "cough", "train", ({"role": "user", "content": "I cough."},), (Criterion("Asks", 1, "inquiry"),))


def turn(score: float, stage: str = "inquiry", fault: str = "", n: int = 2) -> Turn:
    tokens = np.arange(n, dtype=np.int32)
    completion = Completion(tokens, np.zeros(n, np.float32), np.zeros(n, np.float32), True)
    return Turn(CASE, 0, completion, "", (), score, {}, stage, fault)


def ended(*turns: Turn, share: float = 0.0, diagnosis: float = 0.0) -> Episode:
    return Episode([], turns, Outcome(share, 0.0, diagnosis, 0.0, len(turns)), "limit", 0, HELD)


def test_the_worked_example():
    """w = 0.5. Consultation 1 came to (0.6 + 1 + 0) / 3 = 16/30, the second to 0.3 / 3 = 0.1.

    inquiry:    0.8, 0.4 | 0.6, fault     rewards 0.6667, 0.4667 | 0.35, 0     mean 0.370833
    diagnosis:  0.2      |                reward  0.3667, alone: no signal
    """
    group = [
        ended(turn(0.8), turn(0.4), turn(0.2, "diagnosis"), share=0.6, diagnosis=1.0),
        ended(turn(0.6), turn(0.0, fault="repetition"), share=0.3),
    ]
    paid = sessions.pay(group, Rules(PLAIN, 100, 0.5))
    rewards = [[t.reward for t in episode.turns] for episode in paid]
    np.testing.assert_allclose(rewards[0], [0.8 / 2 + 8 / 30, 0.4 / 2 + 8 / 30, 0.2 / 2 + 8 / 30])
    np.testing.assert_allclose(rewards[1], [0.3 + 0.05, 0])
    mean = (0.4 + 8 / 30 + 0.2 + 8 / 30 + 0.35) / 4
    np.testing.assert_allclose([t.advantage for t in paid[0].turns], [2 / 3 - mean, 7 / 15 - mean, 0])
    np.testing.assert_allclose([t.advantage for t in paid[1].turns], [0.35 - mean, -mean])
    assert sessions.has_signal(paid)


def test_a_stage_where_all_earn_the_same_teaches_nothing():
    paid = sessions.pay([ended(turn(0.7)), ended(turn(0.7), turn(0.1, "diagnosis"))], Rules(PLAIN, 100, 0.0))
    assert not sessions.has_signal(paid) and all(t.reward for e in paid for t in e.turns)


def test_what_is_short_is_paid_among_the_turns_of_its_stage():
    rules = Rules(Reward(length_threshold=0.5, length_scale=1.0), 100, 0.0)
    paid = sessions.pay([ended(turn(0.9, n=4)), ended(turn(0.9, n=16)), ended(turn(0.1, "diagnosis"))], rules)
    assert [e.turns[0].bonus for e in paid] == [0.5, 0.25, 0.0]
    np.testing.assert_allclose([e.turns[0].advantage for e in paid], [0.125, -0.125, 0])


def test_the_stage_is_what_the_rubric_asks_for():
    dialogue = (Line("patient", OPENING),)
    stages = []
    for _ in range(5):
        stages.append(stage_of(SCRIPT.record, rubric_after(SCRIPT.record, dialogue)))
        dialogue += (Line("doctor", "I see."), Line("patient", "Well."))
    assert stages == ["inquiry"] * 3 + ["diagnosis"] * 2  # `generator.CONCLUDES`


# ---- In tokens


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder: Path = tmp_path_factory.mktemp("bpe")
    return load_tokenizer(tiny.write_folder(folder, tiny.train_bpe()))


def spoken(tokenizer: Tokenizer, text: str, stopped: bool) -> Completion:
    """Not as an encoder would put it, but a token for each character: what comes back must have been carried."""
    tokens = [token for character in text for token in tokenizer.encode(character)]
    tokens += [min(tokenizer.eos_ids)] * stopped
    logps = -np.arange(1, len(tokens) + 1, dtype=np.float32)
    return Completion(np.asarray(tokens, np.int32), logps, logps, stopped)


def hold(
    tokenizer: Tokenizer,
    said: Sequence[str],
    *,
    rounds: int = 3,
    longest: int = 4000,
    stopped: bool = True,
    asks: Interruption | None = None,
    **rules,
) -> tuple[Episode, list[Completion]]:
    """An episode in which the doctor says these messages, and its completions."""
    units = Units(tokenizer, "patient", "patient", None, rounds, 16)
    settings = Rules(PLAIN, longest, 0.5, checked=True, **rules)
    dialogue, given = sessions.episode(SCRIPT, OPENING, units, None, settings, asks), []
    answer = None
    while True:
        try:
            request = dialogue.send(answer)
        except StopIteration as end:
            return end.value, given
        assert isinstance(request, Generate)
        if request.role == "doctor":
            given.append(spoken(tokenizer, said[len(given)], stopped))
            answer = given[-1]
        else:
            answer = spoken(tokenizer, "I do not know.", True)


SAID = ("When did the headache begin?", "Do you have a fever?", "What medicines are you taking?")


@pytest.mark.parametrize("stopped", [True, False])
def test_the_sampled_tokens_are_those_trained_on(tokenizer: Tokenizer, stopped: bool):
    episode, given = hold(tokenizer, SAID, stopped=stopped, trim=not stopped)
    assert [t.text for t in episode.turns] == list(SAID) and episode.ended == "limit"
    for turn, completion in zip(episode.turns, given, strict=True):
        at = slice(turn.start, turn.start + len(completion.tokens))
        assert episode.tokens[at] == completion.tokens.tolist()
    assert at.stop == len(episode.tokens)  # nothing after the doctor's last message
    turns = [dataclasses.replace(t, advantage=i + 1.0) for i, t in enumerate(episode.turns)]
    episode = dataclasses.replace(episode, turns=tuple(turns))
    for prompt_size in (16, 4000):  # the opening reaches into the sample, or stands before it
        (sample,) = batches.of_episodes([episode], prompt_size)
        assert [*sample.prompt, *sample.tokens] == episode.tokens
        own = sample.mask == 1
        assert sample.tokens[own].tolist() == [t for c in given for t in c.tokens]
        np.testing.assert_array_equal(sample.logp[own], np.concatenate([c.logp_full for c in given]))
        np.testing.assert_array_equal(sample.advantage[own], np.repeat([1.0, 2, 3], [len(c.tokens) for c in given]))
        assert not sample.advantage[~own].any() and not sample.logp[~own].any() and (~own).sum() > 20


def test_a_fault_ends_the_consultation_and_earns_nothing(tokenizer: Tokenizer):
    episode, given = hold(tokenizer, (SAID[0], "Hello doctor, I have a headache.", SAID[2]))
    assert len(given) == 2 and episode.ended == "fault"
    assert [(t.fault, t.score > 0, len(t.verdicts) > 0) for t in episode.turns] == [
        ("", True, True),
        ("role inversion", False, False),
    ]
    (paid,) = sessions.pay([episode], Rules(PLAIN, 4000, 0.5))
    assert paid.turns[1].reward == 0 < paid.turns[0].reward
    assert hold(tokenizer, SAID, stopped=False)[0].turns[0].fault == "over-length"
    hoped = f"Patient: {' '.join(SAID)} It is {SCRIPT.record.diagnosis}. {condition_of(SCRIPT.record).safety_net.text}"
    assert hold(tokenizer, (SAID[0], hoped))[0].outcome == episode.outcome  # nobody has heard it
    assert hold(tokenizer, (hoped,))[0].outcome[1:] == (0, 0, 0, 0)
    told = sessions.metrics([[paid]])
    assert told["consult/fault/role_inversion"] == 1 and told["consult/ended/fault"] == 1


def test_a_thought_is_trained_on_and_shown_and_nobody_hears_it(tokenizer: Tokenizer):
    plain, _ = hold(tokenizer, SAID)
    thoughts = [f"<think>Patient: {text} It is asthma. Goodbye.</think>\n\n" for text in reversed(SAID)]
    said = [thought + text for thought, text in zip(thoughts, SAID, strict=True)]
    episode, given = hold(tokenizer, said)
    assert [t.text for t in episode.turns] == said and [t.start for t in episode.turns] != [
        t.start for t in plain.turns
    ]
    assert [len(t.completion.tokens) for t in episode.turns] == [len(c.tokens) for c in given]
    assert episode.held.dialogue == plain.held.dialogue and episode.outcome == plain.outcome
    assert [(t.score, t.verdicts, t.case) for t in episode.turns] == [
        (t.score, t.verdicts, t.case) for t in plain.turns
    ]
    assert [r.turn.asked for r in episode.held.rounds] == [r.turn.asked for r in plain.held.rounds]
    assert [r["text"] for r in dialogues._lines_of(episode.held, tokenizer) if r["who"] == "doctor"] == said
    assert hold(tokenizer, ("<think>When did the headache begin?",))[0].turns[0].fault == "empty"
    assert hold(tokenizer, ("<think>When did it",), stopped=False)[0].turns[0].fault == "over-length"


def test_an_interruption_is_seen_by_the_doctor_and_graded_in_its_turn(tokenizer: Tokenizer):
    asks = Interruption(1, "Could it be cancer?")
    plain, _ = hold(tokenizer, SAID)
    episode, _ = hold(
        tokenizer, (SAID[0], "You mentioned cancer: that is unlikely. Do you have a fever?", SAID[2]), asks=asks
    )
    assert episode.held.interrupted and not plain.held.interrupted and not any(turn.fault for turn in episode.turns)
    assert asks.snippet in tokenizer.decode(episode.tokens) and asks.snippet not in tokenizer.decode(plain.tokens)
    extra = [len(t.case.rubric) - len(p.case.rubric) for t, p in zip(episode.turns, plain.turns, strict=True)]
    assert (
        extra == [0, 1, 0] and episode.turns[1].case.rubric[-1] == takes_up(asks) and episode.turns[1].verdicts[-1].met
    )
    assert hold(tokenizer, SAID, rounds=1, asks=asks)[0].held.interrupted is False
    assert sessions.metrics([[episode]])["consult/interrupted"] == 1


def test_it_ends_where_there_is_no_room(tokenizer: Tokenizer):
    whole, _ = hold(tokenizer, SAID)
    episode, given = hold(tokenizer, SAID, longest=whole.turns[1].start)
    assert (len(given), episode.ended) == (2, "room")
    assert episode.tokens == whole.tokens[: len(episode.tokens)]
    with pytest.raises(ValueError, match="config.data.max_prompt_tokens is 5"):
        hold(tokenizer, SAID, longest=5)


def test_a_template_that_forgets_is_refused(tokenizer: Tokenizer):
    sessions.check_template(tokenizer)
    thinks = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "<|im_start|>assistant\n<think>\n"
    )
    with pytest.raises(ValueError, match="config.consult.session=False"):
        sessions.check_template(dataclasses.replace(tokenizer, chat_template=thinks))


def test_words_that_reach_as_much_with_anybody_lose_what_is_above_the_share():
    """Every name and every question at once, spread over messages, against one question and one name. So many names are
    no diagnosis; what all questions and one safety net reach with anybody, 2 / 3, is taken off above a half.
    """
    names = sorted(c.name for c in conditions() if c.split == "train")
    said = [f"Doctors think of {', '.join(names[i : i + 9])} here." for i in range(0, len(names), 9)]
    cues = sorted({cue for c in conditions() for f in c.symptoms for cue in f.cues[:1]})
    said += [f"Any {', '.join(cues[i : i + 9])}?" for i in range(0, len(cues), 9)]
    nets = "Come back if it is no better in two days, if it gets worse, or if there is fever, blood or vomiting."
    own = condition_of(SCRIPT.record)
    assert sessions.outcome_lost(SCRIPT, (*said, nets), 0.5) == pytest.approx(2 / 3 - 0.5)
    honest = ("When did it begin? Do you have a fever?", f"This is {own.name}. {own.safety_net.text}")
    assert sessions.outcome_lost(SCRIPT, honest, 0.5) == sessions.outcome_lost(SCRIPT, (*said, nets), 0.0) == 0
    episode = dataclasses.replace(ended(turn(0.8), share=0.6, diagnosis=1.0), lost=0.2)
    (paid,) = sessions.pay([episode], Rules(PLAIN, 100, 0.5))
    np.testing.assert_allclose(paid.turns[0].reward, 0.8 / 2 + (1.6 / 3 - 0.2) / 2)
