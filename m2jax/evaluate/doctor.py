"""How good a doctor a model is, by rules alone: what the stages of the curriculum are compared by (`launch/eval.py`).

    questions      multiple choice; the letter with the highest probability is the answer
    sums           doses, rates and the like, worked out (`data.practice.quantity`)
    replies        to patients' first messages: the criteria that have a check; whether what the case needs is asked
    consultations  with a patient who answers from the record without a model (`patient.reference`): of the symptoms
                   that are told only when asked for, the share asked for, and how many a message of the doctor; the
                   diagnosis named; the safety net given; how many messages
    texts          perplexity of general prose: what a specialised model may lose

The clinic's held-out conditions, of which no stage of the curriculum has a patient or a question (`cases.OF_HELDOUT`);
replies are greedy; every figure has its values by record, so that models can be paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from ml_collections import ConfigDict

from m2jax.clinic.sample import Item, sample_case, sample_item
from m2jax.data import corpus, made, practice
from m2jax.data.cases import checked_only
from m2jax.data.chats import Chat
from m2jax.data.made import LETTERS
from m2jax.data.tasks import Task
from m2jax.evaluate import serving
from m2jax.evaluate.figures import Figure, figure, share
from m2jax.patient.disclosed import asked
from m2jax.patient.gate import gate
from m2jax.patient.outcome import open_facts, outcome
from m2jax.patient.reference import scripted_reply
from m2jax.patient.rubric import chat
from m2jax.patient.script import Dialogue, Line, Script, said_by, sample_script
from m2jax.patient.shown import opening
from m2jax.rollout.single_turn import Reward, pay, results_of, single_turn
from m2jax.rules.final import answered
from m2jax.rules.rule import reward
from m2jax.sampler import requests
from m2jax.sampler.requests import Generate, Score
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer

SEED = 9_000_000  # of patients, none of which training draws
ROLE = "start"
PART = 128  # tokens of a text that are read at once

Says = Callable[[Sequence[Message]], requests.Dialogue]
Answers = Callable[[Dialogue], requests.Dialogue]


def run(config: ConfigDict, tell: Callable[[str], None]) -> Iterator[Figure]:
    """The figures of config.model, each part as soon as it has ended."""
    engine, tokenizer = serving.serve(config.model, {}, 0.0, config.max_tokens, config.longest, slots=config.slots)
    told = serving.Telling(engine, tell)
    for name, part in PARTS.items():
        if n := config.n[name]:
            tell(f"{name} ...")
            yield from part(told, tokenizer, n, config)


def questions(engine: serving.Telling, tokenizer: Tokenizer, n: int, config: ConfigDict) -> list[Figure]:
    """Right answers by likelihood."""

    def chosen(item: Item, chat: Chat) -> requests.Dialogue:
        letters = [tokenizer.encode(letter)[0] for letter in LETTERS[: len(item.options)]]
        (logps,) = yield Score(ROLE, render(tokenizer, chat.messages[:1]).tokens.tolist(), [[]], letters)
        return float(np.argmax(logps) == item.answer)

    items = [sample_item(SEED + i, "heldout") for i in range(n)]
    asked_as = made.items("heldout", n, SEED)
    right = results_of(engine.run([chosen(item, chat) for item, chat in zip(items, asked_as, strict=True)]))
    chance = np.mean([1 / len(item.options) for item in items])
    return [share("multiple choice", right, note=f"chance {chance:.3f}", ids=range(n))]


def sums(engine: serving.Telling, tokenizer: Tokenizer, n: int, config: ConfigDict) -> list[Figure]:
    """Sums worked out right."""

    def worked(task: Task) -> requests.Dialogue:
        chat = [Message(m["role"], m["content"]) for m in task.messages]
        done = yield Generate(ROLE, render(tokenizer, chat).tokens.tolist())
        return reward(task.rule, tokenizer.decode(done.tokens))

    tasks = [practice.quantity(SEED + i, "heldout") for i in range(n)]
    return [share("numeric items", results_of(engine.run([worked(task) for task in tasks])), ids=range(n))]


def replies(engine: serving.Telling, tokenizer: Tokenizer, n: int, config: ConfigDict) -> list[Figure]:
    """The first replies' rubric scores, and whether they ask what the case needs."""
    cases = checked_only([sample_case(SEED + i, "heldout") for i in range(n)])
    given = results_of(engine.run([single_turn(case, tokenizer, ROLE, None) for case in cases]))
    scores = [paid.score for (paid,) in pay(cases, [[reply] for reply in given], Reward(length_scale=0))]
    records = [sample_script(SEED + i, "heldout").record for i in range(n)]
    needed = [
        float(bool(open_facts(record) & set(asked(answered(r.text), record).facts)))
        for record, r in zip(records, given, strict=True)
    ]
    tokens = [float(len(r.completion.tokens)) for r in given]
    return [
        figure("rubric score", scores, ids=range(n)),
        share("first reply asks what is needed", needed, ids=range(n)),
        figure("tokens of a first reply", tokens, ids=range(n)),
    ]


