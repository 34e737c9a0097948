"""What a reply answers: the text behind its thought, and in it the final statement.

    answered("<think>8? No.</think> It is 7.")     "It is 7."
    final("So 3 + 4 = 7. The answer is **7**.")    "**7**"

The final statement is, of these, the first that there is: what stands in the last \\boxed{}, what follows the last
"final answer", what follows the last "answer is" or "Answer:" (or another of the caller's words). It reaches to the end
of its line, or of the next line with text where the cue ends its own.
"""

from __future__ import annotations

import re

MAX_BOXES = 20  # the last ones of a reply are read

_BOX = re.compile(r"\\f?boxed\s*\{")
_MARKS = r"[\s*_`$#>]*"  # Markdown and dollars between a cue and what it announces
_IS = rf"(?:{_MARKS}(?:\bis\b|\bare\b|\bwas\b|\bwould be\b|\bshould be\b|\bmust be\b|[:=：]|是|为){_MARKS}[:：]?)"
_WORDS = r"answers?|result|solution|答案"


def answered(reply: str) -> str:
    """The reply behind its last `</think>`; empty where a thought is begun and not ended."""
    _, _, answer = reply.rpartition("</think>")
    return "" if "<think>" in answer else answer.strip()


def boxed(text: str) -> list[str]:
    """What stands in each \\boxed{} that is closed, outermost ones only, in order."""
    found, end = [], 0
    for opening in list(_BOX.finditer(text))[-MAX_BOXES:]:
        if opening.start() < end:
            continue
        depth, i = 1, opening.end()
        while i < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[i], 0) * (text[i - 1] != "\\")
            i += 1
        if not depth:
            found.append(text[opening.end() : i - 1].strip())
            end = i
    return found


def final(text: str, words: str = _WORDS) -> str | None:
    """The final statement of what `answered` gives, or None. words: a regular expression of the nouns of a cue."""
    if boxes := boxed(text):
        return boxes[-1] or None
    for cue in (rf"\bfinal\s+(?:{words})", rf"(?<![^\W_])(?:{words})"):
        for found in reversed(
            list(
                re.finditer(
                    rf"{cue}(?:\s+(?:to|for|of|in|here|given|among|with)\b[^.:\n]{{0,60}})?{_IS}", text, re.IGNORECASE
                )
            )
        ):
            statement = re.match(r"\s*([^\n]*)", text[found.end() :])[1].strip()
            if re.search(r"\w", statement):
                return statement
    return None


def last_line(text: str) -> str:
    """The last line with a letter or a digit in it."""
    return next((line.strip() for line in reversed(text.splitlines()) if re.search(r"\w", line)), "")
