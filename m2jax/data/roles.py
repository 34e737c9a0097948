"""Practice for the patient's units in the exact words of their prompts, made from the clinic by seed.

`affective`: persona, conversation, facts -> the next reply, which tells what was asked for, in the persona's manner.
`factual`: a draft with faults -> the draft without them; and claims held against the facts -> Yes or No. What is right
comes of the record and the rules of `patient`; a target that the rules find fault with is not used.
`gate`: the doctor's messages of `stops` -> Yes or No.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import numpy as np

from m2jax.clinic.sample import sample_question, sample_record
from m2jax.data.chats import Chat
from m2jax.data.doctor_lines import doctor_line
from m2jax.data.stops import split_rows
from m2jax.patient import claims
from m2jax.patient.claims import Known
from m2jax.patient.gate import question
from m2jax.patient.persona import behaviour
from m2jax.patient.prompt import conversation, fill, listed, quoted, template
from m2jax.patient.reference import in_manner, neutral_reply, scripted_reply, tell
from m2jax.patient.script import Dialogue, Line, Script, sample_script
from m2jax.text.chat import Message

MOST_SENTENCES = 3  # what the prompts ask for
ROUNDS = 3  # at most, before the reply that is practised
CLAIMS = 6  # at most that are asked about after one prefix
TOGETHER, EACH = 3200, 40  # characters of doctor's messages after one prefix, and what each costs beside


@dataclasses.dataclass(frozen=True)
class Item:
    """Something to write: the prompt, a good answer, and what the answer is held against."""

    id: str
    prompt: str
    answer: str
    known: Known


def affective(split: str, n: int, seed: int) -> list[Chat]:
    """n chats, each the Affective Unit's prompt and a reply in persona."""
    return [_chat(item.id, "draft", split, item.prompt, item.answer) for item in drafts(split, n, seed)]


def drafts(split: str, n: int, seed: int) -> list[Item]:
    """n prompts of the Affective Unit."""
    items = []
    for name, script, dialogue, known, reply in _situations(split, n, seed):
        prompt = fill(
            "affective",
            persona=listed(behaviour(script.persona)),
            conversation=conversation(dialogue),
            facts=listed(tell(fact, script.record) for fact in known.tellable),
        )
        items.append(Item(f"affective-{name}", prompt, reply, known))
    return items


def rewrites(split: str, n: int, seed: int) -> list[Item]:
    """The Factual Unit's prompts to write a draft anew, of n situations or some fewer."""
    items = []
    for name, script, dialogue, known, reply in _situations(split, n, seed):
        rng = np.random.default_rng([seed, 1, *name.encode()])
        draft = _with_faults(reply, _wrong(script, known, rng), rng)
        found = [claim for claim in claims.judge(draft, known) if not claim.good]
        better = _without_faults(draft, known) or neutral_reply(script, dialogue)
        if found and is_good(better, known):
            doctor, facts = quoted(dialogue[-1].text), listed(tell(fact, script.record) for fact in known.tellable)
            faults = listed(claims.reasons(found))
            prompt = fill("rewrite", doctor=doctor, facts=facts, draft=quoted(draft), faults=faults)
            items.append(Item(f"rewrite-{name}", prompt, better, known))
    return items


