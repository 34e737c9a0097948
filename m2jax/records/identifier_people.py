# ruff: noqa: E501 (tables of patterns)
"""Names that no title, label or list gives away, found by what people do and how they are spoken of, for `identifiers`.

"Okonjo denies pain", "spoke with Reyes", "her stepson Milo", "prefers to be called Dot", "R. T. Vandermeer",
"McAllister". Written small, a name is seen only between a relation and what only a person does ("his wife ines rang").
"""

from __future__ import annotations

import re
from collections.abc import Callable

from m2jax.records.identifier_words import (
    ALSO_WORDS,
    CLINICAL_NOUNS,
    EPONYMS,
    GENERIC,
    GIVEN_NAMES,
    NOT_NAMES,
    WIDE_PLACES,
)

_ANY_NAME = "|".join(sorted(name.lower() for name in GIVEN_NAMES - ALSO_WORDS))
_GIVEN = "|".join(sorted(GIVEN_NAMES - ALSO_WORDS))
_LOUD_GIVEN = "|".join(sorted(name.upper() for name in GIVEN_NAMES - ALSO_WORDS - {"Ana"}))  # antinuclear antibodies
_SPECIALIST = r"(?:cardi|neur|onc|ur|nephr|dermat|gastroenter|endocrin|pulmon|rheumat|hemat)ologist|psychiatrist|pediatrician|dentist"
_SMALL = r"(?:van|von|der|den|de|del|della|di|da|dos|la|le|el|al|bin|bint|ibn|ben|ter|ten)"
_BIG = r"[A-ZÀ-ÖØ-Þ]"
_WORD = rf"(?:(?:al|el|Al|El|d|D|O|L|Mc|Mac|Fitz)[-'’]?)?{_BIG}[a-zà-öø-ÿ]+(?:[-'’](?:{_BIG}[a-zà-öø-ÿ]+|[a-zà-öø-ÿ]{{3,}}))*"
_NAME = rf"(?:(?:{_BIG}\.\s?){{1,3}})?(?:{_SMALL}\s+){{0,2}}{_WORD}(?:\s+(?:{_BIG}\.?\s+)?(?:{_SMALL}\s+){{0,2}}{_WORD}){{0,3}}"
_FULL = rf"(?:{_SMALL}\s+){{0,2}}{_WORD}(?:\s+(?:{_BIG}\.?\s+)?(?:{_SMALL}\s+){{0,2}}{_WORD}){{1,3}}"
_START = r"(?:^|(?<=[.!?]\s)|(?<=\n))"
_ROLE = (
    r"(?:(?:step|half-|grand|god|foster\s)?(?:daughter|son|sister|brother|mother|father|child|mum|mom|dad|parent)(?:-in-law)?s?"
    r"|wife|husband|spouse|partner|boyfriend|girlfriend|fianc[eé]e?|aunt|uncle|cousin|niece|nephew|twins?|triplets|children|kids|siblings"
    r"|grandparents?|friend|neighbou?r|roommate|flatmate|housemate|carer|caregiver|guardian|interpreter|chaperone|godparent"
    r"|colleague|employer|boss|manager|teacher|social\s+worker|support\s+worker|key\s?worker|midwife|registrar|consultant|pharmacist"
    r"|physio(?:therapist)?|dietitian|therapist|counsell?or|paramedic|surgeon|nurse)"
)
# What only people do.
_DOES = (
    r"(?:says|said|reports(?!\s+(?:said|say|show\w*|from|of|were|are|was)\b)|reported|denies|denied|complains|complained|refuses|refused|declines|attends|attended|agrees|agreed|prefers|preferred"
    r"|asks|asked|speaks|spoke|wishes|wants|wanted|thinks|thought|believes|noticed|phoned|rang|telephoned|consented|smokes|smoked|drinks|drank"
    r"|lives|lived|slept|ate|vomited|remembers|recalls|understands|worries|explains|explained|admits|admitted\s+to|insists|insisted|mentioned"
    r"|describes|described|tells|told|cried|apologi[sz]ed|self-discharged|mobili[sz]ed|walked)"
)
_IS_DONE = (
    r"(?:(?:is|was|has\s+been|had\s+been|remains)\s+(?:very\s+|quite\s+|a\s+bit\s+)?(?:counsel+ed|advised|told|discharged|admitted|reassured|sectioned|anxious|agitated"
    r"|tearful|upset|keen|happy|unhappy|worried|confused|drowsy|cheerful|feeling|aware|unaware|married|divorced|widowed|retired|unemployed))"
)
_ALSO = rf"(?:{_DOES}|{_IS_DONE}|came|comes|returned|presented|presents|arrived|fell|collapsed|was|is|has|had|attended|tolerated|died|left)"
_TALKED = (
    r"(?:(?i:spoke|spoken|speaking|talked|discussed|liaised|agreed|met|reviewed|phoned|rang|telephoned|emailed|texted|informed|contacted|message\s+from|letter\s+from"
    r"|call\s+from|results?\s+to|handed\s+over|handover)(?:\s+(?i:it|this|case|plan|results?|findings|the\s+case|the\s+plan))?(?:\s+(?i:with|to|by|from))?)"
)
_AS = (
    r"(?i:prefers?\s+(?:to\s+be\s+called|the\s+name)|likes\s+to\s+be\s+(?:called|known\s+as)|(?:better\s+)?known\s+(?:to\s+[a-z]+\s+)?as|goes\s+by|"
    r"nick\s?names?d?(?:\s+is)?:?|alias:?|a\.?k\.?a\.?|full\s+name(?:\s+is)?|maiden\s+name(?:\s+is)?|"
    r"emergency\s+contact(?:\s+is)?:?|next\s+of\s+kin(?:\s+is)?:?|\bnok(?:\s+is)?:?|named\s+after\s+(?:his|her|their)\s+[a-z]+)"
)
_LETTER_END = r"(?i:(?:kind|best|warm|with)\s+(?:kind\s+)?(?:regards|wishes)|yours\s+(?:sincerely|faithfully|truly)|sincerely|many\s+thanks|regards|cheers),?"

