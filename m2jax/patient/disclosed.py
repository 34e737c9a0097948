# ruff: noqa: E501 (tables of patterns)
"""Which facts a doctor's message asks for: what a patient who answers and no more may tell.

Only sentences that ask count ("Any fever?", "Tell me about your family."); what the doctor explains asks nothing.
A fact is asked for where a sentence holds one of its cues, or, of a fact without cues, one of its own words or the
words of its kind. An open question, or one since when "it" is there, asks for what the patient volunteers, and one for
other symptoms for the first few that are there: the rest nobody thinks of unasked, and asking again brings no more. A
private fact needs a direct question: a cue that means it and nothing else, put to the patient. A hidden fact is never
asked for; a wish to see the whole record is no clinical question.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence

from m2jax.patient.words import read
from m2jax.records.record import Fact, Record

COME_TO_MIND = 2  # symptoms that come to a patient's mind when asked for "other symptoms"

_SENTENCE = re.compile(r"(?<=[.!?])(?<!\bDr\.)(?<!\be\.g\.)\s+|\n+")
_ASKS = re.compile(
    r"^\W*(?:(?:and|so|ok(?:ay)?|well|now|then|also|first|next|thanks?(?: you)?|i see|please|sorry)\b[\s,]*)*"
    r"(?:(?:please\s+)?(?:tell|describe|explain|walk me|talk me|list|rate (?:your|the|it|this|that|how))\b|could you|can you (?:tell|describe|say)|would you (?:tell|say|describe)"
    r"|do (?:you|they)\b|does (?:she|he|it|your|the)|did (?:you|she|he|it)|have you|has (?:she|he|it|your|the|any)"
    r"|are (?:you|there)|is (?:there|she|he|it|the|your)|was (?:there|it)|were (?:you|there)|any\b|what\b|when\b|where\b|who\b"
    r"|which\b|how\b|why\b|i(?:'d| would) like to (?:know|ask|hear)|i (?:need|want|have) to (?:know|ask|hear|understand)"
    r"|i need (?:all |more |some )?(?:the |your )?(?:details|information)"
    r"|i wonder|let me ask|may i ask)",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(r"^\W*(?:what (?:we|i)|when (?:you|it|the|this)|how (?:we|i))\b", re.IGNORECASE)
_OPEN = re.compile(
    r"\b(?:what (?:brings|brought|seems|happened|is (?:the matter|wrong|going on|troubling|bothering))|what's (?:wrong|going on|the matter)"
    r"|tell me (?:a (?:little|bit) )?(?:more|what|about (?:it|this|that|your (?:symptoms?|problem|complaint)))|describe (?:it|this|that|what|your)"
    r"|how (?:are you|do you feel|(?:can|may|could) (?:i|we) (?:help|assist)|have you been)|what (?:can|may|could) (?:i|we) do for you|anything else|what else|in your own words|go on|symptoms?)\b",
    re.IGNORECASE,
)
_SINCE = re.compile(
    r"\b(?:when|how long ago) (?:did|has|have) (?:it|this|that|these|they|all (?:of )?(?:it|this|that))\b"
    r"|\b(?:how long|since when) (?:have|has|is|did) (?:you|it|this|that|she|he|they)\b[^?]*\b(?:had|been|felt|feeling|last(?:ed)?|going on|this|that)\b",
    re.IGNORECASE,
)
_GENERAL = re.compile(r"\b(?:what|how) (?:do |have |are )?you(?:'ve)?(?: been)? (?:feel|felt|feeling)\b", re.IGNORECASE)
_OTHER_SYMPTOMS = re.compile(
    r"\b(?:(?:any|what|which|your|all) (?:other |further |more )?symptoms|other (?:symptoms|complaints|problems)"
    r"|(?:anything|something) (?:else|other)|what else)\b",
    re.IGNORECASE,
)
_WHOLE_RECORD = re.compile(
    r"\b(?:(?:whole|entire|full|complete) (?:record|file|chart|script|profile|story|prompt)|everything (?:[^.?!]* )?about (?:it|you|yourself)"
    r"|everything (?:that )?you (?:know|were (?:told|given))(?! (?:about|of) (?:your|the)\b)|everything in (?:your|the) (?:record|file|chart|script|case)"
    r"|all (?:the |your |of )?(?:facts|information|secrets|details(?! (?:of|about|on) (?:the|your|this|that)\b(?! (?:record|file|chart|script|case))))"
    r"|system prompt|(?:your|the above|all|previous) instructions"
    r"|ignore (?:your (?:role|instructions|rules|prompt)|(?:all|any|the) (?:previous|above|other|rules|instructions|of)|previous))\b",
    re.IGNORECASE,
)
_OF_KIND = {  # how a doctor asks for a kind as a whole
    "demographic": r"how old|\bage\b|\bsex\b|gender",
    "complaint": r"what brings|brought you|main (?:problem|complaint|concern)|how long|when did|where|how bad|scale",
    "past": r"medical history|past history|medical conditions?|(?:other|which|what|any|earlier|past) illness(?:es)?|health problems?|operations?|surger|diagnosed|chronic",
    "drug": r"medicine|medication|tablets|pills|prescri|over.the.counter|remed(?:y|ies)|\btaking\b|drugs",
    "allergy": r"allerg|react badly",
    "family": r"family|relatives|parents|siblings|run in",
    "social": r"social|lifestyle|habits|live (?:alone|with)|occupation|\bjob\b|smok|alcohol",
}
# Questions that hold a cue of a kind, or a habit, and mean something else.
_OTHER_MATTER = {
    "drug": re.compile(r"recreational|illegal|illicit|street drugs", re.IGNORECASE),
    "home": re.compile(r"\bsafe at home|safe in your", re.IGNORECASE),
}
_OF_ALLERGIES = re.compile(
    r"^(?!.*\b(?:tak(?:e|es|ing)|uses?|using|regular|prescri\w+)\b).*(?:allerg|react\w* badly)", re.I
)
_MEDICINE = re.compile(r"medicine|medication|drug|tablet|pill", re.IGNORECASE)
# Cues that are used of other matters too: a private fact is meant only where the sentence holds this as well.
_INDIRECT = {
    "partner": r"sexual partner|partners|new partner|\bsex\b|sexually",
    "boyfriend": r"kiss|sex|new boyfriend",
    "girlfriend": r"kiss|sex|new girlfriend",
    "drugs": r"recreational|illegal|illicit|street|party|hard drugs|(?:use|using|do|done|tried|inject\w*) (?:any )?(?:other )?drugs|drug use|"
    r"(?:alcohol|smok\w+)[^?]* drugs",
    "drug": r"recreational|illegal|illicit|street|(?:use|using|do|done|tried|inject\w*) (?:any )?(?:other )?drugs|drug use|overdose|any other drug",
    "drink": r"alcohol|\b(?:you|she|he) drink(?:ing)?\??$|how much (?:do|did|does|had) (?:you|she|he) (?:drink|drunk)|drink (?:much|often|every|at all|any (?:beer|wine))",
    "safe": r"safe at home|feel safe|safe (?:with|in your)|keep (?:yourself|you) safe|be safe",
    "feeling": r"feeling (?:low|in yourself|about (?:life|dying|yourself))|feelings? of",
    "feel about": r"feel about",
    "worry": r"worr(?:y|ies|ied) (?:you|about)|do you worry",
    "harm": r"harm(?:ing)? (?:yourself|herself|himself|others|someone|anyone)|self.harm",
    "hurt": r"hurt(?:ing)? (?:yourself|herself|himself|others|someone|anyone)",
    "hurt by": r"hurt by",
    "children": r"want|plan|have (?:any )?children|hope",
    "baby": r"want|plan|trying|hope",
    "trying": r"trying (?:for|to (?:conceive|get pregnant|have))",
    "life": r"worth living|end your life|your life|daily life",
    "death": r"thoughts? of death|\bown death|better off dead|wish",
    "die": r"want(?:ed|s)? to die|\bdying\b|wish",
    "kill": r"kill(?:ing)? (?:yourself|herself|himself|someone|anyone)",
    "purpose": r"on purpose",
    "mental": r"mental (?:health|illness|state)",
    "infection": r"pelvic|sexually|genital|vagin|\bsti\b|\bstd\b",
    "protect": r"protection|protected|condom|sex",
    "sleep": "",
    "other": "",
    "anything else": r"(?:take|taken|took|swallow\w*|drink|drunk) anything else|anything else (?:with|besides)",
    "heal": "",
    "sore": r"genital|private parts|down (?:there|below)",
    "sores": r"genital|private parts|down (?:there|below)|mouth|lips?",
    "mouth": r"sores?|ulcers?",
    "wound": "",
}


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a message asks for: ids of facts in the record's order; whether anything is asked at all; whether openly."""

    facts: tuple[str, ...]
    asks: bool
    open: bool


