"""One measured figure, as an evaluation reports it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from m2jax.evaluate.stats import Scores, bootstrap_ci

Z = 1.959964  # of a 95% interval


@dataclasses.dataclass(frozen=True)
class Figure:
    """A mean over n records, with its 95% interval (bootstrap over records; of a share, see `share`). wanted: the least
    that is asked of it, None where it is only reported. note: what else bears on it, for the reader. each: the values
    by record, where two models are to be compared; of: of which records, a hash of their ids.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    wanted: float | None = None
    note: str = ""
    each: tuple[float, ...] = ()
    of: str = ""

    @property
    def reached(self) -> bool | None:
        """None where nothing is asked of it."""
        return None if self.wanted is None else self.value >= self.wanted


def figure(
    name: str, values: Scores, wanted: float | None = None, note: str = "", ids: Sequence[object] = ()
) -> Figure:
    """The figure of one number, or of several, per record. ids: of the records; with them the values are kept."""
    mean, low, high = bootstrap_ci(values)
    each, of = (tuple(values), hashlib.sha256(repr([*ids]).encode()).hexdigest()[:16]) if ids else ((), "")
    return Figure(name, mean, low, high, len(values), wanted, note, each, of)


def share(name: str, values: Scores, wanted: float | None = None, note: str = "", ids: Sequence[object] = ()) -> Figure:
    """The figure of what is 0 or 1, or of such in each record. Where it is the same throughout, resamples of records
    do not differ, and the interval is Wilson's (1927, doi:10.1080/01621459.1927.10502953) of as many records.
    """
    found = figure(name, values, wanted, note, ids)
    if found.value not in (0.0, 1.0):
        return found
    far = Z**2 / (found.n + Z**2)
    return dataclasses.replace(found, low=found.value * (1 - far), high=found.value * (1 - far) + far)
