"""How often a generated criterion has the dimension and intent of the reference rubric, on slices of consultations.

Reference: all that the clinic knows of the patient's condition and would reward or punish at this point
(`reference_of`), written from the condition's data: which questions discriminate, how urgent it is, red flags,
management, what to avoid. Generated: what `make_rubric` makes of the record alone (`knowledge_from`), which knows
nothing of the condition but its name, as for a record from outside. The two read different sources, so agreement is not
given; they share the wording of patterns (`phrases`), of a finding that both know its cues, and what is good manner in
any reply. How much of it that makes, the rubric of another patient tells.

The slices are played by code, which knows what was asked and told; the generator has to read that off the text. So the
reference rewards a question that is still open and punishes one whose answer is known.

Same intent is decided by what criteria do, not by their words: on a pool of single sentences that doctors might say to
patients with this condition and with others, the verdicts of the two checks have a Cohen's kappa of at least `SAME`
("substantial", Landis and Koch 1977), at the same sign of points and in the same dimension. Paper, section 2: 92.7% on
100 cases, by experts and a model as referee; its denominator is not given. Here it is the generated criteria in the
dimensions that the reference has; another counts how much of the reference is found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from m2jax.clinic.condition import conditions
from m2jax.clinic.rubrics import reference_of
from m2jax.clinic.sample import condition_of, sample_question, sample_record
from m2jax.data import grading
from m2jax.data.doctor_lines import OF_KIND, questions_about
from m2jax.evaluate.agreement import kappa
from m2jax.evaluate.figures import Figure, share
from m2jax.patient.reference import tell
from m2jax.records.record import Fact, Record
from m2jax.verifier.checks import met
from m2jax.verifier.generator import knowledge_from, make_rubric
from m2jax.verifier.rubric import Criterion, Rubric

SAME = 0.6
DRAWS = 6  # of the sentences of the own condition; of four others one each
ROUNDS = 3  # of doctor and patient, at most, before the slice
SEED = 6_000_000  # no seed of training, and of no other evaluation


@dataclasses.dataclass(frozen=True)
class Slice:
    """A patient, the dialogue up to what she has just said, and ids of facts: asked for or told by then, and of those
    what stands in her last message.
    """

    record: Record
    messages: tuple[dict[str, str], ...]
    known: tuple[str, ...]
    just_told: tuple[str, ...]


def generator_figures(n: int, split: str = "heldout") -> list[Figure]:
    """Of n slices: the share of generated criteria that the reference has, the same of the rubric of the patient before
    (what agrees by chance), and the share of the reference that was generated.
    """
    found: list[list[bool]] = []
    chance: list[list[bool]] = []
    covered: list[list[bool]] = []
    apart, other = 0, rubric_of(sample_slice(SEED - 1, split))
    for i in range(n):
        slice_ = sample_slice(SEED + i, split)
        reference = reference_of(condition_of(slice_.record), slice_.record, slice_.known, slice_.just_told)
        pool = pool_of(slice_.record, np.random.default_rng([SEED, i]))
        dimensions = {r.dimension for r in reference}
        generated = rubric_of(slice_)
        rated = [c for c in generated if c.dimension in dimensions]
        same = matches(rated, reference, pool)
        found.append(list(same.any(1)))
        covered.append(list(same.any(0)))
        chance.append(list(matches([c for c in other if c.dimension in dimensions], reference, pool).any(1)))
        apart, other = apart + len(generated) - len(rated), generated
    of = "generator from the record alone"
    note = f"{sum(map(len, found))} criteria; {apart} more are of dimensions that the reference has not"
    return [
        share(f"{of}: dimension and intent of the reference", found, 0.93, note),
        share(f"{of}: the same, of another patient's rubric", chance, None, "by chance"),
        share(f"{of}: reference criteria found", covered, None, f"{sum(map(len, covered))} criteria"),
    ]


def rubric_of(slice_: Slice) -> Rubric:
    """What is generated from the record alone."""
    return make_rubric(slice_.record, slice_.messages, knowledge_from(slice_.record))


def sample_slice(seed: int, split: str) -> Slice:
    """The patient of the seed after 0 to `ROUNDS` rounds of one question and its answer."""
    record = sample_record(seed, split)
    rng = np.random.default_rng([seed, *split.encode()])
    messages = [{"role": "user", "content": sample_question(record, seed)}]
    known = [f.id for f in record.facts if f.disclosure == "volunteers" and stands(f, messages[0]["content"])]
    just_told = known
    left = [f for f in record.of("symptom", "past", "drug", "allergy") if f.disclosure == "asked" and f.cues]
    for i in rng.permutation(len(left))[: rng.integers(ROUNDS + 1)]:
        options = questions_about(left[i])
        messages += [
            {"role": "assistant", "content": options[rng.integers(len(options))]},
            {"role": "user", "content": tell(left[i], record)},
        ]
        just_told = [left[i].id]
        # a question about medicines is about all of them
        of_kind = [f.id for f in left if f.kind == left[i].kind] if left[i].kind in OF_KIND else just_told
        known = [*known, *(name for name in of_kind if name not in known)]
    return Slice(record, tuple(messages), tuple(known), tuple(just_told))


def stands(fact: Fact, message: str) -> bool:
    """Whether the fact's own words stand in the message."""
    return fact.text.rstrip(".").lower() in message.lower()


def pool_of(record: Record, rng: np.random.Generator) -> list[str]:
    """Single sentences to patients with the condition, questions about the record, some sentences to others, and a few
    strings of questions: nearly every criterion is met by a few.
    """
    own = condition_of(record)
    others = [c for c in conditions() if c.split == own.split and c.id != own.id]
    chosen = [others[i] for i in rng.permutation(len(others))[:4]]
    pool = [s for _ in range(DRAWS) for s in grading.sentences(own, rng)]
    pool += [s for other in chosen for s in grading.sentences(other, rng)]
    for fact in record.of("symptom", "past", "drug", "allergy"):
        options = questions_about(fact)
        pool += [options[i] for i in rng.permutation(len(options))[:4]]
    asked = [s for s in pool if s.endswith("?")]
    pool += [" ".join(asked[i] for i in rng.permutation(len(asked))[:4]) for _ in range(DRAWS)]
    return list(dict.fromkeys(pool))


def matches(generated: Sequence[Criterion], reference: Rubric, pool: Sequence[str]) -> np.ndarray:
    """[generated, reference] bool: same dimension, sign and intent. Two without a check match by their text."""
    made, known = verdicts(generated, pool), verdicts(reference, pool)
    same = np.zeros((len(generated), len(reference)), bool)
    for i, one in enumerate(generated):
        for j, other in enumerate(reference):
            if one.dimension == other.dimension and (one.points > 0) == (other.points > 0):
                same[i, j] = alike(one, other, made[i], known[j])
    return same


def alike(one: Criterion, other: Criterion, made: np.ndarray, known: np.ndarray) -> bool:
    """Whether two criteria have one intent; made, known: what they say of the pool."""
    if one.check is None or other.check is None:
        return one.check is other.check and one.text == other.text
    counts = np.array([(made & known).sum(), (made & ~known).sum(), (~made & known).sum(), (~made & ~known).sum()])
    return bool(kappa(counts) >= SAME)


def verdicts(rubric: Sequence[Criterion], pool: Sequence[str]) -> np.ndarray:
    """[criteria, pool] bool; of a criterion without a check all False."""
    return np.array([[c.check is not None and met(c.check, text) for text in pool] for c in rubric])