def asked(message: str, record: Record) -> Asked:
    """What a doctor's message asks of a record."""
    sentences = questions(message)
    named = [s for s in sentences if not _WHOLE_RECORD.search(s)]
    of_symptoms = any(_OTHER_SYMPTOMS.search(s) for s in named)
    of_onset = any(_SINCE.search(s) for s in named)
    is_open = any(_OPEN.search(s) or _WHOLE_RECORD.search(s) for s in sentences)
    first = _present(record)[:COME_TO_MIND] if of_symptoms else ()
    meant = []
    for fact in record.facts:
        if fact.disclosure == "hidden":
            continue
        direct = any(_asks_for(s, fact) for s in named)
        volunteered = (is_open or of_onset) and fact.disclosure == "volunteers"
        if direct or volunteered or fact.id in first:
            meant.append(fact.id)
    return Asked(tuple(meant), bool(sentences), is_open)


def may_tell(messages: Sequence[str], record: Record) -> frozenset[str]:
    """Ids of the facts that a patient may tell after the doctor's messages: volunteered, or asked for in one of them."""
    free = {fact.id for fact in record.facts if fact.disclosure == "volunteers"}
    return frozenset(free.union(*(asked(message, record).facts for message in messages)))


def questions(message: str) -> list[str]:
    """The sentences of a message that ask something."""
    sentences = (s.strip() for s in _SENTENCE.split(message.replace("’", "'")))
    return [s for s in sentences if s and (s.endswith("?") or (_ASKS.match(s) and not _CONDITIONAL.match(s)))]