MEASURES = (  # in the order of `Outcome`
    "key facts asked for",
    "key facts a message",
    "diagnosis named",
    "safety net given",
    "messages of a consultation",
)
SHARES = {"key facts asked for", "diagnosis named", "safety net given"}  # of these: 0 to 1


def consultations(engine: serving.Telling, tokenizer: Tokenizer, n: int, config: ConfigDict) -> list[Figure]:
    """Consultations of at most config.rounds messages of the doctor, patients of every specialty as they come."""
    room = config.longest - config.max_tokens
    found = results_of(engine.run([consult(SEED + i, tokenizer, config.rounds, longest=room) for i in range(n)]))
    return [
        (share if name in SHARES else figure)(name, [reached[i] for reached, _ in found], ids=range(n))
        for i, name in enumerate(MEASURES)
    ]


def consult(
    seed: int, tokenizer: Tokenizer, rounds: int, role: str = ROLE, longest: int | None = None
) -> requests.Dialogue:
    """The consultation of the role with the patient of the seed: (`Outcome`, what was written: a thought is
    not heard). longest: tokens of a
    prompt; where the next would have more, the consultation ends.
    """
    script = sample_script(seed, "heldout")
    written: list[str] = []

    def says(chat: Sequence[Message]) -> requests.Dialogue:
        prompt = render(tokenizer, chat).tokens.tolist()
        if len(chat) > 1 and longest is not None and len(prompt) > longest:
            return None
        completion = yield Generate(role, prompt)
        written.append(tokenizer.decode(completion.tokens).strip() or serving.NOTHING)
        return answered(written[-1]) or serving.NOTHING

    dialogue = yield from held(opening(script.record, seed), says, answers_from_facts(script, rounds, seed))
    own = iter(written)
    whole = tuple(Line("doctor", next(own)) if line.who == "doctor" else line for line in dialogue)
    return outcome(script.record, said_by("doctor", dialogue)), whole


def held(opening: str, says: Says, answers: Answers) -> requests.Dialogue:
    """The `patient.script.Dialogue` of a consultation, up to the doctor's last message. says: of a chat the doctor's
    reply, None where it can say no more; answers: of a dialogue the patient's, None where that was the end.
    """
    dialogue: Dialogue = (Line("patient", opening),)
    while (text := (yield from says([Message(m["role"], m["content"]) for m in chat(dialogue)]))) is not None:
        dialogue += (Line("doctor", text),)
        if (reply := (yield from answers(dialogue))) is None:
            break
        dialogue += (Line("patient", reply),)
    return dialogue


def answers_from_facts(script: Script, rounds: int, seed: int) -> Answers:
    """The patient without a model, for at most `rounds` messages of the doctor."""

    def answers(dialogue: Dialogue) -> requests.Dialogue:
        return None if gate(said_by("doctor", dialogue), rounds).stop else scripted_reply(script, dialogue, seed)
        yield  # a dialogue that asks nobody

    return answers


def perplexity(engine: serving.Telling, tokenizer: Tokenizer, n: int, config: ConfigDict) -> list[Figure]:
    """exp of the mean negative log-probability of a token. Texts are few, and what fills their slots makes them no
    others: a record is a text in several fillings.
    """

    def read(number: int) -> requests.Dialogue:
        text = "".join(part.text for part in corpus.general(number, "heldout"))
        tokens = tokenizer.encode(text)
        parts = range(1, len(tokens), PART)
        found = yield [Score(ROLE, tokens[:i], [tokens[i : i + PART]]) for i in parts]
        return float(np.exp(-np.mean(np.concatenate([logps for (logps,) in found]))))

    found = results_of(engine.run([read(i) for i in range(n)]))
    by_text: dict[int, list[float]] = {}
    for number, value in enumerate(found):
        by_text.setdefault(corpus.general_text(number, "heldout"), []).append(value)
    means = [float(np.mean(by_text[text])) for text in sorted(by_text)]
    return [figure("perplexity of general text", means, note=f"{n} fillings", ids=sorted(by_text))]


PARTS: dict[str, Callable[[serving.Telling, Tokenizer, int, ConfigDict], list[Figure]]] = {
    "questions": questions,
    "sums": sums,
    "replies": replies,
    "consultations": consultations,
    "texts": perplexity,
}