_NO_PERSON = frozenset(
    """Mum Mom Dad Wife Husband Son Daughter Brother Sister Partner Friend Neighbour Neighbor Carer Caregiver Spouse
    Grandmother Grandfather Aunt Uncle Cousin Niece Nephew Twin Twins Children Kids Family Relatives Everyone Everybody
    Nobody Someone Somebody Anyone Who Staff Team Ward Crew Police Ambulance Paramedics Physio Pharmacist Pharmacy
    Teacher Colleague Midwife Registrar Consultant Nurse Nurses Interpreter Employer Boss Manager Guardian Parents
    Husband's Wife's Student Client Resident Witness Witnesses Bystander Boyfriend Girlfriend Fiancé Fiancée Pt Pts
    Lab Labs Laboratory Surgeon Surgeons Surgery Anaesthetist Medics Today Yesterday Tomorrow Then There Here Now Still
    Later Never Always Sometimes Often Once Twice Again Otherwise Overall Initially Subsequently Meanwhile Apparently
    Weight Height Appetite Sleep Mood Power Tone Reflexes Skin Chest Abdomen Bowels Urine Vision Hearing Speech
    Cough Fever Headache Nausea Rash Pain Hematology Therapist Hospice School Work Home Night Morning Evening
    Clinician Clinicians Doctors Specialist Trust Council Society College Guidelines Guideline Study Studies
    Ortho Neuro Psych Renal Vascular Heme Onc Peds Anesthesia Anaesthesia Attending Cards Pulm Uro Ophtho Transplant
    Trauma Plastics Derm Endo Rheum Palliative Radiology Pneumonia Prophylaxis Reliable Unreliable Poor Fair Self Born
    Case Titer Agree Clear Yearly Aware
    Haematology Discharge Admission Referral Community District Duty Call Bloods Results Scan""".split()
)
_KNOWN = NOT_NAMES | _NO_PERSON | GENERIC | WIDE_PLACES
_ENDS_ORDINARY = re.compile(
    r"(?i:ology|ologist|iatry|iatrics|iatrist|ician|tion|ment|ness|ity|ing|ics|therapy|therapist|itis|osis|aemia|ectomy|gram|graphy|scopy|psy|ly|ed)$"
)
_LOWER_NO_NAME = (  # small words between a relation and a verb
    r"(?!(?:also|always|never|often|only|just|then|now|still|first|once|twice|later|both|all|even|again|and|or|but|who|that|which|has|had|was|is|did|does"
    r"|himself|herself|themselves|themself|in|on|at|of|to|from|with|by|for|not|soon|already|since|today|yesterday|tonight|here|there|further|alone|says|said"
    r"|recently|he|she|it|they|later|sometimes|rather|quite|too|either|neither|nor|currently|members?|satisfaction|care|group|safety|history|portal|notes?|records?"
    r"|therapist|nurse|doctor|worker|teacher|surgeon|physician|specialist|dentist|midwife|patients?|reports?|complaints?|denies|states|feels)\b)"
)


def is_person(match: re.Match[str]) -> bool:
    """Whether the words of a match can be a name: none is ordinary, a department or medicine."""
    big = _big(match)
    if any(map(_ordinary, big)):
        return False
    after = re.match(r"['’]?[\s\-–]*([A-Za-z]+)", match.string[match.end("x") :])
    if after and after[1].lower() in CLINICAL_NOUNS:
        return False
    return not (big and all(part in EPONYMS for w in big for part in re.split(r"[-–]", w)))


def _big(match: re.Match[str]) -> list[str]:
    words = (re.sub(r"['’]s$", "", word.strip(".,")) for word in match["x"].split())
    return [word for word in words if word[:1].isupper() and len(word) > 1]


def _ordinary(word: str) -> bool:
    return word in _KNOWN or word.lower() in CLINICAL_NOUNS or _ENDS_ORDINARY.search(word) is not None


def _is_told_by_age(match: re.Match[str]) -> bool:
    """A surname before "a 45-year-old", though it may be an eponym."""
    return not any(map(_ordinary, _big(match)))


