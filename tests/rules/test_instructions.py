"""The 25 instruction types: edge cases worked by hand, what a bad prompt is told, and all prompts of IFEval."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from m2jax.rules.instructions.check import check_instruction, follows, loose, strict, variants
from m2jax.rules.instructions.kinds import KINDS
from m2jax.rules.instructions.language import LANGUAGES, language_of
from m2jax.rules.instructions.text import capital_words, sentences, words
from tests.rules.satisfy import SENTENCES, replies, together

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("M2JAX_SHARED", REPOSITORY.parent / "shared")) / "data" / "ifeval" / "input_data.jsonl"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the prompts of IFEval are not here")


CONTRADICT = {  # prompts whose request to repeat holds what they forbid: the only ones that no reply can follow
    374: ["keywords:forbidden_words"],
    1627: ["punctuation:no_comma"],
    3369: ["keywords:frequency"],
    3371: ["keywords:forbidden_words"],
    3718: ["punctuation:no_comma"],
}
PARAGRAPH = {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Rest"}
CASES = {  # type → (kwargs, reply, whether it follows)
    "keywords:existence": [
        ({"keywords": ["Rest", "water"]}, "REST. Watery soup.", True),  # any case, within a word
        ({"keywords": ["rest", "water"]}, "Rest a lot.", False),
        ({"keywords": ["c++"]}, "Use C++ here.", True),
        ({"keywords": ["a.c"]}, "abc", False),  # not a regular expression
        ({"keywords": ["été"]}, "Cet ÉTÉ.", True),
        ({"keywords": ["rest"]}, "", False),
    ],
    "keywords:frequency": [
        ({"keyword": "mom", "frequency": 2, "relation": "at least"}, "Mom had a moment.", True),
        ({"keyword": "mom", "frequency": 3, "relation": "at least"}, "Mom had a moment.", False),
        ({"keyword": "mom", "frequency": 2, "relation": "less than"}, "Mom had a moment.", False),
        ({"keyword": "mom", "frequency": 1, "relation": "less than"}, "Dad.", True),
        ({"keyword": "aa", "frequency": 2, "relation": "at least"}, "aaa", False),  # no overlap
        ({"keyword": "?", "frequency": 2, "relation": "at least"}, "So? Yes?", True),
        ({"keyword": "mom", "frequency": 1, "relation": "less than"}, "  \n", False),
    ],
    "keywords:forbidden_words": [
        ({"forbidden_words": ["can", "ride"]}, "A candle and a bride.", True),  # whole words
        ({"forbidden_words": ["can", "ride"]}, "You CAN.", False),
        ({"forbidden_words": ["can"]}, "can't", False),
        ({"forbidden_words": ["can"]}, "*can*", False),
        ({"forbidden_words": ["can"]}, "_can_", True),  # an underscore is part of a word
        ({"forbidden_words": ["c++"]}, "I write C++.", False),
        ({"forbidden_words": ["sí"]}, "Sílaba.", True),
        ({"forbidden_words": ["can"]}, "", False),
    ],
    "keywords:letter_frequency": [
        ({"letter": "q", "let_frequency": 2, "let_relation": "at least"}, "Quick q.", True),
        ({"letter": "Q", "let_frequency": 3, "let_relation": "at least"}, "Quick q.", False),
        ({"letter": "e", "let_frequency": 1, "let_relation": "less than"}, "É is not it", True),
        ({"letter": "#", "let_frequency": 4, "let_relation": "at least"}, "## a\n## b", True),
        ({"letter": "!", "let_frequency": 2, "let_relation": "less than"}, "So!!", False),
        ({"letter": "e", "let_frequency": 1, "let_relation": "less than"}, "", False),
    ],
    "language:response_language": [
        ({"language": "de"}, "Ja, das ist so.", True),
        ({"language": "de"}, "Yes, that is so.", False),
        ({"language": "fa"}, " ".join(SENTENCES["ur"]), False),  # one script, another language
        ({"language": "hi"}, 'Write "green" and "blue". ' + " ".join(SENTENCES["hi"]), True),  # most letters
        ({"language": "hi"}, "Please write it in Hindi: नमस्ते", False),
        ({"language": "ja"}, "東京タワーは高い。", True),
        ({"language": "ko"}, "123 !?", False),
        ({"language": "ko"}, "", False),
    ],
    "length_constraints:number_sentences": [
        ({"num_sentences": 2, "relation": "at least"}, "Dr. Ross sees you at 3.30 p.m. on Monday. Rest.", True),
        ({"num_sentences": 3, "relation": "at least"}, "Dr. Ross sees you at 3.30 p.m. on Monday. Rest.", False),
        ({"num_sentences": 3, "relation": "less than"}, 'He said "Stop!" Then he left.', True),
        ({"num_sentences": 2, "relation": "less than"}, "One.\nTwo.", False),
        ({"num_sentences": 2, "relation": "at least"}, "**One.** Two", True),
        ({"num_sentences": 2, "relation": "less than"}, "Roses are red\nViolets are blue", True),
        ({"num_sentences": 3, "relation": "at least"}, "आज ठंड है। पानी पीजिए। सोइए।", True),
        ({"num_sentences": 9, "relation": "less than"}, "", False),
    ],
    "length_constraints:number_paragraphs": [
        ({"num_paragraphs": 2}, "One.\n\nStill one.\n***\nTwo.", True),
        ({"num_paragraphs": 2}, "One.\n\nTwo.", False),
        ({"num_paragraphs": 2}, "***\nOne.\n***\nTwo.\n***", True),  # at the ends it parts nothing
        ({"num_paragraphs": 2}, "One.\n***\n \n***\nTwo.", False),
        ({"num_paragraphs": 2}, "One.\n******\nTwo.", False),
        ({"num_paragraphs": 2}, "A ***bold*** word.", False),  # parts three
        ({"num_paragraphs": 1}, "One.", True),
        ({"num_paragraphs": 1}, "***", False),
        ({"num_paragraphs": 1}, "", False),
    ],
    "length_constraints:number_words": [
        ({"num_words": 3, "relation": "at least"}, "Don't go", True),  # don, t, go
        ({"num_words": 3, "relation": "at least"}, "Do — go!", False),
        ({"num_words": 3, "relation": "less than"}, "well-known fact", False),
        ({"num_words": 3, "relation": "less than"}, "café_noir été", True),
        ({"num_words": 3, "relation": "less than"}, "", False),
    ],
    "length_constraints:nth_paragraph_first_word": [
        (PARAGRAPH, "One.\n\nrest, please.", True),
        (PARAGRAPH, 'One.\n\n  "Rest!" he said.', True),
        (PARAGRAPH, "One.\n\nResting helps.", False),
        (PARAGRAPH, "Rest.\n\nTwo.", False),
        (PARAGRAPH, "One.\n\nRest.\n\nThree.", False),
        (PARAGRAPH, "One.\n\nRest.\n\n", True),  # blank ones do not count
        (PARAGRAPH, "One.\n\n\n\nRest.", False),  # but have their place
        (PARAGRAPH, "One.\n\n**Rest** now.", False),
        (PARAGRAPH, "One.\nRest.", False),
        (PARAGRAPH, "", False),
    ],
    "detectable_content:number_placeholders": [
        ({"num_placeholders": 2}, "[name] of [address]", True),
        ({"num_placeholders": 2}, "[name] of (address)", False),
        ({"num_placeholders": 2}, "[a [b]] c]", False),  # the first bracket that closes
        ({"num_placeholders": 1}, "[na\nme]", False),
        ({"num_placeholders": 2}, "[]\n[x](y)", True),
        ({"num_placeholders": 1}, "", False),
    ],
    "detectable_content:postscript": [
        ({"postscript_marker": "P.S."}, "So.\n\np. s. More.", True),
        ({"postscript_marker": "P.S."}, "So.\n\nPS More.", False),
        ({"postscript_marker": "P.P.S"}, "So.\nP.P.S. More.", True),
        ({"postscript_marker": "P.P.S"}, "So.\nP.S. More.", False),
        ({"postscript_marker": "P.S."}, "So.\nP.P.S. More.", True),  # holds the other
        ({"postscript_marker": "PS:"}, "So.\n**PS:** More.", True),
        ({"postscript_marker": "P.S."}, "", False),
    ],
    "detectable_format:number_bullet_lists": [
        ({"num_bullets": 2}, "* a\n- b", True),
        ({"num_bullets": 2}, "* a\n  * b\n  text", True),  # nested
        ({"num_bullets": 2}, "* a\n* b\n* c", False),
        ({"num_bullets": 2}, "• a\n• b", False),
        ({"num_bullets": 1}, "**Bold.**\n***\n* a", True),
        ({"num_bullets": 1}, "* a\n---", False),  # a rule begins with a dash
        ({"num_bullets": 1}, "*\n\nSo.", False),
        ({"num_bullets": 1}, "", False),
    ],
    "detectable_format:constrained_response": [
        ({}, "My answer is maybe.", True),
        ({}, "So: **My answer is no.** Truly.", True),
        ({}, "my answer is no.", False),
        ({}, "My answer is no", False),
        ({}, "", False),
    ],
    "detectable_format:number_highlighted_sections": [
        ({"num_highlights": 2}, "*one* and **two**", True),
        ({"num_highlights": 2}, "*one* and * * and **", False),
        ({"num_highlights": 2}, "*one*two*", False),
        ({"num_highlights": 2}, "***both***", True),
        ({"num_highlights": 1}, "*over\nlines*", False),
        ({"num_highlights": 1}, "__other__ marks", False),
        ({"num_highlights": 1}, "", False),
    ],
    "detectable_format:multiple_sections": [
        ({"section_spliter": "Section", "num_sections": 2}, "Section 1\na\n## Section 2\nb", True),
        ({"section_spliter": "Section", "num_sections": 2}, "SECTION 1\na\nSECTION 2\nb", False),
        ({"section_spliter": "Section", "num_sections": 2}, "Section 1\na\nSection two", False),
        ({"section_spliter": "Day", "num_sections": 2}, "Day1 Day 2 Day 3", True),  # at least
        ({"section_spliter": "Part (a)", "num_sections": 1}, "Part (a) 1", True),
        ({"section_spliter": "Day", "num_sections": 1}, "", False),
    ],
    "detectable_format:json_format": [
        ({}, '{"a": ["é", 1.5, null]}', True),
        ({}, '```JSON\n{"a": 1}\n```', True),
        ({}, 'Here it is: {"a": 1}', False),
        ({}, "{'a': 1}", False),
        ({}, '"a string"', True),
        ({}, "[" * 100_000, False),
        ({}, "``````", False),
        ({}, "", False),
    ],
    "detectable_format:title": [
        ({}, "<<Poem of joy>>\nSo.", True),
        ({}, "So. <<<été>>>", True),
        ({}, "<Poem of joy>", False),
        ({}, "<<Poem\nof joy>>", False),
        ({}, "<<   >>", False),
        ({}, "", False),
    ],
    "combination:two_responses": [
        ({}, "One.\n******\nTwo.", True),
        ({}, "******\nOne.\n******\nTwo.\n******", True),
        ({}, "One.\n******\n One. ", False),
        ({}, "One.\n***\nTwo.", False),
        ({}, "One.\n******\n\n******\nTwo.", False),
        ({}, "1\n******\n2\n******\n3", False),
        ({}, "", False),
    ],
    "combination:repeat_prompt": [
        ({"prompt_to_repeat": "Write a line. "}, " write a LINE.\nSo it goes.", True),
        ({"prompt_to_repeat": "Write a line."}, '"Write a line." So it goes.', False),
        ({"prompt_to_repeat": "Write a line."}, "Write a  line.", False),
        ({"prompt_to_repeat": "Écris."}, "écris.", True),
        ({"prompt_to_repeat": "Write a line."}, "", False),
    ],
    "startend:end_checker": [
        ({"end_phrase": "Peace!"}, "So. PEACE!\n", True),
        ({"end_phrase": "Peace!"}, '"So. Peace!"', True),
        ({"end_phrase": "Peace!"}, "So. Peace! Bye.", False),
        ({"end_phrase": "Peace!"}, "So. **Peace!**", False),
        ({"end_phrase": " Peace! "}, "Peace!", True),
        ({"end_phrase": "Peace!"}, "", False),
    ],
    "startend:quotation": [
        ({}, ' "So it is."\n', True),
        ({}, '""', True),
        ({}, '"', False),
        ({}, "“So it is.”", False),
        ({}, '"So" it is.', False),
        ({}, "", False),
    ],
    "change_case:capital_word_frequency": [
        ({"capital_frequency": 3, "capital_relation": "at least"}, "I saw a COVID-19 NOTE.", True),
        ({"capital_frequency": 4, "capital_relation": "at least"}, "I saw a COVID-19 NOTE.", False),
        ({"capital_frequency": 2, "capital_relation": "less than"}, "**ÉTÉ** is Summer 24.", True),
        ({"capital_frequency": 3, "capital_relation": "less than"}, "DON'T go to the U.S.", False),
        ({"capital_frequency": 1, "capital_relation": "at least"}, "so i'm, and I’m", True),
        ({"capital_frequency": 1, "capital_relation": "less than"}, "McDonald 4 東京", True),
        ({"capital_frequency": 1, "capital_relation": "less than"}, "", False),
    ],
    "change_case:english_capital": [
        ({}, "THE DOCTOR IS IN: ROOM 4.", True),
        ({}, "THE DOCTOR IS iN.", False),
        ({}, "LE MÉDECIN EST DANS LA SALLE.", False),
        ({}, "BUY MILK", True),
        ({}, "1234", False),
        ({}, "", False),
    ],
    "change_case:english_lowercase": [
        ({}, "the doctor is in: room 4.", True),
        ({}, "the doctor is in, says Ross.", False),
        ({}, "der arzt ist nicht da.", False),
        ({}, "医生在。", False),
        ({}, "", False),
    ],
    "punctuation:no_comma": [
        ({}, "So; it is.", True),
        ({}, "So, it is.", False),
        ({}, "1,000", False),
        ({}, "今日、寒い，です", True),  # commas of other scripts
        ({}, "", False),
    ],
}


HOSTILE = [
    "a. ",
    "*",
    "* ",
    "\n",
    "[ ",
    "<<",
    "<<a",
    "-\n",
    "'",
    "P. ",
    "***\n",
    ".",
    ". ",
    '"',
    "A.B.",
    "\t*",
    "{",
    '["',
    ".x",
]
HOSTILE += ['?!"', "it ", "आ", "P.S", "Section ", "My answer is ", "\n\n", "******", "<<>>", "[]", "n'"]


@cache
def prompts() -> list[dict]:
    return [json.loads(line) for line in DATA.read_text("utf-8").splitlines()]


def instructions_of(prompt: dict) -> list[tuple[str, dict]]:
    return list(zip(prompt["instruction_id_list"], prompt["kwargs"], strict=True))


def test_every_type_has_its_edge_cases():
    assert len(KINDS) == 25 and CASES.keys() == KINDS.keys()
    for cases in CASES.values():
        assert len(cases) >= 4 and {verdict for *_, verdict in cases} == {True, False}


@pytest.mark.parametrize("instruction_id", CASES)
def test_edge_cases(instruction_id):
    wrong = [case for case in CASES[instruction_id] if follows(instruction_id, case[0], case[1]) != case[2]]
    assert wrong == []


@pytest.mark.parametrize("instruction_id", CASES)
def test_the_builder_meets_both_sides(instruction_id):
    for kwargs in {json.dumps(case[0]): case[0] for case in CASES[instruction_id]}.values():
        for good, bad in replies(instruction_id, kwargs):
            assert follows(instruction_id, kwargs, good), (kwargs, good)
            assert not follows(instruction_id, kwargs, bad), (kwargs, bad)


@pytest.mark.parametrize("instruction_id", CASES)
def test_no_reply_takes_long(instruction_id):
    """A policy writes whatever it finds, and at this length what is quadratic takes tens of seconds."""
    start = time.process_time()
    for unit in HOSTILE:
        follows(instruction_id, CASES[instruction_id][0][0], unit * (60_000 // len(unit)) + "x")
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("instruction_id", "kwargs", "message"),
    [
        ("keywords:exist", {}, "unknown instruction 'keywords:exist': take one of keywords:existence"),
        ("keywords:existence", {}, "needs 'keywords': give it a list of strings"),
        ("keywords:existence", {"keywords": "rest"}, "must be a list of strings"),
        ("keywords:existence", {"keywords": []}, "must be a list of strings"),
        ("keywords:existence", {"keywords": [""]}, "none blank"),
        ("keywords:frequency", {"keyword": "a", "frequency": 2}, "needs 'relation': give it one of 'at least'"),
        ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "at most"}, "is 'at most'; it must be"),
        ("keywords:letter_frequency", {"letter": "ab", "let_frequency": 1, "let_relation": "at least"}, "single"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 0}, "is 0; it must be a whole number"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": True}, "is True; it must be a whole number"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": "2"}, "is '2'; it must be a whole number"),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "so"},
            "'nth_paragraph' is 3 of 2 paragraphs; lower it",
        ),
        ("language:response_language", {"language": "nl"}, "is 'nl'; it must be one of ar, bg"),
        ("punctuation:no_comma", {"num_commas": 1}, "does not take 'num_commas': remove it; kwargs: none"),
        ("combination:repeat_prompt", {}, "needs 'prompt_to_repeat'"),
    ],
)
def test_a_bad_instruction_is_named_with_its_remedy(instruction_id, kwargs, message):
    with pytest.raises(ValueError, match="^[^ ]") as error:
        check_instruction(instruction_id, kwargs)
    assert message in str(error.value) and instruction_id in str(error.value)
    with pytest.raises(ValueError):
        follows(instruction_id, kwargs, "So.")


def test_tables_of_all_kwargs_load():
    """As in the parquet form of IFEval, where a row has every type's kwargs and None in most."""
    assert check_instruction("detectable_format:title", {"num_words": None, "relation": None}) == {}
    assert check_instruction("startend:end_checker", {"end_phrase": "So.", "n": None}) == {"end_phrase": "So."}


