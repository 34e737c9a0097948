"""A rule says what a reply must be, and `reward` how far it is: the verifiers of RL stage 1, behind one door.

    rule = parse_rule({"kind": "choice", "options": {"A": "Aspirin", "B": "Warfarin"}, "answer": "B"})
    reward(rule, "The answer is B.")     # 1.0

    kind          what it asks                                   file
    math          a final answer of the same value               mathematics.py (sympy, in workers)
    choice        the letter of an option                        choice.py
    quantity      a number in a unit                             quantity.py
    exact, set    names, or several                              answer.py
    shape         format and length                              shape.py
    code          Python that passes tests                       program.py (run on this machine)
    instructions  instructions of IFEval's types                 instructions/

What each takes stands in its dataclass: the keys of its JSON, beside "kind", are its fields. A thought, up to the last
`</think>`, is not looked at (`final.answered`); only `shape` may ask for one.

`math`, `code` and the patterns of `shape` have limits of time, so near a limit two processes may see the same reply
otherwise: of several processes, let one reward it and tell the others.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from m2jax.rules import answer, choice, mathematics, program, quantity, shape
from m2jax.rules.final import answered
from m2jax.rules.instructions.check import check_instruction, strict

THREADS = 16  # more than there are workers is no use
LEAST = 2  # words of `Instructions.about`


@dataclasses.dataclass(frozen=True)
class Instructions:
    """instruction_ids and kwargs: as in IFEval's files, one kwargs per id. prompt: what the reply answers, which an
    instruction to repeat it needs. pays: the share of instructions followed (strictly), or 1 for all of them. about:
    words of which a reply that is paid at all holds `LEAST`, known by their first six letters: then form alone, without
    a word on what was asked, earns nothing. contradictory: whether instructions that no reply can follow together are
    taken, as an exam must.
    """

    instruction_ids: Sequence[str]
    kwargs: Sequence[Mapping[str, Any]]
    prompt: str = ""
    pays: Literal["share", "all"] = "share"
    about: Sequence[str] = ()
    contradictory: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.instruction_ids, list | tuple) or not self.instruction_ids:
            raise ValueError(f"instruction_ids is {self.instruction_ids!r}; give a list of at least one")
        if not isinstance(self.kwargs, list | tuple) or len(self.kwargs) != len(self.instruction_ids):
            raise ValueError(f"kwargs is {self.kwargs!r}; give a list of {len(self.instruction_ids)}, one for each id")
        if self.pays not in ("share", "all"):
            raise ValueError(f"pays is {self.pays!r}; write 'share' or 'all'")
        about = self.about if isinstance(self.about, list | tuple) else [None]
        if (
            not all(isinstance(word, str) and _stems(word) for word in about)
            or 0 < len(_stems(" ".join(about))) < LEAST
        ):
            raise ValueError(f"about is {self.about!r}; give a list of {LEAST} words of three letters or more, or none")
        checked = [check_instruction(i, k, self.prompt) for i, k in zip(self.instruction_ids, self.kwargs, strict=True)]
        for i, kwargs in zip(self.instruction_ids, checked, strict=True):
            if i == "combination:repeat_prompt" and not self.contradictory:
                self._check_repeats(kwargs["prompt_to_repeat"], checked)

    def _check_repeats(self, request: str, checked: Sequence[Mapping[str, Any]]) -> None:
        """What only more text can break is broken by the request itself: five prompts of IFEval ask for that."""
        forbids = ("keywords:forbidden_words", "punctuation:no_comma")
        for i, kwargs in zip(self.instruction_ids, checked, strict=True):
            limits = i in forbids or "less than" in kwargs.values()
            if limits and strict([i], [kwargs], request) == [False]:
                raise ValueError(
                    f"{i} forbids what combination:repeat_prompt asks to repeat, so no reply can follow both; "
                    f"leave one of them out: {request!r}"
                )


Rule = (
    mathematics.Mathematics
    | choice.Choice
    | quantity.Quantity
    | answer.Exact
    | answer.Named
    | shape.Shape
    | program.Program
    | Instructions
)


def _stems(text: str) -> set[str]:
    """Words of three letters or more, their first six letters without an s at the end."""
    return {word[:6].rstrip("s") for word in re.findall(r"[^\W\d_]{3,}", text.lower())}


def _followed(rule: Instructions, reply: str) -> float:
    answer = answered(reply)
    if rule.about and len(_stems(" ".join(rule.about)) & _stems(answer)) < LEAST:
        return 0.0
    verdicts = strict(rule.instruction_ids, rule.kwargs, answer, rule.prompt)
    return float(all(verdicts)) if rule.pays == "all" else sum(verdicts) / len(verdicts)


KINDS: dict[str, tuple[type, Callable[[Any, str], float]]] = {
    "math": (mathematics.Mathematics, mathematics.met),
    "choice": (choice.Choice, choice.met),
    "quantity": (quantity.Quantity, quantity.met),
    "exact": (answer.Exact, answer.exact),
    "set": (answer.Named, answer.named),
    "shape": (shape.Shape, shape.met),
    "code": (program.Program, program.met),
    "instructions": (Instructions, _followed),
}
_VERIFIERS = {kind: verifier for kind, verifier in KINDS.values()}
_NAMES = {kind: name for name, (kind, _) in KINDS.items()}


def parse_rule(raw: object) -> Rule:
    """The rule of a decoded JSON object. ValueError names the kind, the key, its value and the remedy."""
    if not isinstance(raw, dict) or raw.get("kind") not in [*KINDS]:
        raise ValueError(f"rule is {raw!r}; give an object with a 'kind' of {', '.join(KINDS)}")
    kind, _ = KINDS[raw["kind"]]
    fields = dataclasses.fields(kind)
    given = {key: value for key, value in raw.items() if key != "kind"}
    takes = [field.name for field in fields]
    if unknown := sorted(given.keys() - set(takes)):
        raise ValueError(f"rule {raw['kind']!r} has unknown keys {unknown}; it takes {takes}")
    needs = [field.name for field in fields if field.default is dataclasses.MISSING]
    if missing := sorted(set(needs) - given.keys()):
        raise ValueError(f"rule {raw['kind']!r} lacks the keys {missing}; add them")
    try:
        return kind(**given)
    except ValueError as error:
        raise ValueError(f"rule {raw['kind']!r}: {error}") from error


def kind_of(rule: Rule) -> str:
    """The rule's "kind"."""
    return _NAMES[type(rule)]


def reward(rule: Rule, reply: str) -> float:
    """In [0, 1]: 1 or 0 for what is met or not, the share of instructions followed. The same each time, but for limits
    of time. RuntimeError where no worker can start.
    """
    return float(_VERIFIERS[type(rule)](rule, reply))


def rewards(pairs: Iterable[tuple[Rule, str]]) -> list[float]:
    """`reward` of each pair of a rule and a reply, in order; those that wait for other processes wait side by side."""
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda pair: reward(*pair), pairs))
