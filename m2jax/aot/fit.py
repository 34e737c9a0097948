"""The largest micro-batch that fits, from two compilations of the update, and what to change where something does not.

A micro-batch's rows lie over (data, fsdp) and should divide an update's: those are the sizes that come into question.
What its rows need grows with their number, so two peaks tell the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

STATE = "config.optimizer.moments='bfloat16', config.optimizer.offload=True, an adapter (config.lora.rank)"
SERVING = "a lower config.sampling.cache_tokens or config.sampling.slots, a larger model size in config.sampling.mesh"


def sizes(rows: int, shards: int) -> list[int]:
    """Micro-batches of an update of `rows`, ascending: the multiples of `shards` that divide it."""
    return [m for m in range(shards, rows + 1, shards) if rows % m == 0]


def neighbour(sizes: Sequence[int], micro: int, *, fits: bool) -> int | None:
    """The size to compile beside `micro`: the next larger where that fits, else the next smaller, if there is one."""
    if fits:
        return min((m for m in sizes if m > micro), default=None)
    return max((m for m in sizes if m < micro), default=None)


def largest(sizes: Sequence[int], peaks: Mapping[int, float], room: float) -> int:
    """The largest size whose peak fits in `room`, 0 where none does. peaks: GiB by size, of one or two that were
    compiled; of the others it is taken from the line through these.
    """
    low, high = min(peaks), max(peaks)
    slope = (peaks[high] - peaks[low]) / (high - low) if high > low else 0.0
    asked = {*sizes, *peaks} if high > low else {*peaks}
    return max((m for m in asked if peaks[low] + slope * (m - low) <= room), default=0)


def remedy(program: str, resident: Mapping[str, float], hbm: float, micro: tuple[str, int], remat: str) -> str:
    """What to change where `program` does not fit. resident: GiB by name. micro: the key of the micro-batch and the
    largest that would fit; remat: the key of that.
    """
    if program in ("init", "restore", "hand-over") or sum(resident.values()) > hbm:
        largest = max(resident, key=lambda name: resident[name])
        return f"{STATE if largest == 'training state' else SERVING}, or more chips"
    if program in ("prefill", "decode", "score"):
        return f"{SERVING}, or more chips"
    key, rows = micro
    fewer = f"config.{key}={rows}" if rows else f"shorter rows (no config.{key} fits)"
    return f"{fewer}, config.{remat}='full', {STATE}, or more chips"