def test_a_request_that_is_not_named_is_the_prompt():
    assert follows("combination:repeat_prompt", {}, "Write it. So.", "Write it.")
    assert not follows("combination:repeat_prompt", {"prompt_to_repeat": "It."}, "Write it. So.", "Write it.")


def test_loose_forgives_an_introduction_an_outro_and_stars():
    ids, kwargs = ["startend:quotation", "startend:end_checker"], [{}, {"end_phrase": "peace"}]
    assert strict(ids, kwargs, 'Sure:\n"So it is. Peace"\nBye.') == [False, False]
    assert loose(ids, kwargs, 'Sure:\n"So it is. Peace"\nBye.') == [True, True]
    assert loose(ids, kwargs, 'Sure:\n**"So it is. Peace"**') == [True, True]
    assert loose(ids, kwargs, 'Sure:\nYes:\n"So it is."\nBye.\nBye.') == [False, False]
    assert loose(ids, kwargs, "") == [False, False]


def test_the_eight_variants():
    assert sorted(variants("a\n*b*\nc")) == sorted(
        ["a\n*b*\nc", "*b*\nc", "a\n*b*", "*b*", "a\nb\nc", "b\nc", "a\nb", "b"]
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("...", 0),
        ("No stop", 1),
        ("Really?! Yes.", 2),
        ("It costs 3.50 at example.com today.", 1),
        ("Mr. and Mrs. Lee met J. K. Lane, e.g. at home.", 1),
        ("Take rest, fluids, etc. Then call.", 2),
        ("Take rest, fluids, etc. then call.", 1),
        ("So am I. We agree.", 2),
        ("Well... perhaps. Well... Perhaps.", 3),
        ("1. Rest.\n2. Drink.", 2),  # numbers of items
        ("Do both (1. rest a lot; 2. drink).", 1),
        ("It was 1999. Then came 2000.", 2),
        ("one. two. three.", 3),
        ("(One.) [Two.] “Three.”", 3),
        ("今日は寒い。水を飲む。", 2),
        ("کیا حال ہے؟ ٹھیک ہے۔", 2),
    ],
)
def test_sentences(text, count):
    assert sentences(text) == count


