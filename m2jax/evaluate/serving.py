"""A model served for a measurement: its weights as released, with adapters beside them, on one device."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from m2jax import sharding
from m2jax.lines import to_jsonl
from m2jax.outside.endpoint import Endpoint
from m2jax.rollout.kept import Row, begun, fingerprint
from m2jax.rollout.single_turn import results_of
from m2jax.rules.final import answered
from m2jax.sampler.engine import Engine
from m2jax.sampler.requests import Chat, Dialogue, Generate, Role, Unanswered
from m2jax.sampler.sampling import Sampling
from m2jax.sampler.scheduler import Sizes
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.weights import names
from m2jax.weights.load import load_over, read_config

PAGE = 32
CHUNK = 256  # tokens that are computed at once
NOTHING = "..."  # stands for an empty reply, which no chat may hold

# of a role and a chat: what it says, None where the chat leaves no room for a reply, or an endpoint refuses one
Say = Callable[[str, Sequence[Message]], Generator[Any, Any, str | None]]


class Runs(Protocol):
    """An `Engine`, or one that tells how far it is."""

    def run(self, dialogues: Sequence[Dialogue], *, seed: int = 0, keys: Sequence[int] | None = None) -> list[Any]:
        """As `Engine.run`."""


@dataclasses.dataclass(frozen=True)
class Telling:
    """An engine that says how far it is, at most every `seconds`."""

    engine: Engine
    tell: Callable[[str], None]
    seconds: float = 20.0

    def run(self, dialogues: Sequence[Dialogue], *, seed: int = 0, keys: Sequence[int] | None = None) -> list[Any]:
        """As `Engine.run`."""
        ended, said = 0, time.monotonic()

        def counted(dialogue: Dialogue) -> Dialogue:
            nonlocal ended, said
            result = yield from dialogue
            ended += 1
            if time.monotonic() - said >= self.seconds:
                said = time.monotonic()
                self.tell(f"  {ended} of {len(dialogues)}")
            return result

        return self.engine.run([counted(dialogue) for dialogue in dialogues], seed=seed, keys=keys)


def serve(
    model: str,
    adapters: Mapping[str, Any],
    temperature: float,
    max_tokens: int,
    longest: int,
    slots: int = 32,
    outside: Mapping[str, Endpoint] = MappingProxyType({}),
    suffix: int = CHUNK,
) -> tuple[Engine, Tokenizer]:
    """An engine with the role "start" and one per adapter (unrolled layers), and the tokenizer. longest: tokens of a
    prompt and what is made of it. outside: endpoints by their roles. suffix: tokens that a
    scored text may have after its prefix, at least.
    """
    path = names.resolve(model)
    tokenizer, cfg = load_tokenizer(path), read_config(path)
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    sampling = Sampling(temperature, 0, 1.0, max_tokens, tuple(tokenizer.eos_ids))
    most = -(-longest // PAGE) * PAGE
    chunks = tuple(sorted({64, CHUNK, -(-max(suffix, CHUNK) // CHUNK) * CHUNK}))
    sizes = Sizes(slots, slots * most // PAGE + 1, PAGE, tuple(sorted({most // 2 // PAGE * PAGE, most})), chunks)
    roles = {"start": Role(sampling)} | {name: Role(sampling, adapter=name) for name in adapters}
    with jax.set_mesh(mesh):
        engine = Engine(cfg, mesh, sizes, roles | dict(outside))
        engine.update("base", load_over(path, mesh, stacked=False, dtype=jnp.float32))
        for name, adapter in adapters.items():
            engine.update(name, adapter)
    return engine, tokenizer


def serve_outside(
    role: str, url: str, model: str, key_env: str, temperature: float, max_tokens: int, slots: int
) -> tuple[Engine, None]:
    """An engine whose one role is an endpoint's, and no tokenizer. slots: questions at once."""
    endpoint = Endpoint(url, model, key_env, max_tokens, temperature, concurrency=slots)
    return Engine(None, None, Sizes(), {role: endpoint}), None


def endpoints(roles: Mapping[str, Any], temperature: float) -> dict[str, Endpoint]:
    """Those roles of a config (url, model, key_env) that have a url. ValueError where a key is missing."""
    found = {
        name: Endpoint(role.url, role.model, role.key_env, temperature=temperature)
        for name, role in roles.items()
        if role.url
    }
    for one in found.values():
        one.headers()
    return found


def speaker(tokenizer: Tokenizer, outside: Mapping[str, Endpoint], max_tokens: int, longest: int) -> Say:
    """Asks roles: those of `outside` as endpoints, all others of the served model. A reply is without its thoughts."""

    def say(role: str, chat: Sequence[Message]) -> Generator[Any, Any, str | None]:
        if role in outside:
            try:
                told = yield Chat(role, [{"role": m.role, "content": m.content} for m in chat], max_tokens)
            except Unanswered:
                return None
            return answered(told.text) or NOTHING
        prompt = render(tokenizer, chat).tokens.tolist()
        if len(prompt) + max_tokens > longest:
            return None
        done = yield Generate("start", prompt)
        return answered(tokenizer.decode(done.tokens)) or NOTHING

    return say


def kept(
    file: Path,
    who: Mapping[str, Any],
    asked: Sequence[Any],
    served: Callable[[], tuple[Engine, Tokenizer]],
    jobs: Callable[[Tokenizer], Callable[[int], Dialogue]],
    seed: int,
    tell: Callable[[str], None],
) -> list[Row]:
    """The rows that dialogues return, one for each thing asked, written to `file` (JSONL) as soon as it has ended;
    those that are there are not run again, unless what was asked has changed since. who: see `rollout.kept.begun`.
    jobs: of a tokenizer, i -> the dialogue of row i. What a dialogue raises is raised after all have ended.
    """
    who, marks = json.loads(json.dumps(dict(who))), [fingerprint(thing) for thing in asked]
    known = begun(file, who)
    if todo := [i for i, mark in enumerate(marks) if known.get(str(i), {}).get("of") != mark]:
        tell(f"{file.stem}: {len(todo)} of {len(asked)} to do")
        engine, tokenizer = served()
        make = jobs(tokenizer)
        with file.open("ab") as out:

            def written(i: int) -> Dialogue:
                row = yield from make(i)
                out.write(to_jsonl([{"id": str(i)} | row | {"of": marks[i]}]))
                out.flush()

            results_of(Telling(engine, tell).run([written(i) for i in todo], seed=seed, keys=todo))
        known = begun(file, who)
    return [known[str(i)] for i in range(len(asked))]
