"""The engine: host side of the sampler. Roles hold weights; requests go in as token lists and come back as completions.

Every batch has one of a few fixed shapes (`Shapes`), so that nothing is compiled after the first calls. Requests
beyond a batch's rows go into further batches; missing rows are filled with a dummy prompt and thrown away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from m2jax.models.config import ModelConfig
from m2jax.models.params import Params
from m2jax.sampler import programs
from m2jax.sampler.sampling import Sampling
from m2jax.sharding import put_batch, put_replicated

Tokens = Sequence[int]


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Rows of a batch and capacities in tokens.

    rows: prompts (or judged prefixes) at once. prompt: tokens of a prompt to generate from.
    prefix, suffix: tokens of a scored prefix and of each of its `suffixes` continuations.
    """

    rows: int
    prompt: int
    prefix: int = 0
    suffix: int = 0
    suffixes: int = 1


@dataclasses.dataclass(frozen=True)
class Completion:
    """One sampled reply. The arrays are [tokens], float32 in nats (see `sampling`). `stopped`: it ended by a stop
    token.
    """

    tokens: np.ndarray
    logp_full: np.ndarray
    logp_sampling: np.ndarray
    stopped: bool


class Engine:
    """Generates and scores with the weights of named roles, on the mesh that is set (`jax.set_mesh`)."""

    def __init__(self, cfg: ModelConfig, mesh: jax.sharding.Mesh, shapes: Shapes, dtype: Any = jnp.float32) -> None:
        self.cfg, self.mesh, self.shapes, self.dtype = cfg, mesh, shapes, dtype
        self.roles: dict[str, Params] = {}

    def update(self, role: str, params: Params) -> None:
        """Hands weights to a role, on the device; nothing is copied where the dtype is already the engine's."""
        self.roles[role] = jax.tree.map(lambda w: w if w.dtype == self.dtype else w.astype(self.dtype), params)

    def generate(
        self, role: str, prompts: Sequence[Tokens], n_samples: int, how: Sampling, seed: int, first_request: int = 0
    ) -> list[list[Completion]]:
        """`n_samples` completions of each prompt, in order.

        Sample j of prompt i is request `first_request + i * n_samples + j`: (seed, request) fixes it whatever else
        runs.
        """
        params, out = self._role(role), []
        for start, tokens, lengths in self._batches(prompts, self.shapes.prompt):
            numbers = first_request + n_samples * start + np.arange(self.shapes.rows * n_samples)
            requests = numbers.astype(np.uint32).reshape(self.shapes.rows, n_samples)
            tokens, lengths, requests = put_batch(self.mesh, (tokens, lengths, requests))
            prefix = programs.prefill(self.cfg, params, tokens, lengths)
            done = programs.decode(self.cfg, params, prefix, how, self._scalar(np.uint32(seed)), requests)
            out += _completions(jax.device_get(done), how, len(prompts) - start)
        return out

    def score(
        self, role: str, prefixes: Sequence[Tokens], suffixes: Sequence[Sequence[Tokens]], choices: Tokens
    ) -> list[np.ndarray]:
        """For each prefix, log-probabilities [its suffixes, choices] of single next tokens after prefix + suffix.

        The suffixes of one prefix are computed in one row that holds the prefix once; decode is not involved.
        """
        params, shapes = self._role(role), self.shapes
        for many in suffixes:
            if len(many) > shapes.suffixes:
                raise ValueError(f"{len(many)} suffixes of one prefix; the engine was made for {shapes.suffixes}")
        choices_C = put_replicated(self.mesh, np.asarray(choices, np.int32))
        flat, flat_lengths = _pad([s for many in suffixes for s in _filled(many, shapes.suffixes)], shapes.suffix)
        out: list[np.ndarray] = []
        for start, prefix, prefix_length in self._batches(prefixes, shapes.prefix):
            rows = slice(start * shapes.suffixes, (start + shapes.rows) * shapes.suffixes)
            suffix, length = _fill_rows(flat[rows], flat_lengths[rows], shapes.rows * shapes.suffixes)
            tokens = np.concatenate([prefix, suffix.reshape(shapes.rows, -1)], axis=1)
            batch = put_batch(self.mesh, (tokens, prefix_length, length.reshape(shapes.rows, -1)))
            logp = programs.score(
                self.cfg, params, batch[0], batch[1], shapes.prefix, shapes.suffixes, batch[2], choices_C
            )
            out += list(jax.device_get(logp))[: len(prefixes) - start]
        return [logp[: len(many)] for logp, many in zip(out, suffixes, strict=True)]

    def _role(self, role: str) -> Params:
        if role not in self.roles:
            raise ValueError(f"role {role!r} has no weights; roles: {', '.join(self.roles) or 'none'}")
        return self.roles[role]

    def _scalar(self, x: np.generic) -> jax.Array:
        return put_replicated(self.mesh, np.asarray(x))

    def _batches(self, prompts: Sequence[Tokens], size: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(index of the first prompt, tokens [rows, size], lengths [rows]) until all prompts are in."""
        tokens, lengths = _pad(prompts, size)
        for start in range(0, len(prompts), self.shapes.rows):
            rows = slice(start, start + self.shapes.rows)
            yield start, *_fill_rows(tokens[rows], lengths[rows], self.shapes.rows)


def _pad(prompts: Sequence[Tokens], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Token lists -> int32 [n, size] padded on the right with 0, and their lengths."""
    lengths = np.asarray([len(p) for p in prompts], np.int32)
    if len(prompts) and (lengths.max() > size or lengths.min() < 1):
        worst = int(lengths.max() if lengths.max() > size else lengths.min())
        raise ValueError(
            f"a prompt of {worst} tokens does not fit: the engine takes 1 to {size}; shorten it or raise the limit"
        )
    tokens = np.zeros((len(prompts), size), np.int32)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt)] = prompt
    return tokens, lengths


def _fill_rows(tokens: np.ndarray, lengths: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Fills a batch up to `rows` with prompts of length 0."""
    missing = rows - len(tokens)
    return np.pad(tokens, ((0, missing), (0, 0))), np.pad(lengths, (0, missing))


def _filled(suffixes: Sequence[Tokens], n: int) -> list[Tokens]:
    return [*suffixes, *([[0]] * (n - len(suffixes)))]


def _completions(done: programs.Completions, how: Sampling, n_prompts: int) -> list[list[Completion]]:
    def one(b: int, r: int) -> Completion:
        n = int(done.length_BR[b, r])
        tokens = done.tokens[b, r, :n]
        logps = (x[b, r, :n] for x in (done.logp_full, done.logp_sampling))
        return Completion(tokens, *logps, stopped=int(tokens[-1]) in how.stop)

    B, R = done.length_BR.shape
    return [[one(b, r) for r in range(R)] for b in range(min(B, n_prompts))]