def test_words_and_capitals():
    assert words("Don't: well-known 3.5") == 6
    assert capital_words("I'm A-1 in the U.S. **NOTE:** don't, ISN'T (OK) 42 É") == 8


@pytest.mark.parametrize("language", SENTENCES)
def test_languages(language):
    for sentence in SENTENCES[language]:
        assert language_of(sentence) == language, sentence
        assert language_of(sentence.upper()) == language, sentence


def test_every_language_has_sentences():
    assert SENTENCES.keys() == LANGUAGES
    assert language_of("12 + 30 = 42 ✓") is None


@needs_data
def test_every_prompt_loads():
    assert len(prompts()) == 541
    seen = defaultdict(int)
    for prompt in prompts():
        for name, kwargs in instructions_of(prompt):
            assert check_instruction(name, kwargs, prompt["prompt"]) == kwargs
            seen[name] += 1
    assert seen.keys() == KINDS.keys() and sum(seen.values()) == 834


@needs_data
def test_every_instruction_of_every_prompt_is_followed_and_is_broken():
    for prompt in prompts():
        for name, kwargs in instructions_of(prompt):
            for good, bad in replies(name, kwargs):
                assert follows(name, kwargs, good, prompt["prompt"]), (prompt["key"], name, kwargs, good)
                assert not follows(name, kwargs, bad, prompt["prompt"]), (prompt["key"], name, kwargs, bad)


