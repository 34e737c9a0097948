"""Answers of endpoints on disk, by a hash of what was asked: what has been paid for is not asked again.

One SQLite file, which several runs may share. It holds what endpoints said, not what they were asked nor any key; only
its owner may read it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path

from m2jax.outside.endpoint import Said


def default_path() -> Path:
    """answers.sqlite in $M2JAX_CACHE, by default ~/.cache/m2jax."""
    return Path(os.environ.get("M2JAX_CACHE") or "~/.cache/m2jax").expanduser() / "answers.sqlite"


class Answers:
    """The answers at `path`, which is made where there is none; any thread may ask. OSError where it cannot be."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=60.0, check_same_thread=False, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS answers (name TEXT PRIMARY KEY, said TEXT NOT NULL)")
        except sqlite3.DatabaseError as error:
            raise OSError(f"{path} is no file of answers ({error}); move it away, and a new one is begun") from error

    def get(self, name: str) -> Said | None:
        """What was answered, None if nothing was."""
        with self._lock:
            row = self._db.execute("SELECT said FROM answers WHERE name = ?", (name,)).fetchone()
        return from_json(json.loads(row[0])) if row else None

    def put(self, name: str, said: Said) -> None:
        """Keeps an answer; it outlives this process from here on."""
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (name, json.dumps(to_json(said))))


def to_json(said: Said) -> dict:
    """As JSON values."""
    return {"text": said.text, "top": said.top} if said.top else {"text": said.text}


def from_json(raw: dict) -> Said:
    """What `to_json` made, read back."""
    top = ((token, tuple((t, float(p)) for t, p in alternatives)) for token, alternatives in raw.get("top", ()))
    return Said(raw["text"], tuple(top))
