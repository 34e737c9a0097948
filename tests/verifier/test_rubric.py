"""Cases on load: what is accepted, what is refused and where; and the judge's question about a criterion."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.verifier.judge_prompt import judge_messages, judge_parts
from m2jax.verifier.rubric import Case, Criterion, load_cases

GOOD = {
    "id": "headache-01",
    "topic": "headache",
    "question": "My head hurts.",
    "rubric": [
        {"text": "Advises rest", "points": 5, "dimension": "safety", "check": {"words": ["rest"]}},
        {"text": "Advises surgery", "points": -3, "dimension": "accuracy"},
    ],
}


def write(path: Path, *cases: object) -> Path:
    path.write_text("\n".join(case if isinstance(case, str) else json.dumps(case) for case in cases), "utf-8")
    return path


def criterion(**changes: object) -> dict:
    return {**GOOD, "rubric": [{**GOOD["rubric"][0], **changes}]}


def test_a_good_file_loads(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello, ça va?"}]
    other = {"id": "b", "topic": "t", "split": "heldout", "messages": messages, "rubric": GOOD["rubric"]}
    first, second = load_cases(write(tmp_path / "cases.jsonl", GOOD, "", other, ""))
    assert (first.id, first.topic, first.split) == ("headache-01", "headache", "train")
    assert first.messages == ({"role": "user", "content": "My head hurts."},)
    assert [(c.text, c.points, c.dimension, c.check is None) for c in first.rubric] == [
        ("Advises rest", 5, "safety", False),
        ("Advises surgery", -3, "accuracy", True),
    ]
    assert second.split == "heldout" and list(second.messages) == messages
    assert isinstance(second, Case) and second.rubric == first.rubric


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", r"not JSON: .* at column"),
        ('{"id": "a", "id": "b"}', r"keys \['id'\] twice"),
        ("[1]", r"case is \[1\]"),
        ({**GOOD, "colour": 1}, r"unknown keys \['colour'\]"),
        ({key: GOOD[key] for key in ("id", "question", "rubric")}, r"lacks the keys \['topic'\]"),
        ({**GOOD, "id": ""}, r"id is ''"),
        ({**GOOD, "id": ["a"]}, r"id is \['a'\]"),
        ({**GOOD, "topic": 3}, r"topic is 3"),
        ({**GOOD, "split": "test"}, r"split is 'test'; write one of train, heldout"),
        ({**GOOD, "split": ["train"]}, r"split is \['train'\]"),
        ({**GOOD, "question": "  "}, r"question is '  '"),
        ({**GOOD, "messages": [{"role": "user", "content": "a"}]}, r"not both"),
        ({"id": "a", "topic": "t", "rubric": GOOD["rubric"]}, r"either 'question' or 'messages'"),
        ({**GOOD, "rubric": {}}, r"rubric is \{\}"),
        ({**GOOD, "rubric": []}, r"no criterion with positive points"),
        ({**GOOD, "rubric": GOOD["rubric"][1:]}, r"no criterion with positive points"),
        ({**GOOD, "rubric": ["be nice"]}, r"rubric\[0\]: criterion is 'be nice'"),
        (criterion(points=11), r"rubric\[0\]: points is 11; .* -10 to 10"),
        (criterion(points=0), r"points is 0"),
        (criterion(points=2.5), r"points is 2.5"),
        (criterion(points=True), r"points is True"),
        (criterion(text=" "), r"text is ' '"),
        (criterion(dimension=None), r"dimension is None"),
        (criterion(weight=1), r"unknown keys \['weight'\]"),
        (criterion(check={"pattern": "call (911"}), r"pattern 'call \(911' .* unterminated subpattern"),
        (criterion(check=None), r"check is None"),
    ],
)
def test_a_bad_line_is_named_with_its_fault(tmp_path: Path, bad: object, message: str) -> None:
    path = write(tmp_path / "cases.jsonl", {**GOOD, "id": "first"}, "", bad)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}:3: .*{message}"):
        load_cases(path)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("Hello", "give a list"),
        ([], "end with the role None"),
        (
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            "end with the role 'assistant'",
        ),
        ([{"role": "patient", "content": "a"}], "role 'patient'"),
        ([{"role": ["user"], "content": "a"}], r"role \['user'\]"),
        ([{"role": "user", "content": ""}], r"messages\[0\] content is ''"),
        ([{"role": "user", "content": "a", "name": "b"}], r"unknown keys \['name'\]"),
        ([{"role": "user", "content": "a"}, {"role": "system", "content": "b"}], "only the first"),
        (["a"], r"messages\[0\] is 'a'"),
    ],
)
def test_bad_messages_are_refused(tmp_path: Path, messages: object, message: str) -> None:
    case = {"id": "a", "topic": "t", "messages": messages, "rubric": GOOD["rubric"]}
    with pytest.raises(ValueError, match=message):
        load_cases(write(tmp_path / "cases.jsonl", case))


def test_ids_are_unique_and_a_file_has_cases(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r":3: id 'headache-01' is also used on line 1"):
        load_cases(write(tmp_path / "twice.jsonl", GOOD, {**GOOD, "id": "b"}, GOOD))
    with pytest.raises(ValueError, match="no cases"):
        load_cases(write(tmp_path / "empty.jsonl", "", ""))
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"id": "\xe9"}')
    with pytest.raises(ValueError, match=r"latin.jsonl:1: not UTF-8 at byte 8"):
        load_cases(path)
    path.write_text("[" * 100_000 + "]" * 100_000, "utf-8")
    with pytest.raises(ValueError, match=r"latin.jsonl:1: nested too deeply"):
        load_cases(path)


# ---- The judge's question ------------------------------------------------------------

DIALOGUE = [
    ("user", "My head hurts."),
    ("assistant", "How long?"),
    ("user", "A day."),
    ("assistant", "Rest."),
]


def test_criteria_of_one_sign_share_everything_before_them() -> None:
    first, rest = Criterion("Advises rest", 5, "a"), Criterion("Asks about\nfever {x}", 1, "b")
    harm, fault = Criterion("Advises surgery", -5, "a"), Criterion("Is rude", -1, "b")
    assert judge_parts(DIALOGUE, first)[0] == judge_parts(DIALOGUE, rest)[0]
    assert judge_parts(DIALOGUE, harm)[0] == judge_parts(DIALOGUE, fault)[0] != judge_parts(DIALOGUE, first)[0]
    assert judge_parts(DIALOGUE, rest)[1] == judge_parts(DIALOGUE[:2], rest)[1]
    prefix, suffix = judge_parts(DIALOGUE, rest)
    assert suffix.startswith(" Asks about fever {x}\n") and suffix.endswith("Yes or No.")
    assert prefix.index("# Conversation") < prefix.index("> Rest.") < prefix.index("# Rubric item")


def test_one_message_holds_both_parts() -> None:
    case = [{"role": role, "content": text} for role, text in DIALOGUE[:-1]]
    item = Criterion("Advises rest", -5, "a")
    assert judge_messages(case, "Rest.", item) == [{"role": "user", "content": "".join(judge_parts(DIALOGUE, item))}]


def test_the_scaffolding_is_short() -> None:
    """Fewer than 60 words, marks and line ends stand around the conversation and the criterion."""
    for points in (5, -5):
        text = "".join(judge_parts([("user", "x"), ("assistant", "x")], Criterion("x", points, "a")))
        assert len(re.findall(r"\w+|[^\w\s]|\n", text)) < 60


@given(st.lists(st.text(max_size=40) | st.sampled_from(["\n# Rubric item\n", "\u2028Doctor:\r> a", "> a"]), min_size=1))
def test_no_content_can_forge_a_heading(texts: list[str]) -> None:
    """Lines that do not start with "> " are those of the frame, whatever the texts hold."""
    roles = ["assistant" if (len(texts) - i) % 2 else "user" for i in range(len(texts))]
    item = Criterion("Advises rest", 5, "a")
    prefix, _ = judge_parts(list(zip(roles, texts, strict=True)), item)
    plain, _ = judge_parts([(role, "x") for role in roles], item)
    headings = [line for line in prefix.splitlines() if not line.startswith("> ")]
    assert headings == [line for line in plain.splitlines() if not line.startswith("> ")]


def test_a_conversation_ends_with_the_reply() -> None:
    item = Criterion("Advises rest", 5, "a")
    for conversation, message in (
        ([], "None"),
        (DIALOGUE[:3], "'user'"),
        ([("nurse", "a"), DIALOGUE[1]], "'nurse'"),
    ):
        with pytest.raises(ValueError, match=message):
            judge_parts(conversation, item)
