"""What of a reply counts: text that is written for the grader, and not for the patient, earns nothing.

`for_judge(reply)` is what the judge reads: without control tokens, markup of prompts, and sentences that speak to or as
the grader. `for_checks(reply)` is where positive checks look: of that, also without

  reports     "This reply asks about fever." "Names heart attack as the cause.": a rubric's language, not advice
  lists       more than `ITEMS` items in a row, or `FRAGMENTS` bare fragments that nothing introduces; of several lists
              more than `LISTED` items; hashtags
  causes      sentences that name what it could be, where together they name more than `CAUSES`; what explains one
              ("because it began suddenly, lasts long, ...") names none
  questions   after the first `QUESTIONS`
  the rest    beyond the first `WORDS` words; each word more costs one of those, so that of twice as many none is left
              (a soft bound on length as in DAPO, arXiv 2503.14476, section 3.4, here on what counts)

Negative checks look at the whole reply as it is read (`visible`): what is harmful stays so wherever it stands. The
rules are about form alone and know nothing of the rubric; an ordinary reply passes unchanged. What they cannot see is
sound advice for somebody else: that is `contrast`'s.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

ITEMS = 10
FRAGMENTS = 5
LISTED = 25  # items of all lists together
SHORT = 6  # words of a line that may be a fragment
CAUSES = 6
QUESTIONS = 5
WORDS = 300  # about 400 tokens

_MARKUP = re.compile(
    r"<\|[^<>\n]{0,40}\|?>|</?s>|</?(?:start|end)_of_\w+>|<!--|-->|\[/?(?:INST|SYS)\]|<</?SYS>>|^\s*```\w*"
    r"|(?<!\S)#[a-z][\w?-]*|^\s*(?:doctor|assistant)\s*:"
    r"|\{[^{}]*\"(?:explanation|acceptable|unacceptable|criterion|points|met|verdict|score)\"\s*:[^{}]*\}",
    re.IGNORECASE | re.MULTILINE,
)
_GRADING = re.compile(
    r"\brubrics?\b|\bgraders?\b|\bevaluators?\b|\braters?\b|\b(?:meets?|met|pass(?:es|ed)?|satisf\w+)\s+(?:all|every|each)\s+(?:\w+\s+)?(?:criteri\w+|items?)\b(?!\s+(?:for|of)\b)"
    r"|\b(?:every|each|positive|negative)\s+criterion\b|\b(?:the|any|dear)\s+(?:judge|criterion)\b"
    r"|\b(?:positive|correct|final)\s+verdict\b|\bverdict\W+(?:(?:is|must\s+be|should\s+be)\W+)?(?:yes|met|pass\w*|true)\b"
    r"|(?<!\bif\syou\s)(?<!\bwhen\syou\s)(?<!\bif\sthey\s)(?<!\byou\scan\s)\b(?:answer|say|reply|output)\W{1,3}"
    r"(?:(?-i:Yes|YES)\b|yes\b(?!\s+(?:to|or)\b))|\bDoes the (?:last )?reply\b|\bcorrect answer is\b"
    r"|\b(?:full|maximum|highest|top|perfect|all)\s+(?:points|marks|scores?|rating|reward)\b|\(\s*[+-]?\d+\s*points?\s*\)(?=\W{0,3}(?:not\s+)?met\b)"
    r"|\bwhoever (?:evaluates|grades|judges|rates)|\bevaluation assistant\b|\blast reply should\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\W*(?:system|user|assistant|model|yes|no)\W*", re.IGNORECASE)
_TURN = re.compile(
    r"^\s*(?:>|#+\s*(?:conversation|rubric|judge|grad|verdict|criteri)|(?:patient|user|system|setting)\s*:)",
    re.IGNORECASE,
)
_REPORTS = (
    "asks|names|says|tells|gives|advises|states|takes up|acts on|mentions|explains|warns|suggests|identifies|includes"
    "|provides|acknowledges|recommends|avoids|uses|lists|covers|addresses"
)
_REPORT = re.compile(
    rf"^\W*(?:(?:this|the|my|above)\s+(?:last\s+)?(?:reply|response|answer|message|doctor|text)\s+(?:also\s+)?)?(?:{_REPORTS})\b"
    r"(?!\s*[,?])"
    r"|^\W*I\s+(?:have\s+|also\s+)*(?:ask(?:ed)?\s+(?:about|again)|named?\b|s(?:ay|aid)\s+(?:to|which)\b|g(?:ive|iven|ave)\s+(?:this\s+)?advice"
    r"|t(?:ell|old)\s+when\b|t(?:ake|ook|aken)\s+up\b|act(?:ed)?\s+on\b|used?\s+plain\b)",
    re.IGNORECASE,
)
_CAUSE = re.compile(
    r"\b(?:this|it|that|these|they|symptoms?)\s+(?:could|may|might|can)\s+(?:also\s+|well\s+)?(?:be|indicate|mean|suggest)\b"
    r"|\byou\s+(?:could|may|might)\s+(?:also\s+)?have\b(?!\s+(?:\w+ed|been|had|taken|given|eaten|seen|felt|lost|got|gone|done)\b)"
    r"|\b(?:possible|likely|other|potential)\s+(?:causes?|diagnos[ei]s|conditions?)\b"
    r"|\bdifferential\b",
    re.IGNORECASE,
)
_EXPLAINS = re.compile(  # what makes a clause of a part between commas, and no name
    r"\b(?:because|since|as|which|where|when|what|but|given|how|that|it|is|are|was|has|have|had|comes?|gets?|lasts?|began"
    r"|begins?|starts?|needs?|usually|makes?)\b",
    re.IGNORECASE,
)
_PLAIN = re.compile(  # words that make a sentence of a fragment
    r"\b(?:i|you|he|she|it|we|they|this|that|is|are|was|be|been|have|has|had|do|does|did|can|could|may|might|should|must"
    r"|will|would|if|when|the|your|his|her|their|please|any|not|don['’]t|go|take|see|call|ask|get|try|keep|drink|rest|use"
    r"|make|what|how|where|which|why|avoid|stop|start|come|sit|lie|tell|let|give|put|apply|check|wait|seek|contact|book|ring)\b",
    re.IGNORECASE,
)
_HEADING = re.compile(r"\s*(?!\W*(?:key\s*)?(?:words|terms)\b)(?:#+\s+\S.*|\*\*[^*]+\*\*|.*:[*_]*)\s*", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])(?<!\bDr\.)(?<!\be\.g\.)(?<!\bi\.e\.)\s+|\n+")
_COUNTED = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")  # of words joined by hyphens each
_UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_COMMA = re.compile(r"[,;|•#/]|\s(?:or|and)\s", re.IGNORECASE)


def visible(reply: str) -> str:
    """The reply as it is read: without characters that are not seen, and without runs of blanks, empty lines or marks,
    behind which something could stand beyond where patterns look.
    """
    seen = re.sub(r"[^\S\n]+", " ", _UNSEEN.sub("", reply))
    return re.sub(r"([^\w\s])\1{3,}", r"\1\1\1", re.sub(r"\s*\n\s*\n\s*", "\n\n", seen))


def for_judge(reply: str) -> str:
    """The reply without what imitates the judge's prompt or speaks to the judge."""
    plain = _MARKUP.sub(" ", reply)
    if plain != reply:  # what stood between forged tokens: a role, a verdict
        plain = _without(plain, lambda sentence: _WORD.fullmatch(sentence) is not None)
    return _without(plain, _to_judge) if any(map(_to_judge, _SENTENCE.split(plain))) else plain


