"""Constrained decoding: whatever the model prefers, what comes out is JSON of the schema, within max_tokens."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2jax.sampler import grammar
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from tests.sampler.verdict import VERDICT, parse_verdict
from tests.text.fixtures import tiny_tokenizers as tiny

Choose = Callable[[np.ndarray], int]  # ids allowed -> the id drawn
EXTRA = 37  # logits beyond the tokenizer's ids
names = st.text('abé"\\ ', min_size=1, max_size=4)
values = st.one_of(
    st.just({"type": "boolean"}),
    st.integers(0, 9).map(lambda n: {"type": "string", "maxLength": n}),
    st.just({"type": "string", "description": "any text"}),
    st.lists(st.one_of(names, st.integers(-99, 99), st.none()), min_size=1, max_size=3, unique=True).map(
        lambda choices: {"enum": choices}
    ),
)
flat = st.dictionaries(names, values, min_size=1, max_size=4).map(
    lambda properties: {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    root = tmp_path_factory.mktemp("grammar")
    (root / "tokenizer.model").write_bytes(tiny.train_sentencepiece())
    return {
        "bpe": load_tokenizer(tiny.write_folder(root / "bpe", tiny.train_bpe())),
        "sentencepiece": load_tokenizer(root / "tokenizer.model"),
    }


@pytest.fixture(scope="module")
def tiny_grammars(tokenizers: dict[str, Tokenizer]) -> dict[str, grammar.Grammars]:
    return {kind: grammar.Grammars(tokenizer, tokenizer.vocab_size + EXTRA) for kind, tokenizer in tokenizers.items()}


@pytest.fixture(scope="module")
def smollm2(smollm2_path: Path) -> Tokenizer:
    return load_tokenizer(smollm2_path)


def complete(constraint: grammar.Constraint, max_tokens: int, choose: Choose) -> list[int]:
    """What is drawn until the text is complete, without the eos, for which one of `max_tokens` is left."""
    tokens: list[int] = []
    while not constraint.done and len(tokens) < max_tokens:
        tokens.append(choose(np.flatnonzero(constraint.allowed())))
        constraint.take(tokens[-1])
    assert constraint.done and len(tokens) < max_tokens
    return tokens


def feed(constraint: grammar.Constraint, tokenizer: Tokenizer, text: str) -> None:
    for token in tokenizer.encode(text):
        constraint.take(token)


def test_200_verdicts_of_random_logits_parse(smollm2: Tokenizer) -> None:
    """Uniformly random tokens almost never close a string by themselves, so nearly all of these are hurried."""
    grammars = grammar.Grammars(smollm2, smollm2.vocab_size)
    least = grammar.reserve(VERDICT)
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(200):
        max_tokens = int(rng.integers(least, least + 40))
        drawn = complete(grammars.start(VERDICT, max_tokens), max_tokens, rng.choice)
        reason, met = parse_verdict(smollm2.decode(drawn))
        answers.append(met)
        assert len(reason) <= VERDICT["properties"]["reason"]["maxLength"]
    assert 60 < sum(answers) < 140  # the verdict itself was never forced


def test_a_verdict_of_ordinary_tokens_is_what_the_model_writes(smollm2: Tokenizer) -> None:
    constraint = grammar.Grammars(smollm2, smollm2.vocab_size).start(VERDICT, 128)
    text = '{"reason":"He asked \\"how long?\\"\\nand named 38.5 °C.","met":true}'
    feed(constraint, smollm2, text)
    assert constraint.done
    assert parse_verdict(text) == ('He asked "how long?"\nand named 38.5 °C.', True)


@pytest.mark.parametrize("kind", ["bpe", "sentencepiece"])
@settings(max_examples=40)
@given(schema=flat, spare=st.integers(0, 12), seed=st.integers(0, 2**32 - 1), awkward=st.booleans())
def test_a_flat_object_ends_in_time(
    tokenizers: dict[str, Tokenizer],
    tiny_grammars: dict[str, grammar.Grammars],
    kind: str,
    schema: dict,
    spare: int,
    seed: int,
    awkward: bool,
) -> None:
    """awkward: prefers to break off within a character or an escape, then to write single bytes."""
    tokenizer, rng = tokenizers[kind], np.random.default_rng(seed)
    pieces = grammar.token_bytes(tokenizer)
    broken = {i for i, piece in enumerate(pieces) if piece and (piece[-1] >= 0x80 or piece.endswith(b"\\"))}

    def choose(allowed: np.ndarray) -> int:
        preferred = [i for i in allowed if i in broken] or [i for i in allowed if len(pieces[i]) == 1]
        return int(rng.choice(preferred if awkward and preferred else allowed))

    max_tokens = grammar.reserve(schema) + spare
    written = tokenizer.decode(complete(tiny_grammars[kind].start(schema, max_tokens), max_tokens, choose))
    value = json.loads(written)
    assert list(value) == list(schema["properties"])
    for name, rule in schema["properties"].items():
        if "enum" in rule:
            assert value[name] in rule["enum"]
        else:
            assert isinstance(value[name], bool if rule["type"] == "boolean" else str)
            assert rule["type"] == "boolean" or len(value[name]) <= rule.get("maxLength", max_tokens * 20)


@pytest.mark.parametrize("kind", ["bpe", "sentencepiece"])
@given(text=st.text(max_size=20))
def test_token_bytes_spell_the_text(tokenizers: dict[str, Tokenizer], kind: str, text: str) -> None:
    pieces = grammar.token_bytes(tokenizers[kind])
    spelt = b"".join(pieces[i] for i in tokenizers[kind].encode(text)).decode()
    text = text.replace("▁", " ") if kind == "sentencepiece" else text  # its way to write a space
    assert spelt == (" " + text if kind == "sentencepiece" and text else text)


@pytest.mark.parametrize("kind", ["bpe", "sentencepiece"])
def test_no_control_and_no_extra_logit_is_ever_text(
    tokenizers: dict[str, Tokenizer], tiny_grammars: dict[str, grammar.Grammars], kind: str
) -> None:
    tokenizer = tokenizers[kind]
    constraint = tiny_grammars[kind].start({"type": "string"}, 64)
    constraint.take(tokenizer.encode('x"')[-1])
    allowed = constraint.allowed()
    assert allowed.shape == (tokenizer.vocab_size + EXTRA,) and allowed.sum() > 200
    assert not allowed[tokenizer.vocab_size :].any()
    assert not allowed[list(tokenizer.controls.values())].any()


def test_forced_text_is_spelt_as_the_tokenizer_does(smollm2: Tokenizer) -> None:
    text = json.dumps("cafe\u0301 <|im_end|> at 38 °C", ensure_ascii=False)
    constraint = grammar.Grammars(smollm2, smollm2.vocab_size).start({"const": json.loads(text)}, 64)
    assert complete(constraint, 64, lambda allowed: int(allowed[0])) == smollm2.encode(text)


def test_an_escape_is_one_letter(tokenizers: dict[str, Tokenizer], tiny_grammars: dict[str, grammar.Grammars]) -> None:
    """`reserve` counts on it."""
    constraint = tiny_grammars["bpe"].start(VERDICT, 99)
    feed(constraint, tokenizers["bpe"], '{"reason":"\\')
    pieces = grammar.token_bytes(tokenizers["bpe"])
    assert {pieces[i][:1] for i in np.flatnonzero(constraint.allowed())} == {bytes([c]) for c in b'"\\bfnrt'}


def test_only_an_eos_follows_a_complete_text(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = dataclasses.replace(tokenizers["bpe"], eos_ids=(2, 0))
    constraint = grammar.Grammars(tokenizer, tokenizer.vocab_size).start(VERDICT, 99)
    feed(constraint, tokenizer, '{"reason":"","met":false')
    assert not constraint.done and not constraint.allowed()[[0, 2]].any()
    feed(constraint, tokenizer, "}")
    assert constraint.done and np.flatnonzero(constraint.allowed()).tolist() == [0, 2]
    with pytest.raises(ValueError, match="token 1 does not continue"):
        constraint.take(1)
    constraint.take(0)
    assert constraint.done


def test_a_number_may_end_or_go_on(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["bpe"]
    constraint = grammar.Grammars(tokenizer, tokenizer.vocab_size).start({"type": "integer"}, 9)
    feed(constraint, tokenizer, "12")
    allowed = constraint.allowed()
    assert not constraint.done and allowed[tokenizer.eos_ids[0]] and allowed[tokenizer.encode("3")[0]]
    constraint.take(tokenizer.eos_ids[0])
    assert constraint.done


def test_completions_of_one_schema_do_not_touch_each_other(
    tokenizers: dict[str, Tokenizer], tiny_grammars: dict[str, grammar.Grammars]
) -> None:
    first = tiny_grammars["bpe"].start(VERDICT, 99)
    feed(first, tokenizers["bpe"], '{"reason":"fever')
    second = tiny_grammars["bpe"].start(json.dumps(VERDICT), 99)
    feed(second, tokenizers["bpe"], '{"reason":"","met":true}')
    assert second.done and not first.done
    feed(first, tokenizers["bpe"], '","met":true}')
    assert first.done


@pytest.mark.parametrize("token", [-1, 1, 10**6])
def test_a_token_that_is_not_allowed_changes_nothing(
    tokenizers: dict[str, Tokenizer], tiny_grammars: dict[str, grammar.Grammars], token: int
) -> None:
    constraint = tiny_grammars["bpe"].start(VERDICT, 99)
    with pytest.raises(ValueError, match=f"token {token} "):
        constraint.take(token)
    feed(constraint, tokenizers["bpe"], '{"reason":"","met":true}')
    assert constraint.done


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "strin"}, "Invalid type: strin"),
        ({"type": "string", "pattern": "("}, "unclosed group"),
        ({"not": {}}, 'Unimplemented keys: \\["not"\\]'),
        ("{", "no JSON object"),
        ("[1]", "no JSON object"),
    ],
)
def test_a_schema_that_cannot_be_served_names_the_reason(
    tiny_grammars: dict[str, grammar.Grammars], schema: dict | str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        tiny_grammars["bpe"].start(schema, 99)


def test_what_is_too_complex_sets_an_error_and_raises_none(
    tokenizers: dict[str, Tokenizer], tiny_grammars: dict[str, grammar.Grammars]
) -> None:
    ways = [{"type": "object", "properties": {f"k{i}": {}}, "required": [f"k{i}"]} for i in range(3000)]
    constraint = tiny_grammars["bpe"].start({"anyOf": ways}, 99)
    feed(constraint, tokenizers["bpe"], '{"')
    assert constraint.done and "too complex" in str(constraint.error)
    assert constraint.allowed().all()
    constraint.take(0)  # whatever was drawn from it


def test_too_few_tokens_or_logits_are_refused(
    tokenizers: dict[str, Tokenizer], tiny_grammars: dict[str, grammar.Grammars]
) -> None:
    with pytest.raises(ValueError, match="needs at least 26"):
        tiny_grammars["bpe"].start(VERDICT, 25)
    with pytest.raises(ValueError, match="must cover"):
        grammar.Grammars(tokenizers["bpe"], tokenizers["bpe"].vocab_size - 1)
    with pytest.raises(ValueError, match="eos must be declared"):
        grammar.Grammars(dataclasses.replace(tokenizers["bpe"], eos_ids=()), 999)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "boolean"}},
        {**VERDICT, "required": ["met"]},
        {**VERDICT, "additionalProperties": True},
        {**VERDICT, "properties": {"reason": {"type": "string", "minLength": 9}, "met": True}},
    ],
)
def test_a_schema_that_is_not_flat_has_no_reserve(schema: dict) -> None:
    assert grammar.reserve(schema) == 0
