"""Whether a phrase in a reply is negated: "do not take ibuprofen", "ibuprofen is not recommended".

Rules on plain English text, clause by clause; `checks` counts occurrences by them.
"""

from __future__ import annotations

import re

CONTEXT_CHARS = 400  # negation looks no further than this to either side
SCOPE_WORDS = 14  # a cue further away than this many words negates nothing

_AUX = "is|are|was|were|do|does|did|can|could|should|must|may|might|will|would|need|ought|has|have|had|be"
_PRONOUN = "i|you|we|it|he|she|they|there|this|these|those|please|should|must|may|can|need"
# Verbs that open new advice after a comma or "and". The second set also stands in negative lists ("do not
# smoke, drink alcohol or drive"), so it opens nothing when an "or" follows at once.
_ADVISE = (
    "call|see|seek|contact|consult|ask|talk|speak|visit|go|get|keep|stay|make|monitor|try|remember|consider|follow|rest"
    "|schedule|book|tell|let|check|watch|limit|reduce|elevate|wash|ensure|recommend|suggest|advise|encourage|urge"
    r"|prefer|switch\s+to"
)
_ACT = (
    "take|use|drink|eat|apply|start|continue|wear|sit|lie|lean|stand|pinch|press|hold|place|put|cover|rinse|clean"
    "|breathe|loosen|remove|bring|move|raise|give|inhale|gargle|walk|sleep"
)
_FILLER = "and|then|so|please|just|instead|also|always|strongly|definitely|immediately|simply"
_CONDITION = "if|when|whenever|unless|until|because|since|while|once|after|before|although|though"
_HARD = re.compile(
    rf"[;!?\n]|(?<!\be\.g)(?<!\bi\.e)(?<!\bdr)(?<!\bvs)\.(?=[\s\"')*]|$)"
    rf"|\b(?:but|however|whereas|except|instead(?!\s+of)|other\s+than)\b|,\s*yet\b|\b(?P<condition>{_CONDITION})\b",
    re.IGNORECASE,
)
_SOFT = re.compile(
    rf"(?:[,:–—]|\s-\s|\b(?:and|then|so)\b)(?=[\s*_]*(?:(?:{_FILLER})\s+)*(?:"
    rf"(?:{_PRONOUN}|{_ADVISE})\b|(?:{_ACT})\b(?!(?:\s+\w+){{0,2}}\s+n?or\b)"
    rf"|(?!n?or\b)(?:(?!\b(?:that|which|who|as)\b)[^,.;:!?\n()]){{1,60}}?\s(?:is|are|can|could|should|must|may|might|will|would)\b))"
    rf"|\bor\b(?=\s+(?:{_PRONOUN})\b)|,\s*or\b(?=\s+(?:have|are|feel|notice|develop|experience)\b)",
    re.IGNORECASE,
)
# Advice that follows an if-clause with no comma between: "if it does not help in a few days see a doctor".
_UNMARKED = re.compile(
    r"(?:\s+[\w'’]+){4,20}?(?<!\bto)(?<!\bnot)(?<!n['’]t)(?<!\bor)(?<!\band)(?<!\bnever)\s+"
    r"(?=(?:call|see|seek|contact|consult|visit|talk\s+to"
    r"|go\s+(?:\w+\s+)?to\s+(?:(?:an?|the|your)\s+)?(?:\w+\s+)?(?:hospital|emergency|er|a&e|clinic|doctor|gp))\b)",
    re.IGNORECASE,
)
_CUE = re.compile(
    r"""\b(?: (?<!\bor\s)(?<!\bwhy\s)not | cannot | (?<!\bwhy\s)\w+n['’]t
      | (?:do|does|did|is|are|should|must|need|ca|wo)nt | no(?!\s*[,:.!?–—]) | never | nor | neither | none
      | nothing | nobody | (?P<without>without) | (?P<contrast>instead\s+of|rather\s+than)
      | avoid(?:s|ed|ing)? | stop(?:s|ped|ping)?(?!\s+by\b) | quit(?:ting)? | discontinu\w+ | skip(?:ping)?
      | refrain\w* | (?:steer|stay|keep)\s+(?:clear\s+of|away\s+from|off) | hold(?:ing)?\s+off | unlikely | unable
      | den(?:y|ies|ied|ying) | (?:i|we)\s+(?:\w+ly\s+|very\s+much\s+)?doubt | free\s+(?:of|from)
      | (?<!\bbe\s)(?<!\bbeen\s)(?<!\bis\s)(?<!\bare\s)(?<!\bwas\s)(?<!\bwere\s)rule[sd]\s+out | absence\s+of
      | (?:advis|recommend|caution|warn)\w*(?:\s+you)?\s+against )\b""",
    re.IGNORECASE | re.VERBOSE,
)
# What undoes the cue right before it: "not only", "don't forget to", "no more than", "not avoid".
_UNDO = re.compile(
    r"""[\s*_]+(?:need\s+)?(?:a\s+good\s+idea\s+|safe\s+|wise\s+)?(?:to\s+)?(?:be\s+|feel\s+|you\s+|ever\s+)?(?:
      only | just | merely | simply | hesitat\w* | forget\w* | wait\w* | delay\w* | ignor\w* | postpon\w*
      | put(?:ting)?\s+off | hold(?:ing)?\s+(?:off|back) | afraid | scared | ashamed | embarrassed | shy
      | reluctant | worr\w+ | panic\w* | miss\w* | skip\w* | neglect\w* | overlook\w* | fail\w*
      | underestimat\w* | avoid\w* | stop\w* | refrain\w* | hurt | a\s+bad\s+idea
      | un(?:common|usual|likely|reasonable|safe) | doubt | matter | question | wonder | wrong | harm | shame
      | overstat\w* | (?:over)?emphasi[sz]\w*
      | stress(?:ed)?\s+(?:(?:this\s+|it\s+)?enough|how|the\s+(?:need|importance))
      | rul\w+\s+out | exclud\w* | den(?:y|ied) | go\s+(?:far\s+)?wrong
      | too\s+(?:late|early|soon) | (?:\w+\s+){0,3}(?:more|longer|later|less|fewer|greater)\s+than
      | (?:\w+\s+){0,2}exceed\w* )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_ASKED = re.compile(  # "Isn't it time to see a doctor?" asks for a yes
    r"\w+n['’]t\s+(?:i|you|we|it|he|she|they|there|this|that|these|those|the|your)\b[^.!?\n]*\?", re.IGNORECASE
)
_RELATIVE = re.compile(r"\b(?:that|which|who)\b", re.IGNORECASE)  # "a mole that does not change is harmless"
_FINITE = re.compile(r"\s(?:is|are|should|can|could|may|might|must|will|would)\s", re.IGNORECASE)
_UNFIT = (
    r"(?:be\s+|been\s+|a\s+|an\s+|the\s+)?(?:\w+ly\s+)?(?:recommend\w*|advis\w+|need\w*|necessary|required?|safe|appropriate"
    r"|suitable|indicated|effective|helpful|useful|used|taken|given|started|combined|mixed|option|good|best|right|help|work"
    r"|allowed|ok|okay|warranted|encouraged)\b"
)
_GAP_STOP = (
    rf"{_AUX}|\w+n['’]t|{_CONDITION}|but|however|so|then|that|which|who|where|than"
    r"|i|you|we|it|he|she|they|this|these|there"
)
_AFTER = re.compile(
    rf"(?P<gap>(?:[ \t,()*_\-]+(?!(?:{_GAP_STOP})\b)[^\W_][\w'’/]*){{0,6}}?)"
    rf"(?:\?\s+no(?=\s*[.,;!]|\s*$)|[ \t,():*_–—\-]+(?:"
    rf"(?:should|must|ought)(?:n['’]t|\s+not|\s+never)\b"
    rf"(?!\s+(?:to\s+)?(?:be\s+)?(?:only|just|delay|ignor|postpon|skip|miss|stop|avoid|underest|put\s+off|overlook|neglect))"
    rf"|(?:(?:{_AUX})(?:\s*not|\s+(?:never|rarely|seldom|hardly|no\s+longer))|\w+n['’]t)(?:\s+{_UNFIT}|(?=[.;!?]|$))|not\s+{_UNFIT}|avoid\b(?=\W*$|\W*\n|[.;)])"
    rf"|(?:{_AUX})\s+(?:be\s+)?(?:\w+ly\s+|best\s+|also\s+)*(?:be\s+)?(?:avoided|contraindicated|discouraged|unnecessary|unsafe"
    rf"|inappropriate|off[\s-]limits|a\s+bad\s+idea|prohibited|forbidden|discontinued|skipped)\b"
    rf"|(?:{_AUX}|seems?|looks?|appears?)\s+(?:be\s+)?(?:\w+ly\s+|very\s+)*unlikely\b(?:\s+to\s+{_UNFIT}|(?!\s+to\s+(?!me\b)))"
    rf"|(?P<ruled>(?:has\s+been|have\s+been|is|are|was|were)\s+(?:\w+ly\s+|now\s+)?ruled\s+out)\b))",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*(?:[-*•]|\d+[.)])\s+")
_HEADING = re.compile(r"\s*(?:#+\s+\S.*|\*\*.+\*\*:?|.*:[*_]*)\s*")


def is_negated(text: str, start: int, end: int) -> bool:
    """Whether the words text[start:end] are negated where they stand.

    By a cue before them in their clause ("do not take X"), a verdict after them ("X is not recommended",
    "X should be avoided"), or a cue in the heading of the list they are an item of ("Avoid:" above "- X").
    """
    low = max(0, start - CONTEXT_CHARS)
    if _CUE.search(text, low, start) and _cue_before(text, _scope(text, low, start, end)[0], start):
        return True
    verdict = _AFTER.match(text, end, end + CONTEXT_CHARS)
    if verdict and verdict["ruled"] and _scope(text, low, start, end)[1]:  # "until X has been ruled out"
        verdict = None
    if verdict and ("," not in verdict["gap"] or re.search(r"\b(?:and|or|nor)\b", verdict["gap"])):
        return True
    return _heading_negates(text, start, end)


def clause(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where the clause that leads to text[start:end] begins, and whether that is an if- or when-clause."""
    return _scope(text, max(0, start - CONTEXT_CHARS), start, end)


def _scope(text: str, begin: int, start: int, end: int) -> tuple[int, bool]:
    """Where the clause that leads to text[start:end] begins, and whether that is an if- or when-clause."""
    condition = False
    for found in _HARD.finditer(text, begin, start):
        begin, condition = found.end(), found["condition"] is not None
    if condition and (close := re.search(r"[,:–—]|\bthen\b", text[begin:start])):
        begin, condition = begin + close.end(), False
    elif condition and (advice := _UNMARKED.match(text, begin, end)) and advice.end() <= start:
        begin, condition = advice.end(), False
    for found in _SOFT.finditer(text, begin, end + CONTEXT_CHARS):
        if found.end() > start:
            break
        begin, condition = found.end(), False
    return begin, condition


def _cue_before(text: str, begin: int, start: int) -> bool:
    negated, denied, resume = False, False, begin
    for cue in _CUE.finditer(text, begin, start):
        if cue.start() < resume or _ASKED.match(text, cue.start()):
            continue
        if undone := _UNDO.match(text, cue.end(), start):
            denied, resume = True, undone.end()
            continue
        between = text[cue.end() : start]
        ahead = text[begin : cue.start()]
        aside = cue["contrast"] or (cue["without"] and not ahead.strip())
        aside = aside or (cue[0].lower() in ("no", "not") and text[: cue.start()].rstrip()[-1:] == ",")
        if (
            (aside and "," in between)
            or between.count(")") > between.count("(")
            or (_RELATIVE.search(ahead) and _FINITE.search(between))
            or len(between.split()) > SCOPE_WORDS
        ):
            continue
        negated = not (cue["without"] and denied)  # "do not take (or stop) it without asking your doctor": ask
        denied = True
    return negated


def _heading_negates(text: str, start: int, end: int) -> bool:
    lines = text[max(0, start - 4 * CONTEXT_CHARS) : start].split("\n")
    here, above = lines[-1], lines[:-1]
    item = _ITEM.match(here)
    if not item or not above:
        return False
    while above and (not above[-1].strip() or _ITEM.match(above[-1])):
        above.pop()
    if not above or not _HEADING.fullmatch(above[-1]):
        return False
    heading, lead = above[-1].rstrip(" *_:"), here[item.end() :]
    begin, condition = _scope(heading, 0, len(heading), len(heading))
    own, _ = _scope(text, start - len(lead), start, end)
    if condition or own > start - len(lead):  # "If it does not help:", or a new clause within the item
        return False
    return _cue_before(f"{heading} {lead}", begin, len(heading) + 1 + len(lead))
