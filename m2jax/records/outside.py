"""What the loaders share: JSON with its place in the file, and facts from free text.

Facts are sentences, and clauses where one begins anew ("..., but she ..."). Their kind comes from the section they
stand in, or from what they say; who may hear them from both (`disclosure_of`): the complaint is volunteered; findings,
results and the diagnosis are hidden; sex, drugs, mental health, violence and the law are private; all else is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from m2jax.records.record import Fact, Record

UNSTATED = "not stated"  # the diagnosis of a record whose source gives none


@dataclass(frozen=True)
class Outside:
    """A record before de-identification. known: identifiers in its structured fields, class -> values
    (`deidentify.Known`). place: "file:line", for errors.
    """

    record: Record
    known: Mapping[str, list[str]]
    place: str


# ---- Files --------------------------------------------------------------


def read_objects(path: str | Path) -> Iterator[tuple[str, dict]]:
    """The JSON objects of a file as ("file:line", object): one a line, or one document that is an object or a list
    of them; of a folder, those of its .json, .jsonl and .ndjson files by name. ValueError is `file:line: what is wrong`.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".jsonl", ".ndjson"))
        if not files:
            raise ValueError(f"{path}:1: the folder has no .json, .jsonl or .ndjson file; give one that has")
        for file in files:
            yield from read_objects(file)
        return
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}:{line}: {error}; save the file as UTF-8") from error
    if not text.strip():
        raise ValueError(f"{path}:1: the file is empty; write JSON objects")
    by_line = path.suffix in (".jsonl", ".ndjson") or _is_json(next(line for line in text.split("\n") if line.strip()))
    for line, item in _lines(path, text) if by_line and not text.lstrip().startswith("[") else _document(path, text):
        if not isinstance(item, dict):
            raise ValueError(f"{path}:{line}: {str(item)[:80]!r} is no JSON object; write one record as {{...}}")
        yield f"{path}:{line}", item


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _lines(path: Path, text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from error


def _document(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """An object, or the items of a list with the lines they begin on."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: {error.msg} (column {error.colno})") from error
    if not isinstance(document, list):
        yield 1, document
        return
    at = text.index("[") + 1
    for item in document:
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
        yield text.count("\n", 0, at) + 1, item
        at = json.JSONDecoder().raw_decode(text, at)[1]


# ---- Sections -----------------------------------------------------------

_NOTHING = re.compile(
    r"(?i)\W*(?:n/?a|none|null|nil|unknown|unavailable|unspecified|not\s+(?:applicable|available|provided|mentioned|specified|"
    r"stated|recorded|reported|given|documented|performed|done|assessed|tested|measured|obtained|indicated)|(?:no\s+)?information\s+"
    r"(?:not\s+|un)?(?:provided|available)|no\s+(?:data|information)|not\s+\w+\s+in\s+(?:the\s+)?(?:case|vignette))(?:\s+(?:for\s+(?:age|this\s+"
    r"\w+)|at\s+this\s+time|provided|available))?\W*"
)


def says_something(text: object) -> bool:
    """Whether a value is more than "N/A", "Information not provided" or nothing."""
    return text is not None and bool(str(text).strip()) and not _NOTHING.fullmatch(str(text))


def leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts and numbers of nested objects and lists that say something, each with the keys that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    elif isinstance(value, bool):
        yield path, "yes" if value else "no"
    elif says_something(value):
        yield path, str(value).strip()


_DULL_KEYS = re.compile(
    r"(?i)(?:other )?(?:findings?|results?|general|details?|notes?|description|interpretation|others?|summary)"
)


def label(keys: Iterable[str]) -> str:
    """The words of keys: ("Imaging", "Chest_X-ray", "Findings") -> "Imaging, Chest X-ray"."""
    words = (re.sub(r"\s+", " ", key.replace("_", " ")).strip() for key in keys)
    return ", ".join(word for word in words if word and not _DULL_KEYS.fullmatch(word))


# ---- Free text ----------------------------------------------------------

_ABBREVIATION = (
    r"(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)(?<!\bvs)(?<!\bProf)(?<!\bNo)(?<!\bno)(?<!\be\.g)(?<!\bi\.e)(?<!\bapprox)"
    r"(?<!\bAve)(?<!\bRd)(?<!\bBlvd)(?<!\bApt)(?<!\bSte)(?<!\b[A-Z])(?<!\bH)(?<!\bfig)(?<!\bSgt)(?<!\bRev)(?<!\bJr)(?<!\bSr)"
)
_SENTENCE_END = re.compile(rf"(?:{_ABBREVIATION}\.|[!?])[\"')\]]?\s+(?=[\"'(\[]?[A-Z0-9])|\s*;\s+|\n+")
_NEW_CLAUSE = re.compile(
    r",?\s+(?:but|and|however,|although|while)\s+(?=(?:he|she|they|his|her|their|the\s+(?:patient|mother|father|parents))\s)|"
    r",\s+but\s+(?=(?:denies|reports|has|is|was|does|did|had)\s)"
)
_LIST_ITEM = r"(?:[\w\-/]+ ){0,2}[\w\-/]+"
_DENIED = re.compile(
    rf"(?P<head>.*?\b(?:[Dd]enie[sd]|[Nn]o history of|[Nn]egative for))\s+(?P<items>{_LIST_ITEM}(?:, {_LIST_ITEM})+,? (?:and|or) {_LIST_ITEM})\.?"
)
_LIST_HEAD = re.compile(
    r"(?i)\b(?:symptoms?|problems?|changes?|issues?|complaints?|abuse|use|illnesses|conditions?|movements?|habits?|disease|pain|any|other|recent|significant|in|of|with|to|on|from)\b"
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
    r"(?i)(?<![\d.])(\d{1,3}(?:\.\d+)?)[\s\-]*(years?|yrs?|y|months?|mos?|weeks?|wks?|days?|hours?|minutes?)\b\.?(?!\s+(?:history|ago|of\s+(?!age)|gestation))"
)
_AGE_AFTER = re.compile(r"(?i)\b(?:age[ds]?)(?:\s+(?:of|is))?[:\s]+(\d{1,3})\b")
_AGE_WORDS = {  # where the source gives a word and no number: the middle of what it means
    "newborn": 0.0,
    "neonat": 0.0,
    "premature": 0.0,
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
    """Years from "35-year-old", "2 months", "Newborn", "Age: 61", 61 or "elderly"; None where nothing of that stands."""
    if isinstance(text, bool) or text is None:
        return None
    if isinstance(text, (int, float)):
        return text if 0 <= text <= 120 else None
    if re.fullmatch(r"\s*\d{1,3}(?:\.\d+)?\s*", text):
        return age_of(float(text))
    lower = text.lower()
    for word, years in _AGE_WORDS.items():
        if (
            word in lower
            and not re.search(r"\d[\s\-]*(?:years?|months?|weeks?|days?|yo|y/o)[\s\-]*old", lower)
            and years == 0
        ):
            return years
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


# ---- Kinds and disclosure -----------------------------------------------

_PRIVATE = re.compile(
    r"(?i)\bsex(?:ual(?:ly)?|ually)?\b(?!\s*:)|\bsex partner|condom|intercourse|unprotected|\bST[ID]s?\b|gonorrh|chlamydia|syphilis|\bHIV\b|herpes"
    r"|libido|erect(?:ile|ion)|contracepti|abortion|prostitut|homosexual|bisexual|\bgay\b|lesbian|transgender|"
    r"illicit|recreational|cocaine|heroin|crack|marijuana|cannabis|amphetamine|\bmeth\b|ecstasy|MDMA|\bLSD\b|opioid|opiate|"
    r"inject(?:ion|s|ing)? drug|intravenous drug|\bIV drug|drug (?:use|abuse|user|addict|habit)|substance|overdose|withdrawal|alcoholi|"
    r"alcohol (?:abuse|use disorder|dependence|misuse)|heavy (?:alcohol|drink)|binge|(?:beers?|drinks?|bottles?|pints?|liters?|shots?|glasses)\b[^.]*"
    r"(?:per|a|every|each) day|daily (?:alcohol|drink)|depress(?:ion|ed|ive)|anxi(?:ety|ous)|suicid|self-harm|psychiatr|bipolar|schizo|panic|"
    r"hallucinat|delusion|\bPTSD\b|eating disorder|purg(?:es|ing)|bulimi|anorexia nervosa|domestic|abus|violence|violent|assault|\brape|"
    r"(?:feels?|is|not) (?:un)?safe at|partner abuse|afraid of|incarcerat|prison|\bjail|(?:was|been|were|got) arrested|criminal|homeless|gambl|refugee|divorc"
)
_CONTENT = (  # what a statement says -> its kind; the first that matches. Used where the section does not tell.
    (
        "exam",
        r"\b(?:on|upon|physical|skin|neurologic\w*|mental status|pelvic|abdominal|cardiac|lung|pulmonary|ocular|fundoscopic|rectal|further|general|"
        r"slit[- ]lamp|oral|dermoscop\w*) (?:physical )?exam(?:ination)?\b|\bexamination\b|\bexam\b|vital signs|\bblood pressure is|\btemperature is|"
        r"\bpulse is|respirations are|\bBMI\b|auscultat|palpa(?:tion|ble)|percussion|tender to|\bmm ?Hg\b|heart rate|respiratory rate|oxygen saturation|"
        r"\bappears\b|dermoscop|afebrile|body mass index",
    ),
    (
        "test",
        r"laborator|\bserum\b|biops(?:y|ies)|\bMRI\b|\bCT\b|tomogra|x-ray|radiograph|ultraso|culture|h(?:a?e)moglobin|leukocyte|platelet|"
        r"creatinine|\bECG\b|\bEKG\b|electrocardio|echocardio|\bmg/dL|mmol|mEq|/mm3|/μL|U/L|stain\b|microscop|patholog|histolog|urinalysis|"
        r"\btest(?:s|ing)?\b (?:is|was|were|are|show|reveal)|antibod|KOH|spirometr|angiogra|endoscop|colonoscop|lumbar puncture|"
        r"\bPCR\b|blood (?:count|glucose|test|work)|electrophoresis|genetic test",
    ),
    ("allergy", r"\ballerg(?:y|ic|ies) to\b|(?:no|drug|medication|known|food) allerg|\ballergies\b"),
    (
        "family",
        r"family history|\b(?:mother|father|brother|sister|parents?|siblings?|uncle|aunt|grand\w+|cousin|son|daughter|family members?|relatives?)(?:'s)?"
        r"(?: \w+){0,3} (?:has|have|had|died|was diagnosed|were diagnosed|with|suffer\w*)\b|runs in",
    ),
    (
        "drug",
        r"\b(?:takes?|taking|prescribed|uses? (?:an? )?(?:inhaler|cream|ointment)|medications?|regimen|treated with|therapy with|started on|"
        r"supplements?|vitamins?|over-the-counter)\b|\d ?m[cg]g?\b",
    ),
    (
        "social",
        r"smok|tobacco|cigarette|alcohol|drinks|beer|wine|illicit|recreational drug|sexually active|works as|worked as|\b(?:is|as) an? [\w ]*(?:teacher|worker|"
        r"farmer|student|engineer|nurse|driver|chef|veteran)|occupation|employ|lives (?:with|alone|in)|married|retired|immigrat|travel|college|school|\bdiet\b|"
        r"social history|\bpets?\b|sexual partner|partner (?:was|has|is)",
    ),
    (
        "past",
        r"(?:past |prior |previous )?medical history|(?<!year )(?<!years )(?<!month )(?<!week )(?<!day )(?<!hour )history of|history is|underwent|surg(?:ery|ical)|hospitali[sz]ed|diagnosed with|vaccin|immuni[sz]|medical problems|"
        r"medical conditions|pregnanc|gravida|born at|delivered|appendectomy|ectomy\b",
    ),
)
_CONTENT = tuple((kind, re.compile(f"(?i){pattern}")) for kind, pattern in _CONTENT)


def kind_of(statement: str, default: str, among: Iterable[str] | None = None) -> str:
    """The kind that the words of a statement tell, of those in `among` (None: all); else the default."""
    return next((kind for kind, p in _CONTENT if (among is None or kind in among) and p.search(statement)), default)


def disclosure_of(kind: str, text: str) -> str:
    """A member of `record.DISCLOSURES`."""
    if kind == "complaint":
        return "volunteers"
    if kind in ("exam", "test", "diagnosis"):
        return "hidden"
    return "private" if kind != "demographic" and _PRIVATE.search(text) else "asked"


# ---- The record ---------------------------------------------------------


def build(
    id: str, age: float | None, sex: str, diagnosis: str, found: Iterable[tuple[str, str]], source: str
) -> Record:
    """A record of (kind, statement) pairs: each statement once, and what states the diagnosis hidden as "diagnosis"
    (but for the family's illnesses). If no complaint is left, the first symptom is one.
    """
    states = _states(diagnosis)
    seen: set[str] = set()
    pairs: list[tuple[str, str]] = []
    for kind, text in found:
        key = re.sub(r"\W+", " ", text).strip().lower()
        if key and key not in seen:
            seen.add(key)
            pairs.append(("diagnosis" if kind != "family" and states and states.search(text) else kind, text))
    if not any(kind == "complaint" for kind, _ in pairs):
        first = next((i for i, (kind, _) in enumerate(pairs) if kind == "symptom"), None)
        if first is None:
            pairs.insert(0, ("complaint", "Comes because of a problem with health."))
        else:
            pairs[first] = ("complaint", pairs[first][1])
    count: dict[str, int] = {}
    facts = []
    for kind, text in pairs:
        count[kind] = count.get(kind, 0) + 1
        facts.append(Fact(f"{kind}.{count[kind]}", kind, text, disclosure_of(kind, text)))
    return Record(id, age, sex, diagnosis, tuple(facts), source)


def _states(diagnosis: str) -> re.Pattern[str] | None:
    if diagnosis == UNSTATED:
        return None
    names = [re.sub(r"\([^)]*\)", " ", diagnosis), *re.findall(r"\(([^)]*)\)", diagnosis)]
    words = [re.findall(r"\w+", name) for name in names]
    forms = [r"\W+".join(map(re.escape, name)) for name in words if len("".join(name)) > 2]
    return re.compile(rf"(?i)\b(?:{'|'.join(forms)})\b") if forms else None
