"""Tries a running server with the openai package, which is no dependency: in an environment that has it,

python tests/serve/openai_client.py http://127.0.0.1:8000
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import openai

ASK: dict[str, Any] = {
    "model": "doctor",
    "messages": [{"role": "user", "content": "I have had a headache for three days. What should I do?"}],
    "max_tokens": 24,
    "temperature": 0.7,
    "seed": 7,
}
SCHEMA = {
    "type": "object",
    "properties": {"urgent": {"type": "boolean"}, "advice": {"type": "string", "maxLength": 60}},
    "required": ["urgent", "advice"],
    "additionalProperties": False,
}


def main(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)
    assert "doctor" in [model.id for model in client.models.list()]
    chat, text = client.chat.completions.create, client.completions.create
    whole = chat(**ASK)
    chunks = list(chat(**ASK, stream=True, stream_options={"include_usage": True}))
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == whole.choices[0].message.content and chunks[-1].usage == whole.usage
    print("chat, streamed in", len(chunks), "chunks:", repr(said))
    two = chat(**ASK, n=2).choices
    assert two[0].message.content == said != two[1].message.content
    entries = chat(**ASK, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert bytes(b for entry in entries for b in entry.bytes).decode("utf-8", "replace") == said
    echoed = text(model="doctor", prompt="The capital of France is", max_tokens=4, temperature=0, logprobs=2, echo=True)
    told = echoed.choices[0].logprobs
    assert told.token_logprobs[0] is None and all(logp < 0 for logp in told.token_logprobs[1:])
    assert "".join(told.tokens[:3]) == echoed.choices[0].text[: told.text_offset[3]]
    print("completion with echo:", repr(echoed.choices[0].text))
    how = {"type": "json_schema", "json_schema": {"name": "advice", "schema": SCHEMA, "strict": True}}
    print("JSON:", json.loads(chat(**ASK | {"max_tokens": 80}, response_format=how).choices[0].message.content))
    refused(openai.BadRequestError, "temperature", lambda: chat(**ASK | {"temperature": 2.5}))
    refused(openai.NotFoundError, "model", lambda: chat(**ASK | {"model": "nurse"}))
    refused(openai.BadRequestError, "max_tokens", lambda: text(model="doctor", prompt="x", max_tokens=10**6))
    print("all as it should be")


def refused(error: type[openai.APIStatusError], param: str, call: Callable[[], Any]) -> None:
    """The call is refused with this error, by this field."""
    try:
        call()
    except error as found:
        assert found.body["param"] == param, found.body
        return
    raise AssertionError(f"{param} was taken")


if __name__ == "__main__":
    main(sys.argv[1])
