"""Which examinations and tests a record has findings of, and which of them a doctor names, by rules.

A finding belongs to the first row of `PROCEDURES` whose words it holds; one that no row knows is of the physical
examination where the record calls it an examination, and of the blood tests where it calls it a test. A message names a
procedure where it holds the row's words, unless it says that there is no need of it, or only
asks what was found before.
"""

from __future__ import annotations

import re

from m2jax.patient.disclosed import questions
from m2jax.records.record import Record
from m2jax.verifier.checks import met, parse_check

PHYSICAL, BLOOD = "physical examination", "blood tests"
PROCEDURES = {  # name -> a regular expression, of findings and of what a doctor says
    "lumbar puncture": r"lumbar puncture|spinal tap|cerebrospinal|\bCSF\b",
    "biopsy": r"biops\w+|histolog\w+|cytolog\w+",
    "endoscopy": r"\w*(?:endo|gastro|colono|broncho|cysto|laparo|laryngo|hystero|procto)scop\w+",
    "electrocardiogram": r"\bECG\b|\bEKG\b|electrocardiogra\w+|heart tracing",
    "nerve and brain recordings": r"electromyogra\w+|\bEMG\b|nerve conduction|\bEEG\b|electroencephalogra\w+",
    "ultrasound": r"ultraso\w+|sonogra\w+|echocardiogra\w+|doppler|duplex",
    "CT or MRI": r"\bCT\b|\bMRI\b|computed tomogra\w+|magnetic resonance|\bscans?\b|angiogra\w+",
    "x-ray": r"\bx[- ]?rays?\b|radiogra\w+|mammogra\w+",
    "lung function": r"spirometr\w+|peak flow|lung function|pulmonary function|\bFEV1?\b",
    "swab or culture": r"\bswabs?\b|cultures?\b|\bsmears?\b|gram stain|\bPCR\b",
    "urine": r"urin\w+|dipstick",
    "stool": r"\bstool (?:test|sample|study|studies|microscopy)|faecal|fecal|\bstool\b.*(?:positive|negative)",
    "vital signs": r"vital signs|vitals|temperature|blood pressure|heart rate|\bpulse\b|respirat\w+ rate|breathing rate"
    r"|(?:oxygen )?saturation|\bSpO2\b",
    BLOOD: r"blood (?:tests?|work|counts?|samples?|sugar|glucose|gas)|\bbloods\b|\blab(?:s|orator\w+)?\b|complete blood"
    r"|\b(?:serum|plasma|haemoglobin|hemoglobin|creatinine|electrolytes|lipase|amylase|troponin|d-dimer|antibod\w+"
    r"|c-reactive protein|CRP|white cells?|platelets|thyroid function|liver function|glucose)\b",
    PHYSICAL: r"\bexamin\w+|physical exam|palpat\w+|auscultat\w+|listen to your (?:chest|heart|lungs)|press on|"
    r"(?:have a )?look (?:at|in(?:to)?) your|feel your (?:belly|abdomen|pulse|neck)|reflexes",
}

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_ORDERS = re.compile(  # a question by which something is to be done: "May I examine you?", "Could you get an x-ray?"
    r"\b(?:(?:may|can|could|shall|should|would) (?:i|we)"
    r"|(?:i|we)(?:'ll|'d| will| would| want| need| am going| are going)"
    r"|let (?:me|us)|let's|give (?:me|us)|mind if i"
    r"|(?:can|could|would|will) you (?:please )?(?:get|have|go|do|give|come)|(?:how|what) about (?:an?|some|the)"
    r"|order|arrange|perform|request)\b",
    re.IGNORECASE,
)


def procedures_of(record: Record) -> set[str]:
    """The procedures that the record has findings of."""
    found = set()
    for fact in record.of("exam", "test"):
        rows = (name for name, words in PROCEDURES.items() if re.search(words, fact.text, re.IGNORECASE))
        found.add(next(rows, PHYSICAL if fact.kind == "exam" else BLOOD))
    return found


def named_in(message: str) -> set[str]:
    """The procedures that a message of the doctor names and does not call needless or only ask about."""
    sentences = _SENTENCE.split(message.replace("’", "'"))
    said = "\n".join(s for s in sentences if not questions(s) or _ORDERS.search(s))
    return {name for name, words in PROCEDURES.items() if met(parse_check({"pattern": words}), said)}