@needs_data
def test_one_reply_follows_all_instructions_of_a_prompt():
    failed = {}
    for prompt in prompts():
        reply = together(instructions_of(prompt))
        ids, kwargs = prompt["instruction_id_list"], prompt["kwargs"]
        verdicts = strict(ids, kwargs, reply, prompt["prompt"])
        assert all(ok for ok, easy in zip(loose(ids, kwargs, reply), verdicts, strict=True) if easy)
        if not all(verdicts):
            failed[prompt["key"]] = [i for i, ok in zip(ids, verdicts, strict=True) if not ok]
    assert failed == CONTRADICT


@needs_data
def test_breaking_one_instruction_breaks_the_prompt():
    for prompt in prompts():
        ids, kwargs = prompt["instruction_id_list"], prompt["kwargs"]
        for i, (name, given) in enumerate(instructions_of(prompt)):
            for _, bad in replies(name, given):
                verdicts = strict(ids, kwargs, bad, prompt["prompt"])
                assert not verdicts[i] and not all(verdicts)


@needs_data
def test_the_prompts_are_english():
    """The requests are real text in English, some with quotations in other languages; case must not matter."""
    for prompt in prompts():
        assert language_of(prompt["prompt"]) == "en", prompt["key"]
        assert language_of(prompt["prompt"].upper()) == "en", prompt["key"]
