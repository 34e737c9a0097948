"""What a request asks for: the JSON of /v1/chat/completions and /v1/completions, read and checked into an `Ask`.

The fields are those of https://platform.openai.com/docs/api-reference/chat and .../completions. What we cannot do is
refused, never passed over.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from typing import Any

from m2jax.sampler.grammar import reserve
from m2jax.sampler.sampling import LEAST_TEMPERATURE, LEAST_TOP_P, LIKELIEST, Sampling
from m2jax.serve.fields import Refused, flag, integer, mapping, number, only, shown, strings, text, wrong
from m2jax.serve.models import Served
from m2jax.text.chat import Message, render

STOPS, LONGEST_STOP = 16, 256  # stop strings of a request, and their characters
_LEGACY_ALTERNATIVES = 5
_BOTH = frozenset(
    {"model", "max_tokens", "temperature", "top_p", "n", "seed", "stop", "stream", "stream_options", "user"}
)
_CHAT = _BOTH | {"messages", "max_completion_tokens", "logprobs", "top_logprobs", "response_format", "metadata"}
_TEXT = _BOTH | {"prompt", "echo", "logprobs"}
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,), "presence_penalty": (0,), "logit_bias": ({},), "store": (False,),
    "tools": ([],), "tool_choice": ("none", "auto"), "modalities": (["text"],), "service_tier": ("auto", "default"),
}  # fmt: skip
_NEUTRAL_TEXT = _NEUTRAL | {"best_of": (1,), "suffix": ("",)}


@dataclasses.dataclass(frozen=True)
class Ask:
    """chat: which of the two forms. prompts: in tokens; each gets n choices. max_tokens: 0 only to score with echo.
    alternatives: to show with each token, None without log-probabilities. usage: whether a stream ends with it.
    """

    chat: bool
    model: str
    prompts: tuple[tuple[int, ...], ...]
    n: int
    max_tokens: tuple[int, ...]  # of each prompt
    sampling: Sampling
    seed: int
    stop: tuple[str, ...]
    schema: str | None
    echo: bool
    alternatives: int | None
    stream: bool
    usage: bool

    @property
    def choices(self) -> int:
        return len(self.prompts) * self.n


def key_of(seed: int, choice: int) -> int:
    """The engine's key, uint32, of a choice: samples depend on it, and on nothing that runs beside it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {choice}".encode()).digest()[:4], "big")


def read(body: Any, chat: bool, served: Served, most: int) -> Ask:
    """The request of a JSON body. most: choices, of all prompts together. `Refused` names what is wrong."""
    body = mapping(body, "the body")
    only(body, *((_CHAT, _NEUTRAL) if chat else (_TEXT, _NEUTRAL_TEXT)))
    model = text(body.get("model"), "model")
    if model not in served.models:
        known = ", ".join(served.models)
        message = f"there is no model {shown(model)}; there are {known}"
        raise Refused(message, "model", status=404, code="model_not_found")
    n, stream, echo = integer(body, "n", 1, 1, most), flag(body, "stream"), not chat and flag(body, "echo")
    prompts = (_messages(body, served),) if chat else _prompts(body, served, n, most)
    schema = _schema(body, served) if chat else None
    return Ask(
        chat=chat,
        model=model,
        prompts=prompts,
        n=n,
        max_tokens=_max_tokens(body, chat, prompts, served.longest, schema, echo),
        sampling=_sampling(body, served, model),
        seed=integer(body, "seed", secrets.randbits(48), -(1 << 63), (1 << 63) - 1),
        stop=strings(body, "stop", STOPS, LONGEST_STOP),
        schema=schema,
        echo=echo,
        alternatives=_alternatives(body, chat),
        stream=stream,
        usage=_usage(body, stream),
    )


def _sampling(body: dict[str, Any], served: Served, model: str) -> Sampling:
    """The role's, with the request's temperature and top_p; what is too small to sample with is as good as greedy."""
    top_p, temperature = number(body, "top_p", 1.0, 0, 1), number(body, "temperature", 1.0, 0, 2)
    if not top_p:
        raise wrong("top_p", 0, "a number above 0, to 1")
    own, greedy = served.engine.roles[model].sampling, temperature < LEAST_TEMPERATURE
    return dataclasses.replace(own, temperature=0.0 if greedy else temperature, top_p=max(top_p, LEAST_TOP_P))


