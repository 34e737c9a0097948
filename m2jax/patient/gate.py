# ruff: noqa: E501 (tables of patterns)
"""Termination Gate: whether the consultation is over after the doctor's message, by rules.

It is over where the doctor has given a diagnosis with a plan, sends the patient to emergency care, says farewell, or
the limit of rounds is reached (the paper's "predefined triggers", arXiv 2509.02208, section 1). Diagnosis and plan may
come in different messages. A possibility ("it could be", "I want to rule out"), a condition ("if it is") and a question
are no diagnosis; and as long as a message asks for more history it goes on.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence

from m2jax.patient import gate_words as words
from m2jax.patient.words import read
from m2jax.verifier.negation import is_negated

REASONS = ("diagnosis", "emergency", "farewell", "limit")

MORE = 3  # words beyond a diagnosis that say what follows from it
_SENTENCE = re.compile(r"(?<=[.!?;])(?<!\bDr\.)\s+|\n+")
_LIKELY = r"(?:\w+ly|almost|quite|very|fairly|most|just|now|then|also|in fact|still)"
_DIAGNOSIS = re.compile(
    rf"""\b(?:
      (?:the|my|your|working|clinical)\s+(?:\w+\s+)?(?:diagnosis|impression|assessment)\s+(?:is|here\sis|would\sbe)
    | (?:diagnosis|assessment|impression)\s*: | i(?:'d|\s+would)?\s+diagnose | case\s+of | (?:this|that)\s+(?:\w+\s+){{1,2}}is
    | (?:the|your|its)\s+(?:\w+\s+)?(?:cause|reason|explanation|problem|culprit)\s+(?:of\s+\w+\s+(?:\w+\s+)?)?is\s+(?:likely\s+|probably\s+|most\s+likely\s+)?
    | diagnos(?:e|ing)\s+(?:you|it|this|her|him)\s+(?:with|as)
    | is\s+(?:the|my)\s+(?:most\s+)?(?:likely|probable)\s+(?:diagnosis|explanation|cause)
    | (?:most\s+)?(?:likely|probable)\s+(?:diagnosis|explanation|cause)\s+(?:\w+\s+){{0,3}}is
    | (?:this|it|that|everything|all\s+(?:of\s+)?this|all\s+signs|(?:your|these|the|her|his)\s+(?:\w+\s+){{0,3}}?(?:symptoms?|signs?|story|tests?|results?|findings))
      (?:'s|\s+is|\s+are|\s+was)?\s+(?:{_LIKELY}\s+)*
      (?:sounds?\s+(?:\w+\s+){{0,2}}like|looks?\s+(?:\w+\s+){{0,2}}like|seems?\s+to\s+be|appears?\s+to\s+be|points?\s+to|consistent\s+with|typical\s+of
        |suggests?|indicates?|fits?|in\s+keeping\s+with|compatible\s+with)
    | (?:this|it|that)(?:'s|\s+is|\s+must\s+be)\s+(?:{_LIKELY}\s+){{0,3}}(?:(?:due\s+to|caused\s+by|called|likely|probable)\s+)?(?:an?\s+|the\s+)?(?=[a-z])
    | (?:you|she|he|your\s+\w+)(?:'ve|\s+are|'re|'s|\s+is)?\s+(?:{_LIKELY}\s+|seems?\s+to\s+|appears?\s+to\s+|likely\s+|probabl[ey]\s+)*
      (?:has\s+had|have|has|got|having|suffering\s+from|experiencing)\s+(?:got\s+)?(?:{_LIKELY}\s+)?(?:an?\s+|the\s+)?(?=[a-z])
    | (?:dealing\s+with|looking\s+at)\s+(?=[a-z]) | what\s+you\s+(?:have|describe)\s+is | i'?d?\s+(?:would\s+)?call\s+(?:this|it)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_UNSURE = re.compile(
    r"\b(?:could|might|may|perhaps|maybe|possib\w+|if|whether|rule\s+out|exclude|unless|before|until\s+(?!proven)|either"
    r"|wonder\w*|not\s+(?:yet\s+)?(?:sure|certain|know)|don't\s+(?:yet\s+)?know|can't\s+say|cannot\s+say|need\s+to\s+know"
    r"|you\s+(?:said|say|told|mentioned|think|thought|believe|suspect|looked|read)|have\s+this\s+right|been\s+through|since\s+(?:you|she|he)\s+(?:have|has)|i\s+see"
    r"|your\s+(?:mother|father|brother|sister|parents?|uncle|aunt)\s+ha(?:s|ve|d)\b.*,\s*then)\b",
    re.IGNORECASE,
)
# "Everything you told me points to ..." is no repetition of what the patient told.
_TOLD_SO = re.compile(
    r"\b(?:everything|all|what)\s+(?:that\s+)?you\s+(?:said|told|mentioned|describe)\w*(?:\s+me)?\s+(?=points?|fits|suggests?|tells?|means)",
    re.IGNORECASE,
)
# "From what you told me, this is ..." is no repetition either.
_FROM_THAT = re.compile(
    r"\b(?:based\s+on|(?:judging\s+)?(?:from|by)|given|considering)\s+(?:what|everything|all)\s+(?:that\s+)?you(?:'ve|\s+have)?\s+"
    r"(?:just\s+)?(?:sa(?:id|y)|told|tell|mentioned|described?|shared|reported)(?:\s+(?:to\s+)?me)?(?:\s+so\s+far)?,?\s*",
    re.IGNORECASE,
)
_HEADING = re.compile(  # "## Assessment" above a line, or "**Plan:**" before one
    r"^[ \t#*]*(diagnosis|assessment|impression|plan|treatment)\b(?:[ \t*:]*\n\s*|[ \t*]*:[ \t*]*)",
    re.IGNORECASE | re.MULTILINE,
)
# What follows "you have" or "it is" and is no diagnosis: what the patient has told, or talk.
_NO_DIAGNOSIS = re.compile(
    r"""\s*(?:very\s+|so\s+|too\s+|really\s+|quite\s+|some\s+|any\s+|no\s+|not\s+|more\s+)*(?:
      been|had|noticed|to\b|told|said|mentioned|any\b|come|done|tried|taken|a\s+(?:lot|few|look|seat|question|moment)|lot|few|look|seat|questions?
    | pain\w*|fever\w*|temperature|cough\w*|headache|symptoms?|ache|sore|sick|nausea|vomit\w*|dizz\w*|trouble|difficult\w*|swell\w*|tired\w*
    | hard|good|great|fine|okay|ok|right|clear|important|useful|helpful|better|worse|normal|all|why|what|when|where|how|that|bad|long
    | enough|worr\w+|understand\w*|awful|best|time|possible|necessary|hand|thing|high\s+blood\s+pressure|one|concern\w*|reason\w*|glad|sorry
    | you\b|i\b|we\b|in\b|at\b|on\b|for\b|with\b|there|your|my|so\b|no\b|not\b|an?\s+(?:good|long|hard|concern|difficult|pain|fever|cough)
    | for\s+today|everything|several|two|three|questions|lost|gained|grown|(?:rash|lump|bruise|itch|bump|spot)\w*(?!\s+(?:called|due|from|caused))
    | safe|private|relief|way|quick|job|up\s+to|(?:matter|question|sign)\s+of|\w+ing\s+(?:to|for|that|when|how)|pity|shame|unclear|pending|\w+(?:ing|ful|able|ible)\W*$
    )(?:\b|$)""",
    re.IGNORECASE | re.VERBOSE,
)
_STATES = re.compile(
    r"\b(?:is|it's|that's|are|has|have|had|you've|confirms?|shows?|explains?|called|fits|found|torn|points?|dealing|due|caused|left|sure|confident)\b",
    re.IGNORECASE,
)
_HISTORY = re.compile(
    r"\b(?:family|relatives?|ever|already|known|in\s+the\s+past|years?\s+ago|history|some\s+people|others|often|note|mentions?|wrote|read|usually|many)\b",
    re.IGNORECASE,
)
_ACT = (
    "take|start|go|rest|drink|call|come|use|apply|avoid|wear|stay|keep|try|see|stretch|stop|put|chew|give|bring|book|wash|eat|raise"
    "|elevate|pick|rub|lie|lean|cool|inhale|rinse|gargle|reduce|increase|practise|practice|exercise|hold|measure|cut|offer|move|write"
    "|continue|get|have|begin|follow|return|visit|make"
)
_PLAN = re.compile(
    rf"""(?:
      \b(?:i|we)(?:'ll|'d|'m|'re|\s+will|\s+would|\s+am|\s+are|\s+want|\s+can|\s+should|\s+must|\s+need|\s+have)?\s+(?:also\s+|strongly\s+|going\s+to\s+|to\s+)*
        (?:recommend|suggest|advis|prescrib|write|want\s+you\s+(?:in|to\s+(?!tell))|operat|remov|refer|arrang|order|start|begin|send|give|book|treat|get\s+(?:an?|some|you)|check\s+your|see\s+you)\w*
    | \b(?:recommend|prescrib|advis|suggest|refer)(?:e|ed|ing)?\b
    | \b(?:you|she|he|your\s+\w+)\s+(?:should|must|need\s+to|needs\s+to|ought\s+to|can|will\s+need|have\s+to)\s+(?!tell\b|know\b|answer\b|say\b)\w+
    | \blet's\s+(?!go\s+through|see|talk|start\s+with|begin\s+with)\w+ | \b(?:plan|treatment)\s*: | \bis\s+the\s+(?:right|best)\s+(?:treatment|thing)
    | \b(?:antibiotics?|surgery|treatment|fluids|operation)\b.*\b(?:needed|will\s+do|necessary)\b | \bnothing\s+to\s+do\s+but\b
    | (?:^|[,;:]\s*|\b(?:and|please|so|then)\s+)(?:{_ACT})\b(?!\s+me\b|\s+your\s+time\b)
    | \b(?:emergency|ambulance|hospital|a&e|\ber)\b | \bcome\s+back\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_SENDS = re.compile(
    r"""(?:^|[,;:]\s*|\b(?:and|please|so|then|should|must|need\s+to|have\s+to)\s+)(?:call|dial|ring|phone|go)\b[^.?!]*
      \b(?:ambulance|emergency|999|911|112|a&e|er|hospital)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_CLOSING = re.compile(
    r"""\b(?:any\s+(?:more\s+|other\s+|further\s+)?questions|anything\s+(?:else\s+)?(?:you(?:'d|\s+would)?\s+(?:like|want)\s+to\s+ask|unclear)
    | any\s+(?:thoughts|concerns)|what\s+questions|how\s+does\s+(?:that|this|it)\s+(?:\w+\s+)?(?:sound|sit|feel)
    | what\s+do\s+you\s+think(?=\s*\?|\s+(?:of|about)\s+(?:that|this))|anything\s+else\s+i\s+can
    | make\s+sense|(?:sound|is\s+(?:that|this)|are\s+you|seem|feel)\s+(?:all\s+right|alright|okay|ok|good|fine|reasonable|clear|acceptable)
    | do\s+you\s+(?:understand|agree|follow)|are\s+you\s+(?:happy|okay|comfortable)|would\s+you\s+like\s+(?:me\s+to|to\s+know|some|that)
    | tell\s+me\s+back|repeat\s+(?:it\s+|that\s+)?back
    | (?:all\s+right|alright|okay|ok|yeah|yes|eh|cool|deal|fair\s+enough|mind\s+at\s+(?:rest|ease)|happy\s+with\s+(?:that|this)|clear(?:\s+so\s+far)?)\?|can\s+(?:somebody|someone|anyone)\s+(?:drive|take|bring)|shall\s+(?:i|we)|do\s+you\s+have\s+a\s+way)""",
    re.IGNORECASE | re.VERBOSE,
)
_ELSE = re.compile(r"\banything\s+else\s*\?", re.IGNORECASE)  # closes what told what to do, else asks
_ANSWERED = re.compile(  # by the doctor, in what follows
    r"#|\*\*|you\s+(?:asked|ask|wonder\w*)\b|(?:so\s+|and\s+)?what\s+(?:happens|next|now|does\s+(?:this|that|it)\s+mean|do\s+we\s+do|can\s+(?:we|you)\s+do)\b"
    r"|why\s*\?|is\s+(?:it|this|that)\s+(?:serious|dangerous|contagious|catching)\b",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"(?:^\W*(?:(?:now|please|first|so|okay|then|and|do)[\s,]+)*|,\s*(?:please\s+)?)(?:(?:tell\s+me|describe|show\s+me|rate|list|explain|share|say\s+more)\b"
    r"|(?:continue|go\s+on|keep\s+(?:going|talking))(?:,?\s+please)?\W*$)"
    r"|(?<!you\s)(?<!you've\s)\btell\s+me\b(?!\s+(?:back|if|when|should)\b)|\bneed\s+to\s+(?:know|hear)\b(?!\s+if)|\b(?:walk|talk|take)\s+me\s+through\b|\bfill\s+me\s+in\b|\bin\s+your\s+own\s+words\b|\bstart\s+(?:from|at)\s+the\s+(?:beginning|start|top)\b|\bhelp\s+me\s+(?:to\s+)?understand\b|\b(?:fire\s+away|go\s+ahead)\b|\b(?:carry|go)\s+on\s+telling\b|\bon\s+to\s+the\b|\b(?:begin|start)\s+(?:please\s+)?with\s+the\b|\bi(?:'d|\s+would)\s+(?:just\s+|really\s+|now\s+|also\s+|still\s+)?(?:like|love|want|need|value|appreciate|be\s+(?:interested|curious|keen|grateful))\s+(?:to\s+(?:hear|know|understand|learn|find\s+out|see\s+(?:what|how|where))|in|(?:some\s+|a\s+bit\s+)?more\s+(?:detail|about|on))\b|\byou\s+(?:can|may)\s+(?:share|explain|say)\b",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Gate:
    """stop: whether the patient ends the consultation here. reason: one of `REASONS`, or "" while it goes on;
    "fault" where `simulate.consult` refused the doctor's message.
    """

    stop: bool
    reason: str = ""


def gate(doctor_messages: Sequence[str], limit: int) -> Gate:
    """The gate's decision after the last of the doctor's messages. limit: rounds, at least 1; ValueError otherwise."""
    if limit < 1 or not doctor_messages:
        raise ValueError(f"limit is {limit} and there are {len(doctor_messages)} messages; both must be at least 1")
    last = doctor_messages[-1]
    if not asks_more(last):
        if (any(map(gives_diagnosis, doctor_messages)) or names_disease(last)) and (
            gives_plan(last) or names_and_goes_on(last)
        ):
            return Gate(True, "diagnosis")
        if any(map(_sends, _statements(last))):
            return Gate(True, "emergency")
        if any(words.FAREWELL.search(sentence) for sentence in _sentences(last)):
            return Gate(True, "farewell")
    return Gate(True, "limit") if len(doctor_messages) >= limit else Gate(False)


def gives_diagnosis(message: str) -> bool:
    """Whether some sentence commits itself to what the patient has."""
    undecided = words.OPEN.search(message)
    return any(_commits(s) or (_states_disease(s) and not undecided) for s in _statements(message))


def names_disease(message: str) -> bool:
    """Whether some sentence of a message that asks nothing names a disease as what the patient has, in whatever words:
    not as possible, past, a relative's or told by the patient.
    """
    if words.OPEN.search(message):
        return False
    return any(_names(sentence) for sentence in _statements(message)) or _opens_with_a_name(message)


def names_and_goes_on(message: str) -> bool:
    """Whether a message states a disease by name and says more than that: who has a diagnosis and asks nothing is
    telling what will be done, in whatever words.
    """
    named = [s for s in _statements(message) if _states_disease(s)]
    if not named:
        return False
    rest = named[0][[*words.disease().finditer(named[0])][-1].end() :]
    others = [s for s in _statements(message) if s != named[0]]
    return max(len(re.findall(r"\w+", text)) for text in (rest, *others)) >= MORE


def gives_plan(message: str) -> bool:
    """Whether some sentence says what to do, or how it is treated."""
    return any(
        _PLAN.search(s) or ((words.TREATMENT.search(s) or words.ADVICE.search(s)) and not words.RECAP.search(s))
        for s in _statements(message)
    )


def asks_more(message: str) -> bool:
    """Whether a message asks for history, and not only whether all is understood."""
    sentences = _sentences(message)
    answered = {s for s, after in itertools.pairwise(sentences) if _ANSWERED.match(s) and not after.endswith("?")}
    asked = (s for s in sentences if (s.endswith("?") and s not in answered) or _REQUEST.search(s))
    told = any(_PLAN.search(s) and not (_commits(s) or _states_disease(s)) for s in _statements(message))
    return any(not (_CLOSING.search(s) or (told and _ELSE.search(s))) for s in asked)


def _states_disease(sentence: str) -> bool:
    """Whether a sentence says that somebody has a disease, or begins with its name."""
    found = words.disease().search(sentence)
    if not found or _UNSURE.search(sentence) or _HISTORY.search(sentence) or words.POSSIBLE.search(sentence):
        return False
    return not is_negated(sentence, found.start(), found.end()) and (
        found.start() == 0 or _STATES.search(sentence) is not None
    )


def _names(sentence: str) -> bool:
    for found in words.disease().finditer(sentence):
        before = sentence[: found.start()]
        cut = max(before.rfind(sign) for sign in ":;—") + 1  # "no gentle way of putting it: ..." denies nothing
        if not (
            words.DOUBT.search(before)
            or words.POSSIBLE.search(sentence)
            or words.OTHERS.search(before)
            or words.RECAP.search(before)
            or is_negated(sentence[cut:], found.start() - cut, found.end() - cut)
        ):
            return True
    return False


def _opens_with_a_name(message: str) -> bool:
    """Whether it begins with a few words of which none is a verb or talk: "Molluscum. ...", "BPPV, as I thought: ..."."""
    first = re.split(r"[.,:;!?–—\n]|\s-\s", _HEADING.sub("", message.strip("#* \n")), maxsplit=1)[0]
    opening = re.findall(r"[\w'-]+", first.lower())
    return 0 < len(opening) <= 4 and not words.TALK.intersection(opening) and bool(read(first).names)


def _sends(sentence: str) -> bool:
    """Whether a sentence sends the patient to emergency care, or says that it is on its way."""
    if _SENDS.search(sentence):
        return not _UNSURE.search(sentence)
    place = words.PLACE.search(sentence)
    return bool(
        place
        and (words.NOW.search(sentence) or words.MUST.search(sentence))
        and not words.BEFORE.search(sentence)
        and not words.IF.search(sentence[: place.start()])
    )


def _commits(sentence: str) -> bool:
    if _UNSURE.search(sentence):
        return False
    for found in _DIAGNOSIS.finditer(sentence):
        rest = sentence[found.end() :]
        if not _NO_DIAGNOSIS.match(rest) and not is_negated(sentence, found.end(), len(sentence)):
            if (
                read(rest).names
                or found[0].lower().startswith("is")
                or " is the" in found[0].lower()
                or "is my" in found[0].lower()
            ):
                return True
    return False


def _statements(message: str) -> list[str]:
    return [s for s in _sentences(message) if not s.endswith("?")]


def _sentences(message: str) -> list[str]:
    plain = _TOLD_SO.sub("everything ", message.replace("’", "'"))
    plain = _HEADING.sub(r"\1: ", _FROM_THAT.sub("", plain))
    return [s.strip() for s in _SENTENCE.split(plain) if s.strip()]
