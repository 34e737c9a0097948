"""Whether a rewritten text says nothing that its source does not say: rules, made to drop too much rather than too
little.

    reason = unfaithful(source, text)     # "" where nothing was found

    empty, cut off, control token                what is no text
    too short, too long, too little kept         half to 1.6 times the words; half of what the source tells
    new number: 40    new number: 5 g            a number the source has not, or has only with other units
    new drug: ...                                a word that is a drug by its name or ending
    new claim: ...                               a medical term, a side or a degree that the source has not; or a
                                                 sentence of which most is new
    negation changed: ...                        said with "no" where the source says it without, or the other way round
    stronger: always                             "may" became "always"

Words are compared by their stems, synonyms joined (`patient.words`). A right answer in other technical words ("heart
attack" for "myocardial infarction") counts as new: what is lost is a document, not the truth.
"""

from __future__ import annotations

import functools
import re

from m2jax.clinic.condition import conditions
from m2jax.patient.words import NUMBER_WORDS, OPPOSITES, numbers, read, stem

SHORTEST, LONGEST, KEPT = 0.5, 1.6, 0.5
MOSTLY = 0.4  # the share of a sentence's stems from which on it is new, where two or more are
_STRONG = frozenset(
    "always never must certainly definitely undoubtedly invariably impossible proven guaranteed guarantees".split()
)
_UNITS = {
    "mg": "mg|milligrams?", "g": "g|grams?", "mcg": "mcg|µg|μg|micrograms?", "kg": "kg|kilograms?|kilos?",
    "ml": "ml|millilit(?:er|re)s?", "l": "l|lit(?:er|re)s?", "%": "%|per ?cent", "mmol": "mmol(?:/l)?",
    "mmHg": "mm ?hg", "degree": "°c|°f|degrees?", "minute": "minutes?|mins?", "hour": "hours?|h", "day": "days?",
    "week": "weeks?", "month": "months?", "year": "years?", "time": "times", "unit": "units?|iu",
    "tablet": "tablets?|capsules?|puffs?|drops?",
}  # fmt: skip
_IMPLIED = {"year", "time"}  # "a man of 60"
_DOSES = {"mg", "g", "mcg", "ml", "unit", "tablet"}
_WITH_UNIT = re.compile(
    r"(?:(?P<low>\d+(?:\.\d+)?)\s*(?:to|or|and|-|–)\s*)?(?P<high>\d+(?:\.\d+)?)[ -]?(?:"
    + "|".join(f"(?P<u{i}>{names})" for i, names in enumerate(_UNITS.values()))
    + r")(?!\w)",
    re.IGNORECASE,
)
_DRUG = re.compile(
    r"\b(?:\w{2,}(?:cillin|phenicol|mycin|micin|cycline|acin|azole|sartan|statin|olol|dipine|semide|thiazide|gliptin"
    r"|gliflozin|glutide|formin|xaban|parin|grel|profen|fenac|oxicam|coxib|triptan|setron|azepam|zolam|barbital|caine"
    r"|asone|nisone|solone|lukast|[^s]terol|tropium|dronate|tidine|mab|tinib|ciclib|vir|oxetine|pramine|triptyline"
    r"|azine|idone|apine)|(?!ap)\w{3,}pril|aspirin|paracetamol|acetaminophen|warfarin|insulin|morphine|codeine|tramadol"
    r"|fentanyl|naloxone|digoxin|amiodarone|adenosine|lithium|valproate|carbamazepine|phenytoin|levetiracetam"
    r"|levothyroxine|methotrexate|colchicine|allopurinol|salbutamol|albuterol|montelukast|theophylline|adrenaline"
    r"|epinephrine|atropine|nitroglycerin|heparin|streptokinase|alteplase|clopidogrel|steroids?|cortisone|antibiotics?"
    r"|opioids?|vaccines?|nitrofurantoin|trimethoprim|vancomycin|loperamide|ondansetron|metoclopramide|bisacodyl"
    r"|lactulose|senna|sertraline|citalopram|escitalopram|venlafaxine|mirtazapine|gabapentin|pregabalin|baclofen"
    r"|spironolactone|furosemide|glucagon|naproxen|ibuprofen|melatonin|chemotherapy|radiotherapy)s?\b",
    re.IGNORECASE,
)
_GIVEN = re.compile(
    r"\b(?:take|taking|give|giving|given|prescrib(?:e|ed|ing)|treat(?:ed|ing)? with|doses? of)\s+"
    r"(?:oral |topical |inhaled |intravenous |some |the |an? )?([a-z]{6,})\b"
    r"(?=\s+(?:\d|for|once|twice|daily|tablet|every)|[.,;])",
    re.IGNORECASE,
)
_TERMS = """
abdomen ankle arm artery back bladder bowel brain breast calf chest ear elbow eye face finger foot gallbladder groin
hand head heart hip jaw joint kidney knee leg limb lip liver lung lymph mouth muscle neck nerve nose ovary pancreas
pelvis prostate rectum shoulder skin spine spleen testis throat thyroid tongue tonsil tooth toe uterus vein wrist womb
anaemia anemia appendicitis arthritis asthma bronchitis cancer cirrhosis clot concussion dehydration dementia depression
diabetes eclampsia embolism epilepsy fracture gout haemorrhage hemorrhage hepatitis hernia hypertension hypotension
infarction infection inflammation ischaemia ischemia jaundice leukaemia lymphoma malaria measles meningitis migraine
nephritis obesity oedema edema osteoporosis pneumonia pneumothorax pregnancy pregnant psoriasis sepsis shingles
shock stroke thrombosis tuberculosis tumour tumor ulcer
chill constipation cough cramp diarrhoea diarrhea dizzy faint fever hallucination headache itch nausea numb pain
palpitation paralysis rash seizure sneeze sweat swelling thirst tremor vomit weakness wheeze bleeding blister
bruise confusion biopsy colonoscopy culture ecg endoscopy mri scan spirometry swab ultrasound xray catheter transplant
surgery operation antibody bacteria bacterial fungus fungal parasite viral virus
fatal lethal contagious hereditary genetic chronic acute rare common children child infant elderly smoker alcohol
"""
_CONTROL = re.compile(r"<\|?/?[a-z_]+\|?>", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ENDS = re.compile(r"[.!?:)\]\"'”’|]\s*$")


def unfaithful(source: str, text: str) -> str:
    """The first reason for which `text` may not stand for `source`, "" where there is none."""
    source, text = _in_digits(source), _in_digits(text)
    return no_text(text) or _length(source, text) or added(source, text) or _turned(source, text)


def added(source: str, text: str) -> str:
    """The first number, drug or claim that the source does not have; "" where there is none."""
    return new_number(source, text) or new_drug(source, text) or _new_claim(source, text)


def new_number(source: str, text: str) -> str:
    """A number that the source has not, or has with other units alone."""
    if extra := sorted(numbers(text) - numbers(source)):
        return f"new number: {extra[0]}"
    known = _quantities(source)
    for number, units in sorted(_quantities(text).items()):
        if strange := sorted(units - known.get(number, set()) - _IMPLIED):
            return f"new number: {number} {strange[0]}"
    return ""


def new_dose(source: str, text: str) -> str:
    """An amount of a drug that the source does not give."""
    known, found = (
        {(n, unit) for n, units in _quantities(_in_digits(t)).items() for unit in units & _DOSES}
        for t in (source, text)
    )
    return next((f"new dose: {n} {unit}" for n, unit in sorted(found - known)), "")


def new_drug(source: str, text: str) -> str:
    """A drug, by its name or ending or as what is taken or given, that the source does not name."""
    known = {_singular(word) for word in re.findall(r"\w+", source.lower())}
    named = [*(m[0] for m in _DRUG.finditer(text)), *(m[1] for m in _GIVEN.finditer(text))]
    return next((f"new drug: {word.lower()}" for word in named if _singular(word) not in known), "")


def sentences(text: str) -> list[str]:
    """Its sentences, and lines that are none."""
    found = re.split(r"(?<=[.!?;])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bDr\.)\s+|\n+", text)
    return [part.strip() for part in found if part.strip()]


def no_text(text: str) -> str:
    """Why it is no text that could be learned; "" where it is one."""
    if not re.search(r"\w", text):
        return "empty"
    if _CONTROL.search(text):
        return "control token"
    return "" if _ENDS.search(text) else "cut off"


def _length(source: str, text: str) -> str:
    share = len(text.split()) / max(len(source.split()), 1)
    if not SHORTEST <= share <= LONGEST:
        return "too short" if share < SHORTEST else "too long"
    told = read(source).names
    return "too little kept" if len(told & read(text).names) < KEPT * len(told) else ""


def _new_claim(source: str, text: str) -> str:
    known = read(source).names
    for sentence in sentences(text):
        here = read(sentence).names
        new = here - known
        if terms := new & _terms():
            return f"new claim: {next(w for w in re.findall(r'[a-z]+', sentence.lower()) if stem(w) in terms)}"
        mostly = len(new) > MOSTLY * len(here) and (len(new) > 1 or new == here)
        if mostly and not _heading(sentence):
            return f"new claim: {sentence[:60]}"
    return ""


def _turned(source: str, text: str) -> str:
    before, after = read(source), read(text)
    for name in sorted(before.names & after.names):
        if after.polarities(name) - before.polarities(name):
            return f"negation changed: {name}"
    said = {word for word in re.findall(r"[a-z]+", source.lower())}
    return next((f"stronger: {w}" for w in re.findall(r"[a-z]+", text.lower()) if w in _STRONG - said), "")


def _heading(sentence: str) -> bool:
    return sentence.endswith(":") or sentence.startswith(("#", "**")) or len(sentence.split()) <= 3


def _quantities(text: str) -> dict[str, set[str]]:
    """The units that each number is written with; both numbers of "2 to 4 weeks" are."""
    found: dict[str, set[str]] = {}
    for match in _WITH_UNIT.finditer(text):
        unit = next(name for i, name in enumerate(_UNITS) if match[f"u{i}"])
        for number in (match["low"], match["high"]):
            if number:
                found.setdefault(number, set()).add(unit)
    return found


def _in_digits(text: str) -> str:
    """With numbers in digits, without commas between thousands."""
    text = re.sub(r"[a-z]+", lambda m: NUMBER_WORDS.get(m[0].lower(), m[0]), text, flags=re.IGNORECASE)
    return _THOUSANDS.sub("", text)


def _singular(word: str) -> str:
    return word.lower().removesuffix("s")


@functools.cache
def _terms() -> frozenset[str]:
    """Stems of terms that are never mere wording: organs, complaints, conditions, tests, sides and degrees."""
    names = " ".join(name for c in conditions() for name in (c.name, *c.names))
    sides = {side for pair in OPPOSITES for side in pair}
    return frozenset({stem(word) for word in _TERMS.split()} | read(names).names | sides)
