# ruff: noqa: E501 (tables of patterns)
"""How something is said, by rules on plain English: what the "as" of a check asks of an occurrence.

    statement   it is said: not asked, not what the patient asked about or thought, not "do not think that ..."
    advice      a statement that holds now: it hangs on no condition ("if it gets worse, call an ambulance")
    offer       a thing is put forward. That is what naming it does, unless it is asked about, stands in an if-clause, is
                warned of, is what the patient took, or what somebody else may decide
    question    it is asked: not told of oneself ("I will not ask about it, all right?")

Negation is not looked at here (`negation`). What reads like advice and needs understanding to be none is missed.
"""

from __future__ import annotations

import re

from m2jax.verifier.negation import clause

MOODS = ("statement", "advice", "offer", "question")
CONTEXT_CHARS = 600  # a sentence is looked at no further than this to either side

_END = re.compile(r"(?<!\bDr)(?<!\be\.g)(?<!\bi\.e)[.!?](?=[\s\"'”’)*]|$)|\n|;", re.IGNORECASE)
_PART = re.compile(r"[:–—]")
_TAG = re.compile(  # "Take it, will you?" asks nothing
    r",\s*(?:ok(?:ay)?|all ?right|alright|right|yes|no|please|(?:will|wo|can|could|would|do|does|is|are)(?:n['’]t)? (?:you|that|it)\b"
    r"[^,?]{0,20})\s*\?\W*$",
    re.IGNORECASE,
)
_SUGGESTS = re.compile(
    r"\b(?:why (?:not|don['’]t)|how about|(?:can|could|will|would) you please|isn['’]t it)\b", re.IGNORECASE
)
_REPORTED = re.compile(  # the patient's words, or somebody else's case
    r"\b(?:you|he|she|they)(?:['’](?:ve|d))? (?:\w+ )?(?:asked|mention(?:ed)?|wonder(?:ed)?|worried|read|heard|thought|feared)\b[^,:–—]*$"
    r"|\bmy \w+ (?:had|has|took|takes|got|gets|used|died)\b[^,:–—]*$",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:n['’]t|\bnot|\bnever|\bcannot)\s+(?:\w+\s+)?(?:wait(?!(?: \w+){0,3} (?:before|to (?:call|get|go|seek|contact|ring|phone)))|think|assume|believe|expect|hope|tell yourself|suppose|rely|count|trust"
    r"|say|mean)\b[^,:–—]*$",
    re.IGNORECASE,
)
_OTHERS = re.compile(r"\b(?:people|patients|others|some|many|most)\s+(?:\w+\s+){0,2}$", re.IGNORECASE)
_CONDITION = re.compile(
    r"\b(?:if|unless|in case|in the event)\b|(?:^|[,;])\s*should (?=(?:you|it|he|she|they|there|this|that|these|your|the|any)\b)"
    r"|\b(?:whenever|when|(?<!at )once) (?=(?:\w+ ){1,3}(?:gets?|becomes?|worsens?|starts?|appears?|develops?|happens?|comes?|feels?"
    r"|is|are|has|have|can(?:not)?)\b)"
    r"|\b(?:for|with|at) (?=(?:any|the following|the first|signs? of|wors\w+|these (?:warning|danger|red|signs?))\b)",
    re.IGNORECASE,
)
_HOLDS = re.compile(  # a condition that leaves the advice as it is
    r"\s*(?:possible|needed|necessary|so\b|in (?:any )?doubt|you (?:can|could|like|prefer|wish|have(?:n['’]t| not)|are (?:alone|able|unsure|on your"
    r" own|by yourself)|live alone|speak|call|ring|phone|get there|arrive|go)|(?:there is )?(?:no ?one|nobody|someone|somebody))\b",
    re.IGNORECASE,
)
_COMPLEMENT = re.compile(
    r"\b(?:even|as|see|ask|know|sure|wonder|check|decide)\s*$", re.IGNORECASE
)  # "even if", "see if"
_ASIDE = re.compile(  # what makes of a condition behind the advice none of it: ", and if you faint, lie down"
    r"\b(?:even|as|see|ask|know|sure|wonder|check|decide|and|but|because|that|so|tell|say|then)\s*$", re.IGNORECASE
)
_WARNING_HEADING = re.compile(r"\b(?:if|when|unless|warning|danger|red flags?|watch|look out)\b", re.IGNORECASE)
_ITEM = re.compile(r"\s*(?:[-*•]|\d+[.)])\s+")
_DRUG_SUBJECT = (
    r"\b(?:doctors?|gp|nurses?|hospital|team|clinic|they|specialists?|pharmacists?|surgeons?|dentists?|midwi\w+|paramedics?)\s+(?:\w+\s+){0,2}?"
    r"(?:may|might|can|could|will|would|should|must|decides?)\b"
)
_WARNED_BEFORE = re.compile(
    r"\b(?:caution|careful|beware|leav\w+ (?:out|off)|hold|withhold|(?:do|go|manage) without|away from|risks?|dangers?|harm\w*|allerg\w+"
    r"|react\w*|interact\w*|side effects?|replace|come off|cut (?:out|down)|limit|too much|overus\w+|worse(?:ned)? (?:with|by|from|on|after)"
    r"|against|unlike|forbid\w*|whether|(?:tell|told|ask|asks?) (?:the|your|any|every|us|them|me)\b[^,]*\b(?:about|of|that)|review\w*|history of)\b"
    rf"|{_DRUG_SUBJECT}"
    r"|\b(?:you|he|she|they)(?:['’](?:ve|re|d))? (?:(?:have|had|has|are|were|is|was|been|already|also|just|still|now|regularly) ){0,3}"
    r"(?:took|taken|taking|used|using|tried|mentioned|said)\b",
    re.IGNORECASE,
)
_WARNED_AFTER = re.compile(
    r"[^.;!?\n]{0,60}?\b(?:(?:(?:can|could|may|might|will|would) (?:\w+ )?)?(?:harm|hurt|worsen|damage|mask|hide|irritate|delay|interact|scald"
    r"|cause|trigger|provoke|raise|increase|make \w+(?: \w+){0,3} worse|do (?:more )?harm)s?\b"
    r"|makes? \w+(?: \w+){0,3} worse|(?:is|are|would be|can be|could be) (?:\w+ )?(?:harmful|dangerous|unsafe|risky|a risk|bad for)"
    r"|(?:does|do|will|would|can)(?:n['’]t| not) (?:help|work|cure|treat|kill|act|shorten|change)|does nothing|do nothing"
    r"|ha(?:s|ve) no (?:place|role|effect|use)|(?:that |which )?you (?:have |had |are |were )?(?:took|taken|taking|given|using))\b"
    r"|[\s-]{1,2}(?:allerg|overdos|poison|toxic|intoleran|misus)",
    re.IGNORECASE,
)
_IMPERATIVE = re.compile(
    r"(?<!\byou )(?<!\bthey )(?<!\bI )(?<!\bwe )(?<!\balready )(?<!\balso )(?<!\bever )"
    r"\b(?:take|use|try|give|apply|start|swallow|buy|get|add|have)\b",
    re.IGNORECASE,
)
_OWN = re.compile(r"\W*(?:(?:no|yes|well|ok(?:ay)?|so|and|but)\W+)*(?:I|we)(?:['’](?:ll|d|m|ve|re))?\b", re.IGNORECASE)
_WANTS = re.compile(
    r"\b(?:ask|know|wonder|like|want|wish|hear|understand|check|told|clear|sure|learn)\b", re.IGNORECASE
)
_NOT = re.compile(r"\b(?:not|never|no)\b|n['’]t\b", re.IGNORECASE)


def holds(mood: str, text: str, start: int, end: int) -> bool:
    """Whether the words text[start:end] are said in the mood, one of `MOODS`."""
    low, high = _sentence(text, start, end)
    before = text[low:start]
    if mood == "question":
        return not (_OWN.match(before) and (_NOT.search(before) or not _WANTS.search(before)))
    if _asked(text, low, high, start):
        return False
    if mood == "offer":
        return not _only_mentioned(text, start, end)
    if _REPORTED.search(before) or _DENIED.search(before):
        return False
    return mood == "statement" or not (_OTHERS.search(before) or _hangs(text, low, high, start))


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """Where the sentence around text[start:end] begins, and where its end mark ends."""
    low = max(0, start - CONTEXT_CHARS)
    for found in _END.finditer(text, low, start):
        low = found.end()
    close = _END.search(text, max(start, end - 1), end + CONTEXT_CHARS)
    return low, close.end() if close else min(len(text), end + CONTEXT_CHARS)


def _asked(text: str, low: int, high: int, start: int) -> bool:
    """Whether it stands in a question that is no advice: "Have you tried it?", but not "Why not try it?"."""
    if not text[low:high].endswith("?"):
        return False
    parts = [part.end() for part in _PART.finditer(text, low, high)]
    if any(place > start for place in parts):  # "Rest: can you do that?"
        return False
    asked = text[max([low, *parts]) : high]
    return not (_TAG.search(asked) or _SUGGESTS.search(asked))


def _hangs(text: str, low: int, high: int, start: int) -> bool:
    """Whether what is said holds only on a condition, before it or after it, or in the heading of its list."""
    sentence = text[low:high]
    for found in _CONDITION.finditer(sentence):
        aside = (_ASIDE if found.start() > start - low else _COMPLEMENT).search(sentence[: found.start()])
        if not (aside or _HOLDS.match(sentence, found.end())):
            return True
    line = text.rfind("\n", 0, start) + 1
    if not _ITEM.match(text, line) or not line:
        return False
    above = [row for row in text[max(0, line - CONTEXT_CHARS) : line].split("\n") if row.strip()]
    heading = next((row for row in reversed(above) if not _ITEM.match(row)), "")
    return bool(re.search(r"^\W*\*\*|^#|:\W*$", heading) and _WARNING_HEADING.search(heading))


def _only_mentioned(text: str, start: int, end: int) -> bool:
    begin, condition = clause(text, start, end)
    before = text[begin:start]
    if condition and not _IMPERATIVE.search(before):
        return True
    return bool(_WARNED_BEFORE.search(before) or _WARNED_AFTER.match(text, end))
