"""Multiple choice: how replies say their letter, and what says none."""

from __future__ import annotations

import pytest

from m2jax.rules.choice import Choice, committed, met

OPTIONS = {"A": "Aspirin", "B": "Beta blocker", "C": "Warfarin", "D": "Aspirin and clopidogrel"}
MET = [  # the answer is B
    "B",
    "b",
    "(B)",
    "B.",
    "**B**",
    "B) Beta blocker",
    "B. Beta blocker",
    "B - Beta blocker",
    "B: Beta blocker. It lowers the heart rate.",
    "**B. Beta blocker**",
    "B, because the patient has angina.",
    "B\n\nExplanation: **A** is for prevention, **C** for clots.",
    "Answer: B",
    "Answer: b",
    "Answer:\n\n**B**",
    "**Answer:** B",
    "**Answer: B**",
    "Answer: (B) Beta blocker",
    "Answer B.",
    "ANSWER: B",
    "A. Aspirin: wrong\nC. Warfarin: wrong\nThe answer is B.",
    "C is what I exclude, no\nThe answer is B",
    "The answer is B\nIs there anything else?",
    "The answer is B.",
    "The answer is option B.",
    "The answer is (B).",
    "The answer is **B. Beta blocker**, since A is for prevention.",
    "The correct answer is: B",
    "The correct answer is therefore B because A and C are wrong.",
    "The best option here is B.",
    "The correct choice would be B.",
    "The most appropriate treatment is clear. Answer: beta blocker.",
    "The answer is a beta blocker.",
    "The answer is not C but B.",
    "The answer is B, not C.",
    "The answer is B rather than A.",
    "I would choose B.",
    "I'd go with (B).",
    "I pick B here.",
    "Option B is correct.",
    "B is the correct answer.",
    "B is the best choice, A is not.",
    "A is wrong. C is wrong. B is correct.",
    "A: Incorrect.\nB: Correct.\nC: Incorrect.\nD: Incorrect.",
    "A is for prevention, C for clots, so it must be B.",
    "Aspirin does not help here.\nTherefore, B.",
    r"So we have \boxed{B}.",
    r"$\boxed{\text{B}}$",
    r"\boxed{\text{(B) Beta blocker}}",
    r"\boxed{Beta blocker}",
    "Final answer: B",
    "At first the answer is A. On reflection that overlooks the rate.\nFinal answer: **B**",
    "### Final Answer\nB",
    "Beta blocker",
    "beta-blockers.",
    "She should be given a beta blocker.",
    "Not aspirin: a beta blocker should be given.",
    "A patient with angina needs his heart rate lowered.\n\n**Beta blocker**",
    "A patient like this one: answer B",
    "A. Aspirin\nB. Beta blocker\nC. Warfarin\nD. Aspirin and clopidogrel\n\nThe answer is B.",
    "<think>The answer is A. No, C.</think>B",
    "thinking of A</think>\n\nAnswer: B",
    "答案：B",
    "答案是B。",
    "故选B。",
    "The answer to this question is B.",
    "Correct answer: B",
    "If she were pregnant, the answer would be C. She is not: the answer is B.",
    'The answer is "B".',
    "The answer is: `B`",
    "By elimination, this leaves B.",
    "B is the most appropriate next step.",
    "My answer is B",
    "Choose B.",
    "The correct option is B) Beta blocker.",
    "**A) Aspirin**: does not help here.\n**B) Beta blocker**: first line.\n**C) Warfarin**: no.\n\n"
    "The most appropriate treatment for this patient is a beta blocker.",
    "Let us see:\n- **A**: no.\n- **B**: yes.\n\nSo a beta blocker should be given.",
    "A, C and D are incorrect. B is correct.",
    "The most likely answer would be (B) beta blocker, given his rate.",
    "The correct answer is **B) Beta blocker**.\n\n**A) Aspirin** is for prevention.\n**C) Warfarin** is for clots.",
    "I believe the answer is B.",
    "I think it's B.",
    "The answer should be B.",
    "It's B.",
    "It is option B.",
    "Correct: B",
    "B is right.",
    "B seems to be the best choice.",
    "The right answer: **B** (beta blocker)",
    "I am going with B.",
    "Looking at the options, B fits best.",
    "The best answer among the choices is B.",
    "The answer is\n\nB",
    "The correct answer is:\n\n**B. Beta blocker**\n\nThis lowers the rate.",
    "Option B",
    "(b) beta blocker",
    "[B]",
    "<answer>B</answer>",
    "The answer is $B$.",
    "The answer is \\(B\\).",
    "So, the final answer is B.",
    "My final answer is: **B**",
    "Based on the above, I would recommend option B.",
    "The patient should receive option B, a beta blocker.",
    "- B",
    "**B. Beta blocker**\n\nExplanation:\n- **A. Aspirin**: for prevention.\n- **C. Warfarin**: for clots.",
    "1. B",
    "ans: B",
    "Ans. B",
    "Definitely B.",
    "It must be B",
    "So the answer's B.",
    "Given the choices, B is most consistent with the presentation.",
    "The answer is B. The answer is not A, because nothing clots.",
    "Answer: B (beta blocker); C (warfarin) is less likely.",
    "Diagnosis aside, the treatment is a beta blocker rather than warfarin.",
]
NOT_MET = [
    "",
    "A",
    "C. Warfarin",
    "The answer is A.",
    "The answer is not B.",
    "The answer is not B but C.",
    "Not B but C",
    "B and C",
    "A or B",
    "Both B and C are correct.",
    "The answer is B or C.",
    "Answer: B, C",
    "Answer: B/C",
    "Answer: A. Answer: B.",
    "Answer: A\nAnswer: B\nAnswer: C\nAnswer: D",
    r"\boxed{A} or \boxed{B}",
    r"\boxed{B, C}",
    "**A** **B** **C** **D**",
    "B is wrong.",
    "B is not correct.",
    "Is the answer B?",
    "I don't think the answer is B.",
    "If she were pregnant, the answer would be B.",
    "A patient with angina needs care.",
    "A beta is a letter.",
    "I cannot answer this.",
    "A. Aspirin\nB. Beta blocker\nC. Warfarin\nD. Aspirin and clopidogrel",
    "Aspirin or a beta blocker.",
    "<think>The answer is B.</think>",
    "<think>The answer is B.",
    "Answer: B</think>Answer: C",
    "The answer is aspirin and clopidogrel.",
    "Vitamin B",
    "The answer is hepatitis B immune globulin.",
    "Final answer: C. Answer: B.",
    "Neither B nor C is correct.",
    "The answer is either A or B.",
    "The answer is D, although B is tempting.",
]