def _is_loud_name(match: re.Match[str]) -> bool:
    """A given name and a surname in capitals, but for "PAUL BUNNELL TEST"."""
    words = [word.title() for word in _big(match)]
    after = re.match(r"\s+(\w+)", match.string[match.end("x") :])
    following = (after[1],) if after else ()
    return words[0] not in EPONYMS and not any(map(_ordinary, (*words, *following)))


def _any(_: re.Match[str]) -> bool:
    return True


_TO_SAY = r"(?=[.,;:!?)]|$|\s+(?:and|who|about|regarding|from|at|on|for|in|re|this|today|has|have|had|is|was|are|were|to|that|by|both|her|his)\b|\s+\w+s\b|\s+\w+ed\b)"
PEOPLE: list[tuple[str, Callable[[re.Match[str]], bool]]] = [
    (rf"{_START}(?:(?:Pt|Patient)\s+)?(?P<x>{_NAME})\s+(?:{_DOES}|{_IS_DONE})\b", is_person),
    (rf"{_START}(?:(?:Pt|Patient)\s+)?(?P<x>{_FULL}),?\s+{_ALSO}\b", is_person),
    (rf"{_START}(?P<x>{_NAME})\s+and\s+(?:his|her|their)\s+{_ROLE}\b", is_person),
    (rf"{_START}(?P<x>{_BIG}\.(?:\s?{_BIG}\.){{1,2}})(?=\s*(?:{_DOES}|{_IS_DONE}|tolerated|presented|came|returned)\b)", _any),
    (rf"(?:^|(?<=[.,:;(]\s)|(?<=[.:(])|\b(?i:pt|patient|by|with|and|to|from|consultant|surgeon)\s+)(?P<x>(?:{_BIG}\.\s?){{1,3}}{_WORD})(?!\w)", is_person),
    (rf"(?i:\b{_ROLE})s?,?\s+\(?(?P<x>{_NAME}(?:,\s+{_NAME})*(?:\s+and\s+{_NAME})?)\)?{_TO_SAY}", is_person),
    (rf"(?i:\b{_ROLE})\s+\(\s?(?P<x>{_NAME})\s?\)", is_person),
    (rf"\b{_TALKED}\s+(?P<x>{_NAME}){_TO_SAY}", is_person),
    (rf"\b{_AS}\s*[\"'“‘]?\s*(?P<x>{_NAME})(?!\w)", is_person),
    (rf"{_LETTER_END}\s+(?P<x>{_NAME})\s*$", is_person),
    (rf"{_START}(?i:dear|hi|hello|thanks|thank\s+you),?\s+(?P<x>{_NAME})(?=,)", is_person),
    (rf"(?<![\w'’\-])(?P<x>(?:Mc|Mac|O['’]|D['’])[A-Z][a-z]{{2,}}(?:-{_WORD})?)(?!\w)", is_person),
    (rf"(?<![\w'’\-])(?P<x>(?:de\s+l[ao]s?|van\s+de[rn]?|von\s+de[rm]|bin|bint|ibn)\s+{_WORD}(?:\s+{_WORD})?)(?!\w)", is_person),
    (rf"(?i:\b(?:(?:his|her|their|my|the)\s+{_ROLE}|(?:the\s+)?(?:patient|pt)))\s+(?P<x>{_LOWER_NO_NAME}[a-zà-öø-ÿ]{{3,}}(?<!ly)(?<!ing))(?=\s+{_DOES}\b)", _any),
    (rf"\b{_TALKED}\s+(?P<x>(?:{_ANY_NAME})(?:\s+[a-z]{{3,}})?)(?=[.,;]|$|\s+(?:about|regarding|on|today|re|with|by|and|at)\b)", _any),
    (rf"{_START}(?P<x>[A-Z]['’\-A-Z]{{2,}},\s+(?:{_LOUD_GIVEN}))(?!\w)", _any),
    (rf"(?<![\w'’\-])(?P<x>(?:{_LOUD_GIVEN})\s+(?:[A-Z]\.?\s+)?[A-Z]['’\-A-Z]{{2,}})(?!\w)", _is_loud_name),
    (rf"(?i:\b(?:re|pt|patient|name))\s*:\s*(?P<x>{_WORD},\s+(?:{_GIVEN})\b(?:\s+{_BIG}\b\.?)?)", _is_told_by_age),
    (rf"(?<!\w)(?:d/w|s/b|PCP|/s/)\s+(?P<x>{_NAME}){_TO_SAY}", is_person),
    (rf"(?i:\b(?:scribe|informant|historian|{_SPECIALIST}))\s*:\s*(?P<x>{_NAME})(?=\s*[.,;(\n]|\s*$)", is_person),
    (rf"\bBaby\s+(?:Girl|Boy)\s+(?P<x>{_NAME})(?!\w)", is_person),
    (rf"{_START}(?P<x>{_WORD}),\s+an?\s+\d{{1,3}}[\s\-]+y", _is_told_by_age),
    (rf"{_START}(?P<x>[A-Z]['’\-A-Z]{{3,}},\s+[A-Z]['’\-A-Z]{{2,}})(?=\s+(?i:bed|ward|room|bay|dob|mrn|aged?|\d|seen|was|is|admitted|male|female))", is_person),
]  # fmt: skip