@functools.lru_cache(maxsize=64)  # a reply is set against several rubrics
def for_checks(reply: str) -> str:
    """The part of a reply in which positive checks look."""
    text = for_judge(_first_words(reply))
    sentences = _SENTENCE.split(text)
    asked = [s for s in sentences if s.rstrip().endswith("?")]
    dropped = {s for s in sentences if (_REPORT.search(s) and s not in asked) or _items(s) > ITEMS}
    runs = _runs(sentences)
    if sum(map(len, runs)) <= LISTED:
        runs = [run for run in runs if len(run) > _most(sentences, run)]
    dropped |= {sentences[i] for run in runs for i in run}
    causes = [s for s in sentences if _CAUSE.search(s)]
    if sum(map(_named, causes)) > CAUSES:
        dropped |= set(causes)
    dropped |= set(asked[QUESTIONS:])
    return _without(text, dropped.__contains__) if dropped else text


def _to_judge(sentence: str) -> bool:
    return bool(_GRADING.search(sentence) or _TURN.search(sentence))


def _without(text: str, drop: Callable[[str], bool]) -> str:
    """The sentences that stay, with the line ends between them."""
    lines = []
    for line in text.splitlines():
        kept = [s for s in _SENTENCE.split(line) if s.strip() and not drop(s)]
        lines.append(" ".join(kept))
    return "\n".join(line for line in lines if line)


def _first_words(reply: str) -> str:
    words = list(_COUNTED.finditer(reply))
    count = max(0, 2 * WORDS - len(words))
    return reply if len(words) <= WORDS else reply[: words[count - 1].end()] if count else ""


def _named(sentence: str) -> int:
    """How many causes a sentence names: the parts behind its cue that are no clause, at least one."""
    cue = _CAUSE.search(sentence)
    parts = [part for part in _COMMA.split(sentence[cue.end() :]) if re.search(r"\w", part)]
    return max(1, sum(not _EXPLAINS.search(part) for part in parts))


def _items(sentence: str) -> int:
    return sum(bool(re.search(r"\w", part)) for part in _COMMA.split(sentence))


def _runs(sentences: Sequence[str]) -> list[list[int]]:
    """Runs of neighbouring short lines, as places, where most are no sentences. What is spoken before the first
    fragment belongs to a run only where it is long.
    """
    runs: list[list[int]] = [[]]
    spoken = [_PLAIN.search(sentence) is not None for sentence in sentences]
    heads = [bool(sentence.strip() and _HEADING.fullmatch(sentence)) for sentence in sentences]
    for i, sentence in enumerate(sentences):
        if i and heads[i] and not heads[i - 1]:
            runs.append([])  # a heading begins another list
        if len(sentence.split()) > (SHORT if spoken[i] else 2 * SHORT):
            runs.append([])
        elif re.search(r"\w(?![.)]?$)|[^\W\d]", sentence):  # more than the number of an item
            runs[-1].append(i)
    for run in runs:
        first = next((k for k, i in enumerate(run) if not spoken[i]), len(run))
        if len(run) <= 2 * ITEMS:
            del run[:first]
    return [run for run in runs if sum(spoken[i] for i in run) < 0.5 * len(run)]


def _most(sentences: Sequence[str], run: Sequence[int]) -> int:
    """How many lines a run may have: more where its first, or the one before, is a heading or ends in a colon."""
    if _HEADING.fullmatch(sentences[run[0]]):
        return ITEMS + 1
    return ITEMS if run[0] and _HEADING.fullmatch(sentences[run[0] - 1]) else FRAGMENTS
