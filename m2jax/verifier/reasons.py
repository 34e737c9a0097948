"""Reason, then verdict: the judge first explains, then decides, as JSON (paper, appendix A).

For a positive criterion {"explanation": ..., "acceptable": ...}, for a negative one {"explanation": ...,
"unacceptable": ...}; in both, true means that the criterion is met. The reason comes first, so that the verdict rests
on it. Every verdict has a probability: of a local judge that of `true` against `false` after its reason; of an endpoint
the same where it gives log-probabilities, else 1 or 0; of several votes their mean.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from m2jax.outside.endpoint import Said
from m2jax.sampler.requests import Chat, Completion, Generate, Score, Unanswered
from m2jax.verifier.calibration import Calibration, calibrate
from m2jax.verifier.judge import Judge, OutsideJudge, fitting, judge_tokens, yes_of_two
from m2jax.verifier.judge_prompt import REASON, judge_messages
from m2jax.verifier.reward import Verdict
from m2jax.verifier.rubric import Case, Criterion

KEYS = {True: "acceptable", False: "unacceptable"}  # by whether the points are positive
EXPLANATION_CHARS = 400
AGAIN = "That is not the JSON object that was asked for. Answer again, with it alone."
FAILED, WITHHELD = Verdict(False, None, "failed"), Verdict(False, None, "refused")
REFUSED = Said("")


def schema(positive: bool) -> str:
    """The JSON schema of an answer. An object of a string and a boolean: the engine always brings it to its end."""
    properties = {
        "explanation": {"type": "string", "maxLength": EXPLANATION_CHARS},
        KEYS[positive]: {"type": "boolean"},
    }
    shape = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return json.dumps(shape)


def parse(text: str, positive: bool) -> tuple[str, bool]:
    """(explanation, met); ValueError for anything but the object of `schema`."""
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except RecursionError as error:
        raise ValueError(f"{text[:200]!r} is nested too deep") from error
    match pairs:
        case [("explanation", str(explanation)), (key, bool(met))] if key == KEYS[positive]:
            return explanation, met
    raise ValueError(f"{text[:200]!r} is no verdict: write explanation (a text), then {KEYS[positive]} (a boolean)")


# ---- A local judge


def reason(
    case: Case, reply: str, criteria: Sequence[Criterion], judge: Judge
) -> Generator[list[Generate] | list[Score], list[Any], list[Verdict]]:
    """The verdicts on `criteria` of a judge that the engine serves: `votes` reasons each, and a read-out after each."""
    room = judge.max_prefix - judge.reason_tokens
    prompts = [_prompt(case, reply, criterion, judge, room) for criterion in criteria]
    votes = [i for i in range(len(criteria)) for _ in range(judge.votes)]
    signs = [criterion.points > 0 for criterion in criteria]
    completions: list[Completion] = yield [
        Generate(judge.role, prompts[i], judge.reason_tokens, schema(signs[i])) for i in votes
    ]
    texts = [judge.tokenizer.decode(completion.tokens) for completion in completions]
    sound = [n for n, i in enumerate(votes) if _sound(texts[n], signs[i])]
    truth = _truth_tokens(judge)
    read = (
        (yield [_read_out(prompts[votes[n]], texts[n], signs[votes[n]], judge, truth) for n in sound]) if sound else []
    )
    given: list[list[float]] = [[] for _ in criteria]
    for n, ((yes, no),) in zip(sound, read, strict=True):
        given[votes[n]].append(yes_of_two(yes, no))
    return [_verdict(probabilities, judge.calibration) for probabilities in given]


def _prompt(case: Case, reply: str, criterion: Criterion, judge: Judge, room: int) -> list[int]:
    def tokens(text: str) -> list[int]:
        prefix, suffix = judge_tokens(judge.tokenizer, case, text, criterion, REASON)
        return prefix + suffix

    return tokens(fitting(tokens, reply, room))


def _read_out(prompt: list[int], text: str, positive: bool, judge: Judge, truth: tuple[int, int]) -> Score:
    """Asks for the verdict after the reason: what stands before it is the prefix."""
    head = text[: _place(text, positive)[0]]
    return Score(judge.role, [*prompt, *judge.tokenizer.encode(head)], [[]], truth)


def _truth_tokens(judge: Judge) -> tuple[int, int]:
    yes, no = (judge.tokenizer.encode(word)[0] for word in ("true", "false"))
    if yes == no:
        raise ValueError("true and false begin with the same token for this model; use a judge with votes=0")
    return yes, no


# ---- A judge outside


def reason_outside(
    case: Case, reply: str, criteria: Sequence[Criterion], judge: OutsideJudge
) -> Generator[list[Chat], list[Said], list[Verdict]]:
    """The verdicts on `criteria` of an endpoint. An answer that is no verdict is asked for once more, then the vote
    does not count, nor does one that the endpoint refuses to give; a criterion without any vote is `FAILED`, or
    `WITHHELD` where all were refused.
    """
    votes = [i for i in range(len(criteria)) for _ in range(judge.votes)]
    signs = [criteria[i].points > 0 for i in votes]
    chats = [
        Chat(judge.role, judge_messages(case.messages, reply, criteria[i], REASON), judge.max_tokens, schema(positive))
        for i, positive in zip(votes, signs, strict=True)
    ]
    said = yield from asked(chats)
    bad = [n for n, answer in enumerate(said) if answer is not REFUSED and not _sound(answer.text, signs[n])]
    if bad:
        second = yield from asked([_again(chats[n], said[n]) for n in bad])
        for n, answer in zip(bad, second, strict=True):
            said[n] = answer
    given: list[list[float]] = [[] for _ in criteria]
    for i, positive, answer in zip(votes, signs, said, strict=True):
        if _sound(answer.text, positive):
            given[i].append(probability_of(answer, positive))
    heard = {i for i, answer in zip(votes, said, strict=True) if answer is not REFUSED}
    return [
        _verdict(probabilities, judge.calibration) if i in heard else WITHHELD for i, probabilities in enumerate(given)
    ]


def asked(chats: list[Chat]) -> Generator[list[Chat], list[Said], list[Said]]:
    """What each is answered; `REFUSED` where the endpoint will not, as of a text that its filter stops."""
    try:
        return list((yield chats))
    except Unanswered as error:
        return [answer if isinstance(answer, Said) else REFUSED for answer in error.answers]


def probability_of(said: Said, positive: bool) -> float:
    """Of `true` against `false` where the verdict begins, as far as the alternatives tell; else 1 or 0 as it says."""
    at, met = _place(said.text, positive)
    end = 0
    for token, alternatives in said.top:
        start, end = end, end + len(token)
        if start <= at < end:
            weights = np.zeros(2)
            for text, logp in alternatives:
                word = text.strip(' :"\n\t').lower()
                for side, truth in enumerate(("false", "true")):
                    weights[side] += math.exp(logp) * bool(word and truth.startswith(word))
            return float(weights[1] / weights.sum()) if weights.sum() else float(met)
    return float(met)


def _again(chat: Chat, said: Said) -> Chat:
    turns = [{"role": "assistant", "content": said.text or "(nothing)"}, {"role": "user", "content": AGAIN}]
    return Chat(chat.role, [*chat.messages, *turns], chat.max_tokens, chat.schema)


# ---- Both


def _place(text: str, positive: bool) -> tuple[int, bool]:
    """Where the verdict begins in a sound answer, and what it says. Quotes within the explanation are escaped."""
    found = re.search(rf'(?<!\\)"{KEYS[positive]}"\s*:\s*(true|false)', text)
    return found.start(1), found[1] == "true"


def _sound(text: str, positive: bool) -> bool:
    try:
        parse(text, positive)
    except ValueError:  # bad JSON is one
        return False
    return True


def _verdict(probabilities: Sequence[float], calibration: Calibration) -> Verdict:
    if not probabilities:
        return FAILED
    p = calibrate(float(np.mean(probabilities)), calibration)
    return Verdict(p > 0.5, p, "judge")
