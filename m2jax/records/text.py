"""What free text of a record says: its statements, an age, a sex."""

from __future__ import annotations

import re

_NOTHING = re.compile(
    r"(?i)\W*(?:n/?a|none|null|nil|unknown|unavailable|unspecified|not\s+(?:applicable|available|provided|mentioned|"
    r"specified|stated|recorded|reported|given|documented|performed|done|assessed|tested|measured|obtained|indicated)|"
    r"(?:no\s+)?information\s+(?:not\s+|un)?(?:provided|available)|no\s+(?:data|information))(?:\s+(?:for\s+(?:age|"
    r"this\s+\w+)|at\s+this\s+time|provided|available|in\s+the\s+(?:case|vignette)))?\W*"
)


CHART_WORDS = frozenset(  # that stand in charts around any statement, and tell none from another
    """patient man woman boy girl child mother father his her he she presents present presented reports reported denies
    denied denying history has had having been experiencing experienced experience regarding tend tends notes noted
    significant located despite shown started old several including initially additional provided current currently
    recent recently associated complaints complains states stated described describes mentions mentioned admits year
    years month months week weeks day days not past medical any symptoms symptom""".split()
)

_DULL = CHART_WORDS | frozenset(
    """with without this that these those from into does were being more most some then than there when which while
    where after before during over under also just only very they their them other such both each because when
    like worse better improve improves feels feel felt trying very about have will would could""".split()
)


def says_something(text: object) -> bool:
    """Whether a value is more than "N/A", "Information not provided" or nothing."""
    return text is not None and bool(str(text).strip()) and not _NOTHING.fullmatch(str(text))


def telling(text: str) -> list[str]:
    """The words of a statement that may tell it from others, each once, in order, small."""
    words = dict.fromkeys(re.findall(r"[a-z]{4,}", text.lower()))
    return [word for word in words if word not in _DULL and not word.endswith("ly")]


def stem(word: str) -> str:
    """What a word of the same meaning begins with: "climbing" and "climb", "painful" and "pain"."""
    return re.sub(r"(?<=\w{4})(?:ing|ness|ful|ed|es|al|s)$", "", word)


# ---- Free text ----------------------------------------------------------

_ABBREVIATION = (
    r"(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)(?<!\bvs)(?<!\bProf)(?<!\bNo)(?<!\bno)(?<!\be\.g)(?<!\bi\.e)(?<!\bapprox)"
    r"(?<!\bAve)(?<!\bRd)(?<!\bBlvd)(?<!\bApt)(?<!\bSte)(?<!\b[A-Z])(?<!\bH)(?<!\bfig)(?<!\bSgt)(?<!\bRev)(?<!\bJr)(?<!\bSr)"
)
_SENTENCE_END = re.compile(rf"(?:{_ABBREVIATION}\.|[!?])[\"')\]]?\s+(?=[\"'(\[]?[A-Z0-9])|\s*;\s+|\n+")
_NEW_CLAUSE = re.compile(
    r",?\s+(?:but|and|however,|although|while)\s+(?=(?:he|she|they|his|her|their|the\s+(?:patient|mother|father|"
    r"parents))\s)|,\s+but\s+(?=(?:denies|reports|has|is|was|does|did|had)\s)"
)
_LIST_ITEM = r"(?:[\w\-/]+ ){0,2}[\w\-/]+"
_DENIED = re.compile(
    rf"(?P<head>.*?\b(?:[Dd]enie[sd]|[Nn]o history of|[Nn]egative for))\s+(?P<items>{_LIST_ITEM}(?:, {_LIST_ITEM})+,? "
    rf"(?:and|or) {_LIST_ITEM})\.?"
)
_LIST_HEAD = re.compile(
    r"(?i)\b(?:symptoms?|problems?|changes?|issues?|complaints?|abuse|use|illnesses|conditions?|movements?|habits?|"
    r"disease|pain|any|other|recent|significant|in|of|with|to|on|from)\b"
)


def statements(text: str) -> list[str]:
    """The sentences of a text and the clauses in them that can stand alone, each ending in a full stop."""
    text = re.sub(r"(?<![\n.!?:;])[ \t]*\n(?![ \t]*(?:\n|[-*•#]|\d+[.)]))", " ", text)  # a line broken in a sentence
    out = []
    for sentence in _SENTENCE_END.split(text):
        for clause in _NEW_CLAUSE.split(sentence) if sentence else []:
            out += _denials(re.sub(r"\s+", " ", clause.strip().lstrip("-*•#").strip()))
    return [
        part[0].upper() + part[1:].rstrip(" .,;:") + "."
        for part in out
        if says_something(part) and re.search(r"\w", part)
    ]


