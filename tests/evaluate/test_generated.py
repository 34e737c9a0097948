"""The generator beside the reference: the measure knows same from different, and slices are what code played."""

from __future__ import annotations

import numpy as np

from m2jax.clinic.rubrics import reference_of
from m2jax.clinic.sample import condition_of
from m2jax.evaluate.generated import generator_figures, matches, pool_of, sample_slice
from m2jax.verifier.phrases import asks, criterion, words

SLICES = [sample_slice(seed, "train") for seed in range(8)]


def test_a_rubric_matches_itself_wherever_the_pool_tells() -> None:
    for slice_ in SLICES[:3]:
        reference = reference_of(condition_of(slice_.record), slice_.record, slice_.known, slice_.just_told)
        pool = pool_of(slice_.record, np.random.default_rng(0))
        same = matches(reference, reference, pool)
        assert same.diagonal().mean() > 0.85
        assert (same == same.T).all()


def test_dimension_sign_and_intent_all_count() -> None:
    pool = ["Any fever?", "Do you have a fever?", "Any cough?", "Take aspirin.", "Rest."]
    fever = criterion("Asks about: fever.", 5, "inquiry", asks(("fever",)))
    reference = (fever,)
    tried = (
        criterion("Wants to know of a temperature.", 3, "inquiry", asks(("fever", "temperature"))),
        criterion("Asks about: fever.", 5, "safety", asks(("fever",))),
        criterion("Asks about: fever.", -5, "inquiry", asks(("fever",))),
        criterion("Asks about: cough.", 5, "inquiry", asks(("cough",))),
        criterion("Asks about: fever, or names aspirin or rest.", 5, "inquiry", words(("fever", "aspirin", "rest"))),
    )
    assert matches(tried, reference, pool)[:, 0].tolist() == [True, False, False, False, False]


def test_a_slice_knows_what_was_asked() -> None:
    rounds = [len(s.messages) // 2 for s in SLICES]
    assert min(rounds) == 0 or max(rounds) > 0
    for slice_ in SLICES:
        ids = {f.id for f in slice_.record.facts}
        assert set(slice_.just_told) <= set(slice_.known) <= ids
        assert slice_.messages[-1]["role"] == "user"
        reference = reference_of(condition_of(slice_.record), slice_.record, slice_.known)
        names = {i.partition(".")[2].replace("-", " ") for i in slice_.known}
        about = {c.text.removeprefix("Asks about: ").partition(" (")[0].rstrip(".") for c in reference}
        assert not names & about


def test_another_patients_rubric_agrees_less() -> None:
    own, other, found = generator_figures(8, "train")
    assert own.value > other.value + 0.3 and own.n == 8
    assert own.wanted == 0.93 and other.wanted is None and 0 < found.value < 1
