"""Of which kind a statement is, and who may hear it, by its words."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PRIVATE = re.compile(
    r"(?i)\bsex(?:ual(?:ly)?|ually)?\b(?!\s*:)|\bsex partner|condom|intercourse|unprotected|\bST[ID]s?\b|gonorrh|"
    r"chlamydia|syphilis|\bHIV\b|herpes|libido|erect(?:ile|ion)|contracepti|abortion|prostitut|homosexual|bisexual|"
    r"\bgay\b|lesbian|transgender|illicit|recreational|cocaine|heroin|crack cocaine|marijuana|cannabis|amphetamine|"
    r"\bmeth\b|ecstasy|MDMA|\bLSD\b|opioid|opiate|inject(?:ion|s|ing)? drug|intravenous drug|\bIV drug|drug (?:use|"
    r"abuse|user|addict|habit)|substance (?:use|abuse|misuse)|overdose|withdrawal|alcoholi|alcohol (?:abuse|"
    r"use disorder|dependence|misuse)|heavy (?:alcohol|drink)|binge|(?:beers?|drinks?|bottles?|pints?|liters?|shots?|"
    r"glasses)\b[^.]*(?:per|a|every|each) day|daily (?:alcohol|drink)|depress(?:ion|ed|ive)|anxi(?:ety|ous)|suicid|"
    r"self-harm|psychiatr|bipolar|schizo|\bpanic|hallucinat|delusion|\bPTSD\b|eating disorder|purg(?:es|ing)|bulimi|"
    r"anorexia nervosa|domestic|abus|violence|violent|assault|\brape|(?:feels?|is|not) (?:un)?safe at|partner abuse|"
    r"afraid of|incarcerat|prison|\bjail|(?:was|been|were|got) arrested|criminal|homeless|gambl|refugee|divorc"
)
_CONTENT = (  # what a statement says -> its kind; the first that matches. Used where the section does not tell.
    (
        "exam",
        r"\b(?:on|upon|physical|skin|neurologic\w*|mental status|pelvic|abdominal|cardiac|lung|pulmonary|ocular|"
        r"fundoscopic|rectal|further|general|slit[- ]lamp|oral|dermoscop\w*) (?:physical )?exam(?:ination)?\b|"
        r"\bexamination\b|\bexam\b|vital signs|\bblood pressure is|\btemperature is|\bpulse is|respirations are|"
        r"\bBMI\b|auscultat|palpa(?:tion|ble)|percussion|tender to|\bmm ?Hg\b|heart rate|respiratory rate|"
        r"oxygen saturation|\bappears\b|dermoscop|afebrile|body mass index",
    ),
    (
        "test",
        r"laborator|\bserum\b|biops(?:y|ies)|\bMRI\b|\bCT\b|tomogra|x-ray|radiograph|ultraso|culture|h(?:a?e)moglobin|"
        r"leukocyte|platelet|creatinine|\bECG\b|\bEKG\b|electrocardio|echocardio|\bmg/dL|mmol|mEq|/mm3|/μL|U/L|"
        r"stain\b|microscop|patholog|histolog|urinalysis|\btest(?:s|ing)?\b (?:is|was|were|are|show|reveal)|antibod|"
        r"KOH|spirometr|angiogra|endoscop|colonoscop|lumbar puncture|\bPCR\b|blood (?:count|glucose|test|work)|"
        r"electrophoresis|genetic test",
    ),
    ("allergy", r"\ballerg(?:y|ic|ies) to\b|(?:no|drug|medication|known|food) allerg|\ballergies\b"),
    (
        "family",
        r"family history|\b(?:mother|father|brother|sister|parents?|siblings?|uncle|aunt|grand\w+|cousin|son|daughter|"
        r"family members?|relatives?)(?:'s)?(?: \w+){0,3} (?:(?:has|have|had)(?! (?:not |also |been )?(?:us|notic|"
        r"noted|giv|tr|tak|brought|observ|seen|report|appl|chang|no\b))|died|was diagnosed|were diagnosed|with|"
        r"suffer\w*)\b|runs in",
    ),
    (
        "drug",
        r"\b(?:takes?|taking|prescribed|uses? (?:an? )?(?:inhaler|cream|ointment)|medications?|regimen|treated with|"
        r"therapy with|started on|supplements?|vitamins?|over-the-counter)\b|\d ?m[cg]g?\b",
    ),
    (
        "social",
        r"smok|tobacco|cigarette|alcohol|drinks|beer|wine|illicit|recreational drug|sexually active|works as|"
        r"worked as|\b(?:is|as) an? [\w ]*(?:teacher|worker|farmer|student|engineer|nurse|driver|chef|veteran)|"
        r"occupation|employ|lives (?:with|alone|in)|married|retired|immigrat|travel|college|school|\bdiet\b|"
        r"social history|\bpets?\b|sexual partner|partner (?:was|has|is)",
    ),
    (
        "past",
        r"(?:past |prior |previous )?medical history|(?<!year )(?<!years )(?<!month )(?<!week )(?<!day )(?<!hour )"
        r"history of|history is|underwent|surg(?:ery|ical)|hospitali[sz]ed|diagnosed with|vaccin|immuni[sz]|"
        r"medical problems|medical conditions|pregnanc|gravida|born at|delivered|appendectomy|ectomy\b",
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