def is_absent(fact: Fact) -> bool:
    """Whether a fact says that something is not there: "No fever.", "Has never smoked." """
    if fact.absent is not None:
        return fact.absent
    said = read(fact.text)
    return bool(said.stems) and all(negated for _, negated in said.stems)


def _present(record: Record) -> list[str]:
    """Ids of the symptoms that are there and told when asked for."""
    return [f.id for f in record.facts if f.disclosure == "asked" and f.kind == "symptom" and not is_absent(f)]


def _asks_for(sentence: str, fact: Fact) -> bool:
    cues = fact.cues
    if fact.kind != "allergy" and _OF_ALLERGIES.search(sentence):
        cues = tuple(cue for cue in cues if not _MEDICINE.search(cue))
    if fact.disclosure == "private":
        if not fact.cues:
            return _names(sentence, fact)
        return any(_holds(sentence, cue) and _is_direct(sentence, cue) for cue in cues)
    if fact.cues:
        sentence = _GENERAL.sub(" ", sentence)  # "feel" in it asks for no feeling in particular
        habit = fact.id.partition(".")[2].partition(".")[0]
        other = _OTHER_MATTER.get(habit if fact.kind == "social" else fact.kind)
        if fact.kind == "past" and re.search(_OF_KIND["past"], sentence, re.IGNORECASE):
            return "relatives" not in sentence and "family" not in sentence
        return any(_holds(sentence, cue) for cue in cues) and not (other and other.search(sentence))
    pattern = _OF_KIND.get(fact.kind)
    return bool(pattern and re.search(pattern, sentence, re.IGNORECASE)) or _names(sentence, fact)


def _names(sentence: str, fact: Fact) -> bool:
    """Whether a question holds a word of a fact that has no cues: of long facts, two of them."""
    words = read(fact.text).names
    return len(words & read(sentence).names) >= (1 if len(words) <= 4 else 2)


def _is_direct(sentence: str, cue: str) -> bool:
    if cue not in _INDIRECT:
        return True
    return bool(_INDIRECT[cue]) and re.search(_INDIRECT[cue], sentence, re.IGNORECASE) is not None


def _holds(sentence: str, cue: str) -> bool:
    return _cue(cue).search(sentence) is not None


@functools.cache
def _cue(cue: str) -> re.Pattern[str]:
    """A cue begins a word; a short one is the whole word, or its plural."""
    return re.compile(rf"\b{re.escape(cue)}" + (r"(?:s|es)?\b" if len(cue) <= 3 else ""), re.IGNORECASE)
