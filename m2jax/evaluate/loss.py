"""The loss of a model on held-out chats, and its perplexity: how many next tokens seem as likely as the true one."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from m2jax import distributed
from m2jax.evaluate.stats import bootstrap_ci, paired_gain
from m2jax.lines import write_jsonl
from m2jax.metrics import read_jsonl
from m2jax.train import sft


def evaluate(parts: sft.Parts, trained: Any, file: Path, tell: Callable[[str], None] = print) -> None:
    """Writes `file`: one JSON line per held-out chat with its id, topic, tokens trained on and mean loss in nats.

    Written whole or not at all, by the first process.
    """
    side = parts.heldout
    logps = sft.make_token_logps(parts.cfg, jnp.dtype(parts.config.dtype))

    def losses(rows: list[sft.Row]) -> np.ndarray:
        return -logps(trained, parts.frozen, sft.put_rows(parts, side, rows))[None]

    (totals,), counts = item_totals(parts, losses)
    if not distributed.is_first():
        return
    rows = [
        {"id": chat.id, "topic": chat.topic, "tokens": int(n), "loss": float(total / n)}
        for chat, total, n in zip(side.items, totals, counts, strict=True)
    ]
    loss = totals.sum() / counts.sum()
    tell(f"{file.stem}: {len(rows)} chats, loss {loss:.4f}, perplexity {math.exp(loss):.3f}")
    write_jsonl(file, rows)


def item_totals(parts: sft.Parts, measure: Callable[[list[sft.Row]], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What is measured of the held-out side's tokens, summed over each of its items: (totals [what, items], tokens
    [items]). measure: some rows -> [what, micro-batches, M, K], on every process.
    """
    side, N, micro = parts.heldout, parts.config.data.rows_per_step, parts.config.data.micro_rows
    totals, counts = [], np.zeros(len(side.items), int)
    for start in range(0, len(side.rows), N):
        rows = side.rows[start : start + N]
        rows = rows + [[]] * (-len(rows) % micro)
        found = measure(rows)
        totals.append(np.zeros((len(found), len(side.items))))
        for row, found_WK in zip(rows, found.reshape(len(found), len(rows), -1).swapaxes(0, 1), strict=True):
            owners = np.concatenate([side.segments[i].owners for i in row] or [np.zeros(0, int)])
            np.add.at(totals[-1], (slice(None), owners), found_WK[:, : len(owners)])
            np.add.at(counts, owners, 1)
    return sum(totals), counts


def summarise(file: Path) -> dict[str, float]:
    """Loss over all trained tokens, its perplexity, the mean over chats of each one's loss with its bootstrap 95%
    interval, chats and tokens of one evaluation file.
    """
    rows = read_jsonl(file)
    tokens = sum(row["tokens"] for row in rows)
    loss = sum(row["loss"] * row["tokens"] for row in rows) / tokens
    mean, low, high = bootstrap_ci([row["loss"] for row in rows])
    means = {"chat_loss": mean, "chat_low": low, "chat_high": high}
    return {"loss": loss, "perplexity": math.exp(loss), **means, "chats": len(rows), "tokens": tokens}


def gain(before: Path, after: Path) -> dict[str, float]:
    """How much lower the loss of a chat became, paired, mean over chats in nats, with its bootstrap 95% interval."""
    mean, low, high = paired_gain(*([-row["loss"] for row in read_jsonl(file)] for file in (before, after)))
    return {"mean": mean, "low": low, "high": high}


def said(summary: dict[str, Any]) -> str:
    """The line that ends a run."""
    b, a, g = (summary[key] for key in ("before", "after", "gain"))
    return (
        f"held-out loss {b['loss']:.4f} -> {a['loss']:.4f}, perplexity {b['perplexity']:.3f} -> {a['perplexity']:.3f}; "
        f"a chat's loss fell by {g['mean']:.4f} (95% interval {g['low']:.4f} to {g['high']:.4f})"
    )
