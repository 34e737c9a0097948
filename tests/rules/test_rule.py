"""Rules as JSON; answers in words; shapes; instructions as a reward."""

from __future__ import annotations

import pytest

from m2jax.rules.rule import KINDS, parse_rule, reward, rewards

MI = {
    "kind": "set",
    "answers": [["myocardial infarction", "heart attack", "MI"]],
    "others": ["pulmonary embolism", "pneumonia"],
}
TWO = {"kind": "set", "answers": [["heart failure", "CHF"], ["atrial fibrillation", "AF"]], "others": ["pneumonia"]}
EXACT = {"kind": "exact", "answers": ["aortic dissection", "dissection of the aorta"]}
SECTIONS = {"kind": "shape", "headings": ["Assessment", "Plan"]}
THINK = {"kind": "shape", "think": True}
JSON = {"kind": "shape", "json_keys": ["diagnosis", "urgency"]}
REST = {
    "kind": "instructions",
    "instruction_ids": ["punctuation:no_comma", "keywords:existence"],
    "kwargs": [{}, {"keywords": ["rest"]}],
}
CASES = [  # rule, reply, reward
    (REST | {"about": ["Cough", "antibiotic", "honey"]}, "Have a rest and some honey for your cough.", 1),
    (REST | {"about": ["Cough", "antibiotic", "honey"]}, "Have a rest, no antibiotics, for coughs.", 0.5),
    (REST | {"about": ["Cough", "antibiotic", "honey"]}, "Have a rest and some honey, honey.", 0),
    (REST | {"about": ["Cough", "antibiotic", "honey"]}, "<think>Honey for the cough.</think>Have a rest.", 0),
    (MI, "The most likely diagnosis is acute myocardial infarction.", 1),
    (MI, "**Diagnosis:** Heart attack", 1),
    (MI, "Diagnosis: MI", 1),
    (MI, "I mi sento male", 0),
    (MI, "heart-attack", 1),
    (MI, "Heart attacks", 1),
    (MI, "This is a heart attack, not pneumonia.", 1),
    (MI, "This is pneumonia, not a heart attack.", 0),
    (MI, "A heart attack or pneumonia.", 0),
    (MI, "It could be pneumonia at first sight.\n\nDiagnosis: myocardial infarction", 1),
    (
        MI,
        "Myocardial infarction is unlikely. " + "The lungs are clear on both sides today. " * 8 + "\n\nIt is asthma.",
        0,
    ),
    (MI, "No sign of a heart attack.", 0),
    (MI, r"\boxed{\text{Myocardial infarction}}", 1),
    (MI, "Diagnosis: " + ", ".join(f"disease {i}" for i in range(30)) + ", heart attack", 0),
    (MI, "<think>Heart attack.</think>Pneumonia.", 0),
    (MI, "", 0),
    (MI, "The most likely diagnosis in this patient is a heart attack.", 1),
    (MI, "This isn't a heart attack.", 0),
    (MI, "Not only heartburn but a heart attack.", 1),
    (MI | {"others": ["infarction"]}, "Myocardial infarction", 1),  # within what is right
    (MI | {"others": ["infarction"]}, "Heart attack, that is, infarction", 0),
    (TWO, "Heart failure with atrial fibrillation.", 1),
    (TWO, "Diagnoses:\n- CHF\n- AF", 1),
    (TWO, "The answer is:\n1. Atrial fibrillation\n2. Heart failure", 1),
    (TWO, "Heart failure.", 0),
    (TWO, "Heart failure, atrial fibrillation and pneumonia.", 0),
    (TWO, "Heart failure without atrial fibrillation.", 0),
    (EXACT, "Aortic dissection", 1),
    (EXACT, "The answer is an aortic dissection.", 1),
    (EXACT, "Diagnosis: **Aortic dissection** (Stanford A)", 1),
    (EXACT, "Dissection of the aorta.", 1),
    (EXACT, "Aortic dissection or aneurysm", 0),
    (EXACT, "Aortic aneurysm", 0),
    (EXACT, "Not aortic dissection", 0),
    ({"kind": "exact", "answers": ["anaemia"]}, "Anemia.", 1),
    ({"kind": "exact", "answers": ["Crohn's disease"]}, "Crohn disease", 1),
    ({"kind": "exact", "answers": ["Sjögren syndrome"]}, "Sjogren's syndrome", 1),
    (SECTIONS, "## Assessment\nA cold.\n\n## Plan\nRest.", 1),
    (SECTIONS, "**Assessment:**\nA cold.\n**Plan**:\nRest.", 1),
    (SECTIONS, "1. Assessment:\nA cold.\n2. Plan:\nRest.", 1),
    (SECTIONS, "## Plan\nRest.\n## Assessment\nA cold.", 0),
    (SECTIONS, "## Assessment\nA cold.", 0),
    (SECTIONS, "## Assessment\n## Plan\nRest.", 0),
    (SECTIONS, "## Assessment\nA cold.\n## Plan", 0),
    (SECTIONS, "My assessment is a cold, my plan is rest.", 0),
    (THINK, "<think>A cold.</think>Rest.", 1),
    (THINK, "Rest.", 0),
    (THINK, "<think>A cold.</think>", 0),
    (THINK, "<think></think>Rest.", 0),
    (THINK, "<think>a</think>b<think>c</think>d", 0),
    (THINK, "First <think>A cold.</think>Rest.", 0),
    (THINK, "<think>A cold. Rest.", 0),
    (JSON, '{"diagnosis": "cold", "urgency": 1}', 1),
    (JSON, 'Here:\n```json\n{"diagnosis": "cold", "urgency": 1, "more": []}\n```', 1),
    (JSON, '{"diagnosis": "cold"}', 0),
    (JSON, '["diagnosis", "urgency"]', 0),
    (JSON, "{'diagnosis': 'cold', 'urgency': 1}", 0),
    (JSON, "[" * 100_000, 0),
    ({"kind": "shape", "pattern": r"(Yes|No)\. .+"}, "Yes. Rest\nand drink.", 1),
    ({"kind": "shape", "pattern": r"(Yes|No)\. .+"}, "Well, yes. Rest.", 0),
    ({"kind": "shape", "min_words": 2, "max_words": 3}, "One two three", 1),
    ({"kind": "shape", "min_words": 2, "max_words": 3}, "<think>Many words here to think.</think>One two", 1),
    ({"kind": "shape", "min_words": 2, "max_words": 3}, "One", 0),
    ({"kind": "shape", "min_words": 2, "max_words": 3}, "One two three four", 0),
    ({"kind": "shape", "max_words": 3}, " ", 0),
    (REST, "Take a rest", 1),
    (REST, "Well, take a rest", 0.5),
    (REST, "Well, take water", 0),
    (REST, "<think>Well, rest.</think>Take a rest", 1),
    (REST | {"pays": "all"}, "Well, take a rest", 0),
    (REST | {"pays": "all"}, "Take a rest", 1),
]


