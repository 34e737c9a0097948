"""What dialogues ask of the engine and what they get: plain frozen containers."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np

from m2jax.outside.endpoint import Said
from m2jax.sampler.sampling import Sampling

Tokens = Sequence[int]


@dataclasses.dataclass(frozen=True)
class Role:
    """Who answers. params, adapter: names of what `Engine.update` hands over; roles over the same parameters are served
    in one batch, each row with its own adapter (None: the parameters alone).
    """

    sampling: Sampling = Sampling()
    params: str = "base"
    adapter: str | None = None


@dataclasses.dataclass(frozen=True)
class Generate:
    """One completion of `prompt` (at least one token). max_tokens: None for the role's own. schema: JSON schema that
    the completion's text then follows (`grammar.Grammars`); such a row ends as soon as its JSON is complete.
    """

    role: str
    prompt: Tokens
    max_tokens: int | None = None
    schema: str | None = None


@dataclasses.dataclass(frozen=True)
class Score:
    """Log-probabilities after `prefix` (at least one token), for each of `suffixes`.

    With choices, those of the choices as the single next token after prefix + suffix (a suffix may then be empty);
    without, those of the suffix's own tokens. The prefix is computed once, whoever shares it.
    """

    role: str
    prefix: Tokens
    suffixes: Sequence[Tokens]
    choices: Tokens = ()


@dataclasses.dataclass(frozen=True)
class Chat:
    """What a role outside (`outside.endpoint.Endpoint`) says to a chat: dicts with "role" and "content". max_tokens:
    None for the endpoint's own. schema: JSON schema that the endpoint is told to follow; check whether it did.
    """

    role: str
    messages: Sequence[Mapping[str, str]]
    max_tokens: int | None = None
    schema: str | None = None


@dataclasses.dataclass(frozen=True)
class Completion:
    """One sampled reply. The arrays are [tokens], float32 in nats (see `sampling`). `stopped`: it ended by a stop
    token. version: how often the role's weights had been handed over.
    """

    tokens: np.ndarray
    logp_full: np.ndarray
    logp_sampling: np.ndarray
    stopped: bool
    version: int = 0


@dataclasses.dataclass(frozen=True)
class Failed:
    """The end of a dialogue that raised: the error, and its traceback as text."""

    error: Exception
    traceback: str


Request = Generate | Score | Chat
# of a Generate; of a Score: one float32 array per suffix, [choices] or [suffix]; of a Chat
Answer = Completion | list[np.ndarray] | Said
# yields a request, or a list of them to be answered together, and is resumed with the answer or the list of answers
Dialogue = Generator[Request | list[Request], Any, Any]
