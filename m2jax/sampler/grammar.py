"""JSON-schema-constrained decoding: which tokens may come next. Host only, by the `llguidance` library.

Texts are compact JSON: no whitespace between the parts, properties in the order of the schema, characters as they are
(no `\\uXXXX`). Text that the grammar forces has one spelling in tokens, the tokenizer's own. Controls never count as
text; of them only the eos tokens are ever allowed, once the text may end.

A text must end within its max_tokens. Where the schema is a flat object (`reserve`), it always does: when so few
tokens are left that only the shortest end is sure to fit, open strings are closed at once and the rest follows byte by
byte, each byte being a token; booleans and enums stay the model's choice. Other schemas may be cut short.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import llguidance
import numpy as np

from m2jax.text.bpe import byte_characters
from m2jax.text.tokenizer import Tokenizer

KEPT = 256  # compiled schemas, the latest used
_OPTIONS = {"whitespace_flexible": False, "json_allowed_escapes": '"\\bfnrt'}
_NOTES = {"title", "description"}


class Grammars:
    """Compiled schemas over one tokenizer, for a model with `vocab_size` logits (at least the tokenizer's)."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        if vocab_size < tokenizer.vocab_size or not tokenizer.eos_ids:
            raise ValueError(
                f"a model of {vocab_size} logits and a tokenizer of {tokenizer.vocab_size} ids with eos "
                f"{tokenizer.eos_ids}: the model must cover the tokenizer, and an eos must be declared"
            )
        pieces = token_bytes(tokenizer) + [b""] * (vocab_size - tokenizer.vocab_size)
        self.vocab_size, self.eos_ids = vocab_size, tokenizer.eos_ids
        self.single = np.zeros(vocab_size, bool)
        self.single[[i for i, piece in enumerate(pieces) if len(piece) == 1]] = True
        self.quote = np.zeros(vocab_size, bool)
        self.quote[pieces.index(b'"')] = True
        self._tokens = llguidance.LLTokenizer(
            _Pieces(tokenizer, pieces),
            eos_token=list(tokenizer.eos_ids),
            slices=llguidance.LLTokenizer.json_slices(),
        )
        self._compiled = functools.lru_cache(KEPT)(lambda text: (self._compile(text), reserve(text)))

    def start(self, schema: str | dict[str, Any], max_tokens: int) -> Constraint:
        """The constraint of one new completion of at most `max_tokens`, eos included.

        ValueError as of `check`.
        """
        matcher, spare = self.check(schema, max_tokens)
        return Constraint(self, matcher.deep_copy(), max_tokens, spare)

    def check(self, schema: str | dict[str, Any], max_tokens: int) -> tuple[llguidance.LLMatcher, int]:
        """The compiled schema and its `reserve`; ValueError for a schema that llguidance rejects, with its reason, and
        for fewer tokens than the reserve.
        """
        matcher, spare = self._compiled(schema if isinstance(schema, str) else json.dumps(schema))
        if max_tokens < spare:
            raise ValueError(f"max_tokens {max_tokens} may cut the JSON short: this schema needs at least {spare}")
        return matcher, spare

    def _compile(self, text: str) -> llguidance.LLMatcher:
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(text, overrides=_OPTIONS)
        except ValueError as error:
            raise ValueError(f"the schema {_short(text)} is no JSON object: {error}") from error
        matcher = llguidance.LLMatcher(self._tokens, grammar, log_level=0)
        if matcher.is_error():
            raise ValueError(f"the schema {_short(text)} is not supported: {matcher.get_error()}")
        return matcher


class Constraint:
    """Where one completion stands in its grammar. Made by `Grammars.start`; `take` every token that was drawn. error:
    set once llguidance has given up, which it does where a step takes too much; the completion cannot go on then.
    """

    def __init__(self, grammars: Grammars, matcher: llguidance.LLMatcher, left: int, spare: int) -> None:
        self._grammars, self._matcher, self._left, self._spare = grammars, matcher, left, spare
        self.error: ValueError | None = None

    @property
    def done(self) -> bool:
        """The text is complete: an eos token is all that may follow, or has."""
        return self._matcher.is_stopped()

    def allowed(self) -> np.ndarray:
        """The tokens that may come next, bool [vocab_size]; at least one, and any after an error."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._failed():
            return np.ones(self._grammars.vocab_size, bool)
        mask = np.unpackbits(bits, bitorder="little")[: self._grammars.vocab_size].view(bool)
        if self._left <= self._spare and not self.done:
            for hurried in (self._grammars.quote, self._grammars.single):
                if (mask & hurried).any():
                    return mask & hurried
        return mask

    def take(self, token: int) -> None:
        """Advances by one token; ValueError, and no change, where the grammar excludes it."""
        if self._failed():
            return
        if self.done:
            fits = token in self._grammars.eos_ids
        else:
            fits = 0 <= token < self._grammars.vocab_size and self._matcher.validate_tokens([token])
        if not fits:
            raise ValueError(f"token {token} does not continue the JSON: draw from the tokens that are allowed")
        self._matcher.consume_token(token)
        self._failed()
        self._left -= 1

    def _failed(self) -> bool:
        if self._matcher.is_error() and self.error is None:
            reason = self._matcher.get_error().partition("\n")[0]
            self.error = ValueError(f"the schema is too complex to follow: {reason}; make it simpler")
        return self.error is not None


def reserve(schema: str | dict[str, Any]) -> int:
    """Tokens, eos included, that always suffice to end a text of `schema`, from wherever it stands; 0 if unknown.

    Known for an object of required properties only, each a boolean, a string without a lower bound or pattern, or an
    enum of texts or integers: its bytes with every string empty, and the eos. (A text may stand within a character or
    an escape; the at most 3 bytes that end it are fewer than those of the `{"":"` that came before.)
    """
    schema = json.loads(schema) if isinstance(schema, str) else schema
    properties = schema.get("properties", {})
    flat = schema.keys() - _NOTES == {"type", "properties", "required", "additionalProperties"}
    if not flat or schema["type"] != "object" or schema["additionalProperties"] is not False:
        return 0
    longest = {name: _longest(value) for name, value in properties.items()}
    if None in longest.values() or set(schema["required"]) != properties.keys():
        return 0
    parts = [f"{json.dumps(name)}:{value}" for name, value in longest.items()]
    return len("{" + ",".join(parts) + "}") + 1


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes each id adds to a text; empty for controls and ids that stand for none."""
    source = tokenizer.backend.source
    ids = source["model"]["vocab"]
    added = {token["content"]: token["id"] for token in source.get("added_tokens") or []}
    if '"ByteLevel"' in json.dumps(source["pre_tokenizer"]):
        values = {character: byte for byte, character in enumerate(byte_characters())}
        spelt = {i: bytes(values[c] for c in text) for text, i in ids.items() if values.keys() >= set(text)}
        spelt |= {i: text.encode() for text, i in added.items()}
    else:
        spelt = {i: text.replace("▁", " ").encode() for text, i in (ids | added).items()}
        spelt |= {ids[name]: bytes([b]) for b in range(256) if (name := f"<0x{b:02X}>") in ids}
    return [spelt.get(i, b"") if tokenizer.backend.knows(i) else b"" for i in range(tokenizer.vocab_size)]


class _Pieces:
    """A tokenizer as llguidance wants to see it: the names are its own."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, pieces: list[bytes]) -> None:
        self.tokens = pieces
        self.eos_token_id = tokenizer.eos_ids[0]
        self.special_token_ids = [i for i, piece in enumerate(pieces) if not piece]
        self._encode = tokenizer.encode
        self._ids = {piece: i for i, piece in enumerate(pieces) if piece}
        self._longest = max(map(len, pieces))

    def __call__(self, text: str) -> list[int]:
        """Ids whose bytes are exactly those of `text`: the longest piece first where the tokenizer alters the text."""
        ids, rest = self._encode(text), text.encode()
        if b"".join(self.tokens[i] for i in ids) == rest:
            return ids
        ids = []
        while rest:
            size = next(n for n in range(min(self._longest, len(rest)), 0, -1) if rest[:n] in self._ids)
            ids.append(self._ids[rest[:size]])
            rest = rest[size:]
        return ids


def _longest(value: dict[str, Any] | bool) -> str | None:
    """The longest JSON of a property whose strings are closed at once; None where that is not known."""
    keys = value.keys() - _NOTES if isinstance(value, dict) else set()
    if keys == {"enum"} and all(isinstance(choice, str | int | None) for choice in value["enum"]):
        return max(map(json.dumps, value["enum"]), key=len)
    if keys == {"type"} and value["type"] == "boolean":
        return "false"
    return '""' if keys - {"maxLength"} == {"type"} and value["type"] == "string" else None


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
