"""The engine one step at a time: dialogues come and go while others run, and each gets what it would alone."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from m2jax.sampler.requests import Failed, Generate, Score
from tests.sampler.test_engine import (
    ROLES,
    SEED,
    SIZES,
    _logits,
    a_mixture,
    check,
    engine,
    make_engine,
    oracle,
    padded,
    run,
    talk,
)

__all__ = ["engine"]  # the fixture


def all_free(engine) -> bool:
    pages = [pages for lane in engine.lanes.values() for pages in lane.scheduler.pages]
    return all(p.available == SIZES.n_pages - 1 for p in pages)


def test_who_joins_while_others_run_gets_what_a_closed_run_gives(engine):
    dialogues = a_mixture()
    closed = run(engine, dialogues)
    engine.begin(seed=SEED)
    results, numbers = {}, []
    for key, dialogue in enumerate(dialogues):  # one joins after each round
        numbers.append(engine.submit(talk(dialogue), key))
        results |= engine.step()
    with pytest.raises(RuntimeError, match="in flight"):
        engine.begin()
    while len(results) < len(dialogues):
        results |= engine.step()
    for number, dialogue, before in zip(numbers, dialogues, closed, strict=True):
        for now, then in zip(results[number], before, strict=True):
            if hasattr(now, "tokens"):
                assert now.tokens.tolist() == then.tokens.tolist()
        assert len(results[number]) == len(dialogue)
    assert engine.step() == {} and all_free(engine)


def test_what_is_partial_is_how_the_answer_begins(engine):
    engine.begin(seed=SEED)
    number = engine.submit(talk([Generate("other", [4, 5, 6], 12)]), 3)
    parts, results = [], {}
    while number not in results:
        results |= engine.step()
        parts += [answer.tokens.tolist() for ticket, answer in engine.partial() if ticket.dialogue == number]
    whole = results[number][0].tokens.tolist()
    assert parts and all(part == whole[: len(part)] for part in parts) and len(parts[0]) < len(whole)


def test_a_cancelled_dialogue_frees_its_rows_and_its_pages(engine):
    closed = []

    def leaves():
        try:
            yield [Generate("judge", [4, 5, 6], 20), Generate("other", [4, 5, 7], 20)]
        finally:
            closed.append(True)

    stays = [Generate("judge", [4, 5, 6, 6], 12)]
    (alone,) = run(engine, [stays])
    engine.begin(seed=SEED)
    gone, here = engine.submit(leaves(), 7), engine.submit(talk(stays), 0)
    waits = [engine.submit(leaves(), 8 + i) for i in range(4)]  # more than the slots hold
    engine.step()
    for number in (gone, *waits, 999):
        engine.cancel(number)
    results = {}
    while engine._running:
        results |= engine.step()
    assert results.keys() == {here} and closed == [True] * 5
    assert results[here][0].tokens.tolist() == alone[0].tokens.tolist() and all_free(engine)


def test_a_run_that_is_broken_off_leaves_nothing_behind(engine, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(engine, "step", lambda: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(engine, a_mixture())
    assert all_free(engine)
    results = run(engine, a_mixture())
    assert not any(isinstance(result, Failed) for result in results)


def test_a_request_may_sample_in_its_own_way(engine):
    """Beside others of its role, and as a role that samples like that would."""
    as_patient = dataclasses.replace(ROLES["patient"].sampling, stop=ROLES["judge"].sampling.stop)
    ask = Generate("judge", [4, 5, 6, 7], 8, sampling=as_patient)
    (mixed, greedy) = run(engine, [[ask], [Generate("judge", [4, 5, 6, 7], 8)]])
    other = make_engine(roles=ROLES | {"judge": dataclasses.replace(ROLES["judge"], sampling=as_patient)})
    (alone,) = run(other, [[Generate("judge", [4, 5, 6, 7], 8)]])
    assert mixed[0].tokens.tolist() == alone[0].tokens.tolist()
    check(Generate("judge", [4, 5, 6, 7], 8), greedy[0], 1, 0)
    many = dataclasses.replace(as_patient, stop=(1, 2, 3, 4))
    (refused,) = run(engine, [[dataclasses.replace(ask, sampling=many)]])
    assert "4 stop tokens are more than a role of the engine has, 3" in str(refused.error)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2)], ids=str)
def test_alternatives_are_the_likeliest_tokens_of_the_whole_distribution(shape):
    made = make_engine(shape)
    prompt, suffix = [4, 5, 6, 7, 5], [6, 6, 4, 7]
    asks = [Generate("doctor", prompt, 8, alternatives=True), Generate("doctor", prompt, 8)]
    (mine, plain, scored) = run(made, [[asks[0]], [asks[1]], [Score("doctor", prompt, [suffix], alternatives=True)]])
    check(asks[1], plain[0], 1, 0)
    assert plain[0].alternatives is None
    for tokens, found in ((mine[0].tokens.tolist(), mine[0].alternatives), (suffix, scored[0][0])):
        row = [*prompt, *tokens]
        logp = np.asarray(jax.nn.log_softmax(_logits(oracle().trees["doctor"], padded(row))))
        for i, token in enumerate(tokens):
            at = logp[len(prompt) + i - 1]
            assert found.ids[i, 0] == token and len(set(found.ids[i, 1:].tolist())) == 20
            np.testing.assert_allclose(found.logps[i], at[found.ids[i]], atol=1e-5)
            np.testing.assert_allclose(found.logps[i, 1:], np.sort(at)[::-1][:20], atol=1e-5)
