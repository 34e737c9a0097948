"""Reason, then verdict: what is asked, what is read out of the answers, and what of answers that are none."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.outside.endpoint import EndpointDown, Said
from m2jax.sampler.grammar import reserve
from m2jax.sampler.requests import Chat, Completion, Generate, Score, Unanswered
from m2jax.text.chat import Message
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.ask import ask
from m2jax.verifier.calibration import Calibration
from m2jax.verifier.grader import Judge, OutsideJudge, check_judged, grade
from m2jax.verifier.reasons import AGAIN, FAILED, WITHHELD, parse, probability_of, schema
from m2jax.verifier.reward import Verdict
from tests.verifier import test_grader
from tests.verifier.test_grader import case, checked, judged, play

folder, tokenizer = test_grader.folder, test_grader.tokenizer  # fixtures
OF = case("a", judged("Is kind"), checked("fever"), judged("Is rude", -3))


def said(met: bool, positive: bool = True, why: str = "So it is.") -> str:
    return json.dumps({"explanation": why, "acceptable" if positive else "unacceptable": met})


def by_token(text: str, at: str, alternatives: dict[str, float]) -> Said:
    """In tokens of three characters, and one that begins where `at` does, with these probabilities."""
    cut = text.rindex(at)
    head = [text[i : min(i + 3, cut)] for i in range(0, cut, 3)]
    top = [(token, ()) for token in head]
    top += [(at, tuple((t, math.log(p)) for t, p in alternatives.items())), ("}", ())]
    return Said(text, tuple(top))


# ---- An endpoint


def test_each_criterion_is_asked_in_the_words_of_its_sign() -> None:
    (chats,), verdicts = play(grade(OF, "A fever.", OutsideJudge()), [Said(said(True)), Said(said(False, False))])
    assert verdicts == [Verdict(True, 1.0, "judge"), Verdict(True, None, "check"), Verdict(False, 0.0, "judge")]
    for chat, criterion, key in zip(chats, (OF.rubric[0], OF.rubric[2]), ("acceptable", "unacceptable"), strict=True):
        (message,) = chat.messages
        assert isinstance(chat, Chat) and chat.role == "judge"
        places = [message["content"].index(part) for part in ("# Conv", "> A fever.", "# Rubric item", criterion.text)]
        assert places == sorted(places) and f'"{key}": true or false' in message["content"]
        assert list(json.loads(chat.schema)["properties"]) == ["explanation", key]
    assert "unacceptable" not in chats[0].messages[0]["content"]


def test_an_answer_that_is_no_verdict_is_asked_for_once_more_then_it_has_failed() -> None:
    bad = [
        "",
        "{",
        said(True)[:-5],
        f"```json\n{said(True)}\n```",
        said(True, False),
        '{"acceptable": true}',
        "[" * 9999,
    ]
    bad += [said(True)[:-1] + ', "acceptable": false}', '{"explanation": 1, "acceptable": true}']
    bad += ['{"explanation": "", "acceptable": "true"}', '{"acceptable": true, "explanation": "late"}', "true", "[]"]
    of = case("a", *(judged(f"Is kind {i}") for i in range(len(bad))))
    first = [Said(text) for text in bad]
    healed = [Said(said(True)), *first[1:]]
    (_, second), verdicts = play(grade(of, "Well.", OutsideJudge()), first, healed)
    assert len(second) == len(bad)
    for chat, text in zip(second, bad, strict=True):
        assert [m["role"] for m in chat.messages] == ["user", "assistant", "user"]
        assert chat.messages[1]["content"] in (text, "(nothing)") and chat.messages[2]["content"] == AGAIN
    assert verdicts == [Verdict(True, 1.0, "judge"), *[FAILED] * (len(bad) - 1)]
    assert not FAILED.met and FAILED.by == "failed"


def test_only_what_was_bad_is_asked_again_and_votes_are_averaged() -> None:
    of = case("a", judged("Is kind"), judged("Is rude", -3))
    first = [Said(said(True)), Said("no"), Said(said(False)), *[Said(said(True, False))] * 2, Said("no")]
    (asked, again), verdicts = play(grade(of, "Hm.", OutsideJudge(votes=3)), first, [Said(said(True)), Said("no")])
    assert len(asked) == 6 and len(again) == 2
    assert verdicts == [Verdict(True, pytest.approx(2 / 3), "judge"), Verdict(True, 1.0, "judge")]


def test_a_question_that_the_endpoint_refuses_fails_alone_and_nothing_is_asked_twice() -> None:
    of = case("a", *(judged(f"Is kind {i}") for i in range(3)))
    dialogue = grade(of, "I want to die.", OutsideJudge())
    assert len(dialogue.send(None)) == 3
    refused = ValueError("refused the request, status 400: content filter")
    with pytest.raises(StopIteration) as end:
        dialogue.throw(Unanswered(refused, [Said(said(True)), refused, Said(said(False))]))
    assert end.value.value == [Verdict(True, 1.0, "judge"), WITHHELD, Verdict(False, 0.0, "judge")]
    assert not WITHHELD.met


def test_a_judge_without_a_verdict_is_down_but_not_where_it_refuses_one_case() -> None:
    check, yes = Verdict(True, None, "check"), Verdict(True, 0.9, "judge")
    for fine in ([], [[check]], [[FAILED, yes]], [[WITHHELD] * 3, [check]], [[WITHHELD], [yes]]):
        check_judged(fine)
    for dead in ([[FAILED]], [[check, FAILED], [check, WITHHELD]], [[WITHHELD], [WITHHELD]]):
        with pytest.raises(EndpointDown, match="gave no verdict to any of"):
            check_judged(dead)


def test_a_patient_that_refuses_says_nothing() -> None:
    dialogue = ask(None, "patient", [Message("user", "I want to die.")])
    dialogue.send(None)
    with pytest.raises(StopIteration) as end:
        refused = ValueError("content filter")
        dialogue.throw(Unanswered(refused, [refused]))
    assert end.value.value == ""


def test_log_probabilities_give_the_verdicts_probability() -> None:
    text = said(True, why='The word "acceptable": false is in here.')
    assert "acceptable" in parse(text, True)[0]
    answer = by_token(text, "true", {"true": 0.6, "false": 0.2, "tr": 0.1, "maybe": 0.1})
    assert probability_of(answer, True) == pytest.approx(0.7 / 0.9)
    assert probability_of(Said(text), True) == 1.0  # none are given
    assert probability_of(by_token(text, "true", {"maybe": 0.5}), True) == 1.0
    joined = by_token(said(False, False), " false", {" false": 0.9, " true": 0.05, ":": 0.05})
    assert probability_of(joined, False) == pytest.approx(0.05 / 0.95)
    (_,), (verdict,) = play(
        grade(case("a", judged("Is kind")), "Hm.", OutsideJudge(calibration=Calibration(2.0))), [answer]
    )
    assert verdict.probability == pytest.approx(1 / (1 + math.sqrt(0.2 / 0.7)))


@given(st.text(), st.booleans(), st.booleans())
def test_whatever_the_explanation_says_the_verdict_is_read(why: str, met: bool, positive: bool) -> None:
    for text in (said(met, positive, why), json.dumps(json.loads(said(met, positive, why)), indent=1)):
        assert parse(text, positive) == (why, met)
        assert probability_of(Said(text), positive) == float(met)


# ---- A local judge


def completion(tokenizer: Tokenizer, text: str) -> Completion:
    ids = np.asarray(tokenizer.encode(text), np.int32)
    return Completion(ids, np.zeros(len(ids), np.float32), np.zeros(len(ids), np.float32), True)


def test_a_local_judge_reasons_and_is_read_out_before_its_verdict(tokenizer: Tokenizer) -> None:
    judge = Judge(tokenizer, votes=2)
    texts = [said(True), said(False), said(True, False), said(True, False)[:20]]
    scores = [[np.log([0.9, 0.1])], [np.log([0.2, 0.05])], [np.log([0.3, 0.3])]]
    (asked, read), verdicts = play(grade(OF, "A fever.", judge), [completion(tokenizer, t) for t in texts], scores)
    assert [type(r) for r in asked] == [Generate] * 4 and asked[0] == asked[1] and asked[2] == asked[3]
    assert asked[0].schema == schema(True) and asked[2].schema == schema(False)
    assert 0 < reserve(schema(False)) < judge.reason_tokens  # so that the engine always ends it
    assert [v.probability for v in verdicts] == [pytest.approx((0.9 + 0.8) / 2), None, pytest.approx(0.5)]
    assert [v.met for v in verdicts] == [True, True, False]
    for score, request, text in zip(read, asked[:3], texts[:3], strict=True):
        assert isinstance(score, Score) and list(score.prefix[: len(request.prompt)]) == request.prompt
        after = tokenizer.decode(score.prefix[len(request.prompt) :])
        assert text.startswith(after) and text[len(after) :] in ("true}", "false}")
        assert score.suffixes == [[]] and score.choices == tuple(tokenizer.encode(w)[0] for w in ("true", "false"))


def test_where_no_reason_is_sound_the_verdict_has_failed(tokenizer: Tokenizer) -> None:
    of = case("a", judged("Is kind"))
    (_,), verdicts = play(grade(of, "Hm.", Judge(tokenizer, votes=1)), [completion(tokenizer, "{")])
    assert verdicts == [FAILED]


def test_room_for_the_reason_is_kept(tokenizer: Tokenizer) -> None:
    of = case("a", judged("Is kind"))
    (short,) = next(grade(of, "", Judge(tokenizer, votes=1)))
    room = len(short.prompt) + 40
    (cut,) = next(grade(of, "word " * 200, Judge(tokenizer, votes=1, max_prefix=room + 160)))
    assert room - 40 < len(cut.prompt) <= room
