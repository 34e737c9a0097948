"""The JSON of answers: chat completions, text completions, the chunks of their streams, log-probabilities, usage."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from m2jax.sampler.requests import Alternatives
from m2jax.serve import spell
from m2jax.serve.models import Served
from m2jax.serve.protocol import Ask
from m2jax.serve.speak import Said

Json = dict[str, Any]


def dumps(value: Any) -> bytes:
    """ASCII alone, so that whatever a text holds can be sent."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def head(ask: Ask) -> Json:
    """What all of one answer's objects begin with."""
    kind = "chat.completion" + ".chunk" * ask.stream if ask.chat else "text_completion"
    name = f"{'chatcmpl' if ask.chat else 'cmpl'}-{secrets.token_hex(12)}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": ask.model}


def usage(ask: Ask, said: Sequence[Said]) -> Json:
    """Tokens of the prompts, each counted once, and of all choices, their stop tokens too."""
    prompt, made = sum(map(len, ask.prompts)), sum(len(s.tokens) for s in said)
    return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}


def choice(served: Served, ask: Ask, said: Said, scored: Alternatives | None) -> Json:
    """One whole choice."""
    if ask.chat:
        message = {"role": "assistant", "content": said.text, "refusal": None}
        return {"index": said.choice, "message": message, **_end(served, ask, said, None, scored)}
    return {"index": said.choice, "text": _echo(served, ask, said) + said.text, **_end(served, ask, said, None, scored)}


def chunks(served: Served, ask: Ask, said: Said, before: Said | None, scored: Alternatives | None) -> list[Json]:
    """The choices of a stream's chunks that take a choice from what it was `before` (None: nothing) to what it is."""
    new = said.text[len(before.text) if before else 0 :]
    if not ask.chat:
        text = new if before else _echo(served, ask, said) + new
        if not text and not said.finish:
            return []
        return [{"index": said.choice, "text": text, **_end(served, ask, said, before, scored)}]
    rows = []
    if before is None:
        rows.append(
            {
                "index": said.choice,
                "delta": {"role": "assistant", "content": ""},
                "logprobs": None,
                "finish_reason": None,
            }
        )
    if new or said.finish:
        rows.append(
            {"index": said.choice, "delta": {"content": new} if new else {}, **_end(served, ask, said, before, scored)}
        )
    return rows


def _end(served: Served, ask: Ask, said: Said, before: Said | None, scored: Alternatives | None) -> Json:
    return {"logprobs": _logprobs(served, ask, said, before, scored), "finish_reason": said.finish}


def _echo(served: Served, ask: Ask, said: Said) -> str:
    return served.tokenizer.decode(ask.prompts[said.choice // ask.n], skip_controls=False) if ask.echo else ""


def _logprobs(served: Served, ask: Ask, said: Said, before: Said | None, scored: Alternatives | None) -> Json | None:
    """Of the tokens whose text is shown now and was not before."""
    if ask.alternatives is None:
        return None
    starts, shown = _visible(served, said)
    first = _visible(served, before)[1] if before else 0
    rows = [(said.alternatives.ids[i], said.alternatives.logps[i]) for i in range(first, shown)]
    if ask.chat:
        rows = [row for row in rows if row[0][0] not in served.controls]  # they have no text
        return {"content": [_entry(served, ids, logps, ask.alternatives) for ids, logps in rows], "refusal": None}
    echo = len(_echo(served, ask, said))
    tokens, offsets = list(said.tokens[first:shown]), [echo + start for start in starts[first:shown]]
    if ask.echo and before is None:
        prompt = ask.prompts[said.choice // ask.n]
        rows = [None, *zip(scored.ids, scored.logps, strict=True)] + rows if scored else [None, *rows]
        tokens, offsets = [*prompt, *tokens], [*spell.offsets(served.pieces, frozenset(), prompt), *offsets]
    return {
        "tokens": [_name(served, token) for token in tokens],
        "token_logprobs": [None if row is None else float(row[1][0]) for row in rows],
        "top_logprobs": [None if row is None else _top(served, *row, ask.alternatives) for row in rows]
        if ask.alternatives
        else None,
        "text_offset": offsets,
    }


def _visible(served: Served, said: Said) -> tuple[list[int], int]:
    """Where the tokens begin in the text, and how many of them count as shown: a stop token too, no stop string."""
    starts = spell.offsets(served.pieces, served.controls, said.tokens)
    return starts, len(starts) if said.whole else sum(start < len(said.text) for start in starts)


def _top(served: Served, ids: Sequence[int], logps: Sequence[float], n: int) -> Mapping[str, float]:
    """The n likeliest tokens and the token itself, by their names."""
    at = [*range(1, min(n, len(ids) - 1) + 1), 0]
    return {_name(served, ids[i]): float(logps[i]) for i in at}


def _entry(served: Served, ids: Sequence[int], logps: Sequence[float], n: int) -> Json:
    def one(i: int) -> Json:
        piece = served.pieces[ids[i]]
        return {"token": piece.decode("utf-8", "replace"), "logprob": float(logps[i]), "bytes": list(piece)}

    return one(0) | {"top_logprobs": [one(i) for i in range(1, min(n, len(ids) - 1) + 1)]}


def _name(served: Served, token: int) -> str:
    """A token as the protocol of completions writes it: its text, or its bytes where they are part of a character."""
    piece = served.pieces[token]
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)
