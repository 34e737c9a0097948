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
    sampling: None for the role's own. alternatives: whether the completion has them (not with a journal).
    """

    role: str
    prompt: Tokens
    max_tokens: int | None = None
    schema: str | None = None
    sampling: Sampling | None = None
    alternatives: bool = False


@dataclasses.dataclass(frozen=True)
class Score:
    """Log-probabilities after `prefix` (at least one token), for each of `suffixes`.

    With choices, those of the choices as the single next token after prefix + suffix (a suffix may then be empty);
    without, those of the suffix's own tokens. The prefix is computed once, whoever shares it. alternatives: whether
    the answer has them in place of the suffix's log-probabilities (not with choices, nor with a journal).
    """

    role: str
    prefix: Tokens
    suffixes: Sequence[Tokens]
    choices: Tokens = ()
    alternatives: bool = False


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
class Alternatives:
    """What else could have stood where tokens stand, at temperature 1 over the whole vocabulary: ids int32 and logps
    float32, [tokens, 1 + `sampling.LIKELIEST`]. The first is the token itself, then come the likeliest, in order.
    """

    ids: np.ndarray
    logps: np.ndarray


@dataclasses.dataclass(frozen=True)
class Completion:
    """One sampled reply. The arrays are [tokens], float32 in nats (see `sampling`). `stopped`: it ended by a stop
    token, or its JSON is complete. version: how often the role's weights had been handed over.
    """

    tokens: np.ndarray
    logp_full: np.ndarray
    logp_sampling: np.ndarray
    stopped: bool
    version: int = 0
    alternatives: Alternatives | None = None


@dataclasses.dataclass(frozen=True)
class Failed:
    """The end of a dialogue that raised: the error, and its traceback as text."""

    error: Exception
    traceback: str


class Unanswered(ValueError):
    """Raised in a dialogue where one of the requests that it made together was not answered: the first one's reason.
    answers: to all of them, a ValueError where there is none.
    """

    def __init__(self, reason: ValueError, answers: Sequence[Any]) -> None:
        super().__init__(*reason.args)
        self.answers = answers


Request = Generate | Score | Chat
# of a Generate; of a Score: for each suffix float32 [choices] or [suffix], or its alternatives; of a Chat
Answer = Completion | list[np.ndarray | Alternatives] | Said
# yields a request, or a list of them to be answered together, and is resumed with the answer or the list of answers
Dialogue = Generator[Request | list[Request], Any, Any]
