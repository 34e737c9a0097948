"""What mid-training taught and what it cost: loss on held-out documents, and KL to the start model, by kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from m2jax import distributed
from m2jax.data.documents import KINDS, SHARES
from m2jax.evaluate.loss import item_totals
from m2jax.evaluate.stats import bootstrap_ci, paired_gain
from m2jax.lines import write_jsonl
from m2jax.metrics import read_jsonl
from m2jax.train import midtrain, sft


def evaluate(parts: sft.Parts, trained: Any, file: Path, tell: Callable[[str], None] = print) -> None:
    """Writes `file`: one JSON line per held-out document with its id, kind (as topic), counted tokens, and means over
    these in nats: loss (cross-entropy) and kl (from the start model). Whole or not at all, by the first process.
    """
    losses = midtrain.make_token_losses(parts.cfg, jnp.dtype(parts.config.dtype))

    def measure(rows: list[sft.Row]) -> np.ndarray:
        return losses(trained, parts.frozen, midtrain.put_rows(parts, parts.heldout, rows))

    totals, counts = item_totals(parts, measure)
    if not distributed.is_first():
        return
    means = (totals / np.maximum(counts, 1)).T
    rows = [
        {"id": item.id, "topic": item.kind, "tokens": int(n), "loss": float(ce), "kl": float(kl)}
        for item, n, (ce, kl) in zip(parts.heldout.items, counts, means, strict=True)
        if n  # a text of one token predicts nothing
    ]
    write_jsonl(file, rows)
    tell(f"{file.stem}: {len(rows)} documents, {_told(_by_kind(rows))}")


def summarise(file: Path) -> dict[str, Any]:
    """Of one evaluation file. loss, perplexity, documents and tokens, with the mean loss of a document and its
    bootstrap 95% interval, are those of the medical kinds; `kinds` has each kind's documents, tokens, loss and kl over
    its tokens.
    """
    rows = read_jsonl(file)
    medical = _medical(rows)
    mean, low, high = bootstrap_ci([row["loss"] for row in medical])
    loss = _mean(medical, "loss")
    means = {"document_loss": mean, "document_low": low, "document_high": high}
    counts = {"documents": len(medical), "tokens": sum(row["tokens"] for row in medical)}
    return {"loss": loss, "perplexity": math.exp(loss), **means, **counts, "kinds": _by_kind(rows)}


def gain(before: Path, after: Path) -> dict[str, float]:
    """How much lower the loss of a medical document became, paired, mean in nats, with its bootstrap 95% interval."""
    sides = ([-row["loss"] for row in _medical(read_jsonl(file))] for file in (before, after))
    return dict(zip(("mean", "low", "high"), paired_gain(*sides), strict=True))


def said(summary: dict[str, Any]) -> str:
    """The line that ends a run."""
    before, after = summary["before"], summary["after"]
    kl = ", ".join(f"{kind} {found['kl']:.4f}" for kind, found in after["kinds"].items())
    return (
        f"held-out medical loss {before['loss']:.4f} -> {after['loss']:.4f}, perplexity {before['perplexity']:.3f} -> "
        f"{after['perplexity']:.3f}; KL to the start model: {kl}"
    )


def _by_kind(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found = {}
    for kind in KINDS:
        if own := [row for row in rows if row["topic"] == kind]:
            counts = {"documents": len(own), "tokens": sum(row["tokens"] for row in own)}
            found[kind] = counts | {key: _mean(own, key) for key in ("loss", "kl")}
    return found


def _told(kinds: dict[str, dict[str, float]]) -> str:
    return "; ".join(f"{kind}: loss {found['loss']:.4f}, KL {found['kl']:.4f}" for kind, found in kinds.items())


def _medical(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["topic"] in SHARES["medical"]]


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    """Over tokens."""
    return sum(row[key] * row["tokens"] for row in rows) / sum(row["tokens"] for row in rows)