def _denials(clause: str) -> list[str]:
    """ "Denies fever, chills, or cough" as three statements; a list whose last word belongs to all stays whole."""
    match = _DENIED.fullmatch(clause)
    if not match or _LIST_HEAD.search(match["items"]):
        return [clause]
    items = re.split(r",? (?:and|or) |, ", match["items"])
    return [f"{match['head']} {item}" for item in items]


# ---- Age and sex --------------------------------------------------------

_UNIT_YEARS = {"year": 1.0, "yr": 1.0, "y": 1.0, "month": 1 / 12, "mo": 1 / 12, "week": 7 / 365.25, "wk": 7 / 365.25}
_UNIT_YEARS |= {"day": 1 / 365.25, "hour": 1 / 8766, "minute": 1 / 525960}
_AGE = re.compile(
    r"(?i)(?<![\d.])(\d{1,3}(?:\.\d+)?)[\s\-]*(years?|yrs?|y|months?|mos?|weeks?|wks?|days?|hours?|"
    r"minutes?)\b\.?(?!\s+(?:history|ago|of\s+(?!age)|gestation))"
)
_AGE_AFTER = re.compile(r"(?i)\b(?:age[ds]?)(?:\s+(?:of|is))?[:\s]+(\d{1,3})\b")
_AGE_WORDS = {  # where the source gives a word and no number: the middle of what it means
    "newborn": 0.0,
    "neonat": 0.0,
    "infant": 0.5,
    "toddler": 2.0,
    "adolescent": 15.0,
    "teenage": 15.0,
    "young adult": 22.0,
    "middle-aged": 50.0,
    "middle aged": 50.0,
    "elderly": 75.0,
}
_FEMALE = re.compile(r"(?i)\b(?:female|wom[ae]n|girl|lady|primigravida|gravida|f)\b|\b\d+\s*(?:yo|y/o)?\s*F\b")
_MALE = re.compile(r"(?i)\b(?:male|m[ae]n|boy|gentleman|m)\b|\b\d+\s*(?:yo|y/o)?\s*M\b")
_HER = re.compile(r"(?i)\b(?:she|her|hers|herself)\b")
_HIS = re.compile(r"(?i)\b(?:he|his|him|himself)\b")


def age_of(text: object) -> float | None:
    """Years from "35-year-old", "2 months", "Newborn", "Age: 61", 61 or "elderly"; None where no age stands."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return text if 0 <= text <= 120 else None
    if not isinstance(text, str):
        return None
    if re.fullmatch(r"\s*\d{1,3}(?:\.\d+)?\s*", text):
        return age_of(float(text))
    lower = text.lower()
    told = re.search(r"\d[\s\-]*(?:hour|day|week|month|year)s?[\s\-]*old", lower)
    if re.search(r"newborn|neonat", lower) and not told:
        return 0.0  # "Newborn, six hours post delivery": the numbers are others
    if match := _AGE.search(text):
        unit = match[2].lower().rstrip("s")
        return age_of(_plain(float(match[1]) * _UNIT_YEARS[unit]))
    if match := _AGE_AFTER.search(text) or re.search(r"(?i)(?<!\d)(\d{1,3})\s?(?:yo|y/o|[MF]\b)", text):
        return age_of(float(match[1]))
    return next((years for word, years in _AGE_WORDS.items() if word in lower), None)


def _plain(years: float) -> float:
    return int(years) if years == int(years) else round(years, 3)


def sex_of(*texts: object) -> str:
    """A member of `record.SEXES`: of the first text that has a word for it, else by who the texts call she or he."""
    texts = tuple(str(text) for text in texts if says_something(text))
    for text in texts:
        if re.search(r"(?i)\b(?:non-?binary|intersex)\b|^other$", text):
            return "other"
        female, male = _FEMALE.search(text), _MALE.search(text)
        if female or male:
            return "female" if not male or female and female.start() < male.start() else "male"
    joined = " ".join(texts)
    hers, his = len(_HER.findall(joined)), len(_HIS.findall(joined))
    return "unknown" if hers == his else "female" if hers > his else "male"