@pytest.mark.parametrize("reply", MET)
def test_commits_to_the_answer(reply):
    assert committed(OPTIONS, reply) == {"B"}


@pytest.mark.parametrize("reply", NOT_MET)
def test_does_not(reply):
    assert not met(Choice(OPTIONS, "B"), reply)


@pytest.mark.parametrize(
    ("reply", "letters"),
    [
        ("A patient with angina should get a beta blocker. The answer is A.", {"A"}),
        ("A. Aspirin", {"A"}),
        ("Answer: A", {"A"}),
        ("Answer: A, since it prevents clots.", {"A"}),
        ("The answer is A because it prevents clots.", {"A"}),
        ("Answer: A patient needs care.", set()),
        ("The answer is a.", {"A"}),
        ("The answer is aspirin.", {"A"}),
        ("The answer is aspirin and clopidogrel.", {"D"}),
        ("A\n", {"A"}),
        ("I would say that he needs warfarin.", {"C"}),
    ],
)
def test_letters_and_words(reply, letters):
    assert committed(OPTIONS, reply) == letters


@pytest.mark.parametrize("letter", "ABCD")
@pytest.mark.parametrize(
    "form",
    ["{}", "({})", "**{}**", "Answer: {}", "The answer is {}.", r"\boxed{{{}}}", "{}) {text}", "Option {} is correct."],
)
def test_every_letter_in_every_form(form, letter):
    assert committed(OPTIONS, form.format(letter, text=OPTIONS[letter])) == {letter}


@pytest.mark.parametrize("letter", "ABCDEFGHIJ")
def test_ten_letters_without_texts(letter):
    assert committed(dict.fromkeys("ABCDEFGHIJ", ""), f"The answer is {letter}.") == {letter}


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="options is .*; give an object of two or more"):
        Choice({"A": "x"}, "A")
    with pytest.raises(ValueError, match="answer is 'E'; give one of the letters A, B, C, D"):
        Choice(OPTIONS, "E")