def _max_tokens(
    body: dict[str, Any], chat: bool, prompts: tuple[tuple[int, ...], ...], longest: int, schema: str | None, echo: bool
) -> tuple[int, ...]:
    """Of each prompt; left out, of a chat what there is room for, of a completion 16."""
    name = "max_completion_tokens" if chat and body.get("max_completion_tokens") is not None else "max_tokens"
    if name != "max_tokens" and body.get("max_tokens") not in (None, body[name]):
        raise Refused("max_tokens and max_completion_tokens differ: give one", "max_tokens", code="invalid_value")
    asked = integer(body, name, None if chat else 16, 0 if echo else 1, longest)
    where, room = "messages" if chat else "prompt", [longest + 1 - len(prompt) for prompt in prompts]
    for prompt, left in zip(prompts, room, strict=True):
        if left < max(asked or 1, 1):
            raise Refused(
                f"{where}: {len(prompt)} tokens with {asked or 1} new ones are more than the {longest + 1} that this "
                f"server holds of a request; shorten the {where} or {name}",
                where, code="context_length_exceeded",
            )  # fmt: skip
    given = tuple(left if asked is None else asked for left in room)
    if schema is not None and (need := reserve(schema)) > min(given):
        raise wrong(name, min(given), f"at least {need} for this response_format, or the JSON may be cut short")
    return given


def _alternatives(body: dict[str, Any], chat: bool) -> int | None:
    if not chat:
        return integer(body, "logprobs", None, 0, _LEGACY_ALTERNATIVES)
    asked = integer(body, "top_logprobs", None, 0, LIKELIEST)
    if not flag(body, "logprobs"):
        if asked:
            raise Refused("top_logprobs needs logprobs to be true", "top_logprobs", code="invalid_value")
        return None
    return asked or 0


def _usage(body: dict[str, Any], stream: bool) -> bool:
    if body.get("stream_options") is None:
        return False
    options = mapping(body["stream_options"], "stream_options")
    if not stream:
        raise Refused("stream_options needs stream to be true", "stream_options", code="invalid_value")
    if unknown := options.keys() - {"include_usage", "include_obfuscation"}:
        raise Refused(f"stream_options has no {shown(min(unknown))}", "stream_options", code="unknown_parameter")
    return flag(options, "include_usage")


def _schema(body: dict[str, Any], served: Served) -> str | None:
    """The JSON schema of response_format, which is compiled here once and for all."""
    if body.get("response_format") is None:
        return None
    given = mapping(body["response_format"], "response_format")
    kind = given.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        schema: dict[str, Any] = {"type": "object"}
    elif kind == "json_schema":
        inner = mapping(given.get("json_schema"), "response_format.json_schema")
        schema = mapping(inner.get("schema"), "response_format.json_schema.schema")
    else:
        raise wrong("response_format.type", kind, "text, json_object or json_schema")
    try:
        text = json.dumps(schema)
        served.grammars.check(text, served.longest)
    except ValueError as error:
        raise Refused(f"response_format: {error}", "response_format", code="invalid_json_schema") from error
    return text


def _messages(body: dict[str, Any], served: Served) -> tuple[int, ...]:
    """The chat in the model's own template, up to where its reply begins."""
    given = body.get("messages")
    if not isinstance(given, list) or not given:
        raise wrong("messages", given, "a list of at least one message")
    messages = [_message(message, f"messages[{i}]") for i, message in enumerate(given)]
    try:
        return tuple(render(served.tokenizer, messages).tokens.tolist())
    except ValueError as error:
        raise Refused(f"messages: {error}", "messages", code="invalid_value") from error


def _message(given: Any, name: str) -> Message:
    message = mapping(given, name)
    role = message.get("role")
    if role not in ("system", "developer", "user", "assistant"):
        raise wrong(f"{name}.role", role, "system, developer, user or assistant")
    if unknown := {k for k, v in message.items() if v is not None} - {"role", "content", "name"}:
        field = f"{name}.{min(unknown)[:80]}"
        raise Refused(f"{field} is not supported", field, code="unsupported_parameter")
    content = message.get("content")
    if isinstance(content, list):
        parts = [mapping(part, f"{name}.content[{i}]") for i, part in enumerate(content)]
        for i, part in enumerate(parts):
            if part.get("type") != "text":
                raise wrong(f"{name}.content[{i}].type", part.get("type"), "text: there is nothing else to read")
        content = "".join(text(part.get("text"), f"{name}.content[{i}].text") for i, part in enumerate(parts))
    return Message("system" if role == "developer" else role, text(content, f"{name}.content"))


def _prompts(body: dict[str, Any], served: Served, n: int, most: int) -> tuple[tuple[int, ...], ...]:
    """A text, tokens, or a list of either, of n choices each. A text is encoded as it is: nothing is put before it, and
    nothing in it becomes a control token.
    """
    given = body.get("prompt")
    many = given if isinstance(given, list) and given and isinstance(given[0], str | list) else [given]
    if len(many) * n > most:
        message = f"{len(many)} prompts with n = {n}: at most {most} choices in all"
        raise Refused(message, "n" if n > 1 else "prompt", code="invalid_value")
    prompts = []
    for one in many:
        if isinstance(one, str):
            one = served.tokenizer.encode(one)
        elif not isinstance(one, list) or not all(type(t) is int and 0 <= t < len(served.pieces) for t in one):
            raise wrong("prompt", given, f"a text, a list of tokens below {len(served.pieces)}, or a list of either")
        if not one:
            raise Refused("prompt is empty: give at least one token", "prompt", code="invalid_value")
        prompts.append(tuple(one))
    return tuple(prompts)