def factual(split: str, n: int, seed: int) -> list[Chat]:
    """Of n situations: drafts with faults and their rewrites, and claims with Yes or No."""
    chats = [_chat(item.id, "rewrite", split, item.prompt, item.answer) for item in rewrites(split, n, seed)]
    for name, script, dialogue, known, reply in _situations(split, n, seed):
        rng = np.random.default_rng([seed, 2, *name.encode()])
        doctor, facts = quoted(dialogue[-1].text), listed(tell(fact, script.record) for fact in known.tellable)
        wrong = _wrong(script, known, rng)
        right = [s for s in _sentences(reply) if any(c.label == "supported" for c in claims.judge(s, known))]
        right += [tell(known.tellable[i], script.record) for i in rng.permutation(len(known.tellable))[:CLAIMS]]
        right = list(dict.fromkeys(right))
        count = min(len(right), len(wrong), CLAIMS // 2)
        asked = [(text, "Yes") for text in right[:count]] + [(text, "No") for text in wrong[:count]]
        for k, i in enumerate(rng.permutation(len(asked))):
            text, answer = asked[i]
            prompt = fill("supported", facts=facts, doctor=doctor, claim=quoted(text))
            chats.append(_chat(f"supported-{name}-{k}", "supported", split, prompt, answer, f"supported-{name}"))
    return chats


def gate(split: str, n: int, seed: int) -> list[Chat]:
    """At most n of the messages that the gate is taught by, drawn; those that follow each other share a prefix."""
    rows, chats, group, room = split_rows(split), [], 0, TOGETHER
    for i in np.random.default_rng(seed).permutation(len(rows))[:n]:
        asked = question(rows[i].messages)
        room -= (length := len(asked) - len(template("gate")) + EACH)
        if room < 0:
            group, room = group + 1, TOGETHER - length
        answer = "Yes" if rows[i].stop else "No"
        chats.append(_chat(f"gate-{split}-{i}", "gate", split, asked, answer, f"gate-{split}-{group}"))
    return chats


def is_good(reply: str, known: Known) -> bool:
    """Whether the rules find no fault with a reply."""
    found = claims.judge(reply, known)
    return bool(found) and all(claim.good for claim in found) and claims.leaks(reply, known) is None


def _chat(name: str, topic: str, split: str, prompt: str, answer: str, group: str = "") -> Chat:
    messages = (Message("user", prompt), Message("assistant", answer, trained=True))
    return Chat(name, messages, topic, split, group)


def _situations(split: str, n: int, seed: int) -> Iterator[tuple[str, Script, Dialogue, Known, str]]:
    """n of them: a name, a script, a dialogue that ends with the doctor, what may be told, and a good reply."""
    found, number = 0, seed
    while found < n:
        number += 1
        script = sample_script(number, split)
        rng = np.random.default_rng([number, *script.record.id.encode()])
        dialogue: Dialogue = (Line("patient", sample_question(script.record, number)),)
        for left in reversed(range(rng.integers(1, ROUNDS + 1))):
            dialogue += (Line("doctor", doctor_line(script.record, rng)),)
            known = claims.known(script.record, dialogue)
            reply = _reply(script, dialogue, known, rng)
            if left:
                dialogue += (Line("patient", reply),)
        if is_good(reply, known):
            found += 1
            yield f"{split}-{number}", script, dialogue, known, reply


def _reply(script: Script, dialogue: Dialogue, known: Known, rng: np.random.Generator) -> str:
    """At most `MOST_SENTENCES` facts of the scripted reply, with something of the persona where the rules allow."""
    whole, plain = scripted_reply(script, dialogue, int(rng.integers(1 << 30))), neutral_reply(script, dialogue)
    added = whole.removeprefix(plain).strip() if whole.startswith(plain) else ""
    short = " ".join([*_sentences(whole.removesuffix(added).strip())[:MOST_SENTENCES], added]).strip()
    coloured = in_manner(short, script, dialogue, rng, ends=not added)
    return coloured if is_good(coloured, known) else short


def _wrong(script: Script, known: Known, rng: np.random.Generator) -> list[str]:
    """Sentences that the patient must not say now: kept facts, other patients' facts, the contrary of her own."""
    record = script.record
    kept = [f for f in known.kept if f.disclosure != "hidden"]
    said = [tell(kept[i], record) for i in rng.permutation(len(kept))[:2]]
    said.append(f"I think it is {record.diagnosis}.")
    other = sample_record(int(rng.integers(1 << 30)), "train" if "-train-" in record.id else "heldout")
    strange = [f for f in other.of("symptom", "past", "drug") if f.disclosure != "hidden"]
    said += [tell(strange[i], record) for i in rng.permutation(len(strange))[:3]]
    said += [changed for f in known.tellable if (changed := _contrary(tell(f, record)))][:2]
    said = [text for text in said if not is_good(text, known)]
    return list(dict.fromkeys(said[i] for i in rng.permutation(len(said))))


def _contrary(sentence: str) -> str:
    """The sentence with its negation taken away, or its first number changed; "" where it has neither."""
    if match := re.match(r"No (?:real |known |regular )?(.+)", sentence):
        return f"I do have {match[1]}"
    if match := re.search(r"\b\d+\b", sentence):
        return f"{sentence[: match.start()]}{int(match[0]) * 2 + 1}{sentence[match.end() :]}"
    return ""


def _with_faults(reply: str, wrong: list[str], rng: np.random.Generator) -> str:
    parts = _sentences(reply)[: int(rng.integers(0, 3))]
    for text in wrong[: int(rng.integers(1, 3))]:
        parts.insert(int(rng.integers(len(parts) + 1)), text)
    return " ".join(parts)


def _without_faults(draft: str, known: Known) -> str:
    return " ".join(s for s in _sentences(draft) if is_good(s, known))


def _sentences(text: str) -> list[str]:
    return [s for s in re.split(r"(?<=[.!?])(?<!\bDr\.)\s+", text.strip()) if s]