@pytest.mark.parametrize(("rule", "reply", "paid"), CASES)
def test_rewards(rule, reply, paid):
    assert reward(parse_rule(rule), reply) == paid


ONE_EACH = {
    "math": ({"answer": "7"}, "The answer is 7."),
    "choice": ({"options": {"A": "x", "B": "y"}, "answer": "B"}, "B"),
    "quantity": ({"value": 7, "unit": "mg"}, "7 mg"),
    "exact": ({"answers": ["gout"]}, "Gout"),
    "set": ({"answers": [["gout"]]}, "Gout"),
    "shape": ({"max_words": 3}, "Gout"),
    "code": ({"tests": ["assert x == 1"]}, "```python\nx = 1\n```"),
    "instructions": ({"instruction_ids": ["punctuation:no_comma"], "kwargs": [{}]}, "Gout"),
}


def test_every_kind_is_paid_for_what_it_asks_and_not_for_nothing():
    rules = [parse_rule({"kind": kind} | ONE_EACH[kind][0]) for kind in KINDS]
    replies = [ONE_EACH[kind][1] for kind in KINDS]
    assert rewards(zip(rules, replies, strict=True)) == [1.0] * len(KINDS)
    assert rewards((rule, "") for rule in rules) == [0.0] * len(KINDS)
    assert rewards((rule, f"<think>{reply}") for rule, reply in zip(rules, replies, strict=True)) == [0.0] * len(KINDS)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], r"rule is \[\]; give an object with a 'kind' of math, choice"),
        ({"kind": "essay"}, "rule is {'kind': 'essay'}; give an object"),
        ({"kind": ["math"]}, "rule is .*; give an object"),
        ({"kind": "math"}, r"rule 'math' lacks the keys \['answer'\]; add them"),
        ({"kind": "math", "answer": "7", "unit": "mg"}, r"unknown keys \['unit'\]; it takes \['answer'\]"),
        ({"kind": "math", "answer": 7}, "rule 'math': answer is 7; give a formula"),
        ({"kind": "exact", "answers": "gout"}, "answers is 'gout'; give a list"),
        ({"kind": "exact", "answers": ["?"]}, r"answers has '\?'; give names"),
        ({"kind": "set", "answers": []}, r"answers is \[\]; give a list"),
        ({"kind": "set", "answers": [[]]}, r"answers\[0\] is \[\]"),
        ({"kind": "set", "answers": [["gout"]], "others": ["Gout"]}, r"others has \['gout'\], which answers has too"),
        ({"kind": "shape"}, "a shape asks for nothing; give it at least one of think, headings"),
        ({"kind": "shape", "pattern": "("}, r"pattern '\(' is not a regular expression"),
        ({"kind": "shape", "min_words": 5, "max_words": 4}, "min_words is 5, above max_words 4; lower it"),
        ({"kind": "shape", "max_words": "4"}, "max_words is '4'; give a whole number"),
        ({"kind": "shape", "think": "yes"}, "think is 'yes'; write true"),
        ({"kind": "shape", "headings": [1]}, r"headings is \[1\]; give a list of texts"),
        ({"kind": "instructions", "instruction_ids": [], "kwargs": []}, "at least one"),
        (
            {"kind": "instructions", "instruction_ids": ["punctuation:no_comma"], "kwargs": []},
            "give a list of 1, one for",
        ),
        ({"kind": "instructions", "instruction_ids": ["no:such"], "kwargs": [{}]}, "unknown instruction 'no:such'"),
        (REST | {"pays": "half"}, "pays is 'half'; write 'share' or 'all'"),
        (REST | {"about": "cough"}, "about is 'cough'; give a list of 2 words of three letters or more, or none"),
        (REST | {"about": ["cough"]}, r"about is \['cough'\]; give a list of 2 words"),
        (REST | {"about": ["coughs", "Cough", 3]}, "about is .*; give a list of 2 words"),
        (
            {
                "kind": "instructions",
                "instruction_ids": ["combination:repeat_prompt", "punctuation:no_comma"],
                "kwargs": [{"prompt_to_repeat": "Well, rest."}, {}],
            },
            "no_comma forbids what combination:repeat_prompt asks to repeat",
        ),
    ],
)
def test_what_is_wrong_is_named(raw, message):
    with pytest.raises(ValueError, match=message):
        parse_rule(raw)
