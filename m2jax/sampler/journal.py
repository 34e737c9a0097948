"""The journal of a run of the engine: what requests have been answered so far, on disk while the run goes on, so that
a restarted process need not generate it again.

Dialogues are deterministic, so their answers are all there is to keep: a restarted dialogue gets those it had, and a
reply that was being written is continued from its last kept token (its pages are computed anew). Tokens that are kept
stay to the bit; what follows them is the same sample up to the rounding of the recomputed cache.

The file is JSONL and only grows: the first line says which run it is of, each other one adds to the answer of a
request, {"at": [dialogue, number], "tokens": [...], "full": [...], "sampling": [...]}, {"at": ..., "scores":
[[...], ...]} or {"at": ..., "said": {...}}. A line that was being written is dropped.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from m2jax.outside.answers import from_json, to_json
from m2jax.outside.endpoint import Said
from m2jax.sampler.requests import Answer, Completion
from m2jax.sampler.scheduler import Ticket


@dataclasses.dataclass
class Known:
    """What a request has been answered so far. logps: float32 [2, tokens], under the full and the sampling
    distribution; scores: one array per suffix; said: of a chat.
    """

    tokens: list[int] = dataclasses.field(default_factory=list)
    logps: list[list[float]] = dataclasses.field(default_factory=lambda: [[], []])
    scores: list[np.ndarray] = dataclasses.field(default_factory=list)
    said: Said | None = None


class Journal:
    """The journal at `path` of the run that `identity` (JSON) names; a file of any other run is begun anew.

    every: seconds between two writes. writes: False in all processes of a job but one; all read.
    """

    def __init__(self, path: Path, identity: dict[str, Any], every: float, *, writes: bool = True) -> None:
        self._path, self._every, self.writes = Path(path), every, writes
        self._head = json.dumps(identity).encode() + b"\n"
        self._known: dict[tuple[int, int], Known] = {}
        self._size = self._read()
        self._written = {
            at: len(known.tokens) or len(known.scores) or bool(known.said) for at, known in self._known.items()
        }
        self._lines: list[bytes] = []
        self._last = time.monotonic()

    def known(self, ticket: Ticket) -> Known:
        """What `ticket` was answered before this process began."""
        return self._known.get((ticket.dialogue, ticket.number), Known())

    def add(self, ticket: Ticket, answer: Answer) -> None:
        """Notes an answer, whole or what there is of it."""
        at = ticket.dialogue, ticket.number
        start = self._written.get(at, 0)
        if isinstance(answer, Completion):
            parts = {"tokens": answer.tokens, "full": answer.logp_full, "sampling": answer.logp_sampling}
            line = {name: array[start:].tolist() for name, array in parts.items()}
            end = len(answer.tokens)
        elif isinstance(answer, Said):
            line, end = {"said": to_json(answer)}, 1
        else:
            line = {"scores": [scores.tolist() for scores in answer[start:]]}
            end = len(answer)
        if end > start:
            self._written[at] = end
            self._lines.append(json.dumps({"at": at, **line}).encode() + b"\n")

    @property
    def due(self) -> bool:
        """Whether it is time for `flush`."""
        return self.writes and time.monotonic() - self._last >= self._every

    def flush(self) -> None:
        """Writes what was added; on return it is on disk."""
        with self._path.open("r+b" if self._size else "wb") as file:
            file.truncate(self._size)
            file.seek(self._size)
            file.write(b"".join(self._lines) if self._size else self._head + b"".join(self._lines))
            file.flush()
            os.fsync(file.fileno())
            self._size = file.tell()
        self._lines.clear()
        self._last = time.monotonic()

    def remove(self) -> None:
        """Forgets what was answered, on disk too."""
        if self.writes:
            self._path.unlink(missing_ok=True)

    def _read(self) -> int:
        """Takes in the file; returns how many of its bytes are sound, 0 where it is another run's."""
        if not self._path.exists():
            return 0
        lines = self._path.read_bytes().splitlines(keepends=True)
        if not lines or lines[0] != self._head:
            return 0
        size = len(self._head)
        for line in lines[1:]:
            if not line.endswith(b"\n"):
                break
            entry = json.loads(line)
            known = self._known.setdefault(tuple(entry["at"]), Known())
            known.tokens += entry.get("tokens", [])
            for logps, name in zip(known.logps, ("full", "sampling"), strict=True):
                logps += entry.get(name, [])
            known.scores += [np.float32(scores) for scores in entry.get("scores", [])]
            known.said = from_json(entry["said"]) if "said" in entry else known.said
            size += len(line)
        return size
