"""A run that was broken off is taken up from its journal: nothing kept is generated again, and the replies are the
same.
"""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from m2jax.sampler.journal import Journal
from m2jax.sampler.requests import Generate
from tests.sampler import test_constrained, test_engine
from tests.sampler.test_engine import SEED, a_mixture, check_all, make_engine, talk, tokens_of
from tests.sampler.verdict import VERDICT, parse_verdict

WHO = {"step": 3}
tokenizer, constrained = test_constrained.tokenizer, test_constrained.engine  # fixtures


@pytest.fixture(scope="module")
def engine() -> test_engine.Engine:
    return make_engine()


def run(engine: test_engine.Engine, journal: Journal) -> list:
    engine.forget()
    engine.stats()
    with jax.set_mesh(engine.mesh):
        return engine.run([talk(d) for d in a_mixture()], seed=SEED, journal=journal)


def journaled(engine: test_engine.Engine, path: Path) -> tuple[list, bytes, float]:
    """(results, the journal's bytes, tokens decoded) of a run that writes after every round."""
    results = run(engine, Journal(path, WHO, 0.0))
    return results, path.read_bytes(), engine.stats()["decode_tokens"]


def test_every_way_of_breaking_off_gives_the_same_replies(engine: test_engine.Engine, tmp_path: Path) -> None:
    """The file cut at any line, and within one."""
    path = tmp_path / "rollout.jsonl"
    whole, text, decoded = journaled(engine, path)
    ends = [i + 1 for i, byte in enumerate(text) if byte == ord("\n")]
    assert len(ends) > 12
    computed = []
    for cut in (0, *ends[::6], *(end + 20 for end in ends[1:-1:9]), len(text)):
        path.write_bytes(text[:cut])
        again = run(engine, Journal(path, WHO, 0.0))
        computed.append((cut, engine.stats().get("decode_tokens", 0)))
        assert tokens_of(again) == tokens_of(whole), f"cut at {cut}"
        check_all(a_mixture(), again)
        assert path.read_bytes().startswith(text[: max((end for end in ends if end <= cut), default=0)])
    computed.sort()
    tokens = [n for _, n in computed]
    assert tokens == sorted(tokens, reverse=True) and (tokens[0], tokens[-1]) == (decoded, 0)


def test_what_is_kept_comes_back_to_the_bit(engine: test_engine.Engine, tmp_path: Path) -> None:
    whole, _, _ = journaled(engine, tmp_path / "j")
    again = run(engine, Journal(tmp_path / "j", WHO, 0.0))
    for kept, new in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        if isinstance(kept, np.ndarray):
            assert np.array_equal(kept, new) and kept.dtype == new.dtype
        else:
            assert np.array_equal(kept.logp_full, new.logp_full) and kept.stopped == new.stopped


def test_another_runs_journal_is_begun_anew(engine: test_engine.Engine, tmp_path: Path) -> None:
    path = tmp_path / "j"
    _, _, decoded = journaled(engine, path)
    run(engine, Journal(path, {"step": 4}, 0.0))
    assert engine.stats()["decode_tokens"] == decoded
    assert json.loads(path.read_bytes().splitlines()[0]) == {"step": 4}


def test_nothing_is_written_before_it_is_time_nor_by_others(engine: test_engine.Engine, tmp_path: Path) -> None:
    run(engine, Journal(tmp_path / "late", WHO, 3600.0))
    run(engine, Journal(tmp_path / "other", WHO, 0.0, writes=False))
    assert not list(tmp_path.iterdir())


def test_a_reply_under_a_grammar_goes_on_in_it(constrained, tokenizer, tmp_path: Path) -> None:
    requests = [Generate("judge", [5, 6, 7 + i], 30, json.dumps(VERDICT)) for i in range(3)]

    def dialogues() -> list:
        return [test_constrained.one(request) for request in requests]

    path = tmp_path / "j"
    with jax.set_mesh(constrained.mesh):
        whole = constrained.run(dialogues(), journal=Journal(path, WHO, 0.0))
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: len(lines) // 2]))
        again = constrained.run(dialogues(), journal=Journal(path, WHO, 0.0))
    assert [r.tokens.tolist() for r in again] == [r.tokens.tolist() for r in whole]
    assert all(parse_verdict(tokenizer.decode(r.tokens)) for r in again)
