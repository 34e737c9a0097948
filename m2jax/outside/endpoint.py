"""An OpenAI-compatible endpoint as data: where it is, what it is asked, and what it says.

The protocol is that of POST {url}/chat/completions (https://platform.openai.com/docs/api-reference/chat), which
vLLM, SGLang, llama.cpp and most services speak. The key stands in an environment variable and nowhere else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

CHAT_ROLES = ("system", "user", "assistant")
MAX_TOP_LOGPROBS = 20  # the protocol's limit

Alternatives = tuple[tuple[str, float], ...]  # (a token's text, its log-probability in nats), likeliest first


class EndpointDown(RuntimeError):
    """An endpoint that gives no answer and will not give one: the run has to stop until it is back."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One model at one address.

    url: the base, such as http://localhost:8000/v1. key_env: the environment variable with the key; "" where none is
    needed. max_tokens: of an answer, unless the request says. temperature: 0 gives every equal question one answer;
    above it each request of a dialogue has its own, named by a seed. top_logprobs: alternatives to ask for with every
    token, 0 to 20; many servers refuse to give them. concurrency: requests in flight at once. timeout: seconds
    without a byte, after which a request is asked again. patience: seconds of failures after which `EndpointDown`.
    first_pause: seconds before the second attempt; each further pause is twice as long. price: of a million tokens,
    (of prompts, of answers), in any currency.
    """

    url: str
    model: str
    key_env: str = ""
    max_tokens: int = 1024
    temperature: float = 0.0
    top_logprobs: int = 0
    concurrency: int = 16
    timeout: float = 120.0
    patience: float = 600.0
    first_pause: float = 1.0
    price: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url {self.url!r} is no address of an endpoint; write it as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError(
                f"the url of the endpoint at {parts.hostname} holds a user, a password or a query; give the bare "
                "address, and the key in an environment variable"
            )
        if not self.model.strip():
            raise ValueError(f"model is {self.model!r}; give the name under which {self.url} serves it")
        for name in ("max_tokens", "concurrency", "timeout", "patience", "first_pause"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} of the endpoint {self.url} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.top_logprobs <= MAX_TOP_LOGPROBS or not 0 <= self.temperature <= 2:
            raise ValueError(
                f"top_logprobs {self.top_logprobs} and temperature {self.temperature} of the endpoint {self.url}: "
                f"give 0 to {MAX_TOP_LOGPROBS}, and 0 to 2"
            )

    def headers(self) -> dict[str, str]:
        """With the key; ValueError where its variable is empty."""
        if not self.key_env:
            return {}
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise ValueError(
                f"the environment variable {self.key_env} is not set; put the key of {self.url} in it, or give "
                "key_env='' where the endpoint needs none"
            )
        return {"Authorization": f"Bearer {key}"}


@dataclasses.dataclass(frozen=True)
class Said:
    """What an endpoint said. top: for each token where the server tells, its text and its alternatives. whole: whether
    it came to its end; one that was cut off or filtered is not kept.
    """

    text: str
    top: tuple[tuple[str, Alternatives], ...] = ()
    whole: bool = True


def payload(
    endpoint: Endpoint, messages: Sequence[Mapping[str, str]], max_tokens: int | None, schema: str | None, seed: int
) -> dict[str, Any]:
    """The JSON body of a request. seed: below 2**31, sent where answers are drawn. ValueError where it is no chat."""
    if not messages or any(m.get("role") not in CHAT_ROLES or not m.get("content") for m in messages):
        raise ValueError(
            f"messages {messages!r} are no chat: give at least one, each with a role of {', '.join(CHAT_ROLES)} and a "
            "content"
        )
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": m["role"], "content": m["content"]} for m in messages],
        "max_tokens": max_tokens or endpoint.max_tokens,
        "temperature": endpoint.temperature,
    }
    if endpoint.temperature:
        body["seed"] = seed
    if endpoint.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": endpoint.top_logprobs}
    if schema is not None:
        try:
            parsed = json.loads(schema)
        except ValueError as error:
            raise ValueError(f"the schema {schema[:200]!r} is no JSON: {error}") from error
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": parsed},
        }
    return body


def name_of(endpoint: Endpoint, body: Mapping[str, Any]) -> str:
    """The name under which an answer is kept: a hash of the address and all that was asked."""
    text = json.dumps([endpoint.url.rstrip("/"), body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def parse(raw: object) -> tuple[Said, int, int]:
    """(what was said, prompt tokens, answer tokens) of a response's JSON; ValueError where it is none."""
    try:
        choice = raw["choices"][0]
        text = choice["message"]["content"] or ""
        usage = raw.get("usage") or {}
        told = (choice.get("logprobs") or {}).get("content") or []
        top = tuple(
            (entry["token"], tuple((a["token"], float(a["logprob"])) for a in entry.get("top_logprobs") or ()))
            for entry in told
        )
        said = Said(str(text), top, bool(text) and choice.get("finish_reason") not in ("length", "content_filter"))
        return said, int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"the response {str(raw)[:200]!r} has no choices[0].message.content") from error
